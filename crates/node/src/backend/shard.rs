//! What only this network has: the shard's status, its sequence and proofs of it.

use alloy_primitives::B256;
use anfs_consensus::{Hold, Stall};
use anfs_crypto::merkle;
use anfs_primitives::{BlockBody, Height, SignerSet, View, encode};
use anfs_rpc::{BackendError, NodeStatus, SequenceProof, ShardInfo, ViewStatus};
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

/// Why a seat signs nothing, for people.
pub(crate) fn describe_hold(hold: Hold) -> String {
    match hold {
        Hold::Watching { until: None } => {
            "its signing record was missing: it watches the chain before it signs".into()
        }
        Hold::Watching { until: Some(height) } => {
            format!("its signing record was missing: it watches the chain until height {height}")
        }
        Hold::Doppelganger { height } => {
            format!("block {height} holds its signature, which it did not make: another process has its key")
        }
        Hold::Retired => {
            "its signing record was exported for another process to sign on: import it again, or release the seat".into()
        }
        Hold::Behind { until } => {
            format!("its signing record was imported: it catches up to height {until} before it signs")
        }
    }
}

impl ShardInfo for SeatBackend {
    fn status(&self) -> NodeStatus {
        let seat = self.seat();
        let (spec, status) = (&seat.context.spec, seat.status.read());
        NodeStatus {
            verifiers: spec.verifiers_per_shard,
            quorum: spec.quorum(),
            slot_ms: spec.slot_ms,
            current_slot: spec.slot_at(seat.context.clock.now_ms()).0,
            produced_height: status.proposed,
            certified_height: seat.chain.head().header.height,
            flushed_height: seat.context.store.flushed_height(),
            view: status.view.0,
            fast_path: status.fast_path,
            fast_blocks: status.fast,
            slow_blocks: status.slow,
            synced_blocks: status.synced,
            stalled: status.stalled.map(describe),
        }
    }

    fn view(&self) -> ViewStatus {
        let seat = self.seat();
        let (group, status) = (&seat.context.group, seat.status.read().clone());
        let views = seat.context.views.lock();
        let next = (1..=u64::from(group.verifiers)).map(|ahead| group.leader(View(status.view.0 + ahead)));
        ViewStatus {
            seat: seat.context.seat,
            view: status.view.0,
            open: status.view_open,
            acting: status.acting,
            succession: next.collect(),
            views_changed: status.views_changed,
            convictions: status.convictions,
            evidence: status.evidence,
            hold: status.hold.map(describe_hold),
            last_change: views.last(),
            recent_evidence: views.evidence(),
        }
    }

    fn sequence(&self, height: Height) -> Result<Option<BlockBody>, BackendError> {
        let seat = self.seat();
        if height == Height::ZERO {
            return Ok(Some(BlockBody::default()));
        }
        Ok(seat.chain.certified_block(height)?.map(|certified| certified.block.body))
    }

    fn slice_checkers(&self, height: Height) -> Result<Option<Vec<SignerSet>>, BackendError> {
        let seat = self.seat();
        let Some(block) = seat.chain.block(height)? else { return Ok(None) };
        let spec = &seat.context.spec;
        let (verifiers, redundancy) = (spec.verifiers_per_shard.into(), spec.slice_redundancy.into());
        let seed = crate::seat::epoch_seed(spec, block.header.epoch);
        Ok(Some(anfs_poh::assign_slices(&block.header.hash(), &seed, verifiers, redundancy)))
    }

    fn sequence_proof(&self, transaction: &B256) -> Result<Option<SequenceProof>, BackendError> {
        let seat = self.seat();
        let Some((height, index)) = seat.chain.transaction(transaction)? else { return Ok(None) };
        let Some(certified) = seat.chain.certified_block(height)? else { return Ok(None) };
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
