//! What the seat knows of executing the root's own blocks, and the messages that it could have them consume.
//!
//! spec: Root F12–F14

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anfs_crypto::outbox::LaneBatch;
use anfs_primitives::{DomainId, Height, RootBlock, RootExecution, RootHash, encode};

use super::core::RootCore;
use super::state::RootState;
use super::types::{RootEffect, RootOffence};
use crate::error::ConsensusError;

/// Blocks of one shard whose messages are fetched ahead.
const AHEAD_MAX: usize = 8;
/// Bytes of messages held beyond which no more are asked for.
const HELD_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Messages at hand that the root may consume, verified.
#[derive(Debug, Default)]
pub(super) struct Offers {
    held: BTreeMap<(DomainId, Height), (Arc<LaneBatch>, usize)>,
    asked: BTreeSet<(DomainId, Height)>,
    bytes: usize,
}

impl Offers {
    /// All messages of a block to the root, if they are at hand.
    pub(super) fn get(&self, source: DomainId, height: Height) -> Option<&LaneBatch> {
        self.held.get(&(source, height)).map(|(batch, _)| &**batch)
    }

    /// Keeps what was asked for, if there is room; else it is asked for again another time.
    fn keep(&mut self, place: (DomainId, Height), batch: Arc<LaneBatch>) {
        let size = encode(&*batch).len();
        if self.bytes.saturating_add(size) > HELD_BYTES_MAX && !self.held.is_empty() {
            self.asked.remove(&place);
            return;
        }
        self.bytes = self.bytes.saturating_add(size);
        self.held.insert(place, (batch, size));
    }

    fn forget_consumed(&mut self, state: &RootState) {
        let waits = |(source, height): &(DomainId, Height)| state.want(*source, *height).is_some();
        self.held.retain(|place, _| waits(place));
        self.asked.retain(waits);
        self.bytes = self.held.values().map(|(_, size)| *size).sum();
    }
}

impl RootCore {
    /// The newest final block has been executed here. spec: Root F12
    pub(super) fn on_executed(&mut self, height: Height, execution: RootExecution) {
        if height == self.state.head().height {
            self.executed.get_or_insert(execution);
        }
    }

    /// Messages have come that were asked for. What does not verify is passed over: whoever has brought them should have
    /// looked, and knows from whom they are.
    pub(super) fn on_inbound(&mut self, source: DomainId, height: Height, batch: Arc<LaneBatch>) {
        let place = (source, height);
        let Some(want) = self.state.want(source, height) else { return };
        let open = self.offers.asked.contains(&place) && !self.offers.held.contains_key(&place);
        if open && want.verify(&batch, self.config.network).is_ok() {
            self.offers.keep(place, batch);
        }
    }

    /// Asks the node for messages that this seat, when it leads, could have the root consume. spec: Root F13
    pub(super) fn want_inbound(&mut self, effects: &mut Vec<RootEffect>) {
        let offers = &mut self.offers;
        offers.forget_consumed(&self.state);
        if self.seat.is_none() || offers.bytes >= HELD_BYTES_MAX {
            return;
        }
        for (source, waiting) in self.state.waiting() {
            for want in waiting.take(AHEAD_MAX) {
                if offers.asked.insert((source, want.height)) {
                    effects.push(RootEffect::WantInbound(*want));
                }
            }
        }
    }

    /// Whether a checked block says of its parent's execution what this seat has found. Nothing is signed for another, or
    /// before that is known. spec: Root F12
    pub(super) fn agrees(&self, hash: RootHash) -> bool {
        let told = self.round.bodies.get(&hash).map(|body| &body.block.header.execution);
        told.is_some() && told == self.executed.as_ref()
    }

    /// Passes over the accepted block if it tells of another execution than this seat's.
    pub(super) fn weigh_execution(&mut self, effects: &mut Vec<RootEffect>) {
        if let Some(hash) = self.round.accepted.filter(|hash| !self.agrees(*hash))
            && self.executed.is_some()
        {
            self.round.accepted = None;
            let leader = self.leader();
            // What this seat has itself proposed before a crash is nobody else's fault.
            if self.seat != Some(leader) && self.round.bodies.contains_key(&hash) {
                Self::penalise(leader, RootOffence::Execution, effects);
            }
        }
    }

    /// Whether a decided block may become final here: not before its parent is executed. spec: Root F14
    ///
    /// # Errors
    /// [`ConsensusError::Execution`] when it tells of another execution than this seat's.
    pub(super) fn may_follow(&self, block: &RootBlock) -> Result<bool, ConsensusError> {
        let Some(own) = &self.executed else { return Ok(false) };
        let told = &block.header.execution;
        if own == told {
            return Ok(true);
        }
        Err(ConsensusError::Execution {
            height: self.state.head().height,
            ours: own.state_root,
            theirs: told.state_root,
        })
    }
}
