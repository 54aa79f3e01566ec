//! The loop around the consensus core: inputs in, effects out, in order.
//!
//! A vote is on disk before it is on the wire: [`Effect::Persist`] appends to the signing log, and the log is
//! fsynced before the next message leaves. While the disk does not take it, the seat is silent: it keeps
//! what it has, says so in its health, and tries again. spec: PROTOCOL §4

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use anfs_consensus::shard::SERVE_BLOCKS_MAX;
use anfs_consensus::{Depth, Effect, Evidence, Input, LogRecord, Scope, ShardCore, ShardStatus, Unneeded};
use anfs_primitives::{Block, BlockHash, ConsensusMessage, Fault, Height, SeatIndex};
use anfs_store::{Store, StoreError};
use parking_lot::RwLock;

use crate::builder::{SlotInbox, SlotTask};
use crate::context::{Part, SeatContext};
use crate::error::NodeError;
use crate::inbox::{Inbox, Received};
use crate::liar::Liar;
use crate::relay::{self, Extent};
use crate::transport::Transport;
use crate::views::Cause;
use crate::worker::{Making, Work, WorkInbox};

/// What reaches the engine.
#[derive(Debug)]
pub(crate) enum EngineEvent {
    /// From another seat.
    Message { from: SeatIndex, message: ConsensusMessage },
    /// From the builder.
    Built(Box<Block>),
    /// From the worker.
    Checked { block: BlockHash, depth: Depth, result: Result<(), Fault> },
    /// From whoever runs the node: the seat may sign although it was held back.
    Release,
}

/// The engine's mailbox.
pub(crate) type EngineInbox = Inbox<EngineEvent>;

/// The signing log is rewritten after it has grown by this much.
const LOG_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Pause before a failed write of the signing log is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// See the module docs.
pub(crate) struct Engine {
    context: Arc<SeatContext>,
    core: ShardCore,
    transport: Arc<dyn Transport>,
    worker: Arc<WorkInbox>,
    builder: Arc<SlotInbox>,
    status: Arc<RwLock<ShardStatus>>,
    wake_at_ms: Option<u64>,
    unsynced: bool,
    /// What the builder was asked for last.
    asked: Option<SlotTask>,
    /// The own block that was logged last.
    proposed: Option<BlockHash>,
    /// What this seat signed above the last durable block, as it stands in the log.
    live: VecDeque<(Scope, Vec<u8>)>,
    /// Bytes appended to the log since it was last rewritten.
    appended: usize,
    /// Makes this seat misbehave on purpose.
    liar: Option<Liar>,
}

impl Engine {
    pub(crate) fn new(
        context: Arc<SeatContext>,
        core: ShardCore,
        transport: Arc<dyn Transport>,
        worker: Arc<WorkInbox>,
        builder: Arc<SlotInbox>,
        status: Arc<RwLock<ShardStatus>>,
        replayed: &[LogRecord],
    ) -> Self {
        let live = replayed.iter().map(|record| (record.scope(), record.to_bytes())).collect();
        Self {
            context,
            core,
            transport,
            worker,
            builder,
            status,
            wake_at_ms: None,
            unsynced: false,
            asked: None,
            proposed: None,
            live,
            appended: 0,
            liar: None,
        }
    }

    /// The same, misbehaving on purpose.
    pub(crate) fn lying(mut self, liar: Option<Liar>) -> Self {
        self.liar = liar;
        self
    }

    /// Steps the core until the inbox is closed.
    pub(crate) fn run(mut self, inbox: &EngineInbox) -> Result<(), NodeError> {
        self.step(Input::Start)?;
        loop {
            let now_ms = self.context.clock.now_ms();
            let timeout = self.wake_at_ms.map(|at| Duration::from_millis(at.saturating_sub(now_ms)));
            let input = match inbox.receive(timeout) {
                Received::Event(EngineEvent::Message { from, message }) => Input::Message { from, message },
                Received::Event(EngineEvent::Built(block)) => {
                    self.offer(block)?;
                    continue;
                }
                Received::Event(EngineEvent::Checked { block, depth, result }) => {
                    Input::Checked { block, depth, result }
                }
                Received::Event(EngineEvent::Release) => Input::Release,
                Received::TimedOut => {
                    self.wake_at_ms = None;
                    Input::Tick
                }
                Received::Closed => return Ok(()),
            };
            self.step(input)?;
            self.context.metrics.network_dropped(inbox.dropped());
        }
    }

    /// Offers a built block to the core. One that it does not propose, since the chain or the view went
    /// another way in the meantime, is forgotten: its transactions go back to the pool.
    fn offer(&mut self, block: Box<Block>) -> Result<(), NodeError> {
        let header = &block.header;
        let hash = header.hash();
        let (height, slot, view, parent) = (header.height, header.slot, header.view, header.parent);
        let wanted = self.asked == Some(SlotTask { height, slot, view, parent });
        if wanted {
            self.step(Input::Built(block))?;
        }
        if self.proposed != Some(hash) {
            self.worker.push(Work::Drop(Unneeded::Block(hash)));
        }
        Ok(())
    }

    fn step(&mut self, input: Input) -> Result<(), NodeError> {
        use ConsensusMessage::{Block, Certificate, NewView};
        let cause = match &input {
            Input::Message { message: NewView(_) | Certificate(_) | Block(_), .. } => Cause::Shown,
            _ => Cause::Own,
        };
        let mut effects = Vec::new();
        self.core.step(self.context.clock.now_ms(), input, &mut effects)?;
        for effect in effects {
            self.carry_out(effect)?;
        }
        self.sync_log()?;
        self.prune_log();
        let status = self.core.status();
        self.context.standing.set_view(status.view);
        self.context.metrics.shard(&status);
        let before = std::mem::replace(&mut *self.status.write(), status.clone());
        if (before.view, before.view_open) != (status.view, status.view_open) {
            let now_ms = self.context.clock.now_ms();
            self.context.views.lock().observe(&before, &status, cause, now_ms);
        }
        self.hand_on(&before, &status);
        Ok(())
    }

    /// A seat that serves clients hands what they were promised to whoever can still put it into a block.
    fn hand_on(&self, before: &ShardStatus, now: &ShardStatus) {
        if !self.context.standing.serves() {
            return;
        }
        let round = |status: &ShardStatus| status.certified.0 / relay::AGAIN_EVERY;
        if before.view != now.view {
            relay::hand_on_pool(&self.context, &self.transport, Extent::All);
        } else if round(before) != round(now) && now.seat != Some(now.acting) {
            relay::hand_on_pool(&self.context, &self.transport, Extent::Best);
        }
    }

    /// Drops from the signing log what concerns blocks that are decided *and* on disk: those can never be
    /// signed for again. What is only decided stays, for a crash may still undo it here. When the disk does
    /// not take the shorter log, the longer one goes on growing until the next attempt.
    fn prune_log(&mut self) {
        let durable = self.context.chain.head().header.height;
        let views = self.live.iter().filter_map(|(scope, _)| match scope {
            Scope::View(view) => Some(*view),
            Scope::Height(_) | Scope::Standing => None,
        });
        let view = views.max().unwrap_or_default();
        let standing = self.live.iter().rposition(|(scope, _)| *scope == Scope::Standing);
        let mut places = 0..;
        self.live.retain(|(scope, _)| {
            let place = places.next();
            match scope {
                Scope::Height(height) => *height > durable,
                Scope::View(of) => *of >= view,
                Scope::Standing => place == standing,
            }
        });
        if self.appended >= LOG_BYTES_MAX {
            let keep: Vec<Vec<u8>> = self.live.iter().map(|(_, bytes)| bytes.clone()).collect();
            if let Err(error) = self.context.store.prune_votes(&keep) {
                tracing::warn!(seat = %self.context.seat, %error, "cannot shorten the signing log; it goes on");
            }
            self.appended = 0;
        }
    }

    fn carry_out(&mut self, effect: Effect) -> Result<(), NodeError> {
        match effect {
            Effect::StartSlot { height, slot, view, parent } => {
                let task = SlotTask { height, slot, view, parent };
                self.asked = Some(task);
                // Before the task: the builder leaves a slot of any other view.
                self.context.standing.set_view(view);
                self.builder.push(task);
            }
            Effect::Entries { height, slot, view, parent, root_reference, first_entry, entries } => {
                // Ahead-of-time execution is a favour to ourselves: a busy worker skips it.
                let place = Making { height, slot, view, parent, root_reference };
                self.worker.offer(Work::Entries { place, first_entry, entries });
            }
            Effect::Check { block, depth, slices } => self.worker.push(Work::Check { block, depth, slices }),
            Effect::Decided { block, certificate } => {
                self.worker.push(Work::Decided { block, certificate });
            }
            Effect::Persist(record) => {
                if let LogRecord::Proposal { block, .. } = &record
                    && block.header.proposer == self.context.seat
                {
                    self.proposed = Some(block.header.hash());
                }
                let bytes = record.to_bytes();
                self.insist(|store| store.append_votes(std::slice::from_ref(&bytes)))?;
                self.unsynced = true;
                self.appended += bytes.len();
                self.live.push_back((record.scope(), bytes));
            }
            Effect::Send { to, message } => {
                self.sync_log()?;
                if let Some(message) = self.outgoing(message) {
                    self.transport.send(self.context.seat, to, message);
                }
            }
            Effect::Broadcast(message) => {
                self.sync_log()?;
                if let Some(message) = self.outgoing(message) {
                    self.transport.broadcast(self.context.seat, message);
                }
            }
            Effect::ServeBlocks { to, from } => self.serve(to, from)?,
            Effect::Evidence(evidence) => self.report(&evidence),
            Effect::Drop(unneeded) => self.worker.push(Work::Drop(unneeded)),
            Effect::Penalise { seat, offence } => {
                tracing::warn!(seat = %self.context.seat, peer = %seat, %offence, "a peer broke the protocol");
                self.context.metrics.offence();
            }
            Effect::WakeAt(at_ms) => self.wake_at_ms = Some(at_ms),
        }
        Ok(())
    }

    /// What leaves in place of a message of the core.
    fn outgoing(&mut self, message: ConsensusMessage) -> Option<ConsensusMessage> {
        match &mut self.liar {
            Some(liar) => liar.distort(message),
            None => Some(message),
        }
    }

    fn sync_log(&mut self) -> Result<(), NodeError> {
        if self.unsynced {
            self.insist(Store::sync_votes)?;
            self.unsynced = false;
        }
        Ok(())
    }

    /// Writes to the signing log for as long as it takes; ends unwritten only when the node stops, or for a
    /// record that no log would take.
    fn insist(&self, write: impl Fn(&Store) -> Result<(), StoreError>) -> Result<(), NodeError> {
        let health = &self.context.health;
        loop {
            let error = match write(&self.context.store) {
                Ok(()) => {
                    health.recovered(Part::SigningLog);
                    return Ok(());
                }
                Err(error @ StoreError::TooLarge { .. }) => return Err(error.into()),
                Err(error) => error,
            };
            if health.troubled_by(Part::SigningLog, error.to_string()) {
                tracing::error!(seat = %self.context.seat, %error, "cannot write the signing log; trying again");
            }
            if health.wait_unless_stopping(RETRY) {
                return Err(error.into());
            }
        }
    }

    fn serve(&self, to: SeatIndex, from: Height) -> Result<(), NodeError> {
        for height in from.0..from.0.saturating_add(SERVE_BLOCKS_MAX as u64) {
            let Some(certified) = self.context.chain.certified_block(Height(height))? else { break };
            self.transport.send(self.context.seat, to, ConsensusMessage::Block(Box::new(certified)));
        }
        Ok(())
    }

    fn report(&self, evidence: &Evidence) {
        let now_ms = self.context.clock.now_ms();
        self.context.views.lock().found(self.context.seat, evidence, now_ms);
        self.context.metrics.evidence(evidence);
    }
}

#[cfg(test)]
mod tests;
