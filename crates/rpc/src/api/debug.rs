//! `debug_`: traces and raw encodings.

use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{B256, Bytes};
use alloy_rpc_types_eth::TransactionRequest;
use alloy_rpc_types_trace::geth::{GethDebugTracingCallOptions, GethDebugTracingOptions};
use anfs_primitives::{Height, Receipt};

use super::{Api, Reply, blocks};
use crate::error::RpcError;
use crate::params::Params;

pub(crate) fn trace_transaction(api: &Api, mut params: Params<'_>) -> Reply {
    let hash: B256 = params.required()?;
    let options: GethDebugTracingOptions = params.optional()?.unwrap_or_default();
    params.end()?;
    let place = api.backend.chain.transaction(&hash)?;
    let (height, index) = place.ok_or_else(|| RpcError::server("transaction not found"))?;
    api.json(&api.backend.executor.trace_transaction(height, index, options)?)
}

pub(crate) fn trace_call(api: &Api, mut params: Params<'_>) -> Reply {
    let transaction: TransactionRequest = params.required()?;
    let at = api.at(params.block_or_latest()?)?;
    let options: GethDebugTracingCallOptions = params.optional()?.unwrap_or_default();
    params.end()?;
    api.json(&api.backend.executor.trace_call(at, transaction, options)?)
}

pub(crate) fn trace_block_by_number(api: &Api, mut params: Params<'_>) -> Reply {
    let number: BlockNumberOrTag = params.required()?;
    trace_block(api, number.into(), params)
}

pub(crate) fn trace_block_by_hash(api: &Api, mut params: Params<'_>) -> Reply {
    let hash: B256 = params.required()?;
    trace_block(api, hash.into(), params)
}

fn trace_block(api: &Api, id: BlockId, mut params: Params<'_>) -> Reply {
    let options: GethDebugTracingOptions = params.optional()?.unwrap_or_default();
    params.end()?;
    let block = api.block(id)?.ok_or_else(|| RpcError::server("block not found"))?;
    if block.height() == Height::ZERO {
        return Err(RpcError::server("genesis is not traceable"));
    }
    api.json(&api.backend.executor.trace_block(block.height(), options)?)
}

pub(crate) fn raw_receipts(api: &Api, mut params: Params<'_>) -> Reply {
    let id: BlockId = params.required()?;
    params.end()?;
    let block = api.block(id)?.ok_or_else(|| RpcError::server("block not found"))?;
    api.json(&block.receipts().iter().map(Receipt::encoded_2718).map(Bytes::from).collect::<Vec<_>>())
}

pub(crate) fn raw_transaction(api: &Api, params: Params<'_>) -> Reply {
    blocks::raw_transaction_by_hash(api, params)
}
