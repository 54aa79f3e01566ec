//! The world of one run: seats, their disks and clocks, the network between them, and the plan of what fails.

mod actions;
mod faults;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use anfs_consensus::ShardCore;
use anfs_primitives::{ConsensusMessage, Height, SeatIndex, View};

use crate::blocks;
use crate::check::Checker;
use crate::clock::Skew;
use crate::crypto::{Keys, SimCrypto};
use crate::disk::Disk;
use crate::observe::{Observer, TraceEvent};
use crate::plan::Plan;
use crate::queue::Queue;
use crate::report::{Report, Rule, Violation};
use crate::rng::Rng;
use crate::seat::{Boot, Outbox, Seat, SeatInput, Work};
use crate::trail::Trail;
use crate::wires::Network;

/// Steps of one seat between two looks at what it keeps in memory.
const LOOK_EVERY: u64 = 256;
/// Seeds whose every core has a shadow.
const SHADOW_EVERY: u64 = 8;
/// Violations after which a run ends: more of them tell nothing new.
const VIOLATIONS_MAX: usize = 8;

/// Messages and alarms on their way at most: beyond this, seats answer each other without end.
const STORM: usize = 1_000_000;

/// What is to come.
#[derive(Debug)]
enum Item {
    Deliver { from: SeatIndex, to: SeatIndex, message: Arc<ConsensusMessage> },
    Tick { seat: SeatIndex, alarm: u64 },
    Done { seat: SeatIndex, incarnation: u64, work: Work },
    Start { seat: SeatIndex, incarnation: u64 },
    Planned(usize),
    Heal,
}

/// One place in the shard, whether or not a process runs there.
struct Place {
    seat: Option<Box<dyn Seat>>,
    disk: Disk,
    clock: Skew,
    incarnation: u64,
    /// The alarm that counts; older ones are void.
    alarm: u64,
    /// Dies before its n-th next action.
    crash_in: Option<u32>,
    /// Ended for lack of room.
    waits_for_room: bool,
    /// Its disk has lost what it had said was safe: from here on it counts as faulty.
    forgetful: bool,
    /// It has been replaced by an empty one.
    emptied: bool,
    steps: u64,
    view: (View, bool),
}

/// One run in the making.
pub struct World {
    plan: Arc<Plan>,
    boot: Boot,
    keys: Arc<Keys>,
    places: Vec<Place>,
    network: Network,
    queue: Queue<Item>,
    now_ms: u64,
    wires: Rng,
    luck: Rng,
    checker: Checker,
    report: Report,
    trail: Trail,
    observers: Vec<Box<dyn Observer>>,
    outbox: Outbox,
    healed: bool,
    /// After the healing: the height that all must reach, and who has not.
    goal: Option<(Height, BTreeSet<SeatIndex>)>,
    over: bool,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "World(seed {}, {} ms)", self.plan.seed, self.now_ms)
    }
}

impl World {
    /// Sets a run up. Nothing has happened yet.
    ///
    /// # Panics
    /// When the plan describes no possible shard.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        let plan = Arc::new(plan);
        let mut rng = Rng::new(plan.seed);
        let seats = usize::from(plan.verifiers) + 1;
        let keys = Keys::draw(&mut rng, seats);
        let genesis = blocks::genesis(&plan.config((Height::ZERO, anfs_primitives::BlockHash::ZERO)));
        let config = plan.config((Height::ZERO, genesis.hash()));
        let boot = Boot {
            seat: SeatIndex::GENERATOR,
            config,
            timing: plan.timing,
            crypto: SimCrypto::new(keys.clone(), []),
            genesis,
            chain: Vec::new(),
            log: Vec::new(),
            rng: rng.fork(),
            incarnation: 0,
            emptied: false,
            shadowed: plan.seed.is_multiple_of(SHADOW_EVERY),
            byzantine: Arc::new(plan.byzantine.clone()),
        };
        let mut world = Self {
            network: Network::new(seats, plan.weather),
            checker: Checker::new(&plan, keys.clone(), &boot.genesis),
            report: Report { seed: plan.seed, verifiers: plan.verifiers, ..Report::default() },
            places: plan.seats().map(|seat| Place::new(&plan, seat)).collect(),
            wires: rng.fork(),
            luck: rng.fork(),
            queue: Queue::default(),
            now_ms: 0,
            keys,
            boot,
            trail: Trail::default(),
            observers: Vec::new(),
            outbox: Outbox::default(),
            healed: false,
            goal: None,
            over: false,
            plan,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        let plan = self.plan.clone();
        for (index, (at_ms, _)) in plan.events.iter().enumerate() {
            self.queue.push(*at_ms, Item::Planned(index));
        }
        if plan.heal_at_ms > 0 {
            self.queue.push(plan.heal_at_ms, Item::Heal);
        }
        for seat in plan.seats() {
            self.start(seat);
            if let Some(behaviour) = plan.byzantine.get(&seat) {
                self.inject(behaviour.name());
            }
            if plan.skew.contains_key(&seat) {
                self.inject("clock skew");
            }
        }
    }

    /// Adds a watcher.
    pub fn observe(&mut self, observer: Box<dyn Observer>) {
        self.observers.push(observer);
    }

    /// Runs to the end.
    #[must_use]
    pub fn run(mut self) -> Report {
        self.run_until(self.plan.duration_ms);
        self.finish()
    }

    /// Runs until the simulated time, or until the run is over.
    pub fn run_until(&mut self, end_ms: u64) {
        let end_ms = end_ms.min(self.plan.duration_ms);
        while self.step_until(end_ms) {}
        if !self.over {
            self.now_ms = self.now_ms.max(end_ms);
        }
    }

    /// Takes the next thing to come; false when there is none before the end.
    pub fn step(&mut self) -> bool {
        self.step_until(self.plan.duration_ms)
    }

    fn step_until(&mut self, end_ms: u64) -> bool {
        if self.over {
            return false;
        }
        let Some((at_ms, item)) = self.queue.pop(end_ms) else { return false };
        self.now_ms = at_ms;
        self.take(item);
        if self.queue.len() > STORM {
            self.violate(None, Rule::Memory, format!("more than {STORM} messages are on their way"));
            self.over = true;
        }
        true
    }

    /// Ends the run and says what came of it.
    #[must_use]
    pub fn finish(mut self) -> Report {
        if let Some((height, missing)) = self.goal.take().filter(|_| !self.over) {
            let standing: Vec<String> = self.plan.seats().map(|seat| self.standing(seat)).collect();
            let seats: Vec<String> = missing.iter().map(ToString::to_string).collect();
            let text = format!(
                "seats {} did not decide height {height} within {} ms of the healing; {}",
                seats.join(", "),
                self.now_ms - self.plan.heal_at_ms,
                standing.join("; ")
            );
            self.violate(None, Rule::Liveness, text);
        }
        self.report.trace_hash = self.trail.value();
        self.report.counts.simulated_ms = self.now_ms;
        self.checker.count(&mut self.report);
        self.report
    }

    fn standing(&self, seat: SeatIndex) -> String {
        match self.core(seat).map(ShardCore::status) {
            Some(status) => format!(
                "seat {seat} at height {} in view {}{} (seen {}, proposed {})",
                status.certified,
                status.view,
                if status.view_open { "" } else { ", not open" },
                status.seen,
                status.proposed,
            ),
            None => format!("seat {seat} without a core"),
        }
    }

    /// Simulated time.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// The plan.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What has been counted and found so far.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// The production core of a living seat.
    #[must_use]
    pub fn core(&self, seat: SeatIndex) -> Option<&ShardCore> {
        self.places.get(usize::from(seat.0))?.seat.as_ref()?.core()
    }

    /// The disk of a seat.
    ///
    /// # Panics
    /// When there is no such seat.
    #[must_use]
    pub fn disk(&self, seat: SeatIndex) -> &Disk {
        &self.place(seat).disk
    }

    /// Decided blocks on a seat's disk.
    #[must_use]
    pub fn height(&self, seat: SeatIndex) -> Height {
        Height(self.place(seat).disk.chain().len() as u64)
    }

    /// Whether the seat follows the protocol and its disk has kept its word.
    #[must_use]
    pub fn is_trusted(&self, seat: SeatIndex) -> bool {
        self.plan.is_honest(seat) && !self.place(seat).forgetful
    }

    fn place(&self, seat: SeatIndex) -> &Place {
        &self.places[usize::from(seat.0)]
    }

    fn place_mut(&mut self, seat: SeatIndex) -> &mut Place {
        &mut self.places[usize::from(seat.0)]
    }

    fn tell(&mut self, event: impl FnOnce() -> TraceEvent) {
        if !self.observers.is_empty() {
            let event = event();
            for observer in &mut self.observers {
                observer.on(self.now_ms, &event);
            }
        }
    }

    fn inject(&mut self, what: &'static str) {
        *self.report.counts.injected.entry(what).or_default() += 1;
    }

    fn violate(&mut self, seat: Option<SeatIndex>, rule: Rule, text: String) {
        let violation = Violation { at_ms: self.now_ms, seat, rule, text };
        self.tell(|| TraceEvent::Violated { text: violation.to_string() });
        self.report.violations.push(violation);
        self.over |= self.report.violations.len() >= VIOLATIONS_MAX;
    }

    /// Passes on what the checker found.
    fn object(&mut self, seat: SeatIndex) {
        for (rule, text) in self.checker.take_findings() {
            self.violate(Some(seat), rule, text);
        }
    }

    fn take(&mut self, item: Item) {
        match item {
            Item::Deliver { from, to, message } => {
                if self.place(to).seat.is_none() {
                    return;
                }
                self.trail.delivered(self.now_ms, from, to, &message);
                if !self.observers.is_empty() {
                    let message = message.clone();
                    self.tell(|| TraceEvent::Delivered { from, to, message });
                }
                self.feed(to, SeatInput::Message { from, message });
            }
            Item::Tick { seat, alarm } => {
                if self.place(seat).alarm == alarm {
                    self.feed(seat, SeatInput::Tick);
                }
            }
            Item::Done { seat, incarnation, work } => {
                if self.place(seat).incarnation == incarnation {
                    self.feed(seat, SeatInput::Done(work));
                }
            }
            Item::Start { seat, incarnation } => {
                if self.place(seat).incarnation == incarnation {
                    self.feed(seat, SeatInput::Start);
                }
            }
            Item::Planned(index) => {
                let event = self.plan.events[index].1.clone();
                self.happen(event);
            }
            Item::Heal => self.heal(),
        }
    }

    /// Gives a living seat an input and carries out what it wants.
    fn feed(&mut self, seat: SeatIndex, input: SeatInput) {
        let now_ms = self.place(seat).clock.local(self.now_ms);
        let mut outbox = std::mem::take(&mut self.outbox);
        let place = self.place_mut(seat);
        let Some(actor) = place.seat.as_mut() else { return };
        actor.step(now_ms, input, &mut outbox);
        place.steps += 1;
        let look = place.steps.is_multiple_of(LOOK_EVERY);
        self.report.counts.events += 1;
        for action in outbox.actions.drain(..) {
            if self.place(seat).seat.is_none() {
                continue;
            }
            if let Some(left) = self.place_mut(seat).crash_in.as_mut() {
                if *left == 0 {
                    self.inject("crash between actions");
                    self.crash(seat, "crash between actions");
                    continue;
                }
                *left -= 1;
            }
            self.perform(seat, action);
        }
        self.outbox = outbox;
        self.watch(seat, look);
    }

    /// Looks at a seat after a step.
    fn watch(&mut self, seat: SeatIndex, closely: bool) {
        if !self.plan.is_honest(seat) {
            return;
        }
        if closely && let Some(core) = self.core(seat) {
            let (load, hold) = (core.load(), core.status().hold);
            self.checker.load(load);
            self.object(seat);
            if let Some(hold) = hold.filter(|_| self.is_trusted(seat)) {
                self.violate(
                    Some(seat),
                    Rule::Contract,
                    format!("an honest seat holds itself back: {hold:?}"),
                );
            }
        }
        if self.observers.is_empty() {
            return;
        }
        let Some(status) = self.core(seat).map(ShardCore::status) else { return };
        let view = (status.view, status.view_open);
        if self.place(seat).view != view {
            self.place_mut(seat).view = view;
            let leader = self.boot.config.leader(view.0);
            self.tell(|| TraceEvent::View { seat, view: view.0, leader, open: view.1 });
        }
    }
}

impl Place {
    fn new(plan: &Plan, seat: SeatIndex) -> Self {
        Self {
            seat: None,
            disk: Disk::new(plan.disks.get(&seat).copied().unwrap_or_default()),
            clock: plan.clock(seat),
            incarnation: 0,
            alarm: 0,
            crash_in: None,
            waits_for_room: false,
            forgetful: false,
            emptied: false,
            steps: 0,
            view: (View::ZERO, true),
        }
    }
}
