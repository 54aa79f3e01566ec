//! `anfs sim --network`: whole networks, one seed or many.

use std::time::Instant;

use anfs_sim::network::{Report, Totals, run};
use serde_json::{Value, json};

use super::swarm::{FAILURES_SHOWN_MAX, Progress, for_each_seed, range, rate, table};
use super::thousandths;
use crate::cli::SimArgs;
use crate::exit::CommandError;
use crate::output::Output;
use crate::sheet::Sheet;
use crate::terminal::Style;

/// What came of all seeds.
#[derive(Debug, Default)]
struct Networks {
    totals: Totals,
    /// Seeds whose second run was another one.
    unlike: Vec<u64>,
}

pub(super) fn command(args: &SimArgs, out: Output) -> Result<(), CommandError> {
    let (first, count) = args.seeds.map_or((args.seed, 1), |seeds| (args.first_seed, seeds));
    let range = range(first, count)?;
    let started = Instant::now();
    let progress = Progress::of(count);
    let mut done = for_each_seed(
        range,
        args.threads,
        |seed| {
            let report = run(seed);
            let like = !args.twice || run(seed) == report;
            (report, like)
        },
        |done: &mut Networks, (report, like): (Report, bool)| {
            done.unlike.extend((!like).then_some(report.seed));
            done.totals.add(report);
            progress.note(done.totals.runs);
        },
    );
    drop(progress);
    done.totals.failed.sort_by_key(|report| report.seed);
    done.unlike.sort_unstable();
    let rate = rate(done.totals.sum.steps, started);
    out.print(&done.json(first, rate), || done.show(first, rate, args, Style::stdout()))?;
    match (done.totals.failed.len(), done.unlike.len()) {
        (0, 0) => Ok(()),
        (failed, unlike) => Err(CommandError::failed(format!(
            "{failed} of {count} networks broke a rule, {unlike} ran differently twice"
        ))),
    }
}

impl Networks {
    fn json(&self, first: u64, rate: u64) -> Value {
        let sum = &self.totals.sum;
        let failures = self.totals.failed.iter();
        json!({
            "runs": self.totals.runs,
            "firstSeed": first,
            "passed": self.totals.failed.is_empty() && self.unlike.is_empty(),
            "simulatedMs": sum.simulated_ms,
            "steps": sum.steps,
            "stepsPerSecond": rate,
            "shardBlocks": sum.shard_blocks,
            "rootBlocks": sum.root_blocks,
            "rootViewsFailed": sum.root_views,
            "operations": sum.operations,
            "messages": sum.messages,
            "bounces": sum.bounces,
            "contractCalls": sum.calls,
            "answers": sum.answers,
            "settledMsMax": self.totals.settled_ms_max,
            "injected": sum.faults,
            "evidence": sum.evidence,
            "traceHash": format!("{:016x}", sum.trace_hash),
            "failures": failures.map(|it| json!({ "seed": it.seed, "violations": it.violations })).collect::<Vec<_>>(),
            "unlikeSeeds": self.unlike,
        })
    }

    fn show(&self, first: u64, rate: u64, args: &SimArgs, style: Style) -> String {
        let (sum, runs) = (&self.totals.sum, self.totals.runs);
        let mut sheet = Sheet::new(style);
        if runs == 1 {
            sheet.heading(&format!("Network of seed {first}"));
        } else {
            sheet.heading(&format!("{runs} networks, seeds {first} to {}", first + runs.saturating_sub(1)));
        }
        sheet.field("simulated", format!("{} s, {} steps", thousandths(sum.simulated_ms), sum.steps));
        sheet.field("speed", format!("{rate} steps/s on {} threads", args.threads));
        sheet.field("final", format!("{} shard blocks, {} root blocks", sum.shard_blocks, sum.root_blocks));
        sheet.field("root's views", format!("{} failed", sum.root_views));
        sheet.field(
            "across shards",
            format!("{} operations, {} messages, {} bounces", sum.operations, sum.messages, sum.bounces),
        );
        sheet.field("contracts", format!("{} calls, {} answered", sum.calls, sum.answers));
        let settled = thousandths(self.totals.settled_ms_max);
        sheet.field("settled", format!("{settled} s at most after the last payment"));
        sheet.field("trace hash", format!("{:016x}", sum.trace_hash));
        sheet.heading("Injected");
        table(&mut sheet, &sum.faults);
        sheet.heading("Evidence found");
        table(&mut sheet, &sum.evidence);
        if self.totals.failed.is_empty() && self.unlike.is_empty() {
            let twice = if args.twice { ", and every seed ran the same twice" } else { "" };
            let good = format!("no rule broken, every coin accounted for{twice}");
            sheet.line(&format!("\n{}", style.green(&good)));
        }
        for report in self.totals.failed.iter().take(FAILURES_SHOWN_MAX) {
            let words = report.violations.join("; ");
            sheet.line(&format!("\n{} seed {}: {words}", style.red("✗"), report.seed));
        }
        for seed in self.unlike.iter().take(FAILURES_SHOWN_MAX) {
            sheet.line(&format!("\n{} seed {seed} ran differently the second time", style.red("✗")));
        }
        sheet.finish()
    }
}
