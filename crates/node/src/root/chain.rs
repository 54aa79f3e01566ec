//! The final root blocks as readers see them: only what is on this node's disk.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::map::B256Map;
use anfs_primitives::{CertifiedRootBlock, Height, RootHash, SealedRootHeader};
use anfs_store::RootStore;
use parking_lot::{Condvar, Mutex};
use tokio::sync::broadcast;

use crate::error::NodeError;

/// Root blocks held in memory; older ones are read from disk.
pub(crate) const RECENT_BLOCKS: u64 = 1024;
/// Root blocks that a slow subscriber may lag behind.
const BLOCKS_BUFFERED: usize = 256;

/// The chain of final root blocks.
#[derive(Debug)]
pub struct RootChain {
    genesis: SealedRootHeader,
    archive: Option<Arc<RootStore>>,
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
    /// A chain whose newest blocks are these, without a gap; older ones are read from the archive.
    ///
    /// # Errors
    /// When the archive cannot be read.
    pub fn new(genesis: SealedRootHeader, archive: Option<Arc<RootStore>>) -> Result<Self, NodeError> {
        let mut recent = Recent::default();
        if let Some(archive) = &archive {
            let head = archive.head().0;
            for height in (head.saturating_sub(RECENT_BLOCKS) + 1..=head).map(Height) {
                if let Some(block) = archive.block(height)? {
                    recent.push(Arc::new(block));
                }
            }
        }
        let (recent, news) = (Mutex::new(recent), broadcast::channel(BLOCKS_BUFFERED).0);
        Ok(Self { genesis, archive, recent, grew: Condvar::new(), news })
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
        let Some(archive) = &self.archive else { return Ok(None) };
        Ok(archive.block(height)?.map(Arc::new))
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
