//! Disks that fill up or fail under a running shard.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use alloy_primitives::Address;
use anfs_node::Part;
use anfs_node::disk::{Disk, DiskFile, SystemDisk};
use anfs_primitives::CertificateKind;
use anfs_rpc::At;
use tokio::sync::watch;

use crate::harness::{Shard, VERIFIERS};

/// The system's disk, which can be made to have no room, or to fail its fsyncs.
#[derive(Debug)]
struct SmallDisk {
    full: AtomicBool,
    broken: AtomicBool,
    /// Counts refused writes of each log.
    refused: watch::Sender<(u32, u32)>,
}

#[derive(Debug)]
struct SmallFile {
    disk: Arc<SmallDisk>,
    file: Arc<dyn DiskFile>,
    votes: bool,
}

/// As the store takes it.
#[derive(Debug)]
struct Shared(Arc<SmallDisk>);

impl SmallDisk {
    fn new() -> Arc<Self> {
        let refused = watch::channel((0, 0)).0;
        Arc::new(Self { full: AtomicBool::new(false), broken: AtomicBool::new(false), refused })
    }

    fn shared(self: &Arc<Self>) -> Arc<dyn Disk> {
        Arc::new(Shared(self.clone()))
    }

    fn refuse(&self, votes: bool) -> io::Error {
        self.refused.send_modify(|(blocks, signing)| *(if votes { signing } else { blocks }) += 1);
        io::ErrorKind::StorageFull.into()
    }

    /// Waits until so many writes were refused.
    fn wait_refused(&self, enough: impl Fn(u32, u32) -> bool) {
        let mut refused = self.refused.subscribe();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let watch = refused.wait_for(|(blocks, votes)| enough(*blocks, *votes));
        let waited = runtime.block_on(async {
            tokio::time::timeout(Duration::from_secs(120), watch).await.map(|seen| seen.is_ok())
        });
        assert_eq!(waited, Ok(true), "the disk is written to");
    }
}

impl Shared {
    fn file(&self, path: &Path, file: io::Result<Arc<dyn DiskFile>>) -> io::Result<Arc<dyn DiskFile>> {
        let votes = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("votes"));
        Ok(Arc::new(SmallFile { disk: self.0.clone(), file: file?, votes }))
    }
}

impl Disk for Shared {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        SystemDisk.create_dir_all(dir)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        SystemDisk.list(dir)
    }
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.file(path, SystemDisk.open(path))
    }
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        if self.0.full.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.file(path, SystemDisk.create(path))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        SystemDisk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        SystemDisk.remove(path)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        SystemDisk.sync_dir(dir)
    }
}

impl DiskFile for SmallFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if self.disk.full.load(Ordering::SeqCst) {
            // As a real one: some of it fits.
            self.file.write_all_at(&bytes[..bytes.len() / 2], offset)?;
            return Err(self.disk.refuse(self.votes));
        }
        self.file.write_all_at(bytes, offset)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }
    fn sync(&self) -> io::Result<()> {
        if self.disk.broken.load(Ordering::SeqCst) {
            self.disk.refuse(self.votes);
            return Err(io::Error::other("the medium failed"));
        }
        self.file.sync()
    }
}

#[test]
fn a_full_disk_is_named_and_costs_nothing_but_time() {
    let disk = SmallDisk::new();
    let mut shard = Shard::stopped(VERIFIERS, Some(disk.shared()));
    shard.start_all();
    let before = shard.submit(10, 0);
    let included = shard.wait_included(before.last().unwrap());
    shard.wait_height(0, included + 2);

    disk.full.store(true, Ordering::SeqCst);
    // The second refusal of a log comes after the first was reported; each of five seats has one.
    disk.wait_refused(|_, votes| votes > 2 * (u32::from(VERIFIERS) + 1));
    let backend = shard.backend(0);
    let trouble = shard.indices().find_map(|seat| shard.seat(seat).health().trouble()).unwrap();
    assert!(trouble.contains("free space"), "{trouble}");
    let unready = shard.indices().filter(|seat| shard.backend(*seat).probe.ready().is_err()).count();
    assert!(unready > 0, "/readyz tells");

    // Reads and admissions go on.
    let stuck = backend.chain.head();
    assert!(backend.chain.block(stuck.height()).unwrap().is_some());
    assert!(
        backend.state.account(At::Pending, &Address::repeat_byte(0x77)).unwrap().balance
            > alloy_primitives::U256::ZERO
    );
    assert_eq!(
        backend.chain.transaction(&before[0]).unwrap().map(|(height, _)| height.0 <= included),
        Some(true)
    );
    let during = shard.submit(10, 0);

    disk.full.store(false, Ordering::SeqCst);
    let height = shard.wait_included(during.last().unwrap());
    for seat in shard.indices() {
        shard.wait_height(seat, height + 3);
        assert_eq!(shard.seat(seat).health().trouble(), None, "seat {seat}");
        assert_eq!(shard.backend(seat).probe.ready(), Ok(()), "seat {seat}");
    }
    shard.assert_agreement();

    // What is on the disk is what was shown.
    let shown = shard.block(0, height).header.hash();
    // It holds the folder.
    drop(backend);
    shard.stop_all();
    shard.start_all();
    assert_eq!(shard.block(0, height).header.hash(), shown);
    shard.assert_agreement();
}

#[test]
fn a_verifier_whose_disk_is_full_leaves_the_shard_and_comes_back() {
    let disk = SmallDisk::new();
    let mut shard = Shard::stopped(VERIFIERS, None);
    for seat in [3, 2, 1, 0] {
        shard.start_seat(seat);
    }
    shard.disk = Some(disk.shared());
    shard.start_seat(4);
    shard.wait_decided(0, 0, CertificateKind::Fast);
    disk.full.store(true, Ordering::SeqCst);
    disk.wait_refused(|_, votes| votes >= 2);
    assert!(shard.seat(4).health().troubled().contains(&Part::SigningLog));
    let height = shard.height(0);
    let slow = shard.wait_decided(0, height, CertificateKind::Commit);
    shard.wait_height(0, slow + 20);
    assert!(shard.backend(4).probe.ready().is_err());
    assert!(shard.backend(0).probe.ready().is_ok());
    disk.full.store(false, Ordering::SeqCst);
    let room = shard.height(0);
    let fast = shard.wait_decided(0, room, CertificateKind::Fast);
    shard.wait_height(4, fast);
    assert!(shard.backend(4).probe.ready().is_ok());
    shard.assert_agreement();
}

#[test]
fn a_verifier_whose_disk_fails_is_silent_until_it_is_started_again() {
    let disk = SmallDisk::new();
    let mut shard = Shard::stopped(VERIFIERS, None);
    for seat in [3, 2, 1, 0] {
        shard.start_seat(seat);
    }
    shard.disk = Some(disk.shared());
    shard.start_seat(4);
    shard.wait_decided(0, 0, CertificateKind::Fast);
    disk.broken.store(true, Ordering::SeqCst);
    let height = shard.height(0);
    let slow = shard.wait_decided(0, height, CertificateKind::Commit);
    shard.wait(4, "the trouble", |seat| {
        seat.health().trouble().is_some_and(|trouble| trouble.contains("restart the node"))
    });
    // An fsync that failed once proves nothing when it succeeds later.
    disk.broken.store(false, Ordering::SeqCst);
    shard.wait_height(0, slow + 20);
    assert!(shard.backend(4).probe.ready().is_err());
    shard.stop_seat(4);
    shard.start_seat(4);
    let back = shard.height(0);
    let fast = shard.wait_decided(0, back, CertificateKind::Fast);
    shard.wait_height(4, fast);
    assert!(shard.backend(4).probe.ready().is_ok());
    shard.assert_agreement();
}
