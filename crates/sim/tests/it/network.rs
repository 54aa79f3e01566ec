//! Whole networks: k shards and the root, with all that may befall them.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use alloy_primitives::U256;
use anfs_primitives::{DomainId, Height};
use anfs_sim::network::{Captured, Lie, Misdeed, Plan, Totals, run, run_plan};

/// Seeds of every test run.
const SEEDS: u64 = 200;

fn swarm(seeds: std::ops::Range<u64>) -> Totals {
    let (next, totals) = (AtomicU64::new(seeds.start), Mutex::new(Totals::default()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        break;
                    }
                    let report = run(seed);
                    totals.lock().expect("no run panics").add(report);
                }
            });
        }
    });
    totals.into_inner().expect("no run panics")
}

#[test]
fn no_seed_breaks_a_network() {
    // For a longer hunt.
    let seeds = std::env::var("NETWORK_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(SEEDS);
    let from = std::env::var("NETWORK_FROM").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    let totals = swarm(from..from + seeds);
    println!("{:#?}\nsettled within {} ms", totals.sum, totals.settled_ms_max);
    let failed: Vec<String> = totals
        .failed
        .iter()
        .map(|report| {
            format!("seed {}: {:?} {:?}", report.seed, report.violations, Plan::draw(report.seed).captured)
        })
        .collect();
    assert!(
        failed.is_empty(),
        "{} of {seeds} seeds fail: {:#?}",
        failed.len(),
        &failed[..failed.len().min(8)]
    );
    for kind in Misdeed::ALL.map(Misdeed::name) {
        assert!(totals.sum.faults.contains_key(kind) || seeds < SEEDS, "no run has {kind}");
    }
    assert!(totals.sum.refused > 0 && totals.sum.bounces > 0 && totals.sum.root_messages > 0);
    assert!(totals.sum.issued > U256::ZERO);
    assert!(totals.sum.calls > totals.sum.answers && totals.sum.answers > 1_000);
}

/// A network whose accounts are contracts that call each other across.
fn contracts(seed: u64) -> Plan {
    Plan { programs: 600, ..Plan::calm(seed, 3, 4) }
}

#[test]
fn contracts_call_each_other_across_and_are_told_once_what_came_of_it() {
    let report = run_plan(contracts(7));
    assert_eq!(report.violations, Vec::<String>::new());
    assert!(report.settled_ms < Some(8_000), "{report:#?}");
    // Most calls are sent by contracts that were called themselves, and about six of ten ask.
    assert!(report.calls > report.operations && report.answers > report.calls / 2, "{report:#?}");
    assert!(report.bounces > 100 && report.unasked == 0, "{report:#?}");
}

#[test]
fn a_network_in_which_nothing_goes_wrong_loses_no_time() {
    let report = run_plan(Plan::calm(5, 4, 4));
    assert_eq!(report.violations, Vec::<String>::new());
    assert!(report.operations > 1_000 && report.messages > report.operations, "{report:#?}");
    assert!(report.settled_ms < Some(5_000), "{report:#?}");
    assert_eq!((report.refused, report.root_views), (0, 0), "{report:#?}");
}

/// Runs that once met something rare.
#[test]
fn seeds_that_are_worth_keeping() {
    for (seed, what) in [
        (1242, "a shard of two loses blocks that only its logs can bring back"),
        (1334, "a generator is asked for another block while it builds one"),
        (1403, "nobody honest is left to give evidence"),
        (1893, "the same, in a later view and beside a captured shard"),
        (40, "a captured shard claims a message that nobody can show"),
        (89, "a captured shard consumes messages again"),
    ] {
        // What they met they met without programs.
        let report = run_plan(Plan { programs: 0, ..Plan::draw(seed) });
        assert!(report.passed(), "seed {seed}, {what}: {report:#?}");
        assert!(report.settled_ms.is_some(), "seed {seed}, {what}");
    }
}

#[test]
fn a_seed_gives_one_run() {
    for seed in 0..6 {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
}

/// A network of three shards of which the second is captured.
fn captured(lie: Lie) -> Plan {
    let captured = Captured { domain: DomainId(2), from: Height(8), lie };
    Plan { captured: Some(captured), ..Plan::calm(11, 3, 4) }
}

#[test]
fn what_a_captured_shard_claims_beyond_its_own_is_refused_and_is_evidence() {
    for lie in Lie::ALL {
        let report = run_plan(captured(lie));
        assert!(report.passed(), "{lie:?}: {report:#?}");
        assert!(report.loot <= report.loot_max, "{lie:?}");
        assert_eq!(report.evidence.contains_key("captured shard"), !lie.stalls(), "{lie:?}: {report:#?}");
        // The honest shards go on.
        assert!(report.root_blocks > 10 && report.shard_blocks > 60, "{lie:?}: {report:#?}");
    }
}

#[test]
fn who_shows_the_root_no_messages_holds_up_only_itself() {
    let report = run_plan(captured(Lie::Unshown));
    assert!(report.passed(), "{report:#?}");
    // All else was consumed, everywhere.
    assert!(report.settled_ms.is_some() && report.root_messages > 100, "{report:#?}");
    assert!(report.evidence.is_empty(), "{report:#?}");
}

#[test]
fn nobody_believes_answers_of_a_shard_that_was_not_asked() {
    let captured = captured(Lie::Answer).captured;
    let report = run_plan(Plan { captured, ..contracts(12) });
    assert!(report.passed(), "{report:#?}");
    assert!(report.unasked > 100 && report.answers > 100, "{report:#?}");
}

#[test]
fn a_captured_shard_takes_what_it_holds_and_not_a_wei_more() {
    let report = run_plan(captured(Lie::Drain));
    assert!(report.passed(), "{report:#?}");
    // All of its two million coins have gone, and then one wei too much was its end.
    let held = U256::from(10).pow(U256::from(24)) * U256::from(2);
    assert!(report.loot > held / U256::from(2) && report.loot <= report.loot_max, "{report:#?}");
    assert!(report.evidence["overdraw"] > 0, "{report:#?}");
}
