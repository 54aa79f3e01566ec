//! The state of one seat, and the step.

use std::collections::BTreeMap;
use std::sync::Arc;

use anfs_primitives::{
    Block, BlockHash, Certificate, ConsensusMessage, Fault, Height, Proposal, SealedHeader, SeatIndex,
    SignerSet, Slot, View, VoteTarget,
};

use super::hold::Hold;
use super::stream::Stream;
use super::types::{Anchor, Depth, Effect, Input, Offence, ShardConfig, ShardStatus, Stall};
use super::view::ViewState;
use crate::bft::{LogRecord, Quorum, SigningRecord, VoteBook};
use crate::crypto::VoteCrypto;
use crate::error::ConsensusError;

/// Decided blocks that a node sends at most for one [`Effect::ServeBlocks`].
pub const SERVE_BLOCKS_MAX: usize = 16;
/// Decided blocks kept to answer requests and to help those who lag.
pub(super) const RECENT_MAX: usize = 8;

/// What is known of one height above the tip.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// The first proposal whose signature and form were right.
    pub(super) proposal: Option<Proposal>,
    /// It extends the chain below.
    pub(super) linked: bool,
    /// Its block, once the body is whole and matches.
    pub(super) block: Option<Arc<Block>>,
    /// An alert came, or Δ_fast has passed (R3).
    pub(super) alarmed: bool,
    /// Every slice is checked at this height: it, or an undecided ancestor, is alarmed, or the tip was
    /// not decided fast (R3). Follows from the chain below, and can turn false again.
    pub(super) full: bool,
    /// When to stop waiting for the fast path.
    pub(super) fast_deadline_ms: Option<u64>,
    /// Deepest check asked of the worker.
    pub(super) asked: Option<Depth>,
    /// Deepest check that found no fault.
    pub(super) passed: Option<Depth>,
    /// What a check found.
    pub(super) fault: Option<Fault>,
    /// A quorum found a block of this height valid in full: the certificate of the highest view.
    pub(super) prepare: Option<Certificate>,
    /// It, or another block at this height, is decided.
    pub(super) decision: Option<Certificate>,
    /// The decided block, fetched whole.
    pub(super) fetched: Option<Arc<Block>>,
    /// When to ask for missing entries.
    pub(super) body_retry_ms: Option<u64>,
    /// How often that was done.
    pub(super) body_tries: u32,
    /// The proposer's equivocation was reported.
    pub(super) accused: bool,
}

impl Round {
    pub(super) fn header(&self) -> Option<&SealedHeader> {
        self.proposal.as_ref().map(|proposal| &proposal.header)
    }

    /// The same block, in a new view: what was found of it stays true, what was waited for starts anew.
    pub(super) fn renew(&mut self) {
        self.linked = false;
        self.alarmed = false;
        self.full = false;
        self.fast_deadline_ms = None;
        self.accused = false;
    }
}

/// A decided block that is still at hand.
#[derive(Debug)]
pub(super) struct Recent {
    pub(super) block: Arc<Block>,
    pub(super) certificate: Certificate,
    pub(super) decided_ms: u64,
    /// Verifiers whose false alert about it has been reported.
    pub(super) accused: SignerSet,
}

/// What is remembered of another seat.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Peer {
    /// Requests within the present window.
    pub(super) requests: u32,
    /// Start of that window.
    pub(super) window_ms: u64,
    /// Bytes of bodies sent to it within that window.
    pub(super) served: usize,
    /// The last request for blocks that was answered, and when.
    pub(super) blocks_asked: Option<(Height, u64)>,
    /// When it was last helped to catch up.
    pub(super) helped_ms: Option<u64>,
    /// When it was last shown the present view.
    pub(super) shown_ms: Option<u64>,
    /// Height at which it sent a bad certificate; further ones for this height are not looked at.
    pub(super) struck: Option<Height>,
}

/// Whether an input only adds to what is kept, unless its handler says otherwise by setting `dirty`.
fn is_quiet(input: &Input) -> bool {
    use ConsensusMessage::{Certificate, Fragment, Vote};
    matches!(input, Input::Message { message: Vote(_) | Certificate(_) | Fragment(_), .. })
}

/// The consensus state of one seat (or observer) of one shard. See the module's text for the protocol.
#[derive(Debug)]
pub struct ShardCore {
    pub(super) config: ShardConfig,
    pub(super) quorum: Quorum,
    pub(super) seat: Option<SeatIndex>,
    pub(super) crypto: Arc<dyn VoteCrypto>,
    pub(super) tip: Anchor,
    pub(super) view: ViewState,
    /// The view whose leader's second opening has been reported.
    pub(super) accused_opening: Option<View>,
    pub(super) record: SigningRecord,
    pub(super) book: VoteBook,
    pub(super) rounds: BTreeMap<Height, Round>,
    pub(super) streams: BTreeMap<Height, Stream>,
    pub(super) recent: BTreeMap<Height, Recent>,
    /// Reported false alerts about the block that is just being decided.
    pub(super) alarmists: SignerSet,
    pub(super) peers: Vec<Peer>,
    pub(super) started: bool,
    /// The present input has changed what the passes over the open heights look at.
    pub(super) dirty: bool,
    pub(super) started_ms: u64,
    /// Why this seat signs nothing, if so.
    pub(super) hold: Option<Hold>,
    pub(super) now_ms: u64,
    /// Asked of the builder and not yet answered.
    pub(super) building: Option<(Height, Slot, BlockHash)>,
    /// When the next slot may start.
    pub(super) slot_wait_ms: Option<u64>,
    /// When to repeat what may have been lost.
    pub(super) retry_ms: u64,
    pub(super) retry_backoff: u32,
    pub(super) retry_peer: u16,
    /// Before this, no further block request.
    pub(super) sync_after_ms: u64,
    /// Tip at which the present batch of blocks ends.
    pub(super) sync_until: Height,
    pub(super) progress_ms: u64,
    pub(super) wake_ms: Option<u64>,
    pub(super) seen: Height,
    pub(super) fast: u64,
    pub(super) slow: u64,
    pub(super) synced: u64,
    pub(super) evidence: u64,
    pub(super) last_fault: Option<(Height, Fault)>,
    pub(super) stalled: Option<Stall>,
}

impl ShardCore {
    /// Starts from a decided tip and the node's own log.
    ///
    /// # Errors
    /// [`ConsensusError::Config`].
    pub fn new(
        config: ShardConfig,
        seat: Option<SeatIndex>,
        crypto: Arc<dyn VoteCrypto>,
        tip: Anchor,
        replay: Vec<LogRecord>,
    ) -> Result<Self, ConsensusError> {
        config.validate()?;
        let quorum = Quorum::new(usize::from(config.verifiers))?;
        if let Some(seat) = seat.filter(|seat| seat.0 > config.verifiers) {
            return Err(ConsensusError::Config(format!(
                "seat {seat} does not exist: the shard has seats 0 to {}",
                config.verifiers
            )));
        }
        let peers = vec![Peer::default(); usize::from(config.verifiers) + 1];
        let height = tip.parent.height;
        let mut core = Self {
            book: VoteBook::new(quorum),
            record: SigningRecord::replay(height, replay),
            view: ViewState::new(quorum.voters()),
            accused_opening: None,
            config,
            quorum,
            seat,
            crypto,
            tip,
            rounds: BTreeMap::new(),
            streams: BTreeMap::new(),
            recent: BTreeMap::new(),
            alarmists: SignerSet::EMPTY,
            peers,
            started: false,
            dirty: false,
            started_ms: 0,
            hold: None,
            now_ms: 0,
            building: None,
            slot_wait_ms: None,
            retry_ms: 0,
            retry_backoff: 0,
            retry_peer: 0,
            sync_after_ms: 0,
            sync_until: height,
            progress_ms: 0,
            wake_ms: None,
            seen: height,
            fast: 0,
            slow: 0,
            synced: 0,
            evidence: 0,
            last_fault: None,
            stalled: None,
        };
        core.restore();
        core.mind_record();
        Ok(core)
    }

    /// Puts what the log holds back in place: the view, own votes, own proposals, approved blocks.
    fn restore(&mut self) {
        let promised = self.record.promised();
        let opened = self.record.opening().map_or(View::ZERO, |opening| opening.view);
        let view = promised.max(opened).max(self.tip.view()).max(self.record.highest_view());
        if view > View::ZERO {
            self.follow(view);
            self.view.changed = 0;
            self.recall_promise();
        }
        let votes: Vec<_> = self.record.all_votes().cloned().collect();
        for vote in &votes {
            self.book.admit(&*self.crypto, vote, true);
        }
        if self.view.open {
            self.recall_blocks();
        }
    }

    /// Puts the blocks of the log that were proposed in the present view in their places.
    pub(super) fn recall_blocks(&mut self) {
        let blocks: Vec<_> = self.record.blocks().collect();
        for (proposal, block) in blocks {
            let height = proposal.header.height;
            if self.view.admits(height, proposal.header.view, &proposal.header.hash()) {
                self.seen = self.seen.max(height);
                let round = self.rounds.entry(height).or_default();
                if round.proposal.is_none() {
                    round.proposal = Some(proposal);
                    round.block = Some(block);
                }
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
        input: Input,
        effects: &mut Vec<Effect>,
    ) -> Result<(), ConsensusError> {
        self.now_ms = self.now_ms.max(now_ms);
        // Most messages are one vote of many or one fragment of many: they are kept, and that is all.
        let (quiet, done) = (is_quiet(&input), effects.len());
        self.dirty = !quiet;
        self.take(input, effects)?;
        if !self.started {
            return Ok(());
        }
        let due = self.wake_ms.is_none_or(|at| at <= self.now_ms) || self.lags();
        if self.dirty || due || (quiet && effects.len() > done) {
            self.mind_watch(effects);
            self.on_time(effects)?;
            while self.settle(effects)? {}
            self.flush_entries(effects);
            self.start_slot(effects);
            self.schedule(effects);
        } else {
            self.flush_entries(effects);
        }
        Ok(())
    }

    fn take(&mut self, input: Input, effects: &mut Vec<Effect>) -> Result<(), ConsensusError> {
        match input {
            Input::Start => {
                self.started = true;
                self.started_ms = self.now_ms;
                self.progress_ms = self.now_ms;
                self.retry_ms = self.now_ms;
                self.reopen(effects)?;
            }
            // A timer may fire early: whatever it was set for is announced again.
            Input::Tick => self.wake_ms = None,
            Input::Release => self.release(effects),
            Input::Message { from, message } => self.on_message(from, message, effects)?,
            Input::Built(block) => self.on_built(*block, effects)?,
            Input::Checked { block, depth, result } => self.on_checked(block, depth, result),
        }
        Ok(())
    }

    fn on_message(
        &mut self,
        from: SeatIndex,
        message: ConsensusMessage,
        effects: &mut Vec<Effect>,
    ) -> Result<(), ConsensusError> {
        if from.0 > self.config.verifiers {
            return Self::refuse(from, Offence::Role, effects);
        }
        if self.seat == Some(from) {
            return Ok(());
        }
        match message {
            ConsensusMessage::Fragment(fragment) => self.on_fragment(from, fragment, effects),
            ConsensusMessage::Proposal(proposal) => self.on_proposal(from, proposal, effects)?,
            ConsensusMessage::Vote(vote) => self.on_vote(from, &vote, effects)?,
            ConsensusMessage::Certificate(certificate) => {
                self.on_certificate(from, certificate, effects)?;
            }
            ConsensusMessage::FragmentRequest { block, first_entry } => {
                self.on_fragment_request(from, block, first_entry, effects);
            }
            ConsensusMessage::BlockRequest { from: height } => {
                self.on_block_request(from, height, effects);
            }
            ConsensusMessage::Block(block) => self.on_block(from, *block, effects)?,
            ConsensusMessage::ViewTimeout(wish) => self.on_view_timeout(from, wish, effects)?,
            ConsensusMessage::ViewChange(signed) => self.on_view_change(from, *signed, effects)?,
            ConsensusMessage::NewView(opening) => self.on_new_view(from, *opening, effects)?,
            ConsensusMessage::ProposalRequest { block } => self.on_proposal_request(from, block, effects),
            ConsensusMessage::NewViewRequest { view } => self.on_new_view_request(from, view, effects),
        }
        Ok(())
    }

    /// One pass over the open heights, upwards; true when something was decided and another pass is due.
    fn settle(&mut self, effects: &mut Vec<Effect>) -> Result<bool, ConsensusError> {
        if self.try_decide(effects)? {
            return Ok(true);
        }
        self.extend_chain(effects);
        self.cast_votes(effects)?;
        self.try_decide(effects)
    }

    /// Heights that messages may speak of: above the tip, and near enough to be worked on.
    pub(super) fn in_window(&self, height: Height) -> bool {
        height > self.tip.parent.height && height.0 - self.tip.parent.height.0 <= self.window()
    }

    /// What may be voted for must fit, and a batch of fetched blocks.
    pub(super) fn window(&self) -> u64 {
        self.config.reach().max(SERVE_BLOCKS_MAX) as u64
    }

    pub(super) fn target(&self, height: Height, block: BlockHash) -> VoteTarget {
        VoteTarget {
            network: self.config.network,
            epoch: self.config.epoch,
            domain: self.config.domain,
            height,
            view: self.view.current,
            block,
        }
    }

    /// Whether a target is of this network, domain and epoch.
    pub(super) fn is_ours(&self, target: &VoteTarget) -> bool {
        (target.network, target.domain, target.epoch)
            == (self.config.network, self.config.domain, self.config.epoch)
    }

    pub(super) fn verifier(&self) -> Option<usize> {
        self.signer().and_then(SeatIndex::verifier_index)
    }

    /// The own seat, unless it must not sign.
    pub(super) fn signer(&self) -> Option<SeatIndex> {
        self.seat.filter(|_| self.hold.is_none())
    }

    pub(super) fn penalise(seat: SeatIndex, offence: Offence, effects: &mut Vec<Effect>) {
        effects.push(Effect::Penalise { seat, offence });
    }

    /// Penalises and carries on: a peer's fault is no error of this node.
    pub(super) fn refuse(
        seat: SeatIndex,
        offence: Offence,
        effects: &mut Vec<Effect>,
    ) -> Result<(), ConsensusError> {
        Self::penalise(seat, offence, effects);
        Ok(())
    }

    /// Records that must survive in the log: those of heights not yet decided. Once the decided blocks are
    /// on disk, the log may be rewritten to these.
    #[must_use]
    pub fn live_records(&self) -> Vec<LogRecord> {
        self.record.live()
    }

    /// The decided tip.
    #[must_use]
    pub fn tip(&self) -> &Anchor {
        &self.tip
    }

    /// Votes, blocks in the making and rounds (with blocks of the log) held: for the bounds that tests put on
    /// memory.
    #[must_use]
    pub fn load(&self) -> (usize, usize, usize) {
        (self.book.len(), self.streams.len(), self.rounds.len() + self.record.blocks().count())
    }

    /// Where the shard stands.
    #[must_use]
    pub fn status(&self) -> ShardStatus {
        let tip = self.tip.parent;
        let next = self.rounds.get(&tip.height.next());
        let proposed = self.rounds.iter().rev().find(|(_, round)| round.proposal.is_some());
        ShardStatus {
            seat: self.seat,
            acting: self.leader(),
            view: self.view.current,
            view_open: self.view.open,
            views_changed: self.view.changed,
            convictions: self.view.convicted,
            certified: tip.height,
            certified_hash: tip.hash,
            proposed: proposed.map_or(tip.height, |(&height, _)| height),
            seen: self.seen,
            fast: self.fast,
            slow: self.slow,
            synced: self.synced,
            fast_path: next.map_or_else(|| self.tip.fast(), |round| !round.full),
            last_fault: self.last_fault,
            stalled: self.stalled,
            hold: self.hold,
            evidence: self.evidence,
        }
    }
}
