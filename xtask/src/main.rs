//! The repository's one entry: `cargo xtask setup|test|tidy|ci|bench|fuzz|sim|mutants|contracts|evm-tests`.

mod bench;
mod ci;
mod cli;
mod clients;
mod contracts;
mod devnet;
mod fuzz;
mod mutants;
mod process;
mod repo;
mod setup;
mod sim;
mod suites;
mod test;
mod tidy;

use std::process::ExitCode;

use clap::Parser as _;
use cli::{Cli, Command};
use repo::Repo;

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> eyre::Result<()> {
    let repo = Repo::find()?;
    match command {
        Command::Setup => setup::run(&repo),
        Command::Test(args) => test::run(&repo, &args).map(|_| ()),
        Command::Tidy => tidy::run(&repo),
        Command::Ci(args) => ci::run(&repo, &args),
        Command::Bench(args) => bench::run(&repo, &args),
        Command::Fuzz(args) => fuzz::run(&repo, &args),
        Command::Sim(args) => sim::run(&repo, &args),
        Command::Mutants(args) => mutants::run(&repo, &args),
        Command::Contracts(args) => contracts::run(&repo, &args),
        Command::EvmTests(args) => bench::evm_tests(&repo, &args),
    }
}
