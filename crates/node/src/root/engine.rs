//! The loop around the root's consensus core of one seat: inputs in, effects out, in order; and the messages that the
//! root makes final, brought from the shards that sent them to the threads that execute.
//!
//! As in the shard's engine, a signature is on disk before it is on the wire, and a final root block is on disk before
//! anybody here sees it. spec: PROTOCOL §6; Root F10

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use anfs_consensus::root::{
    OWN_REFERENCES_MAX, ROOT_SERVE_MAX, RootCore, RootCrypto, RootEffect, RootInput, RootLogRecord,
    RootStatus,
};
use anfs_crypto::outbox::{LaneBatch, lane_batch};
use anfs_primitives::{
    CertifiedRootBlock, DomainId, Height, RootHeader, RootMessage, RootSeat, ShardReference, encode,
};
use anfs_store::{RecordLog, RootStore, StoreError};
use parking_lot::RwLock;

use super::chain::RootChain;
use super::domain::RootExecuted;
use super::lanes::{Arrived, Lanes, start_of};
use super::machine::{ExecutionRecord, RootMachine};
use super::quotas::Quotas;
use super::wants::Wants;
use super::wire::{NetworkMessage, NetworkTransport};
use crate::arrivals::{PushError, message_bytes};
use crate::chain::FINAL_KEPT;
use crate::context::{Part, SeatContext};
use crate::error::NodeError;
use crate::inbox::{Inbox, Received};

/// What reaches the root's engine.
#[derive(Debug)]
pub(crate) enum RootEvent {
    /// From another seat of the network.
    Message { from: RootSeat, message: NetworkMessage },
    /// The seat's own shard has decided a block, and it is on disk here.
    Certified(Box<ShardReference>),
}

/// The root engine's mailbox.
pub(crate) type RootInbox = Inbox<RootEvent>;

/// The signing log is rewritten after it has grown by this much.
const LOG_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Pause before a failed write is tried again.
const RETRY: Duration = Duration::from_millis(500);
/// Root blocks between two savings of what they add up to.
const SAVE_EVERY: u64 = 256;
/// Records of executed blocks that may wait for an fsync: so many blocks are executed again after a crash.
const SYNC_EVERY: u64 = 32;
/// How long messages wait that the seat has no room for yet.
const ROOM_AGAIN_MS: u64 = 100;

/// What the root's engine works on.
pub(crate) struct RootParts {
    pub(crate) context: Arc<SeatContext>,
    /// Without a seat while what it may have signed is not known.
    pub(crate) core: RootCore,
    pub(crate) crypto: Arc<dyn RootCrypto>,
    pub(crate) store: Arc<RootStore>,
    /// Executes what is final.
    pub(crate) machine: RootMachine,
    /// What each executed block did.
    pub(crate) executions: Arc<RecordLog>,
    pub(crate) chain: Arc<RootChain>,
    /// Chains that show what any seat of this process has made final.
    pub(crate) shown: Option<Arc<RootChain>>,
    pub(crate) transport: Arc<dyn NetworkTransport>,
    pub(crate) status: Arc<RwLock<RootStatus>>,
}

/// See the module docs.
pub(crate) struct RootEngine {
    parts: RootParts,
    seat: RootSeat,
    lanes: Lanes,
    quotas: Quotas,
    /// Messages to the root that the core has asked for.
    wants: Wants,
    /// Final blocks that are to be executed.
    decided: VecDeque<Arc<CertifiedRootBlock>>,
    /// When this engine started, in milliseconds since the Unix epoch.
    started_ms: u64,
    /// The seat may vote from now on.
    sure: bool,
    wake_at_ms: Option<u64>,
    unsynced: bool,
    /// From where on the core wants the shard's decided blocks.
    wanted: Option<Height>,
    /// What the seat has no room for yet, and when to try again.
    pending: Option<(Arrived, u64)>,
    /// Bytes appended to the log since it was last rewritten.
    appended: usize,
}

impl RootEngine {
    /// An engine that goes on from what its chain and its seat's chain hold.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub(crate) fn new(parts: RootParts) -> Result<Self, NodeError> {
        let context = &parts.context;
        let seat = RootSeat { domain: context.domain, seat: context.seat };
        let head = context.chain.head();
        let cursors = head.header.inbox_cursors.iter();
        let consumed: BTreeMap<DomainId, u64> = cursors.map(|lane| (lane.source, lane.consumed)).collect();
        let shards = u32::try_from(context.spec.shards.len()).unwrap_or(u32::MAX);
        let top = parts.chain.height();
        let (first, sent) =
            start_of(seat.domain, top, &consumed, shards, |height| parts.chain.block(height))?;
        let mut lanes = Lanes::new(context.spec.network, seat.domain, context.spec.verifiers_per_shard, sent);
        // Blocks may refer to what the durable head does, or to what is above.
        let first = first.min(head.header.root_reference.height.max(Height(1)));
        for height in (first.0..=top.0).map(Height) {
            if let Some(block) = parts.chain.block(height)? {
                lanes.extend(&block, own_messages(&parts.chain, &block, seat.domain)?);
            }
        }
        for height in (top.0.saturating_sub(FINAL_KEPT) + 1..=top.0).map(Height) {
            if let Some(header) = parts.chain.header(height)? {
                note_final(context, &header);
            }
        }
        let started_ms = context.clock.now_ms();
        let wants = Wants::new(context.spec.verifiers_per_shard);
        Ok(Self {
            wants,
            decided: VecDeque::new(),
            parts,
            seat,
            lanes,
            quotas: Quotas::default(),
            started_ms,
            sure: false,
            wake_at_ms: None,
            unsynced: false,
            wanted: None,
            pending: None,
            appended: 0,
        })
    }

    /// Steps the core until the inbox is closed.
    pub(crate) fn run(mut self, inbox: &RootInbox) -> Result<(), NodeError> {
        self.start()?;
        loop {
            self.execute()?;
            self.take_part()?;
            self.tell_decided()?;
            self.fetch()?;
            self.fetch_inbound()?;
            let now_ms = self.parts.context.clock.now_ms();
            let again = self.pending.as_ref().map(|(_, again_at_ms)| *again_at_ms);
            let wakes = [self.wake_at_ms, self.lanes.wake_at_ms(), self.wants.wake_at_ms(), again];
            let wake_at_ms = wakes.into_iter().flatten().min();
            let timeout = wake_at_ms.map(|at| Duration::from_millis(at.saturating_sub(now_ms)));
            match inbox.receive(timeout) {
                Received::Event(RootEvent::Message { from, message }) => self.hear(from, message)?,
                Received::Event(RootEvent::Certified(reference)) => {
                    self.step(RootInput::Certified(*reference))?;
                }
                Received::TimedOut => {
                    if self.wake_at_ms.is_some_and(|at| at <= self.parts.context.clock.now_ms()) {
                        self.wake_at_ms = None;
                        self.step(RootInput::Tick)?;
                    }
                }
                Received::Closed => return Ok(()),
            }
        }
    }

    /// Lets a seat vote that has lost its record. A block that was put forward after it started is final: whatever its
    /// former self signed is of that height or below.
    fn take_part(&mut self) -> Result<(), NodeError> {
        if !std::mem::take(&mut self.sure) {
            return Ok(());
        }
        self.insist(RootStore::settle)?;
        let (config, state) = (self.parts.core.config().clone(), self.parts.core.state().clone());
        self.parts.core =
            RootCore::new(config, Some(self.seat), self.parts.crypto.clone(), state, Vec::new())?;
        tracing::info!(seat = %self.seat, "the seat takes part in the root again");
        self.start()
    }

    /// Starts the core, and tells it what it may vote on.
    fn start(&mut self) -> Result<(), NodeError> {
        self.step(RootInput::Start)?;
        self.tell_executed()
    }

    /// Executes what has become final, in its order, and tells the core. The core waits for nothing else meanwhile: without
    /// it nothing of the next height is signed. spec: Root F12
    fn execute(&mut self) -> Result<(), NodeError> {
        while let Some(block) = self.decided.pop_front() {
            let executed = self.parts.machine.execute(&block.block)?;
            keep(&self.parts.executions, &executed);
            self.parts.chain.domain().publish(&executed);
            if let Some(shown) = &self.parts.shown {
                shown.domain().publish(&executed);
            }
            if executed.height().0.is_multiple_of(SAVE_EVERY) {
                self.save(&block)?;
            }
            self.tell_executed()?;
        }
        Ok(())
    }

    fn tell_executed(&mut self) -> Result<(), NodeError> {
        let head = self.parts.machine.head();
        let (height, execution) = (head.height(), Box::new(head.execution.clone()));
        self.step(RootInput::Executed { height, execution })
    }

    /// Saves what the blocks up to the newest add up to, so that the next start need not go through them again.
    fn save(&self, newest: &CertifiedRootBlock) -> Result<(), NodeError> {
        if self.parts.core.state().head().hash() != newest.block.header.hash() {
            return Ok(());
        }
        let accounts = self.parts.machine.save()?;
        let bytes = encode(&(self.parts.core.state(), accounts));
        // The record goes first: what is saved is not executed again.
        let store = &self.parts.store;
        let saved = self.parts.executions.sync();
        let saved = saved.and_then(|()| store.save_state(newest.block.header.height, &bytes));
        if let Err(error) = saved {
            tracing::warn!(seat = %self.seat, %error, "cannot save the root's state; the next start takes longer");
        }
        Ok(())
    }

    /// Gives the core the decided blocks that it has asked for.
    fn tell_decided(&mut self) -> Result<(), NodeError> {
        if let Some(from) = self.wanted.take() {
            for reference in self.decided(from)? {
                self.step(RootInput::Certified(reference))?;
            }
        }
        Ok(())
    }

    /// The shard's decided blocks from a height on.
    fn decided(&self, from: Height) -> Result<Vec<ShardReference>, NodeError> {
        let chain = &self.parts.context.chain;
        let last = chain.height().0.min(from.0.saturating_add(OWN_REFERENCES_MAX as u64 - 1));
        let mut references = Vec::new();
        for height in (from.0..=last).map(Height) {
            let Some(block) = chain.block(height)? else { break };
            let Some(certificate) = block.certificate.clone() else { continue };
            references.push(ShardReference { header: block.header.clone(), certificate });
        }
        Ok(references)
    }

    fn hear(&mut self, from: RootSeat, message: NetworkMessage) -> Result<(), NodeError> {
        match message {
            NetworkMessage::Root(message) => self.step(RootInput::Message { from, message }),
            NetworkMessage::LaneRequest { height, destination } => {
                let own = [from.domain, DomainId::ROOT].contains(&destination);
                if !own || !self.quotas.take(from, self.parts.context.clock.now_ms()) {
                    return Ok(());
                }
                let batch = self.parts.context.chain.lane_batch(height, destination)?;
                if let Some(batch) = batch {
                    self.quotas.answered(from, batch.messages.iter().map(message_bytes).sum());
                    self.send(from, NetworkMessage::Lane { height, destination, batch: Arc::new(batch) });
                }
                Ok(())
            }
            NetworkMessage::Lane { height, destination: DomainId::ROOT, batch } => {
                self.take_inbound(from, height, batch)
            }
            NetworkMessage::Lane { height, batch, .. } => {
                if let Err(error) = self.lanes.answer(from.domain, height, Arc::unwrap_or_clone(batch)) {
                    tracing::warn!(seat = %self.seat, peer = %from, %error, "a peer sent false messages");
                    self.parts.context.metrics.offence();
                }
                Ok(())
            }
        }
    }

    /// Hands the core messages to the root that it has asked for.
    fn take_inbound(
        &mut self,
        from: RootSeat,
        height: Height,
        batch: Arc<LaneBatch>,
    ) -> Result<(), NodeError> {
        let Some(want) = self.wants.get(from.domain, height) else { return Ok(()) };
        if let Err(error) = want.verify(&batch, self.parts.context.spec.network) {
            tracing::warn!(seat = %self.seat, peer = %from, %error, "a peer sent false messages");
            self.parts.context.metrics.offence();
            return Ok(());
        }
        self.wants.remove(from.domain, height);
        self.step(RootInput::Inbound { source: from.domain, height, batch })
    }

    /// Asks for messages to the root that the core wants.
    fn fetch_inbound(&mut self) -> Result<(), NodeError> {
        let state = self.parts.core.state();
        self.wants.retain(|source, height| state.want(source, height).is_some());
        let destination = DomainId::ROOT;
        for (to, height) in self.wants.requests(self.parts.context.clock.now_ms()) {
            if to.domain != self.seat.domain {
                self.send(to, NetworkMessage::LaneRequest { height, destination });
            } else if let Some(batch) = self.parts.context.chain.lane_batch(height, destination)? {
                self.take_inbound(self.seat, height, Arc::new(batch))?;
            } else if to != self.seat {
                self.send(to, NetworkMessage::LaneRequest { height, destination });
            }
        }
        Ok(())
    }

    /// Asks for messages that are due, and hands on what has come.
    fn fetch(&mut self) -> Result<(), NodeError> {
        let now_ms = self.parts.context.clock.now_ms();
        for (to, height) in self.lanes.requests(now_ms) {
            self.send(to, NetworkMessage::LaneRequest { height, destination: self.seat.domain });
        }
        if self.pending.as_ref().is_some_and(|(_, again_at_ms)| *again_at_ms > now_ms) {
            return Ok(());
        }
        while let Some(arrived) =
            self.pending.take().map(|(arrived, _)| arrived).or_else(|| self.lanes.next())
        {
            match self.parts.context.arrivals.push(arrived.root, arrived.batches.clone()) {
                Ok(()) => {}
                Err(PushError::Full) => {
                    self.pending = Some((arrived, now_ms.saturating_add(ROOM_AGAIN_MS)));
                    break;
                }
                Err(error) => return Err(NodeError::Arrivals(error)),
            }
        }
        Ok(())
    }

    fn send(&self, to: RootSeat, message: NetworkMessage) {
        self.parts.transport.send(self.seat, to, message);
    }

    fn step(&mut self, input: RootInput) -> Result<(), NodeError> {
        let mut effects = Vec::new();
        self.parts.core.step(self.parts.context.clock.now_ms(), input, &mut effects)?;
        for effect in effects {
            self.carry_out(effect)?;
        }
        self.sync_log()?;
        self.shorten_log();
        *self.parts.status.write() = self.parts.core.status();
        Ok(())
    }

    fn carry_out(&mut self, effect: RootEffect) -> Result<(), NodeError> {
        match effect {
            RootEffect::Persist(record) => {
                let bytes = record.to_bytes();
                self.insist(|store| store.append_vote(&bytes))?;
                self.unsynced = true;
                self.appended += bytes.len();
            }
            RootEffect::Send { to, message } => {
                self.sync_log()?;
                self.send(to, NetworkMessage::Root(message));
            }
            RootEffect::Broadcast(message) => {
                self.sync_log()?;
                self.parts.transport.broadcast(self.seat, NetworkMessage::Root(message));
            }
            RootEffect::Final { block } => self.finalise(&block)?,
            RootEffect::ServeBlocks { to, from } => self.serve(to, from)?,
            RootEffect::WantCertified { from } => self.wanted = Some(from),
            RootEffect::WantInbound(want) => self.wants.add(want),
            RootEffect::Evidence(evidence) => {
                tracing::warn!(seat = %self.seat, ?evidence, "proof of misbehaviour");
                self.parts.context.metrics.offence();
            }
            RootEffect::Penalise { seat, offence } => {
                tracing::warn!(seat = %self.seat, peer = %seat, %offence, "a peer broke the root's protocol");
                self.parts.context.metrics.offence();
            }
            RootEffect::WakeAt(at_ms) => self.wake_at_ms = Some(at_ms),
        }
        Ok(())
    }

    /// Makes a final root block durable, then visible.
    fn finalise(&mut self, block: &Arc<CertifiedRootBlock>) -> Result<(), NodeError> {
        self.insist(|store| store.append(block))?;
        self.parts.chain.publish(block);
        note_final(&self.parts.context, &block.block.header);
        if let Some(shown) = &self.parts.shown {
            shown.publish(block);
        }
        self.lanes.extend(block, own_messages(&self.parts.chain, block, self.seat.domain)?);
        self.sure =
            self.parts.core.status().seat.is_none() && block.block.header.timestamp_ms > self.started_ms;
        self.decided.push_back(block.clone());
        Ok(())
    }

    fn serve(&self, to: RootSeat, from: Height) -> Result<(), NodeError> {
        for height in from.0..from.0.saturating_add(ROOT_SERVE_MAX as u64) {
            let Some(block) = self.parts.chain.block(Height(height))? else { break };
            self.send(
                to,
                NetworkMessage::Root(RootMessage::Block(Box::new(CertifiedRootBlock::clone(&block)))),
            );
        }
        Ok(())
    }

    /// Drops from the signing log what concerns final heights, once it has grown enough.
    fn shorten_log(&mut self) {
        if self.appended < LOG_BYTES_MAX {
            return;
        }
        let keep: Vec<Vec<u8>> = self.parts.core.live_records().iter().map(RootLogRecord::to_bytes).collect();
        if let Err(error) = self.parts.store.prune_votes(&keep) {
            tracing::warn!(seat = %self.seat, %error, "cannot shorten the root's signing log; it goes on");
        }
        self.appended = 0;
    }

    fn sync_log(&mut self) -> Result<(), NodeError> {
        if self.unsynced {
            self.insist(RootStore::sync_votes)?;
            self.unsynced = false;
        }
        Ok(())
    }

    /// Writes for as long as it takes; ends unwritten only when the node stops, or for what no log would take.
    fn insist(&self, write: impl Fn(&RootStore) -> Result<(), StoreError>) -> Result<(), NodeError> {
        let health = &self.parts.context.health;
        loop {
            let error = match write(&self.parts.store) {
                Ok(()) => {
                    health.recovered(Part::Root);
                    return Ok(());
                }
                Err(error @ StoreError::TooLarge { .. }) => return Err(error.into()),
                Err(error) => error,
            };
            if health.troubled_by(Part::Root, error.to_string()) {
                tracing::error!(seat = %self.seat, %error, "cannot write what concerns the root; trying again");
            }
            if health.wait_unless_stopping(RETRY) {
                return Err(error.into());
            }
        }
    }
}

/// Tells the seat's chain how much of it a root block has made final.
fn note_final(context: &SeatContext, header: &RootHeader) {
    if let Some(tip) = header.tip(context.domain) {
        context.chain.finalized(tip.height);
    }
}

/// What executing the block below this one has sent to a domain.
fn own_messages(
    chain: &RootChain,
    block: &CertifiedRootBlock,
    domain: DomainId,
) -> Result<Option<LaneBatch>, NodeError> {
    // Genesis sends nothing.
    let below = block.block.header.height.prev().filter(|below| *below > Height::ZERO);
    let Some(below) = below else { return Ok(None) };
    let absent =
        || NodeError::Network { height: below, detail: "the root's block is not executed".to_owned() };
    let executed = chain.domain().block_at(below)?.ok_or_else(absent)?;
    Ok(lane_batch(&executed.crossing.sent, domain))
}

/// Adds what a block did to the record, unless it is there since before the last start. Without the record the next start
/// takes longer, that is all.
pub(super) fn keep(executions: &RecordLog, executed: &RootExecuted) {
    if executions.next() != executed.height().0 {
        return;
    }
    let kept = executions.append(&encode(&ExecutionRecord::of(executed))).and_then(|()| {
        let waiting = executions.next().saturating_sub(executions.readable());
        if waiting >= SYNC_EVERY { executions.sync() } else { Ok(()) }
    });
    if let Err(error) = kept {
        let height = executed.height();
        tracing::warn!(%height, %error, "cannot keep what the root's block did; the next start takes longer");
    }
}
