//! A disk in memory that forgets what was not fsynced, tears writes by the sector, and fails on demand.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use anfs_store::disk::{Disk, DiskFile};

/// What a single operation does instead of succeeding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The machine stops in the middle of it, and nothing works from then on.
    Crash,
    /// The process is killed in the middle of it; what it wrote stays in the page cache.
    Kill,
    /// The medium has no room: a write leaves its first half.
    Full,
    /// The medium fails once; an fsync drops what it should have kept.
    Broken,
}

/// What of the writes since the last fsync is on the medium after a crash.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Survival {
    Nothing,
    Everything,
    /// Sectors drawn from the seed, in any order; directory changes up to some point.
    Some(u64),
}

/// Tears happen in small pieces, or in pieces that let one record of a group survive and lose another.
const SECTORS: [usize; 2] = [64, 1024];

#[derive(Clone, Debug)]
enum Change {
    Write(usize, Vec<u8>),
    SetLen(usize),
}

#[derive(Debug, Default)]
struct Inode {
    durable: Vec<u8>,
    current: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Debug, Default)]
struct World {
    inodes: Vec<Inode>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    /// The directory after each change since its last fsync.
    unsynced_names: Vec<BTreeMap<PathBuf, usize>>,
    operations: usize,
    fail_at: Option<(usize, Failure)>,
    stopped: bool,
}

/// The disk; clones are the same disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct FaultyDisk(Arc<Mutex<World>>);

#[derive(Debug)]
struct Handle {
    disk: FaultyDisk,
    inode: usize,
}

fn apply(content: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write(offset, bytes) => {
            let end = offset + bytes.len();
            content.resize(content.len().max(end), 0);
            content[*offset..end].copy_from_slice(bytes);
        }
        Change::SetLen(len) => content.resize(*len, 0),
    }
}

/// xorshift: the tests must repeat.
fn draw(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

impl FaultyDisk {
    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    /// The disk as the store takes it.
    pub(crate) fn shared(&self) -> Arc<dyn Disk> {
        Arc::new(self.clone())
    }

    /// Operations so far.
    pub(crate) fn operations(&self) -> usize {
        self.world().operations
    }

    /// Makes the `index`-th operation from the first one on fail.
    pub(crate) fn fail_at(&self, index: usize, failure: Failure) {
        self.world().fail_at = Some((index, failure));
    }

    /// Whether the failure has not happened yet.
    pub(crate) fn is_armed(&self) -> bool {
        self.world().fail_at.is_some()
    }

    /// Makes the disk of a machine that lost power usable again.
    pub(crate) fn restart(&self, survival: Survival) {
        let mut world = self.world();
        let sector_bytes = match survival {
            Survival::Some(seed) => SECTORS[usize::from(seed.is_multiple_of(2))],
            Survival::Nothing | Survival::Everything => SECTORS[0],
        };
        let mut seed = match survival {
            Survival::Some(seed) => seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            Survival::Nothing | Survival::Everything => 1,
        };
        let mut survives = move || match survival {
            Survival::Nothing => false,
            Survival::Everything => true,
            Survival::Some(_) => draw(&mut seed).is_multiple_of(2),
        };
        let world = &mut *world;
        for inode in &mut world.inodes {
            for change in inode.unsynced.drain(..) {
                match &change {
                    Change::SetLen(_) => {
                        if survives() {
                            apply(&mut inode.durable, &change);
                        }
                    }
                    Change::Write(offset, bytes) => {
                        for (index, sector) in bytes.chunks(sector_bytes).enumerate() {
                            if survives() {
                                let part = Change::Write(offset + index * sector_bytes, sector.to_vec());
                                apply(&mut inode.durable, &part);
                            }
                        }
                    }
                }
            }
            inode.current = inode.durable.clone();
        }
        for names in world.unsynced_names.drain(..) {
            if !survives() {
                break;
            }
            world.durable_names = names;
        }
        world.names = world.durable_names.clone();
        world.fail_at = None;
        world.stopped = false;
    }

    /// Lets the next process use the disk of a machine that ran on.
    pub(crate) fn resume(&self) {
        let mut world = self.world();
        world.fail_at = None;
        world.stopped = false;
    }

    /// A file as it is now.
    pub(crate) fn content(&self, path: &Path) -> Vec<u8> {
        let world = self.world();
        world.inodes[world.names[path]].current.clone()
    }

    /// Changes a file behind the store's back, durably.
    pub(crate) fn tamper(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut world = self.world();
        let inode = world.names[path];
        let inode = &mut world.inodes[inode];
        change(&mut inode.current);
        inode.durable = inode.current.clone();
        inode.unsynced.clear();
    }
}

impl World {
    /// Counts an operation; the failure it meets, if any.
    fn begin(&mut self) -> Result<(), Failure> {
        let index = self.operations;
        self.operations += 1;
        if self.stopped {
            return Err(Failure::Crash);
        }
        match self.fail_at {
            Some((at, failure)) if at == index => {
                self.fail_at = None;
                self.stopped = matches!(failure, Failure::Crash | Failure::Kill);
                Err(failure)
            }
            _ => Ok(()),
        }
    }

    fn named(&mut self, names: BTreeMap<PathBuf, usize>) {
        self.names = names.clone();
        self.unsynced_names.push(names);
    }

    fn change(&mut self, inode: usize, change: Change) {
        apply(&mut self.inodes[inode].current, &change);
        self.inodes[inode].unsynced.push(change);
    }
}

fn error(failure: Failure) -> io::Error {
    match failure {
        Failure::Crash | Failure::Kill => io::Error::other("the process has stopped"),
        Failure::Full => io::Error::from(io::ErrorKind::StorageFull),
        Failure::Broken => io::Error::other("input/output error"),
    }
}

fn not_found() -> io::Error {
    io::Error::from(io::ErrorKind::NotFound)
}

impl Disk for FaultyDisk {
    fn create_dir_all(&self, _: &Path) -> io::Result<()> {
        self.world().begin().map_err(error)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut world = self.world();
        world.begin().map_err(error)?;
        let names = world.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(names.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect())
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut world = self.world();
        world.begin().map_err(error)?;
        let inode = *world.names.get(path).ok_or_else(not_found)?;
        Ok(Arc::new(Handle { disk: self.clone(), inode }))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut world = self.world();
        world.begin().map_err(error)?;
        let inode = match world.names.get(path).copied() {
            Some(inode) => {
                world.change(inode, Change::SetLen(0));
                inode
            }
            None => {
                world.inodes.push(Inode::default());
                let inode = world.inodes.len() - 1;
                let mut names = world.names.clone();
                names.insert(path.to_owned(), inode);
                world.named(names);
                inode
            }
        };
        Ok(Arc::new(Handle { disk: self.clone(), inode }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.begin().map_err(error)?;
        let mut names = world.names.clone();
        let inode = names.remove(from).ok_or_else(not_found)?;
        names.insert(to.to_owned(), inode);
        world.named(names);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.begin().map_err(error)?;
        let mut names = world.names.clone();
        names.remove(path).ok_or_else(not_found)?;
        world.named(names);
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.begin().map_err(error)?;
        let World { names, durable_names, unsynced_names, .. } = &mut *world;
        let inside = |path: &PathBuf| path.parent() == Some(dir);
        for image in unsynced_names.iter_mut().chain([durable_names]) {
            image.retain(|path, _| !inside(path));
            image.extend(
                names.iter().filter(|(path, _)| inside(path)).map(|(path, inode)| (path.clone(), *inode)),
            );
        }
        Ok(())
    }
}

impl DiskFile for Handle {
    fn len(&self) -> io::Result<u64> {
        let mut world = self.disk.world();
        world.begin().map_err(error)?;
        Ok(world.inodes[self.inode].current.len() as u64)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let mut world = self.disk.world();
        world.begin().map_err(error)?;
        let offset = usize::try_from(offset).unwrap();
        let content = &world.inodes[self.inode].current;
        let found = content.get(offset..offset + buffer.len());
        buffer.copy_from_slice(found.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?);
        Ok(())
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut world = self.disk.world();
        let failed = world.begin().err();
        let kept = match failed {
            None | Some(Failure::Crash | Failure::Kill) => bytes.len(),
            Some(Failure::Full | Failure::Broken) => bytes.len() / 2,
        };
        let offset = usize::try_from(offset).unwrap();
        if !(world.stopped && failed.is_none()) {
            world.change(self.inode, Change::Write(offset, bytes[..kept].to_vec()));
        }
        failed.map_or(Ok(()), |failure| Err(error(failure)))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut world = self.disk.world();
        world.begin().map_err(error)?;
        let len = usize::try_from(len).unwrap();
        world.change(self.inode, Change::SetLen(len));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut world = self.disk.world();
        let result = world.begin();
        let inode = &mut world.inodes[self.inode];
        match result {
            Ok(()) => inode.durable = inode.current.clone(),
            // The dirty pages are dropped and count as clean, as Linux has it.
            Err(Failure::Broken | Failure::Full) => inode.current = inode.durable.clone(),
            Err(failure @ (Failure::Crash | Failure::Kill)) => return Err(error(failure)),
        }
        inode.unsynced.clear();
        result.map_err(error)
    }
}
