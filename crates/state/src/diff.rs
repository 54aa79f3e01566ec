//! What separates two tries: in records on disk, or in accounts.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::{B256, U256};
use alloy_trie::Nibbles;

use crate::codec::Encoder;
use crate::node::{Child, ChildAt, LeafAt, NodeAt};
use crate::trie::{Source, Trie};
use crate::value::{Account, Contract, Value};
use crate::{AccountLeaf, NodeKey, StateError};

/// Records to write (`Some`) and to remove (`None`).
pub(crate) type Records = Vec<(NodeKey, Option<Vec<u8>>)>;

/// What two account tries and all their storage tries differ in.
pub(crate) fn accounts(
    source: [&Source<'_>; 2],
    [old, new]: [&Trie<Account>; 2],
) -> Result<Records, StateError> {
    // Leaves are paired by key, not by path: the same account may have moved up or down.
    let mut contracts: BTreeMap<B256, [Option<Arc<Contract>>; 2]> = BTreeMap::new();
    let leaf = |side: usize, leaf: LeafAt<'_, Account>| {
        if let Some(contract) = leaf.other().and_then(|account| account.contract.as_ref()) {
            contracts.entry(*leaf.key()).or_default()[side] = Some(Arc::clone(contract));
        }
    };
    let mut records = records(source, [old, new], leaf)?;
    let none = Trie::empty();
    for (owner, pair) in &contracts {
        let [old, new] =
            pair.each_ref().map(|contract| contract.as_ref().map_or(&none, |contract| &contract.storage));
        let sources = source.map(|source| source.of_storage(*owner));
        records.append(&mut words([&sources[0], &sources[1]], [old, new])?);
    }
    Ok(records)
}

/// What two storage tries differ in.
pub(crate) fn words(source: [&Source<'_>; 2], tries: [&Trie<U256>; 2]) -> Result<Records, StateError> {
    records(source, tries, |_, _| ())
}

/// What two tries differ in, with a look at the leaves of each that stand where they differ.
fn records<V: Value>(
    source: [&Source<'_>; 2],
    tries: [&Trie<V>; 2],
    leaf: impl FnMut(usize, LeafAt<'_, V>),
) -> Result<Records, StateError> {
    let owner = source[0].owner;
    let (mut encoder, mut records) = (Encoder::new(), Records::new());
    let place = |path: Nibbles, was: bool, now: Option<NodeAt<'_, V>>| {
        let key = NodeKey { owner, path };
        match now {
            Some(node) => records.push((key, Some(encoder.encode(node, path.len()).to_vec()))),
            None if was => records.push((key, None)),
            None => {}
        }
    };
    Differ { source, leaf, place }.run(tries)?;
    Ok(records)
}

/// The accounts that two account tries differ in, as the newer one has them.
pub(crate) fn leaves(
    source: [&Source<'_>; 2],
    tries: [&Trie<Account>; 2],
) -> Result<BTreeMap<B256, Option<AccountLeaf>>, StateError> {
    let mut pairs: BTreeMap<B256, [Option<AccountLeaf>; 2]> = BTreeMap::new();
    let leaf = |side: usize, leaf: LeafAt<'_, Account>| {
        pairs.entry(*leaf.key()).or_default()[side] = Some(leaf.value().leaf());
    };
    Differ { source, leaf, place: |_, _, _: Option<NodeAt<'_, Account>>| () }.run(tries)?;
    Ok(pairs.into_iter().filter(|(_, [old, new])| old != new).map(|(key, [_, new])| (key, new)).collect())
}

/// A place in one of the tries, which may lie within an extension's path.
enum Cursor<'n, V: Value> {
    Nothing,
    At(ChildAt<'n, V>),
    Within { rest: Nibbles, child: &'n Child<V> },
}

impl<'n, V: Value> Cursor<'n, V> {
    fn child(&self) -> Option<ChildAt<'n, V>> {
        match self {
            Self::At(at) => Some(*at),
            _ => None,
        }
    }

    /// Whether a record of its own stands at this place.
    fn is_record(&self) -> bool {
        self.child().is_some_and(|at| !at.reference().is_embedded())
    }

    fn along(path: Nibbles, nibble: u8, child: &'n Child<V>) -> Self {
        match path.len() {
            _ if path.first() != Some(nibble) => Self::Nothing,
            1 => Self::At(ChildAt::Other(child)),
            _ => Self::Within { rest: path.slice(1..), child },
        }
    }
}

struct Differ<'a, L, P> {
    /// Of the older and of the newer trie, as in all pairs here.
    source: [&'a Source<'a>; 2],
    /// Sees each leaf, with the number of its trie, that stands where they differ.
    leaf: L,
    /// Sees each place where they differ: whether the older one has a record there, and the newer one's record.
    place: P,
}

impl<L, P> Differ<'_, L, P> {
    fn run<V: Value>(&mut self, tries: [&Trie<V>; 2]) -> Result<(), StateError>
    where
        L: FnMut(usize, LeafAt<'_, V>),
        P: FnMut(Nibbles, bool, Option<NodeAt<'_, V>>),
    {
        self.place(&tries.map(|trie| trie.root().map_or(Cursor::Nothing, Cursor::At)), Nibbles::new())
    }

    fn place<V: Value>(&mut self, cursors: &[Cursor<'_, V>; 2], path: Nibbles) -> Result<(), StateError>
    where
        L: FnMut(usize, LeafAt<'_, V>),
        P: FnMut(Nibbles, bool, Option<NodeAt<'_, V>>),
    {
        // Equal references at one place are equal subtrees. It covers shared ones without visiting them,
        // and those that changed there and back.
        if let [Cursor::At(old), Cursor::At(new)] = cursors
            && old.reference() == new.reference()
        {
            return Ok(());
        }
        let mut nodes = [None, None];
        for (side, cursor) in cursors.iter().enumerate() {
            if let Some(at) = cursor.child() {
                let node = self.source[side].resolve(at, || path)?;
                if let NodeAt::Leaf(leaf) = node {
                    (self.leaf)(side, leaf);
                }
                nodes[side] = Some(node);
            }
        }
        (self.place)(path, cursors[0].is_record(), nodes[1].filter(|_| cursors[1].is_record()));
        for nibble in 0..16 {
            let step = |side: usize| match (&cursors[side], nodes[side]) {
                (_, Some(NodeAt::Branch(branch))) => branch.child(nibble).map_or(Cursor::Nothing, Cursor::At),
                (_, Some(NodeAt::Extension(extension))) => {
                    Cursor::along(extension.path, nibble, &extension.child)
                }
                (Cursor::Within { rest, child }, None) => Cursor::along(*rest, nibble, child),
                _ => Cursor::Nothing,
            };
            let next = [step(0), step(1)];
            if !matches!(next, [Cursor::Nothing, Cursor::Nothing]) {
                let mut path = path;
                path.push(nibble);
                self.place(&next, path)?;
            }
        }
        Ok(())
    }
}
