//! What came of a run.

use std::collections::BTreeMap;
use std::fmt;

use anfs_primitives::SeatIndex;

/// What a checker holds the shard to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// Two honest seats never decide different blocks, and no two could be certified.
    Agreement,
    /// What is decided is valid and extends its parent.
    Validity,
    /// An honest seat never signs two things that contradict each other, across restarts.
    Contradiction,
    /// An honest seat never signs in a view that it has promised to have left, and its promise tells what
    /// it signed.
    Promise,
    /// Nothing signed leaves a seat before it is on its disk.
    WriteAhead,
    /// A certificate that an honest seat decides by verifies for a stranger.
    Certificate,
    /// After the network heals all honest seats decide again, within the bound.
    Liveness,
    /// What a seat keeps is bounded.
    Memory,
    /// A core rebuilt from its disk is the core that died.
    Replay,
    /// Evidence proves what it says, and never accuses an honest seat.
    Evidence,
    /// A core neither fails nor asks its node for what the contract excludes.
    Contract,
}

/// A rule was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Simulated time.
    pub at_ms: u64,
    /// Where it was seen, when at one seat.
    pub seat: Option<SeatIndex>,
    /// The rule.
    pub rule: Rule,
    /// What happened.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at {} ms", self.rule, self.at_ms)?;
        if let Some(seat) = self.seat {
            write!(f, " by seat {seat}")?;
        }
        write!(f, ": {}", self.text)
    }
}

/// What happened, counted: in one run, or in many together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Simulated time at the end.
    pub simulated_ms: u64,
    /// Inputs taken by seats.
    pub events: u64,
    /// Messages sent, one for each recipient.
    pub sent: u64,
    /// Messages lost on the way.
    pub lost: u64,
    /// Faults that took effect, by kind.
    pub injected: BTreeMap<&'static str, u64>,
    /// Pieces of evidence that honest seats found, by kind.
    pub evidence: BTreeMap<&'static str, u64>,
    /// The highest view in which anything was decided or opened by an honest seat; of many runs, the sum.
    pub views_changed: u64,
    /// Blocks convicted.
    pub convictions: u64,
    /// Heights that were first decided by a FastCert.
    pub fast: u64,
    /// Heights that were first decided by a CommitCert.
    pub slow: u64,
    /// The highest decided height; of many runs, the sum.
    pub decided_heights: u64,
}

impl Counts {
    /// Adds what was counted elsewhere.
    pub fn add(&mut self, other: &Self) {
        self.simulated_ms += other.simulated_ms;
        self.events += other.events;
        self.sent += other.sent;
        self.lost += other.lost;
        self.views_changed += other.views_changed;
        self.convictions += other.convictions;
        self.fast += other.fast;
        self.slow += other.slow;
        self.decided_heights += other.decided_heights;
        for (sum, found) in [(&mut self.injected, &other.injected), (&mut self.evidence, &other.evidence)] {
            for (kind, count) in found {
                *sum.entry(kind).or_default() += count;
            }
        }
    }
}

/// What came of one run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Seed of the plan.
    pub seed: u64,
    /// Verifiers.
    pub verifiers: u16,
    /// A hash over everything that happened: equal for equal runs.
    pub trace_hash: u64,
    /// What happened.
    pub counts: Counts,
    /// Penalties that honest seats gave to honest seats, all harmless ones.
    pub penalties: u64,
    /// From the healing until every honest seat had decided what the plan asks for; none if it asks for
    /// nothing or that did not happen.
    pub recovery_ms: Option<u64>,
    /// Broken rules; empty in a good run.
    pub violations: Vec<Violation>,
}

impl Report {
    /// Whether no rule was broken.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.violations.is_empty()
    }
}
