//! Why a record cannot be carried, and what to do.

use std::io;
use std::path::PathBuf;

use alloy_primitives::B256;
use anfs_primitives::{Height, NetworkId, SeatIndex};
use anfs_store::StoreError;

/// Why a signing record cannot be exported or imported. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// No chain spec in the folder.
    #[error(
        "{} holds no network: give the --data-dir of one, or put the network's chain-spec.json into it first",
        dir.display()
    )]
    NoNetwork {
        /// The folder.
        dir: PathBuf,
    },
    /// A seat of a network of several shards has signed for its shard and for the root.
    #[error("the network in {} has {shards} shards: records of its seats cannot be carried yet, since what they signed for the root would stay behind", dir.display())]
    Several {
        /// The folder.
        dir: PathBuf,
        /// How many shards it has.
        shards: usize,
    },
    /// The network has no such seat.
    #[error("there is no seat {seat}: this network has seats 0 to {last}")]
    NoSeat {
        /// The seat asked for.
        seat: SeatIndex,
        /// The last one.
        last: u16,
    },
    /// The seat has no folder.
    #[error("{} does not exist: the seat has never run here and has no record to export", dir.display())]
    NeverRan {
        /// The seat's folder.
        dir: PathBuf,
    },
    /// A process has the folder.
    #[error(
        "{0}; stop it first: a record is complete only once its seat signs no more \
         (`anfs devnet chaos kill SEAT` stops one seat alone)"
    )]
    InUse(Box<StoreError>),
    /// The record was begun in place of a lost one.
    #[error(
        "the record in {} is not whole: the seat had lost it, and has not watched the chain long enough since; \
         start the seat and wait until it signs again",
        dir.display()
    )]
    NotWhole {
        /// The seat's folder.
        dir: PathBuf,
    },
    /// Another process has signed with the seat's key.
    #[error(
        "the record in {} is not whole: block {height} holds a signature of the seat that it does not;          find the other process that has its key and stop it, then `anfs record release` the seat and export again",
        dir.display()
    )]
    Shared {
        /// The seat's folder.
        dir: PathBuf,
        /// Height of the block.
        height: Height,
    },
    /// More bodies than a file takes.
    #[error(
        "the record takes {bytes} bytes, more than a file may have: run the seat until its open blocks are decided, \
         then export again"
    )]
    ExportTooLarge {
        /// Its size.
        bytes: usize,
    },
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file is larger than any record.
    #[error("{} is larger than any signing record: is it the file that `anfs record export` wrote?", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The file is not a record, or was changed since it was written.
    #[error("{} cannot be used: {what}; export the record again, and copy the file as it is", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The file is of another format version.
    #[error(
        "{} has version {found} of the format, this program reads version {supported}: \
         export and import with the same release",
        path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
        /// The version that is read here.
        supported: u64,
    },
    /// The record is of another network.
    #[error(
        "{} is a record of network {found_network} with genesis {found_genesis}, the folder holds network {network} \
         with genesis {genesis}: give the folder that the record is meant for",
        path.display()
    )]
    OtherNetwork {
        /// The file.
        path: PathBuf,
        /// The file's network id.
        found_network: NetworkId,
        /// The file's genesis.
        found_genesis: B256,
        /// The folder's network id.
        network: NetworkId,
        /// The folder's genesis.
        genesis: B256,
    },
    /// The record is of another seat or key.
    #[error(
        "{} is the record of seat {found} with the key {found_key}, not of seat {seat} with the key {key}: \
         give --seat {found}, or the file of seat {seat}",
        path.display()
    )]
    OtherSeat {
        /// The file.
        path: PathBuf,
        /// The file's seat.
        found: SeatIndex,
        /// The file's key, shortened.
        found_key: String,
        /// The seat asked for.
        seat: SeatIndex,
        /// Its key, shortened.
        key: String,
    },
}

impl RecordError {
    /// Whether the folder is at fault rather than the file.
    #[must_use]
    pub fn is_of_folder(&self) -> bool {
        use RecordError::{InUse, NeverRan, NoNetwork, NotWhole, Shared};
        matches!(self, NoNetwork { .. } | NeverRan { .. } | InUse(_) | NotWhole { .. } | Shared { .. })
    }
}
