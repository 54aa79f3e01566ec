//! Folders as an operator meets them: in use, of another chain, damaged, incomplete, sound.

use std::fs;
use std::path::Path;

use alloy_primitives::B256;
use anfs_primitives::{Height, NetworkId};
use anfs_state::{EMPTY_ROOT, StateDiff};
use anfs_store::{BlockRecord, Store, StoreError, StoreOptions, refuse_if_locked};

use crate::chain::{chain, options};
use crate::disk::FaultyDisk;

fn small_segments(dir: &Path) -> StoreOptions {
    StoreOptions { segment_bytes: 4000, ..options(dir) }
}

fn fill(store: &Store, blocks: &[BlockRecord]) {
    for block in blocks {
        store.append_block(block).unwrap();
        store.sync_blocks().unwrap();
    }
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_folder_in_use_is_refused_and_its_holder_named() {
    let dir = tempfile::tempdir().unwrap();
    refuse_if_locked(&dir.path().join("never-opened")).unwrap();
    let (store, _) = Store::open(options(dir.path())).unwrap();
    for refused in [Store::open(options(dir.path())).map(drop), refuse_if_locked(dir.path())] {
        let error = refused.unwrap_err();
        assert!(error.is_held());
        let message = error.to_string();
        assert!(message.contains(&format!("process {} (", std::process::id())), "{message}");
        assert!(message.contains("stop that process"), "{message}");
    }
    drop(store);
    refuse_if_locked(dir.path()).unwrap();
    Store::open(options(dir.path())).unwrap();
}

#[test]
fn a_folder_is_held_as_long_as_a_state_of_it_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(options(dir.path())).unwrap();
    let reader = store.state_reader();
    drop(store);
    let error = Store::open(options(dir.path())).unwrap_err();
    assert!(error.is_held(), "{error}");
    drop(reader);
    Store::open(options(dir.path())).unwrap();
}

#[test]
fn a_folder_of_another_chain_is_refused_by_its_tables_and_by_each_log() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(options(dir.path())).unwrap();
    drop(store);
    let network = StoreOptions { network: NetworkId(2), ..options(dir.path()) };
    let genesis = StoreOptions { genesis: B256::ZERO, ..options(dir.path()) };
    for (removed, witness) in [("", "state.redb"), ("state.redb", "votes.log"), ("votes.log", "00000.log")] {
        if !removed.is_empty() {
            // The refused openings leave fresh tables behind.
            fs::remove_file(dir.path().join("state.redb")).unwrap();
            drop(fs::remove_file(dir.path().join(removed)));
        }
        for options in [network.clone(), genesis.clone()] {
            let error = Store::open(options).unwrap_err();
            assert!(matches!(error, StoreError::OtherChain { .. }) && !error.is_held(), "{error}");
            assert!(error.to_string().contains(witness), "{error}");
            if witness == "00000.log" {
                fs::remove_file(dir.path().join("votes.log")).unwrap();
            }
        }
    }
}

#[test]
fn a_block_that_does_not_extend_the_log_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(options(dir.path())).unwrap();
    let (good, other) = (chain(3, 1, 64), chain(3, 2, 64));
    for refused in [&good[1], &good[2]] {
        assert!(matches!(store.append_block(refused), Err(StoreError::Order { .. })));
    }
    store.append_block(&good[0]).unwrap();
    for refused in [&good[0], &other[1], &good[2]] {
        assert!(matches!(store.append_block(refused), Err(StoreError::Order { .. })));
    }
    assert_eq!(store.head(), None, "a block is visible only once it is durable");
    assert_eq!(store.block_by_height(Height(1)).unwrap(), None);
    store.sync_blocks().unwrap();
    assert_eq!(store.block_by_height(Height(1)).unwrap().as_ref(), Some(&good[0]));
}

#[test]
fn a_log_cut_anywhere_in_its_last_block_opens_without_that_block() {
    let blocks = chain(3, 2, 64);
    let dir = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::default();
    let path = dir.path().join("blocks/00000.log");
    let open = || Store::open_on(options(dir.path()), &disk.shared()).unwrap().0;
    let store = open();
    fill(&store, &blocks[..2]);
    let two = disk.content(&path).len();
    fill(&store, &blocks[2..]);
    drop(store);
    let three = disk.content(&path);
    for cut in (two..three.len()).step_by(7) {
        for zeroes in [0, 50] {
            disk.tamper(&path, |bytes| {
                *bytes = three[..cut].to_vec();
                bytes.resize(cut + zeroes, 0);
            });
            let store = open();
            assert_eq!(store.head().unwrap().0, Height(2), "cut at {cut}");
            assert_eq!(disk.content(&path), three[..two], "the tail is cut off");
            fill(&store, &blocks[2..]);
            assert_eq!(store.block_by_height(Height(3)).unwrap().as_ref(), Some(&blocks[2]));
        }
    }
}

#[test]
fn damage_before_the_last_block_is_refused_with_file_offset_and_remedy() {
    let blocks = chain(4, 2, 64);
    let dir = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::default();
    let path = dir.path().join("blocks/00000.log");
    let (store, _) = Store::open_on(options(dir.path()), &disk.shared()).unwrap();
    fill(&store, &blocks[..2]);
    let two = disk.content(&path).len();
    fill(&store, &blocks[2..3]);
    let three = disk.content(&path).len();
    fill(&store, &blocks[3..]);
    drop(store);
    let good = disk.content(&path);
    for at in (two..three).step_by(11).chain(two..two + 24) {
        disk.tamper(&path, |bytes| bytes[at] ^= 0x40);
        let error = Store::open_on(options(dir.path()), &disk.shared()).unwrap_err();
        let StoreError::Corrupt { path: named, offset, .. } = &error else { panic!("byte {at}: {error}") };
        assert_eq!((named, *offset), (&path, two as u64));
        assert!(error.to_string().contains("restore the folder"), "{error}");
        disk.tamper(&path, |bytes| *bytes = good.clone());
    }
    let (store, _) = Store::open_on(options(dir.path()), &disk.shared()).unwrap();
    assert_eq!(store.head().unwrap().0, Height(4));
}

#[test]
fn sealed_segments_open_by_their_index_and_without_it() {
    let dir = tempfile::tempdir().unwrap();
    let blocks = chain(40, 1, 64);
    fill(&Store::open(small_segments(dir.path())).unwrap().0, &blocks);
    let segments = Store::open(small_segments(dir.path())).unwrap().0.stats().unwrap().segments;
    assert!(segments > 3);
    let index = |number: usize| dir.path().join(format!("blocks/{number:05}.idx"));
    let original = fs::read(index(1)).unwrap();
    fs::remove_file(index(0)).unwrap();
    flip(&index(1), original.len() / 2);
    let (mut store, recovered) = Store::open(small_segments(dir.path())).unwrap();
    assert_eq!(recovered.tail.size_hint(), (40, Some(40)));
    assert_eq!(recovered.tail.collect::<Result<Vec<_>, _>>().unwrap(), blocks);
    assert!(index(0).exists());
    assert_eq!(fs::read(index(1)).unwrap(), original);
    assert!(store.verify().unwrap().is_sound());
}

#[test]
fn missing_files_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let blocks = chain(12, 1, 64);
    let (store, _) = Store::open(small_segments(dir.path())).unwrap();
    fill(&store, &blocks);
    store.flush_state(Height(12), B256::ZERO, &StateDiff { nodes: Vec::new(), codes: Vec::new() }).unwrap();
    let last = store.stats().unwrap().segments - 1;
    drop(store);
    for (file, word) in [
        ("votes.log".to_owned(), "must not sign"),
        ("blocks/00000.log".to_owned(), "00000.log"),
        ("blocks/00001.log".to_owned(), "00001.log"),
        (format!("blocks/{last:05}.log"), "state of block 12 has been flushed"),
    ] {
        let (path, aside) = (dir.path().join(&file), dir.path().join("aside"));
        fs::rename(&path, &aside).unwrap();
        let error = Store::open(small_segments(dir.path())).unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
        assert!(error.to_string().contains(word), "{error}");
        fs::rename(&aside, &path).unwrap();
    }
    Store::open(small_segments(dir.path())).unwrap();
}

#[test]
fn a_record_that_is_begun_anew_says_so_from_its_first_moment() {
    let dir = tempfile::tempdir().unwrap();
    let first = vec![vec![7], vec![8, 9]];
    let open = |replace_lost_record| {
        let first_records = first.clone();
        let (_, recovered) =
            Store::open(StoreOptions { replace_lost_record, first_records, ..options(dir.path()) })?;
        Ok::<_, StoreError>((recovered.record_created, recovered.votes))
    };
    assert_eq!(open(false).unwrap(), (true, first.clone()), "a new folder");
    assert_eq!(open(false).unwrap(), (false, first.clone()), "it is on the disk");
    fs::remove_file(dir.path().join("votes.log")).unwrap();
    assert!(matches!(open(false), Err(StoreError::Corrupt { .. })));
    assert_eq!(open(true).unwrap(), (true, first.clone()), "in place of a lost one");
    assert_eq!(open(true).unwrap(), (false, first));
}

#[test]
fn verifying_finds_damage_that_opening_does_not_look_for() {
    let dir = tempfile::tempdir().unwrap();
    let blocks = chain(12, 2, 64);
    let (mut store, _) = Store::open(small_segments(dir.path())).unwrap();
    fill(&store, &blocks);
    store.append_votes(&[vec![1], vec![2, 3]]).unwrap();
    store.sync_votes().unwrap();
    let empty = StateDiff { nodes: Vec::new(), codes: Vec::new() };
    store.flush_state(Height(8), EMPTY_ROOT, &empty).unwrap();
    let report = store.verify().unwrap();
    assert!(report.is_sound(), "{:?}", report.problems);
    assert_eq!((report.blocks, report.transactions, report.votes), (12, 24, 2));
    let reader = store.state_reader();
    assert!(matches!(store.verify(), Err(StoreError::Busy { .. })));
    drop((reader, store));

    flip(&dir.path().join("blocks/00000.log"), 700);
    let (mut store, _) = Store::open(small_segments(dir.path())).unwrap();
    let report = store.verify().unwrap();
    assert!(!report.is_sound());
    assert!(report.problems.iter().all(|problem| problem.contains("00000.log")), "{:?}", report.problems);
    store.flush_state(Height(9), B256::repeat_byte(1), &empty).unwrap();
    let problems = store.verify().unwrap().problems;
    assert!(problems.iter().any(|problem| problem.contains("state root of block 9")), "{problems:?}");
}

#[test]
fn readers_beside_the_writer_see_whole_blocks_only() {
    let dir = tempfile::tempdir().unwrap();
    let blocks = chain(200, 2, 64);
    let (store, _) = Store::open(small_segments(dir.path())).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while store.head().is_none_or(|(head, _)| head.0 < 200) {
                    if let Some((head, hash)) = store.head() {
                        for height in [head.0, head.0.div_ceil(2)] {
                            let found =
                                store.block_by_height(Height(height)).unwrap().expect("it is durable");
                            assert_eq!(found, blocks[usize::try_from(height).unwrap() - 1]);
                        }
                        assert_eq!(store.height_of(&hash).unwrap(), Some(head));
                    }
                }
            });
        }
        for (index, block) in blocks.iter().enumerate() {
            store.append_block(block).unwrap();
            if index % 3 == 0 || index == 199 {
                store.sync_blocks().unwrap();
            }
            if index % 50 == 49 {
                let height = store.head().unwrap().0;
                let diff = StateDiff { nodes: Vec::new(), codes: Vec::new() };
                store.flush_state(height, B256::ZERO, &diff).unwrap();
            }
        }
    });
}

#[test]
fn records_that_no_log_takes_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(options(dir.path())).unwrap();
    assert!(matches!(store.append_votes(&[Vec::new()]), Err(StoreError::TooLarge { size: 0, .. })));
}
