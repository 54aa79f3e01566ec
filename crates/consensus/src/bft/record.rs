//! What this seat has signed, so that it never contradicts itself.
//!
//! spec: PROTOCOL §4

use std::collections::BTreeMap;
use std::sync::Arc;

use anfs_primitives::{
    Block, BlockHash, Certificate, Height, NewView, Proposal, SignedViewChange, SignedVote, View, VoteKind,
    VoteTarget,
};

use super::log::{LogRecord, Scope, Standing};

/// Bodies kept for each height that only a PrepareCert unknown to this seat could call for.
const SPARE_BODIES: usize = 8;

/// The seat's signatures above the decided tip, as the log has them. Every signature passes through here.
///
/// The rules are stricter than what would be evidence (R7): in one (height, view) a seat votes for one block
/// only, whatever the kind, and never says valid or commits after it has said invalid, or the reverse in
/// full.
#[derive(Clone, Debug, Default)]
pub struct SigningRecord {
    floor: Height,
    standing: Standing,
    /// Height below which the record is silent although the seat has signed, as long as not all of it is
    /// decided.
    silent: Option<Height>,
    votes: BTreeMap<(Height, View), Vec<SignedVote>>,
    /// Own proposals, and blocks of others that were approved. Of two rivals for one (height, view) both may
    /// come to be carried.
    proposals: BTreeMap<(Height, View, BlockHash), LogRecord>,
    /// By height, of the highest view.
    prepared: BTreeMap<Height, Certificate>,
    view_change: Option<SignedViewChange>,
    opening: Option<NewView>,
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

    /// Notes what is about to be persisted.
    pub fn add(&mut self, entry: LogRecord) {
        if matches!(entry.scope(), Scope::Height(height) if height <= self.floor) {
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
                let header = &block.header;
                self.proposals.entry((header.height, header.view, header.hash())).or_insert(entry);
            }
            LogRecord::Prepared(certificate) => {
                let held = self.prepared.get(&certificate.target.height);
                if held.is_none_or(|held| held.target.view < certificate.target.view) {
                    self.prepared.insert(certificate.target.height, certificate);
                }
            }
            LogRecord::ViewChange(signed) => {
                if self.promised() < signed.change.view {
                    self.view_change = Some(*signed);
                    self.forget_dead();
                }
            }
            LogRecord::NewView(opening) => {
                if self.opening.as_ref().is_none_or(|held| held.view < opening.view) {
                    self.opening = Some(*opening);
                }
            }
            LogRecord::Standing(standing) => self.standing = standing,
            LogRecord::Floor(height) => {
                self.silent = self.silent.max(Some(height));
                self.raise(height);
            }
        }
    }

    /// Takes in what another record of the same seat holds. Nothing is unlearnt: what either of the two forbids
    /// to sign, the outcome forbids.
    pub fn merge(&mut self, other: impl IntoIterator<Item = LogRecord>) {
        for entry in other {
            self.add(entry);
        }
    }

    /// Whether the seat may sign on this record.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// Up to which height the seat may have signed what the record does not hold, unless all of that is
    /// decided.
    #[must_use]
    pub fn silent(&self) -> Option<Height> {
        self.silent
    }

    /// (Height, view) pairs in which the seat has signed for more than one block: two processes had its key.
    pub fn contradictions(&self) -> impl Iterator<Item = (Height, View)> {
        let doubled = self
            .votes
            .iter()
            .filter(|(_, votes)| votes.windows(2).any(|pair| pair[0].target.block != pair[1].target.block));
        doubled.map(|(place, _)| *place)
    }

    /// The view below which this seat has promised to vote no more.
    #[must_use]
    pub fn promised(&self) -> View {
        self.view_change.as_ref().map_or(View::ZERO, |signed| signed.change.view)
    }

    /// The latest promise.
    #[must_use]
    pub fn view_change(&self) -> Option<&SignedViewChange> {
        self.view_change.as_ref()
    }

    /// The latest view that this seat has opened as its leader.
    #[must_use]
    pub fn opening(&self) -> Option<&NewView> {
        self.opening.as_ref()
    }

    /// The PrepareCert of the highest view that a commit at this height answered.
    #[must_use]
    pub fn prepared(&self, height: Height) -> Option<&Certificate> {
        self.prepared.get(&height)
    }

    /// The block that this seat approved at this height in the highest view, and that view.
    #[must_use]
    pub fn approved(&self, height: Height) -> Option<(View, BlockHash)> {
        let views = self.votes.range((height, View::ZERO)..(height.next(), View::ZERO)).rev();
        let approvals = views.flat_map(|(_, votes)| votes);
        let mut approvals = approvals.filter(|vote| vote.kind == VoteKind::ValidSliced);
        approvals.next().map(|vote| (vote.target.view, vote.target.block))
    }

    /// The highest view that it has voted in, or was about to commit in.
    #[must_use]
    pub fn highest_view(&self) -> View {
        let voted = self.votes.keys().map(|&(_, view)| view);
        // Logged before the commit that answers it: a crash may have come between the two.
        let prepared = self.prepared.values().map(|certificate| certificate.target.view);
        voted.chain(prepared).max().unwrap_or_default()
    }

    /// Bodies of views that are over are only needed if the block may be proposed again: it was approved
    /// last, committed to, or found valid in full, whereupon a PrepareCert of it may turn up. Of the last
    /// kind, the latest few.
    fn forget_dead(&mut self) {
        let promised = self.promised();
        let mut kept = BTreeMap::new();
        let mut spare: BTreeMap<Height, usize> = BTreeMap::new();
        for ((height, view, hash), entry) in std::mem::take(&mut self.proposals).into_iter().rev() {
            let prepared = self.prepared.get(&height).is_some_and(|cert| cert.target.block == hash);
            let approved = self.approved(height).is_some_and(|(_, block)| block == hash);
            let needed = view >= promised || prepared || approved;
            let spares = spare.entry(height).or_default();
            if needed || (*spares < SPARE_BODIES && self.found_valid(height, &hash)) {
                *spares += usize::from(!needed);
                kept.insert((height, view, hash), entry);
            }
        }
        self.proposals = kept;
    }

    /// Whether the seat has found this block valid in full, in any view.
    fn found_valid(&self, height: Height, block: &BlockHash) -> bool {
        let views = self.votes.range((height, View::ZERO)..(height.next(), View::ZERO));
        let mut votes = views.flat_map(|(_, votes)| votes);
        votes.any(|vote| vote.kind == VoteKind::ValidFull && vote.target.block == *block)
    }

    /// A block of the log, with its proposal.
    #[must_use]
    pub fn block(&self, hash: &BlockHash) -> Option<(Proposal, Arc<Block>)> {
        self.blocks().find(|(_, block)| block.header.hash() == *hash)
    }

    /// All blocks of the log, ascending.
    pub fn blocks(&self) -> impl Iterator<Item = (Proposal, Arc<Block>)> {
        self.proposals.values().filter_map(|entry| match entry {
            LogRecord::Proposal { block, signature } => {
                let proposal = Proposal { header: block.header.clone(), signature: *signature };
                Some((proposal, block.clone()))
            }
            _ => None,
        })
    }

    /// Whether the block's body is in the log.
    #[must_use]
    pub fn holds(&self, height: Height, view: View, block: &BlockHash) -> bool {
        self.proposals.contains_key(&(height, view, *block))
    }

    /// Hashes of the blocks of one (height, view) in the log.
    fn rivals(&self, height: Height, view: View) -> impl Iterator<Item = BlockHash> {
        let range = (height, view, BlockHash::ZERO)..=(height, view, BlockHash::repeat_byte(0xff));
        self.proposals.range(range).map(|(&(_, _, hash), _)| hash)
    }

    /// Whether signing this vote keeps the seat honest, and is new.
    #[must_use]
    pub fn may_vote(&self, kind: VoteKind, target: &VoteTarget) -> bool {
        if target.height <= self.floor || target.view < self.promised() {
            return false;
        }
        self.votes(target.height, target.view).iter().all(|signed| {
            signed.target.block == target.block && signed.kind != kind && compatible(signed.kind, kind)
        })
    }

    /// Whether signing a proposal of this block keeps the seat honest, and is new.
    #[must_use]
    pub fn may_propose(&self, height: Height, view: View) -> bool {
        height > self.floor && view >= self.promised() && self.rivals(height, view).next().is_none()
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

    /// Records that must stay in the log.
    #[must_use]
    pub fn live(&self) -> Vec<LogRecord> {
        let change = self.view_change.iter().cloned().map(|signed| LogRecord::ViewChange(Box::new(signed)));
        let opening = self.opening.iter().cloned().map(|opening| LogRecord::NewView(Box::new(opening)));
        let prepared = self.prepared.values().cloned().map(LogRecord::Prepared);
        let votes = self.all_votes().cloned().map(LogRecord::Vote);
        let standing = Some(self.standing).filter(|standing| *standing != Standing::Sound);
        let own = standing.map(LogRecord::Standing).into_iter().chain(self.silent.map(LogRecord::Floor));
        let views = own.chain(change).chain(opening);
        views.chain(self.proposals.values().cloned()).chain(prepared).chain(votes).collect()
    }

    /// A height was decided: nothing is ever signed at or below it again.
    pub fn decided(&mut self, height: Height) {
        self.silent = self.silent.filter(|silent| *silent > height);
        self.raise(height);
    }

    fn raise(&mut self, height: Height) {
        self.floor = self.floor.max(height);
        let first = (self.floor.next(), View::ZERO);
        self.votes = self.votes.split_off(&first);
        self.proposals = self.proposals.split_off(&(first.0, first.1, BlockHash::ZERO));
        self.prepared = self.prepared.split_off(&first.0);
    }
}

/// Whether an honest seat can say `next` of a block after it said `said`. Only one change of mind exists: its
/// own slices were fine and the whole is not (R7).
fn compatible(said: VoteKind, next: VoteKind) -> bool {
    let negative = |kind| matches!(kind, VoteKind::InvalidFull | VoteKind::InvalidSliced);
    negative(said) == negative(next) || (said, next) == (VoteKind::ValidSliced, VoteKind::InvalidFull)
}

#[cfg(test)]
mod tests;
