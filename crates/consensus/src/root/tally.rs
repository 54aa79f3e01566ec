//! Votes of one view, as they are kept by whoever adds them up.
//!
//! spec: Root F5–F7

use std::collections::{BTreeMap, BTreeSet};

use anfs_primitives::{CertificateKind, DomainId, RootHash, RootSeat, RootTally, SeatSet};

/// A tally as it was received.
#[derive(Clone, Debug)]
struct Entry {
    tally: RootTally,
    verified: bool,
}

/// What came of offering a tally.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// It was kept.
    Kept,
    /// It is known, or of a sender that is not heard any more, or one too many.
    Passed,
    /// The sender has voted for another block before, with this tally.
    Contradicts(Box<RootTally>),
}

/// Tallies of one view by kind and sender. A sender's own vote counts once; a gatherer may send as many tallies as its
/// shard has seats.
#[derive(Clone, Debug, Default)]
pub(super) struct TallyBook {
    entries: BTreeMap<(CertificateKind, RootSeat), Vec<Entry>>,
    /// Senders of bad tallies: not heard again in this view.
    struck: BTreeSet<RootSeat>,
    /// Seats whose votes have been passed on, by kind and block.
    passed: BTreeMap<(CertificateKind, RootHash), SeatSet>,
    /// When the first vote for a block came that has not been passed on.
    first_ms: BTreeMap<CertificateKind, u64>,
    /// When to send the own vote to the leader.
    pub(super) direct_ms: BTreeMap<CertificateKind, u64>,
    /// Certificates that were made of them.
    pub(super) made: BTreeSet<CertificateKind>,
}

/// Whether a tally is its sender's own vote.
pub(super) fn is_single(sender: RootSeat, tally: &RootTally) -> bool {
    tally.domain == sender.domain && tally.seats == SeatSet::of(sender.seat)
}

impl TallyBook {
    /// Keeps a tally that is yet to be verified. `most` is what a gatherer may send.
    pub(super) fn offer(
        &mut self,
        sender: RootSeat,
        tally: RootTally,
        most: usize,
        now_ms: u64,
    ) -> Admission {
        if self.struck.contains(&sender) {
            return Admission::Passed;
        }
        let kind = tally.kind;
        let held = self.entries.entry((kind, sender)).or_default();
        if held.iter().any(|entry| entry.tally == tally) || held.len() >= most {
            return Admission::Passed;
        }
        if is_single(sender, &tally)
            && let Some(first) = held.iter().find(|entry| is_single(sender, &entry.tally))
        {
            let other = first.tally.target != tally.target;
            let first = Box::new(first.tally.clone());
            return if other { Admission::Contradicts(first) } else { Admission::Passed };
        }
        held.push(Entry { tally, verified: false });
        self.first_ms.entry(kind).or_insert(now_ms);
        Admission::Kept
    }

    /// Keeps a vote of this node's own.
    pub(super) fn trust(&mut self, own: RootSeat, tally: RootTally) {
        let held = self.entries.entry((tally.kind, own)).or_default();
        if held.is_empty() {
            held.push(Entry { tally, verified: true });
        }
    }

    /// Starts the wait for the other votes of the shard, at the own one.
    pub(super) fn await_others(&mut self, kind: CertificateKind, now_ms: u64) {
        self.first_ms.entry(kind).or_insert(now_ms);
    }

    /// When the first vote came that is not passed on.
    pub(super) fn first_ms(&self, kind: CertificateKind) -> Option<u64> {
        self.first_ms.get(&kind).copied()
    }

    /// Blocks that there are votes of a kind for.
    pub(super) fn blocks(&self, kind: CertificateKind) -> BTreeSet<RootHash> {
        self.of_kind(kind).map(|(_, entry)| entry.tally.target.block).collect()
    }

    fn of_kind(&self, kind: CertificateKind) -> impl Iterator<Item = (RootSeat, &Entry)> {
        let kept = self.entries.iter().filter(move |((of, _), _)| *of == kind);
        kept.flat_map(|((_, sender), entries)| entries.iter().map(move |entry| (*sender, entry)))
    }

    /// Whoever is named by a tally for the block, verified or not, by domain.
    pub(super) fn claimed(&self, kind: CertificateKind, block: RootHash) -> BTreeMap<DomainId, SeatSet> {
        let mut claimed: BTreeMap<DomainId, SeatSet> = BTreeMap::new();
        for (_, entry) in self.of_kind(kind).filter(|(_, entry)| entry.tally.target.block == block) {
            let seats = claimed.entry(entry.tally.domain).or_default();
            *seats = seats.union(entry.tally.seats);
        }
        claimed
    }

    /// Tallies for the block that are not verified, with their senders.
    pub(super) fn unverified(&self, kind: CertificateKind, block: RootHash) -> Vec<(RootSeat, RootTally)> {
        let open = self.of_kind(kind).filter(|(_, entry)| !entry.verified);
        let open = open.filter(|(_, entry)| entry.tally.target.block == block);
        open.map(|(sender, entry)| (sender, entry.tally.clone())).collect()
    }

    /// Every tally for the block that is left is verified.
    pub(super) fn verified(&mut self, kind: CertificateKind, block: RootHash) {
        let kept = self.entries.iter_mut().filter(|((of, _), _)| *of == kind);
        for entry in kept.flat_map(|(_, entries)| entries) {
            entry.verified |= entry.tally.target.block == block;
        }
    }

    /// Forgets what this seat has sent, and hears it no more. Who is named in it is not to blame.
    pub(super) fn strike(&mut self, sender: RootSeat) {
        self.struck.insert(sender);
        self.entries.retain(|(_, of), _| *of != sender);
    }

    /// Verified tallies for the block of which no two name the same seat: of each shard the largest, then whatever fits
    /// beside it.
    pub(super) fn disjoint(
        &self,
        kind: CertificateKind,
        block: RootHash,
    ) -> BTreeMap<DomainId, Vec<RootTally>> {
        let of_block = self.of_kind(kind).map(|(_, entry)| entry);
        let of_block = of_block.filter(|entry| entry.verified && entry.tally.target.block == block);
        let mut by_size: Vec<&RootTally> = of_block.map(|entry| &entry.tally).collect();
        by_size.sort_by_key(|tally| std::cmp::Reverse(tally.seats.len()));
        let mut chosen: BTreeMap<DomainId, (SeatSet, Vec<RootTally>)> = BTreeMap::new();
        for tally in by_size {
            let (seats, tallies) = chosen.entry(tally.domain).or_default();
            if seats.is_disjoint(tally.seats) {
                *seats = seats.union(tally.seats);
                tallies.push(tally.clone());
            }
        }
        chosen.into_iter().map(|(domain, (_, tallies))| (domain, tallies)).collect()
    }

    /// Votes of single seats of a shard for the block that have not been passed on.
    pub(super) fn unpassed(
        &self,
        kind: CertificateKind,
        domain: DomainId,
        block: RootHash,
    ) -> Vec<RootTally> {
        let passed = self.passed.get(&(kind, block)).copied().unwrap_or_default();
        let singles = self.of_kind(kind).filter(|(sender, entry)| {
            sender.domain == domain && entry.tally.target.block == block && is_single(*sender, &entry.tally)
        });
        let singles = singles.filter(|(sender, _)| !passed.contains(sender.seat));
        singles.map(|(_, entry)| entry.tally.clone()).collect()
    }

    /// Notes that these votes have been passed on.
    pub(super) fn pass(&mut self, kind: CertificateKind, block: RootHash, seats: SeatSet) {
        let passed = self.passed.entry((kind, block)).or_default();
        *passed = passed.union(seats);
    }

    /// No vote of the kind waits to be passed on.
    pub(super) fn all_passed(&mut self, kind: CertificateKind) {
        self.first_ms.remove(&kind);
    }
}

#[cfg(test)]
mod tests;
