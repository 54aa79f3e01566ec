//! What happens in a run, as told to those who watch it.

use std::sync::Arc;

use anfs_consensus::{Evidence, Offence};
use anfs_primitives::{
    BlockHash, CertificateKind, ConsensusMessage, Height, SeatIndex, SignedVote, Slot, View,
};

use crate::plan::Event;

/// Something that happened.
#[derive(Clone, Debug)]
pub enum TraceEvent {
    /// A message left a seat. It arrives once for each time given: never, when it is lost.
    Sent {
        /// Sender.
        from: SeatIndex,
        /// Recipient.
        to: SeatIndex,
        /// The message.
        message: Arc<ConsensusMessage>,
        /// When it will arrive, in simulated milliseconds; none when it is lost.
        arrives_ms: Option<u64>,
    },
    /// A message reached a living seat.
    Delivered {
        /// Sender.
        from: SeatIndex,
        /// Recipient.
        to: SeatIndex,
        /// The message.
        message: Arc<ConsensusMessage>,
    },
    /// A seat starts to build a block.
    Building {
        /// Who.
        seat: SeatIndex,
        /// Height of the block.
        height: Height,
        /// Its slot.
        slot: Slot,
        /// Its view.
        view: View,
    },
    /// A seat wrote a vote to its log: it is about to send it.
    Voted {
        /// The vote.
        vote: SignedVote,
    },
    /// A seat decided a block.
    Decided {
        /// Who.
        seat: SeatIndex,
        /// Height of the block.
        height: Height,
        /// Its hash.
        block: BlockHash,
        /// What decided it.
        kind: CertificateKind,
        /// In which view.
        view: View,
        /// Who proposed it.
        proposer: SeatIndex,
    },
    /// A seat went to another view, or the view it is in was opened.
    View {
        /// Who.
        seat: SeatIndex,
        /// The view.
        view: View,
        /// Its leader.
        leader: SeatIndex,
        /// Whether it is open.
        open: bool,
    },
    /// A seat found a proof of misbehaviour.
    Evidence {
        /// Who found it.
        by: SeatIndex,
        /// What it found.
        evidence: Arc<Evidence>,
    },
    /// A seat thinks less of another.
    Penalised {
        /// Who thinks so.
        by: SeatIndex,
        /// Of whom.
        seat: SeatIndex,
        /// Why.
        offence: Offence,
    },
    /// A seat's process ended.
    Crashed {
        /// Whose.
        seat: SeatIndex,
        /// Why.
        why: &'static str,
    },
    /// A seat's process started again.
    Restarted {
        /// Whose.
        seat: SeatIndex,
        /// The decided height that its disk still had.
        height: Height,
        /// Whether its disk had been emptied.
        emptied: bool,
    },
    /// Something of the plan took effect.
    Happened(Event),
    /// The network is calm and everything mended from here on.
    Healed,
    /// A checker objects.
    Violated {
        /// The rule and what broke it.
        text: String,
    },
}

/// Watches a run. It cannot influence it.
pub trait Observer {
    /// Called for everything that happens, in order, with the simulated time.
    fn on(&mut self, at_ms: u64, event: &TraceEvent);
}
