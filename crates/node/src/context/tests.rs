use anfs_primitives::Slot;
use anfs_state::{AccountChange, AccountInfo, StateChanges};

use super::*;
use crate::chain::{ChainLimits, chain_block};
use crate::testing::{Scene, child, transfer};

fn executed(context: &SeatContext, parent: &ExecutedBlock) -> Arc<ExecutedBlock> {
    let header = child(&parent.header, parent.header.hash()).seal();
    let (transactions, receipts) = (Arc::new([]), Arc::new([]));
    let state = context.chain.head_state().1;
    let (crossing, touched) = (Arc::default(), Vec::new());
    let flush_seen = Height::ZERO;
    Arc::new(ExecutedBlock { header, state, flush_seen, transactions, receipts, crossing, touched })
}

#[test]
fn a_place_knows_every_ancestor_that_the_chain_does_not_show_yet() {
    let scene = Scene::new(1, ChainLimits::CONSENSUS);
    let (context, blocks) = (&scene.context, &scene.context.executed);
    let genesis = blocks.get(&context.chain.head().header.hash()).unwrap();
    let mut tip = genesis.clone();
    for _ in 0..10 {
        tip = executed(context, &tip);
        blocks.insert(tip.clone());
    }
    let place = blocks.place(&tip, Slot(99), alloy_primitives::Address::ZERO);
    let heights: Vec<u64> = place.ancestors.iter().map(|(height, _)| height.0).collect();
    assert_eq!(heights, (0..=10).rev().collect::<Vec<_>>());
    // What is pruned is visible in the chain by then.
    blocks.prune_below(Height(7));
    let place = blocks.place(&tip, Slot(99), alloy_primitives::Address::ZERO);
    assert_eq!(place.ancestors.last().map(|(height, _)| height.0), Some(7));
    assert!(blocks.get(&genesis.header.hash()).is_none());
}

/// Makes a block visible after which the first wallet has this nonce.
fn decide_up_to(context: &SeatContext, nonce: u64) {
    let sender = transfer(0).sender();
    let (head, state) = context.chain.head_state();
    let info = AccountInfo { nonce, ..state.account(&sender).unwrap().unwrap() };
    let change = AccountChange { info: Some(info), wipe_storage: false, storage: BTreeMap::new() };
    let changes = StateChanges { accounts: BTreeMap::from([(sender, change)]), codes: BTreeMap::new() };
    let header = child(&head.header, head.header.hash()).seal();
    let block = chain_block(&context.spec, header, None, Arc::new([]), Arc::new([]), Arc::default());
    context.chain.publish(Arc::new(block), state.apply(&changes).unwrap());
}

#[test]
fn a_transaction_can_run_whatever_is_decided_while_it_is_admitted() {
    let scene = Scene::new(1, ChainLimits::CONSENSUS);
    let (context, sender) = (&scene.context, transfer(0).sender());
    let mut reads = 0;
    let added = context.admit_as(transfer(3), || {
        let read = context.accounts.of(&sender, &context.chain);
        reads += 1;
        if reads <= 2 {
            // Blocks with what came before come in between. The pool holds nothing of the sender: it is told nothing.
            decide_up_to(context, reads + 1);
            assert!(context.pool.pool.lock().interested([sender].into_iter()).is_empty());
        }
        read
    });
    assert_eq!((added.unwrap().pending.len(), reads), (1, 3), "it need not wait for another one");
    assert_eq!(scene.take(), 1);
}

#[test]
fn accounts_are_those_of_the_newest_block() {
    let scene = Scene::new(1, ChainLimits::CONSENSUS);
    let (chain, accounts) = (&scene.context.chain, &scene.context.accounts);
    let sender = transfer(0).sender();
    let (height, before) = accounts.of(&sender, chain).unwrap();
    assert_eq!(height, Height::ZERO);
    assert!(before.nonce == 0 && !before.balance.is_zero());
    assert_eq!(accounts.known(&sender, Height::ZERO), Some(before), "kept for the next one");

    decide_up_to(&scene.context, 7);
    assert_eq!(accounts.of(&sender, chain).unwrap().1.nonce, 7);
    // Somebody who had begun to read before the block came brings nothing old back.
    accounts.keep(sender, before, Height::ZERO);
    assert_eq!(accounts.of(&sender, chain).unwrap().1.nonce, 7);
}

#[test]
fn accounts_kept_are_bounded() {
    let accounts = HeadAccounts::default();
    for index in 0..3 * HeadAccounts::MAX as u64 {
        let address = Address::left_padding_from(&index.to_be_bytes());
        accounts.keep(address, AccountView { nonce: index, ..AccountView::default() }, Height(1));
        assert_eq!(accounts.known(&address, Height(1)).map(|account| account.nonce), Some(index));
    }
    assert!(accounts.0.lock().1.len() <= HeadAccounts::MAX);
}

#[test]
fn waiting_for_a_block_ends_when_it_is_executed_or_the_time_is_over() {
    let scene = Scene::new(1, ChainLimits::CONSENSUS);
    let (context, blocks) = (&scene.context, &scene.context.executed);
    let genesis = blocks.get(&context.chain.head().header.hash()).unwrap();
    let block = executed(context, &genesis);
    let hash = block.header.hash();
    assert!(blocks.wait_for(&hash, Duration::ZERO).is_none());
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| blocks.wait_for(&hash, Duration::from_secs(60)));
        blocks.insert(block.clone());
        assert!(waiter.join().unwrap().is_some());
    });
    assert!(blocks.remove(&hash).is_some());
    assert!(blocks.remove(&hash).is_none());
}

#[test]
fn each_part_recovers_by_itself_and_the_worst_is_named() {
    let health = Health::default();
    assert_eq!(health.trouble(), None);
    assert!(health.troubled_by(Part::BlockLog, "blocks".into()));
    assert!(health.troubled_by(Part::SigningLog, "votes".into()));
    assert!(!health.troubled_by(Part::SigningLog, "votes again".into()), "known already");
    assert_eq!(health.trouble().as_deref(), Some("votes again"));
    assert!(health.recovered(Part::BlockLog));
    assert!(!health.recovered(Part::BlockLog));
    assert_eq!(health.troubled(), [Part::SigningLog]);
    health.fail("a thread died".into());
    assert!(health.recovered(Part::SigningLog));
    assert_eq!(health.trouble().as_deref(), Some("a thread died"));
    assert!(health.stopping());
}

#[test]
fn stopping_wakes_who_waits() {
    let health = Health::default();
    assert!(!health.wait_unless_stopping(Duration::ZERO));
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| health.wait_unless_stopping(Duration::from_secs(600)));
        health.stop();
        assert!(waiter.join().unwrap());
    });
    assert!(health.wait_unless_stopping(Duration::from_secs(600)), "at once");
}

#[test]
fn what_is_given_back_can_be_taken_again() {
    let scene = Scene::new(0, ChainLimits::CONSENSUS);
    let txs: Vec<_> = (0..5).map(|nonce| scene.add(nonce)).collect();
    assert_eq!(scene.take(), 5);
    assert_eq!(scene.take(), 0, "in flight");
    scene.context.pool.give_back(&txs);
    assert_eq!(scene.take(), 5);
}

#[test]
fn the_bell_remembers_one_ring() {
    let scene = Scene::new(0, ChainLimits::CONSENSUS);
    let pool = &scene.context.pool;
    pool.ring();
    pool.ring();
    pool.wait(Duration::from_secs(600));
    assert!(!*pool.bell.lock());
}
