//! What the threads of one seat share.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anfs_mempool::Pool;
use anfs_primitives::{BlockHash, ChainSpec, DomainId, Height, SeatIndex};
use anfs_store::Store;
use parking_lot::{Condvar, Mutex};

use crate::chain::ChainView;
use crate::clock::Clock;
use crate::metrics::SeatMetrics;
use crate::run::{ExecutedBlock, Place};

/// What the threads of one seat share.
#[derive(Debug)]
pub(crate) struct SeatContext {
    pub(crate) seat: SeatIndex,
    pub(crate) domain: DomainId,
    pub(crate) spec: Arc<ChainSpec>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) store: Arc<Store>,
    pub(crate) chain: Arc<ChainView>,
    pub(crate) executed: ExecutedBlocks,
    pub(crate) pool: Arc<SharedPool>,
    pub(crate) metrics: Arc<SeatMetrics>,
    pub(crate) health: Arc<Health>,
}

/// Blocks that were executed and are not yet below the visible head.
#[derive(Debug, Default)]
pub(crate) struct ExecutedBlocks {
    blocks: Mutex<HashMap<BlockHash, Arc<ExecutedBlock>>>,
    added: Condvar,
}

impl ExecutedBlocks {
    pub(crate) fn insert(&self, block: Arc<ExecutedBlock>) {
        self.blocks.lock().insert(block.header.hash(), block);
        self.added.notify_all();
    }

    pub(crate) fn get(&self, hash: &BlockHash) -> Option<Arc<ExecutedBlock>> {
        self.blocks.lock().get(hash).cloned()
    }

    /// The block with a hash, waiting for its execution at most `timeout`.
    pub(crate) fn wait_for(&self, hash: &BlockHash, timeout: Duration) -> Option<Arc<ExecutedBlock>> {
        let mut blocks = self.blocks.lock();
        if !blocks.contains_key(hash) {
            self.added.wait_for(&mut blocks, timeout);
        }
        blocks.get(hash).cloned()
    }

    pub(crate) fn remove(&self, hash: &BlockHash) {
        self.blocks.lock().remove(hash);
    }

    /// Forgets everything below a height.
    pub(crate) fn prune_below(&self, height: Height) {
        self.blocks.lock().retain(|_, block| block.header.height >= height);
    }

    /// The place of a child of `parent`, with the undecided ancestors above `decided`.
    pub(crate) fn place(
        &self,
        parent: &ExecutedBlock,
        decided: Height,
        slot: anfs_primitives::Slot,
        beneficiary: alloy_primitives::Address,
    ) -> Place {
        let blocks = self.blocks.lock();
        let mut undecided = vec![(parent.header.height, parent.header.hash())];
        let mut next = parent.header.parent;
        while let Some(block) = blocks.get(&next).filter(|block| block.header.height > decided) {
            undecided.push((block.header.height, block.header.hash()));
            next = block.header.parent;
        }
        Place { slot, beneficiary, undecided }
    }
}

/// The transaction pool, and a bell that rings when something arrives.
#[derive(Debug)]
pub(crate) struct SharedPool {
    pub(crate) pool: Mutex<Pool>,
    arrived: Condvar,
    bell: Mutex<bool>,
}

impl SharedPool {
    pub(crate) fn new(pool: Pool) -> Self {
        Self { pool: Mutex::new(pool), arrived: Condvar::new(), bell: Mutex::new(false) }
    }

    pub(crate) fn ring(&self) {
        let mut rung = self.bell.lock();
        if !*rung {
            *rung = true;
            self.arrived.notify_one();
        }
    }

    /// Waits until something arrives, at most `timeout`.
    pub(crate) fn wait(&self, timeout: Duration) {
        let mut rung = self.bell.lock();
        if !*rung {
            self.arrived.wait_for(&mut rung, timeout);
        }
        *rung = false;
    }
}

/// Whether the node can do its work.
#[derive(Debug, Default)]
pub struct Health {
    stopping: Mutex<bool>,
    stopped: Condvar,
    trouble: Mutex<Option<String>>,
}

impl Health {
    /// What keeps the node from working, if anything does.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().clone()
    }

    pub(crate) fn set_trouble(&self, trouble: Option<String>) {
        *self.trouble.lock() = trouble;
    }

    /// Stops the node for a fault that it cannot work around.
    pub(crate) fn fail(&self, reason: String) {
        self.set_trouble(Some(reason));
        self.stop();
    }

    pub(crate) fn stop(&self) {
        *self.stopping.lock() = true;
        self.stopped.notify_all();
    }

    /// Whether the node is on its way down.
    #[must_use]
    pub fn stopping(&self) -> bool {
        *self.stopping.lock()
    }

    /// Waits, but not once the node is on its way down; whether it is.
    pub(crate) fn wait_unless_stopping(&self, pause: Duration) -> bool {
        let mut stopping = self.stopping.lock();
        if !*stopping {
            self.stopped.wait_for(&mut stopping, pause);
        }
        *stopping
    }
}
