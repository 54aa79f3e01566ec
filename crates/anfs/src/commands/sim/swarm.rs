//! Many seeds, on several threads: each run is a world of its own.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anfs_sim::swarm::{Summary, draw_with};
use anfs_sim::{Counts, Report, World};
use serde_json::json;

use super::{replay, thousandths};
use crate::cli::SimArgs;
use crate::exit::CommandError;
use crate::output::Output;
use crate::sheet::Sheet;
use crate::terminal::Style;

/// Failed seeds that are listed.
pub(super) const FAILURES_SHOWN_MAX: usize = 20;
/// Seeds between two notes of how far it is.
const NOTE_EVERY: u64 = 100;

/// What came of all seeds.
#[derive(Debug, Default)]
struct Swarm {
    summary: Summary,
    /// Seeds whose second run was another one.
    unlike: Vec<u64>,
}

pub(super) fn run(args: &SimArgs, seeds: u64, out: Output) -> Result<(), CommandError> {
    let range = range(args.first_seed, seeds)?;
    let started = Instant::now();
    let progress = Progress::of(seeds);
    let mut swarm = for_each_seed(
        range,
        args.threads,
        |seed| {
            let report = one(args, seed);
            let like = !args.twice || one(args, seed) == report;
            (report, like)
        },
        |swarm: &mut Swarm, (report, like): (Report, bool)| {
            swarm.unlike.extend((!like).then_some(report.seed));
            swarm.summary.add(report);
            progress.note(swarm.summary.runs);
        },
    );
    drop(progress);
    swarm.summary.failed.sort_by_key(|report| report.seed);
    swarm.unlike.sort_unstable();
    let rate = rate(swarm.summary.counts.events, started);
    let value = json!({
        "runs": swarm.summary.runs,
        "firstSeed": args.first_seed,
        "passed": swarm.passed(),
        "simulatedMs": swarm.summary.counts.simulated_ms,
        "events": swarm.summary.counts.events,
        "eventsPerSecond": rate,
        "sent": swarm.summary.counts.sent,
        "lost": swarm.summary.counts.lost,
        "decided": swarm.summary.counts.decided_heights,
        "fast": swarm.summary.counts.fast,
        "slow": swarm.summary.counts.slow,
        "viewsChanged": swarm.summary.counts.views_changed,
        "convictions": swarm.summary.counts.convictions,
        "recoveryMsMax": swarm.summary.recovery_ms_max,
        "injected": swarm.summary.counts.injected,
        "evidence": swarm.summary.counts.evidence,
        "traceHash": format!("{:016x}", swarm.summary.trace_hash),
        "failedSeeds": swarm.summary.failed.iter().map(|report| report.seed).collect::<Vec<_>>(),
        "unlikeSeeds": swarm.unlike,
    });
    out.print(&value, || swarm.show(args, rate, Style::stdout()))?;
    if swarm.passed() {
        return Ok(());
    }
    let (failed, unlike) = (swarm.summary.failed.len(), swarm.unlike.len());
    Err(CommandError::failed(format!(
        "{failed} of {seeds} seeds broke a rule, {unlike} ran differently twice"
    )))
}

/// So many seeds from a first one on.
pub(super) fn range(first: u64, count: u64) -> Result<Range<u64>, CommandError> {
    let end = first.checked_add(count);
    let beyond = || CommandError::Usage("--first-seed and --seeds go beyond the largest seed".into());
    Ok(first..end.ok_or_else(beyond)?)
}

/// How far a swarm is, on a terminal.
pub(super) struct Progress(Option<u64>);

impl Progress {
    /// Of so many seeds.
    pub(super) fn of(seeds: u64) -> Self {
        Self(std::io::stderr().is_terminal().then_some(seeds))
    }

    pub(super) fn note(&self, done: u64) {
        if let Self(Some(seeds)) = self
            && done.is_multiple_of(NOTE_EVERY)
        {
            eprint!("\r{done} of {seeds} seeds");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.0.is_some() {
            eprint!("\r\x1b[K");
        }
    }
}

/// Runs the seeds; each thread takes the next one that nobody has taken. What comes of them is added up one at a time.
pub(super) fn for_each_seed<T: Default + Send, R>(
    seeds: Range<u64>,
    threads: NonZeroUsize,
    run: impl Fn(u64) -> R + Sync,
    add: impl Fn(&mut T, R) + Sync,
) -> T {
    let (next, total) = (AtomicU64::new(seeds.start), Mutex::new(T::default()));
    std::thread::scope(|scope| {
        for _ in 0..threads.get() {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        break;
                    }
                    let done = run(seed);
                    add(&mut *total.lock().unwrap_or_else(std::sync::PoisonError::into_inner), done);
                }
            });
        }
    });
    total.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn one(args: &SimArgs, seed: u64) -> Report {
    World::new(draw_with(seed, args.verifiers)).run()
}

pub(super) fn rate(events: u64, started: Instant) -> u64 {
    let micros = started.elapsed().as_micros().max(1);
    u64::try_from(u128::from(events) * 1_000_000 / micros).unwrap_or(u64::MAX)
}

impl Swarm {
    fn passed(&self) -> bool {
        self.summary.failed.is_empty() && self.unlike.is_empty()
    }

    fn show(&self, args: &SimArgs, rate: u64, style: Style) -> String {
        let Counts { simulated_ms, events, fast, slow, .. } = self.summary.counts;
        let runs = self.summary.runs;
        let mut sheet = Sheet::new(style);
        let last = args.first_seed + runs.saturating_sub(1);
        sheet.heading(&format!("{runs} runs, seeds {} to {last}", args.first_seed));
        let hours = simulated_ms / 36_000;
        sheet.field("simulated", format!("{}.{:02} hours, {events} events", hours / 100, hours % 100));
        sheet.field("speed", format!("{rate} events/s on {} threads", args.threads));
        let share = (fast * 1000).checked_div(fast + slow).unwrap_or(0);
        let decided = self.summary.counts.decided_heights;
        let ratio = format!("{}.{} % fast", share / 10, share % 10);
        sheet.field("decided", format!("{decided} blocks: {fast} fast, {slow} slow, {ratio}"));
        sheet.field("views", format!("{} changed", self.summary.counts.views_changed));
        sheet.field("convictions", self.summary.counts.convictions.to_string());
        sheet.field(
            "messages",
            format!("{} sent, {} lost", self.summary.counts.sent, self.summary.counts.lost),
        );
        sheet.field("recovery", format!("{} s at most", thousandths(self.summary.recovery_ms_max)));
        sheet.field("trace hash", format!("{:016x}, all together", self.summary.trace_hash));
        sheet.heading("Injected");
        table(&mut sheet, &self.summary.counts.injected);
        sheet.heading("Evidence found");
        table(&mut sheet, &self.summary.counts.evidence);
        if self.passed() {
            let twice = if args.twice { ", and every seed ran the same twice" } else { "" };
            sheet.line(&format!("\n{}", style.green(&format!("no rule broken{twice}"))));
        }
        for report in self.summary.failed.iter().take(FAILURES_SHOWN_MAX) {
            let first = report.violations.first().map(ToString::to_string).unwrap_or_default();
            sheet.line(&format!("\n{} seed {}: {first}", style.red("✗"), report.seed));
            sheet.line(&format!("  anfs sim {} --trace out.html", replay(report.seed, args.verifiers)));
        }
        let left = self.summary.failed.len().saturating_sub(FAILURES_SHOWN_MAX);
        if left > 0 {
            sheet.line(&format!("\nand {left} more"));
        }
        for seed in self.unlike.iter().take(FAILURES_SHOWN_MAX) {
            sheet.line(&format!("\n{} seed {seed} ran differently the second time", style.red("✗")));
        }
        sheet.finish()
    }
}

pub(super) fn table(sheet: &mut Sheet, counts: &BTreeMap<&'static str, u64>) {
    if counts.is_empty() {
        sheet.line("  none");
    }
    let mut rows: Vec<_> = counts.iter().collect();
    rows.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    for (name, count) in rows {
        sheet.line(&format!("  {count:>10}  {name}"));
    }
}
