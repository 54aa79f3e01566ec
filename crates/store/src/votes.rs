//! The signing record: what this node's seats have signed and decided to sign, before anybody hears of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::appender::Appender;
use crate::disk::{Disk, DiskFile};
use crate::error::StoreError;
use crate::frame::{self, Binding, FileHeader};

const FILE: &str = "votes.log";
/// A rewritten record before it takes the place of the old one.
const NEW_FILE: &str = "votes.log.new";
const MAGIC: [u8; 8] = *b"ANFSVOT1";

/// What was in the record, oldest first.
type Records = Vec<Vec<u8>>;

/// The write-ahead log of the consensus core.
#[derive(Debug)]
pub(crate) struct VoteLog {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    binding: Binding,
    appender: Mutex<Appender>,
}

impl VoteLog {
    /// Whether these files of a folder include a record.
    pub(crate) fn is_among(names: &[String]) -> bool {
        names.iter().any(|name| name == FILE)
    }

    /// Opens the record and reads it back, cutting off a torn tail; `None` in place of the records when there
    /// was none. One is begun only with the records of `fresh`: a seat that forgot what it signed could sign
    /// the opposite.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        binding: Binding,
        fresh: Option<&[Vec<u8>]>,
    ) -> Result<(Self, Option<Records>), StoreError> {
        let path = dir.join(FILE);
        let names = disk.list(&dir).map_err(StoreError::io("list", &dir))?;
        if names.iter().any(|name| name == NEW_FILE) {
            let leftover = dir.join(NEW_FILE);
            disk.remove(&leftover).map_err(StoreError::io("remove", &leftover))?;
        }
        let mut records = None;
        let appender = if names.iter().any(|name| name == FILE) {
            open_existing(&*disk, &path, binding, records.insert(Vec::new()))?
        } else if let Some(first) = fresh {
            let (file, end) = write_new(&*disk, &dir, binding, first)?;
            replace(&*disk, &dir)?;
            Appender::new(file, path, end, first.len() as u64)
        } else {
            return Err(StoreError::Corrupt {
                path,
                offset: 0,
                what: "the record of what this seat has signed is missing".to_owned(),
                remedy: "restore it from a backup; a seat without it must not sign with the same key again",
            });
        };
        Ok((Self { disk, dir, binding, appender: Mutex::new(appender) }, records))
    }

    /// Adds records in memory.
    pub(crate) fn append(&self, records: &[Vec<u8>]) -> Result<(), StoreError> {
        let mut appender = self.appender.lock();
        for record in records {
            appender.push(|frame| frame.extend_from_slice(record))?;
        }
        Ok(())
    }

    /// Makes all added records durable with one fsync.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        self.appender.lock().sync()
    }

    /// Replaces everything added so far, in one step that a crash cannot split.
    pub(crate) fn rewrite(&self, keep: &[Vec<u8>]) -> Result<(), StoreError> {
        let mut appender = self.appender.lock();
        appender.check()?;
        let (file, end) = match write_new(&*self.disk, &self.dir, self.binding, keep) {
            Ok(written) => written,
            Err(error) => {
                // Best effort: it is removed on the next opening anyway.
                drop(self.disk.remove(&self.dir.join(NEW_FILE)));
                return Err(error);
            }
        };
        if let Err(error) = replace(&*self.disk, &self.dir) {
            // Which of the two files the name will lead to after a crash is open: append to neither.
            appender.poison();
            return Err(error);
        }
        *appender = Appender::new(file, self.dir.join(FILE), end, keep.len() as u64);
        Ok(())
    }

    /// Bytes on the medium.
    pub(crate) fn size(&self) -> u64 {
        self.appender.lock().durable()
    }

    /// Reads every record again; the number of them.
    pub(crate) fn verify(&self) -> Result<u64, StoreError> {
        let appender = self.appender.lock();
        let path = self.dir.join(FILE);
        let scanned = frame::scan(&**appender.file(), &path, 0, |_, _, _| {})?;
        if scanned.end < appender.durable() {
            return Err(frame::damaged(&path, scanned.end, "a record is unreadable".to_owned()));
        }
        Ok(scanned.next)
    }
}

fn open_existing(
    disk: &dyn Disk,
    path: &Path,
    binding: Binding,
    records: &mut Vec<Vec<u8>>,
) -> Result<Appender, StoreError> {
    let io = |action| StoreError::io(action, path);
    let file = disk.open(path).map_err(io("open"))?;
    // The header is fsynced before the file takes its name, so it cannot be torn.
    let FileHeader::Good(first) = frame::read_file_header(&*file, path, MAGIC, binding)? else {
        return Err(frame::damaged(path, 0, "the header is unreadable".to_owned()));
    };
    let scanned = frame::scan(&*file, path, first, |_, _, payload| {
        records.push(payload.to_vec());
    })?;
    if scanned.torn > 0 {
        tracing::warn!(log = %path.display(), offset = scanned.end, bytes = scanned.torn, "cutting off a torn tail");
        file.set_len(scanned.end).map_err(io("truncate"))?;
    }
    // Records that only the page cache held are replayed as signed, so they must not vanish any more.
    file.sync().map_err(io("fsync"))?;
    Ok(Appender::new(file, path.to_owned(), scanned.end, scanned.next))
}

/// Writes a whole record beside the present one; the open file and its length.
fn write_new(
    disk: &dyn Disk,
    dir: &Path,
    binding: Binding,
    keep: &[Vec<u8>],
) -> Result<(Arc<dyn DiskFile>, u64), StoreError> {
    let path = dir.join(NEW_FILE);
    let io = |action| StoreError::io(action, &path);
    let mut bytes = frame::file_header(MAGIC, binding, 0).to_vec();
    for (number, record) in keep.iter().enumerate() {
        // The file gets its name only after its fsync, so each frame vouches for all before it.
        let durable = bytes.len() as u64;
        frame::push(&mut bytes, durable, number as u64, |frame| frame.extend_from_slice(record))?;
    }
    let file = disk.create(&path).map_err(io("create"))?;
    file.write_all_at(&bytes, 0).map_err(io("write"))?;
    file.sync().map_err(io("fsync"))?;
    Ok((file, bytes.len() as u64))
}

fn replace(disk: &dyn Disk, dir: &Path) -> Result<(), StoreError> {
    let path = dir.join(FILE);
    disk.rename(&dir.join(NEW_FILE), &path).map_err(StoreError::io("replace", &path))?;
    disk.sync_dir(dir).map_err(StoreError::io("fsync", dir))
}
