//! The writing end of a log file: frames gather in memory, one write and one fsync make them durable.

use std::path::PathBuf;
use std::sync::Arc;

use crate::disk::DiskFile;
use crate::error::StoreError;
use crate::frame;

/// Owns the end of one file.
#[derive(Debug)]
pub(crate) struct Appender {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    /// Everything below is on the medium.
    durable: u64,
    /// Frames that follow `durable` and are in memory only.
    pending: Vec<u8>,
    next: u64,
    poisoned: bool,
}

impl Appender {
    /// Goes on at `end`, which must be the file's length and fsynced.
    pub(crate) fn new(file: Arc<dyn DiskFile>, path: PathBuf, end: u64, next: u64) -> Self {
        Self { file, path, durable: end, pending: Vec::new(), next, poisoned: false }
    }

    pub(crate) fn file(&self) -> &Arc<dyn DiskFile> {
        &self.file
    }

    /// Number of the next frame.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Where the durable frames end.
    pub(crate) fn durable(&self) -> u64 {
        self.durable
    }

    /// Bytes that wait for [`Self::sync`].
    pub(crate) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Refuses every later write: what is on the medium is not known any more.
    pub(crate) fn poison(&mut self) {
        self.poisoned = true;
    }

    pub(crate) fn check(&self) -> Result<(), StoreError> {
        if self.poisoned { Err(StoreError::Poisoned { path: self.path.clone() }) } else { Ok(()) }
    }

    /// Adds a frame in memory, its payload by `write`; its offset once written.
    pub(crate) fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Result<u64, StoreError> {
        self.check()?;
        let offset = self.durable + self.pending.len() as u64;
        frame::push(&mut self.pending, self.durable, self.next, write)?;
        self.next += 1;
        Ok(offset)
    }

    /// Writes and fsyncs what is pending. When the write fails (the disk is full), the frames stay pending
    /// and a later call may succeed; when the fsync fails, the log takes no more writes.
    pub(crate) fn sync(&mut self) -> Result<(), StoreError> {
        self.check()?;
        if self.pending.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.file.write_all_at(&self.pending, self.durable) {
            // Best effort: what is left behind the durable end is cut off on the next opening anyway.
            drop(self.file.set_len(self.durable));
            return Err(StoreError::io("write", &self.path)(error));
        }
        if let Err(error) = self.file.sync() {
            self.poisoned = true;
            return Err(StoreError::io("fsync", &self.path)(error));
        }
        self.durable += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }
}
