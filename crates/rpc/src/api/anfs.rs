//! `anfs_`: what only this network has. Shapes are those of the protocol's types, in camel case.
//!
//! spec: PROTOCOL §2–4

use alloy_eips::BlockId;
use alloy_primitives::{B256, Bytes, U64};
use anfs_primitives::{BlockHash, Boundary, Entry, Height, ShardHeader, encode};
use serde::Serialize;

use super::{Api, Reply};
use crate::backend::NodeStatus;
use crate::error::RpcError;
use crate::params::Params;
use crate::shapes::json;

/// Entries that one `anfs_getSequence` returns at most.
const ENTRIES_MAX: usize = 4096;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HeaderObject<'a> {
    hash: BlockHash,
    /// Canonical encoding: the hash is keccak-256 over the tag `anfs/shard-header/v1` and these bytes.
    encoded: Bytes,
    #[serde(flatten)]
    header: &'a ShardHeader,
}

pub(crate) fn shard_header(api: &Api, mut params: Params<'_>) -> Reply {
    let id = params.block_or_latest()?;
    params.end()?;
    let block = api.block(id)?;
    json(&block.as_ref().map(|block| HeaderObject {
        hash: block.header.hash(),
        encoded: encode(block.header.header()).into(),
        header: block.header.header(),
    }))
}

pub(crate) fn certificate(api: &Api, mut params: Params<'_>) -> Reply {
    let id = params.block_or_latest()?;
    params.end()?;
    json(&api.block(id)?.and_then(|block| block.certificate.clone()))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SliceObject {
    index: usize,
    start: Boundary,
    end: Boundary,
    /// 0-based indices of the verifiers that check it on the fast path.
    checkers: Vec<usize>,
}

pub(crate) fn slices(api: &Api, mut params: Params<'_>) -> Reply {
    let id = params.block_or_latest()?;
    params.end()?;
    let Some(block) = api.block(id)? else { return Ok("null".to_owned()) };
    let checkers = api.backend.shard.slice_checkers(block.header.height)?.unwrap_or_default();
    let slices: Vec<_> = block
        .header
        .boundaries
        .windows(2)
        .enumerate()
        .map(|(index, cut)| SliceObject {
            index,
            start: cut[0],
            end: cut[1],
            checkers: checkers.get(index).map(|set| set.iter().collect()).unwrap_or_default(),
        })
        .collect();
    json(&slices)
}

pub(crate) fn sequence_proof(api: &Api, mut params: Params<'_>) -> Reply {
    let hash: B256 = params.required()?;
    params.end()?;
    json(&api.backend.shard.sequence_proof(&hash)?)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EntryObject {
    index: usize,
    num_hashes: u64,
    hash: B256,
    transactions: Vec<B256>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SequenceObject {
    block_hash: BlockHash,
    height: Height,
    poh_start: B256,
    poh_end: B256,
    entry_count: usize,
    entries: Vec<EntryObject>,
}

/// `anfs_getSequence(block, first entry = 0, count = all up to a limit)`
pub(crate) fn sequence(api: &Api, mut params: Params<'_>) -> Reply {
    let id: BlockId = params.block_or_latest()?;
    let first: Option<U64> = params.optional()?;
    let count: Option<U64> = params.optional()?;
    params.end()?;
    let Some(block) = api.block(id)? else { return Ok("null".to_owned()) };
    let Some(body) = api.backend.shard.sequence(block.header.height)? else { return Ok("null".to_owned()) };
    let as_index = |value: U64| usize::try_from(value.to::<u64>()).unwrap_or(usize::MAX);
    let count = count.map_or(ENTRIES_MAX, as_index).min(ENTRIES_MAX);
    let wanted = body.entries.iter().enumerate().skip(first.map_or(0, as_index)).take(count);
    let entries: Result<Vec<_>, RpcError> = wanted.map(|(index, entry)| entry_object(index, entry)).collect();
    api.json(&SequenceObject {
        block_hash: block.header.hash(),
        height: block.header.height,
        poh_start: block.header.poh_start,
        poh_end: block.header.poh_end,
        entry_count: body.entries.len(),
        entries: entries?,
    })
}

fn entry_object(index: usize, entry: &Entry) -> Result<EntryObject, RpcError> {
    let hashes = entry.transactions.iter().map(|tx| {
        let decoded = tx.decode_claimed().map_err(|error| RpcError::internal(error.to_string()))?;
        Ok(*decoded.hash())
    });
    Ok(EntryObject {
        index,
        num_hashes: entry.num_hashes,
        hash: entry.hash,
        transactions: hashes.collect::<Result<_, RpcError>>()?,
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StatusObject {
    chain_id: u64,
    head: BlockHash,
    #[serde(flatten)]
    node: NodeStatus,
}

pub(crate) fn view(api: &Api, params: Params<'_>) -> Reply {
    params.end()?;
    json(&api.backend.shard.view())
}

pub(crate) fn status(api: &Api, params: Params<'_>) -> Reply {
    params.end()?;
    let chain = &api.backend.chain;
    json(&StatusObject {
        chain_id: chain.chain_id(),
        head: chain.head().header.hash(),
        node: api.backend.shard.status(),
    })
}
