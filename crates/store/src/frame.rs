//! Framed records, and telling a torn tail from damage.
//!
//! ```text
//! file   := header(magic 8 | network 8 | genesis 32 | first 8 | crc 4)  frame*
//! frame  := length 4 | crc 4 | durable 8 | number 8 | payload
//! ```
//!
//! Integers are little-endian; the CRC-32 covers everything else of its header or frame. `durable` is the
//! offset up to which the file had been fsynced when the frame was made: an unreadable frame below a later
//! frame's `durable` had reached the disk, so it was damaged since. One that no later frame vouches for
//! is what a crash leaves of writes that were never acknowledged, and is cut off.

use std::io;
use std::path::Path;

use alloy_primitives::B256;
use anfs_primitives::NetworkId;

use crate::disk::DiskFile;
use crate::error::StoreError;

/// Bytes before a frame's payload.
pub(crate) const FRAME_HEADER: usize = 24;
/// Bytes before a file's first frame.
pub(crate) const FILE_HEADER: usize = 60;
/// [`FILE_HEADER`] as an offset.
pub(crate) const FILE_HEADER_END: u64 = 60;
/// Largest payload: a block of the largest size with its receipts.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 256 * 1024 * 1024;

const READ_AHEAD: usize = 1024 * 1024;

/// The chain that a folder belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Binding {
    pub(crate) network: NetworkId,
    pub(crate) genesis: B256,
}

/// The header of a log file.
pub(crate) fn file_header(magic: [u8; 8], binding: Binding, first: u64) -> [u8; FILE_HEADER] {
    let mut header = [0; FILE_HEADER];
    header[..8].copy_from_slice(&magic);
    header[8..16].copy_from_slice(&binding.network.0.to_le_bytes());
    header[16..48].copy_from_slice(binding.genesis.as_slice());
    header[48..56].copy_from_slice(&first.to_le_bytes());
    let crc = crc32fast::hash(&header[..56]);
    header[56..].copy_from_slice(&crc.to_le_bytes());
    header
}

/// What a file's header says.
pub(crate) enum FileHeader {
    /// It is whole and of this chain; the number of the first frame.
    Good(u64),
    /// It is not a header: torn while the file was made, or damaged.
    Unreadable,
}

/// Reads a log file's header.
pub(crate) fn read_file_header(
    file: &dyn DiskFile,
    path: &Path,
    magic: [u8; 8],
    binding: Binding,
) -> Result<FileHeader, StoreError> {
    let io = |action| StoreError::io(action, path);
    if file.len().map_err(io("read"))? < FILE_HEADER_END {
        return Ok(FileHeader::Unreadable);
    }
    let mut header = [0; FILE_HEADER];
    file.read_exact_at(&mut header, 0).map_err(io("read"))?;
    let found =
        Binding { network: NetworkId(u64_at(&header, 8)), genesis: B256::from_slice(&header[16..48]) };
    let first = u64_at(&header, 48);
    if header != file_header(magic, found, first) {
        return Ok(FileHeader::Unreadable);
    }
    if found != binding {
        return Err(StoreError::OtherChain {
            path: path.to_owned(),
            found_network: found.network,
            found_genesis: found.genesis,
            network: binding.network,
            genesis: binding.genesis,
        });
    }
    Ok(FileHeader::Good(first))
}

/// The decoded header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    bytes: [u8; FRAME_HEADER],
    pub(crate) len: usize,
    pub(crate) durable: u64,
    pub(crate) number: u64,
}

impl FrameHeader {
    pub(crate) fn parse(bytes: [u8; FRAME_HEADER]) -> Self {
        let len = u32::from_le_bytes(bytes[..4].try_into().expect("four bytes")) as usize;
        Self { len, durable: u64_at(&bytes, 8), number: u64_at(&bytes, 16), bytes }
    }

    /// Offset just after the frame that starts at `offset`, or `None` for a length that no frame has.
    pub(crate) fn end(&self, offset: u64) -> Option<u64> {
        if self.len == 0 || self.len > PAYLOAD_BYTES_MAX {
            return None;
        }
        offset.checked_add((FRAME_HEADER + self.len) as u64)
    }

    /// Whether the checksum holds.
    pub(crate) fn vouches_for(&self, payload: &[u8]) -> bool {
        let crc = u32::from_le_bytes(self.bytes[4..8].try_into().expect("four bytes"));
        payload.len() == self.len && checksum(&self.bytes, payload) == crc
    }
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn checksum(header: &[u8; FRAME_HEADER], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&header[..4]);
    hasher.update(&header[8..]);
    hasher.update(payload);
    hasher.finalize()
}

/// Appends a frame to a buffer, its payload by `write`, which only appends.
pub(crate) fn push(
    buffer: &mut Vec<u8>,
    durable: u64,
    number: u64,
    write: impl FnOnce(&mut Vec<u8>),
) -> Result<(), StoreError> {
    let start = buffer.len();
    let mut header = [0; FRAME_HEADER];
    buffer.extend_from_slice(&header);
    write(buffer);
    let payload = &buffer[start + FRAME_HEADER..];
    let size = payload.len();
    let len = u32::try_from(size).ok().filter(|_| (1..=PAYLOAD_BYTES_MAX).contains(&size));
    let Some(len) = len else {
        buffer.truncate(start);
        return Err(StoreError::TooLarge { size, limit: PAYLOAD_BYTES_MAX });
    };
    header[..4].copy_from_slice(&len.to_le_bytes());
    header[8..16].copy_from_slice(&durable.to_le_bytes());
    header[16..].copy_from_slice(&number.to_le_bytes());
    let crc = checksum(&header, payload);
    header[4..8].copy_from_slice(&crc.to_le_bytes());
    buffer[start..start + FRAME_HEADER].copy_from_slice(&header);
    Ok(())
}

/// Where the good frames of a file end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scanned {
    /// Offset just after the last good frame.
    pub(crate) end: u64,
    /// Number that the next frame would have.
    pub(crate) next: u64,
    /// Bytes after `end` that are not a frame.
    pub(crate) torn: u64,
}

/// Reads every frame of a file in order. What follows the last good frame is counted as torn, unless a
/// later frame proves that it had been fsynced.
pub(crate) fn scan(
    file: &dyn DiskFile,
    path: &Path,
    first: u64,
    mut on_frame: impl FnMut(u64, u64, &[u8]),
) -> Result<Scanned, StoreError> {
    let io = |action| StoreError::io(action, path);
    let len = file.len().map_err(io("read"))?;
    let mut reader = Reader { file, at: FILE_HEADER_END, len, buffer: Vec::new(), start: 0 };
    let mut next = first;
    let mut payload = Vec::new();
    loop {
        let offset = reader.at;
        let mut bytes = [0; FRAME_HEADER];
        if !reader.take(&mut bytes).map_err(io("read"))? {
            break;
        }
        let header = FrameHeader::parse(bytes);
        let fits = header.end(offset).is_some_and(|end| end <= len);
        if !fits {
            reader.at = offset;
            break;
        }
        payload.resize(header.len, 0);
        reader.take(&mut payload).map_err(io("read"))?;
        if !header.vouches_for(&payload) {
            reader.at = offset;
            break;
        }
        if header.number != next {
            return Err(damaged(path, offset, format!("record {} where {next} belongs", header.number)));
        }
        on_frame(next, offset, &payload);
        next += 1;
    }
    let end = reader.at;
    if end < len {
        refuse_synced_damage(file, path, end, len, next)?;
    }
    Ok(Scanned { end, next, torn: len - end })
}

/// Looks behind an unreadable frame for one that proves that it had been fsynced.
fn refuse_synced_damage(
    file: &dyn DiskFile,
    path: &Path,
    bad: u64,
    len: u64,
    expected: u64,
) -> Result<(), StoreError> {
    let size = usize::try_from(len - bad).map_err(|_| damaged(path, bad, "unreadable record".to_owned()))?;
    let mut tail = vec![0; size];
    file.read_exact_at(&mut tail, bad).map_err(StoreError::io("read", path))?;
    let proof = (1..size.saturating_sub(FRAME_HEADER)).find(|&at| {
        let bytes = tail[at..at + FRAME_HEADER].try_into().expect("a slice of that length");
        let header = FrameHeader::parse(bytes);
        header.number >= expected
            && header.durable > bad
            && header.durable <= bad + at as u64
            && header.end(at as u64).is_some_and(|end| end <= size as u64)
            && header.vouches_for(&tail[at + FRAME_HEADER..at + FRAME_HEADER + header.len])
    });
    match proof {
        None => Ok(()),
        Some(_) => Err(damaged(path, bad, format!("record {expected} is unreadable but later ones are not"))),
    }
}

/// Damage to what had been fsynced.
pub(crate) fn damaged(path: &Path, offset: u64, what: String) -> StoreError {
    StoreError::Corrupt {
        path: path.to_owned(),
        offset,
        what,
        remedy: "check the disk's health, then restore the folder from a backup or sync into an empty one",
    }
}

/// Reads a file front to back in large pieces.
struct Reader<'a> {
    file: &'a dyn DiskFile,
    at: u64,
    len: u64,
    buffer: Vec<u8>,
    start: u64,
}

impl Reader<'_> {
    /// Fills `out` and moves on, or returns false when the file ends before.
    fn take(&mut self, out: &mut [u8]) -> io::Result<bool> {
        if self.len - self.at < out.len() as u64 {
            return Ok(false);
        }
        if out.len() >= READ_AHEAD {
            self.file.read_exact_at(out, self.at)?;
            self.at += out.len() as u64;
            return Ok(true);
        }
        let buffered =
            self.at >= self.start && self.at + out.len() as u64 <= self.start + self.buffer.len() as u64;
        if !buffered {
            let size = (self.len - self.at).min(READ_AHEAD as u64);
            self.buffer.resize(usize::try_from(size).expect("at most the read-ahead"), 0);
            self.file.read_exact_at(&mut self.buffer, self.at)?;
            self.start = self.at;
        }
        let from = usize::try_from(self.at - self.start).expect("within the read-ahead");
        out.copy_from_slice(&self.buffer[from..from + out.len()]);
        self.at += out.len() as u64;
        Ok(true)
    }
}
