//! A seat's hands: executes the sequence as it arrives, checks slices, and answers the consensus core.
//!
//! Execution runs ahead of the header: when the proposal closes the slot, most of its transactions have
//! been executed already. The *slices* (hash clock and signatures) cannot be checked before the header is
//! known, since which slices are ours follows from its hash. Senders are never merely verified against a known
//! key, which would overlook a flipped parity bit: what is checked is that recovery gives them, see
//! [`anfs_crypto::ecdsa`]. spec: PROTOCOL §4 R1

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use anfs_consensus::{Depth, Unneeded};
use anfs_poh::LinkCost;
use anfs_primitives::vote::ExecutionField;
use anfs_primitives::{
    Block, BlockHash, Certificate, Entry, Fault, Height, RootReference, ShardHeader, SignerSet, Slot, View,
};

use crate::arrivals::Due;
use crate::committer::{Commit, CommitInbox};
use crate::context::SeatContext;
use crate::engine::{EngineEvent, EngineInbox};
use crate::error::NodeError;
use crate::inbox::{Inbox, Received};
use crate::run::{BlockRun, ExecutedBlock, FollowError, Inbound, RunOutcome};
use crate::senders::Senders;

/// What the engine asks of the worker.
#[derive(Debug)]
pub(crate) enum Work {
    /// Entries of a block in the making.
    Entries { place: Making, first_entry: u32, entries: Vec<Entry> },
    /// A complete block to be checked.
    Check { block: Arc<Block>, depth: Depth, slices: SignerSet },
    /// A decided block to be committed.
    Decided { block: Arc<Block>, certificate: Certificate },
    /// Something that no longer needs to be kept.
    Drop(Unneeded),
    /// The root has made something final: what waited for it can go on.
    RootGrown,
}

/// Where a block in the making stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Making {
    pub(crate) height: Height,
    pub(crate) slot: Slot,
    pub(crate) view: View,
    pub(crate) parent: BlockHash,
    pub(crate) root_reference: RootReference,
}

impl Making {
    fn key(&self) -> StreamKey {
        StreamKey { height: self.height, view: self.view, parent: self.parent }
    }
}

impl From<&ShardHeader> for Making {
    fn from(header: &ShardHeader) -> Self {
        let ShardHeader { height, slot, view, parent, root_reference, .. } = *header;
        Self { height, slot, view, parent, root_reference }
    }
}

pub(crate) type WorkInbox = Inbox<Work>;

/// Entries ahead of their header are dropped beyond this many blocks: the check executes them then.
const STREAMS_MAX: usize = 16;
/// Checks and batches of entries that may wait for the root; the oldest of more are skipped.
const ROOTLESS_MAX: usize = 512;
/// How often the wait for the root looks whether it still makes sense.
const ROOT_WAIT: Duration = Duration::from_millis(50);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct StreamKey {
    height: Height,
    view: View,
    parent: BlockHash,
}

/// A block in the making, executed so far.
struct Stream {
    place: Making,
    run: BlockRun,
    fault: Option<Fault>,
}

/// A block whose execution is over; slices may still be asked for.
enum Checked {
    Good { outcome: Slices, done: SignerSet },
    Bad(Fault),
}

/// What checking the slices of an executed block needs.
struct Slices {
    executed: Arc<ExecutedBlock>,
    links: Vec<anfs_poh::Link>,
    offsets: Vec<usize>,
}

/// See the module docs.
pub(crate) struct Worker {
    context: Arc<SeatContext>,
    engine: Arc<EngineInbox>,
    committer: Arc<CommitInbox>,
    streams: BTreeMap<StreamKey, Stream>,
    checked: HashMap<BlockHash, Checked>,
    /// Checks whose parent was not executed here yet, by that parent.
    waiting: HashMap<BlockHash, Vec<Work>>,
    /// Work on blocks whose root reference is not known here yet, oldest first.
    rootless: VecDeque<Work>,
    /// The newest root block when that was last gone through.
    root: RootReference,
    decided: Height,
    senders: Senders,
}

impl Worker {
    pub(crate) fn new(
        context: Arc<SeatContext>,
        engine: Arc<EngineInbox>,
        committer: Arc<CommitInbox>,
    ) -> Self {
        let decided = context.chain.head().header.height;
        let senders = Senders::new(context.entropy);
        Self {
            context,
            engine,
            committer,
            streams: BTreeMap::new(),
            checked: HashMap::new(),
            waiting: HashMap::new(),
            rootless: VecDeque::new(),
            root: RootReference::default(),
            decided,
            senders,
        }
    }

    /// Works until the inbox is closed.
    pub(crate) fn run(mut self, inbox: &WorkInbox) -> Result<(), NodeError> {
        loop {
            match inbox.receive(None) {
                Received::Event(work) => self.handle(work)?,
                Received::TimedOut => {}
                Received::Closed => return Ok(()),
            }
            self.retry_rootless()?;
        }
    }

    fn handle(&mut self, work: Work) -> Result<(), NodeError> {
        match work {
            Work::Entries { place, first_entry, entries } => self.follow(place, first_entry, entries),
            Work::Check { block, depth, slices } => self.check(&block, depth, slices),
            Work::Decided { block, certificate } => self.decide(block, certificate),
            Work::Drop(Unneeded::Stream { height, view, parent }) => {
                let key = StreamKey { height, view, parent };
                self.streams.remove(&key);
                self.rootless
                    .retain(|work| !matches!(work, Work::Entries { place, .. } if place.key() == key));
                Ok(())
            }
            Work::Drop(Unneeded::Block(hash)) => {
                self.forget(&hash);
                Ok(())
            }
            // Whatever wakes the worker makes it look.
            Work::RootGrown => Ok(()),
        }
    }

    /// Forgets a block that is not to be; its transactions wait for another one.
    fn forget(&mut self, hash: &BlockHash) {
        self.checked.remove(hash);
        let is_of = |work: &Work| matches!(work, Work::Check { block, .. } if block.header.hash() == *hash);
        self.rootless.retain(|work| !is_of(work));
        self.waiting.retain(|_, works| {
            works.retain(|work| !is_of(work));
            !works.is_empty()
        });
        if let Some(executed) = self.context.executed.remove(hash) {
            self.context.pool.give_back(&executed.transactions);
        }
    }

    /// Executes entries ahead of their header. Entries that cannot be followed now are executed by the check.
    fn follow(&mut self, place: Making, first_entry: u32, entries: Vec<Entry>) -> Result<(), NodeError> {
        let key = place.key();
        if key.height <= self.decided {
            return Ok(());
        }
        if !self.streams.contains_key(&key) {
            let earlier_waits = self
                .rootless
                .iter()
                .any(|work| matches!(work, Work::Entries { place: at, .. } if *at == place));
            if earlier_waits {
                self.wait_for_root(Work::Entries { place, first_entry, entries });
                return Ok(());
            }
            if first_entry != 0 || self.streams.len() >= STREAMS_MAX {
                return Ok(());
            }
            let Some(parent) = self.context.executed.get(&key.parent) else { return Ok(()) };
            let run = match self.start_run(parent, &place)? {
                Start::Run(run) => *run,
                Start::NotYet => {
                    self.wait_for_root(Work::Entries { place, first_entry, entries });
                    return Ok(());
                }
                Start::Foreign => return Ok(()),
            };
            self.streams.insert(key, Stream { place, run, fault: None });
        }
        let Some(stream) = self.streams.get_mut(&key) else { return Ok(()) };
        if stream.place != place || stream.run.entry_count() != first_entry as usize {
            self.streams.remove(&key);
            return Ok(());
        }
        stream.follow(&entries)
    }

    /// Begins the execution of a block, if what it has to consume is known.
    fn start_run(&self, parent: Arc<ExecutedBlock>, making: &Making) -> Result<Start, NodeError> {
        let context = &self.context;
        let reference = making.root_reference;
        let messages = match context.arrivals.due(&reference, &parent.header.inbox_cursors) {
            Due::Messages(messages) => messages,
            Due::NotYet => return Ok(Start::NotYet),
            Due::Foreign => return Ok(Start::Foreign),
        };
        let place = context.executed.place(&parent, making.slot, context.beneficiary(making.view));
        let run = BlockRun::start(context, parent, &place, &Inbound { reference, messages })?;
        Ok(Start::Run(Box::new(run)))
    }

    fn wait_for_root(&mut self, work: Work) {
        if self.rootless.len() >= ROOTLESS_MAX {
            self.rootless.pop_front();
        }
        self.rootless.push_back(work);
    }

    /// Goes again through what waited for the root, if the root has grown since.
    fn retry_rootless(&mut self) -> Result<(), NodeError> {
        let latest = self.context.arrivals.latest();
        if latest != self.root {
            self.root = latest;
            for work in std::mem::take(&mut self.rootless) {
                self.handle(work)?;
            }
        }
        Ok(())
    }

    fn check(&mut self, block: &Arc<Block>, depth: Depth, slices: SignerSet) -> Result<(), NodeError> {
        let hash = block.header.hash();
        if block.height() <= self.decided {
            return Ok(());
        }
        if !self.checked.contains_key(&hash) {
            let Some(parent) = self.context.executed.get(&block.header.parent) else {
                let work = Work::Check { block: block.clone(), depth, slices };
                self.waiting.entry(block.header.parent).or_default().push(work);
                return Ok(());
            };
            let Some(checked) = self.execute(block, parent)? else {
                self.wait_for_root(Work::Check { block: block.clone(), depth, slices });
                return Ok(());
            };
            self.checked.insert(hash, checked);
        }
        let result = match self.checked.get_mut(&hash) {
            Some(Checked::Good { outcome, done }) => {
                let metrics = &self.context.metrics;
                check_slices(block, outcome, slices, done, &mut self.senders, metrics)
            }
            Some(Checked::Bad(fault)) => Err(*fault),
            None => return Ok(()),
        };
        if let Err(fault) = result {
            self.checked.insert(hash, Checked::Bad(fault));
        }
        self.engine.push(EngineEvent::Checked { block: hash, depth, result });
        self.retry_children(&hash)
    }

    fn retry_children(&mut self, parent: &BlockHash) -> Result<(), NodeError> {
        for work in self.waiting.remove(parent).unwrap_or_default() {
            self.handle(work)?;
        }
        Ok(())
    }

    /// Executes what the stream has not executed yet and compares everything with the header; `None` while its root
    /// reference is not known here.
    fn execute(&mut self, block: &Block, parent: Arc<ExecutedBlock>) -> Result<Option<Checked>, NodeError> {
        let place = Making::from(block.header.header());
        let ahead = self.streams.remove(&place.key()).filter(|stream| stream.matches(block));
        let mut stream = match ahead {
            Some(stream) => stream,
            None => match self.start_run(parent, &place)? {
                Start::Run(run) => Stream { place, run: *run, fault: None },
                Start::NotYet => return Ok(None),
                Start::Foreign => return Ok(Some(Checked::Bad(Fault::RootReference))),
            },
        };
        let executed = stream.run.entry_count();
        stream.follow(&block.body.entries[executed..])?;
        if let Some(fault) = stream.fault {
            return Ok(Some(Checked::Bad(fault)));
        }
        let outcome = stream.run.finish()?;
        Ok(Some(match self.compare(block, &outcome) {
            Err(fault) => Checked::Bad(fault),
            Ok(()) => self.keep(block, outcome),
        }))
    }

    fn keep(&self, block: &Block, mut outcome: RunOutcome) -> Checked {
        let links = std::mem::take(&mut outcome.links);
        let offsets = std::mem::take(&mut outcome.offsets);
        let executed = Arc::new(outcome.into_executed(block.header.clone()));
        self.context.executed.insert(executed.clone());
        Checked::Good { outcome: Slices { executed, links, offsets }, done: SignerSet::EMPTY }
    }

    /// Compares with the header what is not compared yet: the core has matched it with the entries.
    fn compare(&self, block: &Block, outcome: &RunOutcome) -> Result<(), Fault> {
        let (spec, header) = (&self.context.spec, &block.header);
        if header.beneficiary != self.context.beneficiary(header.view) {
            return Err(Fault::Execution(ExecutionField::Beneficiary));
        }
        let costs: Vec<LinkCost> = block.body.entries.iter().map(LinkCost::from).collect();
        anfs_poh::check_shape(
            header.poh_start,
            header.poh_end,
            spec.hashes_per_slot,
            spec.ticks_per_slot,
            &costs,
            &header.boundaries,
            usize::from(spec.verifiers_per_shard),
        )?;
        outcome.disagreement(header).map_or(Ok(()), |field| Err(Fault::Execution(field)))
    }

    /// Hands a decided block to the committer, executing it first when it was never checked here.
    fn decide(&mut self, block: Arc<Block>, certificate: Certificate) -> Result<(), NodeError> {
        let (hash, height) = (block.header.hash(), block.height());
        let executed = match self.context.executed.get(&hash) {
            Some(executed) => executed,
            None => match self.execute_decided(&block)? {
                Some(executed) => executed,
                // The node stops before the root is heard of: the next start goes on from here.
                None => return Ok(()),
            },
        };
        self.decided = height;
        self.streams.retain(|key, _| key.height > height);
        self.checked.retain(|_, checked| match checked {
            Checked::Good { outcome, .. } => outcome.executed.header.height > height,
            Checked::Bad(_) => false,
        });
        let is_above = |work: &Work| match work {
            Work::Check { block, .. } => block.height() > height,
            Work::Entries { place, .. } => place.height > height,
            _ => false,
        };
        self.rootless.retain(is_above);
        self.waiting.retain(|_, works| {
            works.retain(is_above);
            !works.is_empty()
        });
        self.committer.push(Commit { block, certificate, executed });
        self.retry_children(&hash)
    }

    /// Executes a block that the others have decided, once its root reference is known here: nothing above it can be
    /// done before. `None` when the node stops first.
    fn execute_decided(&mut self, block: &Block) -> Result<Option<Arc<ExecutedBlock>>, NodeError> {
        let height = block.height();
        let diverged = |detail: String| NodeError::Diverged { height, detail };
        loop {
            let seen = self.context.arrivals.latest();
            let parent = self.context.executed.get(&block.header.parent);
            let parent = parent.ok_or_else(|| diverged("its parent was never executed".into()))?;
            match self.execute(block, parent)? {
                Some(Checked::Good { outcome, .. }) => return Ok(Some(outcome.executed)),
                Some(Checked::Bad(fault)) => return Err(diverged(fault.to_string())),
                None if self.context.health.stopping() => return Ok(None),
                None => self.context.arrivals.wait_beyond(&seen, ROOT_WAIT),
            }
        }
    }
}

/// What came of an attempt to begin the execution of a block.
enum Start {
    Run(Box<BlockRun>),
    /// Its root reference is not known here.
    NotYet,
    /// Its root reference is no final root block.
    Foreign,
}

impl Stream {
    fn follow(&mut self, entries: &[Entry]) -> Result<(), NodeError> {
        for entry in entries {
            if self.fault.is_some() {
                break;
            }
            match self.run.follow(entry) {
                Ok(()) => {}
                Err(FollowError::Fault(fault)) => self.fault = Some(fault),
                Err(FollowError::Local(error)) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether what was executed is a prefix of the block.
    fn matches(&self, block: &Block) -> bool {
        let entries = &block.body.entries;
        let links = self.run.links();
        let prefix = links.len() <= entries.len()
            && links.iter().zip(entries).all(|(link, entry)| {
                // The clock's hash binds the entry's transaction hashes; claimed senders are compared below.
                link.hash == entry.hash && link.num_hashes == entry.num_hashes
            });
        let senders = block.body.transactions().zip(self.run.transactions());
        self.place == Making::from(block.header.header())
            && self.fault.is_none()
            && prefix
            && senders.into_iter().all(|(claimed, executed)| {
                claimed.sender == executed.sender() && claimed.encoded == *executed.encoded()
            })
    }
}

/// Checks those of `wanted` that are not `done`: the hash clock of each, and every signature in it.
fn check_slices(
    block: &Block,
    checked: &Slices,
    wanted: SignerSet,
    done: &mut SignerSet,
    senders: &mut Senders,
    metrics: &crate::metrics::SeatMetrics,
) -> Result<(), Fault> {
    let mut ranges = Vec::new();
    for slice in wanted.iter().filter(|slice| !done.contains(*slice)) {
        let Some([left, right]) = block.header.boundaries.get(slice..slice + 2) else {
            return Err(Fault::Shape);
        };
        let (first, end) = (left.entry as usize, right.entry as usize);
        let links = &checked.links[first..end];
        anfs_poh::check_links(left.hash, links)
            .map_err(|bad| Fault::Clock { entry: u32::try_from(first + bad).unwrap_or(u32::MAX) })?;
        let hashes = links.iter().map(|link| link.num_hashes).sum();
        ranges.push((slice, hashes, checked.offsets[first]..checked.offsets[end]));
    }
    let places = ranges.iter().flat_map(|(_, _, range)| range.clone());
    if let Some(at) = senders.first_forged(&checked.executed.transactions, places) {
        return Err(Fault::Signature { transaction: u32::try_from(at).unwrap_or(u32::MAX) });
    }
    for (slice, hashes, range) in ranges {
        metrics.slice_checked(hashes, range.len());
        done.insert(slice);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
