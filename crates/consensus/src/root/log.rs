//! What a seat has signed about the root, so that it never contradicts itself.
//!
//! spec: Root F6, F8, F10

use std::collections::BTreeMap;
use std::sync::Arc;

use anfs_primitives::root::ROOT_BLOCK_BYTES_MAX;
use anfs_primitives::{
    CertificateKind, CodecError, Height, RootBlock, RootCertificate, RootHash, RootProposal, RootTally,
    SignedRootTimeout, TimeoutCertificate, View, decode, encode,
};
use borsh::{BorshDeserialize, BorshSerialize};

/// Largest encoded record: a proposal of the largest block, with its time-outs.
pub const ROOT_LOG_RECORD_BYTES_MAX: usize = ROOT_BLOCK_BYTES_MAX + 2 * 1024 * 1024;

/// Blocks kept for a height that only a PrepareCert unknown to this seat could call for.
const SPARE_BLOCKS: usize = 8;

/// One signature of this node's seat about the root, or what it must not forget beside it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum RootLogRecord {
    /// An own proposal, whole: a leader that restarts offers the very same block again.
    Proposal(Box<RootProposal>),
    /// A block that the next prepare is for. Whoever has seen a PrepareCert may be bound to propose it again, when
    /// nobody but its voters has it.
    Block(Arc<RootBlock>),
    /// An own vote.
    Vote(RootTally),
    /// The PrepareCert that the next commit answers.
    Prepared(RootCertificate),
    /// A view that was left.
    Timeout(Box<SignedRootTimeout>),
    /// Why the view is open that is signed in next. Whoever signs above those who lag must be able to show them the way:
    /// the time-outs that led there are superseded.
    Opening(Box<TimeoutCertificate>),
}

impl RootLogRecord {
    /// The height that it concerns: once that is final and on disk, the record is of no more use.
    #[must_use]
    pub fn scope(&self) -> Height {
        match self {
            Self::Proposal(proposal) => proposal.block.header.height,
            Self::Block(block) => block.header.height,
            Self::Vote(tally) => tally.target.height,
            Self::Prepared(certificate) => certificate.target.height,
            Self::Timeout(signed) => signed.timeout.height,
            Self::Opening(opening) => opening.height,
        }
    }

    /// The bytes that go to disk.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        encode(self)
    }

    /// Reads a record back.
    ///
    /// # Errors
    /// As [`decode`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CodecError> {
        decode(bytes, ROOT_LOG_RECORD_BYTES_MAX)
    }
}

/// The seat's signatures at the heights above the final one. Every signature passes through here.
///
/// In one view a seat prepares one block, commits one block, and signs nothing of a view that it has left.
#[derive(Clone, Debug, Default)]
pub(super) struct RootRecord {
    floor: Height,
    proposals: BTreeMap<(Height, View), RootProposal>,
    blocks: BTreeMap<(Height, RootHash), Arc<RootBlock>>,
    votes: BTreeMap<(Height, View, CertificateKind), RootTally>,
    /// Of the highest view, by height.
    prepared: BTreeMap<Height, RootCertificate>,
    /// Of the highest view, by height.
    timeouts: BTreeMap<Height, SignedRootTimeout>,
    /// Of the highest view, by height.
    openings: BTreeMap<Height, TimeoutCertificate>,
}

impl RootRecord {
    /// Replays a log on top of a final height.
    pub(super) fn replay(floor: Height, log: Vec<RootLogRecord>) -> Self {
        let mut record = Self { floor, ..Self::default() };
        for entry in log {
            record.add(entry);
        }
        record
    }

    /// Notes what is about to be persisted.
    pub(super) fn add(&mut self, entry: RootLogRecord) {
        let height = entry.scope();
        if height <= self.floor {
            return;
        }
        match entry {
            RootLogRecord::Proposal(proposal) => {
                let block = &proposal.block;
                self.blocks.entry((height, block.header.hash())).or_insert_with(|| block.clone());
                self.proposals.entry((height, proposal.view)).or_insert(*proposal);
            }
            RootLogRecord::Block(block) => {
                self.blocks.entry((height, block.header.hash())).or_insert(block);
                self.forget_spare(height);
            }
            RootLogRecord::Vote(tally) => {
                self.votes.entry((height, tally.target.view, tally.kind)).or_insert(tally);
            }
            RootLogRecord::Prepared(certificate) => {
                let held = self.prepared.get(&height);
                if held.is_none_or(|held| held.target.view < certificate.target.view) {
                    self.prepared.insert(height, certificate);
                }
            }
            RootLogRecord::Timeout(signed) => {
                if self.left(height).is_none_or(|left| left < signed.timeout.view) {
                    self.timeouts.insert(height, *signed);
                }
            }
            RootLogRecord::Opening(opening) => {
                if self.opened(height) < opening.view.next() {
                    self.openings.insert(height, *opening);
                }
            }
        }
    }

    /// Of the blocks of a height, the latest few are kept, and the one with a PrepareCert.
    fn forget_spare(&mut self, height: Height) {
        let last = self.blocks.range((height, RootHash::ZERO)..=(height, RootHash::repeat_byte(0xff)));
        let locked = self.prepared(height).map(|certificate| certificate.target.block);
        let spare = last.filter(|((_, hash), _)| Some(*hash) != locked);
        let spare: Vec<(View, RootHash)> =
            spare.map(|((_, hash), block)| (block.header.view, *hash)).collect();
        if spare.len() > SPARE_BLOCKS
            && let Some((_, oldest)) = spare.into_iter().min()
        {
            self.blocks.remove(&(height, oldest));
        }
    }

    /// The highest view of a height that the seat has left.
    pub(super) fn left(&self, height: Height) -> Option<View> {
        self.timeouts.get(&height).map(|signed| signed.timeout.view)
    }

    /// The highest view of a height that it knows to be open.
    pub(super) fn opened(&self, height: Height) -> View {
        self.openings.get(&height).map_or(View::ZERO, |opening| opening.view.next())
    }

    /// Why that view is open.
    pub(super) fn opening(&self, height: Height) -> Option<&TimeoutCertificate> {
        self.openings.get(&height)
    }

    /// Its last time-out at a height.
    pub(super) fn timeout(&self, height: Height) -> Option<&SignedRootTimeout> {
        self.timeouts.get(&height)
    }

    /// The PrepareCert of the highest view that it has committed to, or shown when it left a view.
    pub(super) fn prepared(&self, height: Height) -> Option<&RootCertificate> {
        let shown = self.timeouts.get(&height).and_then(|signed| signed.certificate.as_ref());
        let locked = self.prepared.get(&height);
        shown.into_iter().chain(locked).max_by_key(|certificate| certificate.target.view)
    }

    /// Its own proposal in a view.
    pub(super) fn proposal(&self, height: Height, view: View) -> Option<&RootProposal> {
        self.proposals.get(&(height, view))
    }

    /// Its vote of a kind in a view.
    pub(super) fn vote(&self, height: Height, view: View, kind: CertificateKind) -> Option<&RootTally> {
        self.votes.get(&(height, view, kind))
    }

    /// The highest view of a height that it has signed anything in, or holds a PrepareCert of: a crash may come between the
    /// record of the certificate and that of the commit, and who names the one must not be in an earlier view.
    pub(super) fn highest_view(&self, height: Height) -> View {
        let votes = self.votes.range((height, View::ZERO, CertificateKind::Fast)..);
        let votes = votes.take_while(|((at, ..), _)| *at == height).map(|((_, view, _), _)| *view);
        let proposals = self.proposals.range((height, View::ZERO)..);
        let proposals = proposals.take_while(|((at, _), _)| *at == height).map(|((_, view), _)| *view);
        let prepared = self.prepared(height).map(|certificate| certificate.target.view);
        votes.chain(proposals).chain(self.left(height)).chain(prepared).fold(self.opened(height), View::max)
    }

    /// A block of the log.
    pub(super) fn block(&self, height: Height, hash: RootHash) -> Option<&Arc<RootBlock>> {
        self.blocks.get(&(height, hash))
    }

    /// Whether signing a vote in this view keeps the seat honest, and is new.
    pub(super) fn may_vote(&self, height: Height, view: View, kind: CertificateKind) -> bool {
        self.may_sign(height, view) && self.vote(height, view, kind).is_none()
    }

    /// Whether signing a proposal in this view keeps the seat honest, and is new.
    pub(super) fn may_propose(&self, height: Height, view: View) -> bool {
        self.may_sign(height, view) && self.proposal(height, view).is_none()
    }

    /// Whether signing a time-out of this view keeps the seat honest, and is new.
    pub(super) fn may_leave(&self, height: Height, view: View) -> bool {
        self.may_sign(height, view)
    }

    fn may_sign(&self, height: Height, view: View) -> bool {
        height > self.floor && self.left(height).is_none_or(|left| left < view)
    }

    /// Records that must stay in the log.
    pub(super) fn live(&self) -> Vec<RootLogRecord> {
        let proposals = self.proposals.values().cloned().map(|one| RootLogRecord::Proposal(Box::new(one)));
        let proposed = |hash: &RootHash| self.proposals.values().any(|one| one.block.header.hash() == *hash);
        let blocks = self.blocks.iter().filter(|((_, hash), _)| !proposed(hash));
        let blocks = blocks.map(|(_, block)| RootLogRecord::Block(block.clone()));
        let prepared = self.prepared.values().cloned().map(RootLogRecord::Prepared);
        let votes = self.votes.values().cloned().map(RootLogRecord::Vote);
        let timeouts = self.timeouts.values().cloned().map(|one| RootLogRecord::Timeout(Box::new(one)));
        let openings = self.openings.values().cloned().map(|one| RootLogRecord::Opening(Box::new(one)));
        let votes = openings.chain(prepared).chain(votes);
        proposals.chain(blocks).chain(votes).chain(timeouts).collect()
    }

    /// A height is final: nothing is ever signed at or below it again.
    pub(super) fn finalised(&mut self, height: Height) {
        self.floor = self.floor.max(height);
        let first = self.floor.next();
        self.proposals = self.proposals.split_off(&(first, View::ZERO));
        self.blocks = self.blocks.split_off(&(first, RootHash::ZERO));
        self.votes = self.votes.split_off(&(first, View::ZERO, CertificateKind::Fast));
        self.prepared = self.prepared.split_off(&first);
        self.timeouts = self.timeouts.split_off(&first);
        self.openings = self.openings.split_off(&first);
    }
}

#[cfg(test)]
mod tests;
