//! Series of blocks with flushes, unloading and restarts.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::{Address, B256, U256};
use anfs_state::{AccountChange, AccountInfo, StateChanges, StateRead, WorldState};
use proptest::prelude::*;

use crate::disk::Disk;
use crate::model::{Model, block};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn a_series_of_blocks_gives_the_roots_of_full_rebuilds(blocks in prop::collection::vec(block(), 1..12)) {
        let (mut state, mut model) = (WorldState::empty(), Model::default());
        let mut snapshots = Vec::new();
        for changes in &blocks {
            state = state.apply(changes).unwrap();
            model.apply(changes);
            snapshots.push((state.clone(), model.clone()));
        }
        for (state, model) in &snapshots {
            model.check(state);
        }
        model.check_proofs(&state);
    }

    #[test]
    fn flushed_states_open_again_and_snapshots_stay_whole(
        blocks in prop::collection::vec(block(), 1..40),
        flush_every in 1..5usize,
        idle in 0..4u32,
        keep in prop::collection::vec(any::<bool>(), 40),
    ) {
        let disk = Arc::new(Disk::default());
        let mut state = WorldState::empty().with_reader(disk.clone());
        let (mut flushed, mut model) = (state.clone(), Model::default());
        // Snapshots with the number of unloads before them.
        let mut snapshots: Vec<(u32, WorldState, Model)> = Vec::new();
        let mut unloads = 0;
        for (height, changes) in blocks.iter().enumerate() {
            state = state.apply(changes).unwrap();
            model.apply(changes);
            prop_assert_eq!(state.root(), model.root());
            if keep[height] {
                snapshots.push((unloads, state.clone(), model.clone()));
            }
            if (height + 1) % flush_every == 0 {
                disk.write(state.diff_since(&flushed).unwrap());
                flushed = state.clone();
                let opened = WorldState::open(state.root(), disk.clone()).unwrap();
                model.check(&opened);
                model.check_proofs(&opened);
                // Nothing on disk that isn't the newest state's.
                let records = opened.diff_since(&WorldState::empty()).unwrap().nodes.len();
                prop_assert_eq!(disk.nodes.lock().unwrap().len(), records);
                state = state.unload_cold(&flushed, idle);
                unloads += 1;
                prop_assert_eq!(state.root(), flushed.root());
                flushed = state.clone();
                for (taken, state, model) in snapshots.extract_if(.., |(taken, ..)| *taken + idle <= unloads) {
                    if taken + idle == unloads {
                        model.check(&state);
                    }
                }
            }
        }
        for (_, state, model) in &snapshots {
            model.check(state);
        }
        model.check(&state);
        model.check_proofs(&state);
    }

    #[test]
    fn a_restarted_state_goes_on_like_one_that_never_stopped(
        before in prop::collection::vec(block(), 1..8),
        after in prop::collection::vec(block(), 1..8),
    ) {
        let mut state = WorldState::empty();
        for changes in &before {
            state = state.apply(changes).unwrap();
        }
        let disk = Arc::new(Disk::default());
        disk.write(state.diff_since(&WorldState::empty()).unwrap());
        let mut opened = WorldState::open(state.root(), disk).unwrap();
        for changes in &after {
            state = state.apply(changes).unwrap();
            opened = opened.apply(changes).unwrap();
            prop_assert_eq!(state.root(), opened.root());
        }
    }

    #[test]
    fn blocks_applied_one_by_one_or_merged(blocks in prop::collection::vec(block(), 1..6)) {
        // Later changes of an account that wipe or remove replace earlier ones; others are laid over them.
        let mut merged = StateChanges::default();
        let mut state = WorldState::empty();
        for changes in &blocks {
            state = state.apply(changes).unwrap();
            merged.codes.extend(changes.codes.clone());
            for (address, change) in &changes.accounts {
                let entry = merged.accounts.entry(*address).or_default();
                let fresh = change.wipe_storage || change.info.is_none() || entry.info.is_none();
                if fresh {
                    entry.storage.clear();
                }
                *entry = AccountChange {
                    info: change.info,
                    wipe_storage: entry.wipe_storage || fresh,
                    storage: entry.storage.iter().chain(&change.storage).map(|(slot, word)| (*slot, *word)).collect(),
                };
                if change.info.is_none() {
                    entry.storage.clear();
                }
            }
        }
        prop_assert_eq!(WorldState::empty().apply(&merged).unwrap().root(), state.root());
    }
}

fn transfer(address: Address, balance: u64) -> StateChanges {
    let info = AccountInfo { balance: U256::from(balance), ..Default::default() };
    let change = AccountChange { info: Some(info), ..Default::default() };
    StateChanges { accounts: BTreeMap::from([(address, change)]), ..Default::default() }
}

#[test]
fn unloaded_parts_are_read_from_disk_and_used_ones_are_not() {
    let accounts = (0..2000u64).map(|i| Address::left_padding_from(&i.to_be_bytes()));
    let mut state = WorldState::empty();
    for address in accounts.clone() {
        state = state.apply(&transfer(address, 7)).unwrap();
    }
    let disk = Arc::new(Disk::default());
    disk.write(state.diff_since(&WorldState::empty()).unwrap());
    let flushed = state.clone();
    let hot = Address::left_padding_from(&5u64.to_be_bytes());
    let cold =
        |state: &WorldState| accounts.clone().filter(|address| state.account(address).is_err()).count();
    let mut state = state.with_reader(disk.clone());
    for _ in 0..3 {
        assert!(state.account(&hot).unwrap().is_some());
        state = state.unload_cold(&flushed, 1);
    }
    drop(flushed);
    let nodes = std::mem::take(&mut *disk.nodes.lock().unwrap());
    assert!(state.account(&hot).unwrap().is_some(), "what is used stays in memory");
    assert!(cold(&state) > 1500, "what isn't used has been let go of");
    *disk.nodes.lock().unwrap() = nodes;
    assert_eq!(cold(&state), 0, "and is loaded again");
}

#[test]
fn a_wiped_contract_leaves_nothing_on_disk() {
    let address = Address::repeat_byte(9);
    let storage = (0..100u8).map(|slot| (B256::with_last_byte(slot), U256::from(1))).collect();
    let change = AccountChange { info: Some(AccountInfo::default()), wipe_storage: false, storage };
    let full = StateChanges { accounts: BTreeMap::from([(address, change)]), ..Default::default() };
    let full = WorldState::empty().apply(&full).unwrap();
    let disk = Arc::new(Disk::default());
    disk.write(full.diff_since(&WorldState::empty()).unwrap());
    // Reopened, so that the storage trie was never loaded when it is dropped.
    let full = WorldState::open(full.root(), disk).unwrap();
    let wiped =
        AccountChange { info: Some(AccountInfo::default()), wipe_storage: true, ..Default::default() };
    for last in [wiped, AccountChange::default()] {
        let emptied = StateChanges { accounts: BTreeMap::from([(address, last)]), ..Default::default() };
        let emptied = full.apply(&emptied).unwrap();
        let diff = emptied.diff_since(&full).unwrap();
        assert!(diff.nodes.len() > 100);
        assert!(diff.nodes.iter().all(|(key, record)| record.is_none() || key.owner.is_none()));
    }
    assert_eq!(full.storage(&address, &B256::with_last_byte(3)).unwrap(), U256::from(1));
}
