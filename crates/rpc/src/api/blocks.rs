//! `eth_`: blocks, transactions and receipts.

use std::sync::Arc;
use std::time::Duration;

use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{B256, Bytes, U64};
use alloy_rpc_types_eth::Index;
use serde_json::Value;
use tokio::sync::broadcast::error::RecvError;

use super::{Api, Reply};
use crate::error::{RpcError, SYNC_TIMEOUT};
use crate::params::Params;
use crate::shapes::{
    block_object, header_object, json, pending_block, pending_object, receipt_object, receipt_objects,
    transaction_object,
};

const NULL: &str = "null";
/// Transactions shown in the pending block.
const PENDING_TRANSACTIONS_MAX: usize = 1000;

pub(crate) fn chain_id(api: &Api, params: Params<'_>) -> Reply {
    params.end()?;
    json(&U64::from(api.backend.chain.chain_id()))
}

pub(crate) fn block_number(api: &Api, params: Params<'_>) -> Reply {
    params.end()?;
    json(&U64::from(api.backend.chain.head().height().0))
}

pub(crate) fn syncing(api: &Api, params: Params<'_>) -> Reply {
    params.end()?;
    match api.backend.chain.syncing() {
        Some(info) => json(&info),
        None => Ok("false".to_owned()),
    }
}

pub(crate) fn by_number(api: &Api, mut params: Params<'_>) -> Reply {
    let number: BlockNumberOrTag = params.required()?;
    let full: bool = params.optional()?.unwrap_or(false);
    params.end()?;
    if number == BlockNumberOrTag::Pending {
        let chain = &api.backend.chain;
        let transactions = api.backend.pool.best(PENDING_TRANSACTIONS_MAX);
        return api.json(&pending_block(&**chain, &transactions, full)?);
    }
    block_reply(api, BlockId::Number(number), full)
}

pub(crate) fn by_hash(api: &Api, mut params: Params<'_>) -> Reply {
    let hash: B256 = params.required()?;
    let full: bool = params.optional()?.unwrap_or(false);
    params.end()?;
    block_reply(api, hash.into(), full)
}

fn block_reply(api: &Api, id: BlockId, full: bool) -> Reply {
    match api.block(id)? {
        Some(block) => api.json(&block_object(&*block, full)),
        None => Ok(NULL.to_owned()),
    }
}

pub(crate) fn header_by_hash(api: &Api, mut params: Params<'_>) -> Reply {
    let hash: B256 = params.required()?;
    params.end()?;
    match api.backend.chain.height_of(&hash)? {
        Some(height) => json(&api.backend.chain.header(height)?.as_ref().map(header_object)),
        None => Ok(NULL.to_owned()),
    }
}

pub(crate) fn header_by_number(api: &Api, mut params: Params<'_>) -> Reply {
    let number: BlockNumberOrTag = params.required()?;
    params.end()?;
    // As the method's specification has it: the pending block has no header yet.
    if number == BlockNumberOrTag::Pending {
        return Ok(NULL.to_owned());
    }
    json(&api.backend.chain.header(api.height(number))?.as_ref().map(header_object))
}

pub(crate) fn transaction_count_by_hash(api: &Api, mut params: Params<'_>) -> Reply {
    let hash: B256 = params.required()?;
    params.end()?;
    let block = api.block(hash.into())?;
    json(&block.map(|block| U64::from(block.transactions().len())))
}

pub(crate) fn transaction_count_by_number(api: &Api, mut params: Params<'_>) -> Reply {
    let number: BlockNumberOrTag = params.required()?;
    params.end()?;
    if number == BlockNumberOrTag::Pending {
        return json(&U64::from(api.backend.pool.best(PENDING_TRANSACTIONS_MAX).len()));
    }
    let block = api.block(number.into())?;
    json(&block.map(|block| U64::from(block.transactions().len())))
}

pub(crate) fn uncle_count_by_hash(api: &Api, mut params: Params<'_>) -> Reply {
    let hash: B256 = params.required()?;
    params.end()?;
    json(&api.block(hash.into())?.map(|_| U64::ZERO))
}

pub(crate) fn uncle_count_by_number(api: &Api, mut params: Params<'_>) -> Reply {
    let number: BlockNumberOrTag = params.required()?;
    params.end()?;
    json(&api.block(number.into())?.map(|_| U64::ZERO))
}

pub(crate) fn uncle_by_hash(_api: &Api, mut params: Params<'_>) -> Reply {
    let _hash: B256 = params.required()?;
    let _index: Index = params.required()?;
    params.end()?;
    Ok(NULL.to_owned())
}

pub(crate) fn uncle_by_number(_api: &Api, mut params: Params<'_>) -> Reply {
    let _number: BlockNumberOrTag = params.required()?;
    let _index: Index = params.required()?;
    params.end()?;
    Ok(NULL.to_owned())
}

pub(crate) fn transaction_by_hash(api: &Api, mut params: Params<'_>) -> Reply {
    let hash: B256 = params.required()?;
    params.end()?;
    if let Some((block, index)) = api.locate(&hash)? {
        return json(&transaction_object(&*block, index));
    }
    json(&api.backend.pool.get(&hash).as_ref().map(pending_object))
}

pub(crate) fn transaction_by_block_hash(api: &Api, mut params: Params<'_>) -> Reply {
    let hash: B256 = params.required()?;
    transaction_at(api, hash.into(), params)
}

pub(crate) fn transaction_by_block_number(api: &Api, mut params: Params<'_>) -> Reply {
    let number: BlockNumberOrTag = params.required()?;
    transaction_at(api, number.into(), params)
}

fn transaction_at(api: &Api, id: BlockId, mut params: Params<'_>) -> Reply {
    let index: Index = params.required()?;
    params.end()?;
    json(&api.block(id)?.and_then(|block| transaction_object(&*block, index.0)))
}

pub(crate) fn raw_transaction_by_hash(api: &Api, mut params: Params<'_>) -> Reply {
    let hash: B256 = params.required()?;
    params.end()?;
    let decided = api.locate(&hash)?.and_then(|(block, index)| block.transactions().get(index).cloned());
    match decided.or_else(|| api.backend.pool.get(&hash)) {
        Some(tx) => json(tx.encoded()),
        None => Ok(NULL.to_owned()),
    }
}

pub(crate) fn raw_transaction_by_block_hash(api: &Api, mut params: Params<'_>) -> Reply {
    let hash: B256 = params.required()?;
    raw_transaction_at(api, hash.into(), params)
}

pub(crate) fn raw_transaction_by_block_number(api: &Api, mut params: Params<'_>) -> Reply {
    let number: BlockNumberOrTag = params.required()?;
    raw_transaction_at(api, number.into(), params)
}

fn raw_transaction_at(api: &Api, id: BlockId, mut params: Params<'_>) -> Reply {
    let index: Index = params.required()?;
    params.end()?;
    let block = api.block(id)?;
    let tx = block.as_ref().and_then(|block| block.transactions().get(index.0));
    json(&tx.map(anfs_primitives::RecoveredTransaction::encoded))
}

pub(crate) fn receipt(api: &Api, mut params: Params<'_>) -> Reply {
    let hash: B256 = params.required()?;
    params.end()?;
    json(&api.locate(&hash)?.and_then(|(block, index)| receipt_object(&*block, index)))
}

pub(crate) fn block_receipts(api: &Api, mut params: Params<'_>) -> Reply {
    let id: BlockId = params.required()?;
    params.end()?;
    api.json(&api.block(id)?.map(|block| receipt_objects(&*block)))
}

/// The hot path: one parse, one call of the pool, one line out.
pub(crate) fn send_raw_transaction(api: &Api, mut params: Params<'_>) -> Reply {
    let raw: Bytes = params.required()?;
    params.end()?;
    check_type(&raw)?;
    json(&api.backend.pool.submit(raw)?)
}

/// Refuses what is no transaction by its first byte, in geth's words (EIP-2718: types are below 0x80).
fn check_type(raw: &Bytes) -> Result<(), RpcError> {
    match raw.first() {
        Some(0x80..) => Ok(()),
        _ if raw.len() < 2 => Err(RpcError::server("typed transaction too short")),
        Some(1..=4) => Ok(()),
        _ => Err(RpcError::server("transaction type not supported")),
    }
}

/// `eth_sendRawTransactionSync` (EIP-7966): submits and waits for the receipt.
pub(crate) async fn send_raw_transaction_sync(api: Arc<Api>, raw: Bytes, timeout_ms: Option<u64>) -> Reply {
    let limit = api.config.sync_send_timeout_ms;
    let wait = Duration::from_millis(timeout_ms.unwrap_or(limit).min(limit));
    // Listening starts before the transaction is in, so that its block cannot be missed.
    let mut blocks = api.backend.events.blocks();
    check_type(&raw)?;
    let hash = api.backend.pool.submit(raw)?;
    let decided = async {
        loop {
            match blocks.recv().await {
                Ok(block) if !block.transactions().iter().any(|tx| *tx.hash() == hash) => {}
                Ok(_) | Err(RecvError::Lagged(_)) => {
                    if let Some((block, index)) = api.locate(&hash)? {
                        return json(&receipt_object(&*block, index));
                    }
                }
                Err(RecvError::Closed) => return Err(RpcError::server("the node is stopping")),
            }
        }
    };
    tokio::time::timeout(wait, decided).await.unwrap_or_else(|_| {
        let text = "the transaction was added to the pool but was not processed within the timeout";
        Err(RpcError::new(SYNC_TIMEOUT, text).with_data(Value::String(hash.to_string())))
    })
}
