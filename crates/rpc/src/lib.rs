//! Ethereum JSON-RPC over HTTP and WebSocket, with health and metrics, on one port.
//!
//! The crate holds the protocol towards clients: shapes, errors, limits, filters, subscriptions. It knows
//! nothing of consensus, execution or disks: those stand behind the traits of [`backend`], which the node
//! implements. Only what is never undone is visible, decided blocks of a shard or final ones of a network, so `safe` and
//! `finalized` are `latest`, and there are no reorganisations.
//!
//! ```text
//!  POST / ──┐                                   ┌─ quick: on the task ──────────┐
//!           ├─► dispatch ─► methods (one table) ┼─ heavy: blocking pool, bounded ┼─► backend traits
//!  WS   / ──┘                                   └─ subscriptions: bounded queues ┘
//!  POST, WS /shard/<i>: one shard's own chain, on a network of several
//!  GET /healthz /readyz /metrics
//! ```
//!
//! Everything that a client can make large has a limit in [`RpcConfig`]: connections, headers' and bodies'
//! time, bytes, nesting, batch length, answers, calls at once, waiting heavy calls, filters, subscriptions,
//! queued notifications.
//!
//! spec: PROTOCOL §0 (what is visible), §2–4 (`anfs_*`)

mod api;
pub mod backend;
pub mod config;
mod dispatch;
mod endpoints;
pub mod error;
mod head_guard;
mod http;
pub mod methods;
pub mod network;
mod params;
mod revert;
pub mod server;
mod shapes;
mod subscriptions;
mod wire;
mod ws;

pub use backend::{
    AccountView, At, Backend, BackendError, BlockSummary, CallRequest, ChainReader, Clock, DevnetControl,
    Events, EvidenceNote, Executor, MonotonicClock, NodeStatus, PoolContent, PoolStatus, Probe, RpcBlock,
    SeatReport, SequenceProof, ShardInfo, ShownBlock, Signer, StateReader, TxPool, ViewChangeNote,
    ViewStatus,
};
pub use config::{ConfigError, RpcConfig};
pub use error::RpcError;
pub use methods::{METHODS, Method, REFUSED_NAMESPACES};
pub use network::NetworkInfo;
pub use server::{RpcServer, RpcServerError};
