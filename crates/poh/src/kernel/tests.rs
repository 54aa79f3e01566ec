use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::lanes::Width;
use super::rounds::{K, RECORD_PADDING_ROUNDS};
use super::vector::{self, Pair, Vector};
use super::*;

/// A vector that every machine has: the lane code runs on it where its instructions are missing.
#[derive(Clone, Copy)]
struct Array([u32; 4]);

impl Array {
    fn each(self, b: Self, c: Self, function: impl Fn(u32, u32, u32) -> u32) -> Self {
        Self(std::array::from_fn(|lane| function(self.0[lane], b.0[lane], c.0[lane])))
    }
}

#[allow(unsafe_code)] // The trait's methods are unsafe to call; these need no instruction of their own.
impl Vector for Array {
    const LANES: usize = 4;
    unsafe fn splat(word: u32) -> Self {
        Self([word; 4])
    }
    unsafe fn gather(states: &[Words], word: usize) -> Self {
        Self(std::array::from_fn(|lane| states[lane][word]))
    }
    unsafe fn scatter(self, states: &mut [Words], word: usize) {
        for (state, value) in states.iter_mut().zip(self.0) {
            state[word] = value;
        }
    }
    unsafe fn add(self, other: Self) -> Self {
        self.each(other, other, |a, b, _| a.wrapping_add(b))
    }
    unsafe fn rotate<const BITS: i32>(self) -> Self {
        self.each(self, self, |a, _, _| a.rotate_right(BITS.unsigned_abs()))
    }
    unsafe fn shift<const BITS: u32>(self) -> Self {
        self.each(self, self, |a, _, _| a >> BITS)
    }
    unsafe fn xor3(self, b: Self, c: Self) -> Self {
        self.each(b, c, |a, b, c| a ^ b ^ c)
    }
    unsafe fn choose(self, b: Self, c: Self) -> Self {
        self.each(b, c, |a, b, c| (a & b) | (!a & c))
    }
    unsafe fn majority(self, b: Self, c: Self) -> Self {
        self.each(b, c, |a, b, c| (a & b) | (a & c) | (b & c))
    }
}

#[allow(unsafe_code)]
fn array_width<V: Vector>() -> Width {
    // SAFETY (all four): an array needs no instructions.
    Width {
        lanes: V::LANES,
        advance: |states, steps| unsafe { vector::advance::<V>(states, steps) },
        mix: |states, mixins| unsafe { vector::mix::<V>(states, mixins) },
    }
}

/// Every kernel of every width that this machine can run, and the lane code on arrays.
fn all_widths() -> Vec<Width> {
    let mut widths: Vec<Width> = Kernel::ALL.into_iter().flat_map(Kernel::widths).collect();
    widths.extend([array_width::<Array>(), array_width::<Pair<Array>>()]);
    widths
}

fn digest(parts: &[&B256]) -> B256 {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    B256::new(hasher.finalize().into())
}

fn walked(state: &Words, steps: u64) -> Words {
    to_words(&(0..steps).fold(to_hash(state), |hash, _| digest(&[&hash])))
}

fn lanes() -> impl Strategy<Value = (Vec<Words>, Vec<Words>)> {
    let words = || proptest::collection::vec(any::<Words>(), lanes::LANES_MAX);
    (words(), words())
}

proptest! {
    #[test]
    fn every_width_steps_as_the_reference((states, mixins) in lanes(), steps in 0u64..5) {
        let expected: Vec<Words> = states.iter().map(|state| walked(state, steps)).collect();
        let mixed: Vec<Words> = (states.iter().zip(&mixins))
            .map(|(state, mixin)| to_words(&digest(&[&to_hash(state), &to_hash(mixin)])))
            .collect();
        for width in all_widths() {
            let mut advanced = states[..width.lanes].to_vec();
            (width.advance)(&mut advanced, steps);
            prop_assert_eq!(&advanced, &expected[..width.lanes]);
            let mut recorded = states[..width.lanes].to_vec();
            (width.mix)(&mut recorded, &mixins[..width.lanes]);
            prop_assert_eq!(&recorded, &mixed[..width.lanes]);
        }
    }

    #[test]
    fn stretches_of_any_length_share_the_lanes(
        stretches in proptest::collection::vec((any::<Words>(), 0u64..40), 0..100),
    ) {
        let (states, steps): (Vec<Words>, Vec<u64>) = stretches.into_iter().unzip();
        let expected: Vec<Words> =
            states.iter().zip(&steps).map(|(state, steps)| walked(state, *steps)).collect();
        for kernel in Kernel::ALL {
            let mut reached = states.clone();
            chains(&kernel.widths(), &mut reached, &steps);
            prop_assert_eq!(&reached, &expected);
        }
    }

    #[test]
    fn records_share_the_lanes(
        records in proptest::collection::vec((any::<Words>(), proptest::option::of(any::<Words>())), 0..80),
    ) {
        let states: Vec<Words> = records.iter().map(|record| record.0).collect();
        let mixins: Vec<(usize, Words)> =
            records.iter().enumerate().filter_map(|(index, record)| Some((index, record.1?))).collect();
        let expected: Vec<Words> = (records.iter())
            .map(|(state, mixin)| mixin.map_or(*state, |mixin| portable::mix(state, &mixin)))
            .collect();
        for kernel in Kernel::ALL {
            let mut reached = states.clone();
            mixes(&kernel.widths(), &mut reached, &mixins);
            prop_assert_eq!(&reached, &expected);
        }
    }

    #[test]
    fn one_chain_alone_is_the_same(state in any::<Words>(), mixin in any::<Words>(), steps in 0u64..50) {
        for kernel in Kernel::ALL {
            let (mut walking, mut recording) = ([state], [state]);
            (kernel.sequential().advance)(&mut walking, steps);
            prop_assert_eq!(walking, [walked(&state, steps)]);
            (kernel.sequential().mix)(&mut recording, &[mixin]);
            prop_assert_eq!(recording, [portable::mix(&state, &mixin)]);
        }
    }

    #[test]
    fn words_and_hashes_convert(bytes in any::<[u8; 32]>()) {
        prop_assert_eq!(to_hash(&to_words(&B256::new(bytes))), B256::new(bytes));
    }
}

#[test]
fn widths_run_from_the_widest_down_to_one() {
    for kernel in Kernel::ALL {
        let lanes: Vec<usize> = kernel.widths().iter().map(|width| width.lanes).collect();
        assert!(lanes.is_sorted_by(|wide, narrow| wide > narrow), "{kernel:?}: {lanes:?}");
        assert_eq!(lanes.last(), Some(&1), "{kernel:?}");
        assert!(lanes[0] <= lanes::LANES_MAX, "{kernel:?}");
    }
    assert!(Kernel::Portable.is_supported() && Kernel::detect().is_supported());
}

#[test]
fn the_padding_schedule_is_the_standards() {
    // The last schedule word of the padding block, by the recurrence written out with u64 sums.
    let mut w: Vec<u32> = super::constants::RECORD_PADDING.to_vec();
    for t in 16..64 {
        let (x, y) = (w[t - 15], w[t - 2]);
        let sigma0 = x.rotate_right(7) ^ x.rotate_right(18) ^ (x >> 3);
        let sigma1 = y.rotate_right(17) ^ y.rotate_right(19) ^ (y >> 10);
        w.push(sigma1.wrapping_add(w[t - 7]).wrapping_add(sigma0).wrapping_add(w[t - 16]));
    }
    let rounds: Vec<u32> = w.iter().zip(K).map(|(word, constant)| word.wrapping_add(constant)).collect();
    assert_eq!(rounds, RECORD_PADDING_ROUNDS);
}
