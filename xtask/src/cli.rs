//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// The repository's tasks. CI runs the same ones that a person does.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", max_term_width = 100)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Install what the tests need, into git-ignored folders of this repository only.
    Setup,
    /// Run all tests: every Rust suite, then real Ethereum clients against a devnet.
    Test(TestArgs),
    /// Check layers, file lengths, forbidden words, documented commands, links and the lock file.
    Tidy,
    /// Everything that must pass before a change is taken in.
    Ci(CiArgs),
    /// Run benchmarks: all criterion benches, or a side-by-side run against peers.
    Bench(BenchArgs),
    /// Run fuzz targets.
    Fuzz(FuzzArgs),
    /// Run many seeds of the simulator; fails when one of them breaks a rule.
    Sim(SimArgs),
    /// Break the consensus rules one by one in a copy of the sources; fails when nothing finds one.
    Mutants(MutantsArgs),
    /// Run Ethereum's state tests from a folder of JSON files.
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
    /// Only client suites with these names.
    #[arg(long, value_name = "NAME", requires = "clients")]
    pub(crate) suite: Vec<String>,
    /// Run the client suites against this server instead of a devnet: its description as a JSON file, as
    /// `anfs devnet --config-out` writes it.
    #[arg(long, value_name = "FILE", requires = "clients")]
    pub(crate) against: Option<PathBuf>,
    /// Write today's counts of tests into xtask/suites.toml as the new least counts.
    #[arg(long)]
    pub(crate) record: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CiArgs {
    /// Seconds for each fuzz target.
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    pub(crate) fuzz_seconds: u64,
}

#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// Nothing for criterion's benches; else a run of `anfs-benches`, such as `peers`, and its flags.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) run: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct FuzzArgs {
    /// Targets; all of them if none is named.
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
pub(crate) struct EvmTestsArgs {
    /// Folder that holds GeneralStateTests in JSON form.
    pub(crate) dir: PathBuf,
}
