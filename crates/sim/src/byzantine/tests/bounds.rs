//! The bounds are tight: what f liars cannot do, one more can.

use std::sync::Arc;

use alloy_primitives::B256;
use anfs_consensus::shard::SERVE_BLOCKS_MAX;
use anfs_consensus::{Anchor, Effect, Evidence, Input, ShardCore, VoteCrypto};
use anfs_crypto::votes::target_of;
use anfs_primitives::{
    Block, CertificateKind, ConsensusMessage, Height, SeatIndex, Slot, View, VoteKind, VoteTarget,
};

use super::{group, plan};
use crate::blocks::{self, ENTRIES, Flaw, Recipe};
use crate::byzantine::Behaviour;
use crate::clock::GENESIS_MS;
use crate::crypto::{Keys, SimCrypto};
use crate::plan::Plan;
use crate::report::Rule;
use crate::rng::Rng;
use crate::world::World;

/// An observer's core in a shard of ten with one proposed block, and somebody who can sign for all.
fn observer() -> (ShardCore, SimCrypto, Block) {
    let plan = Plan::calm(1, 10, 1_000);
    let genesis = blocks::genesis(&plan.config((Height::ZERO, B256::ZERO)));
    let config = plan.config((Height::ZERO, genesis.hash()));
    let keys = Keys::draw(&mut Rng::new(1), 11);
    let all = SimCrypto::new(keys.clone(), (0..=10).map(SeatIndex));
    let own = Arc::new(SimCrypto::new(keys, [SeatIndex(10)]));
    let mut core =
        ShardCore::new(config, Some(SeatIndex(10)), own, Anchor::new(&genesis, []), Vec::new()).unwrap();
    let recipe = Recipe {
        slot: Slot(1),
        view: View::ZERO,
        proposer: SeatIndex::GENERATOR,
        salt: 1,
        flaw: Some(Flaw::State),
    };
    let block = blocks::build(&genesis, &recipe);
    let mut effects = Vec::new();
    core.step(GENESIS_MS + 200, Input::Start, &mut effects).unwrap();
    let fragment = ConsensusMessage::Fragment(blocks::fragment(&block, 0..ENTRIES));
    let proposal = all.sign_proposal(SeatIndex::GENERATOR, &block.header).unwrap();
    for message in [fragment, ConsensusMessage::Proposal(proposal)] {
        tell(&mut core, SeatIndex::GENERATOR, message);
    }
    (core, all, block)
}

fn tell(core: &mut ShardCore, from: SeatIndex, message: ConsensusMessage) -> Vec<Effect> {
    let mut effects = Vec::new();
    core.step(GENESIS_MS + 200, Input::Message { from, message }, &mut effects).unwrap();
    effects
}

#[test]
fn seven_of_ten_invalid_verdicts_convict_and_six_do_not() {
    for kind in [VoteKind::InvalidFull, VoteKind::InvalidSliced] {
        let (mut core, all, block) = observer();
        let target = target_of(&block.header);
        for seat in (1..=7).map(SeatIndex) {
            assert_eq!((core.status().convictions, core.status().view), (0, View::ZERO), "before {seat}");
            let vote = all.sign_vote(seat, kind, &target, None).unwrap();
            let effects = tell(&mut core, seat, ConsensusMessage::Vote(vote));
            let convicted = effects.iter().any(|effect| {
                matches!(effect, Effect::Evidence(Evidence::InvalidBlock { certificate, .. })
                    if certificate.kind == CertificateKind::Conviction && certificate.signers.len() == 7)
            });
            assert_eq!(convicted, seat == SeatIndex(7) && kind == VoteKind::InvalidFull, "{kind:?} {seat}");
        }
        let convicted = kind == VoteKind::InvalidFull;
        assert_eq!(core.status().convictions, u64::from(convicted), "sliced alerts alone convict nobody");
        assert_eq!(core.status().view, View(u64::from(convicted)), "everyone leaves the view at once");
    }
}

#[test]
fn one_verifier_said_seven_times_or_in_other_views_convicts_nobody() {
    let (mut core, all, block) = observer();
    let target = target_of(&block.header);
    for seat in (1..=6).map(SeatIndex).chain([SeatIndex(1); 4]) {
        let vote = all.sign_vote(seat, VoteKind::InvalidFull, &target, None).unwrap();
        tell(&mut core, seat, ConsensusMessage::Vote(vote));
    }
    let other = VoteTarget { view: View(1), ..target };
    for target in [other, VoteTarget { block: B256::repeat_byte(1), ..target }] {
        let vote = all.sign_vote(SeatIndex(7), VoteKind::InvalidFull, &target, None).unwrap();
        tell(&mut core, SeatIndex(7), ConsensusMessage::Vote(vote));
    }
    assert_eq!((core.status().convictions, core.status().view), (0, View::ZERO));
}

#[test]
fn votes_are_kept_for_what_may_soon_be_decided_and_for_nothing_else() {
    let (mut core, all, block) = observer();
    let far = SERVE_BLOCKS_MAX as u64;
    let mut is_kept = |height, view| {
        let target = VoteTarget { height: Height(height), view: View(view), ..target_of(&block.header) };
        let vote = all.sign_vote(SeatIndex(1), VoteKind::ValidSliced, &target, None).unwrap();
        let held = core.load().0;
        tell(&mut core, SeatIndex(1), ConsensusMessage::Vote(vote));
        core.load().0 > held
    };
    for (height, view) in [(1, 0), (1, 1), (far, 0), (far, 1)] {
        assert!(is_kept(height, view), "height {height}, view {view}");
    }
    for (height, view) in [(0, 0), (far + 1, 0), (u64::MAX, 0), (1, 2), (1, u64::MAX)] {
        assert!(!is_kept(height, view), "height {height}, view {view}");
    }
}

/// Of ten verifiers so many vouch for a block that all others find wrong.
fn against(colluders: u16) -> crate::report::Report {
    let how = Behaviour::Collude { slice: 4, share: 1000 };
    let mut plan = plan(1, 10, &group(colluders, &Behaviour::Lazy, Some(how)));
    plan.byzantine.insert(SeatIndex(0), Behaviour::Invalid { flaw: Flaw::State, share: 1000 });
    plan.duration_ms = 60_000;
    World::new(plan).run()
}

#[test]
fn seven_honest_verifiers_convict_against_three_that_vouch_and_six_cannot_against_four() {
    let report = against(3);
    assert!(report.passed() && report.counts.convictions == 1, "{report:?}");
    let report = against(4);
    assert_eq!(report.counts.convictions, 0);
    assert!(report.violations.iter().all(|found| found.rule == Rule::Liveness), "{report:?}");
}

/// Which verifiers check a slice, each block's hash draws: of ten, once in 210 just these four. So seats and slices
/// are tried in turn.
#[test]
fn one_colluder_more_than_f_gets_an_invalid_slice_certified() {
    for verifiers in [4, 7, 10] {
        let faults = (verifiers - 1) / 3;
        let plan = |attempt: u16, colluders: u16| {
            let how = Behaviour::Collude { slice: attempt % verifiers, share: 1000 };
            let seat = |nth| 1 + (attempt / verifiers + nth) % verifiers;
            let mut seats: Vec<_> = (0..colluders).map(|nth| (seat(nth), how.clone())).collect();
            seats.push((0, how));
            plan(u64::from(attempt), verifiers, &seats)
        };
        let broken = |attempt: &u16| {
            let mut plan = plan(*attempt, faults + 1);
            // More than f liars may well stop the shard for good.
            (plan.heal_at_ms, plan.duration_ms) = (u64::MAX, 8_000);
            let violations = World::new(plan).run().violations;
            violations.iter().any(|found| found.rule == Rule::Validity)
        };
        let attempt = (0..2_000).find(broken).expect("they are drawn some day");
        let report = World::new(plan(attempt, faults)).run();
        assert!(report.passed(), "{verifiers}, attempt {attempt}: {:?}", report.violations);
    }
}
