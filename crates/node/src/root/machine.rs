//! The root as a domain, on one seat: executes final root blocks in their order, and keeps what that comes to.
//!
//! ```text
//!   final root block ─▶ execute ─▶ executions.log   what each block did, a cache of what replaying gives
//!                           │
//!                           └─▶ every so often, beside the root's own state: the accounts
//! ```
//!
//! spec: PROTOCOL §6; Root F12–F16

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, U256};
use anfs_crypto::outbox::outbox_root;
use anfs_execution::root::{RootOutcome, run_root};
use anfs_execution::{ANCESTORS_VISIBLE, BlockEnv, DomainEnv};
use anfs_primitives::{
    BlockCrossing, ChainSpec, DomainId, DomainMap, Height, RootBlock, RootExecution, RootHash, RootSeat,
    SealedRootHeader, ShardHeader, Slot, encode,
};
use anfs_rpc::RpcBlock;
use anfs_state::{EMPTY_ROOT, NodeKey, NodeReader, StateError, WorldState, ordered_root_of};
use borsh::{BorshDeserialize, BorshSerialize};

use super::domain::RootExecuted;
use crate::error::NodeError;
use crate::genesis;

/// See the module docs.
#[derive(Debug)]
pub(crate) struct RootMachine {
    spec: Arc<ChainSpec>,
    /// What is the same in the headers of all blocks.
    blank: ShardHeader,
    head: Arc<RootExecuted>,
    /// Hashes of the newest executed block and of those before it.
    hashes: BTreeMap<u64, B256>,
    /// Codes that the state may have read from a saved one.
    kept_codes: Vec<(B256, Bytes)>,
}

/// All accounts of the root after a block, to go on from.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct SavedAccounts {
    block: ExecutionRecord,
    hashes: Vec<(u64, RootHash)>,
    /// By the keys' bytes, ascending.
    nodes: Vec<(Vec<u8>, Vec<u8>)>,
    codes: Vec<(B256, Vec<u8>)>,
}

impl RootMachine {
    /// The root before its first block.
    ///
    /// # Errors
    /// When genesis is no state.
    pub(crate) fn genesis(spec: &Arc<ChainSpec>, header: &SealedRootHeader) -> Result<Self, NodeError> {
        let (state, blank) = (genesis::root_state(spec)?, blank(spec));
        let done = (header.execution.clone(), BlockCrossing::default());
        Ok(Self {
            spec: spec.clone(),
            head: Arc::new(executed(&blank, place(spec, header), header, state, done)),
            blank,
            hashes: BTreeMap::from([(0, header.hash())]),
            kept_codes: Vec::new(),
        })
    }

    /// The newest executed block.
    pub(crate) fn head(&self) -> &Arc<RootExecuted> {
        &self.head
    }

    /// Executes the next final block.
    ///
    /// # Errors
    /// A local fault: what is final can be executed.
    ///
    /// # Panics
    /// When it is not the next one.
    pub(crate) fn execute(&mut self, block: &RootBlock) -> Result<Arc<RootExecuted>, NodeError> {
        let (header, before) = (&block.header, &self.head.execution);
        assert_eq!(header.height, self.head.height().next(), "root blocks are executed in their order");
        let issued = self.spec.issuance().issued_at(header.timestamp_ms);
        let base_fee = self.spec.next_base_fee(before.base_fee, before.gas_used);
        let env = BlockEnv {
            chain_id: self.spec.network.0,
            fork: self.spec.evm_fork,
            number: header.height.0,
            timestamp: header.timestamp_ms / 1000,
            beneficiary: beneficiary(&self.spec, header.proposer),
            gas_limit: self.spec.block_gas_limit,
            base_fee,
            prevrandao: header.hash(),
            ancestors: Arc::new(self.hashes.clone()),
        };
        let messages = block.inbound.iter().flat_map(|batch| batch.messages.iter());
        // What the root has issued never falls: time does not go back.
        let new = issued.saturating_sub(before.issued);
        let outcome = run_root(env, self.domain_env(header), self.head.state.clone(), new, messages)?;
        let state = self.head.state.apply(&outcome.block.changes)?;
        let done = account(outcome, state.root(), issued, base_fee);
        self.head = Arc::new(executed(&self.blank, place(&self.spec, header), header, state, done));
        self.hashes.insert(header.height.0, header.hash());
        let oldest = header.height.next().0.saturating_sub(ANCESTORS_VISIBLE);
        self.hashes = self.hashes.split_off(&oldest);
        Ok(self.head.clone())
    }

    fn domain_env(&self, header: &SealedRootHeader) -> DomainEnv {
        DomainEnv {
            network: self.spec.network,
            domain: DomainId::ROOT,
            map: map(&self.spec),
            slot: self.spec.slot_at(header.timestamp_ms),
            call_lifetime: self.spec.call_lifetime(),
            sent: self.head.execution.sent.to_vec(),
            consumed: self.head.execution.consumed.to_vec(),
        }
    }

    /// Everything that [`Self::restore`] goes on from.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub(crate) fn save(&self) -> Result<SavedAccounts, NodeError> {
        let diff = self.head.state.diff_since(&WorldState::empty())?;
        let mut nodes: Vec<_> =
            diff.nodes.into_iter().filter_map(|(key, node)| Some((key.to_bytes(), node?))).collect();
        nodes.sort_unstable();
        let codes: BTreeMap<B256, Bytes> = self.kept_codes.iter().cloned().chain(diff.codes).collect();
        Ok(SavedAccounts {
            block: ExecutionRecord::of(&self.head),
            hashes: self.hashes.iter().map(|(number, hash)| (*number, *hash)).collect(),
            nodes,
            codes: codes.into_iter().map(|(hash, code)| (hash, code.to_vec())).collect(),
        })
    }

    /// The root after the block whose accounts were saved.
    ///
    /// # Errors
    /// When the accounts make no state.
    pub(crate) fn restore(spec: &Arc<ChainSpec>, saved: SavedAccounts) -> Result<Self, NodeError> {
        let SavedAccounts { block, hashes, nodes, codes } = saved;
        let codes: Vec<(B256, Bytes)> = codes.into_iter().map(|(hash, code)| (hash, code.into())).collect();
        let accounts =
            Accounts { nodes: nodes.into_iter().collect(), codes: codes.iter().cloned().collect() };
        let state = WorldState::open(block.execution.state_root, Arc::new(accounts))?;
        let execution = block.execution.clone();
        Ok(Self {
            spec: spec.clone(),
            blank: blank(spec),
            head: Arc::new(RootExecuted { block: Arc::new(block.into_block()), state, execution }),
            hashes: hashes.into_iter().collect(),
            kept_codes: codes,
        })
    }
}

impl SavedAccounts {
    /// The block that they are after.
    pub(crate) fn height(&self) -> Height {
        self.block.header.height
    }
}

/// Accounts that were saved, as a place to read from.
#[derive(Debug)]
struct Accounts {
    nodes: BTreeMap<Vec<u8>, Vec<u8>>,
    codes: BTreeMap<B256, Bytes>,
}

impl NodeReader for Accounts {
    fn node(&self, key: &NodeKey) -> Result<Option<Vec<u8>>, StateError> {
        Ok(self.nodes.get(&key.to_bytes()).cloned())
    }

    fn code(&self, hash: &B256) -> Result<Option<Bytes>, StateError> {
        Ok(self.codes.get(hash).cloned())
    }
}

pub(super) fn map(spec: &ChainSpec) -> DomainMap {
    DomainMap::new(u32::try_from(spec.shards.len()).expect("validate() bounds the shards"))
}

/// The account that earns the tips of the root blocks that a seat proposes.
fn beneficiary(spec: &ChainSpec, seat: RootSeat) -> Address {
    let shard = seat.domain.0.checked_sub(1).and_then(|index| spec.shards.get(index as usize));
    let holder = shard.and_then(|shard| match seat.seat.0.checked_sub(1) {
        None => Some(&shard.generator),
        Some(verifier) => shard.verifiers.get(usize::from(verifier)),
    });
    holder.map_or(Address::ZERO, |holder| holder.beneficiary)
}

/// Who earns a root block's tips, and the slot that its deadlines are held against.
fn place(spec: &ChainSpec, header: &SealedRootHeader) -> (Address, Slot) {
    (beneficiary(spec, header.proposer), spec.slot_at(header.timestamp_ms))
}

/// What the next header says of an execution, and what is kept of it.
fn account(
    outcome: RootOutcome,
    state_root: B256,
    issued: U256,
    base_fee: u64,
) -> (RootExecution, BlockCrossing) {
    let RootOutcome { arrivals, block } = outcome;
    let crossing = block.crossing.unwrap_or_default();
    let receipts: Vec<_> = arrivals.iter().filter_map(|arrival| arrival.receipt.as_ref()).collect();
    let mut logs_bloom = alloy_primitives::Bloom::ZERO;
    let receipts_root = ordered_root_of(receipts.len(), |index, out| {
        let bloom = receipts[index].bloom();
        logs_bloom |= bloom;
        receipts[index].encode_2718_with(&bloom, out);
    });
    let few = "a network has fewer domains";
    let execution = RootExecution {
        state_root,
        receipts_root,
        logs_bloom,
        outbox_root: outbox_root(&crossing.messages),
        sent: crossing.sent.try_into().expect(few),
        consumed: crossing.consumed.try_into().expect(few),
        value_in: crossing.value_in,
        value_out: crossing.value_out,
        burned: block.burned,
        issued,
        gas_used: block.gas_used,
        base_fee,
    };
    let crossing = BlockCrossing {
        arrivals: arrivals.try_into().expect("the block's messages are bounded"),
        sent: crossing.messages.try_into().expect("a message costs gas, and validate() bounds a block's"),
    };
    (execution, crossing)
}

/// What is the same in the headers of all executed blocks: the root has no hash clock and no transactions.
pub(super) fn blank(spec: &ChainSpec) -> ShardHeader {
    spec.genesis_header(DomainId::ROOT, EMPTY_ROOT, EMPTY_ROOT)
}

/// An executed block in the form in which readers know blocks of shards.
pub(super) fn executed(
    blank: &ShardHeader,
    (beneficiary, slot): (Address, Slot),
    root: &SealedRootHeader,
    state: WorldState,
    (execution, crossing): (RootExecution, BlockCrossing),
) -> RootExecuted {
    let header = ShardHeader {
        height: root.height,
        slot,
        parent: root.parent,
        epoch: root.epoch,
        view: root.view,
        proposer: root.proposer.seat,
        beneficiary,
        root_reference: root.reference(),
        receipts_root: execution.receipts_root,
        logs_bloom: execution.logs_bloom,
        state_root: execution.state_root,
        outbox_root: execution.outbox_root,
        lanes: execution.sent.clone(),
        inbox_cursors: execution.consumed.clone(),
        gas_used: execution.gas_used,
        base_fee: execution.base_fee,
        value_in: execution.value_in,
        value_out: execution.value_out,
        burned: execution.burned,
        ..blank.clone()
    };
    let record = ExecutionRecord {
        header,
        timestamp: root.timestamp_ms / 1000,
        crossing,
        execution: execution.clone(),
    };
    RootExecuted { block: Arc::new(record.into_block()), state, execution }
}

/// What is kept of an executed block.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct ExecutionRecord {
    pub(crate) header: ShardHeader,
    timestamp: u64,
    crossing: BlockCrossing,
    execution: RootExecution,
}

impl ExecutionRecord {
    pub(crate) fn of(executed: &RootExecuted) -> Self {
        Self {
            header: executed.block.header.header().clone(),
            timestamp: executed.block.timestamp,
            crossing: BlockCrossing::clone(&executed.block.crossing),
            execution: executed.execution.clone(),
        }
    }

    /// The block that was kept, as readers know it.
    pub(crate) fn into_block(self) -> RpcBlock {
        let header = self.header.seal();
        RpcBlock {
            prev_randao: header.root_reference.hash,
            timestamp: self.timestamp,
            size: encode(header.header()).len() as u64,
            header,
            transactions: [].into(),
            receipts: [].into(),
            crossing: Arc::new(self.crossing),
            certificate: None,
        }
    }
}

#[cfg(test)]
mod tests;
