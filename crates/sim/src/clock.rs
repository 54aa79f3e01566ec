//! Clocks of seats: each has its own, ahead, behind, fast or slow.

/// Unix time at simulated time 0, and of slot 0: far enough from zero for clocks that lag.
pub const GENESIS_MS: u64 = 1_000_000_000;

/// How a seat's clock differs from simulated time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skew {
    /// Milliseconds ahead (or behind) at the start.
    pub offset_ms: i64,
    /// Speed: 1000 is right, 100 000 a hundred times too fast.
    pub rate_per_mille: u32,
}

impl Default for Skew {
    fn default() -> Self {
        Self { offset_ms: 0, rate_per_mille: 1000 }
    }
}

impl Skew {
    /// What the clock shows at a simulated time, as Unix time.
    #[must_use]
    pub fn local(self, sim_ms: u64) -> u64 {
        let elapsed = i128::from(sim_ms) * i128::from(self.rate_per_mille) / 1000;
        let shown = i128::from(GENESIS_MS) + i128::from(self.offset_ms) + elapsed;
        u64::try_from(shown.max(0)).unwrap_or(u64::MAX)
    }

    /// The first simulated time at which the clock shows this or more.
    #[must_use]
    pub fn simulated(self, local_ms: u64) -> u64 {
        let elapsed = i128::from(local_ms) - i128::from(GENESIS_MS) - i128::from(self.offset_ms);
        let rate = i128::from(self.rate_per_mille.max(1));
        let sim = (elapsed.max(0) * 1000 + rate - 1) / rate;
        u64::try_from(sim).unwrap_or(u64::MAX)
    }

    /// Whether it is so far off that its seat cannot be expected to keep up, nor to lead: more than a
    /// tenth too fast or slow, or more than two seconds off.
    #[must_use]
    pub fn is_wild(self) -> bool {
        self.rate_per_mille.abs_diff(1000) > 100 || self.offset_ms.unsigned_abs() > 2_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_shows_what_was_asked_for_at_the_time_it_gives_back() {
        for rate_per_mille in [10, 999, 1000, 1001, 100_000] {
            for offset_ms in [-5_000, 0, 70] {
                let skew = Skew { offset_ms, rate_per_mille };
                for ahead in [0, 1, 99, 12_345] {
                    let local = skew.local(500) + ahead;
                    let sim = skew.simulated(local);
                    assert!(skew.local(sim) >= local, "{skew:?} {ahead}");
                    assert!(sim == 0 || skew.local(sim - 1) < local, "{skew:?} {ahead}");
                }
            }
        }
    }
}
