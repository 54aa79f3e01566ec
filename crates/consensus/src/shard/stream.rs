//! The entries of one block in the making, put together from fragments.
//!
//! spec: PROTOCOL §3

use std::collections::BTreeMap;

use anfs_primitives::entry::BLOCK_ENTRIES_MAX;
use anfs_primitives::{BlockHash, Entry, Fragment, RootReference, SeatIndex, ShardHeader, Slot, View};

/// Runs that may wait for an earlier one.
const PENDING_MAX: usize = 1024;

/// What became of a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offer {
    /// It was used, or held nothing new.
    Taken,
    /// It differs from entries that are already here.
    Conflict,
    /// It is beyond a limit.
    Refused,
}

/// What fragments tell of their block, and its header must repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    /// Parent of the block.
    pub(super) parent: BlockHash,
    /// Slot of the block.
    pub(super) slot: Slot,
    /// View that it was first proposed in.
    pub(super) view: View,
    /// Root reference of the block.
    pub(super) root_reference: RootReference,
}

impl From<&ShardHeader> for Origin {
    fn from(header: &ShardHeader) -> Self {
        let ShardHeader { parent, slot, view, root_reference, .. } = *header;
        Self { parent, slot, view, root_reference }
    }
}

impl From<&Fragment> for Origin {
    fn from(fragment: &Fragment) -> Self {
        let Fragment { parent, slot, view, root_reference, .. } = *fragment;
        Self { parent, slot, view, root_reference }
    }
}

/// One stream of entries.
#[derive(Debug)]
pub(super) struct Stream {
    /// Whose entries they are.
    pub(super) origin: Origin,
    /// Entries without gap from 0 on.
    pub(super) entries: Vec<Entry>,
    /// Of `entries`, those handed out for execution ahead.
    pub(super) emitted: usize,
    /// Times that the proposer began again from entry 0.
    pub(super) restarts: u8,
    /// After a body that did not match its header: who alone is listened to now.
    pub(super) only: Option<SeatIndex>,
    pending: BTreeMap<u32, Vec<Entry>>,
    bytes: usize,
}

impl Stream {
    pub(super) fn new(origin: Origin) -> Self {
        Self {
            origin,
            entries: Vec::new(),
            emitted: 0,
            restarts: 0,
            only: None,
            pending: BTreeMap::new(),
            bytes: 0,
        }
    }

    /// The same, listening to one seat only.
    pub(super) fn listening_to(mut self, seat: SeatIndex) -> Self {
        self.only = Some(seat);
        self
    }

    /// Bytes held, about.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Index of the first entry that is missing.
    pub(super) fn next_entry(&self) -> u32 {
        u32::try_from(self.entries.len()).expect("BLOCK_ENTRIES_MAX fits u32")
    }

    /// Takes a run of entries; `room` is how many bytes may be added.
    pub(super) fn offer(&mut self, first: u32, entries: Vec<Entry>, room: usize) -> Offer {
        let end = (first as usize).saturating_add(entries.len());
        let size: usize = entries.iter().map(entry_bytes).sum();
        let known = end <= self.entries.len();
        if end > BLOCK_ENTRIES_MAX || (!known && (size > room || self.pending.len() >= PENDING_MAX)) {
            return Offer::Refused;
        }
        if self.pending.get(&first).is_some_and(|held| held.len() >= entries.len()) {
            return Offer::Taken;
        }
        if let Some(held) = self.pending.insert(first, entries) {
            self.bytes -= held.iter().map(entry_bytes).sum::<usize>();
        }
        self.bytes += size;
        self.merge()
    }

    fn merge(&mut self) -> Offer {
        while let Some(run) = self.pending.first_entry() {
            let Some(skip) = self.entries.len().checked_sub(*run.key() as usize) else { break };
            let start = *run.key() as usize;
            let run = run.remove();
            let overlap = skip.min(run.len());
            if self.entries[start..start + overlap] != run[..overlap] {
                self.bytes -= run.iter().map(entry_bytes).sum::<usize>();
                return Offer::Conflict;
            }
            self.bytes -= run[..overlap].iter().map(entry_bytes).sum::<usize>();
            self.entries.extend(run.into_iter().skip(overlap));
        }
        Offer::Taken
    }
}

/// Encoded size of an entry.
pub(super) fn entry_bytes(entry: &Entry) -> usize {
    let transactions = entry.transactions.iter();
    44 + transactions.map(|transaction| transaction.encoded.len() + 24).sum::<usize>()
}
