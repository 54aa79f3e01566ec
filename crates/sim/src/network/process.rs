//! One seat: both cores, what its disk holds, and what it knows of blocks.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use anfs_consensus::root::{InboundWant, RootCore, RootInput, RootLogRecord};
use anfs_consensus::{Depth, Input, LogRecord, ShardCore};
use anfs_crypto::outbox::{LaneBatch, lane_batch};
use anfs_primitives::{
    Block, BlockHash, CertifiedRootBlock, ConsensusMessage, DomainId, Height, RootMessage, RootSeat,
    ShardReference, Slot, View,
};

use super::block::{Executed, inbox_gas, judge};
use super::inbox::{Due, Inbox};
use crate::seat::Decided;

/// What travels between seats.
#[derive(Clone, Debug)]
pub(super) enum Packet {
    Shard(Arc<ConsensusMessage>),
    Root(Arc<RootMessage>),
    /// Asks for the messages that a block of the recipient's shard has for a domain.
    Want {
        destination: DomainId,
        height: Height,
    },
    /// The answer.
    Batch {
        source: DomainId,
        destination: DomainId,
        height: Height,
        batch: Arc<LaneBatch>,
    },
}

/// What is to be put into a core.
#[derive(Debug)]
pub(super) enum CoreInput {
    Shard(Input),
    Root(RootInput),
}

/// A block to be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) height: Height,
    pub(super) slot: Slot,
    pub(super) view: View,
    pub(super) parent: BlockHash,
}

/// What a seat's disk holds.
#[derive(Debug, Default)]
pub(super) struct Disk {
    pub(super) shard_log: Vec<LogRecord>,
    pub(super) root_log: Vec<RootLogRecord>,
    /// Decided shard blocks from height 1 on, and how many of them a crash leaves.
    pub(super) chain: Vec<Decided>,
    pub(super) chain_safe: usize,
    /// Final root blocks from height 1 on, and how many of them a crash leaves.
    pub(super) roots: Vec<Arc<CertifiedRootBlock>>,
    pub(super) roots_safe: usize,
}

/// What a process keeps in memory.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) shard: ShardCore,
    pub(super) root: RootCore,
    pub(super) inbox: Inbox,
    /// Messages that the root's core wants, by source and height: how often they were asked for, and when next.
    pub(super) wants: BTreeMap<(DomainId, Height), (InboundWant, u16, u64)>,
    /// Blocks that are to be executed.
    pub(super) open: BTreeMap<BlockHash, Arc<Block>>,
    /// Checks that the core waits for.
    pub(super) checks: Vec<(BlockHash, Depth)>,
    pub(super) build: Option<Asked>,
    /// The latest block that the core has asked for: what was asked before is no longer wanted.
    pub(super) asked: Option<Asked>,
    /// For the cores, in order.
    pub(super) inputs: VecDeque<CoreInput>,
    /// When each core wants to be woken.
    pub(super) wakes: [Option<u64>; 2],
    /// Batches that were asked for before.
    pub(super) served: BTreeMap<(Height, DomainId), Arc<LaneBatch>>,
}

/// One seat.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) seat: RootSeat,
    pub(super) captured: bool,
    /// Clock minus virtual time, in milliseconds.
    pub(super) skew_ms: u64,
    pub(super) incarnation: u64,
    pub(super) disk: Disk,
    pub(super) live: Option<Live>,
    /// Blocks that were executed, with the states after them.
    pub(super) executed: BTreeMap<BlockHash, Arc<Executed>>,
}

impl Disk {
    /// What the root has to know of a decided block.
    pub(super) fn reference(&self, height: Height) -> Option<ShardReference> {
        let at = usize::try_from(height.0.checked_sub(1)?).ok()?;
        let decided = self.chain.get(at)?;
        Some(ShardReference {
            header: decided.block.header.clone(),
            certificate: decided.certificate.clone(),
        })
    }
}

impl Process {
    /// Executes whatever can be; what was, in order.
    pub(super) fn execute(&mut self) -> Vec<Arc<Executed>> {
        let mut done = Vec::new();
        let Some(live) = &mut self.live else { return done };
        loop {
            let mut next = None;
            for (hash, block) in &live.open {
                let Some(parent) = self.executed.get(&block.header.parent) else { continue };
                if let Some(result) = attempt(&live.inbox, parent, block, self.captured) {
                    next = Some((*hash, result));
                    break;
                }
            }
            let Some((hash, result)) = next else { return done };
            live.open.remove(&hash);
            self.executed.insert(hash, result.clone());
            done.push(result);
        }
    }

    /// The messages that a decided block has for a shard.
    pub(super) fn batch(&mut self, height: Height, to: DomainId) -> Option<Arc<LaneBatch>> {
        let live = self.live.as_mut()?;
        if let Some(batch) = live.served.get(&(height, to)) {
            return Some(batch.clone());
        }
        let at = usize::try_from(height.0.checked_sub(1)?).ok()?;
        let executed = self.executed.get(&self.disk.chain.get(at)?.block.header.hash())?;
        let batch = Arc::new(lane_batch(&executed.outcome.sent, to)?);
        live.served.insert((height, to), batch.clone());
        Some(batch)
    }
}

/// Executes a block if what it consumes is at hand.
fn attempt(inbox: &Inbox, parent: &Arc<Executed>, block: &Block, captured: bool) -> Option<Arc<Executed>> {
    let mut reference = block.header.root_reference;
    if captured {
        // Its seats do not mind what the header says of the root.
        reference = inbox.root(reference.height);
        if reference.height != block.header.root_reference.height {
            return None;
        }
    }
    match inbox.due(&reference, &parent.bank.cursors, inbox_gas(parent.header.gas_limit)) {
        Due::NotYet => None,
        Due::Messages(due) => Some(judge(parent, block, &due)),
        Due::Foreign => {
            let verdict = Err(anfs_primitives::Fault::RootReference);
            let (header, bank) = (block.header.clone(), parent.bank.clone());
            Some(Arc::new(Executed { header, bank, outcome: super::bank::Outcome::default(), verdict }))
        }
    }
}
