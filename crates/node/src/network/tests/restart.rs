//! The index: what survives a restart, and what is made again.

use alloy_primitives::{B256, TxKind};
use anfs_primitives::Height;

use super::scene::{Content, Scene, departure, log, ran, receipt, resident, transaction};
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
fn an_index_that_the_root_does_not_confirm_is_forgotten() {
    let (scene, _) = history(10);
    scene.view.log.sync().unwrap();
    let index = std::fs::read(scene.index()).unwrap();
    let (mut shorter, hashes) = history(5);
    std::fs::write(shorter.index(), &index).unwrap();
    shorter.reopen();
    assert_eq!(shorter.view.height(), Height(10));
    check(&shorter, &hashes);
}
