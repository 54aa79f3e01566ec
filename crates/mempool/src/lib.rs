//! The transaction pool of one sequence generator: admission, ordering, replacement and limits.
//!
//! A transaction comes in once its sender has been recovered, and waits in its sender's queue. The block
//! builder pulls the best one that can run next, again and again:
//!
//! ```text
//!            add ──► checks ──► sender's queue, ordered by nonce
//!                               ┌───────────┬──────────────┬───────────┐
//!                    nonce ───► │ in flight │  executable  │  queued   │   (after the first nonce gap)
//!                               └───────────┴──────────────┴───────────┘
//!            take_best ◄── heads of all senders, by effective tip, then arrival
//! ```
//!
//! A taken transaction is *in flight*: it sits in a block that is not decided yet (blocks are pipelined, so
//! there may be several). [`Pool::on_block`] lets it vanish when its block is decided, [`Pool::give_back`]
//! makes it available again when its block died, and [`Pool::reject`] throws out what turned out invalid.
//!
//! Every operation takes O(log n) of the pool's size, including a change of the base fee, which touches only
//! the transactions whose effective tip changes its nature (see the `ranking` module). Payloads are never
//! copied: a [`RecoveredTransaction`](anfs_primitives::RecoveredTransaction) is a counted reference.
//!
//! Not for: checking signatures or network ids (done before), executing, or gossip. The pool reads no state:
//! callers hand in nonce and balance as of the last decided block. It has no clock: callers pass the time.
//!
//! spec: PROTOCOL §3 (invalid transactions never enter a sequence), §4 R8 (pipelining)

mod check;
mod error;
mod limits;
mod pool;
mod queue;
mod ranking;
mod view;

pub use check::{INIT_CODE_BYTES_MAX, floor_gas, intrinsic_gas};
pub use error::PoolError;
pub use limits::{ENTRY_OVERHEAD_BYTES, PoolLimits, TRANSACTION_GAS_MAX};
pub use pool::{Added, Place, Pool};
pub use view::{Best, PoolStatus, SenderContent};

use alloy_primitives::U256;

/// What the pool needs to know of an account, as of the last decided block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccountView {
    /// The nonce that the account's next transaction must have.
    pub nonce: u64,
    /// Balance in wei.
    pub balance: U256,
}
