//! Network blocks, put together from shard blocks.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_consensus::Transaction as _;
use alloy_primitives::{B256, Bloom, U256};
use alloy_rpc_types_trace::geth::GethDebugTracingOptions;
use anfs_execution::trace::ArrivalTrace;
use anfs_primitives::{
    Arrival, CrossCall, DomainId, GasPayment, Height, MessageBody, Receipt, RecoveredTransaction,
};
use anfs_rpc::{BackendError, BlockSummary, ChainReader, RpcBlock, ShownBlock};
use anfs_state::{WorldState, ordered_root_of};
use anfs_store::MessagePlace;

use super::completion::{Spot, Way};
use super::record::Entry;
use crate::error::NodeError;
use crate::root::RootDomain;

/// A network block.
#[derive(Debug)]
pub(crate) struct NetworkBlock {
    pub(crate) entry: Arc<Entry>,
    pub(crate) body: Body,
}

/// The transactions of a network block with one receipt each.
#[derive(Debug, Default)]
pub(crate) struct Body {
    pub(crate) transactions: Vec<RecoveredTransaction>,
    pub(crate) receipts: Vec<Receipt>,
    prices: Vec<u128>,
}

impl ShownBlock for NetworkBlock {
    fn summary(&self) -> BlockSummary {
        self.entry.shown.summary()
    }

    fn height(&self) -> Height {
        self.entry.shown.height
    }

    fn hash(&self) -> B256 {
        self.entry.shown.hash
    }

    fn transactions(&self) -> &[RecoveredTransaction] {
        &self.body.transactions
    }

    fn receipts(&self) -> &[Receipt] {
        &self.body.receipts
    }

    fn gas_price(&self, index: usize) -> u128 {
        self.body.prices.get(index).copied().unwrap_or_default()
    }

    fn shard(&self) -> Option<&RpcBlock> {
        None
    }
}

/// A domain's decided blocks, with the states after the newest of them.
pub trait DomainChain: ChainReader {
    /// The state after the block at a height, while it is held.
    fn state(&self, height: Height) -> Option<WorldState>;

    /// Where the domain has sent or consumed a message, by its id.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn message(&self, id: &B256) -> Result<Option<MessagePlace>, NodeError>;

    /// Traces what came of the message that a block consumed at an index.
    ///
    /// # Errors
    /// When the state before the block is gone, or the tracer cannot be made or sees too much.
    fn trace_arrival(
        &self,
        height: Height,
        index: u32,
        options: &GethDebugTracingOptions,
    ) -> Result<ArrivalTrace, BackendError>;
}

/// The blocks of all domains: the root's executed ones, and the decided ones of the shards.
#[derive(Debug, Clone)]
pub(crate) struct Domains {
    pub(crate) root: Arc<RootDomain>,
    /// Domain 1 first.
    pub(crate) shards: Vec<Arc<dyn DomainChain>>,
}

impl Domains {
    pub(crate) fn reader(&self, domain: DomainId) -> Option<&dyn DomainChain> {
        match usize::try_from(domain.0).ok()?.checked_sub(1) {
            None => Some(&*self.root),
            Some(shard) => self.shards.get(shard).map(|reader| &**reader),
        }
    }

    /// A domain's block, if it is decided and visible here.
    pub(crate) fn block(
        &self,
        domain: DomainId,
        height: Height,
    ) -> Result<Option<Arc<dyn ShownBlock>>, NodeError> {
        let Some(reader) = self.reader(domain) else { return Ok(None) };
        let block = reader.block(height).map_err(|error| NodeError::Network {
            height,
            detail: format!("block {height} of domain {domain} cannot be read: {error}"),
        })?;
        Ok(block.filter(|block| block.shard().is_some()))
    }
}

/// Reads shard blocks that are known to be there, each once.
struct Library<'a> {
    domains: &'a Domains,
    /// The network block that is put together, for error messages.
    height: Height,
    read: BTreeMap<(DomainId, Height), Arc<dyn ShownBlock>>,
}

impl Library<'_> {
    fn block(&mut self, spot: &Spot) -> Result<Arc<dyn ShownBlock>, NodeError> {
        let key = (spot.domain, spot.height);
        if let Some(block) = self.read.get(&key) {
            return Ok(block.clone());
        }
        let block =
            self.domains.block(spot.domain, spot.height)?.ok_or_else(|| self.missing(spot, "block"))?;
        self.read.insert(key, block.clone());
        Ok(block)
    }

    fn missing(&self, spot: &Spot, what: &str) -> NodeError {
        let Spot { domain, height, index } = spot;
        let detail = format!("{what} {index} of block {height} of domain {domain} is missing");
        NodeError::Network { height: self.height, detail }
    }
}

/// Reads the transactions of these ways and makes one receipt of each one's legs.
pub(crate) fn body(domains: &Domains, height: Height, listed: &[Way]) -> Result<Body, NodeError> {
    let mut library = Library { domains, height, read: BTreeMap::new() };
    let mut body = Body::default();
    let mut cumulative_gas_used = 0u64;
    for way in listed {
        let (tx, receipt, price) = whole(&mut library, way)?;
        cumulative_gas_used = cumulative_gas_used.saturating_add(receipt.gas_used);
        body.transactions.push(tx);
        body.receipts.push(Receipt { cumulative_gas_used, ..receipt });
        body.prices.push(price);
    }
    Ok(body)
}

impl Body {
    pub(crate) fn gas_used(&self) -> u64 {
        self.receipts.last().map_or(0, |receipt| receipt.cumulative_gas_used)
    }

    pub(crate) fn transactions_root(&self) -> B256 {
        ordered_root_of(self.transactions.len(), |index, out| {
            out.extend_from_slice(self.transactions[index].encoded());
        })
    }

    /// Root of the receipts, and the union of their blooms.
    pub(crate) fn receipts_root(&self) -> (B256, Bloom) {
        let mut all = Bloom::ZERO;
        let root = ordered_root_of(self.receipts.len(), |index, out| {
            let bloom = self.receipts[index].bloom();
            all |= bloom;
            self.receipts[index].encode_2718_with(&bloom, out);
        });
        (root, all)
    }

    /// Bytes of the encoded transactions.
    pub(crate) fn size(&self) -> u64 {
        self.transactions.iter().map(|tx| tx.encoded().len() as u64).sum()
    }
}

/// One transaction with the receipt of all its legs, and what it paid for a unit of gas.
fn whole(library: &mut Library<'_>, way: &Way) -> Result<(RecoveredTransaction, Receipt, u128), NodeError> {
    let source = library.block(&way.source)?;
    let index = way.source.index as usize;
    let (Some(tx), Some(own)) = (source.transactions().get(index), source.receipts().get(index)) else {
        return Err(library.missing(&way.source, "transaction"));
    };
    let source_price = source.gas_price(index);
    let mut receipt = own.clone();
    let mut paid = U256::from(own.gas_used) * U256::from(source_price);
    for spot in &way.arrivals {
        let block = library.block(spot)?;
        let arrival = block.shard().and_then(|shard| Some((shard, arrival(shard, spot)?)));
        let Some((shard, arrival)) = arrival else { return Err(library.missing(spot, "message")) };
        let Some(leg) = &arrival.receipt else { continue };
        receipt.logs.extend(leg.logs.iter().cloned());
        receipt.gas_used = receipt.gas_used.saturating_add(leg.gas_used);
        // Contracts deal with what they have sent, and pay for it: calls of theirs, and the results of these.
        if let MessageBody::Call(call) = &arrival.message.body
            && is_departed(tx, way, arrival, call)
        {
            paid += U256::from(leg.gas_used) * U256::from(leg_price(call, shard.header.base_fee));
            receipt.success &= leg.success;
        }
    }
    let gas_used = U256::from(receipt.gas_used);
    let exact = !gas_used.is_zero() && (paid % gas_used).is_zero();
    let price = exact.then(|| u128::try_from(paid / gas_used).ok()).flatten().unwrap_or(source_price);
    Ok((tx.clone(), receipt, price))
}

/// A message that a block has consumed.
pub(crate) fn arrival<'a>(shard: &'a RpcBlock, spot: &Spot) -> Option<&'a Arrival> {
    shard.crossing.arrivals.get(spot.index as usize)
}

/// What a call that has crossed pays for a unit of gas. spec: Domains D12
fn leg_price(call: &CrossCall, base_fee: u64) -> u128 {
    match call.payment {
        GasPayment::Prepaid { max_fee, max_tip } => max_fee.min(u128::from(base_fee).saturating_add(max_tip)),
        GasPayment::Allowance => 0,
    }
}

/// Whether a call is the transaction's own, which it left with, and none that a contract made. spec: Domains D6
fn is_departed(tx: &RecoveredTransaction, way: &Way, arrival: &Arrival, call: &CrossCall) -> bool {
    arrival.message.source == way.source.domain
        && call.sender == tx.sender()
        && Some(call.recipient) == tx.envelope().to()
        && matches!(call.payment, GasPayment::Prepaid { .. })
}
