//! Swarm testing: every seed draws its own size, times, weather and mix of faults.
//!
//! A run that has a bit of everything rarely drives one thing far. So each seed first draws *which* faults it
//! has at all, then how many of them. Faulty verifiers, be they byzantine, forgetful or with wild clocks, are at
//! most f; the SG may always be faulty.

use std::collections::BTreeSet;

use anfs_primitives::SeatIndex;

use crate::byzantine::Behaviour;
use crate::clock::Skew;
use crate::plan::{Event, Plan, Timing};
use crate::report::Report;
use crate::rng::Rng;
use crate::wires::Weather;
use crate::world::World;

pub use crate::summary::Summary;

/// Heights that must be decided after the healing.
const HEIGHTS_AFTER_HEAL: u64 = 8;

/// The plan of a seed.
#[must_use]
pub fn draw(seed: u64) -> Plan {
    draw_with(seed, None)
}

/// The plan of a seed in a shard of so many verifiers, or of as many as the seed draws.
#[must_use]
pub fn draw_with(seed: u64, verifiers: Option<u16>) -> Plan {
    let mut rng = Rng::new(seed ^ 0x616e_6673_2d73_696d);
    let drawn = *rng.pick(&[1, 4, 4, 4, 4, 7, 7, 10, 10, 10]);
    let verifiers = verifiers.unwrap_or(drawn);
    let mut plan = Plan::calm(seed, verifiers, 0);
    plan.timing = timing(&mut rng);
    let hunted = rng.chance(300);
    plan.heal_at_ms = plan.timing.view_timeout_ms * rng.between(3, if hunted { 40 } else { 12 });
    plan.heights_after_heal = HEIGHTS_AFTER_HEAL;
    plan.weather = weather(&mut rng, &plan.timing);
    faulty_seats(&mut rng, &mut plan);
    mild_clocks(&mut rng, &mut plan);
    crashes(&mut rng, &mut plan);
    partitions(&mut rng, &mut plan);
    if hunted {
        hunt(&mut rng, &mut plan);
    }
    if rng.chance(300) {
        for _ in 0..rng.between(1, 4) {
            let change = Event::Weather(weather(&mut rng, &plan.timing));
            happen(&mut rng, &mut plan, change);
        }
    }
    stay_slow(&mut rng, &mut plan);
    plan.events.sort_by_key(|(at_ms, _)| *at_ms);
    plan.duration_ms = plan
        .heal_at_ms
        .saturating_add(plan.recovery_bound_ms())
        .saturating_add((HEIGHTS_AFTER_HEAL + 2) * plan.timing.slot_ms);
    plan
}

fn timing(rng: &mut Rng) -> Timing {
    let slot_ms = *rng.pick(&[40, 100, 100, 100, 250]);
    let fast_timeout_ms = slot_ms * rng.between(2, 4);
    Timing {
        slot_ms,
        fast_timeout_ms,
        view_timeout_ms: fast_timeout_ms * rng.between(2, 5),
        pipeline_depth: *rng.pick(&[1, 2, 4, 4, 4, 8]),
        check_ms: rng.between(0, slot_ms / 3),
    }
}

fn weather(rng: &mut Rng, timing: &Timing) -> Weather {
    let mut weather = Weather { jitter_ms: rng.between(0, 5), ..Weather::default() };
    let permille = |rng: &mut Rng, most: u64| u16::try_from(rng.below(most + 1)).expect("at most 1000");
    if rng.chance(400) {
        let most = if rng.chance(300) { 400 } else { 80 };
        weather.loss = permille(rng, most);
    }
    if rng.chance(200) {
        weather.fragment_loss = permille(rng, 500);
    }
    if rng.chance(300) {
        weather.duplication = permille(rng, 300);
    }
    if rng.chance(300) {
        weather.jitter_ms = rng.between(5, 2 * timing.slot_ms);
    }
    if rng.chance(200) {
        weather.delay_ms = rng.between(1, timing.slot_ms);
    }
    if rng.chance(200) {
        weather.straggling = permille(rng, 100);
        weather.straggle_ms = rng.between(timing.slot_ms, 3 * timing.view_timeout_ms);
    }
    weather
}

/// Some networks never become faster than Δ_view: time-outs must grow until they outlast them.
fn stay_slow(rng: &mut Rng, plan: &mut Plan) {
    let all_well = plan.byzantine.is_empty() && plan.skew.values().all(|skew| !skew.is_wild());
    if rng.chance(150) && all_well {
        plan.settled.delay_ms = rng.between(plan.timing.view_timeout_ms / 2, 2 * plan.timing.view_timeout_ms);
    }
}

/// Some time before the healing.
fn moment(rng: &mut Rng, plan: &Plan) -> u64 {
    rng.between(1, plan.heal_at_ms - 1)
}

fn happen(rng: &mut Rng, plan: &mut Plan, event: Event) {
    let at_ms = moment(rng, plan);
    plan.events.push((at_ms, event));
}

fn seat(rng: &mut Rng, plan: &Plan) -> SeatIndex {
    let index = rng.below(u64::from(plan.verifiers) + 1);
    SeatIndex(u16::try_from(index).expect("no more than the verifiers"))
}

/// Byzantine seats, disks that forget, and clocks that run wild: f verifiers at most, and maybe the SG.
fn faulty_seats(rng: &mut Rng, plan: &mut Plan) {
    let mut order: Vec<SeatIndex> = (1..=plan.verifiers).map(SeatIndex).collect();
    rng.shuffle(&mut order);
    let faults = if rng.chance(250) { 0 } else { rng.between(0, plan.faults() as u64) };
    order.truncate(usize::try_from(faults).expect("f is small"));
    if rng.chance(300) {
        order.push(SeatIndex::GENERATOR);
    }
    for seat in order {
        if rng.chance(700) {
            let behaviour = Behaviour::draw(rng, seat, plan.verifiers);
            plan.byzantine.insert(seat, behaviour);
        } else if rng.chance(500) {
            forget(rng, plan, seat);
        } else {
            let rate_per_mille = *rng.pick(&[10, 100, 500, 2_000, 10_000, 100_000]);
            plan.skew.insert(seat, Skew { offset_ms: offset(rng, 60_000), rate_per_mille });
        }
    }
}

fn offset(rng: &mut Rng, most: u64) -> i64 {
    let offset = i64::try_from(rng.below(2 * most + 1)).expect("a few minutes");
    offset - i64::try_from(most).expect("a few minutes")
}

/// A disk that loses what it had said was safe.
fn forget(rng: &mut Rng, plan: &mut Plan, seat: SeatIndex) {
    let at_ms = moment(rng, plan);
    let first = if rng.chance(500) { Event::SyncLost { seat } } else { Event::BitRot { seat } };
    plan.events.push((at_ms, first));
    let crash_ms = at_ms + rng.between(1, 2 * plan.timing.view_timeout_ms);
    let back_ms = crash_ms + rng.between(1, plan.timing.view_timeout_ms);
    plan.events.push((crash_ms, Event::Crash { seat }));
    plan.events.push((back_ms, Event::Restart { seat }));
}

/// Clocks as they are in practice.
fn mild_clocks(rng: &mut Rng, plan: &mut Plan) {
    if !rng.chance(300) {
        return;
    }
    for seat in plan.seats() {
        if !plan.skew.contains_key(&seat) && rng.chance(500) {
            let offset_ms = offset(rng, plan.timing.slot_ms);
            let rate_per_mille = u32::try_from(rng.between(990, 1010)).expect("about 1000");
            plan.skew.insert(seat, Skew { offset_ms, rate_per_mille });
        }
    }
}

fn crashes(rng: &mut Rng, plan: &mut Plan) {
    if rng.chance(400) {
        for _ in 0..rng.between(1, 6) {
            let seat = seat(rng, plan);
            let at_ms = moment(rng, plan);
            let event = if rng.chance(600) {
                let actions = u32::try_from(rng.below(200)).expect("below 200");
                Event::CrashBefore { seat, actions }
            } else {
                Event::Crash { seat }
            };
            plan.events.push((at_ms, event));
            let away_ms = if rng.chance(300) { 0 } else { rng.below(2 * plan.timing.view_timeout_ms) };
            plan.events.push((at_ms + away_ms + rng.below(50), Event::Restart { seat }));
        }
    }
    if rng.chance(120) {
        let at_ms = moment(rng, plan);
        plan.events.push((at_ms, Event::CrashAll));
        plan.events.push((at_ms + rng.below(plan.timing.view_timeout_ms), Event::RestartAll));
    }
    if rng.chance(150) {
        let seat = seat(rng, plan);
        let at_ms = moment(rng, plan);
        plan.events.push((at_ms, Event::DiskFull { seat }));
        plan.events.push((at_ms + rng.below(2 * plan.timing.view_timeout_ms), Event::DiskOk { seat }));
    }
}

fn partitions(rng: &mut Rng, plan: &mut Plan) {
    if !rng.chance(350) {
        return;
    }
    for _ in 0..rng.between(1, 4) {
        let share = rng.between(100, 900);
        let (from, rest): (BTreeSet<_>, BTreeSet<_>) = plan.seats().partition(|_| rng.chance(share));
        let to = if rng.chance(300) { plan.seats().collect() } else { rest };
        let at_ms = moment(rng, plan);
        let for_ms = rng.between(1, 3 * plan.timing.view_timeout_ms);
        if rng.chance(300) {
            plan.events.push((at_ms, Event::Clog { from, to, for_ms }));
            continue;
        }
        if rng.chance(600) {
            plan.events.push((at_ms, Event::Cut { from: to.clone(), to: from.clone() }));
        }
        plan.events.push((at_ms, Event::Cut { from, to }));
        plan.events.push((at_ms + for_ms, Event::Heal));
    }
}

/// Leaders fail one after the other, each in its own way: the shard changes views again and again, and what
/// one leader had begun the next must carry on.
fn hunt(rng: &mut Rng, plan: &mut Plan) {
    let view_ms = plan.timing.view_timeout_ms;
    let mut at_ms = rng.between(1, 2 * view_ms);
    let mut prey = 0;
    while at_ms < plan.heal_at_ms {
        let seat = SeatIndex(prey);
        let for_ms = rng.between(view_ms / 2, 3 * view_ms);
        let others: BTreeSet<SeatIndex> = plan.seats().filter(|other| *other != seat).collect();
        // Some still hear it, or it hears some: certificates and promises reach only a part.
        let share = *rng.pick(&[300, 600, 900, 1000]);
        let deaf: BTreeSet<SeatIndex> = others.iter().copied().filter(|_| rng.chance(share)).collect();
        match rng.below(4) {
            0 => {
                let actions = u32::try_from(rng.below(60)).expect("below 60");
                plan.events.push((at_ms, Event::CrashBefore { seat, actions }));
                plan.events.push((at_ms + for_ms, Event::Restart { seat }));
            }
            1 => plan.events.push((at_ms, Event::Clog { from: [seat].into(), to: deaf, for_ms })),
            2 => {
                plan.events.push((at_ms, Event::Cut { from: [seat].into(), to: deaf }));
                plan.events.push((at_ms + for_ms, Event::Heal));
            }
            _ => {
                plan.events.push((at_ms, Event::Cut { from: [seat].into(), to: deaf.clone() }));
                plan.events.push((at_ms, Event::Cut { from: deaf, to: [seat].into() }));
                plan.events.push((at_ms + for_ms, Event::Heal));
            }
        }
        prey = (prey + 1) % (plan.verifiers + 1);
        at_ms += rng.between(view_ms / 4, 3 * view_ms);
    }
}

/// Runs one seed.
#[must_use]
pub fn run_one(seed: u64) -> Report {
    World::new(draw(seed)).run()
}

/// Runs these seeds, one after the other.
#[must_use]
pub fn run(seeds: impl IntoIterator<Item = u64>) -> Summary {
    let mut summary = Summary::default();
    for seed in seeds {
        summary.add(run_one(seed));
    }
    summary
}
