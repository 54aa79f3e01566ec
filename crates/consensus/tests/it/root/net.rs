//! The virtual network: time, messages, crashes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use alloy_primitives::{B256, U256};
use anfs_consensus::root::{
    ROOT_SERVE_MAX, RootConfig, RootCore, RootCrypto, RootEffect, RootInput, RootLogRecord, RootState,
    genesis_root_header,
};
use anfs_primitives::{
    CertificateKind, CertifiedRootBlock, DomainId, Epoch, Height, Issuance, RootHash, RootMessage,
    RootReference, RootSeat, SealedHeader, SealedRootHeader,
};
use anfs_sim::rng::Rng;

use super::checks::Checks;
use super::crypto::{FakeCrypto, Keys};
use super::execution::RootAccounts;
use super::shards::{COINS, Shard, inbox, spec};

/// What a seat is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nature {
    Honest,
    /// One of two processes with the same key, each heard by a part of the network.
    Twin,
    /// Follows the protocol, and sends forged messages beside.
    Forger,
    /// Forgets its log in each crash.
    Amnesiac,
    /// Says nothing.
    Silent,
}

/// One process.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) seat: RootSeat,
    pub(super) nature: Nature,
    pub(super) core: Option<RootCore>,
    pub(super) log: Vec<RootLogRecord>,
    pub(super) blocks: Vec<Arc<CertifiedRootBlock>>,
    /// Blocks that a crash leaves.
    pub(super) durable: usize,
    /// Clock minus virtual time, in milliseconds.
    pub(super) skew_ms: u64,
    pub(super) wake_ms: Option<u64>,
    /// Whom a twin reaches.
    pub(super) reach: Option<BTreeSet<RootSeat>>,
    /// The newest root block that it has executed since it started.
    pub(super) executed: Height,
    /// Height up to which its own shard has been decided for it.
    pub(super) knows: u64,
}

#[derive(Clone, Debug)]
enum Event {
    Deliver { to: usize, from: RootSeat, message: RootMessage },
    Wake(usize),
    Restart(usize),
    Slot(usize),
    Certified { to: usize, height: u64 },
    Executed { to: usize, block: RootHash, height: Height },
    Inbound { to: usize, source: DomainId, height: Height },
    Partition,
    Blackout,
    Heal,
}

/// What befalls the network before it heals.
#[derive(Clone, Debug)]
pub(super) struct Weather {
    pub(super) heal_ms: u64,
    pub(super) delay_ms: u64,
    /// Of 1000 messages, how many are lost, doubled, or late by seconds.
    pub(super) loss: u64,
    pub(super) double: u64,
    pub(super) late: u64,
    /// Of 1000 log records, at how many the process dies.
    pub(super) crash: u64,
    pub(super) partition: u64,
    /// Of 1000 decisions that are told to a seat, how many it does not hear of.
    pub(super) deaf: u64,
    /// Of 1000, how many seconds end with all processes dead.
    pub(super) blackout: u64,
}

#[derive(Debug)]
pub(super) struct Net {
    pub(super) rng: Rng,
    pub(super) now_ms: u64,
    pub(super) config: RootConfig,
    pub(super) keys: Arc<Keys>,
    pub(super) genesis: RootState,
    pub(super) shards: Vec<Shard>,
    /// What the root blocks come to.
    pub(super) roots: BTreeMap<RootHash, RootAccounts>,
    issuance: Issuance,
    pub(super) processes: Vec<Process>,
    pub(super) weather: Weather,
    pub(super) checks: Checks,
    pub(super) chain: Vec<Arc<CertifiedRootBlock>>,
    pub(super) healed: bool,
    /// Side of the partition that each seat is on.
    sides: BTreeMap<RootSeat, u64>,
    queue: BTreeMap<(u64, u64), Event>,
    count: u64,
    pub(super) steps: u64,
}

impl Net {
    pub(super) fn new(seed: u64, shards: u64, verifiers: u16, weather: Weather) -> Self {
        let mut rng = Rng::new(seed);
        let spec = spec(&mut rng, shards, verifiers);
        let config = RootConfig::new(&spec, Epoch::ZERO, B256::from(U256::from(seed))).unwrap();
        let domains = (1..=u32::try_from(shards).unwrap()).map(DomainId);
        let shards: Vec<Shard> = domains.clone().map(|domain| Shard::new(&spec, domain)).collect();
        let coins: BTreeMap<DomainId, U256> = domains.map(|domain| (domain, U256::from(COINS))).collect();
        let headers: Vec<SealedHeader> = shards.iter().map(|shard| shard.headers[0].clone()).collect();
        let accounts = RootAccounts::default();
        let genesis = genesis_root_header(&spec, &headers, &coins, accounts.execution.clone());
        let roots = BTreeMap::from([(genesis.hash(), accounts)]);
        let genesis = RootState::genesis(&spec, genesis, headers, &coins);
        let keys = Keys::draw(&mut rng, &config);
        Self {
            checks: Checks::new(genesis.clone(), config.clone()),
            rng,
            now_ms: 0,
            config,
            keys,
            genesis,
            shards,
            roots,
            issuance: spec.issuance(),
            processes: Vec::new(),
            weather,
            chain: Vec::new(),
            healed: false,
            sides: BTreeMap::new(),
            queue: BTreeMap::new(),
            count: 0,
            steps: 0,
        }
    }

    /// Puts every seat on the network, those named with another nature than an honest one.
    pub(super) fn populate(&mut self, natures: &BTreeMap<RootSeat, Nature>) {
        let seats: Vec<RootSeat> = self.config.seats().collect();
        for seat in &seats {
            let nature = natures.get(seat).copied().unwrap_or(Nature::Honest);
            let mut reach: Vec<Option<BTreeSet<RootSeat>>> = vec![None];
            if nature == Nature::Twin {
                let some: BTreeSet<RootSeat> =
                    seats.iter().filter(|_| self.rng.chance(500)).copied().collect();
                let rest = seats
                    .iter()
                    .filter(|seat| !some.contains(seat) || self.rng.chance(200))
                    .copied()
                    .collect();
                reach = vec![Some(some), Some(rest)];
            }
            for reach in reach {
                let skew_ms = self.rng.below(60);
                self.processes.push(Process {
                    seat: *seat,
                    nature,
                    core: None,
                    log: Vec::new(),
                    blocks: Vec::new(),
                    durable: 0,
                    skew_ms,
                    wake_ms: None,
                    reach,
                    executed: Height::ZERO,
                    knows: 0,
                });
            }
        }
        self.checks.honest = seats.into_iter().filter(|seat| !natures.contains_key(seat)).collect();
        for index in 0..self.processes.len() {
            if self.processes[index].nature != Nature::Silent {
                let at = self.rng.below(100);
                self.at(at, Event::Restart(index));
            }
        }
        for shard in 0..self.shards.len() {
            self.at(200, Event::Slot(shard));
        }
        self.at(self.weather.heal_ms, Event::Heal);
        self.at(1000, Event::Partition);
        self.at(1000, Event::Blackout);
    }

    fn at(&mut self, at: u64, event: Event) {
        self.count += 1;
        self.queue.insert((at.max(self.now_ms), self.count), event);
    }

    /// Runs until a time, or until something is wrong.
    pub(super) fn run_until(&mut self, end_ms: u64) {
        while let Some(((at, _), event)) = self.queue.pop_first() {
            if at > end_ms || self.checks.failed.is_some() {
                self.count += 1;
                self.queue.insert((at, self.count), event);
                break;
            }
            self.now_ms = at;
            self.happen(event);
        }
        if self.checks.failed.is_none() {
            self.now_ms = end_ms;
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Deliver { to, from, message } => self.step(to, RootInput::Message { from, message }),
            Event::Wake(index) => {
                let process = &mut self.processes[index];
                if process.wake_ms == Some(self.now_ms) {
                    process.wake_ms = None;
                    self.step(index, RootInput::Tick);
                }
            }
            Event::Restart(index) => self.restart(index),
            Event::Slot(shard) => self.slot(shard),
            Event::Certified { to, height } => self.certified(to, height),
            Event::Executed { to, block, height } => {
                let execution = Box::new(self.roots[&block].execution.clone());
                let process = &mut self.processes[to];
                if process.core.is_some() {
                    process.executed = process.executed.max(height);
                }
                self.step(to, RootInput::Executed { height, execution });
            }
            Event::Inbound { to, source, height } => {
                let batch = self.shards[source.0 as usize - 1].batches[&height.0].clone();
                self.step(to, RootInput::Inbound { source, height, batch });
            }
            Event::Partition if !self.healed => self.partition(),
            Event::Partition => {}
            Event::Blackout => self.blackout(),
            Event::Heal => {
                self.healed = true;
                self.sides.clear();
                self.checks.healed(self.now_ms, self.chain.len());
            }
        }
    }

    fn partition(&mut self) {
        self.sides.clear();
        if self.rng.chance(self.weather.partition) {
            let sides = self.rng.between(2, 3);
            let seats: Vec<RootSeat> = self.config.seats().collect();
            self.sides = seats.into_iter().map(|seat| (seat, self.rng.below(sides))).collect();
        }
        let next = self.now_ms + self.rng.between(300, 3000);
        self.at(next, Event::Partition);
    }

    /// All processes die at once, now and then.
    fn blackout(&mut self) {
        if self.healed {
            return;
        }
        if self.rng.chance(self.weather.blackout) {
            for index in 0..self.processes.len() {
                if self.processes[index].core.is_some() {
                    self.crash(index);
                }
            }
        }
        self.at(self.now_ms + 1000, Event::Blackout);
    }

    /// A shard certifies its next block, and its seats learn of it.
    fn slot(&mut self, index: usize) {
        let domain = self.shards[index].domain;
        let others: Vec<DomainId> =
            self.shards.iter().map(|shard| shard.domain).filter(|other| *other != domain).collect();
        let was = self.shards[index].headers.last().unwrap().root_reference;
        let proposers: Vec<usize> = (0..self.processes.len())
            .filter(|one| self.processes[*one].seat.domain == domain && self.processes[*one].core.is_some())
            .collect();
        let known =
            if proposers.is_empty() { 0 } else { self.processes[*self.rng.pick(&proposers)].blocks.len() };
        let root = match known.checked_sub(1) {
            Some(newest) if known as u64 > was.height.0 && self.rng.chance(900) => {
                let header = &self.chain[newest].block.header;
                RootReference { height: header.height, hash: header.hash() }
            }
            _ => was,
        };
        let block = usize::try_from(root.height.0).unwrap().checked_sub(1).map(|at| self.chain[at].clone());
        let inbox = inbox(&self.shards, domain, block.as_deref());
        let shard = &mut self.shards[index];
        shard.produce(self.now_ms, &mut self.rng, &self.keys, &others, root, &inbox);
        let height = shard.references.len() as u64;
        for to in 0..self.processes.len() {
            if self.processes[to].seat.domain == domain {
                let at = self.now_ms + self.rng.below(250);
                self.at(at, Event::Certified { to, height });
            }
        }
        let next = self.now_ms + 200 + self.rng.below(40);
        self.at(next, Event::Slot(index));
    }

    fn certified(&mut self, to: usize, height: u64) {
        let process = &mut self.processes[to];
        let from = process.knows + 1;
        process.knows = process.knows.max(height);
        let domain = process.seat.domain;
        for height in from..=height {
            let reference = self.shards[domain.0 as usize - 1].reference(height).unwrap().clone();
            self.step(to, RootInput::Certified(reference));
        }
    }

    /// Starts a process from what is on its disk.
    pub(super) fn restart(&mut self, index: usize) {
        let mut state = self.genesis.clone();
        let process = &mut self.processes[index];
        for block in &process.blocks {
            state.apply(block).unwrap();
        }
        let crypto = Arc::new(FakeCrypto { own: process.seat, keys: self.keys.clone() });
        let log = process.log.clone();
        let head = state.head().clone();
        let core = RootCore::new(self.config.clone(), Some(process.seat), crypto, state, log).unwrap();
        process.core = Some(core);
        process.wake_ms = None;
        self.step(index, RootInput::Start);
        self.executes(index, &head);
    }

    /// Executing a block takes a while, now and then a long one.
    fn executes(&mut self, to: usize, header: &SealedRootHeader) {
        let slow = !self.healed && self.rng.chance(self.weather.late);
        let takes = self.rng.between(1, if slow { 3000 } else { 60 });
        self.at(self.now_ms + takes, Event::Executed { to, block: header.hash(), height: header.height });
    }

    /// Fetching the messages of a block to the root takes a while, or for ever if its shard shows them to nobody.
    fn fetches(&mut self, to: usize, source: DomainId, height: Height) {
        let shard = &self.shards[source.0 as usize - 1];
        if shard.withholds.is_none_or(|from| height.0 < from) {
            let late = !self.healed && self.rng.chance(300);
            let takes = self.rng.between(5, if late { 4000 } else { 150 });
            self.at(self.now_ms + takes, Event::Inbound { to, source, height });
        }
    }

    fn crash(&mut self, index: usize) {
        let lost = usize::try_from(self.rng.below(3)).unwrap();
        let process = &mut self.processes[index];
        process.core = None;
        process.executed = Height::ZERO;
        let kept = process.blocks.len().saturating_sub(lost).max(process.durable);
        process.blocks.truncate(kept);
        if process.nature == Nature::Amnesiac {
            process.log.clear();
        }
        let down = self.rng.between(10, 4000);
        self.at(self.now_ms + down, Event::Restart(index));
    }

    pub(super) fn step(&mut self, index: usize, input: RootInput) {
        let process = &mut self.processes[index];
        let Some(core) = &mut process.core else { return };
        let mut effects = Vec::new();
        let result = core.step(self.now_ms + process.skew_ms, input, &mut effects);
        self.steps += 1;
        if let Err(error) = result {
            return self.checks.fail(format!("{} failed: {error}", process.seat));
        }
        for effect in effects {
            if !self.execute(index, effect) {
                return self.crash(index);
            }
        }
    }

    /// Executes one effect; false when the process dies at it.
    fn execute(&mut self, index: usize, effect: RootEffect) -> bool {
        let (seat, nature) = (self.processes[index].seat, self.processes[index].nature);
        match effect {
            RootEffect::Persist(record) => {
                let dies = !self.healed && self.rng.chance(self.weather.crash);
                if !(dies && self.rng.chance(500)) {
                    self.processes[index].log.push(record);
                }
                return !dies;
            }
            RootEffect::Send { to, message } => self.send(index, Some(to), &message),
            RootEffect::Broadcast(message) => self.send(index, None, &message),
            RootEffect::Final { block } => {
                self.finalised(index, &block);
            }
            RootEffect::ServeBlocks { to, from } => {
                let first = usize::try_from(from.0).unwrap().saturating_sub(1);
                let blocks = self.processes[index].blocks.iter().skip(first).take(ROOT_SERVE_MAX).cloned();
                for block in blocks.collect::<Vec<_>>() {
                    self.send(index, Some(to), &RootMessage::Block(Box::new((*block).clone())));
                }
            }
            RootEffect::WantCertified { from } => {
                let (domain, knows) = (seat.domain.0 as usize, self.processes[index].knows);
                for height in from.0..=knows {
                    let reference = self.shards[domain - 1].reference(height).unwrap().clone();
                    self.step(index, RootInput::Certified(reference));
                }
            }
            RootEffect::WantInbound(want) => self.fetches(index, want.proposer.domain, want.height),
            RootEffect::Evidence(evidence) => self.checks.evidence(seat, nature, &evidence),
            RootEffect::Penalise { seat: whom, offence } => {
                self.checks.penalised(seat, nature, whom, offence);
            }
            RootEffect::WakeAt(at) => {
                let at = at.saturating_sub(self.processes[index].skew_ms).max(self.now_ms + 1);
                self.processes[index].wake_ms = Some(at);
                self.at(at, Event::Wake(index));
            }
        }
        true
    }

    fn finalised(&mut self, index: usize, block: &Arc<CertifiedRootBlock>) {
        let process = &mut self.processes[index];
        let height = block.block.header.height;
        if height != Height(process.blocks.len() as u64 + 1) {
            return self.checks.fail(format!("{} skips to root block {height}", process.seat));
        }
        if height > process.executed.next() {
            return self
                .checks
                .fail(format!("{} takes root block {height} in, its parent not executed", process.seat));
        }
        process.blocks.push(block.clone());
        let header = block.block.header.clone();
        if height.0 > self.chain.len() as u64 {
            let parent = &self.roots[&header.parent];
            self.checks.newest(self.now_ms, block, &self.shards, &parent.execution);
            let crypto = FakeCrypto { own: self.processes[index].seat, keys: self.keys.clone() };
            if block.block.parent_commit.as_ref().is_some_and(|commit| !crypto.verify_certificate(commit)) {
                self.checks.fail(format!("root block {height} shows a false certificate of its parent"));
            }
            let due = self.issuance.issued_at(header.timestamp_ms);
            let after = parent.next(&block.block, due, self.shards.len() as u64);
            self.roots.insert(header.hash(), after);
            self.chain.push(block.clone());
        } else if self.chain[process.blocks.len() - 1].block.header != block.block.header {
            return self.checks.fail(format!("two root blocks at height {height}"));
        }
        self.executes(index, &header);
        let process = &mut self.processes[index];
        // Now and then the blocks are synced, and the log is cut to what is still needed.
        if self.rng.chance(300) {
            process.durable = process.blocks.len();
            match &process.core {
                // The core may be ahead of what is on the disk.
                Some(core) if core.state().head().height == height => process.log = core.live_records(),
                _ => process.log.retain(|record| record.scope() > height),
            }
        }
    }

    /// Puts a message on the wire, or what a forger makes of it.
    pub(super) fn send(&mut self, index: usize, to: Option<RootSeat>, message: &RootMessage) {
        let process = &self.processes[index];
        if process.nature == Nature::Honest {
            self.checks.says(process.seat, message);
        }
        if process.nature == Nature::Forger && self.forge(index, to, message) {
            return;
        }
        self.carry(index, to, message);
    }

    pub(super) fn carry(&mut self, index: usize, to: Option<RootSeat>, message: &RootMessage) {
        let (from, reach) = (self.processes[index].seat, self.processes[index].reach.clone());
        for receiver in 0..self.processes.len() {
            let seat = self.processes[receiver].seat;
            let meant = to.map_or(seat != from, |to| to == seat);
            if !meant || reach.as_ref().is_some_and(|reach| !reach.contains(&seat)) {
                continue;
            }
            let decision = match message {
                RootMessage::Certificate(certificate) => certificate.kind == CertificateKind::Commit,
                RootMessage::Block(_) => true,
                _ => false,
            };
            let deaf = decision && !self.healed && self.rng.chance(self.weather.deaf);
            let cut = deaf || self.sides.get(&from) != self.sides.get(&seat);
            if cut || (!self.healed && self.rng.chance(self.weather.loss)) {
                continue;
            }
            let copies = if self.rng.chance(self.weather.double) { 2 } else { 1 };
            for _ in 0..copies {
                let mut delay = self.rng.between(1, self.weather.delay_ms);
                if !self.healed && self.rng.chance(self.weather.late) {
                    delay += self.rng.below(4000);
                }
                let event = Event::Deliver { to: receiver, from, message: message.clone() };
                self.at(self.now_ms + delay, event);
            }
        }
    }

    /// Final root blocks of the honest process that has fewest.
    pub(super) fn lowest(&self) -> u64 {
        let honest = self.processes.iter().filter(|process| process.nature == Nature::Honest);
        honest.map(|process| process.blocks.len() as u64).min().unwrap()
    }
}
