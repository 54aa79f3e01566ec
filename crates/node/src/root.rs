//! The root as one seat takes part in it: its consensus core in a thread of its own, the chain of final root blocks,
//! and the messages that they make final.
//!
//! spec: PROTOCOL §6, §9

mod chain;
mod domain;
mod engine;
mod lanes;
mod machine;
mod quotas;
mod readers;
mod start;
mod wants;
mod wire;

pub use chain::RootChain;
pub use domain::{RootDomain, RootExecuted};
pub(crate) use engine::{RootEvent, RootInbox};
pub use start::RootLink;
pub(crate) use start::{RootSide, genesis_root, root_chain};
pub use wire::{InProcessNetwork, NetworkMailbox, NetworkMessage, NetworkTransport};
