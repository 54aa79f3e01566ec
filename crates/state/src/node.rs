//! Nodes in memory.
//!
//! A leaf lies inline in its parent and keeps its whole key, so that splitting or collapsing above it
//! doesn't change it; a branch keeps one entry for each child it has. The reference (hash or embedded
//! encoding) to a node stands beside it in its parent: hashing a branch touches no child.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use alloy_primitives::{B256, keccak256};
use alloy_trie::Nibbles;

/// How a parent refers to a child: by the keccak256 of its encoding, or, when that is shorter than 32
/// bytes, by the encoding itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NodeRef {
    bytes: [u8; 32],
    kind: RefKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RefKind {
    Hash,
    Embedded,
    Pending,
}

impl NodeRef {
    /// The reference to a node in the making, until its encoding is known. No update lets one out.
    pub(crate) const PENDING: Self = Self { bytes: [0; 32], kind: RefKind::Pending };

    pub(crate) fn hash(hash: B256) -> Self {
        Self { bytes: hash.0, kind: RefKind::Hash }
    }

    pub(crate) fn of(encoding: &[u8]) -> Self {
        Self::embedded(encoding).unwrap_or_else(|| Self::hash(keccak256(encoding)))
    }

    /// The reference to a node with an encoding shorter than 32 bytes.
    pub(crate) fn embedded(encoding: &[u8]) -> Option<Self> {
        let mut bytes = [0; 32];
        if encoding.len() >= bytes.len() {
            return None;
        }
        bytes[..encoding.len()].copy_from_slice(encoding);
        Some(Self { bytes, kind: RefKind::Embedded })
    }

    pub(crate) fn as_hash(&self) -> Option<B256> {
        (self.kind == RefKind::Hash).then_some(B256::new(self.bytes))
    }

    #[inline]
    pub(crate) fn is_embedded(&self) -> bool {
        self.kind == RefKind::Embedded
    }

    #[inline]
    pub(crate) fn is_pending(&self) -> bool {
        self.kind == RefKind::Pending
    }

    /// The embedded encoding, or the 32 bytes of the hash.
    #[inline]
    pub(crate) fn payload(&self) -> &[u8] {
        assert!(!self.is_pending(), "children are hashed before their parent");
        // An embedded node is a list shorter than 32 bytes: its first byte is 0xc0 + payload length.
        if self.is_embedded() { &self.bytes[..usize::from(self.bytes[0] - 0xc0) + 1] } else { &self.bytes }
    }
}

/// A reference with the node behind it.
#[derive(Clone, Debug)]
pub(crate) struct Child<V> {
    pub(crate) reference: NodeRef,
    pub(crate) link: Link<V>,
}

/// A node, or the cell that it will be loaded into.
#[derive(Clone, Debug)]
pub(crate) enum Link<V> {
    Node(Node<V>),
    Lazy(Arc<Lazy<V>>),
}

#[derive(Clone, Debug)]
pub(crate) enum Node<V> {
    Leaf(Leaf<V>),
    Branch(Arc<Branch<V>>),
    Extension(Arc<Extension<V>>),
}

#[derive(Clone, Debug)]
pub(crate) struct Leaf<V> {
    pub(crate) key: B256,
    pub(crate) value: V,
}

#[derive(Debug)]
pub(crate) struct Extension<V> {
    pub(crate) path: Nibbles,
    /// Always a branch.
    pub(crate) child: Child<V>,
}

#[derive(Debug)]
pub(crate) struct Branch<V> {
    /// Generation of the state that last touched it or anything under it.
    touched: AtomicU32,
    mask: u16,
    children: Box<[Child<V>]>,
}

impl<V> Branch<V> {
    /// A branch of at least two children, given in the order of the mask's bits.
    pub(crate) fn new(mask: u16, children: Vec<Child<V>>, generation: u32) -> Self {
        debug_assert_eq!(mask.count_ones() as usize, children.len());
        Self { touched: AtomicU32::new(generation), mask, children: children.into_boxed_slice() }
    }

    #[inline]
    pub(crate) fn mask(&self) -> u16 {
        self.mask
    }

    #[inline]
    pub(crate) fn children(&self) -> &[Child<V>] {
        &self.children
    }

    #[inline]
    pub(crate) fn children_mut(&mut self) -> &mut [Child<V>] {
        &mut self.children
    }

    #[inline]
    pub(crate) fn child(&self, nibble: u8) -> Option<&Child<V>> {
        let bit = 1u16 << nibble;
        if self.mask & bit == 0 {
            return None;
        }
        self.children.get((self.mask & (bit - 1)).count_ones() as usize)
    }

    /// Notes use. Ordering doesn't matter: the mark decides only what is kept in memory.
    #[inline]
    pub(crate) fn touch(&self, generation: u32) {
        if self.touched.load(Ordering::Relaxed) < generation {
            self.touched.store(generation, Ordering::Relaxed);
        }
    }

    pub(crate) fn touched(&self) -> u32 {
        self.touched.load(Ordering::Relaxed)
    }

    /// Fetches the children's counters into the cache. Sharing or dropping a child changes its counter, and
    /// such atomic changes wait for memory one after the other; plain reads ahead of them wait all at once.
    pub(crate) fn fetch_children(&self) {
        let counts = self.children.iter().map(|child| match &child.link {
            Link::Node(Node::Branch(branch)) => Arc::strong_count(branch),
            _ => 0,
        });
        std::hint::black_box(counts.max());
    }
}

impl<V> Drop for Branch<V> {
    fn drop(&mut self) {
        self.fetch_children();
    }
}

/// A node on disk: loaded at most once, for all snapshots that share the cell.
#[derive(Debug)]
pub(crate) struct Lazy<V> {
    node: OnceLock<Box<Node<V>>>,
    /// The branch that was unloaded here. While some snapshot still holds it, it is taken back instead of
    /// being loaded again: a second copy would have cells of its own, and changes under those would
    /// overwrite on disk what the first copy hasn't loaded yet.
    recall: Option<Weak<Branch<V>>>,
}

impl<V> Lazy<V> {
    pub(crate) fn new() -> Self {
        Self { node: OnceLock::new(), recall: None }
    }

    pub(crate) fn unloaded(branch: &Arc<Branch<V>>) -> Self {
        Self { node: OnceLock::new(), recall: Some(Arc::downgrade(branch)) }
    }

    /// The node, if it is in memory.
    #[inline]
    pub(crate) fn get(&self) -> Option<&Node<V>> {
        if let Some(node) = self.node.get() {
            return Some(node);
        }
        let branch = self.recall.as_ref()?.upgrade()?;
        Some(self.fill(Node::Branch(branch)))
    }

    /// Puts the loaded node in; when another thread was faster, its node stays.
    pub(crate) fn fill(&self, node: Node<V>) -> &Node<V> {
        self.node.get_or_init(|| Box::new(node))
    }
}

impl<V> Child<V> {
    pub(crate) fn lazy(hash: B256) -> Self {
        Self { reference: NodeRef::hash(hash), link: Link::Lazy(Arc::new(Lazy::new())) }
    }

    /// The node, if it did not come from disk.
    pub(crate) fn node_mut(&mut self) -> Option<&mut Node<V>> {
        match &mut self.link {
            Link::Node(node) => Some(node),
            Link::Lazy(_) => None,
        }
    }

    /// The node, if this snapshot holds it in memory.
    pub(crate) fn in_memory(&self) -> Option<&Node<V>> {
        match &self.link {
            Link::Node(node) => Some(node),
            Link::Lazy(cell) => cell.node.get().map(|node| &**node),
        }
    }
}

impl<V: Clone> Child<V> {
    /// A copy that leaves out the cell of a node that has been loaded.
    #[inline]
    pub(crate) fn share(&self) -> Self {
        let link = match &self.link {
            Link::Lazy(cell) => match cell.node.get() {
                Some(node) => Link::Node((**node).clone()),
                None => Link::Lazy(Arc::clone(cell)),
            },
            loaded @ Link::Node(_) => loaded.clone(),
        };
        Self { reference: self.reference, link }
    }
}
