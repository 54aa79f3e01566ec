//! What a seat keeps of the root, on a disk that fails at every operation.

use std::path::PathBuf;
use std::sync::Arc;

use alloy_primitives::B256;
use anfs_primitives::{
    BlsSignature, BoundedVec, CertificateKind, CertifiedRootBlock, DomainId, Epoch, Height, NetworkId,
    RootBlock, RootCertificate, RootExecution, RootHeader, RootSeat, SeatIndex, Supply, View, VoteTarget,
};
use anfs_store::{RootRecovered, RootStore, RootStoreOptions, StoreError};

use crate::disk::{Failure, FaultyDisk, Survival};

const GENESIS: B256 = B256::repeat_byte(7);

fn block(height: u64) -> CertifiedRootBlock {
    let header = RootHeader {
        network: NetworkId(9),
        height: Height(height),
        parent: B256::with_last_byte(1),
        epoch: Epoch::ZERO,
        view: View::ZERO,
        proposer: RootSeat { domain: DomainId(1), seat: SeatIndex(0) },
        timestamp_ms: height,
        references_root: B256::ZERO,
        tips: BoundedVec::new(),
        inbound_root: B256::ZERO,
        parent_commit: B256::ZERO,
        execution: RootExecution::default(),
        supply: Supply::default(),
    };
    let header = header.seal();
    let target = VoteTarget {
        network: NetworkId(9),
        epoch: Epoch::ZERO,
        domain: DomainId(0),
        height: Height(height),
        view: View::ZERO,
        block: header.hash(),
    };
    let certificate = RootCertificate {
        kind: CertificateKind::Commit,
        target,
        signers: BoundedVec::new(),
        signature: BlsSignature::ZERO,
    };
    let (references, inbound) = Default::default();
    let block = RootBlock { header, references, inbound, parent_commit: None };
    CertifiedRootBlock { block: Arc::new(block), certificate }
}

fn options() -> RootStoreOptions {
    let dir = PathBuf::from("/seat/root");
    RootStoreOptions { dir, network: NetworkId(9), genesis: GENESIS, founding: true }
}

fn open(disk: &FaultyDisk) -> Result<(RootStore, RootRecovered), StoreError> {
    RootStore::open(options(), &disk.shared())
}

/// What was acknowledged before the disk failed.
#[derive(Debug, Default)]
struct Done {
    blocks: u64,
    votes: usize,
    state: u64,
}

/// Blocks, votes and states in turn, until the disk fails or all are written.
fn work(disk: &FaultyDisk) -> Done {
    let mut done = Done::default();
    let Ok((store, _)) = open(disk) else { return done };
    for height in 1..=4u8 {
        let voted = store.append_vote(&[1, height]).and_then(|()| store.sync_votes());
        if voted.is_err() {
            break;
        }
        done.votes += 1;
        if store.append(&block(height.into())).is_err() {
            break;
        }
        done.blocks = height.into();
        if height.is_multiple_of(2) {
            if store.save_state(Height(height.into()), &[height; 100]).is_err() {
                break;
            }
            done.state = height.into();
        }
    }
    done
}

#[test]
fn what_was_acknowledged_survives_a_crash_at_any_operation() {
    let whole = FaultyDisk::default();
    work(&whole);
    let survivals = (0..6).map(Survival::Some).chain([Survival::Nothing, Survival::Everything]);
    for survival in survivals {
        for at in 0..whole.operations() {
            let disk = FaultyDisk::default();
            disk.fail_at(at, Failure::Crash);
            let done = work(&disk);
            disk.restart(survival);
            let (store, recovered) = open(&disk).unwrap();
            assert!(store.head().0 >= done.blocks, "{survival:?} at {at}: {done:?}");
            for height in 1..=store.head().0 {
                assert_eq!(store.block(Height(height)).unwrap(), Some(block(height)));
            }
            assert!(recovered.votes.len() >= done.votes, "{survival:?} at {at}: {done:?}");
            let saved = recovered.state.map_or(0, |(height, state)| {
                assert_eq!(state, [u8::try_from(height.0).unwrap(); 100]);
                height.0
            });
            assert!(saved >= done.state, "{survival:?} at {at}: {done:?}");
            let next = store.head().next();
            store.append(&block(next.0)).unwrap();
            assert_eq!(store.block(next).unwrap(), Some(block(next.0)));
        }
    }
}

#[test]
fn a_full_disk_takes_the_block_later() {
    let disk = FaultyDisk::default();
    let (store, recovered) = open(&disk).unwrap();
    assert!(!recovered.unsure && recovered.state.is_none());
    disk.fail_at(disk.operations(), Failure::Full);
    assert!(store.append(&block(1)).is_err());
    assert_eq!(store.head(), Height::ZERO);
    store.append(&block(1)).unwrap();
    assert_eq!(store.block(Height(1)).unwrap(), Some(block(1)));
    assert_eq!(store.block(Height(2)).unwrap(), None);
}

#[test]
fn the_folder_of_another_network_is_refused() {
    let disk = FaultyDisk::default();
    drop(open(&disk).unwrap());
    let options = RootStoreOptions { network: NetworkId(8), ..options() };
    assert!(matches!(RootStore::open(options, &disk.shared()), Err(StoreError::OtherChain { .. })));
}

#[test]
fn a_damaged_state_is_added_up_again() {
    let disk = FaultyDisk::default();
    work(&disk);
    disk.tamper(&PathBuf::from("/seat/root/state"), |bytes| *bytes.last_mut().unwrap() ^= 1);
    let (store, recovered) = open(&disk).unwrap();
    assert_eq!((recovered.state, store.head()), (None, Height(4)));
}

#[test]
fn a_lost_record_is_not_taken_for_a_whole_one_until_it_is_settled() {
    let later = || RootStoreOptions { founding: false, ..options() };
    let reopen = |disk: &FaultyDisk| RootStore::open(later(), &disk.shared());
    let disk = FaultyDisk::default();
    work(&disk);
    assert!(!reopen(&disk).unwrap().1.unsure);

    let whole = FaultyDisk::default();
    drop(reopen(&whole).unwrap());
    for at in 0..whole.operations() {
        let disk = FaultyDisk::default();
        disk.fail_at(at, Failure::Crash);
        drop(reopen(&disk));
        disk.restart(Survival::Some(at as u64));
        let (store, recovered) = reopen(&disk).unwrap();
        assert!(recovered.unsure, "crashed at {at}");
        store.settle().unwrap();
        drop(store);
        assert!(!reopen(&disk).unwrap().1.unsure);
    }
}
