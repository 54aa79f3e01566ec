//! The hash clock: recording a sequence, cutting it into slices, checking any slice alone.
//!
//! One party generates the sequence, hash after hash, which no number of cores can shorten. Everybody else
//! checks it, and checking *can* be spread: the hash at the end of each entry is written down, so that the
//! stretch between two entries is checked on its own, side by side with all the others.
//!
//! ```text
//! one slot: hashes_per_slot steps, a tick (T) as the last step of each of ticks_per_slot periods
//!
//!  start                                                                              end
//!    │◄──────── period ────────►│◄──────── period ────────►│◄──────── period ────────►│
//!    ○──────R────────R──────────T───────────R──────────────T─────R──R─────────────────T
//!    │      │        │          │           │              │     │  │                 │
//!    │      │        └ h' = SHA-256(h ‖ mixin): a record   │     │  └ each letter is an entry,
//!    │      └ mixin = Merkle root of transaction hashes    │     │    each ── a link to check alone
//!    │                          └ h' = SHA-256(h): the last step of a period never records
//!    │                                      │                    │
//!    ├────────── slice 0 ───────────────────┼───── slice 1 ──────┼───── slice 2 ──────┤   n_v slices of
//!  cut 0                                  cut 1                cut 2                cut 3  about equal cost
//! ```
//!
//! - The clock: [`HashClock`] records; [`Link`] is what it gives and what a checker needs.
//! - A slot's form: [`boundaries`] cuts it, [`check_shape`] holds it against the chain spec.
//! - The hashes: [`check_links`] spreads the stretches over the lanes of the best [`Kernel`] at hand.
//! - Which kernel that is: [`Selection`] tries each once a process against the portable code, and says which failed.
//! - Who checks what: [`assign_slices`] draws it from the block's own hash.
//!
//! # Not for
//! Signatures of transactions, execution, and anything that reads a clock: how fast a generator may run is
//! its caller's business. This crate starts no thread; a caller with idle cores splits a slot's links into
//! runs and checks each run on its own, which is exact at any split.
//!
//! # Example
//! ```
//! use anfs_poh::{HashClock, LinkCost, boundaries, check_links, check_shape, mixin};
//! use alloy_primitives::B256;
//!
//! let start = B256::repeat_byte(7);
//! let mut clock = HashClock::new(start, 4096, 16);
//! let mut links = clock.tick_to(1000);
//! links.extend(clock.record(mixin(&[B256::repeat_byte(1)])));
//! links.extend(clock.finish());
//! assert_eq!(check_links(start, &links), Ok(()));
//!
//! let costs: Vec<LinkCost> =
//!     links.iter().map(|link| LinkCost::of_link(link, u32::from(link.mixin.is_some()))).collect();
//! let cuts = boundaries(start, &costs, 4);
//! assert_eq!(check_shape(start, clock.hash(), 4096, 16, &costs, &cuts, 4), Ok(()));
//! ```
//!
//! spec: PROTOCOL §2, §4 R1

mod assign;
mod check;
mod clock;
mod kernel;
mod link;
mod selection;
mod shape;

pub use assign::{assign_slices, slices_of};
pub use check::{check_links, check_links_with};
pub use clock::HashClock;
pub use kernel::Kernel;
pub use link::{Link, LinkCost, LinkError, SIGNATURE_WEIGHT, entries_root, link_of, link_with_hashes, mixin};
pub use selection::Selection;
pub use shape::{boundaries, check_shape};
