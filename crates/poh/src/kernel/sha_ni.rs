//! The x86 SHA extensions: one chain as fast as the latency of the round instruction lets it, or several
//! interleaved to fill that latency.
//!
//! `sha256rnds2` keeps the state in two registers, written here from the lowest word up: `feba` and `hgdc`. Each
//! use takes the low two words of a third operand, round constant plus schedule word. The path that
//! bounds a chain runs from the last round of one hash into the first of the next, so nothing but one shuffle and one
//! addition stands there: the state is reversed to `abef`, and the initial state's share of the new words is
//! folded into the round constants.
//!
//! AVX2 lanes beside these chains would win nothing: three chains leave too few instruction slots free. Nor do these
//! instructions have a VEX form, and on the Zen 3 measured each switch between them and 256-bit ones costs over a
//! hundred cycles.
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

/// Three chains, two and one. On Zen 3, where a round instruction takes 4 cycles and one starts in each, a hash takes
/// 131 cycles alone and 65 in two chains, both bound by that latency, and 58 in three, bound by the number of
/// instructions: 47 if no register were ever moved or spilled. Four and more chains spill more than they win.
pub(super) const WIDTHS: [Width; 3] = [width::<3>(), width::<2>(), width::<1>()];

const fn width<const L: usize>() -> Width {
    Width { lanes: L, advance: advance::<L>, mix: mixes::<L> }
}

/// Whether this machine has the instructions used here. AVX is wanted for its three-operand forms alone: without
/// them over a quarter of the time goes into copying registers when chains are interleaved.
pub(super) fn is_supported() -> bool {
    is_x86_feature_detected!("sha") && is_x86_feature_detected!("ssse3") && is_x86_feature_detected!("avx")
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

/// Four rounds of every chain, one chain after the other: the processor interleaves them better than a finer order
/// would, which keeps more registers in use and spills them.
#[target_feature(enable = "sha,ssse3,avx")]
#[inline]
fn four_rounds<const L: usize>(feba: &mut Row<L>, hgdc: &mut Row<L>, constants: &Row<L>) {
    for lane in 0..L {
        hgdc[lane] = _mm_sha256rnds2_epu32(hgdc[lane], feba[lane], constants[lane]);
        let high = _mm_shuffle_epi32::<HIGH>(constants[lane]);
        feba[lane] = _mm_sha256rnds2_epu32(feba[lane], hgdc[lane], high);
    }
}

/// The next four words of a schedule, out of the sixteen before them.
#[target_feature(enable = "sha,ssse3,avx")]
#[inline]
fn schedule(w0: __m128i, w1: __m128i, w2: __m128i, w3: __m128i) -> __m128i {
    let far = _mm_sha256msg1_epu32(w0, w1);
    let near = _mm_alignr_epi8::<4>(w3, w2);
    _mm_sha256msg2_epu32(_mm_add_epi32(far, near), w3)
}

/// Four rounds of every chain with the next four words of its schedule, which take the place of the oldest.
#[target_feature(enable = "sha,ssse3,avx")]
#[inline]
fn scheduled_rounds<const L: usize>(
    feba: &mut Row<L>,
    hgdc: &mut Row<L>,
    [w0, w1, w2, w3]: [&mut Row<L>; 4],
    constants: __m128i,
) {
    for lane in 0..L {
        w0[lane] = schedule(w0[lane], w1[lane], w2[lane], w3[lane]);
        let low = _mm_add_epi32(w0[lane], constants);
        hgdc[lane] = _mm_sha256rnds2_epu32(hgdc[lane], feba[lane], low);
        feba[lane] = _mm_sha256rnds2_epu32(feba[lane], hgdc[lane], _mm_shuffle_epi32::<HIGH>(low));
    }
}

/// Sixteen rounds from round 4·`QUAD` on, with the next sixteen words of each schedule.
#[target_feature(enable = "sha,ssse3,avx")]
#[inline]
fn sixteen_rounds<const L: usize, const QUAD: usize>(
    feba: &mut Row<L>,
    hgdc: &mut Row<L>,
    [w0, w1, w2, w3]: &mut [Row<L>; 4],
) {
    scheduled_rounds(feba, hgdc, [w0, w1, w2, w3], round_constants(QUAD));
    scheduled_rounds(feba, hgdc, [w1, w2, w3, w0], round_constants(QUAD + 1));
    scheduled_rounds(feba, hgdc, [w2, w3, w0, w1], round_constants(QUAD + 2));
    scheduled_rounds(feba, hgdc, [w3, w0, w1, w2], round_constants(QUAD + 3));
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

    let (mut feba, mut hgdc) = without_start(states, start_feba, start_hgdc);
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
        let (mut w0, mut w1, mut w2, mut w3) = (w0, w1, [end; L], [bits; L]);
        for lane in 0..L {
            // Words 9 to 12 are zero, so neither sum of the schedule has a middle here.
            w0[lane] = _mm_sha256msg2_epu32(_mm_sha256msg1_epu32(w0[lane], w1[lane]), bits);
        }
        four_rounds(&mut feba, &mut hgdc, &add(&w0, round_constants(4)));
        scheduled_rounds(&mut feba, &mut hgdc, [&mut w1, &mut w2, &mut w3, &mut w0], round_constants(5));
        for lane in 0..L {
            // As above: word 8 comes through as it is.
            let near = _mm_alignr_epi8::<4>(w1[lane], w0[lane]);
            w2[lane] = _mm_sha256msg2_epu32(_mm_add_epi32(near, end), w1[lane]);
        }
        four_rounds(&mut feba, &mut hgdc, &add(&w2, round_constants(6)));
        scheduled_rounds(&mut feba, &mut hgdc, [&mut w3, &mut w0, &mut w1, &mut w2], round_constants(7));
        let mut w = [w0, w1, w2, w3];
        sixteen_rounds::<L, 8>(&mut feba, &mut hgdc, &mut w);
        sixteen_rounds::<L, 12>(&mut feba, &mut hgdc, &mut w);
    }
    for lane in 0..L {
        states[lane] = words(_mm_add_epi32(feba[lane], start_feba), _mm_add_epi32(hgdc[lane], start_hgdc));
    }
}

/// The states as the rounds leave them, before the initial state is added.
#[target_feature(enable = "sha,ssse3,avx")]
fn without_start<const L: usize>(
    states: &[Words; L],
    start_feba: __m128i,
    start_hgdc: __m128i,
) -> (Row<L>, Row<L>) {
    let (mut feba, mut hgdc) = ([start_feba; L], [start_hgdc; L]);
    for lane in 0..L {
        let [a, b, c, d, e, f, g, h] = states[lane];
        feba[lane] = _mm_sub_epi32(load([f, e, b, a]), start_feba);
        hgdc[lane] = _mm_sub_epi32(load([h, g, d, c]), start_hgdc);
    }
    (feba, hgdc)
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
    sixteen_rounds::<L, 4>(&mut feba, &mut hgdc, &mut w);
    sixteen_rounds::<L, 8>(&mut feba, &mut hgdc, &mut w);
    sixteen_rounds::<L, 12>(&mut feba, &mut hgdc, &mut w);

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
