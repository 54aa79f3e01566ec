//! What votes and certificates cost.
#![allow(missing_docs, reason = "criterion's macros generate undocumented functions")]

use std::hint::black_box;

use anfs_crypto::bls::{self, PublicKey, SecretKey};
use anfs_crypto::tags;
use anfs_primitives::BlsSignature;
use criterion::{Criterion, criterion_group, criterion_main};

const MESSAGE: &[u8] = &[7; 72];
const ENTROPY: [u8; 32] = [9; 32];

fn votes(criterion: &mut Criterion) {
    let keys: Vec<SecretKey> = (1..=10).map(|id| SecretKey::from_seed(&[id; 32])).collect();
    let public: Vec<PublicKey> = keys.iter().map(SecretKey::public_key).collect();
    let signatures: Vec<BlsSignature> = keys.iter().map(|key| key.sign(tags::COMMIT, MESSAGE)).collect();
    let batch: Vec<_> = public.iter().zip(&signatures).collect();
    let signers: Vec<&PublicKey> = public.iter().collect();
    let aggregate = bls::aggregate(&signatures).expect("signatures that were just made");
    let encoded = public[0].to_bytes();

    let mut group = criterion.benchmark_group("bls");
    group.bench_function("sign", |b| b.iter(|| keys[0].sign(tags::COMMIT, black_box(MESSAGE))));
    group.bench_function("verify", |b| {
        b.iter(|| public[0].verify(tags::COMMIT, black_box(MESSAGE), &signatures[0]));
    });
    group.bench_function("verify_batch/10", |b| {
        b.iter(|| bls::verify_batch(tags::COMMIT, black_box(MESSAGE), &batch, &ENTROPY));
    });
    group.bench_function("aggregate/10", |b| b.iter(|| bls::aggregate(black_box(&signatures))));
    group.bench_function("verify_aggregate/10", |b| {
        b.iter(|| bls::verify_aggregate(tags::COMMIT, black_box(MESSAGE), &signers, &aggregate));
    });
    group.bench_function("parse_key", |b| b.iter(|| PublicKey::from_bytes(black_box(&encoded))));

    let mut spoiled = signatures.clone();
    spoiled.swap(2, 7);
    let spoiled_batch: Vec<_> = public.iter().zip(&spoiled).collect();
    group.bench_function("find_invalid/2_of_10", |b| {
        b.iter(|| bls::find_invalid(tags::COMMIT, black_box(MESSAGE), &spoiled_batch, &ENTROPY));
    });
    group.finish();
}

criterion_group!(benches, votes);
criterion_main!(benches);
