//! Catch-up, repetition of what was lost, and the next time to wake.

use std::sync::Arc;

use anfs_primitives::{
    CertificateKind, CertifiedRootBlock, Height, RootBlock, RootHash, RootMessage, RootSeat,
};

use super::core::RootCore;
use super::state::{ReferenceFault, RootFault, RootState, is_whole};
use super::types::{RootEffect, RootOffence};
use super::vote::KINDS;
use crate::error::ConsensusError;

/// Final root blocks that a node sends at most for one [`RootEffect::ServeBlocks`].
pub const ROOT_SERVE_MAX: usize = 16;
/// Requests of one seat within the time between two blocks.
const REQUESTS_MAX: u32 = 64;
/// Doublings of the time between two repetitions.
const BACKOFF_MAX: u32 = 3;
/// Share of the time between two blocks after which an answer counts as lost.
const REQUEST_SHARE: u64 = 4;

impl RootCore {
    /// Whether a message is of the height that is being decided. Who lags is helped, who is ahead is asked.
    pub(super) fn is_here(&mut self, from: RootSeat, height: Height, effects: &mut Vec<RootEffect>) -> bool {
        let here = self.height();
        if height < here {
            self.serve(from, height, effects);
        } else if height > here {
            self.seen = self.seen.max(height);
            self.ask_blocks(from, effects);
        }
        height == here
    }

    fn request_delay(&self) -> u64 {
        (self.config.root_block_ms / REQUEST_SHARE).max(1)
    }

    /// Sends final blocks to a seat: at once when it asks for later ones than before, else after a while.
    fn serve(&mut self, to: RootSeat, from: Height, effects: &mut Vec<RootEffect>) {
        let (now, delay) = (self.now_ms, self.request_delay());
        let peer = self.peer(to);
        let again =
            peer.blocks_asked.is_some_and(|(asked, at)| from <= asked && now < at.saturating_add(delay));
        if !again {
            peer.blocks_asked = Some((from, now));
            effects.push(RootEffect::ServeBlocks { to, from });
        }
    }

    /// Counts a request; false when there are too many.
    fn admits(&mut self, from: RootSeat, effects: &mut Vec<RootEffect>) -> bool {
        let (now, window) = (self.now_ms, self.config.root_block_ms);
        let peer = self.peer(from);
        if now >= peer.window_ms.saturating_add(window) {
            peer.window_ms = now;
            peer.requests = 0;
        }
        peer.requests = peer.requests.saturating_add(1);
        if peer.requests == REQUESTS_MAX + 1 {
            Self::penalise(from, RootOffence::Flood, effects);
        }
        self.peer(from).requests <= REQUESTS_MAX
    }

    pub(super) fn on_block_request(&mut self, from: RootSeat, height: Height, effects: &mut Vec<RootEffect>) {
        if !self.admits(from, effects) {
            return;
        }
        if height < self.height() {
            self.serve(from, height, effects);
        } else if height > self.height() {
            // Nobody asks for what comes after a block that he does not have.
            self.is_here(from, height, effects);
        }
    }

    /// Asks a seat for the final blocks above the own; no more than once in a while.
    fn ask_blocks(&mut self, to: RootSeat, effects: &mut Vec<RootEffect>) {
        if self.now_ms < self.sync_after_ms || self.fetched.contains_key(&self.height()) {
            return;
        }
        self.sync_after_ms = self.now_ms.saturating_add(self.request_delay());
        self.sync_until = Height(self.state.head().height.0.saturating_add(ROOT_SERVE_MAX as u64));
        let message = RootMessage::BlockRequest { from: self.height() };
        effects.push(RootEffect::Send { to, message });
    }

    pub(super) fn on_block(
        &mut self,
        from: RootSeat,
        decided: CertifiedRootBlock,
        effects: &mut Vec<RootEffect>,
    ) -> Result<(), ConsensusError> {
        let (header, certificate) = (&decided.block.header, &decided.certificate);
        let (height, hash) = (header.height, header.hash());
        let wanted = height >= self.height() && height.0 - self.height().0 < ROOT_SERVE_MAX as u64;
        if !wanted || self.fetched.contains_key(&height) || self.is_struck(from) {
            return Ok(());
        }
        self.seen = self.seen.max(height);
        let named = certificate.kind == CertificateKind::Commit
            && (certificate.target.height, certificate.target.block) == (height, hash);
        if !named || !self.holds(certificate) || !is_whole(&decided.block) {
            self.strike(from, RootOffence::Certificate, effects);
            return Ok(());
        }
        self.fetched.insert(height, (from, decided));
        Ok(())
    }

    /// Makes the next fetched block final. True when it did.
    pub(super) fn take_fetched(&mut self, effects: &mut Vec<RootEffect>) -> Result<bool, ConsensusError> {
        let next = self.fetched.get(&self.height()).map(|(_, decided)| decided.block.clone());
        if !next.map_or(Ok(false), |block| self.may_follow(&block))? {
            return Ok(false);
        }
        let Some((from, mut decided)) = self.fetched.remove(&self.height()) else { return Ok(false) };
        let hash = decided.block.header.hash();
        let after = match self.round.bodies.remove(&hash) {
            Some(body) => {
                // Nobody has looked at the shard certificates in the sender's copy; in this one somebody has.
                decided.block = body.block;
                Some(body.after)
            }
            None => self.follows(from, &decided.block, effects)?,
        };
        let Some(after) = after else { return Ok(false) };
        self.synced += 1;
        self.finalise(decided, after, effects);
        if self.seen >= self.height() && self.state.head().height == self.sync_until {
            self.sync_after_ms = self.now_ms;
            self.ask_blocks(from, effects);
        }
        Ok(true)
    }

    /// What follows from a decided block; `None` if its sender changed the certificates in it.
    fn follows(
        &mut self,
        from: RootSeat,
        block: &RootBlock,
        effects: &mut Vec<RootEffect>,
    ) -> Result<Option<RootState>, ConsensusError> {
        let fault = match self.state.check(block) {
            Ok(after) if self.certified(&block.references) => return Ok(Some(after)),
            Ok(_) => None,
            Err(fault) => Some(fault),
        };
        let changed =
            matches!(fault, None | Some(RootFault::Reference { fault: ReferenceFault::Certificate, .. }));
        if let Some(fault) = fault.filter(|_| !changed) {
            return Err(ConsensusError::Root { height: self.height(), fault: Box::new(fault) });
        }
        self.strike(from, RootOffence::Certificate, effects);
        Ok(None)
    }

    /// Moves on to a block that is decided.
    pub(super) fn finalise(
        &mut self,
        decided: CertifiedRootBlock,
        after: RootState,
        effects: &mut Vec<RootEffect>,
    ) {
        self.record.finalised(decided.block.header.height);
        self.state = after;
        self.state.decided_by(decided.certificate.clone());
        self.executed = None;
        self.seen = self.seen.max(self.state.head().height);
        effects.push(RootEffect::Final { block: Arc::new(decided) });
        self.forget_final(effects);
        self.want_inbound(effects);
        self.begin();
        let next = self.height();
        self.fetched = self.fetched.split_off(&next);
        if let Some((from, proposal)) = self.early.take()
            && proposal.block.header.height == next
        {
            self.on_proposal(from, *proposal, effects);
        }
    }

    /// Asks for the block that is decided, or that the leader must propose again or this seat may commit to.
    pub(super) fn fetch_body(&mut self, effects: &mut Vec<RootEffect>) {
        let Some((hash, signers)) = self.missing_body() else { return };
        if self.now_ms < self.round.body_retry_ms || signers.is_empty() {
            return;
        }
        let to = signers[self.round.body_tries % signers.len()];
        self.round.body_tries += 1;
        self.round.body_retry_ms = self.now_ms.saturating_add(self.request_delay());
        let message = RootMessage::BodyRequest { height: self.height(), block: hash };
        effects.push(RootEffect::Send { to, message });
    }

    /// The block that a certificate names and that is not at hand, and who has signed for it.
    fn missing_body(&self) -> Option<(RootHash, Vec<RootSeat>)> {
        let certificate = self.round.decided.as_ref().or(self.round.prepared.as_ref())?;
        let hash = certificate.target.block;
        let held = self.round.bodies.contains_key(&hash) || self.record.block(self.height(), hash).is_some();
        let signers = certificate
            .signers
            .iter()
            .flat_map(|group| group.seats.iter().map(|seat| RootSeat { domain: group.domain, seat }));
        let signers = signers.filter(|seat| Some(*seat) != self.seat);
        (!held).then(|| (hash, signers.collect()))
    }

    pub(super) fn on_body_request(
        &mut self,
        from: RootSeat,
        height: Height,
        hash: RootHash,
        effects: &mut Vec<RootEffect>,
    ) {
        if !self.admits(from, effects) || !self.is_here(from, height, effects) {
            return;
        }
        let checked = self.round.bodies.get(&hash).map(|body| &body.block);
        if let Some(block) = checked.or_else(|| self.record.block(height, hash)).cloned() {
            effects.push(RootEffect::Send { to: from, message: RootMessage::Body(block) });
        }
    }

    pub(super) fn on_body(&mut self, from: RootSeat, block: &Arc<RootBlock>, effects: &mut Vec<RootEffect>) {
        let wanted = self.missing_body().is_some_and(|(hash, _)| hash == block.header.hash());
        if wanted && !self.is_struck(from) && !self.examine(from, block, effects) {
            self.strike(from, RootOffence::Certificate, effects);
        }
    }

    pub(super) fn restart_retry(&mut self) {
        self.retry_backoff = 0;
        self.retry_ms = self.round.since_ms.saturating_add(self.config.root_block_ms / 2);
    }

    /// Says again what nobody may have heard, and asks another seat for final blocks, in case there are some.
    pub(super) fn on_retry(&mut self, effects: &mut Vec<RootEffect>) {
        let due = KINDS
            .into_iter()
            .filter(|kind| self.round.tallies.direct_ms.get(kind).is_some_and(|due| *due <= self.now_ms));
        let due: Vec<CertificateKind> = due.collect();
        self.round.tallies.direct_ms.retain(|kind, _| !due.contains(kind));
        self.send_direct(&due, effects);
        if self.now_ms < self.retry_ms {
            return;
        }
        let (height, view) = (self.height(), self.round.view);
        if let Some(own) = self.record.timeout(height) {
            effects.push(RootEffect::Broadcast(RootMessage::Timeout(Box::new(own.clone()))));
        }
        if self.leads().is_some()
            && let Some(own) = self.record.proposal(height, view)
        {
            effects.push(RootEffect::Broadcast(RootMessage::Proposal(Box::new(own.clone()))));
            let prepared = self.round.prepared.clone().filter(|held| held.target.view == view);
            effects.extend(prepared.map(|held| RootEffect::Broadcast(RootMessage::Certificate(held))));
        }
        self.send_direct(&KINDS, effects);
        self.round.reported = Height::ZERO;
        self.report(effects);
        // A false claim of a far height is believed for one interval at most.
        self.seen = self.state.head().height;
        if let Some(to) = self.next_peer() {
            self.ask_blocks(to, effects);
        }
        self.retry_ms = self.now_ms.saturating_add(self.config.root_block_ms << self.retry_backoff);
        self.retry_backoff = (self.retry_backoff + 1).min(BACKOFF_MAX);
    }

    /// The other seats in turn.
    fn next_peer(&mut self) -> Option<RootSeat> {
        let others: Vec<RootSeat> = self.config.seats().filter(|seat| Some(*seat) != self.seat).collect();
        self.retry_peer = (self.retry_peer + 1) % others.len().max(1);
        others.get(self.retry_peer).copied()
    }

    /// Announces when something is due next.
    pub(super) fn schedule(&mut self, effects: &mut Vec<RootEffect>) {
        let mut times = vec![self.retry_ms];
        if self.seat.is_some() && !self.has_left() {
            times.push(self.deadline_ms());
        }
        if self.leads().is_some() && self.record.may_propose(self.height(), self.round.view) {
            times.push(self.due_ms());
        }
        let accepted = self.round.accepted.and_then(|hash| self.round.bodies.get(&hash));
        times.extend(accepted.map(|body| body.block.header.timestamp_ms));
        times.extend(KINDS.into_iter().filter_map(|kind| self.gather_ms(kind)));
        times.extend(self.round.tallies.direct_ms.values());
        if self.missing_body().is_some() {
            times.push(self.round.body_retry_ms);
        }
        // What is past waits for something else than time.
        let next = times.into_iter().filter(|at| *at > self.now_ms).min();
        if let Some(at) = next.filter(|at| self.wake_ms != Some(*at)) {
            self.wake_ms = Some(at);
            effects.push(RootEffect::WakeAt(at));
        }
    }
}
