//! What goes wrong, and what byzantine seats make of their messages.

use std::sync::Arc;

use alloy_primitives::{B256, U256};
use anfs_consensus::root::{RootCrypto, RootDraft};
use anfs_crypto::outbox::LaneBatch;
use anfs_primitives::{DomainId, Height, MessageBody, NetworkId, RootMessage, RootProposal, RootSeat};

use super::crypto::RootSigner;
use super::plan::Misdeed;
use super::process::Packet;
use super::world::{Event, World};

/// What is wrong with forged answers.
const FORGERIES: [&str; 7] = [
    "forged: other network",
    "forged: other shard",
    "forged: other lane",
    "forged: fork",
    "forged: gap",
    "forged: replay",
    "forged: left out",
];

impl World {
    fn blame(&mut self, kind: &'static str) {
        *self.report.faults.entry(kind).or_default() += 1;
    }

    /// Whether a process dies at a log record, and whether the record is whole on disk.
    pub(super) fn dies_at_record(&mut self) -> (bool, bool) {
        let dies = !self.healed() && self.luck.chance(self.plan.crash);
        (dies, !dies || self.luck.chance(500))
    }

    /// A process dies, and comes back later.
    pub(super) fn crash(&mut self, index: usize, kind: &'static str) {
        self.blame(kind);
        let lost = [self.luck.index(3), self.luck.index(3)];
        let process = &mut self.processes[index];
        process.live = None;
        process.incarnation += 1;
        let disk = &mut process.disk;
        disk.chain.truncate(disk.chain.len().saturating_sub(lost[0]).max(disk.chain_safe));
        disk.roots.truncate(disk.roots.len().saturating_sub(lost[1]).max(disk.roots_safe));
        let down = self.luck.between(10, 2_500);
        self.queue.push(self.now_ms + down, Event::Restart(index));
    }

    /// Every process of the network, or of one shard, dies.
    pub(super) fn blackout(&mut self) {
        if self.healed() {
            return;
        }
        if self.luck.chance(self.plan.blackout) {
            let only = DomainId(u32::try_from(self.luck.below(u64::from(self.plan.shards) + 1)).unwrap_or(0));
            for index in 0..self.processes.len() {
                let process = &self.processes[index];
                if process.live.is_some() && (only.0 == 0 || process.seat.domain == only) {
                    self.crash(index, "crash of all");
                }
            }
        }
        self.queue.push(self.now_ms + 1_000, Event::Blackout);
    }

    /// The network falls apart: at random, or one shard is cut off, or the root's leader.
    pub(super) fn cut(&mut self) {
        self.sides.clear();
        if self.healed() {
            return;
        }
        if self.luck.chance(self.plan.partition) {
            let seats: Vec<RootSeat> = self.config.seats().collect();
            let leader =
                (0..self.processes.len()).find_map(|index| Some(self.cores(index)?.1.status().leader));
            let (kind, shard) = (self.luck.below(3), self.luck.below(u64::from(self.plan.shards)) + 1);
            for seat in seats {
                let side = match kind {
                    0 => self.luck.below(2),
                    1 => u64::from(u64::from(seat.domain.0) == shard),
                    _ => u64::from(Some(seat) == leader),
                };
                self.sides.insert(seat, side);
            }
            let kinds = ["partition", "shard cut off", "root leader cut off"];
            self.blame(kinds[usize::try_from(kind).unwrap_or(0)]);
        }
        let next = self.now_ms + self.luck.between(300, 2_500);
        self.queue.push(next, Event::Cut);
    }

    /// Puts something on the wire.
    pub(super) fn carry(&mut self, index: usize, to: RootSeat, packet: &Packet) {
        let from = self.processes[index].seat;
        let Some(receiver) = self.index.get(&to).copied() else { return };
        if self.sides.get(&from) != self.sides.get(&to) {
            return self.blame("message lost");
        }
        let (weather, foul) = (self.plan.weather, !self.healed());
        let copies = 1 + u64::from(foul && self.luck.chance(u64::from(weather.duplication)));
        for copy in 0..copies {
            if foul && self.luck.chance(u64::from(weather.loss)) {
                self.blame("message lost");
                continue;
            }
            if copy > 0 {
                self.blame("message doubled");
            }
            let mut delay = weather.delay_ms + self.luck.below(weather.jitter_ms + 1);
            if foul && self.luck.chance(u64::from(weather.straggling)) {
                self.blame("message late");
                delay += self.luck.below(weather.straggle_ms + 1);
            }
            let event = Event::Deliver { to: receiver, from, packet: packet.clone() };
            self.queue.push(self.now_ms + delay, event);
        }
    }

    /// Says something about the root, to one seat or to all.
    pub(super) fn say(&mut self, index: usize, to: Option<RootSeat>, message: RootMessage) {
        let from = self.processes[index].seat;
        let seats: Vec<RootSeat> = match to {
            Some(to) => vec![to],
            None => self.config.seats().filter(|seat| *seat != from).collect(),
        };
        let mut other = None;
        if let Some(misdeed) = self.plan.byzantine.get(&from).copied() {
            let silent = match (misdeed, &message) {
                (Misdeed::Withhold, RootMessage::Proposal(_))
                | (Misdeed::Mute, RootMessage::Report(_))
                | (Misdeed::Abstain, RootMessage::Tally(_)) => true,
                (Misdeed::Equivocate | Misdeed::NameNothing, RootMessage::Proposal(proposal)) => {
                    other = self.empty_block(index, proposal).map(Arc::new);
                    false
                }
                _ => false,
            };
            if silent || other.is_some() {
                self.blame(misdeed.name());
            }
            if silent {
                return;
            }
        }
        let message = Arc::new(message);
        let all = self.plan.byzantine.get(&from) == Some(&Misdeed::NameNothing);
        for to in seats {
            let second = other.clone().filter(|_| all || self.luck.chance(500));
            self.carry(index, to, &Packet::Root(second.unwrap_or_else(|| message.clone())));
        }
    }

    /// A proposal that names no shard block, well signed, in place of the leader's own.
    fn empty_block(&self, index: usize, proposal: &RootProposal) -> Option<RootMessage> {
        let seat = self.processes[index].seat;
        let (_, root) = self.cores(index)?;
        let header = &proposal.block.header;
        let view = proposal.view;
        if header.view != view {
            return None;
        }
        let draft = RootDraft {
            epoch: self.config.epoch,
            view,
            proposer: seat,
            timestamp_ms: header.timestamp_ms,
            references: Vec::new(),
            inbound: Vec::new(),
            execution: header.execution.clone(),
        };
        let (block, _) = root.state().build(draft).ok()?;
        let signer = RootSigner { own: seat, keys: self.keys.clone(), quorum: 0 };
        let target = self.config.target(block.header.height, view, block.header.hash());
        let signature = signer.sign_proposal(seat, &target).ok()?;
        let (block, timeouts) = (Arc::new(block), proposal.timeouts.clone());
        Some(RootMessage::Proposal(Box::new(RootProposal { view, block, timeouts, signature })))
    }

    /// Answers a request for messages.
    pub(super) fn show(&mut self, index: usize, to: RootSeat, destination: DomainId, height: Height) {
        let process = &mut self.processes[index];
        let seat = process.seat;
        let Some(batch) = process.batch(height, destination) else { return };
        let misdeed = self.plan.byzantine.get(&seat).copied();
        if misdeed == Some(Misdeed::Mute) {
            return self.blame("withheld messages");
        }
        let forges = misdeed == Some(Misdeed::ForgeLanes) || self.plan.is_captured(seat.domain);
        let batch = if forges && self.luck.chance(600) {
            self.forge(index, destination, height, &batch)
        } else {
            batch
        };
        self.carry(index, to, &Packet::Batch { source: seat.domain, destination, height, batch });
    }

    /// Messages that are not those that were asked for.
    fn forge(
        &mut self,
        index: usize,
        destination: DomainId,
        height: Height,
        batch: &Arc<LaneBatch>,
    ) -> Arc<LaneBatch> {
        let kind = self.luck.index(FORGERIES.len());
        self.blame(Misdeed::ForgeLanes.name());
        self.blame(FORGERIES[kind]);
        let mut forged = LaneBatch::clone(batch);
        let mut messages = forged.messages.to_vec();
        let shards = self.plan.shards;
        for message in &mut messages {
            match kind {
                0 => message.network = NetworkId(8),
                1 => message.source = DomainId(message.source.0 % shards + 1),
                3 => message.origin = B256::repeat_byte(0xf0),
                4 => message.sequence += 1,
                _ => {}
            }
        }
        match kind {
            2 => {
                let lanes = (1..=shards).map(DomainId).filter(|other| *other != destination);
                let other = lanes.collect::<Vec<_>>();
                let other = *self.luck.pick(&other);
                return self.processes[index].batch(height, other).unwrap_or(Arc::new(forged));
            }
            3 => {
                if let Some(MessageBody::Credit { value, .. }) = messages.first_mut().map(|one| &mut one.body)
                {
                    *value += U256::ONE;
                }
            }
            5 => {
                let earlier = (1..height.0).rev().map(Height);
                let process = &mut self.processes[index];
                let earlier = earlier.take(4).find_map(|height| process.batch(height, destination));
                return earlier.unwrap_or(Arc::new(forged));
            }
            6 => drop(messages.pop()),
            _ => {}
        }
        forged.messages = messages.try_into().unwrap_or_default();
        Arc::new(forged)
    }
}
