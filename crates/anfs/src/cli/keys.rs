//! The flags of `anfs keys`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// See `anfs keys --help`.
#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Make a key and write it to an encrypted file.
    Generate(GenerateArgs),
    /// Show the public key of a file, and with --unlock its proof of possession.
    Inspect(InspectArgs),
    /// Decrypt a file and print the secret key.
    Export(ExportArgs),
    /// Encrypt a file anew under another password.
    ChangePassword(PasswordArgs),
}

/// See `anfs keys generate --help`.
#[derive(Debug, Args)]
pub(crate) struct GenerateArgs {
    /// File to write; one that exists is never overwritten.
    pub(crate) file: PathBuf,
    /// Fast and weak encryption (4 MiB instead of 256 MiB to open): for test networks only.
    #[arg(long)]
    pub(crate) light: bool,
}

/// See `anfs keys inspect --help`.
#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// The key file.
    pub(crate) file: PathBuf,
    /// Ask for the password (or take it from ANFS_PASSWORD), check it, and show the proof of possession.
    #[arg(long)]
    pub(crate) unlock: bool,
}

/// See `anfs keys export --help`.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// The key file.
    pub(crate) file: PathBuf,
}

/// See `anfs keys change-password --help`.
#[derive(Debug, Args)]
pub(crate) struct PasswordArgs {
    /// The key file. Its password is asked for or taken from ANFS_PASSWORD, the new one from
    /// ANFS_NEW_PASSWORD.
    pub(crate) file: PathBuf,
    /// Fast and weak encryption (4 MiB instead of 256 MiB to open): for test networks only.
    #[arg(long)]
    pub(crate) light: bool,
}
