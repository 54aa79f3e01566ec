//! The server over real sockets, in front of a chain held in memory.

#![expect(clippy::unwrap_used, reason = "a failed step of a test should end it")]

mod chain;
mod client;
mod eth;
mod http;
mod network;
mod shards;
mod websocket;
