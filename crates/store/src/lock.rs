//! One process a folder.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::Path;

use fs4::{FileExt, TryLockError};

use crate::error::StoreError;

/// Name of the lock file.
const FILE: &str = "LOCK";
/// What is read of a holder's self-description.
const HOLDER_BYTES_MAX: u64 = 512;

/// Held as long as the store is open; the system releases it even after a kill.
#[derive(Debug)]
pub(crate) struct FolderLock {
    _file: File,
}

impl FolderLock {
    pub(crate) fn acquire(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join(FILE);
        // Not emptied on opening: until the lock is ours, the content is the holder's.
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).map_err(StoreError::io("open", &path))?;
        try_lock(&file, &path)?;
        let command: Vec<String> =
            std::env::args_os().map(|arg| arg.to_string_lossy().into_owned()).collect();
        file.set_len(0).map_err(StoreError::io("write", &path))?;
        let text = format!("process {} ({})", std::process::id(), command.join(" "));
        file.write_all(text.as_bytes()).map_err(StoreError::io("write", &path))?;
        Ok(Self { _file: file })
    }
}

/// Refuses when a process has the folder open; a folder that was never opened is free.
///
/// # Errors
/// [`StoreError::Locked`] names the holder; [`StoreError::Io`] when that cannot be found out.
pub fn refuse_if_locked(dir: &Path) -> Result<(), StoreError> {
    let path = dir.join(FILE);
    match OpenOptions::new().read(true).write(true).open(&path) {
        Ok(file) => try_lock(&file, &path),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(StoreError::io("open", &path)(error)),
    }
}

fn try_lock(file: &File, path: &Path) -> Result<(), StoreError> {
    match FileExt::try_lock(file) {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let read = file.take(HOLDER_BYTES_MAX).read_to_string(&mut holder);
            if read.is_err() || holder.trim().is_empty() {
                holder = "another process".to_owned();
            }
            Err(StoreError::Locked { path: path.to_owned(), holder: holder.trim().to_owned() })
        }
        Err(TryLockError::Error(error)) => Err(StoreError::io("lock", path)(error)),
    }
}
