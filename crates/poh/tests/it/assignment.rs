//! Who checks what.

use alloy_primitives::B256;
use anfs_poh::{assign_slices, slices_of};
use anfs_primitives::SignerSet;
use proptest::prelude::*;

use crate::hash;

proptest! {
    #[test]
    fn every_slice_and_every_verifier_has_exactly_r(
        block in hash(), seed in hash(), n in 1usize..=64, r in 1usize..=64,
    ) {
        let r = r.min(n);
        let assignment = assign_slices(&block, &seed, n, r);
        prop_assert_eq!(assignment.len(), n);
        prop_assert!(assignment.iter().all(|checkers| checkers.len() == r && checkers.max() < Some(n)));
        for verifier in 0..n {
            let slices = slices_of(&assignment, verifier);
            prop_assert_eq!(slices.len(), r);
            prop_assert!(slices.iter().all(|slice| assignment[slice].contains(verifier)));
        }
        prop_assert_eq!(assign_slices(&block, &seed, n, r), assignment);
    }

    #[test]
    fn both_inputs_matter(block in hash(), seed in hash(), bit in 0usize..256) {
        let drawn = assign_slices(&block, &seed, 64, 1);
        let (mut other_block, mut other_seed) = (block, seed);
        other_block.0[bit / 8] ^= 1 << (bit % 8);
        other_seed.0[bit / 8] ^= 1 << (bit % 8);
        prop_assert_ne!(&assign_slices(&other_block, &seed, 64, 1), &drawn);
        prop_assert_ne!(&assign_slices(&block, &other_seed, 64, 1), &drawn);
    }
}

#[test]
fn no_order_is_favoured() {
    // 6 orders of 3 verifiers over 6000 blocks: 1000 each on average, standard deviation 29. The draws are fixed by
    // the inputs, so this either always holds or never.
    let mut counts = std::collections::BTreeMap::<Vec<usize>, u32>::new();
    for block in 0..6000u64 {
        let mut hash = B256::ZERO;
        hash.0[..8].copy_from_slice(&block.to_le_bytes());
        let order = assign_slices(&hash, &B256::ZERO, 3, 1);
        *counts.entry(order.into_iter().filter_map(SignerSet::max).collect()).or_default() += 1;
    }
    assert_eq!(counts.len(), 6);
    assert!(counts.values().all(|count| (880..1120).contains(count)), "{counts:?}");
}

#[test]
fn the_draw_is_pinned() {
    let assignment = assign_slices(&B256::repeat_byte(1), &B256::repeat_byte(2), 10, 4);
    let checkers: Vec<Vec<usize>> = assignment.iter().map(|set| set.iter().collect()).collect();
    let order = reference_order(B256::repeat_byte(1), B256::repeat_byte(2), 10);
    for (slice, checkers) in checkers.iter().enumerate() {
        let mut expected: Vec<usize> = (slice..slice + 4).map(|place| order[place % 10]).collect();
        expected.sort_unstable();
        assert_eq!(checkers, &expected);
    }
}

/// The draw by its description, with wide arithmetic instead of wrapping: no draw is passed over here, since
/// for so small a bound fewer than one in 10^17 is.
fn reference_order(block: B256, epoch_seed: B256, n: usize) -> Vec<usize> {
    use sha2::{Digest, Sha256};
    let seed = Sha256::digest([b"anfs/slice-shuffle/v1".as_slice(), &block.0, &epoch_seed.0].concat());
    let mut stream = (0u64..).flat_map(|counter| {
        let digest = Sha256::digest([seed.as_slice(), &counter.to_le_bytes()].concat());
        let draws: Vec<u64> =
            digest.chunks(8).map(|draw| u64::from_le_bytes(draw.try_into().expect("eight bytes"))).collect();
        draws
    });
    let mut order: Vec<usize> = (0..n).collect();
    for last in (1..n).rev() {
        let draw = stream.next().expect("endless") % (last as u64 + 1);
        order.swap(last, usize::try_from(draw).expect("small"));
    }
    order
}

#[test]
#[should_panic(expected = "cannot be drawn")]
fn more_checkers_than_verifiers_cannot_be_drawn() {
    let _ = assign_slices(&B256::ZERO, &B256::ZERO, 4, 5);
}
