//! What a seat is to the world: something that takes inputs and returns actions. Honest nodes and byzantine
//! actors both are.

use std::collections::BTreeMap;
use std::sync::Arc;

use anfs_consensus::{Evidence, LogRecord, Offence, ShardConfig, ShardCore};
use anfs_primitives::{
    Block, BlockHash, Certificate, CertifiedBlock, ConsensusMessage, Fault, Height, SealedHeader, SeatIndex,
    Slot, View,
};

use crate::byzantine::Behaviour;
use crate::crypto::{Keys, SimCrypto};
use crate::plan::Timing;
use crate::rng::Rng;

/// What a seat is told.
#[derive(Clone, Debug)]
pub enum SeatInput {
    /// The process has started. Comes first, once.
    Start,
    /// The time asked for by [`Action::WakeAt`] has come.
    Tick,
    /// A message from another seat, whom the transport has authenticated.
    Message {
        /// Sender.
        from: SeatIndex,
        /// What it said.
        message: Arc<ConsensusMessage>,
    },
    /// Work asked for by [`Action::WorkUntil`] is done.
    Done(Work),
}

/// Work that takes a seat some time.
#[derive(Clone, Debug)]
pub enum Work {
    /// A block was built; its slot is over.
    Built(Box<Block>),
    /// A block was checked.
    Checked {
        /// The block.
        block: BlockHash,
        /// How deep.
        depth: anfs_consensus::Depth,
        /// What was found.
        result: Result<(), Fault>,
    },
    /// Whatever an actor wants to be reminded of.
    Remind(u64),
}

/// A decided block, shared by all who hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// The block.
    pub block: Arc<Block>,
    /// What decided it.
    pub certificate: Certificate,
}

impl Decided {
    /// As it travels.
    #[must_use]
    pub fn to_certified(&self) -> CertifiedBlock {
        CertifiedBlock { block: Block::clone(&self.block), certificate: self.certificate.clone() }
    }
}

/// What a seat does. The world carries actions out in order, and may let the seat die between any two.
#[derive(Clone, Debug)]
pub enum Action {
    /// Sends to one seat.
    Send {
        /// Recipient.
        to: SeatIndex,
        /// The message.
        message: Arc<ConsensusMessage>,
    },
    /// Sends to every other seat.
    Broadcast(Arc<ConsensusMessage>),
    /// Asks for a [`SeatInput::Tick`] at this time of its own clock; replaces the previous one.
    WakeAt(u64),
    /// Is busy until this time of its own clock, then gets [`SeatInput::Done`]. Lost when the seat dies.
    WorkUntil {
        /// Own clock, in milliseconds.
        at_ms: u64,
        /// What it gets.
        work: Work,
    },
    /// Starts to build a block: for the picture only.
    Building {
        /// Height.
        height: Height,
        /// Slot.
        slot: Slot,
        /// View.
        view: View,
    },
    /// Appends to the log. The log is synced before anything more is sent.
    Persist(LogRecord),
    /// Appends to the chain of decided blocks.
    Decide(Decided),
    /// Syncs the chain of decided blocks, then rewrites the log to these records.
    Compact(Vec<LogRecord>),
    /// Has found a proof of misbehaviour.
    Evidence(Evidence),
    /// Thinks less of another seat.
    Penalise {
        /// Of whom.
        seat: SeatIndex,
        /// Why.
        offence: Offence,
    },
    /// Has met a contradiction in itself and stops; a bug, or too many faults.
    Fail(String),
    /// A byzantine seat has just broken the protocol in the way that this names: counted in
    /// [`crate::Counts::injected`].
    Misdeed(&'static str),
}

/// What a seat wants done after one input.
#[derive(Debug, Default)]
pub struct Outbox {
    /// In order.
    pub actions: Vec<Action>,
}

impl Outbox {
    /// Appends an action.
    pub fn push(&mut self, action: Action) {
        self.actions.push(action);
    }

    /// Sends to one seat.
    pub fn send(&mut self, to: SeatIndex, message: ConsensusMessage) {
        self.push(Action::Send { to, message: Arc::new(message) });
    }

    /// Sends to every other seat.
    pub fn broadcast(&mut self, message: ConsensusMessage) {
        self.push(Action::Broadcast(Arc::new(message)));
    }

    /// Asks to be reminded at a time of its own clock.
    pub fn remind_at(&mut self, at_ms: u64, of: u64) {
        self.push(Action::WorkUntil { at_ms, work: Work::Remind(of) });
    }
}

/// One seat of the shard.
pub trait Seat {
    /// Takes one input at a time of the seat's own clock.
    fn step(&mut self, now_ms: u64, input: SeatInput, out: &mut Outbox);

    /// The production core inside, if there is one.
    fn core(&self) -> Option<&ShardCore>;
}

/// What a seat starts from: its keys, its disk, and the shard.
#[derive(Clone, Debug)]
pub struct Boot {
    /// Which seat.
    pub seat: SeatIndex,
    /// The shard.
    pub config: ShardConfig,
    /// The shard's times.
    pub timing: Timing,
    /// Signs for this seat, verifies for all. A byzantine seat's signs for all byzantine ones.
    pub crypto: SimCrypto,
    /// The block before the first.
    pub genesis: SealedHeader,
    /// Decided blocks on its disk, from height 1 on.
    pub chain: Vec<Decided>,
    /// Its log.
    pub log: Vec<LogRecord>,
    /// Randomness of its own.
    pub rng: Rng,
    /// How often it has been started before.
    pub incarnation: u64,
    /// Its disk was lost at some time: it cannot know what it signed.
    pub emptied: bool,
    /// A second core takes the same inputs beside it, to be compared.
    pub shadowed: bool,
    /// All seats that do not follow the protocol: byzantine ones know each other.
    pub byzantine: Arc<BTreeMap<SeatIndex, Behaviour>>,
}

impl Boot {
    /// What verifies signatures.
    #[must_use]
    pub fn keys(&self) -> &Arc<Keys> {
        self.crypto.keys()
    }

    /// All seats of the shard.
    pub fn seats(&self) -> impl Iterator<Item = SeatIndex> + use<> {
        (0..=self.config.verifiers).map(SeatIndex)
    }

    /// The decided tip on disk.
    #[must_use]
    pub fn tip(&self) -> &SealedHeader {
        self.chain.last().map_or(&self.genesis, |tip| &tip.block.header)
    }
}
