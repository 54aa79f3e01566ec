//! The x86 SHA extensions: one chain as fast as the latency of the round instruction lets it, or several
//! interleaved to fill that latency.
//!
//! `sha256rnds2` keeps the state in two registers, written here from the lowest word up: `feba` and `hgdc`. Each
//! use takes the low two words of a third operand, round constant plus schedule word. The path that
//! bounds a chain runs from the last round of one hash into the first of the next, so nothing but one shuffle and one
//! addition stands there: the state is reversed to `abef`, and the initial state's share of the new words is
//! folded into the round constants.
#![allow(unsafe_code)] // The intrinsics; nothing unsafe leaves this module.

use core::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_loadu_si128, _mm_sha256msg1_epu32, _mm_sha256msg2_epu32,
    _mm_sha256rnds2_epu32, _mm_shuffle_epi32, _mm_storeu_si128, _mm_sub_epi32, _mm_unpackhi_epi64,
    _mm_unpacklo_epi64,
};

use super::Words;
use super::constants::{END, IV, LINK_BITS};
use super::lanes::Width;
use super::rounds::{K, RECORD_PADDING_ROUNDS};

/// Four chains, two and one. Two already keep the round instruction's unit busy where it takes a new operation every
/// other cycle; eight spill more registers than they win.
pub(super) const WIDTHS: [Width; 3] = [width::<4>(), width::<2>(), width::<1>()];

const fn width<const L: usize>() -> Width {
    Width { lanes: L, advance: advance::<L>, mix: mixes::<L> }
}

/// Whether this machine has the instructions used here. AVX is wanted for its three-operand forms alone: without
/// them over a quarter of the time goes into copying registers when chains are interleaved.
pub(super) fn is_supported() -> bool {
    is_x86_feature_detected!("sha") && is_x86_feature_detected!("ssse3") && is_x86_feature_detected!("avx")
}

pub(super) fn chain(state: &Words, steps: u64) -> Words {
    let mut states = [*state];
    advance::<1>(&mut states, steps);
    states[0]
}

pub(super) fn mix(state: &Words, mixin: &Words) -> Words {
    let mut states = [*state];
    mixes::<1>(&mut states, &[*mixin]);
    states[0]
}

fn advance<const L: usize>(states: &mut [Words], steps: u64) {
    assert!(is_supported(), "SHA-NI kernel on a machine without it");
    let states = states.first_chunk_mut::<L>().expect("as many chains as the kernel is wide");
    // SAFETY: `is_supported` found the features that the function enables.
    unsafe { advance_sha::<L>(states, steps) }
}

fn mixes<const L: usize>(states: &mut [Words], mixins: &[Words]) {
    assert!(is_supported(), "SHA-NI kernel on a machine without it");
    let states = states.first_chunk_mut::<L>().expect("as many chains as the kernel is wide");
    let mixins = mixins.first_chunk::<L>().expect("a mix-in for each chain");
    // SAFETY: `is_supported` found the features that the function enables.
    unsafe { mix_sha::<L>(states, mixins) }
}

/// Reverses the four words of a register.
const REVERSE: i32 = 0x1b;
/// Brings the two high words of a register low.
const HIGH: i32 = 0x0e;

/// One register for each chain.
type Row<const L: usize> = [__m128i; L];

#[target_feature(enable = "sha,ssse3,avx")]
fn load(words: [u32; 4]) -> __m128i {
    // SAFETY: the array is 16 bytes long, and the load needs no alignment.
    unsafe { _mm_loadu_si128((&raw const words).cast()) }
}

#[target_feature(enable = "sha,ssse3,avx")]
fn store(register: __m128i) -> [u32; 4] {
    let mut words = [0; 4];
    // SAFETY: the array is 16 bytes long, and the store needs no alignment.
    unsafe { _mm_storeu_si128((&raw mut words).cast(), register) }
    words
}

/// The round constants of rounds 4·`quad` to 4·`quad` + 3.
#[target_feature(enable = "sha,ssse3,avx")]
fn round_constants(quad: usize) -> __m128i {
    load([K[4 * quad], K[4 * quad + 1], K[4 * quad + 2], K[4 * quad + 3]])
}

/// Four rounds of every chain.
#[target_feature(enable = "sha,ssse3,avx")]
#[inline]
fn four_rounds<const L: usize>(feba: &mut Row<L>, hgdc: &mut Row<L>, constants: &Row<L>) {
    for lane in 0..L {
        hgdc[lane] = _mm_sha256rnds2_epu32(hgdc[lane], feba[lane], constants[lane]);
    }
    for lane in 0..L {
        let high = _mm_shuffle_epi32::<HIGH>(constants[lane]);
        feba[lane] = _mm_sha256rnds2_epu32(feba[lane], hgdc[lane], high);
    }
}

/// The next four words of each schedule, out of the sixteen before them.
#[target_feature(enable = "sha,ssse3,avx")]
#[inline]
fn schedule<const L: usize>(w0: &Row<L>, w1: &Row<L>, w2: &Row<L>, w3: &Row<L>) -> Row<L> {
    let mut next = *w0;
    for lane in 0..L {
        let far = _mm_sha256msg1_epu32(w0[lane], w1[lane]);
        let near = _mm_alignr_epi8::<4>(w3[lane], w2[lane]);
        next[lane] = _mm_sha256msg2_epu32(_mm_add_epi32(far, near), w3[lane]);
    }
    next
}

#[target_feature(enable = "sha,ssse3,avx")]
#[inline]
fn add<const L: usize>(row: &Row<L>, to_all: __m128i) -> Row<L> {
    let mut sum = *row;
    for register in &mut sum {
        *register = _mm_add_epi32(*register, to_all);
    }
    sum
}

/// Rounds 16 to 63 once the schedule's first sixteen words stand.
#[target_feature(enable = "sha,ssse3,avx")]
#[inline]
fn later_rounds<const L: usize>(feba: &mut Row<L>, hgdc: &mut Row<L>, w: [Row<L>; 4], from_quad: usize) {
    let [mut w0, mut w1, mut w2, mut w3] = w;
    let mut quad = from_quad;
    while quad < 16 {
        let next = schedule(&w0, &w1, &w2, &w3);
        four_rounds(feba, hgdc, &add(&next, round_constants(quad)));
        (w0, w1, w2, w3) = (w1, w2, w3, next);
        quad += 1;
    }
}

#[target_feature(enable = "sha,ssse3,avx")]
fn advance_sha<const L: usize>(states: &mut [Words; L], steps: u64) {
    let iv_abef = load([IV[0], IV[1], IV[4], IV[5]]);
    let iv_cdgh = load([IV[2], IV[3], IV[6], IV[7]]);
    // Words 0, 1, 4, 5 and 2, 3, 6, 7 of the schedule are the state in the order that it has when reversed.
    let first = _mm_add_epi32(iv_abef, load([K[0], K[1], K[4], K[5]]));
    let second = _mm_add_epi32(iv_cdgh, load([K[2], K[3], K[6], K[7]]));
    let start_feba = _mm_shuffle_epi32::<REVERSE>(iv_abef);
    let start_hgdc = _mm_shuffle_epi32::<REVERSE>(iv_cdgh);
    let end = load([END, 0, 0, 0]);
    let bits = load([0, 0, 0, LINK_BITS]);
    let padding_rounds = [
        load([K[8].wrapping_add(END), K[9], K[10], K[11]]),
        load([K[12], K[13], K[14], K[15].wrapping_add(LINK_BITS)]),
    ];

    // Between hashes the state is kept before the initial state is added.
    let mut feba = [start_feba; L];
    let mut hgdc = [start_hgdc; L];
    for lane in 0..L {
        let [a, b, c, d, e, f, g, h] = states[lane];
        feba[lane] = _mm_sub_epi32(load([f, e, b, a]), start_feba);
        hgdc[lane] = _mm_sub_epi32(load([h, g, d, c]), start_hgdc);
    }
    for _ in 0..steps {
        let (mut w0, mut w1, mut abef, mut cdgh) = (feba, feba, feba, feba);
        for lane in 0..L {
            abef[lane] = _mm_shuffle_epi32::<REVERSE>(feba[lane]);
            cdgh[lane] = _mm_shuffle_epi32::<REVERSE>(hgdc[lane]);
            let (ab, cd) = (_mm_add_epi32(abef[lane], iv_abef), _mm_add_epi32(cdgh[lane], iv_cdgh));
            w0[lane] = _mm_unpacklo_epi64(ab, cd);
            w1[lane] = _mm_unpackhi_epi64(ab, cd);
        }
        let (abef, cdgh) = (add(&abef, first), add(&cdgh, second));
        (feba, hgdc) = ([start_feba; L], [start_hgdc; L]);
        for lane in 0..L {
            hgdc[lane] = _mm_sha256rnds2_epu32(hgdc[lane], feba[lane], abef[lane]);
        }
        for lane in 0..L {
            feba[lane] = _mm_sha256rnds2_epu32(feba[lane], hgdc[lane], cdgh[lane]);
        }
        for lane in 0..L {
            let high = _mm_shuffle_epi32::<HIGH>(abef[lane]);
            hgdc[lane] = _mm_sha256rnds2_epu32(hgdc[lane], feba[lane], high);
        }
        for lane in 0..L {
            let high = _mm_shuffle_epi32::<HIGH>(cdgh[lane]);
            feba[lane] = _mm_sha256rnds2_epu32(feba[lane], hgdc[lane], high);
        }
        four_rounds(&mut feba, &mut hgdc, &[padding_rounds[0]; L]);
        four_rounds(&mut feba, &mut hgdc, &[padding_rounds[1]; L]);
        let w4 = link_schedule_16(&w0, &w1, bits);
        four_rounds(&mut feba, &mut hgdc, &add(&w4, round_constants(4)));
        let w5 = schedule(&w1, &[end; L], &[bits; L], &w4);
        four_rounds(&mut feba, &mut hgdc, &add(&w5, round_constants(5)));
        let w6 = link_schedule_24(end, &w4, &w5);
        four_rounds(&mut feba, &mut hgdc, &add(&w6, round_constants(6)));
        let w7 = schedule(&[bits; L], &w4, &w5, &w6);
        four_rounds(&mut feba, &mut hgdc, &add(&w7, round_constants(7)));
        later_rounds(&mut feba, &mut hgdc, [w4, w5, w6, w7], 8);
    }
    for lane in 0..L {
        states[lane] = words(_mm_add_epi32(feba[lane], start_feba), _mm_add_epi32(hgdc[lane], start_hgdc));
    }
}

/// Words 16 to 19 of a link's schedule: words 9 to 12 are zero.
#[target_feature(enable = "sha,ssse3,avx")]
#[inline]
fn link_schedule_16<const L: usize>(w0: &Row<L>, w1: &Row<L>, bits: __m128i) -> Row<L> {
    let mut next = *w0;
    for lane in 0..L {
        next[lane] = _mm_sha256msg2_epu32(_mm_sha256msg1_epu32(w0[lane], w1[lane]), bits);
    }
    next
}

/// Words 24 to 27 of a link's schedule: words 9 to 12 are zero, so word 8 comes through as it is.
#[target_feature(enable = "sha,ssse3,avx")]
#[inline]
fn link_schedule_24<const L: usize>(end: __m128i, w4: &Row<L>, w5: &Row<L>) -> Row<L> {
    let mut next = *w4;
    for lane in 0..L {
        let near = _mm_alignr_epi8::<4>(w5[lane], w4[lane]);
        next[lane] = _mm_sha256msg2_epu32(_mm_add_epi32(near, end), w5[lane]);
    }
    next
}

#[target_feature(enable = "sha,ssse3,avx")]
fn mix_sha<const L: usize>(states: &mut [Words; L], mixins: &[Words; L]) {
    let start_feba = load([IV[5], IV[4], IV[1], IV[0]]);
    let start_hgdc = load([IV[7], IV[6], IV[3], IV[2]]);
    let mut w = [[start_feba; L]; 4];
    for lane in 0..L {
        let ([a, b, c, d, e, f, g, h], [i, j, k, l, m, n, o, p]) = (states[lane], mixins[lane]);
        let quads = [[a, b, c, d], [e, f, g, h], [i, j, k, l], [m, n, o, p]];
        for (row, quad) in w.iter_mut().zip(quads) {
            row[lane] = load(quad);
        }
    }
    let (mut feba, mut hgdc) = ([start_feba; L], [start_hgdc; L]);
    for (quad, row) in w.iter().enumerate() {
        four_rounds(&mut feba, &mut hgdc, &add(row, round_constants(quad)));
    }
    later_rounds(&mut feba, &mut hgdc, w, 4);

    // The padding block goes on from the first block's state.
    let (middle_feba, middle_hgdc) = (add(&feba, start_feba), add(&hgdc, start_hgdc));
    (feba, hgdc) = (middle_feba, middle_hgdc);
    let (quads, _) = RECORD_PADDING_ROUNDS.as_chunks::<4>();
    for quad in quads {
        four_rounds(&mut feba, &mut hgdc, &[load(*quad); L]);
    }
    for lane in 0..L {
        let last = _mm_add_epi32(feba[lane], middle_feba[lane]);
        states[lane] = words(last, _mm_add_epi32(hgdc[lane], middle_hgdc[lane]));
    }
}

#[target_feature(enable = "sha,ssse3,avx")]
fn words(feba: __m128i, hgdc: __m128i) -> Words {
    let ([f, e, b, a], [h, g, d, c]) = (store(feba), store(hgdc));
    [a, b, c, d, e, f, g, h]
}
