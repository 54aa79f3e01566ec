use anfs_crypto::votes::target_of;
use anfs_primitives::{
    BlsSignature, Certificate, LaneCount, RootCertificate, ShardHeader, SignerSet, Slot, Supply,
};

use super::*;
use crate::root::config::tests::spec;

const ONE: DomainId = DomainId(1);
const TWO: DomainId = DomainId(2);

fn state() -> RootState {
    let spec = spec(&[&[1, 1], &[1, 1]]);
    let header = |domain| spec.genesis_header(domain, B256::ZERO, B256::ZERO).seal();
    let shards = vec![header(ONE), header(TWO)];
    let coins = BTreeMap::from([(ONE, U256::from(100)), (TWO, U256::from(50))]);
    RootState::genesis(genesis_root_header(&spec, &shards, &coins), shards, &coins)
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

fn build(state: &RootState, references: Vec<ShardReference>) -> (RootBlock, RootState) {
    let at = state.head().timestamp_ms + 10;
    state.build(Epoch::ZERO, View(2), LEADER, at, references).unwrap()
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
    let supply = Supply { held: U256::from(141), in_flight: U256::from(7), burned: U256::from(2) };
    assert_eq!(header.supply, supply);
    let mut replayed = genesis;
    replayed.apply(&decided(block)).unwrap();
    assert_eq!((replayed.head(), replayed.root(Height(1))), (after.head(), Some(after.head().hash())));
}

#[test]
fn each_changed_header_field_is_refused() {
    let genesis = state();
    let (block, _) = build(&genesis, vec![next(&genesis, ONE, |_| {})]);
    let changes: [fn(&mut RootHeader); 6] = [
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
    let refused = |references: Vec<ShardReference>| {
        let at = genesis.head().timestamp_ms + 1;
        genesis.build(Epoch::ZERO, View(0), LEADER, at, references).unwrap_err()
    };
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
        state = build(&state, vec![two]).1;
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
