//! Well-known hashes, and roots of lists.

use alloy_primitives::{B256, KECCAK256_EMPTY};

/// Root of a trie without entries: keccak256 of the RLP of the empty string.
pub const EMPTY_ROOT: B256 = alloy_trie::EMPTY_ROOT_HASH;

/// Code hash of an account without code: keccak256 of nothing.
pub const EMPTY_CODE_HASH: B256 = KECCAK256_EMPTY;

/// Root of the trie that maps the RLP of each index to the item: Ethereum's transactions root over
/// EIP-2718 transactions and its receipts root over EIP-2718 receipts.
#[must_use]
pub fn ordered_root(items: &[impl AsRef<[u8]>]) -> B256 {
    alloy_trie::root::ordered_trie_root_encoded(items)
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{b256, keccak256};

    use super::*;

    #[test]
    fn well_known_hashes() {
        assert_eq!(EMPTY_ROOT, b256!("56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"));
        assert_eq!(EMPTY_ROOT, keccak256([0x80]));
        assert_eq!(EMPTY_CODE_HASH, keccak256([]));
        assert_eq!(ordered_root(&[[0u8; 0]; 0]), EMPTY_ROOT);
    }

    #[test]
    fn one_item_is_a_leaf_under_the_rlp_of_zero() {
        // rlp(0) = 0x80: path nibbles 8, 0; an even leaf path is prefixed with 0x20.
        let item = vec![7u8; 40];
        let mut leaf = vec![0xc0 + 3 + 41, 0x82, 0x20, 0x80, 0x80 + 40];
        leaf.extend_from_slice(&item);
        assert_eq!(ordered_root(&[item]), keccak256(leaf));
    }

    #[test]
    fn order_matters() {
        let (a, b) = (vec![1u8; 50], vec![2u8; 50]);
        assert_ne!(ordered_root(&[a.clone(), b.clone()]), ordered_root(&[b, a]));
    }
}
