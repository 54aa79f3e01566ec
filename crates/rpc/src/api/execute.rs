//! `eth_`: execution without consequences.

use alloy_primitives::U64;
use alloy_rpc_types_eth::simulate::{MAX_SIMULATE_BLOCKS, SimulatePayload};

use super::{Api, Reply};
use crate::backend::{At, CallRequest};
use crate::error::RpcError;
use crate::params::Params;

fn request(api: &Api, mut params: Params<'_>) -> Result<(At, CallRequest), RpcError> {
    let transaction = params.required()?;
    let at = api.at(params.block_or_latest()?)?;
    let state_overrides = params.optional()?;
    let block_overrides = params.optional()?;
    params.end()?;
    Ok((at, CallRequest { transaction, state_overrides, block_overrides }))
}

pub(crate) fn call(api: &Api, params: Params<'_>) -> Reply {
    let (at, request) = request(api, params)?;
    api.json(&api.backend.executor.call(at, request)?)
}

pub(crate) fn estimate_gas(api: &Api, params: Params<'_>) -> Reply {
    let (at, request) = request(api, params)?;
    api.json(&U64::from(api.backend.executor.estimate_gas(at, request)?))
}

pub(crate) fn create_access_list(api: &Api, params: Params<'_>) -> Reply {
    let (at, request) = request(api, params)?;
    api.json(&api.backend.executor.create_access_list(at, request)?)
}

pub(crate) fn simulate(api: &Api, mut params: Params<'_>) -> Reply {
    let payload: SimulatePayload = params.required()?;
    let at = api.at(params.block_or_latest()?)?;
    params.end()?;
    let blocks = payload.block_state_calls.len();
    if blocks == 0 {
        return Err(RpcError::invalid_params("empty input"));
    }
    if blocks as u64 > MAX_SIMULATE_BLOCKS {
        return Err(RpcError::new(-38026, format!("too many blocks: {blocks} > {MAX_SIMULATE_BLOCKS}")));
    }
    api.json(&api.backend.executor.simulate(at, payload)?)
}
