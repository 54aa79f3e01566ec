//! What the pool holds at most, and the chain's rules that it checks at the door.

use anfs_primitives::ChainSpec;
use anfs_primitives::spec::EvmFork;

/// Most gas that one transaction may have from Osaka on (EIP-7825).
pub const TRANSACTION_GAS_MAX: u64 = 1 << 24;

/// Bytes counted for each transaction on top of its encoding: the decoded form and the pool's indices.
pub const ENTRY_OVERHEAD_BYTES: usize = 512;

/// Limits of a pool. Each holds at every moment; when one is reached, the cheapest transactions give way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolLimits {
    /// Transactions in the pool.
    pub transactions_max: usize,
    /// Bytes in the pool, [`ENTRY_OVERHEAD_BYTES`] for each transaction included.
    pub bytes_max: usize,
    /// Transactions of one sender.
    pub sender_transactions_max: usize,
    /// Transactions of one sender behind a nonce gap.
    pub sender_queued_max: usize,
    /// How long a transaction may wait, in milliseconds.
    pub lifetime_ms: u64,
    /// Least tip cap accepted, in wei.
    pub tip_min: u128,
    /// Least base fee that the chain can have, in wei: a lower fee cap is never included.
    pub base_fee_min: u64,
    /// Gas limit of a block.
    pub block_gas_limit: u64,
    /// Gas limit of a transaction, where the rules cap it.
    pub transaction_gas_max: Option<u64>,
}

impl PoolLimits {
    /// The usual limits, under the rules of a chain.
    #[must_use]
    pub fn for_chain(spec: &ChainSpec) -> Self {
        Self {
            transactions_max: 131_072,
            bytes_max: 256 * 1024 * 1024,
            sender_transactions_max: 4096,
            sender_queued_max: 1024,
            lifetime_ms: 3 * 60 * 60 * 1000,
            tip_min: 0,
            base_fee_min: spec.base_fee_min,
            block_gas_limit: spec.block_gas_limit,
            transaction_gas_max: match spec.evm_fork {
                EvmFork::Prague => None,
                EvmFork::Osaka => Some(TRANSACTION_GAS_MAX),
            },
        }
    }
}
