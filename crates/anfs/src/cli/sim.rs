//! The flags of `anfs sim`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;

/// See `anfs sim --help`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct SimArgs {
    /// The run that this number draws: its faults, its weather, its liars.
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with_all = ["seeds", "scenario"])]
    pub(crate) seed: u64,
    /// Run this many seeds one after the other and add up what they did.
    #[arg(long, value_name = "N", conflicts_with_all = ["scenario", "trace"])]
    pub(crate) seeds: Option<u64>,
    /// First of the seeds.
    #[arg(long, value_name = "N", default_value_t = 0, requires = "seeds")]
    pub(crate) first_seed: u64,
    /// Seeds that run at the same time.
    #[arg(long, value_name = "N", default_value = "1", requires = "seeds")]
    pub(crate) threads: NonZeroUsize,
    /// Run each seed twice, and fail if the two runs differ.
    #[arg(long, conflicts_with = "scenario")]
    pub(crate) twice: bool,
    /// Verifiers of the shard, 3f + 1 [default: as the seed draws it].
    #[arg(long, value_name = "N", conflicts_with = "scenario")]
    pub(crate) verifiers: Option<u16>,
    /// Run whole networks: shards, the root, and coins that cross between them.
    #[arg(long, conflicts_with_all = ["scenario", "trace", "verifiers"])]
    pub(crate) network: bool,
    /// Run what this file describes, and hold the run to what it expects.
    #[arg(long, value_name = "FILE")]
    pub(crate) scenario: Option<PathBuf>,
    /// Draw the run into this file: one page that needs nothing else.
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: Option<PathBuf>,
    /// Draw from here on: 2s, 1500ms [default: the start, or shortly before the first violation].
    #[arg(long, value_name = "TIME", requires = "trace")]
    pub(crate) from: Option<String>,
    /// Draw up to here [default: the end].
    #[arg(long, value_name = "TIME", requires = "trace")]
    pub(crate) to: Option<String>,
}

const AFTER_HELP: &str = "\
Nothing runs in real time, nothing is sent and nothing is stored: the shard's own consensus code runs on a virtual \
clock, network and disk. The same seed and the same version of the program give the same run.

Examples:
  anfs sim --seed 42 --trace run.html     one run, as a picture
  anfs sim --seeds 1000 --threads 2       many runs
  anfs sim --network --seeds 100          many networks of several shards
  anfs sim --scenario dead-generator.sim  a run that you describe";
