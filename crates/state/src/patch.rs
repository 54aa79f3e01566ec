//! Changing values where they stand.
//!
//! Most changes are to leaves that exist already, so the nodes around them keep their shape: the block that
//! they lie in is copied as it is instead of being put together again.

use alloy_primitives::B256;

use crate::key::nibble;
use crate::node::{Branch, BranchAt, Leaf, Masks, NodeRef, Place, Plain, PlainNode};
use crate::value::Value;

/// A copy of a block of plain leaves, some of which get other values.
pub(crate) struct Patch<V: Value> {
    masks: Masks,
    plain: Box<[Plain<V::Plain>]>,
    pending: usize,
}

impl<V: Value> Patch<V> {
    /// A copy of a branch all of whose children are plain.
    pub(crate) fn new(branch: &BranchAt<'_, V>) -> Self {
        Self { masks: branch.masks, plain: branch.plain.to_vec().into_boxed_slice(), pending: 0 }
    }

    /// Puts in the value of a leaf that is in the block; the branch stands at `depth`.
    pub(crate) fn put(&mut self, key: &B256, depth: usize, value: V::Plain) {
        self.masks.fresh |= 1 << nibble(key, depth);
        let (mut masks, mut entries) = (self.masks, &mut self.plain[..]);
        for depth in depth.. {
            let (Place::Plain(at) | Place::Other(at)) = masks.place(nibble(key, depth));
            let child = &mut entries[at];
            self.pending += usize::from(!child.reference.is_pending());
            child.reference = NodeRef::PENDING;
            match &mut child.node {
                PlainNode::Leaf(leaf) => {
                    *leaf = Leaf { key: *key, value };
                    return;
                }
                PlainNode::Nested(run) => {
                    *run.fresh_mut() |= 1 << nibble(key, depth + 1);
                    masks = run.masks();
                    let range = run.range();
                    entries = &mut entries[range];
                }
            }
        }
    }

    /// How many references are pending.
    pub(crate) fn pending(&self) -> usize {
        self.pending
    }

    /// The branch with the changed values.
    pub(crate) fn finish(self, generation: u32) -> Branch<V> {
        Branch::new(self.masks, self.plain, Box::default(), generation)
    }
}
