//! Provable misbehaviour, found while votes and proposals are kept.
//!
//! spec: PROTOCOL §4 R5, R7

use anfs_primitives::{
    Block, Certificate, Fault, Height, NewView, Proposal, SeatIndex, SignedViewChange, SignedVote, View,
    VoteKind,
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
    /// One verifier made two promises for one view.
    ViewChanges {
        /// The one met first.
        first: Box<SignedViewChange>,
        /// The other.
        second: Box<SignedViewChange>,
    },
    /// One leader opened one view twice.
    NewViews {
        /// Its seat.
        leader: SeatIndex,
        /// The opening met first.
        first: Box<NewView>,
        /// The other.
        second: Box<NewView>,
    },
    /// A quorum found the block wrong. The whole block is here, to be executed again: nobody is punished on
    /// votes alone.
    InvalidBlock {
        /// The convicted block.
        block: Box<Block>,
        /// A [`anfs_primitives::CertificateKind::Conviction`] certificate.
        certificate: Certificate,
        /// Where a checker met the fault, when a vote said so.
        fault: Option<Fault>,
    },
    /// A verifier called a block invalid that was decided.
    FalseAlert {
        /// Its vote.
        vote: SignedVote,
        /// The certificate that decided the block.
        certificate: Certificate,
    },
}

impl Evidence {
    /// The seat that misbehaved.
    #[must_use]
    pub fn offender(&self) -> SeatIndex {
        match self {
            Self::Proposals { first, .. } => first.header.proposer,
            Self::Votes { first, .. } => first.signer,
            Self::ViewChanges { first, .. } => first.signer,
            Self::NewViews { leader, .. } => *leader,
            Self::InvalidBlock { block, .. } => block.header.proposer,
            Self::FalseAlert { vote, .. } => vote.signer,
        }
    }

    /// The height and view that it concerns; a change of view concerns all heights above the decided ones,
    /// and is given with height 0.
    #[must_use]
    pub fn round(&self) -> (Height, View) {
        match self {
            Self::Proposals { first, .. } => (first.header.height, first.header.view),
            Self::Votes { first, .. } => (first.target.height, first.target.view),
            Self::ViewChanges { first, .. } => (Height::ZERO, first.change.view),
            Self::NewViews { first, .. } => (Height::ZERO, first.view),
            Self::InvalidBlock { certificate, .. } => (certificate.target.height, certificate.target.view),
            Self::FalseAlert { vote, .. } => (vote.target.height, vote.target.view),
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
