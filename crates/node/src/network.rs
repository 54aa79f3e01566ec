//! The chain that wallets see: the shards' sequences, one after the other as root blocks make them final.
//!
//! Network block N is root block N with the transactions that complete in it. A transaction is complete where the last
//! message that belongs to it is consumed; it is listed there, once, with one receipt for all of its legs.
//!
//! ```text
//!   RootChain ──final root blocks──┐
//!   shard 1 ──decided blocks───────┼─▶ NetworkView ──network blocks──▶ NetworkBackend ──▶ rpc  /
//!   shard k ──decided blocks───────┘        │                               ▲
//!                                      network.log                 state, pools, execution of the shards
//! ```
//!
//! The accounts of all shards are gathered in one trie, so that a network block has a state root that proofs end at.
//!
//! What the log holds can be worked out again from the root's chain and the shards' blocks; it makes a restart quick.
//!
//! spec: PROTOCOL §0, §8, §9

mod accounts;
mod backend;
mod block;
mod completion;
mod executor;
mod follow;
mod info;
mod light;
mod pending;
mod pool;
mod record;
mod residence;
#[cfg(test)]
mod tests;
mod trace;
mod view;

pub use backend::NetworkBackend;
pub use block::DomainChain;
pub use follow::NetworkFollower;
pub use view::{NetworkSources, NetworkView};
