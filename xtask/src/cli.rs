//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::clients;

/// The repository's tasks. CI runs the same ones that a person does.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100, after_help = HINTS)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

const HINTS: &str = "\
`cargo xtask test` is all that a fresh clone needs: it sets up first. While working on one crate:
  cargo test --release -p anfs-state      its tests (in the profile that is built already)
  cargo bench -p anfs-state               its benches";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Install what the tests need, into git-ignored folders of this repository only.
    ///
    /// These are npm packages and a Python environment for the suites with real clients. Node.js (18 or newer,
    /// with npm) and Python (3.10 or newer, with venv) must be there; what is missing is named with the remedy.
    /// A second run does nothing.
    Setup,
    /// Run all tests: every Rust suite, then real Ethereum clients against a devnet.
    ///
    /// Sets up first. Fails also when a suite runs fewer tests than xtask/suites.toml asks for.
    Test(TestArgs),
    /// Check layers, file lengths, forbidden words, documented commands, links, the book and the lock file.
    Tidy,
    /// Everything that must pass before a change is taken in.
    ///
    /// Format, clippy, tidy, documentation, all tests, then each fuzz target for a while (skipped where there is
    /// no nightly compiler). A step that fails does not stop the others; a table at the end tells all.
    Ci(CiArgs),
    /// Run benchmarks: all criterion benches, or a side-by-side run against peers.
    ///
    /// Without arguments: the criterion benches of every crate. `cargo xtask bench peers` runs anvil and our devnet
    /// under the same load and prints the ratios; `latency` times transfers within a shard and across shards,
    /// `scaling` counts what they cost as shards are added; `load` loads a server that is already up. Each has
    /// its `--help`. For figures that can be compared, leave the machine alone.
    Bench(BenchArgs),
    /// Run fuzz targets, for which a nightly compiler is needed.
    Fuzz(FuzzArgs),
    /// Run many seeds of the simulator; fails when one of them breaks a rule.
    Sim(SimArgs),
    /// Break the consensus rules one by one in a copy of the sources; fails when nothing finds one.
    Mutants(MutantsArgs),
    /// Compile the contracts in contracts/src into contracts/artifacts.
    ///
    /// The compiler is one of the client suites' npm packages, which are installed first.
    Contracts(ContractsArgs),
    /// Run Ethereum's state tests (GeneralStateTests, JSON) from a folder.
    ///
    /// Every file below the folder that ends in .json must be a state test. Cases of Cancun, Prague and Osaka run,
    /// those of other forks are counted as such. Each failure is printed with its file, test, fork and index;
    /// exits with 1 if any failed or none ran. Public suites: the folder GeneralStateTests of
    /// github.com/ethereum/tests, state_tests of a release of github.com/ethereum/execution-spec-tests.
    EvmTests(EvmTestsArgs),
}

#[derive(Debug, Default, Args)]
pub(crate) struct TestArgs {
    /// Only the Rust suites.
    #[arg(long, conflicts_with = "clients")]
    pub(crate) rust: bool,
    /// Only the client suites.
    #[arg(long)]
    pub(crate) clients: bool,
    /// Only this client suite; may be given more than once.
    #[arg(long, value_name = "NAME", value_parser = clients::NAMES, conflicts_with = "rust")]
    pub(crate) suite: Vec<String>,
    /// Run the client suites, and only them, against this server instead of a devnet: its description as a JSON
    /// file, as `anfs devnet --config-out` writes it.
    #[arg(long, value_name = "FILE", conflicts_with = "rust")]
    pub(crate) against: Option<PathBuf>,
    /// Raise the least counts in xtask/suites.toml to what ran.
    #[arg(long)]
    pub(crate) record: bool,
}

impl TestArgs {
    /// Whether the Rust suites are asked for: not when a flag speaks of clients.
    pub(crate) fn rust_suites(&self) -> bool {
        !self.clients && self.suite.is_empty() && self.against.is_none()
    }

    /// Whether the client suites are asked for.
    pub(crate) fn client_suites(&self) -> bool {
        !self.rust
    }
}

#[derive(Debug, Args)]
pub(crate) struct CiArgs {
    /// Seconds for each fuzz target.
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    pub(crate) fuzz_seconds: u64,
}

#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// Nothing for criterion's benches; else `peers` or `load`, and its flags.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) run: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct FuzzArgs {
    /// Targets, as fuzz/Cargo.toml names them; all if none is given.
    pub(crate) targets: Vec<String>,
    /// Seconds for each.
    #[arg(long, default_value_t = 60)]
    pub(crate) seconds: u64,
}

#[derive(Debug, Args)]
pub(crate) struct SimArgs {
    /// How many.
    #[arg(long, default_value_t = crate::sim::CI_SEEDS, value_name = "N")]
    pub(crate) seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0, value_name = "SEED")]
    pub(crate) from: u64,
    /// Runs at the same time.
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) threads: u16,
    /// Verifiers of every shard; each seed draws its own if this is not given.
    #[arg(long, value_name = "N")]
    pub(crate) verifiers: Option<u16>,
    /// Run each seed twice, and fail if its two runs differ.
    #[arg(long)]
    pub(crate) twice: bool,
}

#[derive(Debug, Args)]
pub(crate) struct MutantsArgs {
    /// Only look whether each mutation still applies to the sources.
    #[arg(long, conflicts_with_all = ["only", "jobs"])]
    pub(crate) check: bool,
    /// Only mutations with these names.
    #[arg(long, value_name = "NAME")]
    pub(crate) only: Vec<String>,
    /// Compiler processes, and seeds that are run at the same time.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) jobs: u16,
}

#[derive(Debug, Args)]
pub(crate) struct ContractsArgs {
    /// Change nothing; fail where an artifact is not what the sources compile to.
    #[arg(long)]
    pub(crate) check: bool,
}

#[derive(Debug, Args)]
pub(crate) struct EvmTestsArgs {
    /// Folder that holds the tests, at any depth.
    pub(crate) dir: PathBuf,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn test_args(flags: &[&str]) -> Option<TestArgs> {
        let words = [&["cargo xtask", "test"], flags].concat();
        match Cli::try_parse_from(words).ok()?.command {
            Command::Test(args) => Some(args),
            _ => None,
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_of_the_client_suites_leave_the_rust_suites_out() {
        let asked = |flags: &[&str]| {
            let args = test_args(flags).unwrap();
            (args.rust_suites(), args.client_suites())
        };
        assert_eq!(asked(&[]), (true, true));
        assert_eq!(asked(&["--rust"]), (true, false));
        for flags in [&["--clients"][..], &["--suite", "viem"], &["--against", "server.json"]] {
            assert_eq!(asked(flags), (false, true), "{flags:?}");
        }
        for flags in [&["--suite", "nobody"][..], &["--rust", "--suite", "viem"], &["--rust", "--clients"]] {
            assert!(test_args(flags).is_none(), "{flags:?}");
        }
    }
}
