//! The RPC server's backend traits, on top of a running seat.

mod chain;
mod executor;
mod pool;
mod shard;
mod signer;

use std::sync::Arc;

use anfs_consensus::ShardStatus;
use anfs_rpc::{Backend, BackendError, MonotonicClock, RpcBlock};
use metrics_exporter_prometheus::PrometheusHandle;
use parking_lot::RwLock;
use tokio::sync::broadcast;

use crate::chain::ChainView;
use crate::context::SeatContext;
use crate::error::NodeError;
use crate::seat::Seat;

pub use signer::UnlockedAccounts;

/// Pending transactions that a slow subscriber may lag behind before it is dropped.
const PENDING_BUFFERED: usize = 8192;

/// A seat as the RPC server sees it.
#[derive(Debug)]
pub struct SeatBackend {
    context: Arc<SeatContext>,
    chain: Arc<ChainView>,
    status: Arc<RwLock<ShardStatus>>,
    pending: broadcast::Sender<anfs_primitives::RecoveredTransaction>,
    metrics: PrometheusHandle,
}

impl SeatBackend {
    /// The backend of a running seat, with the accounts whose keys it holds.
    #[must_use]
    pub fn of(seat: &Seat, metrics: PrometheusHandle, signer: Option<Arc<UnlockedAccounts>>) -> Backend {
        let backend = Arc::new(Self {
            context: seat.context().clone(),
            chain: seat.chain().clone(),
            status: seat.status_cell().clone(),
            pending: broadcast::channel(PENDING_BUFFERED).0,
            metrics,
        });
        Backend {
            chain: backend.clone(),
            state: backend.clone(),
            executor: backend.clone(),
            pool: backend.clone(),
            events: backend.clone(),
            shard: backend.clone(),
            probe: backend,
            signer: signer.map(|signer| signer as Arc<dyn anfs_rpc::Signer>),
            clock: Arc::new(MonotonicClock::default()),
        }
    }
}

impl anfs_rpc::Events for SeatBackend {
    fn blocks(&self) -> broadcast::Receiver<Arc<RpcBlock>> {
        self.chain.subscribe()
    }

    fn pending_transactions(&self) -> broadcast::Receiver<anfs_primitives::RecoveredTransaction> {
        self.pending.subscribe()
    }
}

impl anfs_rpc::Probe for SeatBackend {
    fn ready(&self) -> Result<(), String> {
        match self.context.health.trouble() {
            Some(trouble) => Err(trouble),
            None if self.context.health.stopping() => Err("the node is stopping".into()),
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
