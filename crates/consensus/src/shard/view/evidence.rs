//! What contradicts itself while views change, and what a quorum has convicted.
//!
//! spec: PROTOCOL §4 R5–R7

use std::cmp::Ordering;

use anfs_primitives::{
    Block, BlockHash, Certificate, ConsensusMessage, Height, NewView, Proposal, SeatIndex, SignedViewChange,
    VoteKind,
};

use super::ShardCore;
use crate::error::ConsensusError;
use crate::evidence::Evidence;
use crate::shard::types::{Effect, Offence};

/// Convictions remembered; each took a quorum and a view.
const CONVICTIONS_MAX: usize = 64;

impl ShardCore {
    pub(super) fn accuse_changer(
        &mut self,
        verifier: usize,
        second: SignedViewChange,
        effects: &mut Vec<Effect>,
    ) {
        let Some(first) = self.view.changes[verifier].clone().filter(|_| !self.view.accused[verifier]) else {
            return;
        };
        self.view.accused[verifier] = true;
        self.evidence += 1;
        let (first, second) = (Box::new(first), Box::new(second));
        effects.push(Effect::Evidence(Evidence::ViewChanges { first, second }));
    }

    /// Promises met inside an opening are held against those that came directly.
    pub(super) fn compare_changes(&mut self, changes: &[SignedViewChange], effects: &mut Vec<Effect>) {
        for signed in changes {
            let Some(verifier) = signed.signer.verifier_index() else { continue };
            let held = self.view.changes[verifier].as_ref();
            match held.map(|held| held.change.view.cmp(&signed.change.view)) {
                Some(Ordering::Greater) => {}
                Some(Ordering::Equal) if held == Some(signed) => {}
                Some(Ordering::Equal) => self.accuse_changer(verifier, signed.clone(), effects),
                Some(Ordering::Less) | None => self.view.changes[verifier] = Some(signed.clone()),
            }
        }
    }

    /// R7: a carried proposal, whose signature was verified, may contradict the one that is held.
    pub(super) fn compare_proposal(&mut self, second: &Proposal, effects: &mut Vec<Effect>) {
        let (height, view, hash) = (second.header.height, second.header.view, second.header.hash());
        let rivals = |held: &Proposal| {
            (held.header.height, held.header.view) == (height, view) && held.header.hash() != hash
        };
        let round = self.rounds.get(&height);
        if round.is_some_and(|round| round.accused) {
            return;
        }
        let open = round.and_then(|round| round.proposal.clone()).filter(rivals);
        let logged = || self.record.blocks().map(|(proposal, _)| proposal).find(rivals);
        let Some(first) = open.or_else(logged) else { return };
        self.rounds.entry(height).or_default().accused = true;
        self.evidence += 1;
        let evidence = Evidence::Proposals { first: Box::new(first), second: Box::new(second.clone()) };
        effects.push(Effect::Evidence(evidence));
    }

    /// A second opening of the present view is evidence; one of an older view is old.
    pub(super) fn compare_opening(
        &mut self,
        from: SeatIndex,
        second: NewView,
        effects: &mut Vec<Effect>,
    ) -> Result<(), ConsensusError> {
        let Some(first) = self.view.opening.as_ref().filter(|first| first.view == second.view) else {
            self.help_view(from, effects);
            return Ok(());
        };
        let leader = self.config.leader(second.view);
        let fresh = *first != second && self.accused_opening != Some(second.view);
        if fresh && self.allow(from, effects) {
            let Some(first) = self.view.opening.clone() else { return Ok(()) };
            if !self.crypto.verify_new_view(leader, &second) {
                return Self::refuse(from, Offence::Signature, effects);
            }
            self.accused_opening = Some(second.view);
            self.evidence += 1;
            let (first, second) = (Box::new(first), Box::new(second));
            effects.push(Effect::Evidence(Evidence::NewViews { leader, first, second }));
        }
        Ok(())
    }

    /// Takes a conviction that is known to be good: the view is over at once (R5).
    pub(in crate::shard) fn convict(
        &mut self,
        conviction: Certificate,
        effects: &mut Vec<Effect>,
    ) -> Result<(), ConsensusError> {
        let target = conviction.target;
        if self.is_convicted(target.height, &target.block) {
            return Ok(());
        }
        self.view.convictions.insert((target.height, target.block), conviction.clone());
        if self.view.convictions.len() > CONVICTIONS_MAX {
            let oldest = self.view.convictions.iter().min_by_key(|(_, held)| held.target.view);
            let oldest = oldest.map(|(&key, _)| key);
            oldest.map(|key| self.view.convictions.remove(&key));
        }
        self.view.convicted += 1;
        // The leader is the culprit: nobody waits for it to pass the news on.
        effects.push(Effect::Broadcast(ConsensusMessage::Certificate(conviction.clone())));
        let whole = self.rounds.get(&target.height).and_then(|round| round.block.as_ref());
        if let Some(block) = whole.filter(|block| block.header.hash() == target.block) {
            let fault = self.book.fault(VoteKind::InvalidFull, &target);
            self.evidence += 1;
            let block = Box::new(Block::clone(block));
            effects.push(Effect::Evidence(Evidence::InvalidBlock { block, certificate: conviction, fault }));
        }
        if target.view >= self.view.current {
            self.enter(target.view.next(), effects)?;
        }
        Ok(())
    }

    pub(in crate::shard) fn is_convicted(&self, height: Height, block: &BlockHash) -> bool {
        self.view.convictions.contains_key(&(height, *block))
    }
}
