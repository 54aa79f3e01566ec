//! The RPC server's backend traits over the whole network.

use std::sync::Arc;

use alloy_primitives::B256;
use alloy_rpc_types_eth::SyncInfo;
use anfs_primitives::{BlockBody, BlockHash, DomainId, DomainMap, Height, SignerSet};
use anfs_rpc::{
    Backend, BackendError, BlockSummary, ChainReader, Events, Executor, MonotonicClock, NodeStatus, Probe,
    SequenceProof, ShardInfo, ShownBlock, StateReader, ViewStatus,
};
use tokio::sync::broadcast;

use super::pending::PendingFeed;
use super::view::NetworkView;

/// The network as the RPC server sees it: blocks from the [`NetworkView`], everything else from the shards.
#[derive(Debug)]
pub struct NetworkBackend {
    pub(super) view: Arc<NetworkView>,
    pub(super) shards: Vec<Backend>,
    /// The root first.
    domains: Vec<DomainBackend>,
    pub(super) map: DomainMap,
    pending: PendingFeed,
}

/// What serves the blocks and the accounts of one domain.
#[derive(Debug)]
pub(super) struct DomainBackend {
    pub(super) chain: Arc<dyn ChainReader>,
    pub(super) state: Arc<dyn StateReader>,
    pub(super) executor: Arc<dyn Executor>,
}

impl DomainBackend {
    fn of(shard: &Backend) -> Self {
        let Backend { chain, state, executor, .. } = shard;
        Self { chain: chain.clone(), state: state.clone(), executor: executor.clone() }
    }
}

impl NetworkBackend {
    /// A backend over a view and what serves each shard's own chain; the first is domain 1's.
    ///
    /// # Panics
    /// When there is no shard, or another number of them than the view has.
    #[must_use]
    pub fn new(view: Arc<NetworkView>, shards: Vec<Backend>) -> Arc<Self> {
        assert!(!shards.is_empty(), "a network has at least one shard");
        assert_eq!(shards.len(), view.domains.shards.len(), "one backend for each shard of the view");
        let (map, pending) = (view.map(), PendingFeed::new(shards.len()));
        let root = view.domains.root.clone();
        let of_root = DomainBackend { chain: root.clone(), state: root.clone(), executor: root };
        let domains = std::iter::once(of_root).chain(shards.iter().map(DomainBackend::of)).collect();
        Arc::new(Self { view, shards, domains, map, pending })
    }

    /// What the RPC server takes. Signer and control of a development network are those of the first shard's backend.
    #[must_use]
    pub fn serve(self: &Arc<Self>) -> Backend {
        Backend {
            chain: self.clone(),
            state: self.clone(),
            executor: self.clone(),
            pool: self.clone(),
            events: self.clone(),
            shard: self.clone(),
            probe: self.clone(),
            network: Some(self.clone()),
            signer: self.first().signer.clone(),
            devnet: self.first().devnet.clone(),
            clock: Arc::new(MonotonicClock::default()),
        }
    }

    /// Domain 1, which speaks for the others where they are all alike.
    pub(super) fn first(&self) -> &Backend {
        self.shards.first().expect("new() refuses a network without shards")
    }

    pub(super) fn domain(&self, domain: DomainId) -> Option<&DomainBackend> {
        self.domains.get(usize::try_from(domain.0).ok()?)
    }

    pub(super) fn shard_of(&self, domain: DomainId) -> Option<&Backend> {
        self.shards.get(usize::try_from(domain.0).ok()?.checked_sub(1)?)
    }
}

impl ChainReader for NetworkBackend {
    fn chain_id(&self) -> u64 {
        self.view.spec.network.0
    }

    fn head(&self) -> Arc<dyn ShownBlock> {
        self.view.head()
    }

    fn block(&self, height: Height) -> Result<Option<Arc<dyn ShownBlock>>, BackendError> {
        Ok(self.view.block(height)?)
    }

    fn header(&self, height: Height) -> Result<Option<BlockSummary>, BackendError> {
        Ok(self.view.header(height)?)
    }

    fn height_of(&self, hash: &BlockHash) -> Result<Option<Height>, BackendError> {
        Ok(self.view.height_of(hash)?)
    }

    fn transaction(&self, hash: &B256) -> Result<Option<(Height, u32)>, BackendError> {
        Ok(self.view.transaction(hash)?)
    }

    /// What is enough to be taken by any domain.
    fn next_base_fee(&self) -> u64 {
        let dearest = self.domains.iter().map(|domain| domain.chain.next_base_fee()).max();
        dearest.unwrap_or(self.view.spec.base_fee_min)
    }

    fn next_timestamp(&self) -> u64 {
        let next = self.shards.iter().map(|shard| shard.chain.next_timestamp()).max();
        next.unwrap_or_default().max(self.view.head().summary().timestamp)
    }

    fn syncing(&self) -> Option<SyncInfo> {
        self.shards.iter().find_map(|shard| shard.chain.syncing())
    }
}

impl Events for NetworkBackend {
    fn blocks(&self) -> broadcast::Receiver<Arc<dyn ShownBlock>> {
        self.view.subscribe()
    }

    fn pending_transactions(&self) -> broadcast::Receiver<anfs_primitives::RecoveredTransaction> {
        self.pending.subscribe(&self.shards)
    }
}

impl Probe for NetworkBackend {
    fn ready(&self) -> Result<(), String> {
        for (domain, shard) in (1u32..).zip(&self.shards) {
            shard.probe.ready().map_err(|waiting| format!("shard {domain}: {waiting}"))?;
        }
        Ok(())
    }

    fn metrics(&self) -> String {
        // One recorder serves the whole process.
        self.first().probe.metrics()
    }
}

/// Speaks of shard 1; the RPC server asks the shards themselves where a domain is named.
impl ShardInfo for NetworkBackend {
    fn status(&self) -> NodeStatus {
        self.first().shard.status()
    }

    fn view(&self) -> ViewStatus {
        self.first().shard.view()
    }

    fn sequence(&self, height: Height) -> Result<Option<BlockBody>, BackendError> {
        self.first().shard.sequence(height)
    }

    fn slice_checkers(&self, height: Height) -> Result<Option<Vec<SignerSet>>, BackendError> {
        self.first().shard.slice_checkers(height)
    }

    fn sequence_proof(&self, transaction: &B256) -> Result<Option<SequenceProof>, BackendError> {
        self.first().shard.sequence_proof(transaction)
    }
}
