//! Benchmarks and Ethereum's state tests: programs of other crates, started the right way.

use std::path::PathBuf;
use std::process::Command;

use eyre::{Context as _, Result, ensure};

use crate::cli::{BenchArgs, EvmTestsArgs};
use crate::process::{execute, output};
use crate::repo::Repo;
use crate::setup;

pub(crate) fn run(repo: &Repo, args: &BenchArgs) -> Result<()> {
    let Some(name) = args.run.first() else {
        return execute(repo.cargo().args(["bench", "--workspace", "--benches"]));
    };
    let mut command = repo.cargo();
    command.args(["run", "--release", "--package", "anfs-benches", "--"]).args(&args.run);
    if args.run.iter().any(|arg| arg == "--help" || arg == "-h") {
        return execute(&mut command);
    }
    if name == "peers" {
        setup::run(repo)?;
    }
    if name != "load" {
        execute(repo.cargo().args(["build", "--release", "--package", "anfs"]))?;
    }
    if name == "peers" && !args.run.iter().any(|arg| arg.starts_with("--anvil")) {
        command
            .arg("--anvil")
            .arg(repo.clients().join("node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil"));
    }
    if name == "peers" && !args.run.iter().any(|arg| arg.starts_with("--artifacts")) {
        command.arg("--artifacts").arg(artifacts(repo)?);
    }
    execute(&mut command)
}

/// Compiles the client suites' contracts, of which the bench uses the token.
fn artifacts(repo: &Repo) -> Result<PathBuf> {
    let mut compiler = Command::new("node");
    let compiled = output(compiler.arg(repo.clients().join("compile.mjs")))?;
    let path = repo.join("target/bench-artifacts.json");
    std::fs::write(&path, compiled).wrap_err_with(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

pub(crate) fn evm_tests(repo: &Repo, args: &EvmTestsArgs) -> Result<()> {
    let dir = std::path::absolute(&args.dir)?;
    ensure!(dir.is_dir(), "{} is no folder: give the one that holds the tests", dir.display());
    let mut command = repo.cargo();
    command.args(["run", "--release", "--package", "anfs-execution", "--example", "evm_tests", "--"]);
    execute(command.arg(dir))
}
