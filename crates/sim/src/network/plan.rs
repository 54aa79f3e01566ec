//! What befalls a network, drawn from a seed.

use std::collections::BTreeMap;

use alloy_primitives::{Address, U256};
use anfs_primitives::spec::{EvmFork, IssuanceSpec, ShardSpec, ValidatorSpec};
use anfs_primitives::{
    BlsPublicKey, BlsSignature, ChainSpec, DomainId, Height, NetworkId, RootSeat, SeatIndex,
};

use super::lies::Lie;
use crate::rng::Rng;
use crate::wires::Weather;

/// How a seat breaks the root's rules, or those between shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Misdeed {
    /// As a leader it says nothing.
    Withhold,
    /// As a leader it puts two blocks to the vote.
    Equivocate,
    /// As a leader it names nothing.
    NameNothing,
    /// Reports nothing that its shard has certified, and shows no messages.
    Mute,
    /// Answers with messages of other lanes, shards, forks and networks.
    ForgeLanes,
    /// Does not vote.
    Abstain,
}

impl Misdeed {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Withhold, Self::Equivocate, Self::NameNothing, Self::Mute, Self::ForgeLanes, Self::Abstain];

    /// A name for statistics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Withhold => "withheld root block",
            Self::Equivocate => "two root blocks",
            Self::NameNothing => "empty root block",
            Self::Mute => "withheld shard blocks",
            Self::ForgeLanes => "forged messages",
            Self::Abstain => "withheld root votes",
        }
    }
}

/// A shard whose every seat is byzantine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Captured {
    /// Which.
    pub domain: DomainId,
    /// Height from which on it lies.
    pub from: Height,
    /// How. After [`Lie::Drain`] it overdraws.
    pub lie: Lie,
}

/// What befalls one network. Until it heals, that is; then all goes well but for what byzantine seats do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What chance decides.
    pub seed: u64,
    /// Shards.
    pub shards: u32,
    /// Verifiers of each.
    pub verifiers: u16,
    /// When crashes, cuts and losses end, in milliseconds.
    pub heal_ms: u64,
    /// When accounts stop paying each other, so that all messages can be consumed.
    pub quiet_ms: u64,
    /// How messages travel until the healing.
    pub weather: Weather,
    /// Of 1000 log records, at how many the process dies.
    pub crash: u64,
    /// Of 1000 seconds, in how many every process dies.
    pub blackout: u64,
    /// Of 1000 changes, how many cut the network in parts.
    pub partition: u64,
    /// A captured shard.
    pub captured: Option<Captured>,
    /// Seats that break other rules; less than a third of all stake.
    pub byzantine: BTreeMap<RootSeat, Misdeed>,
    /// Of 1000 transactions, how many call with a program.
    pub programs: u64,
    /// Transactions of a block at most.
    pub operations: u64,
    /// Gas limit of a block.
    pub gas_limit: u64,
}

impl Plan {
    /// A network in which nothing goes wrong.
    #[must_use]
    pub fn calm(seed: u64, shards: u32, verifiers: u16) -> Self {
        Self {
            seed,
            shards,
            verifiers,
            heal_ms: 0,
            quiet_ms: 6_000,
            weather: Weather { delay_ms: 1, jitter_ms: 20, ..Weather::default() },
            crash: 0,
            blackout: 0,
            partition: 0,
            captured: None,
            byzantine: BTreeMap::new(),
            programs: 0,
            operations: 40,
            gas_limit: 8_000_000,
        }
    }

    /// The plan of a seed.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ 0x6e65_7477_6f72_6b73);
        let shards = u32::try_from(rng.between(2, 4)).expect("few shards");
        let verifiers = if rng.chance(500) { 1 } else { 4 };
        let mut plan = Self::calm(seed, shards, verifiers);
        plan.heal_ms = rng.between(3_000, 9_000);
        plan.quiet_ms = plan.heal_ms + rng.between(1_000, 4_000);
        let storm = rng.chance(700);
        let mut some = |most: u64| u16::try_from(if storm { rng.below(most) } else { 0 }).expect("per mille");
        plan.weather = Weather {
            loss: some(200),
            fragment_loss: some(100),
            duplication: some(150),
            delay_ms: 1,
            jitter_ms: 20 + u64::from(some(100)),
            straggling: some(60),
            straggle_ms: 2_500,
        };
        plan.crash = u64::from(some(12));
        plan.partition = u64::from(some(800));
        plan.blackout = if rng.chance(300) { rng.below(250) } else { 0 };
        plan.operations = rng.between(8, 56);
        plan.gas_limit = rng.between(3_000_000, 12_000_000);
        if rng.chance(300) {
            let domain = DomainId(u32::try_from(rng.between(1, u64::from(shards))).expect("few shards"));
            plan.captured =
                Some(Captured { domain, from: Height(rng.between(4, 20)), lie: *rng.pick(&Lie::ALL) });
        }
        if rng.chance(700) {
            plan.conspire(&mut rng);
        }
        if rng.chance(500) {
            plan.programs = rng.between(50, 500);
        }
        plan
    }

    /// Seats with less than a third of all stake break rules.
    fn conspire(&mut self, rng: &mut Rng) {
        let spec = self.spec();
        let mut seats: Vec<(RootSeat, U256)> = stakes(&spec).collect();
        let total: U256 = seats.iter().map(|(_, stake)| *stake).sum();
        rng.shuffle(&mut seats);
        let (mut left, most) = (rng.between(1, 4), total / U256::from(3));
        let mut sum = U256::ZERO;
        for (seat, stake) in seats {
            if left == 0 || (sum + stake) >= most {
                continue;
            }
            let misdeed = *rng.pick(&Misdeed::ALL);
            // Whoever can withhold all copies of a shard's messages holds up whoever waits for them.
            let mut peers = self.byzantine.iter().filter(|(peer, _)| peer.domain == seat.domain);
            if misdeed == Misdeed::Mute && peers.any(|(_, other)| *other == Misdeed::Mute) {
                continue;
            }
            (sum, left) = (sum + stake, left - 1);
            self.byzantine.insert(seat, misdeed);
        }
    }

    /// Whether a seat follows all rules.
    #[must_use]
    pub fn is_honest(&self, seat: RootSeat) -> bool {
        !self.byzantine.contains_key(&seat) && !self.is_captured(seat.domain)
    }

    /// Whether a shard is captured.
    #[must_use]
    pub fn is_captured(&self, domain: DomainId) -> bool {
        self.captured.is_some_and(|captured| captured.domain == domain)
    }

    /// The network's chain spec; its stakes follow from the seed.
    #[must_use]
    pub fn spec(&self) -> ChainSpec {
        let mut rng = Rng::new(self.seed ^ 0x7374_616b_6573);
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
        let shards = (0..self.shards).map(|_| ShardSpec {
            generator: seat(),
            verifiers: (0..self.verifiers).map(|_| seat()).collect(),
        });
        ChainSpec {
            name: "simulated".into(),
            network: NetworkId(7),
            shards: shards.collect(),
            genesis_time_ms: 0,
            evm_fork: EvmFork::Osaka,
            slot_ms: 200,
            hashes_per_slot: 640,
            ticks_per_slot: 64,
            block_gas_limit: self.gas_limit,
            initial_base_fee: 1,
            base_fee_change_denominator: 8,
            base_fee_min: 0,
            verifiers_per_shard: self.verifiers,
            slice_redundancy: (self.verifiers - 1) / 3 + 1,
            pipeline_depth: 4,
            fast_timeout_ms: 400,
            view_timeout_ms: 2_000,
            root_block_ms: 400,
            root_timeout_ms: 900,
            max_supply: U256::from(self.seed % 97 + 3) * U256::from(10).pow(U256::from(24)),
            // Some coins with every root block, and an end of them within the run.
            issuance: IssuanceSpec {
                per_year: U256::from(10).pow(U256::from(32)),
                decay_permille: 200,
                interval_ms: 1_000,
            },
            accounts: BTreeMap::new(),
        }
    }
}

fn stakes(spec: &ChainSpec) -> impl Iterator<Item = (RootSeat, U256)> {
    (1u32..).map(DomainId).zip(&spec.shards).flat_map(|(domain, shard)| {
        let seats = std::iter::once(&shard.generator).chain(&shard.verifiers);
        (0u16..).zip(seats).map(move |(seat, spec)| (RootSeat { domain, seat: SeatIndex(seat) }, spec.stake))
    })
}
