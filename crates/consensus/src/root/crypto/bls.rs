//! The production signatures: BLS12-381 of `anfs-crypto`.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use anfs_crypto::bls::{self, PublicKey, SecretKey};
use anfs_crypto::root::{self, RootKeys};
use anfs_primitives::{
    BlsSignature, Certificate, CertificateKind, ChainSpec, DomainId, RootCertificate, RootSeat, RootTally,
    RootTimeout, SeatIndex, ShardReference, SignedRootTimeout, TimeoutCertificate, VoteTarget,
};

use super::RootCrypto;
use crate::crypto::CryptoError;

/// Keys of all seats of the network, and of this node's own seat if it has one.
///
/// The weights of batch verification come from a secret seed and a counter, so that no one who chooses
/// signatures can foresee them, and a run with the same seed repeats itself.
pub struct BlsRootCrypto {
    own: Option<(RootSeat, SecretKey)>,
    keys: RootKeys,
    quorum: usize,
    entropy: [u8; 32],
    batches: AtomicU64,
}

/// Parses the keys of all seats of the chain spec and checks each one's proof of possession, without which an
/// aggregate proves nothing.
///
/// # Errors
/// [`CryptoError::Seat`] naming the first seat whose key or proof is bad.
pub fn root_keys(spec: &ChainSpec) -> Result<RootKeys, CryptoError> {
    let mut keys = RootKeys::new();
    for (domain, shard) in (1u32..).map(DomainId).zip(&spec.shards) {
        let seats = std::iter::once(&shard.generator).chain(&shard.verifiers);
        for (seat, holder) in (0u16..).map(SeatIndex).zip(seats) {
            let fail =
                |reason: String| CryptoError::Seat { seat, reason: format!("shard {domain}: {reason}") };
            let key = PublicKey::from_bytes(&holder.public_key).map_err(|error| fail(error.to_string()))?;
            if !key.verify_possession(&holder.proof_of_possession) {
                return Err(fail("the proof of possession does not verify".to_owned()));
            }
            keys.entry(domain).or_default().push(key);
        }
    }
    Ok(keys)
}

impl BlsRootCrypto {
    /// Takes the keys of [`root_keys`]. `entropy` must be secret and fresh for each start.
    ///
    /// # Errors
    /// [`CryptoError::Seat`] naming the first seat whose key or proof is bad, or whose own key differs.
    pub fn from_spec(
        own: Option<(RootSeat, SecretKey)>,
        spec: &ChainSpec,
        entropy: [u8; 32],
    ) -> Result<Self, CryptoError> {
        let keys = root_keys(spec)?;
        if let Some((seat, secret)) = &own {
            let listed = root::key_of(&keys, *seat).map(PublicKey::to_bytes);
            if listed != Some(secret.public_key().to_bytes()) {
                let reason =
                    format!("this node's key is not the one that the chain spec lists for seat {seat}");
                return Err(CryptoError::Seat { seat: seat.seat, reason });
            }
        }
        Ok(Self { own, keys, quorum: usize::from(spec.quorum()), entropy, batches: AtomicU64::new(0) })
    }

    fn key(&self, seat: RootSeat) -> Result<&SecretKey, CryptoError> {
        match &self.own {
            Some((own, key)) if *own == seat => Ok(key),
            _ => Err(CryptoError::NoKey(seat.seat)),
        }
    }

    /// Distinct for each batch; the verification hashes it together with its inputs.
    fn next_entropy(&self) -> [u8; 32] {
        let count = self.batches.fetch_add(1, Ordering::Relaxed).to_le_bytes();
        let mut entropy = self.entropy;
        for (byte, mix) in entropy.iter_mut().zip(count) {
            *byte = byte.wrapping_add(mix);
        }
        entropy
    }
}

impl fmt::Debug for BlsRootCrypto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seat = self.own.as_ref().map(|(seat, _)| *seat);
        f.debug_struct("BlsRootCrypto").field("seat", &seat).finish_non_exhaustive()
    }
}

impl RootCrypto for BlsRootCrypto {
    fn sign_proposal(&self, seat: RootSeat, target: &VoteTarget) -> Result<BlsSignature, CryptoError> {
        Ok(root::sign_proposal(self.key(seat)?, target))
    }

    fn sign_vote(
        &self,
        seat: RootSeat,
        kind: CertificateKind,
        target: &VoteTarget,
    ) -> Result<BlsSignature, CryptoError> {
        let signature = root::sign_vote(self.key(seat)?, kind, target);
        signature.ok_or_else(|| CryptoError::Signer(format!("the root has no votes of kind {kind:?}")))
    }

    fn sign_timeout(&self, seat: RootSeat, timeout: &RootTimeout) -> Result<BlsSignature, CryptoError> {
        Ok(root::sign_timeout(self.key(seat)?, timeout))
    }

    fn verify_proposal(&self, seat: RootSeat, target: &VoteTarget, signature: &BlsSignature) -> bool {
        root::key_of(&self.keys, seat).is_some_and(|key| root::verify_proposal(key, target, signature))
    }

    fn verify_tallies(&self, tallies: &[RootTally]) -> Vec<usize> {
        root::find_bad_tallies(&self.keys, tallies, &self.next_entropy())
    }

    fn aggregate(&self, signatures: &[BlsSignature]) -> Result<BlsSignature, CryptoError> {
        bls::aggregate(signatures).map_err(|error| CryptoError::Signer(error.to_string()))
    }

    fn verify_certificate(&self, certificate: &RootCertificate) -> bool {
        root::verify_certificate(&self.keys, certificate)
    }

    fn verify_timeout(&self, signed: &SignedRootTimeout) -> bool {
        root::verify_timeout(&self.keys, signed)
    }

    fn verify_timeouts(&self, of: &RootTimeout, certificate: &TimeoutCertificate) -> bool {
        root::verify_timeout_certificate(&self.keys, of, certificate, &self.next_entropy())
    }

    fn verify_references(&self, references: &[&ShardReference]) -> Vec<usize> {
        let certificates: Vec<&Certificate> = references.iter().map(|one| &one.certificate).collect();
        root::find_bad_certificates(&self.keys, self.quorum, &certificates, &self.next_entropy())
    }
}
