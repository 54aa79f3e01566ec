//! How seats reach each other. The in-process hub stands where libp2p will: same trait, same semantics
//! (authenticated sender, bounded queues, loss when a queue is full or a seat is away).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anfs_primitives::{ConsensusMessage, RecoveredTransaction, SeatIndex};
use parking_lot::RwLock;

use crate::context::SeatContext;
use crate::engine::{EngineEvent, EngineInbox};
use crate::relay;

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
    /// Hands transactions on to one seat, for its pool. Within a process their recovered senders are taken
    /// over; a transport over a network sends the raw bytes, and the receiver recovers them again.
    fn relay(&self, from: SeatIndex, to: SeatIndex, transactions: &[RecoveredTransaction]);
}

/// Where a transport delivers what other seats send to one seat.
#[derive(Debug, Clone)]
pub struct Mailbox {
    inbox: Arc<EngineInbox>,
    context: Arc<SeatContext>,
}

impl Mailbox {
    pub(crate) fn new(inbox: Arc<EngineInbox>, context: Arc<SeatContext>) -> Self {
        Self { inbox, context }
    }

    /// Delivers a message of the seat that the transport has authenticated; false when it is dropped
    /// because too many wait already, or the seat has stopped.
    pub fn deliver(&self, from: SeatIndex, message: ConsensusMessage) -> bool {
        self.inbox.offer(EngineEvent::Message { from, message })
    }

    /// Puts transactions into the seat's pool, as far as that takes them. Their senders must have been
    /// recovered in this process.
    pub fn take_in(&self, transactions: &[RecoveredTransaction]) {
        relay::take_in(&self.context, transactions);
    }
}

/// Seats of one process, each reached through its mailbox.
#[derive(Debug)]
pub struct InProcessHub {
    seats: Vec<Place>,
}

#[derive(Debug, Default)]
struct Place {
    mailbox: RwLock<Option<Mailbox>>,
    /// On the far side of a cut.
    apart: AtomicBool,
}

impl InProcessHub {
    /// A hub for a generator and `verifiers` verifiers.
    #[must_use]
    pub fn new(verifiers: u16) -> Self {
        Self { seats: (0..=verifiers).map(|_| Place::default()).collect() }
    }

    fn set(&self, seat: SeatIndex, mailbox: Option<Mailbox>) {
        if let Some(place) = self.seats.get(usize::from(seat.0)) {
            *place.mailbox.write() = mailbox;
        }
    }

    /// Parts these seats from all others, until the next call or [`Self::heal`]: within each part messages
    /// go on, between the two they are lost.
    pub fn cut(&self, seats: &[SeatIndex]) {
        for (index, place) in (0u16..).zip(&self.seats) {
            place.apart.store(seats.contains(&SeatIndex(index)), Ordering::Relaxed);
        }
    }

    /// Mends the cut.
    pub fn heal(&self) {
        self.cut(&[]);
    }

    /// Whether a seat is on the far side of a cut.
    #[must_use]
    pub fn is_apart(&self, seat: SeatIndex) -> bool {
        self.seats.get(usize::from(seat.0)).is_some_and(|place| place.apart.load(Ordering::Relaxed))
    }

    fn with_mailbox(&self, from: SeatIndex, to: SeatIndex, deliver: impl FnOnce(&Mailbox)) {
        let Some(place) = self.seats.get(usize::from(to.0)) else { return };
        if self.is_apart(from) != place.apart.load(Ordering::Relaxed) {
            return;
        }
        if let Some(mailbox) = &*place.mailbox.read() {
            deliver(mailbox);
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
        self.with_mailbox(from, to, |mailbox| {
            mailbox.deliver(from, message);
        });
    }

    fn broadcast(&self, from: SeatIndex, message: ConsensusMessage) {
        for (to, _) in (0u16..).zip(&self.seats).filter(|(to, _)| *to != from.0) {
            self.send(from, SeatIndex(to), message.clone());
        }
    }

    fn relay(&self, from: SeatIndex, to: SeatIndex, transactions: &[RecoveredTransaction]) {
        self.with_mailbox(from, to, |mailbox| mailbox.take_in(transactions));
    }
}
