//! Real seats over a network and disks that the tests can break: faults, catch-up, restarts, bad blocks.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod byzantine;
mod catch_up;
mod crossing;
mod disk;
mod folder;
mod harness;
mod restart;
mod slice_work;
mod takeover;
mod wire;
