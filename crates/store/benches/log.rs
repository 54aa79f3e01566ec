//! What a block costs on its way to the disk, and how long a long log takes to open.

#[path = "../tests/it/chain.rs"]
mod chain;

use std::hint::black_box;

use alloy_primitives::B256;
use anfs_primitives::Height;
use anfs_state::StateDiff;
use anfs_store::Store;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};

use crate::chain::{chain, options, transaction_hash};

/// Blocks of the long log; with ten transactions of 150 bytes each takes about 3 kB.
const BLOCKS: u64 = 100_000;

fn filled(dir: &std::path::Path, flushed: u64) {
    let (store, _) = Store::open(options(dir)).expect("an empty folder opens");
    for record in chain(BLOCKS, 10, 150) {
        store.append_block(&record).expect("the block extends the log");
    }
    store.sync_blocks().expect("the disk works");
    let diff = StateDiff { nodes: Vec::new(), codes: Vec::new() };
    store.flush_state(Height(flushed), B256::ZERO, &diff).expect("the disk works");
}

fn writing(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (store, _) = Store::open(options(dir.path())).expect("an empty folder opens");
    let mut blocks = chain(200_000, 10, 150).into_iter();
    let mut next = move || blocks.next().expect("more blocks than a measurement takes");
    criterion.bench_function("append", |bencher| {
        bencher.iter_batched(&mut next, |block| store.append_block(&block), BatchSize::NumIterations(100));
    });
    store.sync_blocks().expect("the disk works");
    criterion.bench_function("append and fsync", |bencher| {
        let write = |block| {
            store.append_block(&block)?;
            store.sync_blocks()
        };
        bencher.iter_batched(&mut next, write, BatchSize::NumIterations(10));
    });
    let vote = vec![7; 200];
    criterion.bench_function("append and fsync ten votes", |bencher| {
        let votes = vec![vote.clone(); 10];
        bencher.iter(|| store.append_votes(&votes).and_then(|()| store.sync_votes()));
    });
}

fn reading(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    filled(dir.path(), BLOCKS - 16);
    let mut group = criterion.benchmark_group("100000 blocks");
    group.sample_size(10);
    group.bench_function("open", |bencher| bencher.iter(|| Store::open(options(dir.path()))));
    group.bench_function("open without indexes", |bencher| {
        let forget = || {
            for entry in std::fs::read_dir(dir.path().join("blocks")).expect("the folder is there") {
                let path = entry.expect("the folder is readable").path();
                if path.extension().is_some_and(|extension| extension == "idx") {
                    std::fs::remove_file(path).expect("the file is there");
                }
            }
        };
        bencher.iter_batched(forget, |()| Store::open(options(dir.path())), BatchSize::PerIteration);
    });
    let (store, _) = Store::open(options(dir.path())).expect("the folder is free");
    let mut height = 0;
    group.bench_function("read a block", |bencher| {
        bencher.iter(|| {
            height = (height + 7919) % BLOCKS;
            black_box(store.block_by_height(Height(height + 1)))
        });
    });
    let record = store.block_by_height(Height(500)).expect("the disk works").expect("it was appended");
    let hash = transaction_hash(&record, 3);
    group
        .bench_function("find a transaction", |bencher| bencher.iter(|| black_box(store.transaction(&hash))));
}

criterion_group!(benches, writing, reading);
criterion_main!(benches);
