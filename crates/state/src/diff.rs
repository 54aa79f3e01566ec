//! What separates two tries on disk.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::{B256, U256};
use alloy_trie::Nibbles;

use crate::codec::Encoder;
use crate::node::{Child, ChildAt, LeafAt, NodeAt};
use crate::trie::{Source, Trie};
use crate::value::{Account, Contract, Value};
use crate::{NodeKey, StateError};

/// Records to write (`Some`) and to remove (`None`).
pub(crate) type Records = Vec<(NodeKey, Option<Vec<u8>>)>;

/// What two account tries and all their storage tries differ in.
pub(crate) fn accounts(
    source: [&Source<'_>; 2],
    [old, new]: [&Trie<Account>; 2],
) -> Result<Records, StateError> {
    // Leaves are paired by key, not by path: the same account may have moved up or down.
    let mut contracts: BTreeMap<B256, [Option<Arc<Contract>>; 2]> = BTreeMap::new();
    let mut differ = Differ {
        source,
        encoder: Encoder::new(),
        records: Vec::new(),
        leaf: |side: usize, leaf: LeafAt<'_, Account>| {
            if let Some(contract) = leaf.other().and_then(|account| account.contract.as_ref()) {
                contracts.entry(*leaf.key()).or_default()[side] = Some(Arc::clone(contract));
            }
        },
    };
    differ.run([old, new])?;
    let mut records = differ.records;
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
    let leaf = |_: usize, _: LeafAt<'_, U256>| ();
    let mut differ = Differ { source, encoder: Encoder::new(), records: Vec::new(), leaf };
    differ.run(tries)?;
    Ok(differ.records)
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

struct Differ<'a, L> {
    /// Of the older and of the newer trie, as in all pairs here.
    source: [&'a Source<'a>; 2],
    encoder: Encoder,
    records: Records,
    leaf: L,
}

impl<L> Differ<'_, L> {
    fn run<V: Value>(&mut self, tries: [&Trie<V>; 2]) -> Result<(), StateError>
    where
        L: FnMut(usize, LeafAt<'_, V>),
    {
        self.place(&tries.map(|trie| trie.root().map_or(Cursor::Nothing, Cursor::At)), Nibbles::new())
    }

    fn place<V: Value>(&mut self, cursors: &[Cursor<'_, V>; 2], path: Nibbles) -> Result<(), StateError>
    where
        L: FnMut(usize, LeafAt<'_, V>),
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
        let key = NodeKey { owner: self.source[0].owner, path };
        match (cursors[1].is_record(), nodes[1]) {
            (true, Some(node)) => {
                let encoding = self.encoder.encode(node, path.len()).to_vec();
                self.records.push((key, Some(encoding)));
            }
            _ if cursors[0].is_record() => self.records.push((key, None)),
            _ => {}
        }
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
