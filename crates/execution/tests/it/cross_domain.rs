//! Contracts that call across domains. spec: Domains D16–D23

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use alloy_rpc_types_eth::TransactionRequest;
use alloy_rpc_types_eth::state::EvmOverrides;
use alloy_sol_types::{Revert, SolCall, SolError, SolEvent};
use anfs_execution::simulate::{Limits, Simulator};
use anfs_execution::system::{CROSS_DOMAIN, GATEWAY};
use anfs_execution::{ExecutionError, Refusal};
use anfs_primitives::crossing::{CALL_GAS, RESULT_DATA_MAX};
use anfs_primitives::{
    CallForm, CallResult, CrossCall, CrossMessage, DomainId, DomainMap, GasPayment, GenesisAccount,
    MessageBody, ResultRequest, Slot,
};
use anfs_state::StateRead;

use crate::domains::{Done, Net, everywhere, resident};
use crate::support::*;

mod abi {
    #![allow(clippy::too_many_arguments)]
    alloy_sol_types::sol!(Courier, "../../contracts/artifacts/Courier.json");
    alloy_sol_types::sol!(GatewayMailbox, "../../contracts/artifacts/GatewayMailbox.json");
    alloy_sol_types::sol!(ICrossDomain, "../../contracts/artifacts/ICrossDomain.json");
    alloy_sol_types::sol!(ICrossDomainGateway, "../../contracts/artifacts/ICrossDomainGateway.json");
}
pub(crate) use abi::Courier;
use abi::{GatewayMailbox, ICrossDomain, ICrossDomainGateway};

pub(crate) const WORKS: u8 = 0;
const REVERTS: u8 = 1;
const RUNS_OUT: u8 = 2;
const SENDS_ON: u8 = 3;
const TALKS_MUCH: u8 = 4;
pub(crate) const MOODS: u8 = 5;

const FEE: u64 = 2 * BASE_FEE;
const GAS: u64 = 200_000;

/// A contract with nothing in its storage yet.
pub(crate) fn deployed(code: &Bytes) -> GenesisAccount {
    contract(code.clone())
}

pub(crate) fn courier() -> GenesisAccount {
    deployed(&Courier::DEPLOYED_BYTECODE)
}

/// A user and a courier in each of three domains.
struct Scene {
    net: Net,
    users: [Address; 4],
    couriers: [Address; 4],
}

impl Scene {
    fn new() -> Self {
        let map = DomainMap::new(3);
        let at = |n| [1, 1, 2, 3].map(|domain| resident(map, domain, n));
        let (users, couriers) = (at(0), at(1));
        let accounts: BTreeMap<_, _> = users
            .map(|user| (user, funded(coins(100))))
            .into_iter()
            .chain(couriers.map(|at| (at, courier())))
            .chain(everywhere())
            .collect();
        Self { net: Net::new(3, &accounts), users, couriers }
    }

    /// A transaction of the user of a domain.
    fn tell(&mut self, domain: usize, to: Address, coins: U256, call: &impl SolCall) -> Done {
        let from = self.users[domain];
        let nonce = self.net.nonce(from);
        let done = self.net.send(from, dynamic(nonce, to.into(), coins, call.abi_encode(), 3_000_000));
        self.net.check();
        done
    }

    fn word(&self, domain: u32, account: Address, slot: u64) -> U256 {
        let slot = B256::from(U256::from(slot));
        self.net.domains[&DomainId(domain)].state.storage(&account, &slot).unwrap()
    }

    /// What a courier has counted: visits, results, and successes among these.
    fn counts(&self, domain: u32) -> [u64; 3] {
        let at = self.couriers[domain as usize];
        [1, 2, 3].map(|slot| self.word(domain, at, slot).to())
    }

    fn last_id(&self, domain: u32) -> B256 {
        self.word(domain, self.couriers[domain as usize], 4).into()
    }

    /// Whether somebody of a domain waits for the result of a call.
    fn waits(&self, domain: u32, id: B256) -> bool {
        !self.net.domains[&DomainId(domain)].state.storage(&CROSS_DOMAIN, &id).unwrap().is_zero()
    }

    /// The result that is in flight between two domains.
    fn result(&self, from: u32, to: u32) -> &CallResult {
        let mut lane = self.net.lanes[&(DomainId(from), DomainId(to))].iter();
        let find = |message: &'_ CrossMessage| matches!(message.body, MessageBody::Result(_));
        match &lane.find(|message| find(message)).expect("a result").body {
            MessageBody::Result(result) => result,
            _ => unreachable!("found as one"),
        }
    }
}

fn visit(how: u8, next: Address) -> Bytes {
    Courier::visitCall { how, next }.abi_encode().into()
}

/// The courier of a domain is told to send this to somebody.
fn send(to: Address, data: Bytes, result_gas: u64) -> Courier::sendCall {
    Courier::sendCall { to, gasLimit: GAS, fee: U256::from(FEE), data, resultGas: result_gas }
}

fn gas_coins() -> U256 {
    U256::from(GAS) * U256::from(FEE)
}

/// What a block has sent for a transaction, and not as tips of its own.
fn sent(done: &Done) -> impl Iterator<Item = &CrossMessage> {
    done.crossing.messages.iter().filter(|message| !message.origin.is_zero())
}

fn sent_event(done: &Done) -> ICrossDomain::MessageSent {
    let log = done.receipts[0].logs.iter().find(|log| log.address == CROSS_DOMAIN).expect("a log");
    ICrossDomain::MessageSent::decode_log_data(&log.data).unwrap()
}

#[test]
fn a_contract_calls_another_domain_and_is_told_what_came_of_it() {
    let mut scene = Scene::new();
    let (from, to) = (scene.couriers[1], scene.couriers[2]);
    let done = scene.tell(1, from, gas_coins() + coins(1), &send(to, visit(WORKS, to), 150_000));
    let event = sent_event(&done);
    assert_eq!((event.sender, event.to, event.domain, event.value), (from, to, 2, coins(1)));
    assert!(done.receipts[0].gas_used > CALL_GAS + 150_000, "taking it in and the callback are paid for");
    assert!(scene.waits(1, event.id));
    let values: Vec<U256> = sent(&done).map(CrossMessage::value).collect();
    assert_eq!(values, [gas_coins() + coins(1)]);

    let visited = scene.net.block(DomainId(2), usize::MAX, &[]);
    assert!(visited.crossing.legs[0].receipt.success);
    assert_eq!(scene.counts(2), [1, 0, 0]);
    assert_eq!(scene.net.balance(to), coins(1));
    let kinds: Vec<bool> =
        sent(&visited).map(|message| matches!(message.body, MessageBody::Result(_))).collect();
    assert_eq!(kinds, [false, true], "coins that were not used, then the result");

    let told = scene.net.block(DomainId(1), usize::MAX, &[]);
    assert!(told.crossing.legs[0].receipt.success);
    assert_eq!(scene.counts(1), [0, 1, 1]);
    assert_eq!(scene.last_id(1), event.id);
    assert!(!scene.waits(1, event.id));
    let used = visited.crossing.legs[0].receipt.gas_used;
    let price = U256::from(BASE_FEE);
    assert_eq!(scene.net.balance(from), gas_coins() - U256::from(used) * price, "base fee and no tip");
    scene.net.drain();
    scene.net.check();
}

#[test]
fn what_was_sent_is_undone_with_its_frame() {
    let mut scene = Scene::new();
    let (from, to) = (scene.couriers[1], scene.couriers[2]);
    let (gas_limit, fee, data) = (GAS, U256::from(FEE), visit(WORKS, to));
    let call = Courier::sendAndRevertCall { to, gasLimit: gas_limit, fee, data: data.clone(), resultGas: 1 };
    let done = scene.tell(1, from, gas_coins() + coins(1), &call);
    assert!(!done.receipts[0].success && sent(&done).count() == 0);
    assert_eq!(scene.word(1, CROSS_DOMAIN, 0), U256::ZERO, "not even counted");

    let both = (gas_coins() + coins(1)) * U256::from(2);
    let call = Courier::sendTwiceUndoOneCall { to, gasLimit: gas_limit, fee, data, resultGas: 150_000 };
    let done = scene.tell(1, from, both, &call);
    assert!(done.receipts[0].success);
    assert_eq!(sent(&done).count(), 1);
    assert_eq!(scene.net.balance(from), both / U256::from(2));
    scene.net.drain();
    assert_eq!((scene.counts(1), scene.counts(2)), ([0, 1, 1], [1, 0, 0]));
    scene.net.check();
}

#[test]
fn a_call_that_fails_brings_its_value_back_before_its_result() {
    let mut scene = Scene::new();
    let (from, to) = (scene.couriers[1], scene.couriers[2]);
    for (mood, reason) in [(REVERTS, &Courier::Unwilling::SELECTOR[..]), (RUNS_OUT, &[])] {
        scene.tell(1, from, gas_coins() + coins(3), &send(to, visit(mood, to), 150_000));
        let done = scene.net.block(DomainId(2), usize::MAX, &[]);
        assert!(!done.crossing.legs[0].receipt.success);
        let result = scene.result(2, 1);
        assert!(!result.success && result.data.starts_with(reason), "{result:?}");
        assert_eq!(reason.is_empty(), result.data.is_empty());
        let [MessageBody::Credit { recipient, value }, MessageBody::Result(_)] =
            [0, 1].map(|at| done.crossing.messages[at].body.clone())
        else {
            panic!("{:?}", done.crossing.messages)
        };
        assert!(recipient == from && value >= coins(3));
        scene.net.drain();
    }
    assert_eq!(scene.counts(1), [0, 2, 0]);
    assert_eq!(scene.net.balance(to), U256::ZERO);
    scene.net.check();
}

#[test]
fn who_is_turned_away_learns_why() {
    let mut scene = Scene::new();
    let (from, to) = (scene.couriers[1], scene.couriers[2]);
    scene.tell(1, from, gas_coins(), &send(to, visit(WORKS, to), 400_000));
    scene.net.base_fee = 3 * BASE_FEE;
    let done = scene.net.block(DomainId(2), usize::MAX, &[]);
    assert!(matches!(done.crossing.legs[0].refused, Some(Refusal::Underpriced { .. })));
    let why = Revert::abi_decode(&scene.result(2, 1).data).unwrap();
    assert_eq!(why.reason, "underpriced");
    // The callback has been paid for when it was asked for: no base fee keeps it from running.
    scene.net.base_fee = 1000 * BASE_FEE;
    scene.net.drain();
    assert_eq!(scene.counts(1), [0, 1, 0]);
    assert_eq!(scene.net.balance(from), gas_coins());
}

#[test]
fn answers_are_cut_off() {
    let mut scene = Scene::new();
    let (from, to) = (scene.couriers[1], scene.couriers[2]);
    scene.tell(1, from, gas_coins(), &send(to, visit(TALKS_MUCH, to), 1_200_000));
    scene.net.block(DomainId(2), usize::MAX, &[]);
    assert_eq!(scene.result(2, 1).data.len(), RESULT_DATA_MAX);
    scene.net.drain();
    assert_eq!(scene.counts(1), [0, 1, 1]);
}

#[test]
fn a_handler_that_fails_or_is_missing_holds_nothing_up() {
    let mut scene = Scene::new();
    let (from, to) = (scene.couriers[1], scene.couriers[2]);
    for mood in [REVERTS, RUNS_OUT] {
        scene.tell(1, from, U256::ZERO, &Courier::setMoodCall { to: mood });
        let done = scene.tell(1, from, gas_coins(), &send(to, visit(WORKS, to), 90_000));
        let legs = scene.net.drain();
        let [call, told] = legs.as_slice() else { panic!("{legs:?}") };
        assert!(call.receipt.success && !told.receipt.success && told.receipt.gas_used <= 90_000);
        assert!(!scene.waits(1, sent_event(&done).id), "told once, and that was it");
    }
    assert_eq!(scene.counts(1), [0, 0, 0]);
    // A user may send as well: there is no handler to call.
    let user = scene.users[1];
    let call = ICrossDomain::sendWithResultCall {
        to,
        value: U256::ZERO,
        gasLimit: GAS,
        maxFeePerGas: U256::from(FEE),
        data: visit(WORKS, user),
        resultGasLimit: 10_000,
    };
    scene.tell(1, CROSS_DOMAIN, gas_coins(), &call);
    let legs = scene.net.drain();
    assert!(legs.len() == 2 && legs.iter().all(|leg| leg.receipt.success), "{legs:?}");
    scene.net.check();
}

#[test]
fn nobody_answers_for_another_domain_or_twice() {
    let mut scene = Scene::new();
    let (from, to) = (scene.couriers[1], scene.couriers[2]);
    let done = scene.tell(1, from, gas_coins(), &send(to, visit(WORKS, to), 150_000));
    let id = sent_event(&done).id;
    let answer = |gas_limit| {
        let request = ResultRequest { id, gas_limit };
        MessageBody::Result(CallResult { request, success: false, data: Default::default() })
    };
    let (home, there, liar) = (DomainId(1), DomainId(2), DomainId(3));
    scene.net.send_by_force(liar, home, answer(150_000));
    scene.net.send_by_force(there, home, answer(20_000_000));
    let legs = scene.net.block(home, usize::MAX, &[]).crossing.legs;
    let refused: Vec<_> = legs.iter().map(|leg| leg.refused).collect();
    assert_eq!(refused, [Some(Refusal::Unasked(there)), Some(Refusal::Unasked(liar))]);
    assert!(scene.waits(1, id) && legs.iter().all(|leg| leg.receipt.gas_used == 0));

    scene.net.drain();
    assert_eq!(scene.counts(1), [0, 1, 1]);
    scene.net.send_by_force(there, home, answer(150_000));
    let legs = scene.net.drain();
    assert_eq!(legs[0].refused, Some(Refusal::Unasked(there)));
    assert_eq!(scene.counts(1), [0, 1, 1]);
    scene.net.check();
}

#[test]
fn only_residents_send() {
    let mut scene = Scene::new();
    let (stranger, to) = (scene.users[3], scene.couriers[2]);
    let data = ICrossDomain::sendCall {
        to,
        value: U256::ZERO,
        gasLimit: 0,
        maxFeePerGas: U256::ZERO,
        data: Bytes::new(),
    };
    scene.net.base_fee = 0;
    // No honest domain sends such a call: the predeploy lives where its caller does.
    let body = arrival(stranger, CROSS_DOMAIN, data.abi_encode(), CallForm::Direct);
    scene.net.send_by_force(DomainId(3), DomainId(1), body);
    let legs = scene.net.drain();
    assert!(!legs[0].receipt.success && legs[0].refused.is_none());
    assert_eq!(scene.word(1, CROSS_DOMAIN, 0), U256::ZERO);
    scene.net.check();
}

fn arrival(sender: Address, recipient: Address, data: Vec<u8>, form: CallForm) -> MessageBody {
    MessageBody::Call(CrossCall {
        sender,
        recipient,
        value: U256::ZERO,
        gas_limit: GAS,
        // Nothing that the liar would have to hold.
        payment: GasPayment::Prepaid { max_fee: 0, max_tip: 0 },
        deadline: Slot(u64::MAX),
        data: data.try_into().unwrap(),
        form,
        result: None,
    })
}

/// What a call that nobody signed reverts with in domain 1, or returns.
fn simulated(scene: &Scene, to: Address, value: U256, call: &impl SolCall) -> Result<Bytes, Bytes> {
    let state = &scene.net.domains[&DomainId(1)].state;
    let simulator = Simulator::new(env(), state, Limits::default()).in_domain(DomainId(1), scene.net.map);
    let request = TransactionRequest {
        from: Some(scene.users[1]),
        to: Some(TxKind::Call(to)),
        value: Some(value),
        input: Bytes::from(call.abi_encode()).into(),
        ..TransactionRequest::default()
    };
    match simulator.call(&request, &EvmOverrides::default()) {
        Ok(output) => Ok(output),
        Err(ExecutionError::Revert { output }) => Err(output),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn the_predeploy_refuses_and_says_why() {
    use ICrossDomain as D;
    let scene = Scene::new();
    let (from, to) = (scene.couriers[1], scene.couriers[2]);
    let ways = [
        D::NotPermitted {}.abi_encode(),
        D::NotPermitted {}.abi_encode(),
        D::WrongPayment { sent: U256::from(1), needed: U256::ZERO }.abi_encode(),
        D::LivesHere { to: from }.abi_encode(),
        D::FeeTooHigh { maxFeePerGas: U256::from(1) << 128 }.abi_encode(),
        D::DataTooLong { length: U256::from(131_073), most: U256::from(131_072) }.abi_encode(),
        Vec::new(),
        Vec::new(),
        D::WrongPayment { sent: U256::ZERO, needed: (U256::from(1) << 129) - U256::from(1) }.abi_encode(),
    ];
    for (way, expected) in ways.into_iter().enumerate() {
        let call = Courier::forbiddenCall { way: U256::from(way), to };
        let reverted = simulated(&scene, from, coins(1), &call).unwrap_err();
        assert_eq!(reverted, Bytes::from(expected), "way {way}");
    }
}

#[test]
fn a_simulation_sends_as_the_transaction_would() {
    let mut scene = Scene::new();
    let (from, to) = (scene.couriers[1], scene.couriers[2]);
    let call = send(to, visit(WORKS, to), 150_000);
    let promised = simulated(&scene, from, gas_coins(), &call).unwrap();
    let done = scene.tell(1, from, gas_coins(), &call);
    assert_eq!(promised, Bytes::from(sent_event(&done).id.0));
    let answer = |call| U256::from_be_slice(&simulated(&scene, CROSS_DOMAIN, U256::ZERO, &call).unwrap());
    for (account, domain) in [(from, 1), (to, 2), (CROSS_DOMAIN, 1)] {
        assert_eq!(answer(ICrossDomain::domainOfCall { account }), U256::from(domain));
    }
    let here = simulated(&scene, CROSS_DOMAIN, U256::ZERO, &ICrossDomain::domainCall {}).unwrap();
    assert_eq!(U256::from_be_slice(&here), U256::from(1));
}

#[test]
fn a_contract_that_is_being_created_sends_and_is_believed() {
    let mut scene = Scene::new();
    let to = scene.couriers[2];
    let input = ICrossDomain::sendCall {
        to,
        value: U256::ZERO,
        gasLimit: GAS,
        maxFeePerGas: U256::from(FEE),
        data: visit(WORKS, to),
    }
    .abi_encode();
    // Copies its tail to memory, calls the predeploy with it and all its coins, and becomes one zero byte.
    let length = u16::try_from(input.len()).unwrap().to_be_bytes();
    let code = [
        [&[0x61], &length[..], &[0x60, 27, 0x5f, 0x39]].concat(),
        [&[0x60, 0x20, 0x5f, 0x61], &length[..], &[0x5f, 0x34, 0x61, 0x01, 0xc0, 0x5a, 0xf1]].concat(),
        vec![0x50, 0x60, 0x01, 0x61, 0x20, 0x00, 0xf3],
    ]
    .concat();
    assert_eq!(code.len(), 27);
    // Until the creator's nonce makes for a guest: one whose home is elsewhere.
    let creator = scene.users[1];
    let mut legs = Vec::new();
    loop {
        let nonce = scene.net.nonce(creator);
        let init = [code.as_slice(), &input].concat();
        scene.net.send(creator, dynamic(nonce, TxKind::Create, gas_coins(), init, 1_000_000));
        legs.extend(scene.net.drain());
        if scene.net.home(creator.create(nonce)) != DomainId(1) {
            break;
        }
    }
    assert!(legs.iter().all(|leg| leg.receipt.success), "{legs:?}");
    assert_eq!(scene.counts(2), [legs.len() as u64, 0, 0]);
    scene.net.check();
}

#[test]
fn what_arrives_sends_on() {
    let mut scene = Scene::new();
    let [_, first, second, third] = scene.couriers;
    scene.tell(1, first, gas_coins() + coins(2), &send(second, visit(SENDS_ON, third), 0));
    let legs = scene.net.drain();
    // The third takes no coins without gas, so they come back to the second.
    assert_eq!(legs.iter().map(|leg| leg.receipt.success).collect::<Vec<_>>(), [true, false]);
    assert_eq!(legs[0].origin, legs[1].origin, "one transaction's");
    assert_eq!(scene.net.balance(second), coins(2));
    scene.net.check();
}

/// Two mailboxes in domains 1 and 2.
fn mailboxes() -> (Scene, Address, Address) {
    let map = DomainMap::new(3);
    let [here, there] = [1, 2].map(|domain| resident(map, domain, 5));
    let scene = Scene::new();
    let mailbox = deployed(&GatewayMailbox::DEPLOYED_BYTECODE);
    let accounts: BTreeMap<_, _> = scene
        .users
        .map(|user| (user, funded(coins(100))))
        .into_iter()
        .chain(scene.couriers.map(|at| (at, courier())))
        .chain([(here, mailbox.clone()), (there, mailbox)])
        .chain(everywhere())
        .collect();
    (Scene { net: Net::new(3, &accounts), ..scene }, here, there)
}

/// ERC-7930, of chain 1337.
fn interoperable(account: Address) -> Bytes {
    [&[0, 1, 0, 0, 2, 0x05, 0x39, 20], account.as_slice()].concat().into()
}

fn post(to: Address, letter: &'static [u8]) -> GatewayMailbox::postCall {
    GatewayMailbox::postCall {
        mailbox: interoperable(to),
        letter: Bytes::from_static(letter),
        gasLimit: GAS,
        maxFeePerGas: U256::from(FEE),
    }
}

#[test]
fn the_gateway_hands_messages_to_recipients_of_the_standard() {
    let (mut scene, here, there) = mailboxes();
    let done = scene.tell(1, here, gas_coins() + coins(4), &post(there, b"good morning"));
    let log = done.receipts[0].logs.iter().find(|log| log.address == GATEWAY).expect("the standard's log");
    let event = ICrossDomainGateway::MessageSent::decode_log_data(&log.data).unwrap();
    assert_eq!((event.sendId, event.value), (B256::ZERO, coins(4)));
    assert_eq!((event.sender, event.recipient), (interoperable(here), interoperable(there)));
    let legs = scene.net.drain();
    assert!(legs[0].receipt.success, "{legs:?}");
    assert_eq!(scene.word(2, there, 3), coins(4), "the value came with it");
    assert_eq!(scene.net.balance(there), coins(4));
    // The sender, as `lastSender` has it: long strings hold twice their length and one.
    assert_eq!(
        scene.word(2, there, 1),
        U256::from_be_slice(&{
            let mut short = interoperable(here).to_vec();
            short.resize(31, 0);
            short.push(2 * 28);
            short
        })
    );
    scene.net.check();
}

#[test]
fn the_gateway_gives_back_what_nobody_takes() {
    let (mut scene, here, _) = mailboxes();
    // One is no contract, one is a contract that knows nothing of the standard.
    for nobody in [scene.users[2], scene.couriers[2]] {
        let before = scene.net.balance(nobody);
        scene.tell(1, here, gas_coins() + coins(4), &post(nobody, b"anybody?"));
        let legs = scene.net.drain();
        assert!(!legs[0].receipt.success && legs[0].refused.is_none(), "{legs:?}");
        assert_eq!(scene.net.balance(nobody), before);
        scene.net.check();
    }
    assert!(scene.net.balance(here) > coins(8));
}

#[test]
fn nobody_puts_words_into_the_gateways_mouth() {
    let (mut scene, here, there) = mailboxes();
    scene.net.base_fee = 0;
    let form = CallForm::Gateway { id: B256::repeat_byte(1) };
    // A captured domain speaks for somebody else's resident, and as the gateway itself.
    for author in [here, GATEWAY] {
        let body = arrival(author, there, b"lies".to_vec(), form);
        scene.net.send_by_force(DomainId(3), DomainId(2), body);
        let legs = scene.net.drain();
        assert!(matches!(legs[0].refused, Some(Refusal::Unbelieved { .. })), "{legs:?}");
    }
    assert_eq!(scene.word(2, there, 0), U256::ZERO);
    scene.net.check();
}

#[test]
fn the_gateway_takes_messages_without_attributes_and_refuses_nonsense() {
    use ICrossDomainGateway as G;
    let (scene, here, there) = mailboxes();
    let message = |recipient: Bytes, attributes: Vec<Bytes>| G::sendMessageCall {
        recipient,
        payload: Bytes::from_static(b"hello"),
        attributes,
    };
    let send = |value, call: &G::sendMessageCall| simulated(&scene, GATEWAY, value, call);
    assert_eq!(send(coins(1), &message(interoperable(there), vec![])), Ok(Bytes::from([0; 32])));
    let refused = [
        (message(interoperable(here), vec![]), ICrossDomain::LivesHere { to: here }.abi_encode()),
        (message(Bytes::from_static(b"nobody"), vec![]), G::InvalidRecipient {}.abi_encode()),
        (
            message(interoperable(there), vec![Bytes::from_static(&[1, 2, 3, 4])]),
            G::UnsupportedAttribute { selector: [1, 2, 3, 4].into() }.abi_encode(),
        ),
        (
            message(interoperable(there), vec![Bytes::from(G::gasLimitCall::SELECTOR)]),
            G::InvalidAttribute { attribute: Bytes::from(G::gasLimitCall::SELECTOR) }.abi_encode(),
        ),
    ];
    for (call, error) in refused {
        assert_eq!(send(coins(1), &call), Err(error.into()));
    }
    let fee = G::maxFeePerGasCall { fee: U256::from(1) }.abi_encode().into();
    let sent = send(U256::from(5), &message(interoperable(there), vec![fee]));
    let error = ICrossDomain::WrongPayment { sent: U256::from(5), needed: U256::from(200_000) };
    assert_eq!(sent, Err(error.abi_encode().into()));
    for (selector, known) in [(G::resultGasLimitCall::SELECTOR, 1), ([0; 4], 0)] {
        let call = G::supportsAttributeCall { selector: selector.into() };
        let answer = simulated(&scene, GATEWAY, U256::ZERO, &call).unwrap();
        assert_eq!(U256::from_be_slice(&answer), U256::from(known));
    }
}
