//! The store on real folders, and on a disk that fails at every operation.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod chain;
mod disk;
mod faults;
mod folder;
mod harness;
mod root;
mod tables;
