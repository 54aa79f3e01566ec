//! The rules, asked of the production code; or a wrong variant of one of them.
//!
//! Answers are remembered: the explorer asks the same few questions millions of times.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use anfs_consensus::bft::{Quorum, SigningRecord, ViewRules};
use anfs_consensus::evidence::contradict;
use anfs_consensus::{CryptoError, LogRecord, VoteCrypto};
use anfs_primitives::{
    BlsSignature, BoundedVec, Certificate, CertificateKind, DomainId, Epoch, Fault, Height, HeightReport,
    NetworkId, NewView, Proposal, SealedHeader, SeatIndex, SignedViewChange, SignedVote, View, ViewChange,
    VoteKind, VoteTarget,
};

use crate::explore::Mixer;
use crate::flaw::Flaw;
use crate::state::{Blocks, Mark, Promise, Seat, Votes, Word};
use crate::tree::{BlockId, HEIGHTS, Tree, height_of};

type Memo<K, V> = HashMap<K, V, Mixer>;

/// One height of a promise: PrepareCert and approval.
pub(crate) type HeightWord = (Mark, Mark);

/// What an opening comes to for whoever accepts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Outcome {
    /// The highest block proven decided: 0 for genesis, or block + 1.
    pub(crate) ground: u8,
    /// What must be proposed again, by height: 0 or block + 1.
    pub(crate) carried: [u8; HEIGHTS],
}

/// Promises that open a view, and what they oblige its leader to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Opening {
    pub(crate) honest: Vec<Promise>,
    pub(crate) byzantine: Option<Promise>,
    pub(crate) convictions: Blocks,
    pub(crate) outcome: Outcome,
    /// A block at hand that does not extend what is carried below it.
    pub(crate) dead: Option<BlockId>,
}

pub(crate) struct Law {
    pub(crate) tree: Rc<Tree>,
    pub(crate) flaw: Option<Flaw>,
    quorum: Quorum,
    rules: ViewRules,
    may_vote: Memo<(Votes, u8, bool, usize, BlockId, u8), bool>,
    approved: Memo<(Mark, Votes, u8, usize), Mark>,
    contradicts: Memo<Votes, bool>,
    candidates: Memo<(u8, usize, Vec<HeightWord>, u8), Option<BlockId>>,
    verified: BTreeSet<(u8, Vec<Promise>, Option<Promise>, u8)>,
}

impl Law {
    pub(crate) fn new(tree: Rc<Tree>, flaw: Option<Flaw>) -> Self {
        let quorum = Quorum::new(4).unwrap();
        let base = (Height::ZERO, alloy_primitives::B256::ZERO);
        let (network, epoch, domain) = (NetworkId(7), Epoch::ZERO, DomainId(1));
        Self {
            tree,
            flaw,
            quorum,
            rules: ViewRules { quorum, network, epoch, domain, base, reach: HEIGHTS },
            may_vote: Memo::default(),
            approved: Memo::default(),
            contradicts: Memo::default(),
            candidates: Memo::default(),
            verified: BTreeSet::new(),
        }
    }

    fn is(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    /// Honest votes that a certificate needs: the byzantine verifier signs everything.
    pub(crate) fn honest_votes(&self, kind: CertificateKind) -> usize {
        let less = usize::from(self.is(Flaw::SmallQuorum) && kind != CertificateKind::Fast);
        self.quorum.needed(kind) - self.quorum.faults() - less
    }

    /// Promises that an opening needs.
    pub(crate) fn promises(&self) -> usize {
        let less = self.is(Flaw::SmallQuorum) || self.is(Flaw::SmallOpening);
        self.quorum.decide() - usize::from(less)
    }

    /// Different openings that the model examined with [`ViewRules::check_opening`].
    pub(crate) fn openings_verified(&self) -> usize {
        self.verified.len()
    }

    /// Whether the signing record lets this seat say this in the present view.
    pub(crate) fn may_vote(&mut self, seat: &Seat, view: u8, block: BlockId, word: Word) -> bool {
        let floor = seat.tip.checked_sub(1).map_or(0, |tip| self.tree.height(tip));
        let mut said = seat.votes;
        if self.is(Flaw::TwoBlocks) {
            said = said.on(block);
        }
        if self.is(Flaw::ChangeOfMind) && word == Word::Invalid && said.has(block, Word::Full) {
            said = Votes::default();
        }
        let promised = seat.promise.is_some();
        let key = (said, view, promised, floor, block, word as u8);
        if let Some(&known) = self.may_vote.get(&key) {
            return known;
        }
        let promise = promised.then(|| change(&self.tree, view, 0, &Promise::default()));
        let log = promise.map(|signed| LogRecord::ViewChange(Box::new(signed)));
        let log: Vec<_> = log.into_iter().chain(self.records(said, view)).collect();
        let record = SigningRecord::replay(height_of(floor), log);
        let target = self.tree.target(View(view.into()), block);
        let may = record.may_vote(kind_of(word), &target);
        self.may_vote.insert(key, may);
        may
    }

    fn records(&self, votes: Votes, view: u8) -> impl Iterator<Item = LogRecord> {
        votes.iter(&self.tree).map(move |(block, word)| LogRecord::Vote(self.vote(view, block, word)))
    }

    fn vote(&self, view: u8, block: BlockId, word: Word) -> SignedVote {
        let target = self.tree.target(View(view.into()), block);
        SignedVote {
            kind: kind_of(word),
            target,
            fault: None,
            signer: SeatIndex(1),
            signature: BlsSignature::ZERO,
        }
    }

    /// The latest approval at a height, once the present view is over.
    pub(crate) fn approved(&mut self, before: Mark, votes: Votes, view: u8, height: usize) -> Mark {
        let key = (before, votes, view, height);
        if let Some(&known) = self.approved.get(&key) {
            return known;
        }
        let old = before.get().map(|(at, block)| LogRecord::Vote(self.vote(at, block, Word::Sliced)));
        let mut record =
            SigningRecord::replay(Height::ZERO, old.into_iter().chain(self.records(votes, view)).collect());
        let latest = record.approved(height_of(height)).map_or(Mark::NONE, |(at, hash)| {
            let at = u8::try_from(at.0).unwrap();
            Mark::new(at, self.tree.find(&hash).unwrap())
        });
        // After a promise for a later view, nothing may be said in this one.
        record.add(LogRecord::ViewChange(Box::new(change(&self.tree, view + 1, 0, &Promise::default()))));
        let silent = self.tree.all().all(|block| {
            let target = self.tree.target(View(view.into()), block);
            Word::ALL.iter().all(|&word| !record.may_vote(kind_of(word), &target))
        });
        assert!(silent, "a promise must bind");
        self.approved.insert(key, latest);
        latest
    }

    /// Whether the votes of one seat in one view are evidence against it.
    pub(crate) fn contradicts(&mut self, votes: Votes) -> bool {
        if let Some(&known) = self.contradicts.get(&votes) {
            return known;
        }
        let said: Vec<_> = votes.iter(&self.tree).map(|(block, word)| self.vote(0, block, word)).collect();
        let found = said.iter().any(|a| said.iter().any(|b| contradict(a, b)));
        self.contradicts.insert(votes, found);
        found
    }

    /// What must be proposed again at a height, given what a quorum reports of it.
    pub(crate) fn candidate(
        &mut self,
        view: u8,
        height: usize,
        reports: &[HeightWord],
        convictions: Blocks,
    ) -> Option<BlockId> {
        let mut reports = reports.to_vec();
        reports.sort_unstable();
        let key = (view, height, reports, convictions.0);
        if let Some(&known) = self.candidates.get(&key) {
            return known;
        }
        let found = self.variant(&key.2, convictions);
        if self.flaw.is_none() {
            let production = self.production(view, height, &key.2, convictions);
            assert_eq!(production, found, "two readings of R6 differ on {key:?}");
        }
        self.candidates.insert(key, found);
        found
    }

    fn production(
        &self,
        view: u8,
        height: usize,
        reports: &[HeightWord],
        convictions: Blocks,
    ) -> Option<BlockId> {
        let signed: Vec<_> = (0..)
            .zip(reports)
            .map(|(seat, &(prepared, approved))| {
                let mut promise = Promise::default();
                (promise.prepared[height - 1], promise.approved[height - 1]) = (prepared, approved);
                change(&self.tree, view, seat, &promise)
            })
            .collect();
        let convictions: Vec<_> = self.convictions(convictions).collect();
        let hash = self.rules.candidate(height_of(height), &signed, &convictions)?;
        Some(self.tree.find(&hash).expect("only blocks of the tree are reported"))
    }

    fn convictions(&self, blocks: Blocks) -> impl Iterator<Item = Certificate> {
        blocks.iter().map(|block| certificate(&self.tree, CertificateKind::Conviction, 0, block))
    }

    /// R6 once more in the model's own words, with the wrong variants.
    fn variant(&self, reports: &[HeightWord], convictions: Blocks) -> Option<BlockId> {
        let prepared = reports.iter().filter_map(|report| report.0.get()).max_by_key(|&(view, _)| view);
        let support = |block: BlockId| -> Option<u8> {
            let of_block = reports.iter().filter_map(|report| report.1.get()).filter(|&(_, b)| b == block);
            let mut views: Vec<u8> = of_block.map(|(view, _)| view).collect();
            views.sort_unstable();
            let rank = self.quorum.faults();
            match self.flaw {
                Some(Flaw::NoSupport) => None,
                Some(Flaw::SupportOfOneView) => {
                    let enough = |&&view: &&u8| views.iter().filter(|&&other| other == view).count() > rank;
                    views.iter().rev().find(enough).copied()
                }
                Some(Flaw::SupportOfHighest) => views.last().copied().filter(|_| views.len() > rank),
                _ => views.len().checked_sub(rank + 1).map(|place| views[place]),
            }
        };
        let supported = self.tree.all().find_map(|block| Some((support(block)?, block)));
        let supported = supported.filter(|&(_, block)| !convictions.has(block));
        match (prepared, supported) {
            (Some((at, block)), Some((support, other))) => {
                let prepared_wins = match self.flaw {
                    Some(Flaw::PreparedFirst) => true,
                    Some(Flaw::SupportFirst) => at > support,
                    _ => at >= support,
                };
                Some(if prepared_wins { block } else { other })
            }
            (prepared, supported) => prepared.or(supported).map(|(_, block)| block),
        }
    }

    /// Whether a verifier takes a promise whose only deciding certificate is this block's.
    pub(crate) fn takes_lone_tip(&self, block: BlockId) -> bool {
        let mut signed = change(&self.tree, 2, 0, &Promise { tip: block + 1, ..Promise::default() });
        let tip = signed.change.decided.last().cloned().unwrap();
        signed.change.decided = BoundedVec::try_from(vec![tip]).unwrap();
        self.rules.check_form(&signed.change).is_ok()
    }

    /// Puts an opening together as its leader would, and has the production code check it as a verifier.
    pub(crate) fn verify(&mut self, view: u8, opening: &Opening) {
        let key = (view, opening.honest.clone(), opening.byzantine, opening.convictions.0);
        if self.flaw.is_some() || !self.verified.insert(key) {
            return;
        }
        let promises = opening.honest.iter().chain(&opening.byzantine);
        let changes: Vec<_> =
            (0..).zip(promises).map(|(seat, promise)| change(&self.tree, view, seat, promise)).collect();
        let convictions: Vec<_> = self.convictions(opening.convictions).collect();
        let find = |hash: &_| self.tree.find(hash).map(|block| self.tree.proposal(block));
        let carried = self.rules.collect(&changes, &convictions, find).expect("all proposals are at hand");
        let new_view = NewView {
            view: View(view.into()),
            changes: BoundedVec::try_from(changes).unwrap(),
            carried: BoundedVec::try_from(carried.clone()).unwrap(),
            convictions: BoundedVec::try_from(convictions).unwrap(),
            signature: BlsSignature::ZERO,
        };
        let alive = self.rules.check_opening(&Believer, &new_view).expect("the opening follows the rules");
        let names: Vec<_> = carried.iter().filter_map(|p| self.tree.find(&p.header.hash())).collect();
        let due = opening.outcome.carried.iter().filter_map(|packed| packed.checked_sub(1));
        assert_eq!(names[..alive], due.collect::<Vec<_>>(), "what is carried: {opening:?}");
        assert_eq!(names.get(alive).copied(), opening.dead, "what is dead: {opening:?}");
        let ground = opening.outcome.ground.checked_sub(1).map_or(0, |block| self.tree.height(block));
        assert_eq!(self.rules.ground(&new_view.changes).0, height_of(ground), "the ground: {opening:?}");
        if !carried.is_empty() {
            let short = NewView { carried: BoundedVec::new(), ..new_view };
            assert!(self.rules.check_opening(&Believer, &short).is_err(), "a leader must carry: {opening:?}");
        }
    }
}

pub(crate) fn kind_of(word: Word) -> VoteKind {
    match word {
        Word::Sliced => VoteKind::ValidSliced,
        Word::Full => VoteKind::ValidFull,
        Word::Invalid => VoteKind::InvalidFull,
        Word::Commit => VoteKind::Commit,
    }
}

fn certificate(tree: &Tree, kind: CertificateKind, view: u8, block: BlockId) -> Certificate {
    let signers = if kind == CertificateKind::Fast { 0..4 } else { 0..3 };
    let target = tree.target(View(view.into()), block);
    Certificate { kind, target, signers: signers.collect(), signature: BlsSignature::ZERO }
}

fn change(tree: &Tree, view: u8, seat: u16, promise: &Promise) -> SignedViewChange {
    let mut reports = Vec::new();
    for height in 1..=HEIGHTS {
        let (prepared, approved) = (promise.prepared[height - 1], promise.approved[height - 1]);
        if prepared != Mark::NONE || approved != Mark::NONE {
            let prepared =
                prepared.get().map(|(at, block)| certificate(tree, CertificateKind::Prepare, at, block));
            let approved = approved.get().map(|(at, block)| (View(at.into()), tree.hash(block)));
            reports.push(HeightReport { height: height_of(height), prepared, approved });
        }
    }
    let tip = promise.tip.checked_sub(1);
    let mut decided: Vec<_> = std::iter::successors(tip, |&block| tree.parent(block))
        .map(|block| certificate(tree, CertificateKind::Fast, 0, block))
        .collect();
    decided.reverse();
    let change = ViewChange {
        network: NetworkId(7),
        epoch: Epoch::ZERO,
        domain: DomainId(1),
        view: View(view.into()),
        decided: BoundedVec::try_from(decided).unwrap(),
        reports: BoundedVec::try_from(reports).unwrap(),
    };
    SignedViewChange { change, signer: SeatIndex(seat + 1), signature: BlsSignature::ZERO }
}

/// Believes every signature: the model makes only certificates that exist.
#[derive(Debug)]
struct Believer;

impl VoteCrypto for Believer {
    fn sign_vote(
        &self,
        seat: SeatIndex,
        _: VoteKind,
        _: &VoteTarget,
        _: Option<Fault>,
    ) -> Result<SignedVote, CryptoError> {
        Err(CryptoError::NoKey(seat))
    }

    fn sign_proposal(&self, seat: SeatIndex, _: &SealedHeader) -> Result<Proposal, CryptoError> {
        Err(CryptoError::NoKey(seat))
    }

    fn verify_proposal(&self, _: &Proposal) -> bool {
        true
    }

    fn verify_votes(&self, _: VoteKind, _: &VoteTarget, _: &[(usize, BlsSignature)]) -> Vec<usize> {
        Vec::new()
    }

    fn aggregate(
        &self,
        _: CertificateKind,
        _: &VoteTarget,
        _: &[(usize, BlsSignature)],
    ) -> Result<Certificate, CryptoError> {
        Err(CryptoError::Signer("the model makes certificates itself".into()))
    }

    fn verify_certificate(&self, quorum: usize, certificate: &Certificate) -> bool {
        certificate.signers.len() >= quorum
    }

    fn sign_view_change(&self, seat: SeatIndex, _: ViewChange) -> Result<SignedViewChange, CryptoError> {
        Err(CryptoError::NoKey(seat))
    }

    fn verify_view_change(&self, _: &SignedViewChange) -> bool {
        true
    }

    fn sign_new_view(&self, seat: SeatIndex, _: NewView) -> Result<NewView, CryptoError> {
        Err(CryptoError::NoKey(seat))
    }

    fn verify_new_view(&self, _: SeatIndex, _: &NewView) -> bool {
        true
    }
}
