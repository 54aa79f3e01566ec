//! The in-process network with faults: it loses messages between pairs of seats, and rewrites what the
//! generator says.

use std::collections::BTreeSet;
use std::sync::Mutex;

use anfs_node::{InProcessHub, Mailbox, Transport};
use anfs_primitives::{ConsensusMessage, RecoveredTransaction, SeatIndex};
use tokio::sync::watch;

/// Turns a message of the generator into what its verifiers get to see.
pub(crate) type Forge = Box<dyn FnMut(ConsensusMessage) -> ConsensusMessage + Send>;

/// See the module docs.
pub(crate) struct Wire {
    hub: InProcessHub,
    seats: u16,
    cut: Mutex<BTreeSet<(u16, u16)>>,
    forge: Mutex<Option<Forge>>,
    sent: watch::Sender<u64>,
}

impl Wire {
    pub(crate) fn new(verifiers: u16) -> Self {
        Self {
            hub: InProcessHub::new(verifiers),
            seats: verifiers + 1,
            cut: Mutex::default(),
            forge: Mutex::default(),
            sent: watch::channel(0).0,
        }
    }

    /// Loses everything between two seats, both ways.
    pub(crate) fn cut(&self, one: u16, other: u16) {
        self.cut.lock().unwrap().extend([(one, other), (other, one)]);
    }

    /// Loses nothing from now on.
    pub(crate) fn mend(&self) {
        self.cut.lock().unwrap().clear();
    }

    /// Rewrites what the generator says from now on.
    pub(crate) fn forge(&self, forge: Forge) {
        *self.forge.lock().unwrap() = Some(forge);
    }

    /// Changes whenever a message was sent.
    pub(crate) fn sent(&self) -> watch::Receiver<u64> {
        self.sent.subscribe()
    }

    fn carry(&self, from: SeatIndex, to: SeatIndex, message: ConsensusMessage) {
        if !self.cut.lock().unwrap().contains(&(from.0, to.0)) {
            self.hub.send(from, to, message);
        }
        self.sent.send_modify(|count| *count += 1);
    }

    fn rewrite(&self, from: SeatIndex, message: ConsensusMessage) -> ConsensusMessage {
        match self.forge.lock().unwrap().as_mut().filter(|_| from == SeatIndex::GENERATOR) {
            Some(forge) => forge(message),
            None => message,
        }
    }
}

impl Transport for Wire {
    fn attach(&self, seat: SeatIndex, mailbox: Mailbox) {
        self.hub.attach(seat, mailbox);
    }

    fn detach(&self, seat: SeatIndex) {
        self.hub.detach(seat);
    }

    fn send(&self, from: SeatIndex, to: SeatIndex, message: ConsensusMessage) {
        let message = self.rewrite(from, message);
        self.carry(from, to, message);
    }

    fn relay(&self, from: SeatIndex, to: SeatIndex, transactions: &[RecoveredTransaction]) {
        if !self.cut.lock().unwrap().contains(&(from.0, to.0)) {
            self.hub.relay(from, to, transactions);
        }
    }

    fn broadcast(&self, from: SeatIndex, message: ConsensusMessage) {
        let message = self.rewrite(from, message);
        for to in (0..self.seats).filter(|to| *to != from.0) {
            self.carry(from, SeatIndex(to), message.clone());
        }
    }
}
