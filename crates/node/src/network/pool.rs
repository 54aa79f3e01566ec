//! The pools of all shards as one: a transaction waits in its sender's home.

use alloy_primitives::{Address, B256, Bytes};
use anfs_primitives::RecoveredTransaction;
use anfs_rpc::{Backend, BackendError, PoolContent, PoolStatus, TxPool};

use super::NetworkBackend;
use crate::backend::recover;

impl NetworkBackend {
    fn home(&self, sender: &Address) -> &Backend {
        // Nobody sends as a contract of the root.
        self.shard_of(self.map.home(sender)).unwrap_or_else(|| self.first())
    }

    /// A transaction that a shard has executed and the network has not listed yet.
    fn unlisted(&self, hash: &B256) -> Option<RecoveredTransaction> {
        let spot = self.view.executed(hash).ok()??;
        let block = self.view.domains.block(spot.domain, spot.height).ok()??;
        block.transactions().get(spot.index as usize).cloned()
    }
}

impl TxPool for NetworkBackend {
    fn submit(&self, raw: Bytes) -> Result<B256, BackendError> {
        self.submit_recovered(recover(&raw, self.view.spec.network)?)
    }

    fn submit_recovered(&self, tx: RecoveredTransaction) -> Result<B256, BackendError> {
        self.home(&tx.sender()).pool.submit_recovered(tx)
    }

    fn pending_nonce(&self, sender: &Address) -> Option<u64> {
        self.home(sender).pool.pending_nonce(sender)
    }

    fn get(&self, hash: &B256) -> Option<RecoveredTransaction> {
        self.shards.iter().find_map(|shard| shard.pool.get(hash)).or_else(|| self.unlisted(hash))
    }

    /// The shards fill their blocks side by side, so each gives its share.
    fn best(&self, limit: usize) -> Vec<RecoveredTransaction> {
        let share = limit.div_ceil(self.shards.len());
        let mut best: Vec<_> = self.shards.iter().flat_map(|shard| shard.pool.best(share)).collect();
        best.truncate(limit);
        best
    }

    fn content(&self) -> PoolContent {
        let mut all = PoolContent::default();
        for shard in &self.shards {
            let content = shard.pool.content();
            all.pending.extend(content.pending);
            all.queued.extend(content.queued);
        }
        all
    }

    fn content_from(&self, sender: &Address) -> PoolContent {
        self.home(sender).pool.content_from(sender)
    }

    fn status(&self) -> PoolStatus {
        self.shards.iter().map(|shard| shard.pool.status()).fold(PoolStatus::default(), |all, one| {
            PoolStatus { pending: all.pending + one.pending, queued: all.queued + one.queued }
        })
    }

    fn min_tip(&self) -> u128 {
        self.shards.iter().map(|shard| shard.pool.min_tip()).max().unwrap_or_default()
    }
}
