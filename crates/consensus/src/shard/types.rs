//! What goes into the shard core and what comes out.

use std::collections::VecDeque;
use std::sync::Arc;

use alloy_primitives::B256;
use anfs_primitives::{
    Block, BlockHash, Certificate, CertificateKind, ChainSpec, ConsensusMessage, DomainId, Entry, Epoch,
    Fault, Height, NetworkId, RootReference, SealedHeader, SeatIndex, SignerSet, Slot, View,
};

use super::hold::Hold;
use crate::bft::{LogRecord, ViewFault};
use crate::error::ConsensusError;
use crate::evidence::Evidence;

/// What the group of one shard agrees on for one epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardConfig {
    /// Network id.
    pub network: NetworkId,
    /// Domain of the shard.
    pub domain: DomainId,
    /// Epoch of the seats.
    pub epoch: Epoch,
    /// Public randomness of the epoch: with the block hash it draws the slices (R1).
    pub epoch_seed: B256,
    /// n_v = 3f + 1.
    pub verifiers: u16,
    /// r: verifiers that check each slice on the fast path.
    pub slice_redundancy: u16,
    /// W: blocks that the SG may run ahead of certification (R8).
    pub pipeline_depth: u16,
    /// Gas limit that every header must carry.
    pub block_gas_limit: u64,
    /// Unix time of slot 0, in milliseconds.
    pub genesis_time_ms: u64,
    /// Length of a slot in milliseconds.
    pub slot_ms: u64,
    /// Δ_fast in milliseconds (R3).
    pub fast_timeout_ms: u64,
    /// Δ_view in milliseconds (R6).
    pub view_timeout_ms: u64,
    /// Who leads views 1, 2, … in turn, again from the start after the last: the verifiers by nomination
    /// stake, largest first.
    pub succession: Vec<SeatIndex>,
    /// The decided block that the epoch starts from: genesis for the first epoch.
    pub base: (Height, BlockHash),
}

impl ShardConfig {
    /// The configuration of a shard in an epoch that starts from the decided block `base`.
    ///
    /// # Panics
    /// When the spec has no such domain.
    #[must_use]
    pub fn new(
        spec: &ChainSpec,
        domain: DomainId,
        epoch: Epoch,
        epoch_seed: B256,
        base: (Height, BlockHash),
    ) -> Self {
        let shard = domain.0.checked_sub(1).and_then(|index| spec.shards.get(index as usize));
        let shard = shard.expect("a seat is configured for a domain that its chain spec has");
        let mut succession: Vec<(_, SeatIndex)> =
            shard.verifiers.iter().map(|verifier| verifier.stake).zip((1..).map(SeatIndex)).collect();
        succession.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        Self {
            network: spec.network,
            domain,
            epoch,
            epoch_seed,
            verifiers: spec.verifiers_per_shard,
            slice_redundancy: spec.slice_redundancy,
            pipeline_depth: spec.pipeline_depth,
            block_gas_limit: spec.block_gas_limit,
            genesis_time_ms: spec.genesis_time_ms,
            slot_ms: spec.slot_ms,
            fast_timeout_ms: spec.fast_timeout_ms,
            view_timeout_ms: spec.view_timeout_ms,
            succession: succession.into_iter().map(|(_, seat)| seat).collect(),
            base,
        }
    }

    /// The seat that proposes in a view. The shard stays in a view that decides, so its leader acts as SG
    /// until it fails itself or the epoch ends. spec: PROTOCOL §4
    #[must_use]
    pub fn leader(&self, view: View) -> SeatIndex {
        let Some(turn) = view.0.checked_sub(1) else { return SeatIndex::GENERATOR };
        let turn = turn % (self.succession.len().max(1) as u64);
        let turn = usize::try_from(turn).expect("less than the number of verifiers");
        self.succession.get(turn).copied().unwrap_or(SeatIndex::GENERATOR)
    }

    /// Unix time of a slot's start, in milliseconds.
    #[must_use]
    pub fn slot_start_ms(&self, slot: Slot) -> u64 {
        self.genesis_time_ms.saturating_add(slot.0.saturating_mul(self.slot_ms))
    }

    /// The slot at a Unix time in milliseconds; slot 0 before genesis.
    #[must_use]
    pub fn slot_at(&self, unix_ms: u64) -> Slot {
        Slot(unix_ms.saturating_sub(self.genesis_time_ms) / self.slot_ms)
    }

    /// How many heights above its own tip a verifier may vote for: it may lag W behind an SG that runs W
    /// ahead.
    #[must_use]
    pub fn reach(&self) -> usize {
        2 * usize::from(self.pipeline_depth) + 1
    }

    /// Checks the numbers against each other.
    ///
    /// # Errors
    /// [`ConsensusError::Config`].
    pub fn validate(&self) -> Result<(), ConsensusError> {
        let quorum = crate::bft::Quorum::new(usize::from(self.verifiers))?;
        let fail = |text: String| Err(ConsensusError::Config(text));
        let r = usize::from(self.slice_redundancy);
        if r <= quorum.faults() || r > quorum.voters() {
            return fail(format!("slice_redundancy {r} must lie between f + 1 and verifiers"));
        }
        if self.slot_ms == 0 || self.fast_timeout_ms == 0 {
            return fail("slot_ms and fast_timeout_ms must be at least 1".into());
        }
        if self.view_timeout_ms <= self.fast_timeout_ms.max(self.slot_ms) {
            return fail("view_timeout_ms must be longer than fast_timeout_ms and slot_ms".into());
        }
        let mut heirs = self.succession.clone();
        heirs.sort_unstable();
        if !heirs.iter().copied().eq((1..=self.verifiers).map(SeatIndex)) {
            return fail("succession must name each verifier once".into());
        }
        if self.pipeline_depth == 0 || self.pipeline_depth > 64 {
            return fail(format!("pipeline_depth {} must lie between 1 and 64", self.pipeline_depth));
        }
        Ok(())
    }
}

/// The decided block that the core starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// What a header on top of it must link to.
    pub parent: Parent,
    /// What decided it and the blocks below, ascending without a gap: [`ShardConfig::reach`] of them, or as
    /// many as the epoch has. None for genesis, which counts as decided fast.
    pub decided: VecDeque<Certificate>,
}

impl Anchor {
    /// The anchor that a decided header is, with the certificates up to its own.
    #[must_use]
    pub fn new(header: &SealedHeader, decided: impl IntoIterator<Item = Certificate>) -> Self {
        Self { parent: Parent::new(header), decided: decided.into_iter().collect() }
    }

    /// Whether it was decided by a FastCert. When it was not, its child starts with full checks (R3).
    #[must_use]
    pub fn fast(&self) -> bool {
        self.decided.back().is_none_or(|certificate| certificate.kind == CertificateKind::Fast)
    }

    /// The highest view that decided any of them: nobody votes in a lower one. It need not be the last
    /// one's: an old certificate may decide a height late.
    #[must_use]
    pub fn view(&self) -> View {
        self.decided.iter().map(|certificate| certificate.target.view).max().unwrap_or_default()
    }
}

/// What a header must link to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    /// Hash of the block.
    pub hash: BlockHash,
    /// Its height.
    pub height: Height,
    /// Its slot.
    pub slot: Slot,
    /// Where its hash clock ended.
    pub poh_end: B256,
    /// Its root reference.
    pub root_reference: RootReference,
}

impl Parent {
    /// The link that this header offers.
    #[must_use]
    pub fn new(header: &SealedHeader) -> Self {
        Self {
            hash: header.hash(),
            height: header.height,
            slot: header.slot,
            poh_end: header.poh_end,
            root_reference: header.root_reference,
        }
    }
}

/// How much of a block is checked. Either way the whole block is executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Depth {
    /// Hash clock and signatures of the given slices only (R2).
    Sliced,
    /// All slices (R3).
    Full,
}

/// What the core is told.
#[derive(Clone, Debug)]
pub enum Input {
    /// The node is up: begin. Must come first, and once.
    Start,
    /// Time has passed; see [`Effect::WakeAt`].
    Tick,
    /// A seat that is held back may sign from now on; see [`Hold`].
    Release,
    /// A message from another seat. `from` is what the transport authenticated.
    Message {
        /// Sender.
        from: SeatIndex,
        /// What it said.
        message: ConsensusMessage,
    },
    /// The answer to [`Effect::StartSlot`]. Its fragments have been sent.
    Built(Box<Block>),
    /// The answer to [`Effect::Check`].
    Checked {
        /// Block checked.
        block: BlockHash,
        /// As asked.
        depth: Depth,
        /// What was found.
        result: Result<(), Fault>,
    },
}

/// What the node must do, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Build a block in this slot on top of `parent`, stream its fragments, answer [`Input::Built`].
    StartSlot {
        /// Its height.
        height: Height,
        /// Its slot.
        slot: Slot,
        /// Its view.
        view: View,
        /// What it builds on: the decided tip or the block built before.
        parent: BlockHash,
    },
    /// Newly contiguous entries of a block that is still in the making: execute them ahead, on the state
    /// after `parent`. They are claims until a [`Effect::Check`] names the block: compare with its body.
    Entries {
        /// Height of the block.
        height: Height,
        /// Slot of the block.
        slot: Slot,
        /// View of the block.
        view: View,
        /// What it builds on.
        parent: BlockHash,
        /// Root reference of the block, which may not be known here yet, or be none.
        root_reference: RootReference,
        /// Position of the first entry; continues where the last such effect ended, or is 0.
        first_entry: u32,
        /// The entries.
        entries: Vec<Entry>,
    },
    /// Check and execute this block, answer [`Input::Checked`]. The body matches the header's entries
    /// root; whatever else the header claims is yours to check. The parent was decided, or came in an
    /// earlier `Check` (or was built here). While the root reference is not known here, the answer waits.
    Check {
        /// The block.
        block: Arc<Block>,
        /// How much of it.
        depth: Depth,
        /// Slice indices whose hash clock and signatures are to be checked. Empty: execute only.
        slices: SignerSet,
    },
    /// Forget what was executed ahead.
    Drop(Unneeded),
    /// Write this to the log; on disk before any later [`Effect::Send`] or [`Effect::Broadcast`].
    Persist(LogRecord),
    /// Send to one seat.
    Send {
        /// Recipient.
        to: SeatIndex,
        /// The message.
        message: ConsensusMessage,
    },
    /// Send to every other seat of the shard.
    Broadcast(ConsensusMessage),
    /// Send up to [`SERVE_BLOCKS_MAX`](crate::shard::SERVE_BLOCKS_MAX) decided blocks from this height on,
    /// ascending, each as [`ConsensusMessage::Block`]; nothing when there are none.
    ServeBlocks {
        /// Who asked, or is seen to lag.
        to: SeatIndex,
        /// First height.
        from: Height,
    },
    /// The block is decided: heights come without gaps. Execute it if that has not been done, compare the
    /// roots, store it.
    Decided {
        /// The block.
        block: Arc<Block>,
        /// A Fast or Commit certificate.
        certificate: Certificate,
    },
    /// Proof of misbehaviour. Once for each (height, view, offender, kind).
    Evidence(Evidence),
    /// A peer broke the protocol in a way that proves nothing to others: lower its score.
    Penalise {
        /// Who.
        seat: SeatIndex,
        /// What it did.
        offence: Offence,
    },
    /// Send [`Input::Tick`] at this Unix time in milliseconds, if nothing comes before; replaces the
    /// previous one.
    WakeAt(u64),
}

/// What no longer needs to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unneeded {
    /// Entries executed ahead for a block in the making, which is not to be, or starts again from entry 0.
    Stream {
        /// Height of the block.
        height: Height,
        /// View of the block.
        view: View,
        /// What it builds on.
        parent: BlockHash,
    },
    /// A block given in [`Effect::Check`] that will not be decided.
    Block(BlockHash),
}

/// A peer's breach of the protocol that is no proof for third parties.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Offence {
    /// Not a seat of this shard, or not one that may send this.
    #[error("sent what its seat may not send")]
    Role,
    /// Another network, domain or epoch.
    #[error("sent a message of another network, domain or epoch")]
    Foreign,
    /// A signature that does not verify.
    #[error("sent a bad signature")]
    Signature,
    /// A certificate that does not verify.
    #[error("sent a bad certificate")]
    Certificate,
    /// A signed header that breaks a rule which needs no execution.
    #[error("proposed a malformed header: {0}")]
    Header(&'static str),
    /// Entries or a body that the header does not commit to.
    #[error("sent entries that the header does not commit to")]
    Body,
    /// More requests than the limit.
    #[error("asks too often")]
    Flood,
    /// A view change or opening of a view that breaks the rules.
    #[error("sent a view change that {0}")]
    View(ViewFault),
}

/// Why nothing is being decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stall {
    /// Nothing was decided for a long time: more than f verifiers are silent, or leaders fail in a row.
    NoProgress {
        /// Unix time of the last decision (or start), in milliseconds.
        since_ms: u64,
    },
}

/// For operators: where the shard stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardStatus {
    /// Seat of this node.
    pub seat: Option<SeatIndex>,
    /// Acting sequence generator.
    pub acting: SeatIndex,
    /// Current view.
    pub view: View,
    /// Whether the view is open: its leader has shown the promises of a quorum, or it is the first.
    pub view_open: bool,
    /// Views entered since start.
    pub views_changed: u64,
    /// Convictions (R5) seen since start.
    pub convictions: u64,
    /// Highest decided block.
    pub certified: Height,
    /// Its hash.
    pub certified_hash: BlockHash,
    /// Highest block known to be proposed.
    pub proposed: Height,
    /// Highest height that any seat has claimed to be decided or in the making.
    pub seen: Height,
    /// Blocks decided by a FastCert since start.
    pub fast: u64,
    /// Blocks decided by a CommitCert since start.
    pub slow: u64,
    /// Blocks decided by catch-up since start.
    pub synced: u64,
    /// Whether the next height is on the fast path.
    pub fast_path: bool,
    /// The last fault that this node found or a verifier signed, and where.
    pub last_fault: Option<(Height, Fault)>,
    /// Why nothing is being decided, if so.
    pub stalled: Option<Stall>,
    /// Why this seat signs nothing, if so.
    pub hold: Option<Hold>,
    /// Pieces of evidence found since start.
    pub evidence: u64,
}
