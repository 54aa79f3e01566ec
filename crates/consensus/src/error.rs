//! The crate's one error type.

use alloy_primitives::B256;
use anfs_primitives::{BlockHash, Height, SeatIndex, View};

use crate::crypto::CryptoError;
use crate::root::RootFault;

/// Why a step could not be taken. All of these are local: what a peer does wrong becomes
/// [`crate::shard::Effect::Penalise`] or [`crate::shard::Effect::Evidence`], never an error.
#[derive(Debug, thiserror::Error)]
pub enum ConsensusError {
    /// The configuration contradicts itself.
    #[error("consensus configuration: {0}")]
    Config(String),
    /// The signer refused or failed; the step can be repeated once it works again.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
    /// The builder returned a block that is not the one asked for: a bug in this node.
    #[error(
        "the block builder returned {field} for height {height} that differs from what was asked; \
         stop this node and report it"
    )]
    WrongBlock {
        /// Height asked for.
        height: Height,
        /// The header field that differs.
        field: &'static str,
    },
    /// The log says that this seat has already signed something else. It refuses.
    #[error(
        "seat {seat} has signed another block at height {height} view {view}; nothing was signed. \
         Is another process running with the same key?"
    )]
    Contradiction {
        /// The seat of this node.
        seat: SeatIndex,
        /// Height of the refused signature.
        height: Height,
        /// View of the refused signature.
        view: View,
    },
    /// Two deciding certificates for one height: more than f verifiers are faulty. Nothing this node does
    /// can mend that.
    #[error(
        "height {height} is decided twice: here as {ours}, elsewhere as {theirs}; more than a third of the \
         verifiers must be faulty. Stop this node and keep its data"
    )]
    Fork {
        /// The height.
        height: Height,
        /// Decided here.
        ours: BlockHash,
        /// Shown by a valid certificate.
        theirs: BlockHash,
    },
    /// Executing a root block came to something else here than most of the stake has found: this node's state is damaged,
    /// or more than a third of all stake is faulty.
    #[error(
        "executing root block {height} came to state {ours} here and to {theirs}, or to other receipts or messages, \
         elsewhere. Stop this node and keep its data"
    )]
    Execution {
        /// Its height.
        height: Height,
        /// The state root that this node has found.
        ours: B256,
        /// The one that was decided.
        theirs: B256,
    },
    /// A decided root block does not follow from those before it: more than a third of all stake is faulty, or this
    /// node's own view of the root is damaged.
    #[error(
        "root block {height} does not follow from the final ones: {fault}. Stop this node and keep its data"
    )]
    Root {
        /// Its height.
        height: Height,
        /// What is wrong with it.
        fault: Box<RootFault>,
    },
}
