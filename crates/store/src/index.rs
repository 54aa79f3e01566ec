//! The part of the indexes of blocks, transactions and messages that is not in the tables yet.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::map::B256Map;
use alloy_primitives::{B256, keccak256};
use anfs_primitives::{Block, BlockCrossing, BlockHash, CrossMessage, Height};

/// Where a domain has sent or consumed a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessagePlace {
    /// Height of the block.
    pub height: Height,
    /// Position among the messages that the block has sent, or consumed.
    pub index: u32,
    /// Which of the two.
    pub consumed: bool,
}

/// What the indexes know of one block.
#[derive(Debug)]
pub(crate) struct BlockIndex {
    pub(crate) height: Height,
    pub(crate) hash: BlockHash,
    /// Hashes of its transactions in execution order.
    pub(crate) transactions: Vec<B256>,
    /// The messages that it has sent and consumed, by their ids.
    pub(crate) messages: Vec<(B256, MessagePlace)>,
}

impl BlockIndex {
    pub(crate) fn of(block: &Block, crossing: &BlockCrossing) -> Self {
        Self::new(block, crossing, transaction_hashes(block))
    }

    /// The same, where the hashes of the transactions are known.
    pub(crate) fn new(block: &Block, crossing: &BlockCrossing, transactions: Vec<B256>) -> Self {
        let height = block.height();
        let place = |consumed| move |(index, id)| (id, MessagePlace { height, index, consumed });
        let sent = crossing.sent.iter().map(CrossMessage::id);
        let consumed = crossing.arrivals.iter().map(|arrival| arrival.message.id());
        let sent = (0u32..).zip(sent).map(place(false));
        let messages = sent.chain((0u32..).zip(consumed).map(place(true))).collect();
        Self { height, hash: block.header.hash(), transactions, messages }
    }
}

/// keccak-256 of each transaction's encoding.
pub(crate) fn transaction_hashes(block: &Block) -> Vec<B256> {
    block.body.transactions().map(|tx| keccak256(&tx.encoded)).collect()
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
    messages: B256Map<MessagePlace>,
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
        self.messages.extend(block.messages.iter().copied());
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

    pub(crate) fn message(&self, id: &B256) -> Option<MessagePlace> {
        self.messages.get(id).copied()
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
            for (id, _) in &block.messages {
                self.messages.remove(id);
            }
        }
        self.flushed = Some((height, root));
    }
}
