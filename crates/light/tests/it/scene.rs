//! A small network with real keys and real states: three shards of two seats with the same stake each.

use std::collections::BTreeMap;

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, Log, Signature, TxKind, U256, keccak256};
use anfs_crypto::bls::{self, SecretKey};
use anfs_crypto::outbox::{LaneBatch, lane_batch, outbox_root};
use anfs_crypto::{merkle, root as votes};
use anfs_light::{
    AccountProof, FinalRoot, FinalityProof, Light, MessageProof, ReceiptProof, ResidentProof,
    RootAccountProof, RootMessageProof, nodes,
};
use anfs_primitives::crossing::{root_contract, route_code};
use anfs_primitives::spec::{EvmFork, IssuanceSpec, ShardSpec};
use anfs_primitives::{
    CertificateKind, ChainSpec, CrossMessage, DomainId, DomainMap, Epoch, Height, InboxCursor, LaneCount,
    MessageBody, NetworkId, Receipt, ReceiptKind, RootCertificate, RootExecution, RootHeader, RootReference,
    RootSeat, SealedHeader, SealedRootHeader, SeatGroup, SeatIndex, SeatSet, ShardTip, Supply, ValidatorSpec,
    View, VoteTarget,
};
use anfs_state::{
    AccountChange, AccountInfo, EMPTY_CODE_HASH, EMPTY_ROOT, StateChanges, WorldState, ordered_proof,
    ordered_root,
};

pub(crate) const SHARDS: u32 = 3;
pub(crate) const NETWORK: NetworkId = NetworkId(7);
pub(crate) const SLOT: B256 = B256::repeat_byte(0x51);
/// Lives in the root and has a slot, from root block 1 on.
pub(crate) const SYSTEM: Address = root_contract(0);
/// All seats but one: five sixths of the stake.
pub(crate) const QUORUM: [(u32, &[u16]); 3] = [(1, &[0, 1]), (2, &[0, 1]), (3, &[1])];

pub(crate) struct Scene {
    pub(crate) spec: ChainSpec,
    pub(crate) genesis: SealedRootHeader,
    /// Shard blocks of root block 1: two of shard 1, one of each other.
    pub(crate) blocks: Vec<SealedHeader>,
    /// The root's as it is after root block 1.
    pub(crate) states: BTreeMap<DomainId, WorldState>,
    /// Lives in shard 1 and has a slot.
    pub(crate) alice: Address,
    /// Its home is shard 2, it lives in shard 3, and it has a slot.
    pub(crate) guest: Address,
    /// Of shard 1, but without an account.
    pub(crate) nobody: Address,
    /// Of the first block of shard 1.
    pub(crate) transactions: Vec<Vec<u8>>,
    pub(crate) receipts: Vec<Receipt>,
    /// Three to shard 2 from number 4 on, and two to shard 3.
    pub(crate) messages: Vec<CrossMessage>,
}

pub(crate) fn secret(domain: u32, seat: u16) -> SecretKey {
    SecretKey::from_seed(&keccak256([domain.to_be_bytes(), u32::from(seat).to_be_bytes()].concat()).0)
}

fn validator(domain: u32, seat: u16) -> ValidatorSpec {
    let key = secret(domain, seat);
    ValidatorSpec {
        public_key: key.public_key().to_bytes(),
        proof_of_possession: key.prove_possession(),
        beneficiary: Address::ZERO,
        stake: U256::from(100),
    }
}

pub(crate) fn spec() -> ChainSpec {
    let shard = |domain| ShardSpec { generator: validator(domain, 0), verifiers: vec![validator(domain, 1)] };
    ChainSpec {
        name: "light".into(),
        network: NETWORK,
        genesis_time_ms: 1_000,
        evm_fork: EvmFork::Osaka,
        slot_ms: 250,
        hashes_per_slot: 6_400,
        ticks_per_slot: 16,
        block_gas_limit: 200_000_000,
        initial_base_fee: 1_000_000_000,
        base_fee_change_denominator: 8,
        base_fee_min: 7,
        verifiers_per_shard: 1,
        slice_redundancy: 1,
        pipeline_depth: 4,
        fast_timeout_ms: 1_000,
        view_timeout_ms: 3_000,
        root_block_ms: 500,
        root_timeout_ms: 4_000,
        max_supply: U256::from(1_000_000),
        issuance: IssuanceSpec::NONE,
        shards: (1..=SHARDS).map(shard).collect(),
        accounts: BTreeMap::new(),
    }
}

fn resident(domain: u32, salt: u64) -> Address {
    let candidates = (salt * 1_000..).map(|n| Address::from_word(keccak256(n.to_be_bytes())));
    let found = candidates.into_iter().find(|one| DomainMap::new(SHARDS).home(one) == DomainId(domain));
    found.expect("every shard has a third of all addresses")
}

fn account(nonce: u64, balance: u64, code_hash: B256, slot: u64) -> AccountChange {
    AccountChange {
        info: Some(AccountInfo { nonce, balance: U256::from(balance), code_hash }),
        wipe_storage: false,
        storage: (slot > 0).then(|| (SLOT, U256::from(slot))).into_iter().collect(),
    }
}

fn transaction(nonce: u64) -> Vec<u8> {
    let tx = TxEip1559 {
        chain_id: NETWORK.0,
        nonce,
        gas_limit: 21_000,
        to: TxKind::Call(Address::repeat_byte(9)),
        ..TxEip1559::default()
    };
    TxEnvelope::from(tx.into_signed(Signature::test_signature())).encoded_2718()
}

fn receipt(n: u64) -> Receipt {
    Receipt {
        kind: ReceiptKind::Eip1559,
        success: n != 1,
        cumulative_gas_used: 21_000 * (n + 1),
        gas_used: 21_000,
        contract_address: None,
        logs: vec![Log::new_unchecked(Address::repeat_byte(3), vec![SLOT], Bytes::from(vec![1; 40]))],
    }
}

fn message(destination: u32, sequence: u64) -> CrossMessage {
    CrossMessage {
        network: NETWORK,
        source: DomainId(1),
        destination: DomainId(destination),
        sequence,
        origin: B256::repeat_byte(8),
        body: MessageBody::Credit { recipient: Address::repeat_byte(5), value: U256::from(sequence) },
    }
}

pub(crate) fn slots_of(proof: &anfs_state::AccountProof) -> Vec<anfs_light::Nodes> {
    proof.storage.iter().map(|slot| nodes(&slot.proof).expect("few nodes")).collect()
}

impl Scene {
    pub(crate) fn new() -> Self {
        let spec = spec();
        let (alice, guest, nobody) = (resident(1, 1), resident(2, 2), resident(1, 3));
        let mut accounts: BTreeMap<DomainId, BTreeMap<Address, AccountChange>> = BTreeMap::new();
        for domain in 1..=SHARDS {
            let others = (10..30).map(|salt| (resident(domain, salt), account(1, salt, EMPTY_CODE_HASH, 0)));
            accounts.insert(DomainId(domain), others.collect());
        }
        accounts.insert(DomainId::ROOT, BTreeMap::from([(SYSTEM, account(1, 9, B256::repeat_byte(7), 79))]));
        let mut put = |domain: u32, address, change| {
            accounts.get_mut(&DomainId(domain)).expect("a shard").insert(address, change);
        };
        put(1, alice, account(5, 1_000, EMPTY_CODE_HASH, 77));
        put(2, guest, account(1, 0, keccak256(route_code(DomainId(3))), 0));
        put(3, guest, account(1, 55, B256::repeat_byte(6), 78));
        let states: BTreeMap<DomainId, WorldState> = accounts
            .into_iter()
            .map(|(domain, accounts)| {
                let changes = StateChanges { accounts, ..StateChanges::default() };
                (domain, WorldState::empty().apply(&changes).expect("all is in memory"))
            })
            .collect();
        let genesis = header(Height::ZERO, B256::ZERO, &[]).seal();
        let mut scene = Self {
            spec,
            genesis,
            blocks: Vec::new(),
            states,
            alice,
            guest,
            nobody,
            transactions: (0..3).map(transaction).collect(),
            receipts: (0..3).map(receipt).collect(),
            messages: vec![message(2, 4), message(2, 5), message(2, 6), message(3, 0), message(3, 1)],
        };
        scene.blocks = scene.decide();
        scene
    }

    fn decide(&self) -> Vec<SealedHeader> {
        let header = |domain: u32, height, root| {
            let first = self.spec.genesis_header(DomainId(domain), root, EMPTY_ROOT);
            anfs_primitives::ShardHeader { height: Height(height), ..first }
        };
        let root = |domain: u32| self.states[&DomainId(domain)].root();
        let mut first = header(1, 1, WorldState::empty().root());
        first.transactions_root = ordered_root(&self.transactions);
        first.receipts_root = ordered_root(&self.encoded_receipts());
        first.outbox_root = outbox_root(&self.messages);
        let lane = |to, sent| LaneCount { destination: DomainId(to), sent, value: U256::from(9) };
        first.lanes = vec![lane(2, 7), lane(3, 2)].try_into().expect("few");
        let mut second = header(2, 1, root(2));
        let cursor = InboxCursor { source: DomainId(1), consumed: 6 };
        second.inbox_cursors = vec![cursor].try_into().expect("few");
        vec![first.seal(), header(1, 2, root(1)).seal(), second.seal(), header(3, 1, root(3)).seal()]
    }

    pub(crate) fn encoded_receipts(&self) -> Vec<Vec<u8>> {
        self.receipts.iter().map(Receipt::encoded_2718).collect()
    }

    pub(crate) fn light(&self) -> Light {
        Light::new(&self.spec, self.genesis.reference()).expect("the seats are good")
    }

    /// Root block 1.
    pub(crate) fn header(&self) -> RootHeader {
        header(Height(1), self.genesis.hash(), &self.blocks)
    }

    /// Root block 2, which names nothing and follows root block 1.
    pub(crate) fn second(&self) -> RootHeader {
        let tips = self.header().tips;
        let references_root = merkle::root(&[]);
        let parent = self.header().hash();
        let lane = |to, sent| LaneCount { destination: DomainId(to), sent, value: U256::from(9) };
        let cursor = InboxCursor { source: DomainId(1), consumed: 2 };
        let execution = RootExecution {
            outbox_root: outbox_root(&self.sent_by_root()),
            sent: vec![lane(2, 5), lane(3, 1)].try_into().expect("few"),
            consumed: vec![cursor].try_into().expect("few"),
            state_root: self.states[&DomainId::ROOT].root(),
            ..RootExecution::default()
        };
        RootHeader { height: Height(2), parent, tips, references_root, execution, ..self.header() }
    }

    /// What executing root block 1 has sent.
    pub(crate) fn sent_by_root(&self) -> Vec<CrossMessage> {
        let sent = [message(2, 3), message(2, 4), message(3, 0)];
        sent.map(|one| CrossMessage { source: DomainId::ROOT, ..one }).to_vec()
    }

    pub(crate) fn root_message(&self, to: u32) -> RootMessageProof {
        RootMessageProof { batch: lane_batch(&self.sent_by_root(), DomainId(to)).expect("there are some") }
    }

    pub(crate) fn root(&self) -> FinalRoot {
        let header = self.header().seal();
        self.light().check(header.clone(), &certificate(&header, &QUORUM)).expect("a quorum has signed")
    }

    pub(crate) fn second_root(&self) -> FinalRoot {
        let header = self.second().seal();
        self.light().check(header.clone(), &certificate(&header, &QUORUM)).expect("a quorum has signed")
    }

    /// The newest final block of a shard.
    pub(crate) fn tip(&self, domain: u32) -> SealedHeader {
        self.blocks[domain as usize].clone()
    }

    pub(crate) fn finality(&self, index: usize) -> FinalityProof {
        FinalityProof::make(&self.blocks, index).expect("there is one")
    }

    pub(crate) fn account(&self, domain: u32, address: Address, slots: &[B256]) -> AccountProof {
        let RootAccountProof { nodes, slots } = self.under_root(DomainId(domain), address, slots);
        AccountProof { header: self.tip(domain), nodes, slots }
    }

    /// An account of any domain as if it were the root's.
    pub(crate) fn under_root(&self, domain: DomainId, address: Address, slots: &[B256]) -> RootAccountProof {
        let proof = self.states[&domain].prove(&address, slots).expect("all is in memory");
        RootAccountProof {
            nodes: nodes(&proof.account_proof).expect("few nodes"),
            slots: slots_of(&proof).try_into().expect("few"),
        }
    }

    pub(crate) fn resident(&self) -> ResidentProof {
        ResidentProof { home: self.account(1, self.alice, &[SLOT]), away: None }
    }

    pub(crate) fn guest(&self) -> ResidentProof {
        ResidentProof {
            home: self.account(2, self.guest, &[]),
            away: Some(self.account(3, self.guest, &[SLOT])),
        }
    }

    pub(crate) fn hash(&self, index: usize) -> B256 {
        keccak256(&self.transactions[index])
    }

    pub(crate) fn receipt(&self, index: usize) -> ReceiptProof {
        ReceiptProof {
            finality: self.finality(0),
            index: u32::try_from(index).expect("few"),
            transaction: nodes(ordered_proof(&self.transactions, index).expect("there is one"))
                .expect("few nodes"),
            receipt: nodes(ordered_proof(&self.encoded_receipts(), index).expect("there is one"))
                .expect("few nodes"),
        }
    }

    pub(crate) fn batch(&self, to: u32) -> LaneBatch {
        lane_batch(&self.messages, DomainId(to)).expect("there are some")
    }

    pub(crate) fn message(&self, to: u32) -> MessageProof {
        MessageProof { finality: self.finality(0), batch: self.batch(to) }
    }
}

/// A root header over shard blocks; each shard's last one is its tip.
fn header(height: Height, parent: B256, blocks: &[SealedHeader]) -> RootHeader {
    let tip = |domain: u32| {
        let newest = blocks.iter().rev().find(|block| block.domain == DomainId(domain));
        newest.map_or(ShardTip { height: Height::ZERO, hash: B256::ZERO }, |block| ShardTip {
            height: block.height,
            hash: block.hash(),
        })
    };
    let hashes: Vec<B256> = blocks.iter().map(SealedHeader::hash).collect();
    RootHeader {
        network: NETWORK,
        height,
        parent,
        epoch: Epoch::ZERO,
        view: View::ZERO,
        proposer: RootSeat { domain: DomainId(1), seat: SeatIndex(0) },
        timestamp_ms: 1_000 + height.0,
        references_root: merkle::root(&hashes),
        tips: (1..=SHARDS).map(tip).collect::<Vec<_>>().try_into().expect("few"),
        inbound_root: merkle::root(&[]),
        parent_commit: B256::ZERO,
        execution: RootExecution::default(),
        supply: Supply { held: U256::from(500), ..Supply::default() },
    }
}

pub(crate) fn target(header: &SealedRootHeader) -> VoteTarget {
    VoteTarget {
        network: header.network,
        epoch: header.epoch,
        domain: DomainId(0),
        height: header.height,
        view: header.view,
        block: header.hash(),
    }
}

/// The certificate of these seats' commits.
pub(crate) fn certificate(header: &SealedRootHeader, seats: &[(u32, &[u16])]) -> RootCertificate {
    signed(CertificateKind::Commit, target(header), seats)
}

pub(crate) fn signed(kind: CertificateKind, target: VoteTarget, seats: &[(u32, &[u16])]) -> RootCertificate {
    let all = seats.iter().flat_map(|(domain, seats)| seats.iter().map(|seat| (*domain, *seat)));
    let shares: Vec<_> = all
        .map(|(domain, seat)| {
            votes::sign_vote(&secret(domain, seat), kind, &target).expect("a kind of the root")
        })
        .collect();
    RootCertificate {
        kind,
        target,
        signers: groups(seats).try_into().expect("few"),
        signature: bls::aggregate(&shares).expect("there are shares"),
    }
}

pub(crate) fn groups(seats: &[(u32, &[u16])]) -> Vec<SeatGroup> {
    let group = |(domain, seats): &(u32, &[u16])| SeatGroup {
        domain: DomainId(*domain),
        seats: seats.iter().copied().map(SeatIndex).collect::<SeatSet>(),
    };
    seats.iter().map(group).collect()
}

pub(crate) fn elsewhere() -> RootReference {
    RootReference { height: Height(1), hash: B256::repeat_byte(0xee) }
}
