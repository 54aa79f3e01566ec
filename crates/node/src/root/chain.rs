//! The final root blocks as readers see them: only what is on this node's disk.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::map::B256Map;
use anfs_primitives::{CertifiedRootBlock, Height, RootHash, RootReference, SealedRootHeader};
use parking_lot::{Condvar, Mutex};
use tokio::sync::broadcast;

use crate::error::NodeError;

/// Root blocks held in memory.
const RECENT_BLOCKS: usize = 1024;
/// Root blocks that a slow subscriber may lag behind.
const BLOCKS_BUFFERED: usize = 256;

/// Where root blocks are found that are no longer in memory.
pub trait RootArchive: Send + Sync + Debug {
    /// A final root block; `None` for genesis and above the head.
    ///
    /// # Errors
    /// When the disk cannot be read.
    fn root_block(&self, height: Height) -> Result<Option<Arc<CertifiedRootBlock>>, NodeError>;
}

/// The chain of final root blocks. Hashes of all of them are at hand, blocks only of the newest.
#[derive(Debug)]
pub struct RootChain {
    genesis: SealedRootHeader,
    known: Mutex<Known>,
    grew: Condvar,
    news: broadcast::Sender<Arc<CertifiedRootBlock>>,
    archive: Option<Arc<dyn RootArchive>>,
}

#[derive(Debug, Default)]
struct Known {
    /// By height; that of genesis first.
    hashes: Vec<RootHash>,
    heights: B256Map<Height>,
    recent: VecDeque<Arc<CertifiedRootBlock>>,
}

impl RootChain {
    /// A chain of the genesis block alone.
    #[must_use]
    pub fn new(genesis: SealedRootHeader) -> Self {
        let known = Known {
            hashes: vec![genesis.hash()],
            heights: std::iter::once((genesis.hash(), Height::ZERO)).collect(),
            recent: VecDeque::new(),
        };
        let news = broadcast::channel(BLOCKS_BUFFERED).0;
        Self { genesis, known: Mutex::new(known), grew: Condvar::new(), news, archive: None }
    }

    /// Finds older blocks there.
    #[must_use]
    pub fn with_archive(mut self, archive: Arc<dyn RootArchive>) -> Self {
        self.archive = Some(archive);
        self
    }

    /// Makes the next block visible. It is final and on disk.
    pub(crate) fn publish(&self, block: Arc<CertifiedRootBlock>) {
        let header = &block.block.header;
        let mut known = self.known.lock();
        if header.height.0 != known.hashes.len() as u64 {
            return;
        }
        known.hashes.push(header.hash());
        known.heights.insert(header.hash(), header.height);
        known.recent.push_back(block.clone());
        if known.recent.len() > RECENT_BLOCKS {
            known.recent.pop_front();
        }
        drop(known);
        self.grew.notify_all();
        // No one need be listening.
        let _ = self.news.send(block);
    }

    /// The newest final root block.
    #[must_use]
    pub fn head(&self) -> SealedRootHeader {
        self.known.lock().recent.back().map_or_else(|| self.genesis.clone(), |last| last.block.header.clone())
    }

    /// Its height.
    #[must_use]
    pub fn height(&self) -> Height {
        Height(self.known.lock().hashes.len() as u64 - 1)
    }

    /// The genesis header.
    #[must_use]
    pub fn genesis(&self) -> &SealedRootHeader {
        &self.genesis
    }

    /// A block that is still in memory; `None` for genesis, an older one, or one above the head.
    #[must_use]
    pub fn recent(&self, height: Height) -> Option<Arc<CertifiedRootBlock>> {
        let known = self.known.lock();
        let oldest = known.recent.front()?.block.header.height.0;
        let at = usize::try_from(height.0.checked_sub(oldest)?).ok()?;
        known.recent.get(at).cloned()
    }

    /// A block from memory or from the archive; `None` for genesis, above the head, and for an old one without an
    /// archive.
    ///
    /// # Errors
    /// When the archive cannot be read.
    pub fn block(&self, height: Height) -> Result<Option<Arc<CertifiedRootBlock>>, NodeError> {
        if let Some(recent) = self.recent(height) {
            return Ok(Some(recent));
        }
        match &self.archive {
            Some(archive) if height <= self.height() => archive.root_block(height),
            _ => Ok(None),
        }
    }

    /// The hash of the final root block at a height.
    #[must_use]
    pub fn hash_at(&self, height: Height) -> Option<RootHash> {
        self.known.lock().hashes.get(usize::try_from(height.0).ok()?).copied()
    }

    /// The height of a final root block.
    #[must_use]
    pub fn height_of(&self, hash: &RootHash) -> Option<Height> {
        self.known.lock().heights.get(hash).copied()
    }

    /// Whether a reference names a final root block; `None` when it is above the head. The zero reference names
    /// what is before the first root block.
    #[must_use]
    pub fn holds(&self, reference: &RootReference) -> Option<bool> {
        if *reference == RootReference::default() {
            return Some(true);
        }
        let known = self.known.lock();
        let hash = known.hashes.get(usize::try_from(reference.height.0).ok()?)?;
        Some(*hash == reference.hash)
    }

    /// Every block from now on, in height order.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<CertifiedRootBlock>> {
        self.news.subscribe()
    }

    /// Waits until there is a block above a height, but no longer than this.
    pub(crate) fn wait_above(&self, height: Height, limit: Duration) {
        let mut known = self.known.lock();
        if known.hashes.len() as u64 - 1 <= height.0 {
            let _timed_out = self.grew.wait_for(&mut known, limit);
        }
    }
}
