//! SHA-256 Merkle trees over lists of 32-byte leaves.
//!
//! The left subtree of `n > 1` leaves holds the largest power of two below `n`, as in RFC 6962: nothing is
//! padded or duplicated, so no two lists share a root. Leaves and nodes are hashed under different tags, so
//! no node passes for a leaf.
//!
//! ```text
//!            root              n = 5: the left subtree takes 4 leaves,
//!           /    \             the fifth leaf hangs below the root.
//!         n       l4
//!       /   \
//!      n     n
//!     / \   / \
//!    l0 l1 l2 l3
//! ```
//!
//! spec: PROTOCOL §2

use std::collections::VecDeque;
use std::ops::Range;

use alloy_primitives::B256;

use crate::tags::{MERKLE_EMPTY, MERKLE_LEAF, MERKLE_NODE};

fn leaf_hash(leaf: &B256) -> B256 {
    MERKLE_LEAF.sha256(&[leaf.as_slice()])
}

fn node_hash(left: &B256, right: &B256) -> B256 {
    MERKLE_NODE.sha256(&[left.as_slice(), right.as_slice()])
}

/// Combines one level into the next in place; an odd last node moves up as it is. Repeated, this builds
/// the same tree as splitting at powers of two.
fn fold_level(level: &mut Vec<B256>) {
    let pairs = level.len() / 2;
    for i in 0..pairs {
        level[i] = node_hash(&level[2 * i], &level[2 * i + 1]);
    }
    if level.len() % 2 == 1 {
        level[pairs] = level[level.len() - 1];
    }
    level.truncate(level.len().div_ceil(2));
}

/// The root over a list of leaves.
#[must_use]
pub fn root(leaves: &[B256]) -> B256 {
    let mut level: Vec<B256> = leaves.iter().map(leaf_hash).collect();
    while level.len() > 1 {
        fold_level(&mut level);
    }
    level.first().copied().unwrap_or_else(|| MERKLE_EMPTY.sha256(&[]))
}

/// The siblings on the way from a leaf to the root, lowest first; `None` when there is no such leaf.
#[must_use]
pub fn prove(leaves: &[B256], index: usize) -> Option<Vec<B256>> {
    if index >= leaves.len() {
        return None;
    }
    let mut level: Vec<B256> = leaves.iter().map(leaf_hash).collect();
    let mut at = index;
    let mut siblings = Vec::new();
    while level.len() > 1 {
        siblings.extend(level.get(at ^ 1));
        fold_level(&mut level);
        at /= 2;
    }
    Some(siblings)
}

/// Whether `leaf` is the `index`-th of the `count` leaves under `root`.
///
/// The count must be known from elsewhere: a proof does not show it.
#[must_use]
pub fn verify(root: &B256, count: usize, index: usize, leaf: &B256, siblings: &[B256]) -> bool {
    if index >= count {
        return false;
    }
    let mut siblings = siblings.iter();
    let (mut at, mut width) = (index, count);
    let mut hash = leaf_hash(leaf);
    while width > 1 {
        let is_odd_last = at % 2 == 0 && at + 1 == width;
        if !is_odd_last {
            let Some(sibling) = siblings.next() else { return false };
            hash = if at % 2 == 0 { node_hash(&hash, sibling) } else { node_hash(sibling, &hash) };
        }
        at /= 2;
        width = width.div_ceil(2);
    }
    siblings.next().is_none() && hash == *root
}

/// What a contiguous run of leaves lacks to make up the root: of each level the left neighbour, then the right one, lowest
/// level first. `None` when the run is empty, or reaches beyond the leaves.
#[must_use]
pub fn prove_range(leaves: &[B256], range: Range<usize>) -> Option<Vec<B256>> {
    if range.is_empty() || range.end > leaves.len() {
        return None;
    }
    let mut level: Vec<B256> = leaves.iter().map(leaf_hash).collect();
    let (mut start, mut end) = (range.start, range.end);
    let mut beside = Vec::new();
    while level.len() > 1 {
        if !start.is_multiple_of(2) {
            beside.push(level[start - 1]);
        }
        if !end.is_multiple_of(2) {
            beside.extend(level.get(end));
        }
        fold_level(&mut level);
        (start, end) = (start / 2, end.div_ceil(2));
    }
    Some(beside)
}

/// The root over `count` leaves of which these begin at `start`, with what [`prove_range`] says stands beside them; `None`
/// when that is too little, too much, or does not fit.
///
/// The count must be known from elsewhere: a proof does not show it.
#[must_use]
pub fn root_of_range(count: usize, start: usize, leaves: &[B256], beside: &[B256]) -> Option<B256> {
    let mut end = start.checked_add(leaves.len()).filter(|end| *end <= count && !leaves.is_empty())?;
    let (mut start, mut width) = (start, count);
    let mut level: VecDeque<B256> = leaves.iter().map(leaf_hash).collect();
    let mut beside = beside.iter();
    while width > 1 {
        if !start.is_multiple_of(2) {
            level.push_front(*beside.next()?);
        }
        if !end.is_multiple_of(2) && end < width {
            level.push_back(*beside.next()?);
        }
        let folded = level.make_contiguous().chunks(2);
        level = folded.map(|pair| pair.get(1).map_or(pair[0], |right| node_hash(&pair[0], right))).collect();
        (start, end, width) = (start / 2, end.div_ceil(2), width.div_ceil(2));
    }
    if beside.next().is_none() { level.pop_front() } else { None }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::b256;
    use proptest::prelude::*;

    use super::*;

    fn leaves(count: usize) -> Vec<B256> {
        (0..count).map(|i| B256::with_last_byte(u8::try_from(i).unwrap())).collect()
    }

    /// The definition, word for word: split at the largest power of two below the count.
    fn by_definition(leaves: &[B256]) -> B256 {
        match leaves {
            [] => MERKLE_EMPTY.sha256(&[]),
            [leaf] => leaf_hash(leaf),
            _ => {
                let split = leaves.len().next_power_of_two() / 2;
                let (left, right) = leaves.split_at(split);
                node_hash(&by_definition(left), &by_definition(right))
            }
        }
    }

    #[test]
    fn roots_are_pinned() {
        assert_eq!(root(&[]), b256!("9ad98e6f24b255db7746513ccfad384cc4887d9e9b98cc82333bcf1b7ad516cc"));
        assert_eq!(
            root(&leaves(1)),
            b256!("7c8f3b294288bf979e36e40c2cc7b8b3f85cd7408566ff36bc83ba5af1e01827")
        );
        assert_eq!(
            root(&leaves(5)),
            b256!("8f14ecbd90e55b17499dea9b66c5362752749a0390b265a33a3abb46c7aa8fc2")
        );
    }

    #[test]
    fn every_leaf_of_every_size_is_proven_and_only_in_its_place() {
        for count in 0..20 {
            let leaves = leaves(count);
            let root = root(&leaves);
            assert_eq!(root, by_definition(&leaves), "{count} leaves");
            assert_eq!(prove(&leaves, count), None);
            for (index, leaf) in leaves.iter().enumerate() {
                let proof = prove(&leaves, index).unwrap();
                for claimed in 0..=count {
                    assert_eq!(verify(&root, count, claimed, leaf, &proof), claimed == index);
                }
            }
        }
    }

    #[test]
    fn every_run_of_every_size_is_proven_and_only_in_its_place() {
        for count in 0..18usize {
            let leaves = leaves(count);
            let root = root(&leaves);
            assert_eq!(prove_range(&leaves, 0..count + 1), None);
            for (start, end) in (0..count).flat_map(|start| (start + 1..=count).map(move |end| (start, end)))
            {
                let beside = prove_range(&leaves, start..end).unwrap();
                let run = &leaves[start..end];
                for claimed in 0..=count {
                    let found = root_of_range(count, claimed, run, &beside);
                    assert_eq!(
                        found == Some(root),
                        claimed == start,
                        "{start}..{end} of {count} at {claimed}"
                    );
                }
                let longer = [beside.as_slice(), &[B256::ZERO]].concat();
                assert_eq!(root_of_range(count, start, run, &longer), None);
                if let Some((_, shorter)) = beside.split_last() {
                    assert_eq!(root_of_range(count, start, run, shorter), None);
                }
                if run.len() > 1 {
                    assert_ne!(root_of_range(count, start, &run[1..], &beside), Some(root));
                }
                let mut other = run.to_vec();
                other[0] = B256::repeat_byte(9);
                assert_ne!(root_of_range(count, start, &other, &beside), Some(root));
            }
            assert_eq!(root_of_range(count, 0, &[], &[]), None);
        }
    }

    #[test]
    fn a_repeated_last_leaf_changes_the_root() {
        let mut list = leaves(3);
        let odd = root(&list);
        list.push(list[2]);
        assert_ne!(root(&list), odd);
    }

    #[test]
    fn a_node_does_not_pass_for_a_leaf() {
        let list = leaves(4);
        let nodes = [root(&list[..2]), root(&list[2..])];
        assert_ne!(root(&nodes), root(&list));
    }

    proptest! {
        #[test]
        fn a_changed_proof_or_leaf_is_refused(
            seeds in prop::collection::vec(any::<[u8; 32]>(), 1..40),
            pick in any::<prop::sample::Index>(),
            byte in 0usize..32,
            bit in 0u8..8,
        ) {
            let leaves: Vec<B256> = seeds.into_iter().map(B256::new).collect();
            let index = pick.index(leaves.len());
            let root = root(&leaves);
            let proof = prove(&leaves, index).unwrap();
            prop_assert!(verify(&root, leaves.len(), index, &leaves[index], &proof));

            let mut leaf = leaves[index];
            leaf[byte] ^= 1 << bit;
            prop_assert!(!verify(&root, leaves.len(), index, &leaf, &proof));
            for at in 0..proof.len() {
                let mut changed = proof.clone();
                changed[at][byte] ^= 1 << bit;
                prop_assert!(!verify(&root, leaves.len(), index, &leaves[index], &changed));
            }
            let longer = [proof.as_slice(), &[B256::ZERO]].concat();
            prop_assert!(!verify(&root, leaves.len(), index, &leaves[index], &longer));
            if let Some((_, shorter)) = proof.split_last() {
                prop_assert!(!verify(&root, leaves.len(), index, &leaves[index], shorter));
            }
        }
    }
}
