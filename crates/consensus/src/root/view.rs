//! Leaving views and opening the next.
//!
//! spec: Root F8, F9

use std::collections::BTreeMap;

use alloy_primitives::U256;
use anfs_primitives::{
    CertificateKind, DomainId, RootCertificate, RootMessage, RootSeat, RootTimeout, SeatSet,
    SignedRootTimeout, TimeoutCertificate, View,
};

use super::core::RootCore;
use super::log::RootLogRecord;
use super::types::{RootEffect, RootEvidence, RootOffence};
use crate::error::ConsensusError;

impl RootCore {
    /// What a seat says that leaves a view of the present height.
    fn timeout(&self, view: View, prepared: Option<View>) -> RootTimeout {
        RootTimeout {
            network: self.config.network,
            epoch: self.config.epoch,
            height: self.height(),
            view,
            prepared,
        }
    }

    /// When the patience with the present view ends.
    pub(super) fn deadline_ms(&self) -> u64 {
        self.round.since_ms.saturating_add(self.config.patience_ms(self.round.view))
    }

    /// Leaves the view if its time is over, or if more than a third of all stake has left it or a later one. True when
    /// a time-out was signed.
    pub(super) fn leave(&mut self, effects: &mut Vec<RootEffect>) -> Result<bool, ConsensusError> {
        let joined = self.round.timeouts.blocking_view(&self.config).filter(|view| *view >= self.round.view);
        let over = (self.now_ms >= self.deadline_ms()).then_some(self.round.view);
        let Some((seat, view)) = self.seat.zip(joined.max(over)) else { return Ok(false) };
        if !self.record.may_leave(self.height(), view) {
            return Ok(false);
        }
        let certificate = self.round.prepared.clone();
        let prepared = certificate.as_ref().map(|certificate| certificate.target.view);
        let timeout = self.timeout(view, prepared);
        let signature = self.crypto.sign_timeout(seat, &timeout)?;
        let signed = SignedRootTimeout { timeout, certificate, signer: seat, signature };
        self.log_opening(effects);
        self.persist(RootLogRecord::Timeout(Box::new(signed.clone())), effects);
        self.round.timeouts.insert(signed.clone());
        if view > self.round.view {
            self.enter(view, None);
        }
        effects.push(RootEffect::Broadcast(RootMessage::Timeout(Box::new(signed))));
        Ok(true)
    }

    /// Moves on to the view above one that a quorum has left. True when that opened a view.
    pub(super) fn open_next(&mut self) -> bool {
        let view = self.round.view;
        // The present view may have been entered without knowing why.
        let unknown = self.round.opening.is_none() && view > View::ZERO;
        let least = if unknown { view.prev().unwrap_or_default() } else { view };
        let Some(left) = self.round.timeouts.quorum_view(&self.config, least) else { return false };
        let made = self.round.timeouts.certificate(&*self.crypto, self.height(), left);
        // Only verified time-outs are kept, and those add up.
        let Ok(Some(opening)) = made else { return false };
        if left.next() == view {
            self.round.opening = Some(opening);
        } else {
            self.enter(left.next(), Some(opening));
        }
        true
    }

    pub(super) fn on_timeout(
        &mut self,
        from: RootSeat,
        signed: SignedRootTimeout,
        effects: &mut Vec<RootEffect>,
    ) {
        let timeout = signed.timeout;
        if signed.signer != from {
            return Self::penalise(from, RootOffence::Role, effects);
        }
        let of_ours = RootTimeout { height: timeout.height, ..self.timeout(timeout.view, timeout.prepared) };
        if of_ours != timeout {
            return Self::penalise(from, RootOffence::Foreign, effects);
        }
        if !self.is_here(from, timeout.height, effects) {
            return;
        }
        self.help_view(from, timeout.view, effects);
        let known = self.round.timeouts.of(from).cloned();
        let repeats =
            known.as_ref().is_some_and(|known| known.timeout.view > timeout.view || known.timeout == timeout);
        if repeats || self.is_struck(from) {
            return;
        }
        if !self.shows(&signed) {
            return self.strike(from, RootOffence::Certificate, effects);
        }
        if !self.crypto.verify_timeout(&signed) {
            return self.strike(from, RootOffence::Signature, effects);
        }
        match known.filter(|known| known.timeout.view == timeout.view) {
            Some(first) => {
                let evidence = RootEvidence::Timeouts { first: Box::new(first), second: Box::new(signed) };
                self.accuse((timeout.view, from, "timeouts"), evidence, effects);
            }
            None => {
                if let Some(certificate) = &signed.certificate {
                    self.learn_prepared(certificate);
                }
                self.round.timeouts.insert(signed);
            }
        }
    }

    /// Whether a time-out comes with the PrepareCert that it names.
    fn shows(&self, signed: &SignedRootTimeout) -> bool {
        match (signed.timeout.prepared, &signed.certificate) {
            (None, None) => true,
            (Some(view), Some(certificate)) => {
                view <= signed.timeout.view
                    && (certificate.target.height, certificate.target.view) == (self.height(), view)
                    && self.is_prepared(certificate)
            }
            _ => false,
        }
    }

    /// Whether it is a PrepareCert of the present height.
    pub(super) fn is_prepared(&self, certificate: &RootCertificate) -> bool {
        certificate.kind == CertificateKind::Prepare
            && certificate.target.height == self.height()
            && (self.round.prepared.as_ref() == Some(certificate) || self.holds(certificate))
    }

    /// Takes note of a PrepareCert that holds. Who shows one of a later view is followed there.
    pub(super) fn learn_prepared(&mut self, certificate: &RootCertificate) {
        let view = certificate.target.view;
        if self.round.prepared.as_ref().is_some_and(|held| held.target.view >= view) {
            return;
        }
        self.round.prepared = Some(certificate.clone());
        if view > self.round.view {
            self.enter(view, None);
        }
    }

    pub(super) fn on_opening(
        &mut self,
        from: RootSeat,
        opening: TimeoutCertificate,
        effects: &mut Vec<RootEffect>,
    ) {
        if !self.is_here(from, opening.height, effects) {
            return;
        }
        let (opened, view) = (opening.view.next(), self.round.view);
        let of_use = opened > view || (opened == view && self.round.opening.is_none());
        if !of_use || self.is_struck(from) {
            return;
        }
        if !self.is_opening(&opening) {
            return self.strike(from, RootOffence::Certificate, effects);
        }
        self.follow(opening);
    }

    /// Takes in time-outs of a quorum that hold.
    pub(super) fn follow(&mut self, opening: TimeoutCertificate) {
        if let Some(certificate) = &opening.prepared {
            self.learn_prepared(certificate);
        }
        let opened = opening.view.next();
        if opened > self.round.view {
            self.enter(opened, Some(opening));
        } else if opened == self.round.view {
            self.round.opening.get_or_insert(opening);
        }
    }

    /// Whether these time-outs open the view above theirs: of a quorum of the stake, each seat once, with the PrepareCert
    /// of the highest view that any of them names.
    pub(super) fn is_opening(&self, opening: &TimeoutCertificate) -> bool {
        let groups = &opening.groups;
        if opening.height != self.height() || !groups.is_sorted_by(|a, b| a.prepared < b.prepared) {
            return false;
        }
        let mut stake = U256::ZERO;
        let mut seen: BTreeMap<DomainId, SeatSet> = BTreeMap::new();
        for group in groups {
            let Some(more) = self.config.stake_of_groups(&group.signers) else { return false };
            stake += more;
            for one in &group.signers {
                let seats = seen.entry(one.domain).or_default();
                if !seats.is_disjoint(one.seats) {
                    return false;
                }
                *seats = seats.union(one.seats);
            }
        }
        let highest = groups.last().and_then(|group| group.prepared);
        let shown = opening.prepared.as_ref().map(|certificate| certificate.target.view);
        self.config.is_quorum(stake)
            && highest == shown
            && highest.is_none_or(|highest| highest <= opening.view)
            && opening.prepared.as_ref().is_none_or(|certificate| self.is_prepared(certificate))
            && self.crypto.verify_timeouts(&self.timeout(opening.view, None), opening)
    }

    /// Shows a seat that lags why the present view is open; not more often than a block is due.
    pub(super) fn help_view(&mut self, to: RootSeat, its: View, effects: &mut Vec<RootEffect>) {
        let (now, pause) = (self.now_ms, self.config.root_block_ms);
        let settled = now >= self.round.since_ms.saturating_add(pause);
        if its >= self.round.view || !settled {
            return;
        }
        let Some(opening) = self.round.opening.clone() else { return };
        let peer = self.peer(to);
        if peer.shown_ms.is_some_and(|shown| now < shown.saturating_add(pause)) {
            return;
        }
        peer.shown_ms = Some(now);
        effects.push(RootEffect::Send { to, message: RootMessage::Opening(Box::new(opening)) });
    }
}
