//! The root's own accounts and blocks as the RPC server reads those of a domain.

use std::sync::Arc;

use alloy_eips::eip2930::AccessListResult;
use alloy_primitives::{Address, B256, Bytes};
use alloy_rpc_types_eth::simulate::{SimulatePayload, SimulatedBlock};
use alloy_rpc_types_eth::{EIP1186AccountProofResponse, SyncInfo, TransactionRequest};
use alloy_rpc_types_trace::geth::{
    GethDebugTracingCallOptions, GethDebugTracingOptions, GethTrace, TraceResult,
};
use anfs_execution::root::begin_root;
use anfs_execution::simulate::Limits;
use anfs_execution::trace::{ArrivalTrace, Tracer};
use anfs_execution::{BlockEnv, BlockExecutor, DomainEnv};
use anfs_primitives::{BlockHash, CrossMessage, DomainId, Height};
use anfs_rpc::{
    AccountView, At, BackendError, CallRequest, ChainReader, Executor, RpcBlock, ShownBlock, StateReader,
};
use anfs_state::{StateRead, WorldState};
use anfs_store::MessagePlace;

use super::domain::RootDomain;
use super::machine::map;
use crate::backend::{Scene, proof_response, refusal};
use crate::error::NodeError;
use crate::network::DomainChain;

impl RootDomain {
    fn existing(&self, height: Height) -> Result<Arc<RpcBlock>, BackendError> {
        let absent =
            || BackendError::InvalidParams(format!("block {height} of the root is not executed here"));
        self.block_at(height)?.ok_or_else(absent)
    }

    fn read_at(&self, at: At) -> Result<WorldState, BackendError> {
        match at {
            At::Pending => Ok(self.newest_state().1),
            At::Block(height) => {
                self.state_at(height).map_err(|oldest| BackendError::StatePruned { height, oldest })
            }
        }
    }

    /// Where a call is tried that believes to be in a block; what comes next is not known before it is decided.
    fn scene(&self, at: At) -> Result<(Scene, Arc<RpcBlock>), BackendError> {
        let (block, state) = match at {
            At::Pending => self.newest_state(),
            At::Block(height) => (self.existing(height)?, self.read_at(at)?),
        };
        let env = self.env_of(&block);
        Ok((Scene { env, state, domain: DomainId::ROOT, map: map(&self.spec) }, block))
    }
}

impl RootDomain {
    fn env_of(&self, block: &RpcBlock) -> BlockEnv {
        let header = &block.header;
        BlockEnv {
            chain_id: self.spec.network.0,
            fork: self.spec.evm_fork,
            number: header.height.0,
            timestamp: block.timestamp,
            beneficiary: header.beneficiary,
            gas_limit: header.gas_limit,
            base_fee: header.base_fee,
            prevrandao: block.prev_randao,
            ancestors: Arc::new(self.hashes(header.height)),
        }
    }

    /// A block of the root that has consumed its first messages, and those after.
    fn after_arrivals<'b>(
        &self,
        block: &'b RpcBlock,
        index: u32,
    ) -> Result<(BlockExecutor<WorldState>, &'b CrossMessage), BackendError> {
        let height = block.header.height;
        let (state, before) = height
            .prev()
            .ok_or_else(|| BackendError::InvalidParams("genesis is not traceable".into()))
            .and_then(|parent| {
                self.outcome_at(parent).map_err(|oldest| BackendError::StatePruned { height: parent, oldest })
            })?;
        let (_, after) =
            self.outcome_at(height).map_err(|oldest| BackendError::StatePruned { height, oldest })?;
        let until = block.crossing.arrivals.get(..=index as usize).and_then(<[_]>::split_last);
        let Some((last, earlier)) = until else {
            return Err(BackendError::InvalidParams(format!(
                "block {height} of the root has no message {index}"
            )));
        };
        let domain = DomainEnv {
            network: self.spec.network,
            domain: DomainId::ROOT,
            map: map(&self.spec),
            slot: block.header.slot,
            call_lifetime: self.spec.call_lifetime(),
            sent: before.sent.to_vec(),
            consumed: before.consumed.to_vec(),
        };
        let issued = after.issued.saturating_sub(before.issued);
        let mut executor = begin_root(self.env_of(block), domain, state, issued).map_err(refusal)?;
        for arrival in earlier {
            executor.arrive(&arrival.message).map_err(refusal)?;
        }
        Ok((executor, &last.message))
    }
}

impl ChainReader for RootDomain {
    fn chain_id(&self) -> u64 {
        self.spec.network.0
    }

    fn head(&self) -> Arc<dyn ShownBlock> {
        self.newest()
    }

    fn block(&self, height: Height) -> Result<Option<Arc<dyn ShownBlock>>, BackendError> {
        Ok(self.block_at(height)?.map(|block| block as _))
    }

    fn height_of(&self, hash: &BlockHash) -> Result<Option<Height>, BackendError> {
        Ok(self.height_of_root(hash))
    }

    /// The root has no transactions of its own.
    fn transaction(&self, _hash: &B256) -> Result<Option<(Height, u32)>, BackendError> {
        Ok(None)
    }

    fn next_base_fee(&self) -> u64 {
        let head = self.newest();
        self.spec.next_base_fee(head.header.base_fee, head.header.gas_used)
    }

    fn next_timestamp(&self) -> u64 {
        self.newest().timestamp + self.spec.root_block_ms.div_ceil(1000)
    }

    fn syncing(&self) -> Option<SyncInfo> {
        None
    }
}

impl DomainChain for RootDomain {
    fn state(&self, height: Height) -> Option<WorldState> {
        self.state_at(height).ok()
    }

    fn message(&self, id: &B256) -> Result<Option<MessagePlace>, NodeError> {
        Ok(Self::message(self, id))
    }

    fn trace_arrival(
        &self,
        height: Height,
        index: u32,
        options: &GethDebugTracingOptions,
    ) -> Result<ArrivalTrace, BackendError> {
        let block = self.existing(height)?;
        let (executor, message) = self.after_arrivals(&block, index)?;
        let (env, hash) = (self.env_of(&block), Some(block.header.hash()));
        Tracer::trace_arrival(executor, env, hash, Limits::default(), message, options).map_err(refusal)
    }
}

impl StateReader for RootDomain {
    fn account(&self, at: At, address: &Address) -> Result<AccountView, BackendError> {
        let account = self.read_at(at)?.account(address).map_err(NodeError::from)?.unwrap_or_default();
        Ok(AccountView { nonce: account.nonce, balance: account.balance })
    }

    fn code(&self, at: At, address: &Address) -> Result<Bytes, BackendError> {
        let state = self.read_at(at)?;
        let Some(account) = state.account(address).map_err(NodeError::from)? else { return Ok(Bytes::new()) };
        Ok(state.code(&account.code_hash).map_err(NodeError::from)?)
    }

    fn storage(&self, at: At, address: &Address, slot: &B256) -> Result<B256, BackendError> {
        let value = self.read_at(at)?.storage(address, slot).map_err(NodeError::from)?;
        Ok(value.into())
    }

    fn proof(
        &self,
        at: At,
        address: &Address,
        slots: &[B256],
    ) -> Result<EIP1186AccountProofResponse, BackendError> {
        let proof = self.read_at(at)?.prove(address, slots).map_err(NodeError::from)?;
        Ok(proof_response(proof))
    }
}

impl Executor for RootDomain {
    fn call(&self, at: At, request: CallRequest) -> Result<Bytes, BackendError> {
        self.scene(at)?.0.call(request)
    }

    fn estimate_gas(&self, at: At, request: CallRequest) -> Result<u64, BackendError> {
        self.scene(at)?.0.estimate_gas(request)
    }

    fn create_access_list(&self, at: At, request: CallRequest) -> Result<AccessListResult, BackendError> {
        self.scene(at)?.0.create_access_list(request)
    }

    fn simulate(&self, at: At, payload: SimulatePayload) -> Result<Vec<SimulatedBlock>, BackendError> {
        let (scene, block) = self.scene(at)?;
        scene.simulate(&self.spec, &block, &payload)
    }

    fn trace_call(
        &self,
        at: At,
        transaction: TransactionRequest,
        options: GethDebugTracingCallOptions,
    ) -> Result<GethTrace, BackendError> {
        self.scene(at)?.0.trace_call(&transaction, options)
    }

    fn trace_transaction(
        &self,
        height: Height,
        index: u32,
        _options: GethDebugTracingOptions,
    ) -> Result<GethTrace, BackendError> {
        Err(BackendError::InvalidParams(format!("block {height} of the root has no transaction {index}")))
    }

    fn trace_block(
        &self,
        _height: Height,
        _options: GethDebugTracingOptions,
    ) -> Result<Vec<TraceResult>, BackendError> {
        Ok(Vec::new())
    }
}
