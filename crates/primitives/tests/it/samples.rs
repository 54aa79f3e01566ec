//! Values of every wire type: one fixed value each for the pins, and strategies for the properties.

use alloy_primitives::{Address, B256, Bloom, Bytes, Log, LogData, U256};
use anfs_primitives::header::VERIFIERS_MAX;
use anfs_primitives::receipt::ReceiptKind;
use anfs_primitives::spec::GenesisAccount;
use anfs_primitives::vote::ExecutionField;
use anfs_primitives::*;
use proptest::prelude::*;

pub(crate) const VOTE_KINDS: [VoteKind; 5] = [
    VoteKind::ValidSliced,
    VoteKind::ValidFull,
    VoteKind::InvalidSliced,
    VoteKind::InvalidFull,
    VoteKind::Commit,
];

pub(crate) const CERTIFICATE_KINDS: [CertificateKind; 4] =
    [CertificateKind::Fast, CertificateKind::Prepare, CertificateKind::Commit, CertificateKind::Conviction];

pub(crate) const EXECUTION_FIELDS: [ExecutionField; 10] = [
    ExecutionField::StateRoot,
    ExecutionField::TransactionsRoot,
    ExecutionField::ReceiptsRoot,
    ExecutionField::LogsBloom,
    ExecutionField::GasUsed,
    ExecutionField::EntriesRoot,
    ExecutionField::BaseFee,
    ExecutionField::Messages,
    ExecutionField::Beneficiary,
    ExecutionField::Burned,
];

fn bounded<T: std::fmt::Debug, const N: usize>(items: Vec<T>) -> BoundedVec<T, N> {
    items.try_into().unwrap()
}

pub(crate) fn entry() -> Entry {
    let transaction = |byte: u8| SequencedTransaction {
        encoded: Bytes::from(vec![byte; 3]),
        sender: Address::repeat_byte(byte),
    };
    Entry {
        num_hashes: 400,
        hash: B256::repeat_byte(1),
        transactions: bounded(vec![transaction(2), transaction(3)]),
    }
}

pub(crate) fn tick() -> Entry {
    Entry { num_hashes: 1, hash: B256::repeat_byte(4), transactions: BoundedVec::new() }
}

pub(crate) fn fragment() -> Fragment {
    Fragment {
        network: NetworkId(31337),
        domain: DomainId(1),
        height: Height(2),
        slot: Slot(3),
        view: View(4),
        parent: B256::repeat_byte(5),
        proposer: SeatIndex(6),
        root_reference: RootReference { height: Height(8), hash: B256::repeat_byte(9) },
        first_entry: 7,
        entries: bounded(vec![entry(), tick()]),
    }
}

pub(crate) fn header() -> ShardHeader {
    ShardHeader {
        network: NetworkId(31337),
        domain: DomainId(1),
        height: Height(2),
        slot: Slot(3),
        parent: B256::repeat_byte(4),
        epoch: Epoch(5),
        view: View(6),
        proposer: SeatIndex(7),
        beneficiary: Address::repeat_byte(8),
        root_reference: RootReference { height: Height(9), hash: B256::repeat_byte(10) },
        poh_start: B256::repeat_byte(11),
        poh_end: B256::repeat_byte(12),
        boundaries: bounded(vec![
            Boundary { entry: 0, hash: B256::repeat_byte(11) },
            Boundary { entry: 2, hash: B256::repeat_byte(12) },
        ]),
        entries_root: B256::repeat_byte(13),
        transactions_root: B256::repeat_byte(14),
        receipts_root: B256::repeat_byte(15),
        logs_bloom: Bloom::repeat_byte(16),
        state_root: B256::repeat_byte(17),
        outbox_root: B256::repeat_byte(18),
        lanes: bounded(vec![LaneCount { destination: DomainId(2), sent: 19, value: U256::from(26) }]),
        inbox_cursors: bounded(vec![InboxCursor { source: DomainId(3), consumed: 20 }]),
        gas_used: 21,
        gas_limit: 22,
        base_fee: 23,
        value_in: U256::from(24),
        value_out: U256::from(25),
        burned: U256::from(27),
    }
}

pub(crate) fn target() -> VoteTarget {
    VoteTarget {
        network: NetworkId(31337),
        epoch: Epoch(1),
        domain: DomainId(2),
        height: Height(3),
        view: View(4),
        block: B256::repeat_byte(5),
    }
}

pub(crate) fn vote(kind: VoteKind, fault: Option<Fault>) -> SignedVote {
    let signature = BlsSignature::repeat_byte(7);
    SignedVote { kind, target: target(), fault, signer: SeatIndex(6), signature }
}

pub(crate) fn certificate(kind: CertificateKind) -> Certificate {
    Certificate {
        kind,
        target: target(),
        signers: [0, 2, 63].into_iter().collect(),
        signature: BlsSignature::repeat_byte(8),
    }
}

pub(crate) fn proposal() -> Proposal {
    Proposal { header: header().seal(), signature: BlsSignature::repeat_byte(9) }
}

pub(crate) fn block() -> Block {
    Block { header: header().seal(), body: BlockBody { entries: bounded(vec![entry(), tick()]) } }
}

pub(crate) fn certified_block() -> CertifiedBlock {
    CertifiedBlock { block: block(), certificate: certificate(CertificateKind::Fast) }
}

/// A message of each kind.
pub(crate) fn cross_messages() -> Vec<(&'static str, CrossMessage)> {
    let request = ResultRequest { id: B256::repeat_byte(5), gas_limit: 50_000 };
    let call = CrossCall {
        sender: Address::repeat_byte(1),
        recipient: Address::repeat_byte(2),
        value: U256::from(3),
        gas_limit: 100_000,
        payment: GasPayment::Prepaid { max_fee: 7, max_tip: 1 },
        deadline: Slot(1000),
        data: bounded(vec![1, 2, 3]),
        form: CallForm::Gateway { id: B256::repeat_byte(4) },
        result: Some(request),
    };
    let derivation = Derivation::Create { creator: Address::repeat_byte(6), nonce: 8 };
    let credit = MessageBody::Credit { recipient: Address::repeat_byte(7), value: U256::from(9) };
    let bodies = [
        ("call", MessageBody::Call(call)),
        ("result", MessageBody::Result(CallResult { request, success: true, data: bounded(vec![4, 5]) })),
        ("credit", credit),
        ("route", MessageBody::Route { derivation }),
    ];
    let message = |body| CrossMessage {
        network: NetworkId(31337),
        source: DomainId(1),
        destination: DomainId(2),
        sequence: 10,
        origin: B256::repeat_byte(11),
        body,
    };
    bodies.into_iter().map(|(name, body)| (name, message(body))).collect()
}

pub(crate) fn receipt() -> Receipt {
    let topics = vec![B256::repeat_byte(1), B256::repeat_byte(2)];
    Receipt {
        kind: ReceiptKind::Eip1559,
        success: true,
        cumulative_gas_used: 42_000,
        gas_used: 21_000,
        contract_address: Some(Address::repeat_byte(3)),
        logs: vec![Log {
            address: Address::repeat_byte(4),
            data: LogData::new_unchecked(topics, Bytes::from_static(b"data")),
        }],
    }
}

pub(crate) fn view_change() -> SignedViewChange {
    let report = HeightReport {
        height: Height(5),
        prepared: Some(certificate(CertificateKind::Prepare)),
        approved: Some((View(1), B256::repeat_byte(8))),
    };
    SignedViewChange {
        change: ViewChange {
            network: NetworkId(31337),
            epoch: Epoch(2),
            domain: DomainId(1),
            view: View(3),
            decided: vec![certificate(CertificateKind::Commit)].try_into().unwrap(),
            reports: vec![report].try_into().unwrap(),
        },
        signer: SeatIndex(2),
        signature: BlsSignature::repeat_byte(9),
    }
}

pub(crate) fn new_view() -> NewView {
    NewView {
        view: View(3),
        changes: vec![view_change()].try_into().unwrap(),
        carried: vec![proposal()].try_into().unwrap(),
        convictions: vec![certificate(CertificateKind::Conviction)].try_into().unwrap(),
        signature: BlsSignature::repeat_byte(9),
    }
}

pub(crate) fn messages() -> [(&'static str, ConsensusMessage); 12] {
    [
        ("fragment", ConsensusMessage::Fragment(fragment())),
        ("proposal", ConsensusMessage::Proposal(proposal())),
        ("vote", ConsensusMessage::Vote(vote(VoteKind::Commit, None))),
        ("certificate", ConsensusMessage::Certificate(certificate(CertificateKind::Commit))),
        (
            "fragment request",
            ConsensusMessage::FragmentRequest { block: B256::repeat_byte(1), first_entry: 2 },
        ),
        ("block request", ConsensusMessage::BlockRequest { from: Height(3) }),
        ("block", ConsensusMessage::Block(Box::new(certified_block()))),
        (
            "view timeout",
            ConsensusMessage::ViewTimeout(ViewTimeout { epoch: Epoch(2), view: View(3), tip: Height(4) }),
        ),
        ("view change", ConsensusMessage::ViewChange(Box::new(view_change()))),
        ("new view", ConsensusMessage::NewView(Box::new(new_view()))),
        ("proposal request", ConsensusMessage::ProposalRequest { block: B256::repeat_byte(1) }),
        ("new view request", ConsensusMessage::NewViewRequest { view: View(3) }),
    ]
}

pub(crate) fn chain_spec() -> ChainSpec {
    let seat = |id: u8| ValidatorSpec {
        public_key: BlsPublicKey::repeat_byte(id),
        proof_of_possession: BlsSignature::repeat_byte(id),
        beneficiary: Address::repeat_byte(id),
        stake: U256::from(id),
    };
    let account = GenesisAccount {
        balance: U256::from(1_000),
        nonce: 1,
        code: Bytes::from_static(&[0x60, 0x00]),
        storage: [(B256::ZERO, B256::repeat_byte(1))].into(),
    };
    ChainSpec {
        name: "pinned".into(),
        network: NetworkId(31337),
        genesis_time_ms: 1_700_000_000_000,
        evm_fork: spec::EvmFork::Osaka,
        slot_ms: 250,
        hashes_per_slot: 6_400,
        ticks_per_slot: 16,
        block_gas_limit: 200_000_000,
        initial_base_fee: 1_000_000_000,
        base_fee_change_denominator: 8,
        base_fee_min: 7,
        verifiers_per_shard: 4,
        slice_redundancy: 2,
        pipeline_depth: 4,
        fast_timeout_ms: 1_000,
        view_timeout_ms: 3_000,
        root_block_ms: 500,
        root_timeout_ms: 4_000,
        max_supply: U256::from(1_000),
        issuance: spec::IssuanceSpec::NONE,
        shards: vec![spec::ShardSpec { generator: seat(1), verifiers: (2..=5).map(seat).collect() }],
        accounts: [(Address::repeat_byte(9), account)].into(),
    }
}

fn word() -> impl Strategy<Value = B256> {
    any::<[u8; 32]>().prop_map(B256::new)
}

fn address() -> impl Strategy<Value = Address> {
    any::<[u8; 20]>().prop_map(Address::new)
}

fn bytes(max: usize) -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..=max).prop_map(Bytes::from)
}

fn signature() -> impl Strategy<Value = BlsSignature> {
    prop::collection::vec(any::<u8>(), 48).prop_map(|bytes| BlsSignature::from_slice(&bytes))
}

pub(crate) fn any_entry() -> impl Strategy<Value = Entry> {
    let transaction =
        (bytes(40), address()).prop_map(|(encoded, sender)| SequencedTransaction { encoded, sender });
    (any::<u64>(), word(), prop::collection::vec(transaction, 0..5)).prop_map(
        |(num_hashes, hash, transactions)| Entry { num_hashes, hash, transactions: bounded(transactions) },
    )
}

fn any_entries<const N: usize>() -> impl Strategy<Value = BoundedVec<Entry, N>> {
    prop::collection::vec(any_entry(), 0..6).prop_map(bounded)
}

pub(crate) fn any_fragment() -> impl Strategy<Value = Fragment> {
    let place = (any::<u64>(), any::<u32>(), any::<u64>(), any::<u64>(), any::<u64>());
    let root = (any::<u64>(), word());
    (place, word(), any::<u16>(), root, any::<u32>(), any_entries()).prop_map(
        |((network, domain, height, slot, view), parent, proposer, root, first_entry, entries)| Fragment {
            network: NetworkId(network),
            domain: DomainId(domain),
            height: Height(height),
            slot: Slot(slot),
            view: View(view),
            parent,
            proposer: SeatIndex(proposer),
            root_reference: RootReference { height: Height(root.0), hash: root.1 },
            first_entry,
            entries,
        },
    )
}

pub(crate) fn any_header() -> impl Strategy<Value = ShardHeader> {
    let numbers = prop::collection::vec(any::<u64>(), 9);
    let words = prop::collection::vec(word(), 9);
    let cuts = prop::collection::vec((any::<u32>(), word()), 0..=VERIFIERS_MAX + 1);
    let lanes = prop::collection::vec((any::<u32>(), any::<u64>()), 0..8);
    (numbers, words, address(), cuts, lanes, any::<[[u8; 32]; 8]>()).prop_map(
        |(n, w, beneficiary, cuts, lanes, bloom)| ShardHeader {
            network: NetworkId(n[0]),
            height: Height(n[1]),
            slot: Slot(n[2]),
            epoch: Epoch(n[3]),
            view: View(n[4]),
            root_reference: RootReference { height: Height(n[5]), hash: w[0] },
            gas_used: n[6],
            gas_limit: n[7],
            base_fee: n[8],
            parent: w[1],
            poh_start: w[2],
            poh_end: w[3],
            entries_root: w[4],
            transactions_root: w[5],
            receipts_root: w[6],
            state_root: w[7],
            outbox_root: w[8],
            beneficiary,
            boundaries: bounded(cuts.into_iter().map(|(entry, hash)| Boundary { entry, hash }).collect()),
            lanes: bounded(
                lanes
                    .iter()
                    .map(|&(to, sent)| LaneCount {
                        destination: DomainId(to),
                        sent,
                        value: U256::from_be_bytes(bloom[2]),
                    })
                    .collect(),
            ),
            inbox_cursors: bounded(
                lanes
                    .iter()
                    .map(|&(from, consumed)| InboxCursor { source: DomainId(from), consumed })
                    .collect(),
            ),
            logs_bloom: Bloom::from_slice(bloom.as_flattened()),
            value_in: U256::from_be_bytes(bloom[0]),
            value_out: U256::from_be_bytes(bloom[1]),
            burned: U256::from_be_bytes(bloom[3]),
            ..header()
        },
    )
}

fn any_target() -> impl Strategy<Value = VoteTarget> {
    (any::<[u64; 4]>(), any::<u32>(), word()).prop_map(|(n, domain, block)| VoteTarget {
        network: NetworkId(n[0]),
        epoch: Epoch(n[1]),
        domain: DomainId(domain),
        height: Height(n[2]),
        view: View(n[3]),
        block,
    })
}

fn any_fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        any::<u32>().prop_map(|entry| Fault::Clock { entry }),
        Just(Fault::Shape),
        Just(Fault::RootReference),
        any::<u32>().prop_map(|transaction| Fault::Signature { transaction }),
        any::<u32>().prop_map(|transaction| Fault::Transaction { transaction }),
        prop::sample::select(&EXECUTION_FIELDS).prop_map(Fault::Execution),
    ]
}

pub(crate) fn any_vote() -> impl Strategy<Value = SignedVote> {
    let kind = prop::sample::select(&VOTE_KINDS);
    (kind, any_target(), prop::option::of(any_fault()), any::<u16>(), signature()).prop_map(
        |(kind, target, fault, signer, signature)| SignedVote {
            kind,
            target,
            fault,
            signer: SeatIndex(signer),
            signature,
        },
    )
}

pub(crate) fn any_certificate() -> impl Strategy<Value = Certificate> {
    let kind = prop::sample::select(&CERTIFICATE_KINDS);
    let signers = prop::collection::vec(0..VERIFIERS_MAX, 0..20);
    (kind, any_target(), signers, signature()).prop_map(|(kind, target, signers, signature)| Certificate {
        kind,
        target,
        signers: signers.into_iter().collect(),
        signature,
    })
}

pub(crate) fn any_proposal() -> impl Strategy<Value = Proposal> {
    (any_header(), signature()).prop_map(|(header, signature)| Proposal { header: header.seal(), signature })
}

pub(crate) fn any_certified_block() -> impl Strategy<Value = CertifiedBlock> {
    (any_header(), any_entries(), any_certificate()).prop_map(|(header, entries, certificate)| {
        CertifiedBlock { block: Block { header: header.seal(), body: BlockBody { entries } }, certificate }
    })
}

pub(crate) fn any_receipt() -> impl Strategy<Value = Receipt> {
    let kind = prop::sample::select(vec![
        ReceiptKind::Legacy,
        ReceiptKind::Eip2930,
        ReceiptKind::Eip1559,
        ReceiptKind::Eip7702,
    ]);
    let log = (address(), prop::collection::vec(word(), 0..=4), bytes(40))
        .prop_map(|(address, topics, data)| Log { address, data: LogData::new_unchecked(topics, data) });
    let logs = prop::collection::vec(log, 0..4);
    (kind, any::<bool>(), any::<u64>(), any::<u64>(), prop::option::of(address()), logs).prop_map(
        |(kind, success, cumulative_gas_used, gas_used, contract_address, logs)| Receipt {
            kind,
            success,
            cumulative_gas_used,
            gas_used,
            contract_address,
            logs,
        },
    )
}

fn any_report() -> impl Strategy<Value = HeightReport> {
    let approved = prop::option::of((any::<u64>().prop_map(View), word()));
    (any::<u64>(), prop::option::of(any_certificate()), approved)
        .prop_map(|(height, prepared, approved)| HeightReport { height: Height(height), prepared, approved })
}

pub(crate) fn any_view_change() -> impl Strategy<Value = SignedViewChange> {
    let reports = prop::collection::vec(any_report(), 0..4);
    let decided = prop::collection::vec(any_certificate(), 0..3);
    (any::<u64>(), decided, reports, any::<u16>()).prop_map(|(view, decided, reports, signer)| {
        SignedViewChange {
            change: ViewChange {
                network: NetworkId(7),
                epoch: Epoch(3),
                domain: DomainId(1),
                view: View(view),
                decided: decided.try_into().unwrap(),
                reports: reports.try_into().unwrap(),
            },
            signer: SeatIndex(signer),
            signature: BlsSignature::repeat_byte(3),
        }
    })
}

pub(crate) fn any_new_view() -> impl Strategy<Value = NewView> {
    (
        any::<u64>(),
        prop::collection::vec(any_view_change(), 0..4),
        prop::collection::vec(any_proposal(), 0..3),
        prop::collection::vec(any_certificate(), 0..2),
    )
        .prop_map(|(view, changes, carried, convictions)| NewView {
            view: View(view),
            changes: changes.try_into().unwrap(),
            carried: carried.try_into().unwrap(),
            convictions: convictions.try_into().unwrap(),
            signature: BlsSignature::repeat_byte(4),
        })
}

pub(crate) fn any_message() -> impl Strategy<Value = ConsensusMessage> {
    prop_oneof![
        any_fragment().prop_map(ConsensusMessage::Fragment),
        any_proposal().prop_map(ConsensusMessage::Proposal),
        any_vote().prop_map(ConsensusMessage::Vote),
        any_certificate().prop_map(ConsensusMessage::Certificate),
        (word(), any::<u32>())
            .prop_map(|(block, first_entry)| ConsensusMessage::FragmentRequest { block, first_entry }),
        any::<u64>().prop_map(|from| ConsensusMessage::BlockRequest { from: Height(from) }),
        any_certified_block().prop_map(|block| ConsensusMessage::Block(Box::new(block))),
        (any::<u64>(), any::<u64>()).prop_map(|(view, tip)| {
            let (epoch, view, tip) = (Epoch(3), View(view), Height(tip));
            ConsensusMessage::ViewTimeout(ViewTimeout { epoch, view, tip })
        }),
        any_view_change().prop_map(|change| ConsensusMessage::ViewChange(Box::new(change))),
        any_new_view().prop_map(|opening| ConsensusMessage::NewView(Box::new(opening))),
        word().prop_map(|block| ConsensusMessage::ProposalRequest { block }),
        any::<u64>().prop_map(|view| ConsensusMessage::NewViewRequest { view: View(view) }),
    ]
}
