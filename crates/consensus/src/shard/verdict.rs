//! Checks, votes, certificates and decisions.
//!
//! spec: PROTOCOL §4 R2–R5, R8

use std::sync::Arc;

use anfs_primitives::{
    Block, BlockHash, Certificate, CertificateKind, ConsensusMessage, Fault, Height, SeatIndex, SignedVote,
    VoteKind, VoteTarget,
};

use super::core::{RECENT_MAX, Recent, Round, ShardCore};
use super::stream::Origin;
use super::types::{Depth, Effect, Offence, Parent, Unneeded};
use crate::bft::{Admission, LogRecord};
use crate::error::ConsensusError;
use crate::evidence::Evidence;

/// The certificate that a vote counts towards, if any: an alert counts towards none.
fn certificate_of(kind: VoteKind) -> Option<CertificateKind> {
    match kind {
        VoteKind::ValidSliced => Some(CertificateKind::Fast),
        VoteKind::ValidFull => Some(CertificateKind::Prepare),
        VoteKind::InvalidFull => Some(CertificateKind::Conviction),
        VoteKind::Commit => Some(CertificateKind::Commit),
        VoteKind::InvalidSliced => None,
    }
}

impl ShardCore {
    pub(super) fn on_checked(&mut self, block: BlockHash, depth: Depth, result: Result<(), Fault>) {
        let found = self.rounds.iter_mut().find(|(_, round)| {
            round.block.as_ref().is_some_and(|candidate| candidate.header.hash() == block)
        });
        let Some((&height, round)) = found else { return };
        match result {
            Ok(()) => round.passed = round.passed.max(Some(depth)),
            Err(fault) => {
                round.fault.get_or_insert(fault);
                self.last_fault = Some((height, fault));
            }
        }
    }

    /// Signs what the checks and certificates allow, in height order: a block's verdict waits for its
    /// parent's approval (R8).
    pub(super) fn cast_votes(&mut self, effects: &mut Vec<Effect>) -> Result<(), ConsensusError> {
        if self.verifier().is_none() || !self.view.open {
            return Ok(());
        }
        let mut height = self.tip.parent.height.next();
        let last = self.tip.parent.height.0.saturating_add(self.config.reach() as u64);
        while let Some(round) = self.rounds.get(&height).filter(|round| round.linked && height.0 <= last) {
            let Some(block) = round.block.as_ref().map(|block| block.header.hash()) else { break };
            let target = self.target(height, block);
            let fault = round.fault;
            let prepared = round.prepare.as_ref().is_some_and(|prepare| prepare.target == target);
            let mut kinds = Vec::new();
            if fault.is_some() {
                kinds.extend([VoteKind::InvalidSliced, VoteKind::InvalidFull]);
            } else {
                // A full check covers the own slices: signing both lets a shard whose verifiers have all
                // come back return to the fast path.
                kinds.extend(round.passed.map(|_| VoteKind::ValidSliced));
                kinds.extend((round.passed == Some(Depth::Full)).then_some(VoteKind::ValidFull));
            }
            // A commit for a block whose parent is undecided could outlive its chain.
            if prepared && height.prev() == Some(self.tip.parent.height) {
                kinds.push(VoteKind::Commit);
            }
            for kind in kinds {
                self.cast(kind, &target, fault, effects)?;
            }
            if !self.record.has_approved(height, self.view.current, &block) {
                break;
            }
            height = height.next();
        }
        Ok(())
    }

    fn cast(
        &mut self,
        kind: VoteKind,
        target: &VoteTarget,
        fault: Option<Fault>,
        effects: &mut Vec<Effect>,
    ) -> Result<(), ConsensusError> {
        let Some(seat) = self.signer().filter(|_| self.record.may_vote(kind, target)) else { return Ok(()) };
        let vote = self.crypto.sign_vote(seat, kind, target, fault)?;
        self.log_grounds(kind, target, effects);
        let entry = LogRecord::Vote(vote.clone());
        self.record.add(entry.clone());
        effects.push(Effect::Persist(entry));
        effects.push(Effect::Broadcast(ConsensusMessage::Vote(vote.clone())));
        self.book.admit(&*self.crypto, &vote, true);
        self.count(&vote, effects)
    }

    /// What a later view change needs beside the vote is in the log before it: the body of what is approved,
    /// the PrepareCert that a commit answers.
    fn log_grounds(&mut self, kind: VoteKind, target: &VoteTarget, effects: &mut Vec<Effect>) {
        let Some(round) = self.rounds.get(&target.height) else { return };
        let mut grounds = Vec::new();
        if let (VoteKind::ValidSliced | VoteKind::Commit, Some(proposal), Some(block)) =
            (kind, &round.proposal, &round.block)
            && !self.record.holds(target.height, block.header.view, &target.block)
        {
            grounds.push(LogRecord::Proposal { block: block.clone(), signature: proposal.signature });
        }
        if let (VoteKind::Commit, Some(prepare)) = (kind, &round.prepare) {
            grounds.push(LogRecord::Prepared(prepare.clone()));
        }
        for entry in grounds {
            self.record.add(entry.clone());
            effects.push(Effect::Persist(entry));
        }
    }

    pub(super) fn on_vote(
        &mut self,
        from: SeatIndex,
        vote: &SignedVote,
        effects: &mut Vec<Effect>,
    ) -> Result<(), ConsensusError> {
        if !self.is_ours(&vote.target) {
            return Self::refuse(from, Offence::Foreign, effects);
        }
        if vote.signer != from {
            return Self::refuse(from, Offence::Role, effects);
        }
        let height = vote.target.height;
        self.seen = self.seen.max(height);
        if height <= self.tip.parent.height {
            self.help(from, height, Some(vote.target.block), effects);
            self.accuse_alarmist(vote, effects);
            return Ok(());
        }
        let view = vote.target.view;
        if view < self.view.current {
            self.help_view(from, effects);
        }
        if view > self.view.current {
            self.ask_view(from, effects);
        }
        // A vote of the next view may come before its opening does.
        let near = view == self.view.current || view == self.view.current.next();
        if !self.in_window(height) || !near {
            return Ok(());
        }
        match self.book.admit(&*self.crypto, vote, false) {
            Admission::Added => self.count(vote, effects),
            Admission::Ignored => Ok(()),
            Admission::NotMember => Self::refuse(from, Offence::Role, effects),
            Admission::BadSignature => Self::refuse(from, Offence::Signature, effects),
            Admission::Equivocation(evidence) => {
                self.evidence += 1;
                effects.push(Effect::Evidence(*evidence));
                Ok(())
            }
        }
    }

    /// Looks at what a newly kept vote completes.
    fn count(&mut self, vote: &SignedVote, effects: &mut Vec<Effect>) -> Result<(), ConsensusError> {
        let height = vote.target.height;
        if matches!(vote.kind, VoteKind::InvalidSliced | VoteKind::InvalidFull) {
            // An alert makes everyone work, so it is verified at once.
            if !self.book.confirm(&*self.crypto, vote) {
                return Self::refuse(vote.signer, Offence::Signature, effects);
            }
            if let Some(fault) = vote.fault {
                self.last_fault = Some((height, fault));
            }
            self.fall_back(height, &vote.target.block);
        }
        let Some(kind) = certificate_of(vote.kind) else { return Ok(()) };
        let round = self.rounds.entry(height).or_default();
        let done = match kind {
            CertificateKind::Fast | CertificateKind::Commit => round.decision.is_some(),
            CertificateKind::Prepare => {
                round.prepare.as_ref().is_some_and(|held| held.target.view >= vote.target.view)
            }
            CertificateKind::Conviction => self.is_convicted(height, &vote.target.block),
        };
        if done {
            return Ok(());
        }
        let mut bad = Vec::new();
        let made = self.book.certify(&*self.crypto, kind, &vote.target, &mut bad)?;
        for seat in bad {
            Self::penalise(seat, Offence::Signature, effects);
        }
        if let Some(certificate) = made {
            // One seat relays: every SV aggregates for itself what reaches it.
            if self.leads() && kind != CertificateKind::Conviction {
                effects.push(Effect::Broadcast(ConsensusMessage::Certificate(certificate.clone())));
            }
            self.adopt(certificate, effects)?;
        }
        Ok(())
    }

    /// R3: from this block on, every slice is checked.
    fn fall_back(&mut self, height: Height, block: &BlockHash) {
        let named = |round: &&mut Round| round.header().is_some_and(|header| header.hash() == *block);
        if let Some(round) = self.rounds.get_mut(&height).filter(named) {
            round.alarmed = true;
            self.dirty = true;
        }
    }

    /// R3: Δ_fast has passed without a FastCert.
    pub(super) fn expire_fast(&mut self) {
        let now = self.now_ms;
        for round in self.rounds.values_mut() {
            if round.fast_deadline_ms.is_some_and(|at| at <= now) {
                round.alarmed |= round.decision.is_none();
                round.fast_deadline_ms = None;
            }
        }
    }

    pub(super) fn on_certificate(
        &mut self,
        from: SeatIndex,
        certificate: Certificate,
        effects: &mut Vec<Effect>,
    ) -> Result<(), ConsensusError> {
        let target = certificate.target;
        if !self.is_ours(&target) {
            return Self::refuse(from, Offence::Foreign, effects);
        }
        let height = target.height;
        self.seen = self.seen.max(height);
        let peer = &self.peers[usize::from(from.0)];
        if peer.struck == Some(height) {
            return Ok(());
        }
        let ours = self.decided_hash(height);
        if height <= self.tip.parent.height && ours.is_none_or(|ours| ours == target.block) {
            return Ok(());
        }
        if height > self.tip.parent.height && (!self.in_window(height) || self.has(&certificate)) {
            return Ok(());
        }
        if !self.crypto.verify_certificate(self.quorum.decide(), &certificate) {
            self.peers[usize::from(from.0)].struck = Some(height);
            return Self::refuse(from, Offence::Certificate, effects);
        }
        if let Some(ours) = ours.filter(|_| certificate.kind.decides()) {
            return Err(ConsensusError::Fork { height, ours, theirs: target.block });
        }
        let unknown = certificate.kind.decides()
            && self.rounds.get(&height).and_then(Round::header).is_none_or(|h| h.hash() != target.block);
        if height > self.tip.parent.height {
            self.adopt(certificate, effects)?;
        }
        if unknown {
            self.ask_blocks(from, effects);
        }
        Ok(())
    }

    /// Hash of a decided block, as far as it is remembered.
    fn decided_hash(&self, height: Height) -> Option<BlockHash> {
        if height == self.tip.parent.height {
            return Some(self.tip.parent.hash);
        }
        self.recent.get(&height).map(|recent| recent.block.header.hash())
    }

    fn has(&self, certificate: &Certificate) -> bool {
        let Some(round) = self.rounds.get(&certificate.target.height) else { return false };
        let same = |held: &Option<Certificate>| {
            held.as_ref().is_some_and(|held| held.target.block == certificate.target.block)
        };
        match certificate.kind {
            CertificateKind::Fast | CertificateKind::Commit => same(&round.decision),
            CertificateKind::Prepare => {
                let newer = |held: &Certificate| held.target.view >= certificate.target.view;
                round.prepare.as_ref().is_some_and(newer) || same(&round.decision)
            }
            CertificateKind::Conviction => {
                self.is_convicted(certificate.target.height, &certificate.target.block)
            }
        }
    }

    /// Takes a certificate that is known to be good.
    pub(super) fn adopt(
        &mut self,
        certificate: Certificate,
        effects: &mut Vec<Effect>,
    ) -> Result<(), ConsensusError> {
        self.dirty = true;
        self.mind_doppelganger(&certificate, effects);
        let round = self.rounds.entry(certificate.target.height).or_default();
        match certificate.kind {
            CertificateKind::Prepare => {
                let held = round.prepare.as_ref().map(|held| held.target.view);
                if held < Some(certificate.target.view) {
                    round.prepare = Some(certificate);
                }
                Ok(())
            }
            CertificateKind::Fast | CertificateKind::Commit => {
                round.decision.get_or_insert(certificate);
                Ok(())
            }
            CertificateKind::Conviction => self.convict(certificate, effects),
        }
    }

    /// Decides the next height if its certificate and its block are here.
    pub(super) fn try_decide(&mut self, effects: &mut Vec<Effect>) -> Result<bool, ConsensusError> {
        let height = self.tip.parent.height.next();
        let Some(round) = self.rounds.get(&height) else { return Ok(false) };
        let Some(certificate) = round.decision.clone() else { return Ok(false) };
        let hash = certificate.target.block;
        let whole = |block: &&Arc<Block>| block.header.hash() == hash;
        let own = round.block.as_ref().filter(whole);
        let synced = own.is_none();
        let found = own.or(round.fetched.as_ref().filter(whole)).cloned();
        // One that a view has passed over may be decided all the same.
        let found = found.or_else(|| self.record.block(&hash).map(|(_, block)| block));
        let Some(block) = found else { return Ok(false) };
        if block.header.parent != self.tip.parent.hash {
            let (ours, theirs) = (self.tip.parent.hash, block.header.parent);
            return Err(ConsensusError::Fork { height: self.tip.parent.height, ours, theirs });
        }
        let fast = certificate.kind == CertificateKind::Fast;
        match (synced, fast) {
            (true, _) => self.synced += 1,
            (false, true) => self.fast += 1,
            (false, false) => self.slow += 1,
        }
        effects.push(Effect::Decided { block: block.clone(), certificate: certificate.clone() });
        self.accuse_alarmists(&certificate, effects);
        self.move_tip(height, &block, certificate, effects);
        Ok(true)
    }

    fn move_tip(
        &mut self,
        height: Height,
        block: &Arc<Block>,
        certificate: Certificate,
        effects: &mut Vec<Effect>,
    ) {
        let hash = block.header.hash();
        self.tip.parent = Parent::new(&block.header);
        self.tip.decided.push_back(certificate.clone());
        while self.tip.decided.len() > self.config.reach() {
            self.tip.decided.pop_front();
        }
        self.view.progress(height);
        self.seen = self.seen.max(height);
        let candidate = self.rounds.remove(&height).and_then(|round| round.block);
        if let Some(loser) = candidate.filter(|candidate| candidate.header.hash() != hash) {
            effects.push(Effect::Drop(Unneeded::Block(loser.header.hash())));
            self.bury_descendants(effects);
        }
        if let Some(stream) = self.streams.remove(&height).filter(|stream| stream.emitted > 0) {
            let Origin { view, parent, .. } = stream.origin;
            effects.push(Effect::Drop(Unneeded::Stream { height, view, parent }));
        }
        self.book.prune(height);
        self.record.decided(height);
        if self.building.is_some_and(|(at, _, _)| at <= height) {
            self.building = None;
        }
        let decided_ms = self.now_ms;
        let accused = std::mem::take(&mut self.alarmists);
        self.recent.insert(height, Recent { block: block.clone(), certificate, decided_ms, accused });
        while self.recent.len() > RECENT_MAX {
            self.recent.pop_first();
        }
        self.progress_ms = self.now_ms;
        self.retry_backoff = 0;
        self.retry_ms = self.now_ms.saturating_add(self.retry_interval());
        self.stalled = None;
        self.follow(self.tip.view());
    }

    /// R5: who called a block invalid that is now decided has lied.
    fn accuse_alarmists(&mut self, certificate: &Certificate, effects: &mut Vec<Effect>) {
        let target = certificate.target;
        for vote in self.book.alerts(target.height, &target.block) {
            self.report_false_alert(vote, certificate.clone(), effects);
        }
    }

    /// The same, when the lie comes after the decision.
    fn accuse_alarmist(&mut self, vote: &SignedVote, effects: &mut Vec<Effect>) {
        let alert = matches!(vote.kind, VoteKind::InvalidSliced | VoteKind::InvalidFull);
        let Some(recent) = self.recent.get(&vote.target.height).filter(|_| alert) else { return };
        let certificate = recent.certificate.clone();
        let Some(seat) = vote.signer.verifier_index() else { return };
        if certificate.target.block != vote.target.block || recent.accused.contains(seat) {
            return;
        }
        if self.crypto.verify_votes(vote.kind, &vote.target, &[(seat, vote.signature)]).is_empty() {
            self.report_false_alert(vote.clone(), certificate, effects);
        }
    }

    fn report_false_alert(&mut self, vote: SignedVote, certificate: Certificate, effects: &mut Vec<Effect>) {
        let Some(seat) = vote.signer.verifier_index() else { return };
        let height = certificate.target.height;
        let accused = match self.recent.get_mut(&height) {
            Some(recent) => &mut recent.accused,
            None => &mut self.alarmists,
        };
        if accused.insert(seat) {
            self.evidence += 1;
            effects.push(Effect::Evidence(Evidence::FalseAlert { vote, certificate }));
        }
    }

    /// R8: a dead ancestor kills its descendants. Their proposals may have come from an equivocator, so
    /// each is forgotten and may be sent again.
    fn bury_descendants(&mut self, effects: &mut Vec<Effect>) {
        for round in self.rounds.values_mut().filter(|round| round.linked) {
            if let Some(block) = round.block.take() {
                effects.push(Effect::Drop(Unneeded::Block(block.header.hash())));
            }
            let (decision, fetched, accused) = (round.decision.take(), round.fetched.take(), round.accused);
            *round = Round { decision, fetched, accused, ..Round::default() };
        }
        for (&height, stream) in self.streams.iter().filter(|(_, stream)| stream.emitted > 0) {
            let Origin { view, parent, .. } = stream.origin;
            effects.push(Effect::Drop(Unneeded::Stream { height, view, parent }));
        }
        self.streams.clear();
        self.building = None;
    }
}
