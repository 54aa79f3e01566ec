//! The state of one seat at the root, and the step.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anfs_primitives::{
    CertificateKind, CertifiedRootBlock, DomainId, Height, RootBlock, RootCertificate, RootExecution,
    RootHash, RootMessage, RootProposal, RootSeat, SeatGroup, ShardReference, TimeoutCertificate, View,
    VoteTarget,
};

use super::config::RootConfig;
use super::crypto::RootCrypto;
use super::execution::Offers;
use super::log::{RootLogRecord, RootRecord};
use super::report::Pool;
use super::state::RootState;
use super::tally::TallyBook;
use super::timeout::TimeoutBook;
use super::types::{RootEffect, RootEvidence, RootInput, RootOffence, RootStatus};
use crate::error::ConsensusError;

/// Patience with a stalled root, in Δ_root, before the status says so.
const STALL_FACTOR: u64 = 4;

/// A block whose form and certificates were checked, and what follows from it.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) block: Arc<RootBlock>,
    pub(super) after: RootState,
}

/// What is known of the height above the final one.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// The view that this seat is in.
    pub(super) view: View,
    /// Unix time in milliseconds from which its patience counts.
    pub(super) since_ms: u64,
    /// Why the view is open; none for view 0, or if it was entered in another way.
    pub(super) opening: Option<TimeoutCertificate>,
    /// The first proposal in this view that its leader has signed.
    pub(super) heard: Option<RootProposal>,
    /// The block of that proposal may be voted for.
    pub(super) accepted: Option<RootHash>,
    /// The PrepareCert of the highest view.
    pub(super) prepared: Option<RootCertificate>,
    /// The CommitCert, while the block is being fetched.
    pub(super) decided: Option<RootCertificate>,
    /// Checked blocks: the accepted one and what certificates name.
    pub(super) bodies: BTreeMap<RootHash, Checked>,
    /// Votes of this view.
    pub(super) tallies: TallyBook,
    /// Time-outs of this height.
    pub(super) timeouts: TimeoutBook,
    /// Up to where own references have been reported in this view.
    pub(super) reported: Height,
    /// When to ask for a missing body next.
    pub(super) body_retry_ms: u64,
    /// How often that was done.
    pub(super) body_tries: usize,
    /// Evidence given at this height: the view, the offender and the kind.
    pub(super) accused: BTreeSet<(View, RootSeat, &'static str)>,
}

/// What is remembered of another seat.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Peer {
    /// Requests within the present window.
    pub(super) requests: u32,
    /// Start of that window.
    pub(super) window_ms: u64,
    /// The last request for blocks that was answered, and when.
    pub(super) blocks_asked: Option<(Height, u64)>,
    /// When it was last shown the present view.
    pub(super) shown_ms: Option<u64>,
    /// Height at which it sent something that does not verify; no more of that is looked at.
    pub(super) struck: Option<Height>,
}

/// The consensus state of one seat (or observer) of the root. See the module's text for the protocol.
#[derive(Debug)]
pub struct RootCore {
    pub(super) config: RootConfig,
    pub(super) seat: Option<RootSeat>,
    pub(super) crypto: Arc<dyn RootCrypto>,
    pub(super) state: RootState,
    /// What executing the newest final block came to, once that is known.
    pub(super) executed: Option<RootExecution>,
    pub(super) offers: Offers,
    pub(super) record: RootRecord,
    pub(super) round: Round,
    /// The own shard's decided blocks that are not final.
    pub(super) own: BTreeMap<Height, ShardReference>,
    /// Some of these did not fit.
    pub(super) own_missing: bool,
    pub(super) pool: Pool,
    /// Shards that evidence was given of.
    pub(super) captured: BTreeSet<DomainId>,
    /// A proposal for the height above the present one, which is about to be decided.
    pub(super) early: Option<(RootSeat, Box<RootProposal>)>,
    /// Decided blocks that were fetched, with who sent them.
    pub(super) fetched: BTreeMap<Height, (RootSeat, CertifiedRootBlock)>,
    pub(super) peers: BTreeMap<RootSeat, Peer>,
    pub(super) started: bool,
    pub(super) now_ms: u64,
    pub(super) progress_ms: u64,
    pub(super) wake_ms: Option<u64>,
    /// When to repeat what may have been lost.
    pub(super) retry_ms: u64,
    pub(super) retry_backoff: u32,
    /// Seats asked in turn.
    pub(super) retry_peer: usize,
    pub(super) seen: Height,
    /// Before this, no further block request.
    pub(super) sync_after_ms: u64,
    /// Height at which the present batch of blocks ends.
    pub(super) sync_until: Height,
    pub(super) views_changed: u64,
    pub(super) decisions: u64,
    pub(super) synced: u64,
    pub(super) evidence: u64,
}

impl RootCore {
    /// Starts on top of the final root blocks and the node's own log.
    ///
    /// # Errors
    /// [`ConsensusError::Config`].
    pub fn new(
        config: RootConfig,
        seat: Option<RootSeat>,
        crypto: Arc<dyn RootCrypto>,
        state: RootState,
        replay: Vec<RootLogRecord>,
    ) -> Result<Self, ConsensusError> {
        if let Some(seat) = seat.filter(|seat| config.stake(*seat).is_none()) {
            return Err(ConsensusError::Config(format!("seat {seat} does not exist in this network")));
        }
        let height = state.head().height;
        // Genesis says itself what it comes to.
        let executed = (height == Height::ZERO).then(|| state.head().execution.clone());
        let mut core = Self {
            record: RootRecord::replay(height, replay),
            config,
            seat,
            crypto,
            state,
            executed,
            offers: Offers::default(),
            round: Round::default(),
            own: BTreeMap::new(),
            own_missing: false,
            pool: Pool::default(),
            captured: BTreeSet::new(),
            early: None,
            fetched: BTreeMap::new(),
            peers: BTreeMap::new(),
            started: false,
            now_ms: 0,
            progress_ms: 0,
            wake_ms: None,
            retry_ms: 0,
            retry_backoff: 0,
            retry_peer: 0,
            seen: height,
            sync_after_ms: 0,
            sync_until: height,
            views_changed: 0,
            decisions: 0,
            synced: 0,
            evidence: 0,
        };
        core.restore();
        Ok(core)
    }

    /// Puts what the log holds of the present height back in place: the view, the lock, own proposals and votes. After a
    /// crash the log may be ahead of the final blocks by several heights.
    fn restore(&mut self) {
        let height = self.height();
        self.round.view = self.record.highest_view(height);
        self.round.prepared = self.record.prepared(height).cloned();
        if let Some(own) = self.record.timeout(height).cloned() {
            self.round.timeouts.insert(own);
        }
        let view = self.round.view;
        let opening = self.record.opening(height).filter(|opening| opening.view.next() == view);
        self.round.opening = opening.cloned();
        if let Some(proposal) = self.record.proposal(height, view).cloned() {
            let hash = proposal.block.header.hash();
            if self.recall(hash) {
                self.round.opening = self.round.opening.take().or_else(|| proposal.timeouts.clone());
                self.round.heard = Some(proposal);
                self.round.accepted = Some(hash);
            }
        }
        for kind in [CertificateKind::Prepare, CertificateKind::Commit] {
            if let (Some(seat), Some(own)) = (self.seat, self.record.vote(height, view, kind)) {
                self.round.tallies.trust(seat, own.clone());
            }
        }
    }

    /// Takes one input; effects are appended in the order in which they must be executed.
    ///
    /// # Errors
    /// Local faults only; see [`ConsensusError`]. Effects appended before the error stand.
    pub fn step(
        &mut self,
        now_ms: u64,
        input: RootInput,
        effects: &mut Vec<RootEffect>,
    ) -> Result<(), ConsensusError> {
        self.now_ms = self.now_ms.max(now_ms);
        self.take(input, effects)?;
        if !self.started {
            return Ok(());
        }
        while self.settle(effects)? {}
        self.on_retry(effects);
        self.schedule(effects);
        Ok(())
    }

    fn take(&mut self, input: RootInput, effects: &mut Vec<RootEffect>) -> Result<(), ConsensusError> {
        match input {
            RootInput::Start => {
                self.started = true;
                self.progress_ms = self.now_ms;
                self.round.since_ms = self.now_ms.max(self.due_ms());
                self.retry_ms = self.now_ms;
                self.want_own(effects);
                self.want_inbound(effects);
            }
            // A timer may fire early: whatever it was set for is announced again.
            RootInput::Tick => self.wake_ms = None,
            RootInput::Message { from, message } => self.on_message(from, message, effects)?,
            RootInput::Certified(reference) => self.on_certified(reference),
            RootInput::Executed { height, execution } => self.on_executed(height, *execution),
            RootInput::Inbound { source, height, batch } => self.on_inbound(source, height, batch),
        }
        Ok(())
    }

    fn on_message(
        &mut self,
        from: RootSeat,
        message: RootMessage,
        effects: &mut Vec<RootEffect>,
    ) -> Result<(), ConsensusError> {
        if self.config.stake(from).is_none() {
            Self::penalise(from, RootOffence::Role, effects);
            return Ok(());
        }
        if self.seat == Some(from) || !self.started {
            return Ok(());
        }
        match message {
            RootMessage::Report(references) => self.on_report(from, &references, effects),
            RootMessage::Proposal(proposal) => self.on_proposal(from, *proposal, effects),
            RootMessage::Tally(tally) => self.on_tally(from, tally, effects),
            RootMessage::Certificate(certificate) => self.on_certificate(from, certificate, effects)?,
            RootMessage::Timeout(signed) => self.on_timeout(from, *signed, effects),
            RootMessage::BlockRequest { from: height } => self.on_block_request(from, height, effects),
            RootMessage::Block(block) => self.on_block(from, *block, effects)?,
            RootMessage::Opening(opening) => self.on_opening(from, *opening, effects),
            RootMessage::BodyRequest { height, block } => {
                self.on_body_request(from, height, block, effects);
            }
            RootMessage::Body(block) => self.on_body(from, &block, effects),
        }
        Ok(())
    }

    /// One pass over all that may have become due; true when another pass may find more.
    fn settle(&mut self, effects: &mut Vec<RootEffect>) -> Result<bool, ConsensusError> {
        if self.finish(effects)? || self.open_next() || self.leave(effects)? {
            return Ok(true);
        }
        self.propose(effects)?;
        self.weigh_execution(effects);
        self.prepare(effects)?;
        self.commit(effects)?;
        self.gather(effects)?;
        if self.lead(effects)? {
            return Ok(true);
        }
        self.report(effects);
        self.fetch_body(effects);
        Ok(false)
    }

    /// The height that is being decided.
    pub(super) fn height(&self) -> Height {
        self.state.head().height.next()
    }

    /// When the next block may be proposed. spec: Root F3
    pub(super) fn due_ms(&self) -> u64 {
        self.state.head().timestamp_ms.saturating_add(self.config.root_block_ms)
    }

    /// Who leads the present view.
    pub(super) fn leader(&self) -> RootSeat {
        self.config.leader(self.height(), self.round.view)
    }

    /// The own seat, if it leads the present view and has not left it.
    pub(super) fn leads(&self) -> Option<RootSeat> {
        self.seat.filter(|seat| *seat == self.leader() && !self.has_left())
    }

    /// Whether this seat has left the present view.
    pub(super) fn has_left(&self) -> bool {
        self.record.left(self.height()).is_some_and(|left| left >= self.round.view)
    }

    /// What votes in the present view bind.
    pub(super) fn target(&self, block: RootHash) -> VoteTarget {
        self.config.target(self.height(), self.round.view, block)
    }

    /// Whether a target is of this network and epoch, and of the root.
    pub(super) fn is_ours(&self, target: &VoteTarget) -> bool {
        *target == self.config.target(target.height, target.view, target.block)
    }

    /// Whether a certificate holds: enough stake, and its signature. spec: Root F5
    pub(super) fn holds(&self, certificate: &RootCertificate) -> bool {
        self.is_ours(&certificate.target)
            && self.has_quorum(&certificate.signers)
            && self.crypto.verify_certificate(certificate)
    }

    fn has_quorum(&self, signers: &[SeatGroup]) -> bool {
        self.config.stake_of_groups(signers).is_some_and(|stake| self.config.is_quorum(stake))
    }

    /// Moves to a view of the present height.
    pub(super) fn enter(&mut self, view: View, opening: Option<TimeoutCertificate>) {
        let round = &mut self.round;
        round.view = view;
        round.since_ms = self.now_ms;
        round.opening = opening;
        round.heard = None;
        round.accepted = None;
        round.tallies = TallyBook::default();
        round.reported = Height::ZERO;
        let named = round.prepared.iter().chain(&round.decided).map(|one| one.target.block);
        let named: BTreeSet<RootHash> = named.collect();
        round.bodies.retain(|hash, _| named.contains(hash));
        self.views_changed += 1;
        self.restart_retry();
    }

    /// Begins the height above the new final block.
    pub(super) fn begin(&mut self) {
        self.round = Round { since_ms: self.now_ms.max(self.due_ms()), ..Round::default() };
        self.restore();
        self.progress_ms = self.now_ms;
        self.restart_retry();
    }

    pub(super) fn penalise(seat: RootSeat, offence: RootOffence, effects: &mut Vec<RootEffect>) {
        effects.push(RootEffect::Penalise { seat, offence });
    }

    pub(super) fn peer(&mut self, seat: RootSeat) -> &mut Peer {
        self.peers.entry(seat).or_default()
    }

    /// Penalises what does not verify, and looks at no more of it from this seat at this height.
    pub(super) fn strike(&mut self, seat: RootSeat, offence: RootOffence, effects: &mut Vec<RootEffect>) {
        self.peer(seat).struck = Some(self.height());
        Self::penalise(seat, offence, effects);
    }

    pub(super) fn is_struck(&self, seat: RootSeat) -> bool {
        self.peers.get(&seat).is_some_and(|peer| peer.struck == Some(self.height()))
    }

    /// Gives evidence against a seat, once.
    pub(super) fn accuse(
        &mut self,
        (view, offender, kind): (View, RootSeat, &'static str),
        evidence: RootEvidence,
        effects: &mut Vec<RootEffect>,
    ) {
        if self.round.accused.insert((view, offender, kind)) {
            self.evidence += 1;
            effects.push(RootEffect::Evidence(evidence));
        }
    }

    /// Logs why the present view is open, before anything is signed in it.
    pub(super) fn log_opening(&mut self, effects: &mut Vec<RootEffect>) {
        if let Some(opening) = self.round.opening.clone()
            && self.record.opened(self.height()) < self.round.view
        {
            self.persist(RootLogRecord::Opening(Box::new(opening)), effects);
        }
    }

    /// Writes to the log, and remembers.
    pub(super) fn persist(&mut self, entry: RootLogRecord, effects: &mut Vec<RootEffect>) {
        self.record.add(entry.clone());
        effects.push(RootEffect::Persist(entry));
    }

    /// Records that must survive in the log: those above the final height. Once the final blocks up to
    /// [`Self::state`] are on disk, the log may be rewritten to these; while some are not, only records whose
    /// [`scope`](RootLogRecord::scope) is on disk may be left out.
    #[must_use]
    pub fn live_records(&self) -> Vec<RootLogRecord> {
        self.record.live()
    }

    /// What the final root blocks amount to.
    #[must_use]
    pub fn state(&self) -> &RootState {
        &self.state
    }

    /// What the seats agree on.
    #[must_use]
    pub fn config(&self) -> &RootConfig {
        &self.config
    }

    /// Where the root stands.
    #[must_use]
    pub fn status(&self) -> RootStatus {
        let long = self.config.root_timeout_ms.saturating_mul(STALL_FACTOR);
        let stalled = self.started && self.now_ms >= self.progress_ms.saturating_add(long);
        RootStatus {
            seat: self.seat,
            height: self.state.head().height,
            hash: self.state.head().hash(),
            view: self.round.view,
            executed: self.executed.is_some(),
            left: self.has_left(),
            leader: self.leader(),
            seen: self.seen,
            waiting: self.own.len(),
            views_changed: self.views_changed,
            decided: self.decisions,
            synced: self.synced,
            evidence: self.evidence,
            stalled_since_ms: stalled.then_some(self.progress_ms),
        }
    }
}
