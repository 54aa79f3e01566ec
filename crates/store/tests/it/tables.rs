//! The state tables: what a flush writes, and the indexes before, during and after one.

use alloy_primitives::{B256, Bytes, keccak256};
use anfs_primitives::Height;
use anfs_state::{Nibbles, NodeKey, StateDiff};
use anfs_store::{MessagePlace, Store, StoreError};

use crate::chain::{chain, options, transaction_hash};

fn key(nibbles: &[u8]) -> NodeKey {
    NodeKey { owner: None, path: Nibbles::from_nibbles(nibbles) }
}

fn diff(nodes: &[(NodeKey, Option<&[u8]>)]) -> StateDiff {
    let nodes = nodes.iter().map(|(key, node)| (*key, node.map(<[u8]>::to_vec))).collect();
    StateDiff { nodes, codes: Vec::new() }
}

#[test]
fn a_flush_writes_replaces_and_removes_nodes_and_survives_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let code = Bytes::from_static(b"\x60\x00");
    let code_hash = keccak256(&code);
    {
        let (store, recovered) = Store::open(options(dir.path())).unwrap();
        assert_eq!((recovered.flushed, store.flushed_height()), (None, Height::ZERO));
        let mut first = diff(&[(key(&[]), Some(b"root")), (key(&[1, 2]), Some(b"leaf"))]);
        first.codes.push((code_hash, code.clone()));
        store.flush_state(Height::ZERO, B256::repeat_byte(1), &first).unwrap();
        store.append_block(&chain(1, 1, 64)[0]).unwrap();
        store.sync_blocks().unwrap();
        let second = diff(&[(key(&[]), Some(b"other root")), (key(&[1, 2]), None)]);
        store.flush_state(Height(1), B256::repeat_byte(2), &second).unwrap();
    }
    let (store, recovered) = Store::open(options(dir.path())).unwrap();
    assert_eq!(recovered.flushed, Some((Height(1), B256::repeat_byte(2))));
    assert_eq!(recovered.tail.count(), 0);
    let reader = store.state_reader();
    assert_eq!(reader.node(&key(&[])).unwrap().unwrap(), b"other root");
    assert_eq!(reader.node(&key(&[1, 2])).unwrap(), None);
    assert_eq!(reader.code(&code_hash).unwrap(), Some(code));
    assert_eq!(reader.code(&B256::ZERO).unwrap(), None);
}

#[test]
fn look_ups_answer_alike_before_and_after_a_flush_and_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let chain = chain(6, 3, 64);
    let check = |store: &Store| {
        for (height, record) in (1..).map(Height).zip(&chain) {
            let hash = record.certified.block.header.hash();
            assert_eq!(store.height_of(&hash).unwrap(), Some(height));
            for index in 0..3u32 {
                let hash = transaction_hash(record, index as usize);
                assert_eq!(store.transaction(&hash).unwrap(), Some((height, index)));
            }
            let (sent, consumed) = (&record.crossing.sent[0], &record.crossing.arrivals[0].message);
            let place = |consumed| Some(MessagePlace { height, index: 0, consumed });
            assert_eq!(store.message(&sent.id()).unwrap(), place(false));
            assert_eq!(store.message(&consumed.id()).unwrap(), place(true));
        }
        assert_eq!(store.height_of(&B256::ZERO).unwrap(), None);
        assert_eq!(store.transaction(&B256::ZERO).unwrap(), None);
        assert_eq!(store.message(&B256::ZERO).unwrap(), None);
        assert_eq!(store.head(), Some((Height(6), chain[5].certified.block.header.hash())));
    };
    let (store, _) = Store::open(options(dir.path())).unwrap();
    for record in &chain {
        store.append_block(record).unwrap();
    }
    store.sync_blocks().unwrap();
    check(&store);
    store.flush_state(Height(4), B256::repeat_byte(4), &diff(&[])).unwrap();
    assert_eq!(store.stats().unwrap().unflushed_blocks, 2);
    check(&store);
    drop(store);
    let (store, recovered) = Store::open(options(dir.path())).unwrap();
    assert_eq!(recovered.tail.collect::<Result<Vec<_>, _>>().unwrap(), chain[4..]);
    check(&store);
    store.flush_state(Height(6), B256::repeat_byte(6), &diff(&[])).unwrap();
    drop(store);
    let (store, recovered) = Store::open(options(dir.path())).unwrap();
    assert_eq!(recovered.tail.count(), 0);
    check(&store);
}

#[test]
fn a_flush_out_of_order_is_refused_and_the_same_one_again_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(options(dir.path())).unwrap();
    let chain = chain(2, 1, 64);
    store.append_block(&chain[0]).unwrap();
    let refused = store.flush_state(Height(1), B256::ZERO, &diff(&[]));
    assert!(matches!(refused, Err(StoreError::FlushOrder { .. })), "the block is not durable yet");
    store.sync_blocks().unwrap();
    let root = B256::repeat_byte(1);
    store.flush_state(Height(1), root, &diff(&[])).unwrap();
    store.flush_state(Height(1), root, &diff(&[])).unwrap();
    for (height, root) in [(0, root), (1, B256::ZERO), (2, root)] {
        let refused = store.flush_state(Height(height), root, &diff(&[]));
        assert!(matches!(refused, Err(StoreError::FlushOrder { .. })));
    }
}

#[test]
fn a_flush_is_due_at_the_start_and_every_so_many_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(dir.path());
    options.flush_every = 2;
    let (store, _) = Store::open(options).unwrap();
    assert!(store.flush_due());
    store.flush_state(Height::ZERO, B256::ZERO, &diff(&[])).unwrap();
    for (record, due) in chain(2, 1, 64).iter().zip([false, true]) {
        store.append_block(record).unwrap();
        store.sync_blocks().unwrap();
        assert_eq!(store.flush_due(), due);
    }
}
