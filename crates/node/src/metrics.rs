//! Counters of a seat, exported under Prometheus names.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anfs_consensus::{Evidence, ShardStatus};
use anfs_primitives::RootSeat;
use anfs_rpc::RpcBlock;
use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};

use crate::views::{self, KINDS};

/// Counters of one seat.
#[derive(Clone)]
pub struct SeatMetrics {
    height: Gauge,
    view: Gauge,
    acting: Gauge,
    held: Gauge,
    views_changed: Counter,
    convictions: Counter,
    certified_lag: Gauge,
    fast: Counter,
    slow: Counter,
    synced: Counter,
    transactions: Counter,
    gas_used: Counter,
    slice_hashes: Counter,
    slice_signatures: Counter,
    network_dropped: Counter,
    evidence: [Counter; KINDS.len()],
    offences: Counter,
    totals: Arc<Totals>,
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
    /// Counters labelled with a seat of the only shard, or else with its shard too.
    pub(crate) fn new(seat: RootSeat, alone: bool) -> Self {
        describe();
        let label = if alone { seat.seat.to_string() } else { seat.to_string() };
        let blocks =
            |path: &'static str| counter!("anfs_shard_blocks_total", "seat" => label.clone(), "path" => path);
        Self {
            height: gauge!("anfs_shard_height", "seat" => label.clone()),
            view: gauge!("anfs_shard_view", "seat" => label.clone()),
            acting: gauge!("anfs_shard_acting", "seat" => label.clone()),
            held: gauge!("anfs_shard_held", "seat" => label.clone()),
            views_changed: counter!("anfs_shard_views_changed_total", "seat" => label.clone()),
            convictions: counter!("anfs_shard_convictions_total", "seat" => label.clone()),
            certified_lag: gauge!("anfs_shard_certified_lag", "seat" => label.clone()),
            fast: blocks("fast"),
            slow: blocks("slow"),
            synced: blocks("synced"),
            transactions: counter!("anfs_shard_transactions_total", "seat" => label.clone()),
            gas_used: counter!("anfs_shard_gas_used_total", "seat" => label.clone()),
            slice_hashes: counter!("anfs_slice_hashes_checked_total", "seat" => label.clone()),
            slice_signatures: counter!("anfs_slice_signatures_checked_total", "seat" => label.clone()),
            network_dropped: counter!("anfs_network_dropped_messages_total", "seat" => label.clone()),
            evidence: KINDS.map(
                |kind| counter!("anfs_consensus_evidence_total", "seat" => label.clone(), "kind" => kind),
            ),
            offences: counter!("anfs_peer_offences_total", "seat" => label),
            totals: Arc::default(),
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
        self.height.set(float(block.header.height.0));
        self.transactions.increment(transactions);
        self.gas_used.increment(block.header.gas_used);
        self.totals.transactions.fetch_add(transactions, Ordering::Relaxed);
    }

    pub(crate) fn shard(&self, status: &ShardStatus) {
        self.view.set(float(status.view.0));
        self.acting.set(if status.seat == Some(status.acting) && status.view_open { 1.0 } else { 0.0 });
        self.held.set(if status.hold.is_some() { 1.0 } else { 0.0 });
        self.views_changed.absolute(status.views_changed);
        self.convictions.absolute(status.convictions);
        let known = status.seen.max(status.proposed);
        self.certified_lag.set(float(known.0.saturating_sub(status.certified.0)));
        self.fast.absolute(status.fast);
        self.slow.absolute(status.slow);
        self.synced.absolute(status.synced);
    }

    pub(crate) fn slice_checked(&self, hashes: u64, signatures: usize) {
        let signatures = signatures as u64;
        self.slice_hashes.increment(hashes);
        self.slice_signatures.increment(signatures);
        self.totals.slice_hashes.fetch_add(hashes, Ordering::Relaxed);
        self.totals.slice_signatures.fetch_add(signatures, Ordering::Relaxed);
    }

    pub(crate) fn network_dropped(&self, messages: u64) {
        self.network_dropped.absolute(messages);
    }

    pub(crate) fn offence(&self) {
        self.offences.increment(1);
    }

    pub(crate) fn evidence(&self, evidence: &Evidence) {
        self.evidence[views::kind(evidence)].increment(1);
    }
}

/// Gauges are floats; heights and views stay far below 2^53.
#[expect(clippy::cast_precision_loss, reason = "exact below 2^53")]
fn float(value: u64) -> f64 {
    value as f64
}

/// What the names mean, for whoever reads the export.
fn describe() {
    describe_gauge!("anfs_shard_height", "Newest decided block that is on this seat's disk.");
    describe_gauge!("anfs_shard_view", "View that the shard is in, as this seat knows it.");
    describe_gauge!("anfs_shard_acting", "1 while this seat acts as sequence generator.");
    describe_gauge!(
        "anfs_shard_held",
        "1 while this seat signs nothing: its signing record is lost, given away or behind, or its key is used elsewhere."
    );
    describe_counter!("anfs_shard_views_changed_total", "Views that this seat entered since start.");
    describe_counter!(
        "anfs_shard_convictions_total",
        "Blocks that a quorum found invalid since start, as this seat saw it."
    );
    describe_gauge!(
        "anfs_shard_certified_lag",
        "Blocks that are proposed or claimed by others above the newest one decided here."
    );
    describe_counter!(
        "anfs_shard_blocks_total",
        "Blocks decided since start: by all verdicts in one round (fast), by prepare and commit (slow), or fetched (synced)."
    );
    describe_counter!("anfs_shard_transactions_total", "Decided transactions since start.");
    describe_counter!("anfs_shard_gas_used_total", "Gas of decided transactions since start.");
    describe_counter!("anfs_slice_hashes_checked_total", "Steps of the hash clock that this seat checked.");
    describe_counter!(
        "anfs_slice_signatures_checked_total",
        "Transaction signatures that this seat checked."
    );
    describe_counter!(
        "anfs_network_dropped_messages_total",
        "Messages of other seats dropped because too many waited."
    );
    describe_counter!("anfs_consensus_evidence_total", "Proofs of misbehaviour found, by kind.");
    describe_counter!(
        "anfs_peer_offences_total",
        "Breaches of the protocol by peers that prove nothing to others."
    );
}
