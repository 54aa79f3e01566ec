//! `eth_`: prices.

use alloy_consensus::Transaction as _;
use alloy_eips::BlockNumberOrTag;
use alloy_primitives::{U64, U256};
use alloy_rpc_types_eth::{FeeHistory, TxGasAndReward};
use anfs_primitives::Height;
use serde::Deserialize;

use super::{Api, Reply};
use crate::backend::{BlockSummary, ShownBlock};
use crate::error::RpcError;
use crate::params::Params;
use crate::shapes::json;

/// Blocks that one `eth_feeHistory` covers at most, as geth has it.
const HISTORY_BLOCKS_MAX: u64 = 1024;
/// Percentiles that one `eth_feeHistory` may ask for, as geth has it.
const PERCENTILES_MAX: usize = 100;
/// Blocks that the suggested tip looks back on.
const TIP_BLOCKS: u64 = 20;
/// The suggested tip is this percentile of the tips paid there.
const TIP_PERCENTILE: usize = 60;
/// Transactions looked at in each of those blocks.
const TIP_SAMPLES: usize = 64;

/// A block count: hex quantity or JSON number.
#[derive(Deserialize)]
#[serde(untagged)]
enum Count {
    Quantity(U64),
    Number(u64),
}

/// The tip that recent transactions paid, at least what the pool admits.
pub(crate) fn suggested_tip(api: &Api) -> Result<u128, RpcError> {
    let chain = &api.backend.chain;
    let head = chain.head();
    let mut tips: Vec<u128> = Vec::new();
    sample_tips(&*head, &mut tips);
    for back in 1..TIP_BLOCKS.min(head.height().0 + 1) {
        if let Some(block) = chain.block(Height(head.height().0 - back))? {
            sample_tips(&*block, &mut tips);
        }
    }
    let floor = api.backend.pool.min_tip();
    if tips.is_empty() {
        return Ok(floor);
    }
    let at = (tips.len() - 1) * TIP_PERCENTILE / 100;
    let (_, tip, _) = tips.select_nth_unstable(at);
    Ok((*tip).max(floor))
}

fn sample_tips(block: &dyn ShownBlock, tips: &mut Vec<u128>) {
    let base_fee = block.summary().base_fee;
    let paid = block.transactions().iter().take(TIP_SAMPLES);
    tips.extend(paid.filter_map(|tx| tx.envelope().effective_tip_per_gas(base_fee)));
}

pub(crate) fn gas_price(api: &Api, params: Params<'_>) -> Reply {
    params.end()?;
    json(&U256::from(suggested_tip(api)?.saturating_add(u128::from(api.backend.chain.next_base_fee()))))
}

pub(crate) fn max_priority_fee(api: &Api, params: Params<'_>) -> Reply {
    params.end()?;
    json(&U256::from(suggested_tip(api)?))
}

pub(crate) fn base_fee(api: &Api, params: Params<'_>) -> Reply {
    params.end()?;
    json(&U64::from(api.backend.chain.next_base_fee()))
}

/// There are no blobs: their fee stands at EIP-4844's minimum for ever.
pub(crate) fn blob_base_fee(_api: &Api, params: Params<'_>) -> Reply {
    params.end()?;
    json(&U64::from(1))
}

pub(crate) fn history(api: &Api, mut params: Params<'_>) -> Reply {
    let count = match params.required()? {
        Count::Quantity(count) => count.to::<u64>(),
        Count::Number(count) => count,
    };
    let newest: BlockNumberOrTag = params.required()?;
    let percentiles: Option<Vec<f64>> = params.optional()?;
    params.end()?;
    let percentiles = percentiles.unwrap_or_default();
    check_percentiles(&percentiles)?;

    let chain = &api.backend.chain;
    let (head, newest) = (chain.head().height(), api.height(newest));
    if newest > head {
        let text = format!("request beyond head block: requested {newest}, head {head}");
        return Err(RpcError::server(text));
    }
    let count = count.min(HISTORY_BLOCKS_MAX).min(newest.0 + 1);
    let mut history = FeeHistory { oldest_block: newest.0 + 1 - count, ..FeeHistory::default() };
    if count == 0 {
        history.oldest_block = 0;
        return json(&history);
    }
    let mut rewards = Vec::new();
    for height in history.oldest_block..=newest.0 {
        let missing = || RpcError::internal(format!("block {height} is missing on disk"));
        let (header, reward) = if percentiles.is_empty() {
            (chain.header(Height(height))?.ok_or_else(missing)?, None)
        } else {
            let block = chain.block(Height(height))?.ok_or_else(missing)?;
            (block.summary(), Some(block_rewards(&*block, &percentiles)))
        };
        history.base_fee_per_gas.push(u128::from(header.base_fee));
        history.base_fee_per_blob_gas.push(1);
        history.gas_used_ratio.push(ratio(header.gas_used, header.gas_limit));
        history.blob_gas_used_ratio.push(0.0);
        rewards.extend(reward);
    }
    let next = match chain.header(newest.next())? {
        Some(next) => next.base_fee,
        None => chain.next_base_fee(),
    };
    history.base_fee_per_gas.push(u128::from(next));
    history.base_fee_per_blob_gas.push(1);
    history.reward = (!percentiles.is_empty()).then_some(rewards);
    json(&history)
}

fn check_percentiles(percentiles: &[f64]) -> Result<(), RpcError> {
    if percentiles.len() > PERCENTILES_MAX {
        let text = format!("invalid reward percentile: over the query limit {PERCENTILES_MAX}");
        return Err(RpcError::invalid_params(text));
    }
    let mut previous = 0.0;
    for percentile in percentiles {
        if !(0.0..=100.0).contains(percentile) || *percentile < previous {
            let text = format!("invalid reward percentile: {percentile} must be within 0..100 and ascending");
            return Err(RpcError::invalid_params(text));
        }
        previous = *percentile;
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a ratio for display; gas is far below 2^53")]
fn ratio(used: u64, limit: u64) -> f64 {
    if limit == 0 { 0.0 } else { used as f64 / limit as f64 }
}

/// The tip at each percentile of the block's gas, cheapest transactions first.
#[expect(clippy::cast_precision_loss, reason = "percentiles of gas, which is far below 2^53")]
fn block_rewards(block: &dyn ShownBlock, percentiles: &[f64]) -> Vec<u128> {
    let BlockSummary { base_fee, gas_used, .. } = block.summary();
    let mut paid: Vec<TxGasAndReward> = (block.transactions().iter().zip(block.receipts()))
        .map(|(tx, receipt)| TxGasAndReward {
            gas_used: receipt.gas_used,
            reward: tx.envelope().effective_tip_per_gas(base_fee).unwrap_or_default(),
        })
        .collect();
    paid.sort();
    let total = gas_used as f64;
    let mut paid = paid.into_iter();
    let mut current = paid.next();
    let mut gas = current.map_or(0, |tx| tx.gas_used);
    let reward_at = |percentile: &f64| {
        while (gas as f64) < total * percentile / 100.0 {
            let Some(next) = paid.next() else { break };
            gas += next.gas_used;
            current = Some(next);
        }
        current.map_or(0, |tx| tx.reward)
    };
    percentiles.iter().map(reward_at).collect()
}
