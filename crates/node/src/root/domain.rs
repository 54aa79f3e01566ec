//! What executing the root's own blocks has come to, as readers see it.
//!
//! The root is domain 0. Its block at a height is the root block of that height with what it did to the root's own
//! accounts; the root header above commits to it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use alloy_primitives::B256;
use anfs_primitives::{ChainSpec, Height, RootExecution, RootHash, RootSeat, decode};
use anfs_rpc::RpcBlock;
use anfs_state::WorldState;
use anfs_store::RecordLog;
use parking_lot::RwLock;
#[cfg(test)]
use {alloy_primitives::Address, anfs_primitives::SealedRootHeader};

use super::machine::ExecutionRecord;
use crate::error::NodeError;

/// Executed blocks held in memory; what older ones did is read from disk.
const RECENT_BLOCKS: usize = 1024;
/// States held; older ones cannot be read.
const RECENT_STATES: usize = 256;
/// Bytes of what is kept of an executed block at most.
const RECORD_BYTES_MAX: usize = 256 * 1024 * 1024;

/// A root block with what it came to.
#[derive(Debug)]
pub struct RootExecuted {
    /// The block in the form of a shard's. It has no transactions.
    pub block: Arc<RpcBlock>,
    /// The root's accounts after it.
    pub state: WorldState,
    /// What the next header says of it.
    pub execution: RootExecution,
}

impl RootExecuted {
    /// Height of the root block.
    #[must_use]
    pub fn height(&self) -> Height {
        self.block.header.height
    }

    /// A block that nobody has executed.
    #[cfg(test)]
    pub(crate) fn made_up(
        spec: &ChainSpec,
        header: &SealedRootHeader,
        crossing: anfs_primitives::BlockCrossing,
    ) -> Self {
        let blank = super::machine::blank(spec);
        let done = (RootExecution::default(), crossing);
        super::machine::executed(&blank, Address::ZERO, header, WorldState::empty(), done)
    }
}

/// The executed root blocks.
#[derive(Debug)]
pub struct RootDomain {
    pub(super) spec: Arc<ChainSpec>,
    /// Where older blocks are read from.
    archives: RwLock<BTreeMap<RootSeat, Arc<RecordLog>>>,
    recent: RwLock<Recent>,
}

#[derive(Debug)]
struct Recent {
    /// Never empty.
    blocks: VecDeque<Arc<RpcBlock>>,
    /// States after the newest of them.
    states: VecDeque<WorldState>,
}

impl Recent {
    fn of(first: &RootExecuted) -> Self {
        Self { blocks: [first.block.clone()].into(), states: [first.state.clone()].into() }
    }

    fn head(&self) -> &Arc<RpcBlock> {
        self.blocks.back().expect("never empty")
    }

    fn block(&self, height: Height) -> Option<&Arc<RpcBlock>> {
        let oldest = self.blocks.front()?.header.height;
        self.blocks.get(usize::try_from(height.0.checked_sub(oldest.0)?).ok()?)
    }

    fn oldest_state(&self) -> Height {
        Height(self.head().header.height.0.saturating_sub(self.states.len() as u64 - 1))
    }
}

impl RootDomain {
    /// The domain as it was after some block: genesis, or one whose accounts were saved.
    #[must_use]
    pub fn new(spec: Arc<ChainSpec>, first: &RootExecuted) -> Self {
        Self { spec, archives: RwLock::default(), recent: RwLock::new(Recent::of(first)) }
    }

    /// Reads what older blocks did from a seat's disk as well.
    pub(crate) fn archive(&self, seat: RootSeat, log: &Arc<RecordLog>) {
        self.archives.write().insert(seat, log.clone());
    }

    /// Begins again after a later block, unless it is known here.
    pub(crate) fn skip_to(&self, executed: &RootExecuted) {
        let mut recent = self.recent.write();
        if executed.height() > recent.head().header.height {
            *recent = Recent::of(executed);
        }
    }

    /// Makes the next executed block visible; any other one is known or has a gap below it, and is ignored.
    pub(crate) fn publish(&self, executed: &RootExecuted) {
        let mut recent = self.recent.write();
        if executed.height() != recent.head().header.height.next() {
            return;
        }
        recent.blocks.push_back(executed.block.clone());
        recent.states.push_back(executed.state.clone());
        if recent.blocks.len() > RECENT_BLOCKS {
            recent.blocks.pop_front();
        }
        if recent.states.len() > RECENT_STATES {
            recent.states.pop_front();
        }
    }

    /// The newest executed block.
    #[must_use]
    pub fn newest(&self) -> Arc<RpcBlock> {
        self.recent.read().head().clone()
    }

    /// The newest executed block with the state after it.
    pub(super) fn newest_state(&self) -> (Arc<RpcBlock>, WorldState) {
        let recent = self.recent.read();
        (recent.head().clone(), recent.states.back().expect("never empty").clone())
    }

    /// An executed block; `None` above the newest, and of old ones where no disk has them.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub fn block_at(&self, height: Height) -> Result<Option<Arc<RpcBlock>>, NodeError> {
        {
            let recent = self.recent.read();
            if height > recent.head().header.height {
                return Ok(None);
            }
            if let Some(block) = recent.block(height) {
                return Ok(Some(block.clone()));
            }
        }
        let archives: Vec<_> = self.archives.read().values().cloned().collect();
        for log in archives {
            if let Some(bytes) = log.read(height.0)? {
                return read(height, &bytes).map(|block| Some(Arc::new(block)));
            }
        }
        Ok(None)
    }

    /// The state after a block, or the oldest height whose state is held.
    pub(super) fn state_at(&self, height: Height) -> Result<WorldState, Height> {
        let recent = self.recent.read();
        let oldest = recent.oldest_state();
        let at = height.0.checked_sub(oldest.0).and_then(|at| usize::try_from(at).ok());
        at.and_then(|at| recent.states.get(at)).cloned().ok_or(oldest)
    }

    /// The height of one of the newest executed blocks by the hash of its root block.
    pub(super) fn height_of_root(&self, hash: &RootHash) -> Option<Height> {
        let recent = self.recent.read();
        let block = recent.blocks.iter().rev().find(|block| block.header.root_reference.hash == *hash);
        block.map(|block| block.header.height)
    }

    /// Hashes of the root blocks up to a height that contracts at that height can see.
    pub(super) fn hashes(&self, height: Height) -> BTreeMap<u64, B256> {
        let recent = self.recent.read();
        let oldest = Height(height.0.saturating_sub(anfs_execution::ANCESTORS_VISIBLE));
        let visible = recent.blocks.iter().filter(|block| (oldest..height).contains(&block.header.height));
        visible.map(|block| (block.header.height.0, block.header.root_reference.hash)).collect()
    }
}

/// A block as it was kept.
pub(super) fn read(height: Height, bytes: &[u8]) -> Result<RpcBlock, NodeError> {
    let record: ExecutionRecord = decode(bytes, RECORD_BYTES_MAX).map_err(|error| NodeError::Network {
        height,
        detail: format!(
            "what the root's block did makes no sense on disk ({error}); remove executions.log and state from the folder \"root\" of the seat: they are made again"
        ),
    })?;
    Ok(record.into_block())
}
