//! Several domains that exchange messages: executors alone, without consensus, in an order that the test picks.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, U256};
use anfs_consensus::root::ledger::{Claims, NetworkLedger};
use anfs_execution::{BlockEnv, BlockExecutor, CrossingOutcome, DomainEnv, ExecutionError, Leg};
use anfs_primitives::crossing::{CALL_GAS, CREDIT_GAS, TRANSFER_ALLOWANCE, route_target};
use anfs_primitives::{
    CrossCall, CrossMessage, DomainId, DomainMap, GasPayment, GenesisAccount, InboxCursor, LaneCount,
    MessageBody, NetworkId, Receipt, RecoveredTransaction, Slot,
};
use anfs_state::{StateRead, WorldState};

use crate::support::*;

pub(crate) const NETWORK: NetworkId = NetworkId(CHAIN_ID);

/// One domain: its state, its lanes, and every address that it ever had an account at.
pub(crate) struct Domain {
    pub(crate) id: DomainId,
    pub(crate) state: WorldState,
    pub(crate) sent: Vec<LaneCount>,
    pub(crate) consumed: Vec<InboxCursor>,
    pub(crate) met: BTreeMap<Address, ()>,
}

/// A network of executors, with messages in flight between them.
pub(crate) struct Net {
    pub(crate) map: DomainMap,
    pub(crate) domains: BTreeMap<DomainId, Domain>,
    pub(crate) lanes: BTreeMap<(DomainId, DomainId), VecDeque<CrossMessage>>,
    pub(crate) nonces: BTreeMap<Address, u64>,
    /// What a root would believe.
    pub(crate) ledger: NetworkLedger,
    pub(crate) supply: U256,
    pub(crate) slot: u64,
    pub(crate) base_fee: u64,
    pub(crate) beneficiary: Address,
}

/// What one block did.
pub(crate) struct Done {
    pub(crate) receipts: Vec<Receipt>,
    pub(crate) crossing: CrossingOutcome,
}

impl Net {
    pub(crate) fn new(shards: u32, accounts: &BTreeMap<Address, GenesisAccount>) -> Self {
        let map = DomainMap::new(shards);
        let domains = (1..=shards).map(DomainId).map(|id| {
            let at_home: BTreeMap<Address, GenesisAccount> = accounts
                .iter()
                .filter(|(address, _)| map.home(address) == id)
                .map(|(address, account)| (*address, account.clone()))
                .collect();
            let met = at_home.keys().map(|address| (*address, ())).collect();
            let state = WorldState::genesis(&at_home).expect("nothing is read from disk");
            (id, Domain { id, state, sent: Vec::new(), consumed: Vec::new(), met })
        });
        let domains: BTreeMap<DomainId, Domain> = domains.collect();
        let ledger = NetworkLedger::new(domains.iter().map(|(id, domain)| (*id, domain.coins())));
        Self {
            map,
            domains,
            lanes: BTreeMap::new(),
            nonces: BTreeMap::new(),
            ledger,
            supply: accounts.values().map(|account| account.balance).sum(),
            slot: 1,
            base_fee: BASE_FEE,
            beneficiary: BENEFICIARY,
        }
    }

    pub(crate) fn home(&self, address: Address) -> DomainId {
        self.map.home(&address)
    }

    /// The next nonce of a user, who is taken to use it.
    pub(crate) fn nonce(&mut self, user: Address) -> u64 {
        let nonce = self.nonces.entry(user).or_default();
        *nonce += 1;
        *nonce - 1
    }

    /// A block of one domain: up to `take` messages that are in flight to it, lane by lane, then transactions.
    pub(crate) fn block(&mut self, id: DomainId, take: usize, transactions: &[RecoveredTransaction]) -> Done {
        let mut messages = Vec::new();
        for (_, lane) in self.lanes.iter_mut().filter(|((_, to), _)| *to == id) {
            let due = lane.len().min(take - messages.len());
            messages.extend(lane.drain(..due));
        }
        self.slot += 1;
        let env = BlockEnv { base_fee: self.base_fee, beneficiary: self.beneficiary, ..env() };
        let domain = self.domains.get_mut(&id).expect("a domain of the network");
        let place = DomainEnv {
            network: NETWORK,
            domain: id,
            map: self.map,
            slot: Slot(self.slot),
            call_lifetime: 1000,
            sent: domain.sent.clone(),
            consumed: domain.consumed.clone(),
        };
        let mut executor = BlockExecutor::new(env, domain.state.clone()).unwrap().in_domain(place);
        for message in &messages {
            executor.arrive(message).unwrap();
        }
        for tx in transactions {
            executor.execute(tx).unwrap();
        }
        let outcome = executor.finish().unwrap();
        let crossing = outcome.crossing.expect("it is in a domain");
        domain.met.extend(outcome.changes.accounts.keys().map(|address| (*address, ())));
        let before = domain.coins();
        domain.state = domain.state.apply(&outcome.changes).unwrap();
        let after = domain.coins();
        let claims = Claims {
            domain: id,
            lanes: &crossing.sent,
            cursors: &crossing.consumed,
            value_in: crossing.value_in,
            value_out: crossing.value_out,
            burned: outcome.burned,
            issued: None,
        };
        assert_eq!(before + claims.value_in, after + claims.value_out + claims.burned, "domain {id}");
        self.ledger.apply(&claims).expect("honest claims are believed");
        assert_eq!(self.ledger.held(id), Some(after), "what the root believes of domain {id}");
        (domain.sent, domain.consumed) = (crossing.sent.clone(), crossing.consumed.clone());
        for message in &crossing.messages {
            self.lanes.entry((message.source, message.destination)).or_default().push_back(message.clone());
        }
        Done { receipts: outcome.receipts, crossing }
    }

    /// A captured domain sends what no execution of its has sent; its claims are in order.
    pub(crate) fn send_by_force(&mut self, source: DomainId, destination: DomainId, body: MessageBody) {
        let domain = self.domains.get_mut(&source).expect("a domain of the network");
        let at = domain.sent.binary_search_by_key(&destination, |lane| lane.destination);
        let at = at.unwrap_or_else(|at| {
            domain.sent.insert(at, LaneCount { destination, sent: 0, value: U256::ZERO });
            at
        });
        let lane = &mut domain.sent[at];
        let origin = B256::ZERO;
        let message =
            CrossMessage { network: NETWORK, source, destination, sequence: lane.sent, origin, body };
        lane.sent += 1;
        lane.value += message.value();
        let claims = Claims {
            domain: source,
            lanes: &domain.sent,
            cursors: &domain.consumed,
            value_in: U256::ZERO,
            value_out: message.value(),
            burned: U256::ZERO,
            issued: None,
        };
        self.ledger.apply(&claims).expect("no more than the domain holds");
        self.lanes.entry((source, destination)).or_default().push_back(message);
    }

    /// A block with one transaction of a user, at his home.
    pub(crate) fn send<T>(&mut self, from: Address, tx: T) -> Done
    where
        T: alloy_consensus::SignableTransaction<alloy_primitives::Signature>,
        alloy_consensus::EthereumTxEnvelope<alloy_consensus::TxEip4844>: From<alloy_consensus::Signed<T>>,
    {
        let home = self.home(from);
        self.block(home, 0, &[signed(tx, from)])
    }

    /// Blocks of all domains until nothing is in flight; every call that arrived meanwhile.
    pub(crate) fn drain(&mut self) -> Vec<Leg> {
        let mut legs = Vec::new();
        let ids: Vec<DomainId> = self.domains.keys().copied().collect();
        for _ in 0..16 {
            for id in &ids {
                legs.extend(self.block(*id, usize::MAX, &[]).crossing.legs);
            }
            if self.lanes.values().all(VecDeque::is_empty) {
                return legs;
            }
        }
        panic!("messages are still in flight: {:?}", self.lanes);
    }

    /// What every moment must satisfy: no coin made or lost, nobody keeps an account that lives elsewhere.
    pub(crate) fn check(&self) {
        let held: U256 = self.domains.values().map(Domain::coins).sum();
        let flying: U256 = self.lanes.values().flatten().map(CrossMessage::value).sum();
        assert_eq!(flying, self.ledger.in_flight());
        assert_eq!(held + flying + self.ledger.burned(), self.supply, "coins of the network");
        for domain in self.domains.values() {
            for address in domain.met.keys() {
                let Some(info) = domain.state.account(address).unwrap() else { continue };
                let guest = info.nonce > 0 || info.code_hash != alloy_primitives::KECCAK256_EMPTY;
                assert!(guest || self.home(*address) == domain.id, "{address} lingers in {}", domain.id);
                if domain.route(*address).is_some() {
                    assert_eq!(info.balance, U256::ZERO, "the route of {address} holds coins");
                }
            }
        }
    }

    pub(crate) fn balance(&self, address: Address) -> U256 {
        let held = |domain: &Domain| domain.state.account(&address).unwrap().unwrap_or_default().balance;
        self.domains.values().map(held).sum()
    }

    /// The domain that an address lives in: the one that its home points to.
    pub(crate) fn residence(&self, address: Address) -> &Domain {
        let home = &self.domains[&self.home(address)];
        home.route(address).map_or(home, |to| &self.domains[&to])
    }
}

impl Domain {
    fn coins(&self) -> U256 {
        let balance = |address: &Address| self.state.account(address).unwrap().unwrap_or_default().balance;
        self.met.keys().map(balance).sum()
    }

    pub(crate) fn route(&self, address: Address) -> Option<DomainId> {
        let info = self.state.account(&address).unwrap()?;
        route_target(&self.state.code(&info.code_hash).unwrap())
    }
}

/// The `n`-th user, from 0, whose home is `domain`.
pub(crate) fn resident(map: DomainMap, domain: u32, n: usize) -> Address {
    (0u64..).map(user).filter(|user| map.home(user) == DomainId(domain)).nth(n).expect("addresses spread")
}

fn rich(shards: u32) -> (Net, impl Fn(u32, usize) -> Address) {
    let map = DomainMap::new(shards);
    let accounts = (0..64).map(|n| (user(n), funded(coins(1000)))).collect();
    (Net::new(shards, &accounts), move |domain, n| resident(map, domain, n))
}

#[test]
fn a_payment_crosses_with_one_message_and_no_gas_but_its_intrinsic_gas() {
    let (mut net, resident) = rich(4);
    let (from, to) = (resident(1, 0), resident(3, 0));
    let nonce = net.nonce(from);
    let sent = net.send(from, dynamic(nonce, to.into(), coins(5), Bytes::new(), 21_000));
    assert!(sent.receipts[0].success);
    assert_eq!(sent.receipts[0].gas_used, 21_000);
    assert_eq!(sent.crossing.messages.len(), 1 + usize::from(net.home(BENEFICIARY) != DomainId(1)));
    let legs = net.drain();
    assert!(legs.iter().all(|leg| leg.receipt.success && leg.receipt.gas_used == 0), "{legs:?}");
    assert_eq!(net.balance(to), coins(1005));
    assert_eq!(net.balance(from), coins(995) - U256::from(21_000) * (U256::from(BASE_FEE) + U256::from(TIP)));
    net.check();
}

#[test]
fn a_call_runs_as_its_sender_where_the_contract_lives_and_unused_gas_comes_back() {
    let map = DomainMap::new(4);
    let (owner, caller, to) = (resident(map, 2, 0), resident(map, 1, 0), resident(map, 3, 0));
    // A token that lives in domain 2 and in which the caller, of domain 1, holds a million.
    let token_at = resident(map, 2, 1);
    let storage = BTreeMap::from([(token_slot(caller), B256::from(U256::from(1_000_000)))]);
    let token = GenesisAccount { storage, ..contract(token_code()) };
    let accounts = BTreeMap::from([(owner, funded(coins(1))), (caller, funded(coins(1))), (token_at, token)]);
    let mut net = Net::new(4, &accounts);
    net.send(caller, dynamic(0, token_at.into(), U256::ZERO, token_input(to, 300), 100_000));
    let legs = net.drain();
    let [leg] = legs.as_slice() else { panic!("{legs:?}") };
    assert!(leg.receipt.success, "{leg:?}");
    assert_eq!(leg.receipt.logs.len(), 1);
    assert_eq!(leg.receipt.logs[0].data.topics()[1], caller.into_word(), "msg.sender is the user himself");
    let held = |owner| net.domains[&DomainId(2)].state.storage(&token_at, &token_slot(owner)).unwrap();
    assert_eq!((held(caller), held(to)), (U256::from(999_700), U256::from(300)));
    // What he paid: the floor price of his data where he lives, and what the call used, at the effective price.
    let spent = coins(1) - net.balance(caller);
    let price = U256::from(BASE_FEE) + U256::from(TIP);
    let first = floor(&token_input(to, 300));
    assert_eq!(spent, U256::from(first + leg.receipt.gas_used) * price);
    net.check();
}

/// What a transaction with this data costs at least (EIP-7623).
fn floor(data: &[u8]) -> u64 {
    let zeros = data.iter().filter(|byte| **byte == 0).count() as u64;
    21_000 + 10 * (zeros + 4 * (data.len() as u64 - zeros))
}

#[test]
fn a_payment_to_a_proposer_afar_is_not_paid_out_of_his_tips() {
    let (mut net, resident) = rich(4);
    let (from, proposer) = (resident(1, 0), resident(3, 0));
    net.beneficiary = proposer;
    let sent = net.send(from, dynamic(0, proposer.into(), U256::from(1), Bytes::new(), 21_000));
    let values: Vec<U256> = sent.crossing.messages.iter().map(CrossMessage::value).collect();
    assert_eq!(values, [U256::from(1), U256::from(21_000) * U256::from(TIP)]);
    net.drain();
    net.check();
}

#[test]
fn what_a_contract_says_to_an_account_afar_is_refused_and_what_it_pays_arrives() {
    let map = DomainMap::new(4);
    let (caller, contract_at, far) = (resident(map, 1, 0), resident(map, 1, 1), resident(map, 3, 0));
    // CALL(gas, data[0..32], callvalue, 0, data[32..64]), and reverts if that failed.
    let code = vec![
        0x5f, 0x5f, 0x60, 0x20, 0x35, 0x5f, 0x34, 0x5f, 0x35, 0x5a, 0xf1, 0x60, 0x11, 0x57, 0x5f, 0x5f, 0xfd,
        0x5b, 0x00,
    ];
    let accounts = BTreeMap::from([(caller, funded(coins(10))), (contract_at, contract(code))]);
    let mut net = Net::new(4, &accounts);
    let call = |net: &mut Net, data_length: u64| {
        let nonce = net.nonce(caller);
        let input = [far.into_word().0, U256::from(data_length).to_be_bytes::<32>()].concat();
        net.send(caller, dynamic(nonce, contract_at.into(), coins(1), input, 120_000)).receipts[0].success
    };
    assert!(!call(&mut net, 4), "nobody here can read the data");
    assert_eq!(net.balance(far), U256::ZERO);
    assert!(call(&mut net, 0));
    let legs = net.drain();
    assert!(legs.iter().any(|leg| leg.receipt.success && leg.refused.is_none()), "{legs:?}");
    assert_eq!(net.balance(far), coins(1));
    net.check();
}

#[test]
fn a_call_that_fails_brings_its_value_back() {
    let map = DomainMap::new(4);
    let (caller, grumpy) = (resident(map, 1, 0), resident(map, 2, 0));
    let accounts = BTreeMap::from([(caller, funded(coins(10))), (grumpy, contract(vec![0x5f, 0x5f, 0xfd]))]);
    let mut net = Net::new(4, &accounts);
    net.send(caller, dynamic(0, grumpy.into(), coins(4), vec![1, 2, 3], 90_000));
    let legs = net.drain();
    assert_eq!(legs.len(), 1);
    assert!(!legs[0].receipt.success && legs[0].refused.is_none());
    assert_eq!(net.balance(grumpy), U256::ZERO);
    assert!(net.balance(caller) > coins(9), "only gas is gone: {}", net.balance(caller));
    net.check();
}

#[test]
fn calls_that_are_late_cheap_or_not_believed_are_turned_away_and_lose_nothing() {
    let map = DomainMap::new(4);
    let (caller, callee) = (resident(map, 1, 0), resident(map, 2, 0));
    let accounts = BTreeMap::from([(caller, funded(coins(10))), (callee, contract(vec![0x00]))]);
    let call = |net: &mut Net| {
        let nonce = net.nonce(caller);
        net.send(caller, dynamic(nonce, callee.into(), coins(1), vec![1], 60_000));
    };
    let turned_away = |net: &mut Net| {
        let legs = net.drain();
        let refused = legs.iter().filter_map(|leg| leg.refused).collect::<Vec<_>>();
        assert!(legs.iter().all(|leg| !leg.receipt.success && leg.receipt.gas_used == 0));
        assert_eq!(net.balance(callee), U256::ZERO);
        net.check();
        refused[0].to_string()
    };

    let mut net = Net::new(4, &accounts);
    call(&mut net);
    net.slot += 2000;
    assert!(turned_away(&mut net).contains("after its deadline"));

    let mut net = Net::new(4, &accounts);
    call(&mut net);
    net.base_fee = 3 * BASE_FEE;
    assert!(turned_away(&mut net).contains("the base fee is 3000000000"));

    // The same call, said to come from somebody whom the source cannot speak for.
    let mut net = Net::new(4, &accounts);
    call(&mut net);
    let message = &mut net.lanes.get_mut(&(DomainId(1), DomainId(2))).unwrap()[0];
    let MessageBody::Call(call) = &mut message.body else { panic!("a call") };
    call.sender = resident(map, 3, 0);
    assert!(turned_away(&mut net).contains("cannot speak for"));
    assert!(net.balance(resident(map, 3, 0)) >= coins(1), "the value goes to whom it is said to belong");
}

#[test]
fn a_contract_is_found_from_everywhere_once_it_was_announced() {
    let (mut net, resident) = rich(4);
    let deployer = resident(1, 0);
    // A deployer's addresses have homes anywhere; take one whose home is another domain.
    let (nonce, guest) = (0..)
        .map(|nonce| (nonce, deployer.create(nonce)))
        .find(|(_, address)| net.home(*address) != DomainId(1))
        .unwrap();
    for _ in 0..nonce {
        let n = net.nonce(deployer);
        net.send(deployer, dynamic(n, deployer.into(), U256::ZERO, Bytes::new(), 21_000));
    }
    // Somebody has sent coins to the address before there is a contract.
    let patron = resident(2, 0);
    let n = net.nonce(patron);
    net.send(patron, dynamic(n, guest.into(), coins(7), Bytes::new(), 21_000));
    net.drain();
    assert_eq!(net.domains[&net.home(guest)].state.account(&guest).unwrap().unwrap().balance, coins(7));

    let n = net.nonce(deployer);
    let created = net.send(
        deployer,
        dynamic(n, alloy_primitives::TxKind::Create, U256::ZERO, vec![0x60, 1, 0x5f, 0xf3], 150_000),
    );
    assert_eq!(created.receipts[0].contract_address, Some(guest));
    net.drain();
    for other in (2..=4).map(DomainId) {
        assert_eq!(net.domains[&other].route(guest), Some(DomainId(1)), "domain {other}");
    }
    assert_eq!(net.residence(guest).id, DomainId(1));
    assert_eq!(net.domains[&DomainId(1)].state.account(&guest).unwrap().unwrap().balance, coins(7));
    net.check();

    // A false announcement is not believed anywhere.
    let liar = DomainId(2);
    let derivation = anfs_primitives::Derivation::Create { creator: deployer, nonce: nonce + 1 };
    for to in [1, 3, 4].map(DomainId) {
        net.send_by_force(liar, to, MessageBody::Route { derivation: derivation.clone() });
    }
    net.drain();
    let claimed = derivation.address();
    assert!(net.domains.values().all(|domain| domain.route(claimed).is_none()));
}

#[test]
fn a_message_is_consumed_once_and_in_order() {
    let (mut net, resident) = rich(2);
    let (from, to) = (resident(1, 0), resident(2, 0));
    for _ in 0..3 {
        let nonce = net.nonce(from);
        net.send(from, dynamic(nonce, to.into(), coins(1), Bytes::new(), 21_000));
    }
    let lane: Vec<CrossMessage> = net.lanes[&(DomainId(1), DomainId(2))].iter().cloned().collect();
    let domain = &net.domains[&DomainId(2)];
    let place = DomainEnv {
        network: NETWORK,
        domain: DomainId(2),
        map: net.map,
        slot: Slot(9),
        call_lifetime: 10,
        sent: Vec::new(),
        consumed: Vec::new(),
    };
    let mut executor = BlockExecutor::new(env(), domain.state.clone()).unwrap().in_domain(place);
    assert!(matches!(executor.arrive(&lane[1]), Err(ExecutionError::Inbox { want: 0, have: 1 })));
    executor.arrive(&lane[0]).unwrap();
    assert!(matches!(executor.arrive(&lane[0]), Err(ExecutionError::Inbox { want: 1, have: 0 })));
    let other = CrossMessage { network: NetworkId(1), ..lane[1].clone() };
    assert!(executor.arrive(&other).is_err());
    let other = CrossMessage { destination: DomainId(1), ..lane[1].clone() };
    assert!(executor.arrive(&other).is_err());
    executor.arrive(&lane[1]).unwrap();
    let outcome = executor.finish().unwrap();
    assert_eq!(outcome.crossing.unwrap().consumed, [InboxCursor { source: DomainId(1), consumed: 2 }]);
}

#[test]
fn a_sender_is_sent_home_to_spend() {
    let (net, resident) = rich(2);
    let foreign = resident(2, 0);
    let place = DomainEnv {
        network: NETWORK,
        domain: DomainId(1),
        map: net.map,
        slot: Slot(1),
        call_lifetime: 10,
        sent: Vec::new(),
        consumed: Vec::new(),
    };
    let state = net.domains[&DomainId(1)].state.clone();
    let mut executor = BlockExecutor::new(BlockEnv { ancestors: Arc::new(BTreeMap::new()), ..env() }, state)
        .unwrap()
        .in_domain(place);
    let error = executor.execute(&transfer(foreign, 0, foreign, U256::ZERO)).unwrap_err();
    assert!(error.to_string().contains("lives in domain 2"), "{error}");
}

/// An executor of domain 2 of two whose blocks may use this much gas, and which knows these accounts.
fn inbox(gas_limit: u64, accounts: &BTreeMap<Address, GenesisAccount>) -> BlockExecutor {
    let place = DomainEnv {
        network: NETWORK,
        domain: DomainId(2),
        map: DomainMap::new(2),
        slot: Slot(9),
        call_lifetime: 10,
        sent: Vec::new(),
        consumed: Vec::new(),
    };
    let env = BlockEnv { gas_limit, beneficiary: resident(DomainMap::new(2), 2, 9), ..env() };
    BlockExecutor::new(env, WorldState::genesis(accounts).unwrap()).unwrap().in_domain(place)
}

fn lane(bodies: impl IntoIterator<Item = MessageBody>) -> Vec<CrossMessage> {
    let message = |(sequence, body)| CrossMessage {
        network: NETWORK,
        source: DomainId(1),
        destination: DomainId(2),
        sequence,
        origin: B256::ZERO,
        body,
    };
    (0..).zip(bodies).map(message).collect()
}

fn call(recipient: Address, gas_limit: u64, payment: GasPayment) -> MessageBody {
    let sender = resident(DomainMap::new(2), 1, 0);
    let (value, deadline, data) = (U256::ZERO, Slot(100), Default::default());
    MessageBody::Call(CrossCall { sender, recipient, value, gas_limit, payment, deadline, data })
}

const INBOX: u64 = 5_000_000;

#[test]
fn a_block_consumes_what_is_due_until_its_inbox_is_full() {
    let recipient = resident(DomainMap::new(2), 2, 0);
    let credit = || MessageBody::Credit { recipient, value: U256::from(1) };
    let due = lane(std::iter::repeat_with(credit).take(1000));
    let mut executor = inbox(2 * INBOX, &BTreeMap::new());
    let arrivals = executor.arrive_due(&due).unwrap();
    let fit = usize::try_from(INBOX / CREDIT_GAS).unwrap();
    assert_eq!(arrivals.len(), fit);
    assert!(
        arrivals.iter().zip(&due).all(|(arrival, due)| arrival.message == *due && arrival.receipt.is_none())
    );
    assert_eq!(executor.gas_used(), fit as u64 * CREDIT_GAS, "the rest of the block is for transactions");
    let outcome = executor.finish().unwrap();
    let crossing = outcome.crossing.unwrap();
    assert_eq!(crossing.consumed, [InboxCursor { source: DomainId(1), consumed: fit as u64 }]);
    assert_eq!(crossing.value_in, U256::from(fit));
}

#[test]
fn the_first_message_that_does_not_fit_ends_the_inbox() {
    let payment = GasPayment::Prepaid { max_fee: BASE_FEE.into(), max_tip: 0 };
    let recipient = resident(DomainMap::new(2), 2, 0);
    let credit = MessageBody::Credit { recipient, value: U256::from(1) };
    let due = lane([credit.clone(), call(recipient, INBOX - CALL_GAS, payment), credit]);
    let mut executor = inbox(2 * INBOX, &BTreeMap::new());
    assert_eq!(executor.arrive_due(&due).unwrap().len(), 1, "nobody overtakes");
    let mut executor = inbox(2 * INBOX, &BTreeMap::new());
    let none = executor.arrive_due(&[]).unwrap();
    assert!(none.is_empty() && executor.gas_used() == 0);
}

#[test]
fn no_message_is_too_heavy_to_be_consumed_nor_uses_more_than_the_inbox() {
    let spinner = resident(DomainMap::new(2), 2, 0);
    let code = Bytes::from_static(&[0x5b, 0x60, 0x00, 0x56]);
    let accounts = BTreeMap::from([(spinner, GenesisAccount { code, ..GenesisAccount::default() })]);
    let fee = u128::from(BASE_FEE);
    let payment = GasPayment::Prepaid { max_fee: fee, max_tip: 0 };
    for gas_limit in [INBOX, 2 * INBOX, 1 << 40] {
        let due = lane([call(spinner, gas_limit, payment), call(spinner, 30_000, payment)]);
        let mut executor = inbox(2 * INBOX, &accounts);
        let arrivals = executor.arrive_due(&due).unwrap();
        assert_eq!(arrivals.len(), 1);
        let receipt = arrivals[0].receipt.as_ref().unwrap();
        assert_eq!((receipt.success, receipt.gas_used), (false, INBOX - CALL_GAS));
        assert_eq!(executor.gas_used(), INBOX);
        let outcome = executor.finish().unwrap();
        let crossing = outcome.crossing.unwrap();
        assert_eq!(crossing.value_in, U256::from(gas_limit) * U256::from(fee));
        assert_eq!(crossing.value_in, crossing.value_out + outcome.burned, "what was not used goes back");
    }
}

#[test]
fn an_allowance_is_what_every_source_grants_and_no_more() {
    let spinner = resident(DomainMap::new(2), 2, 0);
    let code = Bytes::from_static(&[0x5b, 0x60, 0x00, 0x56]);
    let accounts = BTreeMap::from([(spinner, GenesisAccount { code, ..GenesisAccount::default() })]);
    let due = lane([call(spinner, u64::MAX, GasPayment::Allowance)]);
    let mut executor = inbox(2 * INBOX, &accounts);
    let arrivals = executor.arrive_due(&due).unwrap();
    assert_eq!(arrivals[0].receipt.as_ref().unwrap().gas_used, TRANSFER_ALLOWANCE);
    assert_eq!(executor.gas_used(), CALL_GAS + TRANSFER_ALLOWANCE);
}
