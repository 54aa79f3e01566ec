//! The hash clock against its bars, each ratio out of one run on one core:
//! recording at least 0.9 × tape-sha256's chain, checking at least 3.5 × generation where there is AVX-512. Without
//! it the SHA extensions set the ceiling: 2.75 × on Zen 3 if no register were ever moved, 2.2 × as compiled.
//!
//! The ratios come from rounds that interleave all variants and are short against a time slice, so that the figure of
//! a variant, its median round, is that of an undisturbed one even on a loaded machine.

use std::hint::black_box;
use std::time::{Duration, Instant};

use alloy_primitives::B256;
use anfs_poh::{HashClock, Kernel, Link, check_links_with};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const HASHES: u64 = 1 << 15;
const TICKS: u64 = 64;
const ROUNDS: usize = 301;

fn start() -> B256 {
    B256::repeat_byte(0xa5)
}

fn ticking() -> Vec<Link> {
    HashClock::new(start(), HASHES, TICKS).finish()
}

/// A slot that records every `gap` hashes or so, in lengths that differ.
fn recording(gap: u64) -> Vec<Link> {
    let mut clock = HashClock::new(start(), HASHES, TICKS);
    let mut links = Vec::new();
    let mut uneven = 0u64;
    while clock.remaining() > 0 {
        uneven = (uneven * 5 + 3) % 8;
        links.extend(clock.tick_to(clock.position() + gap / 2 + gap * uneven / 8));
        links.extend(clock.record(B256::repeat_byte(0x3c)));
        links.extend(clock.tick_to(clock.position() + 1));
    }
    links
}

fn tape_chain() {
    black_box(tape_sha256::hash_chain(black_box(&start().0), HASHES));
}

fn generate() {
    black_box(HashClock::new(black_box(start()), HASHES, TICKS).finish());
}

fn check(kernel: Kernel, links: &[Link]) {
    assert_eq!(check_links_with(kernel, black_box(start()), black_box(links)), Ok(()));
}

fn supported() -> impl Iterator<Item = Kernel> {
    Kernel::ALL.into_iter().filter(|kernel| kernel.is_supported())
}

fn benches(criterion: &mut Criterion) {
    let ticks = ticking();
    let records = recording(64);
    let mut group = criterion.benchmark_group("poh");
    group.throughput(Throughput::Elements(HASHES)).sample_size(20).measurement_time(Duration::from_secs(2));
    group.bench_function("generate/tape-sha256", |bencher| bencher.iter(tape_chain));
    group.bench_function("generate/clock", |bencher| bencher.iter(generate));
    group.bench_function("generate/clock recording", |bencher| bencher.iter(|| recording(black_box(64))));
    for kernel in supported() {
        let name = format!("{kernel:?}");
        group.bench_function(BenchmarkId::new("check/ticks", &name), |bencher| {
            bencher.iter(|| check(kernel, &ticks));
        });
        group.bench_function(BenchmarkId::new("check/records", &name), |bencher| {
            bencher.iter(|| check(kernel, &records));
        });
    }
    group.finish();
    ratios(&ticks, &records);
}

fn median(mut rounds: Vec<Duration>) -> Duration {
    rounds.sort_unstable();
    rounds[rounds.len() / 2]
}

fn ratios(ticks: &[Link], records: &[Link]) {
    let mut variants: Vec<(String, Box<dyn Fn() + '_>)> = vec![
        ("generate, tape-sha256".to_owned(), Box::new(tape_chain)),
        ("generate, clock".to_owned(), Box::new(generate)),
        ("generate, recording".to_owned(), Box::new(|| drop(black_box(recording(64))))),
    ];
    for kernel in supported() {
        variants.push((format!("check ticks, {kernel:?}"), Box::new(move || check(kernel, ticks))));
        variants.push((format!("check records, {kernel:?}"), Box::new(move || check(kernel, records))));
    }
    let mut times = vec![Vec::new(); variants.len()];
    for _ in 0..ROUNDS {
        for ((_, run), times) in variants.iter().zip(&mut times) {
            let begun = Instant::now();
            run();
            times.push(begun.elapsed());
        }
    }
    let times: Vec<f64> = times.into_iter().map(|rounds| median(rounds).as_secs_f64()).collect();
    println!("\n{HASHES} hashes, {} ticks; {} links when recording", ticks.len(), records.len());
    println!("{:<24} {:>8} {:>14} {:>16}", "variant", "ns/hash", "× tape-sha256", "× clock");
    for ((name, _), time) in variants.iter().zip(&times) {
        let per_hash = time * 1e9 / HASHES as f64;
        println!("{name:<24} {per_hash:>8.2} {:>14.2} {:>16.2}", times[0] / time, times[1] / time);
    }
}

criterion_group!(poh, benches);
criterion_main!(poh);
