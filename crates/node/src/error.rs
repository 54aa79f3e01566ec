//! What can go wrong in a node, and what to do about it.

use anfs_consensus::ConsensusError;
use anfs_consensus::root::RootFault;
use anfs_execution::ExecutionError;
use anfs_primitives::{Height, SpecError};
use anfs_rpc::RpcServerError;
use anfs_state::StateError;
use anfs_store::StoreError;

use crate::arrivals::PushError;
use crate::record::RecordError;

/// A local fault: the node cannot start or go on. Faults of peers never surface here.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The phrase is not BIP-39.
    #[error("the mnemonic is not a valid BIP-39 phrase: {0}; give 12 or 24 English words with --mnemonic")]
    Mnemonic(String),
    /// More verifiers are to misbehave than a shard can bear.
    #[error(
        "{asked} of {verifiers} verifiers cannot misbehave: a shard of {verifiers} bears {bearable}; \
         raise --verifiers (4 bear 1, 7 bear 2, 10 bear 3)"
    )]
    TooManyByzantine {
        /// How many were asked for.
        asked: u16,
        /// Of how many.
        verifiers: u16,
        /// How many there may be.
        bearable: u16,
    },
    /// The chain spec is not usable.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The disk.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The signing log holds something else than signatures.
    #[error(
        "the signing log cannot be read: {0}; do not delete it: restore it from a copy, or start the seat on a new key"
    )]
    SigningLog(String),
    /// A signing record cannot be carried from here or to here.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// State could not be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// A block could not be executed for a local reason.
    #[error(transparent)]
    Execution(#[from] ExecutionError),
    /// The consensus core refused to go on.
    #[error(transparent)]
    Consensus(#[from] ConsensusError),
    /// A decided block does not execute to its own header on this machine.
    #[error(
        "block {height} was decided, but executes differently here ({detail}); the machine or its disk is \
         faulty, or this binary is of another version: check both, then start again with an empty data folder"
    )]
    Diverged {
        /// Height of the block.
        height: Height,
        /// What differs.
        detail: String,
    },
    /// A block of the network cannot be put together from those of the shards.
    #[error("the network's block {height} cannot be put together: {detail}")]
    Network {
        /// Its height, which is the root block's.
        height: Height,
        /// What is in the way.
        detail: String,
    },
    /// The data folder belongs to other settings.
    #[error(
        "{dir} holds a network with other settings ({field}); use the same flags, another --data-dir, or --reset to start anew"
    )]
    OtherNetwork {
        /// The folder.
        dir: String,
        /// The first setting that differs.
        field: &'static str,
    },
    /// A file of the data folder cannot be used.
    #[error("cannot use {path}: {source}; {}", remedy(source))]
    File {
        /// Its path.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The RPC server cannot start.
    #[error(transparent)]
    Rpc(#[from] RpcServerError),
    /// Final messages do not follow those before: this node's own copy of the root is wrong.
    #[error(
        "messages that the root has made final do not follow those before ({0}); the disk may be faulty: start the seat with an empty folder"
    )]
    Arrivals(#[from] PushError),
    /// The root blocks on disk do not follow from genesis.
    #[error(
        "root block {height} on disk is no valid next one ({fault}); the disk may be faulty: start the seat with an empty folder"
    )]
    Root {
        /// Its height.
        height: Height,
        /// Why.
        fault: Box<RootFault>,
    },
    /// A thread could not be started.
    #[error("cannot start a thread: {0}; raise the process limit (ulimit -u)")]
    Thread(std::io::Error),
}

/// What to do about a file or folder that the system refuses.
fn remedy(error: &std::io::Error) -> &'static str {
    use std::io::ErrorKind as K;
    match error.kind() {
        K::PermissionDenied | K::ReadOnlyFilesystem => {
            "give the user that runs the program write access, or choose another --data-dir"
        }
        K::AlreadyExists | K::NotADirectory => {
            "the path, or a part of it, is a file: choose another --data-dir"
        }
        K::StorageFull | K::QuotaExceeded => "free space on this disk, or choose another --data-dir",
        _ => "check that the folder exists and may be written",
    }
}
