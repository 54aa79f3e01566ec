//! Whatever decodes is canonical; whatever does not is refused without a panic.

use std::fmt::Debug;

use alloy_primitives::{B256, U256};
use anfs_primitives::block::BLOCK_BYTES_MAX;
use anfs_primitives::crossing::{MESSAGE_BYTES_MAX, RESULT_DATA_MAX};
use anfs_primitives::entry::FRAGMENT_BYTES_MAX;
use anfs_primitives::*;
use borsh::{BorshDeserialize, BorshSerialize};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::samples;

const LIMIT: usize = 1 << 20;

/// A change to an encoding: where, and which bits flip there.
type Mutation = (Index, u8);

fn mutations() -> impl Strategy<Value = Vec<Mutation>> {
    prop::collection::vec((any::<Index>(), 1u8..), 1..8)
}

fn check<T>(value: &T, mutations: &[Mutation]) -> Result<(), TestCaseError>
where
    T: BorshSerialize + BorshDeserialize + PartialEq + Debug,
{
    let bytes = encode(value);
    prop_assert_eq!(&decode::<T>(&bytes, LIMIT).unwrap(), value);

    let longer = [bytes.as_slice(), &[0]].concat();
    prop_assert!(decode::<T>(&longer, LIMIT).is_err(), "trailing byte");
    for (at, _) in mutations {
        let shorter = &bytes[..at.index(bytes.len())];
        prop_assert!(decode::<T>(shorter, LIMIT).is_err(), "truncated to {}", shorter.len());
    }

    let mut mutated = bytes.clone();
    for (at, flip) in mutations {
        mutated[at.index(bytes.len())] ^= flip;
        check_canonical::<T>(&mutated)?;
    }
    Ok(())
}

fn check_canonical<T: BorshSerialize + BorshDeserialize>(bytes: &[u8]) -> Result<(), TestCaseError> {
    if let Ok(value) = decode::<T>(bytes, LIMIT) {
        prop_assert_eq!(encode(&value), bytes);
    }
    Ok(())
}

proptest! {
    #[test]
    fn entries(value in samples::any_entry(), mutations in mutations()) {
        check(&value, &mutations)?;
    }

    #[test]
    fn fragments(value in samples::any_fragment(), mutations in mutations()) {
        check(&value, &mutations)?;
    }

    #[test]
    fn headers(value in samples::any_header(), mutations in mutations()) {
        check(&value, &mutations)?;
        let sealed = value.clone().seal();
        let read: SealedHeader = decode(&encode(&value), LIMIT).unwrap();
        prop_assert_eq!(read.hash(), value.hash());
        prop_assert_eq!(read, sealed);
    }

    #[test]
    fn a_changed_header_has_another_hash(value in samples::any_header(), mutations in mutations()) {
        let mut bytes = encode(&value);
        let (at, flip) = mutations[0];
        let place = at.index(bytes.len());
        bytes[place] ^= flip;
        if let Ok(changed) = decode::<ShardHeader>(&bytes, LIMIT) {
            prop_assert_ne!(changed.hash(), value.hash());
        }
    }

    #[test]
    fn votes(value in samples::any_vote(), mutations in mutations()) {
        check(&value, &mutations)?;
    }

    #[test]
    fn certificates(value in samples::any_certificate(), mutations in mutations()) {
        check(&value, &mutations)?;
    }

    #[test]
    fn proposals(value in samples::any_proposal(), mutations in mutations()) {
        check(&value, &mutations)?;
    }

    #[test]
    fn certified_blocks(value in samples::any_certified_block(), mutations in mutations()) {
        check(&value, &mutations)?;
    }

    #[test]
    fn view_changes(value in samples::any_view_change(), mutations in mutations()) {
        check(&value, &mutations)?;
    }

    #[test]
    fn openings_of_views(value in samples::any_new_view(), mutations in mutations()) {
        check(&value, &mutations)?;
    }

    #[test]
    fn receipts(value in samples::any_receipt(), mutations in mutations()) {
        check(&value, &mutations)?;
    }

    #[test]
    fn messages(value in samples::any_message(), mutations in mutations()) {
        check(&value, &mutations)?;
        prop_assert_eq!(ConsensusMessage::decode(&encode(&value)).unwrap(), value);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        check_canonical::<Entry>(&bytes)?;
        check_canonical::<Fragment>(&bytes)?;
        check_canonical::<ShardHeader>(&bytes)?;
        check_canonical::<SignedVote>(&bytes)?;
        check_canonical::<Certificate>(&bytes)?;
        check_canonical::<CertifiedBlock>(&bytes)?;
        check_canonical::<Receipt>(&bytes)?;
        check_canonical::<ConsensusMessage>(&bytes)?;
    }

    #[test]
    fn chain_specs_survive_hostile_numbers(
        field in prop::sample::select(vec![
            "network", "genesis_time_ms", "slot_ms", "hashes_per_slot", "ticks_per_slot",
            "block_gas_limit", "initial_base_fee", "base_fee_change_denominator", "base_fee_min",
            "verifiers_per_shard", "slice_redundancy", "pipeline_depth", "fast_timeout_ms",
            "view_timeout_ms", "root_block_ms", "root_timeout_ms",
        ]),
        other in prop::sample::select(vec!["hashes_per_slot", "ticks_per_slot", "verifiers_per_shard"]),
        value in prop_oneof![Just(0u64), Just(1), Just(u64::MAX), 0..70_000u64, any::<u64>()],
    ) {
        let mut json: serde_json::Value = serde_json::from_str(&samples::chain_spec().to_json()).unwrap();
        json[field] = value.into();
        json[other] = value.into();
        if let Ok(spec) = ChainSpec::from_json(&json.to_string()) {
            prop_assert_eq!(&ChainSpec::from_json(&spec.to_json()).unwrap(), &spec);
            prop_assert!(spec.next_base_fee(value, value) >= spec.base_fee_min);
            prop_assert!(spec.slot_start_ms(spec.slot_at(value)) <= value.max(spec.genesis_time_ms));
        }
    }
}

#[test]
fn parameters_that_are_all_zero_are_refused() {
    let spec =
        ChainSpec { hashes_per_slot: 0, ticks_per_slot: 0, verifiers_per_shard: 0, ..samples::chain_spec() };
    assert!(spec.validate().unwrap_err().to_string().contains("verifiers_per_shard"));
}

#[test]
fn unknown_variants_are_refused() {
    for (name, message) in samples::messages() {
        let mut bytes = encode(&message);
        bytes[0] = 12;
        assert!(ConsensusMessage::decode(&bytes).is_err(), "{name}");
    }
    assert!(decode::<VoteKind>(&[5], LIMIT).is_err());
    assert!(decode::<CertificateKind>(&[4], LIMIT).is_err());
    let mut receipt = encode(&samples::receipt());
    receipt[0] = 5;
    assert!(decode::<Receipt>(&receipt, LIMIT).is_err());
    receipt[0] = 2;
    receipt[1] = 2;
    assert!(decode::<Receipt>(&receipt, LIMIT).is_err(), "a bool is 0 or 1");
}

#[test]
fn each_kind_of_message_has_its_own_cap() {
    let too_large = |first: u8, size: usize| {
        let mut bytes = vec![0; size];
        bytes[0] = first;
        matches!(ConsensusMessage::decode(&bytes), Err(CodecError::TooLarge { .. }))
    };
    assert!(too_large(0, FRAGMENT_BYTES_MAX + 1) && !too_large(0, FRAGMENT_BYTES_MAX));
    assert!(too_large(6, BLOCK_BYTES_MAX + 1) && !too_large(6, BLOCK_BYTES_MAX));
    for small in 1..=5 {
        assert!(too_large(small, 256 * 1024 + 1) && !too_large(small, 256 * 1024), "{small}");
    }
    assert!(ConsensusMessage::decode(&[]).is_err());
}

#[test]
fn the_largest_header_fits_its_messages() {
    let mut largest = samples::header();
    let lane = LaneCount { destination: DomainId(1), sent: 1, value: U256::ZERO };
    let cursor = InboxCursor { source: DomainId(1), consumed: 1 };
    let cut = largest.boundaries[0];
    largest.lanes = vec![lane; header::DOMAINS_MAX].try_into().unwrap();
    largest.inbox_cursors = vec![cursor; header::DOMAINS_MAX].try_into().unwrap();
    largest.boundaries = vec![cut; header::VERIFIERS_MAX + 1].try_into().unwrap();
    let proposal = Proposal { header: largest.seal(), signature: BlsSignature::ZERO };
    let message = ConsensusMessage::Proposal(proposal);
    assert_eq!(ConsensusMessage::decode(&encode(&message)).unwrap(), message);
}

#[test]
fn the_largest_entry_fits_a_fragment() {
    let largest = SequencedTransaction {
        encoded: vec![1; transaction::TRANSACTION_BYTES_MAX].into(),
        sender: samples::entry().transactions[0].sender,
    };
    let transactions = vec![largest; entry::ENTRY_TRANSACTIONS_MAX].try_into().unwrap();
    let entries = vec![Entry { transactions, ..samples::entry() }].try_into().unwrap();
    let message = ConsensusMessage::Fragment(Fragment { entries, ..samples::fragment() });
    assert_eq!(ConsensusMessage::decode(&encode(&message)).unwrap(), message);
}

#[test]
fn a_log_with_five_topics_is_refused() {
    let mut receipt = samples::receipt();
    receipt.logs[0].data =
        alloy_primitives::LogData::new_unchecked(vec![Default::default(); 5], Default::default());
    assert!(decode::<Receipt>(&encode(&receipt), LIMIT).is_err());
}

/// Messages wait in queues and are moved often.
#[test]
fn messages_stay_small_in_memory() {
    assert!(std::mem::size_of::<ConsensusMessage>() <= 256, "{}", std::mem::size_of::<ConsensusMessage>());
}

#[test]
fn messages_between_domains_read_back_and_hold_no_more_than_they_may() {
    for (name, message) in samples::cross_messages() {
        let bytes = encode(&message);
        assert_eq!(decode::<CrossMessage>(&bytes, MESSAGE_BYTES_MAX).unwrap(), message, "{name}");
        for cut in 0..bytes.len() {
            assert!(decode::<CrossMessage>(&bytes[..cut], MESSAGE_BYTES_MAX).is_err(), "{name}");
        }
    }
    let longer =
        encode(&(ResultRequest { id: B256::ZERO, gas_limit: 1 }, true, vec![0u8; RESULT_DATA_MAX + 1]));
    assert!(decode::<CallResult>(&longer, MESSAGE_BYTES_MAX).is_err());
    assert!(
        decode::<CallResult>(
            &encode(&(ResultRequest { id: B256::ZERO, gas_limit: 1 }, true, vec![0u8; RESULT_DATA_MAX])),
            MESSAGE_BYTES_MAX
        )
        .is_ok()
    );
}
