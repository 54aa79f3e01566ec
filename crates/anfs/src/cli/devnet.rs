//! The flags of `anfs devnet`.

use std::net::IpAddr;
use std::path::PathBuf;

use anfs_node::genesis::{DEFAULT_CHAIN_ID, DEFAULT_MNEMONIC};
use clap::Args;

/// See `anfs devnet --help`.
#[derive(Debug, Args)]
pub(crate) struct DevnetArgs {
    /// Shards of the network. This version runs one.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1))]
    pub(crate) shards: u16,
    /// Verifiers of the shard: 1, 4, 7 or 10.
    #[arg(long, default_value = "4", value_parser = ["1", "4", "7", "10"])]
    pub(crate) verifiers: String,
    /// Port of HTTP and WebSocket; 0 lets the system choose.
    #[arg(long, short, default_value_t = 8545, env = "ANFS_PORT")]
    pub(crate) port: u16,
    /// Address to listen on. The unlocked accounts can be used by whoever reaches it.
    #[arg(long, default_value = "127.0.0.1")]
    pub(crate) host: IpAddr,
    /// Funded accounts.
    #[arg(long, short, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) accounts: u32,
    /// Balance of each account, in AFS.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) balance: u64,
    /// BIP-39 phrase that the accounts and the seats' keys are derived from.
    #[arg(long, short, default_value = DEFAULT_MNEMONIC, hide_default_value = true)]
    pub(crate) mnemonic: String,
    /// Chain id that wallets sign for.
    #[arg(long, default_value_t = DEFAULT_CHAIN_ID, value_parser = clap::value_parser!(u64).range(1..=u64::from(u32::MAX)))]
    pub(crate) chain_id: u64,
    /// Length of a slot in milliseconds: a block is made in each.
    #[arg(long, default_value_t = 250, value_parser = clap::value_parser!(u64).range(10..=60_000))]
    pub(crate) slot_ms: u64,
    /// Gas that a block may use.
    #[arg(long, default_value_t = 200_000_000, value_parser = clap::value_parser!(u64).range(5_000_000..=1 << 40))]
    pub(crate) gas_limit: u64,
    /// Folder of the network; it is kept, and a later start goes on from it [default: the user's data folder].
    #[arg(long, env = "ANFS_DATA_DIR", conflicts_with = "ephemeral")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Keep nothing: use a temporary folder and remove it at the end.
    #[arg(long)]
    pub(crate) ephemeral: bool,
    /// Start anew: remove the network that the folder holds.
    #[arg(long)]
    pub(crate) reset: bool,
    /// Write accounts, keys and URLs to this file as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) config_out: Option<PathBuf>,
    /// Print only errors.
    #[arg(long, short)]
    pub(crate) quiet: bool,
}
