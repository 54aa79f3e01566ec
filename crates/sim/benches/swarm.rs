//! How many events the simulator takes in a second, on one core.
//!
//! An event is an input of one seat: a message, an alarm, a block built or checked. In a calm run each is one
//! [`anfs_consensus::ShardCore::step`] of a production core, with all that the simulator does around it: the
//! queue, the network, the disks, signatures, the checkers and the trace hash.

use std::time::{Duration, Instant};

use anfs_sim::{Plan, World, swarm};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const ROUNDS: usize = 31;

/// One SG and ten SVs, 200 slots without any fault: long enough that setting the world up does not count.
fn calm() -> u64 {
    let report = World::new(Plan::calm(1, 10, 20_000)).run();
    assert!(report.passed() && report.counts.slow == 0, "a calm run");
    report.counts.events
}

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sim");
    group.sample_size(20);
    group.throughput(Throughput::Elements(calm()));
    group.bench_function("calm, 11 seats, 200 slots", |bencher| bencher.iter(calm));
    let swarm = || swarm::run(0..20);
    group.throughput(Throughput::Elements(swarm().counts.events));
    group.bench_function("20 seeds of the swarm", |bencher| bencher.iter(swarm));
    group.finish();
    rounds();
}

/// What this thread has had of a core, where the system tells (Linux).
fn cpu_time() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

/// Figures that other work on the machine touches little: the best round, and all rounds by CPU time.
fn rounds() {
    let million = |events: u64, time: Duration| events as f64 / time.as_secs_f64() / 1e6;
    let (begun, mut total, mut best) = (cpu_time(), 0, 0.0f64);
    for _ in 0..ROUNDS {
        let round = Instant::now();
        let events = calm();
        best = best.max(million(events, round.elapsed()));
        total += events;
    }
    println!("\ncalm, 11 seats: {best:.2} M events/s in the best of {ROUNDS} rounds");
    if let (Some(begun), Some(ended)) = (begun, cpu_time()) {
        println!("{:.2} M events a second of CPU time, {total} events", million(total, ended - begun));
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
