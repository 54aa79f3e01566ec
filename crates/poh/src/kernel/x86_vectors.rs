//! The vectors of AVX2 (8 lanes) and AVX-512 (16 lanes).
//!
//! The AVX-512 code as the release profile compiles it was run on an emulated processor (Bochs), with SHA extensions
//! and without: every vector instruction of its loops, on random sequences of 1 to 150 links and on forgeries of
//! them, against an independent SHA-256. With one bit of any of thirty instructions changed, it failed the trial of
//! [`crate::Selection`].
#![allow(unsafe_code)] // The intrinsics; nothing unsafe leaves this module.

use core::arch::x86_64::{
    __m256i, __m512i, _mm256_add_epi32, _mm256_and_si256, _mm256_loadu_si256, _mm256_or_si256,
    _mm256_set1_epi32, _mm256_sllv_epi32, _mm256_srlv_epi32, _mm256_storeu_si256, _mm256_xor_si256,
    _mm512_add_epi32, _mm512_loadu_si512, _mm512_ror_epi32, _mm512_set1_epi32, _mm512_srli_epi32,
    _mm512_storeu_si512, _mm512_ternarylogic_epi32,
};

use super::Words;
use super::lanes::Width;
use super::vector::{self, Pair, Vector};

/// One vector at a time: the state of two would take all sixteen registers.
pub(super) const AVX2_WIDTHS: [Width; 1] = [Width { lanes: 8, advance: avx2_advance, mix: avx2_mix }];

/// Two interleaved vectors of 16 lanes, and one.
pub(super) const AVX512_WIDTHS: [Width; 2] = [
    Width { lanes: 32, advance: avx512x2_advance, mix: avx512x2_mix },
    Width { lanes: 16, advance: avx512_advance, mix: avx512_mix },
];

/// Whether this machine has AVX2.
pub(super) fn avx2_is_supported() -> bool {
    is_x86_feature_detected!("avx2")
}

/// Whether this machine has the AVX-512 foundation.
pub(super) fn avx512_is_supported() -> bool {
    is_x86_feature_detected!("avx512f")
}

/// A safe pair of functions that run the lane code with the instructions enabled.
macro_rules! entry_points {
    ($supported:ident, $feature:literal, $vector:ty, $advance:ident, $mix:ident) => {
        fn $advance(states: &mut [Words], steps: u64) {
            #[target_feature(enable = $feature)]
            fn enabled(states: &mut [Words], steps: u64) {
                // SAFETY: this function runs only where the instructions of the vector exist.
                unsafe { vector::advance::<$vector>(states, steps) }
            }
            assert!($supported(), "vector kernel on a machine without it");
            // SAFETY: the feature was found just now.
            unsafe { enabled(states, steps) }
        }

        fn $mix(states: &mut [Words], mixins: &[Words]) {
            #[target_feature(enable = $feature)]
            fn enabled(states: &mut [Words], mixins: &[Words]) {
                // SAFETY: this function runs only where the instructions of the vector exist.
                unsafe { vector::mix::<$vector>(states, mixins) }
            }
            assert!($supported(), "vector kernel on a machine without it");
            // SAFETY: the feature was found just now.
            unsafe { enabled(states, mixins) }
        }
    };
}

entry_points!(avx2_is_supported, "avx2", Avx2, avx2_advance, avx2_mix);
entry_points!(avx512_is_supported, "avx512f", Avx512, avx512_advance, avx512_mix);
entry_points!(avx512_is_supported, "avx512f", Pair<Avx512>, avx512x2_advance, avx512x2_mix);

#[derive(Clone, Copy)]
struct Avx2(__m256i);

// SAFETY (each block): by the trait's contract the machine has AVX2; loads and stores go to arrays of the vector's
// size and need no alignment.
impl Vector for Avx2 {
    const LANES: usize = 8;

    #[inline(always)]
    unsafe fn splat(word: u32) -> Self {
        unsafe { Self(_mm256_set1_epi32(word.cast_signed())) }
    }
    #[inline(always)]
    unsafe fn gather(states: &[Words], word: usize) -> Self {
        let words: [u32; 8] = core::array::from_fn(|lane| states[lane][word]);
        unsafe { Self(_mm256_loadu_si256((&raw const words).cast())) }
    }
    #[inline(always)]
    unsafe fn scatter(self, states: &mut [Words], word: usize) {
        let mut words = [0; 8];
        unsafe { _mm256_storeu_si256((&raw mut words).cast(), self.0) }
        for (state, value) in states.iter_mut().zip(words) {
            state[word] = value;
        }
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        unsafe { Self(_mm256_add_epi32(self.0, other.0)) }
    }
    #[inline(always)]
    unsafe fn rotate<const BITS: i32>(self) -> Self {
        // Counts in vectors, since no const argument can be computed from BITS; the compiler makes them immediate.
        unsafe {
            let right = _mm256_srlv_epi32(self.0, _mm256_set1_epi32(BITS));
            let left = _mm256_sllv_epi32(self.0, _mm256_set1_epi32(32 - BITS));
            Self(_mm256_or_si256(right, left))
        }
    }
    #[inline(always)]
    unsafe fn shift<const BITS: u32>(self) -> Self {
        unsafe { Self(_mm256_srlv_epi32(self.0, _mm256_set1_epi32(BITS.cast_signed()))) }
    }
    #[inline(always)]
    unsafe fn xor3(self, b: Self, c: Self) -> Self {
        unsafe { Self(_mm256_xor_si256(_mm256_xor_si256(self.0, b.0), c.0)) }
    }
    #[inline(always)]
    unsafe fn choose(self, b: Self, c: Self) -> Self {
        unsafe {
            let differing = _mm256_and_si256(self.0, _mm256_xor_si256(b.0, c.0));
            Self(_mm256_xor_si256(differing, c.0))
        }
    }
    #[inline(always)]
    unsafe fn majority(self, b: Self, c: Self) -> Self {
        unsafe {
            let either = _mm256_and_si256(self.0, _mm256_or_si256(b.0, c.0));
            Self(_mm256_or_si256(either, _mm256_and_si256(b.0, c.0)))
        }
    }
}

#[derive(Clone, Copy)]
struct Avx512(__m512i);

// SAFETY (each block): by the trait's contract the machine has AVX-512F; loads and stores go to arrays of the vector's
// size and need no alignment.
impl Vector for Avx512 {
    const LANES: usize = 16;

    #[inline(always)]
    unsafe fn splat(word: u32) -> Self {
        unsafe { Self(_mm512_set1_epi32(word.cast_signed())) }
    }
    #[inline(always)]
    unsafe fn gather(states: &[Words], word: usize) -> Self {
        let words: [u32; 16] = core::array::from_fn(|lane| states[lane][word]);
        unsafe { Self(_mm512_loadu_si512((&raw const words).cast())) }
    }
    #[inline(always)]
    unsafe fn scatter(self, states: &mut [Words], word: usize) {
        let mut words = [0; 16];
        unsafe { _mm512_storeu_si512((&raw mut words).cast(), self.0) }
        for (state, value) in states.iter_mut().zip(words) {
            state[word] = value;
        }
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        unsafe { Self(_mm512_add_epi32(self.0, other.0)) }
    }
    #[inline(always)]
    unsafe fn rotate<const BITS: i32>(self) -> Self {
        unsafe { Self(_mm512_ror_epi32::<BITS>(self.0)) }
    }
    #[inline(always)]
    unsafe fn shift<const BITS: u32>(self) -> Self {
        unsafe { Self(_mm512_srli_epi32::<BITS>(self.0)) }
    }
    #[inline(always)]
    unsafe fn xor3(self, b: Self, c: Self) -> Self {
        unsafe { Self(_mm512_ternarylogic_epi32::<XOR3>(self.0, b.0, c.0)) }
    }
    #[inline(always)]
    unsafe fn choose(self, b: Self, c: Self) -> Self {
        unsafe { Self(_mm512_ternarylogic_epi32::<CHOOSE>(self.0, b.0, c.0)) }
    }
    #[inline(always)]
    unsafe fn majority(self, b: Self, c: Self) -> Self {
        unsafe { Self(_mm512_ternarylogic_epi32::<MAJORITY>(self.0, b.0, c.0)) }
    }
}

/// Columns of the truth table of three bits, as `vpternlogd` counts them: bit `4a + 2b + c` is the row (a, b, c). A
/// function applied to the columns gives its own table.
const A: i32 = 0b1111_0000;
const B: i32 = 0b1100_1100;
const C: i32 = 0b1010_1010;
const XOR3: i32 = A ^ B ^ C;
const CHOOSE: i32 = (A & B) | (!A & C);
const MAJORITY: i32 = (A & B) | (A & C) | (B & C);

#[cfg(test)]
mod tests {
    use super::*;

    /// What `vpternlogd` does with a table, for each row.
    fn row(table: i32, a: bool, b: bool, c: bool) -> bool {
        table >> (4 * i32::from(a) + 2 * i32::from(b) + i32::from(c)) & 1 == 1
    }

    #[test]
    fn the_tables_are_the_functions() {
        for bits in 0..8 {
            let (a, b, c) = (bits & 4 != 0, bits & 2 != 0, bits & 1 != 0);
            assert_eq!(row(XOR3, a, b, c), a ^ b ^ c);
            assert_eq!(row(CHOOSE, a, b, c), if a { b } else { c });
            assert_eq!(row(MAJORITY, a, b, c), [a, b, c].iter().filter(|bit| **bit).count() > 1);
        }
        assert!([XOR3, CHOOSE, MAJORITY].iter().all(|table| (0..256).contains(table)));
    }
}
