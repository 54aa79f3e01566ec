//! One chain at a time on the `sha2` crate, which has its own kernels for other architectures.

use sha2::block_api::compress256;

use super::Words;
use super::constants::{END, IV, LINK_BITS, RECORD_PADDING};
use super::lanes::Width;

/// One chain.
pub(super) const WIDTH: Width = Width {
    lanes: 1,
    advance: |states, steps| states[0] = chain(&states[0], steps),
    mix: |states, mixins| states[0] = mix(&states[0], &mixins[0]),
};

fn chain(state: &Words, steps: u64) -> Words {
    let mut block = block(state, &[END, 0, 0, 0, 0, 0, 0, LINK_BITS]);
    let mut words = *state;
    for _ in 0..steps {
        words = IV;
        compress256(&mut words, &[block]);
        fill(&mut block[..32], &words);
    }
    words
}

pub(super) fn mix(state: &Words, mixin: &Words) -> Words {
    let mut padding = [0; 64];
    fill(&mut padding, &RECORD_PADDING);
    let mut words = IV;
    compress256(&mut words, &[block(state, mixin), padding]);
    words
}

fn block(left: &Words, right: &Words) -> [u8; 64] {
    let mut block = [0; 64];
    fill(&mut block[..32], left);
    fill(&mut block[32..], right);
    block
}

fn fill(bytes: &mut [u8], words: &[u32]) {
    let (chunks, _) = bytes.as_chunks_mut::<4>();
    for (chunk, word) in chunks.iter_mut().zip(words) {
        *chunk = word.to_be_bytes();
    }
}
