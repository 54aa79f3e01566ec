//! Prepares, commits, and what they add up to.
//!
//! spec: Root F5–F7, F10

use alloy_primitives::U256;
use std::collections::BTreeMap;

use anfs_primitives::{
    BlsSignature, CertificateKind, CertifiedRootBlock, RootCertificate, RootHash, RootMessage, RootSeat,
    RootTally, SeatSet, View,
};

use super::core::RootCore;
use super::log::RootLogRecord;
use super::tally::{Admission, is_single};
use super::timeout::groups_of;
use super::types::{RootEffect, RootEvidence, RootOffence};
use crate::error::ConsensusError;

/// What the root votes on, in the order in which it happens.
pub(super) const KINDS: [CertificateKind; 2] = [CertificateKind::Prepare, CertificateKind::Commit];

/// Share of the time between two blocks that a gatherer waits for the last votes of its shard.
const GATHER_SHARE: u64 = 8;
/// Share of it after which a voter turns to the leader himself.
const DIRECT_SHARE: u64 = 2;

impl RootCore {
    /// Signs *prepare* for the accepted block, once its time has come. spec: Root F6
    pub(super) fn prepare(&mut self, effects: &mut Vec<RootEffect>) -> Result<(), ConsensusError> {
        let Some(hash) = self.round.accepted else { return Ok(()) };
        let Some(body) = self.round.bodies.get(&hash) else { return Ok(()) };
        let (kind, block) = (CertificateKind::Prepare, body.block.clone());
        if block.header.timestamp_ms > self.now_ms || !self.agrees(hash) || !self.may_vote(kind) {
            return Ok(());
        }
        if self.record.block(self.height(), hash).is_none() {
            self.persist(RootLogRecord::Block(block), effects);
        }
        self.vote(kind, hash, effects)
    }

    /// Signs *commit* for the block that a quorum has prepared in the present view, and is locked on it. spec: Root F6
    pub(super) fn commit(&mut self, effects: &mut Vec<RootEffect>) -> Result<(), ConsensusError> {
        let (kind, view) = (CertificateKind::Commit, self.round.view);
        let prepared = self.round.prepared.clone().filter(|certificate| certificate.target.view == view);
        let Some(certificate) = prepared.filter(|_| self.may_vote(kind)) else { return Ok(()) };
        let hash = certificate.target.block;
        if !self.recall(hash) || !self.agrees(hash) {
            return Ok(());
        }
        if self.record.block(self.height(), hash).is_none() {
            self.persist(RootLogRecord::Block(self.round.bodies[&hash].block.clone()), effects);
        }
        self.persist(RootLogRecord::Prepared(certificate), effects);
        self.vote(kind, hash, effects)
    }

    fn may_vote(&self, kind: CertificateKind) -> bool {
        self.seat.is_some() && self.record.may_vote(self.height(), self.round.view, kind)
    }

    /// Signs, logs and sends one vote. spec: Root F7, F10
    fn vote(
        &mut self,
        kind: CertificateKind,
        block: RootHash,
        effects: &mut Vec<RootEffect>,
    ) -> Result<(), ConsensusError> {
        let Some(seat) = self.seat else { return Ok(()) };
        let target = self.target(block);
        let signature = self.crypto.sign_vote(seat, kind, &target)?;
        let seats = SeatSet::of(seat.seat);
        let tally = RootTally { kind, target, domain: seat.domain, seats, signature };
        self.log_opening(effects);
        self.persist(RootLogRecord::Vote(tally.clone()), effects);
        self.round.tallies.trust(seat, tally.clone());
        let gatherer = self.config.gatherer(self.height(), seat.domain);
        if seat == self.leader() {
            return Ok(());
        }
        if seat == gatherer {
            self.round.tallies.await_others(kind, self.now_ms);
        } else {
            effects.push(RootEffect::Send { to: gatherer, message: RootMessage::Tally(tally) });
            let wait = self.config.root_block_ms / DIRECT_SHARE;
            self.round.tallies.direct_ms.insert(kind, self.now_ms.saturating_add(wait));
        }
        Ok(())
    }

    pub(super) fn on_tally(&mut self, from: RootSeat, tally: RootTally, effects: &mut Vec<RootEffect>) {
        let target = tally.target;
        if !self.is_ours(&target) {
            return Self::penalise(from, RootOffence::Foreign, effects);
        }
        let exists = self.config.stake_of(tally.domain, tally.seats).is_some() && !tally.seats.is_empty();
        if !exists || tally.domain != from.domain || !KINDS.contains(&tally.kind) {
            return Self::penalise(from, RootOffence::Role, effects);
        }
        if !self.is_here(from, target.height, effects) {
            return;
        }
        self.help_view(from, target.view, effects);
        if target.view != self.round.view || self.is_struck(from) {
            return;
        }
        let gathers = self.config.gatherer(target.height, from.domain);
        if self.seat != Some(self.leader()) && self.seat != Some(gathers) {
            return;
        }
        if !is_single(from, &tally) && from != gathers {
            return Self::penalise(from, RootOffence::Role, effects);
        }
        let most = if from == gathers { self.config.seats_of(from.domain) + 1 } else { 2 };
        if let Admission::Contradicts(first) =
            self.round.tallies.offer(from, tally.clone(), most, self.now_ms)
        {
            self.accuse_voter(from, *first, tally, effects);
        }
    }

    fn accuse_voter(
        &mut self,
        from: RootSeat,
        first: RootTally,
        second: RootTally,
        effects: &mut Vec<RootEffect>,
    ) {
        let signed = [&first, &second].map(|one| self.crypto.verify_tallies(std::slice::from_ref(one)));
        if signed.iter().any(|bad| !bad.is_empty()) {
            return self.strike(from, RootOffence::Signature, effects);
        }
        let kind = if first.kind == CertificateKind::Prepare { "prepares" } else { "commits" };
        let evidence = RootEvidence::Votes { first: Box::new(first), second: Box::new(second) };
        self.accuse((self.round.view, from, kind), evidence, effects);
    }

    /// Verifies what is kept for a block; whoever sent a bad tally is not heard again.
    fn verify_votes(&mut self, kind: CertificateKind, block: RootHash, effects: &mut Vec<RootEffect>) {
        let (senders, open): (Vec<_>, Vec<_>) =
            self.round.tallies.unverified(kind, block).into_iter().unzip();
        if open.is_empty() {
            return;
        }
        for bad in self.crypto.verify_tallies(&open) {
            let sender = senders[bad];
            self.round.tallies.strike(sender);
            Self::penalise(sender, RootOffence::Signature, effects);
        }
        self.round.tallies.verified(kind, block);
    }

    /// When a gatherer passes votes on at the latest.
    pub(super) fn gather_ms(&self, kind: CertificateKind) -> Option<u64> {
        let seat = self.seat.filter(|seat| *seat != self.leader() && !self.has_left())?;
        let gathers = self.config.gatherer(self.height(), seat.domain) == seat;
        let first = self.round.tallies.first_ms(kind).filter(|_| gathers)?;
        Some(first.saturating_add(self.config.root_block_ms / GATHER_SHARE))
    }

    /// Adds up the votes of the own shard and passes them on: all at once, or those that have come in time, and later
    /// ones when they come. spec: Root F7
    pub(super) fn gather(&mut self, effects: &mut Vec<RootEffect>) -> Result<(), ConsensusError> {
        for kind in KINDS {
            let (Some(due), Some(seat)) = (self.gather_ms(kind), self.seat) else { continue };
            let leader = self.leader();
            // The leader keeps its own vote.
            let all = self.config.seats_of(seat.domain) - usize::from(leader.domain == seat.domain);
            for block in self.round.tallies.blocks(kind) {
                let waiting = self.round.tallies.unpassed(kind, seat.domain, block).len();
                if waiting < all && self.now_ms < due {
                    continue;
                }
                self.verify_votes(kind, block, effects);
                let votes = self.round.tallies.unpassed(kind, seat.domain, block);
                let seats = votes.iter().fold(SeatSet::EMPTY, |seats, vote| seats.union(vote.seats));
                let Some(first) = votes.first() else { continue };
                let signatures: Vec<BlsSignature> = votes.iter().map(|vote| vote.signature).collect();
                let tally = RootTally {
                    target: first.target,
                    signature: self.crypto.aggregate(&signatures)?,
                    kind,
                    domain: seat.domain,
                    seats,
                };
                self.round.tallies.pass(kind, block, seats);
                effects.push(RootEffect::Send { to: leader, message: RootMessage::Tally(tally) });
            }
            if self.now_ms >= due || self.nothing_waits(kind, seat) {
                self.round.tallies.all_passed(kind);
            }
        }
        Ok(())
    }

    fn nothing_waits(&self, kind: CertificateKind, seat: RootSeat) -> bool {
        let blocks = self.round.tallies.blocks(kind);
        blocks.into_iter().all(|block| self.round.tallies.unpassed(kind, seat.domain, block).is_empty())
    }

    /// Makes certificates of the votes for this seat's view. True when there is a new one.
    pub(super) fn lead(&mut self, effects: &mut Vec<RootEffect>) -> Result<bool, ConsensusError> {
        if self.seat != Some(self.leader()) {
            return Ok(false);
        }
        for kind in KINDS {
            if self.round.tallies.made.contains(&kind) {
                continue;
            }
            for block in self.round.tallies.blocks(kind) {
                let claimed = self.round.tallies.claimed(kind, block);
                if !self.is_enough(claimed.iter().map(|(domain, seats)| (*domain, *seats))) {
                    continue;
                }
                self.verify_votes(kind, block, effects);
                let Some(certificate) = self.add_up(kind, block)? else { continue };
                self.round.tallies.made.insert(kind);
                effects.push(RootEffect::Broadcast(RootMessage::Certificate(certificate.clone())));
                self.adopt(certificate);
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn is_enough(&self, seats: impl Iterator<Item = (anfs_primitives::DomainId, SeatSet)>) -> bool {
        let stakes = seats.filter_map(|(domain, seats)| self.config.stake_of(domain, seats));
        self.config.is_quorum(stakes.sum::<U256>())
    }

    /// The certificate of all verified votes for a block, if they are enough.
    fn add_up(
        &self,
        kind: CertificateKind,
        block: RootHash,
    ) -> Result<Option<RootCertificate>, ConsensusError> {
        let chosen: BTreeMap<_, Vec<RootTally>> = self.round.tallies.disjoint(kind, block);
        let tallies = || chosen.values().flatten();
        let seats = tallies()
            .flat_map(|tally| tally.seats.iter().map(|seat| RootSeat { domain: tally.domain, seat }));
        let signers = groups_of(seats);
        if !self.is_enough(signers.iter().map(|group| (group.domain, group.seats))) {
            return Ok(None);
        }
        let signatures: Vec<BlsSignature> = tallies().map(|tally| tally.signature).collect();
        let signature = self.crypto.aggregate(&signatures)?;
        Ok(Some(RootCertificate { kind, target: self.target(block), signers, signature }))
    }

    /// Takes note of a certificate that holds.
    fn adopt(&mut self, certificate: RootCertificate) {
        if certificate.kind == CertificateKind::Prepare {
            self.learn_prepared(&certificate);
        } else {
            self.round.decided.get_or_insert(certificate);
        }
    }

    pub(super) fn on_certificate(
        &mut self,
        from: RootSeat,
        certificate: RootCertificate,
        effects: &mut Vec<RootEffect>,
    ) -> Result<(), ConsensusError> {
        let target = certificate.target;
        if !KINDS.contains(&certificate.kind) || !self.is_ours(&target) {
            Self::penalise(from, RootOffence::Foreign, effects);
            return Ok(());
        }
        self.mind_fork(&certificate)?;
        if !self.is_here(from, target.height, effects) || self.is_struck(from) {
            return Ok(());
        }
        let held = self.round.prepared.as_ref().map(|held| held.target.view);
        let known = match certificate.kind {
            CertificateKind::Prepare => held >= Some(target.view),
            _ => self.round.decided.is_some(),
        };
        if known {
            return Ok(());
        }
        if !self.holds(&certificate) {
            self.strike(from, RootOffence::Certificate, effects);
            return Ok(());
        }
        self.adopt(certificate);
        Ok(())
    }

    /// Two CommitCerts of one height: more than a third of the stake is faulty, and no node can mend that.
    pub(super) fn mind_fork(&self, certificate: &RootCertificate) -> Result<(), ConsensusError> {
        let (height, theirs) = (certificate.target.height, certificate.target.block);
        match self.state.root(height) {
            Some(ours)
                if ours != theirs
                    && certificate.kind == CertificateKind::Commit
                    && self.holds(certificate) =>
            {
                Err(ConsensusError::Fork { height, ours, theirs })
            }
            _ => Ok(()),
        }
    }

    /// Makes the decided block final, if it is at hand. True when it did.
    pub(super) fn finish(&mut self, effects: &mut Vec<RootEffect>) -> Result<bool, ConsensusError> {
        if let Some(certificate) = self.round.decided.clone()
            && self.recall(certificate.target.block)
        {
            let body = self.round.bodies.get(&certificate.target.block);
            if !body.map_or(Ok(false), |body| self.may_follow(&body.block))? {
                return Ok(false);
            }
            let Some(body) = self.round.bodies.remove(&certificate.target.block) else { return Ok(false) };
            let decided = CertifiedRootBlock { block: body.block, certificate };
            self.decisions += 1;
            self.finalise(decided, body.after, effects);
            return Ok(true);
        }
        self.take_fetched(effects)
    }

    /// Sends the own votes that are in no certificate yet to the leader.
    pub(super) fn send_direct(&mut self, kinds: &[CertificateKind], effects: &mut Vec<RootEffect>) {
        let (height, view, leader) = (self.height(), self.round.view, self.leader());
        if self.seat == Some(leader) || self.has_left() {
            return;
        }
        for kind in kinds {
            let done = match kind {
                CertificateKind::Prepare => self.is_prepared_in(view),
                _ => self.round.decided.is_some(),
            };
            if let Some(tally) = self.record.vote(height, view, *kind).filter(|_| !done) {
                let message = RootMessage::Tally(tally.clone());
                effects.push(RootEffect::Send { to: leader, message });
            }
        }
    }

    /// Whether a PrepareCert of this view is known.
    pub(super) fn is_prepared_in(&self, view: View) -> bool {
        self.round.prepared.as_ref().is_some_and(|held| held.target.view == view)
    }
}
