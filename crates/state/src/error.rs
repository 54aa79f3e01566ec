//! What can go wrong with a state.

use alloy_primitives::B256;

use crate::NodeKey;

/// A failure to read the state. None of them leaves a snapshot changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// A node that the trie points to isn't in the node store.
    #[error(
        "state node {key} (hash {expected}) is missing from the state database: the database is incomplete, \
         restore the node's data folder from a backup or let it sync anew"
    )]
    MissingNode {
        /// Where it should be.
        key: Box<NodeKey>,
        /// The hash its parent gives.
        expected: B256,
    },
    /// A stored node isn't the one that the trie points to.
    #[error(
        "state node {key} has hash {found} instead of {expected}: the state database is corrupt, or this \
         snapshot is older than what the database keeps; if it happens at start-up, restore the node's data \
         folder from a backup or let it sync anew"
    )]
    CorruptNode {
        /// Where it is.
        key: Box<NodeKey>,
        /// The hash its parent gives.
        expected: B256,
        /// The hash of what was found.
        found: B256,
    },
    /// A node with the right hash that no well-formed state trie contains.
    #[error("state node {key} is not a valid trie node ({reason}): the state root is not that of a state")]
    MalformedNode {
        /// Where it is.
        key: Box<NodeKey>,
        /// What is wrong with it.
        reason: String,
    },
    /// Contract code isn't in the code store.
    #[error(
        "contract code {0} is missing from the state database: restore the node's data folder from a backup \
         or let it sync anew"
    )]
    MissingCode(B256),
    /// Stored contract code doesn't have the hash it is stored under.
    #[error(
        "contract code {expected} has hash {found} in the state database: the database is corrupt, restore \
         the node's data folder from a backup or let it sync anew"
    )]
    CorruptCode {
        /// The hash it was asked for by.
        expected: B256,
        /// The hash of what was found.
        found: B256,
    },
    /// The node store could not be read at all.
    #[error("the state database cannot be read: {0}")]
    Storage(String),
}
