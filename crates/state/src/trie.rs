//! One trie: reading, loading and proving.

use alloy_primitives::{B256, Bytes, keccak256};
use alloy_trie::Nibbles;

use crate::codec::{Encoder, decode};
use crate::key::{matching, nibble, prefix};
use crate::node::{BranchAt, Child, ChildAt, LeafAt, Link, Node, NodeAt, NodeRef};
use crate::value::Value;
use crate::{EMPTY_ROOT, NodeKey, NodeReader, StateError};

/// A trie over 32-byte hashed keys.
#[derive(Clone, Debug)]
pub(crate) struct Trie<V: Value> {
    root: Option<Child<V>>,
}

/// Where a trie's unloaded nodes come from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source<'a> {
    pub(crate) reader: Option<&'a dyn NodeReader>,
    /// Hashed address of the account whose storage trie it is; `None` for the account trie.
    pub(crate) owner: Option<B256>,
    /// What branches are marked with when they are used.
    pub(crate) generation: u32,
}

impl<'a> Source<'a> {
    pub(crate) fn of_storage(&self, owner: B256) -> Self {
        Self { owner: Some(owner), ..*self }
    }

    /// The node of a child, which stands at `path`; loads it if need be.
    #[inline]
    pub(crate) fn resolve<'n, V: Value>(
        &self,
        at: ChildAt<'n, V>,
        path: impl FnOnce() -> Nibbles,
    ) -> Result<NodeAt<'n, V>, StateError> {
        let child = match at {
            ChildAt::Plain(child, entries) => return Ok(child.node.view(entries)),
            ChildAt::Other(child) => child,
        };
        match &child.link {
            Link::Node(node) => Ok(node.view()),
            Link::Lazy(cell) => match cell.get() {
                Some(node) => Ok(node.view()),
                None => Ok(cell.fill(self.load(&child.reference, path())?).view()),
            },
        }
    }

    /// Visits the leaves under a child, which stands at `path`.
    fn each<V: Value, E: From<StateError>>(
        &self,
        at: ChildAt<'_, V>,
        path: Nibbles,
        visit: &mut impl FnMut(LeafAt<'_, V>) -> Result<(), E>,
    ) -> Result<(), E> {
        let held = || match at {
            ChildAt::Other(Child { link: Link::Lazy(cell), .. }) => cell.get().map(Node::view),
            _ => at.in_memory(),
        };
        if let Some(node) = held() {
            return self.each_below(node, path, visit);
        }
        match (self.load(at.reference(), path), held()) {
            (Ok(node), _) => self.each_below(node.view(), path, visit),
            // The disk was overwritten meanwhile; whoever did that had put the node in before.
            (Err(_), Some(node)) => self.each_below(node, path, visit),
            (Err(error), None) => Err(error.into()),
        }
    }

    fn each_below<V: Value, E: From<StateError>>(
        &self,
        node: NodeAt<'_, V>,
        mut path: Nibbles,
        visit: &mut impl FnMut(LeafAt<'_, V>) -> Result<(), E>,
    ) -> Result<(), E> {
        match node {
            NodeAt::Leaf(leaf) => visit(leaf),
            NodeAt::Extension(extension) => {
                self.each(ChildAt::Other(&extension.child), path.join(&extension.path), visit)
            }
            NodeAt::Branch(branch) => {
                for (nibble, child) in (0u8..).zip(branch.children()) {
                    let Some(child) = child else { continue };
                    path.push(nibble);
                    self.each(child, path, visit)?;
                    path.pop();
                }
                Ok(())
            }
        }
    }

    /// Notes that a branch is used. A nested one lies in a branch that was noted on the way.
    #[inline]
    pub(crate) fn touch<V: Value>(&self, branch: &BranchAt<'_, V>) {
        if let Some(own) = branch.own {
            own.touch(self.generation);
        }
    }

    fn load<V: Value>(&self, reference: &NodeRef, path: Nibbles) -> Result<Node<V>, StateError> {
        let key = NodeKey { owner: self.owner, path };
        let expected = reference.as_hash().expect("an embedded node is decoded along with its parent");
        let bytes = match self.reader {
            Some(reader) => reader.node(&key)?,
            None => None,
        };
        let bytes = bytes.ok_or_else(|| StateError::MissingNode { key: Box::new(key), expected })?;
        let found = keccak256(&bytes);
        if found != expected {
            return Err(StateError::CorruptNode { key: Box::new(key), expected, found });
        }
        decode(&bytes, &path, self.generation)
            .map_err(|reason| StateError::MalformedNode { key: Box::new(key), reason })
    }
}

impl<V: Value> Trie<V> {
    pub(crate) const fn empty() -> Self {
        Self { root: None }
    }

    /// The trie with a root hash, none of it loaded.
    pub(crate) fn at(root: B256) -> Self {
        Self { root: (root != EMPTY_ROOT).then(|| Child::lazy(root)) }
    }

    pub(crate) fn with_root(root: Option<Child<V>>) -> Self {
        Self { root }
    }

    pub(crate) fn root(&self) -> Option<ChildAt<'_, V>> {
        self.root.as_ref().map(ChildAt::Other)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.root.is_none()
    }

    pub(crate) fn root_hash(&self) -> B256 {
        self.root.as_ref().map_or(EMPTY_ROOT, |root| {
            root.reference.as_hash().expect("a root is referred to by hash, however short it is")
        })
    }
}

impl<V: Value> Trie<V> {
    /// The leaf with a hashed key.
    pub(crate) fn get(&self, source: &Source<'_>, key: &B256) -> Result<Option<LeafAt<'_, V>>, StateError> {
        self.walk(source, key, |_, _, _| ())
    }

    /// The encodings of the nodes from the root towards a key, as far as they are referred to by hash: the
    /// proof of what is under the key, or that nothing is.
    pub(crate) fn prove(
        &self,
        source: &Source<'_>,
        key: &B256,
    ) -> Result<(Option<LeafAt<'_, V>>, Vec<Bytes>), StateError> {
        let mut encoder = Encoder::new();
        let mut proof = Vec::new();
        let leaf = self.walk(source, key, |reference, node, depth| {
            if !reference.is_embedded() {
                proof.push(Bytes::copy_from_slice(encoder.encode(node, depth)));
            }
        })?;
        Ok((leaf, proof))
    }

    /// Visits all leaves in the order of their keys. Nodes that have to be loaded are let go of again.
    pub(crate) fn each<E: From<StateError>>(
        &self,
        source: &Source<'_>,
        mut visit: impl FnMut(LeafAt<'_, V>) -> Result<(), E>,
    ) -> Result<(), E> {
        match self.root() {
            Some(root) => source.each(root, Nibbles::new(), &mut visit),
            None => Ok(()),
        }
    }

    /// Follows a key from the root as far as the trie goes.
    #[inline]
    fn walk(
        &self,
        source: &Source<'_>,
        key: &B256,
        mut visit: impl FnMut(&NodeRef, NodeAt<'_, V>, usize),
    ) -> Result<Option<LeafAt<'_, V>>, StateError> {
        let mut depth = 0;
        let mut next = self.root();
        while let Some(at) = next {
            let node = source.resolve(at, || prefix(key, depth))?;
            visit(at.reference(), node, depth);
            next = match node {
                NodeAt::Leaf(leaf) => return Ok((leaf.key() == key).then_some(leaf)),
                NodeAt::Branch(branch) => {
                    source.touch(&branch);
                    let child = branch.child(nibble(key, depth));
                    depth += 1;
                    child
                }
                NodeAt::Extension(extension) => {
                    let length = extension.path.len();
                    let follows = matching(key, depth, &extension.path) == length;
                    depth += length;
                    follows.then_some(ChildAt::Other(&extension.child))
                }
            };
        }
        Ok(None)
    }
}
