//! `eth_getLogs`: searches bounded in blocks and in results, by bloom first.

use alloy_eips::BlockNumberOrTag;
use alloy_primitives::Log as RawLog;
use alloy_rpc_types_eth::{Filter, FilterBlockOption, FilteredParams, Log};
use anfs_primitives::Height;

use super::{Api, Reply};
use crate::backend::ShownBlock;
use crate::error::RpcError;
use crate::params::Params;
use crate::shapes::logs_where;

/// Addresses, and alternatives of one topic, in a filter; as geth has it.
const ALTERNATIVES_MAX: usize = 1000;

pub(crate) fn get(api: &Api, mut params: Params<'_>) -> Reply {
    let filter: Filter = params.required()?;
    params.end()?;
    api.json(&search(api, &filter)?)
}

/// Refuses filters that are costly to match.
pub(crate) fn check(filter: &Filter) -> Result<(), RpcError> {
    let over = |name: &str| {
        Err(RpcError::invalid_params(format!("exceed max {name}: the limit is {ALTERNATIVES_MAX}")))
    };
    if filter.address.len() > ALTERNATIVES_MAX {
        return over("addresses");
    }
    if filter.topics.iter().any(|topic| topic.len() > ALTERNATIVES_MAX) {
        return over("topics");
    }
    Ok(())
}

/// Whether a log passes the address and topic conditions.
pub(crate) fn matches(filter: &Filter, log: &RawLog) -> bool {
    filter.matches_address(log.address) && filter.matches_topics(log.topics())
}

/// The logs of a filter's block, or range of blocks.
pub(crate) fn search(api: &Api, filter: &Filter) -> Result<Vec<Log>, RpcError> {
    check(filter)?;
    match filter.block_option {
        FilterBlockOption::AtBlockHash(hash) => {
            let block = api.block(hash.into())?.ok_or_else(|| RpcError::server("unknown block"))?;
            let mut found = Vec::new();
            collect(api, filter, &*block, &mut found)?;
            Ok(found)
        }
        FilterBlockOption::Range { from_block, to_block } => {
            let from = api.height(from_block.unwrap_or(BlockNumberOrTag::Latest));
            let to = api.height(to_block.unwrap_or(BlockNumberOrTag::Latest));
            if from > to && to_block.is_some() {
                return Err(RpcError::invalid_params(
                    "invalid block range params: fromBlock is above toBlock",
                ));
            }
            search_range(api, filter, from, to)
        }
    }
}

/// The logs between two heights, both included; blocks above the head have none yet.
pub(crate) fn search_range(
    api: &Api,
    filter: &Filter,
    from: Height,
    to: Height,
) -> Result<Vec<Log>, RpcError> {
    let chain = &api.backend.chain;
    let to = to.min(chain.head().height());
    let blocks_max = api.config.logs_blocks_max;
    if to.0.saturating_sub(from.0) >= blocks_max {
        let text = format!("query exceeds max block range {blocks_max}: ask for fewer blocks at once");
        return Err(RpcError::limit(text));
    }
    let address_bloom = FilteredParams::address_filter(&filter.address);
    let topic_blooms = FilteredParams::topics_filter(&filter.topics);
    let mut found = Vec::new();
    for height in from.0..=to.0 {
        let Some(header) = chain.header(Height(height))? else { continue };
        let bloom = header.logs_bloom;
        if bloom.is_zero()
            || !FilteredParams::matches_address(bloom, &address_bloom)
            || !FilteredParams::matches_topics(bloom, &topic_blooms)
        {
            continue;
        }
        if let Some(block) = chain.block(Height(height))? {
            collect(api, filter, &*block, &mut found)?;
        }
    }
    Ok(found)
}

fn collect(api: &Api, filter: &Filter, block: &dyn ShownBlock, found: &mut Vec<Log>) -> Result<(), RpcError> {
    let results_max = api.config.logs_results_max;
    for log in logs_where(block, |log| matches(filter, log)) {
        if found.len() == results_max {
            let text =
                format!("query returned more than {results_max} results: ask for fewer blocks at once");
            return Err(RpcError::limit(text));
        }
        found.push(log);
    }
    Ok(())
}
