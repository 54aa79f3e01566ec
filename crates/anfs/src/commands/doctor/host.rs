//! Looks at the machine: clock, disk, limits, processor.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use alloy_primitives::B256;
use anfs_poh::{HashClock, Selection};

use super::Check;
use crate::sheet::{grouped, time};

/// 2025-01-01: no copy of this program is older.
const CLOCK_SECONDS_MIN: u64 = 1_735_689_600;
/// 2100-01-01.
const CLOCK_SECONDS_MAX: u64 = 4_102_444_800;
#[cfg(unix)]
const MIB: u64 = 1 << 20;
#[cfg(unix)]
const FREE_BYTES_FAIL: u64 = 512 * MIB;
#[cfg(unix)]
const FREE_BYTES_WARN: u64 = 5 * 1024 * MIB;
#[cfg(unix)]
/// Below this the node cannot open its logs, databases and sockets.
const DESCRIPTORS_FAIL: u64 = 256;
#[cfg(unix)]
/// Room for the node's 1024 connections and its files.
const DESCRIPTORS_WARN: u64 = 2048;
/// Hashes a second below which a generator falls behind those of other machines.
const HASH_RATE_WARN: u64 = 5_000_000;
const HASH_RATE_TIME: Duration = Duration::from_millis(100);

/// Seconds since 1970 by the machine's clock; 0 when it stands before.
pub(super) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

pub(super) fn clock(seconds: u64) -> Check {
    if (CLOCK_SECONDS_MIN..CLOCK_SECONDS_MAX).contains(&seconds) {
        Check::ok("clock", time(seconds))
    } else {
        Check::fail("clock", format!("stands at {}", time(seconds)), "set the clock, and keep it set by NTP")
    }
}

/// Whether the folder, or the nearest one above it that is there, can be written, and has room.
pub(super) fn data_folder(dir: &Path) -> Vec<Check> {
    const NAME: &str = "data folder";
    let Some(there) = dir
        .ancestors()
        .map(|dir| if dir.as_os_str().is_empty() { Path::new(".") } else { dir })
        .find(|dir| dir.exists())
    else {
        return vec![Check::fail(
            NAME,
            format!("{} is nowhere", dir.display()),
            "choose another by --data-dir",
        )];
    };
    let probe = there.join(format!(".anfs-doctor-{}", std::process::id()));
    let written = fs::write(&probe, b"x").and_then(|()| fs::remove_file(&probe));
    let writable = match written {
        Ok(()) if there == dir => Check::ok(NAME, format!("{} can be written", dir.display())),
        Ok(()) => Check::ok(NAME, format!("{} can be made", dir.display())),
        Err(error) => Check::fail(
            NAME,
            format!("{} cannot be written: {error}", there.display()),
            "give yourself the right to write there, or choose another by --data-dir",
        ),
    };
    let mut checks = vec![writable];
    checks.extend(free_space(there));
    checks
}

#[cfg(unix)]
fn free_space(dir: &Path) -> Option<Check> {
    let stat = rustix::fs::statvfs(dir).ok()?;
    Some(judge_free_space(stat.f_bavail.saturating_mul(stat.f_frsize)))
}

#[cfg(not(unix))]
fn free_space(_dir: &Path) -> Option<Check> {
    None
}

#[cfg(unix)]
fn judge_free_space(bytes: u64) -> Check {
    const NAME: &str = "disk space";
    const REMEDY: &str = "make room, or choose a folder on another disk by --data-dir";
    let detail = format!("{} MiB free", grouped(bytes / MIB));
    if bytes < FREE_BYTES_FAIL {
        Check::fail(NAME, detail, REMEDY)
    } else if bytes < FREE_BYTES_WARN {
        Check::warn(NAME, detail, REMEDY)
    } else {
        Check::ok(NAME, detail)
    }
}

#[cfg(unix)]
pub(super) fn file_descriptors() -> Option<Check> {
    use rustix::process::{Resource, getrlimit};
    Some(judge_descriptors(getrlimit(Resource::Nofile).current))
}

#[cfg(not(unix))]
pub(super) fn file_descriptors() -> Option<Check> {
    None
}

#[cfg(unix)]
fn judge_descriptors(limit: Option<u64>) -> Check {
    const NAME: &str = "open files";
    const REMEDY: &str = "raise the limit before the start: ulimit -n 65536";
    match limit {
        None => Check::ok(NAME, "no limit"),
        Some(limit) => {
            let detail = format!("{} at most", grouped(limit));
            if limit < DESCRIPTORS_FAIL {
                Check::fail(NAME, detail, REMEDY)
            } else if limit < DESCRIPTORS_WARN {
                Check::warn(NAME, detail, REMEDY)
            } else {
                Check::ok(NAME, detail)
            }
        }
    }
}

pub(super) fn processor() -> Check {
    const NAME: &str = "processor";
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (found, missing) = hash_features();
    let has = if found.is_empty() { "no SHA extensions".to_owned() } else { found.join(", ") };
    let detail = format!("{cores} cores, {has}");
    match missing {
        None => Check::ok(NAME, detail),
        Some(missing) => Check::warn(
            NAME,
            detail,
            format!("works without {missing}, but slower: for a busy node choose a machine that has it"),
        ),
    }
}

/// What of the processor speeds the hash clock up, and what is missing for good speed.
fn hash_features() -> (Vec<&'static str>, Option<&'static str>) {
    #[cfg(target_arch = "x86_64")]
    {
        let sha = std::arch::is_x86_feature_detected!("sha");
        let wide = std::arch::is_x86_feature_detected!("avx512f");
        let found = [(sha, "sha_ni"), (wide, "avx512f")];
        let found = found.into_iter().filter_map(|(there, name)| there.then_some(name)).collect();
        (found, (!sha).then_some("sha_ni"))
    }
    #[cfg(target_arch = "aarch64")]
    {
        let sha = std::arch::is_aarch64_feature_detected!("sha2");
        (if sha { vec!["sha2"] } else { Vec::new() }, (!sha).then_some("sha2"))
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    (Vec::new(), Some("hardware SHA-256"))
}

/// How fast one core runs the hash clock.
pub(super) fn hash_clock() -> Check {
    const SLOT: u64 = 1 << 16;
    let started = Instant::now();
    let mut hash = B256::ZERO;
    let mut hashes = 0;
    while started.elapsed() < HASH_RATE_TIME {
        let mut clock = HashClock::new(hash, SLOT, 64);
        std::hint::black_box(clock.finish());
        hash = clock.hash();
        hashes += SLOT;
    }
    judge_hash_rate(hashes, started.elapsed())
}

/// Whether the ways of computing the hash clock that this machine has compute rightly.
pub(super) fn hash_kernel() -> Check {
    judge_kernel(Selection::of_this_process())
}

fn judge_kernel(selection: &Selection) -> Check {
    const NAME: &str = "hash kernel";
    let detail = format!("{:?}", selection.kernel);
    if selection.rejected.is_empty() {
        return Check::ok(NAME, detail);
    }
    let rejected: Vec<String> = selection.rejected.iter().map(|kernel| format!("{kernel:?}")).collect();
    let detail = format!("{detail}; {} computes wrongly here and is not used", rejected.join(", "));
    Check::warn(
        NAME,
        detail,
        "a node is right, but slower: check this machine (memory, overclocking), and report it",
    )
}

fn judge_hash_rate(hashes: u64, took: Duration) -> Check {
    const NAME: &str = "hash clock";
    let rate = u128::from(hashes) * 1_000_000 / took.as_micros().max(1);
    let rate = u64::try_from(rate).unwrap_or(u64::MAX);
    let detail = format!("{} SHA-256 a second in sequence, one core", grouped(rate));
    if rate < HASH_RATE_WARN {
        Check::warn(
            NAME,
            detail,
            "a devnet runs well; a generator of a public network needs a faster core, or an idle one",
        )
    } else {
        Check::ok(NAME, detail)
    }
}

#[cfg(test)]
mod tests {
    use anfs_poh::Kernel;

    use super::super::State;
    use super::*;

    #[test]
    fn a_clock_that_is_off_by_years_is_found() {
        assert_eq!(clock(CLOCK_SECONDS_MIN + 1).state, State::Ok);
        assert_eq!(clock(0).state, State::Fail);
        assert_eq!(clock(u64::MAX).state, State::Fail);
    }

    #[cfg(unix)]
    #[test]
    fn limits_are_judged() {
        assert_eq!(judge_free_space(FREE_BYTES_WARN).state, State::Ok);
        assert_eq!(judge_free_space(FREE_BYTES_FAIL).state, State::Warn);
        assert_eq!(judge_free_space(0).state, State::Fail);
        assert_eq!(judge_descriptors(None).state, State::Ok);
        assert_eq!(judge_descriptors(Some(1024)).state, State::Warn);
        assert_eq!(judge_descriptors(Some(10)).state, State::Fail);
        assert_eq!(judge_hash_rate(HASH_RATE_WARN, Duration::from_secs(1)).state, State::Ok);
        assert_eq!(judge_hash_rate(HASH_RATE_WARN, Duration::from_secs(2)).state, State::Warn);
        assert_eq!(judge_hash_rate(0, Duration::ZERO).state, State::Warn);
        let mut selection = Selection { kernel: Kernel::Portable, rejected: Vec::new() };
        assert_eq!(judge_kernel(&selection).state, State::Ok);
        selection.rejected.push(Kernel::ShaNi);
        let check = judge_kernel(&selection);
        assert!(check.state == State::Warn && check.detail.contains("ShaNi computes wrongly"), "{check:?}");
    }

    #[test]
    fn a_folder_is_looked_at_without_leaving_anything() {
        let temporary = tempfile::tempdir().unwrap();
        let checks = data_folder(&temporary.path().join("a/b"));
        assert_eq!(checks[0].state, State::Ok);
        assert!(checks[0].detail.contains("can be made"));
        assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0);
        let file = temporary.path().join("file");
        fs::write(&file, "x").unwrap();
        assert_eq!(data_folder(&file)[0].state, State::Fail, "a file is no folder");
    }
}
