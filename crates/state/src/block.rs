//! Putting branches together, with small ones nested in the block of the one above.
//!
//! At the bottom of a trie of hashed keys most branches have two or three leaves. A block of its own for each
//! costs more in allocation, counting and waiting for memory than copying its leaves along with the others of
//! the branch above does. Only plain leaves are nested; here all are.
//!
//! ```text
//!    the trie                       the block of A
//!
//!          A                        0     1       2     3       4  5  6  7  8
//!       / | | \                     leaf  B:4..6  leaf  C:6..9  l1 l2 l3 l4 l5
//!    leaf B leaf C
//!       / |    / | \
//!      l1 l2  l3 l4 l5
//! ```
//!
//! A place is counted from the first entry of the branch above, so the entries of a branch can be copied as
//! they are, whatever is nested in them and wherever they go.

use std::sync::Arc;

use alloy_primitives::B256;

use crate::node::{Branch, Child, ChildAt, Leaf, Link, Masks, Node, NodeRef, Plain, PlainNode, Run};
use crate::value::Value;

/// Entries that a nested branch has at most.
const NESTED_MAX: usize = 4;

/// Entries of nested branches that a block has at most: they are copied whenever anything in it changes.
const NESTED_ALL_MAX: usize = 16;

/// Branches in the making, each above the last one: their entries on stacks, which are used again and again
/// instead of memory that has to be fetched.
pub(crate) struct Blocks<V: Value> {
    plain: Vec<Plain<V::Plain>>,
    others: Vec<Child<V>>,
    /// Entries of the nested ones among the plain children, which count them from the frame's first.
    nested: Vec<Plain<V::Plain>>,
}

/// A branch in the making: the children so far, and where its entries begin on the stacks.
pub(crate) struct Frame {
    masks: Masks,
    plain: usize,
    others: usize,
    nested: usize,
}

impl Frame {
    /// How many children the branch has so far.
    pub(crate) fn count(&self) -> u32 {
        self.masks.all.count_ones()
    }

    /// The nibble of its first child.
    pub(crate) fn first(&self) -> u8 {
        u8::try_from(self.masks.all.trailing_zeros()).expect("a mask has 16 bits")
    }

    /// Notes a child with a higher nibble than all before.
    #[inline]
    fn add(&mut self, at: u8, plain: bool, reference: &NodeRef) {
        self.masks.all |= 1 << at;
        self.masks.plain |= u16::from(plain) << at;
        self.masks.fresh |= u16::from(reference.is_pending()) << at;
    }
}

/// A finished branch that is small enough to be nested: the last plain entries on the stack.
#[derive(Clone, Copy)]
pub(crate) struct Small {
    masks: Masks,
    length: usize,
}

/// The only child of what is no branch then.
pub(crate) enum Only<V: Value> {
    Leaf(Leaf<V>),
    Other(Child<V>),
}

impl<V: Value> Default for Blocks<V> {
    fn default() -> Self {
        Self { plain: Vec::new(), others: Vec::new(), nested: Vec::new() }
    }
}

impl<V: Value> Blocks<V> {
    /// Begins a branch. It is to be finished, or abandoned, before the one begun before it goes on. Children
    /// are added in the order of their nibbles.
    pub(crate) fn open(&self) -> Frame {
        Frame {
            masks: Masks::default(),
            plain: self.plain.len(),
            others: self.others.len(),
            nested: self.nested.len(),
        }
    }

    /// Gives up a branch.
    pub(crate) fn abandon(&mut self, frame: &Frame) {
        self.plain.truncate(frame.plain);
        self.others.truncate(frame.others);
        self.nested.truncate(frame.nested);
    }

    /// Adds a leaf.
    #[inline]
    pub(crate) fn push_leaf(&mut self, frame: &mut Frame, at: u8, leaf: Leaf<V>, reference: NodeRef) {
        if let Some(value) = leaf.value.plain() {
            return self.push_plain(frame, at, leaf.key, value, reference);
        }
        frame.add(at, false, &reference);
        self.others.push(Child { reference, link: Link::Node(Node::Leaf(Arc::new(leaf))) });
    }

    #[inline]
    fn push_plain(&mut self, frame: &mut Frame, at: u8, key: B256, value: V::Plain, reference: NodeRef) {
        frame.add(at, true, &reference);
        self.plain.push(Plain { reference, node: PlainNode::Leaf(Leaf { key, value }) });
    }

    /// Adds a child that isn't nested.
    #[inline]
    pub(crate) fn push(&mut self, frame: &mut Frame, at: u8, child: Child<V>) {
        if let Link::Node(Node::Leaf(leaf)) = &child.link
            && let Some(value) = leaf.value.plain()
        {
            return self.push_plain(frame, at, leaf.key, value, child.reference);
        }
        frame.add(at, false, &child.reference);
        self.others.push(child);
    }

    /// Adds a child that was just finished and isn't hashed yet.
    pub(crate) fn push_small(&mut self, frame: &mut Frame, at: u8, small: Small, generation: u32) {
        let (reference, first) = (NodeRef::PENDING, self.nested.len() - frame.nested);
        if first + small.length > NESTED_ALL_MAX {
            let link = Link::Node(Node::Branch(Arc::new(self.alone(small, generation))));
            return self.push(frame, at, Child { reference, link });
        }
        let entries = self.plain.len() - small.length;
        self.nested.extend_from_slice(&self.plain[entries..]);
        self.plain.truncate(entries);
        frame.add(at, true, &reference);
        let run = Run::new(small.masks, first, small.length);
        self.plain.push(Plain { reference, node: PlainNode::Nested(run) });
    }

    /// Adds a child that another branch has.
    #[inline]
    pub(crate) fn keep(&mut self, frame: &mut Frame, at: u8, child: ChildAt<'_, V>) {
        match child {
            ChildAt::Plain(Plain { reference, node: PlainNode::Nested(run) }, entries) => {
                let node = PlainNode::Nested(run.at(self.nested.len() - frame.nested));
                self.nested.extend_from_slice(&entries[run.range()]);
                frame.add(at, true, reference);
                self.plain.push(Plain { reference: *reference, node });
            }
            ChildAt::Plain(leaf, _) => {
                frame.add(at, true, &leaf.reference);
                self.plain.push(*leaf);
            }
            ChildAt::Other(child) => self.push(frame, at, child.share()),
        }
    }

    /// A block for a small branch that was just finished.
    pub(crate) fn alone(&mut self, small: Small, generation: u32) -> Branch<V> {
        let entries = self.plain.len() - small.length;
        let plain = self.plain[entries..].to_vec().into_boxed_slice();
        self.plain.truncate(entries);
        Branch::new(small.masks, plain, Box::default(), generation)
    }

    /// The child of a branch that has at most one.
    pub(crate) fn only(&mut self, frame: &Frame, generation: u32) -> Option<Only<V>> {
        if frame.count() == 0 {
            return None;
        }
        let only = match self.plain.get(frame.plain) {
            None => Only::Other(self.others.pop()?),
            Some(Plain { node: PlainNode::Leaf(leaf), .. }) => {
                Only::Leaf(Leaf { key: leaf.key, value: V::from_plain(&leaf.value) })
            }
            Some(Plain { node: PlainNode::Nested(run), reference }) => {
                let entries = self.nested[frame.nested..].to_vec().into_boxed_slice();
                let branch = Branch::new(run.masks(), entries, Box::default(), generation);
                Only::Other(Child { reference: *reference, link: Link::Node(Node::Branch(Arc::new(branch))) })
            }
        };
        self.abandon(frame);
        Some(only)
    }

    /// Finishes a branch, if it is small.
    pub(crate) fn small(&mut self, frame: &Frame) -> Option<Small> {
        let length = self.plain.len() - frame.plain + self.nested.len() - frame.nested;
        if length > NESTED_MAX || frame.masks.plain != frame.masks.all {
            return None;
        }
        self.place_nested(frame);
        self.plain.extend_from_slice(&self.nested[frame.nested..]);
        self.nested.truncate(frame.nested);
        Some(Small { masks: frame.masks, length })
    }

    /// Finishes a branch.
    pub(crate) fn branch(&mut self, frame: &Frame, generation: u32) -> Branch<V> {
        self.place_nested(frame);
        let (children, nested) = (&self.plain[frame.plain..], &self.nested[frame.nested..]);
        let mut plain = Vec::with_capacity(children.len() + nested.len());
        plain.extend_from_slice(children);
        plain.extend_from_slice(nested);
        let others = self.others.drain(frame.others..).collect();
        let branch = Branch::new(frame.masks, plain.into_boxed_slice(), others, generation);
        self.abandon(frame);
        branch
    }

    /// Now that all children are there, nested entries can be counted from the first of them.
    fn place_nested(&mut self, frame: &Frame) {
        if self.nested.len() == frame.nested {
            return;
        }
        let children = &mut self.plain[frame.plain..];
        let count = children.len();
        for child in children {
            if let PlainNode::Nested(run) = &mut child.node {
                *run = run.at(count + run.range().start);
            }
        }
    }
}
