//! A chain spec file: never a panic, and a spec that passes survives its own text and its own arithmetic.
#![no_main]

use alloy_primitives::B256;
use anfs_primitives::{ChainSpec, DomainId, Slot};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(spec) = ChainSpec::from_json(text) {
        let again = ChainSpec::from_json(&spec.to_json()).expect("a spec reads what it writes");
        assert_eq!(again, spec);
        assert_eq!(again.hash(), spec.hash());
        let genesis = spec.genesis_header(DomainId(1), B256::ZERO, B256::ZERO);
        assert_eq!(genesis.boundaries.len(), usize::from(spec.verifiers_per_shard) + 1);
        assert!(spec.next_base_fee(spec.initial_base_fee, spec.block_gas_limit) >= spec.base_fee_min);
        let _ = spec.slot_at(u64::MAX);
        let _ = spec.slot_timestamp(Slot(u64::MAX));
        assert!(spec.quorum() <= spec.verifiers_per_shard);
    }
});
