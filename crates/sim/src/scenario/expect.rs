//! What must follow from what happens.

use anfs_primitives::SeatIndex;

use super::ScenarioError;
use super::timeline::Timeline;
use super::words::Words;
use crate::plan::Timing;
use crate::report::{Report, Rule};
use crate::trace::seat_name;

const FORMS: &str = "after expect comes safe, broken RULE, height, view, fast, slow, decided, convictions, gap, \
                     next, convicted, acting, evidence or no";

/// One line that begins with `expect`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Expectation {
    line: usize,
    text: String,
    what: What,
    after_ms: u64,
    /// None: at the end of the run.
    by_ms: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Safe,
    Broken(Rule),
    Measure {
        of: Measure,
        only: Option<SeatIndex>,
        relation: Relation,
        value: u64,
    },
    /// A new height, of that seat's block or of any.
    Next {
        of: Option<SeatIndex>,
        within: Span,
    },
    Convicted {
        height: u64,
    },
    Acting(SeatIndex),
    /// At least one piece of it, or none.
    Evidence {
        against: Option<SeatIndex>,
        of: Option<String>,
        none: bool,
    },
}

/// A length of time in the shard's own measures: `3 slots + view + 20ms`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Span {
    slots: u64,
    /// Times Δ_view.
    views: u64,
    ms: u64,
}

impl Span {
    const SLOTS_MAX: u64 = 10_000;

    fn parse(words: &mut Words<'_>) -> Result<Self, ScenarioError> {
        let mut span = Self::default();
        loop {
            match words.peek() {
                Some("view") => {
                    words.must("view")?;
                    span.views += 1;
                }
                Some(word) if word.bytes().all(|byte| byte.is_ascii_digit()) => {
                    span.slots += words.number_in("the number of slots", 1, Self::SLOTS_MAX)?;
                    if !words.take("slot") {
                        words.must("slots")?;
                    }
                }
                _ => span.ms += words.time_ms()?,
            }
            if !words.take("+") {
                return Ok(span);
            }
        }
    }

    fn in_ms(self, timing: &Timing) -> u64 {
        self.slots * timing.slot_ms + self.views * timing.view_timeout_ms + self.ms
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Measure {
    Height,
    View,
    Fast,
    Slow,
    Decided,
    Convictions,
    GapMs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    AtLeast,
    AtMost,
    Equal,
}

impl Relation {
    fn holds(self, found: u64, value: u64) -> bool {
        match self {
            Self::AtLeast => found >= value,
            Self::AtMost => found <= value,
            Self::Equal => found == value,
        }
    }
}

pub(super) fn parse(words: &mut Words<'_>) -> Result<Expectation, ScenarioError> {
    let (line, text) = (words.line(), words.text());
    let what = what(words)?;
    let (mut after_ms, mut by_ms) = (0, None);
    loop {
        if words.take("by") {
            by_ms = Some(words.time_ms()?);
        } else if words.take("after") {
            after_ms = words.time_ms()?;
        } else {
            break;
        }
    }
    if by_ms.is_some() && matches!(what, What::Next { .. }) {
        return words.fail("the end is said twice", "leave out `by`: `within` says how long");
    }
    if by_ms.is_some_and(|by| by < after_ms) {
        return words.fail("the end lies before the start", "let `by` be later than `after`");
    }
    Ok(Expectation { line, text, what, after_ms, by_ms })
}

fn what(words: &mut Words<'_>) -> Result<What, ScenarioError> {
    let only = match words.peek() {
        Some(word) if word.starts_with('S') => Some(words.seat()?),
        _ => None,
    };
    let word = words.word("what is expected")?;
    if let Some(of) = measure(word) {
        let relation = if words.take("<=") {
            Relation::AtMost
        } else if words.take("=") {
            Relation::Equal
        } else {
            words.take(">=");
            Relation::AtLeast
        };
        let value = if of == Measure::GapMs { words.time_ms()? } else { words.number("a number")? };
        return Ok(What::Measure { of, only, relation, value });
    }
    if only.is_some() {
        return words.fail(format!("`{word}` is not expected of one seat"), "write height or view");
    }
    match word {
        "safe" => Ok(What::Safe),
        "broken" => rule(words),
        "next" => {
            words.must("block")?;
            let of = if words.take("of") { Some(words.seat()?) } else { None };
            words.must("within")?;
            Ok(What::Next { of, within: Span::parse(words)? })
        }
        "convicted" => {
            words.must("height")?;
            Ok(What::Convicted { height: words.number("a height")? })
        }
        "acting" => Ok(What::Acting(words.seat()?)),
        "evidence" => {
            words.must("against")?;
            evidence(words, false)
        }
        "no" if words.take("conviction") => {
            Ok(What::Measure { of: Measure::Convictions, only: None, relation: Relation::Equal, value: 0 })
        }
        "no" => {
            words.must("evidence")?;
            if words.take("against") {
                return evidence(words, true);
            }
            Ok(What::Evidence { against: None, of: None, none: true })
        }
        other => words.fail(format!("`{other}` cannot be expected"), FORMS),
    }
}

/// `SEAT`, and perhaps `of false-alert`.
fn evidence(words: &mut Words<'_>, none: bool) -> Result<What, ScenarioError> {
    const KINDS: [&str; 6] = [
        "two-proposals",
        "contradicting-votes",
        "two-promises",
        "two-openings",
        "invalid-block",
        "false-alert",
    ];
    let against = Some(words.seat()?);
    let mut of = None;
    if words.take("of") {
        let word = words.word("a kind of evidence")?;
        if !KINDS.contains(&word) {
            return words
                .fail(format!("`{word}` is no kind of evidence"), format!("write {}", KINDS.join(", ")));
        }
        of = Some(word.replace('-', " "));
    }
    Ok(What::Evidence { against, of, none })
}

fn measure(word: &str) -> Option<Measure> {
    Some(match word {
        "height" => Measure::Height,
        "view" => Measure::View,
        "fast" => Measure::Fast,
        "slow" => Measure::Slow,
        "decided" => Measure::Decided,
        "convictions" => Measure::Convictions,
        "gap" => Measure::GapMs,
        _ => return None,
    })
}

fn rule(words: &mut Words<'_>) -> Result<What, ScenarioError> {
    const RULES: [Rule; 11] = [
        Rule::Agreement,
        Rule::Validity,
        Rule::Contradiction,
        Rule::Promise,
        Rule::WriteAhead,
        Rule::Certificate,
        Rule::Liveness,
        Rule::Memory,
        Rule::Replay,
        Rule::Evidence,
        Rule::Contract,
    ];
    let word = words.word("a rule")?;
    let name = |rule: &Rule| format!("{rule:?}").to_lowercase();
    match RULES.iter().find(|rule| name(rule) == word) {
        Some(rule) => Ok(What::Broken(*rule)),
        None => {
            let names: Vec<String> = RULES.iter().map(name).collect();
            words.fail(format!("`{word}` is no rule"), format!("write one of {}", names.join(", ")))
        }
    }
}

impl Expectation {
    /// Whether a broken rule is what this line asks for.
    pub(super) fn foresees(&self, rule: Rule) -> bool {
        self.what == What::Broken(rule)
    }

    /// What was found instead; none when it is as expected.
    pub(super) fn check(&self, timeline: &Timeline, report: &Report) -> Option<String> {
        let by_ms = self.by_ms.unwrap_or(timeline.end_ms);
        if by_ms > timeline.end_ms {
            let end = timeline.end_ms;
            return Some(self.unmet(&format!("the run ended at {end} ms; let it run longer")));
        }
        let found = match &self.what {
            // Violations that nobody foresaw are failures of their own.
            What::Safe => None,
            What::Broken(rule) => {
                let broken = report.violations.iter().any(|violation| violation.rule == *rule);
                (!broken).then(|| "it held".to_owned())
            }
            What::Measure { of, only, relation, value } => {
                self.measured(*of, *only, *relation, *value, timeline, by_ms)
            }
            What::Next { of, within } => self.next_block(*of, *within, timeline),
            What::Convicted { height } => {
                let convicted =
                    timeline.convictions.iter().any(|(at, found)| *at <= by_ms && found == height);
                let heights: Vec<_> =
                    timeline.convictions.iter().map(|(_, height)| height.to_string()).collect();
                (!convicted).then(|| format!("convicted heights: [{}]", heights.join(", ")))
            }
            What::Acting(seat) => {
                let acting = timeline.acting(by_ms);
                (acting != *seat).then(|| format!("{} acts as SG", seat_name(acting)))
            }
            What::Evidence { against, of, none } => {
                let fits = |found: &&super::timeline::Found| {
                    (self.after_ms..=by_ms).contains(&found.at_ms)
                        && against.is_none_or(|against| against == found.against)
                        && of.as_ref().is_none_or(|of| of == found.what)
                };
                let met = timeline.evidence.iter().any(|found| fits(&found)) != *none;
                let all: std::collections::BTreeSet<_> = timeline
                    .evidence
                    .iter()
                    .map(|f| format!("{}: {}", seat_name(f.against), f.what))
                    .collect();
                let all: Vec<_> = all.into_iter().collect();
                (!met).then(|| format!("the evidence found is [{}]", all.join(", ")))
            }
        };
        found.map(|found| self.unmet(&found))
    }

    fn unmet(&self, found: &str) -> String {
        format!("line {}: {}: {found}", self.line, self.text)
    }

    fn next_block(&self, of: Option<SeatIndex>, within: Span, timeline: &Timeline) -> Option<String> {
        let within_ms = within.in_ms(&timeline.timing);
        match timeline.next(of, self.after_ms) {
            Some(next) if next.at_ms - self.after_ms <= within_ms => None,
            Some(next) => {
                let (height, took) = (next.height, next.at_ms - self.after_ms);
                Some(format!("height {height} came after {took} ms, not within {within_ms} ms"))
            }
            None => Some(format!("none came until the run ended at {} ms", timeline.end_ms)),
        }
    }

    fn measured(
        &self,
        of: Measure,
        only: Option<SeatIndex>,
        relation: Relation,
        value: u64,
        timeline: &Timeline,
        by_ms: u64,
    ) -> Option<String> {
        let seats = match of {
            Measure::Height => timeline.heights(only, by_ms),
            Measure::View => timeline.views(only, by_ms),
            _ => Vec::new(),
        };
        if [Measure::Height, Measure::View].contains(&of) {
            if seats.is_empty() {
                return Some("no honest seat is up then".to_owned());
            }
            let wrong = seats.iter().find(|(_, found)| !relation.holds(*found, value));
            return wrong.map(|(seat, found)| format!("{} is at {found}", seat_name(*seat)));
        }
        let (fast, slow) = timeline.decided(self.after_ms, by_ms);
        let within = |at: u64| at > self.after_ms && at <= by_ms;
        let found = match of {
            Measure::Fast => fast,
            Measure::Slow => slow,
            Measure::Decided => fast + slow,
            Measure::Convictions => timeline.convictions.iter().filter(|(at, _)| within(*at)).count() as u64,
            _ => timeline.gap_ms(self.after_ms, by_ms),
        };
        (!relation.holds(found, value)).then(|| format!("it is {found}"))
    }
}
