//! What a leader puts to the vote, and whether it may be voted for.
//!
//! spec: Root F2, F3, F9, F12, F13

use std::sync::Arc;

use anfs_primitives::{
    RootBlock, RootExecution, RootHash, RootMessage, RootProposal, RootSeat, ShardReference,
    TimeoutCertificate, View,
};

use super::core::{Checked, RootCore};
use super::log::RootLogRecord;
use super::state::{ReferenceFault, RootDraft, RootFault};
use super::types::{RootEffect, RootEvidence, RootOffence};
use crate::error::ConsensusError;

impl RootCore {
    /// Puts a block to the vote when this seat leads, and it is time. spec: Root F3, F9
    pub(super) fn propose(&mut self, effects: &mut Vec<RootEffect>) -> Result<(), ConsensusError> {
        let (height, view) = (self.height(), self.round.view);
        let Some(seat) = self.leads() else { return Ok(()) };
        let Some(execution) = self.executed.clone() else { return Ok(()) };
        let open = view == View::ZERO || self.round.opening.is_some();
        let due = self.now_ms >= self.due_ms() && self.round.decided.is_none();
        if !open || !due || !self.record.may_propose(height, view) {
            return Ok(());
        }
        let bound = self.round.opening.as_ref().and_then(|opening| opening.prepared.as_ref());
        let hash = match bound.map(|certificate| certificate.target.block) {
            // If the block is not at hand it is asked for; if it says otherwise than this seat has found, it is not signed.
            Some(hash) if !self.recall(hash) || !self.agrees(hash) => return Ok(()),
            Some(hash) => hash,
            None => self.build(seat, execution, effects)?,
        };
        let block = self.round.bodies[&hash].block.clone();
        let signature = self.crypto.sign_proposal(seat, &self.target(hash))?;
        let proposal = RootProposal { view, block, timeouts: self.round.opening.clone(), signature };
        self.persist(RootLogRecord::Proposal(Box::new(proposal.clone())), effects);
        self.round.heard = Some(proposal.clone());
        self.round.accepted = Some(hash);
        effects.push(RootEffect::Broadcast(RootMessage::Proposal(Box::new(proposal))));
        Ok(())
    }

    /// Makes a block of all that this seat knows to be certified, and of the messages that it has.
    fn build(
        &mut self,
        seat: RootSeat,
        execution: RootExecution,
        effects: &mut Vec<RootEffect>,
    ) -> Result<RootHash, ConsensusError> {
        let references = self.collect(effects);
        let draft = RootDraft {
            epoch: self.config.epoch,
            view: self.round.view,
            proposer: seat,
            timestamp_ms: self.now_ms.max(self.state.head().timestamp_ms.saturating_add(1)),
            references,
            inbound: self.state.choose(|source, height| self.offers.get(source, height)),
            execution,
        };
        let built = self.state.build(draft);
        let wrong = |fault| ConsensusError::Root { height: self.height(), fault: Box::new(fault) };
        let (block, after) = built.map_err(wrong)?;
        let hash = block.header.hash();
        self.round.bodies.insert(hash, Checked { block: Arc::new(block), after });
        Ok(hash)
    }

    pub(super) fn on_proposal(
        &mut self,
        from: RootSeat,
        proposal: RootProposal,
        effects: &mut Vec<RootEffect>,
    ) {
        let (height, view) = (proposal.block.header.height, proposal.view);
        if height == self.height().next() && from == self.config.leader(height, view) {
            self.early = Some((from, Box::new(proposal.clone())));
        }
        if !self.is_here(from, height, effects) {
            return;
        }
        if from != self.config.leader(height, view) {
            return Self::penalise(from, RootOffence::Role, effects);
        }
        self.help_view(from, view, effects);
        if view < self.round.view || self.is_struck(from) {
            return;
        }
        let hash = proposal.block.header.hash();
        let held = self.round.heard.as_ref().filter(|_| view == self.round.view);
        let held = held.map(|held| held.block.header.hash());
        if held == Some(hash) {
            return;
        }
        let target = self.config.target(height, view, hash);
        if !self.crypto.verify_proposal(from, &target, &proposal.signature) {
            return self.strike(from, RootOffence::Signature, effects);
        }
        if let Some(first) = self.round.heard.clone().filter(|_| held.is_some()) {
            let evidence =
                RootEvidence::Proposals { leader: from, first: Box::new(first), second: Box::new(proposal) };
            return self.accuse((view, from, "proposals"), evidence, effects);
        }
        if !self.opens(view, proposal.timeouts.as_ref()) {
            return self.strike(from, RootOffence::Opening, effects);
        }
        if let Some(opening) = &proposal.timeouts {
            self.follow(opening.clone());
        }
        if view == self.round.view {
            self.weigh(from, proposal, effects);
        }
    }

    /// Whether this is why the view is open.
    fn opens(&self, view: View, timeouts: Option<&TimeoutCertificate>) -> bool {
        match (view.prev(), timeouts) {
            (None, None) => true,
            (Some(left), Some(opening)) => {
                opening.view == left
                    && (self.round.opening.as_ref() == Some(opening) || self.is_opening(opening))
            }
            _ => false,
        }
    }

    /// Accepts the first proposal of the present view, if it may be voted for. spec: Root F2, F9
    fn weigh(&mut self, from: RootSeat, proposal: RootProposal, effects: &mut Vec<RootEffect>) {
        let block = proposal.block.clone();
        let (header, hash) = (&block.header, block.header.hash());
        let bound = proposal.timeouts.as_ref().and_then(|timeouts| timeouts.prepared.as_ref());
        let allowed = match bound {
            Some(certificate) => certificate.target.block == hash,
            None => header.view == proposal.view && header.proposer == from,
        };
        self.round.heard = Some(proposal);
        if !allowed {
            return self.strike(from, RootOffence::Opening, effects);
        }
        if header.timestamp_ms > self.now_ms.saturating_add(self.config.root_timeout_ms) {
            return Self::penalise(from, RootOffence::Early, effects);
        }
        if self.round.bodies.contains_key(&hash) || self.examine(from, &block, effects) {
            self.round.accepted = Some(hash);
        }
    }

    /// Checks a block from outside, and keeps it if it is a valid next one.
    pub(super) fn examine(
        &mut self,
        from: RootSeat,
        block: &Arc<RootBlock>,
        effects: &mut Vec<RootEffect>,
    ) -> bool {
        let header = &block.header;
        if (header.network, header.epoch) != (self.config.network, self.config.epoch) {
            Self::penalise(from, RootOffence::Foreign, effects);
            return false;
        }
        let after = match self.state.check(block) {
            Ok(after) => after,
            Err(fault) => {
                self.accuse_shard(block, fault, effects);
                Self::penalise(from, RootOffence::Block(fault), effects);
                return false;
            }
        };
        let commit = block.parent_commit.as_ref().filter(|commit| self.state.commit() != Some(commit));
        if !self.certified(&block.references) || commit.is_some_and(|commit| !self.holds(commit)) {
            Self::penalise(from, RootOffence::Certificate, effects);
            return false;
        }
        self.round.bodies.insert(header.hash(), Checked { block: block.clone(), after });
        true
    }

    /// Whether all certificates of shard blocks hold. What the own shard has decided needs no second look.
    pub(super) fn certified(&self, references: &[ShardReference]) -> bool {
        let own = self.seat.map(|seat| seat.domain);
        let known = |reference: &ShardReference| {
            Some(reference.header.domain) == own && self.own.get(&reference.header.height) == Some(reference)
        };
        let open: Vec<&ShardReference> = references.iter().filter(|one| !known(one)).collect();
        self.crypto.verify_references(&open).is_empty()
    }

    /// If it was a shard that certified what cannot be, gives evidence of that.
    fn accuse_shard(&mut self, block: &RootBlock, fault: RootFault, effects: &mut Vec<RootEffect>) {
        let RootFault::Reference { domain, height, fault } = fault else { return };
        let named = |one: &&ShardReference| (one.header.domain, one.header.height) == (domain, height);
        if let Some(reference) = block.references.iter().find(named)
            && fault.convicts()
            && block.header.parent == self.state.head().hash()
            && self.crypto.verify_references(&[reference]).is_empty()
        {
            self.convict(reference, fault, effects);
        }
    }

    /// Gives evidence of a shard whose verifiers certified what cannot be, once.
    pub(super) fn convict(
        &mut self,
        reference: &ShardReference,
        fault: ReferenceFault,
        effects: &mut Vec<RootEffect>,
    ) {
        if fault.convicts() && self.captured.insert(reference.header.domain) {
            self.evidence += 1;
            let height = self.state.head().height;
            let evidence = RootEvidence::Overdrawn { reference: Box::new(reference.clone()), height };
            effects.push(RootEffect::Evidence(evidence));
        }
    }

    /// Puts a block of the own log back among the checked ones; true if it is there.
    pub(super) fn recall(&mut self, hash: RootHash) -> bool {
        if self.round.bodies.contains_key(&hash) {
            return true;
        }
        let Some(block) = self.record.block(self.height(), hash).cloned() else { return false };
        // Its certificates were checked before it was logged.
        let Ok(after) = self.state.check(&block) else { return false };
        self.round.bodies.insert(hash, Checked { block, after });
        true
    }
}
