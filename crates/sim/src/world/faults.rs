//! Processes that end and start, and what else the plan has happen.

use std::collections::BTreeSet;

use anfs_consensus::LogRecord;
use anfs_primitives::{Height, SeatIndex};

use super::{Item, World};
use crate::check;
use crate::crypto::SimCrypto;
use crate::disk::DiskHealth;
use crate::node::{self, Node};
use crate::observe::TraceEvent;
use crate::plan::Event;
use crate::report::Rule;
use crate::rng::Rng;
use crate::seat::{Boot, Seat};

impl World {
    fn boot_of(&mut self, seat: SeatIndex) -> Boot {
        let rng = self.luck.fork();
        let own = match self.plan.is_honest(seat) {
            true => vec![seat],
            false => self.plan.byzantine.keys().copied().collect(),
        };
        let place = self.place(seat);
        Boot {
            seat,
            crypto: SimCrypto::new(self.keys.clone(), own),
            chain: place.disk.chain().to_vec(),
            log: place.disk.log().iter().map(read_back).collect(),
            incarnation: place.incarnation,
            emptied: place.emptied,
            rng,
            ..self.boot.clone()
        }
    }

    pub(super) fn start(&mut self, seat: SeatIndex) {
        let boot = self.boot_of(seat);
        let incarnation = boot.incarnation;
        let actor: Box<dyn Seat> = match self.plan.byzantine.get(&seat) {
            Some(behaviour) => behaviour.spawn(boot),
            None => Box::new(Node::new(boot)),
        };
        self.place_mut(seat).seat = Some(actor);
        self.queue.push(self.now_ms, Item::Start { seat, incarnation });
    }

    fn restart(&mut self, seat: SeatIndex) {
        if self.place(seat).seat.is_some() {
            return;
        }
        let place = self.place_mut(seat);
        place.waits_for_room = false;
        let emptied = place.disk.health.rotten;
        if emptied {
            place.disk.empty();
            place.forgetful = true;
            place.emptied = true;
        }
        if self.place(seat).forgetful {
            self.checker.distrust(seat);
            if let Some((_, missing)) = self.goal.as_mut() {
                missing.remove(&seat);
            }
        }
        self.start(seat);
        let height = self.height(seat);
        self.tell(|| TraceEvent::Restarted { seat, height, emptied });
    }

    pub(super) fn crash(&mut self, seat: SeatIndex, why: &'static str) {
        let luck = &mut self.luck;
        let place = &mut self.places[usize::from(seat.0)];
        if place.seat.take().is_none() {
            return;
        }
        place.incarnation += 1;
        place.alarm += 1;
        place.crash_in = None;
        let loss = place.disk.crash(luck);
        place.forgetful |= loss.promised;
        if self.is_trusted(seat) {
            self.checker.crashed(seat, self.places[usize::from(seat.0)].disk.log());
        } else {
            self.checker.distrust(seat);
        }
        if loss.promised {
            self.inject("synced records lost");
        } else if loss.records > 0 {
            self.inject("unsynced records lost");
        }
        self.trail.crashed(self.now_ms, seat);
        self.tell(|| TraceEvent::Crashed { seat, why });
    }

    /// Before a seat dies between two inputs: what its disk holds must be what it knows.
    fn check_replay(&mut self, seat: SeatIndex) {
        if !self.is_trusted(seat) || self.core(seat).is_none() {
            return;
        }
        let boot = Boot { rng: Rng::new(0), ..self.boot_for_replay(seat) };
        let disk = &self.place(seat).disk;
        let rebuilt = node::rebuild(&boot, disk.chain(), disk.log());
        let live = self.core(seat).expect("looked at above");
        let differs = match rebuilt {
            Ok(rebuilt) => check::differs(live, &rebuilt),
            Err(error) => Some(error.to_string()),
        };
        if let Some(text) = differs {
            self.violate(Some(seat), Rule::Replay, text);
        }
    }

    fn boot_for_replay(&self, seat: SeatIndex) -> Boot {
        let crypto = SimCrypto::new(self.keys.clone(), [seat]);
        Boot { seat, crypto, ..self.boot.clone() }
    }

    pub(super) fn happen(&mut self, event: Event) {
        if self.healed {
            return;
        }
        if !matches!(event, Event::CrashBefore { .. }) {
            self.inject(event.name());
        }
        match event.clone() {
            Event::Crash { seat } => {
                self.check_replay(seat);
                self.crash(seat, "crash");
            }
            Event::CrashBefore { seat, actions } => self.place_mut(seat).crash_in = Some(actions),
            Event::CrashAll => {
                for seat in self.plan.seats() {
                    self.check_replay(seat);
                    self.crash(seat, "crash of all");
                }
                self.queue.retain(|item| !matches!(item, Item::Deliver { .. }));
            }
            Event::Restart { seat } => self.restart(seat),
            Event::RestartAll => self.plan.seats().for_each(|seat| self.restart(seat)),
            Event::Cut { from, to } => {
                pairs(&from, &to).for_each(|(from, to)| self.network.cut(from, to));
            }
            Event::Heal => self.network.heal(),
            Event::Clog { from, to, for_ms } => {
                let until_ms = self.now_ms + for_ms;
                pairs(&from, &to).for_each(|(from, to)| self.network.clog(from, to, until_ms));
            }
            Event::Weather(weather) => self.network.weather = weather,
            Event::DiskFull { seat } => self.place_mut(seat).disk.health.full = true,
            Event::DiskOk { seat } => {
                self.place_mut(seat).disk.health.full = false;
                if self.place(seat).waits_for_room {
                    self.restart(seat);
                }
            }
            Event::SyncLost { seat } => self.place_mut(seat).disk.health.sync_lies = true,
            Event::BitRot { seat } => self.place_mut(seat).disk.health.rotten = true,
        }
        self.tell(|| TraceEvent::Happened(event));
    }

    pub(super) fn heal(&mut self) {
        self.network.heal();
        self.network.weather = self.plan.settled;
        for seat in self.plan.seats() {
            let place = self.place_mut(seat);
            place.crash_in = None;
            place.disk.health = DiskHealth { rotten: place.disk.health.rotten, ..DiskHealth::default() };
            self.restart(seat);
        }
        self.healed = true;
        if self.plan.heights_after_heal > 0 {
            let well = |seat: &SeatIndex| self.is_trusted(*seat) && !self.plan.clock(*seat).is_wild();
            let missing: BTreeSet<SeatIndex> = self.plan.seats().filter(well).collect();
            let highest = self.checker.highest().0;
            self.goal = Some((Height(highest + self.plan.heights_after_heal), missing));
        }
        self.tell(|| TraceEvent::Healed);
    }
}

/// A record as it comes from a disk.
fn read_back(record: &LogRecord) -> LogRecord {
    LogRecord::from_bytes(&record.to_bytes()).expect("what was written can be read")
}

fn pairs<'a>(
    from: &'a BTreeSet<SeatIndex>,
    to: &'a BTreeSet<SeatIndex>,
) -> impl Iterator<Item = (SeatIndex, SeatIndex)> + 'a {
    from.iter().flat_map(|from| to.iter().map(|to| (*from, *to))).filter(|(from, to)| from != to)
}
