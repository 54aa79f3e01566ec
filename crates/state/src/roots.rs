//! Well-known hashes, and roots of lists.

use alloy_primitives::{B256, Bytes, KECCAK256_EMPTY};
use alloy_rlp::Encodable;
use alloy_trie::nodes::LeafNodeRef;
use alloy_trie::proof::ProofRetainer;
use alloy_trie::{HashBuilder, Nibbles};

use crate::hash::Batch;

/// Root of a trie without entries: keccak256 of the RLP of the empty string.
pub const EMPTY_ROOT: B256 = alloy_trie::EMPTY_ROOT_HASH;

/// Code hash of an account without code: keccak256 of nothing.
pub const EMPTY_CODE_HASH: B256 = KECCAK256_EMPTY;

/// Root of the trie that maps the RLP of each index to the item: Ethereum's transactions root over
/// EIP-2718 transactions and its receipts root over EIP-2718 receipts.
#[must_use]
pub fn ordered_root(items: &[impl AsRef<[u8]>]) -> B256 {
    ordered_root_of(items.len(), |index, out| out.extend_from_slice(items[index].as_ref()))
}

/// As [`ordered_root`], of `count` items, each of which `write` appends when it is about to be hashed.
#[must_use]
pub fn ordered_root_of(count: usize, mut write: impl FnMut(usize, &mut Vec<u8>)) -> B256 {
    let keys: Vec<(usize, Nibbles)> = key_order(count).map(|index| (index, key(index))).collect();
    let mut leaves = Leaves::default();
    let (mut item, mut leaf) = (Vec::new(), Vec::new());
    for (at, (index, key)) in keys.iter().enumerate() {
        item.clear();
        write(*index, &mut item);
        let depth = depth(&keys, at);
        leaf.clear();
        LeafNodeRef::new(&key.slice(depth..), &item).encode(&mut leaf);
        // A short leaf is part of its parent, and a lone one is the root.
        if leaf.len() < B256::len_bytes() || count == 1 {
            leaves.hang();
            leaves.trie.add_leaf(*key, &item);
        } else {
            leaves.push(key.slice(..depth), &leaf);
        }
    }
    leaves.hang();
    leaves.trie.root()
}

/// The proof that an item stands in its place under [`ordered_root`]; `None` if there is no such item. Nodes shorter
/// than 32 bytes stand in their parents and aren't repeated.
#[must_use]
pub fn ordered_proof(items: &[impl AsRef<[u8]>], index: usize) -> Option<Vec<Bytes>> {
    items.get(index)?;
    let mut trie = HashBuilder::default().with_proof_retainer(ProofRetainer::new(vec![key(index)]));
    for at in key_order(items.len()) {
        trie.add_leaf(key(at), items[at].as_ref());
    }
    trie.root();
    let nodes = trie.take_proof_nodes().into_nodes_sorted().into_iter();
    let referred = |(path, node): &(Nibbles, Bytes)| path.is_empty() || node.len() >= B256::len_bytes();
    Some(nodes.filter(referred).map(|(_, node)| node).collect())
}

/// Indices in the order of their RLP, in which zero is 0x80, and larger than everything below 128.
fn key_order(count: usize) -> impl Iterator<Item = usize> {
    (1..count.min(128)).chain((count > 0).then_some(0)).chain(128..count)
}

fn key(index: usize) -> Nibbles {
    Nibbles::unpack(alloy_rlp::encode_fixed_size(&index))
}

/// Nibbles of the key at a place down to where its leaf hangs: it parts there from both its neighbours.
fn depth(keys: &[(usize, Nibbles)], at: usize) -> usize {
    let shared = |other: Option<usize>| {
        let other = other.and_then(|other| keys.get(other));
        other.map_or(0, |(_, other)| 1 + keys[at].1.common_prefix_length(other))
    };
    shared(at.checked_sub(1)).max(shared(at.checked_add(1)))
}

/// Leaves that are hashed a good many at once and then hung into the trie: as many as stay in a core's cache.
#[derive(Default)]
struct Leaves {
    trie: HashBuilder,
    batch: Batch,
    /// Where each leaf of the batch hangs.
    places: Vec<Nibbles>,
    digests: Vec<B256>,
}

impl Leaves {
    const AT_ONCE: usize = 256;

    fn push(&mut self, place: Nibbles, leaf: &[u8]) {
        self.batch.push(leaf);
        self.places.push(place);
        if self.places.len() == Self::AT_ONCE {
            self.hang();
        }
    }

    fn hang(&mut self) {
        self.batch.finish(&mut self.digests);
        for (place, digest) in self.places.drain(..).zip(&self.digests) {
            self.trie.add_branch(place, *digest, false);
        }
    }
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
    fn the_root_is_that_of_a_plain_trie_whatever_the_number_and_the_lengths() {
        let counts = (0..=20).chain([127, 128, 129, 130, 255, 256, 257, 258, 300, 700, 4369, 65_537]);
        for count in counts {
            // From nothing over leaves that fit into their parents to some of many blocks.
            for longest in [1, 25, 40, 600] {
                let item = |index: usize| vec![index.to_le_bytes()[0]; index * 31 % longest];
                let items: Vec<Vec<u8>> = (0..count).map(item).collect();
                let plain = alloy_trie::root::ordered_trie_root_encoded(&items);
                assert_eq!(ordered_root(&items), plain, "{count} items of up to {longest} bytes");
                if count > 700 {
                    break;
                }
            }
        }
    }

    #[test]
    fn order_matters() {
        let (a, b) = (vec![1u8; 50], vec![2u8; 50]);
        assert_ne!(ordered_root(&[a.clone(), b.clone()]), ordered_root(&[b, a]));
    }
}
