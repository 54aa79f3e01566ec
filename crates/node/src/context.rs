//! What the threads of one seat share.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use alloy_primitives::Address;
use alloy_primitives::map::AddressMap;
use anfs_consensus::ShardConfig;
use anfs_execution::CodeCache;
use anfs_mempool::{AccountView, Added, Pool, PoolError};
use anfs_primitives::{
    BlockHash, ChainSpec, DomainId, DomainMap, Height, RecoveredTransaction, SeatIndex, View,
};
use anfs_state::StateRead;
use anfs_store::Store;
use parking_lot::{Condvar, Mutex};

use crate::arrivals::Arrivals;
use crate::chain::ChainView;
use crate::clock::Clock;
use crate::error::NodeError;
use crate::flusher::OnDisk;
use crate::metrics::SeatMetrics;
use crate::run::{ExecutedBlock, Place};
use crate::verified::Verified;
use crate::views::ViewLog;

/// What the threads of one seat share.
#[derive(Debug)]
pub(crate) struct SeatContext {
    pub(crate) seat: SeatIndex,
    pub(crate) domain: DomainId,
    pub(crate) spec: Arc<ChainSpec>,
    /// What the seats of the shard agree on for the epoch.
    pub(crate) group: Arc<ShardConfig>,
    pub(crate) standing: Standing,
    /// What is told of views and evidence.
    pub(crate) views: Mutex<ViewLog>,
    /// Unpredictable bytes that weight the signatures of a batch.
    pub(crate) entropy: [u8; 32],
    /// Signatures that this process has found good.
    pub(crate) verified: Arc<Verified>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) store: Arc<Store>,
    pub(crate) chain: Arc<ChainView>,
    /// What the root has made final for the domain.
    pub(crate) arrivals: Arc<Arrivals>,
    pub(crate) executed: ExecutedBlocks,
    pub(crate) on_disk: OnDisk,
    /// Contract code that blocks lately ran, analysed.
    pub(crate) codes: CodeCache,
    pub(crate) pool: Arc<SharedPool>,
    /// The accounts of those who lately sent transactions.
    pub(crate) accounts: HeadAccounts,
    pub(crate) metrics: Arc<SeatMetrics>,
    pub(crate) health: Arc<Health>,
}

impl SeatContext {
    /// The account that earns the tips of the blocks that the leader of a view proposes.
    pub(crate) fn beneficiary(&self, view: View) -> Address {
        let shard = &self.spec.shards[self.domain.0.saturating_sub(1) as usize];
        let verifier = self.group.leader(view).verifier_index().and_then(|index| shard.verifiers.get(index));
        verifier.unwrap_or(&shard.generator).beneficiary
    }

    /// The shards of the network, and which of them is home to an address.
    pub(crate) fn homes(&self) -> DomainMap {
        DomainMap::new(u32::try_from(self.spec.shards.len()).expect("validate() bounds the shards"))
    }

    /// Puts a transaction into the pool, judged by an account of the newest decided state.
    pub(crate) fn admit(&self, tx: RecoveredTransaction) -> Result<Added, Refusal> {
        let (sender, domain) = (tx.sender(), self.homes().home(&tx.sender()));
        if domain != self.domain {
            return Err(Refusal::Elsewhere { sender, domain, here: self.domain });
        }
        self.admit_as(tx, || self.accounts.of(&sender, &self.chain))
    }

    /// As [`Self::admit`], with what reads the sender's account, and at which height.
    fn admit_as(
        &self,
        tx: RecoveredTransaction,
        mut account: impl FnMut() -> Result<(Height, AccountView), NodeError>,
    ) -> Result<Added, Refusal> {
        loop {
            let (height, account) = account()?;
            let mut pool = self.pool.pool.lock();
            // The pool hears of each new block after that is visible, and then of the senders that it knows. Were the account
            // older than the newest block, nobody might ever tell the pool that what came before this transaction is done.
            if self.chain.height() != height {
                continue;
            }
            let added = pool.add(tx, account, self.clock.now_ms())?;
            drop(pool);
            if !added.pending.is_empty() {
                self.pool.ring();
            }
            return Ok(added);
        }
    }
}

/// Accounts as they are after the newest decided block, each read once a block: whoever sends, sends much.
#[derive(Debug, Default)]
pub(crate) struct HeadAccounts(Mutex<(Height, AddressMap<AccountView>)>);

impl HeadAccounts {
    /// Accounts kept at most.
    const MAX: usize = 16 * 1024;

    /// An account after the newest block of the chain, and that block's height.
    pub(crate) fn of(
        &self,
        address: &Address,
        chain: &ChainView,
    ) -> Result<(Height, AccountView), NodeError> {
        let height = chain.height();
        if let Some(account) = self.known(address, height) {
            return Ok((height, account));
        }
        // The trie may have to be read from disk: nobody else is kept waiting meanwhile.
        let (head, state) = chain.head_state();
        let account = state.account(address)?.unwrap_or_default();
        let account = AccountView { nonce: account.nonce, balance: account.balance };
        self.keep(*address, account, head.header.height);
        Ok((head.header.height, account))
    }

    fn known(&self, address: &Address, now: Height) -> Option<AccountView> {
        let (height, accounts) = &*self.0.lock();
        accounts.get(address).filter(|_| *height == now).copied()
    }

    /// Keeps an account as it is at a height, unless accounts of a later one are kept already.
    fn keep(&self, address: Address, account: AccountView, at: Height) {
        let (height, accounts) = &mut *self.0.lock();
        if at > *height || accounts.len() >= Self::MAX {
            accounts.clear();
            *height = at.max(*height);
        }
        if at == *height {
            accounts.insert(address, account);
        }
    }
}

/// Why a transaction did not enter the pool.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// The pool says no.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// Nonce and balance of its sender are kept by another shard.
    #[error("sender {sender} lives in shard {domain}, and this is shard {here}: send the transaction there")]
    Elsewhere {
        /// Sender.
        sender: Address,
        /// Where he lives.
        domain: DomainId,
        /// Where the transaction was sent.
        here: DomainId,
    },
    /// A fault of this node.
    #[error(transparent)]
    Local(#[from] NodeError),
}

/// Where the seat stands, for threads that must not wait for its engine.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    view: AtomicU64,
    serving: AtomicBool,
}

impl Standing {
    pub(crate) fn view(&self) -> View {
        View(self.view.load(Ordering::Acquire))
    }

    pub(crate) fn set_view(&self, view: View) {
        self.view.store(view.0, Ordering::Release);
    }

    /// Whether clients are served from this seat: it then answers for what they were promised.
    pub(crate) fn serves(&self) -> bool {
        self.serving.load(Ordering::Acquire)
    }

    pub(crate) fn set_serving(&self, serving: bool) {
        self.serving.store(serving, Ordering::Release);
    }
}

/// Blocks that were executed and are not yet below the visible head.
#[derive(Debug, Default)]
pub(crate) struct ExecutedBlocks {
    blocks: Mutex<HashMap<BlockHash, Arc<ExecutedBlock>>>,
    added: Condvar,
}

impl ExecutedBlocks {
    pub(crate) fn insert(&self, block: Arc<ExecutedBlock>) {
        self.blocks.lock().insert(block.header.hash(), block);
        self.added.notify_all();
    }

    pub(crate) fn get(&self, hash: &BlockHash) -> Option<Arc<ExecutedBlock>> {
        self.blocks.lock().get(hash).cloned()
    }

    /// The block with a hash, waiting for its execution at most `timeout`.
    pub(crate) fn wait_for(&self, hash: &BlockHash, timeout: Duration) -> Option<Arc<ExecutedBlock>> {
        let mut blocks = self.blocks.lock();
        if !blocks.contains_key(hash) {
            self.added.wait_for(&mut blocks, timeout);
        }
        blocks.get(hash).cloned()
    }

    pub(crate) fn remove(&self, hash: &BlockHash) -> Option<Arc<ExecutedBlock>> {
        self.blocks.lock().remove(hash)
    }

    /// Forgets everything below a height, which must be visible: see [`Self::place`].
    pub(crate) fn prune_below(&self, height: Height) {
        self.blocks.lock().retain(|_, block| block.header.height >= height);
    }

    /// The place of a child of `parent`, with the ancestors that are held here. All others are visible in
    /// the chain, so between the two every ancestor's hash is known, however far the disk is behind.
    pub(crate) fn place(
        &self,
        parent: &ExecutedBlock,
        slot: anfs_primitives::Slot,
        beneficiary: alloy_primitives::Address,
    ) -> Place {
        let blocks = self.blocks.lock();
        let mut ancestors = vec![(parent.header.height, parent.header.hash())];
        let mut next = parent.header.parent;
        while let Some(block) = blocks.get(&next) {
            ancestors.push((block.header.height, block.header.hash()));
            next = block.header.parent;
        }
        Place { slot, beneficiary, ancestors }
    }
}

/// The transaction pool, and a bell that rings when something arrives.
#[derive(Debug)]
pub(crate) struct SharedPool {
    pub(crate) pool: Mutex<Pool>,
    arrived: Condvar,
    bell: Mutex<bool>,
}

impl SharedPool {
    pub(crate) fn new(pool: Pool) -> Self {
        Self { pool: Mutex::new(pool), arrived: Condvar::new(), bell: Mutex::new(false) }
    }

    pub(crate) fn ring(&self) {
        let mut rung = self.bell.lock();
        if !*rung {
            *rung = true;
            self.arrived.notify_one();
        }
    }

    /// Makes transactions available again that were taken for a block which is not to be.
    pub(crate) fn give_back(&self, transactions: &[RecoveredTransaction]) {
        let mut pool = self.pool.lock();
        for tx in transactions {
            pool.give_back(tx.hash());
        }
        drop(pool);
        self.ring();
    }

    /// Waits until something arrives, at most `timeout`.
    pub(crate) fn wait(&self, timeout: Duration) {
        let mut rung = self.bell.lock();
        if !*rung {
            self.arrived.wait_for(&mut rung, timeout);
        }
        *rung = false;
    }
}

/// Whether the node can do its work.
#[derive(Debug, Default)]
pub struct Health {
    stopping: Mutex<bool>,
    stopped: Condvar,
    trouble: Mutex<BTreeMap<Part, String>>,
}

/// What a seat cannot work without. Each is in trouble, and out of it, by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// One of its threads: the seat has stopped.
    Thread,
    /// The record of what it signs: without it no vote leaves.
    SigningLog,
    /// The log of decided blocks: without it no block becomes visible.
    BlockLog,
    /// What concerns the root: without it the seat takes no part in it.
    Root,
    /// The state on disk: without it a restart executes more blocks again.
    State,
}

impl Health {
    /// What keeps the node from working, if anything does: the worst of it.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().values().next().cloned()
    }

    /// The parts that are in trouble.
    #[must_use]
    pub fn troubled(&self) -> Vec<Part> {
        self.trouble.lock().keys().copied().collect()
    }

    /// Notes that a part is in trouble; true when that is news.
    pub(crate) fn troubled_by(&self, part: Part, reason: String) -> bool {
        self.trouble.lock().insert(part, reason).is_none()
    }

    /// Notes that a part works; true when that is news.
    pub(crate) fn recovered(&self, part: Part) -> bool {
        self.trouble.lock().remove(&part).is_some()
    }

    /// Stops the node for a fault that it cannot work around.
    pub(crate) fn fail(&self, reason: String) {
        self.troubled_by(Part::Thread, reason);
        self.stop();
    }

    pub(crate) fn stop(&self) {
        *self.stopping.lock() = true;
        self.stopped.notify_all();
    }

    /// Whether the node is on its way down.
    #[must_use]
    pub fn stopping(&self) -> bool {
        *self.stopping.lock()
    }

    /// Waits, but not once the node is on its way down; whether it is.
    pub(crate) fn wait_unless_stopping(&self, pause: Duration) -> bool {
        let mut stopping = self.stopping.lock();
        if !*stopping {
            self.stopped.wait_for(&mut stopping, pause);
        }
        *stopping
    }
}

#[cfg(test)]
mod tests;
