//! The part of the block and transaction indexes that is not in the tables yet.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::map::B256Map;
use alloy_primitives::{B256, keccak256};
use anfs_primitives::{Block, BlockHash, Height};

/// What the indexes know of one block.
#[derive(Debug)]
pub(crate) struct BlockIndex {
    pub(crate) height: Height,
    pub(crate) hash: BlockHash,
    /// Hashes of its transactions in execution order.
    pub(crate) transactions: Vec<B256>,
}

impl BlockIndex {
    pub(crate) fn of(block: &Block) -> Self {
        let transactions = block.body.transactions().map(|tx| keccak256(&tx.encoded)).collect();
        Self { height: block.height(), hash: block.header.hash(), transactions }
    }
}

/// The durable blocks above the flushed one.
#[derive(Debug, Default)]
pub(crate) struct UnflushedIndex {
    /// The last durable block, flushed or not.
    pub(crate) head: Option<(Height, BlockHash)>,
    pub(crate) flushed: Option<(Height, B256)>,
    blocks: BTreeMap<Height, Arc<BlockIndex>>,
    heights: B256Map<Height>,
    transactions: B256Map<(Height, u32)>,
}

impl UnflushedIndex {
    pub(crate) fn new(flushed: Option<(Height, B256)>) -> Self {
        Self { flushed, ..Self::default() }
    }

    pub(crate) fn insert(&mut self, block: BlockIndex) {
        self.head = Some((block.height, block.hash));
        self.heights.insert(block.hash, block.height);
        self.transactions.reserve(block.transactions.len());
        for (index, hash) in (0u32..).zip(&block.transactions) {
            self.transactions.insert(*hash, (block.height, index));
        }
        self.blocks.insert(block.height, Arc::new(block));
    }

    /// Height of the last durable block; zero, genesis, when there is none.
    pub(crate) fn head_height(&self) -> Height {
        self.head.map_or(Height::ZERO, |(height, _)| height)
    }

    pub(crate) fn height_of(&self, hash: &BlockHash) -> Option<Height> {
        self.heights.get(hash).copied()
    }

    pub(crate) fn transaction(&self, hash: &B256) -> Option<(Height, u32)> {
        self.transactions.get(hash).copied()
    }

    /// Blocks held.
    pub(crate) fn len(&self) -> usize {
        self.blocks.len()
    }

    /// The blocks up to `height`.
    pub(crate) fn up_to(&self, height: Height) -> Vec<Arc<BlockIndex>> {
        self.blocks.range(..=height).map(|(_, block)| block.clone()).collect()
    }

    /// Forgets the blocks up to `height`, which the tables hold from now on.
    pub(crate) fn flush(&mut self, height: Height, root: B256) {
        let kept = self.blocks.split_off(&height.next());
        for block in std::mem::replace(&mut self.blocks, kept).into_values() {
            self.heights.remove(&block.hash);
            for hash in &block.transactions {
                self.transactions.remove(hash);
            }
        }
        self.flushed = Some((height, root));
    }
}
