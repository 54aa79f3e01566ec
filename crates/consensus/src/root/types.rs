//! What goes into the root core and what comes out.

use std::sync::Arc;

use anfs_crypto::outbox::LaneBatch;
use anfs_primitives::{
    CertifiedRootBlock, DomainId, Height, RootExecution, RootHash, RootMessage, RootProposal, RootSeat,
    RootTally, ShardReference, SignedRootTimeout, View,
};
use borsh::{BorshDeserialize, BorshSerialize};

use super::inbound::InboundWant;
use super::log::RootLogRecord;
use super::state::{ReferenceFault, RootFault};

/// What the core is told.
#[derive(Clone, Debug)]
pub enum RootInput {
    /// The node is up: begin. Must come first, and once.
    Start,
    /// Time has passed; see [`RootEffect::WakeAt`].
    Tick,
    /// A message from another seat. `from` is what the transport authenticated.
    Message {
        /// Sender.
        from: RootSeat,
        /// What it said.
        message: RootMessage,
    },
    /// The own shard has decided this block. In the order of heights; what is known is passed over.
    Certified(ShardReference),
    /// The node has executed this final root block: the newest one, each once, and the newest on disk again after a
    /// restart. Until then the seat signs nothing for the next height but time-outs, and no later block becomes final.
    /// Genesis needs none.
    Executed {
        /// Height of the block.
        height: Height,
        /// What it came to.
        execution: Box<RootExecution>,
    },
    /// All messages to the root of one block that [`RootEffect::WantInbound`] has asked for, verified.
    Inbound {
        /// The shard.
        source: DomainId,
        /// Height of its block.
        height: Height,
        /// The messages.
        batch: Arc<LaneBatch>,
    },
}

/// What the node must do, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RootEffect {
    /// Write this to the log; on disk before any later [`RootEffect::Send`] or [`RootEffect::Broadcast`].
    Persist(RootLogRecord),
    /// Send to one seat.
    Send {
        /// Recipient.
        to: RootSeat,
        /// The message.
        message: RootMessage,
    },
    /// Send to every other seat of the network.
    Broadcast(RootMessage),
    /// The block is final, with every shard block that it names: heights come without gaps. It is to be executed; what
    /// that comes to is wanted as [`RootInput::Executed`].
    Final {
        /// The block.
        block: Arc<CertifiedRootBlock>,
    },
    /// Send up to [`ROOT_SERVE_MAX`](super::ROOT_SERVE_MAX) final root blocks from this height on, ascending, each as
    /// [`RootMessage::Block`]; nothing when there are none.
    ServeBlocks {
        /// Who asked, or is seen to lag.
        to: RootSeat,
        /// First height.
        from: Height,
    },
    /// Give the own shard's decided blocks from this height on as [`RootInput::Certified`], as many as there are but
    /// not more than [`OWN_REFERENCES_MAX`](super::OWN_REFERENCES_MAX); those decided later follow by themselves.
    WantCertified {
        /// First height.
        from: Height,
    },
    /// Fetch the messages of a final block to the root, hold them against [`InboundWant::verify`], and give them as
    /// [`RootInput::Inbound`]. Ask until they come, or until the root has consumed them.
    WantInbound(InboundWant),
    /// Proof of misbehaviour. Once for each (height, view, offender, kind).
    Evidence(RootEvidence),
    /// A peer broke the protocol in a way that proves nothing to others: lower its score.
    Penalise {
        /// Who.
        seat: RootSeat,
        /// What it did.
        offence: RootOffence,
    },
    /// Send [`RootInput::Tick`] at this Unix time in milliseconds, if nothing comes before; replaces the
    /// previous one.
    WakeAt(u64),
}

/// Something that anyone with the seats' public keys can check, and that an honest seat or shard never does.
///
/// The signatures were verified before the value was made.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum RootEvidence {
    /// One leader proposed two blocks in one (height, view).
    Proposals {
        /// Its seat.
        leader: RootSeat,
        /// The one met first.
        first: Box<RootProposal>,
        /// The other.
        second: Box<RootProposal>,
    },
    /// One seat voted for two blocks in one (height, view), in votes of one kind.
    Votes {
        /// Its vote met first.
        first: Box<RootTally>,
        /// The other.
        second: Box<RootTally>,
    },
    /// One seat left one view twice, naming two views.
    Timeouts {
        /// The one met first.
        first: Box<SignedRootTimeout>,
        /// The other.
        second: Box<SignedRootTimeout>,
    },
    /// A shard's verifiers certified a block that cannot be: they are captured. With the final root blocks up to
    /// `height`, anyone can repeat the judgement. None of the shard's blocks become final any more.
    Overdrawn {
        /// The certified block.
        reference: Box<ShardReference>,
        /// The root block on top of which it was judged.
        height: Height,
    },
}

impl RootEvidence {
    /// The seat that misbehaved; `None` when it is a shard.
    #[must_use]
    pub fn offender(&self) -> Option<RootSeat> {
        match self {
            Self::Proposals { leader, .. } => Some(*leader),
            Self::Votes { first, .. } => {
                first.seats.iter().next().map(|seat| RootSeat { domain: first.domain, seat })
            }
            Self::Timeouts { first, .. } => Some(first.signer),
            Self::Overdrawn { .. } => None,
        }
    }
}

/// A peer's breach of the protocol that is no proof for third parties.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RootOffence {
    /// Not a seat of this network, or not one that may send this.
    #[error("sent what its seat may not send")]
    Role,
    /// Another network or epoch.
    #[error("sent a message of another network or epoch")]
    Foreign,
    /// A signature that does not verify.
    #[error("sent a bad signature")]
    Signature,
    /// A certificate that does not verify, or is short of stake.
    #[error("sent a bad certificate")]
    Certificate,
    /// A proposal that its time-outs do not allow.
    #[error("proposed what the time-outs before its view do not allow")]
    Opening,
    /// A block that is not a valid next one.
    #[error("sent an invalid root block: {0}")]
    Block(RootFault),
    /// A block that tells of another execution of its parent than this seat's.
    #[error("proposed a block whose parent came to something else here")]
    Execution,
    /// A block whose timestamp is too far ahead.
    #[error("proposed a block with a timestamp too far ahead")]
    Early,
    /// A report of what cannot become final.
    #[error("reported a shard block that cannot become final: {0}")]
    Report(ReferenceFault),
    /// More requests than the limit.
    #[error("asks too often")]
    Flood,
}

/// For operators: where the root stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootStatus {
    /// Seat of this node.
    pub seat: Option<RootSeat>,
    /// Newest final root block.
    pub height: Height,
    /// Its hash.
    pub hash: RootHash,
    /// View of the height above it.
    pub view: View,
    /// Whether it is known what executing the newest final block came to.
    pub executed: bool,
    /// Whether this seat has left that view.
    pub left: bool,
    /// Who leads it.
    pub leader: RootSeat,
    /// Highest height that any seat has claimed to be final or in the making.
    pub seen: Height,
    /// Blocks of the own shard that are decided and not final.
    pub waiting: usize,
    /// Views entered since start, beyond the first of each height.
    pub views_changed: u64,
    /// Root blocks decided by votes since start.
    pub decided: u64,
    /// Root blocks fetched from others since start.
    pub synced: u64,
    /// Pieces of evidence found since start.
    pub evidence: u64,
    /// Unix time of the last decision (or start) in milliseconds, when it is long past.
    pub stalled_since_ms: Option<u64>,
}
