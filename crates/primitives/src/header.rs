//! The header of a shard block.
//!
//! spec: PROTOCOL §3

use std::ops::Deref;
use std::sync::Arc;

use alloy_primitives::{Address, B256, Bloom, U256, keccak256};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use crate::codec::{BoundedVec, encode};
use crate::ids::{BlockHash, DomainId, Epoch, Height, NetworkId, SeatIndex, Slot, View};

/// Verifiers of one shard at most; the paper has 10.
pub const VERIFIERS_MAX: usize = 64;
/// Domains of one network at most.
pub const DOMAINS_MAX: usize = 4096;

const HEADER_TAG: &[u8] = b"anfs/shard-header/v1";

/// A cut between two slices: the slice to the right starts at `entry` with the clock at `hash`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Boundary {
    /// Index of the first entry right of the cut.
    pub entry: u32,
    /// The clock at the cut.
    pub hash: B256,
}

/// The latest final root block that the proposer knew. spec: PROTOCOL §3
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize,
)]
#[serde(rename_all = "camelCase")]
pub struct RootReference {
    /// Its height.
    pub height: Height,
    /// Its hash.
    pub hash: B256,
}

impl RootReference {
    /// Whether a block that refers to this one may have a child that refers to `next`: what is final stays so.
    #[must_use]
    pub fn admits(&self, next: &Self) -> bool {
        next.height > self.height || next == self
    }
}

/// Messages sent to one destination so far, and the coins in them. spec: PROTOCOL §9
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LaneCount {
    /// Where the lane leads.
    pub destination: DomainId,
    /// Messages sent on it since genesis.
    pub sent: u64,
    /// Coins sent with them, in wei: value and prepaid gas.
    pub value: U256,
}

/// Messages consumed from one source so far. spec: PROTOCOL §9
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InboxCursor {
    /// Where the lane comes from.
    pub source: DomainId,
    /// Messages consumed from it since genesis.
    pub consumed: u64,
}

/// The header of a shard block: everything that the SG commits to. spec: PROTOCOL §3
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShardHeader {
    /// Network id.
    pub network: NetworkId,
    /// Domain.
    pub domain: DomainId,
    /// Position in the chain; genesis is 0.
    pub height: Height,
    /// Slot in which the block was produced; strictly above its parent's.
    pub slot: Slot,
    /// Hash of the parent header.
    pub parent: BlockHash,
    /// Epoch whose seats produce and check the block.
    pub epoch: Epoch,
    /// View in which the block was proposed.
    pub view: View,
    /// Seat that proposed it.
    pub proposer: SeatIndex,
    /// Account that receives the tips.
    pub beneficiary: Address,
    /// Latest final root block known to the proposer.
    pub root_reference: RootReference,
    /// The hash clock at the start: the parent's `poh_end`.
    pub poh_start: B256,
    /// The hash clock after exactly `hashes_per_slot` steps.
    pub poh_end: B256,
    /// `verifiers + 1` cuts; the first is entry 0 at `poh_start`, the last the entry count at `poh_end`.
    pub boundaries: BoundedVec<Boundary, { VERIFIERS_MAX + 1 }>,
    /// SHA-256 Merkle root over the encoded entries.
    pub entries_root: B256,
    /// Ethereum's ordered trie root over the EIP-2718 encodings of the transactions.
    pub transactions_root: B256,
    /// Ethereum's ordered trie root over the EIP-2718 encodings of the receipts.
    pub receipts_root: B256,
    /// Union of the receipts' blooms.
    pub logs_bloom: Bloom,
    /// Root of the account trie after the block.
    pub state_root: B256,
    /// Root of the messages that the block sends; zero when it sends none.
    pub outbox_root: B256,
    /// Messages sent so far, by destination, ascending.
    pub lanes: BoundedVec<LaneCount, DOMAINS_MAX>,
    /// Messages consumed so far, by source, ascending.
    pub inbox_cursors: BoundedVec<InboxCursor, DOMAINS_MAX>,
    /// Gas that consumed messages and transactions used.
    pub gas_used: u64,
    /// Gas that the block may use: the chain spec's.
    pub gas_limit: u64,
    /// Base fee of the block, in wei.
    pub base_fee: u64,
    /// Value that entered the domain with consumed messages, in wei.
    pub value_in: U256,
    /// Value that left the domain with sent messages, in wei.
    pub value_out: U256,
    /// Coins that the block destroyed, in wei: base fees, and what went down with destroyed contracts.
    pub burned: U256,
}

impl ShardHeader {
    /// The hash that names the block.
    #[must_use]
    pub fn hash(&self) -> BlockHash {
        let mut bytes = HEADER_TAG.to_vec();
        bytes.extend_from_slice(&encode(self));
        keccak256(bytes)
    }

    /// Computes the hash once and keeps it beside the header.
    #[must_use]
    pub fn seal(self) -> SealedHeader {
        SealedHeader { hash: self.hash(), header: Arc::new(self) }
    }
}

/// A header together with its hash. It is shared, not copied: messages about it are small and cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedHeader {
    header: Arc<ShardHeader>,
    hash: BlockHash,
}

impl SealedHeader {
    /// The hash that names the block.
    #[must_use]
    pub fn hash(&self) -> BlockHash {
        self.hash
    }

    /// The header alone.
    #[must_use]
    pub fn header(&self) -> &ShardHeader {
        &self.header
    }

    /// Takes the header out.
    #[must_use]
    pub fn into_header(self) -> ShardHeader {
        Arc::unwrap_or_clone(self.header)
    }
}

impl Deref for SealedHeader {
    type Target = ShardHeader;

    fn deref(&self) -> &ShardHeader {
        &self.header
    }
}

impl BorshSerialize for SealedHeader {
    fn serialize<W: std::io::Write>(&self, writer: &mut W) -> std::io::Result<()> {
        BorshSerialize::serialize(self.header(), writer)
    }
}

impl BorshDeserialize for SealedHeader {
    fn deserialize_reader<R: std::io::Read>(reader: &mut R) -> std::io::Result<Self> {
        ShardHeader::deserialize_reader(reader).map(ShardHeader::seal)
    }
}
