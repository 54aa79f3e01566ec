//! The opening of a view: its leader puts it together from the promises of a quorum, and everyone starts to work by
//! it.
//!
//! spec: PROTOCOL §4 R6

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anfs_primitives::{
    Block, BlockHash, BlsSignature, BoundedVec, Certificate, ConsensusMessage, NewView, Proposal, SeatIndex,
    SignedViewChange, View,
};

use super::{Round, ShardCore};
use crate::bft::{LogRecord, Missing};
use crate::error::ConsensusError;
use crate::shard::stream::Origin;
use crate::shard::types::{Effect, Offence, Unneeded};

/// How often a missing proposal is asked for before those who reported it are left out.
const ASKS_MAX: u32 = 3;

impl ShardCore {
    /// The leader's part: with the promises of a quorum it shows what must be proposed again.
    pub(super) fn try_open(&mut self, effects: &mut Vec<Effect>) -> Result<(), ConsensusError> {
        let view = self.view.current;
        let Some(seat) = self.seat.filter(|_| self.leads() && !self.view.open && view > View::ZERO) else {
            return Ok(());
        };
        if let Some(own) = self.record.opening().filter(|own| own.view == view).cloned() {
            effects.push(Effect::Broadcast(ConsensusMessage::NewView(Box::new(own.clone()))));
            return self.open(own, effects);
        }
        let Some(changes) = self.quorum_of_changes(effects)? else { return Ok(()) };
        let rules = self.rules();
        let convictions = self.convictions_of(&changes);
        let find = |block: &BlockHash| self.find_proposal(block);
        let carried = match rules.collect(&changes, &convictions, find) {
            Ok(carried) => carried,
            Err(missing) => {
                self.ask_proposal(missing, &changes, effects);
                return Ok(());
            }
        };
        let opening = NewView {
            view,
            changes: BoundedVec::try_from(changes).expect("a quorum is no more than all verifiers"),
            carried: BoundedVec::try_from(carried).expect("no more blocks than reports"),
            convictions: BoundedVec::try_from(convictions).expect("no more than open heights"),
            signature: BlsSignature::ZERO,
        };
        let opening = self.crypto.sign_new_view(seat, opening)?;
        let entry = LogRecord::NewView(Box::new(opening.clone()));
        self.record.add(entry.clone());
        effects.push(Effect::Persist(entry));
        effects.push(Effect::Broadcast(ConsensusMessage::NewView(Box::new(opening.clone()))));
        self.open(opening, effects)
    }

    /// The convictions of blocks that these changes speak of.
    fn convictions_of(&self, changes: &[SignedViewChange]) -> Vec<Certificate> {
        let reports = changes.iter().flat_map(|signed| &signed.change.reports);
        let named: BTreeSet<_> =
            reports.filter_map(|report| Some((report.height, report.approved?.1))).collect();
        named.iter().filter_map(|key| self.view.convictions.get(key)).cloned().collect()
    }

    /// The own promise and others that make a quorum, by ascending seat; a bad one is thrown out, and one
    /// whose sender does not serve what it reports comes last.
    fn quorum_of_changes(
        &mut self,
        effects: &mut Vec<Effect>,
    ) -> Result<Option<Vec<SignedViewChange>>, ConsensusError> {
        let (rules, own, view) = (self.rules(), self.verifier(), self.view.current);
        let of_view = |signed: &&SignedViewChange| signed.change.view == view;
        if self.view.changes.iter().flatten().filter(of_view).count() < self.quorum.decide() {
            return Ok(None);
        }
        for (verifier, held) in self.view.changes.iter_mut().enumerate() {
            let Some(signed) = held.as_ref().filter(of_view).filter(|_| Some(verifier) != own) else {
                continue;
            };
            if let Err(fault) = rules.check_certificates(&*self.crypto, &signed.change) {
                Self::penalise(signed.signer, Offence::View(fault), effects);
                *held = None;
            }
        }
        let rank = |&(verifier, _): &(usize, &SignedViewChange)| {
            (Some(verifier) != own, self.view.unserved.contains(verifier), verifier)
        };
        let all = self.view.changes.iter().enumerate();
        let mut all: Vec<_> = all.filter_map(|(verifier, held)| Some((verifier, held.as_ref()?))).collect();
        all.retain(|(_, signed)| of_view(signed));
        all.sort_by_key(rank);
        all.truncate(self.quorum.decide());
        all.sort_by_key(|&(verifier, _)| verifier);
        let chosen: Vec<SignedViewChange> = all.into_iter().map(|(_, signed)| signed.clone()).collect();
        self.adopt_decided(&chosen, effects)?;
        Ok((chosen.len() == self.quorum.decide()).then_some(chosen))
    }

    /// Takes the deciding certificates of verified changes: someone may hold one that nobody else has.
    fn adopt_decided(
        &mut self,
        changes: &[SignedViewChange],
        effects: &mut Vec<Effect>,
    ) -> Result<(), ConsensusError> {
        for certificate in changes.iter().flat_map(|signed| &signed.change.decided) {
            if self.in_window(certificate.target.height) {
                self.adopt(certificate.clone(), effects)?;
            }
        }
        Ok(())
    }

    pub(super) fn find_proposal(&self, block: &BlockHash) -> Option<Proposal> {
        let is = |proposal: &&Proposal| proposal.header.hash() == *block;
        let mut open = self.rounds.values().filter_map(|round| round.proposal.as_ref());
        let here = self.view.found.get(block).or_else(|| open.find(is)).cloned();
        here.or_else(|| self.record.block(block).map(|(proposal, _)| proposal))
    }

    /// A block above the tip that this seat can serve.
    pub(in crate::shard) fn find_block(&self, hash: &BlockHash) -> Option<Arc<Block>> {
        let mut open = self.rounds.values().filter_map(|round| round.block.as_ref());
        let here = open.find(|block| block.header.hash() == *hash).cloned();
        here.or_else(|| self.record.block(hash).map(|(_, block)| block))
    }

    /// Asks those who reported a block for its proposal.
    fn ask_proposal(&mut self, missing: Missing, changes: &[SignedViewChange], effects: &mut Vec<Effect>) {
        if self.view.missing != Some(missing) {
            self.view.asks = 0;
        }
        self.view.missing = Some(missing);
        self.view.asks += 1;
        self.view.retry_ms = Some(self.now_ms.saturating_add(self.request_delay()));
        for signed in changes.iter().filter(|signed| Some(signed.signer) != self.seat) {
            let knows = signed.change.reports.iter().any(|report| {
                let prepared = report.prepared.as_ref().map(|certificate| certificate.target.block);
                let approved = report.approved.map(|(_, block)| block);
                report.height == missing.height && [prepared, approved].contains(&Some(missing.block))
            });
            if knows {
                // An honest one serves what it reports; others must not hold the view up.
                if let Some(verifier) = signed.signer.verifier_index().filter(|_| self.view.asks > ASKS_MAX) {
                    self.view.unserved.insert(verifier);
                }
                let message = ConsensusMessage::ProposalRequest { block: missing.block };
                effects.push(Effect::Send { to: signed.signer, message });
            }
        }
    }

    /// Takes a proposal that the opening of the own view waits for; true when it was one.
    pub(in crate::shard) fn on_missing_proposal(
        &mut self,
        proposal: &Proposal,
        effects: &mut Vec<Effect>,
    ) -> Result<bool, ConsensusError> {
        let wanted = self.view.missing.filter(|missing| missing.block == proposal.header.hash());
        if wanted.is_none() || !self.crypto.verify_proposal(proposal) {
            return Ok(false);
        }
        self.view.missing = None;
        self.compare_proposal(proposal, effects);
        self.view.found.insert(proposal.header.hash(), proposal.clone());
        self.try_open(effects)?;
        Ok(true)
    }

    pub(in crate::shard) fn on_new_view(
        &mut self,
        from: SeatIndex,
        opening: NewView,
        effects: &mut Vec<Effect>,
    ) -> Result<(), ConsensusError> {
        if opening.view < self.view.current || (self.view.open && opening.view == self.view.current) {
            return self.compare_opening(from, opening, effects);
        }
        if !self.allow(from, effects) {
            return Ok(());
        }
        let leader = self.config.leader(opening.view);
        if !self.crypto.verify_new_view(leader, &opening) {
            return Self::refuse(from, Offence::Signature, effects);
        }
        if let Err(fault) = self.rules().check_opening(&*self.crypto, &opening) {
            return Self::refuse(leader, Offence::View(fault), effects);
        }
        self.follow(opening.view);
        self.compare_changes(&opening.changes, effects);
        let (ground, _) = self.rules().ground(&opening.changes);
        self.seen = self.seen.max(ground);
        self.adopt_decided(&opening.changes, effects)?;
        self.open(opening, effects)?;
        if ground > self.tip.parent.height {
            self.ask_blocks(from, effects);
        }
        Ok(())
    }

    /// Starts to work in the present view: what must be proposed again takes its place, all else goes.
    pub(super) fn open(&mut self, opening: NewView, effects: &mut Vec<Effect>) -> Result<(), ConsensusError> {
        let tip = self.tip.parent.height;
        for proposal in opening.carried.iter().filter(|proposal| proposal.header.height > tip) {
            self.compare_proposal(proposal, effects);
        }
        let (ground, mut parent) = self.rules().ground(&opening.changes);
        let state = &mut self.view;
        state.open = true;
        state.ground = ground;
        state.entered_ms = self.now_ms;
        state.wished = false;
        state.retry_ms = None;
        state.missing = None;
        state.found.clear();
        state.carried.clear();
        let mut proposals = BTreeMap::new();
        for proposal in &opening.carried {
            if proposal.header.parent != parent {
                break;
            }
            parent = proposal.header.hash();
            if proposal.header.height > tip {
                state.carried.insert(proposal.header.height, parent);
                proposals.insert(proposal.header.height, proposal.clone());
            }
        }
        state.opening = Some(opening);
        self.clear_rounds(effects);
        self.recall_blocks();
        for (height, proposal) in proposals {
            self.rounds.entry(height).or_default().proposal.get_or_insert(proposal);
        }
        for proposal in self.view.take_early() {
            self.admit_proposal(proposal.header.proposer, proposal, effects)?;
        }
        Ok(())
    }

    /// Puts away what the present view does not carry on.
    fn clear_rounds(&mut self, effects: &mut Vec<Effect>) {
        for (height, mut round) in std::mem::take(&mut self.rounds) {
            let hash = round.header().map(|header| header.hash());
            let carried = self.view.carried.get(&height).copied();
            if carried.is_some() && carried == hash {
                round.renew();
                self.rounds.insert(height, round);
                continue;
            }
            let decided = round.decision.as_ref().map(|certificate| certificate.target.block);
            let mut fetched = round.fetched;
            if let Some(block) = round.block.take() {
                if decided == hash {
                    fetched = Some(block);
                } else {
                    effects.push(Effect::Drop(Unneeded::Block(block.header.hash())));
                }
            }
            let (decision, prepare) = (round.decision, round.prepare);
            if decision.is_some() || fetched.is_some() || prepare.is_some() {
                self.rounds.insert(height, Round { decision, fetched, prepare, ..Round::default() });
            }
        }
        for (height, stream) in std::mem::take(&mut self.streams) {
            let Origin { view, parent, .. } = stream.origin;
            if self
                .rounds
                .get(&height)
                .and_then(Round::header)
                .is_some_and(|header| stream.origin == Origin::from(header.header()))
            {
                self.streams.insert(height, stream);
            } else if stream.emitted > 0 {
                effects.push(Effect::Drop(Unneeded::Stream { height, view, parent }));
            }
        }
    }
}
