//! Senders of Ethereum transactions: recovered one by one, or, for senders whose key is known, checked many at
//! once.
//!
//! Recovery finds the only key Q with s·R = z·G + r·Q, where R is the point with abscissa r and the parity that
//! the signature names. Whoever knows Q already only has to see that the equation holds; and many equations
//! hold, up to a chance of 2⁻⁶⁴, when their sum under unpredictable weights aᵢ of 64 bits does:
//!
//! ```text
//!   Σ aᵢ·(zᵢ/sᵢ)·G  +  Σ aᵢ·(rᵢ/sᵢ)·Qᵢ  −  Σ aᵢ·Rᵢ  =  0
//! ```
//!
//! The terms of one sender fall together, and one multiplication of many points at once costs a fraction of
//! what as many recoveries do. R is lifted with its parity, so a signature whose parity was flipped (which a
//! plain verification lets through, and recovery maps to another sender) fails here too: [`verify_batch`] says
//! yes exactly where [`recover`] gives these signers.

mod sum;

use std::collections::BTreeMap;

use alloy_primitives::{Address, keccak256};
use anfs_primitives::SignedTransaction;
use k256::elliptic_curve::PrimeField;
use k256::elliptic_curve::ops::Reduce;
use k256::elliptic_curve::sec1::FromEncodedPoint;
use k256::{AffinePoint, EncodedPoint, FieldBytes, Scalar, U256};
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use secp256k1::{Message, PublicKey, SECP256K1};

use crate::tags::SENDER_WEIGHT;

/// An address and the key that it is the hash of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signer {
    address: Address,
    key: AffinePoint,
}

impl Signer {
    /// The address.
    #[must_use]
    pub fn address(&self) -> Address {
        self.address
    }
}

/// The signer of a transaction, by the rules of [`SignedTransaction::recover`]: `s` in the lower half (EIP-2),
/// a parity of 0 or 1. `None` when the signature recovers to nobody.
#[must_use]
pub fn recover(tx: &SignedTransaction) -> Option<Signer> {
    let signature = tx.envelope().signature();
    if signature.normalize_s().is_some() {
        return None;
    }
    let id = if signature.v() { RecoveryId::One } else { RecoveryId::Zero };
    let bytes = [signature.r().to_be_bytes::<32>(), signature.s().to_be_bytes::<32>()].concat();
    let recoverable = RecoverableSignature::from_compact(&bytes, id).ok()?;
    let digest = Message::from_digest(tx.envelope().signature_hash().0);
    let key = SECP256K1.recover_ecdsa(&digest, &recoverable).ok()?.serialize_uncompressed();
    let address = Address::from_word(keccak256(&key[1..]));
    Some(Signer { address, key: point(&key)? })
}

fn point(uncompressed: &[u8; 65]) -> Option<AffinePoint> {
    let encoded = EncodedPoint::from_bytes(uncompressed).ok()?;
    Option::from(AffinePoint::from_encoded_point(&encoded))
}

/// Whether each transaction recovers to the signer beside it. On a no, [`recover`] tells which does not.
///
/// The weights follow from `entropy`, which nobody may know ahead, and from all that is checked.
#[must_use]
pub fn verify_batch(claims: &[(&SignedTransaction, &Signer)], entropy: &[u8; 32]) -> bool {
    let Some(signatures) = claims.iter().map(|(tx, _)| Parts::of(tx)).collect::<Option<Vec<_>>>() else {
        return false;
    };
    let inverses = inverses(&signatures);
    let weights = weights(claims, entropy);
    let mut base = Scalar::ZERO;
    let mut keys: BTreeMap<Address, (AffinePoint, Scalar)> = BTreeMap::new();
    let mut nonce_points = Vec::with_capacity(claims.len());
    for (((parts, inverse), weight), (_, signer)) in signatures.iter().zip(&inverses).zip(weights).zip(claims)
    {
        let share = Scalar::from(weight) * inverse;
        base += share * parts.digest;
        keys.entry(signer.address).or_insert((signer.key, Scalar::ZERO)).1 += share * parts.r;
        nonce_points.push((-parts.nonce_point, weight));
    }
    let mut long: Vec<(AffinePoint, Scalar)> = keys.into_values().collect();
    long.push((AffinePoint::GENERATOR, base));
    sum::is_zero(&nonce_points, &long)
}

/// A signature, taken apart.
struct Parts {
    r: Scalar,
    s: Scalar,
    digest: Scalar,
    nonce_point: AffinePoint,
}

impl Parts {
    /// `None` where [`recover`] gives `None` before it looks at any key.
    fn of(tx: &SignedTransaction) -> Option<Self> {
        let signature = tx.envelope().signature();
        if signature.normalize_s().is_some() {
            return None;
        }
        let abscissa = signature.r().to_be_bytes::<32>();
        let r = in_range(abscissa.into())?;
        let s = in_range(signature.s().to_be_bytes::<32>().into())?;
        let digest = <Scalar as Reduce<U256>>::reduce_bytes(&tx.envelope().signature_hash().0.into());
        let nonce_point = lift(&abscissa, signature.v())?;
        Some(Self { r, s, digest, nonce_point })
    }
}

/// The point with this abscissa whose ordinate is odd or even. The square root is libsecp256k1's, the faster one.
fn lift(abscissa: &[u8; 32], odd: bool) -> Option<AffinePoint> {
    let mut compressed = [2 + u8::from(odd); 33];
    compressed[1..].copy_from_slice(abscissa);
    point(&PublicKey::from_slice(&compressed).ok()?.serialize_uncompressed())
}

/// The scalar with these bytes, when it is neither zero nor past the group's order.
fn in_range(bytes: FieldBytes) -> Option<Scalar> {
    Option::from(Scalar::from_repr(bytes)).filter(|scalar| *scalar != Scalar::ZERO)
}

/// 1/s of each signature, for the price of one inversion and three multiplications each.
fn inverses(signatures: &[Parts]) -> Vec<Scalar> {
    let mut product = Scalar::ONE;
    let mut before = Vec::with_capacity(signatures.len());
    for parts in signatures {
        before.push(product);
        product *= parts.s;
    }
    let mut inverse = product.invert().unwrap_or(Scalar::ZERO);
    for (parts, slot) in signatures.iter().zip(&mut before).rev() {
        *slot *= inverse;
        inverse *= parts.s;
    }
    before
}

/// One nonzero weight a claim, from a digest over all of them: a transaction's hash covers its signature, an
/// address its key.
fn weights(claims: &[(&SignedTransaction, &Signer)], entropy: &[u8; 32]) -> impl Iterator<Item = u64> {
    let mut inputs = Vec::with_capacity(claims.len() * 52);
    for (tx, signer) in claims {
        inputs.extend_from_slice(tx.hash().as_slice());
        inputs.extend_from_slice(signer.address.as_slice());
    }
    let seed = SENDER_WEIGHT.sha256(&[entropy, &inputs]);
    (0u64..).flat_map(move |index| {
        let digest = SENDER_WEIGHT.sha256(&[seed.as_slice(), &index.to_be_bytes()]);
        let (words, _) = digest.as_chunks::<8>();
        // A zero weight would drop its signature from the equation.
        [words[0], words[1], words[2], words[3]].map(|word| u64::from_be_bytes(word).max(1))
    })
}

#[cfg(test)]
mod tests;
