//! What the seats of one shard say to each other.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::BlsSignature;
use crate::block::{BLOCK_BYTES_MAX, CertifiedBlock};
use crate::certificate::Certificate;
use crate::codec::{CodecError, decode};
use crate::entry::{FRAGMENT_BYTES_MAX, Fragment};
use crate::header::SealedHeader;
use crate::ids::{BlockHash, Height, View};
use crate::view::{NewView, SignedViewChange, ViewTimeout};
use crate::vote::SignedVote;

/// A header signed by its proposer: it closes the slot. The body has travelled in fragments.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Proposal {
    /// The header.
    pub header: SealedHeader,
    /// The proposer's signature over the proposal tag and the header's vote target.
    pub signature: BlsSignature,
}

/// A message between the seats of one shard.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum ConsensusMessage {
    /// Entries of a block in the making.
    Fragment(Fragment),
    /// The header that closes a slot.
    Proposal(Proposal),
    /// A verdict or commit.
    Vote(SignedVote),
    /// A quorum of votes.
    Certificate(Certificate),
    /// Asks for the fragments of a block from `first_entry` on.
    FragmentRequest {
        /// Block whose body is missing.
        block: BlockHash,
        /// First entry that is missing.
        first_entry: u32,
    },
    /// Asks for decided blocks from a height on.
    BlockRequest {
        /// First height wanted.
        from: Height,
    },
    /// One decided block, in answer to a request.
    Block(Box<CertifiedBlock>),
    /// A wish to leave a view.
    ViewTimeout(ViewTimeout),
    /// A promise to have left it.
    ViewChange(Box<SignedViewChange>),
    /// The opening of a view.
    NewView(Box<NewView>),
    /// Asks for the header and proposer's signature of a block; the answer is a [`Self::Proposal`].
    ProposalRequest {
        /// The block.
        block: BlockHash,
    },
    /// Asks for the opening of this view or a higher one.
    NewViewRequest {
        /// The view.
        view: View,
    },
}

impl ConsensusMessage {
    /// Decodes a message, holding each kind to its own size cap.
    ///
    /// # Errors
    /// As [`decode`].
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        const SMALL_MAX: usize = 256 * 1024;
        /// A quorum of view changes, each with a certificate for every height it speaks of.
        const NEW_VIEW_MAX: usize = 4 * 1024 * 1024;
        let limit = match bytes.first() {
            Some(0) => FRAGMENT_BYTES_MAX,
            Some(6) => BLOCK_BYTES_MAX,
            Some(9) => NEW_VIEW_MAX,
            _ => SMALL_MAX,
        };
        decode(bytes, limit)
    }
}
