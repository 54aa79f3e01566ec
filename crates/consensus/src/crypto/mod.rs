//! The signatures that the core needs, behind one trait.
//!
//! The core never sees a key. What signs and verifies is given to it, so that a simulator can use something
//! a thousand times faster and a remote signer something slower.

mod bls;

use std::fmt::Debug;

use anfs_primitives::{
    BlsSignature, Certificate, CertificateKind, Fault, NewView, Proposal, SealedHeader, SeatIndex,
    SignedViewChange, SignedVote, ViewChange, VoteKind, VoteTarget,
};

pub use bls::BlsCrypto;

/// Why a signature could not be made. Verification never errs: it answers no.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CryptoError {
    /// This node holds no key for the seat.
    #[error("no consensus key for seat {0}; give the validator's key file, or run without a seat")]
    NoKey(SeatIndex),
    /// The seat's entry in the chain spec is unusable.
    #[error("seat {seat}: {reason}")]
    Seat {
        /// The seat.
        seat: SeatIndex,
        /// What is wrong.
        reason: String,
    },
    /// The signer or aggregator failed.
    #[error("the signer failed: {0}")]
    Signer(String),
}

/// Signs for one seat and verifies for all seats of one shard in one epoch.
pub trait VoteCrypto: Debug + Send + Sync {
    /// Signs a vote.
    ///
    /// # Errors
    /// [`CryptoError`].
    fn sign_vote(
        &self,
        seat: SeatIndex,
        kind: VoteKind,
        target: &VoteTarget,
        fault: Option<Fault>,
    ) -> Result<SignedVote, CryptoError>;

    /// Signs a header as its proposer.
    ///
    /// # Errors
    /// [`CryptoError`].
    fn sign_proposal(&self, seat: SeatIndex, header: &SealedHeader) -> Result<Proposal, CryptoError>;

    /// Whether the proposal bears the signature of the seat that its header names.
    fn verify_proposal(&self, proposal: &Proposal) -> bool;

    /// Verifies votes of one kind for one target as a batch with random weights (never as an unweighted
    /// sum); returns the positions of those that are bad. The members are 0-based verifier indices.
    fn verify_votes(
        &self,
        kind: VoteKind,
        target: &VoteTarget,
        votes: &[(usize, BlsSignature)],
    ) -> Vec<usize>;

    /// Aggregates verified votes.
    ///
    /// # Errors
    /// [`CryptoError::Signer`] when a signature is not a point on the curve, which verified ones are.
    fn aggregate(
        &self,
        kind: CertificateKind,
        target: &VoteTarget,
        votes: &[(usize, BlsSignature)],
    ) -> Result<Certificate, CryptoError>;

    /// Whether the certificate is a valid aggregate of at least `quorum` verifiers; of all of them when its
    /// kind is [`CertificateKind::Fast`].
    fn verify_certificate(&self, quorum: usize, certificate: &Certificate) -> bool;

    /// Signs a verifier's leaving of a view.
    ///
    /// # Errors
    /// [`CryptoError`].
    fn sign_view_change(&self, seat: SeatIndex, change: ViewChange) -> Result<SignedViewChange, CryptoError>;

    /// Whether the change bears the signature of the verifier that it names. The certificates in it are
    /// another matter.
    fn verify_view_change(&self, signed: &SignedViewChange) -> bool;

    /// Signs the opening of a view as its leader, replacing whatever signature it bears.
    ///
    /// # Errors
    /// [`CryptoError`].
    fn sign_new_view(&self, seat: SeatIndex, new_view: NewView) -> Result<NewView, CryptoError>;

    /// Whether the opening bears the signature of this seat. What is in it is another matter.
    fn verify_new_view(&self, leader: SeatIndex, new_view: &NewView) -> bool;
}
