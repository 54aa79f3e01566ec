//! Nodes in memory.
//!
//! A leaf lies inline in its parent and keeps its whole key, so that splitting or collapsing above it
//! doesn't change it; a branch keeps one entry for each child it has, and in the same block those of small
//! branches below it (see `block`). What is nested is found only from the branch that it is nested in, so
//! nodes are looked at through [`ChildAt`], [`NodeAt`] and [`BranchAt`]. The reference (hash or embedded
//! encoding) to a node stands beside it in its parent: hashing a branch touches no child.

use std::ops::Range;
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
    /// A small branch, which lies in the block of the one above it.
    Nested(Run),
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
    /// Always a branch with a block of its own.
    pub(crate) child: Child<V>,
}

/// Where a nested branch lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    mask: u16,
    /// See [`Branch::fresh`].
    fresh: u16,
    /// First of its entries, counted from the first entry of the branch that it is a child of.
    first: u16,
    /// How many entries it has, those of branches nested in it included.
    length: u16,
}

impl Run {
    /// The place of a branch with these entries, the first of which will be at `first`.
    pub(crate) fn new<V>(mask: u16, entries: &[Child<V>], first: usize) -> Self {
        let run = Self { mask, fresh: pending(mask, entries), first: 0, length: narrow(entries.len()) };
        run.at(first)
    }

    /// The same entries at another place.
    pub(crate) fn at(self, first: usize) -> Self {
        Self { first: narrow(first), ..self }
    }

    #[inline]
    pub(crate) fn mask(&self) -> u16 {
        self.mask
    }

    #[inline]
    pub(crate) fn fresh(&self) -> u16 {
        self.fresh
    }

    /// Its entries among those of the branch that it is a child of.
    #[inline]
    pub(crate) fn range(&self) -> Range<usize> {
        usize::from(self.first)..usize::from(self.first) + usize::from(self.length)
    }
}

/// Counts of entries are short.
fn narrow(count: usize) -> u16 {
    u16::try_from(count).expect("a block has far fewer entries than 65,536")
}

/// A branch with the block that its children lie in, and small branches below it with theirs.
#[derive(Debug)]
pub(crate) struct Branch<V> {
    /// Generation of the state that last touched it or anything under it.
    touched: AtomicU32,
    mask: u16,
    /// The children, by their number, that may still be referred to as pending.
    fresh: u16,
    /// The children in the order of the mask's bits, then the entries of each nested one.
    entries: Box<[Child<V>]>,
}

/// The numbers of the pending ones among the children that the entries begin with.
fn pending<V>(mask: u16, entries: &[Child<V>]) -> u16 {
    let children = entries[..mask.count_ones() as usize].iter().enumerate();
    children.fold(0, |pending, (i, child)| pending | u16::from(child.reference.is_pending()) << i)
}

impl<V> Branch<V> {
    /// A branch of at least two children, given in the order of the mask's bits, then the entries of those
    /// that are nested.
    pub(crate) fn new(mask: u16, entries: Vec<Child<V>>, generation: u32) -> Self {
        let fresh = pending(mask, &entries);
        Self { touched: AtomicU32::new(generation), mask, fresh, entries: entries.into_boxed_slice() }
    }

    #[inline]
    pub(crate) fn fresh(&self) -> u16 {
        self.fresh
    }

    #[inline]
    pub(crate) fn entries_mut(&mut self) -> &mut [Child<V>] {
        &mut self.entries
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
        let counts = self.entries.iter().map(|child| match &child.link {
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

/// A child where it stands, which a nested one is only there.
#[derive(Debug)]
pub(crate) struct ChildAt<'n, V> {
    pub(crate) child: &'n Child<V>,
    /// The entries of the branch that it is a child of.
    pub(crate) entries: &'n [Child<V>],
}

/// A node where it stands.
#[derive(Debug)]
pub(crate) enum NodeAt<'n, V> {
    Leaf(&'n Leaf<V>),
    Branch(BranchAt<'n, V>),
    Extension(&'n Arc<Extension<V>>),
}

/// A branch where it stands.
#[derive(Debug)]
pub(crate) struct BranchAt<'n, V> {
    pub(crate) mask: u16,
    /// Its children and what is nested in it.
    pub(crate) entries: &'n [Child<V>],
    /// The branch, if it isn't nested.
    pub(crate) own: Option<&'n Arc<Branch<V>>>,
}

impl<V> Clone for ChildAt<'_, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for ChildAt<'_, V> {}

impl<V> Clone for NodeAt<'_, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for NodeAt<'_, V> {}

impl<V> Clone for BranchAt<'_, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for BranchAt<'_, V> {}

impl<V> Node<V> {
    #[inline]
    pub(crate) fn view(&self) -> NodeAt<'_, V> {
        match self {
            Self::Leaf(leaf) => NodeAt::Leaf(leaf),
            Self::Branch(branch) => {
                NodeAt::Branch(BranchAt { mask: branch.mask, entries: &branch.entries, own: Some(branch) })
            }
            Self::Extension(extension) => NodeAt::Extension(extension),
        }
    }
}

impl<V: Clone> NodeAt<'_, V> {
    /// The node by itself; a nested branch gets a block of its own.
    pub(crate) fn to_node(self, generation: u32) -> Node<V> {
        match self {
            Self::Leaf(leaf) => Node::Leaf(leaf.clone()),
            Self::Extension(extension) => Node::Extension(Arc::clone(extension)),
            Self::Branch(BranchAt { own: Some(branch), .. }) => Node::Branch(Arc::clone(branch)),
            Self::Branch(BranchAt { mask, entries, own: None }) => {
                let entries = entries.iter().map(Child::share).collect();
                Node::Branch(Arc::new(Branch::new(mask, entries, generation)))
            }
        }
    }
}

impl<'n, V> BranchAt<'n, V> {
    /// The children in the order of the mask's bits.
    #[inline]
    pub(crate) fn children(&self) -> &'n [Child<V>] {
        &self.entries[..self.mask.count_ones() as usize]
    }

    #[inline]
    pub(crate) fn child(&self, nibble: u8) -> Option<ChildAt<'n, V>> {
        let bit = 1u16 << nibble;
        if self.mask & bit == 0 {
            return None;
        }
        let child = self.entries.get((self.mask & (bit - 1)).count_ones() as usize)?;
        Some(ChildAt { child, entries: self.entries })
    }
}

impl<'n, V> ChildAt<'n, V> {
    /// A root or the child of an extension.
    #[inline]
    pub(crate) fn alone(child: &'n Child<V>) -> Self {
        Self { child, entries: &[] }
    }

    /// The branch that lies at a place among this child's siblings.
    #[inline]
    pub(crate) fn nested(&self, run: &Run) -> NodeAt<'n, V> {
        NodeAt::Branch(BranchAt { mask: run.mask, entries: &self.entries[run.range()], own: None })
    }

    /// The node, if this snapshot holds it in memory.
    #[inline]
    pub(crate) fn in_memory(&self) -> Option<NodeAt<'n, V>> {
        match &self.child.link {
            Link::Node(node) => Some(node.view()),
            Link::Lazy(cell) => cell.node.get().map(|node| node.view()),
            Link::Nested(run) => Some(self.nested(run)),
        }
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
}

impl<V: Clone> Child<V> {
    /// A copy that leaves out the cell of a node that has been loaded. That of a nested one says where
    /// its entries are in the block at hand.
    #[inline]
    pub(crate) fn share(&self) -> Self {
        let link = match &self.link {
            Link::Lazy(cell) => match cell.node.get() {
                Some(node) => Link::Node((**node).clone()),
                None => Link::Lazy(Arc::clone(cell)),
            },
            loaded => loaded.clone(),
        };
        Self { reference: self.reference, link }
    }
}
