//! Counters of a seat, exported under Prometheus names.

use std::sync::atomic::{AtomicU64, Ordering};

use anfs_primitives::SeatIndex;
use metrics::{Counter, Gauge, counter, gauge};

use anfs_rpc::RpcBlock;

/// Counters of one seat.
#[derive(Clone)]
pub struct SeatMetrics {
    height: Gauge,
    transactions: Counter,
    gas_used: Counter,
    slice_hashes: Counter,
    slice_signatures: Counter,
    network_dropped: Gauge,
    evidence: Counter,
    offences: Counter,
    totals: std::sync::Arc<Totals>,
}

/// The same counts, readable in the process.
#[derive(Debug, Default)]
pub struct Totals {
    /// Decided transactions since start.
    pub transactions: AtomicU64,
    /// Hash-clock steps that this seat checked in slices.
    pub slice_hashes: AtomicU64,
    /// Signatures that this seat checked in slices.
    pub slice_signatures: AtomicU64,
}

impl std::fmt::Debug for SeatMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SeatMetrics").field("totals", &self.totals).finish_non_exhaustive()
    }
}

impl SeatMetrics {
    pub(crate) fn new(seat: SeatIndex) -> Self {
        let label = seat.to_string();
        Self {
            height: gauge!("anfs_shard_height", "seat" => label.clone()),
            transactions: counter!("anfs_shard_transactions_total", "seat" => label.clone()),
            gas_used: counter!("anfs_shard_gas_used_total", "seat" => label.clone()),
            slice_hashes: counter!("anfs_slice_hashes_checked_total", "seat" => label.clone()),
            slice_signatures: counter!("anfs_slice_signatures_checked_total", "seat" => label.clone()),
            network_dropped: gauge!("anfs_network_dropped_messages", "seat" => label.clone()),
            evidence: counter!("anfs_consensus_evidence_total", "seat" => label.clone()),
            offences: counter!("anfs_peer_offences_total", "seat" => label),
            totals: std::sync::Arc::default(),
        }
    }

    /// The counts so far.
    #[must_use]
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Decided transactions since start.
    #[must_use]
    pub fn transactions(&self) -> u64 {
        self.totals.transactions.load(Ordering::Relaxed)
    }

    pub(crate) fn committed(&self, block: &RpcBlock) {
        let transactions = block.transactions.len() as u64;
        #[expect(clippy::cast_precision_loss, reason = "gauges are floats; heights stay far below 2^53")]
        self.height.set(block.header.height.0 as f64);
        self.transactions.increment(transactions);
        self.gas_used.increment(block.header.gas_used);
        self.totals.transactions.fetch_add(transactions, Ordering::Relaxed);
    }

    pub(crate) fn slice_checked(&self, hashes: u64, signatures: usize) {
        let signatures = signatures as u64;
        self.slice_hashes.increment(hashes);
        self.slice_signatures.increment(signatures);
        self.totals.slice_hashes.fetch_add(hashes, Ordering::Relaxed);
        self.totals.slice_signatures.fetch_add(signatures, Ordering::Relaxed);
    }

    pub(crate) fn network_dropped(&self, messages: u64) {
        #[expect(clippy::cast_precision_loss, reason = "gauges are floats; an exact count is not needed")]
        self.network_dropped.set(messages as f64);
    }

    pub(crate) fn offence(&self) {
        self.offences.increment(1);
    }

    pub(crate) fn evidence(&self) {
        self.evidence.increment(1);
    }
}
