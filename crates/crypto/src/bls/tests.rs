use alloy_primitives::hex;
use proptest::prelude::*;

use super::*;
use crate::tags::{COMMIT, VERDICT_VALID_FULL};

const MESSAGE: &[u8] = b"a block";
const ENTROPY: [u8; 32] = [42; 32];

fn key(id: u8) -> SecretKey {
    SecretKey::from_seed(&[id; 32])
}

/// Keys 1..=count and their signatures over [`MESSAGE`] under [`COMMIT`].
fn signers(count: u8) -> (Vec<PublicKey>, Vec<BlsSignature>) {
    (1..=count).map(|id| (key(id).public_key(), key(id).sign(COMMIT, MESSAGE))).unzip()
}

fn pairs<'a>(
    keys: &'a [PublicKey],
    signatures: &'a [BlsSignature],
) -> Vec<(&'a PublicKey, &'a BlsSignature)> {
    keys.iter().zip(signatures).collect()
}

/// The negated point: the compressed form has the sign of y in its third bit.
fn negated(signature: &BlsSignature) -> BlsSignature {
    let mut negated = *signature;
    negated[0] ^= 0x20;
    negated
}

fn identity<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    bytes[0] = 0xc0;
    bytes
}

/// A G1 point on the curve but outside the subgroup, compressed.
fn outside_the_subgroup() -> BlsSignature {
    (0u8..=255)
        .map(|x| {
            let mut bytes = BlsSignature::with_last_byte(x);
            bytes[0] = 0x80;
            bytes
        })
        .find(|bytes| {
            min_sig::Signature::uncompress(bytes.as_slice()).is_ok_and(|point| !point.subgroup_check())
        })
        .unwrap()
}

#[test]
fn a_signature_binds_key_tag_and_message() {
    let (one, two) = (key(1), key(2));
    let signature = one.sign(COMMIT, MESSAGE);
    assert!(one.public_key().verify(COMMIT, MESSAGE, &signature));
    assert!(!two.public_key().verify(COMMIT, MESSAGE, &signature));
    assert!(!one.public_key().verify(VERDICT_VALID_FULL, MESSAGE, &signature));
    assert!(!one.public_key().verify(COMMIT, b"another block", &signature));
    assert!(!one.public_key().verify(COMMIT, MESSAGE, &negated(&signature)));
}

#[test]
fn keys_and_signatures_are_pinned() {
    let key = key(1);
    let secret = "144b27828e305a2d67fc7f4eea6de706b405cdd1ab8ad2daec046ccdeeec8b79";
    let public = "92c5ed2c7ec2b477af30b4a940ff81e367beca0e1cf98da85be7a0552640d7a9083f54e444dde74cd522b20281bea0de\
                  1433c8b152f289be588890ae4fd9cfb3a16a39bfe51d52561563c7c57ded262cf19b639c02d5e6696a7a2cf60137d17b";
    let signature =
        "8ebd81b9712a323b3ae14b23aad4c79f8b268087f1dde85a52e644631994a76014905cccce3dc3da153d627e1a9a1f13";
    let found = [
        hex::encode(key.to_bytes().as_slice()),
        hex::encode(key.public_key().to_bytes()),
        hex::encode(key.sign(COMMIT, MESSAGE)),
    ];
    assert_eq!(found, [secret, public, signature]);
}

#[test]
fn encodings_survive_the_way_there_and_back() {
    let key = key(1);
    assert_eq!(SecretKey::from_bytes(&key.to_bytes()).unwrap().public_key(), key.public_key());
    let public = key.public_key();
    assert_eq!(PublicKey::from_bytes(&public.to_bytes()).unwrap(), public);
}

#[test]
fn debug_output_never_shows_the_secret() {
    let key = key(1);
    let shown = format!("{key:?}");
    assert!(!shown.contains(&hex::encode(key.to_bytes().as_slice())));
    assert!(shown.contains(&hex::encode(key.public_key().to_bytes())));
}

#[test]
fn bad_secret_keys_are_refused() {
    assert_eq!(SecretKey::from_bytes(&[0; 32]).unwrap_err(), CryptoError::SecretKey);
    assert_eq!(SecretKey::from_bytes(&[0xff; 32]).unwrap_err(), CryptoError::SecretKey);
    assert_eq!(SecretKey::key_gen(&[1; 31]).unwrap_err(), CryptoError::KeyMaterial(31));
}

#[test]
fn the_identity_is_neither_a_key_nor_a_signature() {
    let nobody = BlsPublicKey::new(identity());
    assert_eq!(PublicKey::from_bytes(&nobody).unwrap_err(), CryptoError::PublicKey);

    let nothing = BlsSignature::new(identity());
    let public = key(1).public_key();
    assert!(!public.verify(COMMIT, MESSAGE, &nothing));
    assert!(!verify_batch(COMMIT, MESSAGE, &[(&public, &nothing)], &ENTROPY));
    assert!(!verify_aggregate(COMMIT, MESSAGE, &[&public], &nothing));
    assert_eq!(aggregate(&[nothing]), Err(CryptoError::Signature));
}

#[test]
fn points_outside_the_subgroup_are_refused_everywhere() {
    let stray = outside_the_subgroup();
    let (keys, mut signatures) = signers(3);
    signatures[1] = stray;
    assert!(!keys[1].verify(COMMIT, MESSAGE, &stray));
    assert!(!verify_batch(COMMIT, MESSAGE, &pairs(&keys, &signatures), &ENTROPY));
    assert_eq!(find_invalid(COMMIT, MESSAGE, &pairs(&keys, &signatures), &ENTROPY), [1]);
    assert_eq!(aggregate(&signatures), Err(CryptoError::Signature));
    assert!(!verify_aggregate(COMMIT, MESSAGE, &[&keys[0]], &stray));

    let stray_key = (0u8..=255)
        .map(|x| {
            let mut bytes = BlsPublicKey::with_last_byte(x);
            bytes[0] = 0x80;
            bytes
        })
        .find(|bytes| min_sig::PublicKey::uncompress(bytes.as_slice()).is_ok())
        .unwrap();
    assert_eq!(PublicKey::from_bytes(&stray_key).unwrap_err(), CryptoError::PublicKey);
}

#[test]
fn uncompressed_and_stretched_encodings_are_refused() {
    let mut bytes = key(1).public_key().to_bytes();
    bytes[0] &= 0x7f;
    assert_eq!(PublicKey::from_bytes(&bytes).unwrap_err(), CryptoError::PublicKey);

    // x = 0x1aff… is above the field's modulus: a second encoding of a smaller x.
    let mut stretched = BlsSignature::repeat_byte(0xff);
    stretched[0] = 0x9f;
    assert!(!key(1).public_key().verify(COMMIT, MESSAGE, &stretched));
}

#[test]
fn possession_is_proven_by_the_holder_alone() {
    let (one, two) = (key(1), key(2));
    assert!(one.public_key().verify_possession(&one.prove_possession()));
    assert!(!two.public_key().verify_possession(&one.prove_possession()));
    let vote_over_own_key = one.sign(COMMIT, one.public_key().to_bytes().as_slice());
    assert!(!one.public_key().verify_possession(&vote_over_own_key));
}

#[test]
fn a_rogue_key_forges_an_aggregate_but_cannot_prove_possession() {
    let (victim, attacker) = (key(1).public_key(), key(2));
    let mut rogue = min_sig::AggregatePublicKey::from_public_key(&attacker.public_key().0);
    rogue.sub_aggregate(&min_sig::AggregatePublicKey::from_public_key(&victim.0));
    let rogue = PublicKey(rogue.to_public_key());

    let forged = attacker.sign(COMMIT, MESSAGE);
    assert!(verify_aggregate(COMMIT, MESSAGE, &[&victim, &rogue], &forged), "why possession is asked for");
    assert!(!rogue.verify_possession(&attacker.prove_possession()));
}

#[test]
fn keys_that_cancel_verify_nothing() {
    let (one, signature) = (key(1).public_key(), key(1).sign(COMMIT, MESSAGE));
    let mut minus_one = one.to_bytes();
    minus_one[0] ^= 0x20;
    let minus_one = PublicKey::from_bytes(&minus_one).unwrap();
    assert!(!verify_aggregate(COMMIT, MESSAGE, &[&one, &minus_one], &signature));
    assert!(!verify_aggregate(COMMIT, MESSAGE, &[&one, &minus_one], &BlsSignature::new(identity())));
    assert_eq!(aggregate(&[signature, negated(&signature)]), Err(CryptoError::Signature));
}

#[test]
fn batches_of_every_size_pass() {
    let (keys, signatures) = signers(10);
    for size in 0..=keys.len() {
        let some = &pairs(&keys, &signatures)[..size];
        assert!(verify_batch(COMMIT, MESSAGE, some, &ENTROPY), "{size}");
        assert!(find_invalid(COMMIT, MESSAGE, some, &ENTROPY).is_empty(), "{size}");
    }
}

#[test]
fn shifted_shares_fool_the_plain_sum_and_not_the_batch() {
    let (keys, honest) = signers(4);
    let shift = key(99).sign(COMMIT, b"any point will do");
    let mut shifted = honest.clone();
    shifted[1] = aggregate(&[honest[1], shift]).unwrap();
    shifted[2] = aggregate(&[honest[2], negated(&shift)]).unwrap();

    let everyone: Vec<&PublicKey> = keys.iter().collect();
    let sum = aggregate(&shifted).unwrap();
    assert_eq!(sum, aggregate(&honest).unwrap());
    assert!(verify_aggregate(COMMIT, MESSAGE, &everyone, &sum), "the sum alone does not show it");

    assert!(!verify_batch(COMMIT, MESSAGE, &pairs(&keys, &shifted), &ENTROPY));
    assert_eq!(find_invalid(COMMIT, MESSAGE, &pairs(&keys, &shifted), &ENTROPY), [1, 2]);

    // What admitting them would have cost: a quorum with only one of the two is broken.
    let quorum = aggregate(&shifted[..2]).unwrap();
    assert!(!verify_aggregate(COMMIT, MESSAGE, &everyone[..2], &quorum));
}

#[test]
fn swapped_signatures_are_found_though_their_sum_is_right() {
    let (keys, mut signatures) = signers(5);
    signatures.swap(0, 4);
    assert!(!verify_batch(COMMIT, MESSAGE, &pairs(&keys, &signatures), &ENTROPY));
    assert_eq!(find_invalid(COMMIT, MESSAGE, &pairs(&keys, &signatures), &ENTROPY), [0, 4]);
}

#[test]
fn weights_differ_and_hang_on_every_input() {
    let (keys, signatures) = signers(3);
    let signed: Vec<Signed> =
        pairs(&keys, &signatures).into_iter().map(|(k, s)| Signed::parse(k, s).unwrap()).collect();
    let weights = batch_weights(COMMIT, MESSAGE, &signed, &ENTROPY);
    assert!(weights[0] != weights[1] && weights[1] != weights[2]);
    let mut reordered = signed.clone();
    reordered.swap(0, 1);
    for other in [
        batch_weights(COMMIT, MESSAGE, &signed, &[43; 32]),
        batch_weights(COMMIT, b"another block", &signed, &ENTROPY),
        batch_weights(VERDICT_VALID_FULL, MESSAGE, &signed, &ENTROPY),
        batch_weights(COMMIT, MESSAGE, &reordered, &ENTROPY),
    ] {
        assert_ne!(weights, other);
    }
}

#[test]
fn weighted_sums_agree_with_the_library() {
    let (keys, signatures) = signers(3);
    let signed: Vec<Signed> =
        pairs(&keys, &signatures).into_iter().map(|(k, s)| Signed::parse(k, s).unwrap()).collect();
    let weights = [1, u64::MAX, 0x8000_0000_0000_0001];
    let scalars: Vec<u8> = weights.iter().flat_map(|weight: &u64| weight.to_le_bytes()).collect();
    let points: Vec<min_sig::PublicKey> = signed.iter().map(|one| one.key).collect();
    let expected = min_sig::AggregatePublicKey::aggregate_with_randomness(&points, &scalars, 64, false);
    assert_eq!(weighted_sums(&signed, &weights).0, expected.unwrap().to_public_key());
    let points: Vec<min_sig::Signature> = signed.iter().map(|one| one.signature).collect();
    let expected = min_sig::AggregateSignature::aggregate_with_randomness(&points, &scalars, 64, false);
    assert_eq!(weighted_sums(&signed, &weights).1, expected.unwrap().to_signature());
}

#[test]
fn an_aggregate_needs_exactly_its_signers() {
    let (keys, signatures) = signers(4);
    let all: Vec<&PublicKey> = keys.iter().collect();
    let sum = aggregate(&signatures[..3]).unwrap();
    assert!(verify_aggregate(COMMIT, MESSAGE, &all[..3], &sum));
    assert!(!verify_aggregate(COMMIT, MESSAGE, &all, &sum));
    assert!(!verify_aggregate(COMMIT, MESSAGE, &all[..2], &sum));
    assert!(!verify_aggregate(COMMIT, MESSAGE, &[], &sum));
    assert!(!verify_aggregate(VERDICT_VALID_FULL, MESSAGE, &all[..3], &sum));
    assert_eq!(aggregate(&[]), Err(CryptoError::EmptyAggregate));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn bisecting_finds_exactly_the_bad_ones(
        bad in prop::collection::vec(any::<bool>(), 1..12),
        entropy in any::<[u8; 32]>(),
    ) {
        let (keys, mut signatures) = signers(u8::try_from(bad.len()).unwrap());
        for (signature, bad) in signatures.iter_mut().zip(&bad) {
            if *bad {
                *signature = negated(signature);
            }
        }
        let expected: Vec<usize> = (0..bad.len()).filter(|&i| bad[i]).collect();
        let batch = pairs(&keys, &signatures);
        prop_assert_eq!(verify_batch(COMMIT, MESSAGE, &batch, &entropy), expected.is_empty());
        prop_assert_eq!(find_invalid(COMMIT, MESSAGE, &batch, &entropy), expected);
    }

    #[test]
    fn arbitrary_bytes_never_pass_for_keys_or_signatures(
        bytes in prop::collection::vec(any::<u8>(), 96..=96),
    ) {
        let encoded = BlsPublicKey::from_slice(&bytes);
        if let Ok(parsed) = PublicKey::from_bytes(&encoded) {
            prop_assert_eq!(parsed.to_bytes(), encoded);
        }
        let signature = BlsSignature::from_slice(&bytes[..48]);
        prop_assert!(!key(1).public_key().verify(COMMIT, MESSAGE, &signature));
    }
}
