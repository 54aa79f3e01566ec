//! What a sender costs: recovered alone, or checked among others.
#![allow(missing_docs, reason = "criterion's macros generate undocumented functions")]

use alloy_consensus::crypto::secp256k1::sign_message;
use alloy_consensus::{EthereumTxEnvelope, SignableTransaction, TxEip4844, TxLegacy};
use alloy_primitives::{B256, U256};
use anfs_crypto::ecdsa::{Signer, recover, verify_batch};
use anfs_primitives::SignedTransaction;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const ENTROPY: [u8; 32] = [9; 32];

fn signed(sender: u64, nonce: u64) -> SignedTransaction {
    let tx = TxLegacy { chain_id: Some(1), nonce, gas_limit: 21_000, ..TxLegacy::default() };
    let secret = B256::from(U256::from(sender + 1));
    let signature = sign_message(secret, tx.signature_hash()).expect("a small number is a key");
    let envelope = EthereumTxEnvelope::<TxEip4844>::from(tx.into_signed(signature));
    SignedTransaction::from_envelope(&envelope).expect("it was made just now")
}

fn senders(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ecdsa");
    let one = signed(1, 1);
    group.throughput(Throughput::Elements(1));
    group.bench_function("recover", |b| b.iter(|| recover(&one)));
    for (size, senders) in [(32u64, 32u64), (256, 100), (1024, 500), (2048, 500), (2048, 2048)] {
        let txs: Vec<_> = (0..size).map(|n| signed(n % senders, n)).collect();
        let signers: Vec<Signer> = txs.iter().map(|tx| recover(tx).expect("it was signed")).collect();
        let claims: Vec<_> = txs.iter().zip(&signers).collect();
        group.throughput(Throughput::Elements(size));
        group.bench_function(BenchmarkId::new("verify_batch", format!("{size}_of_{senders}")), |b| {
            b.iter(|| assert!(verify_batch(&claims, &ENTROPY)));
        });
    }
    group.finish();
}

criterion_group!(benches, senders);
criterion_main!(benches);
