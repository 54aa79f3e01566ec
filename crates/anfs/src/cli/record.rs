//! The flags of `anfs record`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::RpcArgs;

/// See `anfs record --help`.
#[derive(Debug, Subcommand)]
pub(crate) enum RecordCommand {
    /// Write the record of a stopped seat to a file, and retire it here: the seat signs from this folder no more.
    Export(RecordExportArgs),
    /// Take in a file that `anfs record export` wrote, so that the seat goes on from this folder.
    Import(RecordImportArgs),
    /// Let running seats sign that are held back, for want of their record or since they found their key elsewhere.
    Release(ReleaseArgs),
}

/// Whose record.
#[derive(Debug, Args)]
pub(crate) struct RecordPlace {
    /// Folder of the network [default: the user's data folder].
    #[arg(long, env = "ANFS_DATA_DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Index of the seat: 0 is the generator, the others are verifiers.
    #[arg(long, value_name = "N")]
    pub(crate) seat: u16,
}

/// See `anfs record export --help`.
#[derive(Debug, Args)]
pub(crate) struct RecordExportArgs {
    #[command(flatten)]
    pub(crate) place: RecordPlace,
    /// File to write; one that exists is never overwritten [default: seat-N.record.json].
    #[arg(long, short, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Do not retire the record: for a look at it. A copy is out of date as soon as the seat runs again, and must
    /// not be imported then.
    #[arg(long)]
    pub(crate) keep: bool,
}

/// See `anfs record import --help`.
#[derive(Debug, Args)]
pub(crate) struct RecordImportArgs {
    #[command(flatten)]
    pub(crate) place: RecordPlace,
    /// The file.
    pub(crate) file: PathBuf,
}

/// See `anfs record release --help`.
#[derive(Debug, Args)]
pub(crate) struct ReleaseArgs {
    /// Index of a seat; may be given several times.
    #[arg(long, value_name = "N", required_unless_present = "all")]
    pub(crate) seat: Vec<u16>,
    /// Every seat that is held back.
    #[arg(long, conflicts_with = "seat")]
    pub(crate) all: bool,
    /// I know that no other process signs with these seats' keys, and that what they may have signed and forgotten
    /// no longer matters.
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) rpc: RpcArgs,
}
