//! The root domain: what it takes from the shards, and what it refuses.
//!
//! spec: PROTOCOL §6, §9

pub mod ledger;
