//! The index: what survives a restart, and what is made again.

use alloy_primitives::{B256, TxKind};
use anfs_primitives::Height;

use super::scene::{Content, Scene, departure, log, ran, receipt, resident, transaction};
use crate::network::completion::Spot;
use crate::network::record::WHOLE_EVERY;
use crate::network::view::RECENT_BLOCKS;

/// A network in which transaction `n` leaves with block `2n + 1` and arrives with `2n + 2`.
fn history(crossings: u64) -> (Scene, Vec<B256>) {
    let mut scene = Scene::new(2);
    let (alice, bob) = (resident(&scene, 1, 1), resident(&scene, 2, 1));
    let mut hashes = Vec::new();
    for nonce in 0..crossings {
        let tx = transaction(alice, TxKind::Call(bob), nonce);
        let call = scene.message(1, 2, *tx.hash(), departure(&tx, bob));
        hashes.push(*tx.hash());
        scene.decide(
            1,
            Content {
                transactions: vec![(tx, receipt(true, 21_000, vec![log(1)]))],
                sent: vec![call.clone()],
                ..Content::default()
            },
        );
        scene.seal();
        scene.decide(
            2,
            Content { arrivals: vec![ran(call, receipt(true, 9_000, vec![log(2)]))], ..Content::default() },
        );
        scene.seal();
    }
    (scene, hashes)
}

fn check(scene: &Scene, hashes: &[B256]) {
    for (height, hash) in (1u64..).map(|nonce| 2 * nonce).zip(hashes) {
        assert_eq!(scene.view.transaction(hash).unwrap(), Some((Height(height), 0)));
        let block = scene.view.block(Height(height)).unwrap().unwrap();
        assert_eq!(block.receipts()[0].logs, [log(1), log(2)]);
        assert_eq!(block.receipts()[0].gas_used, 30_000);
        assert_eq!(scene.view.header(Height(height)).unwrap().unwrap(), block.summary());
        assert_eq!(scene.view.height_of(&block.hash()).unwrap(), Some(Height(height)));
        assert!(scene.view.block(Height(height - 1)).unwrap().unwrap().transactions().is_empty());
    }
}

#[test]
fn blocks_beyond_memory_come_from_the_index() {
    let crossings = RECENT_BLOCKS as u64 / 2 + 40;
    let (mut scene, hashes) = history(crossings);
    assert_eq!(scene.view.recent.read().blocks.len(), RECENT_BLOCKS);
    check(&scene, &hashes);
    scene.view.log.sync().unwrap();
    scene.reopen();
    assert_eq!(scene.view.recent.read().blocks.len(), 1, "nothing was made again");
    let first = scene.shard(1).at(Height(1)).crossing.sent[0].id();
    let mentions = scene.view.mentions(&first).unwrap().unwrap();
    let place = |spot: Option<Spot>| spot.map(|spot| (spot.domain.0, spot.height));
    assert_eq!(place(mentions.sent), Some((1, Height(1))));
    assert_eq!(place(mentions.consumed), Some((2, Height(1))));
    assert_eq!(scene.view.height(), Height(2 * crossings));
    check(&scene, &hashes);
    assert_eq!(scene.view.block(Height(2 * crossings + 1)).unwrap().map(|block| block.height()), None);
}

#[test]
fn what_was_not_written_is_made_again() {
    let (mut scene, hashes) = history(20);
    let durable = scene.view.log.readable();
    assert!(durable > 1 && durable < 41, "{durable}");
    scene.reopen();
    check(&scene, &hashes);
}

#[test]
fn open_transactions_survive_a_restart_wherever_it_happens() {
    for crossings in [3, WHOLE_EVERY / 2, WHOLE_EVERY / 2 + 3] {
        let (mut scene, mut hashes) = history(crossings);
        let (alice, bob) = (resident(&scene, 1, 1), resident(&scene, 2, 1));
        let tx = transaction(alice, TxKind::Call(bob), crossings);
        let call = scene.message(1, 2, *tx.hash(), departure(&tx, bob));
        hashes.push(*tx.hash());
        scene.decide(
            1,
            Content {
                transactions: vec![(tx, receipt(true, 21_000, vec![log(1)]))],
                sent: vec![call.clone()],
                ..Content::default()
            },
        );
        scene.seal();
        scene.view.log.sync().unwrap();
        scene.reopen();
        assert_eq!(scene.view.open.read().len(), 1);
        scene.decide(
            2,
            Content { arrivals: vec![ran(call, receipt(true, 9_000, vec![log(2)]))], ..Content::default() },
        );
        scene.seal();
        check(&scene, &hashes);
    }
}

#[test]
fn a_missing_or_torn_index_is_made_again() {
    let (mut scene, hashes) = history(40);
    scene.view.log.sync().unwrap();
    let path = scene.index();
    let bytes = std::fs::read(&path).unwrap();
    for len in [0, 1, 59, 60, 61, bytes.len() / 3, bytes.len() - 1] {
        std::fs::write(&path, &bytes[..len]).unwrap();
        scene.reopen();
        check(&scene, &hashes);
    }
    std::fs::remove_file(&path).unwrap();
    scene.reopen();
    check(&scene, &hashes);
}

#[test]
fn what_the_root_does_not_have_yet_waits_in_the_index() {
    let (longer, hashes) = history(10);
    longer.view.log.sync().unwrap();
    let index = std::fs::read(longer.index()).unwrap();
    let (mut shorter, _) = history(5);
    std::fs::write(shorter.index(), &index).unwrap();
    shorter.reopen();
    assert_eq!(shorter.view.height(), Height(10));
    check(&shorter, &hashes[..5]);
    assert_eq!(shorter.view.log.next(), 21);

    // Another history goes on from here: what the index has of the old one is replaced.
    let alice = resident(&shorter, 1, 1);
    let tx = transaction(alice, TxKind::Call(alice), 99);
    let local =
        Content { transactions: vec![(tx.clone(), receipt(true, 21_000, vec![]))], ..Content::default() };
    shorter.decide(1, local);
    shorter.seal();
    assert_eq!(shorter.view.log.next(), 12);
    shorter.view.log.sync().unwrap();
    shorter.reopen();
    assert_eq!(shorter.view.transaction(tx.hash()).unwrap(), Some((Height(11), 0)));
    check(&shorter, &hashes[..5]);
}

#[test]
fn an_index_that_the_root_contradicts_is_made_again() {
    let (mut scene, hashes) = history(5);
    scene.view.log.sync().unwrap();
    let other = Scene::new(2);
    // The same genesis, and other blocks from the first on.
    for _ in 0..10 {
        other.decide(2, Content::default());
        other.seal();
    }
    other.view.log.sync().unwrap();
    std::fs::write(scene.index(), std::fs::read(other.index()).unwrap()).unwrap();
    scene.reopen();
    check(&scene, &hashes);
}

#[test]
fn the_follower_takes_in_what_is_there_and_what_comes_until_it_is_stopped() {
    let (scene, hashes) = history(3);
    let follower = scene.start("followed.log");
    assert_eq!(follower.view().height(), Height(6), "what was there, before anything is served");
    let mut news = follower.view().subscribe();
    let alice = resident(&scene, 1, 1);
    let tx = transaction(alice, TxKind::Call(alice), 99);
    let content =
        Content { transactions: vec![(tx.clone(), receipt(true, 21_000, vec![]))], ..Content::default() };
    let late = scene.decide(1, content);
    scene.shard(1).hide_from(Some(late));
    scene.finalise();
    scene.shard(1).hide_from(None);
    assert_eq!(*news.blocking_recv().unwrap().transactions()[0].hash(), *tx.hash());
    follower.stop();

    // All of it is on disk: nothing is put together again.
    let again = scene.start("followed.log");
    assert_eq!(again.view().log.readable(), 8);
    assert_eq!(again.view().recent.read().blocks.len(), 1);
    for (height, hash) in (1u64..).map(|nonce| 2 * nonce).zip(&hashes) {
        assert_eq!(again.view().transaction(hash).unwrap(), Some((Height(height), 0)));
    }
}
