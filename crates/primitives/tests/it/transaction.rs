//! Which transactions are accepted, and how the others are refused.

use alloy_consensus::{SignableTransaction, Signed, TxEip1559, TxEip2930, TxEip7702, TxLegacy};
use alloy_eips::eip2718::Encodable2718;
use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_eips::eip7702::Authorization;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, keccak256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use anfs_primitives::transaction::TRANSACTION_BYTES_MAX;
use anfs_primitives::{NetworkId, RecoveredTransaction, SignedTransaction, TransactionError};
use proptest::prelude::*;
use proptest::sample::Index;

const CHAIN_ID: u64 = 31337;
const NETWORK: NetworkId = NetworkId(CHAIN_ID);

fn signer() -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::repeat_byte(7)).unwrap()
}

fn sign<T: SignableTransaction<Signature>>(tx: T) -> Signed<T> {
    let signature = signer().sign_hash_sync(&tx.signature_hash()).unwrap();
    tx.into_signed(signature)
}

fn legacy(chain_id: Option<u64>) -> TxLegacy {
    TxLegacy {
        chain_id,
        nonce: 1,
        gas_price: 2_000_000_000,
        gas_limit: 21_000,
        to: TxKind::Call(Address::repeat_byte(1)),
        value: U256::from(5),
        input: Bytes::new(),
    }
}

fn access_list() -> AccessList {
    AccessList(vec![AccessListItem {
        address: Address::repeat_byte(2),
        storage_keys: vec![B256::repeat_byte(3)],
    }])
}

fn eip2930() -> TxEip2930 {
    TxEip2930 {
        chain_id: CHAIN_ID,
        nonce: 1,
        gas_price: 2_000_000_000,
        gas_limit: 50_000,
        to: TxKind::Create,
        value: U256::ZERO,
        input: Bytes::from_static(&[0x60, 0x00]),
        access_list: access_list(),
    }
}

fn eip1559() -> TxEip1559 {
    TxEip1559 {
        chain_id: CHAIN_ID,
        nonce: 1,
        gas_limit: 50_000,
        max_fee_per_gas: 2_000_000_000,
        max_priority_fee_per_gas: 1_000_000_000,
        to: TxKind::Call(Address::repeat_byte(1)),
        value: U256::from(1),
        access_list: access_list(),
        input: Bytes::from_static(b"input"),
    }
}

fn eip7702() -> TxEip7702 {
    let authorization =
        Authorization { chain_id: U256::from(CHAIN_ID), address: Address::repeat_byte(4), nonce: 0 };
    let signature = signer().sign_hash_sync(&authorization.signature_hash()).unwrap();
    TxEip7702 {
        chain_id: CHAIN_ID,
        nonce: 1,
        gas_limit: 90_000,
        max_fee_per_gas: 2_000_000_000,
        max_priority_fee_per_gas: 1_000_000_000,
        to: Address::repeat_byte(1),
        value: U256::ZERO,
        access_list: access_list(),
        authorization_list: vec![authorization.into_signed(signature)],
        input: Bytes::new(),
    }
}

/// One encoded transaction of each accepted type, by type.
fn accepted() -> [(u8, Bytes); 4] {
    [
        (0, sign(legacy(Some(CHAIN_ID))).encoded_2718().into()),
        (1, sign(eip2930()).encoded_2718().into()),
        (2, sign(eip1559()).encoded_2718().into()),
        (4, sign(eip7702()).encoded_2718().into()),
    ]
}

fn malformed(encoded: &Bytes) -> String {
    match SignedTransaction::decode(encoded) {
        Err(error @ TransactionError::Malformed(_)) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_type_is_accepted_and_its_sender_recovered() {
    for (ty, encoded) in accepted() {
        let decoded = SignedTransaction::decode(&encoded).unwrap();
        assert_eq!(decoded.ty(), ty);
        assert_eq!(decoded.encoded(), &encoded);
        assert_eq!(*decoded.hash(), keccak256(&encoded));
        decoded.check_network(NETWORK).unwrap();
        let rebuilt = SignedTransaction::from_envelope(decoded.envelope()).unwrap();
        assert_eq!(rebuilt, decoded);

        let recovered = decoded.recover().unwrap();
        assert_eq!(recovered.sender(), signer().address(), "type {ty}");
        let claimed = RecoveredTransaction::decode_claimed(&encoded, recovered.sender()).unwrap();
        assert_eq!(claimed, recovered);
    }
}

#[test]
fn another_chain_id_is_refused_as_geth_words_it() {
    for (ty, encoded) in accepted() {
        let error = SignedTransaction::decode(&encoded).unwrap().check_network(NetworkId(1)).unwrap_err();
        assert_eq!(error, TransactionError::ChainId { have: CHAIN_ID, want: 1 }, "type {ty}");
        assert_eq!(error.to_string(), "invalid chain id for signer: have 31337 want 1");
    }
}

#[test]
fn a_legacy_transaction_without_chain_id_fits_every_network() {
    let encoded: Bytes = sign(legacy(None)).encoded_2718().into();
    let decoded = SignedTransaction::decode(&encoded).unwrap();
    decoded.check_network(NETWORK).unwrap();
    decoded.check_network(NetworkId(1)).unwrap();
    assert_eq!(decoded.recover().unwrap().sender(), signer().address());
}

#[test]
fn blobs_are_refused_by_name() {
    for encoded in [vec![3], vec![3, 0xc0], [&[3], &accepted()[2].1[1..]].concat()] {
        let error = SignedTransaction::decode(&encoded.into()).unwrap_err();
        assert_eq!(error, TransactionError::Blob);
        assert!(error.to_string().starts_with("transaction type not supported: blob"), "{error}");
    }
}

#[test]
fn oversize_is_refused_before_parsing() {
    let at_limit = vec![0xff; TRANSACTION_BYTES_MAX];
    assert!(matches!(SignedTransaction::decode(&at_limit.into()), Err(TransactionError::Malformed(_))));
    let over: Bytes = vec![3; TRANSACTION_BYTES_MAX + 1].into();
    let error = SignedTransaction::decode(&over).unwrap_err();
    assert_eq!(error, TransactionError::TooLarge { size: TRANSACTION_BYTES_MAX + 1 });
    assert_eq!(error.to_string(), "oversized data: transaction size 131073, limit 131072");

    let mut large = eip1559();
    large.input = vec![1; TRANSACTION_BYTES_MAX - 300].into();
    let encoded: Bytes = sign(large).encoded_2718().into();
    assert!(SignedTransaction::decode(&encoded).is_ok());
}

#[test]
fn malformed_encodings_are_refused() {
    for (_, encoded) in accepted() {
        for length in 0..encoded.len() {
            malformed(&encoded.slice(..length));
        }
        malformed(&[&encoded[..], &[0]].concat().into());
        // The network form of a typed transaction: the same bytes inside an RLP string.
        malformed(&alloy_rlp::encode(&encoded).into());
    }
    assert!(malformed(&Bytes::from_static(&[0x05, 0xc0])).starts_with("rlp: "));
    malformed(&Bytes::from_static(&[0x7f]));
    malformed(&Bytes::from_static(&[0xc0]));
}

#[test]
fn a_malleable_signature_is_refused() {
    let order = U256::from_str_radix("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141", 16);
    let signed = sign(eip1559());
    let signature = signed.signature();
    let high = Signature::new(signature.r(), order.unwrap() - signature.s(), !signature.v());
    let encoded: Bytes = signed.tx().clone().into_signed(high).encoded_2718().into();
    let error = SignedTransaction::decode(&encoded).unwrap().recover().unwrap_err();
    assert_eq!(error, TransactionError::Signature);
    assert!(error.to_string().contains("invalid sender"));
}

#[test]
fn a_signature_of_zeros_recovers_nobody() {
    let zeros = Signature::new(U256::ZERO, U256::ZERO, false);
    let encoded: Bytes = eip1559().into_signed(zeros).encoded_2718().into();
    assert_eq!(SignedTransaction::decode(&encoded).unwrap().recover(), Err(TransactionError::Signature));
}

#[test]
fn a_claimed_sender_is_taken_as_it_is() {
    let stranger = Address::repeat_byte(0xee);
    let claimed = RecoveredTransaction::decode_claimed(&accepted()[2].1, stranger).unwrap();
    assert_eq!(claimed.sender(), stranger);
    assert_eq!(claimed.signed().clone().recover().unwrap().sender(), signer().address());
}

/// What decodes has one encoding: its own. Its hash is that of the bytes received.
fn check_canonical(encoded: &Bytes) -> Result<(), TestCaseError> {
    if let Ok(decoded) = SignedTransaction::decode(encoded) {
        prop_assert_eq!(&Bytes::from(decoded.envelope().encoded_2718()), encoded);
        prop_assert_eq!(*decoded.hash(), keccak256(encoded));
        let _ = decoded.recover();
    }
    Ok(())
}

proptest! {
    #[test]
    fn mutated_transactions_never_panic_and_stay_canonical(
        pick in 0usize..4,
        mutations in prop::collection::vec((any::<Index>(), 1u8..), 1..6),
    ) {
        let mut bytes = accepted()[pick].1.to_vec();
        for (at, flip) in mutations {
            let place = at.index(bytes.len());
            bytes[place] ^= flip;
            check_canonical(&Bytes::from(bytes.clone()))?;
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        check_canonical(&bytes.into())?;
    }

    #[test]
    fn any_call_survives_the_wire(
        nonce in any::<u64>(),
        gas_limit in any::<u64>(),
        fee in any::<u128>(),
        value in any::<[u8; 32]>(),
        input in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut tx = eip1559();
        tx.nonce = nonce;
        tx.gas_limit = gas_limit;
        tx.max_fee_per_gas = fee;
        tx.value = U256::from_be_bytes(value);
        tx.input = input.into();
        let encoded: Bytes = sign(tx.clone()).encoded_2718().into();
        let decoded = SignedTransaction::decode(&encoded).unwrap();
        prop_assert_eq!(decoded.envelope().as_eip1559().unwrap().tx(), &tx);
        prop_assert_eq!(decoded.recover().unwrap().sender(), signer().address());
    }
}
