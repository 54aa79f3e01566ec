//! Adding and taking 100 000 transactions: the pool's share of a transaction's cost.

use alloy_consensus::{EthereumTxEnvelope, SignableTransaction as _, TxEip1559, TxEip4844};
use alloy_primitives::{Address, B256, Signature, TxKind, U256, keccak256};
use anfs_mempool::{AccountView, Pool, PoolLimits, TRANSACTION_GAS_MAX};
use anfs_primitives::{RecoveredTransaction, SignedTransaction};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

const TRANSACTIONS: u64 = 100_000;
const BASE_FEE: u64 = 1_000_000_000;

fn limits() -> PoolLimits {
    PoolLimits {
        transactions_max: 131_072,
        bytes_max: 256 << 20,
        sender_transactions_max: 4096,
        sender_queued_max: 1024,
        lifetime_ms: 10_000_000,
        tip_min: 0,
        base_fee_min: 7,
        block_gas_limit: 60_000_000,
        transaction_gas_max: Some(TRANSACTION_GAS_MAX),
    }
}

/// Transfers of so many senders in turn, with pseudo-random tips.
fn transactions(senders: u64) -> Vec<RecoveredTransaction> {
    let transfer = |index: u64| {
        let sender = Address::from_word(B256::from(U256::from(index % senders + 1)));
        let noise = u64::from(keccak256(index.to_be_bytes())[0]);
        let transaction = TxEip1559 {
            chain_id: 1,
            nonce: index / senders,
            gas_limit: 21_000,
            max_fee_per_gas: u128::from(2 * BASE_FEE + noise),
            max_priority_fee_per_gas: u128::from(noise),
            to: TxKind::Call(sender),
            value: U256::from(1),
            ..Default::default()
        };
        let envelope: EthereumTxEnvelope<TxEip4844> =
            transaction.into_signed(Signature::test_signature()).into();
        let signed = SignedTransaction::from_envelope(&envelope).expect("a transfer is well-formed");
        // The hash is computed at the first look; admission has had one before the pool.
        std::hint::black_box(signed.hash());
        signed.with_claimed_sender(sender)
    };
    (0..TRANSACTIONS).map(transfer).collect()
}

fn filled(transactions: &[RecoveredTransaction]) -> Pool {
    let account = AccountView { nonce: 0, balance: U256::MAX >> 1 };
    let mut pool = Pool::new(limits(), BASE_FEE);
    for transaction in transactions {
        pool.add(transaction.clone(), account, 0).expect("the pool has room");
    }
    pool
}

fn add_and_take(criterion: &mut Criterion) {
    for senders in [500, TRANSACTIONS] {
        let mut group = criterion.benchmark_group(format!("{senders} senders"));
        group.throughput(Throughput::Elements(TRANSACTIONS)).sample_size(10);
        let transactions = transactions(senders);
        group.bench_function("add 100k", |bencher| {
            bencher.iter_with_large_drop(|| filled(&transactions));
        });
        let pool = filled(&transactions);
        group.bench_function("take 100k in batches of 64", |bencher| {
            bencher.iter_batched(
                || pool.clone(),
                |mut pool| {
                    while !pool.take_best(64, u64::MAX, BASE_FEE).is_empty() {}
                    pool
                },
                BatchSize::LargeInput,
            );
        });
        let mut taken = pool.clone();
        while !taken.take_best(64, u64::MAX, BASE_FEE).is_empty() {}
        let nonce = TRANSACTIONS / senders;
        let accounts: Vec<(Address, AccountView)> = taken
            .content()
            .iter()
            .map(|content| (content.sender, AccountView { nonce, balance: U256::MAX >> 1 }))
            .collect();
        group.bench_function("decide 100k", |bencher| {
            bencher.iter_batched(
                || taken.clone(),
                |mut pool| {
                    pool.on_block(accounts.iter().copied(), BASE_FEE, 1);
                    pool
                },
                BatchSize::LargeInput,
            );
        });
        group.bench_function("change the base fee", |bencher| {
            let mut pool = pool.clone();
            let mut fee = BASE_FEE;
            bencher.iter(|| {
                fee = if fee == BASE_FEE { BASE_FEE / 8 * 9 } else { BASE_FEE };
                pool.on_block([], fee, 1)
            });
        });
        group.finish();
    }
}

criterion_group!(benches, add_and_take);
criterion_main!(benches);
