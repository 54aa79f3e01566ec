//! The command line: what can be asked for, and the words of `--help`.

mod devnet;
mod keys;
mod light;
mod machine;
mod read;
mod record;
mod sim;
mod wallet;

use clap::{Args, Parser, Subcommand};

pub(crate) use devnet::{ChaosArgs, ChaosCommand, DevnetArgs, DevnetCommand, SeatChoice};
pub(crate) use keys::{ExportArgs, GenerateArgs, InspectArgs, KeysCommand, PasswordArgs};
pub(crate) use light::{LightArgs, LightCommand};
pub(crate) use machine::{CompletionsArgs, DoctorArgs};
pub(crate) use read::{BlockArgs, CallArgs, TxArgs};
pub(crate) use record::{RecordCommand, RecordExportArgs, RecordImportArgs, RecordPlace, ReleaseArgs};
pub(crate) use sim::SimArgs;
pub(crate) use wallet::{AccountCommand, ImportArgs, SendArgs, StateArgs};

/// Where a devnet listens unless it is told otherwise.
pub(crate) const DEFAULT_RPC_URL: &str = "http://127.0.0.1:8545";

/// A sharded blockchain: run a network, use it, look into it.
#[derive(Debug, Parser)]
#[command(name = "anfs", version, max_term_width = 100, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    /// Print one JSON value instead of text for people.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "\
Exit codes: 0 done · 1 failed · 2 bad command line · 3 the node cannot be reached · 4 refused by the node \
(reverted, rejected) · 5 the data folder is in use or unusable

Set NO_COLOR to switch colours off, and ANFS_LOG (as RUST_LOG: anfs=debug) for logs on standard error.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a whole network on this machine: one generator, its verifiers, and an Ethereum JSON-RPC port.
    Devnet(DevnetArgs),
    /// Keep accounts in encrypted files, and ask for balances and nonces.
    #[command(subcommand)]
    Account(AccountCommand),
    /// Send value, call a contract, or deploy one; waits for the receipt.
    Send(SendArgs),
    /// Call a contract without a transaction and decode what it returns.
    Call(CallArgs),
    /// Show a block: header, certificate, slices and who checked them.
    Block(BlockArgs),
    /// Show a transaction: status, fee, logs, and why it reverted.
    Tx(TxArgs),
    /// Ask a node that you need not trust: follow the root of a network of several shards, and believe only what is proven.
    Light(LightArgs),
    /// Make and manage the signing keys of validators (BLS, EIP-2335 files).
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Carry the signing record of a stopped seat to where it goes on, and release seats that are held back.
    #[command(subcommand)]
    Record(RecordCommand),
    /// Run a shard's consensus on a virtual clock, network and disk where much fails; draw what happened.
    Sim(SimArgs),
    /// Check this machine and the node, and say what to do about what is wrong.
    Doctor(DoctorArgs),
    /// Print the completion script of a shell.
    Completions(CompletionsArgs),
}

/// Which node to talk to.
#[derive(Debug, Args)]
pub(crate) struct RpcArgs {
    /// URL of the node's JSON-RPC port [default: http://127.0.0.1:8545].
    #[arg(long, value_name = "URL", env = "ANFS_RPC_URL")]
    pub(crate) rpc_url: Option<String>,
}

impl RpcArgs {
    pub(crate) fn url(&self) -> &str {
        self.rpc_url.as_deref().unwrap_or(DEFAULT_RPC_URL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn who_signs_must_be_said_once() {
        let to = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
        let parse = |flags: &[&str]| Cli::try_parse_from([&["anfs", "send", to, "1"], flags].concat());
        assert!(parse(&[]).is_err());
        assert!(parse(&["--from", to]).is_ok());
        assert!(parse(&["--from", to, "--account", "me"]).is_err());
    }
}
