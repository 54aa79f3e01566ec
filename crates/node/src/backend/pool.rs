//! The transaction pool, and the hot path of the whole server: admission.

use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes};
use anfs_mempool::PoolError;
use anfs_primitives::{NetworkId, RecoveredTransaction, SignedTransaction};
use anfs_rpc::{BackendError, PoolContent, PoolStatus, TxPool};

use super::{SeatBackend, Served};
use crate::context::Refusal;
use crate::relay;

impl TxPool for SeatBackend {
    fn submit(&self, raw: Bytes) -> Result<B256, BackendError> {
        self.submit_recovered(recover(&raw, self.seat().context.spec.network)?)
    }

    fn submit_recovered(&self, tx: RecoveredTransaction) -> Result<B256, BackendError> {
        let mut seat = self.seat();
        let mut pending = seat.admit(&tx).map_err(refused)?;
        // Whoever takes over from a seat that stops just now may not have heard of it from that one.
        while seat.context.health.stopping() {
            let next = self.seat();
            if Arc::ptr_eq(&seat, &next) {
                return Err(BackendError::Internal(
                    "this node is stopping: send the transaction again".into(),
                ));
            }
            seat = next;
            pending.extend(seat.admit_again(&tx).map_err(refused)?);
        }
        if !pending.is_empty() {
            self.announce(&seat, &pending);
        }
        Ok(*tx.hash())
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

/// A transaction of this network, with its sender.
pub(crate) fn recover(raw: &Bytes, network: NetworkId) -> Result<RecoveredTransaction, BackendError> {
    let signed = SignedTransaction::decode(raw).map_err(|error| rejected(&error))?;
    signed.check_network(network).map_err(|error| rejected(&error))?;
    signed.recover().map_err(|error| rejected(&error))
}

fn rejected(error: &dyn std::fmt::Display) -> BackendError {
    BackendError::Rejected(error.to_string())
}

fn refused(refusal: Refusal) -> BackendError {
    match refusal {
        Refusal::Pool(error) => rejected(&error),
        Refusal::Elsewhere { .. } => rejected(&refusal),
        Refusal::Local(error) => error.into(),
    }
}

impl Served {
    /// Takes a transaction into the pool and hands it on; what can run now because of it.
    fn admit(&self, tx: &RecoveredTransaction) -> Result<Vec<B256>, Refusal> {
        let added = self.context.admit(tx.clone())?;
        self.hand_on(tx);
        Ok(added.pending)
    }

    /// As [`Self::admit`], of a transaction that another seat has taken and may have handed on.
    fn admit_again(&self, tx: &RecoveredTransaction) -> Result<Vec<B256>, Refusal> {
        match self.admit(tx) {
            Err(Refusal::Pool(PoolError::AlreadyKnown)) => self.hand_on(tx),
            // It may even be in a block by now.
            Err(Refusal::Pool(_)) if self.chain.transaction(tx.hash())?.is_some() => {}
            result => return result,
        }
        Ok(Vec::new())
    }

    fn hand_on(&self, tx: &RecoveredTransaction) {
        relay::hand_on(&self.context, &*self.transport.0, std::slice::from_ref(tx));
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
