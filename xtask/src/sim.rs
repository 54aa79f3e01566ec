//! Swarms of simulated runs, by the `anfs` program.

use std::process::Command;

use eyre::Result;

use crate::cli::SimArgs;
use crate::process::execute;
use crate::repo::Repo;

/// Seeds that every change must pass.
pub(crate) const CI_SEEDS: u64 = 2_000;
/// One whole network is run for so many shards.
const SHARDS_A_NETWORK: u64 = 5;

pub(crate) fn run(repo: &Repo, args: &SimArgs) -> Result<()> {
    execute(repo.cargo().args(["build", "--release", "--quiet", "--package", "anfs"]))?;
    let swarm = |seeds: u64| {
        let mut command = Command::new(repo.anfs());
        command.current_dir(repo.root()).arg("sim");
        command.args(["--seeds", &seeds.to_string(), "--first-seed", &args.from.to_string()]);
        command.args(["--threads", &args.threads.to_string()]);
        if args.twice {
            command.arg("--twice");
        }
        command
    };
    let mut shards = swarm(args.seeds);
    if let Some(verifiers) = args.verifiers {
        shards.args(["--verifiers", &verifiers.to_string()]);
    }
    execute(&mut shards)?;
    execute(swarm(args.seeds.div_ceil(SHARDS_A_NETWORK)).arg("--network"))
}
