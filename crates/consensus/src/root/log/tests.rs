use anfs_primitives::{
    BlsSignature, BoundedVec, DomainId, Epoch, NetworkId, RootExecution, RootHeader, RootSeat, RootTimeout,
    SeatIndex, SeatSet, Supply, VoteTarget,
};

use super::*;

fn target(height: u64, view: u64, block: RootHash) -> VoteTarget {
    VoteTarget {
        network: NetworkId(1),
        epoch: Epoch::ZERO,
        domain: DomainId(0),
        height: Height(height),
        view: View(view),
        block,
    }
}

fn vote(kind: CertificateKind, height: u64, view: u64) -> RootLogRecord {
    let seats = SeatSet::of(SeatIndex(0));
    let target = target(height, view, RootHash::ZERO);
    RootLogRecord::Vote(RootTally { kind, target, domain: DomainId(1), seats, signature: BlsSignature::ZERO })
}

fn certificate(height: u64, view: u64, block: RootHash) -> RootCertificate {
    let target = target(height, view, block);
    let signers = BoundedVec::new();
    RootCertificate { kind: CertificateKind::Prepare, target, signers, signature: BlsSignature::ZERO }
}

const SEAT: RootSeat = RootSeat { domain: DomainId(1), seat: SeatIndex(0) };

fn timeout(height: u64, view: u64, prepared: Option<u64>) -> RootLogRecord {
    let timeout = RootTimeout {
        network: NetworkId(1),
        epoch: Epoch::ZERO,
        height: Height(height),
        view: View(view),
        prepared: prepared.map(View),
    };
    let certificate = prepared.map(|view| certificate(height, view, RootHash::ZERO));
    let signature = BlsSignature::ZERO;
    RootLogRecord::Timeout(Box::new(SignedRootTimeout { timeout, certificate, signer: SEAT, signature }))
}

fn block(height: u64, view: u64) -> Arc<RootBlock> {
    let header = RootHeader {
        network: NetworkId(1),
        height: Height(height),
        parent: RootHash::ZERO,
        epoch: Epoch::ZERO,
        view: View(view),
        proposer: SEAT,
        timestamp_ms: 1,
        references_root: RootHash::ZERO,
        tips: BoundedVec::new(),
        inbound_root: RootHash::ZERO,
        parent_commit: RootHash::ZERO,
        execution: RootExecution::default(),
        supply: Supply::default(),
    };
    let (references, inbound) = Default::default();
    Arc::new(RootBlock { header: header.seal(), references, inbound, parent_commit: None })
}

const PREPARE: CertificateKind = CertificateKind::Prepare;
const COMMIT: CertificateKind = CertificateKind::Commit;

#[test]
fn nothing_is_signed_twice_or_in_a_view_that_was_left() {
    let log = vec![vote(PREPARE, 5, 2), timeout(5, 3, None)];
    let record = RootRecord::replay(Height(4), log);
    let five = Height(5);
    assert!(!record.may_vote(five, View(2), PREPARE) && !record.may_vote(five, View(2), COMMIT));
    assert!(!record.may_propose(five, View(3)) && !record.may_leave(five, View(3)));
    assert!(record.may_vote(five, View(4), PREPARE) && record.may_leave(five, View(4)));
    assert!(!record.may_vote(Height(4), View(9), PREPARE), "it is final");
    assert_eq!(record.highest_view(five), View(3));
    assert_eq!(record.highest_view(Height(6)), View::ZERO);
}

#[test]
fn the_lock_is_the_highest_prepare_cert_whichever_record_holds_it() {
    let locked = RootLogRecord::Prepared(certificate(5, 1, RootHash::ZERO));
    let record = RootRecord::replay(Height(4), vec![locked.clone(), timeout(5, 3, Some(2))]);
    assert_eq!(record.prepared(Height(5)).unwrap().target.view, View(2));
    let record = RootRecord::replay(Height(4), vec![timeout(5, 3, None), locked]);
    assert_eq!(record.prepared(Height(5)).unwrap().target.view, View(1));
}

#[test]
fn live_records_replay_to_the_same_and_final_heights_go() {
    let log = vec![
        vote(PREPARE, 5, 0),
        RootLogRecord::Block(block(5, 0)),
        vote(COMMIT, 6, 1),
        RootLogRecord::Block(block(6, 1)),
        RootLogRecord::Prepared(certificate(6, 1, RootHash::ZERO)),
        timeout(6, 1, Some(1)),
    ];
    let mut record = RootRecord::replay(Height(4), log.clone());
    record.finalised(Height(5));
    let live = record.live();
    assert_eq!(live.len(), 4);
    assert!(live.iter().all(|entry| log.contains(entry) && entry.scope() == Height(6)));
    assert_eq!(RootRecord::replay(Height(5), live.clone()).live(), live);
    for entry in live {
        assert_eq!(RootLogRecord::from_bytes(&entry.to_bytes()).unwrap(), entry);
    }
}

#[test]
fn of_many_blocks_the_latest_and_the_locked_one_stay() {
    let mut record = RootRecord::replay(Height(4), Vec::new());
    let locked = block(5, 0);
    record.add(RootLogRecord::Block(locked.clone()));
    record.add(RootLogRecord::Prepared(certificate(5, 0, locked.header.hash())));
    for view in 1..=20 {
        record.add(RootLogRecord::Block(block(5, view)));
    }
    assert!(record.block(Height(5), locked.header.hash()).is_some());
    assert!(record.block(Height(5), block(5, 20).header.hash()).is_some());
    assert!(record.block(Height(5), block(5, 1).header.hash()).is_none());
    assert_eq!(record.live().len(), 1 + 1 + SPARE_BLOCKS);
}
