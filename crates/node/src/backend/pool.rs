//! The transaction pool, and the hot path of the whole server: admission.

use alloy_primitives::{Address, B256, Bytes};
use anfs_primitives::{RecoveredTransaction, SignedTransaction};
use anfs_rpc::{BackendError, PoolContent, PoolStatus, TxPool};

use super::{SeatBackend, Served};
use crate::context::Refusal;
use crate::relay;

impl TxPool for SeatBackend {
    fn submit(&self, raw: Bytes) -> Result<B256, BackendError> {
        let seat = self.seat();
        let rejected = |error: &dyn std::fmt::Display| BackendError::Rejected(error.to_string());
        let signed = SignedTransaction::decode(&raw).map_err(|error| rejected(&error))?;
        signed.check_network(seat.context.spec.network).map_err(|error| rejected(&error))?;
        let tx = signed.recover().map_err(|error| rejected(&error))?;
        let hash = *tx.hash();
        let added = seat.context.admit(tx.clone()).map_err(|refusal| match refusal {
            Refusal::Pool(error) => rejected(&error),
            Refusal::Local(error) => error.into(),
        })?;
        relay::hand_on(&seat.context, &*seat.transport.0, &[tx]);
        if seat.context.health.stopping() {
            // Whoever takes over may not have it: better sent again than lost.
            return Err(BackendError::Internal("this node is stopping: send the transaction again".into()));
        }
        if !added.pending.is_empty() {
            self.announce(&seat, &added.pending);
        }
        Ok(hash)
    }

    fn pending_nonce(&self, sender: &Address) -> Option<u64> {
        let seat = self.seat();
        seat.context.pool.pool.lock().pending_nonce(sender)
    }

    fn get(&self, hash: &B256) -> Option<RecoveredTransaction> {
        let seat = self.seat();
        seat.context.pool.pool.lock().get(hash).cloned()
    }

    fn best(&self, limit: usize) -> Vec<RecoveredTransaction> {
        let seat = self.seat();
        seat.context.pool.pool.lock().best().take(limit).cloned().collect()
    }

    fn content(&self) -> PoolContent {
        let seat = self.seat();
        let mut content = PoolContent::default();
        for sender in seat.context.pool.pool.lock().content() {
            content.pending.extend(sender.pending);
            content.queued.extend(sender.queued);
        }
        content
    }

    fn content_from(&self, sender: &Address) -> PoolContent {
        let seat = self.seat();
        let content = seat.context.pool.pool.lock().content_from(sender);
        content.map_or_else(PoolContent::default, |content| PoolContent {
            pending: content.pending,
            queued: content.queued,
        })
    }

    fn status(&self) -> PoolStatus {
        let seat = self.seat();
        let status = seat.context.pool.pool.lock().status();
        PoolStatus { pending: status.pending, queued: status.queued }
    }

    fn min_tip(&self) -> u128 {
        let seat = self.seat();
        seat.context.pool.pool.lock().limits().tip_min
    }
}

impl SeatBackend {
    /// Tells subscribers which transactions can run now.
    fn announce(&self, seat: &Served, hashes: &[B256]) {
        if self.pending.receiver_count() == 0 {
            return;
        }
        let pool = seat.context.pool.pool.lock();
        for tx in hashes.iter().filter_map(|hash| pool.get(hash)) {
            // A subscriber that has just left is fine.
            let _ = self.pending.send(tx.clone());
        }
    }
}
