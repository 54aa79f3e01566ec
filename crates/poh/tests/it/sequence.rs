//! Recording and checking.

use alloy_primitives::{Address, B256, Bytes, keccak256};
use anfs_poh::{
    HashClock, Kernel, Link, LinkCost, LinkError, check_links, check_links_with, entries_root, link_of,
    link_with_hashes, mixin,
};
use anfs_primitives::{BoundedVec, Entry, SequencedTransaction};
use proptest::prelude::*;
use proptest::sample::Index;
use sha2::{Digest, Sha256};

use crate::{Slot, slot};

fn sha256(parts: &[B256]) -> B256 {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    B256::new(hasher.finalize().into())
}

/// The definition of a link, word for word.
fn reference(before: B256, link: &Link) -> B256 {
    let plain = link.num_hashes - u64::from(link.mixin.is_some());
    let reached = (0..plain).fold(before, |hash, _| sha256(&[hash]));
    link.mixin.map_or(reached, |mixin| sha256(&[reached, mixin]))
}

fn entry(num_hashes: u64, hash: B256, transactions: &[&'static [u8]]) -> Entry {
    let transactions: Vec<SequencedTransaction> = transactions
        .iter()
        .map(|bytes| SequencedTransaction { encoded: Bytes::from_static(bytes), sender: Address::ZERO })
        .collect();
    Entry { num_hashes, hash, transactions: BoundedVec::try_from(transactions).expect("a few") }
}

proptest! {
    #[test]
    fn whatever_is_recorded_checks(slot in slot()) {
        for (index, link) in slot.links.iter().enumerate() {
            prop_assert_eq!(reference(slot.before(index), link), link.hash);
        }
        for kernel in Kernel::ALL {
            prop_assert_eq!(check_links_with(kernel, slot.start, &slot.links), Ok(()));
        }
        prop_assert_eq!(check_links(slot.start, &slot.links), Ok(()));
        prop_assert_eq!(slot.links.iter().map(|link| link.num_hashes).sum::<u64>(), slot.hashes);
        let ticks = slot.links.iter().filter(|link| link.mixin.is_none()).count();
        prop_assert_eq!(ticks as u64, slot.ticks);
        prop_assert_eq!(slot.links.last().map(|link| link.hash), Some(slot.end));
    }

    #[test]
    fn a_flipped_bit_of_a_hash_is_found(slot in slot(), at in any::<Index>(), bit in 0usize..256) {
        let mut links = slot.links.clone();
        let at = at.index(links.len());
        links[at].hash.0[bit / 8] ^= 1 << (bit % 8);
        for kernel in Kernel::ALL {
            prop_assert_eq!(check_links_with(kernel, slot.start, &links), Err(at));
        }
    }

    #[test]
    fn a_flipped_bit_of_the_start_is_found(slot in slot(), bit in 0usize..256) {
        let mut start = slot.start;
        start.0[bit / 8] ^= 1 << (bit % 8);
        for kernel in Kernel::ALL {
            prop_assert_eq!(check_links_with(kernel, start, &slot.links), Err(0));
        }
    }

    #[test]
    fn a_flipped_bit_of_a_mixin_is_found(slot in slot(), at in any::<Index>(), bit in 0usize..256) {
        let mut links = slot.links.clone();
        let at = at.index(links.len());
        // A tick that claims a record is as wrong as a record of something else.
        links[at].mixin.get_or_insert(B256::ZERO).0[bit / 8] ^= 1 << (bit % 8);
        for kernel in Kernel::ALL {
            prop_assert_eq!(check_links_with(kernel, slot.start, &links), Err(at));
        }
    }

    #[test]
    fn a_dropped_mixin_is_found(slot in slot(), at in any::<Index>()) {
        let mut links = slot.links.clone();
        let at = at.index(links.len());
        prop_assume!(links[at].mixin.take().is_some());
        prop_assert_eq!(check_links(slot.start, &links), Err(at));
    }

    // Higher bits ask for more hashes than a test should do: `check_shape` refuses them before.
    #[test]
    fn a_flipped_bit_of_a_count_is_found(slot in slot(), at in any::<Index>(), bit in 0u32..12) {
        let mut links = slot.links.clone();
        let at = at.index(links.len());
        links[at].num_hashes ^= 1 << bit;
        for kernel in Kernel::ALL {
            prop_assert_eq!(check_links_with(kernel, slot.start, &links), Err(at));
        }
    }

    #[test]
    fn the_first_of_several_faults_is_named(
        slot in slot(), first in any::<Index>(), second in any::<Index>(), empty in any::<Index>(),
    ) {
        let mut links = slot.links.clone();
        let at = [&first, &second, &empty].map(|index| index.index(slot.links.len()));
        links[at[2]].num_hashes = 0;
        for index in [at[0], at[1]] {
            links[index].hash.0[0] ^= 1;
        }
        // Flipping one link twice leaves it as it was.
        let flips = if at[0] == at[1] { [at[2], at[2]] } else { [at[0], at[1]] };
        let expected = flips.into_iter().chain([at[2]]).min().expect("three");
        for kernel in Kernel::ALL {
            prop_assert_eq!(check_links_with(kernel, slot.start, &links), Err(expected));
        }
    }

    #[test]
    fn any_run_of_links_checks_alone(slot in slot(), from in any::<Index>(), to in any::<Index>()) {
        let (from, to) = (from.index(slot.links.len() + 1), to.index(slot.links.len() + 1));
        let (from, to) = (from.min(to), from.max(to));
        prop_assert_eq!(check_links(slot.before(from), &slot.links[from..to]), Ok(()));
    }

    #[test]
    fn the_way_there_does_not_matter(period in 2u64..50, ticks in 1u64..8, stops in prop::collection::vec(0u64..400, 0..9)) {
        let start = B256::repeat_byte(3);
        let mut straight = HashClock::new(start, period * ticks, ticks);
        let expected = straight.finish();
        let mut halting = HashClock::new(start, period * ticks, ticks);
        let mut links = Vec::new();
        for stop in stops {
            links.extend(halting.tick_to(stop));
        }
        links.extend(halting.finish());
        prop_assert_eq!(links, expected);
        prop_assert_eq!(halting.hash(), straight.hash());
        prop_assert_eq!((halting.position(), halting.remaining()), (period * ticks, 0));
    }
}

#[test]
fn a_tick_period_ends_without_a_record() {
    let mut clock = HashClock::new(B256::ZERO, 8, 2);
    assert!(clock.tick_to(3).is_empty());
    assert_eq!(clock.record(B256::ZERO), None, "step 4 is a tick");
    assert_eq!(clock.tick_to(4).len(), 1);
    let link = clock.record(B256::ZERO).expect("step 5 may record");
    assert_eq!((link.num_hashes, clock.position()), (1, 5));
    assert_eq!(clock.finish().len(), 1);
    assert_eq!(clock.record(B256::ZERO), None, "the slot is full");
    assert!(clock.tick_to(u64::MAX).is_empty());
}

#[test]
fn no_links_are_no_fault() {
    for kernel in Kernel::ALL {
        assert_eq!(check_links_with(kernel, B256::ZERO, &[]), Ok(()));
    }
}

#[test]
fn the_clock_is_pinned() {
    // SHA-256 of 32 zero bytes, and of that hash followed by 32 zero bytes.
    let mut clock = HashClock::new(B256::ZERO, 4, 1);
    let ticks = clock.tick_to(1);
    assert!(ticks.is_empty());
    assert_eq!(
        clock.hash().to_string(),
        "0x66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925"
    );
    let link = clock.record(B256::ZERO).expect("no tick here");
    assert_eq!(link.hash, sha256(&[sha256(&[B256::ZERO]), B256::ZERO]));
}

#[test]
fn links_come_from_entries() {
    let recorded = entry(5, B256::repeat_byte(1), &[b"one", b"two"]);
    let hashes = [keccak256(b"one"), keccak256(b"two")];
    let link = link_of(&recorded).expect("five hashes");
    assert_eq!(link, Link { num_hashes: 5, hash: recorded.hash, mixin: Some(mixin(&hashes)) });
    assert_eq!(link_with_hashes(&recorded, &hashes), Ok(link));
    let wrong = LinkError::HashCount { hashes: 1, transactions: 2 };
    assert_eq!(link_with_hashes(&recorded, &hashes[..1]), Err(wrong));
    assert_eq!(LinkCost::from(&recorded), LinkCost::of_link(&link, 2));

    let tick = entry(9, B256::ZERO, &[]);
    assert_eq!(link_of(&tick).map(|link| link.mixin), Ok(None));
    assert_eq!(link_of(&entry(0, B256::ZERO, &[])), Err(LinkError::NoHashes));
}

#[test]
fn the_entries_root_covers_every_field() {
    let entries = [entry(5, B256::ZERO, &[b"one"]), entry(3, B256::ZERO, &[])];
    let root = entries_root(&entries);
    let mut roots = vec![root, entries_root(&entries[..1]), entries_root(&[])];
    let changes: [fn(&mut [Entry; 2]); 5] = [
        |entries| entries[1].num_hashes += 1,
        |entries| entries[1].hash.0[31] ^= 1,
        |entries| entries[1] = entry(3, B256::ZERO, &[b""]),
        |entries| entries[0] = entry(5, B256::ZERO, &[b"onf"]),
        |entries| entries.swap(0, 1),
    ];
    for change in changes {
        let mut changed = entries.clone();
        change(&mut changed);
        roots.push(entries_root(&changed));
    }
    roots.sort();
    roots.dedup();
    assert_eq!(roots.len(), 8, "eight sequences, eight roots");
}

#[test]
fn a_slot_of_one_long_link_checks() {
    let slot = Slot::record(B256::repeat_byte(9), 5_000, 1, &[]);
    assert_eq!(slot.links.len(), 1);
    for kernel in Kernel::ALL {
        assert_eq!(check_links_with(kernel, slot.start, &slot.links), Ok(()));
    }
}
