//! Messages to the root: which final shard blocks have sent some, and how far the root has consumed them.
//!
//! A leader takes of each lane what comes next, as far as its messages are at hand: a shard that does not show its
//! messages holds up nobody but itself.
//!
//! spec: PROTOCOL §9; Root F13

use std::collections::{BTreeMap, VecDeque};

use alloy_primitives::U256;
use anfs_crypto::outbox::{BatchError, LaneBatch, LaneShare, verify_stretch};
use anfs_primitives::root::INBOUND_MAX;
use anfs_primitives::{
    CrossMessage, DomainId, Height, InboundBatch, InboxCursor, LaneCount, NetworkId, RootSeat, ShardHeader,
    encode,
};
use borsh::{BorshDeserialize, BorshSerialize};

/// Final blocks of one shard whose messages to the root may wait. A shard that reaches this makes no more blocks final
/// that add to them.
pub const INBOUND_WAITING_MAX: usize = 1 << 16;
/// Bytes of messages that a leader puts into one root block.
pub(super) const INBOUND_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Why a root block cannot consume these messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InboundFault {
    /// Batches that are not ordered by source and height, or of no shard.
    #[error("the batches are not ordered by their sources and heights")]
    Order,
    /// Not the block whose messages come next.
    #[error("the messages that come next are not of that block")]
    Share,
    /// Not the lane's next messages.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// The messages hold other coins than their lane says.
    #[error("the messages hold other coins than the lane of their block")]
    Claim,
    /// They weigh more than a block may take in.
    #[error("the messages weigh more than a root block takes in")]
    Gas,
}

/// Messages that the root will consume, and where they are to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct InboundWant {
    /// Who made the block; its shard is the source.
    pub proposer: RootSeat,
    /// Height of the block.
    pub height: Height,
    /// What it has sent.
    pub share: LaneShare,
}

impl InboundWant {
    /// Checks that these are all messages of the block to the root, with the coins that its header claims.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn verify(&self, batch: &LaneBatch, network: NetworkId) -> Result<(), InboundFault> {
        let LaneShare { outbox_root, first, count, value } = self.share;
        batch.verify(&outbox_root, network, (self.proposer.domain, DomainId::ROOT), first)?;
        if batch.is_as_claimed(count, value) { Ok(()) } else { Err(InboundFault::Claim) }
    }
}

/// One shard's lane to the root.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
struct InboundLane {
    sent: u64,
    value: U256,
    consumed: u64,
    /// Coins of the messages consumed of the first block that waits.
    taken: U256,
    /// Blocks whose messages are not all consumed.
    waiting: VecDeque<InboundWant>,
}

/// See the module's text.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) struct RootInbox {
    gas_limit: u64,
    lanes: BTreeMap<DomainId, InboundLane>,
    /// Coins that came with the messages of the newest block.
    value_in: U256,
}

/// What a message weighs in a block that has room for `limit`. spec: Domains D10
fn weight(message: &CrossMessage, limit: u64) -> u64 {
    message.gas().min(limit)
}

/// What a block and those below it have sent to the root. Lanes ascend by destination.
fn to_root(header: &ShardHeader) -> Option<&LaneCount> {
    header.lanes.first().filter(|lane| lane.destination == DomainId::ROOT)
}

impl RootInbox {
    /// An inbox of which each block takes in messages of so much gas.
    pub(super) fn new(gas_limit: u64) -> Self {
        Self { gas_limit, lanes: BTreeMap::new(), value_in: U256::ZERO }
    }

    /// Whether there is room for what a shard's next block sends.
    pub(super) fn has_room(&self, header: &ShardHeader) -> bool {
        let full = |lane: &InboundLane| lane.waiting.len() >= INBOUND_WAITING_MAX;
        let lane = self.lanes.get(&header.domain).filter(|lane| full(lane));
        lane.is_none_or(|lane| to_root(header).is_none_or(|now| now.sent <= lane.sent))
    }

    /// Notes what a shard's next final block has sent; its lanes have passed the ledger.
    pub(super) fn extend(&mut self, header: &ShardHeader) {
        let Some(now) = to_root(header) else { return };
        let lane = self.lanes.entry(header.domain).or_default();
        if now.sent <= lane.sent {
            return;
        }
        let share = LaneShare {
            outbox_root: header.outbox_root,
            first: lane.sent,
            count: now.sent - lane.sent,
            value: now.value.saturating_sub(lane.value),
        };
        let proposer = RootSeat { domain: header.domain, seat: header.proposer };
        lane.waiting.push_back(InboundWant { proposer, height: header.height, share });
        (lane.sent, lane.value) = (now.sent, now.value);
    }

    /// How far each lane is consumed, where anything is.
    pub(super) fn cursors(&self) -> Vec<InboxCursor> {
        let moved = self.lanes.iter().filter(|(_, lane)| lane.consumed > 0);
        moved.map(|(source, lane)| InboxCursor { source: *source, consumed: lane.consumed }).collect()
    }

    /// Coins that came with the messages of the newest block, in wei.
    pub(super) fn value_in(&self) -> U256 {
        self.value_in
    }

    /// What waits of each shard, in the order in which it will be consumed.
    pub(super) fn waiting(&self) -> impl Iterator<Item = (DomainId, impl Iterator<Item = &InboundWant>)> {
        self.lanes.iter().map(|(source, lane)| (*source, lane.waiting.iter()))
    }

    /// What waits of a block.
    pub(super) fn want(&self, source: DomainId, height: Height) -> Option<&InboundWant> {
        let waiting = &self.lanes.get(&source)?.waiting;
        waiting.get(waiting.binary_search_by_key(&height, |want| want.height).ok()?)
    }

    /// Consumes what a block takes in. spec: Root F13
    ///
    /// # Errors
    /// The first fault met, and whose messages it is in; the inbox is of no use then.
    pub(super) fn take(
        &mut self,
        network: NetworkId,
        batches: &[InboundBatch],
    ) -> Result<(), (DomainId, InboundFault)> {
        let (mut gas, mut last) = (0u64, None);
        self.value_in = U256::ZERO;
        for batch in batches {
            let place = (batch.source, batch.height);
            if last.replace(place) >= Some(place) {
                return Err((batch.source, InboundFault::Order));
            }
            let lane = self.lanes.get_mut(&batch.source).ok_or((batch.source, InboundFault::Order))?;
            let value = lane.take(network, batch).map_err(|fault| (batch.source, fault))?;
            // No overflow: no more than the lanes hold.
            self.value_in += value;
            for message in &batch.messages {
                gas = gas.saturating_add(weight(message, self.gas_limit));
            }
            if gas > self.gas_limit {
                return Err((batch.source, InboundFault::Gas));
            }
        }
        Ok(())
    }

    /// What a leader makes of the messages at hand: of each shard what comes next, as far as it fits. Whose turn it is to
    /// be first changes with the height.
    pub(super) fn choose<'a>(
        &self,
        height: Height,
        held: impl Fn(DomainId, Height) -> Option<&'a LaneBatch>,
    ) -> Vec<InboundBatch> {
        let mut room = Room { gas: self.gas_limit, bytes: INBOUND_BYTES_MAX, batches: INBOUND_MAX };
        let mut chosen = Vec::new();
        let many = self.lanes.len().max(1) as u64;
        let first = usize::try_from(height.0 % many).unwrap_or_default();
        for (source, lane) in self.lanes.iter().cycle().skip(first).take(self.lanes.len()) {
            let mut next = lane.consumed;
            for want in &lane.waiting {
                let Some(batch) = held(*source, want.height) else { break };
                let part = room.stretch(batch, next, &want.share, self.gas_limit);
                let Some(part) = part.and_then(|range| batch.stretch(*source, want.height, range)) else {
                    break;
                };
                next += part.messages.len() as u64;
                chosen.push(part);
                if next < want.share.first + want.share.count {
                    break;
                }
            }
        }
        chosen.sort_by_key(|batch| (batch.source, batch.height));
        chosen
    }
}

/// What is left of a block in the making.
struct Room {
    gas: u64,
    bytes: usize,
    batches: usize,
}

impl Room {
    /// The messages of a block from a number on that fit, as places in its batch.
    fn stretch(
        &mut self,
        batch: &LaneBatch,
        next: u64,
        share: &LaneShare,
        limit: u64,
    ) -> Option<std::ops::Range<usize>> {
        let start = usize::try_from(next.checked_sub(share.first)?).ok()?;
        self.batches = self.batches.checked_sub(1)?;
        let mut end = start;
        for message in batch.messages.get(start..)? {
            let left =
                (self.gas.checked_sub(weight(message, limit)), self.bytes.checked_sub(encode(message).len()));
            let (Some(gas), Some(bytes)) = left else { break };
            (self.gas, self.bytes) = (gas, bytes);
            end += 1;
        }
        (end > start).then_some(start..end)
    }
}

impl InboundLane {
    /// Consumes a stretch; the coins in it.
    fn take(&mut self, network: NetworkId, batch: &InboundBatch) -> Result<U256, InboundFault> {
        let want = self.waiting.front().filter(|want| want.height == batch.height);
        let share = want.ok_or(InboundFault::Share)?.share;
        verify_stretch(batch, &share, network, self.consumed)?;
        let value = batch.messages.iter().try_fold(U256::ZERO, |sum, one| sum.checked_add(one.value()));
        let value = value.ok_or(InboundFault::Claim)?;
        let taken = self.taken.checked_add(value).filter(|taken| *taken <= share.value);
        let taken = taken.ok_or(InboundFault::Claim)?;
        self.consumed += batch.messages.len() as u64;
        self.taken = taken;
        if self.consumed == share.first + share.count {
            if taken != share.value {
                return Err(InboundFault::Claim);
            }
            self.taken = U256::ZERO;
            self.waiting.pop_front();
        }
        Ok(value)
    }
}
