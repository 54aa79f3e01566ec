//! The root domain: what makes shard blocks final, and what it refuses.
//!
//! ```text
//!  shards   Certified ─► report ─► leader's pool
//!                                     │ root_block_ms after the last block
//!  leader                             ▼
//!           Proposal ──► valid? ─► prepare ─► gatherer ─► tally ─► PrepareCert
//!                                                                      │ locked
//!           Final ◄── CommitCert ◄── tally ◄── gatherer ◄── commit ◄───┘
//!
//!  Δ_root   Timeout (height, view, highest PrepareCert) ── more than two thirds ─► next view, bound by the highest
//! ```
//!
//! [`RootCore`] is one seat of the network (or an observer). It does no I/O: the node gives it [`RootInput`]s and the
//! time, and executes the [`RootEffect`]s in order. It decides one height at a time; after each input it makes passes
//! over what may have become due, and each pass is idempotent, so messages may be lost, repeated and reordered.
//! [`RootState`] is what the final blocks amount to. The leader builds with it, every seat checks with it, and whoever
//! replays root blocks applies them with it.
//!
//! # Votes and certificates
//!
//! Votes travel as tallies. The leader keeps them unverified until those that they name would be a quorum; then one
//! batch admits them, and of each shard it takes the largest tally and whatever fits beside it without naming a seat
//! twice. A bad tally costs its sender the leader's ear, not the seats named in it: they turn to the leader themselves.
//!
//! # The log
//!
//! A vote, a time-out and a proposal are in the log before they leave; a prepare with the block that it is for. So when a
//! PrepareCert exists, more than a third of all stake is honest and still has the block after any crash, and it can be
//! proposed again. A seat that comes back is in the highest view that it has signed anything in. It need not know more:
//! what it must not do is sign twice in one view, or in a view that it has left.
//!
//! # The root as a domain
//!
//! The root has accounts of its own. Executing its blocks is the node's part: the header of a block tells what executing
//! its parent came to, and a seat signs nothing for it before it has found the same ([`RootInput::Executed`]). Nor does a
//! decided block become final here before; when it tells otherwise, the core ends with an error. The messages that the root
//! consumes are in its blocks. Of each shard a leader takes what comes next and is at hand ([`RootEffect::WantInbound`]).
//!
//! # Bounds
//!
//! One height is worked on. For it: one proposal a view, two votes of each kind from a seat (of a gatherer as many as
//! its shard has seats), the latest time-out of each seat, bodies that certificates name. One proposal of the next
//! height, since the decision may come right behind it. Fetched blocks: [`ROOT_SERVE_MAX`]. Reports: of each shard and
//! height one a seat, within 128 heights. Messages to the root: of eight blocks of a shard, and no more once they come to
//! 64 MiB; a shard whose blocks wait by the ten thousands makes no more of them final. Own blocks: [`OWN_REFERENCES_MAX`]. Requests are counted per seat. Who sent
//! something that does not verify is not heard again on that height.
//!
//! spec: PROTOCOL §6, §9; Root F1–F16

mod config;
mod core;
mod crypto;
mod execution;
mod inbound;
pub mod ledger;
mod log;
mod propose;
mod report;
mod state;
mod sync;
mod tally;
mod timeout;
mod types;
mod view;
mod vote;

pub use self::core::RootCore;
pub use config::RootConfig;
pub use crypto::{BlsRootCrypto, RootCrypto, root_keys};
pub use inbound::{INBOUND_WAITING_MAX, InboundFault, InboundWant};
pub use log::{ROOT_LOG_RECORD_BYTES_MAX, RootLogRecord};
pub use report::OWN_REFERENCES_MAX;
pub use state::{ExecutionFault, ReferenceFault, RootDraft, RootFault, RootState, genesis_root_header};
pub use sync::ROOT_SERVE_MAX;
pub use types::{RootEffect, RootEvidence, RootInput, RootOffence, RootStatus};
