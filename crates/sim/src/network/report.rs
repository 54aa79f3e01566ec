//! What came of one run, and of many.

use std::collections::BTreeMap;

use alloy_primitives::U256;

/// What came of one run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Its seed.
    pub seed: u64,
    /// The rules that were broken.
    pub violations: Vec<String>,
    /// Transactions in final blocks of honest shards that crossed to another shard.
    pub operations: u64,
    /// Messages that final blocks of honest shards have consumed, each once.
    pub messages: u64,
    /// Calls among them that failed and went back.
    pub bounces: u64,
    /// Calls with programs that final blocks have sent, contracts' own among them.
    pub calls: u64,
    /// Results of such calls that their senders have taken.
    pub answers: u64,
    /// Results that nobody waited for.
    pub unasked: u64,
    /// Final shard blocks.
    pub shard_blocks: u64,
    /// Final root blocks.
    pub root_blocks: u64,
    /// Messages that the root has consumed.
    pub root_messages: u64,
    /// Coins issued since genesis, in wei.
    pub issued: U256,
    /// Views of the root that failed, at the seat that met most of them.
    pub root_views: u64,
    /// Faults by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// Evidence by kind.
    pub evidence: BTreeMap<&'static str, u64>,
    /// Answers to requests for messages that were refused.
    pub refused: u64,
    /// Coins that a captured shard has taken from others, in wei.
    pub loot: U256,
    /// The most that it may take: its coins at genesis, and what was sent to it.
    pub loot_max: U256,
    /// Simulated time.
    pub simulated_ms: u64,
    /// From the end of all payments until everything was consumed and final.
    pub settled_ms: Option<u64>,
    /// Steps of all cores.
    pub steps: u64,
    /// Follows from everything that happened.
    pub trace_hash: u64,
}

impl Report {
    /// Whether no rule was broken.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.violations.is_empty()
    }
}

/// What came of many runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Runs.
    pub runs: u64,
    /// The sum of all.
    pub sum: Report,
    /// Longest time until a network had settled.
    pub settled_ms_max: u64,
    /// Runs that broke a rule.
    pub failed: Vec<Report>,
}

impl Totals {
    /// Adds a run.
    pub fn add(&mut self, report: Report) {
        self.runs += 1;
        let sum = &mut self.sum;
        sum.operations += report.operations;
        sum.messages += report.messages;
        sum.bounces += report.bounces;
        sum.calls += report.calls;
        sum.answers += report.answers;
        sum.unasked += report.unasked;
        sum.shard_blocks += report.shard_blocks;
        sum.root_blocks += report.root_blocks;
        sum.root_messages += report.root_messages;
        sum.issued += report.issued;
        sum.root_views += report.root_views;
        sum.refused += report.refused;
        sum.simulated_ms += report.simulated_ms;
        sum.steps += report.steps;
        sum.trace_hash ^= report.trace_hash.rotate_left(u32::try_from(report.seed % 64).expect("below 64"));
        for (to, from) in [(&mut sum.faults, &report.faults), (&mut sum.evidence, &report.evidence)] {
            for (kind, count) in from {
                *to.entry(kind).or_default() += count;
            }
        }
        self.settled_ms_max = self.settled_ms_max.max(report.settled_ms.unwrap_or_default());
        if !report.passed() {
            self.failed.push(report);
        }
    }
}
