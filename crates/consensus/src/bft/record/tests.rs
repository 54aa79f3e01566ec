use anfs_primitives::{BlsSignature, DomainId, Epoch, NetworkId, SeatIndex, ViewChange};

use super::*;

fn target(height: u64, view: u64, block: u8) -> VoteTarget {
    VoteTarget {
        network: NetworkId(1),
        epoch: Epoch::ZERO,
        domain: DomainId(1),
        height: Height(height),
        view: View(view),
        block: BlockHash::repeat_byte(block),
    }
}

fn vote(kind: VoteKind, target: VoteTarget) -> LogRecord {
    let signature = BlsSignature::ZERO;
    LogRecord::Vote(SignedVote { kind, target, fault: None, signer: SeatIndex(1), signature })
}

fn promise(view: u64) -> LogRecord {
    let change = ViewChange {
        network: NetworkId(1),
        epoch: Epoch::ZERO,
        domain: DomainId(1),
        view: View(view),
        decided: anfs_primitives::BoundedVec::new(),
        reports: anfs_primitives::BoundedVec::new(),
    };
    LogRecord::ViewChange(Box::new(SignedViewChange {
        change,
        signer: SeatIndex(1),
        signature: BlsSignature::ZERO,
    }))
}

#[test]
fn one_block_a_view_and_one_vote_of_a_kind() {
    let record = SigningRecord::replay(Height(3), vec![vote(VoteKind::ValidSliced, target(4, 0, 7))]);
    assert!(!record.may_vote(VoteKind::ValidSliced, &target(4, 0, 7)), "said already");
    assert!(record.may_vote(VoteKind::ValidFull, &target(4, 0, 7)));
    assert!(record.may_vote(VoteKind::InvalidFull, &target(4, 0, 7)), "the whole may be wrong (R7)");
    assert!(!record.may_vote(VoteKind::InvalidSliced, &target(4, 0, 7)), "its own slices were right");
    assert!(!record.may_vote(VoteKind::ValidFull, &target(4, 0, 8)), "another block of the same view");
    assert!(record.may_vote(VoteKind::ValidFull, &target(4, 1, 8)), "another view");
    assert!(!record.may_vote(VoteKind::ValidFull, &target(3, 1, 8)), "decided");
}

#[test]
fn nobody_commits_to_what_he_called_invalid() {
    let record = SigningRecord::replay(Height(3), vec![vote(VoteKind::InvalidFull, target(4, 0, 7))]);
    for kind in [VoteKind::Commit, VoteKind::ValidFull, VoteKind::ValidSliced] {
        assert!(!record.may_vote(kind, &target(4, 0, 7)), "{kind:?}");
    }
}

#[test]
fn a_promise_closes_all_lower_views_for_good() {
    let mut record = SigningRecord::replay(Height(3), vec![promise(2), promise(1)]);
    assert_eq!(record.promised(), View(2));
    for view in [0, 1] {
        assert!(!record.may_vote(VoteKind::ValidSliced, &target(9, view, 7)));
        assert!(!record.may_propose(Height(9), View(view)));
    }
    assert!(record.may_vote(VoteKind::ValidSliced, &target(9, 2, 7)));
    record.decided(Height(50));
    assert!(!record.may_vote(VoteKind::ValidSliced, &target(51, 1, 7)), "whatever is decided since");
    assert!(record.live().contains(&promise(2)), "and it stays in the log");
}

#[test]
fn the_latest_approval_is_the_one_of_the_highest_view() {
    let log = vec![
        vote(VoteKind::ValidSliced, target(4, 0, 7)),
        vote(VoteKind::ValidSliced, target(4, 3, 8)),
        vote(VoteKind::ValidFull, target(4, 5, 9)),
        vote(VoteKind::ValidSliced, target(5, 6, 1)),
    ];
    let record = SigningRecord::replay(Height(3), log);
    assert_eq!(record.approved(Height(4)), Some((View(3), BlockHash::repeat_byte(8))));
    assert_eq!(record.highest_view(), View(6));
    assert_eq!(record.approved(Height(6)), None);
}

#[test]
fn a_replayed_log_is_the_record_that_wrote_it() {
    let mut record = SigningRecord::replay(Height(3), Vec::new());
    for entry in
        [vote(VoteKind::ValidSliced, target(4, 0, 7)), promise(1), vote(VoteKind::Commit, target(5, 1, 2))]
    {
        record.add(entry);
    }
    let again = SigningRecord::replay(Height(3), record.live());
    assert_eq!(again.live(), record.live());
    assert_eq!(again.promised(), View(1));
}

/// A PrepareCert is logged before the commit that answers it: a crash may come between the two.
#[test]
fn a_logged_prepare_certificate_is_proof_of_its_view() {
    let prepared = LogRecord::Prepared(Certificate {
        kind: anfs_primitives::CertificateKind::Prepare,
        target: target(4, 2, 7),
        signers: anfs_primitives::SignerSet::EMPTY,
        signature: BlsSignature::ZERO,
    });
    let record =
        SigningRecord::replay(Height(3), vec![vote(VoteKind::ValidSliced, target(4, 0, 7)), prepared]);
    assert_eq!(record.highest_view(), View(2));
}
