//! State, execution and pools over several shards, and what the network tells of itself.

use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, TxKind, U64, U256};
use alloy_rpc_types_eth::TransactionRequest;
use alloy_rpc_types_eth::simulate::{SimBlock, SimulatePayload};
use alloy_rpc_types_trace::geth::GethTrace;
use anfs_primitives::crossing::route_code;
use anfs_primitives::{DomainId, Height};
use anfs_rpc::network::LegKind;
use anfs_rpc::{
    At, BackendError, CallRequest, ChainReader, Events, Executor, NetworkInfo, StateReader, TxPool,
};

use super::scene::{Content, Scene, credit, departure, log, ran, receipt, resident, settled, transaction};
use super::seat::{ESTIMATE, FakeSeat};
use crate::network::NetworkBackend;
use crate::testing;

const LATEST: At = At::Block(Height(1));

pub(super) struct Network {
    pub(super) scene: Scene,
    seats: Vec<Arc<FakeSeat>>,
    pub(super) backend: Arc<NetworkBackend>,
}

impl Network {
    pub(super) fn new(scene: Scene) -> Self {
        let seats: Vec<_> = scene.shards.iter().map(FakeSeat::new).collect();
        let backends = seats.iter().map(FakeSeat::backend).collect();
        let backend = NetworkBackend::new(scene.view.clone(), backends);
        Self { scene, seats, backend }
    }

    /// Three shards: after network block 1 the shards are at heights 1, 2 and 3.
    fn staggered() -> Self {
        let scene = Scene::new(3);
        for domain in 1..=3 {
            for _ in 0..domain {
                scene.decide(domain, Content::default());
            }
        }
        scene.seal();
        Self::new(scene)
    }

    fn seat(&self, domain: u32) -> &FakeSeat {
        &self.seats[domain as usize - 1]
    }

    fn resident(&self, domain: u32) -> Address {
        resident(&self.scene, domain, 3)
    }

    /// A contract whose home is one domain and which lives in another.
    fn guest(&self, home: u32, lives: u32) -> Address {
        let address = resident(&self.scene, home, 5);
        self.seat(home).set(address, 1, 0, route_code(DomainId(lives)));
        self.seat(lives).set(address, 1, 77, Bytes::from_static(&[0x60]));
        address
    }

    fn last_run(&self, domain: u32) -> (At, CallRequest) {
        self.seat(domain).runs.lock().last().cloned().unwrap()
    }
}

fn request(from: Address, to: Address) -> CallRequest {
    let transaction =
        TransactionRequest { from: Some(from), to: Some(TxKind::Call(to)), ..TransactionRequest::default() };
    CallRequest { transaction, ..CallRequest::default() }
}

#[test]
fn state_is_read_where_an_address_lives_at_the_height_that_is_final_there() {
    let network = Network::staggered();
    let alice = network.resident(2);
    network.seat(2).set(alice, 4, 1000, Bytes::new());
    let account = network.backend.account(LATEST, &alice).unwrap();
    assert_eq!((account.nonce, account.balance), (4, U256::from(1000)));
    assert!(network.seat(2).reads.lock().iter().all(|at| *at == At::Block(Height(2))));
    assert!(network.seat(1).reads.lock().is_empty());
    network.backend.account(At::Pending, &alice).unwrap();
    assert_eq!(network.seat(2).reads.lock().last(), Some(&At::Pending));
    network.backend.account(At::Block(Height::ZERO), &alice).unwrap();
    assert_eq!(network.seat(2).reads.lock().last(), Some(&At::Block(Height::ZERO)));
    assert!(network.backend.account(At::Block(Height(9)), &alice).is_err());
}

#[test]
fn a_guest_is_found_by_its_route_and_the_route_is_not_shown() {
    let network = Network::staggered();
    let token = network.guest(1, 3);
    assert_eq!(network.backend.code(LATEST, &token).unwrap(), Bytes::from_static(&[0x60]));
    assert_eq!(network.backend.account(LATEST, &token).unwrap().balance, U256::from(77));
    assert_eq!(network.backend.storage(LATEST, &token, &B256::ZERO).unwrap(), B256::with_last_byte(77));
    assert_eq!(network.seat(3).reads.lock().last(), Some(&At::Block(Height(3))));
    let report = network.backend.route(LATEST, &token).unwrap();
    assert_eq!((report.home, report.domain, report.routed), (DomainId(1), DomainId(3), true));
    let report = network.backend.route(LATEST, &network.resident(2)).unwrap();
    assert_eq!((report.home, report.domain, report.routed), (DomainId(2), DomainId(2), false));

    // A route to a domain that this node does not serve leads nowhere, and is still no code.
    let lost = network.resident(2);
    network.seat(2).set(lost, 1, 0, route_code(DomainId(0)));
    assert_eq!(network.backend.code(LATEST, &lost).unwrap(), Bytes::new());
}

#[test]
fn a_state_that_is_gone_is_told_in_heights_of_the_network() {
    let scene = Scene::new(2);
    for _ in 0..5 {
        scene.decide(2, Content::default());
        scene.decide(2, Content::default());
        scene.seal();
    }
    let network = Network::new(scene);
    let alice = network.resident(2);
    *network.seat(2).oldest.lock() = Height(5);
    let gone = network.backend.account(At::Block(Height(2)), &alice).unwrap_err();
    assert_eq!(gone, BackendError::StatePruned { height: Height(2), oldest: Height(3) });
    assert!(network.backend.account(At::Block(Height(3)), &alice).is_ok());
}

#[test]
fn calls_run_at_the_recipient_with_what_the_sender_has_at_home() {
    let network = Network::staggered();
    let (alice, token) = (network.resident(2), network.guest(1, 3));
    network.seat(2).set(alice, 4, 1000, Bytes::new());
    network.backend.call(LATEST, request(alice, token)).unwrap();
    let (at, run) = network.last_run(3);
    assert_eq!(at, At::Block(Height(3)));
    let lent = &run.state_overrides.unwrap()[&alice];
    assert_eq!((lent.nonce, lent.balance), (Some(4), Some(U256::from(1000))));

    // Who has never sent anything is lent a nonce: by it the domain knows him for a resident.
    let fresh = resident(&network.scene, 2, 8);
    network.seat(2).set(fresh, 0, 50, Bytes::new());
    network.backend.call(LATEST, request(fresh, token)).unwrap();
    let lent = &network.last_run(3).1.state_overrides.unwrap()[&fresh];
    assert_eq!((lent.nonce, lent.balance), (Some(1), Some(U256::from(50))));

    // The request's own word counts, and what it leaves open is filled in.
    let mut own = request(alice, token);
    own.state_overrides.get_or_insert_default().entry(alice).or_default().balance = Some(U256::from(5));
    network.backend.create_access_list(At::Pending, own).unwrap();
    let (at, run) = network.last_run(3);
    let lent = &run.state_overrides.unwrap()[&alice];
    assert_eq!((at, lent.nonce, lent.balance), (At::Pending, Some(4), Some(U256::from(5))));

    // At home nothing is lent; creations and precompiles are at home.
    network.backend.call(LATEST, request(alice, alice)).unwrap();
    network.backend.call(LATEST, request(alice, Address::with_last_byte(4))).unwrap();
    let mut creation = request(alice, alice);
    creation.transaction.to = Some(TxKind::Create);
    network.backend.call(LATEST, creation).unwrap();
    let runs = network.seat(2).runs.lock();
    assert_eq!(runs.len(), 3);
    assert!(runs.iter().all(|(_, run)| run.state_overrides.is_none()));
}

#[test]
fn traces_and_simulations_lend_as_well() {
    let network = Network::staggered();
    let (alice, bob, token) = (network.resident(2), network.resident(1), network.guest(1, 3));
    network.seat(2).set(alice, 4, 1000, Bytes::new());
    network.backend.trace_call(LATEST, request(alice, token).transaction, Default::default()).unwrap();
    assert!(network.last_run(3).1.state_overrides.unwrap().contains_key(&alice));
    let calls = vec![request(alice, token).transaction, request(bob, token).transaction];
    let block = SimBlock { calls, ..SimBlock::default() };
    let payload = SimulatePayload { block_state_calls: vec![block], ..SimulatePayload::default() };
    network.backend.simulate(LATEST, payload).unwrap();
    let overrides = network.last_run(3).1.state_overrides.unwrap();
    assert!(overrides.contains_key(&alice) && overrides.contains_key(&bob));
}

#[test]
fn an_estimate_covers_the_whole_way() {
    let network = Network::staggered();
    let (alice, bob) = (network.resident(2), network.resident(3));
    assert_eq!(network.backend.estimate_gas(LATEST, request(alice, alice)).unwrap(), ESTIMATE);
    assert_eq!(network.backend.estimate_gas(LATEST, request(alice, bob)).unwrap(), ESTIMATE);

    // 100 bytes of data: 400 tokens, for which the floor asks 6 gas each more than the intrinsic price.
    let mut call = request(alice, bob);
    call.transaction.input = Bytes::from(vec![1; 100]).into();
    assert_eq!(network.backend.estimate_gas(LATEST, call.clone()).unwrap(), ESTIMATE + 6 * 400);

    // Lists cost at home and are not carried: 2,400 for an address, 1,900 for a key, 25,000 for an authorisation.
    let item = alloy_eips::eip2930::AccessListItem { address: bob, storage_keys: vec![B256::ZERO] };
    call.transaction.access_list = Some(vec![item].into());
    assert_eq!(network.backend.estimate_gas(LATEST, call).unwrap(), ESTIMATE + 4_300);
    assert!(network.last_run(3).1.transaction.access_list.is_none());
}

#[test]
fn transactions_wait_in_their_senders_home() {
    let network = Network::staggered();
    let signed = testing::transfer(0);
    let home = network.scene.view.map().home(&signed.sender());
    let hash = network.backend.submit(signed.encoded().clone()).unwrap();
    for (domain, seat) in (1u32..).zip(&network.seats) {
        assert_eq!(seat.pool.lock().len(), usize::from(DomainId(domain) == home));
    }
    assert_eq!(network.backend.get(&hash).unwrap().hash(), &hash);
    assert_eq!(network.backend.pending_nonce(&signed.sender()), Some(1));
    assert_eq!(network.backend.content_from(&signed.sender()).pending.len(), 1);

    let other = 1 + home.0 % 3;
    let alice = network.resident(other);
    network.backend.submit_recovered(transaction(alice, TxKind::Call(alice), 0)).unwrap();
    assert_eq!(TxPool::status(&*network.backend).pending, 2);
    assert_eq!(network.backend.content().pending.len(), 2);
    assert_eq!(network.backend.best(10).len(), 2);
    assert_eq!(network.backend.best(1).len(), 1);
}

#[tokio::test]
async fn pending_transactions_of_all_shards_are_told() {
    let network = Network::staggered();
    for _ in 0..2 {
        let mut news = network.backend.pending_transactions();
        let mut expected = Vec::new();
        for domain in 1..=3 {
            let alice = network.resident(domain);
            let tx = transaction(alice, TxKind::Call(alice), 0);
            expected.push(network.backend.submit_recovered(tx).unwrap());
        }
        let mut told = Vec::new();
        for _ in 0..3 {
            told.push(*news.recv().await.unwrap().hash());
        }
        expected.sort_unstable();
        told.sort_unstable();
        assert_eq!(told, expected);
    }
}

#[test]
fn a_transaction_between_domains_is_shown_as_pending_and_its_way_is_told() {
    let mut scene = Scene::new(2);
    let (alice, bob) = (resident(&scene, 1, 1), resident(&scene, 2, 1));
    let tx = transaction(alice, TxKind::Call(bob), 0);
    let hash = *tx.hash();
    let call = scene.message(1, 2, hash, departure(&tx, bob));
    let back = scene.message(2, 1, hash, credit(alice));
    let content = Content {
        transactions: vec![(tx, receipt(true, 21_000, vec![log(1)]))],
        sent: vec![call.clone()],
        ..Content::default()
    };
    scene.decide(1, content);
    let network = Network::new(scene);
    assert!(network.backend.get(&hash).is_some(), "certified, not final");
    assert!(network.backend.legs(&hash).unwrap().is_none());

    network.scene.seal();
    assert!(network.backend.get(&hash).is_some(), "final, not complete");
    let legs = network.backend.legs(&hash).unwrap().unwrap();
    assert_eq!((legs.block_number, legs.outstanding, legs.legs.len()), (None, U64::from(1), 1));
    assert_eq!(legs.legs[0].sent, [call.id()]);
    let message = network.backend.message(&call.id()).unwrap().unwrap();
    assert_eq!(message.sent.unwrap().root_height, Height(1));
    assert_eq!((message.consumed, message.success, message.kind), (None, None, LegKind::Call));

    let arrived = ran(call.clone(), receipt(false, 9_000, vec![]));
    network
        .scene
        .decide(2, Content { arrivals: vec![arrived], sent: vec![back.clone()], ..Content::default() });
    network.scene.seal();
    network.scene.decide(1, Content { arrivals: vec![settled(back.clone())], ..Content::default() });
    network.scene.seal();
    let legs = network.backend.legs(&hash).unwrap().unwrap();
    assert_eq!((legs.block_number, legs.transaction_index), (Some(Height(3)), Some(U64::ZERO)));
    assert_eq!(legs.outstanding, U64::ZERO);
    let kinds: Vec<_> = legs.legs.iter().map(|leg| (leg.kind, leg.place.domain.0, leg.success)).collect();
    assert_eq!(
        kinds,
        [(LegKind::Transaction, 1, Some(true)), (LegKind::Call, 2, Some(false)), (LegKind::Credit, 1, None)]
    );
    assert_eq!((legs.legs[1].message, &legs.legs[1].sent), (Some(call.id()), &vec![back.id()]));
    let message = network.backend.message(&call.id()).unwrap().unwrap();
    assert_eq!(message.consumed.unwrap().root_height, Height(2));
    assert_eq!(message.success, Some(false));
    assert!(network.backend.message(&B256::ZERO).unwrap().is_none());
    assert!(network.backend.legs(&B256::ZERO).unwrap().is_none());

    let report = network.backend.domains().unwrap();
    assert_eq!((report.root_height, report.in_flight), (Height(3), U64::ZERO));
    let heights: Vec<_> = report.domains.iter().map(|domain| domain.final_height.0).collect();
    assert_eq!(heights, [2, 1]);
}

#[test]
fn a_listed_transaction_is_traced_where_it_was_executed() {
    let scene = Scene::new(2);
    let sender = |domain| resident(&scene, domain, 1);
    let tx = |domain, nonce| transaction(sender(domain), TxKind::Call(sender(domain)), nonce);
    for domain in [1, 2] {
        let transactions = (0..2).map(|nonce| (tx(domain, nonce), receipt(true, 21_000, vec![]))).collect();
        scene.decide(domain, Content::default());
        scene.decide(domain, Content { transactions, ..Content::default() });
    }
    let block = scene.seal();
    let network = Network::new(scene);
    network.backend.trace_transaction(Height(1), 3, Default::default()).unwrap();
    assert_eq!(*network.seat(2).traces.lock(), [(Height(2), Some(1))]);
    assert!(network.backend.trace_transaction(Height(1), 4, Default::default()).is_err());
    let traces = network.backend.trace_block(Height(1), Default::default()).unwrap();
    let traced: Vec<_> = traces.iter().filter_map(|trace| trace.tx_hash()).collect();
    let listed: Vec<_> = block.transactions().iter().map(|tx| *tx.hash()).collect();
    assert_eq!(traced, listed);
    assert_eq!(*network.seat(1).traces.lock(), [(Height(2), None)], "each block is traced once");
}

#[test]
fn calls_in_other_shards_stand_below_the_transactions_own() {
    let mut scene = Scene::new(2);
    let (alice, bob) = (resident(&scene, 1, 1), resident(&scene, 2, 1));
    let tx = transaction(alice, TxKind::Call(bob), 0);
    let hash = *tx.hash();
    let call = scene.message(1, 2, hash, departure(&tx, bob));
    let late = scene.message(1, 2, hash, departure(&tx, bob));
    let back = scene.message(2, 1, hash, credit(alice));
    let transactions = vec![(tx, receipt(true, 21_000, vec![]))];
    scene.decide(1, Content { transactions, sent: vec![call.clone(), late.clone()], ..Content::default() });
    let arrivals = vec![ran(call, receipt(true, 9_000, vec![])), settled(late)];
    scene.decide(2, Content { arrivals, sent: vec![back.clone()], ..Content::default() });
    scene.decide(1, Content { arrivals: vec![settled(back)], ..Content::default() });
    for _ in 0..2 {
        scene.seal();
    }
    let network = Network::new(scene);
    let (height, index) = network.backend.transaction(&hash).unwrap().unwrap();
    let traced = |options: serde_json::Value| {
        let options = serde_json::from_value(options).unwrap();
        network.backend.trace_transaction(height, index, options).unwrap()
    };
    let trace = traced(serde_json::json!({ "tracer": "callTracer" }));
    let calls = trace.try_into_call_frame().unwrap().calls;
    assert_eq!(calls.len(), 2);
    assert!(calls.iter().all(|call| (call.from, call.to) == (alice, Some(bob))));
    assert_eq!(calls[0].error, None);
    assert!(calls[1].error.as_ref().unwrap().contains("deadline"), "{:?}", calls[1]);
    let config = serde_json::json!({ "tracer": "callTracer", "tracerConfig": { "onlyTopCall": true } });
    assert!(traced(config).try_into_call_frame().unwrap().calls.is_empty());
    assert!(matches!(traced(serde_json::json!({})), GethTrace::NoopTracer(_)));
}

#[test]
fn what_a_wallet_has_to_offer_is_taken_everywhere() {
    let network = Network::staggered();
    let dearest = network.scene.shards.iter().map(|shard| shard.next_base_fee()).max().unwrap();
    assert_eq!(network.backend.next_base_fee(), dearest);
    assert!(network.backend.next_timestamp() >= network.backend.head().summary().timestamp);
}
