//! Accounts and storage in Ethereum's secure Merkle Patricia trie, as a persistent data structure.
//!
//! A [`WorldState`] is a snapshot: cloning it costs nothing, applying changes makes a new one that shares
//! every untouched subtree with the old, and any number of snapshots can be read at once from any thread.
//! Each node's hash stands in its parent, so a root costs only the rehashing of what changed.
//!
//! ```text
//!            WorldState n          WorldState n+1 = n.apply(changes)
//!                 |                     |
//!              branch                branch'          node' = rebuilt and rehashed
//!             /      \              /       \
//!        branch A   branch B ------+      branch A'   B is shared
//!        /    \
//!     leaf   lazy --(first read)--> NodeReader, hash checked, kept for all snapshots
//! ```
//!
//! Nodes on disk are keyed by path ([`NodeKey`]) and hold exactly one trie: the newest that was flushed.
//! [`WorldState::diff_since`] says what to write and remove for that; [`WorldState::unload_cold`] lets go of
//! what the disk holds and nobody touched of late. Overwriting the disk never hurts an older snapshot:
//! changing a node means loading it, into a cell that the older snapshots share.
//!
//! This crate does no I/O and knows no EVM: `anfs-store` implements [`NodeReader`], `anfs-execution`
//! produces [`StateChanges`].
//!
//! spec: PROTOCOL §3 (the state root in the shard header)

mod accounts;
mod block;
mod changes;
mod check;
mod codec;
mod diff;
mod error;
mod hash;
mod key;
mod node;
mod patch;
mod proof;
mod roots;
mod seal;
#[cfg(test)]
mod tests;
mod trie;
mod unload;
mod update;
mod value;
mod world;

pub use accounts::AccountTrie;
pub use alloy_trie::Nibbles;
pub use changes::{AccountChange, AccountInfo, AccountLeaf, NodeReader, StateChanges, StateDiff, StateRead};
pub use check::{ProofFault, read_account, read_item, read_slot};
pub use error::StateError;
pub use key::NodeKey;
pub use proof::{AccountProof, StorageProof};
pub use roots::{EMPTY_CODE_HASH, EMPTY_ROOT, ordered_proof, ordered_root, ordered_root_of};
pub use world::WorldState;
