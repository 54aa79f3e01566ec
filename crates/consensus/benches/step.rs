//! Events a second through a group of cores, with signatures that cost one hash.

#![allow(missing_docs, reason = "criterion's macros make public items")]
#![allow(clippy::unwrap_used, reason = "the harness is shared with the tests")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

#[path = "../tests/it/fake.rs"]
mod fake;
#[path = "../tests/it/net.rs"]
mod net;

fn step(criterion: &mut Criterion) {
    for verifiers in [4, 10] {
        let mut group = criterion.benchmark_group("consensus/events");
        let mut probe = net::Net::new(verifiers, 1);
        probe.run_until(5_000);
        probe.check();
        assert_eq!(probe.core(0).status().slow, 0, "a calm run");
        group.throughput(Throughput::Elements(probe.events));
        group.bench_function(format!("n={verifiers}, 50 slots"), |bencher| {
            bencher.iter(|| {
                let mut net = net::Net::new(verifiers, 1);
                net.run_until(5_000);
                net.lowest()
            });
        });
        group.finish();
    }
}

criterion_group!(benches, step);
criterion_main!(benches);
