//! How seats reach each other. The in-process hub stands where libp2p will: same trait, same semantics
//! (authenticated sender, bounded queues, loss when a queue is full or a seat is away).

use std::sync::Arc;

use anfs_primitives::{ConsensusMessage, SeatIndex};
use parking_lot::RwLock;

use crate::engine::{EngineEvent, EngineInbox};

/// Carries messages between the seats of one shard. Delivery is not promised; the sender's identity is.
pub trait Transport: Send + Sync {
    /// Connects a seat: what others send to it goes into its mailbox from now on.
    fn attach(&self, seat: SeatIndex, mailbox: Mailbox);
    /// Disconnects a seat: what others send to it is lost.
    fn detach(&self, seat: SeatIndex);
    /// Sends to one seat.
    fn send(&self, from: SeatIndex, to: SeatIndex, message: ConsensusMessage);
    /// Sends to every other seat.
    fn broadcast(&self, from: SeatIndex, message: ConsensusMessage);
}

/// Where a transport delivers what other seats send to one seat.
#[derive(Debug, Clone)]
pub struct Mailbox(Arc<EngineInbox>);

impl Mailbox {
    pub(crate) fn new(inbox: Arc<EngineInbox>) -> Self {
        Self(inbox)
    }

    /// Delivers a message of the seat that the transport has authenticated; false when it is dropped
    /// because too many wait already, or the seat has stopped.
    pub fn deliver(&self, from: SeatIndex, message: ConsensusMessage) -> bool {
        self.0.offer(EngineEvent::Message { from, message })
    }
}

/// Seats of one process, each reached through its mailbox.
#[derive(Debug)]
pub struct InProcessHub {
    seats: Vec<RwLock<Option<Mailbox>>>,
}

impl InProcessHub {
    /// A hub for a generator and `verifiers` verifiers.
    #[must_use]
    pub fn new(verifiers: u16) -> Self {
        Self { seats: (0..=verifiers).map(|_| RwLock::default()).collect() }
    }

    fn set(&self, seat: SeatIndex, mailbox: Option<Mailbox>) {
        if let Some(place) = self.seats.get(usize::from(seat.0)) {
            *place.write() = mailbox;
        }
    }
}

impl Transport for InProcessHub {
    fn attach(&self, seat: SeatIndex, mailbox: Mailbox) {
        self.set(seat, Some(mailbox));
    }

    fn detach(&self, seat: SeatIndex) {
        self.set(seat, None);
    }

    fn send(&self, from: SeatIndex, to: SeatIndex, message: ConsensusMessage) {
        let Some(place) = self.seats.get(usize::from(to.0)) else { return };
        if let Some(mailbox) = &*place.read() {
            mailbox.deliver(from, message);
        }
    }

    fn broadcast(&self, from: SeatIndex, message: ConsensusMessage) {
        let others = (0u16..).zip(&self.seats).filter(|(to, _)| *to != from.0);
        for (_, place) in others {
            if let Some(mailbox) = &*place.read() {
                mailbox.deliver(from, message.clone());
            }
        }
    }
}
