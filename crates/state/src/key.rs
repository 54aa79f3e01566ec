//! Where a node stands: the trie it belongs to and the path to it.

use std::fmt;

use alloy_primitives::B256;
use alloy_trie::Nibbles;

/// Nibbles of a hashed key.
pub(crate) const KEY_NIBBLES: usize = 64;

/// The place of a trie node, which keys it on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeKey {
    /// Hashed address of the account whose storage trie it is; `None` for the account trie.
    pub owner: Option<B256>,
    /// Nibbles from the trie's root to the node; empty for the root.
    pub path: Nibbles,
}

impl NodeKey {
    const ACCOUNT: u8 = 0;
    const STORAGE: u8 = 1;

    /// The key in bytes: 0, then a byte for each nibble; for storage tries 1, the owner, then the nibbles.
    ///
    /// No two keys share an encoding, and one trie's nodes lie together, each before its descendants.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(33 + self.path.len());
        match &self.owner {
            None => bytes.push(Self::ACCOUNT),
            Some(owner) => {
                bytes.push(Self::STORAGE);
                bytes.extend_from_slice(owner.as_slice());
            }
        }
        bytes.extend(self.path.iter());
        bytes
    }

    /// Reads [`NodeKey::to_bytes`] back; `None` when the bytes are no such encoding.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (owner, nibbles) = match bytes.split_first()? {
            (&Self::ACCOUNT, rest) => (None, rest),
            (&Self::STORAGE, rest) => {
                let (owner, rest) = rest.split_at_checked(32)?;
                (Some(B256::from_slice(owner)), rest)
            }
            _ => return None,
        };
        if nibbles.len() > KEY_NIBBLES || nibbles.iter().any(|nibble| *nibble > 0xf) {
            return None;
        }
        Some(Self { owner, path: Nibbles::from_nibbles_unchecked(nibbles) })
    }
}

impl fmt::Display for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.owner {
            None => f.write_str("accounts/")?,
            Some(owner) => write!(f, "storage/{owner}/")?,
        }
        self.path.iter().try_for_each(|nibble| write!(f, "{nibble:x}"))
    }
}

/// The nibble of `key` at `depth` < 64.
#[inline]
pub(crate) fn nibble(key: &B256, depth: usize) -> u8 {
    let byte = key.0[depth / 2];
    if depth.is_multiple_of(2) { byte >> 4 } else { byte & 0xf }
}

/// The first `depth` nibbles of `key`.
pub(crate) fn prefix(key: &B256, depth: usize) -> Nibbles {
    Nibbles::unpack(key).slice(..depth)
}

/// How many nibbles of `path` follow in `key` from `depth` on.
#[inline]
pub(crate) fn matching(key: &B256, depth: usize, path: &Nibbles) -> usize {
    (0..path.len()).take_while(|i| nibble(key, depth + i) == path.get_unchecked(*i)).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bytes_round_trip(owner in any::<Option<[u8; 32]>>(), key in any::<[u8; 32]>(), depth in 0..=64usize) {
            let key = NodeKey { owner: owner.map(B256::from), path: prefix(&B256::from(key), depth) };
            prop_assert_eq!(NodeKey::from_bytes(&key.to_bytes()), Some(key));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            if let Some(key) = NodeKey::from_bytes(&bytes) {
                prop_assert_eq!(key.to_bytes(), bytes);
            }
        }
    }

    #[test]
    fn nibbles_of_a_key() {
        let key = B256::repeat_byte(0x1f);
        assert_eq!((nibble(&key, 0), nibble(&key, 1), nibble(&key, 63)), (0x1, 0xf, 0xf));
        let path = Nibbles::from_nibbles([0xf, 0x1, 0x2]);
        assert_eq!(matching(&key, 1, &path), 2);
    }
}
