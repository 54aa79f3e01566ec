use std::sync::LazyLock;

use alloy_primitives::{Address, U256};
use anfs_crypto::outbox::{lane_batch, outbox_root};
use anfs_primitives::{
    BlsSignature, BoundedVec, Certificate, CertificateKind, Epoch, LaneCount, MessageBody, RootBlock,
    RootCertificate, RootExecution, RootHeader, ShardHeader, ShardReference, SignerSet, Supply, View,
    VoteTarget,
};

use super::*;

const NETWORK: NetworkId = NetworkId(7);
const HERE: DomainId = DomainId(2);

/// Making a spec takes many keys.
static TEMPLATE: LazyLock<ShardHeader> =
    LazyLock::new(|| crate::testing::spec().genesis_header(DomainId(1), B256::ZERO, B256::ZERO));

/// A source's chain: `counts[i]` messages for us from block `i + 1`.
struct Source {
    domain: DomainId,
    outboxes: Vec<Vec<CrossMessage>>,
}

impl Source {
    fn new(domain: u32, counts: &[u64]) -> Self {
        let mut sent = 0;
        let outboxes = counts.iter().map(|count| {
            let numbers = sent..sent + count;
            sent += count;
            numbers
                .map(|number| message(domain, HERE.0, number))
                .chain([message(domain, 9, number_of(sent))])
                .collect()
        });
        Self { domain: DomainId(domain), outboxes: outboxes.collect() }
    }

    fn reference(&self, height: u64) -> ShardReference {
        let at = usize::try_from(height - 1).unwrap();
        let sent: usize = self.outboxes[..=at].iter().map(|all| all.len() - 1).sum();
        let mut header = TEMPLATE.clone();
        header.domain = self.domain;
        header.height = Height(height);
        header.outbox_root = outbox_root(&self.outboxes[at]);
        header.lanes = vec![LaneCount { destination: HERE, sent: sent as u64, value: U256::from(sent) }]
            .try_into()
            .unwrap();
        ShardReference { header: header.seal(), certificate: certificate() }
    }

    fn batch(&self, height: Height) -> LaneBatch {
        self.own(height.0).unwrap()
    }

    fn own(&self, height: u64) -> Option<LaneBatch> {
        lane_batch(&self.outboxes[usize::try_from(height - 1).unwrap()], HERE)
    }

    /// The root's part of a block whose parent, executed, is this source's block of the height.
    fn execution(&self, height: u64) -> RootExecution {
        let header = self.reference(height).header;
        RootExecution {
            outbox_root: header.outbox_root,
            sent: header.lanes.clone(),
            ..RootExecution::default()
        }
    }
}

fn number_of(sent: u64) -> u64 {
    sent + 1000
}

fn message(source: u32, destination: u32, sequence: u64) -> CrossMessage {
    CrossMessage {
        network: NETWORK,
        source: DomainId(source),
        destination: DomainId(destination),
        sequence,
        origin: B256::ZERO,
        body: MessageBody::Credit { recipient: Address::ZERO, value: U256::from(1) },
    }
}

fn target() -> VoteTarget {
    VoteTarget {
        network: NETWORK,
        epoch: Epoch::ZERO,
        domain: DomainId(0),
        height: Height(1),
        view: View::ZERO,
        block: B256::ZERO,
    }
}

fn certificate() -> Certificate {
    let (signers, signature) = (SignerSet::EMPTY, BlsSignature::ZERO);
    Certificate { kind: CertificateKind::Fast, target: target(), signers, signature }
}

fn root_block(height: u64, references: Vec<ShardReference>) -> Arc<CertifiedRootBlock> {
    root_block_after(height, references, RootExecution::default())
}

fn root_block_after(
    height: u64,
    references: Vec<ShardReference>,
    execution: RootExecution,
) -> Arc<CertifiedRootBlock> {
    let header = RootHeader {
        network: NETWORK,
        height: Height(height),
        parent: B256::ZERO,
        epoch: Epoch::ZERO,
        view: View::ZERO,
        proposer: RootSeat { domain: DomainId(1), seat: SeatIndex(0) },
        timestamp_ms: height,
        references_root: B256::ZERO,
        tips: BoundedVec::new(),
        inbound_root: B256::ZERO,
        parent_commit: B256::ZERO,
        execution,
        supply: Supply::default(),
    };
    let block = RootBlock {
        header: header.seal(),
        references: references.try_into().unwrap(),
        inbound: BoundedVec::new(),
        parent_commit: None,
    };
    let certificate = RootCertificate {
        kind: CertificateKind::Commit,
        target: target(),
        signers: BoundedVec::new(),
        signature: BlsSignature::ZERO,
    };
    Arc::new(CertifiedRootBlock { block: Arc::new(block), certificate })
}

fn numbers(arrived: &Arrived) -> Vec<(u32, u64)> {
    let batches = arrived.batches.iter();
    batches.flat_map(|(source, all)| all.iter().map(|message| (source.0, message.sequence))).collect()
}

/// Two sources, and a root that names one block of the first and two of the second each time.
fn network() -> (Source, Source, Vec<Arc<CertifiedRootBlock>>) {
    let (one, three) = (Source::new(1, &[2, 0, 1]), Source::new(3, &[0, 1, 3, 0, 1, 1]));
    let blocks = (1..=3u64)
        .map(|n| root_block(n, vec![one.reference(n), three.reference(2 * n - 1), three.reference(2 * n)]));
    let blocks = blocks.collect();
    (one, three, blocks)
}

#[test]
fn a_root_blocks_messages_arrive_together_and_root_blocks_in_order() {
    let (one, three, blocks) = network();
    let mut lanes = Lanes::new(NETWORK, HERE, 4, BTreeMap::new());
    blocks.iter().for_each(|block| lanes.extend(block, None));
    let asked = lanes.requests(0);
    let heights: Vec<_> = asked.iter().map(|(to, height)| (to.domain.0, height.0)).collect();
    assert_eq!(heights, [(1, 1), (3, 2), (3, 3), (1, 3), (3, 5), (3, 6)]);
    assert!(lanes.requests(ASK_AGAIN_MS - 1).is_empty(), "nobody is asked twice at once");

    for (source, height) in [(&three, 6), (&three, 5), (&one, 3), (&three, 3), (&three, 2)] {
        lanes.answer(source.domain, Height(height), source.batch(Height(height))).unwrap();
        assert!(lanes.next().is_none(), "the first root block still lacks a batch");
    }
    lanes.answer(one.domain, Height(1), one.batch(Height(1))).unwrap();
    let arrived: Vec<_> = std::iter::from_fn(|| lanes.next()).map(|it| numbers(&it)).collect();
    assert_eq!(
        arrived,
        [vec![(1, 0), (1, 1), (3, 0)], vec![(3, 1), (3, 2), (3, 3)], vec![(1, 2), (3, 4), (3, 5)]]
    );
}

#[test]
fn a_silent_seat_is_not_waited_for() {
    let (_, _, blocks) = network();
    let mut lanes = Lanes::new(NETWORK, HERE, 4, BTreeMap::new());
    lanes.extend(&blocks[0], None);
    let seats: Vec<u16> = (0..6).map(|n| lanes.requests(n * ASK_AGAIN_MS)[0].0.seat.0).collect();
    assert_eq!(seats, [0, 1, 2, 3, 4, 0]);
}

#[test]
fn a_forged_batch_is_refused_and_the_true_one_taken_afterwards() {
    let (one, three, blocks) = network();
    let mut lanes = Lanes::new(NETWORK, HERE, 4, BTreeMap::new());
    lanes.extend(&blocks[0], None);
    let unasked = lanes.answer(one.domain, Height(1), one.batch(Height(1)));
    assert!(unasked.is_ok() && lanes.next().is_none(), "what was not asked for does not count");
    lanes.requests(0);
    assert_eq!(
        lanes.answer(one.domain, Height(1), three.batch(Height(2))),
        Err(LaneFault::Batch(BatchError::Lane { index: 0 }))
    );
    let mut short = one.batch(Height(1));
    short.messages = vec![short.messages[0].clone()].try_into().unwrap();
    assert_eq!(lanes.answer(one.domain, Height(1), short), Err(LaneFault::Batch(BatchError::Root)));
    lanes.answer(one.domain, Height(1), one.batch(Height(1))).unwrap();
    lanes.answer(three.domain, Height(2), three.batch(Height(2))).unwrap();
    assert!(lanes.next().is_some());
}

/// A captured shard certifies what it likes. Whoever took such messages in would make a block that the root refuses.
#[test]
fn messages_that_hold_more_than_their_lane_are_not_taken_in() {
    let (one, three, _) = network();
    let mut header = one.reference(1).header.into_header();
    header.lanes = vec![LaneCount { destination: HERE, sent: 2, value: U256::from(1) }].try_into().unwrap();
    let reference = ShardReference { header: header.seal(), certificate: certificate() };
    let mut lanes = Lanes::new(NETWORK, HERE, 4, BTreeMap::new());
    lanes.extend(&root_block(1, vec![reference, three.reference(1), three.reference(2)]), None);
    lanes.requests(0);
    assert_eq!(lanes.answer(one.domain, Height(1), one.batch(Height(1))), Err(LaneFault::Claim));
}

/// Wherever a domain stopped consuming, what it takes in again has all that it had not consumed.
#[test]
fn nothing_is_missed_after_a_restart() {
    for one in 0..=3 {
        for three in 0..=6 {
            (0..=3).for_each(|head| restart([(head + one) % 4, one, three], head));
        }
    }
}

fn restart([zero, one, three]: [u64; 3], head: u64) {
    let (first, third, blocks) = network();
    // The root sends as well, and its own messages are always at hand.
    let root = Source::new(0, &[1, 0, 2]);
    let with_root = |block: &Arc<CertifiedRootBlock>| {
        let height = block.block.header.height.0;
        root_block_after(height, block.block.references.to_vec(), root.execution(height))
    };
    let blocks: Vec<_> = blocks.iter().map(with_root).collect();
    let consumed = BTreeMap::from([(DomainId(0), zero), (DomainId(1), one), (DomainId(3), three)]);
    let read = |height: Height| {
        let at = height.0.checked_sub(1).and_then(|at| usize::try_from(at).ok());
        Ok::<_, ()>(at.and_then(|at| blocks.get(at)).cloned())
    };
    let (start, sent) = start_of(HERE, Height(head), &consumed, 4, read).unwrap();
    let mut lanes = Lanes::new(NETWORK, HERE, 4, sent);
    let from = usize::try_from(start.0 - 1).unwrap();
    blocks[from..].iter().for_each(|block| lanes.extend(block, root.own(block.block.header.height.0)));
    for (to, height) in lanes.requests(0) {
        let source = if to.domain == first.domain { &first } else { &third };
        lanes.answer(source.domain, height, source.batch(height)).unwrap();
    }
    let arrived: Vec<_> = std::iter::from_fn(|| lanes.next()).flat_map(|it| numbers(&it)).collect();
    let due = |source: u32, consumed: u64, all: u64| (consumed..all).map(move |number| (source, number));
    for missed in due(0, zero, 3).chain(due(1, one, 3)).chain(due(3, three, 6)) {
        assert!(arrived.contains(&missed), "{zero} {one} {three} {head}: {missed:?} in {arrived:?}");
    }
}
