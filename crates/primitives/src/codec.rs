//! The one wire codec: borsh, strict, with every length bounded before memory is taken for it.
//!
//! A value has exactly one encoding and [`decode`] refuses every other: trailing bytes, out-of-range
//! enum tags, lists past their bound.

use std::io::{self, Read, Write};
use std::ops::Deref;

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

/// Why bytes from outside were refused. The sender is at fault.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// The frame is longer than its kind allows.
    #[error("frame of {size} bytes is over the limit of {limit}")]
    TooLarge {
        /// Bytes received.
        size: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The bytes are not the canonical encoding of any value.
    #[error("malformed encoding: {0}")]
    Malformed(#[from] io::Error),
}

/// Encodes a value canonically.
#[must_use]
pub fn encode<T: BorshSerialize + ?Sized>(value: &T) -> Vec<u8> {
    borsh::to_vec(value).expect("writing to memory cannot fail")
}

/// Appends the canonical encoding of a value.
pub fn encode_into<T: BorshSerialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    value.serialize(out).expect("writing to memory cannot fail");
}

/// Decodes a value from a frame of at most `limit` bytes, all of which must be used.
///
/// # Errors
/// [`CodecError::TooLarge`] before anything is parsed; [`CodecError::Malformed`] otherwise.
pub fn decode<T: BorshDeserialize>(bytes: &[u8], limit: usize) -> Result<T, CodecError> {
    if bytes.len() > limit {
        return Err(CodecError::TooLarge { size: bytes.len(), limit });
    }
    Ok(T::try_from_slice(bytes)?)
}

/// Elements reserved ahead of reading them: a hostile length prefix cannot claim more than this.
const RESERVE_MAX: usize = 256;

/// A vector of at most `N` elements; longer ones are refused when decoded and when built.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<T>", into = "Vec<T>", bound(serialize = "T: Clone + Serialize"))]
pub struct BoundedVec<T, const N: usize>(Vec<T>);

/// The list is longer than its type allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a list of {len} elements is over its bound of {max}")]
pub struct BoundExceeded {
    /// Elements given.
    pub len: usize,
    /// Elements allowed.
    pub max: usize,
}

impl<T, const N: usize> Default for BoundedVec<T, N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T, const N: usize> BoundedVec<T, N> {
    /// The most elements that fit.
    pub const MAX: usize = N;

    /// An empty list.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Takes the elements out.
    #[must_use]
    pub fn into_inner(self) -> Vec<T> {
        self.0
    }
}

impl<T, const N: usize> TryFrom<Vec<T>> for BoundedVec<T, N> {
    type Error = BoundExceeded;

    fn try_from(items: Vec<T>) -> Result<Self, BoundExceeded> {
        if items.len() > N {
            return Err(BoundExceeded { len: items.len(), max: N });
        }
        Ok(Self(items))
    }
}

impl<T, const N: usize> From<BoundedVec<T, N>> for Vec<T> {
    fn from(list: BoundedVec<T, N>) -> Self {
        list.0
    }
}

impl<T, const N: usize> Deref for BoundedVec<T, N> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<'a, T, const N: usize> IntoIterator for &'a BoundedVec<T, N> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<T: BorshSerialize, const N: usize> BorshSerialize for BoundedVec<T, N> {
    fn serialize<W: Write>(&self, writer: &mut W) -> io::Result<()> {
        BorshSerialize::serialize(&self.0, writer)
    }
}

impl<T: BorshDeserialize, const N: usize> BorshDeserialize for BoundedVec<T, N> {
    fn deserialize_reader<R: Read>(reader: &mut R) -> io::Result<Self> {
        let len = u32::deserialize_reader(reader)? as usize;
        if len > N {
            let error = BoundExceeded { len, max: N };
            return Err(io::Error::new(io::ErrorKind::InvalidData, error));
        }
        let mut items = Vec::with_capacity(len.min(RESERVE_MAX));
        for _ in 0..len {
            items.push(T::deserialize_reader(reader)?);
        }
        Ok(Self(items))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_over_its_bound_is_refused_both_ways() {
        let bytes = encode(&vec![1u8, 2, 3]);
        assert!(decode::<BoundedVec<u8, 2>>(&bytes, 100).is_err());
        assert_eq!(&*decode::<BoundedVec<u8, 3>>(&bytes, 100).unwrap(), &[1, 2, 3]);
        assert_eq!(BoundedVec::<u8, 2>::try_from(vec![1, 2, 3]), Err(BoundExceeded { len: 3, max: 2 }));
    }

    #[test]
    fn trailing_bytes_and_oversize_frames_are_refused() {
        assert!(decode::<u8>(&[1, 2], 100).is_err());
        assert!(matches!(decode::<u8>(&[1, 2], 1), Err(CodecError::TooLarge { size: 2, limit: 1 })));
    }

    #[test]
    fn a_hostile_length_prefix_takes_no_memory() {
        let bytes = [0xff, 0xff, 0xff, 0x7f];
        assert!(decode::<BoundedVec<u64, { usize::MAX }>>(&bytes, 100).is_err());
    }
}
