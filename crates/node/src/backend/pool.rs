//! The transaction pool, and the hot path of the whole server: admission.

use alloy_primitives::{Address, B256, Bytes};
use anfs_mempool::AccountView;
use anfs_primitives::{RecoveredTransaction, SignedTransaction};
use anfs_rpc::{BackendError, PoolContent, PoolStatus, TxPool};
use anfs_state::StateRead;

use super::SeatBackend;
use crate::error::NodeError;

impl TxPool for SeatBackend {
    fn submit(&self, raw: Bytes) -> Result<B256, BackendError> {
        let rejected = |error: &dyn std::fmt::Display| BackendError::Rejected(error.to_string());
        let signed = SignedTransaction::decode(&raw).map_err(|error| rejected(&error))?;
        signed.check_network(self.context.spec.network).map_err(|error| rejected(&error))?;
        let tx = signed.recover().map_err(|error| rejected(&error))?;
        let hash = *tx.hash();
        let (_, state) = self.chain.head_state();
        let account = state.account(&tx.sender()).map_err(NodeError::from)?.unwrap_or_default();
        let account = AccountView { nonce: account.nonce, balance: account.balance };
        let now_ms = self.context.clock.now_ms();
        let added = self.context.pool.pool.lock().add(tx, account, now_ms);
        let added = added.map_err(|error| rejected(&error))?;
        if !added.pending.is_empty() {
            self.context.pool.ring();
            self.announce(&added.pending);
        }
        Ok(hash)
    }

    fn pending_nonce(&self, sender: &Address) -> Option<u64> {
        self.context.pool.pool.lock().pending_nonce(sender)
    }

    fn get(&self, hash: &B256) -> Option<RecoveredTransaction> {
        self.context.pool.pool.lock().get(hash).cloned()
    }

    fn best(&self, limit: usize) -> Vec<RecoveredTransaction> {
        self.context.pool.pool.lock().best().take(limit).cloned().collect()
    }

    fn content(&self) -> PoolContent {
        let mut content = PoolContent::default();
        for sender in self.context.pool.pool.lock().content() {
            content.pending.extend(sender.pending);
            content.queued.extend(sender.queued);
        }
        content
    }

    fn content_from(&self, sender: &Address) -> PoolContent {
        let content = self.context.pool.pool.lock().content_from(sender);
        content.map_or_else(PoolContent::default, |content| PoolContent {
            pending: content.pending,
            queued: content.queued,
        })
    }

    fn status(&self) -> PoolStatus {
        let status = self.context.pool.pool.lock().status();
        PoolStatus { pending: status.pending, queued: status.queued }
    }

    fn min_tip(&self) -> u128 {
        self.context.pool.pool.lock().limits().tip_min
    }
}

impl SeatBackend {
    /// Tells subscribers which transactions can run now.
    fn announce(&self, hashes: &[B256]) {
        if self.pending.receiver_count() == 0 {
            return;
        }
        let pool = self.context.pool.pool.lock();
        for tx in hashes.iter().filter_map(|hash| pool.get(hash)) {
            // A subscriber that has just left is fine.
            let _ = self.pending.send(tx.clone());
        }
    }
}
