//! Who checks which slice.

use alloy_primitives::B256;
use anfs_crypto::tags;
use anfs_primitives::header::VERIFIERS_MAX;
use anfs_primitives::{BlockHash, SignerSet};
use sha2::{Digest, Sha256};

/// For each of the `n_v` slices of a block, the `r` verifiers who check it on the fast path.
///
/// The verifiers are put in an order drawn from `SHA-256(tag ‖ block hash ‖ epoch seed)`; slice i goes to the `r` from
/// place i on, round and round. So every verifier has exactly `r` slices, and whoever builds the
/// block cannot know whose they are before it is complete.
///
/// spec: PROTOCOL §4 R1
///
/// # Panics
/// Unless `1 <= r <= n_v <= VERIFIERS_MAX`, which a validated chain spec ensures.
#[must_use]
pub fn assign_slices(block: &BlockHash, epoch_seed: &B256, n_v: usize, r: usize) -> Vec<SignerSet> {
    assert!(
        (1..=n_v).contains(&r) && n_v <= VERIFIERS_MAX,
        "{r} checkers for each of {n_v} slices cannot be drawn"
    );
    let order = Stream::new(block, epoch_seed).shuffle(n_v);
    (0..n_v).map(|slice| order.iter().cycle().skip(slice).take(r).copied().collect()).collect()
}

/// The slices that one verifier checks, out of what [`assign_slices`] gave, as a set of slice indices.
#[must_use]
pub fn slices_of(assignment: &[SignerSet], verifier: usize) -> SignerSet {
    (0..assignment.len()).filter(|&slice| assignment[slice].contains(verifier)).collect()
}

/// Public randomness: block i of the stream is `SHA-256(seed ‖ i)`, i in 8 bytes, little end first.
struct Stream {
    seed: B256,
    counter: u64,
    /// Draws left in the present block, last one first.
    draws: Vec<u64>,
}

impl Stream {
    fn new(block: &BlockHash, epoch_seed: &B256) -> Self {
        let seed = tags::SLICE_SHUFFLE.sha256(&[block.as_slice(), epoch_seed.as_slice()]);
        Self { seed, counter: 0, draws: Vec::new() }
    }

    fn next(&mut self) -> u64 {
        if let Some(draw) = self.draws.pop() {
            return draw;
        }
        let block: [u8; 32] =
            Sha256::new().chain_update(self.seed).chain_update(self.counter.to_le_bytes()).finalize().into();
        self.counter += 1;
        let (words, _) = block.as_chunks::<8>();
        self.draws.extend(words.iter().rev().map(|word| u64::from_le_bytes(*word)));
        self.draws.pop().expect("a block holds four draws")
    }

    /// A number below `bound`, each equally likely: draws from the incomplete last run of `bound` are passed over.
    fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).expect("bound is at most VERIFIERS_MAX");
        let incomplete = (u64::MAX % bound + 1) % bound;
        loop {
            let draw = self.next();
            if draw <= u64::MAX - incomplete {
                return usize::try_from(draw % bound).expect("below VERIFIERS_MAX");
            }
        }
    }

    /// Fisher–Yates from the back.
    fn shuffle(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        for last in (1..n).rev() {
            order.swap(last, self.below(last + 1));
        }
        order
    }
}
