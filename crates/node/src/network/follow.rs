//! Turns final root blocks into network blocks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use alloy_primitives::U256;
use anfs_primitives::{CertifiedRootBlock, DomainId, Height, encode};
use anfs_rpc::{RpcBlock, ShownBlock};
use anfs_state::AccountTrie;
use anfs_store::disk::Disk;

use super::block::{self, Body, NetworkBlock};
use super::completion::{OpenWay, Step, Stepped, apply};
use super::record::{DomainRow, Entry, Record, Shown, WHOLE_EVERY};
use super::view::{NetworkSources, NetworkView, gas_limit};
use crate::error::NodeError;

/// Records that may wait for an fsync of the index: so many blocks are put together again after a crash.
const SYNC_EVERY: u64 = 32;
/// How long to wait for a shard's block that the root already has.
const SHARD_PAUSE: Duration = Duration::from_millis(5);
/// How often to look whether to stop.
const ROOT_PAUSE: Duration = Duration::from_millis(100);
/// Pause after a local fault.
const FAULT_PAUSE: Duration = Duration::from_secs(1);

/// How far the view is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// It has taken in a root block.
    Added,
    /// A shard's block that the next root block names is not visible yet.
    Waiting,
    /// It has all root blocks.
    UpToDate,
}

impl NetworkView {
    /// Takes in the next root block, if there is one and all that it names is visible.
    pub(crate) fn advance(&self) -> Result<Progress, NodeError> {
        let mut accounts = self.adding.lock();
        let before = self.newest();
        let height = before.height().next();
        if self.root.height() < height {
            return Ok(Progress::UpToDate);
        }
        if self.log.next().saturating_sub(self.log.readable()) >= SYNC_EVERY {
            self.log.sync()?;
        }
        let fault = |detail: String| NodeError::Network { height, detail };
        let root = self.root.block(height)?.ok_or_else(|| fault("the root block is missing".to_owned()))?;
        let Some(named) = self.named(&root)? else { return Ok(Progress::Waiting) };
        let named: Vec<&RpcBlock> = named.iter().filter_map(|block| block.shard()).collect();

        let stepped = {
            let open = self.open.read();
            let mut step = Step::new(&open);
            named.iter().for_each(|block| step.follow(block));
            step.finish()
        };
        let Stepped { listed, open } = stepped;
        let body = block::body(&self.domains, height, &listed)?;
        let issued = self.issued_by(&root)?;
        let domains = self.rows(&before.entry.domains, &named, issued);
        let trie = accounts.follow(height, &domains, &self.domains);
        let state_root = self.state_root(height, root.block.header.hash(), trie.as_ref())?;
        let shown = Shown { state_root, ..self.shown(&root, &body, &domains)? };
        let entry = Arc::new(Entry { shown, domains, listed });
        self.note(&self.record_of(entry.clone(), &open))?;
        self.publish(Arc::new(NetworkBlock { entry, body }), trie, &open);
        drop(accounts);
        Ok(Progress::Added)
    }

    /// The blocks that a root block makes final: the one below it with what that did to the root's own accounts, then the
    /// shard blocks that it names, in its order; `None` while one of them is not visible.
    fn named(&self, root: &CertifiedRootBlock) -> Result<Option<Vec<Arc<dyn ShownBlock>>>, NodeError> {
        let mut named = Vec::with_capacity(root.block.references.len() + 1);
        let header = &root.block.header;
        if let Some(below) = header.height.prev().filter(|below| *below > Height::ZERO) {
            let Some(block) = self.domains.block(DomainId::ROOT, below)? else { return Ok(None) };
            let told = &header.execution;
            let same = block.shard().is_some_and(|block| {
                (block.header.state_root, block.header.outbox_root) == (told.state_root, told.outbox_root)
            });
            if !same {
                let detail = "the root's own block below it came to something else here".to_owned();
                return Err(NodeError::Network { height: header.height, detail });
            }
            named.push(block);
        }
        for reference in &root.block.references {
            let (domain, height) = (reference.header.domain, reference.header.height);
            let Some(block) = self.domains.block(domain, height)? else { return Ok(None) };
            if block.hash() != reference.header.hash() {
                let detail = format!(
                    "the root names {} at height {height} of shard {domain}, where this node has {}; its disk holds another chain",
                    reference.header.hash(),
                    block.hash()
                );
                return Err(NodeError::Network { height: root.block.header.height, detail });
            }
            named.push(block);
        }
        Ok(Some(named))
    }

    /// Coins that the root's own block below this one has issued, in wei.
    fn issued_by(&self, root: &CertifiedRootBlock) -> Result<U256, NodeError> {
        let header = &root.block.header;
        let before = header.height.prev().map(|below| self.root.header(below)).transpose()?.flatten();
        let before = before.map_or(U256::ZERO, |before| before.execution.issued);
        Ok(header.execution.issued.saturating_sub(before))
    }

    /// The domains after these blocks; the root's accounts have gained what is new.
    fn rows(&self, before: &[DomainRow], named: &[&RpcBlock], issued: U256) -> Vec<DomainRow> {
        let mut rows = before.to_vec();
        for block in named {
            let header = &block.header;
            let place = usize::try_from(header.domain.0).ok();
            let Some(row) = place.and_then(|place| rows.get_mut(place)) else { continue };
            let (hash, new) = match header.domain {
                DomainId::ROOT => (header.root_reference.hash, issued),
                _ => (header.hash(), U256::ZERO),
            };
            let gained = row.held.saturating_add(header.value_in).saturating_add(new);
            let held = gained.saturating_sub(header.value_out).saturating_sub(header.burned);
            *row = DomainRow { tip: header.height, hash, held };
        }
        rows
    }

    /// What the block shows of itself beside its state root.
    fn shown(
        &self,
        root: &CertifiedRootBlock,
        body: &Body,
        domains: &[DomainRow],
    ) -> Result<Shown, NodeError> {
        let header = &root.block.header;
        let mut base_fee = self.spec.base_fee_min;
        for (domain, row) in (0u32..).zip(domains) {
            // What is final is visible, and genesis always is.
            if let Some(tip) = self.domains.block(domain.into(), row.tip)? {
                let tip = tip.summary();
                base_fee = base_fee.max(self.spec.next_base_fee(tip.base_fee, tip.gas_used));
            }
        }
        let (receipts_root, logs_bloom) = body.receipts_root();
        let gas_used = body.gas_used();
        Ok(Shown {
            hash: header.hash(),
            parent: header.parent,
            height: header.height,
            state_root: None,
            transactions_root: body.transactions_root(),
            receipts_root,
            logs_bloom,
            gas_limit: gas_limit(&self.spec, gas_used),
            gas_used,
            base_fee,
            timestamp: header.timestamp_ms / 1000,
            size: body.size() + encode(header.header()).len() as u64,
        })
    }

    /// Adds a record to the index, unless it is there since before the last start.
    fn note(&self, record: &Record) -> Result<(), NodeError> {
        let height = record.entry.shown.height;
        if self.log.next() > height.0 {
            if self.record(height)?.as_ref() == Some(record) {
                return Ok(());
            }
            self.log.cut(height.0)?;
        }
        Ok(self.log.append(&encode(record))?)
    }

    fn record_of(&self, entry: Arc<Entry>, open: &[OpenWay]) -> Record {
        let whole = entry.shown.height.0.is_multiple_of(WHOLE_EVERY);
        let open = if whole {
            let mut all = self.open.read().clone();
            apply(&mut all, &entry.listed, open);
            all.into_values().collect()
        } else {
            open.to_vec()
        };
        Record { entry, open, whole }
    }

    fn publish(&self, block: Arc<NetworkBlock>, accounts: Option<AccountTrie>, open: &[OpenWay]) {
        // First listed, then no longer open: whoever looks in between finds it.
        self.recent.write().push(block.clone(), accounts);
        apply(&mut self.open.write(), &block.entry.listed, open);
        // Nobody listening is fine: subscribers come and go.
        let _ = self.news.send(block);
    }
}

/// The thread that follows the root. Dropping it stops the thread.
#[derive(Debug)]
pub struct NetworkFollower {
    view: Arc<NetworkView>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl NetworkView {
    /// Opens the view, takes in what the root already has and the shards show, and follows the root from then on.
    ///
    /// # Errors
    /// As [`Self::open`]; or when the thread cannot be started.
    pub fn start(sources: NetworkSources, disk: &dyn Disk) -> Result<NetworkFollower, NodeError> {
        let view = Arc::new(Self::open(sources, disk)?);
        while view.advance()? == Progress::Added {}
        let stop = Arc::new(AtomicBool::new(false));
        let (followed, told) = (view.clone(), stop.clone());
        let thread = thread::Builder::new().name("network".into());
        let thread = thread.spawn(move || follow(&followed, &told)).map_err(NodeError::Thread)?;
        Ok(NetworkFollower { view, stop, thread: Some(thread) })
    }
}

impl NetworkFollower {
    /// The network's chain.
    #[must_use]
    pub fn view(&self) -> &Arc<NetworkView> {
        &self.view
    }

    /// Stops following. The index is on disk afterwards, as far as the disk lets it.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Release);
        let Some(thread) = self.thread.take() else { return };
        thread.thread().unpark();
        if thread.join().is_err() {
            tracing::error!("the thread that follows the root panicked");
        }
    }
}

impl Drop for NetworkFollower {
    fn drop(&mut self) {
        self.end();
    }
}

fn follow(view: &NetworkView, stop: &AtomicBool) {
    while !stop.load(Ordering::Acquire) {
        match view.advance() {
            Ok(Progress::Added) => {}
            Ok(Progress::Waiting) => thread::park_timeout(SHARD_PAUSE),
            Ok(Progress::UpToDate) => view.root.wait_above(view.height(), ROOT_PAUSE),
            Err(error) => {
                tracing::error!(%error, "the network's chain does not go on");
                thread::park_timeout(FAULT_PAUSE);
            }
        }
    }
    if let Err(error) = view.log.sync() {
        tracing::warn!(%error, "the end of the network's index is made again at the next start");
    }
}
