//! Account tries that follow states, and the accounts in which states differ.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::{Address, B256, keccak256};
use alloy_trie::proof::verify_proof;
use alloy_trie::{Nibbles, TrieAccount};
use anfs_state::{AccountLeaf, AccountTrie, StateError, WorldState};
use proptest::prelude::*;

use crate::disk::Disk;
use crate::model::block;

fn all(state: &WorldState) -> BTreeMap<B256, AccountLeaf> {
    let mut leaves = BTreeMap::new();
    let mut last = None;
    state
        .each_leaf::<StateError>(|key, leaf| {
            assert!(last.replace(*key) < Some(*key), "they come in order");
            leaves.insert(*key, leaf);
            Ok(())
        })
        .unwrap();
    leaves
}

/// What `leaves_since` is to give, from all accounts of both.
fn difference(older: &WorldState, newer: &WorldState) -> BTreeMap<B256, Option<AccountLeaf>> {
    let (older, newer) = (all(older), all(newer));
    let keys = older.keys().chain(newer.keys()).filter(|key| older.get(*key) != newer.get(*key));
    keys.map(|key| (*key, newer.get(key).copied())).collect()
}

fn check(trie: &AccountTrie, state: &WorldState) {
    assert_eq!(trie.root(), state.root());
    for address in (0..=25).map(Address::with_last_byte) {
        let (key, expected) = (keccak256(address), state.prove(&address, &[]).unwrap());
        let (leaf, proof) = trie.prove(&key);
        assert_eq!(proof, expected.account_proof);
        assert_eq!(leaf, state.leaf(&key).unwrap());
        assert_eq!(leaf.map(|leaf| leaf.info), expected.info);
        let account = leaf.map(|AccountLeaf { info, storage_root }| {
            alloy_rlp::encode(TrieAccount::new(info.nonce, info.balance, storage_root, info.code_hash))
        });
        verify_proof(trie.root(), Nibbles::unpack(key), account, &proof).unwrap();
    }
}

proptest! {
    #[test]
    fn a_trie_that_follows_a_state_has_its_root_and_proves_the_same(
        blocks in prop::collection::vec(block(), 1..10),
    ) {
        let (mut state, mut trie) = (WorldState::empty(), AccountTrie::default());
        let mut kept = Vec::new();
        for changes in &blocks {
            let next = state.apply(changes).unwrap();
            let leaves = next.leaves_since(&state).unwrap();
            prop_assert_eq!(&leaves, &difference(&state, &next));
            kept.push((trie.clone(), state));
            (state, trie) = (next, trie.apply(&leaves));
            check(&trie, &state);
        }
        for (trie, state) in &kept {
            check(trie, state);
        }
        let leaves = state.leaves_since(&kept[0].1).unwrap();
        check(&AccountTrie::default().apply(&leaves), &state);
        let back = kept[0].1.leaves_since(&state).unwrap();
        check(&trie.apply(&back), &WorldState::empty());
    }

    #[test]
    fn states_that_share_nothing_differ_by_what_they_hold(
        blocks in prop::collection::vec(block(), 2..8), open_old: bool,
    ) {
        let disks: [Arc<Disk>; 2] = Default::default();
        let split = blocks.len() / 2;
        let after = |count: usize, disk: &Arc<Disk>| {
            let made = blocks[..count].iter().fold(WorldState::empty(), |state, changes| state.apply(changes).unwrap());
            disk.write(made.diff_since(&WorldState::empty()).unwrap());
            (WorldState::open(made.root(), disk.clone()).unwrap(), made)
        };
        let ((old, old_made), (new, new_made)) = (after(split, &disks[0]), after(blocks.len(), &disks[1]));
        let old = if open_old { old } else { old_made };
        let leaves = new.leaves_since(&old).unwrap();
        prop_assert_eq!(&leaves, &difference(&old, &new_made));
        prop_assert_eq!(all(&new), all(&new_made));
    }
}

#[test]
fn what_is_listed_is_read_from_disk_and_not_kept() {
    let disk = Arc::new(Disk::default());
    let accounts = (0..200u8).map(|i| {
        (
            Address::with_last_byte(i),
            anfs_primitives::GenesisAccount {
                balance: alloy_primitives::U256::from(i) + alloy_primitives::U256::ONE,
                ..Default::default()
            },
        )
    });
    let accounts: BTreeMap<_, _> = accounts.collect();
    let made = WorldState::genesis(&accounts).unwrap();
    disk.write(made.diff_since(&WorldState::empty()).unwrap());
    let opened = WorldState::open(made.root(), disk.clone()).unwrap();
    assert_eq!(all(&opened), all(&made));
    assert_eq!(all(&opened).len(), 200);
    let root = disk.nodes.lock().unwrap().keys().next().cloned();
    disk.nodes.lock().unwrap().retain(|key, _| Some(key) == root.as_ref());
    let lost = opened.each_leaf::<StateError>(|_, _| Ok(()));
    assert!(matches!(lost, Err(StateError::MissingNode { .. })), "nothing was kept: {lost:?}");
    let stopped = made.each_leaf(|_, _| Err(StateError::Storage("enough".into())));
    assert_eq!(stopped, Err(StateError::Storage("enough".into())));
}
