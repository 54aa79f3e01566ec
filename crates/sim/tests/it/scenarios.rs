//! Every scenario in `scenarios/` comes to what it expects.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anfs_sim::Scenario;

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")
}

fn holds(name: &str) {
    let text = fs::read_to_string(folder().join(format!("{name}.sim"))).expect("every name has a file");
    let scenario = Scenario::parse(&text).unwrap_or_else(|error| panic!("{name}.sim: {error}"));
    assert!(!scenario.title.is_empty(), "{name}.sim begins with a line that says what it is about");
    let outcome = scenario.run();
    assert!(outcome.expected > 0, "{name}.sim expects nothing");
    assert!(outcome.passed(), "{name}.sim:\n{}\n{:#?}", outcome.failures.join("\n"), outcome.report);
}

macro_rules! scenarios {
    ($($test:ident = $name:literal,)*) => {
        const NAMES: &[&str] = &[$($name),*];
        $(
            #[test]
            fn $test() {
                holds($name);
            }
        )*
    };
}

scenarios! {
    calm = "calm",
    clock_skew = "clock-skew",
    colluding_slice = "colluding-slice",
    crash_of_all = "crash-of-all",
    dead_generator = "dead-generator",
    dead_generator_just_proposed = "dead-generator-just-proposed",
    dead_generator_mid_slot = "dead-generator-mid-slot",
    equivocating_generator = "equivocating-generator",
    equivocation_in_halves = "equivocation-in-halves",
    false_alert = "false-alert",
    generator_returns = "generator-returns",
    invalid_slice_seven = "invalid-slice-seven",
    invalid_slice_six = "invalid-slice-six",
    minority_cut_off = "minority-cut-off",
    more_than_f = "more-than-f",
    one_way_cut = "one-way-cut",
    partition_and_heal = "partition-and-heal",
    silent_verifiers = "silent-verifiers",
    slow_generator = "slow-generator",
    stalling_generator = "stalling-generator",
    storm = "storm",
    takeover_chain = "takeover-chain",
    too_many_silent = "too-many-silent",
    twins = "twins",
    withheld_fragments = "withheld-fragments",
    wrong_state_root = "wrong-state-root",
}

#[test]
fn every_file_is_run() {
    let files = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let files: BTreeSet<String> =
        files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    assert_eq!(files, NAMES.iter().map(|name| (*name).to_owned()).collect());
}

#[test]
fn a_scenario_runs_the_same_twice() {
    let text = fs::read_to_string(folder().join("storm.sim")).unwrap();
    let scenario = Scenario::parse(&text).unwrap();
    assert_eq!(scenario.run(), scenario.run());
}

#[test]
fn what_is_not_met_is_said_with_line_and_finding() {
    let text = "shard 4\nrun 2s\nat 500ms kill SG\nexpect height >= 1000\nexpect evidence against SV1\n\
                expect broken agreement\nexpect view 0 by 5s\nexpect acting SV4 by 1s\nexpect gap <= 1ms\n\
                expect convicted height 3\nexpect SV2 height = 0\n\
                expect next block of SV2 within 5 slots + view after 500ms\nexpect next block within 1ms after 400ms";
    let failures = Scenario::parse(text).unwrap().run().failures;
    assert_eq!(failures.len(), 10, "{failures:#?}");
    for (failure, line) in failures.iter().zip(4..) {
        assert!(failure.starts_with(&format!("line {line}: expect")), "{failure}");
    }
    assert!(failures[3].contains("the run ended at 2000 ms"), "{}", failures[3]);
    assert!(failures[8].contains("none came until the run ended at 2000 ms"), "{}", failures[8]);
    assert!(failures[9].contains("ms, not within 1 ms"), "{}", failures[9]);
}
