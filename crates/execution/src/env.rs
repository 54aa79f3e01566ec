//! What a block is executed in: its header's values and the hashes of its ancestors.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use alloy_primitives::{Address, B256, U256};
use anfs_primitives::spec::EvmFork;
use revm::context::CfgEnv;
use revm::context_interface::block::BlobExcessGasAndPrice;
use revm::primitives::hardfork::SpecId;

/// Ancestors whose hashes a block can see (the BLOCKHASH opcode).
pub const ANCESTORS_VISIBLE: u64 = 256;

/// Hashes of the blocks before the one that is executed.
///
/// Whoever answers must answer alike on every node: it is part of the block's input.
pub trait Ancestors: Send + Sync + Debug {
    /// The hash of the block with this number, or `None` when it is unknown or older than
    /// [`ANCESTORS_VISIBLE`] blocks (contracts then read zero).
    fn block_hash(&self, number: u64) -> Option<B256>;
}

impl Ancestors for BTreeMap<u64, B256> {
    fn block_hash(&self, number: u64) -> Option<B256> {
        self.get(&number).copied()
    }
}

/// The header values that execution depends on. spec: PROTOCOL §3
#[derive(Clone, Debug)]
pub struct BlockEnv {
    /// EIP-155 chain id: the network id.
    pub chain_id: u64,
    /// Ethereum rules.
    pub fork: EvmFork,
    /// Height of the block.
    pub number: u64,
    /// Start of its slot in seconds.
    pub timestamp: u64,
    /// Receives the tips.
    pub beneficiary: Address,
    /// Gas that the block may use.
    pub gas_limit: u64,
    /// Base fee in wei; burned.
    pub base_fee: u64,
    /// What PREVRANDAO reads.
    pub prevrandao: B256,
    /// Hashes of the last 256 blocks.
    pub ancestors: Arc<dyn Ancestors>,
}

/// The revm rule set of a fork.
pub(crate) fn spec_id(fork: EvmFork) -> SpecId {
    match fork {
        EvmFork::Prague => SpecId::PRAGUE,
        EvmFork::Osaka => SpecId::OSAKA,
    }
}

impl BlockEnv {
    /// revm's configuration under consensus rules: every check on.
    pub(crate) fn cfg(&self) -> CfgEnv {
        let mut cfg = CfgEnv::new_with_spec(spec_id(self.fork));
        cfg.chain_id = self.chain_id;
        cfg
    }

    /// revm's configuration for a call that nobody signed: nonce, sender's code, block gas and gas cap are
    /// not looked at.
    pub(crate) fn call_cfg(&self) -> CfgEnv {
        let mut cfg = self.cfg();
        cfg.disable_nonce_check = true;
        cfg.disable_eip3607 = true;
        cfg.disable_block_gas_limit = true;
        cfg.tx_gas_limit_cap = Some(u64::MAX);
        cfg
    }

    /// revm's view of the block. Shards carry no blobs, so the blob price is the minimum for ever.
    pub(crate) fn block(&self) -> revm::context::BlockEnv {
        revm::context::BlockEnv {
            number: U256::from(self.number),
            beneficiary: self.beneficiary,
            timestamp: U256::from(self.timestamp),
            gas_limit: self.gas_limit,
            basefee: self.base_fee,
            difficulty: U256::ZERO,
            prevrandao: Some(self.prevrandao),
            blob_excess_gas_and_price: Some(BlobExcessGasAndPrice { excess_blob_gas: 0, blob_gasprice: 1 }),
            slot_num: 0,
        }
    }
}
