//! One seat, two processes with the same key.
//!
//! Each is honest and knows nothing of the other: an operator's fail-over gone wrong, or a thief. The network is
//! parted between them, and parted anew from time to time, so that what one has said reaches those who have
//! heard the other.

use std::collections::BTreeMap;

use anfs_consensus::ShardCore;
use anfs_primitives::SeatIndex;

use super::actor::{Me, addressed, misdeed, scatter};
use crate::node::Node;
use crate::seat::{Action, Boot, Outbox, Seat, SeatInput, Work};

/// How long the network stays parted in one way.
const PARTED_MS: u64 = 700;
/// The reminder to part it anew.
const PART: u64 = 0;

/// What a twin waits for.
#[derive(Debug)]
enum Waiting {
    Tick,
    Done(Work),
}

/// Two nodes on one seat.
#[derive(Debug)]
pub(super) struct Twins {
    me: Me,
    nodes: [Node; 2],
    /// Who hears which of them: one, the other, or both.
    hears: BTreeMap<SeatIndex, [bool; 2]>,
    waiting: BTreeMap<u64, (usize, Waiting)>,
    next: u64,
}

impl Twins {
    pub(super) fn new(boot: Boot) -> Self {
        let mut second = boot.clone();
        // The second builds other blocks.
        second.incarnation = boot.incarnation + (1 << 32);
        second.rng = boot.rng.clone().fork();
        let mut me = Me::new(&boot);
        let hears = Self::part(&mut me);
        Self {
            me,
            nodes: [Node::new(boot), Node::new(second)],
            hears,
            waiting: BTreeMap::new(),
            next: PART + 1,
        }
    }

    fn part(me: &mut Me) -> BTreeMap<SeatIndex, [bool; 2]> {
        let kinds = [[true, false], [false, true], [true, true]];
        me.others.clone().into_iter().map(|seat| (seat, *me.rng.pick(&kinds))).collect()
    }

    fn run(&mut self, twin: usize, now_ms: u64, input: SeatInput, out: &mut Outbox) {
        let mut done = Outbox::default();
        self.nodes[twin].step(now_ms, input, &mut done);
        for action in done.actions {
            match action {
                Action::WakeAt(at_ms) => self.wait(twin, at_ms, Waiting::Tick, out),
                Action::WorkUntil { at_ms, work } => self.wait(twin, at_ms, Waiting::Done(work), out),
                // One disk: the second twin's is another machine's.
                Action::Persist(_) | Action::Decide(_) | Action::Compact(_) | Action::Building { .. }
                    if twin == 1 => {}
                Action::Fail(_) | Action::Evidence(_) | Action::Penalise { .. } => {}
                action => self.send(twin, action, out),
            }
        }
    }

    fn wait(&mut self, twin: usize, at_ms: u64, what: Waiting, out: &mut Outbox) {
        self.waiting.insert(self.next, (twin, what));
        out.remind_at(at_ms, self.next);
        self.next += 1;
    }

    fn send(&mut self, twin: usize, action: Action, out: &mut Outbox) {
        match addressed(&self.me, &action) {
            Some((mut to, message)) => {
                to.retain(|seat| self.hears.get(seat).is_some_and(|hears| hears[twin]));
                misdeed("word of a twin", out);
                scatter(&to, &message, out);
            }
            None => out.push(action),
        }
    }
}

impl Seat for Twins {
    fn step(&mut self, now_ms: u64, input: SeatInput, out: &mut Outbox) {
        match input {
            SeatInput::Start => {
                out.remind_at(now_ms + PARTED_MS, PART);
                self.run(0, now_ms, SeatInput::Start, out);
                self.run(1, now_ms, SeatInput::Start, out);
            }
            SeatInput::Message { from, message } => {
                let hears = self.hears.get(&from).copied().unwrap_or_default();
                for twin in [0, 1] {
                    if hears[twin] {
                        let message = message.clone();
                        self.run(twin, now_ms, SeatInput::Message { from, message }, out);
                    }
                }
            }
            SeatInput::Done(Work::Remind(PART)) => {
                self.hears = Self::part(&mut self.me);
                out.remind_at(now_ms + PARTED_MS, PART);
            }
            SeatInput::Done(Work::Remind(of)) => match self.waiting.remove(&of) {
                Some((twin, Waiting::Tick)) => self.run(twin, now_ms, SeatInput::Tick, out),
                Some((twin, Waiting::Done(work))) => self.run(twin, now_ms, SeatInput::Done(work), out),
                None => {}
            },
            SeatInput::Tick | SeatInput::Done(_) => {}
        }
    }

    fn core(&self) -> Option<&ShardCore> {
        self.nodes[0].core()
    }
}
