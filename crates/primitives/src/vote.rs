//! Verdicts and commits: what a verifier signs.
//!
//! spec: PROTOCOL §4

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use crate::BlsSignature;
use crate::ids::{BlockHash, DomainId, Epoch, Height, NetworkId, SeatIndex, View};

/// What a vote says of its block. Each kind is signed under its own domain tag.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    BorshSerialize,
    BorshDeserialize,
    Serialize,
    Deserialize,
)]
#[serde(rename_all = "camelCase")]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum VoteKind {
    /// The signer's own slices are valid and the whole block executes to the header's state root (R2).
    ValidSliced = 0,
    /// Every slice is valid and the block executes to the header's state root (R3).
    ValidFull = 1,
    /// One of the signer's slices, or the execution, is wrong: an alert (R3).
    InvalidSliced = 2,
    /// A full check found the block wrong (R3, R5).
    InvalidFull = 3,
    /// The signer saw a quorum of [`VoteKind::ValidFull`] (R4).
    Commit = 4,
}

/// What every consensus signature binds, beside its kind: nothing can be replayed at another height,
/// view, epoch, domain or network. spec: PROTOCOL §4
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    BorshSerialize,
    BorshDeserialize,
    Serialize,
    Deserialize,
)]
#[serde(rename_all = "camelCase")]
pub struct VoteTarget {
    /// Network id.
    pub network: NetworkId,
    /// Epoch of the seats.
    pub epoch: Epoch,
    /// Domain.
    pub domain: DomainId,
    /// Height voted on.
    pub height: Height,
    /// View voted in.
    pub view: View,
    /// Block voted on.
    pub block: BlockHash,
}

/// The first fault that a checker met in a block: a pointer for whoever re-checks it, not a proof.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    BorshSerialize,
    BorshDeserialize,
    Serialize,
    Deserialize,
    thiserror::Error,
)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Fault {
    /// The hash clock does not reach the hash of this entry.
    #[error("the hash clock is broken at entry {entry}")]
    Clock {
        /// Index in the block.
        entry: u32,
    },
    /// The slot does not hold `hashes_per_slot` hashes, or the cuts do not partition it.
    #[error("the slot's hashes or slice boundaries are not as the chain spec has them")]
    Shape,
    /// A transaction cannot be decoded, or its signature is not its claimed sender's.
    #[error("transaction {transaction} has a bad encoding or signature")]
    Signature {
        /// Index in the block.
        transaction: u32,
    },
    /// A transaction cannot be part of a sequence: bad nonce, cannot pay, over the gas limit.
    #[error("transaction {transaction} cannot be executed here")]
    Transaction {
        /// Index in the block.
        transaction: u32,
    },
    /// Execution gives another value than the header for this field.
    #[error("execution gives another {0:?}")]
    Execution(ExecutionField),
    /// The root reference is not a final root block.
    #[error("the root reference names no final root block")]
    RootReference,
}

/// A header field that execution must reproduce.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ExecutionField {
    /// `state_root`
    StateRoot,
    /// `transactions_root`
    TransactionsRoot,
    /// `receipts_root`
    ReceiptsRoot,
    /// `logs_bloom`
    LogsBloom,
    /// `gas_used`
    GasUsed,
    /// `entries_root`
    EntriesRoot,
    /// `base_fee`
    BaseFee,
    /// `outbox_root`, `lanes`, `inbox_cursors`, `value_in` or `value_out`
    Messages,
    /// `beneficiary`
    Beneficiary,
    /// `burned`
    Burned,
}

/// A vote with its signature; unverified until `anfs-crypto` says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SignedVote {
    /// What it says.
    pub kind: VoteKind,
    /// Of which block.
    pub target: VoteTarget,
    /// Why, for the two invalid kinds. Not covered by the signature, so that all votes of one kind for one
    /// block are one message and aggregate.
    pub fault: Option<Fault>,
    /// Seat of the signer, always a verifier's.
    pub signer: SeatIndex,
    /// BLS signature over the kind's tag and the target.
    pub signature: BlsSignature,
}
