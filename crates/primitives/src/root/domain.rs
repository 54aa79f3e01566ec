//! The root as a domain: what its blocks take in, and what executing them comes to.
//!
//! spec: Root F12–F16

use alloy_primitives::{B256, Bloom, U256, keccak256};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use crate::codec::{BoundedVec, encode};
use crate::crossing::CrossMessage;
use crate::header::{DOMAINS_MAX, InboxCursor, LaneCount};
use crate::ids::{DomainId, Height};

/// Messages of one block for one destination at most: more than its gas could pay for.
pub const LANE_MESSAGES_MAX: usize = 1 << 20;
/// Siblings of a lane at most: the depth of a tree over every domain that a network can have.
pub const LANE_SIBLINGS_MAX: usize = 16;
/// Siblings of a stretch of a lane at most: two for each level of a tree over all messages of a block.
pub const STRETCH_SIBLINGS_MAX: usize = 40;
/// Stretches of messages in one root block at most.
pub const INBOUND_MAX: usize = 16 * 1024;

const INBOUND_TAG: &[u8] = b"anfs/root-inbound/v1";

/// What executing a root block comes to: the claims of a shard's header, for domain 0. The header above commits to it.
/// spec: Root F12
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RootExecution {
    /// Root of the account trie after the block.
    pub state_root: B256,
    /// Ethereum's ordered trie root over the receipts' EIP-2718 encodings.
    pub receipts_root: B256,
    /// Union of the receipts' blooms.
    pub logs_bloom: Bloom,
    /// Root of the messages that the block sends; zero when it sends none.
    pub outbox_root: B256,
    /// Messages sent so far, by destination, ascending.
    pub sent: BoundedVec<LaneCount, DOMAINS_MAX>,
    /// Messages consumed so far, by source, ascending.
    pub consumed: BoundedVec<InboxCursor, DOMAINS_MAX>,
    /// Value that came with the messages that the block consumes, in wei.
    pub value_in: U256,
    /// Value that leaves with the messages that the block sends, in wei.
    pub value_out: U256,
    /// Coins that the block destroys, in wei.
    pub burned: U256,
    /// Coins issued since genesis, in wei.
    pub issued: U256,
    /// Gas that the block's messages used.
    pub gas_used: u64,
    /// Base fee of the block, in wei.
    pub base_fee: u64,
}

/// Messages to the root from one block of a shard: all of them, or a stretch that the block's outbox root proves.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct InboundBatch {
    /// The shard.
    pub source: DomainId,
    /// Height of its block.
    pub height: Height,
    /// The messages, in the order of their numbers; never empty.
    pub messages: BoundedVec<CrossMessage, LANE_MESSAGES_MAX>,
    /// Why they are the block's.
    pub proof: StretchProof,
}

impl InboundBatch {
    /// The hash by which a root header commits to it.
    #[must_use]
    pub fn hash(&self) -> B256 {
        keccak256([INBOUND_TAG, &encode(self)].concat())
    }
}

/// The way from a stretch of a lane's messages up to the outbox root of their block.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct StretchProof {
    /// Siblings of the stretch under the root over the lane's messages, lowest first, of each level the left one first.
    pub beside: BoundedVec<B256, STRETCH_SIBLINGS_MAX>,
    /// How many lanes the block has messages for.
    pub lanes: u32,
    /// Which of them leads to the root.
    pub index: u32,
    /// The lane's siblings on the way to the outbox root, lowest first.
    pub siblings: BoundedVec<B256, LANE_SIBLINGS_MAX>,
}
