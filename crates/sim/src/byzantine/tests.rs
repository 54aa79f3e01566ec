//! What every behaviour does, and that the shard bears it.

mod bounds;
mod findings;

use std::collections::BTreeMap;

use anfs_primitives::SeatIndex;

use super::{Behaviour, Opening, Rivalry, Withheld};
use crate::blocks::Flaw;
use crate::plan::Plan;
use crate::report::Report;
use crate::rng::Rng;
use crate::wires::Weather;
use crate::world::World;

/// Some seconds of weather with these byzantine seats, then calm, in which eight heights must be decided.
fn plan(seed: u64, verifiers: u16, byzantine: &[(u16, Behaviour)]) -> Plan {
    let mut plan = Plan::calm(seed, verifiers, 0);
    plan.byzantine = byzantine.iter().map(|(seat, how)| (SeatIndex(*seat), how.clone())).collect();
    plan.heal_at_ms = 8_000;
    plan.heights_after_heal = 8;
    let loss = u16::try_from(seed % 3 * 15).unwrap();
    plan.weather = Weather { jitter_ms: 1 + seed % 40, loss, ..Weather::default() };
    plan.duration_ms = plan.heal_at_ms + plan.recovery_bound_ms();
    plan
}

/// The run must break no rule: safety, evidence and recovery among them.
fn bears(seed: u64, verifiers: u16, byzantine: &[(u16, Behaviour)]) -> Report {
    let report = World::new(plan(seed, verifiers, byzantine)).run();
    let first = report.violations.first().map(ToString::to_string);
    assert_eq!(first, None, "seed {seed}, {verifiers} verifiers, {byzantine:?}");
    assert!(report.counts.decided_heights >= 8, "{byzantine:?}");
    report
}

/// Seats 1 to `count` with one behaviour, and one for the SG if it has any.
fn group(count: u16, how: &Behaviour, generator: Option<Behaviour>) -> Vec<(u16, Behaviour)> {
    let verifiers = (1..=count).map(|seat| (seat, how.clone()));
    generator.map(|how| (0, how)).into_iter().chain(verifiers).collect()
}

/// What a behaviour counts when it has really happened.
fn misdeed_of(how: &Behaviour) -> &'static str {
    match how {
        Behaviour::Dead => "dead",
        Behaviour::Slow { .. } => "late message",
        Behaviour::Stall { .. } => "stalled block",
        Behaviour::Selective => "selective silence",
        Behaviour::Equivocate(_) => "equivocation",
        Behaviour::Invalid { flaw: Flaw::State, .. } => "invalid state root",
        Behaviour::Invalid { .. } | Behaviour::Collude { .. } => "invalid slice",
        Behaviour::Withhold(_) => "withheld fragments",
        Behaviour::Misshape(_) => "misshapen block",
        Behaviour::Usurp => "usurped proposal",
        Behaviour::FalseAlert => "false alert",
        Behaviour::Lazy => "unchecked approval",
        Behaviour::DoubleVote => "double vote",
        Behaviour::Hoard => "hoarded certificate",
        Behaviour::CancelShares => "shifted share",
        Behaviour::LyingPromise(_) => "lying view change",
        Behaviour::ConflictingPromise(_) => "conflicting view changes",
        Behaviour::BadOpening(_) => "bad opening of a view",
        Behaviour::Replay => "replay",
        Behaviour::BogusCertificates => "bogus certificate",
        Behaviour::Spam => "spam",
        Behaviour::Pollute => "wrong entries",
        Behaviour::Twins => "word of a twin",
    }
}

/// Every behaviour of f verifiers beside an SG that is honest, dead, or lies itself; and of the SG alone.
fn each_behaviour(verifiers: u16, seeds: std::ops::Range<u64>) {
    let faults = (verifiers - 1) / 3;
    for how in Behaviour::all(verifiers) {
        let mut injected: BTreeMap<&'static str, u64> = BTreeMap::new();
        let mut groups = vec![
            group(faults, &how, None),
            group(faults, &how, Some(Behaviour::Dead)),
            group(faults, &how, Some(Behaviour::Equivocate(Rivalry::Halves))),
            group(faults, &how, Some(Behaviour::Invalid { flaw: Flaw::Slice(1), share: 300 })),
        ];
        if how.suits_generator() {
            groups.push(group(0, &how, Some(how.clone())));
            groups.push(group(faults, &how, Some(how.clone())));
        }
        for seed in seeds.clone() {
            for group in &groups {
                for (what, count) in bears(seed, verifiers, group).counts.injected {
                    *injected.entry(what).or_default() += count;
                }
            }
        }
        assert!(injected.get(misdeed_of(&how)).is_some_and(|count| *count > 0), "{how:?}: {injected:?}");
    }
}

#[test]
fn each_behaviour_does_its_thing_and_four_verifiers_bear_it() {
    each_behaviour(4, 0..3);
}

#[test]
fn each_behaviour_does_its_thing_and_seven_verifiers_bear_it() {
    each_behaviour(7, 3..4);
}

#[test]
fn ten_verifiers_bear_a_mix_of_three_liars_and_a_lying_generator() {
    for seed in 0..60 {
        let mut rng = Rng::new(seed);
        let mut seats: Vec<u16> = (1..=10).collect();
        rng.shuffle(&mut seats);
        let mut liars = vec![0];
        liars.extend(&seats[..3]);
        let draw = |seat: u16| (seat, Behaviour::draw(&mut rng, SeatIndex(seat), 10));
        let liars: Vec<(u16, Behaviour)> = liars.into_iter().map(draw).collect();
        bears(seed, 10, &liars);
    }
}

#[test]
fn the_same_seed_gives_the_same_run_with_every_behaviour() {
    for how in Behaviour::all(4) {
        let run =
            || World::new(plan(5, 4, &group(1, &how, Some(Behaviour::Equivocate(Rivalry::Bodies))))).run();
        assert_eq!(run(), run(), "{how:?}");
    }
}

#[test]
fn drawn_behaviours_suit_their_seats() {
    let mut rng = Rng::new(8);
    let mut names = std::collections::BTreeSet::new();
    for _ in 0..600 {
        assert!(Behaviour::draw(&mut rng, SeatIndex::GENERATOR, 4).suits_generator());
        names.insert(Behaviour::draw(&mut rng, SeatIndex(1), 4).name());
    }
    let all: std::collections::BTreeSet<_> = Behaviour::all(4).iter().map(Behaviour::name).collect();
    assert_eq!(names, all);
}

fn evidence(report: &Report, kind: &str) -> u64 {
    report.counts.evidence.get(kind).copied().unwrap_or_default()
}

#[test]
fn two_proposals_that_meet_are_evidence() {
    let report = bears(1, 4, &[(0, Behaviour::Equivocate(Rivalry::Overt))]);
    assert!(evidence(&report, "two proposals") > 0, "{report:?}");
}

#[test]
fn false_alerts_leave_evidence_and_cost_no_leader_its_view() {
    for verifiers in [4, 10] {
        let faults = (verifiers - 1) / 3;
        let report = bears(3, verifiers, &group(faults, &Behaviour::FalseAlert, None));
        assert!(evidence(&report, "false alert") > 0, "{report:?}");
        assert_eq!(report.counts.convictions, 0);
        assert!(report.counts.slow > 0 && report.counts.fast > 0, "{report:?}");
    }
}

#[test]
fn contradicting_votes_and_twins_leave_evidence() {
    for how in [Behaviour::DoubleVote, Behaviour::Twins] {
        let run = |seed| bears(seed, 4, &group(1, &how, Some(Behaviour::Equivocate(Rivalry::Bodies))));
        let found: u64 = (0..12).map(|seed| evidence(&run(seed), "two votes")).sum();
        assert!(found > 0, "{how:?}");
    }
    let report = bears(1, 4, &[(0, Behaviour::Twins)]);
    assert!(evidence(&report, "two proposals") > 0, "{report:?}");
}

#[test]
fn an_invalid_slice_at_any_place_is_convicted_with_evidence() {
    for slice in 0..10 {
        let how = Behaviour::Invalid { flaw: Flaw::Slice(slice), share: 1000 };
        let report = bears(u64::from(slice), 10, &[(0, how)]);
        assert!(
            report.counts.convictions > 0 && evidence(&report, "invalid block") > 0,
            "{slice}: {report:?}"
        );
    }
}

#[test]
fn colluders_do_not_get_their_slice_past_one_honest_checker() {
    for slice in 0..10 {
        for colluders in 1..=3 {
            let how = Behaviour::Collude { slice, share: 1000 };
            let report = bears(u64::from(slice), 10, &group(colluders, &how, Some(how.clone())));
            let vouched = report.counts.injected.get("vouched for an invalid block");
            assert!(vouched.is_some_and(|count| *count > 0), "{report:?}");
            assert!(evidence(&report, "invalid block") > 0, "{slice} {colluders}: {report:?}");
        }
    }
}

#[test]
fn shares_that_cancel_are_found_one_by_one_and_harm_no_honest_seat() {
    let report = bears(2, 7, &group(2, &Behaviour::CancelShares, None));
    assert!(report.counts.injected["shifted share"] > 20);
    assert_eq!(report.penalties, 0, "{report:?}");
    assert_eq!(report.counts.fast, 0, "a FastCert needs all shares, and two are never right");
}

#[test]
fn bodies_withheld_from_some_are_fetched_from_others() {
    let mut calm = plan(0, 4, &[(0, Behaviour::Withhold(Withheld::FromAllButOne))]);
    calm.heal_at_ms = 1;
    let report = World::new(calm).run();
    assert!(report.passed(), "{report:?}");
    assert_eq!(report.counts.views_changed, 0, "nobody needs another leader: {report:?}");
}

#[test]
fn openings_that_are_wrong_are_refused_and_those_that_are_sly_do_no_harm() {
    for how in [
        Opening::Freeing,
        Opening::Fewer,
        Opening::Repeated,
        Opening::Omitting,
        Opening::Twice,
        Opening::Stale,
        Opening::Forged,
        Opening::Overriding,
    ] {
        let mut own_blocks = 0;
        for seed in 0..4 {
            let generator = Behaviour::Equivocate(Rivalry::Halves);
            let report = bears(seed, 7, &group(2, &Behaviour::BadOpening(how), Some(generator)));
            own_blocks +=
                report.counts.injected.get("own block in a bad opening").copied().unwrap_or_default();
        }
        assert!(own_blocks > 0 || how == Opening::Stale, "{how:?}");
    }
}
