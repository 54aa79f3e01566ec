//! What this seat has signed, so that it never contradicts itself.
//!
//! spec: PROTOCOL §4

use std::collections::BTreeMap;

use anfs_primitives::{BlockHash, Height, SignedVote, View, VoteKind, VoteTarget};

use super::log::LogRecord;

/// The seat's signatures above the decided tip, as the log has them. Every signature passes through here.
///
/// The rules are stricter than what would be evidence (R7): in one (height, view) a seat votes for one block
/// only, whatever the kind, and never says valid or commits after it has said invalid, or the reverse in
/// full.
#[derive(Clone, Debug, Default)]
pub struct SigningRecord {
    floor: Height,
    votes: BTreeMap<(Height, View), Vec<SignedVote>>,
    proposals: BTreeMap<(Height, View), LogRecord>,
}

impl SigningRecord {
    /// Replays a log on top of a decided height. The first record wins where the log repeats itself.
    #[must_use]
    pub fn replay(floor: Height, log: Vec<LogRecord>) -> Self {
        let mut record = Self { floor, ..Self::default() };
        for entry in log {
            record.add(entry);
        }
        record
    }

    /// Notes a signature that is about to be persisted.
    pub fn add(&mut self, entry: LogRecord) {
        if entry.height() <= self.floor {
            return;
        }
        match entry {
            LogRecord::Vote(vote) => {
                let votes = self.votes.entry((vote.target.height, vote.target.view)).or_default();
                if !votes.contains(&vote) {
                    votes.push(vote);
                }
            }
            LogRecord::Proposal { ref block, .. } => {
                self.proposals.entry((block.header.height, block.header.view)).or_insert(entry);
            }
        }
    }

    /// Whether signing this vote keeps the seat honest, and is new.
    #[must_use]
    pub fn may_vote(&self, kind: VoteKind, target: &VoteTarget) -> bool {
        if target.height <= self.floor {
            return false;
        }
        self.votes(target.height, target.view).iter().all(|signed| {
            signed.target.block == target.block && signed.kind != kind && compatible(signed.kind, kind)
        })
    }

    /// Whether signing a proposal of this block keeps the seat honest, and is new.
    #[must_use]
    pub fn may_propose(&self, height: Height, view: View) -> bool {
        height > self.floor && !self.proposals.contains_key(&(height, view))
    }

    /// Everything signed for one (height, view).
    #[must_use]
    pub fn votes(&self, height: Height, view: View) -> &[SignedVote] {
        self.votes.get(&(height, view)).map_or(&[], Vec::as_slice)
    }

    /// Whether the seat has called this block valid.
    #[must_use]
    pub fn has_approved(&self, height: Height, view: View, block: &BlockHash) -> bool {
        self.votes(height, view).iter().any(|vote| {
            vote.target.block == *block && matches!(vote.kind, VoteKind::ValidSliced | VoteKind::ValidFull)
        })
    }

    /// All votes above the floor, ascending.
    pub fn all_votes(&self) -> impl Iterator<Item = &SignedVote> {
        self.votes.values().flatten()
    }

    /// All proposals above the floor, ascending.
    pub fn proposals(&self) -> impl Iterator<Item = &LogRecord> {
        self.proposals.values()
    }

    /// Records that must stay in the log.
    #[must_use]
    pub fn live(&self) -> Vec<LogRecord> {
        let votes = self.all_votes().cloned().map(LogRecord::Vote);
        self.proposals().cloned().chain(votes).collect()
    }

    /// A height was decided: nothing is ever signed at or below it again.
    pub fn decided(&mut self, height: Height) {
        self.floor = self.floor.max(height);
        let first = (self.floor.next(), View::ZERO);
        self.votes = self.votes.split_off(&first);
        self.proposals = self.proposals.split_off(&first);
    }
}

/// Whether an honest seat can say `next` of a block after it said `said`. Only one change of mind exists: its
/// own slices were fine and the whole is not (R7).
fn compatible(said: VoteKind, next: VoteKind) -> bool {
    let negative = |kind| matches!(kind, VoteKind::InvalidFull | VoteKind::InvalidSliced);
    negative(said) == negative(next) || (said, next) == (VoteKind::ValidSliced, VoteKind::InvalidFull)
}
