//! Time-outs, repetition of what was lost, requests and catch-up.
//!
//! spec: PROTOCOL §4 ("data that an SV lacks is fetched by request")

use std::sync::Arc;

use anfs_poh::entries_root;
use anfs_primitives::block::BLOCK_BYTES_MAX;
use anfs_primitives::entry::FRAGMENT_BYTES_TARGET;
use anfs_primitives::{
    Block, BlockHash, BoundedVec, CertifiedBlock, ConsensusMessage, Entry, Fragment, Height, SeatIndex,
    VoteTarget,
};

use super::core::{Round, SERVE_BLOCKS_MAX, ShardCore};
use super::stream::entry_bytes;
use super::types::{Effect, Offence, Stall};
use crate::error::ConsensusError;

/// Fragments sent for one request; the asker asks on from where they end.
const SERVE_FRAGMENTS_MAX: usize = 64;
/// Bytes of bodies sent to one seat within Δ_fast: two of the largest.
const SERVE_BYTES_MAX: usize = 2 * BLOCK_BYTES_MAX;
/// Requests of one seat within Δ_fast.
const REQUESTS_MAX: u32 = 64;
/// Doublings of the retry interval.
const BACKOFF_MAX: u32 = 3;
/// After this many times Δ_view without a decision the status says so.
const STALL_FACTOR: u64 = 2;

impl ShardCore {
    /// Everything that is due.
    pub(super) fn on_time(&mut self, effects: &mut Vec<Effect>) -> Result<(), ConsensusError> {
        self.expire_fast();
        self.on_view_time(effects)?;
        self.request_bodies(effects);
        if self.now_ms >= self.stall_at() && self.stalled.is_none() {
            self.stalled = Some(Stall::NoProgress { since_ms: self.progress_ms });
        }
        if self.now_ms >= self.retry_ms {
            self.repeat(effects);
        } else if self.lags() {
            let to = self.next_peer();
            self.ask_blocks(to, effects);
        }
        Ok(())
    }

    fn stall_at(&self) -> u64 {
        self.progress_ms.saturating_add(self.config.view_timeout_ms.saturating_mul(STALL_FACTOR))
    }

    /// Whether others are further than the window reaches: votes alone will not bring this node up.
    pub(super) fn lags(&self) -> bool {
        self.seen > self.tip.parent.height && !self.in_window(self.seen)
    }

    pub(super) fn retry_interval(&self) -> u64 {
        self.config.fast_timeout_ms.saturating_mul(1 << self.retry_backoff)
    }

    /// Says again what nobody may have heard: own votes and proposals for open heights; and asks another
    /// seat for decided blocks, in case they exist.
    fn repeat(&mut self, effects: &mut Vec<Effect>) {
        let votes = self.record.all_votes().cloned().map(ConsensusMessage::Vote);
        effects.extend(votes.map(Effect::Broadcast));
        if self.leads() && self.view.open {
            let own = self.rounds.values().filter(|round| round.block.is_some());
            let own = own.filter_map(|round| round.proposal.clone());
            effects.extend(own.map(|proposal| Effect::Broadcast(ConsensusMessage::Proposal(proposal))));
        }
        self.repeat_view(effects);
        // A false claim of a far height is believed for one interval at most.
        self.seen = self.tip.parent.height;
        self.sync_after_ms = self.now_ms;
        let to = self.next_peer();
        self.ask_blocks(to, effects);
        self.retry_ms = self.now_ms.saturating_add(self.retry_interval());
        self.retry_backoff = (self.retry_backoff + 1).min(BACKOFF_MAX);
    }

    /// The other seats in turn.
    pub(super) fn next_peer(&mut self) -> SeatIndex {
        let seats = self.config.verifiers + 1;
        self.retry_peer = (self.retry_peer + 1) % seats;
        if self.seat == Some(SeatIndex(self.retry_peer)) {
            self.retry_peer = (self.retry_peer + 1) % seats;
        }
        SeatIndex(self.retry_peer)
    }

    /// Asks a seat for decided blocks above the tip; no more than once a request delay.
    pub(super) fn ask_blocks(&mut self, to: SeatIndex, effects: &mut Vec<Effect>) {
        if self.now_ms < self.sync_after_ms || self.seat.is_none() {
            return;
        }
        self.sync_after_ms = self.now_ms.saturating_add(self.request_delay());
        self.sync_until = Height(self.tip.parent.height.0.saturating_add(SERVE_BLOCKS_MAX as u64));
        let message = ConsensusMessage::BlockRequest { from: self.tip.parent.height.next() };
        effects.push(Effect::Send { to, message });
    }

    pub(super) fn on_block(
        &mut self,
        from: SeatIndex,
        certified: CertifiedBlock,
        effects: &mut Vec<Effect>,
    ) -> Result<(), ConsensusError> {
        let CertifiedBlock { block, certificate } = certified;
        let height = block.header.height;
        self.seen = self.seen.max(height);
        let fetched = self.rounds.get(&height).is_some_and(|round| round.fetched.is_some());
        if !self.in_window(height) || fetched || self.peers[usize::from(from.0)].struck == Some(height) {
            return Ok(());
        }
        let hash = block.header.hash();
        let target = self.target(height, hash);
        let target = VoteTarget { view: certificate.target.view, ..target };
        let names = certificate.kind.decides() && certificate.target == target;
        if !names || !self.crypto.verify_certificate(self.quorum.decide(), &certificate) {
            self.peers[usize::from(from.0)].struck = Some(height);
            return Self::refuse(from, Offence::Certificate, effects);
        }
        if entries_root(&block.body.entries) != block.header.entries_root {
            return Self::refuse(from, Offence::Body, effects);
        }
        self.adopt(certificate, effects)?;
        let round = self.rounds.entry(height).or_default();
        round.fetched = Some(Arc::new(block));
        while self.try_decide(effects)? {}
        if self.tip.parent.height >= self.sync_until && self.seen > self.tip.parent.height {
            self.sync_after_ms = self.now_ms;
            self.ask_blocks(from, effects);
        }
        Ok(())
    }

    /// Counts a request against its sender's allowance.
    pub(super) fn allow(&mut self, from: SeatIndex, effects: &mut Vec<Effect>) -> bool {
        let (now, span) = (self.now_ms, self.config.fast_timeout_ms);
        let peer = &mut self.peers[usize::from(from.0)];
        if now.saturating_sub(peer.window_ms) >= span {
            (peer.window_ms, peer.requests, peer.served) = (now, 0, 0);
        }
        peer.requests = peer.requests.saturating_add(1);
        if peer.requests == REQUESTS_MAX + 1 {
            Self::penalise(from, Offence::Flood, effects);
        }
        peer.requests <= REQUESTS_MAX
    }

    pub(super) fn on_block_request(&mut self, from: SeatIndex, height: Height, effects: &mut Vec<Effect>) {
        if !self.allow(from, effects) || height > self.tip.parent.height {
            return;
        }
        let (now, delay) = (self.now_ms, self.request_delay());
        let asked = &mut self.peers[usize::from(from.0)].blocks_asked;
        // A batch of blocks is a large answer to a small question: once for each question.
        if asked.is_none_or(|(at, when)| at != height || now.saturating_sub(when) >= delay) {
            *asked = Some((height, now));
            effects.push(Effect::ServeBlocks { to: from, from: height });
        }
    }

    pub(super) fn on_fragment_request(
        &mut self,
        from: SeatIndex,
        hash: BlockHash,
        first_entry: u32,
        effects: &mut Vec<Effect>,
    ) {
        let mut recent = self.recent.values().map(|recent| &recent.block);
        let recent = recent.find(|block| block.header.hash() == hash).cloned();
        let found = recent.or_else(|| self.find_block(&hash));
        let Some(block) = found.filter(|_| self.allow(from, effects)) else { return };
        let peer = &mut self.peers[usize::from(from.0)];
        for fragment in fragments(&block, first_entry) {
            let bytes: usize = fragment.entries.iter().map(entry_bytes).sum();
            if peer.served.saturating_add(bytes) > SERVE_BYTES_MAX {
                return;
            }
            peer.served += bytes;
            effects.push(Effect::Send { to: from, message: ConsensusMessage::Fragment(fragment) });
        }
    }

    /// Helps a seat that still talks of a height that was decided long ago here.
    pub(super) fn help(
        &mut self,
        to: SeatIndex,
        height: Height,
        block: Option<BlockHash>,
        effects: &mut Vec<Effect>,
    ) {
        let (now, patience) = (self.now_ms, self.config.fast_timeout_ms / 2);
        let peer = &mut self.peers[usize::from(to.0)];
        if peer.helped_ms.is_some_and(|at| now.saturating_sub(at) < patience) {
            return;
        }
        let recent = self.recent.get(&height);
        // A vote that crossed the certificate on its way needs no help.
        if recent.is_some_and(|recent| now.saturating_sub(recent.decided_ms) < patience) {
            return;
        }
        peer.helped_ms = Some(now);
        let same = recent.filter(|recent| Some(recent.certificate.target.block) == block);
        effects.push(match same {
            Some(recent) => {
                let message = ConsensusMessage::Certificate(recent.certificate.clone());
                Effect::Send { to, message }
            }
            None => Effect::ServeBlocks { to, from: height },
        });
    }

    /// Asks to be woken at the next thing that is due.
    pub(super) fn schedule(&mut self, effects: &mut Vec<Effect>) {
        let open = |round: &Round| [round.fast_deadline_ms, round.body_retry_ms];
        let rounds = self.rounds.values().flat_map(open).flatten();
        let stall = self.stalled.is_none().then(|| self.stall_at());
        let sync = self.lags().then_some(self.sync_after_ms);
        let view = [self.view_deadline_ms(), self.view.retry_ms];
        let own = [Some(self.retry_ms), self.slot_wait_ms, stall, sync].into_iter().chain(view);
        let next = rounds.chain(own.flatten()).min();
        let next = next.map(|at| at.max(self.now_ms.saturating_add(1)));
        if let Some(at) = next.filter(|_| next != self.wake_ms) {
            effects.push(Effect::WakeAt(at));
        }
        self.wake_ms = next;
    }
}

/// Cuts a body into fragments from an entry on: at most [`SERVE_FRAGMENTS_MAX`].
fn fragments(block: &Block, first_entry: u32) -> Vec<Fragment> {
    let header = &block.header;
    let make = |first: usize, entries: Vec<Entry>| Fragment {
        network: header.network,
        domain: header.domain,
        height: header.height,
        slot: header.slot,
        view: header.view,
        parent: header.parent,
        proposer: header.proposer,
        root_reference: header.root_reference,
        first_entry: u32::try_from(first).expect("BLOCK_ENTRIES_MAX fits u32"),
        entries: BoundedVec::try_from(entries).expect("a part of a body is within its bound"),
    };
    let mut out = Vec::new();
    let mut first = first_entry as usize;
    let entries = &block.body.entries;
    while first < entries.len() && out.len() < SERVE_FRAGMENTS_MAX {
        let mut end = first;
        let mut bytes = 0;
        while end < entries.len()
            && (end == first || bytes + entry_bytes(&entries[end]) <= FRAGMENT_BYTES_TARGET)
        {
            bytes += entry_bytes(&entries[end]);
            end += 1;
        }
        out.push(make(first, entries[first..end].to_vec()));
        first = end;
    }
    out
}
