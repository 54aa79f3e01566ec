//! Shard consensus as pure step machines: slices, verdicts, certificates.
//!
//! [`ShardCore`] is one seat of one shard: the sequence generator (SG) that proposes, a verifier (SV) that
//! checks and votes, or an observer. It does no I/O: the node gives it [`Input`]s and the time, and executes
//! the [`Effect`]s it returns, in order. A [`LogRecord`] is on disk before the vote that it holds is sent.
//!
//! - [`bft`]: quorums, vote keeping, the signing record, view-change rules. Knows nothing of slices; made to serve
//!   other groups.
//! - [`shard`]: the protocol of PROTOCOL §4, with its diagram, safety argument and deviations.
//! - [`root`]: what makes shard blocks final: [`root::RootCore`], one seat of the network, with the coins that the root
//!   holds against the shards' headers.
//! - [`crypto`]: the signatures behind a trait, and their BLS implementation.
//! - [`evidence`]: provable misbehaviour.
//!
//! Not here: checking and executing blocks (the node's worker answers [`Effect::Check`]), building them
//! ([`Effect::StartSlot`]), keeping decided ones ([`Effect::ServeBlocks`]), epochs.
//!
//! spec: PROTOCOL §3, §4

pub mod bft;
pub mod crypto;
pub mod error;
pub mod evidence;
pub mod root;
pub mod shard;

pub use bft::{LogRecord, Quorum, Scope, Standing};
pub use crypto::{BlsCrypto, CryptoError, VoteCrypto};
pub use error::ConsensusError;
pub use evidence::Evidence;
pub use shard::{
    Anchor, Depth, Effect, Hold, Input, Offence, Parent, ShardConfig, ShardCore, ShardStatus, Stall, Unneeded,
};
