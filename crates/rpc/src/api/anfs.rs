//! `anfs_`: what only this network has. Shapes are those of the protocol's types, in camel case.
//!
//! On a network of several shards the last parameter of the methods about one shard's chain is the shard's number; without
//! it they speak of shard 1.
//!
//! spec: PROTOCOL §2–4, §8, §9

use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{Address, B256, Bytes, U32, U64};
use anfs_primitives::{
    BlockHash, Boundary, DomainId, Entry, Height, RootHash, RootHeader, ShardHeader, encode,
};
use serde::Serialize;

use super::{Api, Reply};
use crate::backend::NodeStatus;
use crate::error::RpcError;
use crate::network::{LIGHT_SLOTS_MAX, LightQuery};
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

/// `anfs_getShardHeader(block = latest, domain)`
pub(crate) fn shard_header(api: &Api, mut params: Params<'_>) -> Reply {
    let id = params.block_or_latest()?;
    let shard = api.shard(params.optional()?)?;
    params.end()?;
    let block = shard.block(id)?;
    json(&block.as_ref().and_then(|block| block.shard()).map(|block| HeaderObject {
        hash: block.header.hash(),
        encoded: encode(block.header.header()).into(),
        header: block.header.header(),
    }))
}

/// `anfs_getCertificate(block = latest, domain)`
pub(crate) fn certificate(api: &Api, mut params: Params<'_>) -> Reply {
    let id = params.block_or_latest()?;
    let shard = api.shard(params.optional()?)?;
    params.end()?;
    let block = shard.block(id)?;
    json(&block.as_ref().and_then(|block| block.shard()?.certificate.as_ref()))
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

/// `anfs_getSlices(block = latest, domain)`
pub(crate) fn slices(api: &Api, mut params: Params<'_>) -> Reply {
    let id = params.block_or_latest()?;
    let shard = api.shard(params.optional()?)?;
    params.end()?;
    let block = shard.block(id)?;
    let Some(block) = block.as_ref().and_then(|block| block.shard()) else { return Ok("null".to_owned()) };
    let checkers = shard.shard.slice_checkers(block.header.height)?.unwrap_or_default();
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

/// `anfs_getSequenceProof(transaction, domain = where it was executed)`
pub(crate) fn sequence_proof(api: &Api, mut params: Params<'_>) -> Reply {
    let hash: B256 = params.required()?;
    let domain = params.optional()?;
    params.end()?;
    if domain.is_none()
        && let Some(network) = &api.backend.network
        && let Some(legs) = network.legs(&hash)?
        && let Some(shard) = legs.legs.first().and_then(|leg| network.shard(leg.place.domain))
    {
        return json(&shard.shard.sequence_proof(&hash)?);
    }
    json(&api.shard(domain)?.shard.sequence_proof(&hash)?)
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

/// `anfs_getSequence(block, first entry = 0, count = all up to a limit, domain)`
pub(crate) fn sequence(api: &Api, mut params: Params<'_>) -> Reply {
    let id: BlockId = params.block_or_latest()?;
    let first: Option<U64> = params.optional()?;
    let count: Option<U64> = params.optional()?;
    let shard = api.shard(params.optional()?)?;
    params.end()?;
    let block = shard.block(id)?;
    let Some(block) = block.as_ref().and_then(|block| block.shard()) else { return Ok("null".to_owned()) };
    let Some(body) = shard.shard.sequence(block.header.height)? else { return Ok("null".to_owned()) };
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

/// `anfs_view(domain)`
pub(crate) fn view(api: &Api, mut params: Params<'_>) -> Reply {
    let shard = api.shard(params.optional()?)?;
    params.end()?;
    json(&shard.shard.view())
}

/// `anfs_status(domain)`
pub(crate) fn status(api: &Api, mut params: Params<'_>) -> Reply {
    let shard = api.shard(params.optional()?)?;
    params.end()?;
    json(&StatusObject {
        chain_id: shard.chain.chain_id(),
        head: shard.chain.head().hash(),
        node: shard.shard.status(),
    })
}

pub(crate) fn domains(api: &Api, params: Params<'_>) -> Reply {
    params.end()?;
    json(&api.network()?.domains()?)
}

/// `anfs_getRoute(address, block = latest)`
pub(crate) fn route(api: &Api, mut params: Params<'_>) -> Reply {
    let address: Address = params.required()?;
    let at = api.at(params.block_or_latest()?)?;
    params.end()?;
    json(&api.network()?.route(at, &address)?)
}

pub(crate) fn message(api: &Api, mut params: Params<'_>) -> Reply {
    let id: B256 = params.required()?;
    params.end()?;
    json(&api.network()?.message(&id)?)
}

pub(crate) fn transaction_legs(api: &Api, mut params: Params<'_>) -> Reply {
    let hash: B256 = params.required()?;
    params.end()?;
    api.json(&api.network()?.legs(&hash)?)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RootHeaderObject<'a> {
    hash: RootHash,
    /// Canonical encoding: the hash is keccak-256 over the tag `anfs/root-header/v1` and these bytes.
    encoded: Bytes,
    /// Canonical encoding of the CommitCert; null for genesis.
    certificate: Option<Bytes>,
    #[serde(flatten)]
    header: &'a RootHeader,
}

/// `anfs_getRootHeader(height or tag = latest)`
pub(crate) fn root_header(api: &Api, mut params: Params<'_>) -> Reply {
    let number: Option<BlockNumberOrTag> = params.optional()?;
    params.end()?;
    let height = api.height(number.unwrap_or_default());
    let report = api.network()?.root_header(height)?;
    json(&report.as_ref().map(|report| RootHeaderObject {
        hash: report.header.hash(),
        encoded: encode(report.header.header()).into(),
        certificate: report.certificate.as_ref().map(|certificate| encode(certificate).into()),
        header: report.header.header(),
    }))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FinalityObject {
    root_height: Height,
    index: u32,
    count: u32,
    siblings: Vec<B256>,
    /// The shard block's header, as `anfs_getShardHeader` has it.
    encoded: Bytes,
    proof: Bytes,
}

/// `anfs_getFinality(domain, height)`
pub(crate) fn finality(api: &Api, mut params: Params<'_>) -> Reply {
    let domain: U32 = params.required()?;
    let height: U64 = params.required()?;
    params.end()?;
    let report = api.network()?.finality(DomainId(domain.to()), Height(height.to()))?;
    json(&report.map(|report| FinalityObject {
        root_height: report.root_height,
        index: report.index,
        count: report.count,
        siblings: report.siblings,
        encoded: encode(&report.header).into(),
        proof: report.proof,
    }))
}

/// `anfs_getLightProof(what, height or tag = latest)`
pub(crate) fn light_proof(api: &Api, mut params: Params<'_>) -> Reply {
    let query: LightQuery = params.required()?;
    let number: Option<BlockNumberOrTag> = params.optional()?;
    params.end()?;
    if matches!(&query, LightQuery::Account { slots, .. } if slots.len() > LIGHT_SLOTS_MAX) {
        return Err(RpcError::invalid_params(format!("too many slots, want at most {LIGHT_SLOTS_MAX}")));
    }
    let network = api.network()?;
    let height = api.height(number.unwrap_or_default());
    if height > api.backend.chain.head().height() {
        return Err(RpcError::server("header not found"));
    }
    api.json(&network.light_proof(height, &query)?)
}
