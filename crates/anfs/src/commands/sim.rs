//! `anfs sim`: one run, a described run, or many.

mod network;
mod swarm;

use std::cell::RefCell;
use std::fs;
use std::path::Path;
use std::rc::Rc;

use anfs_primitives::header::VERIFIERS_MAX;
use anfs_sim::scenario::{TEXT_BYTES_MAX, parse_time_ms};
use anfs_sim::{Observer, Plan, Recorder, Report, Scenario, Window, World};
use eyre::WrapErr as _;
use serde_json::{Value, json};

use crate::cli::SimArgs;
use crate::exit::CommandError;
use crate::output::Output;
use crate::sheet::Sheet;
use crate::terminal::Style;

pub(crate) fn run(args: &SimArgs, out: Output) -> Result<(), CommandError> {
    if args.verifiers.is_some_and(|n| n % 3 != 1 || usize::from(n) > VERIFIERS_MAX) {
        let words = format!("--verifiers must be 3f + 1 and at most {VERIFIERS_MAX}: 4, 7, 10, …");
        return Err(CommandError::Usage(words));
    }
    if args.network {
        return network::command(args, out);
    }
    if let Some(seeds) = args.seeds {
        return swarm::run(args, seeds, out);
    }
    let job = Job::new(args)?;
    let window = window(args)?;
    let recorder = args.trace.as_ref().map(|_| job.recorder(window.unwrap_or(Window::ALL)));
    let done = job.run(recorder.clone());
    if args.twice && job.run(None).report != done.report {
        return Err(CommandError::failed(
            "two runs of the same seed differ: the simulation is not deterministic",
        ));
    }
    if let (Some(path), Some(recorder)) = (&args.trace, recorder) {
        write_trace(path, &job, &done, recorder, window.is_some())?;
    }
    let value = done.json(&job.name);
    out.print(&value, || show(&job, &done, args, Style::stdout()))?;
    match done.failures.len() {
        0 => Ok(()),
        1 => Err(CommandError::failed("1 thing is not as it must be")),
        count => Err(CommandError::failed(format!("{count} things are not as they must be"))),
    }
}

/// What is to be run.
#[derive(Debug)]
struct Job {
    name: String,
    title: String,
    plan: Plan,
    scenario: Option<Scenario>,
}

/// What came of it.
#[derive(Debug)]
struct Done {
    report: Report,
    /// Expectations, when it was a scenario.
    expected: Option<usize>,
    failures: Vec<String>,
}

impl Job {
    fn new(args: &SimArgs) -> Result<Self, CommandError> {
        let Some(path) = &args.scenario else {
            let plan = anfs_sim::swarm::draw_with(args.seed, args.verifiers);
            let title = format!("Seed {}", args.seed);
            return Ok(Self { name: format!("seed {}", args.seed), title, plan, scenario: None });
        };
        let shown = path.display();
        let length = fs::metadata(path).wrap_err_with(|| format!("cannot read {shown}"))?.len();
        if length > TEXT_BYTES_MAX as u64 {
            return Err(CommandError::Usage(format!(
                "{shown} is longer than {TEXT_BYTES_MAX} bytes: no scenario"
            )));
        }
        let text = fs::read_to_string(path).wrap_err_with(|| format!("cannot read {shown}"))?;
        let scenario =
            Scenario::parse(&text).map_err(|error| CommandError::Usage(format!("{shown}: {error}")))?;
        let title = if scenario.title.is_empty() { shown.to_string() } else { scenario.title.clone() };
        Ok(Self { name: shown.to_string(), title, plan: scenario.plan.clone(), scenario: Some(scenario) })
    }

    fn recorder(&self, window: Window) -> Rc<RefCell<Recorder>> {
        Rc::new(RefCell::new(Recorder::new(&self.plan, window)))
    }

    fn run(&self, recorder: Option<Rc<RefCell<Recorder>>>) -> Done {
        let watcher = recorder.map(|recorder| Box::new(recorder) as Box<dyn Observer>);
        if let Some(scenario) = &self.scenario {
            let outcome = scenario.run_watched(watcher);
            return Done {
                report: outcome.report,
                expected: Some(outcome.expected),
                failures: outcome.failures,
            };
        }
        let mut world = World::new(self.plan.clone());
        watcher.into_iter().for_each(|watcher| world.observe(watcher));
        let report = world.run();
        let failures = report.violations.iter().map(ToString::to_string).collect();
        Done { report, expected: None, failures }
    }
}

impl Done {
    fn json(&self, name: &str) -> Value {
        let report = &self.report;
        let violations: Vec<Value> = report
            .violations
            .iter()
            .map(|broken| {
                json!({
                    "atMs": broken.at_ms,
                    "seat": broken.seat.map(|seat| seat.0),
                    "rule": format!("{:?}", broken.rule),
                    "text": broken.text,
                })
            })
            .collect();
        json!({
            "run": name,
            "passed": self.failures.is_empty(),
            "seed": report.seed,
            "verifiers": report.verifiers,
            "simulatedMs": report.counts.simulated_ms,
            "traceHash": format!("{:016x}", report.trace_hash),
            "events": report.counts.events,
            "sent": report.counts.sent,
            "lost": report.counts.lost,
            "decided": report.counts.decided_heights,
            "fast": report.counts.fast,
            "slow": report.counts.slow,
            "viewsChanged": report.counts.views_changed,
            "convictions": report.counts.convictions,
            "recoveryMs": report.recovery_ms,
            "injected": report.counts.injected,
            "evidence": report.counts.evidence,
            "expectations": self.expected,
            "failures": self.failures,
            "violations": violations,
        })
    }
}

/// The part of the run that was asked for.
fn window(args: &SimArgs) -> Result<Option<Window>, CommandError> {
    let time = |flag: &str, word: &Option<String>| match word {
        None => Ok(None),
        Some(word) => parse_time_ms(word)
            .map(Some)
            .ok_or_else(|| CommandError::Usage(format!("{flag} {word}: write a time as 2s, 1.5s or 300ms"))),
    };
    let (from, to) = (time("--from", &args.from)?, time("--to", &args.to)?);
    if from.is_none() && to.is_none() {
        return Ok(None);
    }
    let window = Window { from_ms: from.unwrap_or(0), to_ms: to.unwrap_or(u64::MAX) };
    if window.from_ms >= window.to_ms {
        return Err(CommandError::Usage("--to must be later than --from".into()));
    }
    Ok(Some(window))
}

/// Writes the picture. When the whole run does not fit, and a rule was broken where it is cut off, the run is
/// drawn again around that moment.
fn write_trace(
    path: &Path,
    job: &Job,
    done: &Done,
    recorder: Rc<RefCell<Recorder>>,
    chosen: bool,
) -> Result<(), CommandError> {
    let report = &done.report;
    let mut recorder = unshared(recorder);
    let first = report.violations.iter().map(|violation| violation.at_ms).min();
    let full = recorder.full_at_ms();
    if let (Some(first), Some(full), false) = (first, full, chosen)
        && first + 1_000 > full
    {
        let again = job.recorder(Window::around(first));
        if job.run(Some(Rc::clone(&again))).report != *report {
            return Err(CommandError::failed(
                "two runs of the same seed differ: the simulation is not deterministic",
            ));
        }
        recorder = unshared(again);
    }
    let html = recorder.into_html(&job.title, report, &done.failures);
    fs::write(path, html).wrap_err_with(|| format!("cannot write {}", path.display()))?;
    Ok(())
}

fn unshared(recorder: Rc<RefCell<Recorder>>) -> Recorder {
    Rc::into_inner(recorder).expect("the run that held the other half is over").into_inner()
}

fn show(job: &Job, done: &Done, args: &SimArgs, style: Style) -> String {
    let report = &done.report;
    let mut sheet = Sheet::new(style);
    sheet.heading(&job.title);
    let seconds = format!("{} s simulated", thousandths(report.counts.simulated_ms));
    sheet.field(
        "verifiers",
        format!("{} and the SG, {seconds}, {} events", report.verifiers, report.counts.events),
    );
    sheet.field(
        "decided",
        format!(
            "{} blocks: {} fast, {} slow",
            report.counts.decided_heights, report.counts.fast, report.counts.slow
        ),
    );
    let acting = anfs_sim::trace::seat_name(
        job.plan.config(Default::default()).leader(report.counts.views_changed.into()),
    );
    sheet.field("views", format!("{} changed; {acting} leads the last", report.counts.views_changed));
    sheet.field("convictions", report.counts.convictions.to_string());
    sheet.field("evidence", counted(&report.counts.evidence));
    sheet.field("injected", counted(&report.counts.injected));
    sheet.field("messages", format!("{} sent, {} lost", report.counts.sent, report.counts.lost));
    if let Some(recovery) = report.recovery_ms {
        sheet.field("recovered", format!("{} s after everything was mended", thousandths(recovery)));
    }
    sheet.field("trace hash", format!("{:016x}", report.trace_hash));
    if let Some(path) = &args.trace {
        sheet.field("picture", path.display().to_string());
    }
    if let Some(expected) = done.expected {
        sheet.field("expectations", expected.to_string());
    }
    if done.failures.is_empty() {
        let good = match (done.expected, report.violations.len()) {
            (None, _) => "no rule broken".to_owned(),
            (Some(_), 0) => "as expected, and no rule broken".to_owned(),
            (Some(_), broken) => format!("as expected; rules were broken {broken} times, and were to be"),
        };
        sheet.line(&format!("\n{}", style.green(&good)));
    }
    for failure in &done.failures {
        sheet.line(&format!("\n{} {failure}", style.red("✗")));
    }
    if !done.failures.is_empty() && args.trace.is_none() {
        let what = match &args.scenario {
            Some(path) => format!("--scenario {}", path.display()),
            None => replay(report.seed, args.verifiers),
        };
        sheet.line(&format!("\nsee it: anfs sim {what} --trace out.html"));
    }
    sheet.finish()
}

/// The flags that run a seed again.
fn replay(seed: u64, verifiers: Option<u16>) -> String {
    let size = verifiers.map(|n| format!(" --verifiers {n}")).unwrap_or_default();
    format!("--seed {seed}{size}")
}

fn thousandths(ms: u64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

/// `crash 3, partition 1`, or `none`.
fn counted(counts: &std::collections::BTreeMap<&'static str, u64>) -> String {
    if counts.is_empty() {
        return "none".to_owned();
    }
    let words: Vec<String> = counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
    words.join(", ")
}
