//! Makes decided blocks durable, then visible: the only writer of the block log and of [`ChainView`](crate::ChainView).
//!
//! A receipt is served only after the block that holds it was fsynced here. When the disk is full or broken
//! the committer keeps what it has, says so in the node's health, and tries again: its inbox fills, the
//! worker waits, this seat stops voting, and nothing that was acknowledged is lost.
//!
//! State is flushed every [`FLUSH_EVERY`] blocks on a thread of its own; after a crash the blocks since the
//! last flush are executed again. Where there is a root, the flush stays behind what it has made final: states below the
//! flushed one are gone after a restart, and readers of the network may ask for what is final at once.

use std::sync::Arc;
use std::time::Duration;

use anfs_mempool::AccountView;
use anfs_primitives::{Block, Certificate, Height, ShardReference};
use anfs_rpc::RpcBlock;
use anfs_state::StateRead;
use anfs_store::NewBlock;

use crate::chain::chain_block;
use crate::context::{Part, SeatContext};
use crate::error::NodeError;
use crate::flusher::{Flush, FlushInbox};
use crate::inbox::{Inbox, Received};
use crate::root::{RootEvent, RootInbox};
use crate::run::ExecutedBlock;

/// A decided block with what its execution gave.
#[derive(Debug)]
pub(crate) struct Commit {
    pub(crate) block: Arc<Block>,
    pub(crate) certificate: Certificate,
    pub(crate) executed: Arc<ExecutedBlock>,
}

impl<'a> From<&'a Commit> for NewBlock<'a> {
    fn from(Commit { block, certificate, executed }: &'a Commit) -> Self {
        let transaction_hashes = executed.transactions.iter().map(|tx| *tx.hash()).collect();
        let (receipts, crossing) = (&*executed.receipts, &*executed.crossing);
        Self { block, certificate, receipts, crossing, transaction_hashes }
    }
}

pub(crate) type CommitInbox = Inbox<Commit>;

/// Blocks between two flushes of the state.
pub(crate) const FLUSH_EVERY: u64 = 64;
/// Blocks that share one fsync at most.
const GROUP_MAX: usize = 32;
/// Pause before a failed write is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// See the module docs.
pub(crate) struct Committer {
    context: Arc<SeatContext>,
    flusher: Arc<FlushInbox>,
    flushed: Height,
    /// Who tells the root of decided blocks, if there is one.
    root: Option<Arc<RootInbox>>,
}

impl Committer {
    pub(crate) fn new(
        context: Arc<SeatContext>,
        flusher: Arc<FlushInbox>,
        flushed: Height,
        root: Option<Arc<RootInbox>>,
    ) -> Self {
        Self { context, flusher, flushed, root }
    }

    /// Commits until the inbox is closed.
    pub(crate) fn run(mut self, inbox: &CommitInbox) -> Result<(), NodeError> {
        loop {
            let mut group = Vec::new();
            match inbox.receive(None) {
                Received::Event(commit) => group.push(commit),
                Received::TimedOut => continue,
                Received::Closed => return Ok(()),
            }
            while group.len() < GROUP_MAX
                && let Received::Event(commit) = inbox.receive(Some(Duration::ZERO))
            {
                group.push(commit);
            }
            if !self.write(&group) {
                return Ok(());
            }
            for commit in group {
                self.publish(commit);
            }
        }
    }

    /// Writes a group with one fsync, for as long as it takes; false when the node stops first.
    fn write(&self, group: &[Commit]) -> bool {
        let mut written = 0;
        loop {
            let result = group[written..].iter().try_for_each(|commit| {
                self.context.store.append_block(commit)?;
                written += 1;
                Ok(())
            });
            match result.and_then(|()| self.context.store.sync_blocks()) {
                Ok(()) => {
                    self.context.health.recovered(Part::BlockLog);
                    return true;
                }
                Err(error) => {
                    if self.context.health.troubled_by(Part::BlockLog, error.to_string()) {
                        tracing::error!(seat = %self.context.seat, %error, "cannot write decided blocks; trying again");
                    }
                }
            }
            if self.context.health.wait_unless_stopping(RETRY) {
                return false;
            }
        }
    }

    fn publish(&mut self, commit: Commit) {
        let Commit { block, certificate, executed } = commit;
        let context = &self.context;
        let height = block.height();
        let reference = ShardReference { header: block.header.clone(), certificate: certificate.clone() };
        let visible = Arc::new(chain_block(
            &context.spec,
            block.header.clone(),
            Some(certificate),
            executed.transactions.clone(),
            executed.receipts.clone(),
            executed.crossing.clone(),
        ));
        context.chain.publish(visible.clone(), executed.state.clone());
        context.executed.prune_below(height);
        context.arrivals.prune(&block.header);
        context.metrics.committed(&visible);
        self.refresh_pool(&visible, &executed);
        if let Some(root) = &self.root {
            root.push(RootEvent::Certified(Box::new(reference)));
        }
        self.flush();
    }

    /// Has a state written if it is time to.
    fn flush(&mut self) {
        if self.context.chain.restart_height().0 < self.flushed.0 + FLUSH_EVERY {
            return;
        }
        let Some(flush) = last_flush(&self.context) else { return };
        let height = flush.height;
        // A flush that is still running keeps its inbox full: this one is skipped, a later one catches up.
        if self.flusher.offer(flush) {
            self.flushed = height;
        }
    }

    fn refresh_pool(&self, block: &RpcBlock, executed: &ExecutedBlock) {
        let context = &self.context;
        let next_base_fee = context.spec.next_base_fee(block.header.base_fee, block.header.gas_used);
        let senders = block.transactions.iter().map(anfs_primitives::RecoveredTransaction::sender);
        let mut pool = context.pool.pool.lock();
        let mut accounts = Vec::new();
        for sender in pool.interested(senders.chain(executed.touched.iter().copied())) {
            match executed.state.account(&sender) {
                Ok(account) => {
                    let account = account.unwrap_or_default();
                    accounts.push((sender, AccountView { nonce: account.nonce, balance: account.balance }));
                }
                Err(error) => tracing::error!(%error, %sender, "cannot read an account for the pool"),
            }
        }
        let dropped = pool.on_block(accounts, next_base_fee, context.clock.now_ms());
        if !dropped.is_empty() {
            tracing::debug!(count = dropped.len(), "transactions left the pool unpaid or too old");
        }
    }
}

/// The newest state that may be flushed; `None` if it is not in memory, as after a start on a newer one.
pub(crate) fn last_flush(context: &SeatContext) -> Option<Flush> {
    let height = context.chain.restart_height();
    Some(Flush { height, state: context.chain.state(height)? })
}

#[cfg(test)]
mod tests;
