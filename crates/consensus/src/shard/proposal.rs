//! Proposals and bodies: what comes from the acting SG, and how it is fetched when it does not come.
//!
//! spec: PROTOCOL §3, §4 R1, R7, R8

use std::sync::Arc;

use anfs_poh::{assign_slices, entries_root, slices_of};
use anfs_primitives::block::BLOCK_BYTES_MAX;
use anfs_primitives::{
    Block, BlockBody, BlockHash, ConsensusMessage, Fragment, Height, Proposal, SealedHeader, SeatIndex,
    SignerSet,
};

use super::core::{Round, ShardCore};
use super::stream::{Offer, Origin, Stream};
use super::types::{Depth, Effect, Offence, Parent, Unneeded};
use crate::error::ConsensusError;
use crate::evidence::Evidence;

/// Bytes of all bodies in the making.
const STREAM_BYTES_MAX: usize = 2 * BLOCK_BYTES_MAX;
/// How far a header's slot may lie ahead of this node's clock: a proposal closes its slot, so an honest
/// one lies behind; the rest is for clocks that differ.
const FUTURE_SLOTS_MAX: u64 = 4;
/// How often an SG may begin a body again: it crashes between two of them.
const RESTARTS_MAX: u8 = 8;

impl ShardCore {
    pub(super) fn on_proposal(
        &mut self,
        from: SeatIndex,
        proposal: Proposal,
        effects: &mut Vec<Effect>,
    ) -> Result<(), ConsensusError> {
        let header = &proposal.header;
        if let Err(offence) = self.check_form(header) {
            return Self::refuse(from, offence, effects);
        }
        let (height, hash) = (header.height, header.hash());
        self.seen = self.seen.max(height);
        if height <= self.tip.parent.height {
            self.help(from, height, Some(hash), effects);
            return Ok(());
        }
        if !self.in_window(height) || self.on_missing_proposal(&proposal, effects)? {
            return Ok(());
        }
        if header.view < self.view.current && from == header.proposer {
            self.help_view(from, effects);
        }
        if header.view > self.view.current {
            self.ask_view(from, effects);
        }
        if header.view != self.view.current || !self.view.open {
            // Another's word for it would take the place that is the leader's own.
            if from == header.proposer {
                self.view.keep_early(proposal);
            }
            return Ok(());
        }
        self.admit_proposal(from, proposal, effects)
    }

    /// Takes a proposal of the present leader, or finds that it contradicts an earlier one.
    pub(super) fn admit_proposal(
        &mut self,
        from: SeatIndex,
        proposal: Proposal,
        effects: &mut Vec<Effect>,
    ) -> Result<(), ConsensusError> {
        let (height, hash) = (proposal.header.height, proposal.header.hash());
        let round = self.rounds.get(&height);
        let known = round.and_then(Round::header);
        let stale = round.is_some_and(|round| round.accused);
        if stale || known.is_some_and(|known| known.hash() == hash) {
            return Ok(());
        }
        let rival = known.is_some_and(|known| known.view == proposal.header.view);
        if !rival && (known.is_some() || !self.view.admits(height, proposal.header.view, &hash)) {
            return Ok(());
        }
        if !self.crypto.verify_proposal(&proposal) {
            return Self::refuse(from, Offence::Signature, effects);
        }
        let round = self.rounds.entry(height).or_default();
        if let Some(first) = &round.proposal {
            round.accused = true;
            self.evidence += 1;
            let evidence = Evidence::Proposals { first: Box::new(first.clone()), second: Box::new(proposal) };
            effects.push(Effect::Evidence(evidence));
            // R7: a leader that equivocates is not worth waiting for.
            return self.wish(effects);
        }
        round.proposal = Some(proposal);
        Ok(())
    }

    /// What can be held against a header without knowing the chain below it.
    fn check_form(&self, header: &SealedHeader) -> Result<(), Offence> {
        let config = &self.config;
        if (header.network, header.domain, header.epoch) != (config.network, config.domain, config.epoch) {
            return Err(Offence::Foreign);
        }
        if header.proposer != config.leader(header.view) {
            return Err(Offence::Role);
        }
        if header.boundaries.len() != usize::from(config.verifiers) + 1 {
            return Err(Offence::Header("boundaries"));
        }
        if header.gas_limit != config.block_gas_limit || header.gas_used > header.gas_limit {
            return Err(Offence::Header("gas"));
        }
        Ok(())
    }

    /// What links a header to its parent.
    fn check_link(parent: &Parent, header: &SealedHeader) -> Result<(), &'static str> {
        let rules = [
            (header.parent == parent.hash, "parent"),
            (header.slot > parent.slot, "slot"),
            (header.poh_start == parent.poh_end, "poh_start"),
            // Whether it names a final root block is for whoever checks the block to say.
            (parent.root_reference.admits(&header.root_reference), "root_reference"),
        ];
        rules.iter().find(|(holds, _)| !holds).map_or(Ok(()), |&(_, field)| Err(field))
    }

    /// The block below a height, when it is decided, or proposed, linked and whole.
    pub(super) fn parent_of(&self, height: Height) -> Option<Parent> {
        let below = height.prev()?;
        if below == self.tip.parent.height {
            return Some(self.tip.parent);
        }
        let round = self.rounds.get(&below).filter(|round| round.linked && round.block.is_some())?;
        round.header().map(Parent::new)
    }

    /// Links proposals to the chain from the tip upwards, puts bodies together, asks for checks.
    pub(super) fn extend_chain(&mut self, effects: &mut Vec<Effect>) {
        if !self.view.open {
            return;
        }
        let mut height = self.tip.parent.height.next();
        let mut full = !self.tip.fast();
        while let Some(parent) = self.parent_of(height) {
            if !self.link(height, &parent, effects) {
                break;
            }
            if let Some(round) = self.rounds.get_mut(&height) {
                full |= round.alarmed;
                round.full = full;
            }
            self.assemble(height, effects);
            self.ask_check(height, effects);
            height = height.next();
        }
    }

    fn link(&mut self, height: Height, parent: &Parent, effects: &mut Vec<Effect>) -> bool {
        let latest = self.config.slot_at(self.now_ms).0.saturating_add(FUTURE_SLOTS_MAX);
        let deadline = self.now_ms.saturating_add(self.config.fast_timeout_ms);
        let decided = height.prev() == Some(self.tip.parent.height);
        let Some(round) = self.rounds.get_mut(&height) else { return false };
        let Some(header) = round.proposal.as_ref().map(|proposal| &proposal.header) else { return false };
        if round.linked {
            return true;
        }
        if let Err(field) = Self::check_link(parent, header) {
            // Below an undecided parent another one may yet take its place.
            if decided {
                Self::penalise(header.proposer, Offence::Header(field), effects);
                round.proposal = None;
                round.block = None;
            }
            return false;
        }
        if header.slot.0 > latest {
            return false;
        }
        let hash = header.hash();
        round.linked = true;
        let target = self.target(height, hash);
        // Alerts may come before the proposal does.
        let alarmed = self.book.is_alarmed(&target);
        let Some(round) = self.rounds.get_mut(&height) else { return false };
        round.alarmed |= alarmed;
        round.fast_deadline_ms = Some(deadline);
        true
    }

    /// Makes the block whole once all its entries are here and match the header.
    fn assemble(&mut self, height: Height, effects: &mut Vec<Effect>) {
        let retry_ms = self.now_ms.saturating_add(self.request_delay());
        let Some(round) = self.rounds.get_mut(&height).filter(|round| round.block.is_none()) else { return };
        let Some(header) = round.header().cloned() else { return };
        let origin = Origin::from(header.header());
        let total = header.boundaries.last().map_or(0, |last| last.entry) as usize;
        let stream = self.streams.entry(height).or_insert_with(|| Stream::new(origin));
        let same = stream.origin == origin;
        if same && stream.entries.len() < total {
            round.body_retry_ms.get_or_insert(retry_ms);
            return;
        }
        let fits = same && stream.entries.len() == total;
        if fits && entries_root(&stream.entries) == header.entries_root {
            let entries = std::mem::take(&mut stream.entries);
            let entries = entries.try_into().expect("a stream is bounded like a body");
            self.streams.remove(&height);
            round.block = Some(Arc::new(Block { header, body: BlockBody { entries } }));
            round.body_retry_ms = None;
            return;
        }
        // Someone sent other entries than the header commits to. Begin anew, from one source at a time.
        if let Some(seat) = stream.only {
            Self::penalise(seat, Offence::Body, effects);
        }
        let fresh = Stream::new(origin).listening_to(header.proposer);
        replace_stream(height, stream, fresh, effects);
        round.body_retry_ms = Some(self.now_ms);
    }

    /// Asks the worker for what this seat has to check. The builder of a block checks nothing; one that
    /// was restored from the log is executed again. A seat that is held back signs nothing, and executes what is
    /// decided.
    fn ask_check(&mut self, height: Height, effects: &mut Vec<Effect>) {
        let (signer, verifier, voters) = (self.signer(), self.verifier(), self.quorum.voters());
        let Some(round) = self.rounds.get_mut(&height) else { return };
        let (Some(block), Some(seat)) = (round.block.clone(), signer) else { return };
        let depth = if round.full && verifier.is_some() { Depth::Full } else { Depth::Sliced };
        let settled = round.fault.is_some() || round.asked >= Some(depth);
        if settled {
            return;
        }
        if verifier.is_none() && block.header.proposer != seat {
            return;
        }
        round.asked = Some(depth);
        let slices = match (verifier, depth) {
            (None, _) => SignerSet::EMPTY,
            (Some(_), Depth::Full) => (0..voters).collect(),
            (Some(verifier), Depth::Sliced) => {
                let redundancy = usize::from(self.config.slice_redundancy);
                let hash = block.header.hash();
                slices_of(&assign_slices(&hash, &self.config.epoch_seed, voters, redundancy), verifier)
            }
        };
        effects.push(Effect::Check { block, depth, slices });
    }

    pub(super) fn on_fragment(&mut self, from: SeatIndex, fragment: Fragment, effects: &mut Vec<Effect>) {
        let ours = (fragment.network, fragment.domain) == (self.config.network, self.config.domain);
        if !ours || fragment.proposer != self.config.leader(fragment.view) {
            return Self::penalise(from, Offence::Foreign, effects);
        }
        let (height, view, origin) = (fragment.height, fragment.view, Origin::from(&fragment));
        self.seen = self.seen.max(height);
        let round = self.rounds.get(&height);
        if !self.in_window(height) || round.is_some_and(|round| round.block.is_some()) {
            return;
        }
        let wanted = match round.and_then(Round::header) {
            Some(wanted) => Origin::from(wanted.header()) == origin,
            None => self.view.admits(height, view, &BlockHash::ZERO),
        };
        if !wanted {
            return;
        }
        // A header is waiting for these entries.
        self.dirty |= round.is_some_and(|round| round.proposal.is_some());
        let asked = self.rounds.get(&height).is_some_and(|round| round.body_tries > 0);
        let from_proposer = from == fragment.proposer;
        if !from_proposer && !asked {
            return;
        }
        let held: usize = self.streams.values().map(Stream::bytes).sum();
        let stream = self.streams.entry(height).or_insert_with(|| Stream::new(origin));
        if stream.only.is_some_and(|only| only != from) {
            return;
        }
        let first = fragment.first_entry;
        let entries = fragment.entries.into_inner();
        let conflict = stream.origin != origin
            || stream.offer(first, entries.clone(), STREAM_BYTES_MAX.saturating_sub(held)) == Offer::Conflict;
        // Fragments are unsigned: an SG that crashed in mid-slot begins again, and differs.
        if conflict && from_proposer && stream.restarts < RESTARTS_MAX {
            let restarts = stream.restarts + 1;
            let room = STREAM_BYTES_MAX.saturating_sub(held.saturating_sub(stream.bytes()));
            replace_stream(height, stream, Stream::new(origin), effects);
            stream.restarts = restarts;
            stream.offer(first, entries, room);
        }
    }

    /// Hands out entries that have become contiguous, for execution ahead, once their parent is known.
    pub(super) fn flush_entries(&mut self, effects: &mut Vec<Effect>) {
        if self.streams.values().all(|stream| stream.emitted >= stream.entries.len()) {
            return;
        }
        let heights: Vec<Height> = self.streams.keys().copied().collect();
        for height in heights {
            let Some(parent) = self.parent_of(height) else { break };
            let Some(stream) = self.streams.get_mut(&height) else { continue };
            if stream.origin.parent != parent.hash || stream.emitted >= stream.entries.len() {
                continue;
            }
            let first = stream.emitted;
            stream.emitted = stream.entries.len();
            let Origin { parent, slot, view, root_reference } = stream.origin;
            effects.push(Effect::Entries {
                height,
                slot,
                view,
                parent,
                root_reference,
                first_entry: u32::try_from(first).expect("BLOCK_ENTRIES_MAX fits u32"),
                entries: stream.entries[first..].to_vec(),
            });
        }
    }

    /// Before missing entries are asked for: long enough for what is merely late.
    pub(super) fn request_delay(&self) -> u64 {
        (self.config.slot_ms / 4).max(1)
    }

    /// Asks for missing entries: the proposer first, then the others in turn.
    pub(super) fn request_bodies(&mut self, effects: &mut Vec<Effect>) {
        let (now, delay, me) = (self.now_ms, self.request_delay(), self.seat);
        let current = self.view.current;
        let (seats, patience) = (u32::from(self.config.verifiers) + 1, self.config.fast_timeout_ms);
        for (height, round) in &mut self.rounds {
            let due = round.body_retry_ms.is_some_and(|at| at <= now) && round.block.is_none();
            let Some(header) = round.proposal.as_ref().map(|proposal| &proposal.header).filter(|_| due)
            else {
                continue;
            };
            let fresh = || Stream::new(Origin::from(header.header()));
            // Who led an older view is likely gone.
            round.body_tries = round.body_tries.max(u32::from(header.view < current));
            let turn = |tries: u32| {
                let seat = (u32::from(header.proposer.0) + tries) % seats;
                SeatIndex(u16::try_from(seat).expect("there are fewer seats than 65536"))
            };
            if Some(turn(round.body_tries)) == me {
                round.body_tries += 1;
            }
            let to = turn(round.body_tries);
            let stream = self.streams.entry(*height).or_insert_with(fresh);
            if stream.only.is_some_and(|only| only != to) {
                replace_stream(*height, stream, fresh().listening_to(to), effects);
            }
            let block = header.hash();
            let first_entry = stream.next_entry();
            let message = ConsensusMessage::FragmentRequest { block, first_entry };
            // Whoever is listened to must have the time to answer: longer each time round.
            let rounds = (round.body_tries / seats).min(16);
            let wait = delay.saturating_mul(1 << rounds).min(patience.max(delay));
            round.body_tries = round.body_tries.saturating_add(1);
            round.body_retry_ms = Some(now.saturating_add(wait));
            effects.push(Effect::Send { to, message });
        }
    }
}

/// Begins a stream anew; what was handed out of it is void.
fn replace_stream(height: Height, stream: &mut Stream, fresh: Stream, effects: &mut Vec<Effect>) {
    if stream.emitted > 0 {
        let Origin { view, parent, .. } = stream.origin;
        effects.push(Effect::Drop(Unneeded::Stream { height, view, parent }));
    }
    *stream = fresh;
}
