//! What an operator wants to know of views and evidence: who leads since when and why, and who misbehaved.

use std::collections::VecDeque;

use anfs_consensus::{Evidence, ShardStatus};
use anfs_primitives::{SeatIndex, View};
use anfs_rpc::{EvidenceNote, ViewChangeNote};

/// Pieces of evidence that are shown; the count goes on.
const EVIDENCE_SHOWN: usize = 32;

/// See the module docs.
#[derive(Debug, Default)]
pub(crate) struct ViewLog {
    last: Option<ViewChangeNote>,
    evidence: VecDeque<EvidenceNote>,
}

/// What made the core step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Time, the own threads, or votes and wishes of others.
    Own,
    /// The others showed that they are in a higher view.
    Shown,
}

impl ViewLog {
    pub(crate) fn last(&self) -> Option<ViewChangeNote> {
        self.last.clone()
    }

    pub(crate) fn evidence(&self) -> Vec<EvidenceNote> {
        self.evidence.iter().cloned().collect()
    }

    /// Notes evidence, and says it in the log.
    pub(crate) fn found(&mut self, seat: SeatIndex, evidence: &Evidence, unix_ms: u64) {
        let (offender, (height, view)) = (evidence.offender(), evidence.round());
        let kind = words(evidence);
        tracing::warn!(%seat, %offender, %height, %view, "evidence: seat {offender} {kind}");
        if self.evidence.len() == EVIDENCE_SHOWN {
            self.evidence.pop_front();
        }
        self.evidence.push_back(EvidenceNote { kind: kind.into(), offender, height, view: view.0, unix_ms });
    }

    /// Notes a change of view, and says in the log what has become of the old one and of the new.
    pub(crate) fn observe(&mut self, before: &ShardStatus, after: &ShardStatus, cause: Cause, unix_ms: u64) {
        let Some(seat) = after.seat else { return };
        let (view, leader) = (after.view, after.acting);
        if before.view != view {
            let reason = self.reason(before, after, cause);
            tracing::info!(%seat, %view, %leader, "view {view} entered: {reason}");
            self.last = Some(ViewChangeNote { view: view.0, unix_ms, reason });
        }
        let opened = after.view_open && (before.view != view || !before.view_open);
        if opened && leader == seat {
            tracing::info!(%seat, %view, "view {view} is open: this seat acts as sequence generator");
        } else if opened {
            tracing::info!(%seat, %view, %leader, "view {view} is open: seat {leader} acts as sequence generator");
        }
    }

    fn reason(&self, before: &ShardStatus, after: &ShardStatus, cause: Cause) -> String {
        let old = before.acting;
        let accused = |view: View| {
            let by_leader = |note: &&EvidenceNote| note.offender == old && note.view == view.0;
            self.evidence.iter().rev().find(by_leader)
        };
        if after.convictions > before.convictions {
            let height = before.certified.next();
            return format!(
                "a block of seat {old} at height {height} or above was found invalid by a quorum"
            );
        }
        if cause == Cause::Shown {
            return "the others had gone on already".into();
        }
        match accused(before.view) {
            Some(note) => format!("seat {old} {}", note.kind),
            None if before.view_open => format!("nothing was decided under seat {old} for too long"),
            None => format!("seat {old} did not open view {}", before.view),
        }
    }
}

/// What the offender did.
fn words(evidence: &Evidence) -> &'static str {
    match evidence {
        Evidence::Proposals { .. } => "proposed two blocks for one height",
        Evidence::Votes { .. } => "cast votes that contradict each other",
        Evidence::ViewChanges { .. } => "made two promises for one view",
        Evidence::NewViews { .. } => "opened one view twice",
        Evidence::InvalidBlock { .. } => "proposed an invalid block",
        Evidence::FalseAlert { .. } => "called a valid block invalid",
    }
}

/// The label of a piece of evidence in metrics.
pub(crate) const KINDS: [&str; 6] =
    ["proposals", "votes", "view_changes", "new_views", "invalid_block", "false_alert"];

/// Index of a piece of evidence in [`KINDS`].
pub(crate) fn kind(evidence: &Evidence) -> usize {
    match evidence {
        Evidence::Proposals { .. } => 0,
        Evidence::Votes { .. } => 1,
        Evidence::ViewChanges { .. } => 2,
        Evidence::NewViews { .. } => 3,
        Evidence::InvalidBlock { .. } => 4,
        Evidence::FalseAlert { .. } => 5,
    }
}
