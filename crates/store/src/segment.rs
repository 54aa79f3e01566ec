//! One file of the block log: finding blocks in it, and opening it again.
//!
//! A *sealed* segment takes no more blocks. Its sparse index lies beside it (`NNNNN.idx`), so opening a long
//! log reads only the last segment; an index that is missing or unreadable is rebuilt from the segment.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{Disk, DiskFile};
use crate::error::StoreError;
use crate::frame::{self, FILE_HEADER_END, FRAME_HEADER, FrameHeader};

/// First bytes of a segment.
pub(crate) const MAGIC: [u8; 8] = *b"ANFSBLK1";
const INDEX_MAGIC: [u8; 8] = *b"ANFSIDX1";
/// Every so many blocks, the offset is kept in memory.
const STRIDE: u64 = 16;

/// What is known of a segment's durable part.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) path: PathBuf,
    /// Height of its first block.
    pub(crate) first: u64,
    /// Blocks in it.
    pub(crate) count: u64,
    /// Offset just after the last block.
    pub(crate) end: u64,
    /// Offsets of blocks `first`, `first + STRIDE`, ...
    offsets: Vec<u64>,
    /// Kept open while blocks are appended; a sealed segment is opened by whoever reads it.
    pub(crate) file: Option<Arc<dyn DiskFile>>,
}

/// Where to start looking for a block.
#[derive(Debug)]
pub(crate) struct Lookup {
    path: PathBuf,
    file: Option<Arc<dyn DiskFile>>,
    offset: u64,
    skip: u64,
    height: u64,
}

impl Segment {
    pub(crate) fn new(path: PathBuf, first: u64) -> Self {
        Self { path, first, count: 0, end: FILE_HEADER_END, offsets: Vec::new(), file: None }
    }

    /// Height after its last block.
    pub(crate) fn next(&self) -> u64 {
        self.first + self.count
    }

    /// Whether both have the same blocks at the same places.
    pub(crate) fn same_blocks(&self, other: &Self) -> bool {
        (self.first, self.count, self.end, &self.offsets)
            == (other.first, other.count, other.end, &other.offsets)
    }

    /// Takes note of a block at `offset`.
    pub(crate) fn push(&mut self, offset: u64) {
        if self.count.is_multiple_of(STRIDE) {
            self.offsets.push(offset);
        }
        self.count += 1;
    }

    /// Where to look for a block of this segment.
    pub(crate) fn lookup(&self, height: u64) -> Option<Lookup> {
        let index = height.checked_sub(self.first).filter(|&index| index < self.count)?;
        let offset = *self.offsets.get(usize::try_from(index / STRIDE).ok()?)?;
        let (path, file) = (self.path.clone(), self.file.clone());
        Some(Lookup { path, file, offset, skip: index % STRIDE, height })
    }

    /// Reads all frames into a fresh index; also the number of unreadable bytes at the end.
    pub(crate) fn scan(path: &Path, file: &dyn DiskFile, first: u64) -> Result<(Self, u64), StoreError> {
        let mut segment = Self::new(path.to_owned(), first);
        let scanned = frame::scan(file, path, first, |_, offset, _| segment.push(offset))?;
        segment.end = scanned.end;
        Ok((segment, scanned.torn))
    }

    /// Opens a sealed segment by its index, or by reading it whole.
    pub(crate) fn open_sealed(
        disk: &dyn Disk,
        path: &Path,
        file: &dyn DiskFile,
        first: u64,
    ) -> Result<Self, StoreError> {
        let len = file.len().map_err(StoreError::io("read", path))?;
        if let Some(segment) = Self::read_index(disk, path, first, len) {
            return Ok(segment);
        }
        tracing::warn!(segment = %path.display(), "rebuilding the index of a block log segment");
        let (segment, torn) = Self::scan(path, file, first)?;
        if torn > 0 {
            let what = format!("{torn} unreadable bytes in a segment that later ones follow");
            return Err(frame::damaged(path, segment.end, what));
        }
        segment.write_index(disk);
        Ok(segment)
    }

    /// Leaves the index beside the segment. It is only a cache, so a failure costs time, not data.
    pub(crate) fn write_index(&self, disk: &dyn Disk) {
        let mut bytes = INDEX_MAGIC.to_vec();
        for value in [self.first, self.count, self.end].iter().chain(&self.offsets) {
            bytes.extend_from_slice(&value.to_le_bytes());
        }
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        let path = index_path(&self.path);
        if let Err(error) = disk.create(&path).and_then(|file| file.write_all_at(&bytes, 0)) {
            tracing::warn!(index = %path.display(), %error, "cannot write the index of a block log segment");
        }
    }

    /// The index, or `None` when it is missing, damaged or of another state of the segment.
    pub(crate) fn read_index(disk: &dyn Disk, path: &Path, first: u64, len: u64) -> Option<Self> {
        let file = disk.open(&index_path(path)).ok()?;
        let size = usize::try_from(file.len().ok()?).ok()?;
        // An index is far smaller than its segment: anything longer is not one.
        if size < 36 || size as u64 > len || !size.is_multiple_of(4) {
            return None;
        }
        let mut bytes = vec![0; size];
        file.read_exact_at(&mut bytes, 0).ok()?;
        let (body, crc) = bytes.split_at(size - 4);
        if crc32fast::hash(body).to_le_bytes() != *crc || !body.starts_with(&INDEX_MAGIC) {
            return None;
        }
        let mut values = body[8..]
            .chunks_exact(8)
            .map(|value| u64::from_le_bytes(value.try_into().expect("chunks of eight bytes")));
        let (found, count, end) = (values.next()?, values.next()?, values.next()?);
        let offsets: Vec<u64> = values.collect();
        let whole = found == first && end == len && offsets.len() as u64 == count.div_ceil(STRIDE);
        whole.then(|| Self { path: path.to_owned(), first, count, end, offsets, file: None })
    }
}

impl Lookup {
    /// Reads the block's payload.
    pub(crate) fn read(self, disk: &dyn Disk) -> Result<Vec<u8>, StoreError> {
        let io = |action| StoreError::io(action, &self.path);
        let file = match &self.file {
            Some(file) => file.clone(),
            None => disk.open(&self.path).map_err(io("open"))?,
        };
        let len = file.len().map_err(io("read"))?;
        let mut offset = self.offset;
        let mut bytes = [0; FRAME_HEADER];
        for step in 0..=self.skip {
            let unreadable =
                || frame::damaged(&self.path, offset, format!("block {} is unreadable", self.height));
            if offset + FRAME_HEADER as u64 > len {
                return Err(unreadable());
            }
            file.read_exact_at(&mut bytes, offset).map_err(io("read"))?;
            let header = FrameHeader::parse(bytes);
            let expected = self.height - self.skip + step;
            let end = header.end(offset).filter(|&end| end <= len && header.number == expected);
            let end = end.ok_or_else(unreadable)?;
            if step < self.skip {
                offset = end;
                continue;
            }
            let mut payload = vec![0; header.len];
            file.read_exact_at(&mut payload, offset + FRAME_HEADER as u64).map_err(io("read"))?;
            return if header.vouches_for(&payload) { Ok(payload) } else { Err(unreadable()) };
        }
        unreachable!("the last step returns")
    }
}

/// The index of a segment.
pub(crate) fn index_path(segment: &Path) -> PathBuf {
    segment.with_extension("idx")
}
