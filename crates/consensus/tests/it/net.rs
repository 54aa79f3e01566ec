//! A group of production cores that tests reach into: they see every effect, and say what they like to any core.
//!
//! Blocks, signatures, the network and the queue are the simulator's, whose own runs look on from outside.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anfs_consensus::evidence::contradict;
use anfs_consensus::{
    Anchor, Depth, Effect, Evidence, Input, LogRecord, Offence, ShardConfig, ShardCore,
    shard::SERVE_BLOCKS_MAX,
};
use anfs_primitives::{
    BlockHash, CertifiedBlock, ConsensusMessage, Height, SealedHeader, SeatIndex, SignedVote, View,
};
use anfs_sim::Plan;
use anfs_sim::blocks::{self, ENTRIES, Flaw, Recipe};
use anfs_sim::crypto::{Keys, SimCrypto};
use anfs_sim::queue::Queue;
use anfs_sim::rng::Rng;
use anfs_sim::wires::{Network, Weather};

const CHECK_MS: u64 = 5;

/// An input of one seat, and the life of it that the input is for, if it is for one alone: what is on its way
/// survives a restart of its recipient.
type Item = (u16, Option<u64>, Input);

pub(crate) struct Net {
    pub(crate) config: ShardConfig,
    pub(crate) cores: Vec<Option<ShardCore>>,
    pub(crate) logs: Vec<Vec<LogRecord>>,
    pub(crate) chains: Vec<Vec<CertifiedBlock>>,
    pub(crate) network: Network,
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
    /// This seat's inputs are kept, with their times.
    pub(crate) recorded: Option<(u16, Vec<(u64, Input)>)>,
    genesis: SealedHeader,
    headers: BTreeMap<BlockHash, SealedHeader>,
    queue: Queue<Item>,
    incarnation: Vec<u64>,
    rng: Rng,
}

/// A shard whose time begins with 0, of which `genesis` is the first block.
pub(crate) fn shard(verifiers: u16) -> (ShardConfig, SealedHeader) {
    let plan = Plan::calm(0, verifiers, 0);
    let config = ShardConfig { genesis_time_ms: 0, ..plan.config((Height::ZERO, BlockHash::ZERO)) };
    let genesis = blocks::genesis(&config);
    (ShardConfig { base: (Height::ZERO, genesis.hash()), ..config }, genesis)
}

/// Signs for one seat, verifies for all.
pub(crate) fn signer(verifiers: u16, seat: u16) -> SimCrypto {
    let keys = Keys::draw(&mut Rng::new(7), usize::from(verifiers) + 1);
    SimCrypto::new(keys, [SeatIndex(seat)])
}

impl Net {
    pub(crate) fn new(verifiers: u16, seed: u64) -> Self {
        let (config, genesis) = shard(verifiers);
        let seats = usize::from(verifiers) + 1;
        let mut net = Self {
            cores: Vec::new(),
            logs: vec![Vec::new(); seats],
            chains: vec![Vec::new(); seats],
            network: Network::new(seats, Weather::default()),
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
            recorded: None,
            headers: BTreeMap::from([(genesis.hash(), genesis.clone())]),
            genesis,
            queue: Queue::default(),
            incarnation: vec![0; seats],
            rng: Rng::new(seed),
            config,
        };
        for seat in 0..=verifiers {
            let core = net.boot(seat);
            net.cores.push(Some(core));
            net.push(0, seat, Input::Start);
        }
        net
    }

    /// A core as the seat's disk makes it now.
    pub(crate) fn boot(&self, seat: u16) -> ShardCore {
        let crypto = Arc::new(signer(self.config.verifiers, seat));
        let chain = &self.chains[usize::from(seat)];
        let tip = chain.last().map_or(&self.genesis, |tip| &tip.block.header);
        let shown = chain.len().saturating_sub(self.config.reach());
        let anchor = Anchor::new(tip, chain[shown..].iter().map(|block| block.certificate.clone()));
        let log = self.logs[usize::from(seat)].iter();
        let log = log.map(|record| LogRecord::from_bytes(&record.to_bytes()).unwrap()).collect();
        let mut core =
            ShardCore::new(self.config.clone(), Some(SeatIndex(seat)), crypto, anchor, log).unwrap();
        if self.watch.contains(&seat) {
            core.watch_first();
        }
        core
    }

    fn crash(&mut self, seat: u16) {
        if !self.crash_all {
            return self.restart(seat);
        }
        self.queue.retain(|_| false);
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

    pub(crate) fn push(&mut self, delay: u64, seat: u16, input: Input) {
        let incarnation = self.incarnation[usize::from(seat)];
        self.queue.push(self.now + delay, (seat, Some(incarnation), input));
    }

    pub(crate) fn send(&mut self, from: u16, to: u16, message: &ConsensusMessage) {
        if let ConsensusMessage::FragmentRequest { .. } = message {
            self.fragment_requests += 1;
        }
        if from == to {
            return;
        }
        let fate = self.network.send(self.now, SeatIndex(from), SeatIndex(to), message, &mut self.rng);
        for at in [fate.first_ms, fate.second_ms].into_iter().flatten() {
            let input = Input::Message { from: SeatIndex(from), message: message.clone() };
            self.queue.push(at, (to, None, input));
        }
    }

    pub(crate) fn broadcast(&mut self, from: u16, message: &ConsensusMessage) {
        for to in 0..=self.config.verifiers {
            self.send(from, to, message);
        }
    }

    /// Runs until the virtual time.
    pub(crate) fn run_until(&mut self, end: u64) {
        while let Some((at, (seat, incarnation, input))) = self.queue.pop(end) {
            self.now = at;
            let current = self.incarnation[usize::from(seat)];
            if incarnation.is_some_and(|incarnation| incarnation != current) {
                continue;
            }
            let Some(core) = self.cores[usize::from(seat)].as_mut() else { continue };
            if let Some((_, inputs)) = self.recorded.as_mut().filter(|(whose, _)| *whose == seat) {
                inputs.push((at, input.clone()));
            }
            let mut effects: Vec<Effect> = Vec::new();
            core.step(at, input, &mut effects).unwrap();
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
                let flaw = bad.then_some(Flaw::Slice(0));
                // A restarted SG builds another block, as a real one would.
                let salt = self.restarts;
                let recipe = Recipe { slot, view, proposer: SeatIndex(seat), salt, flaw };
                let built = blocks::build(&self.headers[&parent], &recipe);
                self.headers.insert(built.header.hash(), built.header.clone());
                for entry in 0..ENTRIES {
                    let fragment = blocks::fragment(&built, entry..entry + 1);
                    self.broadcast(seat, &ConsensusMessage::Fragment(fragment));
                }
                let end = self.config.slot_start_ms(slot.next()).max(self.now + 1);
                self.push(end - self.now, seat, Input::Built(Box::new(built)));
            }
            Effect::Check { block, depth, slices } => {
                self.checks.push((seat, depth, slices.len()));
                let result = blocks::check(&block.header, slices);
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
            assert_eq!(blocks::flaw_of(&block.block.header), None, "validity");
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
