//! The final root blocks as readers see them: only what is on this node's disk.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::map::B256Map;
use anfs_primitives::{CertifiedRootBlock, Height, RootHash, RootSeat, SealedRootHeader};
use anfs_store::RootStore;
use parking_lot::{Condvar, Mutex};
use tokio::sync::broadcast;

use super::domain::RootDomain;
use crate::error::NodeError;

/// Root blocks held in memory; older ones are read from disk.
pub(crate) const RECENT_BLOCKS: u64 = 1024;
/// Root blocks that a slow subscriber may lag behind.
const BLOCKS_BUFFERED: usize = 256;

/// The chain of final root blocks.
#[derive(Debug)]
pub struct RootChain {
    genesis: SealedRootHeader,
    domain: Arc<RootDomain>,
    /// Where older blocks are read from; of a seat that has stopped, as far as it had got.
    archives: Mutex<BTreeMap<RootSeat, Arc<RootStore>>>,
    recent: Mutex<Recent>,
    grew: Condvar,
    news: broadcast::Sender<Arc<CertifiedRootBlock>>,
}

#[derive(Debug, Default)]
struct Recent {
    blocks: VecDeque<Arc<CertifiedRootBlock>>,
    heights: B256Map<Height>,
}

impl Recent {
    fn head(&self) -> Height {
        self.blocks.back().map_or(Height::ZERO, |block| block.block.header.height)
    }

    fn push(&mut self, block: Arc<CertifiedRootBlock>) {
        let header = &block.block.header;
        self.heights.insert(header.hash(), header.height);
        self.blocks.push_back(block);
        if self.blocks.len() as u64 > RECENT_BLOCKS
            && let Some(old) = self.blocks.pop_front()
        {
            self.heights.remove(&old.block.header.hash());
        }
    }
}

impl RootChain {
    /// A chain of the genesis block alone, with what executing its blocks comes to.
    #[must_use]
    pub fn new(genesis: SealedRootHeader, domain: Arc<RootDomain>) -> Self {
        Self {
            genesis,
            domain,
            archives: Mutex::default(),
            recent: Mutex::default(),
            grew: Condvar::new(),
            news: broadcast::channel(BLOCKS_BUFFERED).0,
        }
    }

    /// Takes in what a seat has on disk, and reads older blocks from there from now on. News of it are not given.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub(crate) fn take_in(&self, seat: RootSeat, archive: &Arc<RootStore>) -> Result<(), NodeError> {
        self.archives.lock().insert(seat, archive.clone());
        let head = archive.head();
        if head <= self.height() {
            return Ok(());
        }
        let mut blocks = Recent::default();
        for height in (head.0.saturating_sub(RECENT_BLOCKS) + 1..=head.0).map(Height) {
            if let Some(block) = archive.block(height)? {
                blocks.push(Arc::new(block));
            }
        }
        let mut recent = self.recent.lock();
        if blocks.head() > recent.head() {
            *recent = blocks;
            self.grew.notify_all();
        }
        Ok(())
    }

    /// Makes the next block visible, which is final and on disk; any other one is known or has a gap below it, and
    /// is ignored.
    pub(crate) fn publish(&self, block: &Arc<CertifiedRootBlock>) {
        let mut recent = self.recent.lock();
        if block.block.header.height != recent.head().next() {
            return;
        }
        recent.push(block.clone());
        self.grew.notify_all();
        // Under the lock, so that news come in order. No one need be listening.
        drop(self.news.send(block.clone()));
    }

    /// The newest final root header; that of genesis before the first.
    #[must_use]
    pub fn head(&self) -> SealedRootHeader {
        let recent = self.recent.lock();
        recent.blocks.back().map_or_else(|| self.genesis.clone(), |block| block.block.header.clone())
    }

    /// Height of the newest final root block.
    #[must_use]
    pub fn height(&self) -> Height {
        self.recent.lock().head()
    }

    /// What executing the blocks has come to.
    #[must_use]
    pub fn domain(&self) -> &Arc<RootDomain> {
        &self.domain
    }

    /// The genesis header.
    #[must_use]
    pub fn genesis(&self) -> &SealedRootHeader {
        &self.genesis
    }

    /// A final root block; `None` for genesis and above the head.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn block(&self, height: Height) -> Result<Option<Arc<CertifiedRootBlock>>, NodeError> {
        {
            let recent = self.recent.lock();
            if height > recent.head() {
                return Ok(None);
            }
            if let Some(oldest) = recent.blocks.front().map(|block| block.block.header.height)
                && let Some(at) = height.0.checked_sub(oldest.0).and_then(|at| usize::try_from(at).ok())
                && let Some(block) = recent.blocks.get(at)
            {
                return Ok(Some(block.clone()));
            }
        }
        let archives: Vec<_> = self.archives.lock().values().cloned().collect();
        for archive in archives {
            if let Some(block) = archive.block(height)? {
                return Ok(Some(Arc::new(block)));
            }
        }
        Ok(None)
    }

    /// The header of a final root block, genesis included.
    ///
    /// # Errors
    /// As [`Self::block`].
    pub fn header(&self, height: Height) -> Result<Option<SealedRootHeader>, NodeError> {
        if height == Height::ZERO {
            return Ok(Some(self.genesis.clone()));
        }
        Ok(self.block(height)?.map(|block| block.block.header.clone()))
    }

    /// The height of one of the newest final root blocks, or of genesis.
    #[must_use]
    pub fn height_of(&self, hash: &RootHash) -> Option<Height> {
        if *hash == self.genesis.hash() {
            return Some(Height::ZERO);
        }
        self.recent.lock().heights.get(hash).copied()
    }

    /// Every block from now on, in height order.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<CertifiedRootBlock>> {
        self.news.subscribe()
    }

    /// Waits until there is a block above a height, but no longer than this.
    pub(crate) fn wait_above(&self, height: Height, limit: Duration) {
        let mut recent = self.recent.lock();
        if recent.head() <= height {
            // What is there is looked at either way.
            let _timed_out = self.grew.wait_for(&mut recent, limit);
        }
    }
}
