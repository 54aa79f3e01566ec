//! The hands of the seat that acts as sequence generator: fills a slot with transactions, records them in the
//! hash clock, streams fragments while the slot runs, and closes it with a header.
//!
//! The clock is paced by wall time: after a fraction of the slot, that fraction of its hashes is done. The
//! last stretch is never cut short, so a closed slot holds exactly `hashes_per_slot` hashes.
//!
//! spec: PROTOCOL §2, §3

use std::sync::Arc;
use std::time::Duration;

use alloy_consensus::Transaction as _;
use alloy_primitives::B256;
use anfs_execution::ExecutionError;
use anfs_poh::{HashClock, Link, LinkCost};
use anfs_primitives::entry::{ENTRY_TRANSACTIONS_MAX, FRAGMENT_BYTES_TARGET};
use anfs_primitives::{
    Block, BlockBody, BlockHash, BoundedVec, ChainSpec, ConsensusMessage, Entry, Epoch, Fragment, Height,
    RecoveredTransaction, SequencedTransaction, ShardHeader, Slot, View,
};
use anfs_state::StateRead;

use crate::arrivals::Due;
use crate::context::SeatContext;
use crate::engine::{EngineEvent, EngineInbox};
use crate::error::NodeError;
use crate::inbox::{Inbox, Received};
use crate::pacing::Pacing;
use crate::run::{BlockRun, ExecutedBlock, Inbound, RunOutcome};
use crate::transport::Transport;

/// A slot to be filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SlotTask {
    pub(crate) height: Height,
    pub(crate) slot: Slot,
    pub(crate) view: View,
    pub(crate) parent: BlockHash,
}

pub(crate) type SlotInbox = Inbox<SlotTask>;

/// How often a slot's clock is advanced when nothing arrives.
const STEPS_PER_SLOT: u64 = 8;
/// How often the wait for a parent's execution looks whether it still makes sense.
const PARENT_WAIT: Duration = Duration::from_millis(50);
/// Transactions are taken in batches at least this far apart: fewer entries, fuller fragments.
const BATCH_PAUSE: Duration = Duration::from_millis(4);

/// See the module docs.
pub(crate) struct Builder {
    context: Arc<SeatContext>,
    engine: Arc<EngineInbox>,
    transport: Arc<dyn Transport>,
    pacing: Pacing,
}

/// A slot in the making.
struct OpenSlot {
    task: SlotTask,
    run: BlockRun,
    clock: HashClock,
    entries: Vec<Entry>,
    /// Entries already sent in fragments.
    sent: usize,
    /// Bytes of the entries that were not sent yet, about.
    unsent_bytes: usize,
    /// It would have taken more if the verifiers had kept up.
    limited: bool,
}

impl Builder {
    pub(crate) fn new(
        context: Arc<SeatContext>,
        engine: Arc<EngineInbox>,
        transport: Arc<dyn Transport>,
    ) -> Self {
        let pacing = Pacing::new(&context.spec);
        Self { context, engine, transport, pacing }
    }

    /// Fills slots until the inbox is closed.
    pub(crate) fn run(mut self, inbox: &SlotInbox) -> Result<(), NodeError> {
        loop {
            match inbox.receive(None) {
                Received::Event(task) => {
                    if let Some(block) = self.fill(task)? {
                        self.engine.push(EngineEvent::Built(Box::new(block)));
                    }
                }
                Received::TimedOut => {}
                Received::Closed => return Ok(()),
            }
        }
    }

    /// Fills one slot; `None` when the node stops or leaves the view first, or the parent was never executed
    /// here.
    fn fill(&mut self, task: SlotTask) -> Result<Option<Block>, NodeError> {
        let Some(parent) = self.parent(&task) else { return Ok(None) };
        let Some(inbound) = self.inbound(&task, &parent) else { return Ok(None) };
        let mut slot = self.open(task, parent, &inbound)?;
        match self.fill_until_end(&mut slot) {
            Ok(true) => self.close(slot).map(Some),
            unfinished => {
                self.context.pool.give_back(slot.run.transactions());
                unfinished.map(|_| None)
            }
        }
    }

    /// Whether nobody wants the slot's block any more: the node stops, or the shard has another leader.
    fn is_over(&self, task: &SlotTask) -> bool {
        self.context.health.stopping() || self.context.standing.view() != task.view
    }

    /// Runs a slot to its end; false when it is over before.
    fn fill_until_end(&mut self, slot: &mut OpenSlot) -> Result<bool, NodeError> {
        let context = self.context.clone();
        let task = slot.task;
        let end_ms = context.spec.slot_start_ms(task.slot.next());
        let step = Duration::from_millis((context.spec.slot_ms / STEPS_PER_SLOT).max(1));
        loop {
            if self.is_over(&task) {
                return Ok(false);
            }
            let now_ms = context.clock.now_ms();
            if now_ms >= end_ms {
                break;
            }
            self.take_transactions(slot, end_ms)?;
            self.pace(slot, end_ms);
            self.stream(slot, false);
            let left = Duration::from_millis(end_ms.saturating_sub(context.clock.now_ms()));
            if left > BATCH_PAUSE && context.health.wait_unless_stopping(BATCH_PAUSE) {
                return Ok(false);
            }
            context.pool.wait(step.min(left));
        }
        Ok(true)
    }

    /// The block to build on. After a restart or a change of view it may still be in execution, so this waits
    /// until it is there, the slot is over, or the height is decided without us.
    fn parent(&self, task: &SlotTask) -> Option<Arc<ExecutedBlock>> {
        let context = &self.context;
        loop {
            let parent = context.executed.wait_for(&task.parent, PARENT_WAIT);
            let over = self.is_over(task) || context.chain.head().header.height >= task.height;
            if parent.is_some() || over {
                return parent;
            }
        }
    }

    /// What the block has to consume: all that the newest root block makes final. After a restart what the parent
    /// refers to may not be at hand yet; this waits as [`Self::parent`] does.
    fn inbound(&self, task: &SlotTask, parent: &ExecutedBlock) -> Option<Inbound> {
        let context = &self.context;
        let least = parent.header.root_reference;
        loop {
            let latest = context.arrivals.latest();
            let reference = if latest.height > least.height { latest } else { least };
            if let Due::Messages(messages) = context.arrivals.due(&reference, &parent.header.inbox_cursors) {
                return Some(Inbound { reference, messages });
            }
            if self.is_over(task) || context.chain.head().header.height >= task.height {
                return None;
            }
            context.arrivals.wait_beyond(&latest, PARENT_WAIT);
        }
    }

    fn open(
        &self,
        task: SlotTask,
        parent: Arc<ExecutedBlock>,
        inbound: &Inbound,
    ) -> Result<OpenSlot, NodeError> {
        let context = &self.context;
        let place = context.executed.place(&parent, task.slot, context.beneficiary(task.view));
        let spec = &context.spec;
        let clock = HashClock::new(parent.header.poh_end, spec.hashes_per_slot, spec.ticks_per_slot);
        let run = BlockRun::start(context, parent, &place, inbound)?;
        Ok(OpenSlot { task, run, clock, entries: Vec::new(), sent: 0, unsent_bytes: 0, limited: false })
    }

    /// Takes what the pool offers, until the pool is empty, the block is full, the slot is over, or the
    /// verifiers have enough to do.
    fn take_transactions(&mut self, slot: &mut OpenSlot, end_ms: u64) -> Result<(), NodeError> {
        let context = self.context.clone();
        loop {
            let now_ms = context.clock.now_ms();
            self.pacing.observe(context.chain.head().header.height, now_ms);
            slot.limited = !self.pacing.has_room(slot.run.gas_used());
            if slot.limited || now_ms >= end_ms || !slot.make_room(&context.spec) {
                return Ok(());
            }
            let gas_left = context.spec.block_gas_limit.saturating_sub(slot.run.gas_used());
            let batch =
                context.pool.pool.lock().take_best(ENTRY_TRANSACTIONS_MAX, gas_left, slot.run.base_fee());
            if batch.is_empty() {
                return Ok(());
            }
            for tx in batch {
                self.execute(slot, &tx)?;
            }
            slot.record();
            if slot.unsent_bytes >= FRAGMENT_BYTES_TARGET {
                self.stream(slot, false);
            }
        }
    }

    fn execute(&self, slot: &mut OpenSlot, tx: &RecoveredTransaction) -> Result<(), NodeError> {
        match slot.run.execute(tx.clone()) {
            Ok(()) => Ok(()),
            // An ancestor of another generator that is still undecided has it. It stays in flight: the pool
            // drops it with the decision, and gets it back if that block is not to be.
            Err(ExecutionError::Invalid(_)) if self.is_under_way(slot, tx)? => Ok(()),
            Err(ExecutionError::Invalid(reason)) => {
                tracing::debug!(hash = %tx.hash(), %reason, "dropped from the pool");
                self.context.pool.pool.lock().reject(tx.hash());
                Ok(())
            }
            Err(local) => Err(local.into()),
        }
    }

    /// Whether a transaction's nonce is spent below this block, but not in the decided chain.
    fn is_under_way(&self, slot: &OpenSlot, tx: &RecoveredTransaction) -> Result<bool, NodeError> {
        let nonce = tx.envelope().nonce();
        let decided = self.context.chain.head_state().1.account(&tx.sender())?.unwrap_or_default();
        Ok(decided.nonce <= nonce && slot.run.nonce(&tx.sender())? > nonce)
    }

    /// Advances the clock to where wall time says it should be.
    fn pace(&self, slot: &mut OpenSlot, end_ms: u64) {
        let spec = &self.context.spec;
        let left_ms = end_ms.saturating_sub(self.context.clock.now_ms()).min(spec.slot_ms);
        let target = spec.hashes_per_slot / spec.slot_ms.max(1) * (spec.slot_ms - left_ms);
        for tick in slot.clock.tick_to(target) {
            slot.push(tick, Vec::new());
        }
    }

    /// Sends the entries that were not sent yet. Idle ticks wait for company until the slot closes.
    fn stream(&self, slot: &mut OpenSlot, closing: bool) {
        let idle = slot.entries[slot.sent..].iter().all(Entry::is_tick);
        if slot.sent == slot.entries.len() || (idle && !closing) {
            return;
        }
        for fragment in slot.fragments(&self.context) {
            self.transport.broadcast(self.context.seat, ConsensusMessage::Fragment(fragment));
        }
        slot.sent = slot.entries.len();
        slot.unsent_bytes = 0;
    }

    fn close(&mut self, mut slot: OpenSlot) -> Result<Block, NodeError> {
        for tick in slot.clock.finish() {
            slot.push(tick, Vec::new());
        }
        self.stream(&mut slot, true);
        let OpenSlot { task, run, clock, entries, limited, .. } = slot;
        let parent = run.parent().clone();
        self.pacing.closed(task.height, run.gas_used(), limited, self.context.clock.now_ms());
        let outcome = run.finish()?;
        let header = self.header(&task, &parent, &outcome, &entries, clock.hash()).seal();
        let body = BlockBody { entries: BoundedVec::try_from(entries).unwrap_or_default() };
        self.context.executed.insert(Arc::new(outcome.into_executed(header.clone())));
        Ok(Block { header, body })
    }

    fn header(
        &self,
        task: &SlotTask,
        parent: &ExecutedBlock,
        outcome: &RunOutcome,
        entries: &[Entry],
        poh_end: B256,
    ) -> ShardHeader {
        let spec = &self.context.spec;
        let poh_start = parent.header.poh_end;
        let dealings = &outcome.dealings;
        let costs: Vec<LinkCost> = entries.iter().map(LinkCost::from).collect();
        let cuts = anfs_poh::boundaries(poh_start, &costs, usize::from(spec.verifiers_per_shard));
        ShardHeader {
            network: spec.network,
            domain: self.context.domain,
            height: task.height,
            slot: task.slot,
            parent: task.parent,
            epoch: Epoch::ZERO,
            view: task.view,
            proposer: self.context.seat,
            beneficiary: self.context.beneficiary(task.view),
            root_reference: outcome.reference,
            poh_start,
            poh_end,
            boundaries: BoundedVec::try_from(cuts).unwrap_or_default(),
            entries_root: anfs_poh::entries_root(entries),
            transactions_root: outcome.transactions_root,
            receipts_root: outcome.receipts_root,
            logs_bloom: outcome.logs_bloom,
            state_root: outcome.state_root,
            outbox_root: dealings.outbox_root,
            lanes: dealings.lanes.clone(),
            inbox_cursors: dealings.inbox_cursors.clone(),
            gas_used: outcome.gas_used,
            gas_limit: spec.block_gas_limit,
            base_fee: outcome.base_fee,
            value_in: dealings.value_in,
            value_out: dealings.value_out,
            burned: outcome.burned,
        }
    }
}

impl OpenSlot {
    /// Makes the clock's next step one that can record, ticking first where a tick is due; false when the
    /// slot has no such step left.
    fn make_room(&mut self, spec: &ChainSpec) -> bool {
        let period = spec.hashes_per_slot / spec.ticks_per_slot;
        let next = self.clock.position() + 1;
        if next.is_multiple_of(period) {
            for tick in self.clock.tick_to(next) {
                self.push(tick, Vec::new());
            }
        }
        self.clock.remaining() > 1
    }

    /// Records the transactions executed since the last entry. There is room: see [`Self::make_room`].
    fn record(&mut self) {
        let open = self.run.open_transactions();
        if open.is_empty() {
            return;
        }
        let hashes: Vec<B256> = open.iter().map(|tx| *tx.hash()).collect();
        let body: Vec<SequencedTransaction> = open.iter().map(SequencedTransaction::from).collect();
        let link = self.clock.record(anfs_poh::mixin(&hashes)).expect("make_room left a step that records");
        self.push(link, body);
    }

    fn push(&mut self, link: Link, transactions: Vec<SequencedTransaction>) {
        self.unsent_bytes += 48 + transactions.iter().map(|tx| tx.encoded.len() + 24).sum::<usize>();
        self.entries.push(Entry {
            num_hashes: link.num_hashes,
            hash: link.hash,
            transactions: BoundedVec::try_from(transactions).unwrap_or_default(),
        });
        self.run.close_entry(link);
    }

    /// The unsent entries in fragments of about [`FRAGMENT_BYTES_TARGET`].
    fn fragments(&self, context: &SeatContext) -> Vec<Fragment> {
        let mut fragments = Vec::new();
        let mut start = self.sent;
        while start < self.entries.len() {
            let mut bytes = 0;
            let fitting = self.entries[start..].iter().take_while(|entry| {
                let size = 48 + entry.transactions.iter().map(|tx| tx.encoded.len() + 24).sum::<usize>();
                let fits = bytes == 0 || bytes + size <= FRAGMENT_BYTES_TARGET;
                bytes += size;
                fits
            });
            let end = start + fitting.count();
            fragments.push(Fragment {
                network: context.spec.network,
                domain: context.domain,
                height: self.task.height,
                slot: self.task.slot,
                view: self.task.view,
                parent: self.task.parent,
                proposer: context.seat,
                root_reference: self.run.reference(),
                first_entry: u32::try_from(start).unwrap_or(u32::MAX),
                entries: BoundedVec::try_from(self.entries[start..end].to_vec()).unwrap_or_default(),
            });
            start = end;
        }
        fragments
    }
}

#[cfg(test)]
mod tests;
