//! The flags of `anfs doctor` and `anfs completions`.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

use super::RpcArgs;

/// See `anfs doctor --help`.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Folder of the network [default: the user's data folder].
    #[arg(long, env = "ANFS_DATA_DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Port that the network is to listen on.
    #[arg(long, short, default_value_t = 8545, env = "ANFS_PORT")]
    pub(crate) port: u16,
    #[command(flatten)]
    pub(crate) rpc: RpcArgs,
}

/// See `anfs completions --help`.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// Which shell.
    pub(crate) shell: Shell,
}
