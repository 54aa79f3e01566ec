//! Hashing what an update made, level by level, so that many nodes are hashed at once.
//!
//! An update leaves the references to its new nodes pending. New nodes have one owner until the update is
//! done, so the references can be filled in where they stand.

use std::sync::Arc;

use alloy_primitives::B256;

use crate::codec::Encoder;
use crate::hash::Batch;
use crate::node::{Child, Link, Masks, Node, NodeAt, NodeRef, PartsMut, Place, Plain, PlainNode};
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
            let encoding = self.encoder.encode(parent.node(i), depth);
            match NodeRef::embedded(encoding) {
                Some(reference) => parent.refer(i, reference),
                None => self.batch.push(encoding),
            }
        }
    }
}

const NEW_IS_IN_MEMORY: &str = "a pending reference is that to a node of this update";

/// The children of a node that an update has made.
struct Made<'n, V: Value> {
    /// How many nibbles they stand below the node.
    step: usize,
    masks: Masks,
    /// The pending ones, where the node notes them; an extension doesn't.
    fresh: Option<&'n mut u16>,
    /// The plain children, then what is nested in them.
    plain: &'n mut [Plain<V::Plain>],
    others: &'n mut [Child<V>],
}

impl<'n, V: Value> Made<'n, V> {
    /// A node that others have too has no pending children, nor has a leaf.
    fn none() -> Self {
        Self { step: 0, masks: Masks::default(), fresh: None, plain: &mut [], others: &mut [] }
    }

    #[inline]
    fn of(node: &'n mut Node<V>) -> Self {
        match node {
            Node::Leaf(_) => Self::none(),
            Node::Branch(branch) => Arc::get_mut(branch).map_or_else(Self::none, |branch| {
                let PartsMut { masks, plain, others } = branch.parts_mut();
                Made { step: 1, masks: *masks, fresh: Some(&mut masks.fresh), plain, others }
            }),
            Node::Extension(extension) => {
                let step = extension.path.len();
                Arc::get_mut(extension).map_or_else(Self::none, |extension| {
                    let fresh = u16::from(extension.child.reference.is_pending());
                    let masks = Masks { all: 1, plain: 0, fresh };
                    let others = std::slice::from_mut(&mut extension.child);
                    Made { step, masks, fresh: None, plain: &mut [], others }
                })
            }
        }
    }

    /// The nibbles of the pending children.
    #[inline]
    fn pending(&self) -> impl Iterator<Item = u8> + use<V> {
        bits(self.masks.fresh)
    }

    /// Puts in the reference to the pending child at a nibble.
    #[inline]
    fn refer(&mut self, i: u8, reference: NodeRef) {
        match self.masks.place(i) {
            Place::Plain(at) => self.plain[at].reference = reference,
            Place::Other(at) => self.others[at].reference = reference,
        }
        self.masks.fresh &= !(1 << i);
        if let Some(fresh) = &mut self.fresh {
            **fresh = self.masks.fresh;
        }
    }

    /// The pending child at a nibble.
    #[inline]
    fn node(&self, i: u8) -> NodeAt<'_, V> {
        match self.masks.place(i) {
            Place::Plain(at) => self.plain[at].node.view(self.plain),
            Place::Other(at) => match &self.others[at].link {
                Link::Node(node) => node.view(),
                Link::Lazy(_) => unreachable!("{NEW_IS_IN_MEMORY}"),
            },
        }
    }

    /// The children of the pending child at a nibble.
    #[inline]
    fn below(&mut self, i: u8) -> Made<'_, V> {
        match self.masks.place(i) {
            Place::Plain(at) => {
                let count = self.masks.plain.count_ones() as usize;
                let (children, nested) = self.plain.split_at_mut(count);
                let PlainNode::Nested(run) = &mut children[at].node else { return Made::none() };
                let (masks, range) = (run.masks(), run.range());
                Made {
                    step: 1,
                    masks,
                    fresh: Some(run.fresh_mut()),
                    plain: &mut nested[range.start - count..range.end - count],
                    others: &mut [],
                }
            }
            Place::Other(at) => match &mut self.others[at].link {
                Link::Node(node) => Made::of(node),
                Link::Lazy(_) => unreachable!("{NEW_IS_IN_MEMORY}"),
            },
        }
    }

    /// Puts in the digests of the children that are still pending.
    fn fill(&mut self, digests: &mut impl Iterator<Item = B256>) {
        for i in self.pending() {
            let digest = digests.next().expect("each pending node was put in the batch");
            self.refer(i, NodeRef::hash(digest));
        }
    }

    /// How many levels of pending nodes there are.
    fn levels(&mut self) -> usize {
        self.pending().map(|i| 1 + self.below(i).levels()).max().unwrap_or(0)
    }
}

/// The numbers of the bits that are set.
fn bits(mut mask: u16) -> impl Iterator<Item = u8> {
    std::iter::from_fn(move || {
        let i = (0..16).nth(mask.trailing_zeros() as usize)?;
        mask &= mask - 1;
        Some(i)
    })
}
