//! How many voices move one verifier, and how soon: f do not, f + 1 and q do, at once.

use std::sync::Arc;

use anfs_consensus::bft::{Quorum, SigningRecord, ViewFault, ViewRules};
use anfs_consensus::{Depth, Effect, Input, LogRecord, VoteCrypto};
use anfs_primitives::{
    Block, BoundedVec, CertificateKind, ConsensusMessage, Fault, Height, HeightReport, SeatIndex, Slot, View,
    ViewChange, ViewTimeout, VoteKind, VoteTarget,
};
use anfs_sim::crypto::SimCrypto;

use crate::net::{shard, signer};
use crate::one::{One, block};

/// Verifier 1 of seven: f = 2, q = 5.
fn one() -> One {
    One::new(7, 1)
}

fn of(seat: u16) -> SimCrypto {
    signer(7, seat)
}

impl One {
    fn wish(&mut self, from: u16, view: u64) -> Vec<Effect> {
        let wish = ViewTimeout { epoch: self.config.epoch, view: View(view), tip: Height::ZERO };
        self.tell(from, ConsensusMessage::ViewTimeout(wish))
    }

    /// Is shown a block and finds its own slices right.
    fn approve(&mut self) -> (Block, VoteTarget) {
        let block = block(&self.genesis, Slot(1), 1);
        let hash = block.header.hash();
        self.show(&block);
        let said = self.step(Input::Checked { block: hash, depth: Depth::Sliced, result: Ok(()) });
        assert_eq!(votes(&said), [VoteKind::ValidSliced]);
        let target = self.target(1, 0, hash);
        (block, target)
    }
}

fn votes(effects: &[Effect]) -> Vec<VoteKind> {
    let said = effects.iter().filter_map(|effect| match effect {
        Effect::Broadcast(ConsensusMessage::Vote(vote)) => Some(vote.kind),
        _ => None,
    });
    said.collect()
}

fn wishes(effects: &[Effect]) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::Broadcast(ConsensusMessage::ViewTimeout(_))))
}

#[test]
fn f_wishes_are_heard_f_plus_one_joined_and_a_quorum_obeyed() {
    let mut one = one();
    for seat in [2, 3] {
        assert!(!wishes(&one.wish(seat, 0)), "f may all be liars");
    }
    assert!(!wishes(&one.wish(3, 0)), "nor does one count twice");
    assert!(wishes(&one.wish(4, 0)), "an honest one is among f + 1");
    assert_eq!(one.view(), View::ZERO, "four of seven are no quorum");
    one.wish(5, 0);
    assert_eq!(one.view(), View(1), "five are, with its own");
}

#[test]
fn f_promises_take_nobody_along_and_f_plus_one_do() {
    let mut one = one();
    let promise = |one: &mut One, seat, view| {
        let promise = one.promise(seat, view, Vec::new(), Vec::new());
        one.tell(seat, ConsensusMessage::ViewChange(Box::new(promise)))
    };
    for seat in [2, 3, 3] {
        promise(&mut one, seat, 4);
        assert_eq!(one.view(), View::ZERO);
    }
    let effects = promise(&mut one, 4, 3);
    assert_eq!(one.view(), View(3), "three have left for view 3 or higher");
    let promised = |effect: &Effect| matches!(effect, Effect::Persist(LogRecord::ViewChange(own)) if own.change.view == View(3));
    assert!(effects.iter().any(promised), "and it promises the same");
}

#[test]
fn a_verified_alert_makes_everyone_check_every_slice_at_once() {
    for kind in [VoteKind::InvalidSliced, VoteKind::InvalidFull] {
        let mut one = one();
        let (_, target) = one.approve();
        let fault = Some(Fault::Clock { entry: 0 });
        let mut forged = of(2).sign_vote(SeatIndex(2), kind, &target, fault).unwrap();
        forged.signature[0] ^= 1;
        let full = |effect: &Effect| matches!(effect, Effect::Check { depth: Depth::Full, .. });
        assert!(!one.tell(2, ConsensusMessage::Vote(forged)).iter().any(full), "{kind:?}: nobody signed it");
        let alert = of(3).sign_vote(SeatIndex(3), kind, &target, fault).unwrap();
        assert!(one.tell(3, ConsensusMessage::Vote(alert)).iter().any(full), "{kind:?}");
    }
}

#[test]
fn votes_that_may_be_lost_are_said_again() {
    let mut one = one();
    one.approve();
    one.now_ms += one.config.fast_timeout_ms;
    assert!(votes(&one.step(Input::Tick)).contains(&VoteKind::ValidSliced));
}

#[test]
fn one_proposal_a_view_across_restarts() {
    let block = block(&shard(7).1, Slot(1), 1);
    let proposal = of(0).sign_proposal(SeatIndex::GENERATOR, &block.header).unwrap();
    let log = vec![LogRecord::Proposal { block: Arc::new(block), signature: proposal.signature }];
    let record = SigningRecord::replay(Height::ZERO, log);
    assert!(!record.may_propose(Height(1), View::ZERO), "signed already");
    assert!(record.may_propose(Height(1), View(1)), "another view");
    assert!(record.may_propose(Height(2), View::ZERO));
    assert!(!record.may_propose(Height::ZERO, View(1)), "decided");
}

#[test]
fn certificates_in_promises_are_verified() {
    let config = one().config;
    let (network, epoch, domain) = (config.network, config.epoch, config.domain);
    let rules = ViewRules {
        quorum: Quorum::new(7).unwrap(),
        network,
        epoch,
        domain,
        base: config.base,
        reach: config.reach(),
    };
    let block = config.base.1;
    let target = VoteTarget { network, epoch, domain, height: Height(1), view: View::ZERO, block };
    let vote = |seat: u16| of(seat).sign_vote(SeatIndex(seat), VoteKind::ValidFull, &target, None).unwrap();
    let check = |signers: u16, forged: bool| {
        let votes: Vec<_> = (1..=signers).map(|seat| (usize::from(seat) - 1, vote(seat).signature)).collect();
        let mut prepared = of(1).aggregate(CertificateKind::Prepare, &target, &votes).unwrap();
        prepared.signature[0] ^= u8::from(forged);
        let report = HeightReport { height: Height(1), prepared: Some(prepared), approved: None };
        let reports = BoundedVec::try_from(vec![report]).unwrap();
        let change =
            ViewChange { network, epoch, domain, view: View(1), decided: BoundedVec::new(), reports };
        rules.check_form(&change).unwrap();
        rules.check_certificates(&of(1), &change)
    };
    assert_eq!(check(5, false), Ok(()));
    assert_eq!(check(4, false), Err(ViewFault::Certificate), "too few");
    assert_eq!(check(5, true), Err(ViewFault::Certificate), "nobody signed it");
}
