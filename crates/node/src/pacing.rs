//! How much the generator may have under way: no more than the verifiers keep up with.
//!
//! Verifiers that fall behind let Δ_fast pass, and then everybody checks everything: a shard that is offered
//! more than it can check would do the most work just when it has the least time. So the generator watches
//! how long its blocks take to be decided, and keeps the undecided gas within a window, as TCP does with the
//! bytes on a path. The window grows while blocks that filled it are decided in good time, and shrinks when
//! one is late. spec: PROTOCOL §4 R3

use std::collections::VecDeque;

use anfs_primitives::{ChainSpec, Height};

/// See the module docs.
#[derive(Debug)]
pub(crate) struct Pacing {
    /// Undecided gas that the generator may have under way.
    window: u64,
    min: u64,
    max: u64,
    /// A block that is undecided for longer is late.
    patience_ms: u64,
    /// Closed blocks that are not decided yet, oldest first.
    under_way: VecDeque<Closed>,
    /// Up to this height, lateness tells of the window before the last cut.
    cut_at: Height,
    /// No block has been late so far: the window doubles with each filling.
    starting: bool,
}

#[derive(Debug)]
struct Closed {
    height: Height,
    gas: u64,
    closed_ms: u64,
    /// The window, not a lack of transactions, ended the block.
    limited: bool,
}

impl Pacing {
    pub(crate) fn new(spec: &ChainSpec) -> Self {
        let block = spec.block_gas_limit;
        Self {
            window: block / 4,
            // Small enough for any machine to check in time, and worth a block's fixed costs.
            min: block / 8,
            max: block.saturating_mul(u64::from(spec.pipeline_depth) + 1),
            patience_ms: spec.fast_timeout_ms / 4 * 3,
            under_way: VecDeque::new(),
            cut_at: Height::ZERO,
            starting: true,
        }
    }

    /// Whether a block that has used `gas` so far may take more. What is taken then may overshoot: a
    /// transaction that needs a whole block's gas must not wait for ever.
    pub(crate) fn has_room(&self, gas: u64) -> bool {
        let under_way: u64 = self.under_way.iter().map(|block| block.gas).sum();
        under_way.saturating_add(gas) < self.window
    }

    /// Notes a block that was closed; `limited` tells whether room was all that it lacked.
    pub(crate) fn closed(&mut self, height: Height, gas: u64, limited: bool, now_ms: u64) {
        self.under_way.push_back(Closed { height, gas, closed_ms: now_ms, limited });
    }

    /// Looks at what has been decided by now.
    pub(crate) fn observe(&mut self, decided: Height, now_ms: u64) {
        while let Some(block) = self.under_way.front() {
            let late = now_ms.saturating_sub(block.closed_ms) > self.patience_ms;
            let (height, gas, limited) = (block.height, block.gas, block.limited);
            if late && height > self.cut_at {
                self.cut();
            }
            if height > decided {
                return;
            }
            if !late && limited {
                let growth = if self.starting { gas } else { gas / 4 };
                self.window = self.window.saturating_add(growth).min(self.max);
            }
            self.under_way.pop_front();
        }
    }

    fn cut(&mut self) {
        self.window = (self.window / 4 * 3).max(self.min);
        self.cut_at = self.under_way.back().map_or(self.cut_at, |newest| newest.height);
        self.starting = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pacing() -> Pacing {
        Pacing {
            window: 1_000,
            min: 100,
            max: 8_000,
            patience_ms: 500,
            under_way: VecDeque::new(),
            cut_at: Height::ZERO,
            starting: true,
        }
    }

    /// Fills the window with blocks of half of it, each decided `latency_ms` after it was closed.
    fn run(pacing: &mut Pacing, heights: std::ops::Range<u64>, latency_ms: u64) {
        for height in heights {
            let closed_ms = height * 10_000;
            pacing.closed(Height(height), pacing.window / 2, true, closed_ms);
            pacing.observe(Height(height), closed_ms + latency_ms);
        }
    }

    #[test]
    fn it_grows_while_decisions_are_quick_and_shrinks_when_they_are_late() {
        let mut pacing = pacing();
        run(&mut pacing, 1..20, 100);
        assert_eq!(pacing.window, 8_000, "the most that the pipeline holds");
        run(&mut pacing, 20..40, 501);
        assert_eq!(pacing.window, 100, "never less than the smallest window");
        run(&mut pacing, 40..41, 100);
        assert_eq!(pacing.window, 112, "carefully, after it was late once");
    }

    #[test]
    fn one_delay_cuts_once_however_many_blocks_it_holds_up() {
        let mut pacing = pacing();
        for height in 1..4 {
            pacing.closed(Height(height), 100, true, 0);
        }
        for now_ms in [501, 600, 700] {
            pacing.observe(Height(0), now_ms);
        }
        pacing.observe(Height(3), 800);
        assert_eq!(pacing.window, 750);
    }

    #[test]
    fn what_is_under_way_takes_room_until_it_is_decided() {
        let mut pacing = pacing();
        pacing.closed(Height(1), 600, false, 0);
        assert!(pacing.has_room(399) && !pacing.has_room(400));
        pacing.observe(Height(1), 10);
        assert!(pacing.has_room(999) && !pacing.has_room(1_000), "a block that lacked work proves nothing");
    }
}
