//! The store of one node.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use alloy_primitives::B256;
use anfs_primitives::{
    Block, BlockCrossing, BlockHash, Certificate, CertifiedBlock, Height, NetworkId, Receipt, decode,
    encode_into,
};
use anfs_state::{NodeReader, StateDiff};
use borsh::{BorshDeserialize, BorshSerialize};
use parking_lot::{Mutex, RwLock};

use crate::blocks::BlockLog;
use crate::disk::{Disk, SystemDisk};
use crate::error::StoreError;
use crate::frame::{self, Binding, PAYLOAD_BYTES_MAX};
use crate::index::{BlockIndex, MessagePlace, UnflushedIndex, transaction_hashes};
use crate::lock::FolderLock;
use crate::tables::StateTables;
use crate::verify::{VerifyReport, verify};
use crate::votes::VoteLog;

/// Appended blocks that wait in memory at most; beyond this, appending fsyncs by itself.
const PENDING_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Where and how to store.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// The node's folder; created when missing.
    pub dir: PathBuf,
    /// Network id that the folder is bound to.
    pub network: NetworkId,
    /// Hash of the genesis that the folder is bound to.
    pub genesis: B256,
    /// Blocks between two flushes of the state; see [`Store::flush_due`].
    pub flush_every: u64,
    /// A segment of the block log that has grown to this many bytes is sealed.
    pub segment_bytes: u64,
    /// Memory for pages of the state tables.
    pub cache_bytes: usize,
    /// Begins a new signing record when the folder has lost its own. Whoever sets it must not sign before
    /// what may have been signed has lost its meaning; see [`Recovered::record_created`].
    pub replace_lost_record: bool,
    /// What a signing record begins with, be it a new folder's or in place of a lost one. It is in the file
    /// from the first moment on, so that no crash leaves a record without it.
    pub first_records: Vec<Vec<u8>>,
}

impl StoreOptions {
    /// Options for a folder with everything else at its default.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>, network: NetworkId, genesis: B256) -> Self {
        Self {
            dir: dir.into(),
            network,
            genesis,
            flush_every: 16,
            segment_bytes: 64 * 1024 * 1024,
            cache_bytes: 128 * 1024 * 1024,
            replace_lost_record: false,
            first_records: Vec::new(),
        }
    }
}

/// A decided block with what executing it gave.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct BlockRecord {
    /// The block and its certificate.
    pub certified: CertifiedBlock,
    /// The receipts, one a transaction, in order.
    pub receipts: Vec<Receipt>,
    /// What it had to do with other domains.
    pub crossing: BlockCrossing,
}

/// A decided block to be appended: what [`BlockRecord`] holds, in the hands of whoever executed it.
#[derive(Clone, Debug)]
pub struct NewBlock<'a> {
    /// The block.
    pub block: &'a Block,
    /// What decided it.
    pub certificate: &'a Certificate,
    /// The receipts, one a transaction, in order.
    pub receipts: &'a [Receipt],
    /// What it had to do with other domains.
    pub crossing: &'a BlockCrossing,
    /// keccak-256 of each transaction's encoding, in order.
    pub transaction_hashes: Vec<B256>,
}

impl<'a> From<&'a BlockRecord> for NewBlock<'a> {
    fn from(record: &'a BlockRecord) -> Self {
        let BlockRecord { certified, receipts, crossing } = record;
        let CertifiedBlock { block, certificate } = certified;
        Self { block, certificate, receipts, crossing, transaction_hashes: transaction_hashes(block) }
    }
}

impl NewBlock<'_> {
    /// Appends the encoding of the record.
    fn encode_into(&self, out: &mut Vec<u8>) {
        encode_into(&(self.block, self.certificate, self.receipts, self.crossing), out);
    }
}

/// What a folder held when it was opened.
#[derive(Debug)]
pub struct Recovered {
    /// The block whose state is in the tables, and its state root; `None` before the first flush.
    pub flushed: Option<(Height, B256)>,
    /// The blocks after it, to be executed again.
    pub tail: Tail,
    /// The signing record, oldest first; [`StoreOptions::first_records`] when it was just begun.
    pub votes: Vec<Vec<u8>>,
    /// There was no signing record: one was begun.
    pub record_created: bool,
}

/// The durable blocks above the flushed state, read as they are asked for.
#[derive(Debug)]
pub struct Tail {
    blocks: Arc<BlockLog>,
    heights: std::ops::RangeInclusive<u64>,
}

impl Iterator for Tail {
    type Item = Result<BlockRecord, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let height = self.heights.next()?;
        read_record(&self.blocks, height).transpose()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.heights.size_hint()
    }
}

/// Sizes and heights, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Durable blocks.
    pub blocks: u64,
    /// Bytes of the block log.
    pub block_log_bytes: u64,
    /// Files of the block log.
    pub segments: usize,
    /// Bytes of the signing record.
    pub vote_log_bytes: u64,
    /// Bytes of the state tables.
    pub state_bytes: u64,
    /// Height of the last durable block; 0 when there is none.
    pub head: Height,
    /// Height of the flushed state.
    pub flushed: Option<Height>,
    /// Durable blocks above it.
    pub unflushed_blocks: usize,
}

/// A node's folder, open. Every method takes `&self` and may be called from any thread.
#[derive(Debug)]
pub struct Store {
    tables: Arc<StateTables>,
    blocks: Arc<BlockLog>,
    votes: VoteLog,
    index: RwLock<UnflushedIndex>,
    tip: Mutex<Tip>,
    /// One flush at a time.
    flushing: Mutex<()>,
    flush_every: u64,
    _lock: FolderLock,
}

/// The end of the log, pending blocks included.
#[derive(Debug)]
struct Tip {
    last: Option<(Height, BlockHash)>,
    pending: Vec<BlockIndex>,
}

impl Store {
    /// Locks and opens a folder, or creates it.
    ///
    /// # Errors
    /// Any [`StoreError`]: the folder is in use, of another chain, damaged or not writable.
    pub fn open(options: StoreOptions) -> Result<(Self, Recovered), StoreError> {
        let disk: Arc<dyn Disk> = Arc::new(SystemDisk);
        Self::open_on(options, &disk)
    }

    /// As [`Self::open`], with the two logs on the given disk; the state tables and the lock are always on
    /// the system's.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_on(options: StoreOptions, disk: &Arc<dyn Disk>) -> Result<(Self, Recovered), StoreError> {
        let StoreOptions { dir, network, genesis, flush_every, segment_bytes, cache_bytes, .. } = options;
        let StoreOptions { replace_lost_record, first_records, .. } = options;
        let binding = Binding { network, genesis };
        create_folder(&**disk, &dir)?;
        let lock = FolderLock::acquire(&dir)?;
        let tables = StateTables::open(dir.join("state.redb"), cache_bytes)?;
        let bound = tables.check_binding(binding)?;
        let fresh = (!bound || replace_lost_record).then_some(first_records.as_slice());
        let (votes, records) = VoteLog::open(disk.clone(), dir.clone(), binding, fresh)?;
        let blocks = Arc::new(BlockLog::open(disk.clone(), dir.join("blocks"), binding, segment_bytes)?);
        // A process killed between creating or renaming a file and the fsync leaves names that only memory
        // holds, and what they lead to is trusted from here on. Before binding, so that a folder is bound
        // only once its logs are in place.
        disk.sync_dir(&dir).map_err(StoreError::io("fsync", &dir))?;
        if !bound {
            tables.bind(binding)?;
        }
        let index = recover_index(&tables, &blocks)?;
        let first = index.flushed.map_or(0, |(height, _)| height.0) + 1;
        let tail = Tail { blocks: blocks.clone(), heights: first..=blocks.head() };
        let record_created = records.is_none();
        let votes_held = records.unwrap_or(first_records);
        let recovered = Recovered { flushed: index.flushed, tail, votes: votes_held, record_created };
        let store = Self {
            tables: Arc::new(tables),
            blocks,
            votes,
            tip: Mutex::new(Tip { last: index.head, pending: Vec::new() }),
            index: RwLock::new(index),
            flushing: Mutex::new(()),
            flush_every,
            _lock: lock,
        };
        Ok((store, recovered))
    }

    /// The state tables, for tries that load their nodes when they need them.
    #[must_use]
    pub fn state_reader(&self) -> Arc<dyn NodeReader> {
        self.tables.clone()
    }

    /// Appends a decided block in memory; [`Self::sync_blocks`] makes it durable and visible.
    ///
    /// # Errors
    /// [`StoreError::Order`] unless it extends the last one; a full or failing disk.
    pub fn append_block<'a>(&self, block: impl Into<NewBlock<'a>>) -> Result<(), StoreError> {
        let new: NewBlock<'_> = block.into();
        let header = &new.block.header;
        let (height, hash, parent) = (header.height, header.hash(), header.parent);
        let mut tip = self.tip.lock();
        let expected = tip.last.map_or(Height::ZERO, |(height, _)| height).next();
        let on_parent = tip.last.is_none_or(|(_, hash)| hash == parent);
        if height != expected || !on_parent {
            let parent = tip.last.map_or(B256::ZERO, |(_, hash)| hash);
            return Err(StoreError::Order { expected, found: height, parent });
        }
        if self.blocks.pending() >= PENDING_BYTES_MAX {
            self.sync_tip(&mut tip)?;
        }
        self.blocks.append(|frame| new.encode_into(frame))?;
        tip.last = Some((height, hash));
        tip.pending.push(BlockIndex::new(new.block, new.crossing, new.transaction_hashes));
        Ok(())
    }

    /// Makes all appended blocks durable with one fsync, then visible to look-ups.
    ///
    /// # Errors
    /// A full disk: nothing is lost, and a later call may succeed. After a failed fsync the store takes no
    /// more blocks ([`StoreError::Poisoned`]).
    pub fn sync_blocks(&self) -> Result<(), StoreError> {
        self.sync_tip(&mut self.tip.lock())
    }

    fn sync_tip(&self, tip: &mut Tip) -> Result<(), StoreError> {
        self.blocks.sync()?;
        let mut index = self.index.write();
        for block in tip.pending.drain(..) {
            index.insert(block);
        }
        Ok(())
    }

    /// The last durable block; `None` when there is only genesis.
    #[must_use]
    pub fn head(&self) -> Option<(Height, BlockHash)> {
        self.index.read().head
    }

    /// A durable block.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn block_by_height(&self, height: Height) -> Result<Option<BlockRecord>, StoreError> {
        read_record(&self.blocks, height.0)
    }

    /// The height of a durable block.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub fn height_of(&self, hash: &BlockHash) -> Result<Option<Height>, StoreError> {
        // Memory first: a block enters the tables before it leaves memory.
        let unflushed = self.index.read().height_of(hash);
        unflushed.map_or_else(|| self.tables.height_of(hash), |height| Ok(Some(height)))
    }

    /// Where a transaction is: its block's height, and its position in the block.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub fn transaction(&self, hash: &B256) -> Result<Option<(Height, u32)>, StoreError> {
        let unflushed = self.index.read().transaction(hash);
        unflushed.map_or_else(|| self.tables.transaction(hash), |place| Ok(Some(place)))
    }

    /// Where a message was sent or consumed, by its id.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub fn message(&self, id: &B256) -> Result<Option<MessagePlace>, StoreError> {
        let unflushed = self.index.read().message(id);
        unflushed.map_or_else(|| self.tables.message(id), |place| Ok(Some(place)))
    }

    /// Height of the flushed state; zero, genesis, before the first flush.
    #[must_use]
    pub fn flushed_height(&self) -> Height {
        self.index.read().flushed.map_or(Height::ZERO, |(height, _)| height)
    }

    /// Whether `flush_every` blocks have become durable since the last flush, or genesis is not flushed.
    #[must_use]
    pub fn flush_due(&self) -> bool {
        let index = self.index.read();
        index.flushed.is_none_or(|(flushed, _)| index.head_height().0 - flushed.0 >= self.flush_every)
    }

    /// Writes the state of a durable block, or of genesis (height 0), and the indexes up to it, in one
    /// transaction. Takes long: call it off the consensus thread. Look-ups and appends go on meanwhile.
    ///
    /// # Errors
    /// [`StoreError::FlushOrder`] below the last flush or above the last durable block; a full or failing
    /// disk, after which the last flush still stands.
    pub fn flush_state(&self, height: Height, root: B256, diff: &StateDiff) -> Result<(), StoreError> {
        let _one = self.flushing.lock();
        let blocks = {
            let index = self.index.read();
            let (flushed, head) = (index.flushed, index.head_height());
            let follows = flushed.is_none_or(|last| last.0 < height || last == (height, root));
            if !follows || height > head {
                let flushed = flushed.map(|(height, _)| height);
                return Err(StoreError::FlushOrder { height, flushed, head });
            }
            index.up_to(height)
        };
        self.tables.flush(height, root, diff, &blocks)?;
        self.index.write().flush(height, root);
        Ok(())
    }

    /// Adds records to the signing record in memory.
    ///
    /// # Errors
    /// An empty or oversize record, or a log poisoned by an earlier failed fsync.
    pub fn append_votes(&self, records: &[Vec<u8>]) -> Result<(), StoreError> {
        self.votes.append(records)
    }

    /// Makes all added records durable with one fsync; only then may anything they stand for be sent.
    ///
    /// # Errors
    /// As [`Self::sync_blocks`].
    pub fn sync_votes(&self) -> Result<(), StoreError> {
        self.votes.sync()
    }

    /// Replaces the whole signing record, records that wait for [`Self::sync_votes`] included, by `keep`;
    /// durable when this returns. A crash leaves either the old record or the new one.
    ///
    /// # Errors
    /// A full or failing disk; unless the replacement itself failed, the old record is still appended to.
    pub fn prune_votes(&self, keep: &[Vec<u8>]) -> Result<(), StoreError> {
        self.votes.rewrite(keep)
    }

    /// Sizes and heights, for metrics.
    ///
    /// # Errors
    /// When the size of the tables cannot be read.
    pub fn stats(&self) -> Result<StoreStats, StoreError> {
        let (block_log_bytes, segments) = self.blocks.size();
        let index = self.index.read();
        Ok(StoreStats {
            blocks: index.head_height().0,
            block_log_bytes,
            segments,
            vote_log_bytes: self.votes.size(),
            state_bytes: self.tables.size()?,
            head: index.head_height(),
            flushed: index.flushed.map(|(height, _)| height),
            unflushed_blocks: index.len(),
        })
    }

    /// Reads the whole folder and checks it: every block and its place in the chain and the indexes, every
    /// page of the tables, code hashes, the root node, the signing record.
    ///
    /// # Errors
    /// When something cannot be read at all; [`StoreError::Busy`] while a state reader is in use. What is
    /// readable but wrong is in the report.
    pub fn verify(&mut self) -> Result<VerifyReport, StoreError> {
        self.sync_blocks()?;
        let path = self.tables.path().to_owned();
        let tables = Arc::get_mut(&mut self.tables).ok_or(StoreError::Busy { path })?;
        verify(tables, &self.blocks, &self.votes, self.index.get_mut())
    }
}

/// Creates the folder and its missing parents, durably: with them the signing record would vanish.
fn create_folder(disk: &dyn Disk, dir: &Path) -> Result<(), StoreError> {
    let missing: Vec<&Path> = dir.ancestors().take_while(|path| !path.exists()).collect();
    std::fs::create_dir_all(dir).map_err(StoreError::io("create", dir))?;
    disk.create_dir_all(dir).map_err(StoreError::io("create", dir))?;
    for path in missing.into_iter().filter(|path| !path.as_os_str().is_empty()) {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        disk.sync_dir(parent).map_err(StoreError::io("fsync", parent))?;
    }
    Ok(())
}

/// Reads back the index of what is durable but not flushed.
fn recover_index(tables: &StateTables, blocks: &BlockLog) -> Result<UnflushedIndex, StoreError> {
    let mut index = UnflushedIndex::new(tables.flushed()?);
    let head = blocks.head();
    let flushed = index.flushed.map_or(0, |(height, _)| height.0);
    if flushed > head {
        let what = format!("the log ends at block {head}, but the state of block {flushed} has been flushed");
        return Err(frame::damaged(&blocks.path_of(head), 0, what));
    }
    if flushed == head {
        let record = read_record(blocks, head)?;
        index.head =
            record.map(|record| (record.certified.block.height(), record.certified.block.header.hash()));
    }
    for height in flushed + 1..=head {
        if let Some(record) = read_record(blocks, height)? {
            index.insert(BlockIndex::of(&record.certified.block, &record.crossing));
        }
    }
    Ok(index)
}

pub(crate) fn read_record(blocks: &BlockLog, height: u64) -> Result<Option<BlockRecord>, StoreError> {
    let Some(payload) = blocks.read(height)? else {
        return Ok(None);
    };
    let record = decode(&payload, PAYLOAD_BYTES_MAX).map_err(|error| {
        frame::damaged(&blocks.path_of(height), 0, format!("block {height} does not decode: {error}"))
    })?;
    Ok(Some(record))
}
