//! The chain spec: every parameter that all nodes must share. Node configuration never holds any of it.
//!
//! spec: PROTOCOL §1

mod issuance;

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, B256, Bloom, Bytes, U256, keccak256};
use serde::{Deserialize, Serialize};

use crate::codec::BoundedVec;
use crate::header::{Boundary, DOMAINS_MAX, RootReference, ShardHeader, VERIFIERS_MAX};
use crate::ids::{DomainId, Epoch, Height, NetworkId, SeatIndex, Slot, View};
use crate::{BlsPublicKey, BlsSignature};

pub use issuance::{Issuance, IssuanceSpec, YEAR_MS};

/// Why a chain spec was refused, and what to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// A number is out of its range.
    #[error("chain spec: {field} = {value} is out of range; it must be {rule}")]
    Range {
        /// Field name.
        field: &'static str,
        /// The value given.
        value: u64,
        /// What is allowed.
        rule: &'static str,
    },
    /// The seats do not match the parameters.
    #[error("chain spec: shard {domain} has {have} verifiers; verifiers_per_shard says {want}")]
    Seats {
        /// Domain of the shard.
        domain: DomainId,
        /// Verifiers listed.
        have: usize,
        /// Verifiers required.
        want: u16,
    },
    /// The same key sits on two seats.
    #[error("chain spec: validator key {0} is used twice")]
    DuplicateKey(BlsPublicKey),
    /// Genesis hands out more than there may ever be.
    #[error("chain spec: genesis accounts hold {genesis} wei, above max_supply of {max} wei")]
    Supply {
        /// Sum of the genesis balances.
        genesis: U256,
        /// The cap.
        max: U256,
    },
    /// Not the text form of a chain spec.
    #[error("chain spec: {0}")]
    Malformed(String),
}

/// The Ethereum rules that contracts run under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EvmFork {
    /// Prague (EIP-7702 and the BLS precompiles).
    Prague,
    /// Osaka (EIP-7825 transaction gas cap, EIP-7951 P-256, CLZ).
    Osaka,
}

/// An account that exists from the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisAccount {
    /// Balance in wei.
    pub balance: U256,
    /// Nonce.
    #[serde(default)]
    pub nonce: u64,
    /// Contract code; empty for none.
    #[serde(default)]
    pub code: Bytes,
    /// Storage slots.
    #[serde(default)]
    pub storage: BTreeMap<B256, B256>,
}

/// The holder of a seat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValidatorSpec {
    /// Consensus key (BLS12-381, min_sig).
    pub public_key: BlsPublicKey,
    /// Signature of the key over itself: guards aggregates against rogue keys.
    pub proof_of_possession: BlsSignature,
    /// Account that earns the tips of its blocks.
    pub beneficiary: Address,
    /// Nomination stake in wei: orders the successors of a failed SG.
    pub stake: U256,
}

/// The seats of one shard at genesis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardSpec {
    /// The sequence generator.
    pub generator: ValidatorSpec,
    /// The sequence verifiers.
    pub verifiers: Vec<ValidatorSpec>,
}

/// Everything that all nodes of a network must agree on before the first block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainSpec {
    /// A name for people.
    pub name: String,
    /// Network id, which is the EIP-155 chain id.
    pub network: NetworkId,
    /// Unix time of slot 0, in milliseconds.
    pub genesis_time_ms: u64,
    /// Ethereum rules.
    pub evm_fork: EvmFork,
    /// Length of a slot in milliseconds.
    pub slot_ms: u64,
    /// Steps of the hash clock in a slot.
    pub hashes_per_slot: u64,
    /// Ticks in a slot: checkpoints that let one core check many stretches side by side.
    pub ticks_per_slot: u64,
    /// Gas that a block may use.
    pub block_gas_limit: u64,
    /// Base fee of the first block, in wei.
    pub initial_base_fee: u64,
    /// The base fee moves by at most 1/this a block (EIP-1559 has 8 for 12-second blocks).
    pub base_fee_change_denominator: u64,
    /// The base fee never falls below this, in wei.
    pub base_fee_min: u64,
    /// n_v: verifiers of a shard, 3f + 1.
    pub verifiers_per_shard: u16,
    /// r: verifiers that check each slice on the fast path; f + 1 unless set.
    pub slice_redundancy: u16,
    /// W: slots that an SG may run ahead of certification (R8).
    pub pipeline_depth: u16,
    /// Δ_fast: how long a verifier waits for the fast path before it checks in full (R3), in milliseconds.
    pub fast_timeout_ms: u64,
    /// Δ_view: after this long without a decision a verifier wants another leader (R6); doubles with each
    /// view that fails.
    pub view_timeout_ms: u64,
    /// Time between two root blocks, in milliseconds.
    pub root_block_ms: u64,
    /// Δ_root: after this long without a decision a seat leaves the root's view, in milliseconds; doubles with each
    /// view that fails.
    pub root_timeout_ms: u64,
    /// Coins that may ever exist, in wei.
    pub max_supply: U256,
    /// How those come about that do not exist at genesis.
    pub issuance: IssuanceSpec,
    /// Seats of each shard; the first is domain 1.
    pub shards: Vec<ShardSpec>,
    /// Accounts that exist from the start.
    pub accounts: BTreeMap<Address, GenesisAccount>,
}

impl ChainSpec {
    /// Faulty verifiers that a shard tolerates: f of n_v = 3f + 1.
    #[must_use]
    pub fn faults_tolerated(&self) -> u16 {
        self.verifiers_per_shard.saturating_sub(1) / 3
    }

    /// Votes that decide: q = 2f + 1.
    #[must_use]
    pub fn quorum(&self) -> u16 {
        2 * self.faults_tolerated() + 1
    }

    /// Reads a spec from its JSON form and validates it.
    ///
    /// # Errors
    /// [`SpecError`].
    pub fn from_json(text: &str) -> Result<Self, SpecError> {
        let spec: Self =
            serde_json::from_str(text).map_err(|error| SpecError::Malformed(error.to_string()))?;
        spec.validate()?;
        Ok(spec)
    }

    /// The JSON form.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a spec has only string keys")
    }

    /// Checks every parameter against its range and against the others.
    ///
    /// # Errors
    /// The first [`SpecError`] met.
    pub fn validate(&self) -> Result<(), SpecError> {
        let range = |field, value: u64, ok: bool, rule| {
            if ok { Ok(()) } else { Err(SpecError::Range { field, value, rule }) }
        };
        let n = self.verifiers_per_shard;
        range(
            "verifiers_per_shard",
            n.into(),
            n >= 1 && usize::from(n) <= VERIFIERS_MAX && (n - 1).is_multiple_of(3),
            "3f + 1 and at most 64: 1, 4, 7, 10, …",
        )?;
        range("network", self.network.0, self.network.0 > 0, "at least 1")?;
        range("slot_ms", self.slot_ms, (10..=60_000).contains(&self.slot_ms), "between 10 and 60000")?;
        range(
            "ticks_per_slot",
            self.ticks_per_slot,
            (u64::from(n)..=4096).contains(&self.ticks_per_slot),
            "at least verifiers_per_shard and at most 4096",
        )?;
        range(
            "hashes_per_slot",
            self.hashes_per_slot,
            self.hashes_per_slot.is_multiple_of(self.ticks_per_slot)
                && self.hashes_per_slot / self.ticks_per_slot >= 2
                && self.hashes_per_slot <= 1 << 36,
            "a multiple of ticks_per_slot, at least twice it, at most 2^36",
        )?;
        range(
            "block_gas_limit",
            self.block_gas_limit,
            (5_000_000..=1 << 40).contains(&self.block_gas_limit),
            "between 5000000 and 2^40",
        )?;
        range(
            "base_fee_change_denominator",
            self.base_fee_change_denominator,
            (2..=10_000).contains(&self.base_fee_change_denominator),
            "between 2 and 10000",
        )?;
        range(
            "base_fee_min",
            self.base_fee_min,
            self.base_fee_min <= self.initial_base_fee,
            "at most initial_base_fee",
        )?;
        range(
            "slice_redundancy",
            self.slice_redundancy.into(),
            (self.faults_tolerated() + 1..=n).contains(&self.slice_redundancy),
            "between f + 1 and verifiers_per_shard",
        )?;
        range(
            "pipeline_depth",
            self.pipeline_depth.into(),
            (1..=64).contains(&self.pipeline_depth),
            "between 1 and 64",
        )?;
        range(
            "fast_timeout_ms",
            self.fast_timeout_ms,
            (self.slot_ms..=600_000).contains(&self.fast_timeout_ms),
            "between slot_ms and 600000",
        )?;
        range(
            "view_timeout_ms",
            self.view_timeout_ms,
            (self.fast_timeout_ms.saturating_add(self.slot_ms)..=3_600_000).contains(&self.view_timeout_ms),
            "at least fast_timeout_ms + slot_ms, at most 3600000",
        )?;
        range(
            "root_block_ms",
            self.root_block_ms,
            (10..=600_000).contains(&self.root_block_ms),
            "between 10 and 600000",
        )?;
        range(
            "root_timeout_ms",
            self.root_timeout_ms,
            (self.root_block_ms.saturating_add(1)..=3_600_000).contains(&self.root_timeout_ms),
            "more than root_block_ms and at most 3600000",
        )?;
        range(
            "issuance.decay_permille",
            self.issuance.decay_permille.into(),
            self.issuance.decay_permille <= 1000,
            "at most 1000",
        )?;
        range(
            "issuance.interval_ms",
            self.issuance.interval_ms,
            (1..=YEAR_MS).contains(&self.issuance.interval_ms),
            "at least 1 and at most a year",
        )?;
        range(
            "shards",
            self.shards.len() as u64,
            (1..DOMAINS_MAX).contains(&self.shards.len()),
            "at least 1 and at most 4095",
        )?;
        range(
            "block_gas_limit",
            self.block_gas_limit,
            self.shards.len() == 1 || self.block_gas_limit <= 1 << 31,
            "at most 2^31 with several shards, so that a block can keep its messages",
        )?;
        self.validate_seats()?;
        let genesis =
            self.genesis_supply().ok_or(SpecError::Supply { genesis: U256::MAX, max: self.max_supply })?;
        if genesis > self.max_supply {
            return Err(SpecError::Supply { genesis, max: self.max_supply });
        }
        Ok(())
    }

    fn validate_seats(&self) -> Result<(), SpecError> {
        let mut keys = BTreeSet::new();
        for (domain, shard) in (1u32..).map(DomainId).zip(&self.shards) {
            let have = shard.verifiers.len();
            if have != usize::from(self.verifiers_per_shard) {
                return Err(SpecError::Seats { domain, have, want: self.verifiers_per_shard });
            }
            for seat in std::iter::once(&shard.generator).chain(&shard.verifiers) {
                if !keys.insert(seat.public_key) {
                    return Err(SpecError::DuplicateKey(seat.public_key));
                }
            }
        }
        Ok(())
    }

    /// Coins that exist at genesis, in wei; `None` when the sum overflows.
    #[must_use]
    pub fn genesis_supply(&self) -> Option<U256> {
        self.accounts.values().try_fold(U256::ZERO, |sum, account| sum.checked_add(account.balance))
    }

    /// How many coins are issued by which time.
    #[must_use]
    pub fn issuance(&self) -> Issuance {
        let IssuanceSpec { per_year, decay_permille, interval_ms } = self.issuance;
        let genesis = self.genesis_supply().unwrap_or(U256::MAX);
        let most = self.max_supply.saturating_sub(genesis);
        Issuance { genesis_ms: self.genesis_time_ms, most, per_year, decay_permille, interval_ms }
    }

    /// The spec's own hash: where every hash clock starts.
    #[must_use]
    pub fn hash(&self) -> B256 {
        let text = serde_json::to_vec(self).expect("a spec has only string keys");
        keccak256([b"anfs/chain-spec/v1".as_slice(), &text].concat())
    }

    /// Unix time of a slot's start, in milliseconds.
    #[must_use]
    pub fn slot_start_ms(&self, slot: Slot) -> u64 {
        self.genesis_time_ms.saturating_add(slot.0.saturating_mul(self.slot_ms))
    }

    /// The slot at a Unix time in milliseconds; slot 0 before genesis.
    #[must_use]
    pub fn slot_at(&self, unix_ms: u64) -> Slot {
        Slot(unix_ms.saturating_sub(self.genesis_time_ms) / self.slot_ms)
    }

    /// The timestamp that contracts see in a slot, in seconds.
    #[must_use]
    pub fn slot_timestamp(&self, slot: Slot) -> u64 {
        self.slot_start_ms(slot) / 1000
    }

    /// Slots that a call has to arrive in at another domain: those of ten minutes, or of a hundred root blocks if these
    /// take longer.
    #[must_use]
    pub fn call_lifetime(&self) -> u64 {
        self.root_block_ms.saturating_mul(100).max(600_000) / self.slot_ms
    }

    /// The base fee of a block after a parent with this base fee and gas used (EIP-1559 with the spec's
    /// denominator and floor; the target is half the limit).
    #[must_use]
    pub fn next_base_fee(&self, parent_base_fee: u64, parent_gas_used: u64) -> u64 {
        let target = u128::from(self.block_gas_limit / 2);
        let (base, used) = (u128::from(parent_base_fee), u128::from(parent_gas_used));
        let step = |distance: u128| {
            base.saturating_mul(distance) / target / u128::from(self.base_fee_change_denominator)
        };
        let next = match used.cmp(&target) {
            std::cmp::Ordering::Equal => base,
            std::cmp::Ordering::Greater => base.saturating_add(step(used - target).max(1)),
            std::cmp::Ordering::Less => base.saturating_sub(step(target - used)),
        };
        u64::try_from(next).unwrap_or(u64::MAX).max(self.base_fee_min)
    }

    /// The genesis header of a shard, given the root of its genesis state and the root of an empty trie.
    #[must_use]
    pub fn genesis_header(&self, domain: DomainId, state_root: B256, empty_trie_root: B256) -> ShardHeader {
        let start = self.hash();
        let cut = Boundary { entry: 0, hash: start };
        let cuts = vec![cut; usize::from(self.verifiers_per_shard) + 1];
        ShardHeader {
            network: self.network,
            domain,
            height: Height::ZERO,
            slot: Slot::ZERO,
            parent: B256::ZERO,
            epoch: Epoch::ZERO,
            view: View::ZERO,
            proposer: SeatIndex::GENERATOR,
            beneficiary: Address::ZERO,
            root_reference: RootReference::default(),
            poh_start: start,
            poh_end: start,
            boundaries: cuts.try_into().expect("validate() bounds verifiers_per_shard"),
            entries_root: B256::ZERO,
            transactions_root: empty_trie_root,
            receipts_root: empty_trie_root,
            logs_bloom: Bloom::ZERO,
            state_root,
            outbox_root: B256::ZERO,
            lanes: BoundedVec::new(),
            inbox_cursors: BoundedVec::new(),
            gas_used: 0,
            gas_limit: self.block_gas_limit,
            base_fee: self.initial_base_fee,
            value_in: U256::ZERO,
            value_out: U256::ZERO,
            burned: U256::ZERO,
        }
    }
}

#[cfg(test)]
mod tests;
