//! Everything that must pass, with a table at the end. All steps run, also after one that failed.

use std::time::{Duration, Instant};

use eyre::Result;

use crate::cli::{CiArgs, ContractsArgs, FuzzArgs, SimArgs, TestArgs};
use crate::process::execute;
use crate::repo::Repo;
use crate::{contracts, fuzz, mutants, sim, test, tidy};

/// How a step ended.
#[derive(Debug)]
enum Ending {
    Passed,
    Failed(String),
    /// Why it could not be run here.
    Skipped(String),
}

#[derive(Debug)]
struct Step {
    name: String,
    took: Duration,
    ending: Ending,
}

pub(crate) fn run(repo: &Repo, args: &CiArgs) -> Result<()> {
    let mut steps = Vec::new();
    let mut tests = 0;
    let cargo = |words: &[&str]| execute(repo.cargo().args(words));
    step(&mut steps, "fmt", || cargo(&["fmt", "--all", "--check"]));
    step(&mut steps, "clippy", || cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]));
    step(&mut steps, "tidy", || tidy::run(repo));
    step(&mut steps, "mutants", || mutants::check(repo).map(|_| ()));
    step(&mut steps, "docs", || {
        let mut command = repo.cargo();
        command.env("RUSTDOCFLAGS", "-D warnings");
        execute(command.args(["doc", "--no-deps", "--workspace", "--document-private-items"]))
    });
    step(&mut steps, "test", || {
        tests = test::run(repo, &TestArgs::default())?;
        Ok(())
    });
    step(&mut steps, "contracts", || contracts::run(repo, &ContractsArgs { check: true }));
    step(&mut steps, "sim", || {
        let args = SimArgs { seeds: sim::CI_SEEDS, from: 0, threads: 2, verifiers: None, twice: false };
        sim::run(repo, &args)
    });
    fuzz_steps(repo, args, &mut steps);
    summary(&steps, tests)
}

fn fuzz_steps(repo: &Repo, args: &CiArgs, steps: &mut Vec<Step>) {
    if !fuzz::nightly() {
        let why = "no nightly compiler here: rustup toolchain install nightly".to_owned();
        steps.push(Step { name: "fuzz".to_owned(), took: Duration::ZERO, ending: Ending::Skipped(why) });
        return;
    }
    match fuzz::targets(repo) {
        Ok(targets) => {
            for target in targets {
                let name = format!("fuzz {target}");
                let args = FuzzArgs { targets: vec![target], seconds: args.fuzz_seconds };
                step(steps, &name, || fuzz::run(repo, &args));
            }
        }
        Err(error) => step(steps, "fuzz", || Err(error)),
    }
}

fn step(steps: &mut Vec<Step>, name: &str, work: impl FnOnce() -> Result<()>) {
    println!("\n=== {name}");
    let started = Instant::now();
    let ending = match work() {
        Ok(()) => Ending::Passed,
        Err(error) => {
            println!("error: {error:#}");
            Ending::Failed(format!("{error}"))
        }
    };
    steps.push(Step { name: name.to_owned(), took: started.elapsed(), ending });
}

fn summary(steps: &[Step], tests: usize) -> Result<()> {
    println!("\n=== summary");
    for Step { name, took, ending } in steps {
        let ending = match ending {
            Ending::Passed => "passed".to_owned(),
            Ending::Failed(why) => format!("FAILED: {}", why.lines().next().unwrap_or_default()),
            Ending::Skipped(why) => format!("skipped: {why}"),
        };
        println!("{name:<24} {:>7.1} s  {ending}", took.as_secs_f32());
    }
    let count = |wanted: fn(&Ending) -> bool| steps.iter().filter(|step| wanted(&step.ending)).count();
    let failed = count(|ending| matches!(ending, Ending::Failed(_)));
    let passed = count(|ending| matches!(ending, Ending::Passed));
    println!("\n{tests} tests in the suites; steps:");
    println!("{} passed, {failed} failed", tests + passed);
    eyre::ensure!(failed == 0, "{failed} steps failed");
    Ok(())
}
