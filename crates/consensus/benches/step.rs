//! What one step of a core costs in a shard of eleven, with signatures that cost a few multiplications.
//!
//! What a seat is told in a calm run of the tests' group is recorded, then told again to a new core, alone: nothing
//! but [`anfs_consensus::ShardCore::step`] is measured.

#![allow(missing_docs, reason = "criterion's macros make public items")]
#![allow(clippy::unwrap_used, reason = "the harness is shared with the tests")]

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

#[path = "../tests/it/net.rs"]
mod net;

const VERIFIERS: u16 = 10;
const SLOTS: u64 = 200;

fn step(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("consensus/step");
    for (name, seat) in [("generator", 0), ("verifier", 3)] {
        let mut net = net::Net::new(VERIFIERS, 1);
        let newborn = || net::Net::new(VERIFIERS, 1).boot(seat);
        net.recorded = Some((seat, Vec::new()));
        net.run_until(SLOTS * net.config.slot_ms);
        net.check();
        let fast = net.core(0).status().fast;
        assert!(fast == net.height(0) && net.lowest() + 4 > SLOTS, "a calm run");
        let (_, inputs) = net.recorded.take().unwrap();
        group.throughput(Throughput::Elements(inputs.len() as u64));
        group.bench_function(format!("{name}, n = 11, {SLOTS} slots"), |bencher| {
            let told = || (newborn(), inputs.clone());
            let run = |(mut core, inputs): (anfs_consensus::ShardCore, Vec<_>)| {
                let mut effects = Vec::new();
                for (at, input) in inputs {
                    core.step(at, input, &mut effects).unwrap();
                    effects.clear();
                }
                core
            };
            bencher.iter_batched(told, run, BatchSize::LargeInput);
        });
    }
    group.finish();
}

criterion_group!(benches, step);
criterion_main!(benches);
