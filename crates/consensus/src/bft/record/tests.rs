use anfs_primitives::{BlsSignature, DomainId, Epoch, NetworkId, SeatIndex, ViewChange};
use proptest::prelude::*;

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

/// Nothing is signed where an imported record is silent, decided or not; once all of that is decided, the log
/// need not say so any more.
#[test]
fn a_floor_bars_what_it_is_silent_of_until_that_is_decided() {
    let log = vec![vote(VoteKind::ValidSliced, target(5, 0, 7)), LogRecord::Floor(Height(9))];
    let mut record = SigningRecord::replay(Height(3), log);
    assert_eq!(record.silent(), Some(Height(9)));
    for height in 4..=9 {
        assert!(!record.may_vote(VoteKind::Commit, &target(height, 4, 8)));
        assert!(!record.may_propose(Height(height), View(4)));
    }
    assert!(record.may_vote(VoteKind::ValidSliced, &target(10, 0, 8)));
    record.decided(Height(8));
    assert_eq!(SigningRecord::replay(Height(8), record.live()).silent(), Some(Height(9)));
    record.decided(Height(9));
    assert_eq!((record.silent(), record.live()), (None, Vec::new()));
    assert_eq!(SigningRecord::replay(Height(9), vec![LogRecord::Floor(Height(9))]).silent(), None);
}

#[test]
fn the_last_standing_counts_and_stays_in_the_log_unless_it_is_sound() {
    let standing = |standing| LogRecord::Standing(standing);
    let log =
        vec![standing(Standing::Lost), vote(VoteKind::Commit, target(4, 0, 7)), standing(Standing::Retired)];
    let mut record = SigningRecord::replay(Height(3), log);
    assert_eq!(record.standing(), Standing::Retired);
    record.decided(Height(50));
    assert_eq!(record.live(), [standing(Standing::Retired)]);
    record.add(standing(Standing::Sound));
    assert_eq!(SigningRecord::replay(Height(3), record.live()).standing(), Standing::Sound);
}

fn entry() -> impl Strategy<Value = LogRecord> {
    let kinds = [
        VoteKind::ValidSliced,
        VoteKind::ValidFull,
        VoteKind::InvalidSliced,
        VoteKind::InvalidFull,
        VoteKind::Commit,
    ];
    prop_oneof![
        6 => (prop::sample::select(kinds.to_vec()), 0..8u64, 0..5u64, 0..3u8)
            .prop_map(|(kind, height, view, block)| vote(kind, target(height, view, block))),
        1 => (0..5u64).prop_map(promise),
        1 => (0..8u64).prop_map(|height| LogRecord::Floor(Height(height))),
    ]
}

/// A record, and the height that its seat has decided.
fn record() -> impl Strategy<Value = (Height, SigningRecord)> {
    (0..4u64, prop::collection::vec(entry(), 0..12))
        .prop_map(|(decided, log)| (Height(decided), SigningRecord::replay(Height(decided), log)))
}

/// Everything that a small record could be asked to sign.
fn asks() -> impl Iterator<Item = (VoteKind, VoteTarget)> {
    let kinds = [VoteKind::ValidSliced, VoteKind::ValidFull, VoteKind::InvalidFull, VoteKind::Commit];
    (0..9u64).flat_map(move |height| {
        (0..6u64).flat_map(move |view| {
            (0..4u8).flat_map(move |block| kinds.map(move |kind| (kind, target(height, view, block))))
        })
    })
}

proptest! {
    #[test]
    fn a_merged_record_forbids_what_either_forbids((decided, ours) in record(), (_, theirs) in record()) {
        let mut merged = ours.clone();
        merged.merge(theirs.live());
        // The floor of a record is said beside it: see the record's file.
        merged.merge([LogRecord::Floor(theirs.floor)]);
        for (kind, target) in asks() {
            if merged.may_vote(kind, &target) {
                prop_assert!(ours.may_vote(kind, &target) && theirs.may_vote(kind, &target), "{target:?}");
            }
            let (height, view) = (target.height, target.view);
            if merged.may_propose(height, view) {
                prop_assert!(ours.may_propose(height, view) && theirs.may_propose(height, view));
            }
        }
        prop_assert_eq!(merged.promised(), ours.promised().max(theirs.promised()));
        prop_assert!(merged.silent() >= ours.silent());

        let once = merged.live();
        merged.merge(theirs.live());
        merged.merge(once.clone());
        prop_assert_eq!(&merged.live(), &once, "a second time changes nothing");
        prop_assert_eq!(SigningRecord::replay(decided, once.clone()).live(), once, "nor does a restart");
    }

    #[test]
    fn two_blocks_of_one_view_show_that_two_processes_signed(log in prop::collection::vec(entry(), 0..12)) {
        let record = SigningRecord::replay(Height(0), log);
        for (height, view) in record.contradictions() {
            let blocks: Vec<_> = record.votes(height, view).iter().map(|vote| vote.target.block).collect();
            prop_assert!(blocks.iter().any(|block| *block != blocks[0]));
            let mut here = asks().filter(|(_, target)| (target.height, target.view) == (height, view));
            let silenced = here.all(|(kind, target)| !record.may_vote(kind, &target));
            prop_assert!(silenced, "no third vote makes it worse");
        }
    }
}
