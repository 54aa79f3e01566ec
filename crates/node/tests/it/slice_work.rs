//! Slice work is divided: on the fast path each verifier checks the hashes and signatures of the slices that are
//! drawn for it, r of n_v, and of no other.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use alloy_primitives::Bytes;
use anfs_poh::{SIGNATURE_WEIGHT, slices_of};
use anfs_primitives::{BlockHash, Boundary, CertificateKind, ConsensusMessage, Entry, Height, View};

use crate::harness::Shard;

/// Longer than the tests wait for anything: no busy machine drives a block off the fast path, where everybody checks
/// everything.
const NEVER_MS: u64 = 600_000;
/// Hashes of a tick period: much against the signatures of one entry, so that the cuts can divide a slot well.
const PERIOD: u64 = 4_096;
/// Transactions that wait in the pool at one time, and hence of one entry at most.
const LOT: usize = 2;
const LOTS: usize = 100;

/// What was checked, or is to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Work {
    hashes: u64,
    signatures: u64,
}

impl Work {
    fn of(entries: &[Entry]) -> Self {
        Self {
            hashes: entries.iter().map(|entry| entry.num_hashes).sum(),
            signatures: entries.iter().map(|entry| entry.transactions.len() as u64).sum(),
        }
    }

    fn plus(self, other: Self) -> Self {
        Self { hashes: self.hashes + other.hashes, signatures: self.signatures + other.signatures }
    }

    fn times(self, factor: u64) -> Self {
        Self { hashes: self.hashes * factor, signatures: self.signatures * factor }
    }

    /// In the unit by which slots are cut.
    fn cost(self) -> u64 {
        self.hashes + SIGNATURE_WEIGHT * self.signatures
    }
}

/// What this seat has counted since it started.
fn counted(shard: &Shard, seat: u16) -> Work {
    let totals = shard.seat(seat).metrics().totals();
    Work {
        hashes: totals.slice_hashes.load(Ordering::Relaxed),
        signatures: totals.slice_signatures.load(Ordering::Relaxed),
    }
}

/// What the generator has said, and up to which height it is heard.
#[derive(Default)]
struct Said {
    highest: Height,
    last: Option<Height>,
    transactions: BTreeSet<Bytes>,
}

/// Lets the generator be heard up to a height that is named later.
#[derive(Clone, Default)]
struct Gate(Arc<Mutex<Said>>);

impl Gate {
    fn install(&self, shard: &Shard) {
        let gate = self.clone();
        shard.wire.forge(Box::new(move |message| {
            let height = match &message {
                ConsensusMessage::Fragment(fragment) => fragment.height,
                ConsensusMessage::Proposal(proposal) => proposal.header.height,
                _ => return message,
            };
            let mut said = gate.0.lock().unwrap();
            if said.last.is_some_and(|last| height > last) {
                // Harmless: nobody has this block.
                return ConsensusMessage::ProposalRequest { block: BlockHash::ZERO };
            }
            said.highest = said.highest.max(height);
            if let ConsensusMessage::Fragment(fragment) = &message {
                let transactions = fragment.entries.iter().flat_map(|entry| &entry.transactions);
                said.transactions.extend(transactions.map(|transaction| transaction.encoded.clone()));
            }
            message
        }));
    }

    /// Different transactions that the generator has streamed.
    fn transactions(&self) -> usize {
        self.0.lock().unwrap().transactions.len()
    }

    /// No block above those that are on their way now: the last one.
    fn close(&self) -> Height {
        let mut said = self.0.lock().unwrap();
        let highest = said.highest;
        *said.last.insert(highest)
    }
}

/// A shard that has decided some blocks with transactions, all of them fast, and is offered no more; how many.
fn run(verifiers: u16) -> (Shard, u64) {
    let mut shard = Shard::stopped(verifiers, None);
    let spec = Arc::make_mut(&mut shard.spec);
    spec.fast_timeout_ms = NEVER_MS;
    spec.view_timeout_ms = 2 * NEVER_MS;
    spec.hashes_per_slot = spec.ticks_per_slot * PERIOD;
    let gate = Gate::default();
    gate.install(&shard);
    shard.start_all();
    let backend = shard.backend(0);
    for lot in 1..=LOTS {
        shard.submit_to(&backend, LOT, 0);
        shard.wait(0, "the transactions in fragments", |_| gate.transactions() == lot * LOT);
    }
    let last = gate.close().0;
    // A FastCert holds the verdict of every verifier, and a verdict comes after its work was counted.
    shard.wait_height(1, last);
    for height in 1..=last {
        let certificate = shard.block(1, height).certificate.clone().unwrap();
        assert_eq!((certificate.kind, certificate.target.view), (CertificateKind::Fast, View::ZERO));
    }
    (shard, last)
}

fn check(verifiers: u16, redundancy: u16) {
    let (shard, last) = run(verifiers);
    assert_eq!(shard.spec.slice_redundancy, redundancy);
    let backend = shard.backend(1);
    let mut whole = Work::default();
    let mut drawn = vec![Work::default(); usize::from(verifiers)];
    for height in (1..=last).map(Height) {
        let entries = backend.shard.sequence(height).unwrap().unwrap().entries;
        let checkers = backend.shard.slice_checkers(height).unwrap().unwrap();
        let cuts = shard.block(1, height.0).header.boundaries.clone();
        let slice = |index: usize| {
            let place = |cut: &Boundary| cut.entry as usize;
            Work::of(&entries[place(&cuts[index])..place(&cuts[index + 1])])
        };
        assert!(entries.iter().all(|entry| entry.transactions.len() <= LOT));
        whole = whole.plus(Work::of(&entries));
        for (verifier, drawn) in drawn.iter_mut().enumerate() {
            let slices = slices_of(&checkers, verifier);
            assert_eq!(slices.len(), usize::from(redundancy));
            *drawn = slices.iter().map(slice).fold(*drawn, Work::plus);
        }
    }
    let expected = Work { hashes: last * shard.spec.hashes_per_slot, signatures: (LOTS * LOT) as u64 };
    assert_eq!(whole, expected, "every block holds a slot's hashes");

    let done: Vec<Work> = (1..=verifiers).map(|seat| counted(&shard, seat)).collect();
    assert_eq!(done, drawn, "each verifier checks what is drawn for it, and nothing else");
    let sum = done.iter().copied().fold(Work::default(), Work::plus);
    assert_eq!(sum, whole.times(redundancy.into()), "each slice has r checkers");
    assert_eq!(counted(&shard, 0), Work::default(), "the generator checks nothing");

    // A slice is off the even share of its slot by one link at most, so r slices a block by r links.
    let slack = last * u64::from(redundancy) * (PERIOD + SIGNATURE_WEIGHT * LOT as u64);
    let (n, r) = (u64::from(verifiers), u64::from(redundancy));
    assert!(n * slack < r * whole.cost(), "the bound says something");
    for (seat, work) in (1u16..).zip(&done) {
        let off = (n * work.cost()).abs_diff(r * whole.cost());
        assert!(off <= n * slack, "seat {seat} checked {work:?} of {whole:?} in {last} blocks");
    }
    let percent = |part: u64, of: u64| part as f64 * 100.0 / of as f64;
    for (seat, work) in (1u16..).zip(&done) {
        println!(
            "{n} verifiers, r = {r}, {last} blocks: seat {seat} checked {:.1} % of the hashes and {:.1} % of the signatures",
            percent(work.hashes, whole.hashes),
            percent(work.signatures, whole.signatures),
        );
    }
}

#[test]
fn each_of_four_verifiers_checks_half_of_a_block() {
    check(4, 2);
}

#[test]
fn each_of_ten_verifiers_checks_four_tenths_of_a_block() {
    check(10, 4);
}
