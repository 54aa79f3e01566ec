//! The wire format held from outside: pinned encodings, round trips, hostile bytes, transactions.

#![allow(clippy::unwrap_used, reason = "the lint spares test functions but not their helpers")]

mod codec;
mod pinned;
mod samples;
mod transaction;
