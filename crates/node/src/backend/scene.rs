//! A place in a domain's chain where calls are tried that nobody signed.

use alloy_eips::eip2930::AccessListResult;
use alloy_primitives::Bytes;
use alloy_rpc_types_eth::TransactionRequest;
use alloy_rpc_types_eth::simulate::{SimulatePayload, SimulatedBlock};
use alloy_rpc_types_eth::state::EvmOverrides;
use alloy_rpc_types_trace::geth::{GethDebugTracingCallOptions, GethTrace};
use anfs_execution::simulate::{Limits, SimulationParent, Simulator};
use anfs_execution::trace::Tracer;
use anfs_execution::{BlockEnv, ExecutionError};
use anfs_primitives::{ChainSpec, DomainId, DomainMap};
use anfs_rpc::{BackendError, CallRequest, RpcBlock};
use anfs_state::WorldState;

/// The environment that a call believes to be in, and the state that it runs on.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) env: BlockEnv,
    pub(crate) state: WorldState,
    pub(crate) domain: DomainId,
    pub(crate) map: DomainMap,
}

impl Scene {
    fn simulator(self) -> Simulator<WorldState> {
        let simulator = Simulator::new(self.env, self.state, Limits::default());
        if self.map.shards() > 1 { simulator.in_domain(self.domain, self.map) } else { simulator }
    }

    pub(crate) fn call(self, request: CallRequest) -> Result<Bytes, BackendError> {
        let overrides = EvmOverrides::new(request.state_overrides, request.block_overrides);
        self.simulator().call(&request.transaction, &overrides).map_err(refusal)
    }

    pub(crate) fn estimate_gas(self, request: CallRequest) -> Result<u64, BackendError> {
        let overrides = EvmOverrides::new(request.state_overrides, request.block_overrides);
        self.simulator().estimate_gas(&request.transaction, &overrides).map_err(refusal)
    }

    pub(crate) fn create_access_list(self, request: CallRequest) -> Result<AccessListResult, BackendError> {
        let overrides = EvmOverrides::new(request.state_overrides, request.block_overrides);
        self.simulator().create_access_list(&request.transaction, &overrides).map_err(refusal)
    }

    /// Blocks on top of this one.
    pub(crate) fn simulate(
        self,
        spec: &ChainSpec,
        block: &RpcBlock,
        payload: &SimulatePayload,
    ) -> Result<Vec<SimulatedBlock>, BackendError> {
        let parent = SimulationParent {
            number: block.number(),
            hash: block.header.hash(),
            timestamp: block.timestamp,
            base_fee: block.header.base_fee,
            gas_used: block.header.gas_used,
        };
        let next_base_fee = |base_fee, gas_used| spec.next_base_fee(base_fee, gas_used);
        self.simulator().simulate_v1(payload, parent, next_base_fee).map_err(refusal)
    }

    pub(crate) fn trace_call(
        self,
        transaction: &TransactionRequest,
        options: GethDebugTracingCallOptions,
    ) -> Result<GethTrace, BackendError> {
        let overrides = EvmOverrides::new(options.state_overrides, options.block_overrides.map(Box::new));
        let mut tracer = Tracer::new(self.env, self.state, None, Limits::default()).map_err(refusal)?;
        if self.map.shards() > 1 {
            tracer = tracer.in_domain(self.domain, self.map);
        }
        tracer.trace_call(transaction, &overrides, &options.tracing_options).map_err(refusal)
    }
}

/// What went wrong, as a client sees it.
pub(crate) fn refusal(error: ExecutionError) -> BackendError {
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
