//! What a shard promises in figures, each held against runs that are meant to break it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use anfs_primitives::{CertificateKind, SeatIndex, SignerSet, VoteKind};
use anfs_sim::{Behaviour, Event, Observer, Plan, Timing, TraceEvent, Weather, World};

/// The times of a devnet with slots of 250 ms.
const DEVNET: Timing =
    Timing { slot_ms: 250, fast_timeout_ms: 1_000, view_timeout_ms: 3_000, pipeline_depth: 4, check_ms: 20 };
const SIZES: [u16; 3] = [4, 7, 10];

/// A height, when and by what an honest seat was the first to decide it, and whose block it is.
#[derive(Clone, Copy, Debug)]
struct Decision {
    at_ms: u64,
    height: u64,
    kind: CertificateKind,
    proposer: SeatIndex,
}

/// What was signed for a height.
#[derive(Clone, Debug, Default)]
struct Ballot {
    /// Who signed what, in order.
    votes: Vec<(SeatIndex, VoteKind)>,
    last_ms: u64,
}

/// What a run is judged by.
#[derive(Debug, Default)]
struct Record {
    decisions: Vec<Decision>,
    ballots: BTreeMap<u64, Ballot>,
}

impl Observer for Record {
    fn on(&mut self, at_ms: u64, event: &TraceEvent) {
        match event {
            TraceEvent::Decided { height, kind, proposer, .. }
                if self.decisions.last().is_none_or(|last| last.height < height.0) =>
            {
                let (height, kind, proposer) = (height.0, *kind, *proposer);
                self.decisions.push(Decision { at_ms, height, kind, proposer });
            }
            TraceEvent::Voted { vote } => {
                let ballot = self.ballots.entry(vote.target.height.0).or_default();
                ballot.votes.push((vote.signer, vote.kind));
                ballot.last_ms = at_ms;
            }
            _ => {}
        }
    }
}

impl Record {
    /// Runs a plan that breaks no rule.
    fn of(plan: Plan) -> Self {
        let record: Rc<RefCell<Self>> = Rc::default();
        let mut world = World::new(plan);
        world.observe(Box::new(Rc::clone(&record)));
        let report = world.run();
        assert!(report.passed(), "{:?}", report.violations);
        Rc::into_inner(record).expect("the run is over").into_inner()
    }

    /// Heights decided in a stretch of time.
    fn decided(&self, after_ms: u64, by_ms: u64) -> usize {
        self.decisions.iter().filter(|found| found.at_ms > after_ms && found.at_ms <= by_ms).count()
    }
}

/// A plan in which nothing mends by itself.
fn plan(seed: u64, verifiers: u16, duration_ms: u64, timing: Timing, weather: Weather) -> Plan {
    let mut plan = Plan::calm(seed, verifiers, duration_ms);
    (plan.timing, plan.weather, plan.heal_at_ms) = (timing, weather, u64::MAX);
    plan
}

fn weather(delay_ms: u64, jitter_ms: u64) -> Weather {
    Weather { delay_ms, jitter_ms, ..Weather::default() }
}

/// From the death of the SG until the first block that its successor has *built* is decided, less Δ_view, at the
/// most: what the dead one had under way, and what is carried on from it, comes before. The SG dies at moments all
/// over a slot, and Δ_view ends at moments all over a slot, since that decides how long the successor builds.
fn slowest_takeover_ms(verifiers: u16, timing: Timing, weather: Weather, step: usize) -> u64 {
    let (mut slowest, heir) = (0, SeatIndex(1));
    for phase in (0..timing.slot_ms).step_by(2 * step) {
        let timing = Timing { view_timeout_ms: timing.view_timeout_ms + phase, ..timing };
        for moment in (0..timing.slot_ms).step_by(step) {
            let at_ms = 5 * timing.slot_ms + moment;
            let end_ms = at_ms + timing.view_timeout_ms + 8 * timing.slot_ms;
            let mut plan = plan(moment, verifiers, end_ms, timing, weather);
            plan.events.push((at_ms, Event::Crash { seat: SeatIndex::GENERATOR }));
            let record = Record::of(plan);
            let first = record.decisions.iter().find(|found| found.proposer == heir);
            let Some(first) = first else {
                panic!(
                    "killed at {at_ms} ms, never replaced: {verifiers} verifiers, {timing:?}, {weather:?}"
                );
            };
            slowest = slowest.max((first.at_ms - at_ms).saturating_sub(timing.view_timeout_ms));
        }
    }
    slowest
}

/// Three slots and Δ_view. Of the slots one is for building; six ways of a message and two checks must fit into
/// the others: the dead one's last proposal and the votes for it, wishes, promises (the opening travels while the
/// successor builds), its proposal and the votes for that.
#[test]
fn a_dead_generators_successor_has_a_block_certified_within_three_slots_and_the_time_out() {
    for verifiers in SIZES {
        for (timing, weather, step) in [
            (Timing::default(), weather(0, 0), 5),
            (Timing::default(), weather(1, 2), 5),
            (Timing::default(), weather(15, 0), 5),
            (Timing::default(), weather(30, 0), 5),
            (DEVNET, weather(1, 1), 25),
            (DEVNET, weather(60, 0), 25),
            // Messages overtake one another.
            (DEVNET, weather(45, 15), 25),
        ] {
            let slowest = slowest_takeover_ms(verifiers, timing, weather, step);
            assert!(
                slowest <= 3 * timing.slot_ms,
                "{verifiers}: Δ_view and {slowest} ms, {timing:?} {weather:?}"
            );
        }
    }
}

/// On ways of two fifths of a slot it does not hold: the sweep meets the moments at which it is tight.
#[test]
fn the_bound_on_a_takeover_is_tight() {
    let timing = Timing::default();
    let slowest = slowest_takeover_ms(4, timing, weather(40, 0), 5);
    assert!((301..=3 * timing.slot_ms + 60).contains(&slowest), "{slowest}");
}

/// Whoever the f dead are, and whether they die under way or were never there.
#[test]
fn with_f_verifiers_dead_four_fifths_of_the_blocks_are_decided_after_the_first_time_out() {
    for verifiers in SIZES {
        let timing = Timing::default();
        let faults = (verifiers - 1) / 3;
        for (killed_ms, step) in [(0, 1), (2_030, 3)] {
            let (from_ms, span_ms) = (killed_ms + timing.fast_timeout_ms, 10_000);
            let plan = || plan(1, verifiers, from_ms + span_ms, timing, Weather::default());
            let whole = Record::of(plan()).decided(from_ms, from_ms + span_ms);
            assert!(whole >= 98, "{whole} blocks in a hundred slots without any fault");
            for first in (0..verifiers).step_by(step) {
                let mut plan = plan();
                for dead in 0..faults {
                    let seat = SeatIndex(1 + (first + dead) % verifiers);
                    plan.events.push((killed_ms, Event::Crash { seat }));
                }
                let left = Record::of(plan).decided(from_ms, from_ms + span_ms);
                assert!(
                    left * 5 >= whole * 4,
                    "{left} of {whole}: {faults} of {verifiers} dead from SV{} on at {killed_ms} ms",
                    first + 1
                );
            }
        }
    }
}

/// One round: every verifier signs once, nobody says anything a second time, and with the tenth vote's arrival
/// the block is decided.
#[test]
fn ten_fast_votes_decide_in_one_round_and_nine_do_not() {
    let weather = weather(3, 4);
    let record = Record::of(plan(1, 10, 5_000, Timing::default(), weather));
    assert!(record.decisions.len() >= 45);
    for decision in &record.decisions {
        let ballot = &record.ballots[&decision.height];
        assert_eq!(decision.kind, CertificateKind::Fast);
        assert_eq!(ballot.votes.len(), 10, "{ballot:?}");
        assert!(ballot.votes.iter().all(|(_, kind)| *kind == VoteKind::ValidSliced), "{ballot:?}");
        let signers: SignerSet = ballot.votes.iter().filter_map(|(seat, _)| seat.verifier_index()).collect();
        assert_eq!(signers.len(), 10);
        // The tenth verifier itself has the other votes already, or hears them within one way.
        assert!(
            decision.at_ms <= ballot.last_ms + weather.delay_ms + weather.jitter_ms,
            "{decision:?} {ballot:?}"
        );
    }
    let mut plan = plan(1, 10, 5_000, Timing::default(), weather);
    plan.events.push((0, Event::Crash { seat: SeatIndex(7) }));
    let record = Record::of(plan);
    assert!(record.decisions.len() >= 40);
    for decision in &record.decisions {
        let sliced = |(_, kind): &&(SeatIndex, VoteKind)| *kind == VoteKind::ValidSliced;
        assert_eq!(record.ballots[&decision.height].votes.iter().filter(sliced).count(), 9);
        assert_eq!(decision.kind, CertificateKind::Commit, "{decision:?}");
    }
}

/// A known limit, not a promise: each decision begins the patience anew, so a generator that proposes one slot
/// before its end stays in office, breaks no rule, and decides one block where it should have decided ten or twelve.
#[test]
fn a_generator_that_stalls_keeps_its_office_at_a_block_each_time_out() {
    for verifiers in SIZES {
        for timing in [Timing::default(), DEVNET] {
            let mut plan = plan(1, verifiers, 20 * timing.view_timeout_ms, timing, Weather::default());
            let how = Behaviour::Stall { spare_ms: timing.slot_ms };
            plan.byzantine.insert(SeatIndex::GENERATOR, how);
            let record = Record::of(plan);
            let others = record.decisions.iter().filter(|found| found.proposer != SeatIndex::GENERATOR);
            assert_eq!(others.count(), 0, "it was replaced after all");
            let times = || record.decisions.iter().map(|found| found.at_ms);
            let slowest = times().zip(times().skip(1)).map(|(one, next)| next - one).max();
            assert!(slowest <= Some(timing.view_timeout_ms), "{slowest:?}");
            assert!((20..=23).contains(&record.decisions.len()), "{} of {verifiers}", record.decisions.len());
        }
    }
}
