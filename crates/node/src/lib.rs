//! A running node: the cores of consensus, execution and the pool, joined to disk, network and RPC.
//!
//! Nothing here decides anything that the protocol cares about. A seat's *engine* feeds the consensus core
//! and carries out its effects; its *worker* executes and checks blocks; the generator's *builder* fills the
//! slots; the *committer* makes decided blocks durable and only then visible. Each is one thread with one
//! inbox:
//!
//! ```text
//!             ┌───────────── messages of the other seats ─────────────┐
//!             ▼                                                       │
//!   pool ─► builder ──Built──► engine (ShardCore) ──Send/Broadcast──► transport
//!                               ▲  │      │
//!                       Checked │  │Check │Persist (fsynced before anything is sent)
//!                               │  ▼      ▼
//!                              worker    votes.log
//!                               │ Decided
//!                               ▼
//!                            committer ──► block log ──► ChainView ──► rpc
//! ```
//!
//! No stage waits for a later one while holding what that one needs: inboxes are bounded, and what an inbox
//! does when it is full is said where it is made.
//!
//! spec: PROTOCOL §2–4

pub mod arrivals;
pub mod backend;
mod builder;
pub mod chain;
mod clock;
mod committer;
mod context;
mod control;
pub mod devnet;
mod engine;
mod error;
mod feed;
mod flusher;
pub mod genesis;
mod inbox;
mod liar;
pub mod metrics;
pub mod network;
mod pacing;
pub mod record;
mod relay;
mod root;
mod run;
mod seat;
mod senders;
#[cfg(test)]
mod testing;
mod transport;
mod verified;
mod views;
mod worker;

pub use anfs_store::disk;
pub use arrivals::Arrivals;
pub use chain::{ChainLimits, ChainView};
pub use clock::{Clock, SystemClock};
pub use context::{Health, Part};
pub use devnet::{Devnet, DevnetConfig};
pub use error::NodeError;
pub use root::{
    InProcessNetwork, NetworkMailbox, NetworkMessage, NetworkTransport, RootChain, RootDomain, RootExecuted,
    RootLink,
};
pub use seat::{Seat, SeatConfig};
pub use transport::{InProcessHub, Mailbox, Transport};
pub use verified::Verified;
