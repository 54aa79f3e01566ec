//! One self-contained page that draws a run: lanes of the seats over virtual time, messages as arrows.
//!
//! The page holds its data as JSON beside a script and a style sheet of its own, and loads nothing. What is
//! dense is thinned by the script, which draws what fits the window that is looked at.

use std::fmt::Write as _;

/// Kinds of messages, as `page.js` numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Kind {
    Proposal = 0,
    Fragment = 1,
    Sliced = 2,
    Full = 3,
    Commit = 4,
    Invalid = 5,
    Certificate = 6,
    View = 7,
    Sync = 8,
}

/// Marks on a lane, as `page.js` numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Symbol {
    Proposes = 0,
    Sliced = 1,
    Full = 2,
    Commit = 3,
    Invalid = 4,
    DecidedFast = 5,
    DecidedSlow = 6,
    Conviction = 7,
    Wish = 8,
    Promise = 9,
    Opening = 10,
    Evidence = 11,
    Violation = 12,
    Crash = 13,
    Restart = 14,
    Note = 15,
}

/// What a mark or message is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct About {
    pub(crate) height: u64,
    pub(crate) view: u64,
    /// Index into [`Page::blocks`].
    pub(crate) block: Option<u32>,
}

/// A mark on a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) symbol: Symbol,
    pub(crate) lane: u16,
    pub(crate) at_ms: u64,
    pub(crate) about: About,
    /// Index into [`Page::notes`].
    pub(crate) note: Option<u32>,
}

/// A message to one seat or several, with what became of each copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) kind: Kind,
    pub(crate) from: u16,
    pub(crate) at_ms: u64,
    pub(crate) about: About,
    /// Index into [`Page::notes`].
    pub(crate) note: Option<u32>,
    /// Recipient, and after how many milliseconds it had it; `None`: never.
    pub(crate) copies: Vec<(u16, Option<u64>)>,
}

/// A stretch of time in which something holds for a seat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// `view`, `down` or `apart`.
    pub(crate) kind: &'static str,
    pub(crate) lane: u16,
    pub(crate) from_ms: u64,
    pub(crate) to_ms: u64,
    pub(crate) text: String,
}

/// A line of the list of what happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) at_ms: u64,
    /// A colour of `page.css`, or empty.
    pub(crate) colour: &'static str,
    pub(crate) text: String,
}

/// All that the page shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) title: String,
    pub(crate) subtitle: String,
    pub(crate) facts: Vec<(&'static str, String)>,
    pub(crate) lanes: Vec<String>,
    /// What is wrong with the seat of a lane; empty for an honest one.
    pub(crate) roles: Vec<String>,
    pub(crate) window_ms: (u64, u64),
    /// What was left out, and how to see it; empty when nothing was.
    pub(crate) cut: String,
    pub(crate) faults: Vec<(String, u64)>,
    /// When, which rule, how. At most [`VIOLATIONS_SHOWN_MAX`] are shown.
    pub(crate) violations: Vec<(u64, String, String)>,
    /// At most [`STORY_SHOWN_MAX`] are shown.
    pub(crate) story: Vec<Line>,
    pub(crate) spans: Vec<Span>,
    pub(crate) marks: Vec<Mark>,
    pub(crate) sends: Vec<Sent>,
    /// When the highest decided height rose, and to what.
    pub(crate) progress: Vec<(u64, u64)>,
    pub(crate) blocks: Vec<String>,
    pub(crate) notes: Vec<String>,
}

/// Violations that a page lists; the others follow from the first, more often than not.
const VIOLATIONS_SHOWN_MAX: usize = 100;
/// Lines of the list of what happened.
const STORY_SHOWN_MAX: usize = 400;

const FRAME: &str = include_str!("html/page.html");
const STYLE: &str = include_str!("html/page.css");
const SCRIPT: &str = include_str!("html/page.js");

impl Page {
    /// The page's text.
    pub(crate) fn render(&self) -> String {
        let mut html =
            String::with_capacity(FRAME.len() + STYLE.len() + SCRIPT.len() + 64 * self.sends.len());
        let mut rest = FRAME;
        while let Some((before, after)) = rest.split_once('@') {
            html.push_str(before);
            let (name, after) = after.split_once('@').expect("the frame's marks come in pairs");
            match name {
                "TITLE" => html.push_str(&escape_html(&self.title)),
                "STYLE" => html.push_str(STYLE),
                "SCRIPT" => html.push_str(SCRIPT),
                _ => self.write_data(&mut html),
            }
            rest = after;
        }
        html.push_str(rest);
        html
    }

    fn write_data(&self, out: &mut String) {
        out.push('{');
        field(out, "title", |out| text(out, &self.title));
        field(out, "subtitle", |out| text(out, &self.subtitle));
        field(out, "facts", |out| {
            list(out, &self.facts, |out, (label, value)| {
                list(out, [*label, value.as_str()], text);
            });
        });
        field(out, "lanes", |out| list(out, &self.lanes, |out, lane| text(out, lane)));
        field(out, "roles", |out| list(out, &self.roles, |out, role| text(out, role)));
        field(out, "window", |out| {
            list(out, [self.window_ms.0, self.window_ms.1], number);
        });
        field(out, "cut", |out| text(out, &self.cut));
        field(out, "faults", |out| {
            list(out, &self.faults, |out, (name, count)| {
                out.push('[');
                text(out, name);
                write_to(out, format_args!(",{count}]"));
            });
        });
        field(out, "violationsAll", |out| number(out, self.violations.len() as u64));
        field(out, "violations", |out| {
            list(out, self.violations.iter().take(VIOLATIONS_SHOWN_MAX), |out, (at, rule, how)| {
                write_to(out, format_args!("[{at},"));
                text(out, rule);
                out.push(',');
                text(out, how);
                out.push(']');
            });
        });
        let left = self.story.len().saturating_sub(STORY_SHOWN_MAX);
        field(out, "storyLeft", |out| number(out, left as u64));
        field(out, "story", |out| {
            list(out, self.story.iter().take(STORY_SHOWN_MAX), |out, line| {
                write_to(out, format_args!("[{},", line.at_ms));
                text(out, line.colour);
                out.push(',');
                text(out, &line.text);
                out.push(']');
            });
        });
        field(out, "blocks", |out| list(out, &self.blocks, |out, block| text(out, block)));
        field(out, "notes", |out| list(out, &self.notes, |out, note| text(out, note)));
        field(out, "progress", |out| {
            list(out, &self.progress, |out, (at, height)| write_to(out, format_args!("[{at},{height}]")));
        });
        self.write_drawing(out);
        out.push('}');
    }

    /// The long tables. Each row is an array, in the order that the script takes apart.
    fn write_drawing(&self, out: &mut String) {
        field(out, "spans", |out| {
            list(out, &self.spans, |out, span| {
                write_to(
                    out,
                    format_args!("[\"{}\",{},{},{},", span.kind, span.lane, span.from_ms, span.to_ms),
                );
                text(out, &span.text);
                out.push(']');
            });
        });
        field(out, "marks", |out| {
            list(out, &self.marks, |out, mark| {
                write_to(out, format_args!("[{},{},{},", mark.symbol as u8, mark.lane, mark.at_ms));
                about(out, mark.about, mark.note);
                out.push(']');
            });
        });
        let took = self.sends.iter().flat_map(|sent| sent.copies.iter().filter_map(|(_, took)| *took));
        let slowest = took.max().unwrap_or(0);
        field(out, "slowest", |out| number(out, slowest));
        out.push_str("\"sends\":");
        list(out, &self.sends, |out, sent| {
            write_to(out, format_args!("[{},{},{},", sent.kind as u8, sent.from, sent.at_ms));
            about(out, sent.about, sent.note);
            out.push_str(",[");
            for (index, (to, took)) in sent.copies.iter().enumerate() {
                let comma = if index == 0 { "" } else { "," };
                match took {
                    Some(took) => write_to(out, format_args!("{comma}{to},{took}")),
                    None => write_to(out, format_args!("{comma}{to},-1")),
                }
            }
            out.push_str("]]");
        });
    }
}

fn write_to(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    out.write_fmt(arguments).expect("a string takes all that is written to it");
}

fn number(out: &mut String, value: u64) {
    write_to(out, format_args!("{value}"));
}

fn field(out: &mut String, name: &str, value: impl FnOnce(&mut String)) {
    write_to(out, format_args!("\"{name}\":"));
    value(out);
    out.push_str(",\n");
}

fn list<T>(out: &mut String, items: impl IntoIterator<Item = T>, mut one: impl FnMut(&mut String, T)) {
    out.push('[');
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        one(out, item);
    }
    out.push(']');
}

fn about(out: &mut String, about: About, note: Option<u32>) {
    let index = |value: Option<u32>| value.map_or(-1, i64::from);
    let (block, note) = (index(about.block), index(note));
    write_to(out, format_args!("{},{},{block},{note}", about.height, about.view));
}

/// A JSON string that may also stand inside a script element.
fn text(out: &mut String, value: &str) {
    out.push('"');
    for letter in value.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\x1f' => {
                write_to(out, format_args!("\\u{:04x}", u32::from(letter)));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

fn escape_html(value: &str) -> String {
    value.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
