//! BLS12-381 signatures in the *minimal signature* arrangement: keys in G2, signatures in G1.
//!
//! Certificates travel and are stored far more often than keys, so signatures take the small group. The
//! scheme is the proof-of-possession one of the IETF draft: whoever sums keys must have seen a proof of
//! possession of each ([`PublicKey::verify_possession`]), else a rogue key can cancel the others.
//!
//! A [`PublicKey`] is in the subgroup and not the identity, by construction. Signatures stay bytes until they
//! are checked; every check includes the subgroup and refuses the identity. Nothing here spawns threads: the
//! parallel helpers of `blst` are not used.
//!
//! spec: PROTOCOL §4 (certificates)

mod statements;

use std::fmt;

use alloy_primitives::hex;
use anfs_primitives::{BlsPublicKey, BlsSignature};
use blst::min_sig;
use blst::{BLST_ERROR, Pairing, blst_p1, blst_p1_affine, blst_p2, blst_p2_affine};
use zeroize::Zeroizing;

use crate::CryptoError;
use crate::tags::{BATCH_WEIGHT, POSSESSION, Tag};

pub use statements::{Statement, find_false, verify_statements};

/// A signing key. Wiped from memory when dropped; its debug form shows the public key alone.
#[derive(Clone)]
pub struct SecretKey(min_sig::SecretKey);

impl SecretKey {
    /// Derives a key from at least 32 bytes of secret entropy (`KeyGen` of the IETF draft).
    ///
    /// # Errors
    /// [`CryptoError::KeyMaterial`] when there are fewer.
    pub fn key_gen(material: &[u8]) -> Result<Self, CryptoError> {
        min_sig::SecretKey::key_gen(material, &[])
            .map(Self)
            .map_err(|_| CryptoError::KeyMaterial(material.len()))
    }

    /// Derives a key from a 32-byte seed; as [`Self::key_gen`].
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self::key_gen(seed).expect("32 bytes are enough key material")
    }

    /// Reads a key from its 32 big-endian bytes.
    ///
    /// # Errors
    /// [`CryptoError::SecretKey`] when they are zero or not below the group order.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, CryptoError> {
        min_sig::SecretKey::from_bytes(bytes).map(Self).map_err(|_| CryptoError::SecretKey)
    }

    /// The 32 big-endian bytes of the key, wiped when dropped.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The key that verifies what this one signs.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.0.sk_to_pk())
    }

    /// Signs a message under a tag.
    #[must_use]
    pub fn sign(&self, tag: Tag, message: &[u8]) -> BlsSignature {
        BlsSignature::new(self.0.sign(message, tag.bytes(), &[]).compress())
    }

    /// Signs the own public key: proves that its holder knows the secret.
    #[must_use]
    pub fn prove_possession(&self) -> BlsSignature {
        self.sign(POSSESSION, self.public_key().to_bytes().as_slice())
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretKey").field("public_key", &self.public_key()).finish_non_exhaustive()
    }
}

/// A parsed public key: in the subgroup and not the identity.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(min_sig::PublicKey);

impl PublicKey {
    /// Parses and checks a key.
    ///
    /// # Errors
    /// [`CryptoError::PublicKey`] unless it is a compressed point of the subgroup other than the identity.
    pub fn from_bytes(bytes: &BlsPublicKey) -> Result<Self, CryptoError> {
        let key = min_sig::PublicKey::uncompress(bytes.as_slice()).map_err(|_| CryptoError::PublicKey)?;
        key.validate().map_err(|_| CryptoError::PublicKey)?;
        Ok(Self(key))
    }

    /// The compressed form.
    #[must_use]
    pub fn to_bytes(&self) -> BlsPublicKey {
        BlsPublicKey::new(self.0.compress())
    }

    /// The key that verifies the sum of one signature of each of these keys. They must have proven possession.
    /// `None` for no keys, and for keys that cancel.
    #[must_use]
    pub fn sum<'a>(keys: impl IntoIterator<Item = &'a Self>) -> Option<Self> {
        let mut sum = min_sig::AggregatePublicKey::from(blst_p2::default());
        for key in keys {
            add_key(&mut sum, &key.0);
        }
        let sum = sum.to_public_key();
        // Members of the subgroup add up to members: only the identity is left to refuse.
        let identity = min_sig::AggregatePublicKey::from(blst_p2::default()).to_public_key();
        (sum != identity).then_some(Self(sum))
    }

    /// Whether the signature is this key's over the message under the tag.
    #[must_use]
    pub fn verify(&self, tag: Tag, message: &[u8], signature: &BlsSignature) -> bool {
        parse_signature(signature).is_ok_and(|signature| pairing_holds(tag, message, &self.0, &signature))
    }

    /// Whether the signature is a proof of possession of this key.
    #[must_use]
    pub fn verify_possession(&self, proof: &BlsSignature) -> bool {
        self.verify(POSSESSION, self.to_bytes().as_slice(), proof)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", hex::encode(self.0.compress()))
    }
}

/// Whether every signature is its key's over the one message. True for an empty list.
///
/// Each signature and its key are multiplied by the same weight of [`WEIGHT_BITS`] bits, and one equation of
/// two pairings is checked over the sums. The weights follow from `entropy` and all inputs, so `entropy` must be
/// unknown to whoever made the signatures (a secret of the node, or fresh randomness): a set with a bad
/// signature then passes with a chance of 2⁻⁶⁴.
#[must_use]
pub fn verify_batch(
    tag: Tag,
    message: &[u8],
    signatures: &[(&PublicKey, &BlsSignature)],
    entropy: &[u8; 32],
) -> bool {
    let parsed: Result<Vec<Signed>, CryptoError> =
        signatures.iter().map(|(key, signature)| Signed::parse(key, signature)).collect();
    parsed.is_ok_and(|parsed| batch_holds(tag, message, &parsed, entropy))
}

/// The positions of the signatures that are not their keys' over the message, ascending: to be asked after
/// [`verify_batch`] failed. Bisects, so a few bad ones among many cost a few more batches.
#[must_use]
pub fn find_invalid(
    tag: Tag,
    message: &[u8],
    signatures: &[(&PublicKey, &BlsSignature)],
    entropy: &[u8; 32],
) -> Vec<usize> {
    let mut invalid = Vec::new();
    let mut parsed = Vec::with_capacity(signatures.len());
    let mut positions = Vec::with_capacity(signatures.len());
    for (position, (key, signature)) in signatures.iter().enumerate() {
        match Signed::parse(key, signature) {
            Ok(signed) => {
                parsed.push(signed);
                positions.push(position);
            }
            Err(_) => invalid.push(position),
        }
    }
    bisect(tag, message, &parsed, &positions, entropy, &mut invalid);
    invalid.sort_unstable();
    invalid
}

/// The sum of signatures that were admitted with [`verify_batch`]. That has checked each against its key and
/// to be in the subgroup; here only the sum is checked to be in it.
///
/// # Errors
/// [`CryptoError::EmptyAggregate`] when there is none, [`CryptoError::Signature`] when one is malformed, or the
/// sum is the identity or outside the subgroup.
pub fn aggregate(signatures: &[BlsSignature]) -> Result<BlsSignature, CryptoError> {
    if signatures.is_empty() {
        return Err(CryptoError::EmptyAggregate);
    }
    let mut sum = min_sig::AggregateSignature::from(blst_p1::default());
    for signature in signatures {
        let signature =
            min_sig::Signature::uncompress(signature.as_slice()).map_err(|_| CryptoError::Signature)?;
        add_signature(&mut sum, &signature);
    }
    let sum = sum.to_signature();
    sum.validate(true).map_err(|_| CryptoError::Signature)?;
    Ok(BlsSignature::new(sum.compress()))
}

/// Whether the aggregate is the sum of one signature of each of these keys over the one message. False for
/// an empty list. The keys must have proven possession.
#[must_use]
pub fn verify_aggregate(tag: Tag, message: &[u8], keys: &[&PublicKey], aggregate: &BlsSignature) -> bool {
    PublicKey::sum(keys.iter().copied()).is_some_and(|sum| sum.verify(tag, message, aggregate))
}

/// Bits of a batch weight.
pub const WEIGHT_BITS: u32 = u64::BITS;

/// A signature that is in the subgroup, with the key that it claims to be of.
#[derive(Clone, Copy)]
struct Signed {
    key: min_sig::PublicKey,
    signature: min_sig::Signature,
}

impl Signed {
    fn parse(key: &PublicKey, signature: &BlsSignature) -> Result<Self, CryptoError> {
        Ok(Self { key: key.0, signature: parse_signature(signature)? })
    }
}

fn parse_signature(bytes: &BlsSignature) -> Result<min_sig::Signature, CryptoError> {
    let signature = min_sig::Signature::uncompress(bytes.as_slice()).map_err(|_| CryptoError::Signature)?;
    signature.validate(true).map_err(|_| CryptoError::Signature)?;
    Ok(signature)
}

/// e(H(message), key) = e(signature, G2 generator). False when the key is the identity.
fn pairing_holds(tag: Tag, message: &[u8], key: &min_sig::PublicKey, signature: &min_sig::Signature) -> bool {
    let key: &blst_p2_affine = key.into();
    let signature: &blst_p1_affine = signature.into();
    let mut pairing = Pairing::new(true, tag.bytes());
    if pairing.aggregate(key, false, signature, false, message, &[]) != BLST_ERROR::BLST_SUCCESS {
        return false;
    }
    pairing.commit();
    pairing.finalverify(None)
}

fn batch_holds(tag: Tag, message: &[u8], signed: &[Signed], entropy: &[u8; 32]) -> bool {
    match signed {
        [] => true,
        [one] => pairing_holds(tag, message, &one.key, &one.signature),
        _ => {
            let weights = batch_weights(tag, message, signed, entropy);
            let (key, signature) = weighted_sums(signed, &weights);
            pairing_holds(tag, message, &key, &signature)
        }
    }
}

/// One nonzero weight for each signature, from a digest over everything that the equation contains.
fn batch_weights(tag: Tag, message: &[u8], signed: &[Signed], entropy: &[u8; 32]) -> Vec<u64> {
    let mut inputs = Vec::with_capacity(signed.len() * (96 + 48));
    for one in signed {
        inputs.extend_from_slice(&one.key.compress());
        inputs.extend_from_slice(&one.signature.compress());
    }
    let length = |bytes: &[u8]| (bytes.len() as u64).to_be_bytes();
    let seed = BATCH_WEIGHT.sha256(&[
        entropy,
        &length(tag.bytes()),
        tag.bytes(),
        &length(message),
        message,
        &length(&inputs),
        &inputs,
    ]);
    (0..signed.len() as u64)
        .map(|index| {
            let digest = BATCH_WEIGHT.sha256(&[seed.as_slice(), &index.to_be_bytes()]);
            let (head, _) = digest.split_first_chunk().expect("a digest has 32 bytes");
            // A zero weight would drop its signature from the equation.
            u64::from_be_bytes(*head).max(1)
        })
        .collect()
}

/// Σ weight·key and Σ weight·signature, by double-and-add with the doublings shared by all terms.
fn weighted_sums(signed: &[Signed], weights: &[u64]) -> (min_sig::PublicKey, min_sig::Signature) {
    let mut keys = min_sig::AggregatePublicKey::from(blst_p2::default());
    let mut signatures = min_sig::AggregateSignature::from(blst_p1::default());
    for bit in (0..WEIGHT_BITS).rev() {
        let (once_keys, once_signatures) = (keys, signatures);
        keys.add_aggregate(&once_keys);
        signatures.add_aggregate(&once_signatures);
        for (one, weight) in signed.iter().zip(weights) {
            if weight >> bit & 1 == 1 {
                add_key(&mut keys, &one.key);
                add_signature(&mut signatures, &one.signature);
            }
        }
    }
    (keys.to_public_key(), signatures.to_signature())
}

fn add_key(sum: &mut min_sig::AggregatePublicKey, key: &min_sig::PublicKey) {
    sum.add_public_key(key, false).expect("adding without a group check cannot fail");
}

fn add_signature(sum: &mut min_sig::AggregateSignature, signature: &min_sig::Signature) {
    sum.add_signature(signature, false).expect("adding without a group check cannot fail");
}

fn bisect(
    tag: Tag,
    message: &[u8],
    signed: &[Signed],
    positions: &[usize],
    entropy: &[u8; 32],
    invalid: &mut Vec<usize>,
) {
    if batch_holds(tag, message, signed, entropy) {
        return;
    }
    if let [position] = positions {
        invalid.push(*position);
        return;
    }
    let middle = signed.len() / 2;
    let (left, right) = signed.split_at(middle);
    let (left_positions, right_positions) = positions.split_at(middle);
    bisect(tag, message, left, left_positions, entropy, invalid);
    bisect(tag, message, right, right_positions, entropy, invalid);
}

#[cfg(test)]
mod tests;
