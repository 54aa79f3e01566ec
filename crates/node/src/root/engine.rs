//! The loop around the root's consensus core of one seat: inputs in, effects out, in order; and the messages that the
//! root makes final, brought from the shards that sent them to the threads that execute.
//!
//! As in the shard's engine, a signature is on disk before it is on the wire, and a final root block is on disk before
//! anybody here sees it. spec: PROTOCOL §6; Root F10

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anfs_consensus::root::{
    OWN_REFERENCES_MAX, ROOT_SERVE_MAX, RootCore, RootCrypto, RootEffect, RootInput, RootLogRecord,
    RootStatus,
};
use anfs_primitives::{CertifiedRootBlock, DomainId, Height, RootMessage, RootSeat, ShardReference, encode};
use anfs_store::{RootStore, StoreError};
use parking_lot::RwLock;

use super::chain::RootChain;
use super::lanes::{Arrived, Lanes, start_of};
use super::quotas::Quotas;
use super::wire::{NetworkMessage, NetworkTransport};
use crate::arrivals::{PushError, message_bytes};
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
/// How long messages wait that the seat has no room for yet.
const ROOM_AGAIN_MS: u64 = 100;

/// What the root's engine works on.
pub(crate) struct RootParts {
    pub(crate) context: Arc<SeatContext>,
    /// Without a seat while what it may have signed is not known.
    pub(crate) core: RootCore,
    pub(crate) crypto: Arc<dyn RootCrypto>,
    pub(crate) store: Arc<RootStore>,
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
                lanes.extend(&block);
            }
        }
        let started_ms = context.clock.now_ms();
        Ok(Self {
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
        self.step(RootInput::Start)?;
        loop {
            self.take_part()?;
            self.tell_decided()?;
            self.fetch()?;
            let now_ms = self.parts.context.clock.now_ms();
            let again = self.pending.as_ref().map(|(_, again_at_ms)| *again_at_ms);
            let wakes = [self.wake_at_ms, self.lanes.wake_at_ms(), again];
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
        self.step(RootInput::Start)
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
            NetworkMessage::LaneRequest { height } => {
                if !self.quotas.take(from, self.parts.context.clock.now_ms()) {
                    return Ok(());
                }
                let batch = self.parts.context.chain.lane_batch(height, from.domain)?;
                if let Some(batch) = batch {
                    self.quotas.answered(from, batch.messages.iter().map(message_bytes).sum());
                    self.send(from, NetworkMessage::Lane { height, batch: Arc::new(batch) });
                }
                Ok(())
            }
            NetworkMessage::Lane { height, batch } => {
                if let Err(error) = self.lanes.answer(from.domain, height, Arc::unwrap_or_clone(batch)) {
                    tracing::warn!(seat = %self.seat, peer = %from, %error, "a peer sent false messages");
                    self.parts.context.metrics.offence();
                }
                Ok(())
            }
        }
    }

    /// Asks for messages that are due, and hands on what has come.
    fn fetch(&mut self) -> Result<(), NodeError> {
        let now_ms = self.parts.context.clock.now_ms();
        for (to, height) in self.lanes.requests(now_ms) {
            self.send(to, NetworkMessage::LaneRequest { height });
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
        if let Some(shown) = &self.parts.shown {
            shown.publish(block);
        }
        self.lanes.extend(block);
        self.sure =
            self.parts.core.status().seat.is_none() && block.block.header.timestamp_ms > self.started_ms;
        let height = block.block.header.height;
        if height.0.is_multiple_of(SAVE_EVERY) {
            let state = encode(self.parts.core.state());
            if let Err(error) = self.parts.store.save_state(height, &state) {
                tracing::warn!(seat = %self.seat, %error, "cannot save the root's state; the next start takes longer");
            }
        }
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
