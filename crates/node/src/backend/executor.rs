//! Execution without consequences: calls, estimates, simulations and traces.

use std::sync::Arc;

use alloy_eips::eip2930::AccessListResult;
use alloy_primitives::Bytes;
use alloy_rpc_types_eth::TransactionRequest;
use alloy_rpc_types_eth::simulate::{SimulatePayload, SimulatedBlock};
use alloy_rpc_types_eth::state::EvmOverrides;
use alloy_rpc_types_trace::geth::{
    GethDebugTracingCallOptions, GethDebugTracingOptions, GethTrace, TraceResult,
};
use anfs_execution::simulate::{Limits, SimulationParent, Simulator};
use anfs_execution::trace::{ArrivalTrace, Tracer};
use anfs_execution::{BlockEnv, BlockExecutor, DomainEnv, ExecutionError};
use anfs_primitives::{Arrival, Height};
use anfs_rpc::{At, BackendError, CallRequest, Executor, RpcBlock};
use anfs_state::WorldState;

use super::{SeatBackend, Served};
use crate::run::{Place, block_env, child_env, domain_env};

impl Served {
    fn existing(&self, height: Height) -> Result<Arc<RpcBlock>, BackendError> {
        let block = self.chain.block(height)?;
        block.ok_or_else(|| BackendError::InvalidParams(format!("block {height} does not exist yet")))
    }

    /// The environment that a call believes to be in, and the state that it runs on.
    fn scene(&self, at: At) -> Result<(BlockEnv, WorldState), BackendError> {
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
        Ok((env, state))
    }

    fn simulator(&self, at: At) -> Result<Simulator<WorldState>, BackendError> {
        let (env, state) = self.scene(at)?;
        let simulator = Simulator::new(env, state, Limits::default());
        let (domain, map) = (self.context.domain, self.context.homes());
        Ok(if map.shards() > 1 { simulator.in_domain(domain, map) } else { simulator })
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
        let seat = self.seat();
        let overrides = EvmOverrides::new(request.state_overrides, request.block_overrides);
        seat.simulator(at)?.call(&request.transaction, &overrides).map_err(refusal)
    }

    fn estimate_gas(&self, at: At, request: CallRequest) -> Result<u64, BackendError> {
        let seat = self.seat();
        let overrides = EvmOverrides::new(request.state_overrides, request.block_overrides);
        seat.simulator(at)?.estimate_gas(&request.transaction, &overrides).map_err(refusal)
    }

    fn create_access_list(&self, at: At, request: CallRequest) -> Result<AccessListResult, BackendError> {
        let seat = self.seat();
        let overrides = EvmOverrides::new(request.state_overrides, request.block_overrides);
        seat.simulator(at)?.create_access_list(&request.transaction, &overrides).map_err(refusal)
    }

    fn simulate(&self, at: At, payload: SimulatePayload) -> Result<Vec<SimulatedBlock>, BackendError> {
        let seat = self.seat();
        let block = match at {
            At::Block(height) => seat.existing(height)?,
            At::Pending => seat.chain.head(),
        };
        let parent = SimulationParent {
            number: block.number(),
            hash: block.header.hash(),
            timestamp: block.timestamp,
            base_fee: block.header.base_fee,
            gas_used: block.header.gas_used,
        };
        let spec = seat.context.spec.clone();
        let simulator = seat.simulator(At::Block(block.header.height))?;
        let next_base_fee = move |base_fee, gas_used| spec.next_base_fee(base_fee, gas_used);
        simulator.simulate_v1(&payload, parent, next_base_fee).map_err(refusal)
    }

    fn trace_call(
        &self,
        at: At,
        transaction: TransactionRequest,
        options: GethDebugTracingCallOptions,
    ) -> Result<GethTrace, BackendError> {
        let seat = self.seat();
        let (env, state) = seat.scene(at)?;
        let overrides = EvmOverrides::new(options.state_overrides, options.block_overrides.map(Box::new));
        let mut tracer = Tracer::new(env, state, None, Limits::default()).map_err(refusal)?;
        let (domain, map) = (seat.context.domain, seat.context.homes());
        if map.shards() > 1 {
            tracer = tracer.in_domain(domain, map);
        }
        tracer.trace_call(&transaction, &overrides, &options.tracing_options).map_err(refusal)
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

/// What went wrong, as a client sees it.
fn refusal(error: ExecutionError) -> BackendError {
    match error {
        ExecutionError::Revert { output } => BackendError::Reverted { output },
        ExecutionError::Request(_) | ExecutionError::Tracer(_) => {
            BackendError::InvalidParams(error.to_string())
        }
        ExecutionError::TraceTooLarge { .. } => BackendError::LimitExceeded(error.to_string()),
        ExecutionError::Simulation { code, message } => BackendError::Coded { code, message },
        ExecutionError::State(_)
        | ExecutionError::Evm(_)
        | ExecutionError::SystemCall { .. }
        | ExecutionError::Inbox { .. } => {
            tracing::error!(%error, "a simulation failed for a local reason");
            BackendError::Internal(error.to_string())
        }
        ExecutionError::Invalid(_)
        | ExecutionError::Halt(_)
        | ExecutionError::GasAllowance { .. }
        | ExecutionError::Cancelled => BackendError::Execution(error.to_string()),
    }
}
