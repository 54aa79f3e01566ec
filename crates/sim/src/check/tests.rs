//! Each rule, broken once by hand: a checker that finds nothing here would find nothing anywhere.

use anfs_consensus::VoteCrypto;
use anfs_primitives::{Block, BoundedVec, HeightReport, VoteTarget};

use super::*;
use crate::blocks::{self, Flaw, Recipe};
use crate::byzantine::Behaviour;
use crate::crypto::SimCrypto;
use crate::rng::Rng;

struct Bench {
    checker: Checker,
    crypto: SimCrypto,
    genesis: SealedHeader,
    config: ShardConfig,
    a: BlockHash,
    b: BlockHash,
}

/// A block at height 1.
fn block(genesis: &SealedHeader, salt: u64, flaw: Option<Flaw>) -> Block {
    let proposer = SeatIndex::GENERATOR;
    blocks::build(genesis, &Recipe { slot: Slot(1), view: View::ZERO, proposer, salt, flaw })
}

fn bench(byzantine: &[u16]) -> Bench {
    let mut plan = Plan::calm(1, 4, 1_000);
    plan.byzantine = byzantine.iter().map(|seat| (SeatIndex(*seat), Behaviour::Dead)).collect();
    let genesis = blocks::genesis(&plan.config((Height::ZERO, BlockHash::ZERO)));
    let keys = Keys::draw(&mut Rng::new(1), 5);
    let crypto = SimCrypto::new(keys.clone(), plan.seats());
    let config = plan.config((Height::ZERO, genesis.hash()));
    let hash = |salt| block(&genesis, salt, None).header.hash();
    let (a, b) = (hash(1), hash(2));
    Bench { checker: Checker::new(&plan, keys, &genesis), crypto, config, a, b, genesis }
}

impl Bench {
    fn block(&self, salt: u64, flaw: Option<Flaw>) -> Block {
        block(&self.genesis, salt, flaw)
    }

    /// The body of A or B goes to the log before what is signed of it.
    fn body(&self, hash: BlockHash) -> LogRecord {
        let block = self.block(if hash == self.a { 1 } else { 2 }, None);
        let proposal = self.crypto.sign_proposal(SeatIndex::GENERATOR, &block.header).unwrap();
        LogRecord::Proposal { block: Arc::new(block), signature: proposal.signature }
    }

    fn target(&self, view: u64, block: BlockHash) -> VoteTarget {
        let config = &self.config;
        let (network, epoch, domain) = (config.network, config.epoch, config.domain);
        VoteTarget { network, epoch, domain, height: Height(1), view: View(view), block }
    }

    fn vote(&self, seat: u16, kind: VoteKind, view: u64, block: BlockHash) -> SignedVote {
        self.crypto.sign_vote(SeatIndex(seat), kind, &self.target(view, block), None).unwrap()
    }

    /// A vote that is written and synced.
    fn cast(&mut self, seat: u16, kind: VoteKind, view: u64, block: BlockHash) -> Vec<Rule> {
        let body = self.body(block);
        self.checker.persisted(SeatIndex(seat), &body);
        let record = LogRecord::Vote(self.vote(seat, kind, view, block));
        self.checker.persisted(SeatIndex(seat), &record);
        self.checker.synced(SeatIndex(seat));
        self.rules()
    }

    fn promise(&mut self, seat: u16, view: u64, reports: Vec<HeightReport>) -> Vec<Rule> {
        let config = &self.config;
        let change = ViewChange {
            network: config.network,
            epoch: config.epoch,
            domain: config.domain,
            view: View(view),
            decided: BoundedVec::new(),
            reports: BoundedVec::try_from(reports).unwrap(),
        };
        let signed = self.crypto.sign_view_change(SeatIndex(seat), change).unwrap();
        let record = LogRecord::ViewChange(Box::new(signed));
        self.checker.persisted(SeatIndex(seat), &record);
        self.checker.synced(SeatIndex(seat));
        self.rules()
    }

    fn decided(&self, block: &Block, kind: CertificateKind, signers: &[u16]) -> Decided {
        let target = self.target(0, block.header.hash());
        let share = |seat: &u16| {
            let vote = self.crypto.sign_vote(SeatIndex(*seat), kind.vote(), &target, None).unwrap();
            (usize::from(*seat) - 1, vote.signature)
        };
        let shares: Vec<_> = signers.iter().map(share).collect();
        let certificate = self.crypto.aggregate(kind, &target, &shares).unwrap();
        Decided { block: Arc::new(block.clone()), certificate }
    }

    /// Seat 1 dies, and its disk has kept this.
    fn crash(&mut self, log: &[LogRecord]) {
        self.checker.crashed(SeatIndex(1), log);
    }

    /// Seat 3 decides.
    fn decide(&mut self, decided: &Decided) {
        self.checker.decided(decided);
    }

    fn rules(&mut self) -> Vec<Rule> {
        self.checker.take_findings().into_iter().map(|(rule, _)| rule).collect()
    }
}

#[test]
fn two_blocks_or_two_minds_in_one_view_contradict_each_other() {
    let mut bench = bench(&[]);
    assert!(bench.cast(1, VoteKind::ValidSliced, 0, bench.a).is_empty());
    assert!(bench.cast(1, VoteKind::InvalidFull, 0, bench.a).is_empty(), "its own slices were fine");
    assert_eq!(bench.cast(1, VoteKind::Commit, 0, bench.a), [Rule::Contradiction]);
    assert_eq!(bench.cast(1, VoteKind::ValidSliced, 0, bench.b), [Rule::Contradiction]);
    assert!(bench.cast(1, VoteKind::ValidSliced, 1, bench.b).is_empty(), "another view is another matter");
    assert!(bench.cast(2, VoteKind::ValidFull, 0, bench.a).is_empty());
    assert_eq!(bench.cast(2, VoteKind::InvalidFull, 0, bench.a), [Rule::Contradiction]);
}

#[test]
fn what_a_crash_took_back_was_never_signed_and_what_it_left_was() {
    let mut bench = bench(&[]);
    let seat = SeatIndex(1);
    let written = |bench: &mut Bench, block| {
        let body = bench.body(block);
        bench.checker.persisted(seat, &body);
        let record = LogRecord::Vote(bench.vote(1, VoteKind::ValidSliced, 0, block));
        bench.checker.persisted(seat, &record);
        record
    };
    let (a, b) = (bench.a, bench.b);
    written(&mut bench, a);
    bench.crash(&[]);
    let record = written(&mut bench, b);
    bench.crash(&[record]);
    assert!(bench.rules().is_empty());
    assert_eq!(bench.cast(1, VoteKind::ValidSliced, 0, bench.a), [Rule::Contradiction]);
}

#[test]
fn nothing_leaves_before_it_is_safe() {
    let mut bench = bench(&[]);
    let vote = bench.vote(1, VoteKind::InvalidSliced, 0, bench.a);
    bench.checker.persisted(SeatIndex(1), &LogRecord::Vote(vote.clone()));
    bench.checker.sending(SeatIndex(1), &ConsensusMessage::Vote(vote.clone()));
    assert_eq!(bench.rules(), [Rule::WriteAhead]);
    bench.checker.synced(SeatIndex(1));
    bench.checker.sending(SeatIndex(1), &ConsensusMessage::Vote(vote));
    assert!(bench.rules().is_empty());
}

#[test]
fn what_is_approved_can_be_served() {
    let mut bench = bench(&[]);
    let vote = bench.vote(1, VoteKind::ValidSliced, 0, bench.a);
    bench.checker.writing(SeatIndex(1), Height::ZERO, &LogRecord::Vote(vote));
    assert_eq!(bench.rules(), [Rule::WriteAhead]);
}

#[test]
fn a_promise_is_kept_and_hides_nothing() {
    let mut bench = bench(&[]);
    bench.cast(1, VoteKind::ValidSliced, 0, bench.a);
    assert_eq!(bench.promise(1, 1, Vec::new()), [Rule::Promise], "hides the approval");
    assert_eq!(
        bench.cast(1, VoteKind::ValidFull, 0, bench.a),
        [Rule::Promise],
        "votes in a view it has left"
    );
    bench.cast(2, VoteKind::ValidSliced, 0, bench.a);
    bench.cast(2, VoteKind::Commit, 0, bench.a);
    let approved = Some((View::ZERO, bench.a));
    let report = HeightReport { height: Height(1), prepared: None, approved };
    assert_eq!(bench.promise(2, 1, vec![report]), [Rule::Promise], "hides the commit");
    bench.cast(3, VoteKind::ValidSliced, 0, bench.a);
    let report = HeightReport { height: Height(1), prepared: None, approved };
    assert!(bench.promise(3, 1, vec![report]).is_empty());
    assert_eq!(bench.promise(3, 1, Vec::new()), [Rule::Contradiction], "two promises for one view");
}

#[test]
fn two_blocks_that_could_be_certified_are_found_before_anyone_decides_them() {
    let mut bench = bench(&[4]);
    assert!(bench.cast(1, VoteKind::Commit, 0, bench.a).is_empty());
    assert!(bench.cast(2, VoteKind::Commit, 0, bench.a).is_empty(), "with seat 4 a quorum");
    assert!(bench.cast(1, VoteKind::ValidSliced, 1, bench.b).is_empty());
    assert!(bench.cast(2, VoteKind::ValidSliced, 1, bench.b).is_empty());
    assert_eq!(bench.cast(3, VoteKind::ValidSliced, 1, bench.b), [Rule::Agreement], "with seat 4 all");
}

#[test]
fn decided_blocks_are_one_and_valid_and_bear_a_certificate() {
    let good = bench(&[]).block(1, None);
    let mut bench = bench(&[]);
    let commit = |bench: &Bench, signers: &[u16]| bench.decided(&good, CertificateKind::Commit, signers);
    let few = commit(&bench, &[1, 2]);
    bench.decide(&few);
    assert_eq!(bench.rules(), [Rule::Certificate], "too few");
    let fine = commit(&bench, &[1, 2, 3]);
    bench.decide(&fine);
    let not_all = bench.decided(&good, CertificateKind::Fast, &[1, 2, 3]);
    bench.decide(&not_all);
    assert_eq!(bench.rules(), [Rule::Certificate], "a FastCert needs all");
    let rival = bench.block(2, None);
    let other = bench.decided(&rival, CertificateKind::Commit, &[1, 2, 3]);
    bench.decide(&other);
    assert_eq!(bench.rules(), [Rule::Agreement]);
}

#[test]
fn a_decided_flaw_is_seen_wherever_it_is() {
    for flaw in [Flaw::State, Flaw::Slice(0), Flaw::Slice(3)] {
        let mut bench = bench(&[]);
        let block = bench.block(1, Some(flaw));
        let decided = bench.decided(&block, CertificateKind::Commit, &[1, 2, 4]);
        bench.decide(&decided);
        assert_eq!(bench.rules(), [Rule::Validity], "{flaw:?}");
    }
}

#[test]
fn evidence_must_prove_its_point_and_spare_the_innocent() {
    let mut bench = bench(&[]);
    let mut report = Report::default();
    let votes = |bench: &Bench, other| Evidence::Votes {
        first: bench.vote(1, VoteKind::Commit, 0, bench.a),
        second: bench.vote(1, VoteKind::Commit, 0, other),
    };
    let proof = votes(&bench, bench.b);
    bench.checker.evidence(&proof, false, &mut report);
    assert!(bench.rules().is_empty());
    bench.checker.evidence(&proof, true, &mut report);
    assert_eq!(bench.rules(), [Rule::Evidence]);
    let empty = votes(&bench, bench.a);
    bench.checker.evidence(&empty, false, &mut report);
    assert_eq!(bench.rules(), [Rule::Evidence]);
    assert_eq!(report.counts.evidence["two votes"], 3);
}

#[test]
fn approvals_have_their_bodies_in_the_log_and_commits_a_decided_parent() {
    let mut bench = bench(&[]);
    let block = bench.block(1, None);
    let vote = |bench: &Bench, kind| LogRecord::Vote(bench.vote(1, kind, 0, block.header.hash()));
    let (seat, genesis) = (SeatIndex(1), Height::ZERO);
    let sliced = vote(&bench, VoteKind::ValidSliced);
    bench.checker.writing(seat, genesis, &sliced);
    assert_eq!(bench.rules(), [Rule::WriteAhead]);
    let proposal = bench.crypto.sign_proposal(SeatIndex::GENERATOR, &block.header).unwrap();
    let body = LogRecord::Proposal { block: Arc::new(block.clone()), signature: proposal.signature };
    bench.checker.writing(seat, genesis, &body);
    let commit = vote(&bench, VoteKind::Commit);
    for record in [&sliced, &commit] {
        bench.checker.writing(seat, genesis, record);
    }
    assert!(bench.rules().is_empty());
    bench.crash(&[]);
    bench.checker.writing(seat, genesis, &sliced);
    assert_eq!(bench.rules(), [Rule::WriteAhead], "the crash took the body");
    bench.checker.crashed(seat, std::slice::from_ref(&body));
    let high = block.header.hash();
    let mut target = bench.target(0, high);
    target.height = Height(2);
    let early = LogRecord::Vote(bench.crypto.sign_vote(seat, VoteKind::Commit, &target, None).unwrap());
    bench.checker.writing(seat, genesis, &early);
    assert!(bench.rules().contains(&Rule::Validity), "height 1 is not decided");
}

#[test]
fn a_decided_block_has_the_shape_and_the_leader_that_it_must() {
    for twist in 0..4 {
        let mut bench = bench(&[]);
        let mut header = bench.block(1, None).header.into_header();
        match twist {
            0 => header.slot = Slot::ZERO,
            1 => header.poh_start = BlockHash::repeat_byte(7),
            2 => header.gas_limit += 1,
            _ => header.proposer = SeatIndex(2),
        }
        let block = anfs_primitives::Block { header: header.seal(), ..bench.block(1, None) };
        let decided = bench.decided(&block, CertificateKind::Commit, &[1, 2, 3]);
        bench.decide(&decided);
        assert_eq!(bench.rules(), [Rule::Validity], "{twist}");
    }
}

#[test]
fn nobody_votes_in_a_view_that_no_quorum_has_opened() {
    let mut bench = bench(&[]);
    let seat = SeatIndex(4);
    let vote = LogRecord::Vote(bench.vote(4, VoteKind::ValidFull, 1, BlockHash::repeat_byte(1)));
    let promise = |bench: &Bench, seat: u16| {
        let (network, epoch, domain) = (bench.config.network, bench.config.epoch, bench.config.domain);
        let (decided, reports) = (BoundedVec::new(), BoundedVec::new());
        let change = ViewChange { network, epoch, domain, view: View(1), decided, reports };
        bench.crypto.sign_view_change(SeatIndex(seat), change).unwrap()
    };
    for (signers, opens) in [(vec![1, 2], false), (vec![1, 1, 1], false), (vec![1, 2, 3], true)] {
        let changes: Vec<_> = signers.iter().map(|seat| promise(&bench, *seat)).collect();
        let opening = NewView {
            view: View(1),
            changes: BoundedVec::try_from(changes).unwrap(),
            carried: BoundedVec::new(),
            convictions: BoundedVec::new(),
            signature: BlsSignature::ZERO,
        };
        let forged = opening.clone();
        bench.checker.opened(&forged);
        bench.checker.opened(&bench.crypto.sign_new_view(SeatIndex(1), opening).unwrap());
        bench.checker.writing(seat, Height::ZERO, &vote);
        let expected: &[Rule] = if opens { &[] } else { &[Rule::Promise] };
        assert_eq!(bench.rules(), expected, "{signers:?}");
    }
}
