//! New coins: how many exist at which time.
//!
//! spec: PROTOCOL §11; Root F15

use alloy_primitives::U256;
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

/// A year of issuance: 365 days, in milliseconds.
pub const YEAR_MS: u64 = 365 * 24 * 60 * 60 * 1000;
/// No year brings less than the first year's coins divided by this, so that the cap is reached.
const TAIL_DIVISOR: u64 = 16;
/// Parts that a year's decay is counted in.
const PERMILLE: u64 = 1000;

/// How new coins come about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuanceSpec {
    /// Coins of the first year, in wei; 0 when there are never more than at genesis.
    pub per_year: U256,
    /// By how many thousandths a year's coins are fewer than those of the year before. A sixteenth of the first year's is
    /// the least.
    pub decay_permille: u16,
    /// Time between two issues, in milliseconds.
    pub interval_ms: u64,
}

impl IssuanceSpec {
    /// A network whose coins are all there at genesis.
    pub const NONE: Self = Self { per_year: U256::ZERO, decay_permille: 0, interval_ms: 60_000 };
}

/// The coins issued since genesis as a function of time: what may be minted, and not a wei more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Issuance {
    /// Unix time of genesis, in milliseconds.
    pub genesis_ms: u64,
    /// All that is ever issued: the supply's cap less the coins of genesis, in wei.
    pub most: U256,
    /// Coins of the first year, in wei.
    pub per_year: U256,
    /// By how many thousandths each year brings fewer.
    pub decay_permille: u16,
    /// Time between two issues, in milliseconds; at least 1.
    pub interval_ms: u64,
}

/// `amount · part / whole` without overflow, rounded down.
fn share(amount: U256, part: u64, whole: u64) -> U256 {
    let (part, whole) = (U256::from(part), U256::from(whole));
    // No overflow while part ≤ whole < 2⁶⁴.
    (amount / whole) * part + (amount % whole) * part / whole
}

impl Issuance {
    /// Coins issued from genesis to a Unix time in milliseconds, in wei. It never falls, moves at whole intervals only, and
    /// ends at exactly [`Self::most`].
    #[must_use]
    pub fn issued_at(&self, unix_ms: u64) -> U256 {
        let elapsed = unix_ms.saturating_sub(self.genesis_ms);
        let elapsed = elapsed - elapsed % self.interval_ms.max(1);
        let (mut years, rest) = (elapsed / YEAR_MS, elapsed % YEAR_MS);
        let kept = PERMILLE - u64::from(self.decay_permille).min(PERMILLE);
        let least = share(self.per_year, 1, TAIL_DIVISOR);
        let (mut amount, mut issued) = (self.per_year, U256::ZERO);
        // At most some thousand turns: an amount that does not decay, or no more, is the same in all years left.
        while years > 0 && kept < PERMILLE && amount > least && issued < self.most {
            issued = issued.saturating_add(amount);
            amount = share(amount, kept, PERMILLE).max(least);
            years -= 1;
        }
        issued = issued.saturating_add(amount.saturating_mul(U256::from(years)));
        issued.saturating_add(share(amount, rest, YEAR_MS)).min(self.most)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GENESIS_MS: u64 = 1_700_000_000_000;

    fn schedule(most: u64, per_year: u64, decay_permille: u16, interval_ms: u64) -> Issuance {
        let [most, per_year] = [most, per_year].map(U256::from);
        Issuance { genesis_ms: GENESIS_MS, most, per_year, decay_permille, interval_ms }
    }

    fn after_years(schedule: &Issuance, years: u64) -> u64 {
        schedule.issued_at(GENESIS_MS + years * YEAR_MS).to()
    }

    #[test]
    fn a_year_brings_what_is_said_and_later_ones_less_down_to_a_sixteenth() {
        let schedule = schedule(u64::MAX, 1600, 500, 1000);
        let sums: Vec<u64> = (0..8).map(|years| after_years(&schedule, years)).collect();
        assert_eq!(sums, [0, 1600, 2400, 2800, 3000, 3100, 3200, 3300]);
        assert_eq!(schedule.issued_at(GENESIS_MS + YEAR_MS / 2), U256::from(800));
        assert_eq!(schedule.issued_at(0), U256::ZERO, "nothing before genesis");
    }

    #[test]
    fn the_cap_is_met_to_the_wei() {
        let schedule = schedule(2999, 1600, 500, 1000);
        assert_eq!((after_years(&schedule, 3), after_years(&schedule, 4)), (2800, 2999));
        assert_eq!(schedule.issued_at(u64::MAX), U256::from(2999));
        let huge = Issuance { most: U256::MAX, per_year: U256::MAX, ..schedule };
        assert_eq!(huge.issued_at(u64::MAX), U256::MAX);
    }

    #[test]
    fn without_a_rate_there_are_never_more() {
        let none = schedule(1_000_000, 0, 0, 60_000);
        assert_eq!(none.issued_at(u64::MAX), U256::ZERO);
    }

    proptest! {
        #[test]
        fn it_never_falls_and_never_passes_the_cap(
            most in any::<u64>(), per_year in any::<u64>(), decay in 0u16..=1000, interval in 1u64..YEAR_MS,
            mut times in prop::collection::vec(0..400 * YEAR_MS, 2..20),
        ) {
            let schedule = schedule(most, per_year, decay, interval);
            times.sort_unstable();
            let issued: Vec<U256> = times.iter().map(|at| schedule.issued_at(GENESIS_MS + at)).collect();
            prop_assert!(issued.is_sorted());
            prop_assert!(issued.iter().all(|sum| *sum <= schedule.most));
            // Whoever asks between two issues learns what the last one came to.
            for at in &times {
                let issue = at - at % interval;
                prop_assert_eq!(schedule.issued_at(GENESIS_MS + at), schedule.issued_at(GENESIS_MS + issue));
            }
        }

        #[test]
        fn whatever_the_decay_all_is_issued_in_the_end(
            most in 1u64.., per_year in 16u64.., decay in 0u16..=1000,
        ) {
            let schedule = schedule(most, per_year, decay, 1000);
            // A sixteenth of the first year's is the least of any year.
            let years = (u128::from(most) * 16 / u128::from(per_year) + 16) * 2;
            let end = u64::try_from(years * u128::from(YEAR_MS)).ok().and_then(|end| end.checked_add(GENESIS_MS));
            if let Some(end) = end {
                prop_assert_eq!(schedule.issued_at(end), U256::from(most));
            }
        }
    }
}
