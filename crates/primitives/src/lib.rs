//! The nouns of the protocol: identifiers, transactions, sequence entries, shard headers, votes,
//! certificates, wire messages, the chain spec, and the one canonical codec that they travel in.
//!
//! This crate holds data and its validity in isolation (sizes, shapes, self-consistency). It holds no
//! cryptographic operation beyond hashing, no state and no rule that needs more than the value itself:
//! signatures are checked by `anfs-crypto`, sequences by `anfs-poh`, blocks by `anfs-consensus`.
//!
//! Every encoding is [borsh](https://borsh.io) with strict ordering, bounded before anything is allocated
//! ([`codec`]), and pinned: `tests/it/pinned.rs` holds a hash of each type's encoding, so a change of the wire
//! format cannot pass unseen.
//!
//! spec: PROTOCOL §1–4

pub mod block;
pub mod certificate;
pub mod codec;
pub mod crossing;
pub mod entry;
pub mod header;
pub mod ids;
pub mod message;
pub mod receipt;
pub mod root;
pub mod spec;
pub mod transaction;
pub mod view;
pub mod vote;

pub use block::{Block, BlockBody, CertifiedBlock};
pub use certificate::{Certificate, CertificateKind, SignerSet};
pub use codec::{BoundedVec, CodecError, decode, encode, encode_into};
pub use crossing::{
    Arrival, BlockCrossing, CallForm, CallResult, CrossCall, CrossMessage, Derivation, DomainMap, GasPayment,
    MessageBody, ResultRequest,
};
pub use entry::{Entry, Fragment, SequencedTransaction};
pub use header::{Boundary, InboxCursor, LaneCount, RootReference, SealedHeader, ShardHeader};
pub use ids::{BlockHash, DomainId, Epoch, Height, NetworkId, SeatIndex, Slot, View};
pub use message::{ConsensusMessage, Proposal};
pub use receipt::{Receipt, ReceiptKind};
pub use root::{
    CertifiedRootBlock, InboundBatch, RootBlock, RootCertificate, RootExecution, RootHash, RootHeader,
    RootMessage, RootProposal, RootSeat, RootTally, RootTimeout, SealedRootHeader, SeatGroup, SeatSet,
    ShardReference, ShardTip, SignedRootTimeout, StretchProof, Supply, TimeoutCertificate, TimeoutGroup,
};
pub use spec::{ChainSpec, GenesisAccount, Issuance, IssuanceSpec, SpecError, ValidatorSpec};
pub use transaction::{RecoveredTransaction, SignedTransaction, TransactionError};
pub use view::{HeightReport, NewView, SignedViewChange, ViewChange, ViewTimeout};
pub use vote::{Fault, SignedVote, VoteKind, VoteTarget};

/// A BLS12-381 public key in G2, compressed (min_sig): 96 bytes.
pub type BlsPublicKey = alloy_primitives::FixedBytes<96>;
/// A BLS12-381 signature in G1, compressed (min_sig): 48 bytes.
pub type BlsSignature = alloy_primitives::FixedBytes<48>;
