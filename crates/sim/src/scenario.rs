//! Runs that people write down: a few lines that say who fails when, and what must follow.
//!
//! ```text
//! # The generator dies, and the verifier with the most stake takes over.
//! shard 10
//! run 10s
//! at 2s kill SG
//! expect view 1 by 4s
//! expect height >= 60
//! ```
//!
//! Every run is also held to the rules of [`crate::Rule`], whatever it expects. The forms of lines are listed
//! in `docs/use/sim.md`.

mod expect;
mod lies;
mod parse;
mod timeline;
mod words;

use std::cell::RefCell;
use std::rc::Rc;

use crate::observe::Observer;
use crate::plan::Plan;
use crate::report::Report;
use crate::world::World;

use self::expect::Expectation;
use self::timeline::Timeline;

pub use self::words::parse_time_ms;

/// Longest text of a scenario.
pub const TEXT_BYTES_MAX: usize = 64 * 1024;

/// A line that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}; {remedy}")]
pub struct ScenarioError {
    /// From 1.
    pub line: usize,
    /// What is wrong.
    pub problem: String,
    /// What to write instead.
    pub remedy: String,
}

/// A run and what it must come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// The first line's comment.
    pub title: String,
    /// What happens.
    pub plan: Plan,
    expectations: Vec<Expectation>,
}

/// What a scenario came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What the run did.
    pub report: Report,
    /// How many things were expected.
    pub expected: usize,
    /// Expectations that were not met, and violations that were not expected: a line each.
    pub failures: Vec<String>,
}

impl Outcome {
    /// Whether the run was as expected.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.failures.is_empty()
    }
}

impl Scenario {
    /// Reads a scenario.
    ///
    /// # Errors
    /// Names the first line that cannot be understood, and what to write instead.
    pub fn parse(text: &str) -> Result<Self, ScenarioError> {
        parse::scenario(text)
    }

    /// Runs it.
    #[must_use]
    pub fn run(&self) -> Outcome {
        self.run_watched(None)
    }

    /// Runs it while somebody watches.
    #[must_use]
    pub fn run_watched(&self, watcher: Option<Box<dyn Observer>>) -> Outcome {
        let timeline = Rc::new(RefCell::new(Timeline::new(&self.plan)));
        let mut world = World::new(self.plan.clone());
        world.observe(Box::new(Rc::clone(&timeline)));
        watcher.into_iter().for_each(|watcher| world.observe(watcher));
        let report = world.run();
        let mut timeline = timeline.borrow_mut();
        timeline.finish(report.counts.simulated_ms);
        let unmet = self.expectations.iter().filter_map(|expectation| expectation.check(&timeline, &report));
        let mut failures: Vec<String> = unmet.collect();
        let foreseen = |rule| self.expectations.iter().any(|expectation| expectation.foresees(rule));
        let unforeseen = report.violations.iter().filter(|violation| !foreseen(violation.rule));
        failures.extend(unforeseen.map(ToString::to_string));
        drop(timeline);
        Outcome { report, expected: self.expectations.len(), failures }
    }
}
