//! A disk that doesn't hold what it should.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use anfs_state::{AccountChange, AccountInfo, EMPTY_ROOT, StateChanges, StateError, StateRead, WorldState};

use crate::disk::Disk;

const CODE: Bytes = Bytes::from_static(&[0x60, 0x00]);

fn contract(i: u8) -> (Address, AccountChange) {
    let info = AccountInfo { nonce: 1, balance: U256::from(i), code_hash: keccak256(CODE) };
    let storage = (1..20u8).map(|slot| (B256::with_last_byte(slot), U256::from(slot))).collect();
    (Address::repeat_byte(i), AccountChange { info: Some(info), wipe_storage: false, storage })
}

fn flushed() -> (B256, Arc<Disk>) {
    let changes = StateChanges {
        accounts: (0..30).map(contract).collect(),
        codes: BTreeMap::from([(keccak256(CODE), CODE)]),
    };
    let state = WorldState::empty().apply(&changes).unwrap();
    let disk = Arc::new(Disk::default());
    disk.write(state.diff_since(&WorldState::empty()).unwrap());
    (state.root(), disk)
}

/// Reads everything, and returns the first error.
fn read_all(root: B256, disk: &Arc<Disk>) -> Result<(), StateError> {
    let state = WorldState::open(root, disk.clone())?;
    for (address, change) in (0..30).map(contract) {
        let info = state.account(&address)?.expect("an account that can be read is the one written");
        for (slot, word) in &change.storage {
            assert_eq!(state.storage(&address, slot)?, *word);
        }
        assert_eq!(state.code(&info.code_hash)?, CODE);
    }
    Ok(())
}

#[test]
fn each_corrupt_or_missing_node_is_named() {
    let (root, disk) = flushed();
    read_all(root, &disk).unwrap();
    let nodes = disk.nodes.lock().unwrap().clone();
    for (key, encoding) in &nodes {
        let mut corrupt = encoding.clone();
        let at = key.len() * 7 % corrupt.len();
        corrupt[at] ^= 0x10;
        disk.nodes.lock().unwrap().insert(key.clone(), corrupt.clone());
        let error = read_all(root, &disk).unwrap_err();
        assert!(
            matches!(&error, StateError::CorruptNode { key: named, found, .. }
                if named.to_bytes() == *key && *found == keccak256(&corrupt)),
            "{error}"
        );
        disk.nodes.lock().unwrap().remove(key);
        let error = read_all(root, &disk).unwrap_err();
        assert!(matches!(&error, StateError::MissingNode { key: named, .. } if named.to_bytes() == *key));
        disk.nodes.lock().unwrap().insert(key.clone(), encoding.clone());
    }
    read_all(root, &disk).unwrap();
}

#[test]
fn corrupt_and_missing_code_is_named() {
    let (root, disk) = flushed();
    let hash = keccak256(CODE);
    disk.codes.lock().unwrap().insert(hash, Bytes::from_static(&[1]));
    let found = keccak256([1]);
    assert_eq!(read_all(root, &disk), Err(StateError::CorruptCode { expected: hash, found }));
    disk.codes.lock().unwrap().clear();
    assert_eq!(read_all(root, &disk), Err(StateError::MissingCode(hash)));
}

#[test]
fn a_failed_change_leaves_the_state_usable() {
    let (root, disk) = flushed();
    let state = WorldState::open(root, disk.clone()).unwrap();
    let nodes = std::mem::take(&mut *disk.nodes.lock().unwrap());
    let (address, mut change) = contract(3);
    change.storage.insert(B256::with_last_byte(1), U256::ZERO);
    let changes = StateChanges { accounts: BTreeMap::from([(address, change)]), ..Default::default() };
    assert!(matches!(state.apply(&changes), Err(StateError::MissingNode { .. })));
    *disk.nodes.lock().unwrap() = nodes;
    assert_eq!(state.root(), root);
    assert_ne!(state.apply(&changes).unwrap().root(), root);
}

#[test]
fn a_node_with_the_right_hash_that_no_state_has_is_refused() {
    for encoding in [vec![], vec![0x80], vec![0xc0], vec![0xc2, 0x20, 0x01], vec![0xff; 40]] {
        let disk = Arc::new(Disk::default());
        disk.nodes.lock().unwrap().insert(vec![0], encoding.clone());
        let root = keccak256(&encoding);
        if root == EMPTY_ROOT {
            // The empty trie needs no record, so whatever stands there isn't looked at.
            assert_eq!(WorldState::open(root, disk).unwrap().root(), EMPTY_ROOT);
        } else {
            assert!(matches!(WorldState::open(root, disk), Err(StateError::MalformedNode { .. })));
        }
    }
}
