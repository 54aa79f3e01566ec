//! A whole network: shards, the root above them, and the messages between them.
//!
//! ```text
//!  Plan::draw(seed) ─► World ─► Report
//!                       │
//!        each seat      │   ShardCore ── decided ──► RootCore ── final ──► Inbox ── due ──► bank
//!                       │       ▲                                           │ ▲              │
//!                       │       └────────────── built, checked ─────────────┼─┼──────────────┘
//!        between seats  │   loss, delay, cuts, crashes      want messages ◄─┘ └─► messages, forged too
//!                       │
//!        Checker ◄──────┘   one root chain, coins to the wei, each message once and in order, evidence
//! ```
//!
//! Both cores are the production ones. What runs in place of the EVM is a bank of a few accounts: it pays within its
//! shard and across, by credits and by calls that may fail and bounce, with the lanes, cursors and sums that real headers
//! have. In every other network its accounts are contracts too: calls bring random programs that pay, call on through several
//! domains, and ask what came of it. Verifiers execute every block again and hold the header against what comes of it.
//!
//! A captured shard is one whose every seat certifies whatever its generator claims ([`Lie`]); less than a third of all
//! stake may break the root's rules beside ([`Misdeed`]).
//!
//! ```
//! let report = anfs_sim::network::run_plan(anfs_sim::network::Plan::calm(1, 2, 1));
//! assert!(report.passed() && report.operations > 100);
//! ```
//!
//! Not for: the EVM's own coins, which have tests beside the code that executes.
//!
//! spec: PROTOCOL §6, §9; Root F1–F16; Domains D9, D10, L1–L6

mod bank;
mod block;
mod check;
mod contracts;
mod crypto;
mod faults;
mod inbox;
mod lies;
mod payments;
mod plan;
mod process;
mod report;
mod root;
mod steps;
mod world;

pub use lies::Lie;
pub use plan::{Captured, Misdeed, Plan};
pub use report::{Report, Totals};

use world::World;

/// One run, drawn from a seed.
#[must_use]
pub fn run(seed: u64) -> Report {
    run_plan(Plan::draw(seed))
}

/// One run of a plan.
#[must_use]
pub fn run_plan(plan: Plan) -> Report {
    World::new(plan).run()
}

/// Many runs, one after the other, added up.
#[must_use]
pub fn swarm(seeds: impl IntoIterator<Item = u64>) -> Totals {
    let mut totals = Totals::default();
    for seed in seeds {
        totals.add(run(seed));
    }
    totals
}
