//! What a seat writes to its log before it sends it.
//!
//! spec: PROTOCOL §4: "An SV writes each vote to its log before sending it, and never contradicts the log."

use anfs_primitives::block::BLOCK_BYTES_MAX;
use anfs_primitives::{Block, BlsSignature, CodecError, Height, SignedVote, decode, encode};
use borsh::{BorshDeserialize, BorshSerialize};

/// Largest encoded record: a block and a signature.
pub const LOG_RECORD_BYTES_MAX: usize = BLOCK_BYTES_MAX + 1024;

/// One signature of this node's seat.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum LogRecord {
    /// A vote.
    Vote(SignedVote),
    /// A proposal, with the body: an SG that restarts must be able to offer the very same block again, for
    /// it will never sign another one for that (height, view).
    Proposal {
        /// The block proposed.
        block: Box<Block>,
        /// The proposer's signature.
        signature: BlsSignature,
    },
}

impl LogRecord {
    /// The height that was signed for.
    #[must_use]
    pub fn height(&self) -> Height {
        match self {
            Self::Vote(vote) => vote.target.height,
            Self::Proposal { block, .. } => block.header.height,
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
