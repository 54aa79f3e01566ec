//! The shards, as the root sees them: chains of certified headers with coins that move between them.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::{Address, B256, U256};
use anfs_crypto::outbox::{LaneBatch, lane_batch, outbox_root};
use anfs_crypto::votes::target_of;
use anfs_primitives::spec::{EvmFork, ShardSpec, ValidatorSpec, YEAR_MS};
use anfs_primitives::{BlsPublicKey, BlsSignature, NetworkId};
use anfs_primitives::{
    Certificate, CertificateKind, CertifiedRootBlock, ChainSpec, CrossMessage, DomainId, InboxCursor,
    IssuanceSpec, LaneCount, MessageBody, RootReference, SealedHeader, ShardReference, SignerSet, Slot,
};
use anfs_sim::rng::Rng;

use super::crypto::Keys;

/// Coins of each shard at genesis.
pub(super) const COINS: u64 = 1_000_000;
/// Coins that are ever issued.
const ISSUED_MAX: u64 = 30_000;

/// A network of so many shards with so many verifiers each, its stakes drawn.
pub(super) fn spec(rng: &mut Rng, shards: u64, verifiers: u16) -> ChainSpec {
    let mut key = 0u8;
    let mut seat = || {
        key += 1;
        ValidatorSpec {
            public_key: BlsPublicKey::repeat_byte(key),
            proof_of_possession: BlsSignature::ZERO,
            beneficiary: Address::ZERO,
            stake: U256::from(rng.between(5, 20)),
        }
    };
    let shards = (0..shards)
        .map(|_| ShardSpec { generator: seat(), verifiers: (0..verifiers).map(|_| seat()).collect() })
        .collect();
    ChainSpec {
        name: "root".into(),
        network: NetworkId(7),
        genesis_time_ms: 0,
        evm_fork: EvmFork::Osaka,
        slot_ms: 200,
        hashes_per_slot: 640,
        ticks_per_slot: 64,
        block_gas_limit: 30_000_000,
        initial_base_fee: 1,
        base_fee_change_denominator: 8,
        base_fee_min: 0,
        verifiers_per_shard: verifiers,
        slice_redundancy: 1,
        pipeline_depth: 4,
        fast_timeout_ms: 400,
        view_timeout_ms: 2000,
        root_block_ms: 300,
        root_timeout_ms: 700,
        max_supply: U256::from(ISSUED_MAX),
        // Three wei a millisecond, until all are issued after ten seconds.
        issuance: IssuanceSpec { per_year: U256::from(3 * YEAR_MS), decay_permille: 0, interval_ms: 500 },
        shards,
        accounts: BTreeMap::new(),
    }
}

/// How a shard whose verifiers are all captured lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lie {
    /// It sends more than it holds.
    Overdrawn,
    /// It consumes messages that were never sent.
    Ahead,
    /// It certifies a block beside the one before.
    Fork,
}

/// One shard's chain of certified blocks; genesis first.
#[derive(Debug)]
pub(super) struct Shard {
    pub(super) domain: DomainId,
    pub(super) headers: Vec<SealedHeader>,
    pub(super) references: Vec<ShardReference>,
    /// When each reference was certified.
    pub(super) certified_ms: Vec<u64>,
    /// From which height on, and how, it lies.
    pub(super) lie: Option<(u64, Lie)>,
    /// Its messages to the root, by height.
    pub(super) batches: BTreeMap<u64, Arc<LaneBatch>>,
    /// From which height on nobody gets to see these.
    pub(super) withholds: Option<u64>,
    held: u64,
    lanes: BTreeMap<DomainId, (u64, u64)>,
    cursors: BTreeMap<DomainId, (u64, u64)>,
}

impl Shard {
    pub(super) fn new(spec: &ChainSpec, domain: DomainId) -> Self {
        let genesis = spec.genesis_header(domain, B256::ZERO, B256::ZERO).seal();
        Self {
            domain,
            headers: vec![genesis],
            references: Vec::new(),
            certified_ms: Vec::new(),
            lie: None,
            batches: BTreeMap::new(),
            withholds: None,
            held: COINS,
            lanes: BTreeMap::new(),
            cursors: BTreeMap::new(),
        }
    }

    /// The reference of a height, from 1 on.
    pub(super) fn reference(&self, height: u64) -> Option<&ShardReference> {
        self.references.get(usize::try_from(height).unwrap().checked_sub(1)?)
    }

    /// Certifies the next block. `root` is the newest final root block that its proposer knows, with what other shards
    /// have sent to this one by then: messages and coins by source.
    pub(super) fn produce(
        &mut self,
        now_ms: u64,
        rng: &mut Rng,
        keys: &Arc<Keys>,
        others: &[DomainId],
        root: RootReference,
        inbox: &BTreeMap<DomainId, (u64, u64)>,
    ) {
        let parent = self.headers.last().unwrap().clone();
        let mut header = parent.header().clone();
        header.height = parent.height.next();
        header.slot = Slot(parent.slot.0 + 1 + rng.below(2));
        header.parent = parent.hash();
        header.root_reference = root;
        header.state_root = B256::from(U256::from(rng.next_u64()));
        let (mut came, mut left) = (0, 0);
        for (source, at) in inbox {
            let was = self.cursors.insert(*source, *at).unwrap_or_default();
            came += at.1 - was.1;
        }
        self.held += came;
        for other in others {
            if self.held > 100 && rng.chance(300) {
                let value = rng.below(50);
                let lane = self.lanes.entry(*other).or_default();
                *lane = (lane.0 + rng.between(1, 3), lane.1 + value);
                left += value;
                self.held -= value;
            }
        }
        if self.held > 100 && rng.chance(400) {
            let messages = self.write_to_root(rng);
            left += messages.iter().map(|one| one.value().to::<u64>()).sum::<u64>();
            header.outbox_root = outbox_root(&messages);
            let batch = lane_batch(&messages, DomainId::ROOT).unwrap();
            self.batches.insert(header.height.0, Arc::new(batch));
        } else {
            header.outbox_root = B256::ZERO;
        }
        let burned = rng.below(3).min(self.held);
        self.held -= burned;
        let lies = self.lie.filter(|(from, _)| *from == header.height.0).map(|(_, lie)| lie);
        if lies == Some(Lie::Overdrawn) {
            left += self.held + 1;
            self.lanes
                .entry(others[0])
                .and_modify(|lane| *lane = (lane.0 + 1, lane.1 + self.held + 1))
                .or_insert((1, self.held + 1));
        }
        if lies == Some(Lie::Ahead) {
            self.cursors.entry(others[0]).or_default().0 += 1_000_000;
        }
        if lies == Some(Lie::Fork) {
            header.parent = B256::repeat_byte(1);
        }
        let lanes = self.lanes.iter().map(|(destination, (sent, value))| LaneCount {
            destination: *destination,
            sent: *sent,
            value: U256::from(*value),
        });
        header.lanes = lanes.collect::<Vec<_>>().try_into().unwrap();
        let cursors = self.cursors.iter().filter(|(_, (consumed, _))| *consumed > 0);
        let cursors =
            cursors.map(|(source, (consumed, _))| InboxCursor { source: *source, consumed: *consumed });
        header.inbox_cursors = cursors.collect::<Vec<_>>().try_into().unwrap();
        (header.value_in, header.value_out) = (U256::from(came), U256::from(left));
        header.burned = U256::from(burned);
        let header = header.seal();
        let target = target_of(&header);
        let certificate = Certificate {
            kind: if rng.chance(800) { CertificateKind::Fast } else { CertificateKind::Commit },
            target,
            signers: SignerSet::EMPTY,
            signature: keys.certify(&target),
        };
        self.headers.push(header.clone());
        self.references.push(ShardReference { header, certificate });
        self.certified_ms.push(now_ms);
    }

    /// A few messages to the root.
    fn write_to_root(&mut self, rng: &mut Rng) -> Vec<CrossMessage> {
        let count = rng.between(1, 3);
        let lane = self.lanes.entry(DomainId::ROOT).or_default();
        let mut message = |_| {
            let value = rng.below(30);
            let sequence = lane.0;
            *lane = (lane.0 + 1, lane.1 + value);
            self.held -= value;
            CrossMessage {
                network: NetworkId(7),
                source: self.domain,
                destination: DomainId::ROOT,
                sequence,
                origin: B256::ZERO,
                body: MessageBody::Credit { recipient: Address::ZERO, value: U256::from(value) },
            }
        };
        (0..count).map(&mut message).collect()
    }

    /// Messages and coins sent to another shard by the block of a height.
    pub(super) fn sent_by(&self, height: u64, to: DomainId) -> (u64, u64) {
        let header = &self.headers[usize::try_from(height).unwrap()];
        let lane = header.lanes.iter().find(|lane| lane.destination == to);
        lane.map_or((0, 0), |lane| (lane.sent, lane.value.to()))
    }
}

/// What the shards have sent to one of them by a final root block.
pub(super) fn inbox(
    shards: &[Shard],
    to: DomainId,
    block: Option<&CertifiedRootBlock>,
) -> BTreeMap<DomainId, (u64, u64)> {
    let Some(block) = block else { return BTreeMap::new() };
    let lane = block.block.header.execution.sent.iter().find(|lane| lane.destination == to);
    let from_root = lane.map(|lane| (DomainId::ROOT, (lane.sent, lane.value.to())));
    let sources = shards.iter().filter(|shard| shard.domain != to);
    sources
        .map(|shard| {
            let tip = block.block.header.tip(shard.domain).unwrap();
            (shard.domain, shard.sent_by(tip.height.0, to))
        })
        .chain(from_root)
        .collect()
}
