//! All tests: the Rust suites one by one, so that what ran can be counted, then the client suites.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use cargo_metadata::{Message, MetadataCommand};
use eyre::{Context as _, Result, bail, ensure};

use crate::cli::TestArgs;
use crate::process::capture;
use crate::repo::Repo;
use crate::suites::{self, Counts, Suites};
use crate::{clients, setup};

/// What a set of suites did.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// Passed tests of each suite.
    pub(crate) counts: Counts,
    /// Failed tests.
    pub(crate) failed: usize,
    /// What went wrong, a line each.
    pub(crate) failures: Vec<String>,
}

impl Outcome {
    /// Adds what other suites did.
    pub(crate) fn add(&mut self, other: Self) {
        self.counts.extend(other.counts);
        self.failed += other.failed;
        self.failures.extend(other.failures);
    }

    pub(crate) fn passed(&self) -> usize {
        self.counts.values().sum()
    }
}

/// A built test program.
#[derive(Debug)]
struct TestProgram {
    suite: String,
    program: PathBuf,
    dir: PathBuf,
}

/// Runs what is asked for; returns how many tests passed.
pub(crate) fn run(repo: &Repo, args: &TestArgs) -> Result<usize> {
    let mut least = Suites::read(repo)?;
    let (mut passed, mut failed, mut failures) = (0, 0, Vec::new());
    if args.rust_suites() {
        let mut outcome = rust(repo)?;
        if args.record {
            outcome.counts.iter().filter(|(_, count)| **count > 0).for_each(|(suite, count)| {
                let entry = least.rust.entry(suite.clone()).or_default();
                *entry = (*entry).max(*count);
            });
        }
        outcome.failures.extend(suites::compare(&least.rust, &outcome.counts));
        passed += outcome.passed();
        failed += outcome.failed;
        failures.append(&mut outcome.failures);
    }
    if args.client_suites() {
        setup::run(repo)?;
        let mut outcome = clients::run(repo, args)?;
        if args.record {
            outcome.counts.iter().for_each(|(suite, count)| {
                let entry = least.clients.entry(suite.clone()).or_default();
                *entry = (*entry).max(*count);
            });
        }
        if args.suite.is_empty() {
            let missing = clients::NAMES.iter().filter(|name| !least.clients.contains_key(**name));
            outcome
                .failures
                .extend(missing.map(|name| format!("{name}: no least count in xtask/suites.toml")));
            outcome.failures.extend(suites::compare(&least.clients, &outcome.counts));
        }
        passed += outcome.passed();
        failed += outcome.failed;
        failures.append(&mut outcome.failures);
    }
    if args.record {
        least.write(repo)?;
    }
    println!("tests: {passed} passed, {failed} failed");
    ensure!(failures.is_empty(), "tests failed:\n  - {}", failures.join("\n  - "));
    Ok(passed)
}

fn rust(repo: &Repo) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    for TestProgram { suite, program, dir } in build(repo)? {
        let started = Instant::now();
        let finished =
            capture(Command::new(program).current_dir(&dir).env("CARGO_MANIFEST_DIR", &dir), false)?;
        record(&mut outcome, suite, &finished.text, finished.success, started);
    }
    let started = Instant::now();
    let finished = capture(repo.cargo().args(["test", "--release", "--workspace", "--doc"]), false)?;
    record(&mut outcome, "doc".to_owned(), &finished.text, finished.success, started);
    Ok(outcome)
}

fn record(outcome: &mut Outcome, suite: String, text: &str, success: bool, started: Instant) {
    let (passed, failed) = parse_results(text);
    println!("{suite}: {passed} passed, {failed} failed in {:.1} s", started.elapsed().as_secs_f32());
    outcome.failed += failed;
    if !success {
        println!("{text}");
        // A program that dies has no line of results.
        outcome.failed += usize::from(failed == 0);
        outcome.failures.push(format!("{suite}: failed"));
    }
    outcome.counts.insert(suite, passed);
}

/// Sums of all lines of results.
fn parse_results(text: &str) -> (usize, usize) {
    let count = |line: &str, word: &str| -> Option<usize> {
        line.split([';', '.']).find_map(|part| part.trim().strip_suffix(word)?.trim().parse().ok())
    };
    let results = text.lines().filter_map(|line| line.strip_prefix("test result: "));
    results.fold((0, 0), |(passed, failed), line| {
        (passed + count(line, "passed").unwrap_or(0), failed + count(line, "failed").unwrap_or(0))
    })
}

fn build(repo: &Repo) -> Result<Vec<TestProgram>> {
    println!("building the Rust tests");
    let metadata = MetadataCommand::new().current_dir(repo.root()).no_deps().exec();
    let metadata = metadata.wrap_err("cargo metadata failed")?;
    let packages: BTreeMap<_, _> = metadata.packages.iter().map(|package| (&package.id, package)).collect();
    let mut command = repo.cargo();
    command.args([
        "test",
        "--release",
        "--workspace",
        "--no-run",
        "--message-format=json-render-diagnostics",
    ]);
    let output = command.stderr(std::process::Stdio::inherit()).output().wrap_err("cannot start cargo")?;
    if !output.status.success() {
        bail!("the tests do not build");
    }
    let mut programs = Vec::new();
    for message in Message::parse_stream(output.stdout.as_slice()) {
        let Message::CompilerArtifact(artifact) = message.wrap_err("cargo printed what is no message")?
        else {
            continue;
        };
        let (true, Some(program), Some(package)) =
            (artifact.profile.test, artifact.executable, packages.get(&artifact.package_id))
        else {
            continue;
        };
        // A library's suite is `lib` whatever the crate is called.
        let target =
            if artifact.target.is_test() || artifact.target.is_bin() { &artifact.target.name } else { "lib" };
        let dir = package.manifest_path.parent().map(|dir| dir.as_std_path().to_owned());
        programs.push(TestProgram {
            suite: format!("{}/{target}", package.name),
            program: program.into_std_path_buf(),
            dir: dir.unwrap_or_else(|| repo.root().to_owned()),
        });
    }
    programs.sort_by(|a, b| a.suite.cmp(&b.suite));
    Ok(programs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_summed_over_all_lines() {
        let text = "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured\nnoise\n\
                    test result: FAILED. 4 passed; 2 failed; 0 ignored\n";
        assert_eq!(parse_results(text), (7, 2));
        assert_eq!(parse_results("killed"), (0, 0));
    }
}
