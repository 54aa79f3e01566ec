//! How seats of different shards reach each other. As in a shard's [`Transport`](crate::Transport), delivery is not
//! promised and the sender's identity is.

use std::sync::Arc;

use anfs_crypto::outbox::LaneBatch;
use anfs_primitives::{DomainId, Height, RootMessage, RootSeat, SeatIndex};
use parking_lot::RwLock;

use super::engine::{RootEvent, RootInbox};
use crate::transport::InProcessHub;

/// What seats of the network say to each other beside what concerns their own shard.
#[derive(Debug, Clone)]
pub enum NetworkMessage {
    /// About the root.
    Root(RootMessage),
    /// Asks a seat for the messages that a final block of its shard sends to another domain.
    LaneRequest {
        /// Height of the block.
        height: Height,
        /// The asking seat's shard, or the root.
        destination: DomainId,
    },
    /// The answer.
    Lane {
        /// Height of the block.
        height: Height,
        /// Where the messages go.
        destination: DomainId,
        /// Its messages for that domain.
        batch: Arc<LaneBatch>,
    },
}

/// Carries messages between all seats of a network.
pub trait NetworkTransport: Send + Sync + std::fmt::Debug {
    /// Connects a seat: what others send to it goes into its mailbox from now on.
    fn attach(&self, seat: RootSeat, mailbox: NetworkMailbox);
    /// Disconnects a seat: what others send to it is lost.
    fn detach(&self, seat: RootSeat);
    /// Sends to one seat.
    fn send(&self, from: RootSeat, to: RootSeat, message: NetworkMessage);
    /// Sends to every other seat of every shard.
    fn broadcast(&self, from: RootSeat, message: NetworkMessage);
}

/// Where what other seats send to one seat is delivered.
#[derive(Debug, Clone)]
pub struct NetworkMailbox(Arc<RootInbox>);

impl NetworkMailbox {
    pub(crate) fn new(inbox: Arc<RootInbox>) -> Self {
        Self(inbox)
    }

    /// Delivers a message of the seat that the transport has authenticated; false when it is dropped because too
    /// many wait already, or the seat has stopped.
    pub fn deliver(&self, from: RootSeat, message: NetworkMessage) -> bool {
        self.0.offer(RootEvent::Message { from, message })
    }
}

/// All seats of a network in one process. A seat that is cut off within its shard is cut off from the others too.
#[derive(Debug)]
pub struct InProcessNetwork {
    shards: Vec<Shard>,
}

#[derive(Debug)]
struct Shard {
    hub: Arc<InProcessHub>,
    mailboxes: Vec<RwLock<Option<NetworkMailbox>>>,
}

impl InProcessNetwork {
    /// A network of shards whose seats reach each other through these hubs, domain 1's first.
    #[must_use]
    pub fn new(hubs: &[Arc<InProcessHub>], verifiers: u16) -> Self {
        let shards = hubs.iter().map(|hub| Shard {
            hub: hub.clone(),
            mailboxes: (0..=verifiers).map(|_| RwLock::default()).collect(),
        });
        Self { shards: shards.collect() }
    }

    fn shard(&self, domain: DomainId) -> Option<&Shard> {
        self.shards.get(domain.0.checked_sub(1)? as usize)
    }

    fn is_apart(&self, seat: RootSeat) -> bool {
        self.shard(seat.domain).is_some_and(|shard| shard.hub.is_apart(seat.seat))
    }

    fn set(&self, seat: RootSeat, mailbox: Option<NetworkMailbox>) {
        let place = self.shard(seat.domain).and_then(|shard| shard.mailboxes.get(usize::from(seat.seat.0)));
        if let Some(place) = place {
            *place.write() = mailbox;
        }
    }
}

impl NetworkTransport for InProcessNetwork {
    fn attach(&self, seat: RootSeat, mailbox: NetworkMailbox) {
        self.set(seat, Some(mailbox));
    }

    fn detach(&self, seat: RootSeat) {
        self.set(seat, None);
    }

    fn send(&self, from: RootSeat, to: RootSeat, message: NetworkMessage) {
        if self.is_apart(from) != self.is_apart(to) {
            return;
        }
        let place = self.shard(to.domain).and_then(|shard| shard.mailboxes.get(usize::from(to.seat.0)));
        if let Some(mailbox) = place.and_then(|place| place.read().clone()) {
            mailbox.deliver(from, message);
        }
    }

    fn broadcast(&self, from: RootSeat, message: NetworkMessage) {
        for (domain, shard) in (1u32..).map(DomainId).zip(&self.shards) {
            for seat in (0u16..).map(SeatIndex).take(shard.mailboxes.len()) {
                let to = RootSeat { domain, seat };
                if to != from {
                    self.send(from, to, message.clone());
                }
            }
        }
    }
}
