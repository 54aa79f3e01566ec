//! The RPC server's backend traits, on top of running seats.

mod chain;
mod executor;
mod pool;
mod scene;
mod shard;
mod signer;

use std::sync::Arc;

use anfs_consensus::ShardStatus;
use anfs_primitives::SeatIndex;
use anfs_rpc::{Backend, BackendError, DevnetControl, MonotonicClock, ShownBlock};
use metrics_exporter_prometheus::PrometheusHandle;
use parking_lot::RwLock;
use tokio::sync::broadcast;

use crate::chain::ChainView;
use crate::context::SeatContext;
use crate::error::NodeError;
use crate::feed::HeadFeed;
use crate::relay::{self, Extent};
use crate::seat::Seat;
use crate::transport::Transport;

pub(crate) use chain::proof_response;
pub(crate) use pool::recover;
pub(crate) use scene::{Scene, refusal};
pub(crate) use shard::describe_hold;
pub use signer::UnlockedAccounts;

/// Pending transactions that a slow subscriber may lag behind before it is dropped.
const PENDING_BUFFERED: usize = 8192;

/// Seats as the RPC server sees them: it reads from one at a time, which may change while it runs.
///
/// Subscribers notice nothing of a change: see `HeadFeed`.
#[derive(Debug)]
pub struct SeatBackend {
    served: RwLock<Arc<Served>>,
    feed: Arc<HeadFeed>,
    pending: broadcast::Sender<anfs_primitives::RecoveredTransaction>,
    metrics: PrometheusHandle,
}

/// The seat that is read from.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) context: Arc<SeatContext>,
    chain: Arc<ChainView>,
    status: Arc<RwLock<ShardStatus>>,
    transport: Hidden,
}

/// A transport, which need not be printable.
struct Hidden(Arc<dyn Transport>);

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Transport")
    }
}

impl Served {
    fn new(seat: &Seat) -> Self {
        seat.context().standing.set_serving(true);
        Self {
            context: seat.context().clone(),
            chain: seat.chain().clone(),
            status: seat.status_cell().clone(),
            transport: Hidden(seat.transport().clone()),
        }
    }
}

impl SeatBackend {
    /// A backend that reads from this seat.
    #[must_use]
    pub fn new(seat: &Seat, metrics: PrometheusHandle) -> Arc<Self> {
        let feed = Arc::new(HeadFeed::new(seat.chain()));
        seat.chain().attach(&feed);
        Arc::new(Self {
            served: RwLock::new(Arc::new(Served::new(seat))),
            feed,
            pending: broadcast::channel(PENDING_BUFFERED).0,
            metrics,
        })
    }

    /// What the RPC server takes: this backend, the accounts whose keys it holds, and the control of a
    /// development network.
    #[must_use]
    pub fn serve(
        self: &Arc<Self>,
        signer: Option<Arc<UnlockedAccounts>>,
        devnet: Option<Arc<dyn DevnetControl>>,
    ) -> Backend {
        Backend {
            chain: self.clone(),
            state: self.clone(),
            executor: self.clone(),
            pool: self.clone(),
            events: self.clone(),
            shard: self.clone(),
            probe: self.clone(),
            network: None,
            signer: signer.map(|signer| signer as Arc<dyn anfs_rpc::Signer>),
            devnet,
            clock: Arc::new(MonotonicClock::default()),
        }
    }

    /// Reads from another seat from now on; it answers for what clients were promised. Heads that the old
    /// seat had and this one has not are told once it has them, and none twice.
    pub fn read_from(&self, seat: &Seat) {
        let next = Arc::new(Served::new(seat));
        let old = std::mem::replace(&mut *self.served.write(), next.clone());
        if old.context.seat != next.context.seat {
            old.context.standing.set_serving(false);
        }
        old.chain.detach(&self.feed);
        next.chain.attach(&self.feed);
        // What it was handed by the old seat must outlive it as well.
        relay::hand_on_pool(&next.context, &next.transport.0, Extent::All);
        tracing::info!(from = %old.context.seat, to = %next.context.seat, "clients are served from another seat");
    }

    /// The seat that is read from.
    #[must_use]
    pub fn reads_from(&self) -> SeatIndex {
        self.seat().context.seat
    }

    /// Transactions in blocks that became visible since this backend exists.
    #[must_use]
    pub fn transactions(&self) -> u64 {
        self.feed.transactions()
    }

    /// The newest decided block of the seat that is read from.
    pub(crate) fn head(&self) -> anfs_primitives::Height {
        self.seat().chain.head().header.height
    }

    /// What the consensus core of that seat says of itself.
    #[must_use]
    pub fn status(&self) -> ShardStatus {
        self.seat().status.read().clone()
    }

    /// The chain of that seat.
    #[must_use]
    pub fn chain(&self) -> Arc<ChainView> {
        self.seat().chain.clone()
    }

    pub(crate) fn seat(&self) -> Arc<Served> {
        self.served.read().clone()
    }
}

impl anfs_rpc::Events for SeatBackend {
    fn blocks(&self) -> broadcast::Receiver<Arc<dyn ShownBlock>> {
        self.feed.subscribe()
    }

    fn pending_transactions(&self) -> broadcast::Receiver<anfs_primitives::RecoveredTransaction> {
        self.pending.subscribe()
    }
}

impl anfs_rpc::Probe for SeatBackend {
    fn ready(&self) -> Result<(), String> {
        let seat = self.seat();
        match seat.context.health.trouble() {
            Some(trouble) => Err(trouble),
            None if seat.context.health.stopping() => Err("the node is stopping".into()),
            None => Ok(()),
        }
    }

    fn metrics(&self) -> String {
        self.metrics.run_upkeep();
        self.metrics.render()
    }
}

/// A local fault, as a client sees it.
impl From<NodeError> for BackendError {
    fn from(error: NodeError) -> Self {
        tracing::error!(%error, "a request failed for a local reason");
        Self::Internal(error.to_string())
    }
}
