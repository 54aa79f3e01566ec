//! Every operation of the logs fails or is the last one before a crash; nothing acknowledged is lost.

use anfs_store::StoreError;
use proptest::prelude::*;

use crate::chain::chain;
use crate::disk::{Failure, Survival};
use crate::harness::{Harness, Step};

/// Groups of several sizes, three segments, two prunings, a flush, a clean restart.
const SCRIPT: &[Step] = &[
    Step::Votes(2),
    Step::SyncVotes,
    Step::Append,
    Step::SyncBlocks,
    Step::Votes(1),
    Step::SyncVotes,
    Step::Append,
    Step::Append,
    Step::Append,
    Step::SyncBlocks,
    Step::Prune(1),
    Step::Flush,
    Step::Votes(3),
    Step::SyncVotes,
    Step::Append,
    Step::SyncBlocks,
    Step::Kill,
    Step::Append,
    Step::Append,
    Step::Votes(1),
    Step::SyncBlocks,
    Step::Prune(2),
    Step::Votes(1),
    Step::SyncVotes,
    Step::Append,
    Step::SyncBlocks,
];

fn blocks() -> Vec<anfs_store::BlockRecord> {
    chain(8, 2, 100)
}

/// Operations of an undisturbed run.
fn operations() -> usize {
    let dir = tempfile::tempdir().unwrap();
    let chain = blocks();
    let mut harness = Harness::new(dir.path().to_owned(), &chain);
    for step in SCRIPT {
        harness.step(*step).unwrap();
    }
    let count = harness.disk.operations();
    harness.check().unwrap();
    count
}

/// Runs the script until the failure stops it, then reopens and goes on to the end.
fn run(index: usize, failure: Failure, survival: Survival) {
    let dir = tempfile::tempdir().unwrap();
    let chain = blocks();
    let mut harness = Harness::new(dir.path().to_owned(), &chain);
    harness.disk.fail_at(index, failure);
    for (at, step) in SCRIPT.iter().enumerate() {
        let Err(error) = harness.step(*step) else { continue };
        assert!(!harness.disk.is_armed(), "step {at} failed by itself: {error}");
        if failure == Failure::Full {
            assert!(error.to_string().contains("free space"), "{error}");
            match harness.step(*step) {
                // With room again, the same store goes on.
                Ok(()) => continue,
                Err(StoreError::Poisoned { .. }) => {}
                Err(error) => panic!("step {at} failed again: {error}"),
            }
        }
        if failure == Failure::Kill {
            // What is served now, and what is added to it, must still be there after a power cut.
            harness.kill();
            harness.check().unwrap();
            harness.step(*step).unwrap();
            harness.step(Step::SyncBlocks).unwrap();
            harness.step(Step::SyncVotes).unwrap();
        }
        harness.crash(survival);
        harness.check().unwrap();
    }
    harness.crash(survival);
    harness.check().unwrap();
}

#[test]
fn a_crash_at_any_operation_loses_nothing_that_was_synced() {
    for index in 0..operations() {
        run(index, Failure::Crash, Survival::Nothing);
        run(index, Failure::Crash, Survival::Everything);
        for seed in 0..6 {
            run(index, Failure::Crash, Survival::Some(index as u64 * 6 + seed + 1));
        }
    }
}

#[test]
fn a_kill_at_any_operation_and_a_power_cut_later_lose_nothing_that_was_served() {
    for index in 0..operations() {
        run(index, Failure::Kill, Survival::Nothing);
    }
}

#[test]
fn a_full_disk_at_any_operation_is_named_and_loses_nothing() {
    for index in 0..operations() {
        run(index, Failure::Full, Survival::Some(index as u64 + 1));
    }
}

#[test]
fn a_failing_disk_at_any_operation_loses_nothing_that_was_synced() {
    for index in 0..operations() {
        run(index, Failure::Broken, Survival::Some(index as u64 + 1));
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let survival = prop_oneof![
        Just(Survival::Nothing),
        Just(Survival::Everything),
        (1..u64::MAX).prop_map(Survival::Some)
    ];
    let step = prop_oneof![
        6 => Just(Step::Append),
        4 => Just(Step::SyncBlocks),
        4 => (0..4u8).prop_map(Step::Votes),
        4 => Just(Step::SyncVotes),
        1 => (0..6u8).prop_map(Step::Prune),
        1 => Just(Step::Flush),
        1 => Just(Step::Kill),
        2 => survival.prop_map(Step::Crash),
    ];
    prop::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_sequence_of_steps_and_crashes_agrees_with_the_model(
        steps in steps(),
        at in 0..400usize,
        failure in prop_oneof![Just(Failure::Crash), Just(Failure::Full), Just(Failure::Broken)],
        seed in 1..u64::MAX,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let chain = chain(24, 2, 100);
        let mut harness = Harness::new(dir.path().to_owned(), &chain);
        harness.disk.fail_at(at, failure);
        for step in steps {
            if let Err(error) = harness.step(step) {
                prop_assert!(!harness.disk.is_armed(), "failed by itself: {error}");
                harness.crash(Survival::Some(seed));
                harness.check().unwrap();
            }
        }
        harness.crash(Survival::Some(seed));
        harness.check().unwrap();
    }
}
