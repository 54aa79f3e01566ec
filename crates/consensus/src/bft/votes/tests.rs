use anfs_crypto::bls::SecretKey;
use anfs_primitives::{BlockHash, DomainId, Epoch, NetworkId};

use super::*;
use crate::crypto::BlsCrypto;

fn crypto(seat: u16) -> BlsCrypto {
    let secret = |seat: u16| SecretKey::from_seed(&[u8::try_from(seat).unwrap() + 1; 32]);
    let verifiers = (1..=4).map(|seat| secret(seat).public_key()).collect();
    BlsCrypto::new(Some((SeatIndex(seat), secret(seat))), secret(0).public_key(), verifiers, [3; 32])
}

fn target(block: u8) -> VoteTarget {
    VoteTarget {
        network: NetworkId(1),
        epoch: Epoch::ZERO,
        domain: DomainId(1),
        height: Height(1),
        view: View::ZERO,
        block: BlockHash::repeat_byte(block),
    }
}

fn vote(seat: u16, kind: VoteKind, block: u8) -> SignedVote {
    crypto(seat).sign_vote(SeatIndex(seat), kind, &target(block), None).unwrap()
}

fn book() -> VoteBook {
    VoteBook::new(Quorum::new(4).unwrap())
}

#[test]
fn a_certificate_needs_its_quorum_and_no_vote_less() {
    let judge = crypto(1);
    for (kind, needed) in
        [(CertificateKind::Fast, 4), (CertificateKind::Prepare, 3), (CertificateKind::Conviction, 3)]
    {
        let mut book = book();
        for seat in 1..=4u16 {
            assert_eq!(book.admit(&judge, &vote(seat, kind.vote(), 7), false), Admission::Added);
            let made = book.certify(&judge, kind, &target(7), &mut Vec::new()).unwrap();
            assert_eq!(made.is_some(), usize::from(seat) >= needed, "{kind:?} with {seat}");
            if let Some(certificate) = made {
                assert!(judge.verify_certificate(3, &certificate));
            }
        }
    }
}

/// Two colluders shift their shares so that the plain sum of the signatures stays right.
#[test]
fn shares_that_cancel_in_the_sum_are_both_thrown_out() {
    let judge = crypto(1);
    let mut book = book();
    let votes: Vec<SignedVote> = (1..=4).map(|seat| vote(seat, VoteKind::ValidFull, 7)).collect();
    let swapped = [
        votes[0].clone(),
        SignedVote { signature: votes[2].signature, ..votes[1].clone() },
        SignedVote { signature: votes[1].signature, ..votes[2].clone() },
        votes[3].clone(),
    ];
    let mut bad = Vec::new();
    for vote in &swapped {
        assert_eq!(book.admit(&judge, vote, false), Admission::Added);
        assert_eq!(book.certify(&judge, CertificateKind::Prepare, &target(7), &mut bad).unwrap(), None);
    }
    bad.sort_unstable();
    assert_eq!(bad, vec![SeatIndex(2), SeatIndex(3)]);
    // They are not heard again on this matter, whatever they sign now.
    assert_eq!(book.admit(&judge, &votes[1], false), Admission::Ignored);
}

#[test]
fn contradicting_votes_are_evidence_once_both_signatures_hold() {
    let judge = crypto(1);
    let mut book = book();
    let first = vote(2, VoteKind::ValidFull, 7);
    let second = vote(2, VoteKind::ValidFull, 8);
    assert_eq!(book.admit(&judge, &first, false), Admission::Added);
    let forged = SignedVote { signature: first.signature, ..second };
    assert_eq!(book.admit(&judge, &forged, false), Admission::BadSignature);
    let mut other = self::book();
    assert_eq!(other.admit(&judge, &first, false), Admission::Added);
    let expected = Evidence::Votes { first, second: second.clone() };
    assert_eq!(other.admit(&judge, &second, false), Admission::Equivocation(Box::new(expected)));
    assert_eq!(other.admit(&judge, &second, false), Admission::Ignored, "reported once");
}

#[test]
fn strangers_do_not_count_and_decided_heights_are_forgotten() {
    let judge = crypto(1);
    let mut book = book();
    let stranger = SignedVote { signer: SeatIndex(5), ..vote(1, VoteKind::Commit, 7) };
    assert_eq!(book.admit(&judge, &stranger, false), Admission::NotMember);
    let generator = SignedVote { signer: SeatIndex::GENERATOR, ..stranger };
    assert_eq!(book.admit(&judge, &generator, false), Admission::NotMember);
    assert!(book.is_empty());
    book.admit(&judge, &vote(1, VoteKind::Commit, 7), true);
    assert_eq!(book.len(), 1);
    book.prune(Height(1));
    assert!(book.is_empty());
}

#[test]
fn alerts_are_told_once_they_are_verified() {
    let judge = crypto(1);
    let mut book = book();
    let alert = vote(2, VoteKind::InvalidSliced, 7);
    book.admit(&judge, &alert, false);
    assert!(!book.is_alarmed(&target(7)) && book.alerts(Height(1), &target(7).block).is_empty());
    assert!(book.confirm(&judge, &alert));
    assert!(book.is_alarmed(&target(7)) && !book.is_alarmed(&target(8)));
    assert_eq!(book.alerts(Height(1), &target(7).block), vec![alert]);
}
