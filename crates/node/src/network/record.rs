//! What the network's index keeps of a root block: enough to show the block again without following
//! transactions from genesis on.

use std::sync::Arc;

use alloy_primitives::{Address, B256, Bloom, U256};
use anfs_primitives::{BlockHash, Height};
use anfs_rpc::BlockSummary;
use borsh::{BorshDeserialize, BorshSerialize};

use super::completion::{OpenWay, Way};

/// First bytes of the index: what it is, and the version of [`Record`].
pub(crate) const MAGIC: [u8; 8] = *b"ANFSNET2";
/// Every so many records, one holds all open transactions.
pub(crate) const WHOLE_EVERY: u64 = 64;

/// A domain after a root block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct DomainRow {
    /// Its newest final block.
    pub(crate) tip: Height,
    /// That block's hash; of the root's own, that of the root block.
    pub(crate) hash: BlockHash,
    /// Coins in its accounts, in wei.
    pub(crate) held: U256,
}

/// What a network block shows of itself.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Shown {
    pub(crate) hash: B256,
    pub(crate) parent: B256,
    pub(crate) height: Height,
    /// Root of the accounts of all domains; `None` where this node did not hold the states of the shards.
    pub(crate) state_root: Option<B256>,
    pub(crate) transactions_root: B256,
    pub(crate) receipts_root: B256,
    pub(crate) logs_bloom: Bloom,
    pub(crate) gas_limit: u64,
    pub(crate) gas_used: u64,
    pub(crate) base_fee: u64,
    pub(crate) timestamp: u64,
    pub(crate) size: u64,
}

impl Shown {
    pub(crate) fn summary(&self) -> BlockSummary {
        BlockSummary {
            hash: self.hash,
            parent: self.parent,
            height: self.height,
            beneficiary: Address::ZERO,
            state_root: self.state_root.unwrap_or_default(),
            transactions_root: self.transactions_root,
            receipts_root: self.receipts_root,
            logs_bloom: self.logs_bloom,
            gas_limit: self.gas_limit,
            gas_used: self.gas_used,
            base_fee: self.base_fee,
            timestamp: self.timestamp,
            prev_randao: self.hash,
            size: self.size,
        }
    }
}

/// A network block by reference: what it shows, and where what it lists is found.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Entry {
    pub(crate) shown: Shown,
    /// The domains after it, the root first.
    pub(crate) domains: Vec<DomainRow>,
    /// Transactions that completed in it, in order.
    pub(crate) listed: Vec<Way>,
}

/// One root block in the index. The encoding begins with the block's hash, by which the log finds it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Record {
    pub(crate) entry: Arc<Entry>,
    /// Transactions that are not complete: all of them if `whole`, else those that this block changed.
    pub(crate) open: Vec<OpenWay>,
    pub(crate) whole: bool,
}
