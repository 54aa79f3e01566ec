//! Writes states to disk, and tells those who execute blocks what the disk holds, so that memory holds little more
//! than what is used.
//!
//! ```text
//!   committer ──every 64 blocks──► flusher ──► state.redb
//!                                     │
//!                                     ▼ the state on disk
//!   the next block's run starts on its parent's state, less what the disk has and nobody touched of late
//! ```

use anfs_primitives::Height;
use anfs_state::WorldState;
use parking_lot::Mutex;

use crate::chain::ChainLimits;
use crate::committer::FLUSH_EVERY;
use crate::context::{Part, SeatContext};
use crate::error::NodeError;
use crate::inbox::{Inbox, Received};

/// A state to be written to disk.
#[derive(Debug)]
pub(crate) struct Flush {
    pub(crate) height: Height,
    pub(crate) state: WorldState,
}

pub(crate) type FlushInbox = Inbox<Flush>;

/// Flushes that a snapshot may see beyond those of the blocks for which the chain holds it: it is made some
/// blocks before it is visible, and a reader may keep it a while.
const SPARE: u64 = 3;

/// The state that the disk holds.
#[derive(Debug)]
pub(crate) struct OnDisk {
    newest: Mutex<Option<(Height, WorldState)>>,
    idle: u32,
}

impl OnDisk {
    pub(crate) fn new() -> Self {
        // Any seat may have to serve, and holds so many states from then on.
        let idle = ChainLimits::SERVING.states as u64 / FLUSH_EVERY + SPARE;
        Self { newest: Mutex::default(), idle: u32::try_from(idle).unwrap_or(u32::MAX) }
    }

    /// The state to execute a child on: once after each flush in every line of blocks, without the parts that
    /// the disk has too and that were not used while the last few flushes went by. `seen` is the flush that the
    /// parent's line last took notice of; the one to be remembered for the child comes back.
    pub(crate) fn lighten(&self, state: &WorldState, seen: Height) -> (WorldState, Height) {
        let newest = self.newest.lock().clone();
        match newest {
            Some((height, flushed)) if height > seen => (state.unload_cold(&flushed, self.idle), height),
            _ => (state.clone(), seen),
        }
    }
}

/// Writes states to disk, one at a time, until the inbox is closed.
pub(crate) fn run_flusher(context: &SeatContext, inbox: &FlushInbox, mut flushed: WorldState) {
    loop {
        match inbox.receive(None) {
            Received::Event(flush) => write(context, flush, &mut flushed),
            Received::TimedOut => {}
            Received::Closed => return,
        }
    }
}

/// Writes what a state has more than `flushed`, which becomes that state.
fn write(context: &SeatContext, Flush { height, state }: Flush, flushed: &mut WorldState) {
    let result = state
        .diff_since(flushed)
        .map_err(NodeError::from)
        .and_then(|diff| Ok(context.store.flush_state(height, state.root(), &diff)?));
    match result {
        Ok(()) => {
            *context.on_disk.newest.lock() = Some((height, state.clone()));
            *flushed = state;
            context.health.recovered(Part::State);
        }
        Err(error) => {
            // The blocks are safe in their log; the next flush writes everything since the last good one.
            tracing::error!(seat = %context.seat, %height, %error, "cannot flush the state");
            context.health.troubled_by(Part::State, error.to_string());
        }
    }
}

#[cfg(test)]
mod tests;
