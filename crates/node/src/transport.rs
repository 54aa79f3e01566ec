//! How seats reach each other. The in-process hub stands where libp2p will: same trait, same semantics
//! (authenticated sender, bounded queues, loss when a queue is full).

use std::sync::Arc;
use std::sync::OnceLock;

use anfs_primitives::{ConsensusMessage, SeatIndex};

use crate::engine::EngineInbox;

/// Carries messages between the seats of one shard. Delivery is not promised; the sender's identity is.
pub trait Transport: Send + Sync {
    /// Sends to one seat.
    fn send(&self, from: SeatIndex, to: SeatIndex, message: ConsensusMessage);
    /// Sends to every other seat.
    fn broadcast(&self, from: SeatIndex, message: ConsensusMessage);
}

/// Seats of one process, each reached through its engine's inbox.
#[derive(Debug)]
pub struct InProcessHub {
    seats: Vec<OnceLock<Arc<EngineInbox>>>,
}

impl InProcessHub {
    /// A hub for a generator and `verifiers` verifiers.
    #[must_use]
    pub fn new(verifiers: u16) -> Self {
        Self { seats: (0..=verifiers).map(|_| OnceLock::new()).collect() }
    }

    pub(crate) fn attach(&self, seat: SeatIndex, inbox: Arc<EngineInbox>) {
        let fresh = self.seats[usize::from(seat.0)].set(inbox).is_ok();
        assert!(fresh, "seat {seat} is attached once");
    }

    fn deliver(&self, from: SeatIndex, to: usize, message: ConsensusMessage) {
        if let Some(inbox) = self.seats.get(to).and_then(OnceLock::get) {
            inbox.offer(crate::engine::EngineEvent::Message { from, message });
        }
    }
}

impl Transport for InProcessHub {
    fn send(&self, from: SeatIndex, to: SeatIndex, message: ConsensusMessage) {
        self.deliver(from, usize::from(to.0), message);
    }

    fn broadcast(&self, from: SeatIndex, message: ConsensusMessage) {
        let me = usize::from(from.0);
        for to in (0..self.seats.len()).filter(|&to| to != me) {
            self.deliver(from, to, message.clone());
        }
    }
}
