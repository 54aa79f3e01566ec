//! A log of what can be worked out again: a cache on disk that grows at its end and is read anywhere.
//!
//! It has the frames of the other logs, with another promise. Nobody was told that a record is safe, so whatever is
//! unreadable when the log is opened is cut off with all that follows, and the owner writes it again.
//!
//! The first four bytes of each record are held in memory: a record that begins with a hash is found by it.

use std::path::{Path, PathBuf};

use alloy_primitives::B256;
use anfs_primitives::NetworkId;
use parking_lot::Mutex;

use crate::appender::Appender;
use crate::disk::{Disk, DiskFile};
use crate::error::StoreError;
use crate::frame::{self, Binding, FILE_HEADER_END, FRAME_HEADER, FileHeader, FrameHeader};

/// Every so many records, the offset is kept in memory.
const STRIDE: u64 = 16;
/// Records at the end that are read when the log is opened. Frames are fsynced in order, so a crash leaves
/// nothing torn before them.
const CHECKED: u64 = 256;

/// What a log of this kind is called, and whose it is.
#[derive(Clone, Debug)]
pub struct RecordLogOptions {
    /// The file.
    pub path: PathBuf,
    /// First bytes of the file: what the records are, and in which version.
    pub magic: [u8; 8],
    /// Network.
    pub network: NetworkId,
    /// Hash of the first block of the chain that the records are about.
    pub genesis: B256,
    /// Number of the first record.
    pub first: u64,
}

/// The log. One thread at a time appends; any may read.
#[derive(Debug)]
pub struct RecordLog {
    path: PathBuf,
    first: u64,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    appender: Appender,
    /// Offsets of records `first`, `first + STRIDE`, ..., pending ones included.
    offsets: Vec<u64>,
    /// How each record begins, pending ones included.
    marks: Vec<Mark>,
    /// Number after the last durable record.
    durable: u64,
}

/// How a record begins; filled up with zeroes if it is shorter.
type Mark = [u8; 4];

/// Frames up to some place.
#[derive(Debug)]
struct Walked {
    /// Sparse, as in [`Inner`].
    offsets: Vec<u64>,
    marks: Vec<Mark>,
    /// Where the last frame ends.
    end: u64,
    /// Number after it.
    next: u64,
}

impl RecordLog {
    /// Opens the log, or begins one, and cuts off what is unreadable.
    ///
    /// # Errors
    /// When the file cannot be used or belongs to another chain.
    pub fn open(disk: &dyn Disk, options: &RecordLogOptions) -> Result<Self, StoreError> {
        let path = &options.path;
        let io = |action| StoreError::io(action, path);
        let binding = Binding { network: options.network, genesis: options.genesis };
        let file = match disk.open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                disk.create(path).map_err(io("create"))?
            }
            Err(error) => return Err(io("open")(error)),
        };
        match frame::read_file_header(&*file, path, options.magic, binding)? {
            FileHeader::Good(first) if first == options.first => {}
            FileHeader::Good(_) | FileHeader::Unreadable => begin(&*file, options, binding)?,
        }
        let mut walked = walk(&*file, path, options.first)?;
        if let Some((number, offset)) = first_unreadable(&*file, path, &walked, options.first)? {
            tracing::warn!(log = %path.display(), record = number, "cutting off an unreadable end");
            (walked.next, walked.end) = (number, offset);
        }
        let Walked { mut offsets, mut marks, end, next } = walked;
        offsets.truncate(index(next - options.first).div_ceil(index(STRIDE)));
        marks.truncate(index(next - options.first));
        file.set_len(end).map_err(io("truncate"))?;
        file.sync().map_err(io("fsync"))?;
        let appender = Appender::new(file, path.clone(), end, next);
        let inner = Mutex::new(Inner { appender, offsets, marks, durable: next });
        Ok(Self { path: path.clone(), first: options.first, inner })
    }

    /// Number of the record that is appended next.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.inner.lock().appender.next()
    }

    /// Number after the last record that [`Self::read`] finds.
    #[must_use]
    pub fn readable(&self) -> u64 {
        self.inner.lock().durable
    }

    /// Adds a record in memory.
    ///
    /// # Errors
    /// When an earlier fsync failed, or the record is empty or larger than a frame may be.
    pub fn append(&self, record: &[u8]) -> Result<(), StoreError> {
        let mut inner = self.inner.lock();
        let number = inner.appender.next();
        let offset = inner.appender.push(|frame| frame.extend_from_slice(record))?;
        if (number - self.first).is_multiple_of(STRIDE) {
            inner.offsets.push(offset);
        }
        inner.marks.push(mark(record));
        Ok(())
    }

    /// Numbers of the records that begin with these four bytes, pending ones included.
    #[must_use]
    pub fn beginning_with(&self, mark: [u8; 4]) -> Vec<u64> {
        let inner = self.inner.lock();
        (self.first..).zip(&inner.marks).filter(|(_, own)| **own == mark).map(|(number, _)| number).collect()
    }

    /// Makes all added records durable and readable.
    ///
    /// # Errors
    /// When the disk refuses; after a failed write the records wait for the next call.
    pub fn sync(&self) -> Result<(), StoreError> {
        let mut inner = self.inner.lock();
        inner.appender.sync()?;
        inner.durable = inner.appender.next();
        Ok(())
    }

    /// A record; `None` when there is none with this number, or it is not durable yet.
    ///
    /// # Errors
    /// When the file cannot be read, or was damaged since it was opened.
    pub fn read(&self, number: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let inner = self.inner.lock();
        if number < self.first || number >= inner.durable {
            return Ok(None);
        }
        let at = number - self.first;
        let place = inner.offsets.get(index(at / STRIDE)).copied();
        let (file, Some(start)) = (inner.appender.file().clone(), place) else { return Ok(None) };
        drop(inner);
        let damaged = |offset| StoreError::Corrupt {
            path: self.path.clone(),
            offset,
            what: format!("record {number} is unreadable"),
            remedy: "stop the node and remove the file: it is made again",
        };
        let mut offset = start;
        for _ in 0..at % STRIDE {
            let header = frame_header(&*file, &self.path, offset)?;
            offset = header.end(offset).ok_or_else(|| damaged(offset))?;
        }
        match payload(&*file, &self.path, offset)? {
            Some((header, payload)) if header.number == number => Ok(Some(payload)),
            _ => Err(damaged(offset)),
        }
    }

    /// Forgets the records from this number on, which must not be below the first or above the next.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn cut(&self, from: u64) -> Result<(), StoreError> {
        self.sync()?;
        let mut inner = self.inner.lock();
        if from >= inner.durable {
            return Ok(());
        }
        let from = from.max(self.first);
        let at = from - self.first;
        let file = inner.appender.file().clone();
        let mut end = inner.offsets.get(index(at / STRIDE)).copied().unwrap_or(FILE_HEADER_END);
        for _ in 0..at % STRIDE {
            let header = frame_header(&*file, &self.path, end)?;
            end = header.end(end).unwrap_or(end);
        }
        file.set_len(end).map_err(StoreError::io("truncate", &self.path))?;
        file.sync().map_err(StoreError::io("fsync", &self.path))?;
        inner.offsets.truncate(index(at.div_ceil(STRIDE)));
        inner.marks.truncate(index(at));
        inner.durable = from;
        inner.appender = Appender::new(file, self.path.clone(), end, from);
        Ok(())
    }
}

fn begin(file: &dyn DiskFile, options: &RecordLogOptions, binding: Binding) -> Result<(), StoreError> {
    let io = |action| StoreError::io(action, &options.path);
    file.set_len(0).map_err(io("truncate"))?;
    let header = frame::file_header(options.magic, binding, options.first);
    file.write_all_at(&header, 0).map_err(io("write"))?;
    file.sync().map_err(io("fsync"))
}

fn frame_header(file: &dyn DiskFile, path: &Path, offset: u64) -> Result<FrameHeader, StoreError> {
    let mut bytes = [0; FRAME_HEADER];
    file.read_exact_at(&mut bytes, offset).map_err(StoreError::io("read", path))?;
    Ok(FrameHeader::parse(bytes))
}

/// The frame at an offset that lies within the file, if it is whole.
fn payload(
    file: &dyn DiskFile,
    path: &Path,
    offset: u64,
) -> Result<Option<(FrameHeader, Vec<u8>)>, StoreError> {
    let header = frame_header(file, path, offset)?;
    let len = file.len().map_err(StoreError::io("read", path))?;
    if header.end(offset).is_none_or(|end| end > len) {
        return Ok(None);
    }
    let mut payload = vec![0; header.len];
    file.read_exact_at(&mut payload, offset + FRAME_HEADER as u64).map_err(StoreError::io("read", path))?;
    Ok(header.vouches_for(&payload).then_some((header, payload)))
}

fn mark(record: &[u8]) -> Mark {
    let mut mark = Mark::default();
    let len = record.len().min(mark.len());
    mark[..len].copy_from_slice(&record[..len]);
    mark
}

/// A count of records as an index: as many are in memory.
fn index(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// Goes from frame to frame and reads how each record begins.
fn walk(file: &dyn DiskFile, path: &Path, first: u64) -> Result<Walked, StoreError> {
    let io = |action| StoreError::io(action, path);
    let len = file.len().map_err(io("read"))?;
    let mut walked = Walked { offsets: Vec::new(), marks: Vec::new(), end: FILE_HEADER_END, next: first };
    while len - walked.end >= FRAME_HEADER as u64 {
        let header = frame_header(file, path, walked.end)?;
        let end = header.end(walked.end).filter(|end| *end <= len && header.number == walked.next);
        let Some(end) = end else { break };
        if (walked.next - first).is_multiple_of(STRIDE) {
            walked.offsets.push(walked.end);
        }
        let mut begins = Mark::default();
        let held = header.len.min(begins.len());
        file.read_exact_at(&mut begins[..held], walked.end + FRAME_HEADER as u64).map_err(io("read"))?;
        walked.marks.push(begins);
        (walked.end, walked.next) = (end, walked.next + 1);
    }
    Ok(walked)
}

/// The number and offset of the first of the last records that is unreadable.
fn first_unreadable(
    file: &dyn DiskFile,
    path: &Path,
    walked: &Walked,
    first: u64,
) -> Result<Option<(u64, u64)>, StoreError> {
    let from = (walked.next - first).saturating_sub(CHECKED) / STRIDE;
    let Some(mut offset) = walked.offsets.get(index(from)).copied() else { return Ok(None) };
    for number in first + from * STRIDE..walked.next {
        let Some((header, _)) = payload(file, path, offset)? else { return Ok(Some((number, offset))) };
        offset = header.end(offset).expect("a frame that was read has an end");
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;

    use super::*;
    use crate::disk::SystemDisk;

    fn options(dir: &Path) -> RecordLogOptions {
        RecordLogOptions {
            path: dir.join("records.log"),
            magic: *b"ANFSTST1",
            network: NetworkId(7),
            genesis: B256::repeat_byte(1),
            first: 1,
        }
    }

    fn record(number: u64) -> Vec<u8> {
        vec![u8::try_from(number % 251).unwrap(); 1 + usize::try_from(number % 40).unwrap()]
    }

    fn filled(dir: &Path, count: u64) -> RecordLog {
        let log = RecordLog::open(&SystemDisk, &options(dir)).unwrap();
        for number in 1..=count {
            log.append(&record(number)).unwrap();
        }
        log.sync().unwrap();
        log
    }

    #[test]
    fn records_come_back_after_opening_again() {
        let dir = tempfile::tempdir().unwrap();
        drop(filled(dir.path(), 1000));
        let log = RecordLog::open(&SystemDisk, &options(dir.path())).unwrap();
        assert_eq!((log.next(), log.readable()), (1001, 1001));
        for number in [1, 2, 16, 17, 500, 1000] {
            assert_eq!(log.read(number).unwrap().unwrap(), record(number));
        }
        assert_eq!(log.read(0).unwrap(), None);
        assert_eq!(log.read(1001).unwrap(), None);
        log.append(&record(1001)).unwrap();
        assert_eq!(log.read(1001).unwrap(), None, "not durable yet");
        log.sync().unwrap();
        assert_eq!(log.read(1001).unwrap().unwrap(), record(1001));
    }

    #[test]
    fn records_are_found_by_how_they_begin() {
        let dir = tempfile::tempdir().unwrap();
        let long = |number: u64| number % 40 >= 3;
        let alike = |number: u64| {
            (1..=1000).filter(|other| long(*other) && other % 251 == number % 251).collect::<Vec<_>>()
        };
        let log = filled(dir.path(), 1000);
        for number in [7, 251 + 7, 999] {
            assert_eq!(log.beginning_with([record(number)[0]; 4]), alike(number));
        }
        drop(log);
        let log = RecordLog::open(&SystemDisk, &options(dir.path())).unwrap();
        assert_eq!(log.beginning_with([7; 4]), alike(7));
        log.cut(100).unwrap();
        assert_eq!(log.beginning_with([7; 4]), [7]);
    }

    #[test]
    fn wherever_the_file_is_torn_the_records_before_survive() {
        let dir = tempfile::tempdir().unwrap();
        drop(filled(dir.path(), 40));
        let path = options(dir.path()).path;
        let bytes = std::fs::read(&path).unwrap();
        for len in (0..bytes.len()).step_by(7) {
            std::fs::write(&path, &bytes[..len]).unwrap();
            let log = RecordLog::open(&SystemDisk, &options(dir.path())).unwrap();
            let next = log.next();
            assert!((1..=41).contains(&next));
            for number in 1..next {
                assert_eq!(log.read(number).unwrap().unwrap(), record(number));
            }
            log.append(&record(next)).unwrap();
            log.sync().unwrap();
            assert_eq!(log.read(next).unwrap().unwrap(), record(next));
        }
    }

    #[test]
    fn damage_near_the_end_cuts_what_follows() {
        let dir = tempfile::tempdir().unwrap();
        drop(filled(dir.path(), 100));
        let path = options(dir.path()).path;
        let len = std::fs::metadata(&path).unwrap().len();
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(&[0xff; 4], len / 2).unwrap();
        let log = RecordLog::open(&SystemDisk, &options(dir.path())).unwrap();
        assert!(log.next() < 100);
        for number in 1..log.next() {
            assert_eq!(log.read(number).unwrap().unwrap(), record(number));
        }
    }

    #[test]
    fn a_cut_forgets_and_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let log = filled(dir.path(), 50);
        for from in [40, 33, 32, 17, 1] {
            log.cut(from).unwrap();
            assert_eq!((log.next(), log.read(from).unwrap()), (from, None));
            assert_eq!(log.read(from - 1).unwrap(), (from > 1).then(|| record(from - 1)));
            log.append(&record(from)).unwrap();
            log.sync().unwrap();
            assert_eq!(log.read(from).unwrap().unwrap(), record(from));
        }
        drop(log);
        assert_eq!(RecordLog::open(&SystemDisk, &options(dir.path())).unwrap().next(), 2);
    }

    #[test]
    fn another_chain_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        drop(filled(dir.path(), 1));
        let other = RecordLogOptions { network: NetworkId(8), ..options(dir.path()) };
        assert!(matches!(RecordLog::open(&SystemDisk, &other), Err(StoreError::OtherChain { .. })));
    }
}
