//! Applying a batch of changes: one descent over the sorted keys, rebuilding what they reach.
//!
//! A subtree is rebuilt after all changes under it are done, so each new node is hashed once; subtrees are
//! hashed when they have some dozens of new nodes, which fills the hash's lanes and still fits the caches.

use std::sync::Arc;

use alloy_primitives::{B256, keccak256};
use alloy_trie::Nibbles;

use crate::StateError;
use crate::key::{matching, nibble, prefix};
use crate::node::{Branch, Child, Extension, Leaf, Link, Node, NodeRef};
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
        let mut updater = Updater { source, merge, sealer: Sealer::new(), pending: 0, fetched: false };
        Ok(match updater.subtree(self.root(), 0, changes)? {
            Outcome::Same => self.clone(),
            Outcome::Gone => Self::empty(),
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

    fn mask(&self) -> u16 {
        match self {
            Self::Branch(branch) => branch.mask(),
            Self::Single(at, _) => 1 << at,
        }
    }
}

/// New nodes that are hashed together at least.
const SEAL_MIN: usize = 64;

/// Changes whose paths are fetched together at most: what they touch fits the second-level cache.
const PREFETCH_MAX: usize = 64;

/// Fetches what the changes under a branch will touch into the cache. Following one path after the other
/// waits for memory at each step; following all of them step by step waits for many at once.
fn prefetch<V, C>(branch: &Branch<V>, depth: usize, changes: &[(B256, C)]) {
    let mut places: [Option<&Branch<V>>; PREFETCH_MAX] = [None; PREFETCH_MAX];
    places[..changes.len()].fill(Some(branch));
    for depth in depth.. {
        let mut deeper = false;
        let mut last = std::ptr::null();
        for (place, (key, _)) in places.iter_mut().zip(changes) {
            let Some(branch) = *place else { continue };
            if !std::ptr::eq(branch, last) {
                branch.fetch_children();
            }
            last = branch;
            *place = match branch.child(nibble(key, depth)).and_then(Child::in_memory) {
                Some(Node::Branch(branch)) => Some(branch),
                _ => None,
            };
            deeper |= place.is_some();
        }
        if !deeper {
            return;
        }
    }
}

struct Updater<'a, M> {
    source: &'a Source<'a>,
    merge: M,
    sealer: Sealer,
    /// References left pending.
    pending: usize,
    /// Whether the paths of the changes at hand were prefetched.
    fetched: bool,
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
            let child = self.child(branch);
            let path = Nibbles::unpack(first.key).slice(depth..depth + shared);
            return Node::Extension(Arc::new(Extension { path, child }));
        }
        let pending = self.pending;
        let mut mask = 0;
        let mut children = Vec::with_capacity(leaves.len().min(16));
        for group in leaves.chunk_by(|a, b| nibble(&a.key, depth) == nibble(&b.key, depth)) {
            mask |= 1 << nibble(&group[0].key, depth);
            let node = self.build(group, depth + 1);
            children.push(self.child(node));
        }
        let node = Node::Branch(Arc::new(Branch::new(mask, children, self.source.generation)));
        self.seal_when_many(node, depth, pending)
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
                Outcome::New(node) => Outcome::New(self.extend(path, node, None)),
                kept => kept,
            });
        }
        // Some keys leave the path: look at it as a branch with one child at the place where they do.
        let rest = path.slice(shared + 1..);
        let below = if rest.is_empty() {
            child.share()
        } else {
            let rest = Node::Extension(Arc::new(Extension { path: rest, child: child.share() }));
            Child { reference: self.sealer.reference(&rest, depth + shared + 1), link: Link::Node(rest) }
        };
        let children = Children::Single(path.get_unchecked(shared), &below);
        Ok(match self.branch(&children, depth + shared, changes)? {
            Outcome::New(node) => Outcome::New(self.extend(&path.slice(..shared), node, None)),
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
        let fetched = self.fetched;
        if let (Children::Branch(branch), false) = (children, fetched)
            && changes.len() <= PREFETCH_MAX
        {
            prefetch(branch, depth, changes);
            self.fetched = true;
        }
        let pending = self.pending;
        let mut groups = changes.chunk_by(|a, b| nibble(&a.0, depth) == nibble(&b.0, depth)).peekable();
        let changed = groups.clone().fold(0u16, |mask, group| mask | 1 << nibble(&group[0].0, depth));
        let mut kept = Vec::with_capacity((children.mask() | changed).count_ones() as usize);
        let (mut mask, mut same) = (0u16, true);
        for at in 0..16 {
            let old = children.get(at);
            let outcome = match groups.next_if(|group| nibble(&group[0].0, depth) == at) {
                Some(group) => self.subtree(old, depth + 1, group)?,
                None => Outcome::Same,
            };
            same &= matches!(outcome, Outcome::Same);
            let child = match outcome {
                Outcome::Same => old.map(Child::share),
                Outcome::Gone => None,
                Outcome::New(node) => Some(self.child(node)),
            };
            mask |= u16::from(child.is_some()) << at;
            kept.extend(child);
        }
        self.fetched = fetched;
        if same {
            return Ok(Outcome::Same);
        }
        if kept.len() < 2 {
            return self.collapse(mask, kept, depth, &changes[0].0);
        }
        let node = Node::Branch(Arc::new(Branch::new(mask, kept, self.source.generation)));
        Ok(Outcome::New(self.seal_when_many(node, depth, pending)))
    }

    /// A branch that lost all children but at most one gives way to that child.
    fn collapse<V: Value>(
        &mut self,
        mask: u16,
        mut children: Vec<Child<V>>,
        depth: usize,
        key: &B256,
    ) -> Result<Outcome<V>, StateError> {
        let Some(child) = children.pop() else { return Ok(Outcome::Gone) };
        let at = u8::try_from(mask.trailing_zeros()).expect("a mask has 16 bits");
        let step = Nibbles::from_nibbles_unchecked([at]);
        let (node, reference) = match child {
            Child { reference, link: Link::Node(node) } => {
                (node, (!reference.is_pending()).then_some(reference))
            }
            lazy => {
                let node = self.source.resolve(&lazy, || prefix(key, depth).join(&step))?;
                (node.clone(), Some(lazy.reference))
            }
        };
        Ok(Outcome::New(self.extend(&step, node, reference)))
    }

    /// Puts a path above a node. Its reference, if known, is the one it has below that path.
    fn extend<V: Value>(&mut self, path: &Nibbles, node: Node<V>, reference: Option<NodeRef>) -> Node<V> {
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
    fn child<V: Value>(&mut self, node: Node<V>) -> Child<V> {
        self.pending += 1;
        Child { reference: NodeRef::PENDING, link: Link::Node(node) }
    }

    /// Hashes what is below a new node when, since `before`, many references were left pending.
    fn seal_when_many<V: Value>(&mut self, mut node: Node<V>, depth: usize, before: usize) -> Node<V> {
        if self.pending - before >= SEAL_MIN {
            self.sealer.seal(&mut node, depth);
            self.pending = before;
        }
        node
    }
}
