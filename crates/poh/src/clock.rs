//! The clock itself: one chain of SHA-256, ticking and recording.

use alloy_primitives::B256;

use crate::kernel::{self, Kernel, Width, Words};
use crate::link::Link;

/// The hash clock of one slot, as its generator runs it.
///
/// The last step of each period of `hashes_per_slot / ticks_per_slot` is a tick, and no other step is: so a
/// slot has exactly `ticks_per_slot` ticks however much it records, and no link is longer than a period.
///
/// spec: PROTOCOL §2
#[derive(Clone, Debug)]
pub struct HashClock {
    /// Runs one chain.
    sequential: Width,
    state: Words,
    period: u64,
    hashes_per_slot: u64,
    /// Steps done in this slot.
    position: u64,
    /// Steps done since the last link.
    pending: u64,
}

impl HashClock {
    /// A clock at the start of a slot. A validated chain spec gives numbers that fit.
    ///
    /// # Panics
    /// When `hashes_per_slot` is no multiple of `ticks_per_slot`, or either is 0.
    #[must_use]
    pub fn new(start: B256, hashes_per_slot: u64, ticks_per_slot: u64) -> Self {
        Self::with_kernel(Kernel::detect(), start, hashes_per_slot, ticks_per_slot)
    }

    /// [`HashClock::new`] on a kernel of the caller's choice.
    pub(crate) fn with_kernel(
        kernel: Kernel,
        start: B256,
        hashes_per_slot: u64,
        ticks_per_slot: u64,
    ) -> Self {
        assert!(
            ticks_per_slot > 0 && hashes_per_slot > 0 && hashes_per_slot.is_multiple_of(ticks_per_slot),
            "{hashes_per_slot} hashes are no whole number of {ticks_per_slot} periods"
        );
        Self {
            sequential: kernel.sequential(),
            state: kernel::to_words(&start),
            period: hashes_per_slot / ticks_per_slot,
            hashes_per_slot,
            position: 0,
            pending: 0,
        }
    }

    /// The clock now.
    #[must_use]
    pub fn hash(&self) -> B256 {
        kernel::to_hash(&self.state)
    }

    /// Steps done in this slot.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Steps until the slot is full.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        self.hashes_per_slot - self.position
    }

    /// Runs the clock until `target` steps of the slot are done, or the slot is full, and gives the ticks
    /// that fell due on the way. A target behind the clock does nothing.
    pub fn tick_to(&mut self, target: u64) -> Vec<Link> {
        let target = target.min(self.hashes_per_slot);
        let mut ticks = Vec::new();
        while self.position < target {
            let boundary = (self.position / self.period + 1) * self.period;
            let stop = boundary.min(target);
            self.advance(stop - self.position);
            if stop == boundary {
                ticks.push(self.link(None));
            }
        }
        ticks
    }

    /// Records `mixin` with the next step, or gives `None` when that step belongs to a tick or the slot is
    /// full. The caller then ticks on ([`HashClock::tick_to`] one step further) and tries again, or closes
    /// the slot.
    pub fn record(&mut self, mixin: B256) -> Option<Link> {
        let next = self.position + 1;
        if next > self.hashes_per_slot || next.is_multiple_of(self.period) {
            return None;
        }
        let mixin_words = kernel::to_words(&mixin);
        (self.sequential.mix)(std::slice::from_mut(&mut self.state), &[mixin_words]);
        self.position = next;
        self.pending += 1;
        Some(self.link(Some(mixin)))
    }

    /// Runs the clock to the end of the slot and gives the ticks left.
    pub fn finish(&mut self) -> Vec<Link> {
        self.tick_to(self.hashes_per_slot)
    }

    fn advance(&mut self, steps: u64) {
        (self.sequential.advance)(std::slice::from_mut(&mut self.state), steps);
        self.position += steps;
        self.pending += steps;
    }

    fn link(&mut self, mixin: Option<B256>) -> Link {
        let num_hashes = std::mem::take(&mut self.pending);
        Link { num_hashes, hash: self.hash(), mixin }
    }
}
