//! A group of production cores on a seeded network with a virtual clock and a fake executor.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use alloy_primitives::{Address, B256, Bloom, Bytes, U256, keccak256};
use anfs_consensus::evidence::contradict;
use anfs_consensus::{
    Anchor, Depth, Effect, Evidence, Input, LogRecord, Offence, ShardConfig, ShardCore,
    shard::SERVE_BLOCKS_MAX,
};
use anfs_poh::entries_root;
use anfs_primitives::{
    Block, BlockBody, BlockHash, Boundary, BoundedVec, CertifiedBlock, ConsensusMessage, DomainId, Entry,
    Epoch, Fault, Fragment, Height, NetworkId, RootReference, SealedHeader, SeatIndex, SequencedTransaction,
    ShardHeader, SignedVote, Slot, View,
};

use crate::fake::FakeCrypto;

/// A block with this much gas used is invalid in its slice 0.
pub(crate) const INVALID_GAS: u64 = 13;
const SLOT_MS: u64 = 100;
const CHECK_MS: u64 = 5;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weather {
    /// Per 1000.
    pub(crate) loss: u64,
    pub(crate) duplication: u64,
    pub(crate) jitter_ms: u64,
    /// Per 1000, for fragments alone.
    pub(crate) fragment_loss: u64,
}

pub(crate) struct Net {
    pub(crate) config: ShardConfig,
    pub(crate) cores: Vec<Option<ShardCore>>,
    pub(crate) logs: Vec<Vec<LogRecord>>,
    pub(crate) chains: Vec<Vec<CertifiedBlock>>,
    pub(crate) weather: Weather,
    /// Seats whose messages never leave.
    pub(crate) mute: BTreeSet<u16>,
    /// Seats that receive nothing.
    pub(crate) deaf: BTreeSet<u16>,
    pub(crate) invalid_heights: BTreeSet<u64>,
    /// Seats that have lost their signing record, and know it.
    pub(crate) watch: BTreeSet<u16>,
    pub(crate) evidence: Vec<(u16, Evidence)>,
    pub(crate) penalties: Vec<(u16, SeatIndex, Offence)>,
    pub(crate) checks: Vec<(u16, Depth, usize)>,
    pub(crate) fragment_requests: usize,
    pub(crate) entries: usize,
    /// Everything that left each seat or its disk.
    pub(crate) votes: Vec<Vec<SignedVote>>,
    pub(crate) proposals: Vec<BTreeMap<(Height, View), BTreeSet<BlockHash>>>,
    /// Crash this seat before its n-th effect.
    pub(crate) crash_at: Option<(u16, usize)>,
    /// The crash takes all seats with it, and what is on the wire.
    pub(crate) crash_all: bool,
    pub(crate) effects_done: usize,
    pub(crate) now: u64,
    pub(crate) restarts: u64,
    /// Steps taken by all cores.
    pub(crate) events: u64,
    genesis: SealedHeader,
    headers: BTreeMap<BlockHash, SealedHeader>,
    queue: BTreeMap<(u64, u64), (u16, u64, Input)>,
    incarnation: Vec<u64>,
    sequence: u64,
    random: u64,
}

pub(crate) fn config(verifiers: u16) -> ShardConfig {
    ShardConfig {
        network: NetworkId(7),
        domain: DomainId(1),
        epoch: Epoch::ZERO,
        epoch_seed: B256::repeat_byte(9),
        verifiers,
        slice_redundancy: (verifiers - 1) / 3 + 1,
        pipeline_depth: 4,
        block_gas_limit: 1_000,
        genesis_time_ms: 0,
        slot_ms: SLOT_MS,
        fast_timeout_ms: 300,
        view_timeout_ms: 1_000,
        succession: (1..=verifiers).map(SeatIndex).collect(),
        base: (Height::ZERO, B256::ZERO),
    }
}

pub(crate) fn genesis(config: &ShardConfig) -> SealedHeader {
    let cut = Boundary { entry: 0, hash: B256::ZERO };
    ShardHeader {
        network: config.network,
        domain: config.domain,
        height: Height::ZERO,
        slot: Slot::ZERO,
        parent: B256::ZERO,
        epoch: config.epoch,
        view: View::ZERO,
        proposer: SeatIndex::GENERATOR,
        beneficiary: Address::ZERO,
        root_reference: RootReference::default(),
        poh_start: B256::ZERO,
        poh_end: B256::ZERO,
        boundaries: vec![cut; usize::from(config.verifiers) + 1].try_into().unwrap(),
        entries_root: B256::ZERO,
        transactions_root: B256::ZERO,
        receipts_root: B256::ZERO,
        logs_bloom: Bloom::ZERO,
        state_root: B256::ZERO,
        outbox_root: B256::ZERO,
        lanes: BoundedVec::new(),
        inbox_cursors: BoundedVec::new(),
        gas_used: 0,
        gas_limit: config.block_gas_limit,
        base_fee: 1,
        value_in: U256::ZERO,
        value_out: U256::ZERO,
    }
    .seal()
}

/// A block on top of a parent, by the leader of a view; `salt` makes it differ from its siblings.
pub(crate) fn block_of(
    parent: &SealedHeader,
    slot: Slot,
    view: View,
    proposer: SeatIndex,
    salt: u64,
    gas_used: u64,
) -> Block {
    let entry = |index: u64, transactions: Vec<SequencedTransaction>| Entry {
        num_hashes: 4,
        hash: keccak256([&parent.hash()[..], &index.to_le_bytes(), &salt.to_le_bytes()].concat()),
        transactions: transactions.try_into().unwrap(),
    };
    let encoded = Bytes::copy_from_slice(&[&parent.hash()[..], &salt.to_le_bytes()].concat());
    let transaction = SequencedTransaction { encoded, sender: Address::repeat_byte(3) };
    let entries: Vec<Entry> = (0..4)
        .map(|index| entry(index, if index == 2 { vec![transaction.clone()] } else { Vec::new() }))
        .collect();
    let end = entries[3].hash;
    let mut header = parent.header().clone();
    header.height = parent.height.next();
    header.slot = slot;
    header.view = view;
    header.proposer = proposer;
    header.parent = parent.hash();
    header.poh_start = parent.poh_end;
    header.poh_end = end;
    header.entries_root = entries_root(&entries);
    header.gas_used = gas_used;
    let mut cuts: Vec<Boundary> = header.boundaries.to_vec();
    *cuts.last_mut().unwrap() = Boundary { entry: 4, hash: end };
    header.boundaries = cuts.try_into().unwrap();
    Block { header: header.seal(), body: BlockBody { entries: entries.try_into().unwrap() } }
}

impl Net {
    pub(crate) fn new(verifiers: u16, seed: u64) -> Self {
        let config = config(verifiers);
        let genesis = genesis(&config);
        let config = ShardConfig { base: (Height::ZERO, genesis.hash()), ..config };
        let seats = usize::from(verifiers) + 1;
        let mut net = Self {
            cores: Vec::new(),
            logs: vec![Vec::new(); seats],
            chains: vec![Vec::new(); seats],
            weather: Weather { jitter_ms: 3, ..Weather::default() },
            mute: BTreeSet::new(),
            deaf: BTreeSet::new(),
            invalid_heights: BTreeSet::new(),
            watch: BTreeSet::new(),
            evidence: Vec::new(),
            penalties: Vec::new(),
            checks: Vec::new(),
            fragment_requests: 0,
            entries: 0,
            votes: vec![Vec::new(); seats],
            proposals: vec![BTreeMap::new(); seats],
            crash_at: None,
            crash_all: false,
            effects_done: 0,
            now: 0,
            restarts: 0,
            events: 0,
            headers: BTreeMap::from([(genesis.hash(), genesis.clone())]),
            genesis,
            queue: BTreeMap::new(),
            incarnation: vec![0; seats],
            sequence: 0,
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            config,
        };
        for seat in 0..=verifiers {
            let core = net.boot(seat);
            net.cores.push(Some(core));
            net.push(0, seat, Input::Start);
        }
        net
    }

    fn boot(&self, seat: u16) -> ShardCore {
        let crypto = FakeCrypto { own: SeatIndex(seat), verifiers: usize::from(self.config.verifiers) };
        let chain = &self.chains[usize::from(seat)];
        let tip = chain.last().map_or(&self.genesis, |tip| &tip.block.header);
        let shown = chain.len().saturating_sub(self.config.reach());
        let anchor = Anchor::new(tip, chain[shown..].iter().map(|block| block.certificate.clone()));
        let log = self.logs[usize::from(seat)].clone();
        let log = log.iter().map(|record| LogRecord::from_bytes(&record.to_bytes()).unwrap()).collect();
        let mut core =
            ShardCore::new(self.config.clone(), Some(SeatIndex(seat)), Arc::new(crypto), anchor, log)
                .unwrap();
        if self.watch.contains(&seat) {
            core.watch_first();
        }
        core
    }

    fn crash(&mut self, seat: u16) {
        if !self.crash_all {
            return self.restart(seat);
        }
        self.queue.clear();
        for seat in 0..=self.config.verifiers {
            self.restart(seat);
        }
    }

    /// Kills a seat and starts it again from its disk.
    pub(crate) fn restart(&mut self, seat: u16) {
        self.incarnation[usize::from(seat)] += 1;
        self.restarts += 1;
        self.cores[usize::from(seat)] = Some(self.boot(seat));
        self.push(1, seat, Input::Start);
    }

    fn random(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        if below == 0 { 0 } else { self.random % below }
    }

    pub(crate) fn push(&mut self, delay: u64, seat: u16, input: Input) {
        self.sequence += 1;
        let incarnation = self.incarnation[usize::from(seat)];
        self.queue.insert((self.now + delay, self.sequence), (seat, incarnation, input));
    }

    pub(crate) fn send(&mut self, from: u16, to: u16, message: &ConsensusMessage) {
        if let ConsensusMessage::FragmentRequest { .. } = message {
            self.fragment_requests += 1;
        }
        if self.mute.contains(&from) || self.deaf.contains(&to) || from == to {
            return;
        }
        let is_fragment = matches!(message, ConsensusMessage::Fragment(_));
        let loss = self.weather.loss + if is_fragment { self.weather.fragment_loss } else { 0 };
        let copies = 1 + u64::from(self.random(1000) < self.weather.duplication);
        for _ in 0..copies {
            if self.random(1000) >= loss {
                let delay = 1 + self.random(self.weather.jitter_ms);
                let input = Input::Message { from: SeatIndex(from), message: message.clone() };
                self.sequence += 1;
                // What is on its way survives a restart of its recipient.
                self.queue.insert((self.now + delay, self.sequence), (to, u64::MAX, input));
            }
        }
    }

    pub(crate) fn broadcast(&mut self, from: u16, message: &ConsensusMessage) {
        for to in 0..=self.config.verifiers {
            self.send(from, to, message);
        }
    }

    /// Runs until the virtual time.
    pub(crate) fn run_until(&mut self, end: u64) {
        while let Some((&(at, key), _)) = self.queue.first_key_value().filter(|((at, _), _)| *at <= end) {
            self.now = at;
            let (seat, incarnation, input) = self.queue.remove(&(at, key)).unwrap();
            let current = self.incarnation[usize::from(seat)];
            if incarnation != u64::MAX && incarnation != current {
                continue;
            }
            let Some(core) = self.cores[usize::from(seat)].as_mut() else { continue };
            let mut effects: Vec<Effect> = Vec::new();
            core.step(at, input, &mut effects).unwrap();
            self.events += 1;
            for effect in effects {
                if self.crash_at.is_some_and(|(who, at)| who == seat && at == self.effects_done) {
                    self.crash_at = None;
                    self.crash(seat);
                    break;
                }
                self.effects_done += usize::from(self.crash_at.is_some_and(|(who, _)| who == seat));
                self.execute(seat, effect);
            }
        }
        self.now = end;
    }

    fn note(&mut self, seat: u16, message: &ConsensusMessage) {
        match message {
            ConsensusMessage::Vote(vote) => self.votes[usize::from(seat)].push(vote.clone()),
            ConsensusMessage::Proposal(proposal) => {
                let heights = &mut self.proposals[usize::from(seat)];
                let round = (proposal.header.height, proposal.header.view);
                heights.entry(round).or_default().insert(proposal.header.hash());
            }
            _ => {}
        }
    }

    fn execute(&mut self, seat: u16, effect: Effect) {
        match effect {
            Effect::StartSlot { slot, parent, height, view } => {
                let bad = view == View::ZERO && self.invalid_heights.contains(&height.0);
                let gas = if bad { INVALID_GAS } else { 1 };
                // A restarted SG builds another block, as a real one would.
                let salt = self.restarts;
                let built = block_of(&self.headers[&parent], slot, view, SeatIndex(seat), salt, gas);
                self.headers.insert(built.header.hash(), built.header.clone());
                for (first, entry) in (0u32..).zip(built.body.entries.iter()) {
                    let fragment = fragment(&built, first, vec![entry.clone()]);
                    self.broadcast(seat, &ConsensusMessage::Fragment(fragment));
                }
                let end = self.config.slot_start_ms(slot.next()).max(self.now + 1);
                self.push(end - self.now, seat, Input::Built(Box::new(built)));
            }
            Effect::Check { block, depth, slices } => {
                self.checks.push((seat, depth, slices.len()));
                let bad = block.header.gas_used == INVALID_GAS && slices.contains(0);
                let result = if bad { Err(Fault::Clock { entry: 0 }) } else { Ok(()) };
                self.push(CHECK_MS, seat, Input::Checked { block: block.header.hash(), depth, result });
            }
            Effect::Persist(record) => self.logs[usize::from(seat)].push(record),
            Effect::Send { to, message } => {
                self.note(seat, &message);
                self.send(seat, to.0, &message);
            }
            Effect::Broadcast(message) => {
                self.note(seat, &message);
                self.broadcast(seat, &message);
            }
            Effect::ServeBlocks { to, from } => {
                let first = usize::try_from(from.0).unwrap() - 1;
                let blocks = self.chains[usize::from(seat)].clone();
                for served in blocks.into_iter().skip(first).take(SERVE_BLOCKS_MAX) {
                    self.send(seat, to.0, &ConsensusMessage::Block(Box::new(served)));
                }
            }
            Effect::Decided { block, certificate } => {
                let chain = &mut self.chains[usize::from(seat)];
                assert_eq!(block.header.height.0, chain.len() as u64 + 1, "heights come without gaps");
                assert!(certificate.kind.decides() && certificate.target.block == block.header.hash());
                chain.push(CertifiedBlock { block: (*block).clone(), certificate });
            }
            Effect::Evidence(evidence) => self.evidence.push((seat, evidence)),
            Effect::Penalise { seat: who, offence } => self.penalties.push((seat, who, offence)),
            Effect::WakeAt(at) => self.push(at.saturating_sub(self.now), seat, Input::Tick),
            Effect::Entries { entries, .. } => self.entries += entries.len(),
            Effect::Drop(_) => {}
        }
    }

    pub(crate) fn height(&self, seat: u16) -> u64 {
        self.chains[usize::from(seat)].len() as u64
    }

    pub(crate) fn lowest(&self) -> u64 {
        (0..=self.config.verifiers).map(|seat| self.height(seat)).min().unwrap()
    }

    pub(crate) fn core(&self, seat: u16) -> &ShardCore {
        self.cores[usize::from(seat)].as_ref().unwrap()
    }

    /// Agreement, validity of chains, and no seat contradicting itself.
    pub(crate) fn check(&self) {
        let longest = self.chains.iter().max_by_key(|chain| chain.len()).unwrap();
        for chain in &self.chains {
            for (ours, theirs) in chain.iter().zip(longest) {
                assert_eq!(ours.block.header.hash(), theirs.block.header.hash(), "agreement");
            }
        }
        for block in longest {
            assert_ne!(block.block.header.gas_used, INVALID_GAS, "validity");
        }
        for (seat, votes) in self.votes.iter().enumerate() {
            for (index, a) in votes.iter().enumerate() {
                for b in &votes[index + 1..] {
                    assert!(!contradict(a, b), "seat {seat} contradicts itself: {a:?} {b:?}");
                }
            }
            let twice = self.proposals[seat].values().any(|hashes| hashes.len() > 1);
            assert!(!twice, "seat {seat} proposed twice");
        }
        for core in self.cores.iter().flatten() {
            let (votes, streams, rounds) = core.load();
            let window = 16;
            // The log may hold bodies of several views for each height.
            assert!(streams <= window && rounds <= 3 * window, "{streams} {rounds}");
            assert!(votes <= 4 * window * usize::from(self.config.verifiers) * 5, "{votes}");
        }
    }
}

pub(crate) fn fragment(block: &Block, first_entry: u32, entries: Vec<Entry>) -> Fragment {
    Fragment {
        network: block.header.network,
        domain: block.header.domain,
        height: block.header.height,
        slot: block.header.slot,
        view: block.header.view,
        parent: block.header.parent,
        proposer: block.header.proposer,
        first_entry,
        entries: entries.try_into().unwrap(),
    }
}
