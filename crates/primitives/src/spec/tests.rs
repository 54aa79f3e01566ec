use super::*;

fn validator(id: u8) -> ValidatorSpec {
    ValidatorSpec {
        public_key: BlsPublicKey::repeat_byte(id),
        proof_of_possession: BlsSignature::repeat_byte(id),
        beneficiary: Address::repeat_byte(id),
        stake: U256::from(id),
    }
}

fn spec() -> ChainSpec {
    ChainSpec {
        name: "test".into(),
        network: NetworkId(31337),
        genesis_time_ms: 1_000,
        evm_fork: EvmFork::Osaka,
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
        issuance: IssuanceSpec::NONE,
        shards: vec![ShardSpec { generator: validator(1), verifiers: (2..=5).map(validator).collect() }],
        accounts: BTreeMap::from([(
            Address::repeat_byte(9),
            GenesisAccount { balance: U256::from(1_000), ..Default::default() },
        )]),
    }
}

#[test]
fn a_good_spec_passes_and_survives_its_text_form() {
    let spec = spec();
    spec.validate().unwrap();
    assert_eq!(ChainSpec::from_json(&spec.to_json()).unwrap(), spec);
    assert_eq!((spec.faults_tolerated(), spec.quorum()), (1, 3));
}

#[test]
fn each_bad_parameter_is_named() {
    let refused = |change: fn(&mut ChainSpec), word: &str| {
        let mut bad = spec();
        change(&mut bad);
        let error = bad.validate().unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    };
    refused(|s| s.network = NetworkId(0), "network");
    refused(|s| s.slot_ms = 0, "slot_ms");
    refused(|s| s.hashes_per_slot = 6_401, "hashes_per_slot");
    refused(|s| s.ticks_per_slot = 2, "ticks_per_slot");
    refused(|s| s.verifiers_per_shard = 5, "verifiers_per_shard");
    refused(|s| s.slice_redundancy = 1, "slice_redundancy");
    refused(|s| s.pipeline_depth = 0, "pipeline_depth");
    refused(|s| s.fast_timeout_ms = 1, "fast_timeout_ms");
    refused(|s| s.view_timeout_ms = s.fast_timeout_ms, "view_timeout_ms");
    refused(|s| s.root_block_ms = 9, "root_block_ms");
    refused(|s| s.root_timeout_ms = s.root_block_ms, "root_timeout_ms");
    refused(|s| s.issuance.decay_permille = 1001, "issuance.decay_permille");
    refused(|s| s.issuance.interval_ms = 0, "issuance.interval_ms");
    refused(|s| s.block_gas_limit = 1, "block_gas_limit");
    refused(|s| s.base_fee_min = u64::MAX, "base_fee_min");
    refused(|s| s.shards.clear(), "shards");
    refused(|s| s.max_supply = U256::from(999), "max_supply");
    refused(|s| s.shards[0].verifiers.truncate(3), "has 3 verifiers");
    refused(|s| s.shards[0].verifiers[0] = validator(1), "used twice");
}

#[test]
fn unknown_fields_are_refused() {
    let text = spec().to_json().replacen('{', "{\"surprise\": 1,", 1);
    assert!(ChainSpec::from_json(&text).unwrap_err().to_string().contains("surprise"));
}

#[test]
fn base_fee_moves_as_eip_1559_says() {
    let spec = spec();
    let target = spec.block_gas_limit / 2;
    assert_eq!(spec.next_base_fee(800, target), 800);
    assert_eq!(spec.next_base_fee(800, spec.block_gas_limit), 900);
    assert_eq!(spec.next_base_fee(800, 0), 700);
    assert_eq!(spec.next_base_fee(7, 0), 7, "the floor holds");
    assert_eq!(spec.next_base_fee(7, target + 1), 8, "it always rises above target");
}

#[test]
fn slots_follow_the_clock() {
    let spec = spec();
    assert_eq!(spec.slot_at(0), Slot(0));
    assert_eq!(spec.slot_at(1_999), Slot(3));
    assert_eq!(spec.slot_start_ms(Slot(4)), 2_000);
    assert_eq!(spec.slot_timestamp(Slot(4)), 2);
}
