//! One module a command.

mod devnet;

use crate::cli::{Cli, Command};
use crate::exit::CommandError;

/// Runs what was asked for.
pub(crate) fn run(cli: Cli) -> Result<(), CommandError> {
    match cli.command {
        Command::Devnet(args) => devnet::run(args, cli.json),
    }
}
