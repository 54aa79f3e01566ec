//! What shards have certified, on its way into a root block.
//!
//! spec: Root F2, F4

use std::collections::BTreeMap;

use anfs_primitives::root::{REFERENCES_MAX, REPORT_MAX, ROOT_BLOCK_BYTES_MAX};
use anfs_primitives::{
    BoundedVec, DomainId, Height, RootMessage, RootSeat, SeatIndex, ShardReference, View, encode,
};

use super::core::RootCore;
use super::inbound::INBOUND_BYTES_MAX;
use super::state::{ReferenceFault, RootState};
use super::types::{RootEffect, RootOffence};

/// Blocks of the own shard that a seat keeps until they are final.
pub const OWN_REFERENCES_MAX: usize = 1024;
/// Blocks of one shard that a leader names at most.
const PER_DOMAIN_MAX: u64 = REPORT_MAX as u64;
/// How far above the last final block a report may reach.
const POOL_REACH: u64 = 2 * PER_DOMAIN_MAX;
/// Bytes of shard blocks in one root block; the rest is for messages, and for what comes with a proposal.
const REFERENCE_BYTES_MAX: usize = ROOT_BLOCK_BYTES_MAX - INBOUND_BYTES_MAX - 8 * 1024 * 1024;
/// Bytes of shard blocks in one report, below the cap of a message.
const REPORT_BYTES_MAX: usize = 768 * 1024;

/// What was reported, by shard and height, each by whom. Different seats may show different certificates.
#[derive(Debug, Default)]
pub(super) struct Pool {
    reported: BTreeMap<(DomainId, Height), BTreeMap<SeatIndex, ShardReference>>,
}

impl Pool {
    fn add(&mut self, from: RootSeat, reference: ShardReference) {
        let place = self.reported.entry((from.domain, reference.header.height)).or_default();
        if !place.values().any(|held| *held == reference) {
            place.insert(from.seat, reference);
        }
    }

    fn at(&self, domain: DomainId, height: Height) -> impl Iterator<Item = (SeatIndex, &ShardReference)> {
        let place = self.reported.get(&(domain, height));
        place.into_iter().flatten().map(|(seat, reference)| (*seat, reference))
    }

    fn remove(&mut self, from: RootSeat, height: Height) {
        if let Some(place) = self.reported.get_mut(&(from.domain, height)) {
            place.remove(&from.seat);
        }
    }

    fn forget_final(&mut self, state: &RootState) {
        self.reported
            .retain(|(domain, height), _| state.tip(*domain).is_some_and(|tip| *height > tip.height));
    }
}

impl RootCore {
    /// The own shard has decided a block.
    pub(super) fn on_certified(&mut self, reference: ShardReference) {
        let height = reference.header.height;
        let tip = self.seat.and_then(|seat| self.state.tip(seat.domain));
        let ours = tip.is_some_and(|tip| tip.domain == reference.header.domain && height > tip.height);
        if !ours {
            return;
        }
        if self.own.len() >= OWN_REFERENCES_MAX {
            self.own_missing = true;
        } else {
            self.own.entry(height).or_insert(reference);
        }
    }

    /// Asks the node for what the own shard has decided above the final blocks.
    pub(super) fn want_own(&mut self, effects: &mut Vec<RootEffect>) {
        let tip = self.seat.and_then(|seat| self.state.tip(seat.domain));
        if let Some(tip) = tip {
            // What lies above a gap is given again.
            let mut from = tip.height.next();
            while self.own.contains_key(&from) {
                from = from.next();
            }
            self.own_missing = false;
            effects.push(RootEffect::WantCertified { from });
        }
    }

    /// What has become final is no longer kept.
    pub(super) fn forget_final(&mut self, effects: &mut Vec<RootEffect>) {
        self.pool.forget_final(&self.state);
        if let Some(tip) = self.seat.and_then(|seat| self.state.tip(seat.domain)) {
            self.own = self.own.split_off(&tip.height.next());
        }
        if self.own_missing && self.own.len() <= OWN_REFERENCES_MAX / 2 {
            self.want_own(effects);
        }
    }

    /// Sends the leader what the own shard has decided and he may not know. spec: Root F4
    pub(super) fn report(&mut self, effects: &mut Vec<RootEffect>) {
        let Some(seat) = self.seat else { return };
        let (leader, height) = (self.leader(), self.height());
        let due = self.round.view > View::ZERO
            || self.config.reporters(height, seat.domain).any(|reporter| reporter == seat);
        if !due || leader == seat || self.round.heard.is_some() {
            return;
        }
        let Some(tip) = self.state.tip(seat.domain).map(|tip| tip.height) else { return };
        let last = Height(tip.0.saturating_add(PER_DOMAIN_MAX));
        let mut next = tip.max(self.round.reported).next();
        let (mut report, mut bytes) = (Vec::new(), 0);
        while let Some(reference) = self.own.get(&next).filter(|_| next <= last) {
            let size = encode(reference).len();
            if bytes + size > REPORT_BYTES_MAX {
                break;
            }
            bytes += size;
            report.push(reference.clone());
            self.round.reported = next;
            next = next.next();
        }
        let report = BoundedVec::try_from(report).expect("no more heights than a report holds");
        if !report.is_empty() {
            effects.push(RootEffect::Send { to: leader, message: RootMessage::Report(report) });
        }
    }

    pub(super) fn on_report(
        &mut self,
        from: RootSeat,
        references: &[ShardReference],
        effects: &mut Vec<RootEffect>,
    ) {
        let Some(tip) = self.state.tip(from.domain).map(|tip| tip.height) else { return };
        if references.iter().any(|reference| reference.header.domain != from.domain) {
            return Self::penalise(from, RootOffence::Role, effects);
        }
        if self.is_struck(from) {
            return;
        }
        for reference in references {
            let height = reference.header.height;
            if height > tip && height.0 - tip.0 <= POOL_REACH {
                self.pool.add(from, reference.clone());
            }
        }
    }

    /// What the next block names: of each shard what follows the last final block, as far as it is known and may become
    /// final. spec: Root F1, F2
    pub(super) fn collect(&mut self, effects: &mut Vec<RootEffect>) -> Vec<ShardReference> {
        self.verify_reports(effects);
        let (mut draft, mut chosen, mut bytes) = (self.state.clone(), Vec::new(), 0);
        let domains: Vec<DomainId> = draft.tips().map(|(domain, _)| domain).collect();
        for domain in domains {
            for _ in 0..PER_DOMAIN_MAX {
                let Some(reference) = self.next_of(domain, &mut draft, effects) else { break };
                bytes += encode(&reference).len();
                if bytes > REFERENCE_BYTES_MAX || chosen.len() >= REFERENCES_MAX {
                    return chosen;
                }
                chosen.push(reference);
            }
        }
        chosen
    }

    /// The next block of a shard that the draft takes in.
    fn next_of(
        &mut self,
        domain: DomainId,
        draft: &mut RootState,
        effects: &mut Vec<RootEffect>,
    ) -> Option<ShardReference> {
        let next = draft.tip(domain)?.height.next();
        for reference in self.candidates(domain, next) {
            match draft.extend(&reference) {
                Ok(()) => return Some(reference),
                Err(fault) => self.convict(&reference, fault, effects),
            }
        }
        None
    }

    /// What is known of a shard's block at a height: what the own shard has decided, then what was reported.
    fn candidates(&self, domain: DomainId, height: Height) -> Vec<ShardReference> {
        let own = self.seat.filter(|seat| seat.domain == domain).and_then(|_| self.own.get(&height));
        let reported = self.pool.at(domain, height).map(|(_, reference)| reference);
        own.into_iter().chain(reported).cloned().collect()
    }

    /// Checks the certificates of all reports that may be named now, as one batch; who sent a bad one is struck.
    fn verify_reports(&mut self, effects: &mut Vec<RootEffect>) {
        let mut open: Vec<(RootSeat, ShardReference)> = Vec::new();
        for (domain, tip) in self.state.tips() {
            let own = self.seat.filter(|seat| seat.domain == domain);
            let mut next = tip.height.next();
            for _ in 0..PER_DOMAIN_MAX {
                let trusted = own.is_some() && self.own.contains_key(&next);
                let before = open.len();
                if !trusted {
                    let reported = self.pool.at(domain, next);
                    open.extend(reported.map(|(seat, one)| (RootSeat { domain, seat }, one.clone())));
                }
                if !trusted && open.len() == before {
                    break;
                }
                next = next.next();
            }
        }
        let references: Vec<&ShardReference> = open.iter().map(|(_, reference)| reference).collect();
        for bad in self.crypto.verify_references(&references) {
            let (from, reference) = &open[bad];
            self.pool.remove(*from, reference.header.height);
            self.strike(*from, RootOffence::Report(ReferenceFault::Certificate), effects);
        }
    }
}
