//! SHA-256 for one shape of work: chains of 32-byte messages, and records of 64 bytes.
//!
//! A link is one compression whose second half block is the constant padding, so part of the message schedule is
//! constant; a record is two, and the second block's schedule is constant altogether.
//!
//! ```text
//! link    [ h: 8 words | 80000000 0 0 0 0 0 0 256 ]
//! record  [ h: 8 words | mixin: 8 words ] [ 80000000 0 … 0 512 ]
//! ```
//!
//! | kernel | sequential | side by side |
//! |---|---|---|
//! | [`Kernel::Portable`] | one chain, whatever the `sha2` crate has for the architecture | no |
//! | [`Kernel::ShaNi`] | one chain, bound by the latency of the round instruction | 2 or 3 chains fill that latency |
//! | [`Kernel::Avx2`] | as portable | 8 lanes, for machines without SHA-NI |
//! | [`Kernel::Avx512`] | as SHA-NI where there, else portable | 16 or 2 × 16 lanes |

mod constants;
mod lanes;
mod portable;
#[cfg(any(target_arch = "x86_64", test))]
mod rounds;
#[cfg(target_arch = "x86_64")]
mod sha_ni;
#[cfg(any(target_arch = "x86_64", test))]
mod vector;
#[cfg(target_arch = "x86_64")]
mod x86_vectors;

#[cfg(test)]
mod tests;

use alloy_primitives::B256;

#[cfg(test)]
pub(crate) use lanes::LANES_MAX;
pub(crate) use lanes::{Width, chains, mixes};

/// A hash as SHA-256 computes it: eight words, the first byte the highest of the first word.
pub(crate) type Words = [u32; 8];

/// A way of computing the hash clock. All give the same hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kernel {
    /// One chain after the other; runs everywhere.
    Portable,
    /// x86 SHA extensions (and AVX), up to 3 chains interleaved.
    ShaNi,
    /// 8 chains in the lanes of AVX2, where there are no SHA extensions.
    Avx2,
    /// Up to 32 chains in the lanes of AVX-512.
    Avx512,
}

impl Kernel {
    /// Every kernel, slowest first in general.
    pub const ALL: [Self; 4] = [Self::Portable, Self::Avx2, Self::ShaNi, Self::Avx512];

    /// Whether this machine can run it.
    #[must_use]
    pub fn is_supported(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        return match self {
            Self::Portable => true,
            Self::ShaNi => sha_ni::is_supported(),
            Self::Avx2 => x86_vectors::avx2_is_supported(),
            Self::Avx512 => x86_vectors::avx512_is_supported(),
        };
        #[cfg(not(target_arch = "x86_64"))]
        return self == Self::Portable;
    }

    /// What it runs side by side, widest first, down to one chain, as far as this machine can.
    pub(crate) fn widths(self) -> Vec<Width> {
        let mut widths: Vec<Width> = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            if self == Self::Avx512 && self.is_supported() {
                widths.extend(x86_vectors::AVX512_WIDTHS);
            }
            if matches!(self, Self::ShaNi | Self::Avx512) && sha_ni::is_supported() {
                widths.extend(sha_ni::WIDTHS);
            } else if matches!(self, Self::Avx2 | Self::Avx512) && x86_vectors::avx2_is_supported() {
                widths.extend(x86_vectors::AVX2_WIDTHS);
            }
        }
        if widths.last().is_none_or(|width| width.lanes > 1) {
            widths.push(portable::WIDTH);
        }
        widths
    }

    /// What it runs one chain on.
    pub(crate) fn sequential(self) -> Width {
        *self.widths().last().expect("every kernel goes down to one chain")
    }
}

/// Reads a hash into words.
pub(crate) fn to_words(hash: &B256) -> Words {
    let (chunks, _) = hash.as_chunks::<4>();
    std::array::from_fn(|word| u32::from_be_bytes(chunks[word]))
}

/// Writes words as a hash.
pub(crate) fn to_hash(words: &Words) -> B256 {
    let mut hash = B256::ZERO;
    let (chunks, _) = hash.as_chunks_mut::<4>();
    for (chunk, word) in chunks.iter_mut().zip(words) {
        *chunk = word.to_be_bytes();
    }
    hash
}
