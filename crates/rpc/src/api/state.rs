//! `eth_`: reads of the account trie.

use std::collections::BTreeMap;

use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{Address, B256, U64};
use alloy_serde::JsonStorageKey;

use super::{Api, Reply};
use crate::error::RpcError;
use crate::params::Params;
use crate::shapes::json;

/// Slots that one `eth_getProof` or `eth_getStorageValues` may ask for.
const PROOF_SLOTS_MAX: usize = 1024;

pub(crate) fn balance(api: &Api, mut params: Params<'_>) -> Reply {
    let address: Address = params.required()?;
    let at = api.at(params.block_or_latest()?)?;
    params.end()?;
    json(&api.backend.state.account(at, &address)?.balance)
}

pub(crate) fn transaction_count(api: &Api, mut params: Params<'_>) -> Reply {
    let address: Address = params.required()?;
    let id = params.block_or_latest()?;
    params.end()?;
    let pooled = match id {
        BlockId::Number(BlockNumberOrTag::Pending) => api.backend.pool.pending_nonce(&address),
        _ => None,
    };
    let executed = api.backend.state.account(api.at(id)?, &address)?.nonce;
    json(&U64::from(pooled.map_or(executed, |nonce| nonce.max(executed))))
}

pub(crate) fn code(api: &Api, mut params: Params<'_>) -> Reply {
    let address: Address = params.required()?;
    let at = api.at(params.block_or_latest()?)?;
    params.end()?;
    json(&api.backend.state.code(at, &address)?)
}

pub(crate) fn storage(api: &Api, mut params: Params<'_>) -> Reply {
    let address: Address = params.required()?;
    let slot: JsonStorageKey = params.required()?;
    let at = api.at(params.block_or_latest()?)?;
    params.end()?;
    json(&api.backend.state.storage(at, &address, &slot.as_b256())?)
}

/// `eth_getStorageValues`: slots of several accounts at one block.
pub(crate) fn storage_values(api: &Api, mut params: Params<'_>) -> Reply {
    let request: BTreeMap<Address, Vec<JsonStorageKey>> = params.required()?;
    let at = api.at(params.block_or_latest()?)?;
    params.end()?;
    let slots: usize = request.values().map(Vec::len).sum();
    if slots == 0 {
        return Err(RpcError::invalid_params("empty request"));
    }
    if slots > PROOF_SLOTS_MAX {
        return Err(RpcError::limit(format!("too many slots: {slots}, the limit is {PROOF_SLOTS_MAX}")));
    }
    let mut values: BTreeMap<Address, Vec<B256>> = BTreeMap::new();
    for (address, keys) in &request {
        let read = keys.iter().map(|key| api.backend.state.storage(at, address, &key.as_b256()));
        values.insert(*address, read.collect::<Result<_, _>>()?);
    }
    json(&values)
}

pub(crate) fn proof(api: &Api, mut params: Params<'_>) -> Reply {
    let address: Address = params.required()?;
    let keys: Vec<JsonStorageKey> = params.required()?;
    let at = api.at(params.block_or_latest()?)?;
    params.end()?;
    if keys.len() > PROOF_SLOTS_MAX {
        let text = format!("too many keys: {}, the limit is {PROOF_SLOTS_MAX}", keys.len());
        return Err(RpcError::limit(text));
    }
    let slots: Vec<_> = keys.iter().map(JsonStorageKey::as_b256).collect();
    let mut proof = api.backend.state.proof(at, &address, &slots)?;
    // Clients look their keys up as they wrote them.
    for (entry, key) in proof.storage_proof.iter_mut().zip(keys) {
        entry.key = key;
    }
    json(&proof)
}
