//! A store driven step by step beside a model of what it may and must remember.

use std::path::PathBuf;

use alloy_primitives::B256;
use anfs_primitives::Height;
use anfs_state::StateDiff;
use anfs_store::{BlockRecord, Store, StoreError};

use crate::chain::{options, transaction_hash};
use crate::disk::{FaultyDisk, Survival};

/// Something that a node does with its store.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Append,
    SyncBlocks,
    Votes(u8),
    SyncVotes,
    /// Keeps the last so many votes.
    Prune(u8),
    Flush,
    /// The process is killed; the machine runs on.
    Kill,
    /// The machine loses power.
    Crash(Survival),
}

pub(crate) struct Harness<'a> {
    pub(crate) disk: FaultyDisk,
    pub(crate) dir: PathBuf,
    chain: &'a [BlockRecord],
    store: Option<Store>,
    /// Blocks that must survive, and blocks that may.
    synced: usize,
    appended: usize,
    flushed: Option<u64>,
    /// Votes that must survive in front, votes that may behind them.
    votes: Vec<Vec<u8>>,
    pending: Vec<Vec<u8>>,
    /// What an interrupted replacement may have left instead.
    replacement: Option<Vec<Vec<u8>>>,
    vote_count: u32,
}

impl<'a> Harness<'a> {
    pub(crate) fn new(dir: PathBuf, chain: &'a [BlockRecord]) -> Self {
        Self {
            disk: FaultyDisk::default(),
            dir,
            chain,
            store: None,
            synced: 0,
            appended: 0,
            flushed: None,
            votes: Vec::new(),
            pending: Vec::new(),
            replacement: None,
            vote_count: 0,
        }
    }

    /// Opens the store if it is not open, and holds what it recovered against the model.
    fn store(&mut self) -> Result<&Store, StoreError> {
        if self.store.is_none() {
            let mut options = options(&self.dir);
            options.segment_bytes = 3000;
            let (store, recovered) = Store::open_on(options, &self.disk.shared())?;
            let head = store.head().map_or(0, |(height, _)| height.0);
            let count = usize::try_from(head).unwrap();
            assert!((self.synced..=self.appended).contains(&count), "{count} blocks of {}", self.appended);
            (self.synced, self.appended) = (count, count);
            assert_eq!(recovered.flushed.map(|(height, _)| height.0), self.flushed);
            let from = usize::try_from(self.flushed.unwrap_or(0)).unwrap();
            let tail: Vec<_> = recovered.tail.collect::<Result<_, _>>()?;
            assert_eq!(tail, self.chain[from..count]);
            self.check_votes(recovered.votes);
            self.store = Some(store);
        }
        Ok(self.store.as_ref().expect("it was just opened"))
    }

    fn check_votes(&mut self, found: Vec<Vec<u8>>) {
        let all: Vec<_> = self.votes.iter().chain(&self.pending).cloned().collect();
        let kept = found.len() >= self.votes.len() && all.starts_with(&found);
        let replaced = self.replacement.as_ref() == Some(&found);
        assert!(kept || replaced, "found {found:?}, not {:?} and some of {:?}", self.votes, self.pending);
        self.votes = found;
        self.pending.clear();
        self.replacement = None;
    }

    /// Takes one step; after an error the model knows what became uncertain.
    pub(crate) fn step(&mut self, step: Step) -> Result<(), StoreError> {
        match step {
            Step::Kill => self.store = None,
            Step::Crash(survival) => self.crash(survival),
            Step::Append => {
                let Some(record) = self.chain.get(self.appended) else { return Ok(()) };
                self.store()?;
                // The head may be another one after opening.
                let record = self.chain.get(self.appended).unwrap_or(record);
                self.store()?.append_block(record)?;
                self.appended += 1;
            }
            Step::SyncBlocks => {
                self.store()?.sync_blocks()?;
                self.synced = self.appended;
            }
            Step::Votes(count) => {
                let first = self.vote_count;
                self.store()?;
                let votes: Vec<_> = (0..u32::from(count))
                    .map(|index| {
                        format!("vote {} {}", first + index, "x".repeat(usize::from(count) * 9)).into_bytes()
                    })
                    .collect();
                self.vote_count += u32::from(count);
                self.store()?.append_votes(&votes)?;
                self.pending.extend(votes);
            }
            Step::SyncVotes => {
                self.store()?.sync_votes()?;
                let pending = std::mem::take(&mut self.pending);
                self.votes.extend(pending);
            }
            Step::Prune(count) => {
                self.store()?;
                let all: Vec<_> = self.votes.iter().chain(&self.pending).cloned().collect();
                let keep = all[all.len().saturating_sub(usize::from(count))..].to_vec();
                self.replacement = Some(keep.clone());
                self.store()?.prune_votes(&keep)?;
                (self.votes, self.replacement) = (keep, None);
                self.pending.clear();
            }
            Step::Flush => {
                self.store()?;
                let height = self.synced as u64;
                let root = B256::with_last_byte(u8::try_from(height).unwrap());
                let diff = StateDiff { nodes: Vec::new(), codes: Vec::new() };
                self.store()?.flush_state(Height(height), root, &diff)?;
                self.flushed = Some(height);
            }
        }
        Ok(())
    }

    /// The machine stops and comes back.
    pub(crate) fn crash(&mut self, survival: Survival) {
        self.store = None;
        self.disk.restart(survival);
    }

    /// The process stops and another one opens the folder; the machine runs on.
    pub(crate) fn kill(&mut self) {
        self.store = None;
        self.disk.resume();
    }

    /// Reads everything through every look-up.
    pub(crate) fn check(&mut self) -> Result<(), StoreError> {
        self.store()?;
        let (synced, chain) = (self.synced, self.chain);
        let store = self.store()?;
        assert_eq!(store.head().map_or(0, |(height, _)| height.0), synced as u64);
        for (index, record) in chain.iter().enumerate() {
            let height = Height(index as u64 + 1);
            let durable = index < synced;
            assert_eq!(store.block_by_height(height)?.as_ref(), durable.then_some(record));
            let hash = record.certified.block.header.hash();
            assert_eq!(store.height_of(&hash)?, durable.then_some(height));
            let place = store.transaction(&transaction_hash(record, 1))?;
            assert_eq!(place, durable.then_some((height, 1)));
        }
        Ok(())
    }
}
