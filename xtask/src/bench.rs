//! Benchmarks and Ethereum's state tests: programs of other crates, started the right way.

use eyre::{Result, ensure};

use crate::cli::{BenchArgs, EvmTestsArgs};
use crate::process::execute;
use crate::repo::Repo;
use crate::setup;

pub(crate) fn run(repo: &Repo, args: &BenchArgs) -> Result<()> {
    let Some(name) = args.run.first() else {
        return execute(repo.cargo().args(["bench", "--workspace", "--benches"]));
    };
    let mut command = repo.cargo();
    if name == "peers" {
        setup::run(repo)?;
        execute(repo.cargo().args(["build", "--release", "--package", "anfs"]))?;
    }
    command.args(["run", "--release", "--package", "anfs-benches", "--"]).args(&args.run);
    if name == "peers" && !args.run.iter().any(|arg| arg.starts_with("--anvil")) {
        command
            .arg("--anvil")
            .arg(repo.clients().join("node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil"));
    }
    execute(&mut command)
}

pub(crate) fn evm_tests(repo: &Repo, args: &EvmTestsArgs) -> Result<()> {
    let dir = std::path::absolute(&args.dir)?;
    ensure!(dir.is_dir(), "{} is no folder", dir.display());
    let mut command = repo.cargo();
    command.args(["run", "--release", "--package", "anfs-execution", "--example", "evm_tests", "--"]);
    execute(command.arg(dir))
}
