//! Keccak256 of many messages at once.
//!
//! The permutation of one message keeps a core's units half idle and fills no vector; four messages that do
//! not depend on each other fill the four 64-bit lanes of an AVX2 register. Each lane takes the next message
//! as soon as it is done with one, so messages may differ in length. Without AVX2 they are hashed one by one.

use alloy_primitives::{B256, keccak256};

/// Bytes that a block of a message has: 1600 bits less twice the digest's 256.
const RATE: usize = 136;

type Block = [u8; RATE];

/// Messages to be hashed.
#[derive(Default)]
pub(crate) struct Batch {
    /// All messages one after the other, each padded to whole blocks.
    blocks: Vec<Block>,
    messages: Vec<Message>,
}

#[derive(Clone, Copy, Default)]
struct Message {
    /// First of its blocks.
    start: usize,
    /// Its length in bytes, without padding.
    length: usize,
}

impl Message {
    fn end(&self) -> usize {
        // The padding takes at least one bit at each end: a whole block more when the message fills its last.
        self.start + self.length / RATE + 1
    }
}

impl Batch {
    /// Below this many messages, lanes would stay empty for too long.
    #[cfg(target_arch = "x86_64")]
    const LANES_WORTH: usize = 3;

    pub(crate) fn push(&mut self, message: &[u8]) {
        let start = self.blocks.len();
        let (whole, rest) = message.as_chunks::<RATE>();
        self.blocks.extend_from_slice(whole);
        let mut last = [0; RATE];
        last[..rest.len()].copy_from_slice(rest);
        last[rest.len()] = 0x01;
        last[RATE - 1] |= 0x80;
        self.blocks.push(last);
        self.messages.push(Message { start, length: message.len() });
    }

    /// Replaces `digests` with the hashes of all messages, in the order they were put in, and forgets them.
    pub(crate) fn finish(&mut self, digests: &mut Vec<B256>) {
        digests.clear();
        digests.resize(self.messages.len(), B256::ZERO);
        #[cfg(target_arch = "x86_64")]
        if self.messages.len() >= Self::LANES_WORTH
            && let Some(simd) = pulp::x86::V3::try_new()
        {
            simd.vectorize(avx2::Lanes { simd, batch: self, digests });
            self.clear();
            return;
        }
        for (message, digest) in self.messages.iter().zip(digests) {
            *digest = keccak256(&self.blocks[message.start..].as_flattened()[..message.length]);
        }
        self.clear();
    }

    fn clear(&mut self) {
        self.blocks.clear();
        self.messages.clear();
    }
}

/// The hash of each item, in order.
pub(crate) fn each<'a>(items: impl Iterator<Item = &'a [u8]>) -> Vec<B256> {
    let (mut batch, mut digests) = (Batch::default(), Vec::new());
    items.for_each(|item| batch.push(item));
    batch.finish(&mut digests);
    digests
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::__m256i;

    use alloy_primitives::B256;
    use pulp::x86::V3;
    use pulp::{NullaryFnOnce, cast};

    use super::{Batch, Message, RATE};

    const LANES: usize = 4;
    const RATE_WORDS: usize = RATE / 8;

    /// spec: FIPS 202 §3.2.5, the bits of ι for each round.
    const ROUND_CONSTANTS: [u64; 24] = [
        0x0000_0000_0000_0001,
        0x0000_0000_0000_8082,
        0x8000_0000_0000_808a,
        0x8000_0000_8000_8000,
        0x0000_0000_0000_808b,
        0x0000_0000_8000_0001,
        0x8000_0000_8000_8081,
        0x8000_0000_0000_8009,
        0x0000_0000_0000_008a,
        0x0000_0000_0000_0088,
        0x0000_0000_8000_8009,
        0x0000_0000_8000_000a,
        0x0000_0000_8000_808b,
        0x8000_0000_0000_008b,
        0x8000_0000_0000_8089,
        0x8000_0000_0000_8003,
        0x8000_0000_0000_8002,
        0x8000_0000_0000_0080,
        0x0000_0000_0000_800a,
        0x8000_0000_8000_000a,
        0x8000_0000_8000_8081,
        0x8000_0000_0000_8080,
        0x0000_0000_8000_0001,
        0x8000_0000_8000_8008,
    ];

    /// Word (x, y) of the four states is number x + 5y.
    type States = [__m256i; 25];

    /// Hashes a batch.
    pub(super) struct Lanes<'a> {
        pub(super) simd: V3,
        pub(super) batch: &'a Batch,
        pub(super) digests: &'a mut [B256],
    }

    impl NullaryFnOnce for Lanes<'_> {
        type Output = ();

        #[inline(always)]
        fn call(self) {
            let Self { simd, batch, digests } = self;
            let Batch { blocks, messages } = batch;
            let mut states = [cast([0u64; LANES]); 25];
            // For each lane the message that it is at and its next block.
            let mut at = [(0usize, Message::default(), 0usize); LANES];
            let mut active = [false; LANES];
            let mut waiting = messages.iter().copied().enumerate();
            loop {
                let mut keep = [u64::MAX; LANES];
                for lane in 0..LANES {
                    let (index, message, next) = at[lane];
                    if active[lane] && next < message.end() {
                        continue;
                    }
                    if active[lane] {
                        digests[index] = digest(&states, lane);
                    }
                    keep[lane] = 0;
                    active[lane] = match waiting.next() {
                        Some((index, message)) => {
                            at[lane] = (index, message, message.start);
                            true
                        }
                        None => false,
                    };
                }
                if active == [false; LANES] {
                    return;
                }
                // An empty lane goes along with any block; nobody reads it.
                let from = at.each_ref().map(|(.., next)| &blocks[(*next).min(blocks.len() - 1)]);
                let keep: __m256i = cast(keep);
                for (i, word) in states.iter_mut().enumerate() {
                    *word = simd.avx2._mm256_and_si256(*word, keep);
                    if i < RATE_WORDS {
                        let block: [u64; LANES] =
                            from.map(|block| u64::from_le_bytes(block.as_chunks::<8>().0[i]));
                        *word = simd.avx2._mm256_xor_si256(*word, cast(block));
                    }
                }
                permute(simd, &mut states);
                for (.., next) in &mut at {
                    *next += 1;
                }
            }
        }
    }

    #[inline(always)]
    fn digest(states: &States, lane: usize) -> B256 {
        let mut digest = B256::ZERO;
        for (bytes, word) in digest.0.as_chunks_mut::<8>().0.iter_mut().zip(states) {
            let words: [u64; LANES] = cast(*word);
            *bytes = words[lane].to_le_bytes();
        }
        digest
    }

    /// `Keccak-f[1600]` of four states; spec: FIPS 202 §3.2.
    #[inline(always)]
    fn permute(simd: V3, states: &mut States) {
        for [even, odd] in ROUND_CONSTANTS.as_chunks::<2>().0 {
            let between = round(simd, states, *even);
            *states = round(simd, &between, *odd);
        }
    }

    /// One round. The 25 words exceed the 16 registers, and each store of a word costs a cycle: so it goes from
    /// one row of its result to the next, for each of which five words are read and five are written.
    #[inline(always)]
    fn round(simd: V3, a: &States, constant: u64) -> States {
        // θ: the parities of the columns, then what each word of a column is changed by.
        let mut c = [a[0]; 5];
        for x in 0..5 {
            let upper = xor(simd, xor(simd, a[x], a[x + 5]), xor(simd, a[x + 10], a[x + 15]));
            c[x] = xor(simd, upper, a[x + 20]);
        }
        let mut d = c;
        for x in 0..5 {
            d[x] = xor(simd, c[(x + 4) % 5], rotate::<1, 63>(simd, c[(x + 1) % 5]));
        }
        // ρ and π, which take word (x, y) to (y, 2x + 3y), and χ of each row that they give.
        let mut result = *a;
        let row = [
            xor(simd, a[0], d[0]),
            rotate::<44, 20>(simd, xor(simd, a[6], d[1])),
            rotate::<43, 21>(simd, xor(simd, a[12], d[2])),
            rotate::<21, 43>(simd, xor(simd, a[18], d[3])),
            rotate::<14, 50>(simd, xor(simd, a[24], d[4])),
        ];
        chi(simd, &row, &mut result, 0);
        let row = [
            rotate::<28, 36>(simd, xor(simd, a[3], d[3])),
            rotate::<20, 44>(simd, xor(simd, a[9], d[4])),
            rotate::<3, 61>(simd, xor(simd, a[10], d[0])),
            rotate::<45, 19>(simd, xor(simd, a[16], d[1])),
            rotate::<61, 3>(simd, xor(simd, a[22], d[2])),
        ];
        chi(simd, &row, &mut result, 5);
        let row = [
            rotate::<1, 63>(simd, xor(simd, a[1], d[1])),
            rotate::<6, 58>(simd, xor(simd, a[7], d[2])),
            rotate::<25, 39>(simd, xor(simd, a[13], d[3])),
            rotate::<8, 56>(simd, xor(simd, a[19], d[4])),
            rotate::<18, 46>(simd, xor(simd, a[20], d[0])),
        ];
        chi(simd, &row, &mut result, 10);
        let row = [
            rotate::<27, 37>(simd, xor(simd, a[4], d[4])),
            rotate::<36, 28>(simd, xor(simd, a[5], d[0])),
            rotate::<10, 54>(simd, xor(simd, a[11], d[1])),
            rotate::<15, 49>(simd, xor(simd, a[17], d[2])),
            rotate::<56, 8>(simd, xor(simd, a[23], d[3])),
        ];
        chi(simd, &row, &mut result, 15);
        let row = [
            rotate::<62, 2>(simd, xor(simd, a[2], d[2])),
            rotate::<55, 9>(simd, xor(simd, a[8], d[3])),
            rotate::<39, 25>(simd, xor(simd, a[14], d[4])),
            rotate::<41, 23>(simd, xor(simd, a[15], d[0])),
            rotate::<2, 62>(simd, xor(simd, a[21], d[1])),
        ];
        chi(simd, &row, &mut result, 20);
        // ι
        result[0] = xor(simd, result[0], cast([constant; LANES]));
        result
    }

    #[inline(always)]
    fn chi(simd: V3, row: &[__m256i; 5], result: &mut States, start: usize) {
        for x in 0..5 {
            let others = simd.avx2._mm256_andnot_si256(row[(x + 1) % 5], row[(x + 2) % 5]);
            result[start + x] = xor(simd, row[x], others);
        }
    }

    #[inline(always)]
    fn xor(simd: V3, a: __m256i, b: __m256i) -> __m256i {
        simd.avx2._mm256_xor_si256(a, b)
    }

    /// Rotates each word left by `LEFT` bits; `RIGHT` is 64 less that.
    #[inline(always)]
    fn rotate<const LEFT: i32, const RIGHT: i32>(simd: V3, word: __m256i) -> __m256i {
        let left = simd.avx2._mm256_slli_epi64::<LEFT>(word);
        let right = simd.avx2._mm256_srli_epi64::<RIGHT>(word);
        simd.avx2._mm256_or_si256(left, right)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_batch_hashes_like_one_by_one(messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..600), 0..40)) {
            let expected: Vec<_> = messages.iter().map(keccak256).collect();
            prop_assert_eq!(each(messages.iter().map(Vec::as_slice)), expected);
        }
    }

    #[test]
    fn lengths_around_the_block_size() {
        let lengths = [0, 1, 31, 32, 135, 136, 137, 271, 272, 273, 407, 408, 409];
        let messages: Vec<Vec<u8>> = lengths.iter().map(|length| vec![0xa5; *length]).collect();
        for count in 0..=messages.len() {
            let messages = &messages[..count];
            let expected: Vec<_> = messages.iter().map(keccak256).collect();
            assert_eq!(each(messages.iter().map(Vec::as_slice)), expected);
        }
    }
}
