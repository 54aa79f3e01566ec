//! Applying a batch of changes: one descent over the sorted keys, rebuilding what they reach.
//!
//! A subtree is rebuilt after all changes under it are done, so each new node is hashed once; subtrees are
//! hashed when they have some dozens of new nodes, which fills the hash's lanes and still fits the caches.

use std::sync::Arc;

use alloy_primitives::{B256, keccak256};
use alloy_trie::Nibbles;

use crate::StateError;
use crate::block::{Blocks, Frame, Only, Small};
use crate::key::{matching, nibble, prefix};
use crate::node::{BranchAt, Child, ChildAt, Extension, Leaf, LeafAt, Link, Masks, Node, NodeAt, NodeRef};
use crate::patch::Patch;
use crate::seal::Sealer;
use crate::trie::{Source, Trie};
use crate::value::Value;

/// Makes a key's new value (`None`: no value) of its old one and a change.
pub(crate) trait Merge<V, C> {
    fn merge(&mut self, key: &B256, old: Option<&V>, change: &C) -> Result<Option<V>, StateError>;

    /// Fetches a change that will soon be merged into the cache, where it isn't at hand already.
    fn fetch(&self, _: &C) {}
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
            Outcome::Small(_) | Outcome::Leaf(_) => unreachable!("it got a place of its own"),
            Outcome::New(mut node) => {
                updater.sealer.seal(&mut node, 0);
                let reference = NodeRef::hash(keccak256(updater.sealer.encode_root(&node)));
                Self::with_root(Some(Child { reference, link: Link::Node(node) }))
            }
        })
    }
}

/// What becomes of a subtree.
enum Outcome<V: Value> {
    Same,
    Gone,
    /// A new leaf.
    Leaf(Leaf<V>),
    /// Any new node.
    New(Node<V>),
    /// A new branch that may be nested.
    Small(Small),
}

/// New nodes that are hashed together at least.
const SEAL_MIN: usize = 64;

/// Changes whose paths are fetched together at most: what they touch fits the second-level cache.
const PREFETCH_MAX: usize = 64;

/// Fetches what the changes under a branch will touch into the cache. Following one path after the other
/// waits for memory at each step; following all of them step by step waits for many at once.
fn prefetch<V: Value, C>(branch: BranchAt<'_, V>, depth: usize, changes: &[(B256, C)]) {
    let mut places: [Option<BranchAt<'_, V>>; PREFETCH_MAX] = [None; PREFETCH_MAX];
    places[..changes.len()].fill(Some(branch));
    for depth in depth.. {
        let mut deeper = false;
        let mut last = std::ptr::null();
        for (place, (key, _)) in places.iter_mut().zip(changes) {
            let Some(BranchAt { own: Some(branch), .. }) = *place else { continue };
            if !std::ptr::eq(Arc::as_ptr(branch), last) {
                branch.fetch();
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

struct Updater<'a, M, V: Value> {
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
                if let Some(outcome) = self.patch(&branch, depth, changes)? {
                    return Ok(outcome);
                }
                self.branch(branch, depth, changes)
            }
            NodeAt::Extension(extension) => self.extension(extension, depth, changes),
        }
    }

    /// Applies changes to nothing but the values of plain leaves in one block, if they are such: of the block
    /// a copy is made as it stands, and the changed values put in.
    fn patch<C>(
        &mut self,
        branch: &BranchAt<'_, V>,
        depth: usize,
        changes: &[(B256, C)],
    ) -> Result<Option<Outcome<V>>, StateError>
    where
        M: Merge<V, C>,
    {
        let found = |(key, _): &(B256, C)| branch.plain_leaf(key, depth).is_some();
        if branch.own.is_none() || !branch.others.is_empty() || !changes.iter().all(found) {
            return Ok(None);
        }
        let mut patch = None;
        for (key, change) in changes {
            let Some(leaf) = branch.plain_leaf(key, depth) else { return Ok(None) };
            let old = V::from_plain(&leaf.value);
            let new = self.merge.merge(key, Some(&old), change)?;
            if new.as_ref() == Some(&old) {
                continue;
            }
            let Some(value) = new.and_then(|new| new.plain()) else { return Ok(None) };
            patch.get_or_insert_with(|| Patch::new(branch)).put(key, depth, value);
        }
        let Some(patch) = patch else { return Ok(Some(Outcome::Same)) };
        let pending = self.pending;
        self.pending += patch.pending();
        let node = Node::Branch(Arc::new(patch.finish(self.source.generation)));
        Ok(Some(Outcome::New(self.seal_when_many(node, depth, pending))))
    }

    /// Applies changes where there is at most one leaf.
    fn leaves<C>(
        &mut self,
        leaf: Option<LeafAt<'_, V>>,
        depth: usize,
        changes: &[(B256, C)],
    ) -> Result<Outcome<V>, StateError>
    where
        M: Merge<V, C>,
    {
        if let ([(key, change)], true) = (changes, leaf.is_none_or(|leaf| *leaf.key() == changes[0].0)) {
            let old = leaf.map(|leaf| leaf.value());
            let new = self.merge.merge(key, old.as_ref(), change)?;
            return Ok(match new {
                same if same == old => Outcome::Same,
                None => Outcome::Gone,
                Some(value) => Outcome::Leaf(Leaf { key: *key, value }),
            });
        }
        let mut leaves = Vec::with_capacity(changes.len() + usize::from(leaf.is_some()));
        let mut same = true;
        let mut waiting = leaf;
        for (key, change) in changes {
            if let Some(before) = waiting.take_if(|leaf| leaf.key() < key) {
                leaves.push(before.to_leaf());
            }
            let old = waiting.take_if(|leaf| leaf.key() == key).map(|leaf| leaf.value());
            let new = self.merge.merge(key, old.as_ref(), change)?;
            same &= new == old;
            leaves.extend(new.map(|value| Leaf { key: *key, value }));
        }
        leaves.extend(waiting.map(LeafAt::to_leaf));
        Ok(match leaves.as_slice() {
            _ if same => Outcome::Same,
            [] => Outcome::Gone,
            leaves => self.build(leaves, depth),
        })
    }

    /// The subtree of at least one leaf, sorted by key, that agree in the first `depth` nibbles.
    fn build(&mut self, leaves: &[Leaf<V>], depth: usize) -> Outcome<V> {
        let [first, .., last] = leaves else {
            return Outcome::Leaf(leaves.first().expect("a subtree has a leaf").clone());
        };
        let shared = (depth..).take_while(|at| nibble(&first.key, *at) == nibble(&last.key, *at)).count();
        if shared > 0 {
            let branch = self.build(leaves, depth + shared);
            let path = Nibbles::unpack(first.key).slice(depth..depth + shared);
            return self.extended(&path, branch);
        }
        let pending = self.pending;
        let mut frame = self.blocks.open();
        for group in leaves.chunk_by(|a, b| nibble(&a.key, depth) == nibble(&b.key, depth)) {
            let outcome = self.build(group, depth + 1);
            self.add(&mut frame, nibble(&group[0].key, depth), None, outcome);
        }
        self.finish(&frame, depth, pending)
    }

    /// Adds what became of a child to a branch in the making.
    fn add(&mut self, frame: &mut Frame, at: u8, old: Option<ChildAt<'_, V>>, outcome: Outcome<V>) {
        match (outcome, old) {
            (Outcome::Same, Some(old)) => self.blocks.keep(frame, at, old),
            (Outcome::Same, None) | (Outcome::Gone, _) => {}
            (Outcome::Leaf(leaf), _) => {
                self.pending += 1;
                self.blocks.push_leaf(frame, at, leaf, NodeRef::PENDING);
            }
            (Outcome::New(node), _) => {
                let child = self.child(node);
                self.blocks.push(frame, at, child);
            }
            (Outcome::Small(small), _) => {
                self.pending += 1;
                self.blocks.push_small(frame, at, small, self.source.generation);
            }
        }
    }

    /// Finishes a branch of at least two children; `pending` is what was when it was begun.
    fn finish(&mut self, frame: &Frame, depth: usize, pending: usize) -> Outcome<V> {
        if let Some(small) = self.blocks.small(frame) {
            return Outcome::Small(small);
        }
        let branch = self.blocks.branch(frame, self.source.generation);
        Outcome::New(self.seal_when_many(Node::Branch(Arc::new(branch)), depth, pending))
    }

    /// Gives a leaf or a small branch a place of its own.
    fn alone(&mut self, outcome: Outcome<V>) -> Outcome<V> {
        match outcome {
            Outcome::Small(small) => {
                let branch = self.blocks.alone(small, self.source.generation);
                Outcome::New(Node::Branch(Arc::new(branch)))
            }
            Outcome::Leaf(leaf) => Outcome::New(Node::Leaf(Arc::new(leaf))),
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
            let outcome = self.subtree(Some(ChildAt::Other(child)), depth + shared, changes)?;
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
        let masks = Masks { all: 1 << path.get_unchecked(shared), plain: 0, fresh: 0 };
        let single = BranchAt { masks, plain: &[], others: std::slice::from_ref(&below), own: None };
        let outcome = self.branch(single, depth + shared, changes)?;
        Ok(self.extended(&path.slice(..shared), outcome))
    }

    fn branch<C>(
        &mut self,
        branch: BranchAt<'_, V>,
        depth: usize,
        changes: &[(B256, C)],
    ) -> Result<Outcome<V>, StateError>
    where
        M: Merge<V, C>,
    {
        let fetched = self.fetched;
        if !fetched && branch.own.is_some() && changes.len() <= PREFETCH_MAX {
            changes.iter().for_each(|(_, change)| self.merge.fetch(change));
            prefetch(branch, depth, changes);
            self.fetched = true;
        }
        let pending = self.pending;
        let mut groups = changes.chunk_by(|a, b| nibble(&a.0, depth) == nibble(&b.0, depth)).peekable();
        let mut frame = self.blocks.open();
        let mut same = true;
        for (at, old) in (0..16).zip(branch.children()) {
            let Some(group) = groups.next_if(|group| nibble(&group[0].0, depth) == at) else {
                if let Some(old) = old {
                    self.blocks.keep(&mut frame, at, old);
                }
                continue;
            };
            let outcome = self.subtree(old, depth + 1, group)?;
            same &= matches!(outcome, Outcome::Same);
            self.add(&mut frame, at, old, outcome);
        }
        self.fetched = fetched;
        if same {
            self.blocks.abandon(&frame);
            return Ok(Outcome::Same);
        }
        if frame.count() < 2 {
            return self.collapse(&frame, depth, &changes[0].0);
        }
        Ok(self.finish(&frame, depth, pending))
    }

    /// A branch that lost all children but at most one gives way to that child.
    fn collapse(&mut self, frame: &Frame, depth: usize, key: &B256) -> Result<Outcome<V>, StateError> {
        let child = match self.blocks.only(frame, self.source.generation) {
            None => return Ok(Outcome::Gone),
            Some(Only::Leaf(leaf)) => return Ok(Outcome::Leaf(leaf)),
            Some(Only::Other(child)) => child,
        };
        let step = Nibbles::from_nibbles_unchecked([frame.first()]);
        let at = ChildAt::Other(&child);
        self.source.resolve(at, || prefix(key, depth).join(&step))?;
        let Link::Node(node) = child.share().link else { unreachable!("it is loaded by now") };
        let reference = (!child.reference.is_pending()).then_some(child.reference);
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
