//! The block log: segments of framed blocks, appended to at the end and read anywhere.
//!
//! One writer at a time appends, under a mutex that it holds through the fsync. Readers look a block up in
//! the list of segments under a read lock that nobody holds during I/O, and read by position: neither side
//! waits for the other's disk. A block is found only once it is durable.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use crate::appender::Appender;
use crate::disk::{Disk, DiskFile};
use crate::error::StoreError;
use crate::frame::{self, Binding, FILE_HEADER, FILE_HEADER_END, FileHeader};
use crate::segment::{self, Segment};

/// Height of the first block in a log; genesis is in the chain spec.
pub(crate) const FIRST: u64 = 1;

/// The log of a folder's blocks.
#[derive(Debug)]
pub(crate) struct BlockLog {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    binding: Binding,
    segment_bytes: u64,
    writer: Mutex<Writer>,
    segments: RwLock<Vec<Segment>>,
}

#[derive(Debug)]
struct Writer {
    appender: Appender,
    /// Offsets of the pending blocks.
    offsets: Vec<u64>,
    /// Number of the segment being appended to.
    segment: u32,
}

impl BlockLog {
    /// Opens the log, cutting off what a crash left half-written.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        binding: Binding,
        segment_bytes: u64,
    ) -> Result<Self, StoreError> {
        disk.create_dir_all(&dir).map_err(StoreError::io("create", &dir))?;
        // A segment's name may be in memory only, left by a process killed before it fsynced the directory.
        disk.sync_dir(&dir).map_err(StoreError::io("fsync", &dir))?;
        let numbers = segment_numbers(&*disk, &dir)?;
        let mut segments = Vec::new();
        let mut next = FIRST;
        for (position, &number) in numbers.iter().enumerate() {
            let path = segment_path(&dir, number);
            if u32::try_from(position).ok() != Some(number) {
                let missing = segment_path(&dir, u32::try_from(position).unwrap_or(u32::MAX));
                return Err(frame::damaged(&missing, 0, "the segment is missing".to_owned()));
            }
            let last = position + 1 == numbers.len();
            let file = disk.open(&path).map_err(StoreError::io("open", &path))?;
            let first = match frame::read_file_header(&*file, &path, segment::MAGIC, binding)? {
                FileHeader::Good(first) => first,
                FileHeader::Unreadable => {
                    discard_unborn(&*disk, &dir, &path, &*file, last)?;
                    break;
                }
            };
            if first != next {
                return Err(frame::damaged(&path, 48, format!("starts at block {first}, not {next}")));
            }
            let segment = if last {
                open_last(&path, file, first)?
            } else {
                Segment::open_sealed(&*disk, &path, &*file, first)?
            };
            next = segment.next();
            segments.push(segment);
        }
        let writer = Self::writer(&*disk, &dir, binding, &mut segments)?;
        let (writer, segments) = (Mutex::new(writer), RwLock::new(segments));
        Ok(Self { disk, dir, binding, segment_bytes, writer, segments })
    }

    /// The writing end of the last segment, which is created when there is none.
    fn writer(
        disk: &dyn Disk,
        dir: &Path,
        binding: Binding,
        segments: &mut Vec<Segment>,
    ) -> Result<Writer, StoreError> {
        if segments.is_empty() {
            segments.push(create_segment(disk, dir, binding, 0, FIRST)?);
        }
        let segment = u32::try_from(segments.len() - 1).expect("segments are numbered in 32 bits");
        let last = segments.last_mut().expect("one was just created");
        let file = match last.file.take() {
            Some(file) => file,
            // The newest segment was discarded: this one was sealed and is gone on with.
            None => disk.open(&last.path).map_err(StoreError::io("open", &last.path))?,
        };
        last.file = Some(file.clone());
        let appender = Appender::new(file, last.path.clone(), last.end, last.next());
        Ok(Writer { appender, offsets: Vec::new(), segment })
    }

    /// Height of the last durable block; 0 when there is none.
    pub(crate) fn head(&self) -> u64 {
        self.segments.read().last().map_or(0, |last| last.next() - 1)
    }

    /// Bytes of all segments, and their number.
    pub(crate) fn size(&self) -> (u64, usize) {
        let segments = self.segments.read();
        (segments.iter().map(|segment| segment.end).sum(), segments.len())
    }

    /// Bytes that wait for [`Self::sync`].
    pub(crate) fn pending(&self) -> usize {
        self.writer.lock().appender.pending()
    }

    /// Adds a block in memory, its payload by `write`; its height is the one after the last.
    pub(crate) fn append(&self, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), StoreError> {
        let mut writer = self.writer.lock();
        if writer.appender.pending() == 0 && writer.appender.durable() >= self.segment_bytes {
            self.roll(&mut writer)?;
        }
        let offset = writer.appender.push(write)?;
        writer.offsets.push(offset);
        Ok(())
    }

    /// Makes every appended block durable, and then visible.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        let mut writer = self.writer.lock();
        writer.appender.sync()?;
        let end = writer.appender.durable();
        let mut segments = self.segments.write();
        let last = segments.last_mut().expect("an open log has a segment");
        for offset in writer.offsets.drain(..) {
            last.push(offset);
        }
        last.end = end;
        Ok(())
    }

    /// Seals the last segment and starts the next one.
    fn roll(&self, writer: &mut Writer) -> Result<(), StoreError> {
        writer.appender.check()?;
        let number = writer.segment.checked_add(1).expect("segments are numbered in 32 bits");
        let segment = create_segment(&*self.disk, &self.dir, self.binding, number, writer.appender.next())?;
        let file = segment.file.clone().expect("a new segment is open");
        writer.appender = Appender::new(file, segment.path.clone(), segment.end, segment.first);
        writer.segment = number;
        let sealed = {
            let mut segments = self.segments.write();
            let last = segments.last_mut().expect("an open log has a segment");
            last.file = None;
            let sealed = last.clone();
            segments.push(segment);
            sealed
        };
        sealed.write_index(&*self.disk);
        Ok(())
    }

    /// The payload of a durable block, or `None` when there is none of that height.
    pub(crate) fn read(&self, height: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let lookup = {
            let segments = self.segments.read();
            let after = segments.partition_point(|segment| segment.first <= height);
            after.checked_sub(1).and_then(|at| segments[at].lookup(height))
        };
        lookup.map(|lookup| lookup.read(&*self.disk)).transpose()
    }

    /// Where the log says that `height` is, for errors.
    pub(crate) fn path_of(&self, height: u64) -> PathBuf {
        let segments = self.segments.read();
        let after = segments.partition_point(|segment| segment.first <= height);
        segments[after.saturating_sub(1)].path.clone()
    }

    /// The durable segments as they are now.
    pub(crate) fn segments(&self) -> Vec<Segment> {
        self.segments.read().clone()
    }

    /// The disk that the log is on.
    pub(crate) fn disk(&self) -> &dyn Disk {
        &*self.disk
    }
}

/// Reads the segment that blocks are appended to, and cuts a torn tail off it.
fn open_last(path: &Path, file: Arc<dyn DiskFile>, first: u64) -> Result<Segment, StoreError> {
    let (mut segment, torn) = Segment::scan(path, &*file, first)?;
    if torn > 0 {
        tracing::warn!(segment = %path.display(), offset = segment.end, bytes = torn, "cutting off a torn tail");
        file.set_len(segment.end).map_err(StoreError::io("truncate", path))?;
    }
    // Blocks that only the page cache held count as durable from here on, so they must be.
    file.sync().map_err(StoreError::io("fsync", path))?;
    segment.file = Some(file);
    Ok(segment)
}

/// Removes a last segment that a crash left without a header: it never held a block, since the header is
/// fsynced before the first one is written.
fn discard_unborn(
    disk: &dyn Disk,
    dir: &Path,
    path: &Path,
    file: &dyn DiskFile,
    last: bool,
) -> Result<(), StoreError> {
    let len = file.len().map_err(StoreError::io("read", path))?;
    if !last || len > FILE_HEADER_END {
        return Err(frame::damaged(path, 0, "the segment's header is unreadable".to_owned()));
    }
    tracing::warn!(segment = %path.display(), "removing a segment that was never finished");
    disk.remove(path).map_err(StoreError::io("remove", path))?;
    disk.sync_dir(dir).map_err(StoreError::io("fsync", dir))
}

fn create_segment(
    disk: &dyn Disk,
    dir: &Path,
    binding: Binding,
    number: u32,
    first: u64,
) -> Result<Segment, StoreError> {
    let path = segment_path(dir, number);
    let io = |action| StoreError::io(action, &path);
    let file = disk.create(&path).map_err(io("create"))?;
    let header: [u8; FILE_HEADER] = frame::file_header(segment::MAGIC, binding, first);
    file.write_all_at(&header, 0).map_err(io("write"))?;
    file.sync().map_err(io("fsync"))?;
    disk.sync_dir(dir).map_err(StoreError::io("fsync", dir))?;
    let mut segment = Segment::new(path, first);
    segment.file = Some(file);
    Ok(segment)
}

/// The numbers of the segments in a directory, ascending.
fn segment_numbers(disk: &dyn Disk, dir: &Path) -> Result<Vec<u32>, StoreError> {
    let names = disk.list(dir).map_err(StoreError::io("list", dir))?;
    let mut numbers: Vec<u32> =
        names.iter().filter_map(|name| name.strip_suffix(".log")?.parse().ok()).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

fn segment_path(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("{number:05}.log"))
}
