use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, U256};
use anfs_primitives::spec::{EvmFork, IssuanceSpec, ShardSpec};
use anfs_primitives::{BlockHash, ChainSpec, DomainId, Epoch, Height, NetworkId, ValidatorSpec, View};

use super::*;

fn key(id: u8) -> SecretKey {
    SecretKey::from_seed(&[id; 32])
}

fn verifiers(count: u8) -> Vec<PublicKey> {
    (1..=count).map(|id| key(id).public_key()).collect()
}

fn target() -> VoteTarget {
    VoteTarget {
        network: NetworkId(31337),
        epoch: Epoch(1),
        domain: DomainId(2),
        height: Height(3),
        view: View(4),
        block: BlockHash::repeat_byte(5),
    }
}

fn header() -> SealedHeader {
    let seat = |id: u8| ValidatorSpec {
        public_key: key(id).public_key().to_bytes(),
        proof_of_possession: key(id).prove_possession(),
        beneficiary: Address::repeat_byte(id),
        stake: U256::from(1),
    };
    let spec = ChainSpec {
        name: "votes".into(),
        network: NetworkId(31337),
        genesis_time_ms: 0,
        evm_fork: EvmFork::Osaka,
        slot_ms: 250,
        hashes_per_slot: 32,
        ticks_per_slot: 16,
        block_gas_limit: 30_000_000,
        initial_base_fee: 1_000_000_000,
        base_fee_change_denominator: 8,
        base_fee_min: 7,
        verifiers_per_shard: 1,
        slice_redundancy: 1,
        pipeline_depth: 4,
        fast_timeout_ms: 1_000,
        view_timeout_ms: 3_000,
        root_block_ms: 500,
        root_timeout_ms: 4_000,
        max_supply: U256::ZERO,
        issuance: IssuanceSpec::NONE,
        shards: vec![ShardSpec { generator: seat(1), verifiers: vec![seat(2)] }],
        accounts: BTreeMap::new(),
    };
    spec.genesis_header(DomainId(1), B256::ZERO, B256::ZERO).seal()
}

fn certificate(kind: CertificateKind, signers: &[usize]) -> Certificate {
    let votes: Vec<(usize, BlsSignature)> = signers
        .iter()
        .map(|&index| {
            let key = key(u8::try_from(index + 1).unwrap());
            (index, sign_vote(&key, kind.vote(), target(), None, SeatIndex(0)).signature)
        })
        .collect();
    build_certificate(kind, target(), &votes).unwrap()
}

#[test]
fn a_vote_binds_its_kind_and_every_field_of_its_target() {
    let vote = sign_vote(&key(1), VoteKind::ValidFull, target(), None, SeatIndex(1));
    let public = key(1).public_key();
    assert!(verify_vote(&public, &vote));
    assert!(!verify_vote(&key(2).public_key(), &vote));
    let changes: [fn(&mut SignedVote); 7] = [
        |v| v.kind = VoteKind::Commit,
        |v| v.target.network = NetworkId(1),
        |v| v.target.epoch = Epoch(9),
        |v| v.target.domain = DomainId(9),
        |v| v.target.height = Height(9),
        |v| v.target.view = View(9),
        |v| v.target.block = BlockHash::ZERO,
    ];
    for change in changes {
        let mut changed = vote.clone();
        change(&mut changed);
        assert!(!verify_vote(&public, &changed), "{changed:?}");
    }
}

#[test]
fn votes_with_different_faults_aggregate() {
    let kind = CertificateKind::Conviction;
    let faults = [None, Some(Fault::Shape), Some(Fault::Clock { entry: 3 })];
    let votes: Vec<(usize, BlsSignature)> = faults
        .into_iter()
        .zip(1u8..)
        .enumerate()
        .map(|(index, (fault, id))| {
            let seat = SeatIndex(u16::from(id));
            (index, sign_vote(&key(id), kind.vote(), target(), fault, seat).signature)
        })
        .collect();
    let certificate = build_certificate(kind, target(), &votes).unwrap();
    assert!(verify_certificate(&verifiers(4), 3, &certificate));
}

#[test]
fn a_proposal_binds_its_header() {
    let proposal = sign_proposal(&key(1), &header());
    assert!(verify_proposal(&key(1).public_key(), &proposal));
    assert!(!verify_proposal(&key(2).public_key(), &proposal));
    let mut other = header().into_header();
    other.gas_used = 1;
    let changed = Proposal { header: other.seal(), ..proposal };
    assert!(!verify_proposal(&key(1).public_key(), &changed));
}

#[test]
fn a_proposal_is_no_vote() {
    let header = header();
    let signature = sign_proposal(&key(1), &header).signature;
    let public = key(1).public_key();
    for kind in [VoteKind::ValidSliced, VoteKind::ValidFull, VoteKind::InvalidFull, VoteKind::Commit] {
        let signer = SeatIndex(1);
        let vote = SignedVote { kind, target: target_of(&header), fault: None, signer, signature };
        assert!(!verify_vote(&public, &vote), "{kind:?}");
    }
}

#[test]
fn certificates_need_their_quorum() {
    use CertificateKind::{Commit, Conviction, Fast, Prepare};
    let verifiers = verifiers(4);
    for kind in [Prepare, Commit, Conviction] {
        assert!(verify_certificate(&verifiers, 3, &certificate(kind, &[0, 2, 3])), "{kind:?}");
        assert!(verify_certificate(&verifiers, 3, &certificate(kind, &[0, 1, 2, 3])), "{kind:?}");
        assert!(!verify_certificate(&verifiers, 3, &certificate(kind, &[1, 2])), "{kind:?}");
    }
    assert!(verify_certificate(&verifiers, 3, &certificate(Fast, &[0, 1, 2, 3])));
    assert!(!verify_certificate(&verifiers, 3, &certificate(Fast, &[0, 1, 2])), "fast needs all");
}

#[test]
fn certificates_hold_for_their_signers_kind_and_target_only() {
    let verifiers = verifiers(4);
    let good = certificate(CertificateKind::Commit, &[0, 1, 2]);
    let changes: [fn(&mut Certificate); 5] = [
        |c| c.signers = [0, 1, 3].into_iter().collect(),
        |c| c.signers = [0, 1, 2, 3].into_iter().collect(),
        |c| c.signers = [0, 1, 2, 63].into_iter().collect(),
        |c| c.kind = CertificateKind::Prepare,
        |c| c.target.height = Height(8),
    ];
    assert!(verify_certificate(&verifiers, 3, &good));
    for change in changes {
        let mut changed = good.clone();
        change(&mut changed);
        assert!(!verify_certificate(&verifiers, 3, &changed), "{changed:?}");
    }
    let nobody = Certificate { signers: SignerSet::EMPTY, ..good };
    assert!(!verify_certificate(&[], 0, &nobody));
}

#[test]
fn a_certificate_lists_each_verifier_once() {
    let vote = sign_vote(&key(1), VoteKind::Commit, target(), None, SeatIndex(1)).signature;
    let build = |votes: &[(usize, BlsSignature)]| build_certificate(CertificateKind::Commit, target(), votes);
    assert_eq!(build(&[(0, vote), (0, vote)]), Err(CryptoError::Signer(0)));
    assert_eq!(build(&[(64, vote)]), Err(CryptoError::Signer(64)));
    assert_eq!(build(&[]), Err(CryptoError::EmptyAggregate));
    assert_eq!(build(&[(0, BlsSignature::ZERO)]), Err(CryptoError::Signature));
}
