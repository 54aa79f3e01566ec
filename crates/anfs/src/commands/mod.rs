//! One module a command.

mod account;
mod block;
mod call;
mod chaos;
mod completions;
mod devnet;
mod doctor;
mod keys;
mod light;
mod record;
mod send;
mod sim;
mod tx;

use crate::cli::{Cli, Command, DevnetCommand};
use crate::exit::CommandError;
use crate::output::Output;

/// Runs what was asked for.
pub(crate) fn run(cli: Cli) -> Result<(), CommandError> {
    let out = Output { json: cli.json };
    match cli.command {
        Command::Devnet(args) => match args.command {
            Some(DevnetCommand::Chaos(args)) => chaos::run(&args, out),
            None => devnet::run(args, cli.json),
        },
        Command::Account(command) => account::run(command, out),
        Command::Send(args) => send::run(&args, out),
        Command::Call(args) => call::run(&args, out),
        Command::Block(args) => block::run(&args, out),
        Command::Tx(args) => tx::run(&args, out),
        Command::Light(args) => light::run(&args, out),
        Command::Keys(command) => keys::run(command, out),
        Command::Record(command) => record::run(&command, out),
        Command::Sim(args) => sim::run(&args, out),
        Command::Doctor(args) => doctor::run(&args, out),
        Command::Completions(args) => completions::run(&args, out),
    }
}
