//! The initial state of SHA-256 (FIPS 180-4), and the padding of the two messages of the hash clock.

use super::Words;

/// The initial state.
pub(super) const IV: Words =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// The bit that ends a message, as the first word of its padding.
pub(super) const END: u32 = 0x8000_0000;
/// Bits of a link's message.
pub(super) const LINK_BITS: u32 = 256;
/// Bits of a record's message.
pub(super) const RECORD_BITS: u32 = 512;

/// The second block of a record: all padding.
pub(super) const RECORD_PADDING: [u32; 16] = [END, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, RECORD_BITS];
