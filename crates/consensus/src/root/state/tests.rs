use anfs_crypto::outbox::{BatchError, lane_batch, outbox_root};
use anfs_crypto::votes::target_of;
use anfs_primitives::{
    BlsSignature, Certificate, CrossMessage, InboxCursor, IssuanceSpec, LaneCount, MessageBody, NetworkId,
    RootCertificate, ShardHeader, SignerSet, Slot, Supply,
};

use super::*;
use crate::root::config::tests::spec;
use anfs_primitives::spec::YEAR_MS;

const ONE: DomainId = DomainId(1);
const TWO: DomainId = DomainId(2);

fn state() -> RootState {
    let mut spec = spec(&[&[1, 1], &[1, 1]]);
    spec.max_supply = U256::from(1_000);
    // 20 wei in the 20 milliseconds after genesis.
    spec.issuance = IssuanceSpec { per_year: U256::from(YEAR_MS), decay_permille: 0, interval_ms: 10 };
    let header = |domain| spec.genesis_header(domain, B256::ZERO, B256::ZERO).seal();
    let shards = vec![header(ONE), header(TWO)];
    let coins = BTreeMap::from([(ONE, U256::from(100)), (TWO, U256::from(50))]);
    let header = genesis_root_header(&spec, &shards, &coins, RootExecution::default());
    RootState::genesis(&spec, header, shards, &coins)
}

/// The next block of a shard, changed as asked, certified.
fn next(state: &RootState, domain: DomainId, change: impl FnOnce(&mut ShardHeader)) -> ShardReference {
    let tip = state.tip(domain).unwrap();
    let mut header = tip.header().clone();
    header.height = tip.height.next();
    header.slot = Slot(tip.slot.0 + 1);
    header.parent = tip.hash();
    change(&mut header);
    let header = header.seal();
    let certificate = Certificate {
        kind: CertificateKind::Fast,
        target: target_of(&header),
        signers: SignerSet::EMPTY,
        signature: BlsSignature::ZERO,
    };
    ShardReference { header, certificate }
}

const LEADER: RootSeat = RootSeat { domain: ONE, seat: SeatIndex(1) };

/// What executing the newest block comes to, if it does nothing but consume and be issued coins.
fn execution(state: &RootState) -> RootExecution {
    if state.head().height == Height::ZERO {
        return state.head().execution.clone();
    }
    RootExecution {
        state_root: state.head().hash(),
        consumed: state.inbox.cursors().try_into().unwrap(),
        value_in: state.inbox.value_in(),
        issued: state.issued(),
        ..RootExecution::default()
    }
}

fn draft(state: &RootState, references: Vec<ShardReference>) -> RootDraft {
    RootDraft {
        epoch: Epoch::ZERO,
        view: View(2),
        proposer: LEADER,
        timestamp_ms: state.head().timestamp_ms + 10,
        references,
        inbound: Vec::new(),
        execution: execution(state),
    }
}

fn build(state: &RootState, references: Vec<ShardReference>) -> (RootBlock, RootState) {
    state.build(draft(state, references)).unwrap()
}

/// The state after a draft was decided.
fn decide(state: &RootState, draft: RootDraft) -> RootState {
    let (block, _) = state.build(draft).unwrap();
    let mut after = state.clone();
    after.apply(&decided(block)).unwrap();
    after
}

fn decided(block: RootBlock) -> CertifiedRootBlock {
    let target = VoteTarget {
        network: block.header.network,
        epoch: block.header.epoch,
        domain: DomainId(0),
        height: block.header.height,
        view: View(3),
        block: block.header.hash(),
    };
    let certificate = RootCertificate {
        kind: CertificateKind::Commit,
        target,
        signers: BoundedVec::new(),
        signature: BlsSignature::ZERO,
    };
    CertifiedRootBlock { block: std::sync::Arc::new(block), certificate }
}

#[test]
fn what_is_built_passes_the_check_and_names_tips_and_coins() {
    let genesis = state();
    assert_eq!(genesis.head().supply.held, U256::from(150));
    let one = next(&genesis, ONE, |header| {
        header.lanes =
            vec![LaneCount { destination: TWO, sent: 1, value: U256::from(7) }].try_into().unwrap();
        header.value_out = U256::from(7);
        header.burned = U256::from(2);
    });
    let two = next(&genesis, TWO, |_| {});
    let (block, after) = build(&genesis, vec![one.clone(), two]);
    assert_eq!(genesis.check(&block).unwrap().head(), after.head());
    let header = &block.header;
    assert_eq!(header.tip(ONE), Some(ShardTip { height: Height(1), hash: one.header.hash() }));
    let supply =
        Supply { held: U256::from(141), in_flight: U256::from(7), burned: U256::from(2), issued: U256::ZERO };
    assert_eq!(header.supply, supply);
    let mut replayed = genesis;
    replayed.apply(&decided(block)).unwrap();
    assert_eq!((replayed.head(), replayed.root(Height(1))), (after.head(), Some(after.head().hash())));
}

#[test]
fn each_changed_header_field_is_refused() {
    let genesis = state();
    let (block, _) = build(&genesis, vec![next(&genesis, ONE, |_| {})]);
    let changes: [fn(&mut RootHeader); 8] = [
        |header| header.inbound_root = B256::ZERO,
        |header| header.parent_commit = B256::repeat_byte(1),
        |header| header.height = Height(2),
        |header| header.parent = B256::ZERO,
        |header| header.references_root = B256::ZERO,
        |header| header.supply.held += U256::from(1),
        |header| header.tips = BoundedVec::new(),
        |header| header.network.0 += 1,
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let mut header = block.header.header().clone();
        change(&mut header);
        let changed = RootBlock { header: header.seal(), ..block.clone() };
        assert_eq!(genesis.check(&changed).unwrap_err(), RootFault::Header, "{index}");
    }
    let mut early = block.header.header().clone();
    early.timestamp_ms = genesis.head().timestamp_ms;
    let early = RootBlock { header: early.seal(), ..block };
    assert_eq!(genesis.check(&early).unwrap_err(), RootFault::Timestamp);
}

#[test]
fn shard_blocks_follow_without_gaps_by_domain() {
    let genesis = state();
    let (one, two) = (next(&genesis, ONE, |_| {}), next(&genesis, TWO, |_| {}));
    let refused = |references: Vec<ShardReference>| genesis.build(draft(&genesis, references)).unwrap_err();
    assert_eq!(refused(vec![two.clone(), one.clone()]), RootFault::Order);
    let fault = |reference: ShardReference| match refused(vec![reference]) {
        RootFault::Reference { fault, .. } => fault,
        other => panic!("{other}"),
    };
    let mut after = genesis.clone();
    after.extend(&one).unwrap();
    assert_eq!(fault(next(&after, ONE, |_| {})), ReferenceFault::Height(Height(1)));
    assert_eq!(fault(next(&genesis, ONE, |header| header.domain = DomainId(3))), ReferenceFault::Foreign);
    assert_eq!(fault(next(&genesis, ONE, |header| header.network.0 = 8)), ReferenceFault::Foreign);
    assert_eq!(fault(next(&genesis, ONE, |header| header.parent = B256::ZERO)), ReferenceFault::Link);
    let swapped = ShardReference { certificate: two.certificate, ..one.clone() };
    assert_eq!(fault(swapped), ReferenceFault::Certificate);
    let mut weak = one;
    weak.certificate.kind = CertificateKind::Prepare;
    assert_eq!(fault(weak), ReferenceFault::Certificate);
    let broke = next(&genesis, ONE, |header| header.burned = U256::from(101));
    assert!(matches!(fault(broke), ReferenceFault::Ledger(LedgerFault::Overdrawn { .. })));
}

#[test]
fn a_root_reference_is_final_and_never_falls() {
    let mut state = state();
    let mut names = Vec::new();
    for _ in 0..3 {
        let two = next(&state, TWO, |_| {});
        state = decide(&state, draft(&state, vec![two]));
        names.push(state.head().reference());
    }
    let extend = |state: &RootState, reference: RootReference| {
        let block = next(state, ONE, |header| header.root_reference = reference);
        let mut after = state.clone();
        after.extend(&block).map(|()| after)
    };
    let future = RootReference { height: Height(4), hash: B256::ZERO };
    assert_eq!(extend(&state, future).unwrap_err(), ReferenceFault::Early(Height(4)));
    let wrong = RootReference { height: Height(2), hash: B256::ZERO };
    assert_eq!(extend(&state, wrong).unwrap_err(), ReferenceFault::Root);
    let second = extend(&state, names[1]).unwrap();
    assert!(extend(&second, names[1]).is_ok() && extend(&second, names[2]).is_ok());
    assert_eq!(extend(&second, names[0]).unwrap_err(), ReferenceFault::Root);
    assert_eq!(extend(&second, RootReference::default()).unwrap_err(), ReferenceFault::Root);
    assert!(ReferenceFault::Root.convicts() && !ReferenceFault::Early(Height(4)).convicts());
}

#[test]
fn a_state_that_refuses_stays_as_it_was() {
    let mut state = state();
    let before = (state.head().clone(), state.ledger().supply());
    let broke = next(&state, ONE, |header| header.value_in = U256::from(1));
    assert!(state.extend(&broke).is_err());
    let (block, _) = build(&state, Vec::new());
    let mut undecided = decided(block);
    undecided.certificate.kind = CertificateKind::Prepare;
    assert_eq!(state.apply(&undecided).unwrap_err(), RootFault::Certificate);
    assert_eq!((state.head().clone(), state.ledger().supply()), before);
    assert_eq!(state.tip(ONE).unwrap().height, Height::ZERO);
}

/// One message to the root for each of these coins, from a number on.
fn messages(source: DomainId, first: u64, coins: &[u64]) -> Vec<CrossMessage> {
    let numbers = (first..).zip(coins);
    let message = |(sequence, value): (u64, &u64)| CrossMessage {
        network: NetworkId(7),
        source,
        destination: DomainId::ROOT,
        sequence,
        origin: B256::ZERO,
        body: MessageBody::Credit { recipient: Default::default(), value: U256::from(*value) },
    };
    numbers.map(message).collect()
}

/// The next block of a shard, which sends the root these messages; its lane is at so many messages and coins then.
fn sends(state: &RootState, messages: &[CrossMessage], sent: u64, value: u64) -> (ShardReference, LaneBatch) {
    let now: U256 = messages.iter().map(CrossMessage::value).sum();
    let reference = next(state, messages[0].source, |header| {
        let lane = LaneCount { destination: DomainId::ROOT, sent, value: U256::from(value) };
        header.lanes = vec![lane].try_into().unwrap();
        (header.outbox_root, header.value_out) = (outbox_root(messages), now);
    });
    (reference, lane_batch(messages, DomainId::ROOT).unwrap())
}

/// Root block 1 has made final three messages of shard 1 and two of shard 2, with 1, 2, 3 and 4, 5 wei.
fn with_messages() -> (RootState, [LaneBatch; 2]) {
    let genesis = state();
    let (one, first) = sends(&genesis, &messages(ONE, 0, &[1, 2, 3]), 3, 6);
    let (two, second) = sends(&genesis, &messages(TWO, 0, &[4, 5]), 2, 9);
    (decide(&genesis, draft(&genesis, vec![one, two])), [first, second])
}

#[test]
fn the_root_consumes_stretches_of_its_lanes_and_its_ledger_follows_a_block_later() {
    let (state, [one, two]) = with_messages();
    assert_eq!(state.waiting().map(|(_, waits)| waits.count()).collect::<Vec<_>>(), [1, 1]);
    let part = vec![one.stretch(ONE, Height(1), 0..2).unwrap(), two.stretch(TWO, Height(1), 0..2).unwrap()];
    let second = decide(&state, RootDraft { inbound: part, ..draft(&state, Vec::new()) });
    assert!(second.want(ONE, Height(1)).is_some() && second.want(TWO, Height(1)).is_none());
    assert_eq!(second.head().supply.in_flight, U256::from(15), "not executed yet");
    let rest = vec![one.stretch(ONE, Height(1), 2..3).unwrap()];
    let third = decide(&second, RootDraft { inbound: rest, ..draft(&second, Vec::new()) });
    assert_eq!(third.head().supply.in_flight, U256::from(3));
    assert_eq!(third.ledger().held(DomainId::ROOT), Some(U256::from(12) + third.head().supply.issued));
    let cursors = |state: &RootState| state.head().execution.consumed.to_vec();
    let at = |source, consumed| InboxCursor { source, consumed };
    assert_eq!(cursors(&third), [at(ONE, 2), at(TWO, 2)]);
    let fourth = decide(&third, draft(&third, Vec::new()));
    assert_eq!(cursors(&fourth), [at(ONE, 3), at(TWO, 2)]);
    assert_eq!(fourth.head().supply.in_flight, U256::ZERO);
}

#[test]
fn messages_that_do_not_come_next_are_refused() {
    let (state, [one, two]) = with_messages();
    let whole =
        |batch: &LaneBatch, source| batch.stretch(source, Height(1), 0..batch.messages.len()).unwrap();
    let (first, second) = (whole(&one, ONE), whole(&two, TWO));
    let refused = |inbound: Vec<InboundBatch>| match state
        .build(RootDraft { inbound, ..draft(&state, Vec::new()) })
        .unwrap_err()
    {
        RootFault::Inbound { fault, .. } => fault,
        other => panic!("{other}"),
    };
    let with = |edit: &dyn Fn(&mut Vec<CrossMessage>)| {
        let mut messages = first.messages.to_vec();
        edit(&mut messages);
        vec![InboundBatch { messages: messages.try_into().unwrap(), ..first.clone() }]
    };
    let sequence = |have, want| InboundFault::Batch(BatchError::Sequence { index: 0, have, want });
    assert_eq!(refused(vec![second.clone(), first.clone()]), InboundFault::Order);
    assert_eq!(refused(vec![first.clone(), first.clone()]), InboundFault::Order);
    let nobody = InboundBatch { source: DomainId(3), ..second.clone() };
    assert_eq!(refused(vec![nobody]), InboundFault::Order);
    assert_eq!(refused(vec![one.stretch(ONE, Height(1), 1..3).unwrap()]), sequence(1, 0), "a number skipped");
    let elsewhere = InboundBatch { height: Height(2), ..first.clone() };
    assert_eq!(refused(vec![elsewhere]), InboundFault::Share);
    let altered = |edit: &dyn Fn(&mut Vec<CrossMessage>)| refused(with(edit));
    let root = InboundFault::Batch(BatchError::Root);
    assert_eq!(altered(&|all| all[1].origin = B256::repeat_byte(1)), root, "a forged message");
    assert_eq!(altered(&|all| drop(all.pop())), root);
    assert_eq!(altered(&|all| all.clear()), InboundFault::Batch(BatchError::Empty));
    let lane = InboundFault::Batch(BatchError::Lane { index: 0 });
    assert_eq!(altered(&|all| all[0].network = NetworkId(8)), lane);
    assert_eq!(altered(&|all| all[0].destination = TWO), lane);
    // What was consumed is not consumed again.
    let after = decide(&state, RootDraft { inbound: vec![second.clone()], ..draft(&state, Vec::new()) });
    let again = after.build(RootDraft { inbound: vec![second], ..draft(&after, Vec::new()) }).unwrap_err();
    assert_eq!(again, RootFault::Inbound { source_domain: TWO, fault: InboundFault::Share });
}

#[test]
fn messages_with_other_coins_than_their_lane_are_never_consumed() {
    for claimed in [5u64, 7] {
        let genesis = state();
        let (mut one, batch) = sends(&genesis, &messages(ONE, 0, &[1, 2, 3]), 3, claimed);
        let mut header = one.header.header().clone();
        header.value_out = U256::from(claimed);
        one.header = header.seal();
        one.certificate.target = target_of(&one.header);
        let state = decide(&genesis, draft(&genesis, vec![one]));
        let want = *state.want(ONE, Height(1)).unwrap();
        assert_eq!(want.verify(&batch, NetworkId(7)), Err(InboundFault::Claim));
        let part = |from, to| vec![batch.stretch(ONE, Height(1), from..to).unwrap()];
        let state = decide(&state, RootDraft { inbound: part(0, 2), ..draft(&state, Vec::new()) });
        let last = state.build(RootDraft { inbound: part(2, 3), ..draft(&state, Vec::new()) }).unwrap_err();
        assert_eq!(last, RootFault::Inbound { source_domain: ONE, fault: InboundFault::Claim });
    }
}

#[test]
fn a_false_execution_is_refused() {
    let (state, [one, _]) = with_messages();
    let inbound = vec![one.stretch(ONE, Height(1), 0..2).unwrap()];
    let state = decide(&state, RootDraft { inbound, ..draft(&state, Vec::new()) });
    let honest = execution(&state);
    assert_eq!((honest.issued, honest.value_in), (U256::from(20), U256::from(3)));
    let refused = |change: &dyn Fn(&mut RootExecution)| {
        let mut execution = honest.clone();
        change(&mut execution);
        match state.build(RootDraft { execution, ..draft(&state, Vec::new()) }).unwrap_err() {
            RootFault::Execution(fault) => fault,
            other => panic!("{other}"),
        }
    };
    let due = U256::from(20);
    for claimed in [0, 19, 21].map(U256::from) {
        let fault = ExecutionFault::Issued { claimed, due };
        assert_eq!(
            refused(&|execution| execution.issued = claimed),
            fault,
            "coins from nowhere, or withheld"
        );
    }
    assert_eq!(refused(&|execution| execution.value_in += U256::ONE), ExecutionFault::Inbound);
    assert_eq!(refused(&|execution| execution.consumed = BoundedVec::new()), ExecutionFault::Inbound);
    let further = |execution: &mut RootExecution| {
        let cursor = InboxCursor { source: ONE, consumed: 3 };
        execution.consumed = vec![cursor].try_into().unwrap();
    };
    assert_eq!(refused(&further), ExecutionFault::Inbound);
    let spent = |execution: &mut RootExecution| execution.burned = U256::from(24);
    let overdrawn = LedgerFault::Overdrawn { held: U256::from(23), spent: U256::from(24) };
    assert_eq!(refused(&spent), ExecutionFault::Ledger(overdrawn));
    let lanes = LedgerFault::ValueOut { claimed: U256::ONE, lanes: U256::ZERO };
    assert_eq!(refused(&|execution| execution.value_out = U256::ONE), ExecutionFault::Ledger(lanes));
}

#[test]
fn the_first_block_repeats_what_genesis_says_of_itself() {
    let genesis = state();
    let other = RootExecution { state_root: B256::repeat_byte(1), ..RootExecution::default() };
    let refused = genesis.build(RootDraft { execution: other, ..draft(&genesis, Vec::new()) }).unwrap_err();
    assert_eq!(refused, RootFault::Execution(ExecutionFault::Genesis));
}

#[test]
fn each_block_but_the_first_shows_what_decided_its_parent() {
    let genesis = state();
    let first = decide(&genesis, draft(&genesis, Vec::new()));
    let (block, _) = first.build(draft(&first, Vec::new())).unwrap();
    let shown = block.parent_commit.clone().unwrap();
    assert_eq!((shown.target.block, block.header.parent_commit), (first.head().hash(), shown.hash()));
    let refused = |parent_commit: Option<RootCertificate>| {
        first.check(&RootBlock { parent_commit, ..block.clone() }).unwrap_err()
    };
    assert_eq!(refused(None), RootFault::ParentCommit);
    let prepared = RootCertificate { kind: CertificateKind::Prepare, ..shown.clone() };
    assert_eq!(refused(Some(prepared)), RootFault::ParentCommit);
    let mut other = shown.clone();
    other.target.block = genesis.head().hash();
    assert_eq!(refused(Some(other)), RootFault::ParentCommit);
    // Another one that would do is not the one that the header names.
    let mut later = shown;
    later.target.view = View(9);
    assert_eq!(refused(Some(later.clone())), RootFault::Header);
    assert!(is_whole(&block) && !is_whole(&RootBlock { parent_commit: Some(later), ..block.clone() }));
    let (early, _) = genesis.build(draft(&genesis, Vec::new())).unwrap();
    let early = RootBlock { parent_commit: first.commit().cloned(), ..early };
    assert_eq!(genesis.check(&early).unwrap_err(), RootFault::ParentCommit);
}

#[test]
fn what_a_block_takes_in_is_bounded() {
    let genesis = state();
    // Half of 30 million gas: 714 credits.
    let many = messages(ONE, 0, &[0; 715]);
    let (one, batch) = sends(&genesis, &many, 715, 0);
    let state = decide(&genesis, draft(&genesis, vec![one]));
    let inbound = |count| vec![batch.stretch(ONE, Height(1), 0..count).unwrap()];
    let over = state.build(RootDraft { inbound: inbound(715), ..draft(&state, Vec::new()) }).unwrap_err();
    assert_eq!(over, RootFault::Inbound { source_domain: ONE, fault: InboundFault::Gas });
    let chosen = state.choose(|source, height| Some(&batch).filter(|_| (source, height) == (ONE, Height(1))));
    assert_eq!(chosen, inbound(714));
    assert!(state.build(RootDraft { inbound: chosen, ..draft(&state, Vec::new()) }).is_ok());
    assert_eq!(state.choose(|_, _| None), Vec::new());
}
