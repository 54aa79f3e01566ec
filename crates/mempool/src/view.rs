//! Looking into the pool without changing it: for RPC's `txpool_*` and pending-block methods.

use std::collections::BinaryHeap;

use alloy_primitives::{Address, B256};
use anfs_primitives::RecoveredTransaction;

use crate::pool::Pool;
use crate::queue::Queue;
use crate::ranking::effective_tip;

/// How full the pool is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStatus {
    /// Transactions that can run, those in flight included.
    pub pending: usize,
    /// Transactions behind a nonce gap.
    pub queued: usize,
    /// Transactions in undecided blocks.
    pub in_flight: usize,
    /// Bytes, with the overhead of each transaction.
    pub bytes: usize,
}

/// One sender's transactions, in nonce order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SenderContent {
    /// The sender.
    pub sender: Address,
    /// Those that can run, those in flight included.
    pub pending: Vec<RecoveredTransaction>,
    /// Those behind a nonce gap.
    pub queued: Vec<RecoveredTransaction>,
}

impl Pool {
    /// Counts.
    #[must_use]
    pub fn status(&self) -> PoolStatus {
        let totals = self.totals();
        PoolStatus {
            pending: totals.executable,
            queued: totals.transactions - totals.executable,
            in_flight: totals.in_flight,
            bytes: totals.bytes,
        }
    }

    /// Everything in the pool, by sender's address.
    #[must_use]
    pub fn content(&self) -> Vec<SenderContent> {
        let mut senders: Vec<SenderContent> = self.slots.iter().flatten().map(content_of).collect();
        senders.sort_unstable_by_key(|content| content.sender);
        senders
    }

    /// One sender's transactions.
    #[must_use]
    pub fn content_from(&self, sender: &Address) -> Option<SenderContent> {
        self.queue(sender).map(content_of)
    }

    /// Hashes of all transactions in flight or able to run, by sender's address, then nonce.
    #[must_use]
    pub fn pending_hashes(&self) -> Vec<B256> {
        let content = self.content();
        content.iter().flat_map(|content| &content.pending).map(|transaction| *transaction.hash()).collect()
    }

    /// The transactions that [`Pool::take_best`] would hand out, in its order, without taking them.
    #[must_use]
    pub fn best(&self) -> Best<'_> {
        let mut best = Best { pool: self, heads: BinaryHeap::new() };
        for bid in self.ready.iter() {
            let queue = self.slots[bid.slot].as_ref().expect("a ranked queue is in use");
            best.push(bid.slot, queue.in_flight());
        }
        best
    }
}

/// Iterator over what can run next; see [`Pool::best`].
#[derive(Debug)]
pub struct Best<'a> {
    pool: &'a Pool,
    heads: BinaryHeap<Head>,
}

/// Greater is better. `waited` counts down with arrival.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Head {
    tip: i128,
    waited: u64,
    slot: usize,
    index: usize,
}

impl Best<'_> {
    fn push(&mut self, slot: usize, index: usize) {
        let Some(queue) = &self.pool.slots[slot] else { return };
        if index >= queue.executable() {
            return;
        }
        let entry = &queue.entries()[index];
        let tip = effective_tip(entry.terms.tip, entry.terms.cap, self.pool.base_fee());
        if tip >= 0 {
            self.heads.push(Head { tip, waited: u64::MAX - entry.arrival, slot, index });
        }
    }
}

impl<'a> Iterator for Best<'a> {
    type Item = &'a RecoveredTransaction;

    fn next(&mut self) -> Option<Self::Item> {
        let Head { slot, index, .. } = self.heads.pop()?;
        self.push(slot, index + 1);
        Some(&self.pool.slots[slot].as_ref()?.entries()[index].transaction)
    }
}

fn content_of(queue: &Queue) -> SenderContent {
    let of = |range: std::ops::Range<usize>| {
        queue.entries().range(range).map(|entry| entry.transaction.clone()).collect()
    };
    let (executable, len) = (queue.executable(), queue.len());
    SenderContent { sender: queue.sender, pending: of(0..executable), queued: of(executable..len) }
}
