//! The root as a domain: its system contracts, what reaches them, and what it issues.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::SolCall;
use anfs_execution::root::{RootOutcome, root_genesis, run_root};
use anfs_execution::simulate::{Limits, Simulator};
use anfs_execution::system::{REWARDS, RootContracts as Calls, SEATS, SYSTEM_ADDRESS, root_accounts};
use anfs_execution::{BlockEnv, DomainEnv, ExecutionError, Refusal};
use anfs_primitives::crossing::root_contract;
use anfs_primitives::{
    BlsPublicKey, BlsSignature, CallForm, CrossCall, CrossMessage, DomainId, DomainMap, GasPayment,
    MessageBody, SeatIndex, Slot, ValidatorSpec,
};
use anfs_state::{StateRead, WorldState};
use proptest::prelude::*;

use crate::domains::{NETWORK, resident};
use crate::support::*;

const ROOT: DomainId = DomainId(0);
const MAX_FEE: u128 = 2 * BASE_FEE as u128;

fn map() -> DomainMap {
    DomainMap::new(2)
}

/// Seats `0..seats` of both shards. The account of seat `s` of shard `d` lives in the other shard.
fn holders(seats: u16) -> Vec<(DomainId, SeatIndex, ValidatorSpec)> {
    let place = |domain: u32, seat: u16| {
        let holder = ValidatorSpec {
            public_key: BlsPublicKey::repeat_byte(0x80 | u8::try_from(seat).expect("few")),
            proof_of_possession: BlsSignature::ZERO,
            beneficiary: account(domain, seat),
            stake: coins(10 + u64::from(domain) * u64::from(seat)),
        };
        (DomainId(domain), SeatIndex(seat), holder)
    };
    [1, 2].into_iter().flat_map(|domain| (0..seats).map(move |seat| place(domain, seat))).collect()
}

fn account(domain: u32, seat: u16) -> Address {
    resident(map(), 3 - domain, 100 + usize::from(seat))
}

fn genesis(seats: u16) -> WorldState {
    let holders = holders(seats);
    let seats = holders.iter().map(|(domain, seat, holder)| (*domain, *seat, holder));
    root_genesis(env(), &root_accounts(), seats).expect("every seat is given once")
}

/// The root, block by block.
struct Root {
    state: WorldState,
    place: DomainEnv,
    /// What its accounts held after the last block.
    held: U256,
}

impl Root {
    fn new(seats: u16) -> Self {
        let place = DomainEnv {
            network: NETWORK,
            domain: ROOT,
            map: map(),
            slot: Slot(1),
            call_lifetime: 100,
            sent: Vec::new(),
            consumed: Vec::new(),
        };
        Self { state: genesis(seats), place, held: U256::ZERO }
    }

    /// Executes a block, and sees to it that no coin comes about or is lost but as it says.
    fn block(&mut self, issued: U256, messages: &[CrossMessage]) -> RootOutcome {
        let env = BlockEnv { beneficiary: resident(map(), 1, 7), ..env() };
        let outcome = run_root(env, self.place.clone(), self.state.clone(), issued, messages).unwrap();
        self.state = self.state.apply(&outcome.block.changes).unwrap();
        let crossing = outcome.block.crossing.as_ref().expect("it is a domain");
        (self.place.sent, self.place.consumed) = (crossing.sent.clone(), crossing.consumed.clone());
        let holders = [SEATS, REWARDS, SYSTEM_ADDRESS, root_contract(0xff)];
        let held = holders.map(|address| self.balance(address)).into_iter().sum();
        let gained = self.held + crossing.value_in + issued;
        assert_eq!(gained, held + crossing.value_out + outcome.block.burned, "coins of the root");
        self.held = held;
        outcome
    }

    fn balance(&self, address: Address) -> U256 {
        self.state.account(&address).unwrap().unwrap_or_default().balance
    }

    /// Asks a contract.
    fn ask<C: SolCall>(&self, contract: Address, call: &C) -> C::Return {
        let simulator = Simulator::new(env(), self.state.clone(), Limits::default()).in_domain(ROOT, map());
        let request = alloy_rpc_types_eth::TransactionRequest::default()
            .to(contract)
            .input(Bytes::from(call.abi_encode()).into());
        let output = simulator.call(&request, &Default::default()).expect("the contract answers");
        C::abi_decode_returns(&output).expect("it answers what its interface says")
    }

    fn pending(&self, domain: u32, seat: u16) -> U256 {
        self.ask(REWARDS, &Calls::pendingCall { domain, seat })
    }

    /// The next message from shard 1: a call of one who lives there.
    fn call(&self, recipient: Address, value: u64, call: &impl SolCall) -> CrossMessage {
        let consumed = self.place.consumed.iter().find(|cursor| cursor.source == DomainId(1));
        let body = CrossCall {
            sender: resident(map(), 1, 0),
            recipient,
            value: U256::from(value),
            gas_limit: 200_000,
            payment: GasPayment::Prepaid { max_fee: MAX_FEE, max_tip: 0 },
            deadline: Slot(100),
            data: call.abi_encode().try_into().unwrap(),
            form: CallForm::Direct,
            result: None,
        };
        CrossMessage {
            network: NETWORK,
            source: DomainId(1),
            destination: ROOT,
            sequence: consumed.map_or(0, |cursor| cursor.consumed),
            origin: B256::repeat_byte(9),
            body: MessageBody::Call(body),
        }
    }
}

fn success(outcome: &RootOutcome) -> bool {
    let [arrival] = outcome.arrivals.as_slice() else { panic!("one message, not {:?}", outcome.arrivals) };
    arrival.receipt.as_ref().expect("it is a call").success
}

#[test]
fn genesis_seats_are_read_back() {
    let root = Root::new(3);
    assert_eq!(root.ask(SEATS, &Calls::countCall {}), U256::from(6));
    assert_eq!(root.ask(SEATS, &Calls::totalStakeCall {}), coins(60 + 3 + 6));
    let share = root.ask(SEATS, &Calls::shareOfCall { domain: 2, seat: 1 });
    assert_eq!((share.account, share.stake), (account(2, 1), coins(12)));
}

#[test]
fn a_seat_is_given_once_and_only_where_there_is_a_register() {
    let holders = holders(1);
    let twice = holders.iter().chain(&holders).map(|(domain, seat, holder)| (*domain, *seat, holder));
    let refused = root_genesis(env(), &root_accounts(), twice);
    assert!(matches!(refused, Err(ExecutionError::SystemCall { contract: SEATS, .. })));
    let refused = root_genesis(env(), &BTreeMap::new(), []);
    assert!(matches!(refused, Err(ExecutionError::SystemCall { contract: SEATS, .. })));
}

#[test]
fn what_is_issued_waits_for_seats_by_stake_and_is_paid_where_they_live() {
    let mut root = Root::new(3);
    assert!(root.pending(1, 0).is_zero());
    root.block(coins(69), &[]);
    assert_eq!(root.ask(REWARDS, &Calls::issuedCall {}), coins(69));
    assert_eq!((root.pending(1, 0), root.pending(2, 2)), (coins(10), coins(14)));

    let claim = root.call(REWARDS, 0, &Calls::claimCall { domain: 2, seat: 2 });
    let paid = root.block(U256::ZERO, &[claim]);
    assert!(success(&paid));
    let crossing = paid.block.crossing.unwrap();
    let payment = crossing.messages.iter().find_map(|message| match &message.body {
        MessageBody::Call(call) if call.recipient == account(2, 2) => Some((message, call)),
        _ => None,
    });
    let (message, call) = payment.expect("it leaves for the account's home");
    assert_eq!((message.destination, call.sender, call.value), (DomainId(1), REWARDS, coins(14)));
    assert_eq!(message.origin, B256::repeat_byte(9), "it belongs to the transaction that asked for it");
    assert!(root.pending(2, 2).is_zero());
    assert_eq!(root.ask(REWARDS, &Calls::paidCall {}), coins(14));

    let again = root.call(REWARDS, 0, &Calls::claimCall { domain: 2, seat: 2 });
    assert!(!success(&root.block(U256::ZERO, &[again])), "there is nothing more");
    root.block(coins(69), &[]);
    assert_eq!((root.pending(1, 0), root.pending(2, 2)), (coins(20), coins(14)));
}

#[test]
fn only_the_protocol_assigns_and_distributes_and_its_contracts_take_no_coins_but_those() {
    let mut root = Root::new(1);
    let holder = Calls::assignCall {
        domain: 1,
        seat: 9,
        key: [B256::repeat_byte(1); 3],
        account: user(1),
        stake: coins(1),
    };
    let distribute = Calls::distributeCall { amount: coins(1) };
    let (assigned, distributed) = (root.call(SEATS, 0, &holder), root.call(REWARDS, 0, &distribute));
    assert!(!success(&root.block(U256::ZERO, &[assigned])));
    let distributed = CrossMessage { sequence: 1, ..distributed };
    assert!(!success(&root.block(U256::ZERO, &[distributed])));
    let paying = root.call(REWARDS, 5, &Calls::issuedCall {});
    assert!(!success(&root.block(U256::ZERO, &[paying])), "it takes no coins but the protocol's");
    let nobody = root.call(root_contract(0xff), 5, &Calls::issuedCall {});
    assert!(
        success(&root.block(U256::ZERO, &[nobody])),
        "an address without a contract takes anything, as elsewhere"
    );
    assert_eq!(root.balance(root_contract(0xff)), U256::from(5));
    assert_eq!(root.ask(SEATS, &Calls::countCall {}), U256::from(2));
}

/// A captured shard may put any sender into a message.
#[test]
fn nobody_speaks_for_the_protocol_or_for_a_contract_of_the_root() {
    let mut root = Root::new(1);
    for sender in [SYSTEM_ADDRESS, SEATS, REWARDS] {
        let mut message = root.call(REWARDS, 0, &Calls::distributeCall { amount: coins(1) });
        if let MessageBody::Call(call) = &mut message.body {
            call.sender = sender;
        }
        let outcome = root.block(U256::ZERO, &[message]);
        assert!(!success(&outcome));
        let [leg] = outcome.block.crossing.as_ref().unwrap().legs.as_slice() else { panic!("one call") };
        assert!(matches!(leg.refused, Some(Refusal::Unbelieved { .. })), "{:?}", leg.refused);
    }
    assert!(root.ask(REWARDS, &Calls::issuedCall {}).is_zero());
}

#[test]
fn a_call_from_a_shard_to_the_root_leaves_it() {
    let (sender, accounts) =
        (resident(map(), 1, 0), BTreeMap::from([(resident(map(), 1, 0), funded(coins(9)))]));
    let mut net = crate::domains::Net::new(2, &accounts);
    net.ledger = anfs_consensus::root::ledger::NetworkLedger::new([
        (ROOT, U256::ZERO),
        (DomainId(1), coins(9)),
        (DomainId(2), U256::ZERO),
    ]);
    let data = Calls::claimCall { domain: 1, seat: 1 }.abi_encode();
    let to = alloy_primitives::TxKind::Call(REWARDS);
    let done = net.send(sender, dynamic(0, to, U256::ZERO, data, 200_000));
    let [message] = done.crossing.messages.as_slice() else { panic!("{:?}", done.crossing.messages) };
    assert_eq!((message.source, message.destination), (DomainId(1), ROOT));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is issued and claimed, and in whatever order: seats never get more than there is, and all but dust.
    #[test]
    fn nothing_that_is_issued_is_lost_or_paid_twice(
        steps in prop::collection::vec((0u64..1 << 60, 1u32..3, 0u16..3, any::<bool>()), 1..12),
    ) {
        let mut root = Root::new(3);
        let mut issued = U256::ZERO;
        for (amount, domain, seat, claims) in steps {
            issued += U256::from(amount);
            root.block(U256::from(amount), &[]);
            if claims {
                let claim = root.call(REWARDS, 0, &Calls::claimCall { domain, seat });
                let due = !root.pending(domain, seat).is_zero();
                prop_assert_eq!(success(&root.block(U256::ZERO, &[claim])), due);
            }
        }
        let places = [1, 2].into_iter().flat_map(|domain| (0..3).map(move |seat| (domain, seat)));
        let pending: U256 = places.map(|(domain, seat)| root.pending(domain, seat)).sum();
        let paid = root.ask(REWARDS, &Calls::paidCall {});
        prop_assert_eq!(root.balance(REWARDS), issued - paid);
        prop_assert!(pending + paid <= issued);
        prop_assert!(issued - pending - paid <= U256::from(6 + 12), "dust: less than a wei a seat and claim");
    }
}
