//! Applying a batch of changes: one descent over the sorted keys, rebuilding what they reach.
//!
//! A subtree is rebuilt after all changes under it are done, so each new node is hashed once.

use std::sync::Arc;

use alloy_primitives::B256;
use alloy_trie::Nibbles;

use crate::StateError;
use crate::codec::Encoder;
use crate::key::{matching, nibble, prefix};
use crate::node::{Branch, Child, Extension, Leaf, Link, Node, NodeRef};
use crate::trie::{Source, Trie};
use crate::value::Value;

/// Makes a key's new value (`None`: no value) of its old one and a change.
pub(crate) trait Merge<V, C> {
    fn merge(&mut self, key: &B256, old: Option<&V>, change: &C) -> Result<Option<V>, StateError>;
}

impl<V, C, F: FnMut(&B256, Option<&V>, &C) -> Result<Option<V>, StateError>> Merge<V, C> for F {
    fn merge(&mut self, key: &B256, old: Option<&V>, change: &C) -> Result<Option<V>, StateError> {
        self(key, old, change)
    }
}

impl<V: Value> Trie<V> {
    /// The trie after the changes, which are sorted by key, each key once.
    pub(crate) fn update<C>(
        &self,
        source: &Source<'_>,
        changes: &[(B256, C)],
        merge: impl Merge<V, C>,
    ) -> Result<Self, StateError> {
        debug_assert!(changes.is_sorted_by(|a, b| a.0 < b.0));
        if changes.is_empty() {
            return Ok(self.clone());
        }
        let mut updater = Updater { source, merge, encoder: Encoder::new() };
        Ok(match updater.subtree(self.root(), 0, changes)? {
            Outcome::Same => self.clone(),
            Outcome::Gone => Self::empty(),
            Outcome::New(node) => {
                let reference = NodeRef::hash(alloy_primitives::keccak256(updater.encoder.encode(&node, 0)));
                Self::with_root(Some(Child { reference, link: Link::Node(node) }))
            }
        })
    }
}

/// What becomes of a subtree.
enum Outcome<V> {
    Same,
    Gone,
    New(Node<V>),
}

/// The children of a branch, or of one that stands in for an extension while it may be split.
enum Children<'n, V> {
    Branch(&'n Branch<V>),
    Single(u8, &'n Child<V>),
}

impl<'n, V> Children<'n, V> {
    fn get(&self, nibble: u8) -> Option<&'n Child<V>> {
        match self {
            Self::Branch(branch) => branch.child(nibble),
            Self::Single(at, child) => (*at == nibble).then_some(*child),
        }
    }
}

impl<V> Children<'_, V> {
    /// Fetches the children's counters into the cache. Sharing a child adds to its counter, and such atomic
    /// additions wait for memory one after the other; plain reads ahead of them wait all at once.
    fn warm(&self) {
        if let Self::Branch(branch) = self {
            let counts = branch.children().iter().map(|child| match &child.link {
                Link::Node(Node::Branch(branch)) => Arc::strong_count(branch),
                _ => 0,
            });
            std::hint::black_box(counts.max());
        }
    }
}

struct Updater<'a, M> {
    source: &'a Source<'a>,
    merge: M,
    encoder: Encoder,
}

impl<M> Updater<'_, M> {
    /// Applies changes, which agree in the first `depth` nibbles, to the subtree at that place.
    fn subtree<V: Value, C>(
        &mut self,
        child: Option<&Child<V>>,
        depth: usize,
        changes: &[(B256, C)],
    ) -> Result<Outcome<V>, StateError>
    where
        M: Merge<V, C>,
    {
        let Some(child) = child else { return self.leaves(None, depth, changes) };
        match self.source.resolve(child, || prefix(&changes[0].0, depth))? {
            Node::Leaf(leaf) => self.leaves(Some(leaf), depth, changes),
            Node::Branch(branch) => {
                branch.touch(self.source.generation);
                self.branch(&Children::Branch(branch), depth, changes)
            }
            Node::Extension(extension) => self.extension(extension, depth, changes),
        }
    }

    /// Applies changes where there is at most one leaf.
    fn leaves<V: Value, C>(
        &mut self,
        leaf: Option<&Leaf<V>>,
        depth: usize,
        changes: &[(B256, C)],
    ) -> Result<Outcome<V>, StateError>
    where
        M: Merge<V, C>,
    {
        let mut leaves = Vec::with_capacity(changes.len() + usize::from(leaf.is_some()));
        let mut same = true;
        let mut waiting = leaf;
        for (key, change) in changes {
            if let Some(before) = waiting.take_if(|leaf| leaf.key < *key) {
                leaves.push(before.clone());
            }
            let old = waiting.take_if(|leaf| leaf.key == *key).map(|leaf| &leaf.value);
            let new = self.merge.merge(key, old, change)?;
            same &= new.as_ref() == old;
            leaves.extend(new.map(|value| Leaf { key: *key, value }));
        }
        leaves.extend(waiting.cloned());
        Ok(match leaves.as_slice() {
            _ if same => Outcome::Same,
            [] => Outcome::Gone,
            leaves => Outcome::New(self.build(leaves, depth)),
        })
    }

    /// The subtree of at least one leaf, sorted by key, that agree in the first `depth` nibbles.
    fn build<V: Value>(&mut self, leaves: &[Leaf<V>], depth: usize) -> Node<V> {
        let [first, .., last] = leaves else {
            return Node::Leaf(leaves.first().expect("a subtree has a leaf").clone());
        };
        let shared = (depth..).take_while(|at| nibble(&first.key, *at) == nibble(&last.key, *at)).count();
        if shared > 0 {
            let branch = self.build(leaves, depth + shared);
            let child = self.child(branch, depth + shared);
            let path = Nibbles::unpack(first.key).slice(depth..depth + shared);
            return Node::Extension(Arc::new(Extension { path, child }));
        }
        let mut mask = 0;
        let mut children = Vec::with_capacity(leaves.len().min(16));
        for group in leaves.chunk_by(|a, b| nibble(&a.key, depth) == nibble(&b.key, depth)) {
            mask |= 1 << nibble(&group[0].key, depth);
            let node = self.build(group, depth + 1);
            children.push(self.child(node, depth + 1));
        }
        Node::Branch(Arc::new(Branch::new(mask, children, self.source.generation)))
    }

    fn extension<V: Value, C>(
        &mut self,
        extension: &Extension<V>,
        depth: usize,
        changes: &[(B256, C)],
    ) -> Result<Outcome<V>, StateError>
    where
        M: Merge<V, C>,
    {
        let Extension { path, child } = extension;
        let (first, last) = (&changes[0].0, &changes[changes.len() - 1].0);
        // Keys between the first and the last share at least what both share with the path.
        let shared = matching(first, depth, path).min(matching(last, depth, path));
        if shared == path.len() {
            return Ok(match self.subtree(Some(child), depth + shared, changes)? {
                Outcome::New(node) => Outcome::New(self.extend(path, node, None, depth)),
                kept => kept,
            });
        }
        // Some keys leave the path: look at it as a branch with one child at the place where they do.
        let rest = path.slice(shared + 1..);
        let below = if rest.is_empty() {
            child.share()
        } else {
            let rest = Node::Extension(Arc::new(Extension { path: rest, child: child.share() }));
            self.child(rest, depth + shared + 1)
        };
        let children = Children::Single(path.get_unchecked(shared), &below);
        Ok(match self.branch(&children, depth + shared, changes)? {
            Outcome::New(node) => Outcome::New(self.extend(&path.slice(..shared), node, None, depth)),
            kept => kept,
        })
    }

    fn branch<V: Value, C>(
        &mut self,
        children: &Children<'_, V>,
        depth: usize,
        changes: &[(B256, C)],
    ) -> Result<Outcome<V>, StateError>
    where
        M: Merge<V, C>,
    {
        let mut outcomes = [const { Outcome::Same }; 16];
        let mut same = true;
        for group in changes.chunk_by(|a, b| nibble(&a.0, depth) == nibble(&b.0, depth)) {
            let at = nibble(&group[0].0, depth);
            let outcome = self.subtree(children.get(at), depth + 1, group)?;
            same &= matches!(outcome, Outcome::Same);
            outcomes[usize::from(at)] = outcome;
        }
        if same {
            return Ok(Outcome::Same);
        }
        let mut mask = 0u16;
        for (at, outcome) in (0u8..).zip(&outcomes) {
            let survives = match outcome {
                Outcome::Same => children.get(at).is_some(),
                Outcome::Gone => false,
                Outcome::New(_) => true,
            };
            mask |= u16::from(survives) << at;
        }
        if mask.count_ones() < 2 {
            return self.collapse(mask, outcomes, children, depth, &changes[0].0);
        }
        children.warm();
        let mut kept = Vec::with_capacity(mask.count_ones() as usize);
        for (at, outcome) in (0u8..).zip(outcomes) {
            match outcome {
                Outcome::Same => kept.extend(children.get(at).map(Child::share)),
                Outcome::Gone => {}
                Outcome::New(node) => kept.push(self.child(node, depth + 1)),
            }
        }
        Ok(Outcome::New(Node::Branch(Arc::new(Branch::new(mask, kept, self.source.generation)))))
    }

    /// A branch that lost all children but at most one gives way to that child.
    fn collapse<V: Value>(
        &mut self,
        mask: u16,
        outcomes: [Outcome<V>; 16],
        children: &Children<'_, V>,
        depth: usize,
        key: &B256,
    ) -> Result<Outcome<V>, StateError> {
        let Some((at, outcome)) = (0u8..).zip(outcomes).find(|(at, _)| mask & (1 << at) != 0) else {
            return Ok(Outcome::Gone);
        };
        let step = Nibbles::from_nibbles_unchecked([at]);
        let (node, reference) = match (outcome, children.get(at)) {
            (Outcome::New(node), _) => (node, None),
            (_, Some(child)) => {
                let node = self.source.resolve(child, || prefix(key, depth).join(&step))?;
                (node.clone(), Some(child.reference))
            }
            (_, None) => unreachable!("the mask has bits of present children only"),
        };
        Ok(Outcome::New(self.extend(&step, node, reference, depth)))
    }

    /// Puts a path above a node: the node stands at `depth` + the path's length, and its reference, if
    /// known, is the one it has there.
    fn extend<V: Value>(
        &mut self,
        path: &Nibbles,
        node: Node<V>,
        reference: Option<NodeRef>,
        depth: usize,
    ) -> Node<V> {
        if path.is_empty() {
            return node;
        }
        match node {
            leaf @ Node::Leaf(_) => leaf,
            Node::Extension(lower) => {
                let path = path.join(&lower.path);
                Node::Extension(Arc::new(Extension { path, child: lower.child.share() }))
            }
            branch @ Node::Branch(_) => {
                let child = match reference {
                    Some(reference) => Child { reference, link: Link::Node(branch) },
                    None => self.child(branch, depth + path.len()),
                };
                Node::Extension(Arc::new(Extension { path: *path, child }))
            }
        }
    }

    #[inline]
    fn child<V: Value>(&mut self, node: Node<V>, depth: usize) -> Child<V> {
        Child { reference: self.encoder.reference(&node, depth), link: Link::Node(node) }
    }
}
