//! A client that believes nobody: it knows the seats of a network, and everything else is proven to it.
//!
//! ```text
//!   chain spec ─▶ SeatSets ─┐
//!   genesis or checkpoint ──┴─▶ Light ◀── root header + CommitCert (> 2/3 of all stake)
//!                                 │
//!                             FinalRoot ◀── FinalityProof, tips ─▶ FinalBlock of a shard
//!        accounts and messages of the root itself ◀──┤                │
//!              state root ─▶ accounts, slots, routes     transactions and receipts root ─▶ receipts
//!              outbox root ─▶ messages                   inbox cursors ─▶ whether they were consumed
//! ```
//!
//! Types tell what is known: a [`FinalRoot`] and a [`FinalBlock`] exist only if they were proven to be final. Proofs are
//! plain data with one canonical encoding; [`decode_proof`] bounds them. They carry no claims of their own: what they show is
//! read from them.
//!
//! This crate does no I/O and asks nobody: whoever uses it fetches headers and proofs wherever he likes. It trusts that of
//! the seats' stake not more than a third is faulty, and nothing else. It follows the seats of one epoch; headers of
//! others are refused.
//!
//! spec: PROTOCOL §6, §8, §9; Root F1, F5, F6

mod account;
mod block;
mod chain;
mod error;
mod message;
mod receipt;
mod seats;

pub use account::{AccountProof, AddressProof, Resident, ResidentProof, RootAccountProof};
pub use block::{FinalBlock, FinalityProof};
pub use chain::{FinalRoot, Light};
pub use error::{LightError, ProofError};
pub use message::{ArrivalProof, MessageProof, ProvenMessage, RootMessageProof, SentProof};
pub use receipt::{ProvenReceipt, ReceiptProof};
pub use seats::{EpochSeats, SeatSets};

use anfs_primitives::codec::BoundExceeded;
use anfs_primitives::{BoundedVec, decode};
use borsh::BorshDeserialize;

/// Hard cap of an encoded proof: the receipt with the most logs that a block's gas pays for, and its transaction.
pub const PROOF_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Nodes of one Merkle proof at most: one for each nibble of a hash, and the root.
pub const NODES_MAX: usize = 65;
/// Slots of one account proof at most.
pub const SLOTS_MAX: usize = 256;

/// The nodes of a Merkle proof, the root first.
pub type Nodes = BoundedVec<BoundedVec<u8, PROOF_BYTES_MAX>, NODES_MAX>;

/// Decodes a proof from outside.
///
/// # Errors
/// [`ProofError::Encoding`].
pub fn decode_proof<T: BorshDeserialize>(bytes: &[u8]) -> Result<T, ProofError> {
    decode(bytes, PROOF_BYTES_MAX).map_err(|error| ProofError::Encoding(error.to_string()))
}

/// Takes the nodes of a Merkle proof in.
///
/// # Errors
/// When there are too many, or one is too large.
pub fn nodes<T: AsRef<[u8]>>(proof: impl IntoIterator<Item = T>) -> Result<Nodes, BoundExceeded> {
    let nodes = proof.into_iter().map(|node| BoundedVec::try_from(node.as_ref().to_vec()));
    nodes.collect::<Result<Vec<_>, _>>()?.try_into()
}

fn slices(nodes: &Nodes) -> impl Iterator<Item = &[u8]> {
    nodes.iter().map(|node| &node[..])
}
