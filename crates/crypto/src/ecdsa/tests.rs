use alloy_consensus::crypto::secp256k1::sign_message;
use alloy_consensus::{EthereumTxEnvelope, SignableTransaction, TxEip1559, TxEip4844, TxLegacy};
use alloy_primitives::{B256, Signature, TxKind, U256};
use anfs_primitives::RecoveredTransaction;
use proptest::prelude::*;

use super::*;

const ENTROPY: [u8; 32] = [5; 32];
/// The group's order.
const ORDER: U256 = U256::from_limbs([0xbfd2_5e8c_d036_4141, 0xbaae_dce6_af48_a03b, !1, !0]);

fn body(nonce: u64) -> TxEip1559 {
    TxEip1559 {
        chain_id: 1,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: 1,
        max_priority_fee_per_gas: 1,
        to: TxKind::Call(Address::repeat_byte(1)),
        value: U256::from(1),
        access_list: Default::default(),
        input: Default::default(),
    }
}

fn with_signature<T>(tx: T, signature: Signature) -> SignedTransaction
where
    T: SignableTransaction<Signature>,
    EthereumTxEnvelope<TxEip4844>: From<alloy_consensus::Signed<T>>,
{
    SignedTransaction::from_envelope(&tx.into_signed(signature).into()).unwrap()
}

fn signature(key: u8, digest: B256) -> Signature {
    sign_message(B256::repeat_byte(key), digest).unwrap()
}

fn signed(key: u8, nonce: u64) -> SignedTransaction {
    let tx = body(nonce);
    let signature = signature(key, tx.signature_hash());
    with_signature(tx, signature)
}

fn claims<'a>(
    txs: &'a [SignedTransaction],
    signers: &'a [Signer],
) -> Vec<(&'a SignedTransaction, &'a Signer)> {
    txs.iter().zip(signers).collect()
}

/// The signature under another reading, that of `how`.
fn spoil(signature: &Signature, how: u8) -> Signature {
    let (r, s, parity) = (signature.r(), signature.s(), signature.v());
    match how {
        0 => Signature::new(r, s, !parity),
        1 => Signature::new(r, ORDER - s, !parity),
        2 => Signature::new(r, s + U256::from(1), parity),
        3 => Signature::new(r + U256::from(1), s, parity),
        4 => Signature::new(U256::ZERO, s, parity),
        5 => Signature::new(r, U256::ZERO, parity),
        6 => Signature::new(ORDER, s, parity),
        7 => Signature::new(U256::MAX, s, parity),
        8 => Signature::new(r, ORDER - s, parity),
        _ => *signature,
    }
}

#[test]
fn recovery_is_that_of_the_transaction() {
    for key in 1..5 {
        let tx = signed(key, 7);
        let signer = recover(&tx).unwrap();
        assert_eq!(signer.address(), tx.recover().unwrap().sender());
    }
    let legacy = TxLegacy { gas_limit: 21_000, ..TxLegacy::default() };
    let signature = signature(9, legacy.signature_hash());
    let tx = with_signature(legacy, signature);
    assert_eq!(recover(&tx).unwrap().address(), tx.recover().unwrap().sender());
}

#[test]
fn honest_batches_hold() {
    let txs: Vec<_> = (0..200).map(|n| signed(1 + u8::try_from(n % 17).unwrap(), n)).collect();
    let signers: Vec<_> = txs.iter().map(|tx| recover(tx).unwrap()).collect();
    for len in [0, 1, 2, 3, 50, 200] {
        assert!(verify_batch(&claims(&txs[..len], &signers[..len]), &ENTROPY), "{len}");
    }
}

#[test]
fn a_flipped_parity_is_somebody_elses_signature() {
    let mut txs: Vec<_> = (0..20).map(|nonce| signed(1, nonce)).collect();
    let signers: Vec<_> = txs.iter().map(|tx| recover(tx).unwrap()).collect();
    let flipped = spoil(txs[11].envelope().signature(), 0);
    txs[11] = with_signature(body(11), flipped);
    assert_ne!(recover(&txs[11]).unwrap(), signers[11]);
    assert!(!verify_batch(&claims(&txs, &signers), &ENTROPY));
}

#[test]
fn two_wrongs_do_not_cancel() {
    // Each is the other's negative in the unweighted sum: R of both is the same point with both parities.
    let first = signed(1, 0);
    let signer = recover(&first).unwrap();
    let flipped = with_signature(body(0), spoil(first.envelope().signature(), 0));
    let other = recover(&flipped).unwrap();
    assert!(verify_batch(&[(&first, &signer), (&flipped, &other)], &ENTROPY));
    assert!(!verify_batch(&[(&first, &other), (&flipped, &signer)], &ENTROPY));
}

#[test]
fn weights_depend_on_everything() {
    let txs = [signed(1, 0), signed(2, 1)];
    let signers = [recover(&txs[0]).unwrap(), recover(&txs[1]).unwrap()];
    let of = |entropy: &[u8; 32], signers: &[Signer]| -> Vec<u64> {
        weights(&claims(&txs, signers), entropy).take(4).collect()
    };
    let reference = of(&ENTROPY, &signers);
    assert_ne!(reference, of(&[6; 32], &signers));
    assert_ne!(reference, of(&ENTROPY, &[signers[0], signers[0]]));
    assert_eq!(reference.iter().collect::<std::collections::BTreeSet<_>>().len(), 4);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// The batch says yes exactly where every transaction recovers to the signer that is claimed.
    #[test]
    fn a_batch_holds_exactly_where_recovery_agrees(
        keys in prop::collection::vec(1u8..6, 1..12),
        wrong in prop::option::of((any::<prop::sample::Index>(), 0u8..10)),
        stranger in prop::option::of(any::<prop::sample::Index>()),
        entropy: [u8; 32],
    ) {
        let mut txs: Vec<_> = (0u64..).zip(&keys).map(|(nonce, key)| signed(*key, nonce)).collect();
        let mut signers: Vec<_> = txs.iter().map(|tx| recover(tx).unwrap()).collect();
        if let Some((at, how)) = wrong {
            let at = at.index(txs.len());
            let signature = spoil(txs[at].envelope().signature(), how);
            txs[at] = with_signature(body(at as u64), signature);
        }
        if let Some(at) = stranger {
            signers[at.index(txs.len())] = recover(&signed(3, 99)).unwrap();
        }
        let recovered: Vec<_> =
            txs.iter().map(|tx| tx.clone().recover().ok().map(|tx: RecoveredTransaction| tx.sender())).collect();
        let agrees = recovered.iter().zip(&signers).all(|(found, signer)| *found == Some(signer.address()));
        prop_assert_eq!(verify_batch(&claims(&txs, &signers), &entropy), agrees);
        let own: Vec<_> = txs.iter().map(|tx| recover(tx).map(|signer| signer.address())).collect();
        prop_assert_eq!(own, recovered);
    }
}
