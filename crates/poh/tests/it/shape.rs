//! The form of a slot.

use alloy_primitives::B256;
use anfs_poh::{HashClock, LinkCost, SIGNATURE_WEIGHT, boundaries, check_links, check_shape};
use anfs_primitives::Fault;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::{Slot, slot};

const BAD: Result<(), Fault> = Err(Fault::Shape);

fn cost(links: &[LinkCost]) -> u64 {
    links.iter().map(|link| link.num_hashes + SIGNATURE_WEIGHT * u64::from(link.transactions)).sum()
}

proptest! {
    #[test]
    fn slices_partition_the_slot_and_check_alone(slot in slot(), n in 1usize..12) {
        let cuts = slot.cuts(n);
        prop_assert_eq!(slot.check_shape(&cuts, n), Ok(()));
        prop_assert_eq!(cuts.len(), n + 1);
        prop_assert_eq!((cuts[0].entry, cuts[0].hash), (0, slot.start));
        prop_assert_eq!((cuts[n].entry as usize, cuts[n].hash), (slot.links.len(), slot.end));
        let even = cost(&slot.costs) / n as u64;
        let dearest = slot.costs.iter().map(|link| cost(&[*link])).max().unwrap_or(0);
        for pair in cuts.windows(2) {
            let (from, to) = (pair[0].entry as usize, pair[1].entry as usize);
            prop_assert!(from <= to);
            prop_assert_eq!(check_links(pair[0].hash, &slot.links[from..to]), Ok(()));
            prop_assert_eq!(slot.before(to), pair[1].hash);
            prop_assert!(cost(&slot.costs[from..to]) <= even + 1 + dearest);
        }
    }

    #[test]
    fn a_moved_cut_is_refused(slot in slot(), n in 1usize..12, at in any::<Index>(), bit in 0usize..256) {
        let cuts = slot.cuts(n);
        let at = at.index(cuts.len());
        let mut moved = cuts.clone();
        moved[at].entry ^= 1 << (bit % 32);
        prop_assert_eq!(slot.check_shape(&moved, n), BAD);
        let mut torn = cuts.clone();
        torn[at].hash.0[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(slot.check_shape(&torn, n), BAD);
        prop_assert_eq!(slot.check_shape(&cuts[1..], n), BAD);
        prop_assert_eq!(slot.check_shape(&cuts, n + 1), BAD);
    }

    #[test]
    fn another_count_is_refused(slot in slot(), at in any::<Index>(), change in 1u64..) {
        let mut changed = slot.clone();
        let link = &mut changed.costs[at.index(slot.links.len())];
        link.num_hashes = link.num_hashes.wrapping_add(change);
        prop_assert_eq!(changed.check_shape(&slot.cuts(1), 1), BAD);
    }

    #[test]
    fn a_missing_link_is_refused(slot in slot(), at in any::<Index>()) {
        let mut short = slot.clone();
        short.costs.remove(at.index(slot.links.len()));
        prop_assert_eq!(short.check_shape(&short.cuts(1), 1), BAD);
    }

    #[test]
    fn a_tick_that_is_no_tick_is_refused(slot in slot(), at in any::<Index>()) {
        let mut changed = slot.clone();
        let link = &mut changed.costs[at.index(slot.links.len())];
        link.transactions = u32::from(link.transactions == 0);
        prop_assert_eq!(changed.check_shape(&changed.cuts(1), 1), BAD);
    }

    #[test]
    fn another_slot_length_is_refused(slot in slot(), more in 1u64..50) {
        let cuts = slot.cuts(1);
        let check = |hashes, ticks| check_shape(slot.start, slot.end, hashes, ticks, &slot.costs, &cuts, 1);
        prop_assert_eq!(check(slot.hashes + more * slot.hashes / slot.ticks, slot.ticks + more), BAD);
        prop_assert_eq!(check(slot.hashes, slot.ticks + more), BAD);
        prop_assert_eq!(check(slot.hashes + more, slot.ticks), BAD);
    }
}

fn link(num_hashes: u64, transactions: u32) -> LinkCost {
    LinkCost { num_hashes, hash: B256::repeat_byte(1), transactions }
}

fn check(links: &[LinkCost]) -> Result<(), Fault> {
    let cuts = boundaries(B256::ZERO, links, 2);
    check_shape(B256::ZERO, B256::repeat_byte(1), 12, 3, links, &cuts, 2)
}

#[test]
fn each_fault_of_form_is_found() {
    let good = [link(4, 0), link(2, 5), link(2, 0), link(4, 0)];
    assert_eq!(check(&good), Ok(()));
    let cases: [(&str, &[LinkCost]); 10] = [
        ("no links", &[]),
        ("a period too few", &[link(4, 0), link(4, 0)]),
        ("a period too many", &[link(4, 0), link(4, 0), link(4, 0), link(4, 0)]),
        ("a tick missing", &[link(4, 0), link(8, 0)]),
        ("a record across a tick", &[link(4, 0), link(6, 1), link(2, 0)]),
        ("a record in the place of a tick", &[link(4, 1), link(4, 0), link(4, 0)]),
        ("a tick too early", &[link(2, 0), link(2, 0), link(4, 0), link(4, 0)]),
        ("no hashes in a tick", &[link(4, 0), link(0, 0), link(4, 0), link(4, 0)]),
        ("no hashes in a record", &[link(4, 0), link(0, 1), link(4, 0), link(4, 0)]),
        ("a sum beyond 64 bits", &[link(4, 0), link(u64::MAX, 0), link(4, 0)]),
    ];
    for (name, links) in cases {
        assert_eq!(check(links), BAD, "{name}");
    }
}

#[test]
fn the_end_and_the_parameters_must_fit() {
    let links = [link(4, 0), link(4, 0), link(4, 0)];
    let cuts = boundaries(B256::ZERO, &links, 2);
    let check = |end: u8, hashes, ticks, n| {
        check_shape(B256::ZERO, B256::repeat_byte(end), hashes, ticks, &links, &cuts, n)
    };
    assert_eq!(check(1, 12, 3, 2), Ok(()));
    for (end, hashes, ticks, n) in [
        (2, 12, 3, 2),
        (1, 12, 0, 2),
        (1, 13, 3, 2),
        (1, 12, 3, 0),
        (1, 12, 3, 65),
        (1, 0, 3, 2),
        (1, 0, 0, 2),
    ] {
        assert_eq!(check(end, hashes, ticks, n), BAD, "{end} {hashes} {ticks} {n}");
    }
}

#[test]
fn cuts_follow_the_signatures() {
    // One record of many signatures outweighs all the hashing around it.
    let links = [link(100, 0), link(50, 60), link(50, 0), link(100, 0)];
    let entries: Vec<u32> = boundaries(B256::ZERO, &links, 2).iter().map(|cut| cut.entry).collect();
    assert_eq!(entries, [0, 2, 4], "half of 120300 is nearer to 120150 than to 100");
    let halves = [link(1, 0), link(2, 0), link(1, 0)];
    let entries: Vec<u32> = boundaries(B256::ZERO, &halves, 2).iter().map(|cut| cut.entry).collect();
    assert_eq!(entries, [0, 1, 3], "a tie goes to the earlier cut");
    let even = [link(100, 0); 10];
    let entries: Vec<u32> = boundaries(B256::ZERO, &even, 5).iter().map(|cut| cut.entry).collect();
    assert_eq!(entries, [0, 2, 4, 6, 8, 10]);
}

#[test]
fn fewer_links_than_slices_leave_some_empty() {
    let slot = Slot::record(B256::ZERO, 8, 2, &[]);
    let cuts = slot.cuts(7);
    assert_eq!(slot.check_shape(&cuts, 7), Ok(()));
    assert_eq!(cuts.len(), 8);
}

#[test]
#[should_panic(expected = "no whole number")]
fn a_clock_needs_whole_periods() {
    let _ = HashClock::new(B256::ZERO, 10, 3);
}
