//! Ethereum's RLP encoding of nodes, written into one reused buffer, and the way back.

use std::sync::Arc;

use alloy_primitives::B256;
use alloy_rlp::Decodable;
use alloy_trie::Nibbles;
use alloy_trie::nodes::{RlpNode, TrieNode};

use crate::block::Blocks;
use crate::key::{KEY_NIBBLES, nibble};
use crate::node::{BranchAt, Child, Extension, Leaf, LeafAt, Link, Node, NodeAt, NodeRef};
use crate::value::{VALUE_MAX, Value};

/// Room for a list header before the payload.
const HEADER_ROOM: usize = 4;
/// A branch of 16 hashes: 16 × 33 + 1; every other node is shorter.
const PAYLOAD_MAX: usize = 16 * 33 + 1;

/// A buffer to encode nodes in.
pub(crate) struct Encoder {
    buffer: [u8; HEADER_ROOM + PAYLOAD_MAX],
    end: usize,
    value: [u8; VALUE_MAX],
}

impl Encoder {
    pub(crate) fn new() -> Self {
        Self { buffer: [0; HEADER_ROOM + PAYLOAD_MAX], end: HEADER_ROOM, value: [0; VALUE_MAX] }
    }

    /// Encodes a node that stands `depth` nibbles below the root.
    pub(crate) fn encode<V: Value>(&mut self, node: NodeAt<'_, V>, depth: usize) -> &[u8] {
        self.end = HEADER_ROOM;
        match node {
            NodeAt::Leaf(leaf) => self.leaf(leaf, depth),
            NodeAt::Branch(branch) => self.branch(&branch),
            NodeAt::Extension(extension) => self.extension(extension),
        }
        self.finish()
    }

    /// The reference to a node that stands `depth` nibbles below the root.
    pub(crate) fn reference<V: Value>(&mut self, node: NodeAt<'_, V>, depth: usize) -> NodeRef {
        NodeRef::of(self.encode(node, depth))
    }

    fn leaf<V: Value>(&mut self, leaf: LeafAt<'_, V>, depth: usize) {
        let odd = !depth.is_multiple_of(2);
        let first = if odd { 0x30 | nibble(leaf.key(), depth) } else { 0x20 };
        let rest = &leaf.key().0[depth.div_ceil(2)..];
        self.string_header(1 + rest.len(), first);
        self.byte(first);
        self.bytes(rest);
        let length = leaf.value().encode(&mut self.value);
        self.string_header(length, self.value[0]);
        let start = self.end;
        self.end += length;
        self.buffer[start..self.end].copy_from_slice(&self.value[..length]);
    }

    fn branch<V: Value>(&mut self, branch: &BranchAt<'_, V>) {
        for child in branch.children() {
            match child {
                None => self.byte(0x80),
                Some(child) => self.child(child.reference()),
            }
        }
        self.byte(0x80);
    }

    fn extension<V: Value>(&mut self, extension: &Extension<V>) {
        let path = &extension.path;
        let odd = path.len() % 2;
        let first = if odd == 1 { 0x10 | path.get_unchecked(0) } else { 0 };
        self.string_header(1 + path.len() / 2, first);
        self.byte(first);
        for i in (odd..path.len()).step_by(2) {
            self.byte(path.get_unchecked(i) << 4 | path.get_unchecked(i + 1));
        }
        self.child(&extension.child.reference);
    }

    #[inline]
    fn child(&mut self, reference: &NodeRef) {
        if !reference.is_embedded() {
            self.byte(0xa0);
        }
        self.bytes(reference.payload());
    }

    /// The header of a string of at most 255 bytes; one byte below 0x80 stands for itself.
    fn string_header(&mut self, length: usize, first: u8) {
        if length == 1 && first < 0x80 {
            return;
        }
        let length = u8::try_from(length).expect("paths and values are shorter than 256 bytes");
        if length < 56 {
            self.byte(0x80 + length);
        } else {
            self.byte(0xb8);
            self.byte(length);
        }
    }

    #[inline]
    fn byte(&mut self, byte: u8) {
        self.buffer[self.end] = byte;
        self.end += 1;
    }

    #[inline]
    fn bytes(&mut self, bytes: &[u8]) {
        self.buffer[self.end..self.end + bytes.len()].copy_from_slice(bytes);
        self.end += bytes.len();
    }

    /// Puts the list header before the payload.
    fn finish(&mut self) -> &[u8] {
        let length = self.end - HEADER_ROOM;
        let [high, low] = u16::try_from(length).expect("a node is shorter than 64 KiB").to_be_bytes();
        let header: &[u8] = match length {
            0..56 => &[0xc0 + low],
            56..256 => &[0xf8, low],
            _ => &[0xf9, high, low],
        };
        let start = HEADER_ROOM - header.len();
        self.buffer[start..HEADER_ROOM].copy_from_slice(header);
        &self.buffer[start..self.end]
    }
}

/// Decodes the node at `path`; the nodes it refers to by hash stay unloaded.
pub(crate) fn decode<V: Value>(
    mut encoding: &[u8],
    path: &Nibbles,
    generation: u32,
) -> Result<Node<V>, String> {
    let node = TrieNode::decode(&mut encoding).map_err(|error| error.to_string())?;
    if !encoding.is_empty() {
        return Err("bytes follow the node".into());
    }
    match node {
        TrieNode::EmptyRoot => Err("an empty node".into()),
        TrieNode::Leaf(leaf) => {
            if path.len() + leaf.key.len() != KEY_NIBBLES {
                return Err("a leaf whose key is not 32 bytes long".into());
            }
            let mut key = B256::ZERO;
            path.join(&leaf.key).pack_to(&mut key.0);
            Ok(Node::Leaf(Arc::new(Leaf { key, value: V::decode(&leaf.value)? })))
        }
        TrieNode::Extension(extension) => {
            if extension.key.is_empty() || path.len() + extension.key.len() >= KEY_NIBBLES {
                return Err("an extension of no or too great length".into());
            }
            let child = decode_child(&extension.child, &path.join(&extension.key), generation)?;
            if !matches!(child.link, Link::Lazy(_) | Link::Node(Node::Branch(_))) {
                return Err("an extension of something else than a branch".into());
            }
            Ok(Node::Extension(Arc::new(Extension { path: extension.key, child })))
        }
        TrieNode::Branch(branch) => {
            let mask = branch.state_mask.get();
            if path.len() >= KEY_NIBBLES || mask.count_ones() < 2 {
                return Err("a branch too deep or with fewer than two children".into());
            }
            let nibbles = (0..16u8).filter(|nibble| mask & (1 << nibble) != 0);
            let mut blocks = Blocks::default();
            let mut frame = blocks.open();
            for (nibble, child) in nibbles.zip(&branch.stack) {
                let mut path = *path;
                path.push(nibble);
                blocks.push(&mut frame, nibble, decode_child(child, &path, generation)?);
            }
            Ok(Node::Branch(Arc::new(blocks.branch(&frame, generation))))
        }
    }
}

fn decode_child<V: Value>(child: &RlpNode, path: &Nibbles, generation: u32) -> Result<Child<V>, String> {
    if let Some(hash) = child.as_hash() {
        return Ok(Child::lazy(hash));
    }
    if child.len() >= 32 {
        return Err("an embedded node of 32 bytes or more".into());
    }
    let node = decode(child, path, generation)?;
    Ok(Child { reference: NodeRef::of(child), link: Link::Node(node) })
}
