//! The crate from outside: what is recorded checks, and what is tampered with does not.

mod assignment;
mod sequence;
mod shape;

use alloy_primitives::B256;
use anfs_poh::{HashClock, Link, LinkCost, mixin};
use anfs_primitives::Boundary;
use proptest::prelude::*;

/// A slot as a generator leaves it.
#[derive(Clone, Debug)]
struct Slot {
    start: B256,
    end: B256,
    hashes: u64,
    ticks: u64,
    links: Vec<Link>,
    costs: Vec<LinkCost>,
}

impl Slot {
    /// Runs a clock through a slot, and records at each of the positions in turn, a transaction hash or more.
    fn record(start: B256, period: u64, ticks: u64, records: &[(u64, Vec<B256>)]) -> Self {
        let hashes = period * ticks;
        let mut clock = HashClock::new(start, hashes, ticks);
        let (mut links, mut counts) = (Vec::new(), Vec::new());
        for (gap, tx_hashes) in records {
            links.extend(clock.tick_to(clock.position() + gap));
            counts.resize(links.len(), 0);
            let mixin = mixin(tx_hashes);
            let mut link = clock.record(mixin);
            if link.is_none() {
                links.extend(clock.tick_to(clock.position() + 1));
                counts.resize(links.len(), 0);
                link = clock.record(mixin);
            }
            let Some(link) = link else { break };
            links.push(link);
            counts.push(u32::try_from(tx_hashes.len()).expect("a few"));
        }
        links.extend(clock.finish());
        counts.resize(links.len(), 0);
        let costs = links.iter().zip(counts).map(|(link, count)| LinkCost::of_link(link, count)).collect();
        Self { start, end: clock.hash(), hashes, ticks, links, costs }
    }

    /// The hash before a link.
    fn before(&self, index: usize) -> B256 {
        index.checked_sub(1).map_or(self.start, |last| self.links[last].hash)
    }

    fn cuts(&self, n: usize) -> Vec<Boundary> {
        anfs_poh::boundaries(self.start, &self.costs, n)
    }

    fn check_shape(&self, cuts: &[Boundary], n: usize) -> Result<(), anfs_primitives::Fault> {
        anfs_poh::check_shape(self.start, self.end, self.hashes, self.ticks, &self.costs, cuts, n)
    }
}

fn hash() -> impl Strategy<Value = B256> {
    any::<[u8; 32]>().prop_map(B256::new)
}

/// Slots of periods from 2 hashes up, with up to 40 records of up to 3 transactions.
fn slot() -> impl Strategy<Value = Slot> {
    let record = (0u64..20, prop::collection::vec(hash(), 1..4));
    (hash(), 2u64..30, 1u64..20, prop::collection::vec(record, 0..40))
        .prop_map(|(start, period, ticks, records)| Slot::record(start, period, ticks, &records))
}
