//! The trie by itself, with keys chosen so that paths are shared deep down: there leaves and branches are
//! shorter than 32 bytes and stand in their parents, and extensions are split and joined all the time. With
//! hashed keys that takes millions of slots.

use std::collections::BTreeMap;
use std::sync::Mutex;

use alloy_primitives::{B256, Bytes, U256};
use alloy_trie::{HashBuilder, Nibbles, proof::verify_proof};
use proptest::prelude::*;

use crate::codec::{Encoder, decode};
use crate::node::{ChildAt, Link, Node, NodeAt, Plain, PlainNode};
use crate::trie::{Source, Trie};
use crate::value::{Account, Value};
use crate::{NodeKey, NodeReader, StateError, diff};

const OWNER: B256 = B256::repeat_byte(0xaa);

#[derive(Debug, Default)]
struct Disk(Mutex<BTreeMap<NodeKey, Vec<u8>>>);

impl Disk {
    fn write(&self, records: diff::Records) {
        let mut nodes = self.0.lock().unwrap();
        for (key, record) in records {
            match record {
                Some(encoding) => drop(nodes.insert(key, encoding)),
                None => assert!(nodes.remove(&key).is_some(), "{key} was on disk before it is removed"),
            }
        }
    }
}

impl NodeReader for Disk {
    fn node(&self, key: &NodeKey) -> Result<Option<Vec<u8>>, StateError> {
        Ok(self.0.lock().unwrap().get(key).cloned())
    }

    fn code(&self, _: &B256) -> Result<Option<Bytes>, StateError> {
        Ok(None)
    }
}

type Model = BTreeMap<B256, U256>;
type Batch = Vec<(B256, U256)>;

fn reference_root(model: &Model) -> B256 {
    let mut builder = HashBuilder::default();
    for (key, word) in model {
        builder.add_leaf(Nibbles::unpack(key), &alloy_rlp::encode(word));
    }
    builder.root()
}

fn apply(trie: &Trie<U256>, source: &Source<'_>, batch: &[(B256, U256)]) -> Result<Trie<U256>, StateError> {
    trie.update(source, batch, |_: &B256, _: Option<&U256>, word: &U256| {
        Ok((!word.is_zero()).then_some(*word))
    })
}

fn apply_to_model(model: &mut Model, batch: &[(B256, U256)]) {
    for (key, word) in batch {
        if word.is_zero() {
            model.remove(key)
        } else {
            model.insert(*key, *word)
        };
    }
}

/// Keys that share anything from nothing to 63 nibbles.
fn key() -> impl Strategy<Value = B256> {
    (0..=64usize, prop::array::uniform4(0..3u8)).prop_map(|(depth, digits)| {
        let mut key = B256::ZERO;
        for (i, digit) in digits.iter().enumerate() {
            let at = (depth + i * 7) % 64;
            key.0[at / 2] |= if at % 2 == 0 { digit << 4 } else { *digit };
        }
        key
    })
}

fn word() -> impl Strategy<Value = U256> {
    prop_oneof![3 => Just(U256::ZERO), 4 => (1..300u64).prop_map(U256::from), 1 => Just(U256::MAX)]
}

fn batches() -> impl Strategy<Value = Vec<Batch>> {
    let batch = prop::collection::btree_map(key(), word(), 0..20);
    prop::collection::vec(batch.prop_map(|batch| batch.into_iter().collect()), 1..12)
}

/// Nothing is left pending, blocks are bounded, and each entry of a block is in it once.
fn check_shape(at: ChildAt<'_, U256>) {
    assert!(!at.reference().is_pending());
    match at.in_memory() {
        None | Some(NodeAt::Leaf(_)) => {}
        Some(NodeAt::Extension(extension)) => check_shape(ChildAt::Other(&extension.child)),
        Some(NodeAt::Branch(branch)) => {
            let [all, plain] = [branch.masks.all, branch.masks.plain].map(|mask| mask.count_ones() as usize);
            assert!(all >= 2);
            assert_eq!(plain + branch.others.len(), all);
            assert!(branch.plain.len() <= if branch.own.is_some() { 32 } else { 4 });
            let mut end = plain;
            for child in (0..16).filter_map(|nibble| branch.child(nibble)) {
                match child {
                    ChildAt::Plain(Plain { node: PlainNode::Nested(run), .. }, _) => {
                        assert_eq!(run.range().start, end);
                        end = run.range().end;
                    }
                    ChildAt::Plain(..) => {}
                    ChildAt::Other(child) => assert!(!matches!(child.link, Link::Node(Node::Leaf(_)))),
                }
                check_shape(child);
            }
            assert_eq!(end, branch.plain.len());
        }
    }
}

fn check(trie: &Trie<U256>, source: &Source<'_>, model: &Model, probes: &[B256]) {
    assert_eq!(trie.root_hash(), reference_root(model));
    trie.root().into_iter().for_each(check_shape);
    for key in model.keys().chain(probes) {
        let (leaf, proof) = trie.prove(source, key).unwrap();
        let value = leaf.map(|leaf| leaf.value());
        assert_eq!(value.as_ref(), model.get(key));
        assert_eq!(trie.get(source, key).unwrap().map(|leaf| leaf.value()), value);
        let expected = value.map(alloy_rlp::encode);
        verify_proof(trie.root_hash(), Nibbles::unpack(key), expected, &proof).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn batches_give_the_root_of_a_full_rebuild(
        batches in batches(),
        probes in prop::collection::vec(key(), 4),
        flush_every in 1..4usize,
    ) {
        let disk = Disk::default();
        let source = Source { reader: Some(&disk), owner: Some(OWNER), generation: 0 };
        let (mut trie, mut model, mut flushed) = (Trie::empty(), Model::new(), Trie::empty());
        let mut snapshots = Vec::new();
        for (height, batch) in batches.iter().enumerate() {
            trie = apply(&trie, &source, batch).unwrap();
            apply_to_model(&mut model, batch);
            check(&trie, &source, &model, &probes);
            if height % flush_every == 0 {
                disk.write(diff::words([&source, &source], [&flushed, &trie]).unwrap());
                // The disk holds the newest trie and nothing else: the same records as from scratch.
                let whole = diff::words([&source, &source], [&Trie::empty(), &trie]).unwrap();
                let whole: BTreeMap<_, _> =
                    whole.into_iter().map(|(key, record)| (key, record.unwrap())).collect();
                prop_assert_eq!(&*disk.0.lock().unwrap(), &whole);
                // Go on from disk, so that cells are filled on the way.
                trie = Trie::at(trie.root_hash());
                flushed = trie.clone();
                snapshots.push((trie.clone(), model.clone()));
            }
        }
        if snapshots.len() > 1 {
            // Each reopening has cells of its own, so only the newest is sure to be whole; no other panics.
            for (trie, model) in &snapshots[..snapshots.len() - 1] {
                for (key, word) in model {
                    if let Ok(found) = trie.get(&source, key) {
                        prop_assert_eq!(found.map(|leaf| leaf.value()), Some(*word));
                    }
                }
            }
        }
        let (trie, model) = snapshots.last().unwrap();
        let lineage = trie.clone();
        // Emptying the trie overwrites all of the disk; the older snapshot shares the cells.
        let batch: Batch = model.keys().map(|key| (*key, U256::ZERO)).collect();
        let empty = apply(&lineage, &source, &batch).unwrap();
        prop_assert!(empty.is_empty());
        disk.write(diff::words([&source, &source], [&lineage, &empty]).unwrap());
        prop_assert!(disk.0.lock().unwrap().is_empty());
        check(trie, &source, model, &probes);
    }

    #[test]
    fn one_batch_or_many_in_any_order(batch in prop::collection::btree_map(key(), word(), 1..30), seed: u64) {
        let source = Source { reader: None, owner: None, generation: 0 };
        let batch: Batch = batch.into_iter().collect();
        let at_once = apply(&Trie::empty(), &source, &batch).unwrap();
        let mut shuffled = batch;
        shuffled.sort_by_key(|(key, _)| alloy_primitives::keccak256([key.as_slice(), &seed.to_be_bytes()].concat()));
        let mut one_by_one = Trie::empty();
        for change in shuffled {
            one_by_one = apply(&one_by_one, &source, &[change]).unwrap();
        }
        prop_assert_eq!(at_once.root_hash(), one_by_one.root_hash());
    }

    #[test]
    fn decoding_anything_gives_a_node_or_an_error(
        batch in prop::collection::btree_map(key(), 1..300u64, 1..20),
        which: prop::sample::Index,
        at: prop::sample::Index,
        byte: u8,
        noise in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let source = Source { reader: None, owner: None, generation: 0 };
        let batch: Batch = batch.into_iter().map(|(key, word)| (key, U256::from(word))).collect();
        let trie = apply(&Trie::empty(), &source, &batch).unwrap();
        let records = diff::words([&source, &source], [&Trie::empty(), &trie]).unwrap();
        let (key, record) = &records[which.index(records.len())];
        let mut encoding = record.clone().unwrap();
        let node: Node<U256> = decode(&encoding, &key.path, 0).unwrap();
        let mut encoder = Encoder::new();
        prop_assert_eq!(encoder.encode(node.view(), key.path.len()), encoding.as_slice());
        let at = at.index(encoding.len());
        encoding[at] = byte;
        if let Ok(node) = decode::<U256>(&encoding, &key.path, 0) {
            encoder.encode(node.view(), key.path.len());
        }
        for bytes in [&encoding, &noise] {
            let _ = decode::<Account>(bytes, &key.path, 0).map(|node| encoder.encode(node.view(), key.path.len()).len());
            let _ = Account::decode(bytes);
        }
    }
}

#[test]
fn deep_leaves_are_embedded_and_branches_at_the_last_nibble_work() {
    let source = Source { reader: None, owner: None, generation: 0 };
    let keys = (0..16u8).map(B256::with_last_byte);
    let batch: Batch = keys.map(|key| (key, U256::from(5))).collect();
    let trie = apply(&Trie::empty(), &source, &batch).unwrap();
    check(&trie, &source, &batch.iter().copied().collect(), &[B256::repeat_byte(1)]);
    // Two records hold all 18 nodes: the extension of 63 nibbles and the branch with 16 embedded leaves.
    assert_eq!(diff::words([&source, &source], [&Trie::empty(), &trie]).unwrap().len(), 2);
    let two = apply(&Trie::empty(), &source, &batch[..2]).unwrap();
    // With two leaves the branch is shorter than 32 bytes too.
    assert_eq!(diff::words([&source, &source], [&Trie::empty(), &two]).unwrap().len(), 1);
    // The branch's record goes when it shrinks into its parent.
    let records = diff::words([&source, &source], [&trie, &two]).unwrap();
    assert_eq!(records.iter().map(|(_, record)| record.is_some()).collect::<Vec<_>>(), [true, false]);
}

#[test]
fn small_branches_are_nested_as_far_as_there_is_room() {
    let source = Source { reader: None, owner: None, generation: 0 };
    // A root with 16 branches of two leaves each: 8 of those fit.
    let keys = (0..32u8).map(|i| B256::right_padding_from(&[i << 3]));
    let batch: Batch = keys.map(|key| (key, U256::MAX)).collect();
    let trie = apply(&Trie::empty(), &source, &batch).unwrap();
    let Some(NodeAt::Branch(root)) = trie.root().unwrap().in_memory() else { panic!("the root is a branch") };
    let nested = |child: &&Plain<_>| matches!(child.node, PlainNode::Nested(_));
    assert_eq!(root.plain.iter().filter(nested).count(), 8);
    let model: Model = batch.iter().copied().collect();
    check(&trie, &source, &model, &[]);
    // All but one branch go: the last takes the root's place, under an extension.
    for last in 0..16 {
        let others = |(i, (key, _)): (usize, &(B256, U256))| (i / 2 != last).then_some((*key, U256::ZERO));
        let removed: Batch = batch.iter().enumerate().filter_map(others).collect();
        let mut model = model.clone();
        apply_to_model(&mut model, &removed);
        let trie = apply(&trie, &source, &removed).unwrap();
        check(&trie, &source, &model, &[]);
        let Some(NodeAt::Extension(_)) = trie.root().unwrap().in_memory() else { panic!("an extension") };
    }
}

#[test]
fn changes_without_effect_share_everything() {
    let source = Source { reader: None, owner: None, generation: 0 };
    let batch: Batch =
        (1..50u64).map(|i| (alloy_primitives::keccak256(i.to_be_bytes()), U256::from(i))).collect();
    let mut batch = batch;
    batch.sort();
    let trie = apply(&Trie::empty(), &source, &batch).unwrap();
    let mut again = batch.clone();
    again.insert(0, (B256::ZERO, U256::ZERO));
    let same = apply(&trie, &source, &again).unwrap();
    let (Some(NodeAt::Branch(a)), Some(NodeAt::Branch(b))) =
        (trie.root().unwrap().in_memory(), same.root().unwrap().in_memory())
    else {
        panic!("the root is a branch in memory")
    };
    assert!(std::sync::Arc::ptr_eq(a.own.unwrap(), b.own.unwrap()));
}
