use anfs_primitives::spec::{EvmFork, ShardSpec, ValidatorSpec};
use anfs_primitives::{BlsPublicKey, BlsSignature, IssuanceSpec};

use super::*;

/// Shards of these stakes: of each the generator's first.
pub(crate) fn spec(stakes: &[&[u64]]) -> ChainSpec {
    let mut key = 0;
    let mut seat = |stake: u64| {
        key += 1;
        ValidatorSpec {
            public_key: BlsPublicKey::repeat_byte(key),
            proof_of_possession: BlsSignature::ZERO,
            beneficiary: alloy_primitives::Address::ZERO,
            stake: U256::from(stake),
        }
    };
    let shards = stakes.iter().map(|stakes| ShardSpec {
        generator: seat(stakes[0]),
        verifiers: stakes[1..].iter().map(|stake| seat(*stake)).collect(),
    });
    let shards: Vec<ShardSpec> = shards.collect();
    ChainSpec {
        name: "root".into(),
        network: NetworkId(7),
        genesis_time_ms: 1000,
        evm_fork: EvmFork::Osaka,
        slot_ms: 200,
        hashes_per_slot: 640,
        ticks_per_slot: 64,
        block_gas_limit: 30_000_000,
        initial_base_fee: 1,
        base_fee_change_denominator: 8,
        base_fee_min: 0,
        verifiers_per_shard: u16::try_from(stakes[0].len() - 1).unwrap(),
        slice_redundancy: 1,
        pipeline_depth: 4,
        fast_timeout_ms: 400,
        view_timeout_ms: 2000,
        root_block_ms: 1000,
        root_timeout_ms: 3000,
        max_supply: U256::MAX,
        issuance: IssuanceSpec::NONE,
        shards,
        accounts: BTreeMap::new(),
    }
}

fn config(stakes: &[&[u64]]) -> RootConfig {
    RootConfig::new(&spec(stakes), Epoch::ZERO, B256::repeat_byte(3)).unwrap()
}

fn seat(domain: u32, seat: u16) -> RootSeat {
    RootSeat { domain: DomainId(domain), seat: SeatIndex(seat) }
}

#[test]
fn a_quorum_is_more_than_two_thirds_and_a_third_does_not_block() {
    let config = config(&[&[1, 2], &[3, 3]]);
    let (quorum, blocking) = (
        |stake: u64| config.is_quorum(U256::from(stake)),
        |stake: u64| config.is_blocking(U256::from(stake)),
    );
    assert!(!quorum(6) && quorum(7) && !blocking(3) && blocking(4));
    assert_eq!(config.total_stake(), U256::from(9));
    assert_eq!(config.stake(seat(2, 1)), Some(U256::from(3)));
    assert_eq!((config.stake(seat(2, 2)), config.stake(seat(3, 0))), (None, None));
}

#[test]
fn groups_out_of_order_or_of_strangers_have_no_stake() {
    let config = config(&[&[1, 2], &[3, 3]]);
    let group = |domain, seats: &[u16]| SeatGroup {
        domain: DomainId(domain),
        seats: seats.iter().copied().map(SeatIndex).collect(),
    };
    assert_eq!(config.stake_of_groups(&[group(1, &[0, 1]), group(2, &[1])]), Some(U256::from(6)));
    for wrong in [
        [group(2, &[1]), group(1, &[0])],
        [group(1, &[0]), group(1, &[0])],
        [group(1, &[]), group(2, &[0])],
        [group(1, &[2]), group(2, &[0])],
    ] {
        assert_eq!(config.stake_of_groups(&wrong), None, "{wrong:?}");
    }
}

#[test]
fn leaders_are_drawn_by_stake() {
    let config = config(&[&[10, 0], &[30, 60]]);
    let mut led = BTreeMap::<RootSeat, u64>::new();
    for height in 1..=500 {
        for view in 0..4 {
            *led.entry(config.leader(Height(height), View(view))).or_default() += 1;
        }
    }
    assert_eq!(led.len(), 3, "who has no stake never leads: {led:?}");
    assert!((150..250).contains(&led[&seat(1, 0)]), "{led:?}");
    assert!((1100..1300).contains(&led[&seat(2, 1)]), "{led:?}");
}

#[test]
fn gatherers_and_reporters_change_with_the_height() {
    let config = config(&[&[1, 1, 1, 1, 1]]);
    let gatherers: Vec<u16> =
        (3..8).map(|height| config.gatherer(Height(height), DomainId(1)).seat.0).collect();
    assert_eq!(gatherers, [3, 4, 0, 1, 2]);
    let reporters: Vec<RootSeat> = config.reporters(Height(4), DomainId(1)).collect();
    assert_eq!(reporters, [seat(1, 4), seat(1, 0)]);
}

#[test]
fn patience_doubles_five_times() {
    let config = config(&[&[1, 1]]);
    let waits: Vec<u64> = [0, 1, 5, 6, 1000].map(|view| config.patience_ms(View(view))).to_vec();
    assert_eq!(waits, [3000, 6000, 96_000, 96_000, 96_000]);
}

#[test]
fn a_network_without_stake_is_refused() {
    let none = RootConfig::new(&spec(&[&[0, 0]]), Epoch::ZERO, B256::ZERO);
    assert!(matches!(none, Err(ConsensusError::Config(_))));
}
