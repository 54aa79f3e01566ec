//! What the node answers, as far as it is shown.

use alloy_primitives::{Address, B256, Bytes, U64, U256};
use serde::Deserialize;

/// `eth_getTransactionReceipt`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Receipt {
    pub(crate) transaction_hash: B256,
    pub(crate) status: U64,
    pub(crate) block_number: U64,
    pub(crate) transaction_index: U64,
    pub(crate) from: Address,
    pub(crate) to: Option<Address>,
    pub(crate) contract_address: Option<Address>,
    pub(crate) gas_used: U64,
    pub(crate) effective_gas_price: U256,
    pub(crate) logs: Vec<Log>,
}

impl Receipt {
    pub(crate) fn succeeded(&self) -> bool {
        !self.status.is_zero()
    }

    pub(crate) fn fee(&self) -> U256 {
        self.effective_gas_price.saturating_mul(U256::from(self.gas_used.to::<u64>()))
    }
}

/// A log of a receipt.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Log {
    pub(crate) address: Address,
    pub(crate) topics: Vec<B256>,
    pub(crate) data: Bytes,
}

/// `eth_getTransactionByHash`, and the transactions of a block.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Transaction {
    pub(crate) hash: B256,
    pub(crate) from: Address,
    pub(crate) to: Option<Address>,
    pub(crate) value: U256,
    pub(crate) nonce: U64,
    pub(crate) gas: U64,
    pub(crate) input: Bytes,
}

/// A transaction of a block, in full or as a hash.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum BlockTransaction {
    Hash(B256),
    Full(Box<Transaction>),
}

/// `eth_getBlockBy*`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Block {
    pub(crate) hash: Option<B256>,
    pub(crate) number: Option<U64>,
    pub(crate) parent_hash: B256,
    pub(crate) timestamp: U64,
    pub(crate) miner: Option<Address>,
    pub(crate) state_root: B256,
    pub(crate) receipts_root: B256,
    pub(crate) gas_used: U64,
    pub(crate) gas_limit: U64,
    pub(crate) base_fee_per_gas: U256,
    pub(crate) size: U64,
    pub(crate) transactions: Vec<BlockTransaction>,
}

/// A slice of `anfs_getSlices`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Slice {
    pub(crate) index: usize,
    pub(crate) start: Cut,
    pub(crate) end: Cut,
    /// 0-based verifiers that the draw gave it to.
    pub(crate) checkers: Vec<usize>,
}

/// An end of a slice.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Cut {
    pub(crate) entry: u32,
    pub(crate) hash: B256,
}
