//! Provable misbehaviour, found while votes and proposals are kept.
//!
//! spec: PROTOCOL §4 R5, R7

use anfs_primitives::{
    Certificate, Fault, Height, Proposal, SealedHeader, SeatIndex, SignedVote, View, VoteKind,
};
use borsh::{BorshDeserialize, BorshSerialize};

/// Something that anyone with the seats' public keys can check, and that an honest seat never does.
///
/// The two signatures of an equivocation were verified before the value was made.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Evidence {
    /// One seat proposed two blocks for one (height, view).
    Proposals {
        /// The one met first.
        first: Box<Proposal>,
        /// The other.
        second: Box<Proposal>,
    },
    /// One verifier's votes for one (height, view) contradict each other; see [`contradict`].
    Votes {
        /// The one met first.
        first: SignedVote,
        /// The other.
        second: SignedVote,
    },
    /// A quorum found the block wrong. A pointer for re-execution: nobody is punished on votes alone.
    InvalidBlock {
        /// The convicted header.
        header: Box<SealedHeader>,
        /// A [`anfs_primitives::CertificateKind::Conviction`] certificate.
        certificate: Certificate,
        /// Where a checker met the fault, when a vote said so.
        fault: Option<Fault>,
    },
}

impl Evidence {
    /// The seat that misbehaved.
    #[must_use]
    pub fn offender(&self) -> SeatIndex {
        match self {
            Self::Proposals { first, .. } => first.header.proposer,
            Self::Votes { first, .. } => first.signer,
            Self::InvalidBlock { header, .. } => header.proposer,
        }
    }

    /// Where it happened.
    #[must_use]
    pub fn round(&self) -> (Height, View) {
        match self {
            Self::Proposals { first, .. } => (first.header.height, first.header.view),
            Self::Votes { first, .. } => (first.target.height, first.target.view),
            Self::InvalidBlock { header, .. } => (header.height, header.view),
        }
    }
}

/// Whether two votes of one signer for one (height, view) cannot both come from an honest one: they name
/// two blocks, or say valid and invalid of the same thing.
///
/// `Valid, Sliced` speaks of the signer's own slices only: `Invalid, Full` for the same block does not
/// contradict it. spec: PROTOCOL §4 R7
#[must_use]
pub fn contradict(a: &SignedVote, b: &SignedVote) -> bool {
    use VoteKind::{InvalidFull, InvalidSliced, ValidFull, ValidSliced};
    if (a.signer, a.target.height, a.target.view) != (b.signer, b.target.height, b.target.view) {
        return false;
    }
    a.target.block != b.target.block
        || matches!(
            (a.kind, b.kind),
            (ValidSliced, InvalidSliced)
                | (InvalidSliced, ValidSliced)
                | (ValidFull, InvalidFull)
                | (InvalidFull, ValidFull)
        )
}
