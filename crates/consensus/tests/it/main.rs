//! Groups of shard cores on a virtual network.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic; clippy sees only the test functions")]

mod faults;
mod liveness;
mod net;
mod one;
mod record;
mod root;
mod scenarios;
mod thresholds;
