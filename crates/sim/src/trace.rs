//! Watches a run and draws it: who said what when, in a page for people. The page itself is made in `html.rs`.

mod words;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use anfs_consensus::Evidence;
use anfs_primitives::{
    BlockHash, CertificateKind, ConsensusMessage, Height, SealedHeader, SeatIndex, SignedVote, View, VoteKind,
};

use crate::blocks::{Flaw, flaw_of};
use crate::html::{About, Kind, Line, Mark, Page, Sent, Span, Symbol};
use crate::observe::{Observer, TraceEvent};
use crate::plan::{Event, Plan};
use crate::report::Report;

use self::words::{
    certificate_name, opening_words, promise_words, seat_names, seconds, short_hash, shortened, vote_kind,
    vote_name, weather_words,
};

pub use self::words::{evidence_name, seat_name};

/// Arrows and marks of one page: about five megabytes.
const ARROWS_MAX: usize = 250_000;
const MARKS_MAX: usize = 60_000;
/// Lines, stretches and steps of the rest, which is kept for the whole run.
const LINES_MAX: usize = 20_000;

/// What part of a run to draw message by message, in simulated milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The first moment.
    pub from_ms: u64,
    /// The last.
    pub to_ms: u64,
}

impl Window {
    /// The whole run, as far as a page holds it.
    pub const ALL: Self = Self { from_ms: 0, to_ms: u64::MAX };

    /// What leads up to a moment.
    #[must_use]
    pub fn around(at_ms: u64) -> Self {
        Self { from_ms: at_ms.saturating_sub(10_000), to_ms: at_ms.saturating_add(2_000) }
    }

    fn contains(self, at_ms: u64) -> bool {
        (self.from_ms..=self.to_ms).contains(&at_ms)
    }
}

/// Collects what a picture shows. Bounded: what does not fit is left out, and the picture says so.
#[derive(Debug)]
pub struct Recorder {
    page: Page,
    window: Window,
    arrows: usize,
    /// From when on nothing more fitted.
    full_at_ms: Option<u64>,
    blocks: BTreeMap<BlockHash, u32>,
    notes: BTreeMap<String, u32>,
    /// The message that was sent last: its copies to several seats make one row.
    last_sent: Option<Arc<ConsensusMessage>>,
    /// Open stretches: kind, lane and text, and since when.
    open: BTreeMap<(&'static str, u16, String), u64>,
    views: BTreeMap<u16, View>,
    told: BTreeSet<String>,
    /// The first block of each proposer for a height and view.
    proposed: BTreeMap<(SeatIndex, Height, View), BlockHash>,
    now_ms: u64,
}

impl Recorder {
    /// A recorder for a run of this plan.
    #[must_use]
    pub fn new(plan: &Plan, window: Window) -> Self {
        let role = |seat: SeatIndex| {
            let liar = plan.byzantine.get(&seat).map(|behaviour| behaviour.name().to_owned());
            let skew = plan.skew.get(&seat).map(|skew| {
                let rate = if skew.rate_per_mille == 1000 {
                    String::new()
                } else {
                    format!(" ×{}.{:03}", skew.rate_per_mille / 1000, skew.rate_per_mille % 1000)
                };
                format!("clock {:+} ms{rate}", skew.offset_ms)
            });
            liar.into_iter().chain(skew).collect::<Vec<_>>().join(", ")
        };
        let page = Page {
            lanes: plan.seats().map(seat_name).collect(),
            roles: plan.seats().map(role).collect(),
            ..Page::default()
        };
        let mut recorder = Self {
            page,
            window,
            arrows: 0,
            full_at_ms: None,
            blocks: BTreeMap::new(),
            notes: BTreeMap::new(),
            last_sent: None,
            open: BTreeMap::new(),
            views: BTreeMap::new(),
            told: BTreeSet::new(),
            proposed: BTreeMap::new(),
            now_ms: 0,
        };
        for seat in plan.seats() {
            recorder.enter(seat, View::ZERO);
        }
        recorder
    }

    /// The page, after the run. `title` says which run it was, `failures` what else was not as expected: those
    /// that are violations of the report are shown once.
    #[must_use]
    pub fn into_html(mut self, title: &str, report: &Report, failures: &[String]) -> String {
        let end = report.counts.simulated_ms.max(self.now_ms);
        for ((kind, lane, text), from_ms) in std::mem::take(&mut self.open) {
            self.page.spans.push(Span { kind, lane, from_ms, to_ms: end, text });
        }
        let from = self.window.from_ms.min(end);
        self.page.window_ms = (from, self.window.to_ms.min(end).max(from + 1));
        self.page.title = title.to_owned();
        self.page.subtitle = format!(
            "{} verifiers, {}; trace {:016x}",
            report.verifiers,
            seconds(report.counts.simulated_ms),
            report.trace_hash
        );
        self.page.facts = vec![
            ("blocks decided", report.counts.decided_heights.to_string()),
            ("fast / slow", format!("{} / {}", report.counts.fast, report.counts.slow)),
            ("views changed", report.counts.views_changed.to_string()),
            ("convictions", report.counts.convictions.to_string()),
            ("messages (lost)", format!("{} ({})", report.counts.sent, report.counts.lost)),
            ("evidence", report.counts.evidence.values().sum::<u64>().to_string()),
        ];
        self.page.faults =
            report.counts.injected.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        self.add_violations(report);
        let known: BTreeSet<String> = report.violations.iter().map(ToString::to_string).collect();
        for unmet in failures.iter().filter(|failure| !known.contains(*failure)) {
            self.page.violations.push((end, "not as expected".to_owned(), shortened(unmet)));
        }
        self.page.violations.sort();
        self.page.marks.sort_by_key(|mark| mark.at_ms);
        self.page.cut = self.what_is_cut(end);
        self.page.render()
    }

    fn add_violations(&mut self, report: &Report) {
        for violation in &report.violations {
            let place = violation.seat.map(|seat| format!("{}: ", seat_name(seat))).unwrap_or_default();
            let rule = format!("{:?}", violation.rule).to_lowercase();
            let text = format!("{place}{}", shortened(&violation.text));
            self.page.violations.push((violation.at_ms, rule, text));
            if let Some(seat) = violation.seat {
                let note = Some(self.note(&shortened(&format!("breaks a rule: {violation}"))));
                let (at_ms, about) = (violation.at_ms, About::default());
                self.page.marks.push(Mark { symbol: Symbol::Violation, lane: seat.0, at_ms, about, note });
            }
        }
    }

    /// From when on the page had no room left; none when everything fitted.
    #[must_use]
    pub fn full_at_ms(&self) -> Option<u64> {
        self.full_at_ms
    }

    fn what_is_cut(&self, end: u64) -> String {
        if let Some(at) = self.full_at_ms {
            let at = seconds(at);
            return format!(
                "The page is full: messages and marks from {at} on are left out. Choose another part with --from and --to."
            );
        }
        if self.window.from_ms > 0 || self.window.to_ms < end {
            let (from, to) = (seconds(self.window.from_ms), seconds(self.window.to_ms.min(end)));
            return format!(
                "Messages are drawn from {from} to {to} of {}. Choose another part with --from and --to.",
                seconds(end)
            );
        }
        String::new()
    }

    fn fits(&mut self, at_ms: u64) -> bool {
        let full = self.arrows >= ARROWS_MAX || self.page.marks.len() >= MARKS_MAX;
        if full && self.window.contains(at_ms) {
            self.full_at_ms.get_or_insert(at_ms);
        }
        self.full_at_ms.is_none() && self.window.contains(at_ms)
    }

    fn mark(&mut self, symbol: Symbol, seat: SeatIndex, about: About, note: Option<&str>) {
        if self.fits(self.now_ms) {
            let note = note.map(|note| self.note(note));
            self.page.marks.push(Mark { symbol, lane: seat.0, at_ms: self.now_ms, about, note });
        }
    }

    fn tell(&mut self, colour: &'static str, text: impl Into<String>) {
        if self.page.story.len() < LINES_MAX {
            self.page.story.push(Line { at_ms: self.now_ms, colour, text: text.into() });
        }
    }

    /// Tells what is news only the first time.
    fn tell_once(&mut self, key: String, colour: &'static str, text: impl Into<String>) {
        if self.told.len() < LINES_MAX && self.told.insert(key) {
            self.tell(colour, text);
        }
    }

    fn note(&mut self, text: &str) -> u32 {
        if let Some(index) = self.notes.get(text) {
            return *index;
        }
        let index = u32::try_from(self.page.notes.len()).expect("fewer notes than marks");
        self.page.notes.push(text.to_owned());
        self.notes.insert(text.to_owned(), index);
        index
    }

    fn about(&mut self, height: Height, view: View, block: &BlockHash) -> About {
        let next = u32::try_from(self.blocks.len()).expect("fewer blocks than messages");
        let index = *self.blocks.entry(*block).or_insert(next);
        if index == next {
            self.page.blocks.push(short_hash(block));
        }
        About { height: height.0, view: view.0, block: Some(index) }
    }

    fn begin(&mut self, kind: &'static str, seat: SeatIndex, text: String) {
        self.open.entry((kind, seat.0, text)).or_insert(self.now_ms);
    }

    /// Ends the open stretches that these words pick.
    fn end(&mut self, pick: impl Fn(&'static str, u16, &str) -> bool) {
        let now = self.now_ms;
        let done: Vec<_> =
            self.open.keys().filter(|(kind, lane, text)| pick(kind, *lane, text)).cloned().collect();
        for key in done {
            let from_ms = self.open.remove(&key).unwrap_or(now);
            let (kind, lane, text) = key;
            if self.page.spans.len() < LINES_MAX {
                self.page.spans.push(Span { kind, lane, from_ms, to_ms: now, text });
            }
        }
    }

    fn enter(&mut self, seat: SeatIndex, view: View) {
        if self.views.insert(seat.0, view) != Some(view) {
            self.end(|kind, lane, _| kind == "view" && lane == seat.0);
            self.begin("view", seat, view.to_string());
        }
    }

    fn on_sent(
        &mut self,
        from: SeatIndex,
        to: SeatIndex,
        message: &Arc<ConsensusMessage>,
        arrives: Option<u64>,
    ) {
        let same = self.last_sent.as_ref().is_some_and(|last| Arc::ptr_eq(last, message));
        let known =
            same && self.page.sends.last().is_some_and(|row| (row.from, row.at_ms) == (from.0, self.now_ms));
        if !known {
            self.last_sent = Some(Arc::clone(message));
            self.on_message(from, message);
        }
        if !self.fits(self.now_ms) {
            return;
        }
        if !known {
            let (kind, about, note) = self.describe(message);
            let note = note.map(|note| self.note(&note));
            let (from, at_ms) = (from.0, self.now_ms);
            self.page.sends.push(Sent { kind, from, at_ms, about, note, copies: Vec::new() });
        }
        let took = arrives.map(|at| at.saturating_sub(self.now_ms));
        if let Some(row) = self.page.sends.last_mut() {
            row.copies.push((to.0, took));
            self.arrows += 1;
        }
    }

    /// Kind, subject and, where the kind's name says too little, words of a message.
    fn describe(&mut self, message: &ConsensusMessage) -> (Kind, About, Option<String>) {
        use ConsensusMessage as M;
        match message {
            M::Fragment(fragment) => {
                let (height, view) = (fragment.height.0, fragment.view.0);
                let note =
                    format!("fragment of height {height}, view {view}, from entry {}", fragment.first_entry);
                (Kind::Fragment, About { height, view, block: None }, Some(note))
            }
            M::Proposal(proposal) => {
                let header = &proposal.header;
                (Kind::Proposal, self.about(header.height, header.view, &header.hash()), None)
            }
            M::Vote(vote) => {
                let target = &vote.target;
                let note = vote.fault.map(|fault| format!("{}: {fault}", vote_name(vote.kind)));
                (vote_kind(vote.kind), self.about(target.height, target.view, &target.block), note)
            }
            M::Certificate(certificate) => {
                let target = &certificate.target;
                let note = format!("{} of {}", certificate_name(certificate.kind), certificate.signers.len());
                (Kind::Certificate, self.about(target.height, target.view, &target.block), Some(note))
            }
            M::FragmentRequest { block, first_entry } => {
                let note = format!("asks for the entries of {} from {first_entry} on", short_hash(block));
                (Kind::Sync, About::default(), Some(note))
            }
            M::BlockRequest { from } => {
                (Kind::Sync, About::default(), Some(format!("asks for blocks from height {from} on")))
            }
            M::Block(block) => {
                let header = &block.block.header;
                let about = self.about(header.height, header.view, &header.hash());
                (Kind::Sync, about, Some("decided block".into()))
            }
            M::ViewTimeout(wish) => {
                let note = format!("wishes to leave view {} at tip {}", wish.view, wish.tip);
                (Kind::View, About::default(), Some(note))
            }
            M::ViewChange(signed) => (Kind::View, About::default(), Some(promise_words(&signed.change))),
            M::NewView(opening) => (Kind::View, About::default(), Some(opening_words(opening))),
            M::ProposalRequest { block } => (
                Kind::Sync,
                About::default(),
                Some(format!("asks for the proposal of {}", short_hash(block))),
            ),
            M::NewViewRequest { view } => {
                (Kind::View, About::default(), Some(format!("asks for the opening of view {view}")))
            }
        }
    }

    /// Marks what a seat does by sending this.
    fn on_message(&mut self, from: SeatIndex, message: &ConsensusMessage) {
        use ConsensusMessage as M;
        match message {
            M::Proposal(proposal) if proposal.header.proposer == from => {
                self.on_proposal(from, &proposal.header);
            }
            M::Certificate(certificate) if certificate.kind == CertificateKind::Conviction => {
                let target = &certificate.target;
                let about = self.about(target.height, target.view, &target.block);
                self.mark(Symbol::Conviction, from, about, None);
                let text = format!(
                    "height {} of view {} convicted by {} verifiers",
                    target.height,
                    target.view,
                    certificate.signers.len()
                );
                self.tell_once(format!("conviction {}", target.block), "invalid", text);
            }
            M::ViewTimeout(wish) => {
                let note = format!("wishes to leave view {}", wish.view);
                self.mark(Symbol::Wish, from, About::default(), Some(&note));
                let text = format!("{} is the first to wish to leave view {}", seat_name(from), wish.view);
                self.tell_once(format!("wish {}", wish.view), "view", text);
            }
            M::ViewChange(signed) if signed.signer == from => {
                self.mark(Symbol::Promise, from, About::default(), Some(&promise_words(&signed.change)));
            }
            M::NewView(opening) => {
                let leads = self.told.insert(format!("opening {}", opening.view));
                if leads {
                    self.mark(Symbol::Opening, from, About::default(), Some(&opening_words(opening)));
                }
            }
            _ => {}
        }
    }

    fn on_proposal(&mut self, from: SeatIndex, header: &SealedHeader) {
        let about = self.about(header.height, header.view, &header.hash());
        let flaw = flaw_of(header).map(|flaw| match flaw {
            Flaw::Slice(slice) => format!("proposes a block that is wrong in slice {slice}"),
            Flaw::State => "proposes a block with a wrong state root".to_owned(),
        });
        self.mark(Symbol::Proposes, from, about, flaw.as_deref());
        let (who, height, view) = (seat_name(from), header.height, header.view);
        if let Some(flaw) = flaw {
            let text = format!("{who} {flaw}, at height {height}");
            self.tell_once(format!("flaw {}", header.hash()), "invalid", text);
        }
        let first = *self.proposed.entry((from, height, view)).or_insert(header.hash());
        if first != header.hash() {
            let text = format!("{who} proposes a second block for height {height}, view {view}");
            self.tell_once(format!("second {who} {height} {view}"), "invalid", text);
        }
    }

    fn on_vote(&mut self, vote: &SignedVote) {
        let target = &vote.target;
        let about = self.about(target.height, target.view, &target.block);
        let symbol = match vote.kind {
            VoteKind::ValidSliced => Symbol::Sliced,
            VoteKind::ValidFull => Symbol::Full,
            VoteKind::Commit => Symbol::Commit,
            VoteKind::InvalidSliced | VoteKind::InvalidFull => Symbol::Invalid,
        };
        let fault = vote.fault.map(|fault| format!("signs {}: {fault}", vote_name(vote.kind)));
        self.mark(symbol, vote.signer, about, fault.as_deref());
        if symbol == Symbol::Invalid {
            let why = vote.fault.map_or_else(|| "no reason given".to_owned(), |fault| fault.to_string());
            let text = format!("{} finds height {} invalid: {why}", seat_name(vote.signer), target.height);
            self.tell_once(format!("invalid {} {}", target.block, vote.signer), "invalid", text);
        }
    }

    fn on_evidence(&mut self, by: SeatIndex, evidence: &Evidence) {
        let what = evidence_name(evidence);
        let against = seat_name(evidence.offender());
        let (height, view) = evidence.round();
        let note = format!("has evidence against {against}: {what}");
        self.mark(Symbol::Evidence, by, About { height: height.0, view: view.0, block: None }, Some(&note));
        let key = format!("evidence {what} {against} {height} {view}");
        let place = if height == Height::ZERO { format!("view {view}") } else { format!("height {height}") };
        self.tell_once(key, "apart", format!("evidence against {against}: {what} at {place}"));
    }

    fn on_happening(&mut self, event: &Event) {
        match event {
            Event::Cut { from, to } => self.separate(from, to, "not heard by", "does not hear"),
            Event::Clog { from, to, .. } => self.separate(from, to, "slow towards", "slowly hears"),
            Event::Heal => self.reunite(),
            Event::DiskFull { seat } => {
                self.begin("apart", *seat, "disk full".into());
                self.tell("apart", format!("the disk of {} is full", seat_name(*seat)));
            }
            Event::DiskOk { seat } => {
                let seat = *seat;
                self.end(|_, lane, text| lane == seat.0 && text == "disk full");
                self.tell("good", format!("the disk of {} has room again", seat_name(seat)));
            }
            Event::SyncLost { seat } => {
                self.begin("apart", *seat, "loses syncs".into());
                self.tell(
                    "apart",
                    format!("the disk of {} no longer syncs, and says it does", seat_name(*seat)),
                );
            }
            Event::BitRot { seat } => self.tell("apart", format!("the disk of {} rots", seat_name(*seat))),
            Event::Weather(weather) => self.tell("apart", format!("weather: {}", weather_words(weather))),
            Event::CrashAll => self.tell("quiet", "all seats crash"),
            Event::Crash { .. } | Event::CrashBefore { .. } | Event::Restart { .. } | Event::RestartAll => {}
        }
    }

    /// Shows a cut on the lanes of its smaller side.
    fn separate(&mut self, from: &BTreeSet<SeatIndex>, to: &BTreeSet<SeatIndex>, mute: &str, deaf: &str) {
        let (side, words, others) = if from.len() <= to.len() { (from, mute, to) } else { (to, deaf, from) };
        let text = format!("{words} {}", seat_names(others, self.page.lanes.len()));
        for seat in side {
            self.begin("apart", *seat, text.clone());
        }
        let verb = if side.len() == 1 || words != mute { "" } else { " (each)" };
        self.tell("apart", format!("{} {text}{verb}", seat_names(side, self.page.lanes.len())));
    }

    fn reunite(&mut self) {
        self.end(|kind, _, text| kind == "apart" && !text.contains("disk"));
        self.tell("good", "the network is whole again");
    }
}

/// A watcher that is looked at after the run.
impl<O: Observer> Observer for Rc<RefCell<O>> {
    fn on(&mut self, at_ms: u64, event: &TraceEvent) {
        self.borrow_mut().on(at_ms, event);
    }
}

impl Observer for Recorder {
    fn on(&mut self, at_ms: u64, event: &TraceEvent) {
        self.now_ms = at_ms;
        match event {
            TraceEvent::Sent { from, to, message, arrives_ms } => {
                self.on_sent(*from, *to, message, *arrives_ms);
            }
            TraceEvent::Delivered { .. } | TraceEvent::Building { .. } => {}
            TraceEvent::Voted { vote } => self.on_vote(vote),
            TraceEvent::Decided { seat, height, block, kind, view, .. } => {
                let about = self.about(*height, *view, block);
                let fast = *kind == CertificateKind::Fast;
                let symbol = if fast { Symbol::DecidedFast } else { Symbol::DecidedSlow };
                self.mark(symbol, *seat, about, None);
                let highest = self.page.progress.last().map_or(0, |(_, height)| *height);
                if height.0 > highest && self.page.progress.len() < LINES_MAX {
                    self.page.progress.push((at_ms, height.0));
                }
            }
            TraceEvent::View { seat, view, leader, open } => {
                self.enter(*seat, *view);
                if *open {
                    let text = format!("view {view} is open: {} acts as SG", seat_name(*leader));
                    self.tell_once(format!("open {view}"), "view", text);
                } else {
                    let text = format!("{} is the first to enter view {view}", seat_name(*seat));
                    self.tell_once(format!("entered {view}"), "view", text);
                }
            }
            TraceEvent::Evidence { by, evidence } => self.on_evidence(*by, evidence),
            TraceEvent::Penalised { by, seat, offence } => {
                let note = format!("holds against {}: {offence}", seat_name(*seat));
                self.mark(Symbol::Note, *by, About::default(), Some(&note));
            }
            TraceEvent::Crashed { seat, why } => {
                self.mark(Symbol::Crash, *seat, About::default(), Some(&format!("is down: {why}")));
                self.begin("down", *seat, format!("down: {why}"));
                self.tell("quiet", format!("{} is down: {why}", seat_name(*seat)));
            }
            TraceEvent::Restarted { seat, height, emptied } => {
                let (seat, with) = (*seat, if *emptied { "an emptied disk" } else { "its disk" });
                self.end(|kind, lane, _| kind == "down" && lane == seat.0);
                let note = format!("is back with {with} at height {height}");
                self.mark(Symbol::Restart, seat, About::default(), Some(&note));
                self.tell("good", format!("{} {note}", seat_name(seat)));
            }
            TraceEvent::Happened(event) => self.on_happening(event),
            TraceEvent::Healed => {
                self.end(|kind, _, _| kind == "apart");
                self.tell("good", "from here on the network is calm and everything mended");
            }
            TraceEvent::Violated { text } => self.tell("bad", shortened(text)),
        }
    }
}
