//! What executing the root's own blocks has come to, as readers see it.
//!
//! The root is domain 0. Its block at a height is the root block of that height with what it did to the root's own
//! accounts; the root header above commits to it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use alloy_primitives::B256;
use alloy_primitives::map::B256Map;
use anfs_primitives::{ChainSpec, CrossMessage, DomainId, Height, RootExecution, RootHash, RootSeat, decode};
use anfs_rpc::RpcBlock;
use anfs_state::WorldState;
use anfs_store::{MessagePlace, RecordLog};
use parking_lot::RwLock;
#[cfg(test)]
use {
    alloy_primitives::Address,
    anfs_primitives::{SealedRootHeader, Slot},
};

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
        state: WorldState,
        crossing: anfs_primitives::BlockCrossing,
    ) -> Self {
        let blank = super::machine::blank(spec);
        let done = (RootExecution::default(), crossing);
        super::machine::executed(&blank, (Address::ZERO, Slot::ZERO), header, state, done)
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
    /// States after the newest of them, and what these came to.
    states: VecDeque<(WorldState, RootExecution)>,
    /// What these blocks have sent and consumed, by id.
    messages: B256Map<MessagePlace>,
}

impl Recent {
    fn of(first: &RootExecuted) -> Self {
        let mut recent =
            Self { blocks: VecDeque::new(), states: VecDeque::new(), messages: B256Map::default() };
        recent.push(first);
        recent
    }

    fn push(&mut self, executed: &RootExecuted) {
        self.messages.extend(mentioned(&executed.block));
        self.blocks.push_back(executed.block.clone());
        self.states.push_back((executed.state.clone(), executed.execution.clone()));
        if self.blocks.len() > RECENT_BLOCKS
            && let Some(old) = self.blocks.pop_front()
        {
            for (id, _) in mentioned(&old) {
                self.messages.remove(&id);
            }
        }
        if self.states.len() > RECENT_STATES {
            self.states.pop_front();
        }
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
        recent.push(executed);
    }

    /// The newest executed block.
    #[must_use]
    pub fn newest(&self) -> Arc<RpcBlock> {
        self.recent.read().head().clone()
    }

    /// The newest executed block with the state after it.
    pub(super) fn newest_state(&self) -> (Arc<RpcBlock>, WorldState) {
        let recent = self.recent.read();
        (recent.head().clone(), recent.states.back().expect("never empty").0.clone())
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

    /// Where one of the newest executed blocks has sent or consumed a message, by its id.
    pub(crate) fn message(&self, id: &B256) -> Option<MessagePlace> {
        self.recent.read().messages.get(id).copied()
    }

    /// Where a message from or to the root was sent or consumed there, however long ago; `None` if it was not yet, or no
    /// disk has the block.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub(crate) fn find(&self, message: &CrossMessage) -> Result<Option<MessagePlace>, NodeError> {
        let consumed = message.destination == DomainId::ROOT;
        let passed = |block: &RpcBlock| {
            let header = &block.header;
            let cursor = header.inbox_cursors.iter().find(|cursor| cursor.source == message.source);
            let lane = header.lanes.iter().find(|lane| lane.destination == message.destination);
            let number = if consumed { cursor.map(|it| it.consumed) } else { lane.map(|it| it.sent) };
            number.is_some_and(|number| number > message.sequence)
        };
        let (mut below, mut reached) = (Height::ZERO, self.newest().header.height);
        if !self.block_at(reached)?.is_some_and(|block| passed(&block)) {
            return Ok(None);
        }
        while below < reached {
            let middle = Height(below.0.midpoint(reached.0));
            let Some(block) = self.block_at(middle)? else { return Ok(None) };
            if passed(&block) {
                reached = middle;
            } else {
                below = middle.next();
            }
        }
        let Some(block) = self.block_at(reached)? else { return Ok(None) };
        let id = message.id();
        Ok(mentioned(&block).find(|(mentioned, _)| *mentioned == id).map(|(_, place)| place))
    }

    /// The state after a block, or the oldest height whose state is held.
    pub(crate) fn state_at(&self, height: Height) -> Result<WorldState, Height> {
        self.outcome_at(height).map(|(state, _)| state)
    }

    /// The state after a block and what it came to, or the oldest height of which they are held.
    pub(super) fn outcome_at(&self, height: Height) -> Result<(WorldState, RootExecution), Height> {
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

/// The messages that a block has sent and consumed, with their places.
fn mentioned(block: &RpcBlock) -> impl Iterator<Item = (B256, MessagePlace)> {
    let height = block.header.height;
    let place = move |consumed| move |(index, id)| (id, MessagePlace { height, index, consumed });
    let sent = block.crossing.sent.iter().map(CrossMessage::id);
    let consumed = block.crossing.arrivals.iter().map(|arrival| arrival.message.id());
    (0u32..).zip(sent).map(place(false)).chain((0u32..).zip(consumed).map(place(true)))
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
