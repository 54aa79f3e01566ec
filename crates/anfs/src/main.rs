//! The `anfs` command: parses, dispatches, and turns errors into words and an exit code.

mod abi;
mod amount;
mod call_tree;
mod cli;
mod client;
mod commands;
mod exit;
mod folders;
mod keystores;
mod legs;
mod logging;
mod output;
mod parse;
mod password;
mod sheet;
mod terminal;
mod wire;

use std::process::ExitCode;

use clap::Parser;

/// Nodes allocate and free from many threads at once, which the system's allocator pays for with locks.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return exit::report_parsing(&error),
    };
    let json = cli.json;
    match commands::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::report(&error, json),
    }
}
