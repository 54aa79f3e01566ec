//! Disks: append-only logs with a tail that is not synced yet, and the ways in which they fail.

use anfs_consensus::LogRecord;

use crate::rng::Rng;
use crate::seat::Decided;

/// What is wrong with a disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskHealth {
    /// Takes no more.
    pub full: bool,
    /// Says that it has synced, and has not.
    pub sync_lies: bool,
    /// What is stored fails its checksum; found at the next start.
    pub rotten: bool,
}

/// An append-only file.
#[derive(Clone, Debug)]
struct File<T> {
    records: Vec<T>,
    /// How many survive a crash for certain.
    safe: usize,
    /// How many the seat believes to.
    claimed: usize,
}

impl<T> Default for File<T> {
    fn default() -> Self {
        Self { records: Vec::new(), safe: 0, claimed: 0 }
    }
}

impl<T> File<T> {
    fn sync(&mut self, lies: bool) {
        self.claimed = self.records.len();
        if !lies {
            self.safe = self.claimed;
        }
    }

    /// Loses any part of the tail. A record that was cut in two fails its checksum and counts as lost.
    fn crash(&mut self, rng: &mut Rng) -> Loss {
        let tail = self.records.len() - self.safe;
        let kept = self.safe + rng.index(tail + 1);
        let loss = Loss { records: self.records.len() - kept, promised: kept < self.claimed };
        self.records.truncate(kept);
        self.safe = kept;
        self.claimed = kept;
        loss
    }
}

/// What a crash took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// Records lost.
    pub records: usize,
    /// Among them some that were reported to be safe: the seat has forgotten what it said.
    pub promised: bool,
}

/// One seat's disk: the log of what it signed, and the decided blocks.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    log: File<LogRecord>,
    blocks: File<Decided>,
    /// What is wrong with it.
    pub health: DiskHealth,
}

impl Disk {
    /// A disk in this state of health.
    #[must_use]
    pub fn new(health: DiskHealth) -> Self {
        Self { health, ..Self::default() }
    }

    /// Appends to the log; false when there is no room.
    #[must_use]
    pub fn persist(&mut self, record: LogRecord) -> bool {
        if !self.health.full {
            self.log.records.push(record);
        }
        !self.health.full
    }

    /// Appends a decided block; false when there is no room.
    #[must_use]
    pub fn append(&mut self, decided: Decided) -> bool {
        if !self.health.full {
            self.blocks.records.push(decided);
        }
        !self.health.full
    }

    /// Whether the log has a tail that the seat does not believe to be safe.
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        self.log.claimed < self.log.records.len()
    }

    /// Syncs the log.
    pub fn sync_log(&mut self) {
        self.log.sync(self.health.sync_lies);
    }

    /// Syncs the chain.
    pub fn sync_blocks(&mut self) {
        self.blocks.sync(self.health.sync_lies);
    }

    /// Replaces the log by these records at once; false when there is no room.
    #[must_use]
    pub fn rewrite(&mut self, records: Vec<LogRecord>) -> bool {
        if self.health.full {
            return false;
        }
        if self.health.sync_lies {
            // The new file is renamed into place before its content is there.
            self.log = File { claimed: records.len(), safe: 0, records };
        } else {
            self.log = File { claimed: records.len(), safe: records.len(), records };
        }
        true
    }

    /// The process dies.
    pub fn crash(&mut self, rng: &mut Rng) -> Loss {
        let log = self.log.crash(rng);
        let blocks = self.blocks.crash(rng);
        Loss { records: log.records + blocks.records, promised: log.promised || blocks.promised }
    }

    /// Takes an emptied disk in place of this one.
    pub fn empty(&mut self) {
        *self = Self::default();
    }

    /// The log, as it would be read back now.
    #[must_use]
    pub fn log(&self) -> &[LogRecord] {
        &self.log.records
    }

    /// The decided blocks, as they would be read back now.
    #[must_use]
    pub fn chain(&self) -> &[Decided] {
        &self.blocks.records
    }
}
