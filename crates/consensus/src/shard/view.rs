//! Views: when a leader is given up, and how the next one takes over.
//!
//! spec: PROTOCOL §4 R5, R6

mod evidence;
mod opening;

use std::collections::BTreeMap;

use anfs_primitives::view::REPORTS_MAX;
use anfs_primitives::{
    BlockHash, BoundedVec, Certificate, ConsensusMessage, Height, HeightReport, NewView, Proposal, SeatIndex,
    SignedViewChange, SignerSet, View, ViewChange, ViewTimeout,
};

use super::core::{Round, ShardCore};
use super::types::{Effect, Offence};
use crate::bft::{LogRecord, Missing, ViewRules};
use crate::error::ConsensusError;

/// Doublings of Δ_view.
const BACKOFF_MAX: u32 = 10;

/// Where a seat stands between two leaders.
#[derive(Debug, Default)]
pub(super) struct ViewState {
    /// The view that this seat is in: it votes in no other.
    pub(super) current: View,
    /// Its leader has shown what must be proposed again; view 0 needs no showing.
    pub(super) open: bool,
    /// What opened it.
    pub(super) opening: Option<NewView>,
    /// The highest block that the opening proves decided.
    pub(super) ground: Height,
    /// What must be proposed again above it.
    pub(super) carried: BTreeMap<Height, BlockHash>,
    /// What leaders have proposed in views that are not open here yet, as they sent it: links may reorder, and a
    /// leader does not say twice what it has said in time.
    early: BTreeMap<(View, Height), Proposal>,
    entered_ms: u64,
    /// Views entered since the last decision.
    failures: u32,
    /// The wish to leave is out.
    wished: bool,
    /// The latest wish of each verifier.
    wishes: Vec<Option<ViewTimeout>>,
    /// The promise for the highest view of each verifier.
    changes: Vec<Option<SignedViewChange>>,
    /// Verifiers whose contradicting promises have been reported.
    accused: Vec<bool>,
    /// Convictions of open heights.
    convictions: BTreeMap<(Height, BlockHash), Certificate>,
    /// Proposals fetched for the opening of the own view.
    found: BTreeMap<BlockHash, Proposal>,
    missing: Option<Missing>,
    /// How often it was asked for.
    asks: u32,
    /// Verifiers that reported a block and did not serve its proposal.
    unserved: SignerSet,
    /// When to ask again for what is missing: a proposal, or the opening of the view.
    pub(super) retry_ms: Option<u64>,
    /// Views entered since start.
    pub(super) changed: u64,
    /// Convictions seen since start.
    pub(super) convicted: u64,
}

impl ViewState {
    pub(super) fn new(verifiers: usize) -> Self {
        Self {
            open: true,
            wishes: vec![None; verifiers],
            changes: vec![None; verifiers],
            accused: vec![false; verifiers],
            ..Self::default()
        }
    }

    /// A decision came: the leader is worth waiting for.
    pub(super) fn progress(&mut self, height: Height) {
        self.wished = false;
        self.failures = 0;
        let next = height.next();
        self.carried = self.carried.split_off(&next);
        self.early.retain(|(_, at), _| *at > height);
        self.convictions = self.convictions.split_off(&(next, BlockHash::ZERO));
    }

    /// Keeps a proposal from the leader of a view that is about to open: the present one, or the next. With the
    /// window of heights that bounds what is kept; of two for one place the first stays.
    pub(super) fn keep_early(&mut self, proposal: Proposal) {
        let (view, height) = (proposal.header.view, proposal.header.height);
        let present = view == self.current && !self.open;
        if present || view == self.current.next() {
            self.early.entry((view, height)).or_insert(proposal);
        }
    }

    /// What came early for the present view, upwards; what is kept for older ones goes.
    fn take_early(&mut self) -> Vec<Proposal> {
        let later = self.early.split_off(&(self.current.next(), Height::ZERO));
        let mut due = std::mem::replace(&mut self.early, later);
        due.split_off(&(self.current, Height::ZERO)).into_values().collect()
    }

    /// Whether this block may stand at this height in the present view: the one carried there, or any of the
    /// leader's own where none is.
    pub(super) fn admits(&self, height: Height, view: View, block: &BlockHash) -> bool {
        match self.carried.get(&height) {
            Some(carried) => carried == block,
            None => self.open && view == self.current && height > self.ground,
        }
    }
}

impl ShardCore {
    pub(super) fn leader(&self) -> SeatIndex {
        self.config.leader(self.view.current)
    }

    pub(super) fn leads(&self) -> bool {
        self.signer() == Some(self.leader())
    }

    pub(super) fn rules(&self) -> ViewRules {
        ViewRules {
            quorum: self.quorum,
            network: self.config.network,
            epoch: self.config.epoch,
            domain: self.config.domain,
            base: self.config.base,
            reach: self.config.reach(),
        }
    }

    /// When this seat gives the leader up: Δ_view after the last decision or the start of the view, twice as
    /// long for each view that failed.
    pub(super) fn view_deadline_ms(&self) -> Option<u64> {
        let waits = self.verifier().is_some() && !self.view.wished;
        let patience = self.config.view_timeout_ms.saturating_mul(1 << self.view.failures.min(BACKOFF_MAX));
        waits.then(|| self.progress_ms.max(self.view.entered_ms).saturating_add(patience))
    }

    /// Everything about views that is due.
    pub(super) fn on_view_time(&mut self, effects: &mut Vec<Effect>) -> Result<(), ConsensusError> {
        if self.view_deadline_ms().is_some_and(|at| at <= self.now_ms) {
            self.wish(effects)?;
        }
        if self.view.retry_ms.is_some_and(|at| at <= self.now_ms) {
            self.view.retry_ms = None;
            if self.leads() {
                self.try_open(effects)?;
            } else if !self.view.open {
                let to = self.next_peer();
                self.ask_view(to, effects);
            }
        }
        Ok(())
    }

    /// Says again what nobody may have heard.
    pub(super) fn repeat_view(&mut self, effects: &mut Vec<Effect>) {
        if self.view.wished {
            let wish = ConsensusMessage::ViewTimeout(self.own_wish());
            effects.push(Effect::Broadcast(wish));
        }
        if self.view.open {
            if let Some(opening) = self.view.opening.clone().filter(|_| self.leads()) {
                effects.push(Effect::Broadcast(ConsensusMessage::NewView(Box::new(opening))));
            }
            return;
        }
        if let Some(own) = self.record.view_change().filter(|own| own.change.view == self.view.current) {
            effects.push(Effect::Broadcast(ConsensusMessage::ViewChange(Box::new(own.clone()))));
        }
        let to = self.next_peer();
        self.ask_view(to, effects);
    }

    fn own_wish(&self) -> ViewTimeout {
        ViewTimeout { epoch: self.config.epoch, view: self.view.current, tip: self.tip.parent.height }
    }

    /// Wants another leader. A wish binds nobody: this seat votes on until a quorum wishes the same, so a
    /// verifier that was cut off for a while is not lost to the view that the others go on in.
    pub(super) fn wish(&mut self, effects: &mut Vec<Effect>) -> Result<(), ConsensusError> {
        let Some(verifier) = self.verifier().filter(|_| !self.view.wished) else { return Ok(()) };
        self.view.wished = true;
        let wish = self.own_wish();
        self.view.wishes[verifier] = Some(wish);
        effects.push(Effect::Broadcast(ConsensusMessage::ViewTimeout(wish)));
        self.weigh_wishes(effects)
    }

    pub(super) fn on_view_timeout(
        &mut self,
        from: SeatIndex,
        wish: ViewTimeout,
        effects: &mut Vec<Effect>,
    ) -> Result<(), ConsensusError> {
        let Some(verifier) = from.verifier_index().filter(|_| wish.epoch == self.config.epoch) else {
            return Self::refuse(from, Offence::Role, effects);
        };
        if wish.view < self.view.current {
            self.help_view(from, effects);
            return Ok(());
        }
        let held = &mut self.view.wishes[verifier];
        if held.is_none_or(|held| (held.view, held.tip) < (wish.view, wish.tip)) {
            *held = Some(wish);
        }
        self.weigh_wishes(effects)
    }

    /// f + 1 wishes hold an honest one, and are joined; with a quorum of them the view is left.
    fn weigh_wishes(&mut self, effects: &mut Vec<Effect>) -> Result<(), ConsensusError> {
        if self.verifier().is_none() {
            return Ok(());
        }
        let (view, tip) = (self.view.current, self.tip.parent.height);
        let weight = self.view.wishes.iter().flatten().filter(|w| w.view >= view && w.tip >= tip).count();
        if weight > self.quorum.faults() && !self.view.wished {
            return self.wish(effects);
        }
        if weight >= self.quorum.decide() && self.view.wished {
            return self.enter(view.next(), effects);
        }
        Ok(())
    }

    /// Leaves the present view for a higher one: from here on this seat votes in no lower one, and a
    /// verifier says so.
    pub(super) fn enter(&mut self, view: View, effects: &mut Vec<Effect>) -> Result<(), ConsensusError> {
        self.move_to(view);
        if let Some(seat) = self.signer().filter(|seat| seat.verifier_index().is_some())
            && self.record.promised() < view
        {
            let signed = self.crypto.sign_view_change(seat, self.view_change(view))?;
            let entry = LogRecord::ViewChange(Box::new(signed.clone()));
            self.record.add(entry.clone());
            effects.push(Effect::Persist(entry));
            effects.push(Effect::Broadcast(ConsensusMessage::ViewChange(Box::new(signed))));
        }
        self.recall_promise();
        self.join(effects)?;
        self.try_open(effects)
    }

    /// The own promise counts like any other's.
    pub(super) fn recall_promise(&mut self) {
        if let (Some(verifier), Some(own)) = (self.verifier(), self.record.view_change()) {
            self.view.changes[verifier] = Some(own.clone());
        }
    }

    fn move_to(&mut self, view: View) {
        debug_assert!(view > self.view.current, "views only rise");
        let state = &mut self.view;
        state.current = view;
        state.open = false;
        state.opening = None;
        state.carried.clear();
        state.early.retain(|(of, _), _| *of >= view);
        state.entered_ms = self.now_ms;
        state.failures = state.failures.saturating_add(1);
        state.wished = false;
        state.found.clear();
        state.missing = None;
        state.asks = 0;
        state.unserved = SignerSet::EMPTY;
        state.retry_ms = Some(self.now_ms.saturating_add(self.config.fast_timeout_ms));
        state.changed += 1;
        self.building = None;
        self.slot_wait_ms = None;
        self.book.retire(view);
    }

    /// A decision, or the opening of a view, shows that the others are in this view: goes there without a
    /// promise of its own.
    pub(super) fn follow(&mut self, view: View) {
        if view > self.view.current {
            self.move_to(view);
            self.view.retry_ms = Some(self.now_ms);
        }
    }

    /// After a restart: a view that this seat itself had opened is open again.
    pub(super) fn reopen(&mut self, effects: &mut Vec<Effect>) -> Result<(), ConsensusError> {
        if !self.view.open {
            self.view.entered_ms = self.now_ms;
            self.view.retry_ms = Some(self.now_ms);
            self.try_open(effects)?;
        }
        Ok(())
    }

    fn view_change(&self, view: View) -> ViewChange {
        let tip = self.tip.parent.height;
        let last = Height(tip.0.saturating_add(REPORTS_MAX as u64));
        let report = |height: Height| {
            let round = self.rounds.get(&height).and_then(|round| round.prepare.as_ref());
            // What is reported must be served: a certificate of a block that is not held stays with others.
            let held =
                round.filter(|cert| cert.target.view < view && self.find_block(&cert.target.block).is_some());
            let logged = self.record.prepared(height).filter(|cert| cert.target.view < view);
            let prepared = held.into_iter().chain(logged).max_by_key(|cert| cert.target.view).cloned();
            let approved = self.record.approved(height);
            (prepared.is_some() || approved.is_some()).then_some(HeightReport { height, prepared, approved })
        };
        let reports: Vec<_> = (tip.next().0..=last.0).map(Height).filter_map(report).collect();
        let decided = self.tip.decided.iter().filter(|cert| cert.target.epoch == self.config.epoch);
        let decided: Vec<Certificate> = decided.cloned().collect();
        ViewChange {
            network: self.config.network,
            epoch: self.config.epoch,
            domain: self.config.domain,
            view,
            decided: BoundedVec::try_from(decided).expect("no more than a verifier's reach"),
            reports: BoundedVec::try_from(reports).expect("one report a height, REPORTS_MAX heights"),
        }
    }

    pub(super) fn on_view_change(
        &mut self,
        from: SeatIndex,
        signed: SignedViewChange,
        effects: &mut Vec<Effect>,
    ) -> Result<(), ConsensusError> {
        let Some(verifier) = from.verifier_index().filter(|_| signed.signer == from) else {
            return Self::refuse(from, Offence::Role, effects);
        };
        let view = signed.change.view;
        if view < self.view.current || (view == self.view.current && self.view.open) {
            self.help_view(from, effects);
        }
        let held = self.view.changes[verifier].as_ref().map(|held| held.change.view);
        if held > Some(view) || self.view.changes[verifier].as_ref() == Some(&signed) {
            return Ok(());
        }
        if let Err(fault) = self.rules().check_form(&signed.change) {
            return Self::refuse(from, Offence::View(fault), effects);
        }
        if !self.allow(from, effects) {
            return Ok(());
        }
        if !self.crypto.verify_view_change(&signed) {
            return Self::refuse(from, Offence::Signature, effects);
        }
        if held == Some(view) {
            self.accuse_changer(verifier, signed, effects);
            return Ok(());
        }
        self.view.changes[verifier] = Some(signed);
        self.join(effects)?;
        self.try_open(effects)
    }

    /// f + 1 verifiers have left for this view or higher ones, so an honest one has: goes along.
    fn join(&mut self, effects: &mut Vec<Effect>) -> Result<(), ConsensusError> {
        let mut views: Vec<View> =
            self.view.changes.iter().flatten().map(|signed| signed.change.view).collect();
        views.sort_unstable_by(|a, b| b.cmp(a));
        match views.get(self.quorum.faults()) {
            Some(&view) if view > self.view.current => self.enter(view, effects),
            _ => Ok(()),
        }
    }

    /// Shows the present view to a seat that is in a lower one.
    pub(super) fn help_view(&mut self, to: SeatIndex, effects: &mut Vec<Effect>) {
        let (now, patience) = (self.now_ms, self.config.fast_timeout_ms / 2);
        let Some(opening) = &self.view.opening else { return };
        let peer = &mut self.peers[usize::from(to.0)];
        if peer.shown_ms.is_some_and(|at| now.saturating_sub(at) < patience) {
            return;
        }
        peer.shown_ms = Some(now);
        let message = ConsensusMessage::NewView(Box::new(opening.clone()));
        effects.push(Effect::Send { to, message });
    }

    pub(super) fn ask_view(&mut self, to: SeatIndex, effects: &mut Vec<Effect>) {
        if self.view.retry_ms.is_some_and(|at| at > self.now_ms) {
            return;
        }
        self.view.retry_ms = Some(self.now_ms.saturating_add(self.config.fast_timeout_ms));
        let message = ConsensusMessage::NewViewRequest { view: self.view.current };
        effects.push(Effect::Send { to, message });
    }

    /// Answers with the opening of the present view when it is as high as the asked one.
    pub(super) fn on_new_view_request(&mut self, from: SeatIndex, view: View, effects: &mut Vec<Effect>) {
        if self.allow(from, effects) && self.view.current >= view {
            self.help_view(from, effects);
        }
    }

    pub(super) fn on_proposal_request(
        &mut self,
        from: SeatIndex,
        block: BlockHash,
        effects: &mut Vec<Effect>,
    ) {
        if let Some(proposal) = self.find_proposal(&block).filter(|_| self.allow(from, effects)) {
            effects.push(Effect::Send { to: from, message: ConsensusMessage::Proposal(proposal) });
        }
    }
}
