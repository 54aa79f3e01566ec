//! The client suites: unmodified Ethereum clients that use a running devnet.
//!
//! A suite is a script in tests/clients. It learns of the server from the environment (`ANFS_RPC_URL`,
//! `ANFS_WS_URL`, `ANFS_ACCOUNTS`: a JSON list), and of the program (`ANFS_PROGRAM`) if it breaks a devnet of its
//! own. It prints `ok - NAME` or `not ok - NAME` for each check, ends with a line `N passed, M failed`, and exits
//! with 1 if any failed.

use std::process::Command;
use std::time::Instant;

use eyre::{Context as _, Result, bail, ensure};

use crate::cli::TestArgs;
use crate::devnet::{Description, Devnet};
use crate::process::capture;
use crate::repo::Repo;
use crate::test::Outcome;

/// The suites that there are.
pub(crate) const NAMES: [&str; 6] = ["ethers", "viem", "web3py", "foundry", "contracts", "chaos"];

/// Of each suite: program relative to tests/clients (or from the path), script.
const SCRIPTS: [(&str, &str); NAMES.len()] = [
    ("node", "ethers.mjs"),
    ("node", "viem.mjs"),
    (".venv/bin/python", "web3_py.py"),
    ("node", "foundry.mjs"),
    ("node", "contracts.mjs"),
    ("node", "chaos.mjs"),
];

pub(crate) fn run(repo: &Repo, args: &TestArgs) -> Result<Outcome> {
    if let Some(file) = &args.against {
        let text =
            std::fs::read_to_string(file).wrap_err_with(|| format!("cannot read {}", file.display()))?;
        let server = serde_json::from_str(&text).wrap_err("not a description of a server")?;
        return run_all(repo, &server, &args.suite, Network::Alone);
    }
    let build = capture(repo.cargo().args(["build", "--release", "--package", "anfs"]), true)?;
    ensure!(build.success, "the anfs program does not build");
    let mut outcome = Outcome::default();
    for network in [Network::Alone, Network::Sharded] {
        let devnet = Devnet::start(repo, network.flags())?;
        println!("devnet at {} ({network:?})", devnet.description.rpc_url);
        let description = devnet.description.clone();
        outcome.add(run_all(repo, &description, &args.suite, network)?);
        if let Err(error) = devnet.stop() {
            outcome.failures.push(format!("{error}"));
        }
    }
    Ok(outcome)
}

/// What the suites run against. They are the same for all: a client need not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Network {
    /// One shard.
    Alone,
    /// Four shards and a root.
    Sharded,
}

impl Network {
    fn flags(self) -> &'static [&'static str] {
        match self {
            Self::Alone => &[],
            Self::Sharded => &["--shards", "4"],
        }
    }

    /// The name under which a suite is counted; `None` for one that does not run here.
    fn suite(self, name: &str) -> Option<String> {
        match self {
            Self::Alone => Some(name.to_owned()),
            // It starts devnets of its own, which are the same each time.
            Self::Sharded if name == "chaos" => None,
            Self::Sharded => Some(format!("{name}-shards")),
        }
    }
}

fn run_all(repo: &Repo, server: &Description, only: &[String], network: Network) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    for (name, (program, script)) in NAMES.into_iter().zip(SCRIPTS) {
        if !only.is_empty() && !only.iter().any(|wanted| wanted == name) {
            continue;
        }
        let Some(name) = network.suite(name) else { continue };
        let started = Instant::now();
        println!("client suite {name}");
        let finished = capture(&mut command(repo, program, script, server)?, true)?;
        match parse_summary(&finished.text) {
            Ok((passed, failed)) => {
                println!("client suite {name}: {passed} passed in {:.1} s", started.elapsed().as_secs_f32());
                if failed > 0 || !finished.success {
                    outcome.failures.push(format!("client suite {name}: {failed} checks failed"));
                }
                outcome.failed += failed;
                outcome.counts.insert(name, passed);
            }
            Err(error) => {
                outcome.failed += 1;
                outcome.failures.push(format!("client suite {name}: {error}"));
            }
        }
    }
    Ok(outcome)
}

fn command(repo: &Repo, program: &str, script: &str, server: &Description) -> Result<Command> {
    let dir = repo.clients();
    let program = if program.contains('/') { dir.join(program) } else { program.into() };
    let accounts = serde_json::to_string(&server.accounts).wrap_err("cannot write JSON")?;
    let mut command = Command::new(program);
    command
        .arg(script)
        .current_dir(&dir)
        .env("ANFS_PROGRAM", repo.anfs())
        .env("ANFS_RPC_URL", &server.rpc_url)
        .env("ANFS_WS_URL", &server.ws_url)
        .env("ANFS_ACCOUNTS", accounts);
    Ok(command)
}

/// Passed and failed checks, by the last line that tells them.
fn parse_summary(text: &str) -> Result<(usize, usize)> {
    let summary = text.lines().rev().find_map(|line| {
        let (passed, rest) = line.trim().split_once(" passed, ")?;
        Some((passed.parse().ok()?, rest.strip_suffix(" failed")?.parse().ok()?))
    });
    match summary {
        Some((0, 0)) => bail!("it ran no check"),
        Some(counts) => Ok(counts),
        None => bail!("it did not come to its end"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suite_without_an_end_or_without_a_check_is_no_success() {
        assert_eq!(parse_summary("ok - a\n12 passed, 1 failed\n").unwrap(), (12, 1));
        assert!(parse_summary("ok - a\nok - b\n").is_err());
        assert!(parse_summary("0 passed, 0 failed\n").is_err());
    }
}
