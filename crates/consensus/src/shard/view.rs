//! Views: when a leader is given up, and how the next one takes over.
//!
//! spec: PROTOCOL §4 R5, R6

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anfs_primitives::view::REPORTS_MAX;
use anfs_primitives::{
    Block, BlockHash, BlsSignature, BoundedVec, Certificate, ConsensusMessage, Height, HeightReport, NewView,
    Proposal, SeatIndex, SignedViewChange, SignerSet, View, ViewChange, ViewTimeout, VoteKind,
};

use super::core::{Round, ShardCore};
use super::types::{Effect, Offence, Unneeded};
use crate::bft::{LogRecord, Missing, ViewRules};
use crate::error::ConsensusError;
use crate::evidence::Evidence;

/// Doublings of Δ_view.
const BACKOFF_MAX: u32 = 10;
/// Convictions remembered; each took a quorum and a view.
const CONVICTIONS_MAX: usize = 64;
/// How often a missing proposal is asked for before those who reported it are left out.
const ASKS_MAX: u32 = 3;
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
        self.convictions = self.convictions.split_off(&(next, BlockHash::ZERO));
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

    fn accuse_changer(&mut self, verifier: usize, second: SignedViewChange, effects: &mut Vec<Effect>) {
        let Some(first) = self.view.changes[verifier].clone().filter(|_| !self.view.accused[verifier]) else {
            return;
        };
        self.view.accused[verifier] = true;
        self.evidence += 1;
        let (first, second) = (Box::new(first), Box::new(second));
        effects.push(Effect::Evidence(Evidence::ViewChanges { first, second }));
    }

    /// Promises met inside an opening are held against those that came directly.
    fn compare_changes(&mut self, changes: &[SignedViewChange], effects: &mut Vec<Effect>) {
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
    fn compare_proposal(&mut self, second: &Proposal, effects: &mut Vec<Effect>) {
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

    /// The leader's part: with the promises of a quorum it shows what must be proposed again.
    fn try_open(&mut self, effects: &mut Vec<Effect>) -> Result<(), ConsensusError> {
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

    fn find_proposal(&self, block: &BlockHash) -> Option<Proposal> {
        let is = |proposal: &&Proposal| proposal.header.hash() == *block;
        let mut open = self.rounds.values().filter_map(|round| round.proposal.as_ref());
        let here = self.view.found.get(block).or_else(|| open.find(is)).cloned();
        here.or_else(|| self.record.block(block).map(|(proposal, _)| proposal))
    }

    /// A block above the tip that this seat can serve.
    pub(super) fn find_block(&self, hash: &BlockHash) -> Option<Arc<Block>> {
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
    pub(super) fn on_missing_proposal(
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

    pub(super) fn on_new_view(
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

    /// A second opening of the present view is evidence; one of an older view is old.
    fn compare_opening(
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
            let (view, parent) = (stream.view, stream.parent);
            if self
                .rounds
                .get(&height)
                .and_then(Round::header)
                .is_some_and(|header| stream.is_of(header.parent, header.slot, header.view))
            {
                self.streams.insert(height, stream);
            } else if stream.emitted > 0 {
                effects.push(Effect::Drop(Unneeded::Stream { height, view, parent }));
            }
        }
    }

    /// Takes a conviction that is known to be good: the view is over at once (R5).
    pub(super) fn convict(
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

    pub(super) fn is_convicted(&self, height: Height, block: &BlockHash) -> bool {
        self.view.convictions.contains_key(&(height, *block))
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
