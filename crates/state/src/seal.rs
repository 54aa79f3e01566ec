//! Hashing what an update made, level by level, so that many nodes are hashed at once.
//!
//! An update leaves the references to its new nodes pending. New nodes have one owner until the update is
//! done, so the references can be filled in where they stand.

use std::sync::Arc;

use alloy_primitives::B256;

use crate::codec::Encoder;
use crate::hash::Batch;
use crate::node::{Child, Node, NodeRef};
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
    pub(crate) fn reference<V: Value>(&mut self, node: &Node<V>, depth: usize) -> NodeRef {
        self.encoder.reference(node, depth)
    }

    /// The encoding of the root.
    pub(crate) fn encode_root<V: Value>(&mut self, root: &Node<V>) -> &[u8] {
        self.encoder.encode(root, 0)
    }

    /// Fills in all references under a node that stands `depth` nibbles below the root.
    pub(crate) fn seal<V: Value>(&mut self, node: &mut Node<V>, depth: usize) {
        for level in (0..pending_levels(node)).rev() {
            // The digests are those of the level below, in the order in which they are met again.
            let mut digests = std::mem::take(&mut self.digests);
            self.level(node, depth, level, &mut digests.drain(..));
            self.batch.finish(&mut digests);
            self.digests = digests;
        }
        fill(children(node).1, &mut self.digests.drain(..));
    }

    /// Encodes all nodes whose parents stand `level` steps below a node.
    fn level<V: Value>(
        &mut self,
        node: &mut Node<V>,
        depth: usize,
        level: usize,
        digests: &mut impl Iterator<Item = B256>,
    ) {
        let (step, children) = children(node);
        for child in children.iter_mut().filter(|child| child.reference.is_pending()) {
            let node = child.node_mut().expect(NEW_IS_IN_MEMORY);
            if level > 0 {
                self.level(node, depth + step, level - 1, digests);
                continue;
            }
            fill(self::children(node).1, digests);
            let encoding = self.encoder.encode(node, depth + step);
            match NodeRef::embedded(encoding) {
                Some(reference) => child.reference = reference,
                None => self.batch.push(encoding),
            }
        }
    }
}

const NEW_IS_IN_MEMORY: &str = "a pending reference is that to a node of this update";

/// Puts in the digests of the children that are still pending.
fn fill<V>(children: &mut [Child<V>], digests: &mut impl Iterator<Item = B256>) {
    for child in children.iter_mut().filter(|child| child.reference.is_pending()) {
        child.reference = NodeRef::hash(digests.next().expect("each pending node was put in the batch"));
    }
}

/// How many levels of pending nodes there are below a node.
fn pending_levels<V>(node: &mut Node<V>) -> usize {
    let pending = children(node).1.iter_mut().filter(|child| child.reference.is_pending());
    pending.map(|child| 1 + pending_levels(child.node_mut().expect(NEW_IS_IN_MEMORY))).max().unwrap_or(0)
}

/// The children of a node that nobody else has, and how many nibbles they stand below it. A node that others
/// have too has no pending children.
fn children<V>(node: &mut Node<V>) -> (usize, &mut [Child<V>]) {
    match node {
        Node::Leaf(_) => (0, &mut []),
        Node::Branch(branch) => (1, Arc::get_mut(branch).map_or(&mut [], |branch| branch.children_mut())),
        Node::Extension(extension) => {
            let step = extension.path.len();
            let children =
                Arc::get_mut(extension).map(|extension| std::slice::from_mut(&mut extension.child));
            (step, children.unwrap_or_default())
        }
    }
}
