use anfs_primitives::{
    BlockHash, BoundedVec, Epoch, Height, NetworkId, SeatIndex, SignerSet, TimeoutGroup, View,
};

use super::*;

const ENTROPY: [u8; 32] = [7; 32];
const DOMAINS: u32 = 3;
const SEATS: u16 = 5;

fn secret(domain: u32, seat: u16) -> SecretKey {
    let mut seed = [1; 32];
    seed[0] = u8::try_from(domain).unwrap();
    seed[1] = u8::try_from(seat).unwrap();
    SecretKey::from_seed(&seed)
}

fn keys() -> RootKeys {
    (1..=DOMAINS)
        .map(|domain| {
            let seats = (0..SEATS).map(|seat| secret(domain, seat).public_key());
            (DomainId(domain), seats.collect())
        })
        .collect()
}

fn target(domain: u32, block: u8) -> VoteTarget {
    VoteTarget {
        network: NetworkId(7),
        epoch: Epoch::ZERO,
        domain: DomainId(domain),
        height: Height(5),
        view: View(1),
        block: BlockHash::repeat_byte(block),
    }
}

fn tally(kind: CertificateKind, domain: u32, seats: &[u16]) -> RootTally {
    let sign = |seat: &u16| sign_vote(&secret(domain, *seat), kind, &target(0, 1)).unwrap();
    let shares: Vec<BlsSignature> = seats.iter().map(sign).collect();
    RootTally {
        kind,
        target: target(0, 1),
        domain: DomainId(domain),
        seats: seats.iter().copied().map(SeatIndex).collect(),
        signature: bls::aggregate(&shares).unwrap(),
    }
}

fn shifted(signature: &BlsSignature, by: &BlsSignature) -> BlsSignature {
    bls::aggregate(&[*signature, *by]).unwrap()
}

fn negated(signature: &BlsSignature) -> BlsSignature {
    let mut negated = *signature;
    negated[0] ^= 0x20;
    negated
}

#[test]
fn tallies_are_admitted_one_by_one() {
    let kind = CertificateKind::Prepare;
    let good = vec![tally(kind, 1, &[0, 1, 2]), tally(kind, 1, &[2]), tally(kind, 3, &[4])];
    assert!(find_bad_tallies(&keys(), &good, &ENTROPY).is_empty());
    assert!(find_bad_tallies(&keys(), &[], &ENTROPY).is_empty());

    let mut bad = good;
    bad[0].seats = [0, 1].map(SeatIndex).into_iter().collect();
    bad[2].domain = DomainId(2);
    assert_eq!(find_bad_tallies(&keys(), &bad, &ENTROPY), [0, 2]);
}

#[test]
fn strangers_and_foreign_tallies_do_not_hold() {
    let kind = CertificateKind::Commit;
    let good = tally(kind, 2, &[1, 3]);
    for wrong in [
        RootTally { seats: SeatSet::of(SeatIndex(SEATS)), ..good.clone() },
        RootTally { seats: SeatSet::EMPTY, ..good.clone() },
        RootTally { domain: DomainId(DOMAINS + 1), ..good.clone() },
        RootTally { target: target(0, 2), ..good.clone() },
        RootTally { kind: CertificateKind::Prepare, ..good },
    ] {
        assert_eq!(find_bad_tallies(&keys(), &[good.clone(), wrong], &ENTROPY), [1]);
    }
    let alone = RootTally { kind: CertificateKind::Fast, ..good };
    assert_eq!(find_bad_tallies(&keys(), &[alone], &ENTROPY), [0]);
}

#[test]
fn tallies_whose_shifts_cancel_are_both_found() {
    let kind = CertificateKind::Prepare;
    let mut shares = vec![tally(kind, 1, &[0]), tally(kind, 1, &[1]), tally(kind, 2, &[2])];
    let shift = secret(9, 9).sign(ROOT_PREPARE, b"any");
    shares[0].signature = shifted(&shares[0].signature, &shift);
    shares[1].signature = shifted(&shares[1].signature, &negated(&shift));
    assert_eq!(find_bad_tallies(&keys(), &shares, &ENTROPY), [0, 1]);
}

fn certificate(kind: CertificateKind, groups: &[(u32, &[u16])]) -> RootCertificate {
    let tallies: Vec<RootTally> = groups.iter().map(|(domain, seats)| tally(kind, *domain, seats)).collect();
    let shares: Vec<BlsSignature> = tallies.iter().map(|tally| tally.signature).collect();
    let signers: Vec<SeatGroup> =
        tallies.iter().map(|tally| SeatGroup { domain: tally.domain, seats: tally.seats }).collect();
    RootCertificate {
        kind,
        target: target(0, 1),
        signers: signers.try_into().unwrap(),
        signature: bls::aggregate(&shares).unwrap(),
    }
}

#[test]
fn a_certificate_binds_kind_target_and_seats() {
    let kind = CertificateKind::Commit;
    let good = certificate(kind, &[(1, &[0, 2]), (3, &[1])]);
    assert!(verify_certificate(&keys(), &good));
    let groups = |groups: Vec<SeatGroup>| BoundedVec::try_from(groups).unwrap();
    let reversed: Vec<SeatGroup> = good.signers.iter().rev().copied().collect();
    let doubled: Vec<SeatGroup> = good.signers.iter().chain(&good.signers).copied().collect();
    for wrong in [
        RootCertificate { kind: CertificateKind::Prepare, ..good.clone() },
        RootCertificate { kind: CertificateKind::Fast, ..good.clone() },
        RootCertificate { target: target(0, 2), ..good.clone() },
        RootCertificate { target: target(1, 1), ..good.clone() },
        RootCertificate { signers: groups(reversed), ..good.clone() },
        RootCertificate { signers: groups(doubled), ..good.clone() },
        RootCertificate { signers: groups(vec![good.signers[0]]), ..good.clone() },
        RootCertificate { signers: BoundedVec::new(), ..good.clone() },
    ] {
        assert!(!verify_certificate(&keys(), &wrong), "{wrong:?}");
    }
}

#[test]
fn proposals_and_timeouts_bind_what_they_say() {
    let seat = RootSeat { domain: DomainId(2), seat: SeatIndex(3) };
    let key = *key_of(&keys(), seat).unwrap();
    let signature = sign_proposal(&secret(2, 3), &target(0, 1));
    assert!(verify_proposal(&key, &target(0, 1), &signature));
    assert!(!verify_proposal(&key, &target(0, 2), &signature));

    let timeout = timeout(Some(View(3)));
    let signed = SignedRootTimeout {
        timeout,
        certificate: None,
        signer: seat,
        signature: sign_timeout(&secret(2, 3), &timeout),
    };
    assert!(verify_timeout(&keys(), &signed));
    let lower = RootTimeout { prepared: Some(View(2)), ..timeout };
    assert!(!verify_timeout(&keys(), &SignedRootTimeout { timeout: lower, ..signed.clone() }));
    let stranger = RootSeat { seat: SeatIndex(SEATS), ..seat };
    assert!(!verify_timeout(&keys(), &SignedRootTimeout { signer: stranger, ..signed }));
}

fn timeout(prepared: Option<View>) -> RootTimeout {
    RootTimeout { network: NetworkId(7), epoch: Epoch::ZERO, height: Height(5), view: View(4), prepared }
}

fn group(prepared: Option<View>, domain: u32, seats: &[u16]) -> TimeoutGroup {
    let sign = |seat: &u16| sign_timeout(&secret(domain, *seat), &timeout(prepared));
    let shares: Vec<BlsSignature> = seats.iter().map(sign).collect();
    let seats = seats.iter().copied().map(SeatIndex).collect();
    let signers = vec![SeatGroup { domain: DomainId(domain), seats }].try_into().unwrap();
    TimeoutGroup { prepared, signers, signature: bls::aggregate(&shares).unwrap() }
}

#[test]
fn a_group_of_timeouts_binds_the_view_that_it_names() {
    let all = |groups: Vec<TimeoutGroup>| TimeoutCertificate {
        height: Height(5),
        view: View(4),
        groups: groups.try_into().unwrap(),
        prepared: None,
    };
    let holds = |certificate: &TimeoutCertificate| {
        verify_timeout_certificate(&keys(), &timeout(None), certificate, &ENTROPY)
    };
    let (none, some) = (group(None, 1, &[0, 1, 2]), group(Some(View(2)), 2, &[0, 4]));
    assert!(holds(&all(vec![none.clone(), some.clone()])));
    assert!(!holds(&all(vec![])));
    let hidden = TimeoutGroup { prepared: None, ..some.clone() };
    assert!(!holds(&all(vec![none.clone(), hidden])));
    let swapped = TimeoutGroup { signature: none.signature, ..some };
    assert!(!holds(&all(vec![none, swapped])));
}

fn shard_certificate(kind: CertificateKind, domain: u32, block: u8, verifiers: &[usize]) -> Certificate {
    let target = target(domain, block);
    let sign = |index: &usize| {
        let seat = u16::try_from(index + 1).unwrap();
        (*index, secret(domain, seat).sign(vote_tag(kind.vote()), &votes::signing_bytes(&target)))
    };
    let shares: Vec<(usize, BlsSignature)> = verifiers.iter().map(sign).collect();
    votes::build_certificate(kind, target, &shares).unwrap()
}

#[test]
fn many_shard_certificates_are_one_batch() {
    let (fast, commit) = (CertificateKind::Fast, CertificateKind::Commit);
    let good: Vec<Certificate> = (1..=DOMAINS)
        .flat_map(|domain| {
            [
                shard_certificate(fast, domain, 1, &[0, 1, 2, 3]),
                shard_certificate(commit, domain, 2, &[0, 2, 3]),
            ]
        })
        .collect();
    let find = |certificates: &[Certificate]| {
        let all: Vec<&Certificate> = certificates.iter().collect();
        find_bad_certificates(&keys(), 3, &all, &ENTROPY)
    };
    assert!(find(&good).is_empty());
    assert!(find(&[]).is_empty());
    let mut bad = good;
    // Of a quorum only, and of a kind that decides nothing.
    bad[0] = shard_certificate(fast, 1, 1, &[0, 1, 2]);
    bad[1] = shard_certificate(CertificateKind::Prepare, 1, 2, &[0, 1, 2]);
    // Another block, another shard, another signer.
    bad[2].target.block = BlockHash::repeat_byte(3);
    bad[3].target.domain = DomainId(3);
    bad[5].signers = SignerSet::from_iter([0, 1, 2]);
    assert_eq!(find(&bad), [0, 1, 2, 3, 5]);
}
