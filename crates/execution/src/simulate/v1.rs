//! `eth_simulateV1`: a chain of made-up blocks on top of a real one.

use alloy_primitives::{B256, U256};
use alloy_rpc_types_eth::simulate::{MAX_SIMULATE_BLOCKS, SimBlock, SimulatePayload, SimulatedBlock};
use anfs_state::WorldState;

use super::v1_block::Block;
use super::{Simulator, apply_block_overrides, apply_state_overrides};
use crate::env::BlockEnv;
use crate::error::ExecutionError;
use crate::overlay::Overlay;

/// Calls of one request.
const CALLS_MAX: usize = 10_000;

/// The real block that a simulation builds on.
#[derive(Clone, Copy, Debug)]
pub struct SimulationParent {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
    /// Its timestamp in seconds.
    pub timestamp: u64,
    /// Its base fee.
    pub base_fee: u64,
    /// Gas that it used.
    pub gas_used: u64,
}

/// Error codes of the execution API.
pub(super) mod code {
    pub(crate) const INVALID_PARAMS: i32 = -32602;
    pub(crate) const NONCE_TOO_LOW: i32 = -38010;
    pub(crate) const NONCE_TOO_HIGH: i32 = -38011;
    pub(crate) const BASE_FEE_TOO_LOW: i32 = -38012;
    pub(crate) const INTRINSIC_GAS: i32 = -38013;
    pub(crate) const INSUFFICIENT_FUNDS: i32 = -38014;
    pub(crate) const BLOCK_GAS_LIMIT: i32 = -38015;
    pub(crate) const BLOCK_NUMBER: i32 = -38020;
    pub(crate) const TIMESTAMP: i32 = -38021;
    pub(crate) const SENDER_NOT_EOA: i32 = -38024;
    pub(crate) const INIT_CODE_SIZE: i32 = -38025;
    pub(crate) const LIMIT_EXCEEDED: i32 = -38026;
}

pub(super) fn refuse<T>(code: i32, message: impl Into<String>) -> Result<T, ExecutionError> {
    Err(ExecutionError::Simulation { code, message: message.into() })
}

impl Simulator<WorldState> {
    /// Runs blocks of calls one upon the other and returns them as if they had been produced. The simulator's
    /// environment and state are those of `parent`; `next_base_fee` is the chain's rule, given base fee and
    /// gas used of the block before.
    ///
    /// # Errors
    /// [`ExecutionError::Simulation`] with the execution API's code when a block or, under validation, a call
    /// may not be; calls that merely fail say so in their results.
    pub fn simulate_v1(
        &self,
        payload: &SimulatePayload,
        parent: SimulationParent,
        next_base_fee: impl Fn(u64, u64) -> u64,
    ) -> Result<Vec<SimulatedBlock>, ExecutionError> {
        let chain = sanitize(payload, parent)?;
        let mut overlay = self.owned_overlay();
        let mut simulated = Vec::with_capacity(chain.len());
        let mut last = parent;
        let mut budget = self.limits.gas_cap;
        for block in chain {
            let mut env =
                BlockEnv { number: last.number + 1, timestamp: last.timestamp + 1, ..self.env.clone() };
            env.base_fee = if payload.validation { next_base_fee(last.base_fee, last.gas_used) } else { 0 };
            env.prevrandao = B256::ZERO;
            if let Some(overrides) = &block.block_overrides {
                apply_block_overrides(&mut overlay, &mut env, overrides)?;
            }
            let state = block.state_overrides.clone().unwrap_or_default();
            let precompiles = apply_state_overrides(&mut overlay, &env, &state)?;
            let run = Block {
                env: &env,
                payload,
                parent_hash: last.hash,
                base: &self.state,
                cancel: self.limits.cancel.clone(),
            };
            let (done, back) = run.execute(overlay, precompiles, &block.calls, &mut budget)?;
            overlay = back;
            let header = &done.inner.header;
            overlay.set_block_hash(env.number, header.hash);
            last = SimulationParent {
                number: env.number,
                hash: header.hash,
                timestamp: env.timestamp,
                base_fee: env.base_fee,
                gas_used: header.inner.gas_used,
            };
            simulated.push(done);
        }
        Ok(simulated)
    }

    fn owned_overlay(&self) -> Overlay<WorldState> {
        self.placed(Overlay::new(self.state.clone(), self.env.ancestors.clone(), self.codes.clone()))
    }
}

/// Checks that numbers and times rise, and fills skipped numbers with empty blocks.
fn sanitize(payload: &SimulatePayload, parent: SimulationParent) -> Result<Vec<SimBlock>, ExecutionError> {
    let blocks = &payload.block_state_calls;
    if blocks.is_empty() {
        return refuse(code::INVALID_PARAMS, "empty input");
    }
    let calls: usize = blocks.iter().map(|block| block.calls.len()).sum();
    if blocks.len() as u64 > MAX_SIMULATE_BLOCKS || calls > CALLS_MAX {
        return refuse(code::LIMIT_EXCEEDED, "too many blocks or calls");
    }
    let (mut number, mut time) = (parent.number, parent.timestamp);
    let mut chain = Vec::with_capacity(blocks.len());
    for block in blocks {
        let mut block = block.clone();
        let overrides = block.block_overrides.get_or_insert_default();
        let wanted = overrides.number.unwrap_or(U256::from(number + 1));
        if wanted <= U256::from(number) {
            return refuse(
                code::BLOCK_NUMBER,
                format!("block numbers must be in order: {wanted} <= {number}"),
            );
        }
        let limit = parent.number.saturating_add(MAX_SIMULATE_BLOCKS);
        let wanted = match u64::try_from(wanted) {
            Ok(wanted) if wanted <= limit => wanted,
            _ => return refuse(code::LIMIT_EXCEEDED, "too many blocks"),
        };
        while number + 1 < wanted {
            number += 1;
            time += 1;
            let mut filler = SimBlock::default();
            let filler_overrides = filler.block_overrides.get_or_insert_default();
            filler_overrides.number = Some(U256::from(number));
            filler_overrides.time = Some(time);
            chain.push(filler);
        }
        let wanted_time = overrides.time.unwrap_or(time.saturating_add(1));
        if wanted_time <= time {
            return refuse(
                code::TIMESTAMP,
                format!("block timestamps must be in order: {wanted_time} <= {time}"),
            );
        }
        overrides.number = Some(U256::from(wanted));
        overrides.time = Some(wanted_time);
        (number, time) = (wanted, wanted_time);
        chain.push(block);
    }
    Ok(chain)
}
