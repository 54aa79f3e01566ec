//! What came of many runs.

use std::collections::BTreeMap;

use crate::report::Report;

/// What came of many runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Runs.
    pub runs: u64,
    /// Simulated time of all.
    pub simulated_ms: u64,
    /// Inputs taken by seats.
    pub events: u64,
    /// Messages sent.
    pub sent: u64,
    /// Messages lost.
    pub lost: u64,
    /// Faults by kind.
    pub injected: BTreeMap<&'static str, u64>,
    /// Evidence by kind.
    pub evidence: BTreeMap<&'static str, u64>,
    /// Highest views, summed up.
    pub views_changed: u64,
    /// Blocks convicted.
    pub convictions: u64,
    /// Heights decided by a FastCert.
    pub fast: u64,
    /// Heights decided by a CommitCert.
    pub slow: u64,
    /// Highest decided heights, summed up.
    pub decided_heights: u64,
    /// Longest time from the healing until all had decided again.
    pub recovery_ms_max: u64,
    /// All trace hashes in one, whatever the order of the runs.
    pub trace_hash: u64,
    /// Runs in which a rule was broken.
    pub failed: Vec<Report>,
}

impl Summary {
    /// Adds a run.
    pub fn add(&mut self, report: Report) {
        self.runs += 1;
        self.simulated_ms += report.simulated_ms;
        self.events += report.events;
        self.sent += report.sent;
        self.lost += report.lost;
        self.views_changed += report.views_changed;
        self.convictions += report.convictions;
        self.fast += report.fast;
        self.slow += report.slow;
        self.decided_heights += report.decided_heights;
        self.recovery_ms_max = self.recovery_ms_max.max(report.recovery_ms.unwrap_or_default());
        self.trace_hash ^= report.trace_hash.rotate_left(u32::try_from(report.seed % 64).expect("below 64"));
        for (kind, count) in &report.injected {
            *self.injected.entry(kind).or_default() += count;
        }
        for (kind, count) in &report.evidence {
            *self.evidence.entry(kind).or_default() += count;
        }
        if !report.passed() {
            self.failed.push(report);
        }
    }

    /// Adds the runs of another summary: seeds may run on several threads.
    pub fn merge(&mut self, other: Self) {
        self.runs += other.runs;
        self.simulated_ms += other.simulated_ms;
        self.events += other.events;
        self.sent += other.sent;
        self.lost += other.lost;
        self.views_changed += other.views_changed;
        self.convictions += other.convictions;
        self.fast += other.fast;
        self.slow += other.slow;
        self.decided_heights += other.decided_heights;
        self.recovery_ms_max = self.recovery_ms_max.max(other.recovery_ms_max);
        self.trace_hash ^= other.trace_hash;
        for (kind, count) in other.injected {
            *self.injected.entry(kind).or_default() += count;
        }
        for (kind, count) in other.evidence {
            *self.evidence.entry(kind).or_default() += count;
        }
        self.failed.extend(other.failed);
    }
}
