//! What came of many runs.

use crate::report::{Counts, Report};

/// What came of many runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Runs.
    pub runs: u64,
    /// What happened in all of them.
    pub counts: Counts,
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
        self.counts.add(&report.counts);
        self.recovery_ms_max = self.recovery_ms_max.max(report.recovery_ms.unwrap_or_default());
        self.trace_hash ^= report.trace_hash.rotate_left(u32::try_from(report.seed % 64).expect("below 64"));
        if !report.passed() {
            self.failed.push(report);
        }
    }

    /// Adds the runs of another summary: seeds may run on several threads.
    pub fn merge(&mut self, other: Self) {
        self.runs += other.runs;
        self.counts.add(&other.counts);
        self.recovery_ms_max = self.recovery_ms_max.max(other.recovery_ms_max);
        self.trace_hash ^= other.trace_hash;
        self.failed.extend(other.failed);
    }
}
