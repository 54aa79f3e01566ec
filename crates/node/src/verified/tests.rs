use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anfs_primitives::{BlockHash, ChainSpec, Epoch, Height, NetworkId, View};
use anfs_state::EMPTY_ROOT;

use super::*;
use crate::genesis::{DEFAULT_MNEMONIC, GenesisChoices, devnet_spec, seat_key};
use crate::testing;

const SHARD: DomainId = DomainId(1);

fn crypto(seat: u16, verified: &Arc<Verified>) -> SharedCrypto {
    let seat = SeatIndex(seat);
    let own = Some((seat, seat_key(DEFAULT_MNEMONIC, SHARD, seat)));
    let inner = BlsCrypto::from_spec(own, &testing::spec().shards[0], [3; 32]).unwrap();
    SharedCrypto { inner, domain: SHARD, quorum: Quorum::new(4).unwrap(), verified: verified.clone() }
}

fn target(block: u8) -> VoteTarget {
    VoteTarget {
        network: NetworkId(1),
        epoch: Epoch::ZERO,
        domain: SHARD,
        height: Height(1),
        view: View::ZERO,
        block: BlockHash::repeat_byte(block),
    }
}

#[test]
fn a_question_is_worked_out_once_however_many_ask_at_once() {
    let (verified, start, runs) = (Verified::default(), Barrier::new(8), AtomicUsize::new(0));
    let asks = || {
        start.wait();
        verified.ask(B256::repeat_byte(1), || {
            runs.fetch_add(1, Ordering::Relaxed);
            true
        })
    };
    thread::scope(|scope| {
        let answers: Vec<_> = (0..8).map(|_| scope.spawn(asks)).collect();
        assert!(answers.into_iter().all(|answer| answer.join().unwrap()));
    });
    assert_eq!(runs.into_inner(), 1);
}

#[test]
fn what_was_found_bad_is_not_kept() {
    let verified = Verified::default();
    assert!(!verified.ask(B256::ZERO, || false));
    assert!(!verified.knows(&B256::ZERO));
    assert!(verified.ask(B256::ZERO, || true), "the next one who asks is not told of it");
}

#[test]
fn old_answers_make_room() {
    let verified = Verified::default();
    for at in 0..=KEPT as u64 {
        verified.note(keccak256(at.to_be_bytes()));
    }
    assert!(!verified.knows(&keccak256(0u64.to_be_bytes())));
    assert!(verified.knows(&keccak256(1u64.to_be_bytes())));
    assert_eq!(verified.0.lock().by_digest.len(), KEPT);
}

#[test]
fn a_bad_vote_among_known_ones_is_found_by_each_seat() {
    let verified = Arc::default();
    let seats: Vec<SharedCrypto> = (1..=4).map(|seat| crypto(seat, &verified)).collect();
    let kind = VoteKind::ValidFull;
    let mut votes: Vec<(usize, BlsSignature)> = (1u16..=4)
        .zip(&seats)
        .map(|(seat, crypto)| {
            let vote = crypto.sign_vote(SeatIndex(seat), kind, &target(1), None).unwrap();
            (usize::from(seat) - 1, vote.signature)
        })
        .collect();
    assert!(seats[0].verify_votes(kind, &target(1), &votes[..2]).is_empty());
    votes[2].1 = votes[1].1;
    for seat in &seats {
        assert_eq!(seat.verify_votes(kind, &target(1), &votes), [2], "of votes that are known and new");
        assert_eq!(seat.verify_votes(kind, &target(2), &votes), [0, 1, 2, 3], "known for another block");
        let other = VoteKind::Commit;
        assert_eq!(seat.verify_votes(other, &target(1), &votes), [0, 1, 2, 3], "known as another kind");
    }
}

#[test]
fn a_certificate_known_with_one_quorum_is_not_with_a_higher_one() {
    let verified = Arc::default();
    let seats: Vec<SharedCrypto> = (1..=4).map(|seat| crypto(seat, &verified)).collect();
    let votes: Vec<(usize, BlsSignature)> = (1u16..=3)
        .zip(&seats)
        .map(|(seat, crypto)| {
            let vote = crypto.sign_vote(SeatIndex(seat), VoteKind::Commit, &target(1), None).unwrap();
            (usize::from(seat) - 1, vote.signature)
        })
        .collect();
    let certificate = seats[0].aggregate(CertificateKind::Commit, &target(1), &votes).unwrap();
    assert!(seats[0].verify_certificate(3, &certificate));
    assert!(!seats[1].verify_certificate(4, &certificate));
    let forged = Certificate { target: target(2), ..certificate };
    assert!(!seats[1].verify_certificate(3, &forged));
    assert!(seats[2].verify_certificate(3, &certificate));
}

fn networks_spec(shards: u32) -> ChainSpec {
    let choices = GenesisChoices { shards, ..testing::choices() };
    devnet_spec(&choices).unwrap()
}

/// Signed by the quorum of a shard's verifiers, and found good by it, whatever shard the target names.
fn certify(signing: &[SharedCrypto], kind: CertificateKind, target: VoteTarget) -> ShardReference {
    let votes: Vec<(usize, BlsSignature)> = (1u16..=3)
        .zip(signing)
        .map(|(seat, crypto)| {
            let vote = crypto.sign_vote(SeatIndex(seat), kind.vote(), &target, None).unwrap();
            (usize::from(seat) - 1, vote.signature)
        })
        .collect();
    let certificate = signing[0].aggregate(kind, &target, &votes).unwrap();
    assert!(signing[0].verify_certificate(3, &certificate));
    let header = networks_spec(2).genesis_header(target.domain, EMPTY_ROOT, EMPTY_ROOT).seal();
    ShardReference { header, certificate }
}

#[test]
fn the_root_knows_what_a_shard_has_verified_and_nothing_more() {
    let verified = Arc::default();
    let shard: Vec<SharedCrypto> = (1..=4).map(|seat| crypto(seat, &verified)).collect();
    let spec = networks_spec(2);
    let inner = BlsRootCrypto::from_spec(None, &spec, [4; 32]).unwrap();
    let quorum = usize::from(spec.quorum());
    let root = SharedRootCrypto { inner, quorum, verified: verified.clone() };

    let good = certify(&shard, CertificateKind::Commit, target(1));
    assert!(verified.knows(&root.reference(&good)), "it is not verified again");
    assert!(root.verify_references(&[&good]).is_empty());

    let undecided = certify(&shard, CertificateKind::Prepare, target(2));
    assert_eq!(root.verify_references(&[&good, &undecided]), [1], "a prepared block is not decided");
    let elsewhere = certify(&shard, CertificateKind::Commit, VoteTarget { domain: DomainId(2), ..target(3) });
    assert_eq!(root.verify_references(&[&elsewhere, &good]), [0], "shard 1 cannot decide for shard 2");
}

#[test]
fn a_certificate_is_known_if_it_adds_up_enough_known_votes() {
    let verified = Arc::default();
    let shard: Vec<SharedCrypto> = (1..=4).map(|seat| crypto(seat, &verified)).collect();
    let votes = |block| -> Vec<(usize, BlsSignature)> {
        let sign = |(seat, crypto): (u16, &SharedCrypto)| {
            let vote = crypto.sign_vote(SeatIndex(seat), VoteKind::Commit, &target(block), None);
            (usize::from(seat) - 1, vote.unwrap().signature)
        };
        (1u16..).zip(&shard).map(sign).collect()
    };
    let known = |certificate| verified.knows(&certificate_digest(SHARD, 3, &certificate));
    let add =
        |block, votes: &[_]| shard[0].aggregate(CertificateKind::Commit, &target(block), votes).unwrap();

    let first = votes(1);
    assert!(!known(add(1, &first)), "nobody has verified the votes");
    assert!(shard[1].verify_votes(VoteKind::Commit, &target(1), &first[..3]).is_empty());
    assert!(!known(add(1, &first[..2])), "too few");
    assert!(!known(add(1, &first)), "one is not verified");
    assert!(known(add(1, &first[..3])));
    assert!(shard[2].inner.verify_certificate(3, &add(1, &first[..3])), "and it is good");
    let other = votes(2);
    assert!(!known(add(2, &[first[0], first[1], other[2]])), "votes for another block count for nothing");
}
