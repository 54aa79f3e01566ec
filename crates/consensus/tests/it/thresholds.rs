//! How many voices move one verifier, and how soon: f do not, f + 1 and q do, at once.

use std::sync::Arc;

use anfs_consensus::bft::{Quorum, SigningRecord, ViewFault, ViewRules};
use anfs_consensus::{Anchor, Depth, Effect, Input, LogRecord, ShardConfig, ShardCore, VoteCrypto};
use anfs_primitives::{
    Block, BoundedVec, CertificateKind, ConsensusMessage, Fault, Height, HeightReport, SeatIndex, Slot, View,
    ViewChange, ViewTimeout, VoteKind, VoteTarget,
};

use crate::fake::FakeCrypto;
use crate::net::{block_of, config, fragment, genesis};

/// Verifier 1 of seven: f = 2, q = 5.
struct One {
    core: ShardCore,
    now_ms: u64,
    config: ShardConfig,
}

fn one() -> One {
    let config = config(7);
    let genesis = genesis(&config);
    let config = ShardConfig { base: (Height::ZERO, genesis.hash()), ..config };
    let crypto = Arc::new(FakeCrypto { own: SeatIndex(1), verifiers: 7 });
    let core =
        ShardCore::new(config.clone(), Some(SeatIndex(1)), crypto, Anchor::new(&genesis, []), Vec::new());
    let mut one = One { core: core.unwrap(), now_ms: 200, config };
    one.step(Input::Start);
    one
}

fn of(seat: u16) -> FakeCrypto {
    FakeCrypto { own: SeatIndex(seat), verifiers: 7 }
}

impl One {
    fn step(&mut self, input: Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.core.step(self.now_ms, input, &mut effects).unwrap();
        effects
    }

    fn tell(&mut self, from: u16, message: ConsensusMessage) -> Vec<Effect> {
        self.step(Input::Message { from: SeatIndex(from), message })
    }

    fn wish(&mut self, from: u16, view: u64) -> Vec<Effect> {
        let wish = ViewTimeout { epoch: self.config.epoch, view: View(view), tip: Height::ZERO };
        self.tell(from, ConsensusMessage::ViewTimeout(wish))
    }

    fn promise(&mut self, from: u16, view: u64) -> Vec<Effect> {
        let change = ViewChange {
            network: self.config.network,
            epoch: self.config.epoch,
            domain: self.config.domain,
            view: View(view),
            decided: BoundedVec::new(),
            reports: BoundedVec::new(),
        };
        let signed = of(from).sign_view_change(SeatIndex(from), change).unwrap();
        self.tell(from, ConsensusMessage::ViewChange(Box::new(signed)))
    }

    fn view(&self) -> View {
        self.core.status().view
    }

    /// Is shown a block and finds its own slices right.
    fn approve(&mut self) -> (Block, VoteTarget) {
        let block = block_of(&genesis(&self.config), Slot(1), View::ZERO, SeatIndex::GENERATOR, 1, 1);
        let hash = block.header.hash();
        let proposal = of(0).sign_proposal(SeatIndex::GENERATOR, &block.header).unwrap();
        self.tell(0, ConsensusMessage::Fragment(fragment(&block, 0, block.body.entries.to_vec())));
        self.tell(0, ConsensusMessage::Proposal(proposal));
        let said = self.step(Input::Checked { block: hash, depth: Depth::Sliced, result: Ok(()) });
        assert_eq!(votes(&said), [VoteKind::ValidSliced]);
        let target = VoteTarget {
            network: self.config.network,
            epoch: self.config.epoch,
            domain: self.config.domain,
            height: Height(1),
            view: View::ZERO,
            block: hash,
        };
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
    for seat in [2, 3, 3] {
        one.promise(seat, 4);
        assert_eq!(one.view(), View::ZERO);
    }
    let effects = one.promise(4, 3);
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
    let block = block_of(&genesis(&config(7)), Slot(1), View::ZERO, SeatIndex::GENERATOR, 1, 1);
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
