//! How many inputs of production cores the simulator takes in a second, on one core.

use anfs_sim::{Plan, World, swarm};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// A calm shard of 11 seats, and a mix of seeds as the swarm draws them.
fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sim");
    group.sample_size(20);
    let calm = || World::new(Plan::calm(1, 10, 10_000)).run();
    group.throughput(Throughput::Elements(calm().events));
    group.bench_function("calm, 11 seats, 100 slots", |bencher| bencher.iter(calm));
    let swarm = || swarm::run(0..20);
    group.throughput(Throughput::Elements(swarm().events));
    group.bench_function("20 seeds of the swarm", |bencher| bencher.iter(swarm));
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
