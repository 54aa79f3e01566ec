//! The sequence: entries of the hash clock, and the fragments that they travel in.
//!
//! spec: PROTOCOL §2, §3

use alloy_primitives::{Address, B256, Bytes};
use borsh::{BorshDeserialize, BorshSerialize};

use crate::codec::BoundedVec;
use crate::header::RootReference;
use crate::ids::{BlockHash, DomainId, Height, NetworkId, SeatIndex, Slot, View};
use crate::transaction::{RecoveredTransaction, TransactionError};

/// Transactions that one entry may record; an SG splits larger batches.
pub const ENTRY_TRANSACTIONS_MAX: usize = 64;
/// Entries in one block, ticks included. With 1 tick per kilohash this is far above any slot.
pub const BLOCK_ENTRIES_MAX: usize = 1 << 16;
/// Target size of a fragment; a single entry larger than this travels alone.
pub const FRAGMENT_BYTES_TARGET: usize = 64 * 1024;
/// Hard cap of an encoded fragment: one entry of 64 transactions of the largest size, and its frame.
pub const FRAGMENT_BYTES_MAX: usize =
    ENTRY_TRANSACTIONS_MAX * (crate::transaction::TRANSACTION_BYTES_MAX + 64) + 1024;

/// A transaction in the sequence, with the sender that the SG recovered.
///
/// The sender is a claim: the checkers of its slice recover it and refuse the slice when it differs;
/// everyone else executes with it. spec: PROTOCOL §2
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SequencedTransaction {
    /// keccak-256 of the encoding is *not* carried: it is recomputed by whoever needs it.
    pub encoded: Bytes,
    /// Claimed sender.
    pub sender: Address,
}

impl SequencedTransaction {
    /// Decodes the transaction and takes the claimed sender without recovering it.
    ///
    /// # Errors
    /// When the encoding is not a transaction that the network accepts.
    pub fn decode_claimed(&self) -> Result<RecoveredTransaction, TransactionError> {
        RecoveredTransaction::decode_claimed(&self.encoded, self.sender)
    }
}

impl From<&RecoveredTransaction> for SequencedTransaction {
    fn from(tx: &RecoveredTransaction) -> Self {
        Self { encoded: tx.encoded().clone(), sender: tx.sender() }
    }
}

/// A stretch of the hash clock: `num_hashes` steps that end in `hash`. When it records transactions, the
/// last step mixes in the SHA-256 Merkle root of their hashes; when it records none it is a *tick*.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Entry {
    /// Steps of the clock since the previous entry; at least 1.
    pub num_hashes: u64,
    /// The clock after the last step.
    pub hash: B256,
    /// Transactions recorded by the last step, in execution order.
    pub transactions: BoundedVec<SequencedTransaction, ENTRY_TRANSACTIONS_MAX>,
}

impl Entry {
    /// Whether the entry only shows that time passed.
    #[must_use]
    pub fn is_tick(&self) -> bool {
        self.transactions.is_empty()
    }
}

/// A run of consecutive entries of a block that is still being produced.
///
/// Fragments carry no signature: the transport authenticates the SG, and the header, which is signed,
/// commits to every entry. spec: PROTOCOL §3
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Fragment {
    /// Network that the block belongs to.
    pub network: NetworkId,
    /// Domain that the block belongs to.
    pub domain: DomainId,
    /// Height of the block.
    pub height: Height,
    /// Slot of the block: execution ahead of the header needs its timestamp.
    pub slot: Slot,
    /// View of the block.
    pub view: View,
    /// Hash of the parent block.
    pub parent: BlockHash,
    /// Who produces the block.
    pub proposer: SeatIndex,
    /// Root reference of the block: execution ahead of the header needs to know which messages have arrived.
    pub root_reference: RootReference,
    /// Position of the first entry in the block.
    pub first_entry: u32,
    /// The entries.
    pub entries: BoundedVec<Entry, BLOCK_ENTRIES_MAX>,
}
