//! Proofs for light clients, made of final blocks and the states after them.
//!
//! spec: PROTOCOL §6, §8, §9; Root F1

use alloy_primitives::{Address, B256, Bytes};
use anfs_crypto::outbox::lane_batch;
use anfs_light::{
    AccountProof, AddressProof, ArrivalProof, FinalityProof, MessageProof, Nodes, ReceiptProof,
    ResidentProof, RootAccountProof, RootMessageProof, SLOTS_MAX, SentProof,
};
use anfs_primitives::{BoundedVec, DomainId, Height, SealedHeader, encode};
use anfs_rpc::network::{FinalityReport, LightProof, RootHeaderReport};
use anfs_rpc::{At, BackendError, ShownBlock};
use anfs_state::ordered_proof;
use borsh::BorshSerialize;

use super::NetworkBackend;
use super::completion::Spot;
use super::view::row;

fn reply(root: Height, proof: &impl BorshSerialize) -> LightProof {
    LightProof { root_height: root, proof: encode(proof).into() }
}

fn oversize(error: impl std::fmt::Display) -> BackendError {
    BackendError::LimitExceeded(format!("what is asked for is too large to be proven: {error}"))
}

fn nodes(proof: &[Bytes]) -> Result<Nodes, BackendError> {
    anfs_light::nodes(proof).map_err(oversize)
}

impl NetworkBackend {
    pub(super) fn root_report(&self, height: Height) -> Result<Option<RootHeaderReport>, BackendError> {
        if height > self.view.height() {
            return Ok(None);
        }
        if height == Height::ZERO {
            let header = self.view.root.genesis().clone();
            return Ok(Some(RootHeaderReport { header, certificate: None }));
        }
        let block = self.view.root.block(height)?;
        Ok(block.map(|block| RootHeaderReport {
            header: block.block.header.clone(),
            certificate: Some(block.certificate.clone()),
        }))
    }

    /// That a shard's block is final, with the height of the root block that says so.
    fn prove_finality(
        &self,
        domain: DomainId,
        height: Height,
    ) -> Result<Option<(Height, FinalityProof)>, BackendError> {
        let Some(root) = self.view.final_in(domain, height)? else { return Ok(None) };
        let headers = if root == Height::ZERO {
            (1u32..)
                .map(DomainId)
                .take(self.shards.len())
                .map(|domain| self.shard_header(domain, Height::ZERO))
                .collect::<Result<Vec<_>, _>>()?
        } else {
            let Some(block) = self.view.root.block(root)? else { return Ok(None) };
            block.block.references.iter().map(|reference| reference.header.clone()).collect()
        };
        let index = headers.iter().position(|header| (header.domain, header.height) == (domain, height));
        Ok(index.and_then(|index| Some((root, FinalityProof::make(&headers, index)?))))
    }

    pub(super) fn finality_report(
        &self,
        domain: DomainId,
        height: Height,
    ) -> Result<Option<FinalityReport>, BackendError> {
        if self.shard_of(domain).is_none() {
            return Err(BackendError::InvalidParams(format!("the network has no shard {domain}")));
        }
        let proven = self.prove_finality(domain, height)?;
        Ok(proven.map(|(root_height, proof)| FinalityReport {
            root_height,
            index: proof.index,
            count: proof.count,
            siblings: proof.siblings.to_vec(),
            header: proof.header.header().clone(),
            proof: encode(&proof).into(),
        }))
    }

    fn shard_header(&self, domain: DomainId, height: Height) -> Result<SealedHeader, BackendError> {
        let spot = Spot { domain, height, index: 0 };
        self.look(&spot, |_, shard| Some(shard.header.clone()))
    }

    /// The newest final block of a shard after a network block.
    fn tip_header(&self, root: Height, domain: DomainId) -> Result<Option<SealedHeader>, BackendError> {
        if domain == DomainId::ROOT {
            let detail = "the root's own header tells how far it is: domains 1 and up are proven";
            return Err(BackendError::InvalidParams(detail.to_owned()));
        }
        let entry = self.view.entry(root)?;
        let tip = entry.as_ref().and_then(|entry| row(entry, domain)).map(|row| row.tip);
        tip.map(|tip| self.shard_header(domain, tip)).transpose()
    }

    fn account_proof(
        &self,
        root: Height,
        domain: DomainId,
        address: &Address,
        slots: &[B256],
    ) -> Result<AccountProof, BackendError> {
        let header = self.tip_header(root, domain)?;
        let absent = || BackendError::Internal(format!("block {root} does not say where shard {domain} is"));
        let (nodes, slots) = self.account_nodes(root, domain, address, slots)?;
        Ok(AccountProof { header: header.ok_or_else(absent)?, nodes, slots })
    }

    /// The way to an account in a domain's state after a network block, and from there to its slots.
    fn account_nodes(
        &self,
        root: Height,
        domain: DomainId,
        address: &Address,
        slots: &[B256],
    ) -> Result<(Nodes, BoundedVec<Nodes, SLOTS_MAX>), BackendError> {
        let proof =
            self.read(At::Block(root), domain, |shard, there| shard.state.proof(there, address, slots))?;
        let slots = proof.storage_proof.iter().map(|slot| nodes(&slot.proof));
        let slots = slots.collect::<Result<Vec<_>, _>>()?.try_into().map_err(oversize)?;
        Ok((nodes(&proof.account_proof)?, slots))
    }

    pub(super) fn prove_resident(
        &self,
        root: Height,
        address: &Address,
        slots: &[B256],
    ) -> Result<LightProof, BackendError> {
        let home = self.map.home(address);
        if home == DomainId::ROOT {
            // The tip of the root in a network block is the root block of which that block's header tells.
            let (nodes, slots) = self.account_nodes(root, home, address, slots)?;
            return Ok(reply(root, &AddressProof::Root(RootAccountProof { nodes, slots })));
        }
        let residence = self.residence(At::Block(root), address)?;
        let proof = if residence.routed {
            ResidentProof {
                home: self.account_proof(root, home, address, &[])?,
                away: Some(self.account_proof(root, residence.domain, address, slots)?),
            }
        } else {
            ResidentProof { home: self.account_proof(root, home, address, slots)?, away: None }
        };
        Ok(reply(root, &AddressProof::Shard(proof)))
    }

    pub(super) fn prove_receipt(&self, transaction: &B256) -> Result<Option<LightProof>, BackendError> {
        let Some(spot) = self.view.executed(transaction)? else { return Ok(None) };
        let Some((root, finality)) = self.prove_finality(spot.domain, spot.height)? else { return Ok(None) };
        let index = spot.index as usize;
        let proofs = self.look(&spot, |block, _| items(block, index))?;
        let (transaction, receipt) = (nodes(&proofs.0)?, nodes(&proofs.1)?);
        Ok(Some(reply(root, &ReceiptProof { finality, index: spot.index, transaction, receipt })))
    }

    pub(super) fn prove_message(&self, id: &B256) -> Result<Option<LightProof>, BackendError> {
        let Some(spot) = self.view.mentions(id)?.and_then(|mentions| mentions.sent) else { return Ok(None) };
        let batch = self.look(&spot, |_, shard| {
            let message = shard.crossing.sent.get(spot.index as usize)?;
            lane_batch(&shard.crossing.sent, message.destination)
        })?;
        if spot.domain == DomainId::ROOT {
            let root = self.view.final_in(spot.domain, spot.height)?;
            return Ok(root.map(|root| reply(root, &SentProof::Root(RootMessageProof { batch }))));
        }
        let Some((root, finality)) = self.prove_finality(spot.domain, spot.height)? else { return Ok(None) };
        Ok(Some(reply(root, &SentProof::Shard(MessageProof { finality, batch }))))
    }

    pub(super) fn prove_arrival(
        &self,
        root: Height,
        domain: DomainId,
    ) -> Result<Option<LightProof>, BackendError> {
        Ok(self.tip_header(root, domain)?.map(|header| reply(root, &ArrivalProof { header })))
    }
}

/// The proofs of a transaction and of its receipt in its block.
fn items(block: &dyn ShownBlock, index: usize) -> Option<(Vec<Bytes>, Vec<Bytes>)> {
    let transactions: Vec<&[u8]> = block.transactions().iter().map(|tx| tx.encoded().as_ref()).collect();
    let receipts: Vec<Vec<u8>> =
        block.receipts().iter().map(anfs_primitives::Receipt::encoded_2718).collect();
    Some((ordered_proof(&transactions, index)?, ordered_proof(&receipts, index)?))
}
