//! What one seat keeps of the root: final root blocks, what it signed for them, and now and then the root's state.
//!
//! ```text
//! root/
//!   blocks/00000.log  final root blocks with their certificates, append-only
//!   votes.log         what this seat signs for the root, fsynced before it is sent
//!   state             what the blocks up to a height add up to; a cache, rebuilt from the blocks
//! ```
//!
//! spec: PROTOCOL §6; Root F10

use std::path::PathBuf;
use std::sync::Arc;

use alloy_primitives::B256;
use anfs_primitives::root::ROOT_BLOCK_BYTES_MAX;
use anfs_primitives::{CertifiedRootBlock, Height, NetworkId, decode, encode_into};

use crate::blocks::BlockLog;
use crate::disk::Disk;
use crate::error::StoreError;
use crate::frame::{self, Binding, FileHeader};
use crate::votes::VoteLog;

/// Lies beside a signing record that was begun in place of a lost one.
const UNSURE_FILE: &str = "unsure";
const STATE_FILE: &str = "state";
const STATE_NEW_FILE: &str = "state.new";
const STATE_MAGIC: [u8; 8] = *b"ANFSRST1";
/// A segment of the log that has grown to this many bytes is sealed.
const SEGMENT_BYTES: u64 = 64 * 1024 * 1024;
/// Bytes of an encoded root block with its certificate at most.
const RECORD_BYTES_MAX: usize = ROOT_BLOCK_BYTES_MAX + 1024 * 1024;

/// Where to keep it, and what it belongs to.
#[derive(Clone, Debug)]
pub struct RootStoreOptions {
    /// The folder; created when missing. It lies in a seat's folder, whose lock guards it.
    pub dir: PathBuf,
    /// Network id that the folder is bound to.
    pub network: NetworkId,
    /// Hash of the root's genesis header.
    pub genesis: B256,
    /// Whether the network is being created: a seat without a signing record has then signed nothing yet.
    pub founding: bool,
}

/// What the folder held when it was opened.
#[derive(Debug)]
pub struct RootRecovered {
    /// What this seat signed, oldest first.
    pub votes: Vec<Vec<u8>>,
    /// The signing record was begun in place of one that was lost: the seat may have signed what it does not
    /// hold. So it stays until [`RootStore::settle`].
    pub unsure: bool,
    /// The newest state that was saved, and after which block.
    pub state: Option<(Height, Vec<u8>)>,
}

/// The folder, open. Its owner holds the lock of the folder around it.
#[derive(Debug)]
pub struct RootStore {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    binding: Binding,
    blocks: BlockLog,
    votes: VoteLog,
}

impl RootStore {
    /// Opens the folder, or creates it, cutting off what a crash left half-written.
    ///
    /// # Errors
    /// Any [`StoreError`]: the folder is of another network, damaged or not writable.
    pub fn open(
        options: RootStoreOptions,
        disk: &Arc<dyn Disk>,
    ) -> Result<(Self, RootRecovered), StoreError> {
        let RootStoreOptions { dir, network, genesis, founding } = options;
        let binding = Binding { network, genesis };
        disk.create_dir_all(&dir).map_err(StoreError::io("create", &dir))?;
        disk.sync_dir(&dir).map_err(StoreError::io("fsync", &dir))?;
        let names = disk.list(&dir).map_err(StoreError::io("list", &dir))?;
        let has = |name: &str| names.iter().any(|found| found == name);
        let unsure = has(UNSURE_FILE) || !(founding || VoteLog::is_among(&names));
        if unsure && !has(UNSURE_FILE) {
            // Before the record, so that no crash leaves a new record that passes for the old one.
            let path = dir.join(UNSURE_FILE);
            let made = disk.create(&path).and_then(|file| file.sync());
            made.and_then(|()| disk.sync_dir(&dir)).map_err(StoreError::io("create", &path))?;
        }
        let blocks = BlockLog::open(disk.clone(), dir.join("blocks"), binding, SEGMENT_BYTES)?;
        let (votes, records) = VoteLog::open(disk.clone(), dir.clone(), binding, Some(&[]))?;
        let store = Self { disk: disk.clone(), dir, binding, blocks, votes };
        let state = store.read_state()?;
        Ok((store, RootRecovered { votes: records.unwrap_or_default(), unsure, state }))
    }

    /// Nothing that the seat may have forgotten matters any more: from the next start on its record counts as
    /// whole.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn settle(&self) -> Result<(), StoreError> {
        let path = self.dir.join(UNSURE_FILE);
        let removed = self.disk.remove(&path).and_then(|()| self.disk.sync_dir(&self.dir));
        removed.map_err(StoreError::io("remove", &path))
    }

    /// Height of the newest durable block; 0 when there is none.
    #[must_use]
    pub fn head(&self) -> Height {
        Height(self.blocks.head())
    }

    /// A durable block; `None` for genesis and above the head.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] or [`StoreError::Io`].
    pub fn block(&self, height: Height) -> Result<Option<CertifiedRootBlock>, StoreError> {
        let Some(payload) = self.blocks.read(height.0)? else { return Ok(None) };
        let block = decode(&payload, RECORD_BYTES_MAX).map_err(|error| {
            frame::damaged(&self.blocks.path_of(height.0), 0, format!("root block {height}: {error}"))
        })?;
        Ok(Some(block))
    }

    /// Appends the next block and makes it durable.
    ///
    /// # Errors
    /// [`StoreError::Io`] when the disk does not take it: trying again may help. The block must be the one after
    /// [`Self::head`].
    pub fn append(&self, block: &CertifiedRootBlock) -> Result<(), StoreError> {
        if self.blocks.pending() == 0 {
            self.blocks.append(|out| encode_into(block, out))?;
        }
        self.blocks.sync()
    }

    /// Adds to the signing record, in memory.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`], or [`StoreError::Poisoned`] after a failed fsync.
    pub fn append_vote(&self, record: &[u8]) -> Result<(), StoreError> {
        self.votes.append(&[record.to_vec()])
    }

    /// Makes the signing record durable.
    ///
    /// # Errors
    /// [`StoreError::Io`]: nothing that was added may be sent before a later call succeeds.
    pub fn sync_votes(&self) -> Result<(), StoreError> {
        self.votes.sync()
    }

    /// Replaces the signing record by these, in one step.
    ///
    /// # Errors
    /// [`StoreError::Io`]; the old record is then still in place.
    pub fn prune_votes(&self, keep: &[Vec<u8>]) -> Result<(), StoreError> {
        self.votes.rewrite(keep)
    }

    /// Saves what the blocks up to a height add up to, so that the next start need not add up from genesis.
    ///
    /// # Errors
    /// [`StoreError::Io`]; the state saved before is then still in place.
    pub fn save_state(&self, height: Height, state: &[u8]) -> Result<(), StoreError> {
        let (path, draft) = (self.dir.join(STATE_FILE), self.dir.join(STATE_NEW_FILE));
        let io = |action| StoreError::io(action, &draft);
        let mut bytes = frame::file_header(STATE_MAGIC, self.binding, height.0).to_vec();
        let durable = bytes.len() as u64;
        frame::push(&mut bytes, durable, height.0, |out| out.extend_from_slice(state))?;
        let file = self.disk.create(&draft).map_err(io("create"))?;
        file.write_all_at(&bytes, 0).map_err(io("write"))?;
        file.sync().map_err(io("fsync"))?;
        self.disk.rename(&draft, &path).map_err(StoreError::io("replace", &path))?;
        self.disk.sync_dir(&self.dir).map_err(StoreError::io("fsync", &self.dir))
    }

    /// The saved state; `None` when there is none, it cannot be read, or it is of a block that is not there.
    fn read_state(&self) -> Result<Option<(Height, Vec<u8>)>, StoreError> {
        let path = self.dir.join(STATE_FILE);
        let names = self.disk.list(&self.dir).map_err(StoreError::io("list", &self.dir))?;
        if !names.iter().any(|name| name == STATE_FILE) {
            return Ok(None);
        }
        let file = self.disk.open(&path).map_err(StoreError::io("open", &path))?;
        let FileHeader::Good(height) = frame::read_file_header(&*file, &path, STATE_MAGIC, self.binding)?
        else {
            return Ok(None);
        };
        let mut state = None;
        let scanned = frame::scan(&*file, &path, height, |_, _, payload| state = Some(payload.to_vec()))?;
        let sound = scanned.torn == 0 && height <= self.blocks.head();
        Ok(state.filter(|_| sound).map(|state| (Height(height), state)))
    }
}
