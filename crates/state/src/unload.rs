//! Letting go of subtrees that the disk holds and nobody has used of late.
//!
//! Whoever uses a node passes through all branches above it and marks them, so a branch with an old mark
//! stands above nothing but nodes with old marks.

use std::sync::Arc;

use crate::block::Blocks;
use crate::node::{BranchAt, Child, ChildAt, Extension, Lazy, Leaf, LeafAt, Link, Node, NodeAt};
use crate::trie::Trie;
use crate::value::{Account, Contract, Value};

/// When to let go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Threshold {
    /// Branches last touched before this generation are cold.
    pub(crate) cold_before: u32,
    /// What copied branches are marked with: their copies must outlive the snapshots that have the originals.
    pub(crate) generation: u32,
}

/// A value that may have a trie of its own.
pub(crate) trait Unload: Value {
    /// The value with cold nodes let go of; `None` when there are none. `disk` is the value on disk under the
    /// same key, `None` when it is known to be equal.
    fn unload(&self, disk: Option<&Self>, threshold: Threshold) -> Option<Self>;
}

impl Unload for alloy_primitives::U256 {
    fn unload(&self, _: Option<&Self>, _: Threshold) -> Option<Self> {
        None
    }
}

impl Unload for Account {
    fn unload(&self, disk: Option<&Self>, threshold: Threshold) -> Option<Self> {
        let contract = self.contract.as_ref()?;
        let storage = match disk {
            Some(disk) => trie(&contract.storage, Some(disk.storage()?), threshold)?,
            None => trie(&contract.storage, None, threshold)?,
        };
        let contract = Some(Arc::new(Contract { storage, ..Contract::clone(contract) }));
        Some(Self { contract, ..*self })
    }
}

/// The trie with cold nodes let go of, likewise.
pub(crate) fn trie<V: Unload>(
    trie: &Trie<V>,
    disk: Option<&Trie<V>>,
    threshold: Threshold,
) -> Option<Trie<V>> {
    let root = trie.root()?;
    let root = match disk {
        Some(disk) => child(root, Some(disk.root()?), threshold)?,
        None => child(root, None, threshold)?,
    };
    Some(Trie::with_root(Some(root)))
}

fn child<V: Unload>(
    at: ChildAt<'_, V>,
    disk: Option<ChildAt<'_, V>>,
    threshold: Threshold,
) -> Option<Child<V>> {
    // A plain child owns nothing; a nested branch goes when the block does that it lies in.
    let ChildAt::Other(Child { reference, .. }) = at else { return None };
    let disk = disk.filter(|disk| disk.reference() != reference);
    let link = match (at.in_memory()?, disk) {
        (NodeAt::Branch(BranchAt { own: Some(branch), .. }), None)
            if branch.touched() < threshold.cold_before && !reference.is_embedded() =>
        {
            Link::Lazy(Arc::new(Lazy::unloaded(branch)))
        }
        (node, None) => Link::Node(self::node(node, None, threshold)?),
        (node, Some(disk)) => Link::Node(self::node(node, Some(disk.in_memory()?), threshold)?),
    };
    Some(Child { reference: *reference, link })
}

fn node<V: Unload>(at: NodeAt<'_, V>, disk: Option<NodeAt<'_, V>>, threshold: Threshold) -> Option<Node<V>> {
    match (at, disk) {
        (NodeAt::Leaf(at), None) => leaf(at, None, threshold),
        (NodeAt::Leaf(at), Some(NodeAt::Leaf(disk))) if at.key() == disk.key() => {
            leaf(at, Some(&disk.value()), threshold)
        }
        (NodeAt::Branch(at), None) => branch(at, None, threshold),
        (NodeAt::Branch(at), Some(NodeAt::Branch(disk))) => branch(at, Some(disk), threshold),
        (NodeAt::Extension(at), None) => extension(at, None, threshold),
        (NodeAt::Extension(at), Some(NodeAt::Extension(disk))) if at.path == disk.path => {
            extension(at, Some(&disk.child), threshold)
        }
        // Another shape than on disk: too little is gained by looking for what they share.
        _ => None,
    }
}

fn leaf<V: Unload>(at: LeafAt<'_, V>, disk: Option<&V>, threshold: Threshold) -> Option<Node<V>> {
    Some(Node::Leaf(Arc::new(Leaf { key: *at.key(), value: at.other()?.unload(disk, threshold)? })))
}

fn extension<V: Unload>(at: &Extension<V>, disk: Option<&Child<V>>, threshold: Threshold) -> Option<Node<V>> {
    let child = child(ChildAt::Other(&at.child), disk.map(ChildAt::Other), threshold)?;
    Some(Node::Extension(Arc::new(Extension { path: at.path, child })))
}

fn branch<V: Unload>(
    at: BranchAt<'_, V>,
    disk: Option<BranchAt<'_, V>>,
    threshold: Threshold,
) -> Option<Node<V>> {
    let mut changed = false;
    let mut blocks = Blocks::default();
    let mut frame = blocks.open();
    for nibble in 0..16 {
        let Some(original) = at.child(nibble) else { continue };
        let unloaded = match &disk {
            None => child(original, None, threshold),
            Some(disk) => disk.child(nibble).and_then(|disk| child(original, Some(disk), threshold)),
        };
        changed |= unloaded.is_some();
        match unloaded {
            Some(child) => blocks.push(&mut frame, nibble, child),
            None => blocks.keep(&mut frame, nibble, original),
        }
    }
    changed.then(|| Node::Branch(Arc::new(blocks.branch(&frame, threshold.generation))))
}
