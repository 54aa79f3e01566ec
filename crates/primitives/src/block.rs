//! Blocks: a header, its entries, and, once decided, the certificate.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::certificate::Certificate;
use crate::codec::BoundedVec;
use crate::entry::{BLOCK_ENTRIES_MAX, Entry, SequencedTransaction};
use crate::header::SealedHeader;
use crate::ids::Height;

/// Hard cap of an encoded block: what a slot of the widest spec can hold, and its frame.
pub const BLOCK_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The body of a shard block.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct BlockBody {
    /// The sequence of the slot.
    pub entries: BoundedVec<Entry, BLOCK_ENTRIES_MAX>,
}

impl BlockBody {
    /// The transactions in execution order.
    pub fn transactions(&self) -> impl Iterator<Item = &SequencedTransaction> {
        self.entries.iter().flat_map(|entry| entry.transactions.iter())
    }
}

/// A whole block, not yet decided.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Block {
    /// The header.
    pub header: SealedHeader,
    /// The body.
    pub body: BlockBody,
}

impl Block {
    /// Its height.
    #[must_use]
    pub fn height(&self) -> Height {
        self.header.height
    }
}

/// A block together with the certificate that decided it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct CertifiedBlock {
    /// The block.
    pub block: Block,
    /// A [`crate::CertificateKind::Fast`] or [`crate::CertificateKind::Commit`] certificate.
    pub certificate: Certificate,
}
