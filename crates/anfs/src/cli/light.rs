//! The flags of `anfs light`.

use std::path::PathBuf;

use alloy_primitives::{Address, B256};
use anfs_primitives::RootReference;
use clap::{Args, Subcommand};

use super::DEFAULT_RPC_URL;
use crate::parse::{address, checkpoint};

/// See `anfs light --help`.
#[derive(Debug, Args)]
pub(crate) struct LightArgs {
    /// What to have proven.
    #[command(subcommand)]
    pub(crate) command: LightCommand,
    /// URL of any node of the network [default: http://127.0.0.1:8545].
    #[arg(long, value_name = "URL", env = "ANFS_RPC_URL", global = true)]
    rpc_url: Option<String>,
    /// The network's chain-spec.json [default: that of the devnet in the user's data folder].
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) spec: Option<PathBuf>,
    /// A root block that is known to be final, from a source that you trust [default: genesis].
    #[arg(long, value_name = "HEIGHT:HASH", value_parser = checkpoint, global = true)]
    pub(crate) checkpoint: Option<RootReference>,
}

impl LightArgs {
    pub(crate) fn url(&self) -> &str {
        self.rpc_url.as_deref().unwrap_or(DEFAULT_RPC_URL)
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum LightCommand {
    /// The newest root block, the shards' newest final blocks and where all coins are.
    Status,
    /// Balance and nonce of an address, where it lives.
    Balance {
        /// Whose.
        #[arg(value_parser = address)]
        address: Address,
    },
    /// Whether a transaction succeeded in its sender's home, and what it logged there.
    Receipt {
        /// Hash of the transaction.
        hash: B256,
    },
    /// Whether a message between shards was sent, and whether it was consumed.
    Message {
        /// Hash of the message, such as `anfs_getTransactionLegs` names it.
        id: B256,
    },
    /// Which shard an address lives in.
    Route {
        /// Whose.
        #[arg(value_parser = address)]
        address: Address,
    },
}
