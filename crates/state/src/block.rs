//! Putting branches together, with small ones nested in the block of the one above.
//!
//! At the bottom of a trie of hashed keys most branches have two or three leaves. A block of its own for each
//! costs more in allocation, counting and waiting for memory than copying its leaves along with the others of
//! the branch above does.
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

use crate::node::{Branch, Child, ChildAt, Link, Node, NodeRef, Run};

/// Entries that a nested branch has at most.
const NESTED_MAX: usize = 4;

/// Entries of nested branches that a block has at most: they are copied whenever anything in it changes.
const NESTED_ALL_MAX: usize = 16;

/// Branches in the making, each above the last one: their entries on two stacks, which are used again and
/// again instead of memory that has to be fetched.
pub(crate) struct Blocks<V> {
    children: Vec<Child<V>>,
    /// Entries of the nested ones among the children, which count them from the frame's first.
    nested: Vec<Child<V>>,
}

/// Where the entries of a branch in the making begin on the stacks.
#[derive(Clone, Copy)]
pub(crate) struct Frame {
    children: usize,
    nested: usize,
}

/// A finished branch that is small enough to be nested: the last entries on the stack of children.
#[derive(Clone, Copy)]
pub(crate) struct Small {
    mask: u16,
    length: usize,
}

impl<V> Default for Blocks<V> {
    fn default() -> Self {
        Self { children: Vec::new(), nested: Vec::new() }
    }
}

impl<V> Blocks<V> {
    /// Begins a branch. It is to be finished, or abandoned, before the one begun before it goes on.
    pub(crate) fn open(&self) -> Frame {
        Frame { children: self.children.len(), nested: self.nested.len() }
    }

    /// Gives up a branch.
    pub(crate) fn abandon(&mut self, frame: Frame) {
        self.children.truncate(frame.children);
        self.nested.truncate(frame.nested);
    }

    /// How many children a branch has so far.
    pub(crate) fn count(&self, frame: Frame) -> usize {
        self.children.len() - frame.children
    }

    /// Adds a child that isn't nested.
    #[inline]
    pub(crate) fn push(&mut self, child: Child<V>) {
        self.children.push(child);
    }

    /// Adds a child that was just finished and isn't hashed yet.
    pub(crate) fn push_small(&mut self, frame: Frame, small: Small, generation: u32) {
        let link = if self.nested.len() - frame.nested + small.length <= NESTED_ALL_MAX {
            let entries = self.children.len() - small.length;
            let run = Run::new(small.mask, &self.children[entries..], self.nested.len() - frame.nested);
            self.nested.extend(self.children.drain(entries..));
            Link::Nested(run)
        } else {
            Link::Node(Node::Branch(Arc::new(self.alone(small, generation))))
        };
        self.children.push(Child { reference: NodeRef::PENDING, link });
    }

    /// A block for a small branch that was just finished.
    pub(crate) fn alone(&mut self, small: Small, generation: u32) -> Branch<V> {
        let entries = self.children.len() - small.length;
        Branch::new(small.mask, self.children.drain(entries..).collect(), generation)
    }

    /// The only child of a branch, which is no branch then.
    pub(crate) fn pop(&mut self, frame: Frame, generation: u32) -> Option<Child<V>> {
        let mut child = self.children.pop()?;
        if let Link::Nested(run) = child.link {
            let entries = self.nested.drain(frame.nested..).collect();
            let branch = Branch::new(run.mask(), entries, generation);
            child.link = Link::Node(Node::Branch(Arc::new(branch)));
        }
        Some(child)
    }

    /// Finishes a branch, if it is small.
    pub(crate) fn small(&mut self, frame: Frame, mask: u16) -> Option<Small> {
        let length = self.children.len() - frame.children + self.nested.len() - frame.nested;
        if length > NESTED_MAX {
            return None;
        }
        self.place_nested(frame);
        self.children.extend(self.nested.drain(frame.nested..));
        Some(Small { mask, length })
    }

    /// Finishes a branch.
    pub(crate) fn branch(&mut self, frame: Frame, mask: u16, generation: u32) -> Branch<V> {
        self.place_nested(frame);
        let length = self.children.len() - frame.children + self.nested.len() - frame.nested;
        let mut entries = Vec::with_capacity(length);
        entries.extend(self.children.drain(frame.children..));
        entries.extend(self.nested.drain(frame.nested..));
        Branch::new(mask, entries, generation)
    }

    /// Now that all children are there, nested entries can be counted from the first of them.
    fn place_nested(&mut self, frame: Frame) {
        if self.nested.len() == frame.nested {
            return;
        }
        let children = &mut self.children[frame.children..];
        let count = children.len();
        for child in children {
            if let Link::Nested(run) = &mut child.link {
                *run = run.at(count + run.range().start);
            }
        }
    }
}

impl<V: Clone> Blocks<V> {
    /// Adds a child that another branch has.
    #[inline]
    pub(crate) fn keep(&mut self, frame: Frame, at: ChildAt<'_, V>) {
        let Link::Nested(run) = at.child.link else { return self.children.push(at.child.share()) };
        let link = Link::Nested(run.at(self.nested.len() - frame.nested));
        self.nested.extend(at.entries[run.range()].iter().map(Child::share));
        self.children.push(Child { reference: at.child.reference, link });
    }
}
