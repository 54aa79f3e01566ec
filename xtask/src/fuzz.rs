//! Fuzz targets, each for a while.

use std::path::PathBuf;
use std::process::Command;

use eyre::{Context as _, Result, ensure};
use serde::Deserialize;

use crate::cli::FuzzArgs;
use crate::process::{execute, output};
use crate::repo::Repo;

#[derive(Debug, Deserialize)]
struct Manifest {
    bin: Vec<Target>,
}

#[derive(Debug, Deserialize)]
struct Target {
    name: String,
}

pub(crate) fn run(repo: &Repo, args: &FuzzArgs) -> Result<()> {
    ensure!(nightly(), "fuzzing needs a nightly compiler: rustup toolchain install nightly");
    let known = targets(repo)?;
    for target in &args.targets {
        ensure!(known.contains(target), "no fuzz target {target}; there are: {}", known.join(", "));
    }
    let chosen = if args.targets.is_empty() { &known } else { &args.targets };
    let cargo_fuzz = cargo_fuzz(repo)?;
    for target in chosen {
        let mut command = Command::new(&cargo_fuzz);
        // The nightly toolchain by its name: rust-toolchain.toml pins a stable one.
        command
            .current_dir(repo.root())
            .env("RUSTUP_TOOLCHAIN", "nightly")
            .args(["fuzz", "run", target, "--"]);
        execute(command.arg(format!("-max_total_time={}", args.seconds)))?;
    }
    println!("fuzz: {} targets passed", chosen.len());
    Ok(())
}

/// Whether a nightly toolchain is installed.
pub(crate) fn nightly() -> bool {
    output(Command::new("rustup").args(["toolchain", "list"]))
        .is_ok_and(|list| list.lines().any(|line| line.starts_with("nightly")))
}

/// Every target that there is.
pub(crate) fn targets(repo: &Repo) -> Result<Vec<String>> {
    let text =
        std::fs::read_to_string(repo.join("fuzz/Cargo.toml")).wrap_err("cannot read fuzz/Cargo.toml")?;
    let manifest: Manifest = toml::from_str(&text).wrap_err("fuzz/Cargo.toml lists no targets")?;
    ensure!(!manifest.bin.is_empty(), "fuzz/Cargo.toml lists no targets");
    Ok(manifest.bin.into_iter().map(|target| target.name).collect())
}

/// The cargo-fuzz of the machine, or our own, built once into the target folder.
fn cargo_fuzz(repo: &Repo) -> Result<PathBuf> {
    if output(Command::new("cargo-fuzz").args(["fuzz", "--version"])).is_ok() {
        return Ok("cargo-fuzz".into());
    }
    let root = repo.join("target/tools");
    let program = root.join("bin/cargo-fuzz");
    if !program.is_file() {
        execute(repo.cargo().args(["install", "cargo-fuzz", "--locked", "--root"]).arg(&root))?;
    }
    Ok(program)
}
