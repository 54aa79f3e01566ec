//! What a slot costs its verifiers: all of it for one alone, against what each of ten has to check on the fast path,
//! r = f + 1 = 4 of ten slices. spec: PROTOCOL §4 R1
//!
//! The slot is that of a main network: 400 ms of a clock of 30 MH/s, and 4 000 transfers in 100 records. The work is what
//! a worker does for its slices: the hash clock of each, then the signatures of all in one batch, their senders known.
//! All on one core.

#![allow(missing_docs, reason = "criterion's macros generate undocumented functions")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use alloy_consensus::crypto::secp256k1::sign_message;
use alloy_consensus::{EthereumTxEnvelope, SignableTransaction, TxEip4844, TxLegacy};
use alloy_primitives::{B256, U256};
use anfs_crypto::ecdsa::{Signer, recover, verify_batch};
use anfs_poh::{HashClock, Link, LinkCost, assign_slices, boundaries, check_links, slices_of};
use anfs_primitives::{Boundary, SignedTransaction, SignerSet};
use criterion::{Criterion, criterion_group, criterion_main};

const HASHES: u64 = 12_000_000;
/// Ticks and records take turns: a batch of transactions every 4 ms.
const TICKS: u64 = 100;
const TRANSFERS: u64 = 4_000;
const SENDERS: u64 = 500;
const VERIFIERS: usize = 10;
const REDUNDANCY: usize = 4;
const ROUNDS: usize = 3;
const ENTROPY: [u8; 32] = [9; 32];

/// A closed slot, its transactions in order, and where each link's begin.
struct Slot {
    start: B256,
    links: Vec<Link>,
    costs: Vec<LinkCost>,
    transactions: Vec<(SignedTransaction, Signer)>,
    offsets: Vec<usize>,
}

fn transfer(number: u64) -> (SignedTransaction, Signer) {
    let tx =
        TxLegacy { chain_id: Some(1), nonce: number / SENDERS, gas_limit: 21_000, ..TxLegacy::default() };
    let secret = B256::from(U256::from(number % SENDERS + 1));
    let signature = sign_message(secret, tx.signature_hash()).expect("a small number is a key");
    let envelope = EthereumTxEnvelope::<TxEip4844>::from(tx.into_signed(signature));
    let signed = SignedTransaction::from_envelope(&envelope).expect("it was made just now");
    let signer = recover(&signed).expect("it was signed");
    (signed, signer)
}

impl Slot {
    fn record() -> Self {
        let start = B256::repeat_byte(0xa5);
        let (period, batch) = (HASHES / TICKS, usize::try_from(TRANSFERS / TICKS).expect("a small number"));
        let mut clock = HashClock::new(start, HASHES, TICKS);
        let (mut links, mut counts) = (Vec::new(), Vec::new());
        for tick in 0..TICKS {
            assert!(clock.tick_to(tick * period + period / 2).is_empty(), "the tick is yet to come");
            links.extend(clock.record(B256::repeat_byte(0x3c)));
            links.extend(clock.tick_to((tick + 1) * period));
            counts.extend([batch, 0]);
        }
        assert_eq!(links.len(), counts.len());
        let costs = links
            .iter()
            .zip(&counts)
            .map(|(link, count)| LinkCost::of_link(link, u32::try_from(*count).expect("a batch is small")));
        let before = counts.iter().scan(0, |before, count| Some(std::mem::replace(before, *before + count)));
        Self {
            start,
            costs: costs.collect(),
            offsets: before.chain([counts.iter().sum()]).collect(),
            transactions: (0..TRANSFERS).map(transfer).collect(),
            links,
        }
    }

    fn cut(&self, slices: usize) -> Vec<Boundary> {
        boundaries(self.start, &self.costs, slices)
    }

    /// Checks some slices; hashes and signatures checked.
    fn check(&self, cuts: &[Boundary], slices: SignerSet) -> (u64, usize) {
        let (mut hashes, mut claims) = (0, Vec::new());
        for slice in slices.iter() {
            let [left, right] = [cuts[slice], cuts[slice + 1]];
            let (first, end) = (left.entry as usize, right.entry as usize);
            let links = &self.links[first..end];
            assert_eq!(check_links(left.hash, black_box(links)), Ok(()));
            hashes += links.iter().map(|link| link.num_hashes).sum::<u64>();
            let here = &self.transactions[self.offsets[first]..self.offsets[end]];
            claims.extend(here.iter().map(|(transaction, signer)| (transaction, signer)));
        }
        claims.sort_by_key(|(_, signer)| signer.address());
        assert!(verify_batch(black_box(&claims), &ENTROPY));
        (hashes, claims.len())
    }
}

fn benches(criterion: &mut Criterion) {
    let slot = Slot::record();
    let (whole, cuts) = (slot.cut(1), slot.cut(VERIFIERS));
    let everything: SignerSet = [0].into_iter().collect();
    let drawn = assign_slices(&B256::repeat_byte(7), &B256::ZERO, VERIFIERS, REDUNDANCY);
    let shares: Vec<SignerSet> = (0..VERIFIERS).map(|verifier| slices_of(&drawn, verifier)).collect();
    let mut group = criterion.benchmark_group("slot");
    group.sample_size(10);
    group.bench_function("whole, 1 verifier", |bencher| bencher.iter(|| slot.check(&whole, everything)));
    let name = format!("share of 1 of {VERIFIERS}");
    group.bench_function(name, |bencher| bencher.iter(|| slot.check(&cuts, shares[0])));
    group.finish();
    let alone: Job<'_> = (&whole, everything);
    let jobs: Vec<Job<'_>> =
        [alone].into_iter().chain(shares.iter().map(|share| (&cuts[..], *share))).collect();
    ratios(&slot, &jobs);
}

/// Cuts of the slot, and which slices to check.
type Job<'a> = (&'a [Boundary], SignerSet);

/// The whole, which comes first, and every share in turn, so that other work on the machine slows all alike.
fn ratios(slot: &Slot, jobs: &[Job<'_>]) {
    let mut times = vec![Vec::new(); jobs.len()];
    let mut work = vec![(0, 0); jobs.len()];
    for _ in 0..ROUNDS {
        for (job, (cuts, slices)) in jobs.iter().enumerate() {
            let begun = Instant::now();
            work[job] = slot.check(cuts, *slices);
            times[job].push(begun.elapsed());
        }
    }
    let best: Vec<Duration> = times.iter().map(|rounds| *rounds.iter().min().expect("rounds")).collect();
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    println!("\n{:<12} {:>12} {:>12} {:>10} {:>10}", "verifier", "hashes", "signatures", "ms", "whole ÷");
    for (job, ((hashes, signatures), time)) in work.iter().zip(&best).enumerate() {
        let name = if job == 0 { "alone".to_owned() } else { format!("{job} of {VERIFIERS}") };
        println!(
            "{name:<12} {hashes:>12} {signatures:>12} {:>10.1} {:>10.2}",
            ms(*time),
            ms(best[0]) / ms(*time)
        );
    }
    let sum = |field: fn(&(u64, usize)) -> u64| work[1..].iter().map(field).sum::<u64>();
    let mean = best[1..].iter().sum::<Duration>() / u32::try_from(VERIFIERS).expect("few");
    println!(
        "all shares: {} hashes and {} signatures, {:.1} ms in the mean, {:.2} × faster than alone",
        sum(|(hashes, _)| *hashes),
        sum(|(_, signatures)| *signatures as u64),
        ms(mean),
        ms(best[0]) / ms(mean),
    );
}

criterion_group!(slot, benches);
criterion_main!(slot);
