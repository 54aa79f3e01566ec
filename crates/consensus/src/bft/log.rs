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
}

/// Until when a record must stay in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Until this height is decided and on disk.
    Height(Height),
    /// Until a record of a higher view is in the log.
    View(View),
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
