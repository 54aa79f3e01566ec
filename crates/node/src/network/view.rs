//! The network's chain for readers: recent blocks in memory, older ones put together again from the index.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use alloy_primitives::B256;
use alloy_primitives::map::B256Map;
use anfs_primitives::{ChainSpec, CrossMessage, DomainId, DomainMap, Height, SealedRootHeader, decode};
use anfs_rpc::{BlockSummary, ShownBlock};
use anfs_state::AccountTrie;
use anfs_store::disk::Disk;
use anfs_store::{MessagePlace, RecordLog, RecordLogOptions};
use parking_lot::{Mutex, RwLock};
use tokio::sync::broadcast;

use super::accounts::Accounts;
use super::block::{self, DomainChain, Domains, NetworkBlock};
use super::completion::{Open, OpenWay, Spot, Way, apply};
use super::record::{DomainRow, Entry, MAGIC, Record, Shown};
use crate::chain::ChainLimits;
use crate::error::NodeError;
use crate::feed::HEADS_BUFFERED;
use crate::root::RootChain;

/// Network blocks held in memory.
pub(crate) const RECENT_BLOCKS: usize = ChainLimits::SERVING.blocks;
/// Network blocks whose accounts are held: as many as a shard holds states of its own blocks.
pub(crate) const RECENT_ACCOUNTS: usize = ChainLimits::SERVING.states;
/// An index record larger than this was not written by this program.
const RECORD_BYTES_MAX: usize = 256 * 1024 * 1024;

/// What the network's blocks are made from.
#[derive(Debug)]
pub struct NetworkSources {
    /// The chain spec, of at least one shard.
    pub spec: Arc<ChainSpec>,
    /// The final root blocks. Those on disk are published before the view is opened.
    pub root: Arc<RootChain>,
    /// The decided blocks of each shard; the first is domain 1's.
    pub shards: Vec<Arc<dyn DomainChain>>,
    /// The file of the index.
    pub index: PathBuf,
}

/// The network's chain. Cheap to share; readers never wait for the next block to be put together.
#[derive(Debug)]
pub struct NetworkView {
    pub(crate) spec: Arc<ChainSpec>,
    pub(crate) root: Arc<RootChain>,
    pub(crate) domains: Domains,
    pub(crate) log: RecordLog,
    genesis: Arc<NetworkBlock>,
    pub(crate) recent: RwLock<Recent>,
    /// Transactions that are not complete.
    pub(crate) open: RwLock<Open>,
    /// The accounts after the newest block. Locked while a block is added.
    pub(crate) adding: Mutex<Accounts>,
    pub(crate) news: broadcast::Sender<Arc<dyn ShownBlock>>,
}

/// What is at hand of the newest blocks.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    pub(crate) blocks: VecDeque<Arc<NetworkBlock>>,
    /// The accounts after the newest of them, as far as they are known.
    accounts: VecDeque<(Height, AccountTrie)>,
    by_transaction: B256Map<(Height, u32)>,
}

/// Where a message was sent and consumed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mentions {
    pub(crate) sent: Option<Spot>,
    pub(crate) consumed: Option<Spot>,
}

/// What is known of a transaction whose own block is final.
#[derive(Clone, Debug)]
pub(crate) enum Traced {
    /// It is complete: height of the network block and index in it.
    Listed(Way, Height, u32),
    /// It is not.
    Open(OpenWay),
}

impl NetworkView {
    /// Opens the index, or begins one, and goes on where it ends.
    ///
    /// # Errors
    /// When the index cannot be used, belongs to another network, or names blocks that cannot be read.
    pub fn open(sources: NetworkSources, disk: &dyn Disk) -> Result<Self, NodeError> {
        let NetworkSources { spec, root, shards, index } = sources;
        let options = RecordLogOptions {
            path: index,
            magic: MAGIC,
            network: spec.network,
            genesis: root.genesis().hash(),
            first: 1,
        };
        let log = RecordLog::open(disk, &options)?;
        let accounts = Accounts::genesis(&spec, root.domain())?;
        let genesis = Arc::new(genesis_block(&spec, root.genesis(), accounts.root()));
        let view = Self {
            domains: Domains { root: root.domain().clone(), shards },
            log,
            recent: RwLock::default(),
            open: RwLock::default(),
            adding: Mutex::new(accounts),
            news: broadcast::channel(HEADS_BUFFERED).0,
            genesis,
            spec,
            root,
        };
        view.recover()?;
        Ok(view)
    }

    /// Takes up after the last block of the index that the root has. Records above it are looked at again when the root
    /// gets there.
    fn recover(&self) -> Result<(), NodeError> {
        let top = self.root.height().0.min(self.log.next() - 1);
        let mut last = None;
        for height in (1..=top).rev() {
            let record = self.record(Height(height))?;
            let known = self.root.header(Height(height))?.map(|root| root.hash());
            last = record.filter(|record| Some(record.entry.shown.hash) == known);
            if last.is_some() {
                break;
            }
            self.log.cut(height)?;
        }
        let mut accounts = self.adding.lock();
        let Some(last) = last else {
            self.recent.write().push(self.genesis.clone(), accounts.trie());
            return Ok(());
        };
        let Shown { height: head, hash, .. } = last.entry.shown;
        accounts.forget();
        let trie = accounts.follow(head, &last.entry.domains, &self.domains);
        let known = self.state_root(head, hash, trie.as_ref())?;
        let trie = trie.filter(|_| known == last.entry.shown.state_root);
        *self.open.write() = self.open_at(last)?;
        let block = self.block_of(head)?.ok_or_else(|| absent(head))?;
        self.recent.write().push(block, trie);
        Ok(())
    }

    /// The state root of a block, by its accounts or by the index if it has the block; both must say the same.
    pub(crate) fn state_root(
        &self,
        height: Height,
        hash: B256,
        accounts: Option<&AccountTrie>,
    ) -> Result<Option<B256>, NodeError> {
        let noted = if self.log.next() > height.0 { self.record(height)? } else { None };
        let noted = noted.filter(|record| record.entry.shown.hash == hash);
        let noted = noted.and_then(|record| record.entry.shown.state_root);
        let gathered = accounts.map(AccountTrie::root);
        match (gathered, noted) {
            (Some(gathered), Some(noted)) if gathered != noted => {
                let detail = format!(
                    "the states of the domains come to the state root {gathered}, and its record in the index says {noted}: \
                     one of them is damaged; stop the node and remove the index: it is made again"
                );
                Err(NodeError::Network { height, detail })
            }
            _ => Ok(gathered.or(noted)),
        }
    }

    /// The accounts after a block, if they are held; else the oldest height from which on they are.
    pub(crate) fn accounts(&self, height: Height) -> Result<AccountTrie, Option<Height>> {
        let recent = self.recent.read();
        let at = recent.accounts.partition_point(|(held, _)| *held < height);
        match recent.accounts.get(at) {
            Some((held, trie)) if *held == height => Ok(trie.clone()),
            later => Err(later.map(|(held, _)| *held)),
        }
    }

    /// The transactions that were open after a block of the index.
    fn open_at(&self, last: Record) -> Result<Open, NodeError> {
        let mut changes = vec![last];
        while let Some(oldest) = changes.last().filter(|oldest| !oldest.whole) {
            let Some(below) = oldest.entry.shown.height.prev().filter(|below| *below > Height::ZERO) else {
                break;
            };
            changes.push(self.record(below)?.ok_or_else(|| absent(below))?);
        }
        let mut open = Open::new();
        for record in changes.iter().rev() {
            apply(&mut open, &record.entry.listed, &record.open);
        }
        Ok(open)
    }

    /// A record of the index, once it is durable.
    pub(crate) fn record(&self, height: Height) -> Result<Option<Record>, NodeError> {
        let Some(bytes) = self.log.read(height.0)? else { return Ok(None) };
        decode(&bytes, RECORD_BYTES_MAX).map(Some).map_err(|error| NodeError::Network {
            height,
            detail: format!("its record in the index makes no sense ({error}); stop the node and remove the index: it is made again"),
        })
    }

    /// What is known of a block without reading its transactions; `None` above the head.
    pub(crate) fn entry(&self, height: Height) -> Result<Option<Arc<Entry>>, NodeError> {
        if let Some(known) = self.at_hand(height) {
            return Ok(known.map(|block| block.entry.clone()));
        }
        Ok(self.record(height)?.map(|record| record.entry))
    }

    /// A block that is in memory; `Some(None)` for one above the head.
    fn at_hand(&self, height: Height) -> Option<Option<Arc<NetworkBlock>>> {
        if height == Height::ZERO {
            return Some(Some(self.genesis.clone()));
        }
        let recent = self.recent.read();
        let oldest = recent.blocks.front()?.height();
        let at = usize::try_from(height.0.checked_sub(oldest.0)?).ok()?;
        Some(recent.blocks.get(at).cloned())
    }

    fn block_of(&self, height: Height) -> Result<Option<Arc<NetworkBlock>>, NodeError> {
        if let Some(known) = self.at_hand(height) {
            return Ok(known);
        }
        let Some(record) = self.record(height)? else { return Ok(None) };
        let body = block::body(&self.domains, height, &record.entry.listed)?;
        Ok(Some(Arc::new(NetworkBlock { entry: record.entry, body })))
    }

    /// The newest block.
    ///
    /// # Panics
    /// Never: genesis or a later block is always held.
    #[must_use]
    pub fn head(&self) -> Arc<dyn ShownBlock> {
        self.newest()
    }

    pub(crate) fn newest(&self) -> Arc<NetworkBlock> {
        self.recent.read().blocks.back().expect("the head is always in memory").clone()
    }

    /// The newest block's height.
    #[must_use]
    pub fn height(&self) -> Height {
        self.newest().height()
    }

    /// The block at a height, or `None` above the head.
    ///
    /// # Errors
    /// When the index or a shard's blocks cannot be read.
    pub fn block(&self, height: Height) -> Result<Option<Arc<dyn ShownBlock>>, NodeError> {
        Ok(self.block_of(height)?.map(|block| block as _))
    }

    /// A block's summary by height.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn header(&self, height: Height) -> Result<Option<BlockSummary>, NodeError> {
        Ok(self.entry(height)?.map(|entry| entry.shown.summary()))
    }

    /// The height of the block with a hash.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn height_of(&self, hash: &B256) -> Result<Option<Height>, NodeError> {
        if let Some(height) = self.root.height_of(hash) {
            return Ok(Some(height).filter(|height| *height <= self.height()));
        }
        // A record begins with the hash of its block.
        for number in self.log.beginning_with([hash[0], hash[1], hash[2], hash[3]]) {
            let entry = self.entry(Height(number))?;
            if entry.is_some_and(|entry| entry.shown.hash == *hash) {
                return Ok(Some(Height(number)));
            }
        }
        Ok(None)
    }

    /// Where a transaction is listed: height of the block, and index in it.
    ///
    /// # Errors
    /// When the index or a shard's blocks cannot be read.
    pub fn transaction(&self, hash: &B256) -> Result<Option<(Height, u32)>, NodeError> {
        if let Some(place) = self.recent.read().by_transaction.get(hash) {
            return Ok(Some(*place));
        }
        Ok(match self.trace(hash)? {
            Some(Traced::Listed(_, height, index)) => Some((height, index)),
            _ => None,
        })
    }

    /// The way of a transaction whose own block is final.
    pub(crate) fn trace(&self, hash: &B256) -> Result<Option<Traced>, NodeError> {
        if let Some(open) = self.open.read().get(hash) {
            return Ok(Some(Traced::Open(open.clone())));
        }
        let place = self.recent.read().by_transaction.get(hash).copied();
        if let Some((height, index)) = place {
            let entry = self.entry(height)?.ok_or_else(|| absent(height))?;
            let way = entry.listed.get(index as usize).cloned().ok_or_else(|| absent(height))?;
            return Ok(Some(Traced::Listed(way, height, index)));
        }
        let Some(spot) = self.executed(hash)? else { return Ok(None) };
        let Some(from) = self.final_in(spot.domain, spot.height)? else { return Ok(None) };
        // It completed not long after its own block became final.
        for height in (from.0..=self.height().0).map(Height) {
            let entry = self.entry(height)?.ok_or_else(|| absent(height))?;
            let listed = (0u32..).zip(&entry.listed).find(|(_, way)| way.transaction == *hash);
            if let Some((index, way)) = listed {
                return Ok(Some(Traced::Listed(way.clone(), height, index)));
            }
        }
        Ok(None)
    }

    /// The shard block that executed a transaction, final or not.
    pub(crate) fn executed(&self, hash: &B256) -> Result<Option<Spot>, NodeError> {
        for (domain, shard) in (1u32..).map(DomainId).zip(&self.domains.shards) {
            let found = shard.transaction(hash).map_err(|error| NodeError::Network {
                height: self.height(),
                detail: format!("transactions of shard {domain} cannot be looked up: {error}"),
            })?;
            if let Some((height, index)) = found {
                return Ok(Some(Spot { domain, height, index }));
            }
        }
        Ok(None)
    }

    /// The network block that made a shard's block final; `None` if none has yet.
    pub(crate) fn final_in(&self, domain: DomainId, height: Height) -> Result<Option<Height>, NodeError> {
        let tip = |at: Height| -> Result<Height, NodeError> {
            let entry = self.entry(at)?.ok_or_else(|| absent(at))?;
            Ok(row(&entry, domain).map_or(Height::ZERO, |row| row.tip))
        };
        let (mut below, mut reached) = (0, self.height().0);
        if tip(Height(reached))? < height {
            return Ok(None);
        }
        while below < reached {
            let middle = below + (reached - below) / 2;
            if tip(Height(middle))? < height {
                below = middle + 1;
            } else {
                reached = middle;
            }
        }
        Ok(Some(Height(reached)))
    }

    /// Where final blocks have sent and consumed a message; `None` if none has.
    pub(crate) fn mentions(&self, id: &B256) -> Result<Option<Mentions>, NodeError> {
        let mut found = Mentions::default();
        for domain in (0..=self.map().shards()).map(DomainId) {
            let reader = self.domains.reader(domain).expect("the map is of the view's shards");
            let Some(MessagePlace { height, index, consumed }) = reader.message(id)? else { continue };
            if self.final_in(domain, height)?.is_some() {
                let place = if consumed { &mut found.consumed } else { &mut found.sent };
                *place = Some(Spot { domain, height, index });
            }
        }
        self.complete(&mut found)?;
        Ok((found.sent.is_some() || found.consumed.is_some()).then_some(found))
    }

    /// Adds what the root did with a message longer ago than it holds by id: the other end knows the message.
    fn complete(&self, found: &mut Mentions) -> Result<(), NodeError> {
        let (known, at_source) = match (found.sent, found.consumed) {
            (Some(known), None) => (known, true),
            (None, Some(known)) => (known, false),
            _ => return Ok(()),
        };
        let Some(block) = self.domains.block(known.domain, known.height)? else { return Ok(()) };
        let (Some(shard), at) = (block.shard(), known.index as usize) else { return Ok(()) };
        let message = if at_source {
            shard.crossing.sent.get(at)
        } else {
            shard.crossing.arrivals.get(at).map(|arrival| &arrival.message)
        };
        let of_root = |message: &&CrossMessage| {
            DomainId::ROOT == if at_source { message.destination } else { message.source }
        };
        let Some(message) = message.filter(of_root) else { return Ok(()) };
        let Some(MessagePlace { height, index, .. }) = self.domains.root.find(message)? else {
            return Ok(());
        };
        if self.final_in(DomainId::ROOT, height)?.is_some() {
            let place = if at_source { &mut found.consumed } else { &mut found.sent };
            *place = Some(Spot { domain: DomainId::ROOT, height, index });
        }
        Ok(())
    }

    /// The oldest block in memory after which a shard stood at this height or above; the one to come if there is none.
    pub(crate) fn oldest_at(&self, domain: DomainId, tip: Height) -> Height {
        let recent = self.recent.read();
        let at =
            recent.blocks.partition_point(|block| row(&block.entry, domain).is_none_or(|row| row.tip < tip));
        let next = || recent.blocks.back().map_or(Height::ZERO, |newest| newest.height().next());
        recent.blocks.get(at).map_or_else(next, |block| block.height())
    }

    /// A stream of new blocks from now on.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<dyn ShownBlock>> {
        self.news.subscribe()
    }

    /// Which shard is home to an address.
    #[must_use]
    pub fn map(&self) -> DomainMap {
        DomainMap::new(u32::try_from(self.domains.shards.len()).unwrap_or(u32::MAX).max(1))
    }
}

/// A domain after a network block.
pub(crate) fn row(entry: &Entry, domain: DomainId) -> Option<&DomainRow> {
    entry.domains.get(usize::try_from(domain.0).ok()?)
}

fn absent(height: Height) -> NodeError {
    NodeError::Network { height, detail: "it is not in the index".to_owned() }
}

impl Recent {
    pub(crate) fn push(&mut self, block: Arc<NetworkBlock>, accounts: Option<AccountTrie>) {
        let height = block.height();
        self.accounts.extend(accounts.map(|accounts| (height, accounts)));
        if self.accounts.len() > RECENT_ACCOUNTS {
            self.accounts.pop_front();
        }
        for (index, tx) in (0u32..).zip(block.transactions()) {
            self.by_transaction.insert(*tx.hash(), (height, index));
        }
        self.blocks.push_back(block);
        while self.blocks.len() > RECENT_BLOCKS {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some(old) = self.blocks.pop_front() else { return };
        for tx in old.transactions() {
            self.by_transaction.remove(tx.hash());
        }
    }
}

/// Block 0: what every shard starts from.
fn genesis_block(spec: &ChainSpec, root: &SealedRootHeader, state_root: Option<B256>) -> NetworkBlock {
    let coins = crate::genesis::coins(spec);
    let held = |domain| coins.get(&domain).copied().unwrap_or_default();
    let first = DomainRow { tip: Height::ZERO, hash: root.hash(), held: held(DomainId::ROOT) };
    let tips = (1u32..).map(DomainId).zip(&root.tips);
    let tips = tips.map(|(domain, tip)| DomainRow { tip: tip.height, hash: tip.hash, held: held(domain) });
    let domains = std::iter::once(first).chain(tips).collect();
    let body = block::Body::default();
    let (receipts_root, logs_bloom) = body.receipts_root();
    let shown = Shown {
        hash: root.hash(),
        parent: root.parent,
        height: Height::ZERO,
        state_root,
        transactions_root: body.transactions_root(),
        receipts_root,
        logs_bloom,
        gas_limit: gas_limit(spec, 0),
        gas_used: 0,
        base_fee: spec.initial_base_fee,
        timestamp: root.timestamp_ms / 1000,
        size: anfs_primitives::encode(root.header()).len() as u64,
    };
    NetworkBlock { entry: Arc::new(Entry { shown, domains, listed: Vec::new() }), body }
}

/// What all shards may use in a block each, or what was used if that is more: several blocks of a shard, and legs in
/// earlier ones, may end in one network block.
pub(crate) fn gas_limit(spec: &ChainSpec, gas_used: u64) -> u64 {
    spec.block_gas_limit.saturating_mul(spec.shards.len() as u64).max(gas_used)
}
