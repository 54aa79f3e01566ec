//! State root and reads at a million accounts.
//!
//! Times are CPU times of the thread, so that other load on the machine doesn't show.
//!
//! Bars: 10^4 changed of 10^6 accounts in at most 45 ms; at most 250 bytes an account.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Duration;

use alloy_primitives::{Address, B256, U256, keccak256};
use anfs_state::{
    AccountChange, AccountInfo, AccountTrie, StateChanges, StateError, StateRead, WorldState, ordered_root,
};
use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{BatchSize, BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};

/// The allocator of the `anfs` command.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ACCOUNTS: u64 = 1_000_000;
const DIRTY: u64 = 10_000;

/// Time that the thread ran, in nanoseconds.
struct CpuTime;

fn cpu_time() -> u64 {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    statistics.split(' ').next().and_then(|run| run.parse().ok()).unwrap_or(0)
}

impl Measurement for CpuTime {
    type Intermediate = u64;
    type Value = Duration;

    fn start(&self) -> u64 {
        cpu_time()
    }

    fn end(&self, start: u64) -> Duration {
        Duration::from_nanos(cpu_time() - start)
    }

    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        *a + *b
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        WallTime.to_f64(value)
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

fn address(i: u64) -> Address {
    Address::from_word(keccak256(i.to_be_bytes()))
}

/// A number below `ACCOUNTS`, spread by a multiplicative hash.
fn pick(round: u64, i: u64) -> u64 {
    (round * DIRTY + i).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 24
}

fn account(nonce: u64) -> AccountChange {
    let info = AccountInfo { nonce, balance: U256::from(nonce + 1) << 60, ..Default::default() };
    AccountChange { info: Some(info), ..Default::default() }
}

fn block(round: u64) -> StateChanges {
    let accounts = (0..DIRTY).map(|i| (address(pick(round, i) % ACCOUNTS), account(round + 1)));
    StateChanges { accounts: accounts.collect(), codes: BTreeMap::new() }
}

/// Resident memory of this process in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    status.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}

fn million() -> WorldState {
    let all: StateChanges = StateChanges {
        accounts: (0..ACCOUNTS).map(|i| (address(i), account(i % 100))).collect(),
        codes: BTreeMap::new(),
    };
    let before = resident();
    let state = WorldState::empty().apply(&all).expect("nothing is read");
    println!("memory per account: {} bytes", (resident() - before) / ACCOUNTS);
    state
}

/// An account trie beside a state: what a node does whose clients see several shards as one chain.
fn gathered(group: &mut BenchmarkGroup<'_, CpuTime>, state: &WorldState) {
    let all = state.leaves_since(&WorldState::empty()).expect("nothing is read");
    let trie = AccountTrie::default().apply(&all);
    drop(all);
    let next = state.apply(&block(1)).expect("nothing is read");
    group.throughput(Throughput::Elements(DIRTY));
    group.bench_function("accounts/follow_10k_of_1m", |b| {
        b.iter(|| black_box(trie.apply(&next.leaves_since(state).expect("nothing is read")).root()));
    });
    group.throughput(Throughput::Elements(ACCOUNTS));
    group.bench_function("accounts/gather_1m", |b| {
        b.iter(|| {
            let mut leaves = BTreeMap::new();
            state
                .each_leaf::<StateError>(|key, leaf| {
                    leaves.insert(*key, Some(leaf));
                    Ok(())
                })
                .expect("nothing is read");
            black_box(AccountTrie::default().apply(&leaves).root())
        });
    });
    group.throughput(Throughput::Elements(1));
}

fn root(c: &mut Criterion<CpuTime>) {
    let state = million();
    let mut group = c.benchmark_group("state");
    group.sample_size(20);

    let changed =
        (1..4).fold(state.clone(), |state, round| state.apply(&block(round)).expect("nothing is read"));
    group.throughput(Throughput::Elements(1));
    group.bench_function("diff_since/3_blocks_of_10k", |b| {
        b.iter(|| changed.diff_since(&state).expect("nothing is read"));
    });
    gathered(&mut group, &state);

    let addresses: Vec<_> = (0..1 << 16).map(|i| address(pick(7, i) % ACCOUNTS)).collect();
    let mut next = 0;
    group.bench_function("account/1m", |b| {
        b.iter(|| {
            next = (next + 1) % addresses.len();
            black_box(state.account(&addresses[next]).expect("nothing is read"))
        });
    });
    group.bench_function("prove/1m", |b| {
        b.iter(|| {
            next = (next + 1) % addresses.len();
            black_box(state.prove(&addresses[next], &[]).expect("nothing is read"))
        });
    });

    let storage = (0..100_000u64).map(|i| (B256::from(U256::from(i)), U256::from(i + 1))).collect();
    let token = AccountChange { storage, ..account(1) };
    let changes =
        |change| StateChanges { accounts: BTreeMap::from([(address(0), change)]), codes: BTreeMap::new() };
    let contract = state.apply(&changes(token)).expect("nothing is read");
    let mut round = 0;
    group.throughput(Throughput::Elements(DIRTY));
    group.bench_function("storage/10k_of_100k", |b| {
        b.iter_batched(
            || {
                round += 1;
                let slots =
                    (0..DIRTY).map(|i| (B256::from(U256::from(i * 10)), U256::from(i + round * 1000)));
                changes(AccountChange { storage: slots.collect(), ..account(1) })
            },
            |changes| contract.apply(&changes).expect("nothing is read"),
            BatchSize::PerIteration,
        );
    });
    drop(contract);
    drop(changed);

    // Each block on top of the last, which is given up: what a node does.
    let (mut head, mut round) = (state, 0);
    group.throughput(Throughput::Elements(DIRTY));
    group.bench_function("root/10k_of_1m", |b| {
        b.iter_batched(
            || {
                round += 1;
                block(round)
            },
            |changes| head = head.apply(&changes).expect("nothing is read"),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn lists(c: &mut Criterion<CpuTime>) {
    let transaction = |i: u64| [keccak256(i.to_be_bytes()).0; 4].as_flattened()[..110].to_vec();
    let transactions: Vec<_> = (0..5000).map(transaction).collect();
    let mut group = c.benchmark_group("state");
    group.throughput(Throughput::Elements(5000));
    group.bench_function("ordered_root/5000_of_110_bytes", |b| {
        b.iter(|| ordered_root(black_box(&transactions)));
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(CpuTime);
    targets = lists, root
}
criterion_main!(benches);
