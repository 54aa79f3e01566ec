//! The state tables: trie nodes and code as of the last flush, the indexes of the blocks up to it, and which
//! chain all this is of. One transaction a flush, so what is here is always the state of one block.

use std::path::{Path, PathBuf};

use alloy_primitives::{B256, Bytes, keccak256};
use anfs_primitives::{BlockHash, Height, NetworkId};
use anfs_state::{EMPTY_ROOT, NodeKey, NodeReader, StateDiff, StateError};
use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};

use crate::error::StoreError;
use crate::frame::{self, Binding};
use crate::index::{BlockIndex, MessagePlace};

/// Version of the folder's format, logs included.
const FORMAT: u32 = 2;

const NODES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("nodes");
const CODES: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("codes");
const TRANSACTIONS: TableDefinition<'_, &[u8; 32], (u64, u32)> = TableDefinition::new("transactions");
/// By a message's id: height, position, and whether it was consumed there.
const MESSAGES: TableDefinition<'_, &[u8; 32], (u64, u32, bool)> = TableDefinition::new("messages");
const BLOCKS: TableDefinition<'_, &[u8; 32], u64> = TableDefinition::new("blocks");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
/// `format 4 | network 8 | genesis 32`
const CHAIN: &str = "chain";
/// `height 8 | state root 32`
const FLUSHED: &str = "flushed";

/// `state.redb`.
#[derive(Debug)]
pub(crate) struct StateTables {
    db: Database,
    path: PathBuf,
}

impl StateTables {
    /// Opens the tables, which are empty and of no chain when they are new.
    pub(crate) fn open(path: PathBuf, cache_bytes: usize) -> Result<Self, StoreError> {
        let db = Database::builder()
            .set_cache_size(cache_bytes)
            .create(&path)
            .map_err(StoreError::tables(&path))?;
        Ok(Self { db, path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn damaged(&self, what: String) -> StoreError {
        frame::damaged(&self.path, 0, what)
    }

    fn with<T>(&self, work: impl FnOnce(&Database) -> Result<T, redb::Error>) -> Result<T, StoreError> {
        work(&self.db).map_err(StoreError::tables(&self.path))
    }

    /// Whether the tables are of this chain (`true`) or of none yet (`false`).
    pub(crate) fn check_binding(&self, binding: Binding) -> Result<bool, StoreError> {
        let Some(found) = self.meta(CHAIN)? else {
            return Ok(false);
        };
        let (Some(format), Some(network), Some(genesis)) =
            (found.get(..4), found.get(4..12), found.get(12..44))
        else {
            return Err(self.damaged("the chain's name is unreadable".to_owned()));
        };
        let format = u32::from_le_bytes(format.try_into().expect("four bytes"));
        if format != FORMAT {
            return Err(StoreError::Version { path: self.path.clone(), found: format, supported: FORMAT });
        }
        let network = NetworkId(u64::from_le_bytes(network.try_into().expect("eight bytes")));
        let genesis = B256::from_slice(genesis);
        if (Binding { network, genesis }) != binding {
            return Err(StoreError::OtherChain {
                path: self.path.clone(),
                found_network: network,
                found_genesis: genesis,
                network: binding.network,
                genesis: binding.genesis,
            });
        }
        Ok(true)
    }

    /// Creates the tables and binds them to a chain.
    pub(crate) fn bind(&self, binding: Binding) -> Result<(), StoreError> {
        let mut chain = FORMAT.to_le_bytes().to_vec();
        chain.extend_from_slice(&binding.network.0.to_le_bytes());
        chain.extend_from_slice(binding.genesis.as_slice());
        self.with(|db| {
            let mut tx = db.begin_write()?;
            tx.set_quick_repair(true);
            tx.open_table(NODES)?;
            tx.open_table(CODES)?;
            tx.open_table(TRANSACTIONS)?;
            tx.open_table(MESSAGES)?;
            tx.open_table(BLOCKS)?;
            tx.open_table(META)?.insert(CHAIN, chain.as_slice())?;
            tx.commit()?;
            Ok(())
        })
    }

    fn meta(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.with(|db| {
            let table = match db.begin_read()?.open_table(META) {
                Ok(table) => table,
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            Ok(table.get(key)?.map(|value| value.value().to_vec()))
        })
    }

    /// The block whose state the tables hold, with its state root.
    pub(crate) fn flushed(&self) -> Result<Option<(Height, B256)>, StoreError> {
        let Some(found) = self.meta(FLUSHED)? else {
            return Ok(None);
        };
        if found.len() != 40 {
            return Err(self.damaged("the flushed height is unreadable".to_owned()));
        }
        let height = u64::from_le_bytes(found[..8].try_into().expect("eight bytes"));
        Ok(Some((Height(height), B256::from_slice(&found[8..]))))
    }

    /// Writes a state and the indexes of the blocks up to it in one transaction.
    pub(crate) fn flush(
        &self,
        height: Height,
        root: B256,
        diff: &StateDiff,
        blocks: &[impl AsRef<BlockIndex>],
    ) -> Result<(), StoreError> {
        let mut nodes: Vec<_> =
            diff.nodes.iter().map(|(key, node)| (key.to_bytes(), node.as_deref())).collect();
        // Neighbours in the tree of the table are written together.
        nodes.sort_unstable();
        let mut flushed = height.0.to_le_bytes().to_vec();
        flushed.extend_from_slice(root.as_slice());
        self.with(|db| {
            let mut tx = db.begin_write()?;
            // After a kill the database opens at once, however large it is.
            tx.set_quick_repair(true);
            {
                let mut table = tx.open_table(NODES)?;
                for (key, node) in &nodes {
                    match node {
                        Some(node) => drop(table.insert(key.as_slice(), *node)?),
                        None => drop(table.remove(key.as_slice())?),
                    }
                }
                let mut table = tx.open_table(CODES)?;
                for (hash, code) in &diff.codes {
                    table.insert(&hash.0, code.as_ref())?;
                }
                let mut hashes = tx.open_table(BLOCKS)?;
                let mut transactions = tx.open_table(TRANSACTIONS)?;
                let mut messages = tx.open_table(MESSAGES)?;
                for block in blocks.iter().map(AsRef::as_ref) {
                    hashes.insert(&block.hash.0, block.height.0)?;
                    for (index, hash) in (0u32..).zip(&block.transactions) {
                        transactions.insert(&hash.0, (block.height.0, index))?;
                    }
                    for (id, MessagePlace { height, index, consumed }) in &block.messages {
                        messages.insert(&id.0, (height.0, *index, *consumed))?;
                    }
                }
                tx.open_table(META)?.insert(FLUSHED, flushed.as_slice())?;
            }
            tx.commit()?;
            Ok(())
        })
    }

    pub(crate) fn height_of(&self, hash: &BlockHash) -> Result<Option<Height>, StoreError> {
        self.with(|db| {
            let found = db.begin_read()?.open_table(BLOCKS)?.get(&hash.0)?;
            Ok(found.map(|height| Height(height.value())))
        })
    }

    pub(crate) fn transaction(&self, hash: &B256) -> Result<Option<(Height, u32)>, StoreError> {
        self.with(|db| {
            let found = db.begin_read()?.open_table(TRANSACTIONS)?.get(&hash.0)?;
            Ok(found.map(|place| place.value()).map(|(height, index)| (Height(height), index)))
        })
    }

    pub(crate) fn message(&self, id: &B256) -> Result<Option<MessagePlace>, StoreError> {
        self.with(|db| {
            let found = db.begin_read()?.open_table(MESSAGES)?.get(&id.0)?;
            Ok(found.map(|place| place.value()).map(|(height, index, consumed)| MessagePlace {
                height: Height(height),
                index,
                consumed,
            }))
        })
    }

    fn node_bytes(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.with(|db| {
            let found = db.begin_read()?.open_table(NODES)?.get(key)?;
            Ok(found.map(|node| node.value().to_vec()))
        })
    }

    fn code_bytes(&self, hash: &B256) -> Result<Option<Bytes>, StoreError> {
        self.with(|db| {
            let found = db.begin_read()?.open_table(CODES)?.get(&hash.0)?;
            Ok(found.map(|code| Bytes::copy_from_slice(code.value())))
        })
    }

    /// Bytes of the file.
    pub(crate) fn size(&self) -> Result<u64, StoreError> {
        let metadata = std::fs::metadata(&self.path).map_err(StoreError::io("read", &self.path))?;
        Ok(metadata.len())
    }

    /// Checks every page and what the tables claim; the counts of nodes, codes and transactions.
    pub(crate) fn verify(&mut self, problems: &mut Vec<String>) -> Result<TableCounts, StoreError> {
        let path = self.path.clone();
        if !self.db.check_integrity().map_err(StoreError::tables(&path))? {
            problems.push(format!("{}: pages were damaged and have been repaired", path.display()));
        }
        if let Some((height, root)) = self.flushed()?
            && root != EMPTY_ROOT
        {
            let key = NodeKey { owner: None, path: Default::default() };
            let found = self.node_bytes(&key.to_bytes())?.map(keccak256);
            if found != Some(root) {
                let what =
                    format!("the state root of block {height} is {root}, the root node's hash {found:?}");
                problems.push(format!("{}: {what}", path.display()));
            }
        }
        self.with(|db| {
            let tx = db.begin_read()?;
            let codes = tx.open_table(CODES)?;
            for entry in codes.iter()? {
                let (hash, code) = entry?;
                if keccak256(code.value()).0 != *hash.value() {
                    let hash = B256::new(*hash.value());
                    problems.push(format!("{}: code {hash} has another hash", path.display()));
                }
            }
            Ok(TableCounts {
                nodes: tx.open_table(NODES)?.len()?,
                codes: codes.len()?,
                transactions: tx.open_table(TRANSACTIONS)?.len()?,
                messages: tx.open_table(MESSAGES)?.len()?,
            })
        })
    }
}

/// Rows of the tables.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TableCounts {
    pub(crate) nodes: u64,
    pub(crate) codes: u64,
    pub(crate) transactions: u64,
    pub(crate) messages: u64,
}

impl NodeReader for StateTables {
    fn node(&self, key: &NodeKey) -> Result<Option<Vec<u8>>, StateError> {
        self.node_bytes(&key.to_bytes()).map_err(|error| StateError::Storage(error.to_string()))
    }

    fn code(&self, hash: &B256) -> Result<Option<Bytes>, StateError> {
        self.code_bytes(hash).map_err(|error| StateError::Storage(error.to_string()))
    }
}
