//! Hashing what an update made, level by level, so that many nodes are hashed at once.
//!
//! An update leaves the references to its new nodes pending. New nodes have one owner until the update is
//! done, so the references can be filled in where they stand.

use std::sync::Arc;

use alloy_primitives::B256;

use crate::codec::Encoder;
use crate::hash::Batch;
use crate::node::{Child, Link, Node, NodeAt, NodeRef};
use crate::value::Value;

/// Fills in pending references.
pub(crate) struct Sealer {
    encoder: Encoder,
    batch: Batch,
    digests: Vec<B256>,
}

impl Sealer {
    pub(crate) fn new() -> Self {
        Self { encoder: Encoder::new(), batch: Batch::default(), digests: Vec::new() }
    }

    /// The reference to a node without pending ones, which stands `depth` nibbles below the root.
    pub(crate) fn reference<V: Value>(&mut self, node: NodeAt<'_, V>, depth: usize) -> NodeRef {
        self.encoder.reference(node, depth)
    }

    /// The encoding of the root.
    pub(crate) fn encode_root<V: Value>(&mut self, root: &Node<V>) -> &[u8] {
        self.encoder.encode(root.view(), 0)
    }

    /// Fills in all references under a node that stands `depth` nibbles below the root.
    pub(crate) fn seal<V: Value>(&mut self, node: &mut Node<V>, depth: usize) {
        for level in (0..Made::of(node).levels()).rev() {
            // The digests are those of the level below, in the order in which they are met again.
            let mut digests = std::mem::take(&mut self.digests);
            self.level(Made::of(node), depth, level, &mut digests.drain(..));
            self.batch.finish(&mut digests);
            self.digests = digests;
        }
        Made::of(node).fill(&mut self.digests.drain(..));
    }

    /// Encodes all nodes whose parents stand `level` steps below a node, which stands at `depth`.
    fn level<V: Value>(
        &mut self,
        mut parent: Made<'_, V>,
        depth: usize,
        level: usize,
        digests: &mut impl Iterator<Item = B256>,
    ) {
        let depth = depth + parent.step;
        for i in parent.pending() {
            if level > 0 {
                self.level(parent.below(i), depth, level - 1, digests);
                continue;
            }
            parent.below(i).fill(digests);
            let encoding = match &parent.entries[i].link {
                Link::Node(node) => self.encoder.encode(node.view(), depth),
                Link::Nested(run) => {
                    let children = &parent.entries[run.range()][..run.mask().count_ones() as usize];
                    self.encoder.encode_branch(run.mask(), children)
                }
                Link::Lazy(_) => unreachable!("{NEW_IS_IN_MEMORY}"),
            };
            match NodeRef::embedded(encoding) {
                Some(reference) => parent.entries[i].reference = reference,
                None => self.batch.push(encoding),
            }
        }
    }
}

const NEW_IS_IN_MEMORY: &str = "a pending reference is that to a node of this update";

/// The children of a node that an update has made.
struct Made<'n, V> {
    /// How many nibbles they stand below the node.
    step: usize,
    /// Those that may be pending.
    fresh: u16,
    /// The children, then what is nested in them.
    entries: &'n mut [Child<V>],
}

impl<'n, V> Made<'n, V> {
    /// A node that others have too has no pending children.
    fn of(node: &'n mut Node<V>) -> Self {
        let none = Made { step: 0, fresh: 0, entries: &mut [] };
        match node {
            Node::Leaf(_) => none,
            Node::Branch(branch) => Arc::get_mut(branch).map_or(none, |branch| Made {
                step: 1,
                fresh: branch.fresh(),
                entries: branch.entries_mut(),
            }),
            Node::Extension(extension) => {
                let step = extension.path.len();
                Arc::get_mut(extension).map_or(none, |extension| Made {
                    step,
                    fresh: 1,
                    entries: std::slice::from_mut(&mut extension.child),
                })
            }
        }
    }

    /// The numbers of the pending children.
    fn pending(&self) -> impl Iterator<Item = usize> + use<V> {
        let pending = bits(self.fresh).filter(|i| self.entries[*i].reference.is_pending());
        bits(pending.fold(0, |pending, i| pending | 1 << i))
    }

    /// The children of the pending child with a number.
    fn below(&mut self, i: usize) -> Made<'_, V> {
        if let Link::Nested(run) = self.entries[i].link {
            return Made { step: 1, fresh: run.fresh(), entries: &mut self.entries[run.range()] };
        }
        match &mut self.entries[i].link {
            Link::Node(node) => Made::of(node),
            _ => unreachable!("{NEW_IS_IN_MEMORY}"),
        }
    }

    /// Puts in the digests of the children that are still pending.
    fn fill(&mut self, digests: &mut impl Iterator<Item = B256>) {
        for i in self.pending() {
            let digest = digests.next().expect("each pending node was put in the batch");
            self.entries[i].reference = NodeRef::hash(digest);
        }
    }

    /// How many levels of pending nodes there are.
    fn levels(&mut self) -> usize {
        self.pending().map(|i| 1 + self.below(i).levels()).max().unwrap_or(0)
    }
}

/// The numbers of the bits that are set.
fn bits(mut mask: u16) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let i = (mask != 0).then(|| mask.trailing_zeros() as usize)?;
        mask &= mask - 1;
        Some(i)
    })
}
