//! Data folders that the program may not use: it says which and what to do, and harms nothing.
//!
//! Permissions bind no superuser. Where the tests run as one, the program runs as a user without rights.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::harness::{Devnet, Draft, sign};

/// The user and group that own nothing: `nobody` on every Linux.
const NOBODY: u32 = 65_534;

/// A place that the program reaches as whoever it runs.
struct Place {
    root: tempfile::TempDir,
    /// Set where the tests run as the superuser: a copy of the program, since the way to the one that was
    /// built may be closed to others.
    program: Option<PathBuf>,
}

impl Place {
    fn new() -> Self {
        // `/tmp` and not `TMPDIR`, which may lie inside somebody's home.
        let root = tempfile::tempdir_in("/tmp").expect("everybody may write there");
        mode(root.path(), 0o755);
        let program = (fs::metadata(root.path()).expect("it was made here").uid() == 0).then(|| {
            let program = root.path().join("anfs");
            // Not by ourselves: a process that another test forks meanwhile would hold the file open for
            // writing, and a file that is open for writing cannot be run.
            let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_anfs")).arg(&program).status();
            assert!(copied.expect("cp is part of every Unix").success());
            mode(&program, 0o755);
            program
        });
        Self { root, program }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// A folder of this mode, which binds the program as its owner or as one of the others.
    fn folder(&self, name: &str, permissions: u32) -> PathBuf {
        let path = self.path(name);
        fs::create_dir(&path).expect("it does not exist");
        mode(&path, permissions);
        path
    }

    /// Runs the program, which must refuse the folder; exit code and error.
    fn refused(&self, dir: &Path, flags: &[&str]) -> (Option<i32>, Value) {
        let mut command = match &self.program {
            None => Command::new(env!("CARGO_BIN_EXE_anfs")),
            Some(program) => {
                let mut command = Command::new(program);
                command.uid(NOBODY).gid(NOBODY);
                command
            }
        };
        command
            .args(["devnet", "--json", "--verifiers", "1", "--port", "0", "--data-dir"])
            .arg(dir)
            .args(flags);
        // The folder that the tests run in may be closed to the other user.
        command
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child =
            command.spawn().expect("the program was built, and a superuser may become another user");
        // It prints a line once it serves: then it would run for ever.
        let mut line = String::new();
        let stdout = child.stdout.take().expect("standard output is piped");
        BufReader::new(stdout).read_line(&mut line).expect("standard output can be read");
        if !line.is_empty() {
            child.kill().expect("it is running");
        }
        let output = child.wait_with_output().expect("it was started here");
        assert!(line.is_empty(), "{} was used: {line}", dir.display());
        let error = serde_json::from_slice(&output.stderr)
            .unwrap_or_else(|_| panic!("no JSON error: {}", String::from_utf8_lossy(&output.stderr)));
        (output.status.code(), error)
    }

    /// The program must refuse with the exit code of folders, name `path`, the system's reason and the remedy.
    #[track_caller]
    fn check(&self, dir: &Path, flags: &[&str], path: &Path, reason: &str, remedy: &str) {
        let (status, error) = self.refused(dir, flags);
        assert_eq!(status, Some(5), "{error}");
        assert_eq!(error["code"], 5);
        let words = error["error"].as_str().expect("an error has words");
        for word in [path.to_str().expect("temporary folders have plain names"), reason, remedy] {
            assert!(words.contains(word), "{words:?} does not say {word:?}");
        }
    }
}

fn mode(path: &Path, permissions: u32) {
    fs::set_permissions(path, Permissions::from_mode(permissions)).expect("it was made here");
}

/// Takes the right to write from everybody, or gives it back to the owner, in a whole tree.
fn writable(path: &Path, yes: bool) {
    let bits = fs::metadata(path).expect("it was made here").permissions().mode();
    mode(path, if yes { bits | 0o200 } else { bits & !0o222 | 0o444 });
    if path.is_dir() {
        names(path).iter().for_each(|name| writable(&path.join(name), yes));
    }
}

fn names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).expect("it was made here").map(|entry| entry.expect("it can be read"));
    let names = entries.map(|entry| entry.file_name().into_string().expect("names are plain"));
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

#[test]
fn a_folder_without_permissions_is_named_with_the_remedy() {
    let place = Place::new();
    let denied = "Permission denied";
    let remedy = "write access";
    let closed = place.folder("closed", 0o000);
    place.check(&closed, &[], &closed, denied, remedy);
    place.check(&closed, &["--reset"], &closed, denied, remedy);
    place.check(&closed.join("inner"), &[], &closed.join("inner"), denied, remedy);

    let read_only = place.folder("read-only", 0o555);
    place.check(&read_only, &[], &read_only, denied, remedy);
    place.check(&read_only.join("a/b"), &[], &read_only.join("a/b"), denied, remedy);
    assert_eq!(names(&read_only), [""; 0]);

    // Given back, so that the temporary folder can be removed by whoever runs this.
    mode(&closed, 0o755);
    assert_eq!(names(&closed), [""; 0]);
}

#[test]
fn a_network_that_may_only_be_read_is_left_as_it_is() {
    let place = Place::new();
    let dir = place.folder("network", 0o755);
    let devnet = Devnet::in_folder(&dir, &["--verifiers", "1"]);
    let (hash, raw) = sign(&devnet.wallet(0), &Draft::default());
    devnet.rpc.call("eth_sendRawTransaction", json!([raw]));
    let before = devnet.rpc.receipt(&hash.to_string());
    assert!(devnet.interrupt().success());

    writable(&dir, false);
    for flags in [&[][..], &["--reset"]] {
        place.check(&dir, flags, &dir, "Permission denied", "write access");
    }
    writable(&dir, true);
    let devnet = Devnet::in_folder(&dir, &["--verifiers", "1"]);
    assert_eq!(devnet.rpc.call("eth_getTransactionReceipt", json!([hash])), before);
}

#[test]
fn a_file_is_no_folder() {
    let place = Place::new();
    let file = place.path("file");
    fs::write(&file, "not a folder").unwrap();
    let remedy = "is a file: choose another --data-dir";
    place.check(&file, &[], &file, "File exists", remedy);
    place.check(&file, &["--reset"], &file, "Not a directory", remedy);
    place.check(&file.join("inner"), &[], &file.join("inner"), "Not a directory", remedy);
    assert_eq!(fs::read_to_string(&file).unwrap(), "not a folder");
}

#[test]
fn missing_parents_are_made() {
    let place = Place::new();
    let dir = place.path("a/b/c");
    let devnet = Devnet::in_folder(&dir, &["--verifiers", "1"]);
    assert_eq!(devnet.rpc.quantity("eth_chainId", json!([])), 31337);
    assert!(devnet.interrupt().success());
    assert_eq!(names(&dir), ["chain-spec.json", "founded", "seat-0", "seat-1"]);
}
