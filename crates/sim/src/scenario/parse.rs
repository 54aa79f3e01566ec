//! From text to a plan and expectations.

use std::collections::{BTreeMap, BTreeSet};

use anfs_primitives::SeatIndex;
use anfs_primitives::header::VERIFIERS_MAX;

use super::expect::{self, Expectation};
use super::words::{TIME_MS_MAX, Words};
use super::{Scenario, ScenarioError, TEXT_BYTES_MAX, lies};
use crate::clock::Skew;
use crate::plan::{Event, Plan};
use crate::wires::Weather;

const LINES_MAX: usize = 400;
const LINE_CHARS_MAX: usize = 240;
const STATEMENTS: &str =
    "lines begin with shard, seed, run, slots, weather, at, expect or a seat such as SG or SV3";
const HAPPENINGS: &str = "after the time comes kill, restart, partition, cut, clog, heal, weather or disk";

/// A partition or clog, from when until when.
#[derive(Debug)]
struct Separation {
    from_ms: u64,
    until_ms: u64,
    event: Event,
}

#[derive(Debug)]
struct Parser {
    plan: Plan,
    separations: Vec<Separation>,
    expectations: Vec<Expectation>,
}

pub(super) fn scenario(text: &str) -> Result<Scenario, ScenarioError> {
    let fail = |line: usize, problem: &str, remedy: String| {
        Err(ScenarioError { line, problem: problem.to_owned(), remedy })
    };
    if text.len() > TEXT_BYTES_MAX {
        return fail(1, "the text is too long", format!("keep it below {TEXT_BYTES_MAX} bytes"));
    }
    let mut title = String::new();
    let mut parser: Option<Parser> = None;
    for (line, raw) in (1..).zip(text.lines()) {
        if line > LINES_MAX {
            return fail(line, "too many lines", format!("keep to {LINES_MAX}"));
        }
        if raw.chars().count() > LINE_CHARS_MAX {
            return fail(line, "the line is too long", format!("keep to {LINE_CHARS_MAX} characters"));
        }
        let (statement, comment) =
            raw.split_once('#').map_or((raw, None), |(left, right)| (left, Some(right)));
        if title.is_empty() && parser.is_none() {
            title = comment.unwrap_or_default().trim().to_owned();
        }
        if statement.trim().is_empty() {
            continue;
        }
        match &mut parser {
            Some(parser) => {
                let verifiers = parser.plan.verifiers;
                parser.statement(&mut Words::new(line, statement, verifiers))?;
            }
            None => parser = Some(Parser::new(&mut Words::new(line, statement, 0))?),
        }
    }
    let Some(parser) = parser else {
        return fail(1, "nothing is said", "begin with `shard 10`, a shard of ten verifiers".into());
    };
    Ok(parser.finish(title))
}

impl Parser {
    /// The first statement says how large the shard is: what comes later names its seats.
    fn new(words: &mut Words<'_>) -> Result<Self, ScenarioError> {
        if !words.take("shard") {
            return words.fail("the shard's size is not known yet", "begin with `shard 10`");
        }
        let verifiers = words.number_in("the number of verifiers", 1, VERIFIERS_MAX as u64)?;
        if verifiers % 3 != 1 {
            return words.fail(format!("{verifiers} is not 3f + 1"), "write 4, 7, 10, 13, …");
        }
        words.end()?;
        let verifiers = u16::try_from(verifiers).expect("at most VERIFIERS_MAX");
        let mut plan = Plan::calm(1, verifiers, 10_000);
        // Nothing mends by itself in a scenario: it says when.
        plan.heal_at_ms = u64::MAX;
        Ok(Self { plan, separations: Vec::new(), expectations: Vec::new() })
    }

    fn statement(&mut self, words: &mut Words<'_>) -> Result<(), ScenarioError> {
        match words.peek() {
            Some("seed") => {
                words.must("seed")?;
                self.plan.seed = words.number("a seed")?;
            }
            Some("run") => {
                words.must("run")?;
                self.plan.duration_ms = words.time_ms()?;
            }
            Some("slots") => {
                words.must("slots")?;
                words.must("of")?;
                self.plan.timing.slot_ms = words.time_ms()?.max(1);
            }
            Some("weather") => {
                words.must("weather")?;
                self.plan.weather = weather(words)?;
            }
            Some("at") => {
                words.must("at")?;
                let at_ms = words.time_ms()?;
                self.happening(at_ms, words)?;
            }
            Some("expect") => {
                words.must("expect")?;
                let expectation = expect::parse(words)?;
                self.expectations.push(expectation);
            }
            Some(word) if word.starts_with('S') || ["all", "verifiers"].contains(&word) => {
                self.about_seats(words)?;
            }
            Some(word) => return words.fail(format!("`{word}` begins no line"), STATEMENTS),
            None => return words.fail("an empty line cannot be here", STATEMENTS),
        }
        words.end()
    }

    /// `SV3 lies: …`, `SV3 clock +200ms`, `SV3 disk loses syncs`.
    fn about_seats(&mut self, words: &mut Words<'_>) -> Result<(), ScenarioError> {
        let seats = words.seats(&BTreeSet::new())?;
        match words.word("lies: …, clock … or disk …")? {
            "lies" | "lie" => {
                words.must(":")?;
                let lie = lies::parse(words, &self.plan)?;
                self.plan.byzantine.extend(seats.into_iter().map(|seat| (seat, lie.clone())));
                let liars = self.plan.byzantine.keys().filter(|seat| **seat != SeatIndex::GENERATOR).count();
                let most = self.plan.verifiers as usize;
                if liars >= most {
                    return words.fail("all verifiers lie", "leave one honest, or there is nothing to see");
                }
                Ok(())
            }
            "clock" => {
                let skew = skew(words)?;
                self.plan.skew.extend(seats.into_iter().map(|seat| (seat, skew)));
                Ok(())
            }
            "disk" => {
                words.must("loses")?;
                words.must("syncs")?;
                for seat in seats {
                    self.plan.disks.entry(seat).or_default().sync_lies = true;
                }
                Ok(())
            }
            other => words.fail(
                format!("`{other}` is not said of seats"),
                "write lies: …, clock +200ms, clock x1.05 or disk loses syncs; what happens later begins with `at`",
            ),
        }
    }

    fn happening(&mut self, at_ms: u64, words: &mut Words<'_>) -> Result<(), ScenarioError> {
        let none = BTreeSet::new();
        match words.word("what happens")? {
            "kill" => {
                let seats = words.seats(&none)?;
                let back_ms = words.lasting_ms()?.map(|lasting| at_ms + lasting);
                if seats.len() == usize::from(self.plan.verifiers) + 1 {
                    self.add(at_ms, Event::CrashAll);
                    back_ms.into_iter().for_each(|back| self.add(back, Event::RestartAll));
                    return Ok(());
                }
                for seat in seats {
                    self.add(at_ms, Event::Crash { seat });
                    back_ms.into_iter().for_each(|back| self.add(back, Event::Restart { seat }));
                }
            }
            "restart" => {
                let seats = words.seats(&none)?;
                seats.into_iter().for_each(|seat| self.add(at_ms, Event::Restart { seat }));
            }
            "partition" => {
                let one = words.seats(&none)?;
                words.must("|")?;
                let other = words.seats(&one)?;
                if let Some(both) = one.intersection(&other).next() {
                    let seat = crate::trace::seat_name(*both);
                    return words.fail(format!("{seat} is on both sides"), "name it on one side only");
                }
                let until_ms = words.lasting_ms()?.map(|lasting| at_ms + lasting);
                self.separate(at_ms, until_ms, Event::Cut { from: one.clone(), to: other.clone() });
                self.separate(at_ms, until_ms, Event::Cut { from: other, to: one });
            }
            "cut" => {
                let (from, to) = one_way(words)?;
                let until_ms = words.lasting_ms()?.map(|lasting| at_ms + lasting);
                self.separate(at_ms, until_ms, Event::Cut { from, to });
            }
            "clog" => {
                let (from, to) = one_way(words)?;
                words.must("for")?;
                let for_ms = words.time_ms()?;
                self.separate(at_ms, Some(at_ms + for_ms), Event::Clog { from, to, for_ms });
            }
            "heal" => {
                for open in self.separations.iter_mut().filter(|open| open.from_ms <= at_ms) {
                    open.until_ms = open.until_ms.min(at_ms);
                }
                self.add(at_ms, Event::Heal);
            }
            "weather" => {
                let weather = weather(words)?;
                self.add(at_ms, Event::Weather(weather));
            }
            "disk" => self.disk(at_ms, words)?,
            other => return words.fail(format!("`{other}` is nothing that can happen"), HAPPENINGS),
        }
        Ok(())
    }

    /// `disk full SV2 for 2s`, `disk rots SV2`, `disk loses syncs SV2`.
    fn disk(&mut self, at_ms: u64, words: &mut Words<'_>) -> Result<(), ScenarioError> {
        let how = words.word("full, rots or loses syncs")?;
        if how == "loses" {
            words.must("syncs")?;
        }
        let seats = words.seats(&BTreeSet::new())?;
        let until_ms = if how == "full" { words.lasting_ms()?.map(|lasting| at_ms + lasting) } else { None };
        for seat in seats {
            match how {
                "full" => self.add(at_ms, Event::DiskFull { seat }),
                "rots" => self.add(at_ms, Event::BitRot { seat }),
                "loses" => self.add(at_ms, Event::SyncLost { seat }),
                other => {
                    return words.fail(format!("a disk is not `{other}`"), "write full, rots or loses syncs");
                }
            }
            until_ms.into_iter().for_each(|until| self.add(until, Event::DiskOk { seat }));
        }
        Ok(())
    }

    fn add(&mut self, at_ms: u64, event: Event) {
        self.plan.events.push((at_ms, event));
    }

    fn separate(&mut self, from_ms: u64, until_ms: Option<u64>, event: Event) {
        self.add(from_ms, event.clone());
        self.separations.push(Separation { from_ms, until_ms: until_ms.unwrap_or(u64::MAX), event });
    }

    fn finish(mut self, title: String) -> Scenario {
        self.end_separations();
        self.plan.events.sort_by_key(|(at_ms, _)| *at_ms);
        Scenario { title, plan: self.plan, expectations: self.expectations }
    }

    /// Healing ends all separations at once: those that outlast one that ends begin again.
    fn end_separations(&mut self) {
        let ends: BTreeSet<u64> =
            self.separations.iter().map(|open| open.until_ms).filter(|end| *end <= TIME_MS_MAX).collect();
        let mut events: BTreeMap<u64, Vec<Event>> = BTreeMap::new();
        for end in ends {
            let again = events.entry(end).or_default();
            again.push(Event::Heal);
            for open in self.separations.iter().filter(|open| open.from_ms < end && open.until_ms > end) {
                again.push(match &open.event {
                    Event::Clog { from, to, .. } => {
                        Event::Clog { from: from.clone(), to: to.clone(), for_ms: open.until_ms - end }
                    }
                    other => other.clone(),
                });
            }
        }
        // Before what begins at the same moment, which the healing must not end.
        let ends =
            events.into_iter().flat_map(|(at, events)| events.into_iter().map(move |event| (at, event)));
        let begins = std::mem::take(&mut self.plan.events);
        self.plan.events = ends.chain(begins).collect();
    }
}

/// `SEATS to SEATS`.
fn one_way(words: &mut Words<'_>) -> Result<(BTreeSet<SeatIndex>, BTreeSet<SeatIndex>), ScenarioError> {
    let from = words.seats(&BTreeSet::new())?;
    words.must("to")?;
    let to = words.seats(&from)?;
    Ok((from, to))
}

/// `calm`, or any of `loss 2%`, `fragments 10%` (lost beside that), `double 1%`, `delay 5ms`, `jitter 20ms`,
/// `stragglers 1% 500ms`.
fn weather(words: &mut Words<'_>) -> Result<Weather, ScenarioError> {
    let mut weather = Weather::default();
    if words.take("calm") {
        return Ok(weather);
    }
    loop {
        match words.word("calm, loss, fragments, double, delay, jitter or stragglers")? {
            "loss" => weather.loss = words.permille()?,
            "fragments" => weather.fragment_loss = words.permille()?,
            "double" => weather.duplication = words.permille()?,
            "delay" => weather.delay_ms = words.time_ms()?,
            "jitter" => weather.jitter_ms = words.time_ms()?,
            "stragglers" => {
                weather.straggling = words.permille()?;
                weather.straggle_ms = words.time_ms()?;
            }
            other => {
                let remedy = "write calm, loss 2%, fragments 10%, double 1%, delay 5ms, jitter 20ms or stragglers 1% 500ms";
                return words.fail(format!("`{other}` is no weather"), remedy);
            }
        }
        if words.peek().is_none() {
            return Ok(weather);
        }
    }
}

/// `+200ms`, `-1s`, `x100`, `x0.5`, or an offset and a rate.
fn skew(words: &mut Words<'_>) -> Result<Skew, ScenarioError> {
    let mut skew = Skew::default();
    loop {
        let word = words.word("+200ms or x1.05")?;
        let sign = if word.starts_with('-') { -1 } else { 1 };
        let offset = word.strip_prefix(['+', '-']).and_then(super::parse_time_ms);
        // Thousandths, as milliseconds are of seconds.
        let rate = word.strip_prefix('x').and_then(|rate| super::parse_time_ms(&format!("{rate}s")));
        let rate =
            rate.and_then(|rate| u32::try_from(rate).ok()).filter(|rate| (1..=1_000_000).contains(rate));
        match (offset.filter(|offset| *offset <= TIME_MS_MAX), rate) {
            (Some(offset), _) => skew.offset_ms = sign * i64::try_from(offset).expect("at most an hour"),
            (None, Some(rate)) => skew.rate_per_mille = rate,
            (None, None) => {
                return words.fail(
                    format!("`{word}` says nothing of a clock"),
                    "write how far it is off, +200ms or -1s, or how fast it runs, x1.05 or x100",
                );
            }
        }
        if words.peek().is_none() {
            return Ok(skew);
        }
    }
}
