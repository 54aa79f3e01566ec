//! What must hold of a group, scenario by scenario.

use alloy_primitives::{B256, keccak256};
use anfs_consensus::{
    BlsCrypto, Depth, Effect, Evidence, Hold, Input, LogRecord, Offence, Stall, Unneeded, VoteCrypto,
};
use anfs_primitives::{
    Block, BlsSignature, CertificateKind, ConsensusMessage, Fault, Height, RootReference, SealedHeader,
    SeatIndex, ShardHeader, SignedVote, Slot, View, VoteKind, VoteTarget,
};
use anfs_sim::Weather;
use anfs_sim::blocks::{self, ENTRIES};
use proptest::prelude::*;

use crate::net::{Net, shard, signer};
use crate::one::{One, block};

#[test]
fn a_calm_shard_decides_every_slot_by_the_fast_path() {
    for verifiers in [1, 4, 7, 10] {
        let mut net = Net::new(verifiers, 1);
        net.run_until(5_000);
        net.check();
        assert!(net.lowest() >= 45, "{verifiers}: {}", net.lowest());
        assert!(net.chains[0].iter().all(|block| block.certificate.kind == CertificateKind::Fast));
        assert!(net.checks.iter().all(|(_, depth, _)| *depth == Depth::Sliced));
        let redundancy = usize::from(net.config.slice_redundancy);
        assert!(net.checks.iter().all(|&(_, _, slices)| slices == redundancy), "each SV has r slices");
        assert!(net.penalties.is_empty() && net.evidence.is_empty(), "{:?}", net.penalties);
        assert!(net.entries > 0 && net.fragment_requests == 0);
        assert_eq!(net.core(1).status().stalled, None);
    }
}

#[test]
fn with_f_silent_verifiers_the_shard_certifies_slowly_after_one_timeout() {
    for (verifiers, silent) in [(4, vec![2]), (10, vec![1, 5, 9])] {
        let mut net = Net::new(verifiers, 2);
        net.mute(&silent);
        net.run_until(10_000);
        net.check();
        assert!(net.height(0) >= 85, "{verifiers}: {}", net.height(0));
        assert!(net.chains[0].iter().all(|block| block.certificate.kind == CertificateKind::Commit));
        assert!(!net.core(0).status().fast_path || !net.core(1).status().fast_path);
    }
}

#[test]
fn the_fast_path_resumes_when_a_silent_verifier_speaks_again() {
    let mut net = Net::new(4, 3);
    net.mute(&[3]);
    net.run_until(3_000);
    net.network.heal();
    net.run_until(8_000);
    net.check();
    let tail: Vec<_> = net.chains[0].iter().rev().take(10).map(|block| block.certificate.kind).collect();
    assert!(tail.iter().all(|kind| *kind == CertificateKind::Fast), "{tail:?}");
    let checks: Vec<_> = net.checks.iter().rev().take(20).map(|check| check.1).collect();
    assert!(checks.iter().all(|depth| *depth == Depth::Sliced), "slices are divided again");
}

#[test]
fn more_than_f_silent_verifiers_stop_the_shard_visibly() {
    let mut net = Net::new(4, 4);
    net.mute(&[1, 2]);
    net.run_until(5_000);
    net.check();
    assert_eq!(net.height(0), 0);
    assert!(matches!(net.core(0).status().stalled, Some(Stall::NoProgress { .. })));
    net.network.heal();
    net.run_until(10_000);
    net.check();
    assert!(net.lowest() > 20, "and it goes on when they are back: {}", net.lowest());
}

#[test]
fn a_verifier_takes_over_from_a_dead_generator_until_the_epoch_ends() {
    for verifiers in [1, 4, 7, 10] {
        let mut net = Net::new(verifiers, 5);
        net.run_until(1_000);
        let before = net.height(1);
        net.cores[0] = None;
        net.run_until(8_000);
        net.check();
        let height = net.height(1);
        // One Δ_view and a few slots are lost, once.
        assert!(height >= before + 50, "{verifiers}: {before} to {height}");
        let status = net.core(1).status();
        assert_eq!((status.view, status.acting, status.stalled), (View(1), SeatIndex(1), None));
        let tail = net.chains[1].last().unwrap();
        assert_eq!(tail.block.header.proposer, SeatIndex(1));
        assert_eq!(tail.certificate.kind, CertificateKind::Fast, "all verifiers are well");
    }
}

#[test]
fn leaders_that_fail_in_a_row_are_passed_over() {
    let mut net = Net::new(10, 15);
    net.run_until(1_000);
    for seat in [0, 1, 2, 3] {
        net.cores[seat] = None;
    }
    net.run_until(20_000);
    net.check();
    let before = net.height(5);
    net.run_until(23_000);
    net.check();
    assert!(net.height(5) >= before + 20, "{before} to {}", net.height(5));
    assert_eq!(net.core(5).status().acting, SeatIndex(4));
}

#[test]
fn an_invalid_slice_is_never_certified_gets_convicted_and_costs_its_proposer_the_lead() {
    for verifiers in [1, 4, 10] {
        let mut net = Net::new(verifiers, 6);
        net.invalid_heights.insert(5);
        net.run_until(5_000);
        net.check();
        assert!(net.lowest() > 20, "{verifiers}: {}", net.lowest());
        let convicted = net.evidence.iter().filter(|(_, evidence)| {
            matches!(evidence, Evidence::InvalidBlock { fault: Some(Fault::Clock { entry: 0 }), certificate, .. }
                if certificate.kind == CertificateKind::Conviction)
        });
        assert!(convicted.count() > usize::from(verifiers) / 2);
        let status = net.core(0).status();
        assert_eq!((status.view, status.convictions), (View(1), 1));
        assert_eq!(status.last_fault, Some((Height(5), Fault::Clock { entry: 0 })));
        assert_eq!(net.chains[1][4].block.header.proposer, SeatIndex(1));
    }
}

#[test]
fn lost_fragments_are_asked_for() {
    let mut net = Net::new(4, 7);
    net.network.weather.fragment_loss = 400;
    net.run_until(5_000);
    net.check();
    assert!(net.lowest() >= 35, "{}", net.lowest());
    assert!(net.fragment_requests > 10);
}

#[test]
fn conflicting_fragments_do_not_make_an_honest_verifier_call_a_good_block_bad() {
    let mut net = Net::new(4, 8);
    let forged = block(&shard(4).1, Slot(1), 77);
    for to in 1..=2 {
        let part = blocks::fragment(&forged, 2..ENTRIES);
        net.send(0, to, &ConsensusMessage::Fragment(part));
    }
    net.run_until(3_000);
    net.check();
    assert!(net.lowest() >= 20);
    assert!(net.evidence.is_empty());
}

#[test]
fn a_lagging_verifier_catches_up() {
    let mut net = Net::new(4, 9);
    net.deafen(4);
    net.run_until(10_000);
    assert_eq!(net.height(4), 0);
    let before = net.height(0);
    assert!(before > 80);
    net.network.heal();
    net.run_until(14_000);
    net.check();
    assert!(net.height(4) + 6 >= net.height(0), "{} of {}", net.height(4), net.height(0));
    assert!(net.core(4).status().synced >= 70);
    assert_eq!(net.chains[0].last().unwrap().certificate.kind, CertificateKind::Fast);
}

#[test]
fn equivocation_leaves_evidence() {
    let mut net = Net::new(4, 10);
    net.run_until(50);
    let crypto = signer(4, 0);
    let rogue = signer(4, 2);
    let (_, genesis) = shard(4);
    let (a, b) = (block(&genesis, Slot(1), 50), block(&genesis, Slot(1), 51));
    for block in [&a, &b, &a] {
        let proposal = crypto.sign_proposal(SeatIndex::GENERATOR, &block.header).unwrap();
        net.send(0, 1, &ConsensusMessage::Proposal(proposal));
        let target = target(block.header.hash());
        let vote = rogue.sign_vote(SeatIndex(2), VoteKind::ValidSliced, &target, None).unwrap();
        net.send(2, 1, &ConsensusMessage::Vote(vote));
        net.run_until(net.now + 5);
    }
    let found: Vec<_> = net.evidence.iter().filter(|(at, _)| *at == 1).collect();
    assert_eq!(found.len(), 2, "once for each offender: {found:?}");
    assert_eq!(found[0].1.offender(), SeatIndex::GENERATOR);
    assert_eq!(found[1].1.offender(), SeatIndex(2));
}

#[test]
fn bad_signatures_are_penalised_and_do_not_count() {
    let mut net = Net::new(4, 11);
    net.mute(&[3]);
    net.run_until(150);
    let block = net.chains[0].first().map(|block| block.block.header.hash()).unwrap_or_default();
    let rogue = signer(4, 3);
    let mut vote = rogue.sign_vote(SeatIndex(3), VoteKind::InvalidSliced, &target(block), None).unwrap();
    vote.signature[0] ^= 1;
    net.network.heal();
    net.send(3, 1, &ConsensusMessage::Vote(vote.clone()));
    vote.signer = SeatIndex(2);
    net.send(3, 2, &ConsensusMessage::Vote(vote));
    net.run_until(170);
    assert!(net.penalties.contains(&(1, SeatIndex(3), Offence::Signature)), "{:?}", net.penalties);
    assert!(net.penalties.contains(&(2, SeatIndex(3), Offence::Role)));
}

fn target(block: anfs_primitives::BlockHash) -> VoteTarget {
    let (config, _) = shard(4);
    VoteTarget {
        network: config.network,
        epoch: config.epoch,
        domain: config.domain,
        height: Height(1),
        view: anfs_primitives::View::ZERO,
        block,
    }
}

#[test]
fn a_crash_before_any_effect_never_leads_to_a_contradiction() {
    for seat in [0u16, 1] {
        for effect in 0..120 {
            let mut net = Net::new(4, effect);
            net.crash_at = Some((seat, usize::try_from(effect).unwrap()));
            net.run_until(4_000);
            net.check();
            assert_eq!(net.restarts, 1, "the run is long enough");
            assert!(net.lowest() >= 12, "seat {seat} effect {effect}: {}", net.lowest());
        }
    }
}

#[test]
fn when_all_seats_die_before_any_effect_the_logs_alone_carry_on() {
    for seat in [0u16, 1] {
        for effect in 0..120 {
            let mut net = Net::new(4, effect);
            net.crash_at = Some((seat, usize::try_from(effect).unwrap()));
            net.crash_all = true;
            net.run_until(4_000);
            net.check();
            assert_eq!(net.restarts, 5, "the run is long enough");
            assert!(net.lowest() >= 12, "seat {seat} effect {effect}: {}", net.lowest());
        }
    }
}

/// Nothing but the inputs moves a core: no clock, no chance, no order of a hash table.
#[test]
fn the_same_inputs_make_the_same_core() {
    for seat in [0, 3] {
        let mut net = Net::new(4, 14);
        net.network.weather = Weather { loss: 100, duplication: 100, jitter_ms: 80, ..Weather::default() };
        let mut core = net.boot(seat);
        net.recorded = Some((seat, Vec::new()));
        net.run_until(6_000);
        let (_, inputs) = net.recorded.take().unwrap();
        assert!(inputs.len() > 500, "{}", inputs.len());
        let mut effects = Vec::new();
        for (at, input) in inputs {
            core.step(at, input, &mut effects).unwrap();
        }
        assert_eq!(format!("{core:?}"), format!("{:?}", net.core(seat)));
        let logged = effects.into_iter().filter_map(|effect| match effect {
            Effect::Persist(record) => Some(record),
            _ => None,
        });
        assert!(logged.eq(net.logs[usize::from(seat)].iter().cloned()));
    }
}

/// The node's timer may fire a moment early; nothing may then be forgotten.
#[test]
fn an_early_tick_sets_the_timer_again() {
    let mut net = Net::new(4, 13);
    net.run_until(150);
    let core = net.cores[1].as_mut().unwrap();
    let mut effects = Vec::new();
    core.step(150, Input::Tick, &mut effects).unwrap();
    assert!(effects.iter().any(|effect| matches!(effect, Effect::WakeAt(at) if *at > 150)), "{effects:?}");
}

#[test]
fn the_whole_group_restarts_from_disk() {
    let mut net = Net::new(4, 12);
    for round in 1..20u64 {
        net.run_until(round * 770);
        for seat in 0..=4 {
            net.restart(seat);
        }
    }
    net.run_until(19 * 770 + 4_000);
    net.check();
    assert!(net.lowest() > 60, "{}", net.lowest());
}

#[test]
fn log_records_are_pinned_and_round_trip() {
    let block = block(&shard(4).1, Slot(1), 0);
    let (target, signature) = (target(block.header.hash()), BlsSignature::repeat_byte(4));
    let vote = SignedVote { kind: VoteKind::Commit, target, fault: None, signer: SeatIndex(1), signature };
    let records = [
        LogRecord::Vote(vote),
        LogRecord::Proposal { block: std::sync::Arc::new(block), signature: BlsSignature::repeat_byte(5) },
    ];
    let mut bytes = Vec::new();
    for record in &records {
        assert_eq!(&LogRecord::from_bytes(&record.to_bytes()).unwrap(), record);
        bytes.extend(record.to_bytes());
    }
    assert_eq!(
        keccak256(bytes).to_string(),
        "0x56b150581e20dbbc7acd4386e44ab8dbafbceb6011e817a055e283935557a0c9"
    );
}

#[test]
fn the_production_signatures_drive_the_same_votes() {
    use anfs_crypto::bls::SecretKey;
    let secret = |seat: u16| SecretKey::from_seed(&[u8::try_from(seat).unwrap() + 1; 32]);
    let verifiers = || (1..=4).map(|seat| secret(seat).public_key()).collect::<Vec<_>>();
    let crypto = |seat: u16| {
        BlsCrypto::new(Some((SeatIndex(seat), secret(seat))), secret(0).public_key(), verifiers(), [8; 32])
    };
    let target = target(keccak256(b"block"));
    let mut votes = Vec::new();
    for seat in 1..=4u16 {
        let vote = crypto(seat).sign_vote(SeatIndex(seat), VoteKind::ValidSliced, &target, None).unwrap();
        votes.push((usize::from(seat) - 1, vote.signature));
    }
    let judge = crypto(0);
    assert!(judge.sign_vote(SeatIndex(1), VoteKind::Commit, &target, None).is_err(), "not its key");
    assert!(judge.verify_votes(VoteKind::ValidSliced, &target, &votes).is_empty());
    assert_eq!(judge.verify_votes(VoteKind::ValidFull, &target, &votes), vec![0, 1, 2, 3]);
    let certificate = judge.aggregate(CertificateKind::Fast, &target, &votes).unwrap();
    assert!(judge.verify_certificate(3, &certificate));
    // Two shares shifted so that their sum stays right are still found.
    votes.swap(0, 1);
    let swapped = [(0, votes[0].1), (1, votes[1].1), votes[2], votes[3]];
    assert_eq!(judge.verify_votes(VoteKind::ValidSliced, &target, &swapped), vec![0, 1]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever the network does, the group agrees; once it is calm again, it goes on.
    #[test]
    fn safe_under_any_weather_and_live_after_it(
        seed in any::<u64>(),
        ten in any::<bool>(),
        loss in 0u16..300,
        duplication in 0u16..300,
        jitter_ms in 0u64..150,
        crashes in proptest::collection::vec((0u16..5, 100u64..3_000), 0..4),
    ) {
        let mut net = Net::new(if ten { 10 } else { 4 }, seed);
        let calm = net.network.weather;
        net.network.weather = Weather { loss, duplication, jitter_ms, fragment_loss: loss, ..calm };
        let mut crashes = crashes;
        crashes.sort_by_key(|&(_, at)| at);
        for (seat, at) in crashes {
            net.run_until(at.max(net.now));
            net.restart(seat);
        }
        net.run_until(4_000);
        net.check();
        net.network.weather = calm;
        net.run_until(9_000);
        let healed = net.lowest();
        net.run_until(12_000);
        net.check();
        prop_assert!(net.lowest() >= healed + 10, "{} after {healed}", net.lowest());
    }
}

/// The disk of a verifier is lost: it follows as an observer until nothing of its past can matter.
#[test]
fn a_seat_without_its_record_watches_before_it_signs() {
    let mut net = Net::new(4, 21);
    net.run_until(3_000);
    net.logs[2].clear();
    net.chains[2].clear();
    net.watch.insert(2);
    net.restart(2);
    net.votes[2].clear();
    net.run_until(4_900);
    assert!(matches!(net.core(2).status().hold, Some(Hold::Watching { .. })), "{:?}", net.core(2).status());
    assert!(net.votes[2].is_empty(), "nothing is signed while it watches");
    net.run_until(12_000);
    net.check();
    assert_eq!(net.core(2).status().hold, None);
    assert!(!net.votes[2].is_empty(), "then it takes part again");
    let tail: Vec<_> = net.chains[0].iter().rev().take(5).map(|block| block.certificate.kind).collect();
    assert!(tail.iter().all(|kind| *kind == CertificateKind::Fast), "all four vote again: {tail:?}");
}

#[test]
fn a_held_seat_signs_once_it_is_told() {
    let mut net = Net::new(4, 22);
    net.run_until(3_000);
    net.watch.insert(2);
    net.restart(2);
    net.push(5, 2, Input::Release);
    net.run_until(3_500);
    assert_eq!(net.core(2).status().hold, None);
}

/// Two processes with one key: the one that finds a signature that is not its own stops signing.
#[test]
fn a_signature_that_is_not_in_the_record_silences_the_seat() {
    let mut net = Net::new(4, 23);
    net.run_until(500);
    let at = net.core(3).status().certified.next();
    let rogue = target_at(at, keccak256(b"another block"));
    let votes: Vec<_> = (1..=4u16)
        .map(|seat| {
            let crypto = signer(4, seat);
            let vote = crypto.sign_vote(SeatIndex(seat), VoteKind::ValidFull, &rogue, None).unwrap();
            (usize::from(seat) - 1, vote.signature)
        })
        .collect();
    let judge = signer(4, 0);
    let certificate = judge.aggregate(CertificateKind::Prepare, &rogue, &votes).unwrap();
    net.send(0, 3, &ConsensusMessage::Certificate(certificate));
    net.run_until(520);
    assert_eq!(net.core(3).status().hold, Some(Hold::Doppelganger { height: at }));
    let said = net.votes[3].len();
    net.run_until(2_000);
    assert_eq!(net.votes[3].len(), said);
    assert!(net.height(3) > at.0 + 5, "it still follows the chain");
    net.restart(3);
    assert_eq!(net.core(3).status().hold, Some(Hold::Doppelganger { height: at }), "a restart is no release");
}

fn target_at(height: Height, block: anfs_primitives::BlockHash) -> VoteTarget {
    VoteTarget { height, ..target(block) }
}

/// The generator's block in this slot, with another root reference.
fn referring(parent: &SealedHeader, slot: u64, (height, hash): (u64, u8)) -> Block {
    let block = block(parent, Slot(slot), 0);
    let root_reference = RootReference { height: Height(height), hash: B256::repeat_byte(hash) };
    let header = ShardHeader { root_reference, ..block.header.header().clone() };
    Block { header: header.seal(), ..block }
}

fn is_checked(effects: &[Effect]) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::Check { .. }))
}

#[test]
fn a_root_reference_stays_or_rises() {
    let rises =
        [((3, 7), true), ((4, 1), true), ((9, 9), true), ((3, 8), false), ((2, 7), false), ((0, 0), false)];
    for (reference, accepted) in rises {
        let mut one = One::new(4, 1);
        let first = referring(&one.genesis.clone(), 1, (3, 7));
        assert!(is_checked(&one.show(&first)));
        one.now_ms += 100;
        let second = referring(&first.header, 2, reference);
        assert_eq!(is_checked(&one.show(&second)), accepted, "{reference:?}");
    }
    // On a decided parent, the leader is to blame.
    let mut one = One::new(4, 1);
    let other = referring(&one.genesis.clone(), 1, (0, 1));
    let effects = one.show(&other);
    assert!(!is_checked(&effects));
    let blame = Effect::Penalise { seat: SeatIndex::GENERATOR, offence: Offence::Header("root_reference") };
    assert!(effects.contains(&blame), "{effects:?}");
}

#[test]
fn what_was_executed_ahead_with_another_root_reference_is_dropped() {
    let mut one = One::new(4, 1);
    let genesis = one.genesis.clone();
    let (ahead, real) = (referring(&genesis, 1, (1, 1)), referring(&genesis, 1, (2, 2)));
    let effects = one.tell(0, ConsensusMessage::Fragment(blocks::fragment(&ahead, 0..2)));
    let references = effects.iter().filter_map(|effect| match effect {
        Effect::Entries { root_reference, entries, .. } => Some((*root_reference, entries.len())),
        _ => None,
    });
    assert_eq!(references.collect::<Vec<_>>(), [(ahead.header.root_reference, 2)]);

    let crypto = signer(4, 0);
    let proposal = crypto.sign_proposal(SeatIndex::GENERATOR, &real.header).unwrap();
    let effects = one.tell(0, ConsensusMessage::Proposal(proposal));
    let dropped = Unneeded::Stream { height: Height(1), view: View::ZERO, parent: genesis.hash() };
    assert!(effects.contains(&Effect::Drop(dropped)) && !is_checked(&effects), "{effects:?}");
    // Fragments of the other block are of no use now; the header's own are.
    let effects = one.tell(0, ConsensusMessage::Fragment(blocks::fragment(&ahead, 0..ENTRIES)));
    assert!(!is_checked(&effects));
    let effects = one.tell(0, ConsensusMessage::Fragment(blocks::fragment(&real, 0..ENTRIES)));
    assert!(is_checked(&effects), "{effects:?}");
}

#[test]
fn fragments_of_one_stream_agree_on_the_root_reference() {
    let mut one = One::new(4, 1);
    let genesis = one.genesis.clone();
    let (first, second) = (referring(&genesis, 1, (1, 1)), referring(&genesis, 1, (2, 2)));
    one.tell(0, ConsensusMessage::Fragment(blocks::fragment(&first, 0..1)));
    // The generator begins again, as after a crash.
    let effects = one.tell(0, ConsensusMessage::Fragment(blocks::fragment(&second, 1..2)));
    assert!(matches!(effects[..], [Effect::Drop(Unneeded::Stream { .. }), ..]), "{effects:?}");
    let effects = one.tell(0, ConsensusMessage::Fragment(blocks::fragment(&second, 0..1)));
    let handed_out = effects.iter().any(|effect| {
        matches!(effect, Effect::Entries { root_reference, first_entry: 0, entries, .. }
            if *root_reference == second.header.root_reference && entries.len() == 2)
    });
    assert!(handed_out, "{effects:?}");
}
