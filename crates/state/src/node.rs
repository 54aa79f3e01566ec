//! Nodes in memory.
//!
//! A leaf keeps its whole key, so that splitting or collapsing above it doesn't change it. Most leaves are
//! plain: they own no memory and lie in their parent, in the same block as the leaves of small branches below
//! it (see `block`). Such a block is copied as bytes and given up unread. What is nested is found only from
//! the branch that it is nested in, so nodes are looked at through [`ChildAt`], [`NodeAt`] and [`BranchAt`].
//! The reference (hash or embedded encoding) to a node stands beside it in its parent: hashing a branch
//! touches no child.

use std::fmt::Debug;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use alloy_primitives::{B256, keccak256};
use alloy_trie::Nibbles;

use crate::key::{KEY_NIBBLES, nibble};
use crate::value::Value;

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

/// A child that owns no memory, with its reference.
#[derive(Copy, Debug)]
pub(crate) struct Plain<P> {
    pub(crate) reference: NodeRef,
    pub(crate) node: PlainNode<P>,
}

/// A derived one would go field by field; this makes the copy of a block one move of bytes.
impl<P: Copy> Clone for Plain<P> {
    #[inline]
    fn clone(&self) -> Self {
        *self
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum PlainNode<P> {
    Leaf(Leaf<P>),
    /// A small branch, which lies in the block of the one above it.
    Nested(Run),
}

/// Any other child, with its reference.
#[derive(Clone, Debug)]
pub(crate) struct Child<V: Value> {
    pub(crate) reference: NodeRef,
    pub(crate) link: Link<V>,
}

/// A node, or the cell that it will be loaded into.
#[derive(Clone, Debug)]
pub(crate) enum Link<V: Value> {
    Node(Node<V>),
    Lazy(Arc<Lazy<V>>),
}

#[derive(Clone, Debug)]
pub(crate) enum Node<V: Value> {
    /// The child of a branch only if it cannot be plain.
    Leaf(Arc<Leaf<V>>),
    Branch(Arc<Branch<V>>),
    Extension(Arc<Extension<V>>),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Leaf<V> {
    pub(crate) key: B256,
    pub(crate) value: V,
}

#[derive(Debug)]
pub(crate) struct Extension<V: Value> {
    pub(crate) path: Nibbles,
    /// Always a branch with a block of its own.
    pub(crate) child: Child<V>,
}

/// Which children a branch has, a bit for each nibble.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Masks {
    pub(crate) all: u16,
    /// Those that are plain.
    pub(crate) plain: u16,
    /// Those that are referred to as pending.
    pub(crate) fresh: u16,
}

impl Masks {
    /// The place of the child at a nibble, which the branch has, among those of its sort.
    #[inline]
    pub(crate) fn place(&self, nibble: u8) -> Place {
        let bit = 1u16 << nibble;
        let before = |sort: u16| (sort & (bit - 1)).count_ones() as usize;
        if self.plain & bit == 0 {
            Place::Other(before(self.all & !self.plain))
        } else {
            Place::Plain(before(self.plain))
        }
    }
}

/// Where a child stands.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    Plain(usize),
    Other(usize),
}

/// Where a nested branch lies. All its children are plain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    mask: u16,
    fresh: u16,
    /// First of its entries, counted from the first plain child of the branch that it is a child of.
    first: u16,
    /// How many entries it has, those of branches nested in it included.
    length: u16,
}

impl Run {
    /// The place of a branch with `length` entries, the first of which will be at `first`.
    pub(crate) fn new(masks: Masks, first: usize, length: usize) -> Self {
        Self { mask: masks.all, fresh: masks.fresh, first: narrow(first), length: narrow(length) }
    }

    /// The same entries at another place.
    #[inline]
    pub(crate) fn at(self, first: usize) -> Self {
        Self { first: narrow(first), ..self }
    }

    #[inline]
    pub(crate) fn masks(&self) -> Masks {
        Masks { all: self.mask, plain: self.mask, fresh: self.fresh }
    }

    /// The children that are referred to as pending.
    #[inline]
    pub(crate) fn fresh_mut(&mut self) -> &mut u16 {
        &mut self.fresh
    }

    /// Its entries among those of the branch that it is a child of.
    #[inline]
    pub(crate) fn range(&self) -> Range<usize> {
        usize::from(self.first)..usize::from(self.first) + usize::from(self.length)
    }
}

/// Counts of entries are short.
#[inline]
fn narrow(count: usize) -> u16 {
    u16::try_from(count).expect("a block has far fewer entries than 65,536")
}

/// A branch with the blocks that its children lie in, and small branches below it with theirs.
#[derive(Debug)]
pub(crate) struct Branch<V: Value> {
    /// Generation of the state that last touched it or anything under it.
    touched: AtomicU32,
    masks: Masks,
    /// The plain children in the order of their nibbles, then the entries of each nested one.
    plain: Box<[Plain<V::Plain>]>,
    /// The other children, likewise.
    others: Box<[Child<V>]>,
}

impl<V: Value> Branch<V> {
    /// A branch of at least two children, given in the order of their nibbles; after the plain ones come the
    /// entries of those that are nested.
    pub(crate) fn new(
        masks: Masks,
        plain: Box<[Plain<V::Plain>]>,
        others: Box<[Child<V>]>,
        generation: u32,
    ) -> Self {
        Self { touched: AtomicU32::new(generation), masks, plain, others }
    }

    #[inline]
    pub(crate) fn parts_mut(&mut self) -> PartsMut<'_, V> {
        PartsMut { masks: &mut self.masks, plain: &mut self.plain, others: &mut self.others }
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

    /// Fetches the plain children into the cache, and the other children's counters.
    #[inline]
    pub(crate) fn fetch(&self) {
        let bytes = self.plain.iter().map(|child| child.reference.bytes[0]);
        std::hint::black_box(bytes.fold(0, |all, byte| all | byte));
        self.fetch_counters();
    }

    /// Fetches the children's counters into the cache. Sharing or dropping a child changes its counter, and
    /// such atomic changes wait for memory one after the other; plain reads ahead of them wait all at once.
    #[inline]
    fn fetch_counters(&self) {
        let counts = self.others.iter().map(|child| match &child.link {
            Link::Node(Node::Branch(branch)) => Arc::strong_count(branch),
            _ => 0,
        });
        std::hint::black_box(counts.max());
    }
}

impl<V: Value> Drop for Branch<V> {
    fn drop(&mut self) {
        self.fetch_counters();
    }
}

/// What a branch consists of, to be changed while nobody else has it.
pub(crate) struct PartsMut<'n, V: Value> {
    pub(crate) masks: &'n mut Masks,
    /// Its plain children and what is nested in them.
    pub(crate) plain: &'n mut [Plain<V::Plain>],
    /// Its other children.
    pub(crate) others: &'n mut [Child<V>],
}

/// A child where it stands, which a nested one is only there.
#[derive(Debug)]
pub(crate) enum ChildAt<'n, V: Value> {
    /// A plain child and the plain entries of the branch that it is a child of.
    Plain(&'n Plain<V::Plain>, &'n [Plain<V::Plain>]),
    Other(&'n Child<V>),
}

/// A node where it stands.
#[derive(Debug)]
pub(crate) enum NodeAt<'n, V: Value> {
    Leaf(LeafAt<'n, V>),
    Branch(BranchAt<'n, V>),
    Extension(&'n Arc<Extension<V>>),
}

/// A leaf where it stands.
#[derive(Debug)]
pub(crate) enum LeafAt<'n, V: Value> {
    Plain(&'n Leaf<V::Plain>),
    Other(&'n Leaf<V>),
}

/// A branch where it stands.
#[derive(Debug)]
pub(crate) struct BranchAt<'n, V: Value> {
    pub(crate) masks: Masks,
    /// Its plain children and what is nested in them.
    pub(crate) plain: &'n [Plain<V::Plain>],
    /// Its other children.
    pub(crate) others: &'n [Child<V>],
    /// The branch, if it isn't nested.
    pub(crate) own: Option<&'n Arc<Branch<V>>>,
}

impl<V: Value> Clone for ChildAt<'_, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V: Value> Copy for ChildAt<'_, V> {}

impl<V: Value> Clone for NodeAt<'_, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V: Value> Copy for NodeAt<'_, V> {}

impl<V: Value> Clone for LeafAt<'_, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V: Value> Copy for LeafAt<'_, V> {}

impl<V: Value> Clone for BranchAt<'_, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V: Value> Copy for BranchAt<'_, V> {}

impl<V: Value> Node<V> {
    #[inline]
    pub(crate) fn view(&self) -> NodeAt<'_, V> {
        match self {
            Self::Leaf(leaf) => NodeAt::Leaf(LeafAt::Other(leaf)),
            Self::Branch(branch) => NodeAt::Branch(BranchAt {
                masks: branch.masks,
                plain: &branch.plain,
                others: &branch.others,
                own: Some(branch),
            }),
            Self::Extension(extension) => NodeAt::Extension(extension),
        }
    }
}

impl<P> PlainNode<P> {
    /// The node; `entries` are those of the branch that it is a child of.
    #[inline]
    pub(crate) fn view<'n, V: Value<Plain = P>>(&'n self, entries: &'n [Plain<P>]) -> NodeAt<'n, V> {
        match self {
            Self::Leaf(leaf) => NodeAt::Leaf(LeafAt::Plain(leaf)),
            Self::Nested(run) => NodeAt::Branch(BranchAt {
                masks: run.masks(),
                plain: &entries[run.range()],
                others: &[],
                own: None,
            }),
        }
    }
}

impl<'n, V: Value> LeafAt<'n, V> {
    #[inline]
    pub(crate) fn key(&self) -> &'n B256 {
        match self {
            Self::Plain(leaf) => &leaf.key,
            Self::Other(leaf) => &leaf.key,
        }
    }

    #[inline]
    pub(crate) fn value(&self) -> V {
        match self {
            Self::Plain(leaf) => V::from_plain(&leaf.value),
            Self::Other(leaf) => leaf.value.clone(),
        }
    }

    /// The value, unless it is plain.
    #[inline]
    pub(crate) fn other(&self) -> Option<&'n V> {
        match self {
            Self::Plain(_) => None,
            Self::Other(leaf) => Some(&leaf.value),
        }
    }

    /// The leaf by itself.
    #[inline]
    pub(crate) fn to_leaf(self) -> Leaf<V> {
        Leaf { key: *self.key(), value: self.value() }
    }
}

impl<'n, V: Value> BranchAt<'n, V> {
    /// What stands at each nibble. In order they are found without counting bits.
    #[inline]
    pub(crate) fn children(self) -> impl Iterator<Item = Option<ChildAt<'n, V>>> {
        let (mut plain, mut others) = (self.plain.iter(), self.others.iter());
        (0..16).map(move |nibble| {
            let bit = 1u16 << nibble;
            if self.masks.plain & bit != 0 {
                plain.next().map(|child| ChildAt::Plain(child, self.plain))
            } else if self.masks.all & bit != 0 {
                others.next().map(ChildAt::Other)
            } else {
                None
            }
        })
    }

    /// The plain leaf with a key, if it lies in this branch's block; the branch stands at `depth`.
    pub(crate) fn plain_leaf(&self, key: &B256, depth: usize) -> Option<&'n Leaf<V::Plain>> {
        let mut branch = *self;
        for depth in depth..KEY_NIBBLES {
            let ChildAt::Plain(child, entries) = branch.child(nibble(key, depth))? else { return None };
            branch = match child.node.view(entries) {
                NodeAt::Branch(nested) => nested,
                NodeAt::Leaf(LeafAt::Plain(leaf)) if leaf.key == *key => return Some(leaf),
                _ => return None,
            };
        }
        None
    }

    #[inline]
    pub(crate) fn child(&self, nibble: u8) -> Option<ChildAt<'n, V>> {
        if self.masks.all & 1 << nibble == 0 {
            return None;
        }
        match self.masks.place(nibble) {
            Place::Plain(at) => self.plain.get(at).map(|child| ChildAt::Plain(child, self.plain)),
            Place::Other(at) => self.others.get(at).map(ChildAt::Other),
        }
    }
}

impl<'n, V: Value> ChildAt<'n, V> {
    #[inline]
    pub(crate) fn reference(&self) -> &'n NodeRef {
        match self {
            Self::Plain(child, _) => &child.reference,
            Self::Other(child) => &child.reference,
        }
    }

    /// The node, if this snapshot holds it in memory.
    #[inline]
    pub(crate) fn in_memory(&self) -> Option<NodeAt<'n, V>> {
        match self {
            Self::Plain(child, entries) => Some(child.node.view(entries)),
            Self::Other(child) => match &child.link {
                Link::Node(node) => Some(node.view()),
                Link::Lazy(cell) => cell.node.get().map(Node::view),
            },
        }
    }
}

/// A node on disk: loaded at most once, for all snapshots that share the cell.
#[derive(Debug)]
pub(crate) struct Lazy<V: Value> {
    node: OnceLock<Node<V>>,
    /// The branch that was unloaded here. While some snapshot still holds it, it is taken back instead of
    /// being loaded again: a second copy would have cells of its own, and changes under those would
    /// overwrite on disk what the first copy hasn't loaded yet.
    recall: Option<Weak<Branch<V>>>,
}

impl<V: Value> Lazy<V> {
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
        self.node.get_or_init(|| node)
    }
}

impl<V: Value> Child<V> {
    pub(crate) fn lazy(hash: B256) -> Self {
        Self { reference: NodeRef::hash(hash), link: Link::Lazy(Arc::new(Lazy::new())) }
    }

    /// A copy that leaves out the cell of a node that has been loaded.
    #[inline]
    pub(crate) fn share(&self) -> Self {
        let link = match &self.link {
            Link::Lazy(cell) => match cell.node.get() {
                Some(node) => Link::Node(node.clone()),
                None => Link::Lazy(Arc::clone(cell)),
            },
            loaded => loaded.clone(),
        };
        Self { reference: self.reference, link }
    }
}
