//! The chain spec of a development network, made from a mnemonic and a few choices.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_signer_local::{LocalSignerError, MnemonicBuilder, PrivateKeySigner};
use anfs_crypto::bls;
use anfs_execution::BlockEnv;
use anfs_execution::root::root_genesis;
use anfs_primitives::header::DOMAINS_MAX;
use anfs_primitives::spec::{EvmFork, ShardSpec, SpecError};
use anfs_primitives::{
    ChainSpec, DomainId, DomainMap, GenesisAccount, IssuanceSpec, NetworkId, SealedHeader, SealedRootHeader,
    SeatIndex, ValidatorSpec,
};
use anfs_state::{EMPTY_ROOT, WorldState};

use crate::error::NodeError;

/// The phrase that development tools share; its keys are public knowledge.
pub const DEFAULT_MNEMONIC: &str = "test test test test test test test test test test test junk";
/// Chain id of a development network unless another is asked for.
pub const DEFAULT_CHAIN_ID: u64 = 31337;
/// One AFS in wei.
pub const AFS: u128 = 1_000_000_000_000_000_000;

/// What may be chosen of a development network's chain spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenesisChoices {
    /// Chain id.
    pub chain_id: u64,
    /// Shards.
    pub shards: u32,
    /// Verifiers of each shard: 1, 4, 7 or 10.
    pub verifiers: u16,
    /// Slot length in milliseconds.
    pub slot_ms: u64,
    /// BIP-39 phrase of the funded accounts.
    pub mnemonic: String,
    /// Funded accounts.
    pub accounts: u32,
    /// Balance of each, in AFS.
    pub balance: u64,
    /// Gas that a block may use.
    pub block_gas_limit: u64,
    /// Unix time of slot 0, in milliseconds.
    pub genesis_time_ms: u64,
}

/// The wallets of the funded accounts.
///
/// # Errors
/// When the phrase is not a valid BIP-39 phrase.
pub fn wallets(mnemonic: &str, count: u32) -> Result<Vec<PrivateKeySigner>, NodeError> {
    let refused = |error: LocalSignerError| NodeError::Mnemonic(error.to_string());
    // Stretching the phrase into a seed takes milliseconds: once for all accounts, not once for each.
    let parent = MnemonicBuilder::english().phrase(mnemonic).build_parent_key().map_err(refused)?;
    (0..count).map(|index| Ok(parent.child(index).map_err(refused)?.signer())).collect()
}

/// The consensus key of a development seat, derived from the phrase so that nothing secret is stored.
#[must_use]
pub fn seat_key(mnemonic: &str, domain: DomainId, seat: SeatIndex) -> bls::SecretKey {
    // The first shard's are those of networks that have no other.
    let shard = if domain == DomainId(1) { String::new() } else { format!("{domain}/") };
    let parts = [b"anfs/devnet-seat/", shard.as_bytes(), &seat.0.to_be_bytes(), mnemonic.as_bytes()];
    bls::SecretKey::from_seed(&keccak256(parts.concat()).0)
}

/// The chain spec of a development network.
///
/// # Errors
/// When the phrase or a parameter is out of range.
pub fn devnet_spec(choices: &GenesisChoices) -> Result<ChainSpec, NodeError> {
    // Before keys are derived for all of them.
    if choices.shards as usize >= DOMAINS_MAX {
        let (field, rule) = ("shards", "at least 1 and at most 4095");
        return Err(SpecError::Range { field, value: choices.shards.into(), rule }.into());
    }
    let balance = U256::from(choices.balance) * U256::from(AFS);
    let funded = wallets(&choices.mnemonic, choices.accounts)?;
    let mut accounts: BTreeMap<Address, GenesisAccount> = funded
        .iter()
        .map(|wallet| (wallet.address(), GenesisAccount { balance, ..GenesisAccount::default() }))
        .collect();
    accounts.extend(anfs_execution::system::genesis_accounts());
    if choices.shards > 1 {
        accounts.extend(anfs_execution::system::root_accounts());
    }
    let seat = |domain, index: u16| validator(&choices.mnemonic, domain, SeatIndex(index));
    let shard = |domain| ShardSpec {
        generator: seat(domain, 0),
        verifiers: (1..=choices.verifiers).map(|index| seat(domain, index)).collect(),
    };
    // 64 ticks a slot keep 32 stretches in one verifier's share; the clock itself stays far below one
    // core's 30 MH/s, so that an idle development network leaves the machine alone.
    let ticks_per_slot = 64;
    let faults = choices.verifiers.saturating_sub(1) / 3;
    let spec = ChainSpec {
        name: "anfs-devnet".into(),
        network: NetworkId(choices.chain_id),
        genesis_time_ms: choices.genesis_time_ms,
        evm_fork: EvmFork::Osaka,
        slot_ms: choices.slot_ms,
        hashes_per_slot: ticks_per_slot * 256,
        ticks_per_slot,
        block_gas_limit: choices.block_gas_limit,
        initial_base_fee: 1_000_000_000,
        base_fee_change_denominator: (8 * 12_000 / choices.slot_ms.max(1)).clamp(8, 10_000),
        base_fee_min: 7,
        verifiers_per_shard: choices.verifiers,
        slice_redundancy: faults + 1,
        pipeline_depth: 4,
        fast_timeout_ms: (choices.slot_ms * 4).max(1_000),
        view_timeout_ms: (choices.slot_ms * 12).max(3_000),
        root_block_ms: choices.slot_ms * 2,
        root_timeout_ms: (choices.slot_ms * 16).max(4_000),
        max_supply: U256::from(1_000_000_000_u64) * U256::from(AFS),
        issuance: issuance(choices),
        shards: (1..=choices.shards).map(DomainId).map(shard).collect(),
        accounts,
    };
    spec.validate()?;
    Ok(spec)
}

/// What a development network issues: five hundredths of all coins that may ever be in the first year, a tenth less in each
/// that follows. A network of one shard has no root, hence nobody who issues.
fn issuance(choices: &GenesisChoices) -> IssuanceSpec {
    if choices.shards == 1 {
        return IssuanceSpec::NONE;
    }
    IssuanceSpec {
        per_year: U256::from(50_000_000_u64) * U256::from(AFS),
        decay_permille: 100,
        // Ten root blocks, so that whoever tries it out sees it grow.
        interval_ms: (choices.slot_ms * 20).min(30_000),
    }
}

/// Root block 0, which makes the shards' genesis blocks final.
///
/// # Errors
/// When the accounts of the spec are no state.
pub fn root_block(spec: &ChainSpec) -> Result<SealedRootHeader, NodeError> {
    Ok(crate::root::genesis_root(spec)?.header)
}

/// The block before the first, and the state after it.
///
/// # Errors
/// When the accounts of the spec are no state.
pub(crate) fn first_header(
    spec: &ChainSpec,
    domain: DomainId,
) -> Result<(SealedHeader, WorldState), NodeError> {
    let state = WorldState::genesis(&residents(spec, domain))?;
    Ok((spec.genesis_header(domain, state.root(), EMPTY_ROOT).seal(), state))
}

/// What the root itself begins with: its system contracts with all seats assigned. A network of one shard has no root.
///
/// # Errors
/// When the spec lacks a system contract.
pub(crate) fn root_state(spec: &ChainSpec) -> Result<WorldState, NodeError> {
    let accounts = residents(spec, DomainId::ROOT);
    if spec.shards.len() == 1 {
        return Ok(WorldState::genesis(&accounts)?);
    }
    let env = BlockEnv {
        chain_id: spec.network.0,
        fork: spec.evm_fork,
        number: 0,
        timestamp: spec.genesis_time_ms / 1000,
        beneficiary: Address::ZERO,
        gas_limit: spec.block_gas_limit,
        base_fee: spec.initial_base_fee,
        prevrandao: B256::ZERO,
        ancestors: Arc::new(BTreeMap::new()),
    };
    let shards = (1u32..).map(DomainId).zip(&spec.shards);
    let seats = shards.flat_map(|(domain, shard)| {
        let holders = std::iter::once(&shard.generator).chain(&shard.verifiers);
        (0u16..).map(SeatIndex).zip(holders).map(move |(seat, holder)| (domain, seat, holder))
    });
    Ok(root_genesis(env, &accounts, seats)?)
}

/// The accounts that a domain begins with: those that live there, and those that every domain has, whose coins are in
/// the first. spec: Domains D1–D3
fn residents(spec: &ChainSpec, domain: DomainId) -> BTreeMap<Address, GenesisAccount> {
    let map = DomainMap::new(u32::try_from(spec.shards.len()).expect("validate() bounds the shards"));
    let first = domain == DomainId(1);
    let accounts = spec.accounts.iter().filter_map(|(address, account)| {
        let mut account = account.clone();
        if anfs_execution::is_everywhere(address) {
            account.balance = if first { account.balance } else { U256::ZERO };
        } else if map.home(address) != domain {
            return None;
        }
        Some((*address, account))
    });
    accounts.collect()
}

/// The coins that each domain begins with, in wei; the root is among them where there is one.
#[must_use]
pub fn coins(spec: &ChainSpec) -> BTreeMap<DomainId, U256> {
    let shards = u32::try_from(spec.shards.len()).expect("validate() bounds the shards");
    let domains = (u32::from(shards == 1)..=shards).map(DomainId);
    let held = |domain| residents(spec, domain).values().map(|account| account.balance).sum();
    domains.map(|domain| (domain, held(domain))).collect()
}

fn validator(mnemonic: &str, domain: DomainId, seat: SeatIndex) -> ValidatorSpec {
    let key = seat_key(mnemonic, domain, seat);
    let digest: B256 = keccak256(key.public_key().to_bytes());
    ValidatorSpec {
        public_key: key.public_key().to_bytes(),
        proof_of_possession: key.prove_possession(),
        beneficiary: Address::from_word(digest),
        stake: U256::from(AFS) * U256::from(1_000_u64 + u64::from(seat.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choices() -> GenesisChoices {
        GenesisChoices {
            chain_id: DEFAULT_CHAIN_ID,
            shards: 1,
            verifiers: 4,
            slot_ms: 250,
            mnemonic: DEFAULT_MNEMONIC.into(),
            accounts: 10,
            balance: 10_000,
            block_gas_limit: 200_000_000,
            genesis_time_ms: 0,
        }
    }

    #[test]
    fn the_usual_phrase_gives_the_usual_accounts() {
        let spec = devnet_spec(&choices()).unwrap();
        let first = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266".parse::<Address>().unwrap();
        let second = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8".parse::<Address>().unwrap();
        for account in [first, second] {
            assert_eq!(spec.accounts[&account].balance, U256::from(10_000) * U256::from(AFS));
        }
    }

    #[test]
    fn shards_share_the_accounts_and_no_key() {
        let one = devnet_spec(&choices()).unwrap();
        let spec = devnet_spec(&GenesisChoices { shards: 3, accounts: 20, ..choices() }).unwrap();
        assert_eq!(spec.shards[0], one.shards[0], "the first shard is that of a network of one");
        let coins = coins(&spec);
        assert_eq!(coins.keys().copied().collect::<Vec<_>>(), [0, 1, 2, 3].map(DomainId));
        assert_eq!(coins.values().sum::<U256>(), spec.genesis_supply().unwrap());
        assert!(coins.iter().all(|(domain, coins)| coins.is_zero() == (*domain == DomainId::ROOT)));
        for domain in coins.keys().filter(|domain| **domain != DomainId::ROOT) {
            let (header, state) = first_header(&spec, *domain).unwrap();
            assert_eq!((header.domain, header.state_root), (*domain, state.root()));
            let history = anfs_state::StateRead::account(&state, &anfs_execution::system::HISTORY_STORAGE);
            assert!(history.unwrap().is_some(), "every domain has it");
        }
    }

    #[test]
    fn the_root_begins_with_its_contracts_and_every_node_with_the_same() {
        let spec = devnet_spec(&GenesisChoices { shards: 2, ..choices() }).unwrap();
        let state = root_state(&spec).unwrap();
        assert_eq!(state.root(), root_state(&spec).unwrap().root());
        for address in [anfs_execution::system::SEATS, anfs_execution::system::REWARDS] {
            assert!(anfs_state::StateRead::account(&state, &address).unwrap().is_some());
            let shard = first_header(&spec, DomainId(1)).unwrap().1;
            assert!(anfs_state::StateRead::account(&shard, &address).unwrap().is_none());
        }
        let mut without = spec;
        without.accounts.remove(&anfs_execution::system::SEATS);
        assert!(root_state(&without).is_err());
    }

    #[test]
    fn choices_out_of_range_are_refused() {
        let refused = |change: fn(&mut GenesisChoices)| {
            let mut bad = choices();
            change(&mut bad);
            assert!(devnet_spec(&bad).is_err());
        };
        refused(|c| c.mnemonic = "not a phrase".into());
        refused(|c| c.verifiers = 3);
        refused(|c| c.slot_ms = 1);
        refused(|c| c.balance = u64::MAX);
        refused(|c| c.chain_id = 0);
        refused(|c| c.shards = 0);
        refused(|c| c.shards = u32::MAX);
    }
}
