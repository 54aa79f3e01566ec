//! The state as its users see it, held against Ethereum's rules as `alloy-trie` implements them.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod accounts;
mod disk;
mod faults;
mod lineage;
mod model;
mod vectors;
