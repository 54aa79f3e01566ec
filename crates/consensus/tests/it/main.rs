//! Groups of shard cores on a virtual network.

mod fake;
mod net;
mod scenarios;
