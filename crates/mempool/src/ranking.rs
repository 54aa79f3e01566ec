//! An order by effective tip that survives changes of the base fee.
//!
//! The effective tip of a bid is `min(tip, cap − base fee)`. A bid whose `cap − tip` is at least the base fee
//! is *tip-bound*: its effective tip does not depend on the base fee. Any other is *cap-bound*: among those
//! the order by cap is the order by effective tip. So two sets hold all bids in order, whatever the base fee
//! is, and a change of the base fee moves only the bids whose `cap − tip` lies between the old and the new.

use std::cmp::{Ordering, Reverse};
use std::collections::BTreeSet;

/// What somebody offers, and where it ranks among equals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bid {
    /// Tip cap in wei, at most `cap`.
    pub(crate) tip: u128,
    /// Fee cap in wei.
    pub(crate) cap: u128,
    /// Among equal tips the lower number goes first. Unique within a ranking.
    pub(crate) seniority: u64,
    /// Index of the sender.
    pub(crate) slot: usize,
}

impl Bid {
    /// What the block's producer earns for a unit of gas, in wei; negative where the cap is below the base fee.
    pub(crate) fn effective_tip(&self, base_fee: u64) -> i128 {
        effective_tip(self.tip, self.cap, base_fee)
    }

    /// Greater is better: higher effective tip, then seniority.
    pub(crate) fn compare(&self, other: &Self, base_fee: u64) -> Ordering {
        let by_tip = self.effective_tip(base_fee).cmp(&other.effective_tip(base_fee));
        by_tip.then(other.seniority.cmp(&self.seniority))
    }
}

/// `min(tip, cap − base fee)`, in wei.
pub(crate) fn effective_tip(tip: u128, cap: u128, base_fee: u64) -> i128 {
    let signed = |wei: u128| i128::try_from(wei).unwrap_or(i128::MAX);
    signed(tip).min(signed(cap).saturating_sub(i128::from(base_fee)))
}

/// Best first: by price, then seniority. The bid itself rides along.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Ranked {
    price: Reverse<u128>,
    seniority: u64,
    other: u128,
    slot: usize,
}

/// A set of bids, with the best and the worst at hand.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ranking {
    base_fee: u64,
    /// Tip-bound bids; `other` is the cap.
    by_tip: BTreeSet<Ranked>,
    /// Cap-bound bids; `other` is the tip.
    by_cap: BTreeSet<Ranked>,
    /// All bids as (cap − tip, seniority, slot, cap).
    by_slack: BTreeSet<(u128, u64, usize, u128)>,
}

impl Ranking {
    pub(crate) fn new(base_fee: u64) -> Self {
        Self { base_fee, ..Self::default() }
    }

    pub(crate) fn insert(&mut self, bid: &Bid) {
        self.by_slack.insert((bid.cap - bid.tip, bid.seniority, bid.slot, bid.cap));
        self.place(bid);
    }

    pub(crate) fn remove(&mut self, bid: &Bid) {
        self.by_slack.remove(&(bid.cap - bid.tip, bid.seniority, bid.slot, bid.cap));
        if self.is_tip_bound(bid) {
            self.by_tip.remove(&tip_ranked(bid));
        } else {
            self.by_cap.remove(&cap_ranked(bid));
        }
    }

    pub(crate) fn best(&self) -> Option<Bid> {
        let tip = self.by_tip.first().map(tip_bid);
        let cap = self.by_cap.first().map(cap_bid);
        tip.into_iter().chain(cap).max_by(|a, b| a.compare(b, self.base_fee))
    }

    pub(crate) fn worst(&self) -> Option<Bid> {
        let tip = self.by_tip.last().map(tip_bid);
        let cap = self.by_cap.last().map(cap_bid);
        tip.into_iter().chain(cap).min_by(|a, b| a.compare(b, self.base_fee))
    }

    /// All bids, in no particular order but always the same one.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Bid> + '_ {
        self.by_tip.iter().map(tip_bid).chain(self.by_cap.iter().map(cap_bid))
    }

    pub(crate) fn set_base_fee(&mut self, base_fee: u64) {
        let (old, new) = (u128::from(self.base_fee), u128::from(base_fee));
        let between = (old.min(new), 0, 0, 0)..(old.max(new), 0, 0, 0);
        let moving: Vec<Bid> = self.by_slack.range(between).map(slack_bid).collect();
        for bid in &moving {
            if new > old {
                self.by_tip.remove(&tip_ranked(bid));
            } else {
                self.by_cap.remove(&cap_ranked(bid));
            }
        }
        self.base_fee = base_fee;
        for bid in &moving {
            self.place(bid);
        }
    }

    fn place(&mut self, bid: &Bid) {
        if self.is_tip_bound(bid) {
            self.by_tip.insert(tip_ranked(bid));
        } else {
            self.by_cap.insert(cap_ranked(bid));
        }
    }

    fn is_tip_bound(&self, bid: &Bid) -> bool {
        bid.cap - bid.tip >= u128::from(self.base_fee)
    }
}

fn tip_ranked(bid: &Bid) -> Ranked {
    Ranked { price: Reverse(bid.tip), seniority: bid.seniority, other: bid.cap, slot: bid.slot }
}

fn cap_ranked(bid: &Bid) -> Ranked {
    Ranked { price: Reverse(bid.cap), seniority: bid.seniority, other: bid.tip, slot: bid.slot }
}

fn tip_bid(ranked: &Ranked) -> Bid {
    Bid { tip: ranked.price.0, cap: ranked.other, seniority: ranked.seniority, slot: ranked.slot }
}

fn cap_bid(ranked: &Ranked) -> Bid {
    Bid { tip: ranked.other, cap: ranked.price.0, seniority: ranked.seniority, slot: ranked.slot }
}

fn slack_bid(&(slack, seniority, slot, cap): &(u128, u64, usize, u128)) -> Bid {
    Bid { tip: cap - slack, cap, seniority, slot }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn best_and_worst_agree_with_a_sort_whatever_the_base_fee_does(
            bids in prop::collection::vec((0u128..40, 0u128..40), 1..40),
            fees in prop::collection::vec(0u64..60, 1..12),
            gone in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let mut ranking = Ranking::new(0);
            let mut bids: Vec<Bid> = (0u64..).zip(bids).map(|(seniority, (tip, more))| {
                Bid { tip, cap: tip + more, seniority, slot: 7 }
            }).collect();
            bids.iter().for_each(|bid| ranking.insert(bid));
            let mut gone = gone.into_iter();
            for fee in fees {
                ranking.set_base_fee(fee);
                if let Some(index) = gone.next() && bids.len() > 1 {
                    ranking.remove(&bids.remove(index.index(bids.len())));
                }
                bids.sort_by(|a, b| b.compare(a, fee));
                prop_assert_eq!(ranking.best(), bids.first().copied());
                prop_assert_eq!(ranking.worst(), bids.last().copied());
                prop_assert_eq!(ranking.iter().count(), bids.len());
                prop_assert_eq!(ranking.by_slack.len(), bids.len());
            }
        }
    }

    #[test]
    fn huge_caps_do_not_overflow() {
        assert_eq!(effective_tip(u128::MAX, u128::MAX, 1), i128::MAX - 1);
        assert_eq!(effective_tip(0, 0, u64::MAX), -i128::from(u64::MAX));
    }
}
