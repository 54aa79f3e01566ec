//! Where transactions are listed, and with what receipt.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use alloy_primitives::{B256, TxKind, U256};
use anfs_execution::system::REWARDS;
use anfs_primitives::{CallResult, CrossMessage, Derivation, Height, MessageBody, ResultRequest};
use anfs_rpc::ShownBlock;
use proptest::prelude::*;

use super::scene::{
    BASE_FEE, Content, Scene, TIP, credit, departure, log, ran, receipt, resident, settled, transaction,
};
use crate::network::follow::Progress;

fn hashes(block: &dyn ShownBlock) -> Vec<B256> {
    block.transactions().iter().map(|tx| *tx.hash()).collect()
}

#[test]
fn a_local_transaction_is_listed_with_its_own_block() {
    let scene = Scene::new(2);
    let alice = resident(&scene, 2, 1);
    let tx = transaction(alice, TxKind::Call(alice), 0);
    let content = Content {
        transactions: vec![(tx.clone(), receipt(true, 21_000, vec![log(1)]))],
        ..Content::default()
    };
    scene.decide(2, content);
    scene.decide(1, Content::default());
    let block = scene.seal();
    assert_eq!(hashes(&*block), [*tx.hash()]);
    assert_eq!(scene.view.transaction(tx.hash()).unwrap(), Some((Height(1), 0)));
    assert_eq!(block.gas_price(0), u128::from(BASE_FEE) + TIP);

    let (summary, root) = (block.summary(), scene.root.head());
    assert_eq!((summary.hash, summary.parent), (root.hash(), scene.root.genesis().hash()));
    assert_eq!(summary.timestamp, root.timestamp_ms / 1000);
    assert_eq!(summary.gas_used, 21_000);
    assert_eq!(summary.gas_limit, 2 * scene.spec.block_gas_limit);
    assert_eq!(
        summary.base_fee,
        scene.spec.next_base_fee(BASE_FEE, 0).max(scene.spec.next_base_fee(BASE_FEE, 21_000))
    );
    assert_eq!(summary.logs_bloom, block.receipts()[0].bloom());
    assert!(block.shard().is_none());
}

#[test]
fn a_transfer_across_is_listed_where_it_arrives() {
    let mut scene = Scene::new(2);
    let (alice, bob) = (resident(&scene, 1, 1), resident(&scene, 2, 1));
    let tx = transaction(alice, TxKind::Call(bob), 0);
    let call = scene.message(1, 2, *tx.hash(), departure(&tx, bob));
    let content = Content {
        transactions: vec![(tx.clone(), receipt(true, 21_000, vec![]))],
        sent: vec![call.clone()],
        ..Content::default()
    };
    scene.decide(1, content);
    assert!(scene.seal().transactions().is_empty());
    assert_eq!(scene.view.transaction(tx.hash()).unwrap(), None);

    // It arrives and gives back what it did not use: the transaction ends with that.
    let back = scene.message(2, 1, *tx.hash(), credit(alice));
    let arrived = ran(call, receipt(true, 0, vec![]));
    scene.decide(2, Content { arrivals: vec![arrived], sent: vec![back.clone()], ..Content::default() });
    assert!(scene.seal().transactions().is_empty());
    scene.decide(1, Content { arrivals: vec![settled(back)], ..Content::default() });
    let block = scene.seal();
    assert_eq!(hashes(&*block), [*tx.hash()]);
    assert_eq!(block.receipts()[0].gas_used, 21_000);
    assert!(block.receipts()[0].success);
    assert_eq!(scene.view.transaction(tx.hash()).unwrap(), Some((Height(3), 0)));
}

/// What the root's own blocks do is final once the next root block tells of it, as what shards do is with the root block
/// that names their blocks.
#[test]
fn a_call_to_the_root_completes_with_the_root_block_after_the_one_that_consumes_it() {
    let mut scene = Scene::new(2);
    let alice = resident(&scene, 1, 1);
    let tx = transaction(alice, TxKind::Call(REWARDS), 0);
    let call = scene.message(1, 0, *tx.hash(), departure(&tx, REWARDS));
    let content = Content {
        transactions: vec![(tx.clone(), receipt(true, 21_000, vec![]))],
        sent: vec![call.clone()],
        ..Content::default()
    };
    scene.decide(1, content);
    scene.seal();
    // It pays somebody in shard 2, and what it did not use of its gas goes back.
    let paid = scene.message(0, 2, *tx.hash(), credit(resident(&scene, 2, 1)));
    let back = scene.message(0, 1, *tx.hash(), credit(alice));
    let arrived = ran(call.clone(), receipt(true, 30_000, vec![log(5)]));
    let sent = vec![back.clone(), paid.clone()];
    scene.finalise_and(Content { arrivals: vec![arrived], sent, ..Content::default() });
    scene.follow();
    assert!(scene.view.mentions(&call.id()).unwrap().unwrap().consumed.is_none());
    assert_eq!(scene.view.newest().entry.domains[0].tip, Height(1));

    assert!(scene.seal().transactions().is_empty(), "its messages are on their way");
    let consumed = scene.view.mentions(&call.id()).unwrap().unwrap().consumed.unwrap();
    assert_eq!((consumed.domain.0, consumed.height, consumed.index), (0, Height(2), 0));
    assert_eq!(scene.view.newest().entry.domains[0].tip, Height(2));
    scene.decide(1, Content { arrivals: vec![settled(back)], ..Content::default() });
    scene.decide(2, Content { arrivals: vec![settled(paid)], ..Content::default() });
    let block = scene.seal();
    assert_eq!(hashes(&*block), [*tx.hash()]);
    assert_eq!(block.receipts()[0].logs, [log(5)]);
    assert_eq!(block.receipts()[0].gas_used, 51_000);
    assert_eq!(block.height(), Height(4));
}

/// A transaction of `gas` that leaves shard 1 and runs in shard 2 as the leg says, and is listed.
fn across(leg: anfs_primitives::Receipt) -> std::sync::Arc<dyn ShownBlock> {
    let mut scene = Scene::new(2);
    let (alice, token) = (resident(&scene, 1, 1), resident(&scene, 2, 7));
    let tx = transaction(alice, TxKind::Call(token), 0);
    let call = scene.message(1, 2, *tx.hash(), departure(&tx, token));
    let content = Content {
        transactions: vec![(tx, receipt(true, 21_000, vec![]))],
        sent: vec![call.clone()],
        ..Content::default()
    };
    scene.decide(1, content);
    scene.seal();
    scene.decide(2, Content { arrivals: vec![ran(call, leg)], ..Content::default() });
    scene.seal()
}

#[test]
fn logs_and_gas_of_the_destination_stand_in_the_one_receipt() {
    let block = across(receipt(true, 30_000, vec![log(3), log(4)]));
    let receipt = &block.receipts()[0];
    assert_eq!(receipt.logs, [log(3), log(4)]);
    assert_eq!((receipt.gas_used, receipt.cumulative_gas_used), (51_000, 51_000));
    assert_eq!(block.summary().logs_bloom, receipt.bloom());
    // Both domains asked the same price, so the mean is exact.
    assert_eq!(block.gas_price(0), u128::from(BASE_FEE) + TIP);
}

#[test]
fn a_call_that_bounces_fails_the_transaction() {
    let block = across(receipt(false, 30_000, vec![]));
    assert!(!block.receipts()[0].success);
    let turned_away = across(receipt(false, 0, vec![]));
    assert!(!turned_away.receipts()[0].success);
    assert_eq!(turned_away.receipts()[0].gas_used, 21_000);
}

#[test]
fn what_a_contract_sends_does_not_decide_the_status() {
    let mut scene = Scene::new(2);
    let (alice, factory, bob) = (resident(&scene, 1, 1), resident(&scene, 1, 9), resident(&scene, 2, 1));
    let tx = transaction(alice, TxKind::Call(factory), 0);
    let mut transfer = departure(&tx, bob);
    if let MessageBody::Call(call) = &mut transfer {
        call.sender = factory;
        call.payment = anfs_primitives::GasPayment::Allowance;
    }
    let sent = scene.message(1, 2, *tx.hash(), transfer);
    let content = Content {
        transactions: vec![(tx.clone(), receipt(true, 60_000, vec![log(1)]))],
        sent: vec![sent.clone()],
        ..Content::default()
    };
    scene.decide(1, content);
    scene.seal();
    scene.decide(
        2,
        Content { arrivals: vec![ran(sent, receipt(false, 10_000, vec![]))], ..Content::default() },
    );
    let block = scene.seal();
    assert_eq!(hashes(&*block), [*tx.hash()]);
    assert!(block.receipts()[0].success);
    assert_eq!(block.receipts()[0].gas_used, 70_000);
    // 60,000 at 1.5 gwei are 70,000 at no whole number of wei: the price is the source's.
    assert_eq!(block.gas_price(0), u128::from(BASE_FEE) + TIP);
}

#[test]
fn a_call_of_a_contract_and_its_result_stand_in_the_one_receipt() {
    let mut scene = Scene::new(2);
    let (alice, asker, oracle) = (resident(&scene, 1, 1), resident(&scene, 1, 9), resident(&scene, 2, 1));
    let tx = transaction(alice, TxKind::Call(asker), 0);
    let request = ResultRequest { id: B256::repeat_byte(1), gas_limit: 50_000 };
    let mut question = departure(&tx, oracle);
    if let MessageBody::Call(call) = &mut question {
        (call.sender, call.result) = (asker, Some(request));
    }
    let question = scene.message(1, 2, *tx.hash(), question);
    let answer = CallResult { request, success: false, data: Default::default() };
    let answer = scene.message(2, 1, *tx.hash(), MessageBody::Result(answer));
    let content = Content {
        transactions: vec![(tx.clone(), receipt(true, 60_000, vec![log(1)]))],
        sent: vec![question.clone()],
        ..Content::default()
    };
    scene.decide(1, content);
    assert!(scene.seal().transactions().is_empty());
    let arrivals = vec![ran(question, receipt(false, 40_000, vec![]))];
    scene.decide(2, Content { arrivals, sent: vec![answer.clone()], ..Content::default() });
    assert!(scene.seal().transactions().is_empty(), "the answer is on its way");
    let arrivals = vec![ran(answer, receipt(true, 20_000, vec![log(2)]))];
    scene.decide(1, Content { arrivals, ..Content::default() });
    let block = scene.seal();
    assert_eq!(hashes(&*block), [*tx.hash()]);
    let receipt = &block.receipts()[0];
    assert!(receipt.success, "the contract deals with what it asked");
    assert_eq!((receipt.gas_used, &receipt.logs[..]), (120_000, &[log(1), log(2)][..]));
    // The sender has paid for his transaction, the contract for its call, and nobody for the callback.
    assert_eq!(block.gas_price(0), (u128::from(BASE_FEE) + TIP) / 2);
}

#[test]
fn a_creation_is_complete_once_its_route_is_known() {
    let mut scene = Scene::new(3);
    let alice = resident(&scene, 1, 1);
    let tx = transaction(alice, TxKind::Create, 0);
    let derivation = Derivation::Create { creator: alice, nonce: 0 };
    let route = MessageBody::Route { derivation };
    let news = scene.message(1, 3, *tx.hash(), route);
    let created = anfs_primitives::Receipt {
        contract_address: Some(alice.create(0)),
        ..receipt(true, 100_000, vec![log(2)])
    };
    scene.decide(
        1,
        Content { transactions: vec![(tx, created.clone())], sent: vec![news.clone()], ..Content::default() },
    );
    assert!(scene.seal().transactions().is_empty());
    scene.decide(3, Content { arrivals: vec![settled(news)], ..Content::default() });
    let block = scene.seal();
    assert_eq!(block.receipts(), [created]);
}

#[test]
fn arrivals_come_before_the_transactions_of_their_block_and_domains_in_order() {
    let mut scene = Scene::new(2);
    let (alice, bob) = (resident(&scene, 1, 1), resident(&scene, 2, 1));
    let crossing = transaction(alice, TxKind::Call(bob), 0);
    let call = scene.message(1, 2, *crossing.hash(), departure(&crossing, bob));
    scene.decide(
        1,
        Content {
            transactions: vec![(crossing.clone(), receipt(true, 21_000, vec![]))],
            sent: vec![call.clone()],
            ..Content::default()
        },
    );
    scene.seal();
    let in_two = transaction(bob, TxKind::Call(bob), 0);
    let in_one = transaction(alice, TxKind::Call(alice), 1);
    scene.decide(
        2,
        Content {
            transactions: vec![(in_two.clone(), receipt(true, 22_000, vec![log(1)]))],
            arrivals: vec![ran(call, receipt(true, 1_000, vec![log(2)]))],
            ..Content::default()
        },
    );
    scene.decide(
        1,
        Content { transactions: vec![(in_one.clone(), receipt(true, 23_000, vec![]))], ..Content::default() },
    );
    let block = scene.seal();
    assert_eq!(hashes(&*block), [*in_one.hash(), *crossing.hash(), *in_two.hash()]);
    let cumulative: Vec<u64> = block.receipts().iter().map(|receipt| receipt.cumulative_gas_used).collect();
    assert_eq!(cumulative, [23_000, 45_000, 67_000]);
}

#[test]
fn a_block_waits_until_every_shard_shows_what_it_names() {
    let scene = Scene::new(2);
    let height = scene.decide(2, Content::default());
    scene.shard(2).hide_from(Some(height));
    scene.finalise();
    assert_eq!(scene.view.advance().unwrap(), Progress::Waiting);
    assert_eq!(scene.view.height(), Height::ZERO);
    scene.shard(2).hide_from(None);
    assert_eq!(scene.view.advance().unwrap(), Progress::Added);
    assert_eq!(scene.view.advance().unwrap(), Progress::UpToDate);
}

#[test]
fn coins_held_follow_the_headers() {
    let scene = Scene::new(1);
    let all: U256 = scene.spec.accounts.values().map(|account| account.balance).sum();
    assert_eq!(scene.view.newest().entry.domains[1].held, all);
}

/// A little generator, so that a seed names a whole history.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    fn domain(&mut self, shards: u32) -> u32 {
        1 + u32::try_from(self.below(shards.into())).unwrap()
    }
}

/// A random history, and the count that the view's is held against.
struct History {
    scene: Scene,
    dice: Dice,
    nonce: u64,
    /// Messages that are final and not consumed, by destination.
    due: BTreeMap<u32, VecDeque<CrossMessage>>,
    /// Messages sent in blocks that are not final.
    young: Vec<CrossMessage>,
    executed: BTreeSet<B256>,
    young_executed: BTreeSet<B256>,
    /// Sent less consumed, of final and of other blocks.
    outstanding: BTreeMap<B256, i64>,
    young_changes: Vec<(B256, i64)>,
    listed: Vec<B256>,
}

impl History {
    fn new(shards: u32, seed: u64) -> Self {
        Self {
            scene: Scene::new(shards),
            dice: Dice(seed),
            nonce: 0,
            due: BTreeMap::new(),
            young: Vec::new(),
            executed: BTreeSet::new(),
            young_executed: BTreeSet::new(),
            outstanding: BTreeMap::new(),
            young_changes: Vec::new(),
            listed: Vec::new(),
        }
    }

    fn send(&mut self, from: u32, origin: B256, content: &mut Content) {
        let shards = u32::try_from(self.scene.shards.len()).unwrap();
        let to = self.dice.domain(shards);
        if to == from {
            return;
        }
        let recipient = resident(&self.scene, to, 1);
        let message = self.scene.message(from, to, origin, credit(recipient));
        self.young_changes.push((origin, 1));
        self.young.push(message.clone());
        content.sent.push(message);
    }

    fn decide(&mut self, domain: u32, fresh: u64) {
        let mut content = Content::default();
        let due = self.due.entry(domain).or_default().len() as u64;
        for _ in 0..self.dice.below(due + 1).max(if fresh == 0 { due } else { 0 }) {
            let message = self.due.get_mut(&domain).unwrap().pop_front().unwrap();
            let origin = message.origin;
            self.young_changes.push((origin, -1));
            content.arrivals.push(settled(message));
            if self.dice.below(3) == 0 {
                self.send(domain, origin, &mut content);
            }
        }
        for _ in 0..self.dice.below(fresh + 1) {
            let sender = resident(&self.scene, domain, 1);
            let tx = transaction(sender, TxKind::Call(sender), self.nonce);
            self.nonce += 1;
            let hash = *tx.hash();
            for _ in 0..self.dice.below(3) {
                self.send(domain, hash, &mut content);
            }
            self.young_executed.insert(hash);
            content.transactions.push((tx, receipt(true, 21_000, vec![])));
        }
        // Messages of the block itself, which belong to no transaction.
        self.send(domain, B256::ZERO, &mut content);
        self.scene.decide(domain, content);
    }

    fn seal(&mut self) -> Result<(), TestCaseError> {
        for message in self.young.drain(..) {
            self.due.entry(message.destination.0).or_default().push_back(message);
        }
        self.executed.append(&mut self.young_executed);
        for (origin, change) in self.young_changes.drain(..) {
            *self.outstanding.entry(origin).or_default() += change;
        }
        let block = self.scene.seal();
        self.listed.extend(hashes(&*block));
        let expected: BTreeSet<B256> =
            self.executed.iter().copied().filter(|hash| self.left(hash) == 0).collect();
        let listed: BTreeSet<B256> = self.listed.iter().copied().collect();
        prop_assert_eq!(listed.len(), self.listed.len(), "each is listed once");
        prop_assert_eq!(&listed, &expected, "what has nothing outstanding, and nothing else");
        let open = self.scene.view.open.read();
        prop_assert_eq!(open.len(), self.executed.len() - listed.len());
        for (hash, way) in open.iter() {
            prop_assert_eq!(i64::try_from(way.outstanding).unwrap(), self.left(hash));
        }
        Ok(())
    }

    fn left(&self, hash: &B256) -> i64 {
        self.outstanding.get(hash).copied().unwrap_or_default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_crosses_each_transaction_is_listed_once_where_nothing_of_it_is_left(
        shards in 1u32..5, seed: u64, rounds in 1usize..12, cut in any::<prop::sample::Index>(),
    ) {
        let mut history = History::new(shards, seed);
        for round in 0..rounds {
            for _ in 0..history.dice.below(6) {
                let domain = history.dice.domain(shards);
                history.decide(domain, 3);
            }
            history.seal()?;
            if round == rounds / 2 {
                history.scene.view.log.sync().unwrap();
                let path = history.scene.index();
                let bytes = std::fs::read(&path).unwrap();
                std::fs::write(&path, &bytes[..cut.index(bytes.len())]).unwrap();
                history.scene.reopen();
            }
        }
        // Everything on its way arrives in the end; chains of messages are finite, being a matter of dice.
        for _ in 0..200 {
            if history.scene.view.open.read().is_empty() {
                break;
            }
            for domain in 1..=shards {
                history.decide(domain, 0);
            }
            history.seal()?;
        }
        prop_assert_eq!(history.listed.len(), history.executed.len());
        for (place, hash) in history.listed.iter().enumerate() {
            let (height, index) = history.scene.view.transaction(hash).unwrap().unwrap();
            let block = history.scene.view.block(height).unwrap().unwrap();
            prop_assert_eq!(block.transactions()[index as usize].hash(), hash, "place {}", place);
        }
    }
}
