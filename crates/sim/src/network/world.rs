//! The world of one run: every seat of a network, and what befalls them.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::{B256, U256};
use anfs_consensus::root::{RootConfig, RootCore, RootInput, RootState, genesis_root_header};
use anfs_consensus::{Anchor, Input, ShardConfig, ShardCore};
use anfs_primitives::{Block, DomainId, Epoch, Height, Issuance, RootHash, RootSeat, SealedHeader};

use super::bank::Bank;
use super::block::Executed;
use super::check::Checker;
use super::crypto::{NetworkKeys, RootSigner};
use super::inbox::Inbox;
use super::plan::Plan;
use super::process::{CoreInput, Disk, Live, Packet, Process};
use super::report::Report;
use super::root::{RootExecuted, first};
use crate::crypto::{Keys, SimCrypto};
use crate::queue::Queue;
use crate::rng::Rng;

/// Between two looks at which messages are missing.
const POLL_MS: u64 = 100;
/// Between two looks at whether all is done.
const LOOK_MS: u64 = 500;
/// Once payments have ended, all must be consumed and final within this time.
const SETTLE_MS: u64 = 180_000;
/// Messages on their way at most.
const STORM: usize = 500_000;

/// What is to come.
#[derive(Debug)]
pub(super) enum Event {
    Deliver {
        to: usize,
        from: RootSeat,
        packet: Packet,
    },
    /// A core wants to be woken: the shard's or the root's.
    Wake {
        index: usize,
        core: usize,
    },
    Built {
        index: usize,
        incarnation: u64,
        block: Box<Block>,
    },
    Checked {
        index: usize,
        incarnation: u64,
        input: Box<Input>,
    },
    /// A root block has been executed.
    Executed {
        index: usize,
        incarnation: u64,
        block: RootHash,
        height: Height,
    },
    Poll(usize),
    Restart(usize),
    /// The network falls apart in another way, or joins again.
    Cut,
    Blackout,
    Heal,
    Look,
}

/// One run in the making.
#[derive(Debug)]
pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) config: RootConfig,
    pub(super) shards: BTreeMap<DomainId, ShardConfig>,
    pub(super) keys: Arc<NetworkKeys>,
    genesis: RootState,
    /// What root blocks came to: the same for everybody who executes them.
    pub(super) roots: BTreeMap<RootHash, Arc<RootExecuted>>,
    pub(super) issuance: Issuance,
    pub(super) processes: Vec<Process>,
    pub(super) index: BTreeMap<RootSeat, usize>,
    pub(super) queue: Queue<Event>,
    pub(super) now_ms: u64,
    /// What happens to messages and processes.
    pub(super) luck: Rng,
    /// What accounts do.
    pub(super) payments: Rng,
    /// Which side of a cut each seat is on.
    pub(super) sides: BTreeMap<RootSeat, u64>,
    pub(super) checker: Checker,
    pub(super) report: Report,
}

/// Coins of a shard at genesis: no round number, so that a lost wei shows.
fn coins(domain: DomainId) -> U256 {
    U256::from(10).pow(U256::from(24)) * U256::from(domain.0) + U256::from(7_919 * domain.0)
}

impl World {
    pub(super) fn new(plan: Plan) -> Self {
        let mut rng = Rng::new(plan.seed);
        let (spec, seed) = (plan.spec(), B256::from(U256::from(plan.seed)));
        let config = RootConfig::new(&spec, Epoch::ZERO, seed).expect("every seat has a stake");
        let domains: Vec<DomainId> = (1..=plan.shards).map(DomainId).collect();
        let held: BTreeMap<DomainId, U256> = domains.iter().map(|one| (*one, coins(*one))).collect();
        let banks = domains.iter().map(|one| Bank::new(spec.network, *one, coins(*one)));
        let genesis: Vec<(SealedHeader, Bank)> = banks
            .map(|bank| (spec.genesis_header(bank.domain, bank.root(), B256::ZERO).seal(), bank))
            .collect();
        let headers: Vec<SealedHeader> = genesis.iter().map(|(header, _)| header.clone()).collect();
        let bank = Bank::new(spec.network, DomainId::ROOT, U256::ZERO);
        let root = genesis_root_header(&spec, &headers, &held, first(&bank));
        let roots = BTreeMap::from([(root.hash(), RootExecuted::genesis(bank, &root))]);
        let shards = headers.iter().map(|header| {
            let base = (Height::ZERO, header.hash());
            (header.domain, ShardConfig::new(&spec, header.domain, Epoch::ZERO, seed, base))
        });
        let shards = shards.collect();
        let seats = usize::from(plan.verifiers) + 1;
        let genesis: Vec<Arc<Executed>> =
            genesis.into_iter().map(|(header, bank)| Executed::genesis(header, bank)).collect();
        let root = RootState::genesis(&spec, root, headers, &held);
        let mut world = Self {
            shards,
            keys: Arc::new(domains.iter().map(|one| (*one, Keys::draw(&mut rng, seats))).collect()),
            checker: Checker::new(&plan, root.clone(), &genesis),
            genesis: root,
            roots,
            issuance: spec.issuance(),
            processes: Vec::new(),
            index: BTreeMap::new(),
            queue: Queue::default(),
            now_ms: 0,
            luck: rng.fork(),
            payments: rng.fork(),
            sides: BTreeMap::new(),
            report: Report { seed: plan.seed, ..Report::default() },
            config,
            plan,
        };
        world.populate(&genesis);
        world
    }

    fn populate(&mut self, genesis: &[Arc<Executed>]) {
        for seat in self.config.seats().collect::<Vec<_>>() {
            let own = &genesis[seat.domain.0 as usize - 1];
            let index = self.processes.len();
            self.index.insert(seat, index);
            self.processes.push(Process {
                seat,
                captured: self.plan.is_captured(seat.domain),
                skew_ms: self.luck.below(40),
                incarnation: 0,
                disk: Disk::default(),
                live: None,
                executed: BTreeMap::from([(own.header.hash(), own.clone())]),
            });
            let at = self.luck.below(100);
            self.queue.push(at, Event::Restart(index));
            self.queue.push(at + POLL_MS, Event::Poll(index));
        }
        self.queue.push(self.plan.heal_ms, Event::Heal);
        self.queue.push(self.plan.quiet_ms, Event::Look);
        self.queue.push(500, Event::Cut);
        self.queue.push(1_000, Event::Blackout);
    }

    /// Runs to the end.
    pub(super) fn run(mut self) -> Report {
        let end_ms = self.plan.quiet_ms + SETTLE_MS;
        while self.report.violations.is_empty() && self.report.settled_ms.is_none() {
            let Some((now_ms, event)) = self.queue.pop(end_ms) else {
                let text = format!("{SETTLE_MS} ms after the last payment: {}", self.unsettled().join("; "));
                self.report.violations.push(text);
                break;
            };
            self.now_ms = now_ms;
            self.happen(event);
            self.report.violations.append(&mut self.checker.findings);
            if self.queue.len() > STORM {
                self.report.violations.push(format!("more than {STORM} messages are on their way"));
            }
        }
        self.report.simulated_ms = self.now_ms;
        self.checker.count(&mut self.report);
        let live = self.processes.iter().filter_map(|process| process.live.as_ref());
        self.report.root_views = live.map(|live| live.root.status().views_changed).max().unwrap_or_default();
        self.report
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Deliver { to, from, packet } => self.deliver(to, from, packet),
            Event::Wake { index, core } => self.wake(index, core),
            Event::Built { index, incarnation, block } => {
                if self.processes[index].incarnation == incarnation {
                    self.built(index, block);
                }
            }
            Event::Checked { index, incarnation, input } => {
                if self.processes[index].incarnation == incarnation {
                    self.give(index, CoreInput::Shard(*input));
                }
            }
            Event::Executed { index, incarnation, block, height } => {
                if self.processes[index].incarnation == incarnation {
                    let execution = Box::new(self.roots[&block].execution.clone());
                    self.give(index, CoreInput::Root(RootInput::Executed { height, execution }));
                }
            }
            Event::Poll(index) => {
                self.fetch(index);
                self.queue.push(self.now_ms + POLL_MS, Event::Poll(index));
            }
            Event::Restart(index) => self.restart(index),
            Event::Cut => self.cut(),
            Event::Blackout => self.blackout(),
            Event::Heal => self.sides.clear(),
            Event::Look => {
                if self.unsettled().is_empty() {
                    self.report.settled_ms = Some(self.now_ms - self.plan.quiet_ms);
                }
                self.queue.push(self.now_ms + LOOK_MS, Event::Look);
            }
        }
    }

    /// Whether faults have ended.
    pub(super) fn healed(&self) -> bool {
        self.now_ms >= self.plan.heal_ms
    }

    fn wake(&mut self, index: usize, core: usize) {
        let now_ms = self.now_ms;
        let Some(live) = &mut self.processes[index].live else { return };
        if live.wakes[core] == Some(now_ms) {
            live.wakes[core] = None;
            let root = CoreInput::Root(RootInput::Tick);
            self.give(index, if core == 0 { CoreInput::Shard(Input::Tick) } else { root });
        }
    }

    /// Starts a process from what its disk holds.
    fn restart(&mut self, index: usize) {
        let process = &self.processes[index];
        let (seat, disk) = (process.seat, &process.disk);
        let config = self.shards[&seat.domain].clone();
        let keys = self.keys[&seat.domain].clone();
        let tip = disk.chain.last().map(|decided| decided.block.header.clone());
        let tip =
            tip.unwrap_or_else(|| self.genesis.tip(seat.domain).expect("a shard of the network").clone());
        let recent = &disk.chain[disk.chain.len().saturating_sub(config.reach())..];
        let anchor = Anchor::new(&tip, recent.iter().map(|decided| decided.certificate.clone()));
        let crypto = Arc::new(SimCrypto::new(keys, [seat.seat]));
        let shard = ShardCore::new(config, Some(seat.seat), crypto, anchor, disk.shard_log.clone());
        let mut state = self.genesis.clone();
        // What the disk has lost in the middle is open again; below the highest executed block nothing is wanted.
        let at = disk.chain.iter().rposition(|one| process.executed.contains_key(&one.block.header.hash()));
        let known = at.map(|at| &process.executed[&disk.chain[at].block.header.hash()]);
        let consumed = known.map(|executed| executed.bank.cursors.clone()).unwrap_or_default();
        let mut inbox = Inbox::new(self.config.network, seat.domain, self.plan.verifiers, consumed);
        for block in &disk.roots {
            state.apply(block).expect("the disk holds what was final");
            let sent = self.roots.get(&block.block.header.parent);
            inbox.extend(block, sent.and_then(|sent| sent.batch(seat.domain)));
        }
        let head = state.head().clone();
        let open = disk.chain.iter().skip(at.map_or(0, |at| at + 1));
        let open = open.map(|one| (one.block.header.hash(), one.block.clone())).collect();
        let quorum = 2 * usize::from((self.plan.verifiers - 1) / 3) + 1;
        let signer = Arc::new(RootSigner { own: seat, keys: self.keys.clone(), quorum });
        let root = RootCore::new(self.config.clone(), Some(seat), signer, state, disk.root_log.clone());
        let live = Live {
            shard: shard.expect("plans describe possible shards"),
            root: root.expect("a seat of the network"),
            inbox,
            wants: BTreeMap::new(),
            open,
            checks: Vec::new(),
            build: None,
            asked: None,
            inputs: Default::default(),
            wakes: [None; 2],
            served: BTreeMap::new(),
        };
        self.processes[index].live = Some(live);
        self.give(index, CoreInput::Shard(Input::Start));
        self.give(index, CoreInput::Root(RootInput::Start));
        self.executes(index, &head);
    }

    /// What is still to be done before all is settled.
    fn unsettled(&self) -> Vec<String> {
        let mut left = self.checker.unsettled();
        let stalls = self.plan.captured.is_some_and(|captured| captured.lie.stalls());
        for process in self.processes.iter().filter(|process| self.plan.is_honest(process.seat)) {
            let Some(live) = &process.live else {
                left.push(format!("{} is down", process.seat));
                continue;
            };
            if live.root.state().head().height < self.checker.height() {
                left.push(format!("{} lags at root block {}", process.seat, live.root.state().head().height));
            }
            let quiet = self.checker.quiet_height(process.seat.domain, self.plan.quiet_ms);
            let last = live.root.state().tip(process.seat.domain).map(|tip| tip.height);
            if last < quiet {
                left.push(format!("{}: block {quiet:?} is not final, {last:?} is", process.seat));
            }
            let behind = live.open.values().any(|block| Some(block.header.height) <= quiet);
            if behind && !stalls {
                left.push(format!("{} has not executed all that is decided", process.seat));
            }
        }
        left
    }
}
