//! What can go wrong with a node's folder, and what its operator does about it.

use std::io;
use std::path::{Path, PathBuf};

use alloy_primitives::B256;
use anfs_primitives::{Height, NetworkId};

/// Why the store refused or failed. Every message names the path and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process uses the folder.
    #[error("{} is in use by {holder}: stop that process or choose another folder", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// Process id and command of the holder, as it wrote them.
        holder: String,
    },
    /// The system refused a file operation.
    #[error("cannot {action} {}: {source}: {}", path.display(), remedy(source))]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// An fsync failed earlier: what the medium holds is unknown until the folder is opened again.
    #[error(
        "{} takes no more writes because an earlier fsync failed: check the disk (space, health), then restart the node",
        path.display()
    )]
    Poisoned {
        /// The log.
        path: PathBuf,
    },
    /// Bytes that had reached the disk were changed or lost since.
    #[error("{} is corrupt at offset {offset}: {what}: {remedy}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Byte offset of the damage.
        offset: u64,
        /// What was found.
        what: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The folder holds another chain.
    #[error(
        "{} belongs to network {found_network} with genesis {found_genesis}, not to network {network} with genesis {genesis}: \
         use that network's genesis file, or give this network a folder of its own",
        path.display()
    )]
    OtherChain {
        /// The file that tells.
        path: PathBuf,
        /// Network id found.
        found_network: NetworkId,
        /// Genesis hash found.
        found_genesis: B256,
        /// Network id asked for.
        network: NetworkId,
        /// Genesis hash asked for.
        genesis: B256,
    },
    /// The folder was written by another version of the format.
    #[error("{} has format {found}, this program reads format {supported}: use the release that wrote it, or sync into an empty folder", path.display())]
    Version {
        /// The file that tells.
        path: PathBuf,
        /// Format found.
        found: u32,
        /// Format that this program reads.
        supported: u32,
    },
    /// The state tables failed.
    #[error("state tables in {}: {source}: {}", path.display(), tables_remedy(source))]
    Tables {
        /// The database file.
        path: PathBuf,
        /// The database's reason.
        #[source]
        source: Box<redb::Error>,
    },
    /// The block does not extend the log. A fault of the caller.
    #[error("block {found} does not extend the log, which expects block {expected} on parent {parent}")]
    Order {
        /// Height that may come next.
        expected: Height,
        /// Height given.
        found: Height,
        /// Hash of the last block; zero when the log is empty and any parent will do.
        parent: B256,
    },
    /// The flush is not between the last one and the last synced block. A fault of the caller.
    #[error(
        "cannot flush the state of block {height}: flushed up to {flushed:?}, blocks are synced up to {head}"
    )]
    FlushOrder {
        /// Height given.
        height: Height,
        /// Height of the last flush.
        flushed: Option<Height>,
        /// The last synced block.
        head: Height,
    },
    /// The record is longer than a log takes.
    #[error("a record of {size} bytes is over the limit of {limit}")]
    TooLarge {
        /// Its length.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// The tables can only be checked while nobody reads them.
    #[error("{} is being read: drop every state reader before verifying", path.display())]
    Busy {
        /// The database file.
        path: PathBuf,
    },
}

impl StoreError {
    /// Whether somebody has the folder open, in this process or another: it can be opened once they are done.
    #[must_use]
    pub fn is_held(&self) -> bool {
        match self {
            Self::Locked { .. } => true,
            Self::Tables { source, .. } => matches!(**source, redb::Error::DatabaseAlreadyOpen),
            _ => false,
        }
    }

    pub(crate) fn io<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    pub(crate) fn tables<E: Into<redb::Error>>(path: &Path) -> impl Fn(E) -> Self + '_ {
        move |source| Self::Tables { path: path.to_owned(), source: Box::new(source.into()) }
    }
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "free space on this disk and try again; nothing stored was lost"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "give the user that runs the node write access"
        }
        io::ErrorKind::NotFound => "restore the file from a backup, or sync into an empty folder",
        _ => "check the disk's health (dmesg, smartctl), then restart the node",
    }
}

fn tables_remedy(error: &redb::Error) -> &'static str {
    match error {
        redb::Error::Io(error) => remedy(error),
        redb::Error::PreviousIo => {
            "an earlier write failed: check the disk (space, health), then restart the node"
        }
        redb::Error::UpgradeRequired(_) => "use the release that wrote it, or sync into an empty folder",
        _ => "restore the folder from a backup, or sync into an empty one",
    }
}
