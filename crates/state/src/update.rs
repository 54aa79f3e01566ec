//! Applying a batch of changes: one descent over the sorted keys, rebuilding what they reach.
//!
//! A subtree is rebuilt after all changes under it are done, so each new node is hashed once; subtrees are
//! hashed when they have some dozens of new nodes, which fills the hash's lanes and still fits the caches.

use std::sync::Arc;

use alloy_primitives::{B256, keccak256};
use alloy_trie::Nibbles;

use crate::StateError;
use crate::block::{Blocks, Frame, Small};
use crate::key::{matching, nibble, prefix};
use crate::node::{BranchAt, Child, ChildAt, Extension, Leaf, Link, Node, NodeAt, NodeRef};
use crate::seal::Sealer;
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
        let mut updater = Updater {
            source,
            merge,
            sealer: Sealer::new(),
            blocks: Blocks::default(),
            pending: 0,
            fetched: false,
        };
        let outcome = updater.subtree(self.root(), 0, changes)?;
        Ok(match updater.alone(outcome) {
            Outcome::Same => self.clone(),
            Outcome::Gone => Self::empty(),
            Outcome::Small(_) => unreachable!("it got a block of its own"),
            Outcome::New(mut node) => {
                updater.sealer.seal(&mut node, 0);
                let reference = NodeRef::hash(keccak256(updater.sealer.encode_root(&node)));
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
    /// A new branch that may be nested.
    Small(Small),
}

/// The children of a branch, or of one that stands in for an extension while it may be split.
enum Children<'n, V> {
    Branch(BranchAt<'n, V>),
    Single(u8, &'n Child<V>),
}

impl<'n, V> Children<'n, V> {
    fn get(&self, nibble: u8) -> Option<ChildAt<'n, V>> {
        match self {
            Self::Branch(branch) => branch.child(nibble),
            Self::Single(at, child) => (*at == nibble).then_some(ChildAt::alone(child)),
        }
    }
}

/// New nodes that are hashed together at least.
const SEAL_MIN: usize = 64;

/// Changes whose paths are fetched together at most: what they touch fits the second-level cache.
const PREFETCH_MAX: usize = 64;

/// Fetches what the changes under a branch will touch into the cache. Following one path after the other
/// waits for memory at each step; following all of them step by step waits for many at once.
fn prefetch<V, C>(branch: BranchAt<'_, V>, depth: usize, changes: &[(B256, C)]) {
    let mut places: [Option<BranchAt<'_, V>>; PREFETCH_MAX] = [None; PREFETCH_MAX];
    places[..changes.len()].fill(Some(branch));
    for depth in depth.. {
        let mut deeper = false;
        let mut last = std::ptr::null();
        for (place, (key, _)) in places.iter_mut().zip(changes) {
            let Some(BranchAt { own: Some(branch), .. }) = *place else { continue };
            if !std::ptr::eq(Arc::as_ptr(branch), last) {
                branch.fetch_children();
            }
            last = Arc::as_ptr(branch);
            *place = match place.and_then(|place| place.child(nibble(key, depth))?.in_memory()) {
                Some(NodeAt::Branch(branch)) => Some(branch),
                _ => None,
            };
            deeper |= place.is_some();
        }
        if !deeper {
            return;
        }
    }
}

struct Updater<'a, M, V> {
    source: &'a Source<'a>,
    merge: M,
    sealer: Sealer,
    blocks: Blocks<V>,
    /// References left pending.
    pending: usize,
    /// Whether the paths of the changes at hand were prefetched.
    fetched: bool,
}

impl<M, V: Value> Updater<'_, M, V> {
    /// Applies changes, which agree in the first `depth` nibbles, to the subtree at that place.
    fn subtree<C>(
        &mut self,
        child: Option<ChildAt<'_, V>>,
        depth: usize,
        changes: &[(B256, C)],
    ) -> Result<Outcome<V>, StateError>
    where
        M: Merge<V, C>,
    {
        let Some(child) = child else { return self.leaves(None, depth, changes) };
        match self.source.resolve(child, || prefix(&changes[0].0, depth))? {
            NodeAt::Leaf(leaf) => self.leaves(Some(leaf), depth, changes),
            NodeAt::Branch(branch) => {
                self.source.touch(&branch);
                self.branch(&Children::Branch(branch), depth, changes)
            }
            NodeAt::Extension(extension) => self.extension(extension, depth, changes),
        }
    }

    /// Applies changes where there is at most one leaf.
    fn leaves<C>(
        &mut self,
        leaf: Option<&Leaf<V>>,
        depth: usize,
        changes: &[(B256, C)],
    ) -> Result<Outcome<V>, StateError>
    where
        M: Merge<V, C>,
    {
        if let ([(key, change)], true) = (changes, leaf.is_none_or(|leaf| leaf.key == changes[0].0)) {
            let old = leaf.map(|leaf| &leaf.value);
            let new = self.merge.merge(key, old, change)?;
            return Ok(match new {
                same if same.as_ref() == old => Outcome::Same,
                None => Outcome::Gone,
                Some(value) => Outcome::New(Node::Leaf(Leaf { key: *key, value })),
            });
        }
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
            leaves => self.build(leaves, depth),
        })
    }

    /// The subtree of at least one leaf, sorted by key, that agree in the first `depth` nibbles.
    fn build(&mut self, leaves: &[Leaf<V>], depth: usize) -> Outcome<V> {
        let [first, .., last] = leaves else {
            return Outcome::New(Node::Leaf(leaves.first().expect("a subtree has a leaf").clone()));
        };
        let shared = (depth..).take_while(|at| nibble(&first.key, *at) == nibble(&last.key, *at)).count();
        if shared > 0 {
            let branch = self.build(leaves, depth + shared);
            let path = Nibbles::unpack(first.key).slice(depth..depth + shared);
            return self.extended(&path, branch);
        }
        let pending = self.pending;
        let frame = self.blocks.open();
        let mut mask = 0;
        for group in leaves.chunk_by(|a, b| nibble(&a.key, depth) == nibble(&b.key, depth)) {
            mask |= 1 << nibble(&group[0].key, depth);
            let outcome = self.build(group, depth + 1);
            self.add(frame, None, outcome);
        }
        self.finish(frame, mask, depth, pending)
    }

    /// Adds what became of a child to a branch in the making; says whether there is one.
    fn add(&mut self, frame: Frame, old: Option<ChildAt<'_, V>>, outcome: Outcome<V>) -> bool {
        match (outcome, old) {
            (Outcome::Same, Some(old)) => self.blocks.keep(frame, old),
            (Outcome::Same, None) | (Outcome::Gone, _) => return false,
            (Outcome::New(node), _) => {
                let child = self.child(node);
                self.blocks.push(child);
            }
            (Outcome::Small(small), _) => {
                self.pending += 1;
                self.blocks.push_small(frame, small, self.source.generation);
            }
        }
        true
    }

    /// Finishes a branch of at least two children; `pending` is what was when it was begun.
    fn finish(&mut self, frame: Frame, mask: u16, depth: usize, pending: usize) -> Outcome<V> {
        if let Some(small) = self.blocks.small(frame, mask) {
            return Outcome::Small(small);
        }
        let branch = self.blocks.branch(frame, mask, self.source.generation);
        Outcome::New(self.seal_when_many(Node::Branch(Arc::new(branch)), depth, pending))
    }

    /// Gives a small branch a block.
    fn alone(&mut self, outcome: Outcome<V>) -> Outcome<V> {
        match outcome {
            Outcome::Small(small) => {
                let branch = self.blocks.alone(small, self.source.generation);
                Outcome::New(Node::Branch(Arc::new(branch)))
            }
            other => other,
        }
    }

    /// What becomes of a subtree with a path above it.
    fn extended(&mut self, path: &Nibbles, outcome: Outcome<V>) -> Outcome<V> {
        match self.alone(outcome) {
            Outcome::New(node) => Outcome::New(self.extend(path, node, None)),
            kept => kept,
        }
    }

    fn extension<C>(
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
            let outcome = self.subtree(Some(ChildAt::alone(child)), depth + shared, changes)?;
            return Ok(self.extended(path, outcome));
        }
        // Some keys leave the path: look at it as a branch with one child at the place where they do.
        let rest = path.slice(shared + 1..);
        let below = if rest.is_empty() {
            child.share()
        } else {
            let rest = Node::Extension(Arc::new(Extension { path: rest, child: child.share() }));
            Child {
                reference: self.sealer.reference(rest.view(), depth + shared + 1),
                link: Link::Node(rest),
            }
        };
        let children = Children::Single(path.get_unchecked(shared), &below);
        let outcome = self.branch(&children, depth + shared, changes)?;
        Ok(self.extended(&path.slice(..shared), outcome))
    }

    fn branch<C>(
        &mut self,
        children: &Children<'_, V>,
        depth: usize,
        changes: &[(B256, C)],
    ) -> Result<Outcome<V>, StateError>
    where
        M: Merge<V, C>,
    {
        let fetched = self.fetched;
        if let (Children::Branch(branch), false) = (children, fetched)
            && changes.len() <= PREFETCH_MAX
        {
            prefetch(*branch, depth, changes);
            self.fetched = true;
        }
        let pending = self.pending;
        let mut groups = changes.chunk_by(|a, b| nibble(&a.0, depth) == nibble(&b.0, depth)).peekable();
        let frame = self.blocks.open();
        let (mut mask, mut same) = (0u16, true);
        for at in 0..16 {
            let old = children.get(at);
            let Some(group) = groups.next_if(|group| nibble(&group[0].0, depth) == at) else {
                if let Some(old) = old {
                    self.blocks.keep(frame, old);
                    mask |= 1 << at;
                }
                continue;
            };
            let outcome = self.subtree(old, depth + 1, group)?;
            same &= matches!(outcome, Outcome::Same);
            mask |= u16::from(self.add(frame, old, outcome)) << at;
        }
        self.fetched = fetched;
        if same {
            self.blocks.abandon(frame);
            return Ok(Outcome::Same);
        }
        if self.blocks.count(frame) < 2 {
            return self.collapse(frame, mask, depth, &changes[0].0);
        }
        Ok(self.finish(frame, mask, depth, pending))
    }

    /// A branch that lost all children but at most one gives way to that child.
    fn collapse(
        &mut self,
        frame: Frame,
        mask: u16,
        depth: usize,
        key: &B256,
    ) -> Result<Outcome<V>, StateError> {
        if mask == 0 {
            return Ok(Outcome::Gone);
        }
        let child = self.blocks.pop(frame, self.source.generation).expect("the mask has a bit for it");
        let at = u8::try_from(mask.trailing_zeros()).expect("a mask has 16 bits");
        let step = Nibbles::from_nibbles_unchecked([at]);
        let (node, reference) = match child {
            Child { reference, link: Link::Node(node) } => {
                (node, (!reference.is_pending()).then_some(reference))
            }
            lazy => {
                let at = ChildAt::alone(&lazy);
                let node = self.source.resolve(at, || prefix(key, depth).join(&step))?;
                (node.to_node(self.source.generation), Some(lazy.reference))
            }
        };
        Ok(Outcome::New(self.extend(&step, node, reference)))
    }

    /// Puts a path above a node. Its reference, if known, is the one it has below that path.
    fn extend(&mut self, path: &Nibbles, node: Node<V>, reference: Option<NodeRef>) -> Node<V> {
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
                    None => self.child(branch),
                };
                Node::Extension(Arc::new(Extension { path: *path, child }))
            }
        }
    }

    #[inline]
    fn child(&mut self, node: Node<V>) -> Child<V> {
        self.pending += 1;
        Child { reference: NodeRef::PENDING, link: Link::Node(node) }
    }

    /// Hashes what is below a new node when, since `before`, many references were left pending.
    fn seal_when_many(&mut self, mut node: Node<V>, depth: usize, before: usize) -> Node<V> {
        if self.pending - before >= SEAL_MIN {
            self.sealer.seal(&mut node, depth);
            self.pending = before;
        }
        node
    }
}
