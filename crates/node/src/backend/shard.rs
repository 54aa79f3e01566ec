//! What only this network has: the shard's status, its sequence and proofs of it.

use alloy_primitives::B256;
use anfs_consensus::Stall;
use anfs_crypto::merkle;
use anfs_primitives::{BlockBody, Height, SignerSet, encode};
use anfs_rpc::{BackendError, NodeStatus, SequenceProof, ShardInfo};
use sha2::{Digest, Sha256};

use super::SeatBackend;

/// Why nothing is being decided, for people.
fn describe(stall: Stall) -> String {
    match stall {
        Stall::NoProgress { since_ms } => {
            format!("nothing was decided since Unix time {} s", since_ms / 1000)
        }
    }
}

impl ShardInfo for SeatBackend {
    fn status(&self) -> NodeStatus {
        let (spec, status) = (&self.context.spec, self.status.read());
        NodeStatus {
            verifiers: spec.verifiers_per_shard,
            quorum: spec.quorum(),
            slot_ms: spec.slot_ms,
            current_slot: spec.slot_at(self.context.clock.now_ms()).0,
            produced_height: status.proposed,
            certified_height: self.chain.head().header.height,
            flushed_height: self.context.store.flushed_height(),
            view: status.view.0,
            fast_path: status.fast_path,
            fast_blocks: status.fast,
            slow_blocks: status.slow,
            synced_blocks: status.synced,
            stalled: status.stalled.map(describe),
        }
    }

    fn sequence(&self, height: Height) -> Result<Option<BlockBody>, BackendError> {
        if height == Height::ZERO {
            return Ok(Some(BlockBody::default()));
        }
        Ok(self.chain.certified_block(height)?.map(|certified| certified.block.body))
    }

    fn slice_checkers(&self, height: Height) -> Result<Option<Vec<SignerSet>>, BackendError> {
        let Some(block) = self.chain.block(height)? else { return Ok(None) };
        let spec = &self.context.spec;
        let (verifiers, redundancy) = (spec.verifiers_per_shard.into(), spec.slice_redundancy.into());
        let seed = crate::seat::epoch_seed(spec, block.header.epoch);
        Ok(Some(anfs_poh::assign_slices(&block.header.hash(), &seed, verifiers, redundancy)))
    }

    fn sequence_proof(&self, transaction: &B256) -> Result<Option<SequenceProof>, BackendError> {
        let Some((height, index)) = self.chain.transaction(transaction)? else { return Ok(None) };
        let Some(certified) = self.chain.certified_block(height)? else { return Ok(None) };
        let entries = &certified.block.body.entries;
        let mut before = 0;
        let place = entries.iter().position(|entry| {
            let here = (before..before + entry.transactions.len()).contains(&(index as usize));
            if !here {
                before += entry.transactions.len();
            }
            here
        });
        let Some(place) = place else { return Ok(None) };
        let encoded: Vec<Vec<u8>> = entries.iter().map(encode).collect();
        let leaves: Vec<B256> = encoded.iter().map(|entry| B256::new(Sha256::digest(entry).into())).collect();
        let Some(proof) = merkle::prove(&leaves, place) else { return Ok(None) };
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Ok(Some(SequenceProof {
            block_hash: certified.block.header.hash(),
            height,
            entries_root: certified.block.header.entries_root,
            entry_index: count(place),
            entry_count: count(entries.len()),
            entry: encoded[place].clone().into(),
            entry_proof: proof,
            transaction_index: index - count(before),
            certificate: Some(certified.certificate),
        }))
    }
}
