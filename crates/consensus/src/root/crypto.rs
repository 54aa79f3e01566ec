//! The signatures that the root core needs, behind one trait, and their BLS implementation.

mod bls;

use std::fmt::Debug;

use anfs_primitives::{
    BlsSignature, CertificateKind, RootCertificate, RootSeat, RootTally, RootTimeout, ShardReference,
    SignedRootTimeout, TimeoutCertificate, VoteTarget,
};

pub use bls::{BlsRootCrypto, root_keys};

use crate::crypto::CryptoError;

/// Signs for one seat and verifies for all seats of the network in one epoch. What stake a certificate's signers have
/// is looked at elsewhere.
pub trait RootCrypto: Debug + Send + Sync {
    /// Signs a block as the leader of the target's view.
    ///
    /// # Errors
    /// [`CryptoError`].
    fn sign_proposal(&self, seat: RootSeat, target: &VoteTarget) -> Result<BlsSignature, CryptoError>;

    /// Signs a prepare or commit.
    ///
    /// # Errors
    /// [`CryptoError`].
    fn sign_vote(
        &self,
        seat: RootSeat,
        kind: CertificateKind,
        target: &VoteTarget,
    ) -> Result<BlsSignature, CryptoError>;

    /// Signs a time-out.
    ///
    /// # Errors
    /// [`CryptoError`].
    fn sign_timeout(&self, seat: RootSeat, timeout: &RootTimeout) -> Result<BlsSignature, CryptoError>;

    /// Whether this seat has signed the block as a leader.
    fn verify_proposal(&self, seat: RootSeat, target: &VoteTarget, signature: &BlsSignature) -> bool;

    /// Verifies tallies of one kind and target as a batch with random weights; returns the positions of those that are
    /// bad.
    fn verify_tallies(&self, tallies: &[RootTally]) -> Vec<usize>;

    /// Adds up verified signatures over one message, of seats that are all different.
    ///
    /// # Errors
    /// [`CryptoError::Signer`] when one is not a point on the curve, which verified ones are.
    fn aggregate(&self, signatures: &[BlsSignature]) -> Result<BlsSignature, CryptoError>;

    /// Whether the certificate is the sum of a vote of each seat that it names.
    fn verify_certificate(&self, certificate: &RootCertificate) -> bool;

    /// Whether the time-out is signed by the seat that it names. Its certificate is another matter.
    fn verify_timeout(&self, signed: &SignedRootTimeout) -> bool;

    /// Whether each group of the certificate is the sum of a time-out of each seat that it names, each saying `of` with
    /// the group's own `prepared`. Its PrepareCert is another matter.
    fn verify_timeouts(&self, of: &RootTimeout, certificate: &TimeoutCertificate) -> bool;

    /// Verifies the certificates of shard blocks as one batch; returns the positions of those that are bad.
    fn verify_references(&self, references: &[&ShardReference]) -> Vec<usize>;
}
