//! The SG's part: one block after the other, W ahead of certification at most.
//!
//! spec: PROTOCOL §4 R8

use std::sync::Arc;

use anfs_primitives::{Block, ConsensusMessage, Slot};

use super::core::ShardCore;
use super::types::{Depth, Effect, Parent};
use crate::bft::LogRecord;
use crate::error::ConsensusError;

impl ShardCore {
    /// Asks the builder for the next block when this seat acts as SG and the pipeline has room.
    pub(super) fn start_slot(&mut self, effects: &mut Vec<Effect>) {
        self.slot_wait_ms = None;
        if !self.leads() || !self.view.open || self.building.is_some() {
            return;
        }
        let head = self.head();
        let (view, height) = (self.view.current, head.height.next());
        // What the view carries on comes first, and so does catching up with what it stands on.
        let due = self.view.carried.last_key_value().map_or(self.view.ground, |(&last, _)| last);
        if head.height < due {
            return;
        }
        let ahead = height.0 - self.tip.parent.height.0;
        let free = self.rounds.get(&height).is_none_or(|round| round.decision.is_none());
        if ahead > u64::from(self.config.pipeline_depth) || !free || !self.record.may_propose(height, view) {
            return;
        }
        let slot = Slot(head.slot.next().0.max(self.config.slot_at(self.now_ms).0));
        let start_ms = self.config.slot_start_ms(slot);
        if start_ms > self.now_ms {
            self.slot_wait_ms = Some(start_ms);
            return;
        }
        self.building = Some((height, slot, head.hash));
        effects.push(Effect::StartSlot { height, slot, view, parent: head.hash });
    }

    /// The last block of the own chain: decided, or proposed on top of it.
    fn head(&self) -> Parent {
        let mut head = self.tip.parent;
        while let Some(next) = self.parent_of(head.height.next().next()) {
            head = next;
        }
        head
    }

    pub(super) fn on_built(&mut self, block: Block, effects: &mut Vec<Effect>) -> Result<(), ConsensusError> {
        let (header, view) = (&block.header, self.view.current);
        let Some((height, slot, parent)) = self.building.filter(|asked| asked.0 == header.height) else {
            // Overtaken by a decision while it was built.
            return Ok(());
        };
        let Some(seat) = self.signer() else { return Ok(()) };
        let fields = [
            (header.network == self.config.network, "network"),
            (header.domain == self.config.domain, "domain"),
            (header.epoch == self.config.epoch, "epoch"),
            (header.slot == slot, "slot"),
            (header.parent == parent, "parent"),
            (header.view == view, "view"),
            (header.proposer == seat, "proposer"),
            (header.boundaries.len() == usize::from(self.config.verifiers) + 1, "boundaries"),
        ];
        if let Some(&(_, field)) = fields.iter().find(|(holds, _)| !holds) {
            return Err(ConsensusError::WrongBlock { height, field });
        }
        if !self.record.may_propose(height, view) {
            return Err(ConsensusError::Contradiction { seat, height, view });
        }
        let proposal = self.crypto.sign_proposal(seat, header)?;
        let signature = proposal.signature;
        let block = Arc::new(block);
        let entry = LogRecord::Proposal { block: block.clone(), signature };
        self.record.add(entry.clone());
        self.building = None;
        self.seen = self.seen.max(height);
        let round = self.rounds.entry(height).or_default();
        round.proposal = Some(proposal.clone());
        round.block = Some(block);
        // The builder has executed it already, and every hash of its clock.
        round.asked = Some(Depth::Full);
        round.passed = Some(Depth::Full);
        effects.push(Effect::Persist(entry));
        effects.push(Effect::Broadcast(ConsensusMessage::Proposal(proposal)));
        Ok(())
    }
}
