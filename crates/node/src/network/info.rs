//! What the network's own methods tell: shards, routes, messages, and the ways of transactions.

use alloy_primitives::{Address, B256, U64, U256};
use anfs_primitives::{DomainId, Height, MessageBody, Supply};
use anfs_rpc::network::{
    BlockPlace, DomainReport, DomainsReport, FinalityReport, LegKind, LegReport, LegsReport, LightProof,
    LightQuery, MessageReport, RootHeaderReport, RouteReport,
};
use anfs_rpc::{At, Backend, BackendError, ChainReader, NetworkInfo, RpcBlock, ShownBlock};

use super::NetworkBackend;
use super::block::arrival;
use super::completion::Spot;
use super::view::{Traced, row};
use crate::error::NodeError;

fn kind(body: &MessageBody) -> LegKind {
    match body {
        MessageBody::Call(_) => LegKind::Call,
        MessageBody::Result(_) => LegKind::Result,
        MessageBody::Credit { .. } => LegKind::Credit,
        MessageBody::Route { .. } => LegKind::Route,
    }
}

fn number(count: usize) -> U64 {
    U64::from(count as u64)
}

impl NetworkBackend {
    /// Looks at a shard block.
    pub(super) fn look<T>(
        &self,
        spot: &Spot,
        look: impl FnOnce(&dyn ShownBlock, &RpcBlock) -> Option<T>,
    ) -> Result<T, BackendError> {
        let block = self.view.domains.block(spot.domain, spot.height)?;
        let seen = block.as_ref().and_then(|block| look(&**block, block.shard()?));
        seen.ok_or_else(|| {
            let detail = format!("block {} of domain {} is not complete here", spot.height, spot.domain);
            NodeError::Network { height: self.view.height(), detail }.into()
        })
    }

    fn block_place(&self, spot: &Spot) -> Result<BlockPlace, BackendError> {
        let root_height = self.view.final_in(spot.domain, spot.height)?.unwrap_or_default();
        Ok(BlockPlace { domain: spot.domain, height: spot.height, root_height })
    }

    fn own_leg(&self, spot: &Spot, transaction: &B256) -> Result<LegReport, BackendError> {
        let place = self.block_place(spot)?;
        self.look(spot, |block, shard| {
            let receipt = block.receipts().get(spot.index as usize)?;
            Some(LegReport {
                kind: LegKind::Transaction,
                place,
                message: None,
                success: Some(receipt.success),
                gas_used: U64::from(receipt.gas_used),
                logs: number(receipt.logs.len()),
                sent: sent(shard, transaction),
            })
        })
    }

    fn arrival_leg(
        &self,
        spot: &Spot,
        transaction: &B256,
        first_here: bool,
    ) -> Result<LegReport, BackendError> {
        let place = self.block_place(spot)?;
        self.look(spot, |_, shard| {
            let arrival = arrival(shard, spot)?;
            let receipt = arrival.receipt.as_ref();
            Some(LegReport {
                kind: kind(&arrival.message.body),
                place,
                message: Some(arrival.message.id()),
                success: receipt.map(|receipt| receipt.success),
                gas_used: U64::from(receipt.map_or(0, |receipt| receipt.gas_used)),
                logs: number(receipt.map_or(0, |receipt| receipt.logs.len())),
                sent: if first_here { sent(shard, transaction) } else { Vec::new() },
            })
        })
    }
}

/// The messages of a transaction that a block sends.
fn sent(shard: &RpcBlock, transaction: &B256) -> Vec<B256> {
    let own = shard.crossing.sent.iter().filter(|message| message.origin == *transaction);
    own.map(anfs_primitives::CrossMessage::id).collect()
}

impl NetworkInfo for NetworkBackend {
    fn shards(&self) -> &[Backend] {
        &self.shards
    }

    fn domains(&self) -> Result<DomainsReport, BackendError> {
        let head = self.view.newest();
        let entry = &head.entry;
        let supply = match self.view.root.block(head.height())? {
            Some(root) => root.block.header.supply,
            None if head.height() == Height::ZERO => self.view.root.genesis().supply,
            None => Supply::default(),
        };
        let report = |domain, chain: &dyn ChainReader| {
            let row = row(entry, domain);
            DomainReport {
                domain,
                certified_height: chain.head().height(),
                final_height: row.map_or(Height::ZERO, |row| row.tip),
                final_hash: row.map_or(B256::ZERO, |row| row.hash),
                base_fee: chain.next_base_fee(),
                held: row.map_or(U256::ZERO, |row| row.held),
            }
        };
        let shards = (1u32..).map(DomainId).zip(&self.shards);
        Ok(DomainsReport {
            root_height: head.height(),
            root_hash: head.hash(),
            supply,
            in_flight: number(self.view.open.read().len()),
            root: report(DomainId::ROOT, &*self.view.domains.root),
            domains: shards.map(|(domain, shard)| report(domain, &*shard.chain)).collect(),
        })
    }

    fn route(&self, at: At, address: &Address) -> Result<RouteReport, BackendError> {
        let residence = self.residence(at, address)?;
        let home = self.map.home(address);
        Ok(RouteReport { address: *address, home, domain: residence.domain, routed: residence.routed })
    }

    fn message(&self, id: &B256) -> Result<Option<MessageReport>, BackendError> {
        let Some(mentions) = self.view.mentions(id)? else { return Ok(None) };
        let (message, success) = match (&mentions.consumed, &mentions.sent) {
            (Some(spot), _) => self.look(spot, |_, shard| {
                let arrival = arrival(shard, spot)?;
                let success = arrival.receipt.as_ref().map(|receipt| receipt.success);
                Some((arrival.message.clone(), success))
            })?,
            (None, Some(spot)) => self
                .look(spot, |_, shard| Some((shard.crossing.sent.get(spot.index as usize)?.clone(), None)))?,
            (None, None) => return Ok(None),
        };
        let place = |spot: Option<Spot>| spot.map(|spot| self.block_place(&spot)).transpose();
        Ok(Some(MessageReport {
            id: *id,
            kind: kind(&message.body),
            source: message.source,
            destination: message.destination,
            sequence: U64::from(message.sequence),
            origin: message.origin,
            value: message.value(),
            sent: place(mentions.sent)?,
            consumed: place(mentions.consumed)?,
            success,
        }))
    }

    fn legs(&self, transaction: &B256) -> Result<Option<LegsReport>, BackendError> {
        let (way, listed, outstanding) = match self.view.trace(transaction)? {
            None => return Ok(None),
            Some(Traced::Listed(way, height, index)) => (way, Some((height, index)), 0),
            Some(Traced::Open(open)) => (open.way, None, open.outstanding),
        };
        let mut legs = vec![self.own_leg(&way.source, transaction)?];
        let mut before = (way.source.domain, way.source.height);
        for spot in &way.arrivals {
            let here = (spot.domain, spot.height);
            legs.push(self.arrival_leg(spot, transaction, here != before)?);
            before = here;
        }
        Ok(Some(LegsReport {
            transaction: *transaction,
            block_number: listed.map(|(height, _)| height),
            transaction_index: listed.map(|(_, index)| U64::from(index)),
            outstanding: U64::from(outstanding),
            legs,
        }))
    }

    fn root_header(&self, height: Height) -> Result<Option<RootHeaderReport>, BackendError> {
        self.root_report(height)
    }

    fn finality(&self, domain: DomainId, height: Height) -> Result<Option<FinalityReport>, BackendError> {
        self.finality_report(domain, height)
    }

    fn light_proof(&self, height: Height, query: &LightQuery) -> Result<Option<LightProof>, BackendError> {
        match query {
            LightQuery::Account { address, slots } => self.prove_resident(height, address, slots).map(Some),
            LightQuery::Receipt { transaction } => self.prove_receipt(transaction),
            LightQuery::Message { id } => self.prove_message(id),
            LightQuery::Arrival { domain } => self.prove_arrival(height, DomainId(domain.to())),
        }
    }
}
