//! What an expectation can look back on: when each honest seat had decided what, and who was found out.

use anfs_primitives::{CertificateKind, ConsensusMessage, SeatIndex};

use crate::observe::{Observer, TraceEvent};
use crate::plan::{Event, Plan, Timing};
use crate::trace::evidence_name;

/// One seat over time. Each list ascends by time, and its last element before a moment holds then.
#[derive(Clone, Debug, Default)]
struct Life {
    honest: bool,
    up: Vec<(u64, bool)>,
    heights: Vec<(u64, u64)>,
    /// The view, and whether it is open.
    views: Vec<(u64, (u64, bool))>,
}

/// A piece of evidence that an honest seat found.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) at_ms: u64,
    pub(super) against: SeatIndex,
    pub(super) what: &'static str,
}

/// A height that an honest seat was the first to decide.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decision {
    pub(super) at_ms: u64,
    pub(super) height: u64,
    fast: bool,
    pub(super) proposer: SeatIndex,
}

/// A run as its honest seats saw it.
#[derive(Clone, Debug)]
pub(super) struct Timeline {
    lives: Vec<Life>,
    pub(super) timing: Timing,
    /// By ascending time and height.
    decisions: Vec<Decision>,
    /// When an honest seat first showed the conviction of a block, and of which height.
    pub(super) convictions: Vec<(u64, u64)>,
    pub(super) evidence: Vec<Found>,
    /// When an honest seat first had a view open, which, and its leader.
    openings: Vec<(u64, u64, SeatIndex)>,
    convicted: std::collections::BTreeSet<anfs_primitives::BlockHash>,
    pub(super) end_ms: u64,
}

fn at<T: Copy>(list: &[(u64, T)], ms: u64) -> Option<T> {
    let later = list.partition_point(|(at, _)| *at <= ms);
    later.checked_sub(1).map(|last| list[last].1)
}

impl Timeline {
    pub(super) fn new(plan: &Plan) -> Self {
        let life = |seat| Life { honest: plan.is_honest(seat), ..Life::default() };
        Self {
            lives: plan.seats().map(life).collect(),
            timing: plan.timing,
            decisions: Vec::new(),
            convictions: Vec::new(),
            evidence: Vec::new(),
            openings: vec![(0, 0, SeatIndex::GENERATOR)],
            convicted: std::collections::BTreeSet::new(),
            end_ms: 0,
        }
    }

    pub(super) fn finish(&mut self, end_ms: u64) {
        self.end_ms = end_ms;
    }

    /// Honest seats that are up at a moment: all, or the one asked for.
    fn living(&self, only: Option<SeatIndex>, ms: u64) -> impl Iterator<Item = (SeatIndex, &Life)> {
        let seats = (0..).map(SeatIndex).zip(&self.lives);
        seats.filter(move |(seat, life)| match only {
            Some(only) => *seat == only,
            None => life.honest && at(&life.up, ms).unwrap_or(true),
        })
    }

    /// The decided heights of honest living seats at a moment.
    pub(super) fn heights(&self, only: Option<SeatIndex>, ms: u64) -> Vec<(SeatIndex, u64)> {
        self.living(only, ms).map(|(seat, life)| (seat, at(&life.heights, ms).unwrap_or(0))).collect()
    }

    /// The views of honest living seats at a moment; one that is not open counts as the one before it.
    pub(super) fn views(&self, only: Option<SeatIndex>, ms: u64) -> Vec<(SeatIndex, u64)> {
        let view = |life: &Life| {
            let (view, open) = at(&life.views, ms).unwrap_or((0, true));
            if open { view } else { view.saturating_sub(1) }
        };
        self.living(only, ms).map(|(seat, life)| (seat, view(life))).collect()
    }

    /// The leader of the highest view that was open somewhere by then.
    pub(super) fn acting(&self, ms: u64) -> SeatIndex {
        let open = self.openings.iter().filter(|(at, ..)| *at <= ms);
        open.max_by_key(|(_, view, _)| *view).map_or(SeatIndex::GENERATOR, |(.., leader)| *leader)
    }

    /// What was first decided in a stretch of time.
    fn decisions(&self, after_ms: u64, by_ms: u64) -> impl Iterator<Item = &Decision> {
        self.decisions.iter().filter(move |decision| decision.at_ms > after_ms && decision.at_ms <= by_ms)
    }

    /// Heights first decided in a stretch of time, fast and slow.
    pub(super) fn decided(&self, after_ms: u64, by_ms: u64) -> (u64, u64) {
        self.decisions(after_ms, by_ms).fold((0, 0), |(fast, slow), decision| {
            (fast + u64::from(decision.fast), slow + u64::from(!decision.fast))
        })
    }

    /// The first new height after a moment, of any seat's block or of one seat's.
    pub(super) fn next(&self, of: Option<SeatIndex>, after_ms: u64) -> Option<&Decision> {
        self.decisions(after_ms, u64::MAX).find(|decision| of.is_none_or(|seat| decision.proposer == seat))
    }

    /// The longest time in a stretch without a new height.
    pub(super) fn gap_ms(&self, after_ms: u64, by_ms: u64) -> u64 {
        let times = self.decisions(after_ms, by_ms).map(|decision| decision.at_ms);
        let mut last = after_ms;
        let mut longest = 0;
        for at in times.chain([by_ms]) {
            longest = longest.max(at.saturating_sub(last));
            last = at;
        }
        longest
    }

    fn life(&mut self, seat: SeatIndex) -> Option<&mut Life> {
        self.lives.get_mut(usize::from(seat.0)).filter(|life| life.honest)
    }
}

impl Observer for Timeline {
    fn on(&mut self, at_ms: u64, event: &TraceEvent) {
        match event {
            TraceEvent::Decided { seat, height, kind, proposer, .. } => {
                let Some(life) = self.life(*seat) else { return };
                life.heights.push((at_ms, height.0));
                if self.decisions.last().is_none_or(|last| last.height < height.0) {
                    let (height, fast) = (height.0, *kind == CertificateKind::Fast);
                    self.decisions.push(Decision { at_ms, height, fast, proposer: *proposer });
                }
            }
            TraceEvent::View { seat, view, leader, open } => {
                let Some(life) = self.life(*seat) else { return };
                life.views.push((at_ms, (view.0, *open)));
                if *open {
                    self.openings.push((at_ms, view.0, *leader));
                }
            }
            TraceEvent::Crashed { seat, .. } => {
                self.life(*seat).into_iter().for_each(|life| life.up.push((at_ms, false)));
            }
            TraceEvent::Restarted { seat, height, .. } => {
                let Some(life) = self.life(*seat) else { return };
                life.up.push((at_ms, true));
                life.heights.push((at_ms, height.0));
            }
            TraceEvent::Evidence { evidence, .. } => {
                let (against, what) = (evidence.offender(), evidence_name(evidence));
                self.evidence.push(Found { at_ms, against, what });
            }
            TraceEvent::Sent { from, message, .. } => {
                if let ConsensusMessage::Certificate(certificate) = &**message
                    && certificate.kind == CertificateKind::Conviction
                    && self.life(*from).is_some()
                    && self.convicted.insert(certificate.target.block)
                {
                    self.convictions.push((at_ms, certificate.target.height.0));
                }
            }
            TraceEvent::Happened(Event::CrashAll) => {
                self.lives.iter_mut().for_each(|life| life.up.push((at_ms, false)));
            }
            _ => {}
        }
    }
}
