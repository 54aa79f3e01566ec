//! The decided chain as readers see it: only blocks that are certified *and* on this node's disk.
//!
//! Recent blocks and their states are held in memory; older blocks are read from the block log. Where there is a root,
//! readers of the network ask for the states after the blocks that it has made final, which may be far below the head:
//! every seat holds those of its newest root blocks, since any seat may have to serve readers all at once. Older
//! states than these and than the last [`ChainLimits::states`] are gone, and readers are told so.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use alloy_primitives::map::B256Map;
use alloy_primitives::{B256, keccak256};
use anfs_crypto::outbox::{LaneBatch, lane_batch};
use anfs_primitives::{
    BlockCrossing, Certificate, CertifiedBlock, ChainSpec, DomainId, Height, Receipt, RecoveredTransaction,
    SealedHeader,
};
use anfs_rpc::RpcBlock;
use anfs_state::WorldState;
use anfs_store::{MessagePlace, Store};
use parking_lot::RwLock;
use tokio::sync::broadcast;

use crate::error::NodeError;
use crate::feed::{HEADS_BUFFERED, HeadFeed};

/// A decided block as readers see it, from what was decided and what its execution gave.
pub(crate) fn chain_block(
    spec: &ChainSpec,
    header: SealedHeader,
    certificate: Option<Certificate>,
    transactions: Arc<[RecoveredTransaction]>,
    receipts: Arc<[Receipt]>,
    crossing: Arc<BlockCrossing>,
) -> RpcBlock {
    let body: usize = transactions.iter().map(|tx| tx.encoded().len()).sum();
    let size = (body + anfs_primitives::encode(header.header()).len()) as u64;
    let timestamp = spec.slot_timestamp(header.slot);
    let prev_randao = prevrandao(header.header());
    RpcBlock { header, timestamp, prev_randao, size, transactions, receipts, crossing, certificate }
}

/// How much of the chain is held in memory.
#[derive(Debug, Clone, Copy)]
pub struct ChainLimits {
    /// Blocks; older ones are read from disk.
    pub blocks: usize,
    /// States; older ones can be read only while the root blocks that made them final are new.
    pub states: usize,
}

impl ChainLimits {
    /// For a node that serves readers.
    pub const SERVING: Self = Self { blocks: 512, states: 256 };
    /// For a node that only takes part in consensus, but may have to serve readers all at once: of what they have just
    /// seen it must have something.
    pub const CONSENSUS: Self = Self { blocks: 32, states: 32 };
}

/// Root blocks whose states can be read on every seat, the newest: what a reader has just seen of the network is among
/// them.
pub(crate) const FINAL_KEPT: u64 = 8;
/// Blocks by which the oldest state of [`FINAL_KEPT`] may be below the head, about: a root that stands still must not
/// fill the memory of seats whose shards go on.
const FINAL_REACH: u64 = 512;

#[derive(Debug, Default)]
struct Recent {
    blocks: VecDeque<(Arc<RpcBlock>, Option<WorldState>)>,
    by_hash: B256Map<Height>,
    by_transaction: B256Map<(Height, u32)>,
    /// Hashes of the last blocks, the head's last: what BLOCKHASH asks for while blocks are executed must
    /// be at hand on every node, whatever its limits and its disk.
    hashes: VecDeque<B256>,
}

impl Recent {
    fn head_height(&self) -> Height {
        self.blocks.back().map_or(Height::ZERO, |(block, _)| block.header.height)
    }

    fn first_height(&self) -> Height {
        self.blocks.front().map_or(Height::ZERO, |(block, _)| block.header.height)
    }

    /// Lets go of the states below a height, and of the blocks of those beyond a number.
    fn expire(&mut self, states_below: Height, blocks: usize) {
        let first = self.first_height().0;
        let without = usize::try_from(states_below.0.saturating_sub(first)).unwrap_or(usize::MAX);
        let without = without.min(self.blocks.len().saturating_sub(1));
        // Those further below were let go of before.
        for (_, state) in self.blocks.range_mut(..without).rev() {
            if state.take().is_none() {
                break;
            }
        }
        for _ in 0..self.blocks.len().saturating_sub(blocks).min(without) {
            let Some((old, _)) = self.blocks.pop_front() else { return };
            self.by_hash.remove(&old.header.hash());
            for tx in old.transactions.iter() {
                self.by_transaction.remove(tx.hash());
            }
        }
    }

    fn hash_at(&self, height: Height) -> Option<B256> {
        let back = usize::try_from(self.head_height().0.checked_sub(height.0)?).ok()?;
        self.hashes.get(self.hashes.len().checked_sub(back + 1)?).copied()
    }
}

/// The decided chain. Cheap to share; readers never wait for a writer longer than a push takes.
#[derive(Debug)]
pub struct ChainView {
    spec: Arc<ChainSpec>,
    store: Arc<Store>,
    genesis: Arc<RpcBlock>,
    limits: RwLock<ChainLimits>,
    recent: RwLock<Recent>,
    /// Of each of the newest root blocks, the oldest first, which block of this chain was the newest final one; `None`
    /// where there is no root, and a decided block is final.
    finality: Option<RwLock<VecDeque<Height>>>,
    heads: broadcast::Sender<Arc<RpcBlock>>,
    feeds: RwLock<Vec<Weak<HeadFeed>>>,
}

/// BLOCKHASH reaches so many blocks back.
const HASHES_MAX: usize = 256;

impl ChainView {
    pub(crate) fn new(
        spec: Arc<ChainSpec>,
        store: Arc<Store>,
        genesis: SealedHeader,
        genesis_state: WorldState,
        limits: ChainLimits,
        rooted: bool,
    ) -> Self {
        let genesis = Arc::new(chain_block(&spec, genesis, None, Arc::new([]), Arc::new([]), Arc::default()));
        let view = Self {
            spec,
            store,
            genesis: genesis.clone(),
            limits: RwLock::new(limits),
            recent: RwLock::default(),
            finality: rooted.then(|| RwLock::new(VecDeque::from([Height::ZERO]))),
            heads: broadcast::channel(HEADS_BUFFERED).0,
            feeds: RwLock::default(),
        };
        view.publish(genesis, genesis_state);
        view
    }

    /// The chain spec.
    #[must_use]
    pub fn spec(&self) -> &Arc<ChainSpec> {
        &self.spec
    }

    /// Takes note of the next root block, after which this block is the newest final one of the chain; it need not be
    /// decided here yet.
    pub(crate) fn finalized(&self, tip: Height) {
        let Some(finality) = &self.finality else { return };
        let mut tips = finality.write();
        tips.push_back(tip);
        if tips.len() as u64 > FINAL_KEPT {
            tips.pop_front();
        }
    }

    /// The block from whose state on a restart has to begin, so that readers of the network miss none that they may ask
    /// for; the newest block where there is no root.
    pub(crate) fn restart_height(&self) -> Height {
        self.readable_from(self.height())
    }

    /// The oldest block whose state readers may ask for when this is the head.
    fn readable_from(&self, head: Height) -> Height {
        let Some(finality) = &self.finality else { return head };
        let oldest = finality.read().front().copied().unwrap_or_default();
        oldest.clamp(Height(head.0.saturating_sub(FINAL_REACH)), head)
    }

    /// Makes a durable block visible.
    pub(crate) fn publish(&self, block: Arc<RpcBlock>, state: WorldState) {
        let limits = *self.limits.read();
        let head = block.header.height;
        let last_states = Height(head.next().0.saturating_sub(limits.states as u64));
        let states_from = self.readable_from(head).min(last_states);
        let mut recent = self.recent.write();
        recent.by_hash.insert(block.header.hash(), block.header.height);
        for (index, tx) in (0u32..).zip(block.transactions.iter()) {
            recent.by_transaction.insert(*tx.hash(), (block.header.height, index));
        }
        recent.blocks.push_back((block.clone(), Some(state)));
        recent.hashes.push_back(block.header.hash());
        if recent.hashes.len() > HASHES_MAX {
            recent.hashes.pop_front();
        }
        recent.expire(states_from, limits.blocks);
        drop(recent);
        // Nobody listening is fine: subscribers come and go.
        let _ = self.heads.send(block);
        for feed in self.feeds.read().iter().filter_map(Weak::upgrade) {
            feed.follow(self);
        }
    }

    /// Lets a feed pass on the heads of this chain; from now on as much is held as readers need.
    pub(crate) fn attach(&self, feed: &Arc<HeadFeed>) {
        *self.limits.write() = ChainLimits::SERVING;
        let mut feeds = self.feeds.write();
        feeds.retain(|held| held.strong_count() > 0);
        feeds.push(Arc::downgrade(feed));
        drop(feeds);
        feed.follow(self);
    }

    /// Lets a feed go.
    pub(crate) fn detach(&self, feed: &Arc<HeadFeed>) {
        self.feeds.write().retain(|held| !std::ptr::eq(held.as_ptr(), Arc::as_ptr(feed)));
    }

    /// Starts over from a state that was read from disk: this block is the first one in memory.
    pub(crate) fn restart_at(&self, block: Arc<RpcBlock>, state: WorldState) -> Result<(), NodeError> {
        let height = block.header.height;
        let oldest = height.0.saturating_sub(HASHES_MAX as u64 - 1);
        let mut hashes = VecDeque::new();
        for below in oldest..height.0 {
            hashes.extend(self.hash_on_disk(Height(below))?);
        }
        *self.recent.write() = Recent { hashes, ..Recent::default() };
        self.publish(block, state);
        Ok(())
    }

    /// Hash of the genesis block.
    #[must_use]
    pub fn genesis_hash(&self) -> B256 {
        self.genesis.header.hash()
    }

    fn hash_on_disk(&self, height: Height) -> Result<Option<B256>, NodeError> {
        if height == Height::ZERO {
            return Ok(Some(self.genesis.header.hash()));
        }
        Ok(self.store.block_by_height(height)?.map(|record| record.certified.block.header.hash()))
    }

    /// The newest block.
    ///
    /// # Panics
    /// Never: genesis or a later block is always held.
    #[must_use]
    pub fn head(&self) -> Arc<RpcBlock> {
        self.recent.read().blocks.back().expect("the head is always in memory").0.clone()
    }

    /// The newest block's height.
    #[must_use]
    pub fn height(&self) -> Height {
        self.recent.read().head_height()
    }

    /// The newest block and its state.
    ///
    /// # Panics
    /// Never, as [`Self::head`].
    #[must_use]
    pub fn head_state(&self) -> (Arc<RpcBlock>, WorldState) {
        let recent = self.recent.read();
        let (block, state) = recent.blocks.back().expect("the head is always in memory");
        (block.clone(), state.clone().expect("the head's state is always in memory"))
    }

    /// The block at a height, or `None` above the head.
    ///
    /// # Errors
    /// When the block log cannot be read.
    pub fn block(&self, height: Height) -> Result<Option<Arc<RpcBlock>>, NodeError> {
        if height == Height::ZERO {
            return Ok(Some(self.genesis.clone()));
        }
        {
            let recent = self.recent.read();
            if let Some(offset) = height.0.checked_sub(recent.first_height().0) {
                let index = usize::try_from(offset).unwrap_or(usize::MAX);
                return Ok(recent.blocks.get(index).map(|(block, _)| block.clone()));
            }
        }
        self.read_block(height)
    }

    pub(crate) fn read_block(&self, height: Height) -> Result<Option<Arc<RpcBlock>>, NodeError> {
        if height == Height::ZERO {
            return Ok(Some(self.genesis.clone()));
        }
        let Some(record) = self.store.block_by_height(height)? else { return Ok(None) };
        let certified = record.certified;
        let transactions = certified.block.body.transactions().map(|tx| {
            tx.decode_claimed().map_err(|error| NodeError::Diverged { height, detail: error.to_string() })
        });
        let transactions = transactions.collect::<Result<Arc<[_]>, _>>()?;
        Ok(Some(Arc::new(chain_block(
            &self.spec,
            certified.block.header,
            Some(certified.certificate),
            transactions,
            record.receipts.into(),
            Arc::new(record.crossing),
        ))))
    }

    /// The height of the block with a hash.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn height_of(&self, hash: &B256) -> Result<Option<Height>, NodeError> {
        if *hash == self.genesis.header.hash() {
            return Ok(Some(Height::ZERO));
        }
        if let Some(height) = self.recent.read().by_hash.get(hash) {
            return Ok(Some(*height));
        }
        let found = self.store.height_of(hash)?;
        // The store may be ahead of what is visible by the blocks of one fsync.
        Ok(found.filter(|height| *height <= self.head().header.height))
    }

    /// The height of the block that holds a transaction, and the transaction's index in it.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub fn transaction(&self, hash: &B256) -> Result<Option<(Height, u32)>, NodeError> {
        if let Some(place) = self.recent.read().by_transaction.get(hash) {
            return Ok(Some(*place));
        }
        Ok(self.store.transaction(hash)?.filter(|(height, _)| *height <= self.head().header.height))
    }

    /// Where this shard has sent or consumed a message, by its id.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub fn message(&self, id: &B256) -> Result<Option<MessagePlace>, NodeError> {
        Ok(self.store.message(id)?.filter(|place| place.height <= self.height()))
    }

    /// The state after the block at a height, while it is held.
    #[must_use]
    pub fn state(&self, height: Height) -> Option<WorldState> {
        let recent = self.recent.read();
        let first = recent.blocks.front()?.0.header.height;
        let index = usize::try_from(height.0.checked_sub(first.0)?).ok()?;
        recent.blocks.get(index)?.1.clone()
    }

    /// The oldest height whose state is held.
    #[must_use]
    pub fn oldest_state(&self) -> Height {
        let recent = self.recent.read();
        let held = recent.blocks.iter().find(|(_, state)| state.is_some());
        held.map_or(Height::ZERO, |(block, _)| block.header.height)
    }

    /// The hash of the block at a height: the last 256 from memory, older ones (which only traces of old
    /// blocks ask for) from disk.
    #[must_use]
    pub fn hash_at(&self, height: Height) -> Option<B256> {
        let recent = self.recent.read();
        if height > recent.head_height() {
            return None;
        }
        let at_hand = recent.hash_at(height);
        drop(recent);
        at_hand.or_else(|| match self.hash_on_disk(height) {
            Ok(hash) => hash,
            Err(error) => {
                tracing::error!(%height, %error, "cannot read the hash of an old block");
                None
            }
        })
    }

    /// A decided block with its certificate, ticks included; genesis has none.
    ///
    /// # Errors
    /// When the block log cannot be read.
    pub fn certified_block(&self, height: Height) -> Result<Option<CertifiedBlock>, NodeError> {
        if height > self.head().header.height {
            return Ok(None);
        }
        Ok(self.store.block_by_height(height)?.map(|record| record.certified))
    }

    /// The messages that the block at a height sends to a domain, with the proof that these are all of them; `None`
    /// when it sends none, or is not decided here.
    ///
    /// # Errors
    /// When the block log cannot be read.
    pub fn lane_batch(&self, height: Height, destination: DomainId) -> Result<Option<LaneBatch>, NodeError> {
        let block = self.block(height)?;
        Ok(block.and_then(|block| lane_batch(&block.crossing.sent, destination)))
    }

    /// A stream of new heads from now on.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<RpcBlock>> {
        self.heads.subscribe()
    }
}

/// The value that contracts see as PREVRANDAO: fixed by the parent's clock, so that execution can start
/// before the block is complete. It is *not* a lottery: the parent's proposer knows it one block ahead.
#[must_use]
pub fn prevrandao(header: &anfs_primitives::ShardHeader) -> B256 {
    keccak256([b"anfs/prevrandao/v1", &header.poh_start.0[..], &header.height.0.to_be_bytes()].concat())
}

#[cfg(test)]
mod tests;
