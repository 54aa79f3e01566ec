//! Execution without consequences: calls, estimates, simulations and traces.

use std::sync::Arc;

use alloy_eips::eip2930::AccessListResult;
use alloy_primitives::Bytes;
use alloy_rpc_types_eth::TransactionRequest;
use alloy_rpc_types_eth::simulate::{SimulatePayload, SimulatedBlock};
use alloy_rpc_types_trace::geth::{
    GethDebugTracingCallOptions, GethDebugTracingOptions, GethTrace, TraceResult,
};
use anfs_execution::simulate::Limits;
use anfs_execution::trace::{ArrivalTrace, Tracer};
use anfs_execution::{BlockEnv, BlockExecutor, DomainEnv};
use anfs_primitives::{Arrival, Height};
use anfs_rpc::{At, BackendError, CallRequest, Executor, RpcBlock};
use anfs_state::WorldState;

use super::scene::{Scene, refusal};
use super::{SeatBackend, Served};
use crate::run::{Place, block_env, child_env, domain_env};

impl Served {
    fn existing(&self, height: Height) -> Result<Arc<RpcBlock>, BackendError> {
        let block = self.chain.block(height)?;
        block.ok_or_else(|| BackendError::InvalidParams(format!("block {height} does not exist yet")))
    }

    /// Where a call is tried that believes to be in a block, or in the next one.
    fn scene(&self, at: At) -> Result<Scene, BackendError> {
        let state = self.state_at(at)?;
        let spec = &self.context.spec;
        let env = match at {
            At::Block(height) => block_env(spec, &self.chain, &self.existing(height)?.header),
            At::Pending => {
                let head = self.chain.head();
                let slot = spec.slot_at(self.context.clock.now_ms()).max(head.header.slot.next());
                let place = Place { slot, beneficiary: head.header.beneficiary, ancestors: Vec::new() };
                child_env(spec, &self.chain, &head.header, &place)
            }
        };
        Ok(Scene { env, state, domain: self.context.domain, map: self.context.homes() })
    }

    /// What a block is executed on: the state before it, its environment, and its domain if there are several.
    fn before(&self, block: &RpcBlock) -> Result<(WorldState, BlockEnv, Option<DomainEnv>), BackendError> {
        let Some(parent) = block.header.height.prev() else {
            return Err(BackendError::InvalidParams("genesis is not traceable".into()));
        };
        let state = self.state_at(At::Block(parent))?;
        let env = block_env(&self.context.spec, &self.chain, &block.header);
        let before = self.existing(parent)?;
        Ok((state, env, domain_env(&self.context, &before.header, block.header.slot)))
    }

    /// A tracer that stands before the first transaction of a block.
    fn tracer(&self, block: &RpcBlock) -> Result<Tracer<WorldState>, BackendError> {
        let (state, env, domain) = self.before(block)?;
        let (hash, limits) = (Some(block.header.hash()), Limits::default());
        let Some(domain) = domain else {
            return Tracer::new(env, state, hash, limits).map_err(refusal);
        };
        let executor = after_arrivals(&env, state, domain, &block.crossing.arrivals)?;
        Ok(Tracer::within(executor, env, hash, limits))
    }

    /// Traces what came of a message that a block consumed.
    pub(super) fn trace_arrival(
        &self,
        height: Height,
        index: u32,
        options: &GethDebugTracingOptions,
    ) -> Result<ArrivalTrace, BackendError> {
        let block = self.existing(height)?;
        let (state, env, domain) = self.before(&block)?;
        let until = block.crossing.arrivals.get(..=index as usize);
        let (Some((last, before)), Some(domain)) = (until.and_then(<[_]>::split_last), domain) else {
            return Err(BackendError::InvalidParams(format!("block {height} has no message {index}")));
        };
        let executor = after_arrivals(&env, state, domain, before)?;
        let hash = Some(block.header.hash());
        Tracer::trace_arrival(executor, env, hash, Limits::default(), &last.message, options).map_err(refusal)
    }
}

/// A block that has consumed these messages.
fn after_arrivals(
    env: &BlockEnv,
    state: WorldState,
    domain: DomainEnv,
    arrivals: &[Arrival],
) -> Result<BlockExecutor<WorldState>, BackendError> {
    let mut executor = BlockExecutor::new(env.clone(), state).map_err(refusal)?.in_domain(domain);
    executor.arrive_due(arrivals.iter().map(|arrival| &arrival.message)).map_err(refusal)?;
    Ok(executor)
}

impl Executor for SeatBackend {
    fn call(&self, at: At, request: CallRequest) -> Result<Bytes, BackendError> {
        self.seat().scene(at)?.call(request)
    }

    fn estimate_gas(&self, at: At, request: CallRequest) -> Result<u64, BackendError> {
        self.seat().scene(at)?.estimate_gas(request)
    }

    fn create_access_list(&self, at: At, request: CallRequest) -> Result<AccessListResult, BackendError> {
        self.seat().scene(at)?.create_access_list(request)
    }

    fn simulate(&self, at: At, payload: SimulatePayload) -> Result<Vec<SimulatedBlock>, BackendError> {
        let seat = self.seat();
        let block = match at {
            At::Block(height) => seat.existing(height)?,
            At::Pending => seat.chain.head(),
        };
        let scene = seat.scene(At::Block(block.header.height))?;
        scene.simulate(&seat.context.spec, &block, &payload)
    }

    fn trace_call(
        &self,
        at: At,
        transaction: TransactionRequest,
        options: GethDebugTracingCallOptions,
    ) -> Result<GethTrace, BackendError> {
        self.seat().scene(at)?.trace_call(&transaction, options)
    }

    fn trace_transaction(
        &self,
        height: Height,
        index: u32,
        options: GethDebugTracingOptions,
    ) -> Result<GethTrace, BackendError> {
        let seat = self.seat();
        let block = seat.existing(height)?;
        let Some((last, before)) =
            block.transactions.get(..=index as usize).and_then(|until| until.split_last())
        else {
            return Err(BackendError::InvalidParams(format!("block {height} has no transaction {index}")));
        };
        let mut tracer = seat.tracer(&block)?;
        for tx in before {
            tracer = tracer.skip(tx).map_err(refusal)?;
        }
        tracer.trace(last, &options).map(|(trace, _)| trace).map_err(refusal)
    }

    fn trace_block(
        &self,
        height: Height,
        options: GethDebugTracingOptions,
    ) -> Result<Vec<TraceResult>, BackendError> {
        let seat = self.seat();
        let block = seat.existing(height)?;
        seat.tracer(&block)?.trace_all(&block.transactions, &options).map_err(refusal)
    }
}
