//! What one run does: who fails how and when. A plan and a commit determine a run to the last message.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::B256;
use anfs_consensus::ShardConfig;
use anfs_primitives::{BlockHash, DomainId, Epoch, Height, NetworkId, SeatIndex};

use crate::byzantine::Behaviour;
use crate::clock::{GENESIS_MS, Skew};
use crate::disk::DiskHealth;
use crate::wires::Weather;

/// Ways of a message within which eight heights are decided on a network slower than Δ_view.
const SLOW_WAYS: u64 = 400;

/// One run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// All randomness of the run follows from it.
    pub seed: u64,
    /// n_v: 1, 4, 7, 10, …
    pub verifiers: u16,
    /// Simulated time at which the run ends at the latest.
    pub duration_ms: u64,
    /// From here on the network is calm, disks are well, and crashed honest seats are back.
    pub heal_at_ms: u64,
    /// Heights that every honest seat must decide after that, for the run to count as live (and to end
    /// early); 0 when nothing is claimed.
    pub heights_after_heal: u64,
    /// The network until then.
    pub weather: Weather,
    /// The network from then on: calm, but maybe slower than Δ_view.
    pub settled: Weather,
    /// What happens when, by ascending time.
    pub events: Vec<(u64, Event)>,
    /// Seats that do not follow the protocol: at most f verifiers, and the SG.
    pub byzantine: BTreeMap<SeatIndex, Behaviour>,
    /// Clocks that differ from simulated time.
    pub skew: BTreeMap<SeatIndex, Skew>,
    /// Disks that are not what they seem, from the start.
    pub disks: BTreeMap<SeatIndex, DiskHealth>,
    /// The shard's own times.
    pub timing: Timing,
}

/// Times and depths of the shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Length of a slot.
    pub slot_ms: u64,
    /// Δ_fast.
    pub fast_timeout_ms: u64,
    /// Δ_view.
    pub view_timeout_ms: u64,
    /// W.
    pub pipeline_depth: u16,
    /// What a sliced check takes; a full one takes twice as long.
    pub check_ms: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Self { slot_ms: 100, fast_timeout_ms: 300, view_timeout_ms: 1_000, pipeline_depth: 4, check_ms: 5 }
    }
}

/// Something that happens to seats or to the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The seat's process dies; what its disk had not synced may be lost.
    Crash {
        /// Who.
        seat: SeatIndex,
    },
    /// The same, just before its n-th next action from here on.
    CrashBefore {
        /// Who.
        seat: SeatIndex,
        /// How many actions it still takes.
        actions: u32,
    },
    /// All seats die at once, and what is on the wire with them.
    CrashAll,
    /// The process starts again from its disk; a disk that has rotted is emptied first.
    Restart {
        /// Who.
        seat: SeatIndex,
    },
    /// Every dead seat starts again.
    RestartAll,
    /// Messages of these seats no longer reach those; the other way is untouched.
    Cut {
        /// Senders.
        from: BTreeSet<SeatIndex>,
        /// Recipients.
        to: BTreeSet<SeatIndex>,
    },
    /// Ends all cuts and clogs.
    Heal,
    /// Messages of these seats to those are held back for a while, then all come.
    Clog {
        /// Senders.
        from: BTreeSet<SeatIndex>,
        /// Recipients.
        to: BTreeSet<SeatIndex>,
        /// For how long.
        for_ms: u64,
    },
    /// The network becomes better or worse.
    Weather(Weather),
    /// The disk takes no more: the seat's process ends at its next write.
    DiskFull {
        /// Whose.
        seat: SeatIndex,
    },
    /// There is room again, and the process starts again if it had ended.
    DiskOk {
        /// Whose.
        seat: SeatIndex,
    },
    /// From here on the disk says that it has synced and has not.
    SyncLost {
        /// Whose.
        seat: SeatIndex,
    },
    /// What is stored rots; it shows at the next start, which needs an emptied disk.
    BitRot {
        /// Whose.
        seat: SeatIndex,
    },
}

impl Event {
    /// A name for statistics and pictures.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Crash { .. } => "crash",
            Self::CrashBefore { .. } => "crash between actions",
            Self::CrashAll => "crash of all",
            Self::Restart { .. } | Self::RestartAll => "restart",
            Self::Cut { .. } => "partition",
            Self::Heal => "heal",
            Self::Clog { .. } => "clog",
            Self::Weather(_) => "weather",
            Self::DiskFull { .. } => "disk full",
            Self::DiskOk { .. } => "disk ok",
            Self::SyncLost { .. } => "lost fsync",
            Self::BitRot { .. } => "bit rot",
        }
    }
}

impl Plan {
    /// A run without any fault.
    #[must_use]
    pub fn calm(seed: u64, verifiers: u16, duration_ms: u64) -> Self {
        Self {
            seed,
            verifiers,
            duration_ms,
            heal_at_ms: 0,
            heights_after_heal: 0,
            weather: Weather::default(),
            settled: Weather::default(),
            events: Vec::new(),
            byzantine: BTreeMap::new(),
            skew: BTreeMap::new(),
            disks: BTreeMap::new(),
            timing: Timing::default(),
        }
    }

    /// f: how many verifiers may be faulty.
    #[must_use]
    pub fn faults(&self) -> usize {
        usize::from(self.verifiers.saturating_sub(1) / 3)
    }

    /// All seats: the SG, then the verifiers.
    pub fn seats(&self) -> impl Iterator<Item = SeatIndex> + use<> {
        (0..=self.verifiers).map(SeatIndex)
    }

    /// Whether the seat follows the protocol.
    #[must_use]
    pub fn is_honest(&self, seat: SeatIndex) -> bool {
        !self.byzantine.contains_key(&seat)
    }

    /// The seat's clock.
    #[must_use]
    pub fn clock(&self, seat: SeatIndex) -> Skew {
        self.skew.get(&seat).copied().unwrap_or_default()
    }

    /// When, at the latest, honest seats decide again after [`Plan::heal_at_ms`].
    ///
    /// The last time-out before was at most as long as the time until then, give or take Δ_view; each leader in
    /// turn that is byzantine doubles it, and so does the one whose view had begun. On top of that: what
    /// seats need to hear of each other again.
    #[must_use]
    pub fn recovery_bound_ms(&self) -> u64 {
        let unable =
            self.seats().filter(|seat| !self.is_honest(*seat) || self.clock(*seat).is_wild()).count();
        let longest = self.heal_at_ms.saturating_add(2 * self.timing.view_timeout_ms);
        let patience = longest.saturating_mul(1 << unable.min(16));
        // On a slow way a height may cost as many views as it takes to outwait it.
        let ways = SLOW_WAYS * (self.settled.delay_ms + self.settled.jitter_ms);
        patience.saturating_mul(2).saturating_add(40 * self.timing.fast_timeout_ms).saturating_add(ways)
    }

    /// What the shard's group agrees on.
    #[must_use]
    pub fn config(&self, base: (Height, BlockHash)) -> ShardConfig {
        ShardConfig {
            network: NetworkId(7),
            domain: DomainId(1),
            epoch: Epoch::ZERO,
            epoch_seed: B256::repeat_byte(9),
            verifiers: self.verifiers,
            slice_redundancy: u16::try_from(self.faults() + 1).expect("f is below the number of verifiers"),
            pipeline_depth: self.timing.pipeline_depth,
            block_gas_limit: 1_000,
            genesis_time_ms: GENESIS_MS,
            slot_ms: self.timing.slot_ms,
            fast_timeout_ms: self.timing.fast_timeout_ms,
            view_timeout_ms: self.timing.view_timeout_ms,
            succession: (1..=self.verifiers).map(SeatIndex).collect(),
            base,
        }
    }
}
