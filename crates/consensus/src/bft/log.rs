//! What a seat writes to its log before it sends it.
//!
//! spec: PROTOCOL §4: "An SV writes each vote to its log before sending it, and never contradicts the log."

use std::sync::Arc;

use anfs_primitives::block::BLOCK_BYTES_MAX;
use anfs_primitives::{
    Block, BlsSignature, Certificate, CodecError, Height, NewView, SignedViewChange, SignedVote, View,
    decode, encode,
};
use borsh::{BorshDeserialize, BorshSerialize};

/// Largest encoded record: a block and a signature, which is also more than any opening of a view.
pub const LOG_RECORD_BYTES_MAX: usize = BLOCK_BYTES_MAX + 1024;

/// One signature of this node's seat, or what it must not forget beside it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum LogRecord {
    /// A vote.
    Vote(SignedVote),
    /// A block that this seat proposed, or is about to approve, with its proposer's signature. The body is
    /// in it: an SG that restarts must be able to offer the very same block again, for it will never sign
    /// another one for that (height, view); and what verifiers approved must still be there to be decided
    /// when nobody else comes back.
    Proposal {
        /// The block proposed.
        block: Arc<Block>,
        /// The proposer's signature.
        signature: BlsSignature,
    },
    /// The PrepareCert that the next commit answers: a later view change must report it.
    Prepared(Certificate),
    /// The promise to vote in no lower view.
    ViewChange(Box<SignedViewChange>),
    /// The opening of a view that this seat leads.
    NewView(Box<NewView>),
    /// Whether the log may be signed on; the last one counts.
    Standing(Standing),
    /// Up to this height the seat may have signed what this log does not hold: nothing is ever signed at or
    /// below it, nor at all before it is decided here.
    Floor(Height),
}

/// Whether a seat may sign on what its log holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Standing {
    /// The log holds whatever the seat has signed that still matters.
    #[default]
    Sound,
    /// The log was begun in place of one that was lost: the seat watches the chain before it signs, however
    /// often it is restarted meanwhile.
    Lost,
    /// The log was given away for another process to sign on: this one does not sign until it is told to.
    Retired,
    /// A certificate of this height holds a signature of the seat that the log does not: another process has its
    /// key. The seat does not sign until it is told to.
    Shared(Height),
}

/// Until when a record must stay in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Until this height is decided and on disk.
    Height(Height),
    /// Until a record of a higher view is in the log.
    View(View),
    /// Until another [`LogRecord::Standing`] is in the log.
    Standing,
}

impl LogRecord {
    /// Until when it must stay.
    #[must_use]
    pub fn scope(&self) -> Scope {
        match self {
            Self::Vote(vote) => Scope::Height(vote.target.height),
            Self::Proposal { block, .. } => Scope::Height(block.header.height),
            Self::Prepared(certificate) => Scope::Height(certificate.target.height),
            Self::ViewChange(signed) => Scope::View(signed.change.view),
            Self::NewView(opening) => Scope::View(opening.view),
            Self::Standing(_) => Scope::Standing,
            Self::Floor(height) => Scope::Height(*height),
        }
    }

    /// The bytes that go to disk.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        encode(self)
    }

    /// Reads a record back.
    ///
    /// # Errors
    /// As [`decode`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CodecError> {
        decode(bytes, LOG_RECORD_BYTES_MAX)
    }
}
