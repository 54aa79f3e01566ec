//! Inputs into the cores, effects out of them, and what a node does around both.

use std::sync::Arc;

use anfs_consensus::root::{
    OWN_REFERENCES_MAX, ROOT_SERVE_MAX, RootCore, RootEffect, RootEvidence, RootInput,
};
use anfs_consensus::shard::SERVE_BLOCKS_MAX;
use anfs_consensus::{Effect, Input, ShardCore, Unneeded};
use anfs_crypto::outbox::LaneBatch;
use anfs_primitives::{
    Block, CertifiedRootBlock, ConsensusMessage, DomainId, Height, RootMessage, RootSeat, SealedRootHeader,
    SeatIndex,
};

use super::block::{ENTRIES, Recipe, build, inbox_gas};
use super::inbox::{ASK_AGAIN_MS, Due, Taken};
use super::process::{Asked, CoreInput, Packet, Process};
use super::world::{Event, World};
use crate::blocks::fragment;
use crate::seat::Decided;

/// Decided blocks between two rewritings of a log.
const COMPACT_EVERY: usize = 8;
/// How long a check takes at most.
const CHECK_MS: u64 = 12;

/// An effect of either core.
enum Done {
    Shard(Effect),
    Root(RootEffect),
}

impl World {
    /// Gives a core an input, and both cores what follows from it.
    pub(super) fn give(&mut self, index: usize, input: CoreInput) {
        let Some(live) = &mut self.processes[index].live else { return };
        live.inputs.push_back(input);
        loop {
            while self.step(index) {}
            self.work(index);
            if self.processes[index].live.as_ref().is_none_or(|live| live.inputs.is_empty()) {
                return;
            }
        }
    }

    /// One step of a core; false when there is nothing to do, or nobody to do it.
    fn step(&mut self, index: usize) -> bool {
        let now_ms = self.now_ms + self.processes[index].skew_ms;
        let seat = self.processes[index].seat;
        let Some(live) = &mut self.processes[index].live else { return false };
        let Some(input) = live.inputs.pop_front() else { return false };
        self.report.steps += 1;
        let (mut shard, mut root) = (Vec::new(), Vec::new());
        let result = match input {
            CoreInput::Shard(input) => live.shard.step(now_ms, input, &mut shard),
            CoreInput::Root(input) => live.root.step(now_ms, input, &mut root),
        };
        if let Err(error) = result {
            self.checker.find(format!("{seat} fails: {error}"));
            return false;
        }
        let all = shard.into_iter().map(Done::Shard).chain(root.into_iter().map(Done::Root));
        for effect in all {
            let alive = match effect {
                Done::Shard(effect) => self.shard_effect(index, effect),
                Done::Root(effect) => self.root_effect(index, effect),
            };
            if !alive {
                self.crash(index, "crash at a log record");
                return false;
            }
        }
        self.compact(index);
        true
    }

    /// Now and then the blocks are synced, and the logs cut to what is still needed. Not within a step: the cores need
    /// no records of what they have just decided, and the disk may not hold it yet.
    fn compact(&mut self, index: usize) {
        let Process { disk, live, .. } = &mut self.processes[index];
        let Some(live) = live else { return };
        if disk.chain.len() >= disk.chain_safe + COMPACT_EVERY {
            disk.chain_safe = disk.chain.len();
            disk.shard_log = live.shard.live_records();
        }
        if disk.roots.len() >= disk.roots_safe + COMPACT_EVERY {
            disk.roots_safe = disk.roots.len();
            disk.root_log = live.root.live_records();
        }
    }

    /// Carries out an effect of the shard's core; false when the process dies at it.
    fn shard_effect(&mut self, index: usize, effect: Effect) -> bool {
        let process = &mut self.processes[index];
        let seat = process.seat;
        let Some(live) = &mut process.live else { return true };
        match effect {
            Effect::StartSlot { height, slot, view, parent } => {
                live.asked = Some(Asked { height, slot, view, parent });
                live.build = live.asked;
            }
            Effect::Check { block, depth, .. } => {
                let hash = block.header.hash();
                if !process.executed.contains_key(&hash) {
                    live.open.insert(hash, block);
                }
                live.checks.push((hash, depth));
            }
            Effect::Persist(record) => {
                let (dies, written) = self.dies_at_record();
                if written {
                    self.processes[index].disk.shard_log.push(record);
                }
                return !dies;
            }
            Effect::Send { to, message } => self.tell_seat(index, to, message),
            Effect::Broadcast(message) => {
                let message = Arc::new(message);
                let peers = (0..=self.plan.verifiers).map(SeatIndex).filter(|one| *one != seat.seat);
                for peer in peers {
                    let to = RootSeat { domain: seat.domain, seat: peer };
                    self.carry(index, to, &Packet::Shard(message.clone()));
                }
            }
            Effect::ServeBlocks { to, from } => {
                let first = usize::try_from(from.0.saturating_sub(1)).unwrap_or(usize::MAX);
                let chain = process.disk.chain.iter().skip(first).take(SERVE_BLOCKS_MAX);
                for block in chain.map(Decided::to_certified).collect::<Vec<_>>() {
                    self.tell_seat(index, to, ConsensusMessage::Block(Box::new(block)));
                }
            }
            Effect::Decided { block, certificate } => self.decided(index, Decided { block, certificate }),
            Effect::WakeAt(at_ms) => self.wake_at(index, 0, at_ms),
            Effect::Drop(Unneeded::Block(hash)) => {
                live.open.remove(&hash);
                live.checks.retain(|(block, _)| *block != hash);
            }
            Effect::Drop(Unneeded::Stream { .. }) | Effect::Entries { .. } => {}
            Effect::Evidence(evidence) => {
                if self.plan.is_honest(seat) && !self.plan.is_captured(seat.domain) {
                    self.checker.find(format!("{seat} accuses a seat of its honest shard: {evidence:?}"));
                }
            }
            Effect::Penalise { seat: whom, offence } => {
                self.checker.find(format!("{seat} penalises honest seat {whom} of its shard: {offence}"));
            }
        }
        true
    }

    /// Carries out an effect of the root's core; false when the process dies at it.
    fn root_effect(&mut self, index: usize, effect: RootEffect) -> bool {
        let process = &mut self.processes[index];
        let seat = process.seat;
        match effect {
            RootEffect::Persist(record) => {
                let (dies, written) = self.dies_at_record();
                if written {
                    self.processes[index].disk.root_log.push(record);
                }
                return !dies;
            }
            RootEffect::Send { to, message } => self.say(index, Some(to), message),
            RootEffect::Broadcast(message) => self.say(index, None, message),
            RootEffect::Final { block } => self.finalised(index, &block),
            RootEffect::ServeBlocks { to, from } => {
                let first = usize::try_from(from.0).unwrap_or(usize::MAX).saturating_sub(1);
                let blocks: Vec<_> =
                    process.disk.roots.iter().skip(first).take(ROOT_SERVE_MAX).cloned().collect();
                for block in blocks {
                    let message = RootMessage::Block(Box::new(CertifiedRootBlock::clone(&block)));
                    self.say(index, Some(to), message);
                }
            }
            RootEffect::WantCertified { from } => {
                let last = Height(process.disk.chain.len() as u64);
                let heights = (from.0..=last.0).take(OWN_REFERENCES_MAX).map(Height);
                let references: Vec<_> =
                    heights.filter_map(|height| process.disk.reference(height)).collect();
                if let Some(live) = &mut process.live {
                    let inputs = references.into_iter().map(RootInput::Certified).map(CoreInput::Root);
                    live.inputs.extend(inputs);
                }
            }
            RootEffect::WantInbound(want) => {
                if let Some(live) = &mut process.live {
                    live.wants.insert((want.proposer.domain, want.height), (want, 0, 0));
                }
            }
            RootEffect::Evidence(evidence) => self.evidence(seat, &evidence),
            RootEffect::Penalise { seat: whom, offence } => {
                if self.plan.is_honest(seat) && self.plan.is_honest(whom) {
                    self.checker.find(format!("{seat} penalises honest {whom} at the root: {offence}"));
                }
            }
            RootEffect::WakeAt(at_ms) => self.wake_at(index, 1, at_ms),
        }
        true
    }

    fn evidence(&mut self, by: RootSeat, evidence: &RootEvidence) {
        let kind = match evidence {
            RootEvidence::Proposals { .. } => "two root blocks",
            RootEvidence::Votes { .. } => "two root votes",
            RootEvidence::Timeouts { .. } => "two root time-outs",
            RootEvidence::Overdrawn { .. } => "captured shard",
        };
        *self.report.evidence.entry(kind).or_default() += 1;
        // Byzantine seats forge what they send: what their cores find is as good as anybody's.
        if let Some(seat) = evidence.offender().filter(|seat| self.plan.is_honest(*seat)) {
            self.checker.find(format!("{by} accuses honest {seat} of {kind}"));
        }
        if let RootEvidence::Overdrawn { reference, .. } = evidence {
            self.checker.accused(by, reference);
        }
    }

    fn wake_at(&mut self, index: usize, core: usize, at_ms: u64) {
        let process = &mut self.processes[index];
        let at_ms = at_ms.saturating_sub(process.skew_ms).max(self.now_ms + 1);
        if let Some(live) = &mut process.live {
            live.wakes[core] = Some(at_ms);
            self.queue.push(at_ms, Event::Wake { index, core });
        }
    }

    /// The shard has decided a block here.
    fn decided(&mut self, index: usize, decided: Decided) {
        let process = &mut self.processes[index];
        let (seat, header) = (process.seat, decided.block.header.clone());
        let Some(live) = &mut process.live else { return };
        if header.height.0 != process.disk.chain.len() as u64 + 1 {
            return self.checker.find(format!("{seat} decides height {} out of turn", header.height));
        }
        if !process.executed.contains_key(&header.hash()) {
            live.open.insert(header.hash(), decided.block.clone());
        }
        process.disk.chain.push(decided);
        if let Some(reference) = process.disk.reference(header.height) {
            live.inputs.push_back(CoreInput::Root(RootInput::Certified(reference)));
        }
        self.checker.decided(self.now_ms, seat, &header);
    }

    /// A root block is final here.
    fn finalised(&mut self, index: usize, block: &Arc<CertifiedRootBlock>) {
        let process = &mut self.processes[index];
        let Some(live) = &mut process.live else { return };
        if block.block.header.height.0 != process.disk.roots.len() as u64 + 1 {
            return self.checker.find(format!("{} skips to {}", process.seat, block.block.header.height));
        }
        process.disk.roots.push(block.clone());
        let header = block.block.header.clone();
        let Some(parent) = self.roots.get(&header.parent).cloned() else {
            return self
                .checker
                .find(format!("{} has not executed root block {}", process.seat, header.parent));
        };
        live.inbox.extend(block, parent.batch(process.seat.domain));
        let state = live.root.state();
        live.wants.retain(|(source, height), _| state.want(*source, *height).is_some());
        let supply = state.ledger().supply();
        let due = self.issuance.issued_at(header.timestamp_ms);
        let pays = header.timestamp_ms < self.plan.quiet_ms;
        let next = || parent.next(&block.block, due, self.plan.shards, pays);
        self.roots.entry(header.hash()).or_insert_with(next);
        self.checker.finalised(self.now_ms, process.seat, block, supply, &parent);
        self.executes(index, &header);
        self.fetch(index);
    }

    /// Executing a root block takes a while.
    pub(super) fn executes(&mut self, index: usize, header: &SealedRootHeader) {
        let incarnation = self.processes[index].incarnation;
        let at_ms = self.now_ms + self.luck.between(1, CHECK_MS);
        let (block, height) = (header.hash(), header.height);
        self.queue.push(at_ms, Event::Executed { index, incarnation, block, height });
    }

    /// Executes what can be, answers the core's checks, builds what it asks for.
    fn work(&mut self, index: usize) {
        let done = self.processes[index].execute();
        for executed in &done {
            self.checker.executed(self.processes[index].seat, executed);
        }
        let process = &mut self.processes[index];
        let (captured, incarnation) = (process.captured, process.incarnation);
        let Some(live) = &mut process.live else { return };
        let mut ready = Vec::new();
        live.checks.retain(|(hash, depth)| {
            let Some(executed) = process.executed.get(hash) else { return true };
            let result = if captured { Ok(()) } else { executed.verdict };
            ready.push(Input::Checked { block: *hash, depth: *depth, result });
            false
        });
        for input in ready {
            let at_ms = self.now_ms + self.luck.between(1, CHECK_MS);
            self.queue.push(at_ms, Event::Checked { index, incarnation, input: Box::new(input) });
        }
        self.build(index);
    }

    fn build(&mut self, index: usize) {
        let quiet = self.now_ms >= self.plan.quiet_ms;
        let process = &self.processes[index];
        let (seat, incarnation) = (process.seat, process.incarnation);
        let Some(live) = &process.live else { return };
        let Some(asked) = live.build else { return };
        let Some(parent) = process.executed.get(&asked.parent).cloned() else { return };
        let latest = live.inbox.latest();
        let held = parent.header.root_reference;
        let root = if latest.height > held.height { latest } else { held };
        let known = if process.captured { live.inbox.root(root.height) } else { root };
        let gas = inbox_gas(parent.header.gas_limit);
        let Due::Messages(due) = live.inbox.due(&known, &parent.bank.cursors, gas) else { return };
        let Asked { slot, view, .. } = asked;
        let recipe = Recipe { slot, view, proposer: seat.seat, root, salt: incarnation };
        let operations = self.plan.pay(&mut self.payments, &parent, root.height > held.height, quiet);
        let (block, executed) = build(&parent, &recipe, &due, &operations);
        self.checker.executed(seat, &executed);
        let process = &mut self.processes[index];
        process.executed.insert(block.header.hash(), executed);
        if let Some(live) = &mut process.live {
            live.build = None;
        }
        let early = ConsensusMessage::Fragment(fragment(&block, 0..1));
        self.tell_shard(index, early);
        let at_ms = self.shards[&seat.domain].slot_start_ms(slot.next()).max(self.now_ms + 1);
        self.queue.push(at_ms, Event::Built { index, incarnation, block: Box::new(block) });
    }

    /// A slot is over, and its block complete.
    pub(super) fn built(&mut self, index: usize, block: Box<Block>) {
        let Some(live) = &self.processes[index].live else { return };
        let header = &block.header;
        let (height, slot, view, parent) = (header.height, header.slot, header.view, header.parent);
        if live.asked != Some(Asked { height, slot, view, parent }) {
            return;
        }
        self.tell_shard(index, ConsensusMessage::Fragment(fragment(&block, 1..ENTRIES)));
        self.give(index, CoreInput::Shard(Input::Built(block)));
    }

    fn tell_shard(&mut self, index: usize, message: ConsensusMessage) {
        let seat = self.processes[index].seat;
        let message = Arc::new(message);
        for peer in (0..=self.plan.verifiers).map(SeatIndex).filter(|one| *one != seat.seat) {
            self.carry(index, RootSeat { domain: seat.domain, seat: peer }, &Packet::Shard(message.clone()));
        }
    }

    fn tell_seat(&mut self, index: usize, to: SeatIndex, message: ConsensusMessage) {
        let to = RootSeat { domain: self.processes[index].seat.domain, seat: to };
        self.carry(index, to, &Packet::Shard(Arc::new(message)));
    }

    /// Something has arrived.
    pub(super) fn deliver(&mut self, to: usize, from: RootSeat, packet: Packet) {
        self.checker.delivered(self.now_ms, to, from, &packet);
        let process = &mut self.processes[to];
        let Some(live) = &mut process.live else { return };
        match packet {
            Packet::Shard(message) => {
                let message = Arc::unwrap_or_clone(message);
                self.give(to, CoreInput::Shard(Input::Message { from: from.seat, message }));
            }
            Packet::Root(message) => {
                let message = Arc::unwrap_or_clone(message);
                self.give(to, CoreInput::Root(RootInput::Message { from, message }));
            }
            Packet::Want { destination, height } => self.show(to, from, destination, height),
            Packet::Batch { source, destination: DomainId::ROOT, height, batch } => {
                self.offer(to, source, height, batch);
            }
            Packet::Batch { source, height, batch, .. } => {
                let domain = process.seat.domain;
                match live.inbox.answer(source, height, &batch) {
                    Taken::Wanted => {
                        self.work(to);
                        self.drain(to);
                    }
                    Taken::Spare => {}
                    Taken::Refused => self.report.refused += 1,
                    Taken::Hollow => {
                        self.report.refused += 1;
                        if !self.plan.is_captured(source) {
                            let text = format!("{domain} finds the claims of honest shard {source} hollow");
                            self.checker.find(text);
                        }
                    }
                }
            }
        }
    }

    /// Messages to the root have come.
    fn offer(&mut self, to: usize, source: DomainId, height: Height, batch: Arc<LaneBatch>) {
        let network = self.config.network;
        let Some(live) = &mut self.processes[to].live else { return };
        let Some((want, ..)) = live.wants.get(&(source, height)) else { return };
        if want.verify(&batch, network).is_err() {
            self.report.refused += 1;
            return;
        }
        live.wants.remove(&(source, height));
        self.give(to, CoreInput::Root(RootInput::Inbound { source, height, batch }));
    }

    /// Lets the cores take what work has left for them.
    fn drain(&mut self, index: usize) {
        while self.step(index) {}
    }

    /// Asks for messages that are missing.
    pub(super) fn fetch(&mut self, index: usize) {
        let (now_ms, own) = (self.now_ms, self.processes[index].seat.domain);
        let Some(live) = &mut self.processes[index].live else { return };
        let seats = self.plan.verifiers + 1;
        let mut asked: Vec<(DomainId, RootSeat, Height)> =
            live.inbox.requests(now_ms).into_iter().map(|(to, height)| (own, to, height)).collect();
        for (want, tries, again_at_ms) in live.wants.values_mut().filter(|(.., at)| *at <= now_ms) {
            let seat = SeatIndex((want.proposer.seat.0 + *tries) % seats);
            (*tries, *again_at_ms) = ((*tries + 1) % seats, now_ms + ASK_AGAIN_MS);
            let to = RootSeat { seat, ..want.proposer };
            asked.push((DomainId::ROOT, to, want.height));
        }
        for (destination, to, height) in asked {
            if to == self.processes[index].seat {
                self.show(index, to, destination, height);
            } else {
                self.carry(index, to, &Packet::Want { destination, height });
            }
        }
    }

    /// The shard's core of a living seat, and the root's.
    pub(super) fn cores(&self, index: usize) -> Option<(&ShardCore, &RootCore)> {
        self.processes[index].live.as_ref().map(|live| (&live.shard, &live.root))
    }
}
