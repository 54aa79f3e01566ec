//! The copy of the sources that is changed and built.

use std::fmt;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use cargo_metadata::Message;
use eyre::{Context as _, Result, bail, ensure, eyre};

use super::Finder;
use crate::repo::Repo;

/// The crates that the simulator is made of.
const CRATES: [&str; 5] = ["primitives", "crypto", "poh", "consensus", "sim"];
/// A finder that takes longer has not answered.
const PATIENCE: Duration = Duration::from_secs(600);

/// What a finder says of a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// A rule was broken, or a test failed: which and how.
    Found(String),
    /// All is well.
    Nothing,
    /// It did not end in time.
    Silence,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Found(what) => f.write_str(what),
            Self::Nothing => f.write_str("SURVIVED"),
            Self::Silence => write!(f, "NO ANSWER in {} s", PATIENCE.as_secs()),
        }
    }
}

/// A copy of the workspace under target/mutants, with a target folder beside it.
#[derive(Debug)]
pub(super) struct Tree {
    root: PathBuf,
    target: PathBuf,
    jobs: u16,
}

impl Tree {
    /// Copies what is needed. Files that have not changed keep their times, and their builds.
    pub(super) fn make(repo: &Repo, jobs: u16) -> Result<Self> {
        let base = repo.join("target/mutants");
        let tree = Self { root: base.join("tree"), target: base.join("target"), jobs };
        let kept = tree.root.join("crates");
        for name in CRATES {
            copy(&repo.join("crates").join(name), &kept.join(name))?;
        }
        let manifest = repo.text("Cargo.toml")?.unwrap_or_default();
        update(&tree.root.join("Cargo.toml"), narrow(&manifest)?.as_bytes())?;
        // Cargo drops from the copied lock file what the copied crates do not need.
        for file in ["Cargo.lock", "rust-toolchain.toml"] {
            update(&tree.root.join(file), &read(&repo.join(file))?)?;
        }
        Ok(tree)
    }

    pub(super) fn read(&self, file: &str) -> Result<String> {
        String::from_utf8(read(&self.root.join(file))?).wrap_err_with(|| format!("{file} is not text"))
    }

    pub(super) fn write(&self, file: &str, text: &str) -> Result<()> {
        write(&self.root.join(file), text.as_bytes())
    }

    /// Builds a finder and lets it look.
    pub(super) fn ask(&self, finder: &Finder) -> Result<Answer> {
        match finder {
            Finder::Sim { seeds } => {
                let program = self.build(&["build", "--package", "anfs-sim", "--example", "hunt"])?;
                let mut command = Command::new(program);
                command.args([seeds.to_string(), self.jobs.to_string()]);
                let Some((success, text)) = hear(&mut command)? else { return Ok(Answer::Silence) };
                match (success, text.lines().find(|line| line.starts_with("seed "))) {
                    (true, None) => Ok(Answer::Nothing),
                    (false, Some(line)) => Ok(Answer::Found(brief(line))),
                    _ => bail!("the simulator ended as it should not:\n{text}"),
                }
            }
            Finder::Test { package, suite, test } => {
                let suite = if suite == "lib" { vec!["--lib"] } else { vec!["--test", suite] };
                let words = [&["test", "--no-run", "--package", package][..], &suite].concat();
                let mut command = Command::new(self.build(&words)?);
                let name = package.strip_prefix("anfs-").unwrap_or(package);
                let dir = self.root.join("crates").join(name);
                command.current_dir(&dir).env("CARGO_MANIFEST_DIR", &dir).args(["--exact", test]);
                let Some((success, text)) = hear(&mut command)? else { return Ok(Answer::Silence) };
                // A name that no test has would pass for ever.
                ensure!(text.contains("running 1 test"), "{package} has no test {test}:\n{text}");
                Ok(if success { Answer::Nothing } else { Answer::Found(blame(&text)) })
            }
        }
    }

    /// Builds a program and says where it is.
    fn build(&self, words: &[&str]) -> Result<PathBuf> {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(&self.root).args(words).args(["--release", "--jobs", &self.jobs.to_string()]);
        command.arg("--message-format=json-render-diagnostics").env("CARGO_TARGET_DIR", &self.target);
        // The two crates that change are built again and again.
        command.env("CARGO_PROFILE_RELEASE_INCREMENTAL", "true").env("CARGO_PROFILE_RELEASE_DEBUG", "0");
        let output = command.output().wrap_err("cannot start cargo")?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "a mutation that does not compile proves nothing:\n{error}");
        let mut program = None;
        for message in Message::parse_stream(output.stdout.as_slice()) {
            if let Message::CompilerArtifact(artifact) =
                message.wrap_err("cargo printed what is no message")?
            {
                program = artifact.executable.map(|path| path.into_std_path_buf()).or(program);
            }
        }
        program.ok_or_else(|| eyre!("cargo built no program: {words:?}"))
    }
}

/// Runs a program: whether it succeeded and what it printed; none when it did not end in time.
fn hear(command: &mut Command) -> Result<Option<(bool, String)>> {
    let (mut reader, writer) = std::io::pipe().wrap_err("cannot make a pipe")?;
    let twin = writer.try_clone().wrap_err("cannot make a pipe")?;
    let mut child =
        command.stdin(Stdio::null()).stdout(twin).stderr(writer).spawn().wrap_err("cannot start a finder")?;
    // The command holds the pipe's writing ends, which must close for the reading to end.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let (done, ended) = mpsc::channel();
    let listener = thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = reader.read_to_end(&mut bytes);
        // Nobody waits any more when the finder was too slow.
        done.send(()).ok();
        read.map(|_| String::from_utf8_lossy(&bytes).into_owned())
    });
    let in_time = ended.recv_timeout(PATIENCE).is_ok();
    if !in_time {
        child.kill().wrap_err("cannot end a finder")?;
    }
    let status = child.wait().wrap_err("cannot wait for a finder")?;
    let text = listener.join().map_err(|_| eyre!("reading a finder's output panicked"))?;
    let text = text.wrap_err("cannot read a finder's output")?;
    Ok(in_time.then(|| (status.success(), text)))
}

/// What a failed test says.
fn blame(text: &str) -> String {
    let mut lines = text.lines().skip_while(|line| !line.contains("panicked at ")).skip(1);
    lines
        .next()
        .map_or_else(|| "the test fails".to_owned(), |line| format!("the test fails: {}", brief(line)))
}

/// A finding on one short line, fit for a table.
fn brief(line: &str) -> String {
    let line = line.replace('|', "/");
    let cut = line.char_indices().nth(160).map_or(line.len(), |(at, _)| at);
    line[..cut].to_owned()
}

/// The workspace's manifest without the members that are not copied.
fn narrow(manifest: &str) -> Result<String> {
    ensure!(manifest.contains("\nmembers = ["), "Cargo.toml has no line of members");
    let lines = manifest.lines().filter_map(|line| match line {
        line if line.starts_with("members = ") => Some("members = [\"crates/*\"]"),
        line if line.starts_with("default-members = ") || line.starts_with("exclude = ") => None,
        line => Some(line),
    });
    Ok(lines.flat_map(|line| [line, "\n"]).collect())
}

/// Makes `to` the same as `from`.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).wrap_err_with(|| format!("cannot make {}", to.display()))?;
    for name in names(to)? {
        if !from.join(&name).exists() {
            let path = to.join(&name);
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.wrap_err_with(|| format!("cannot remove {}", path.display()))?;
        }
    }
    for name in names(from)? {
        let (source, twin) = (from.join(&name), to.join(&name));
        if source.is_dir() {
            copy(&source, &twin)?;
        } else {
            update(&twin, &read(&source)?)?;
        }
    }
    Ok(())
}

fn names(dir: &Path) -> Result<Vec<std::ffi::OsString>> {
    let entries = fs::read_dir(dir).wrap_err_with(|| format!("cannot read {}", dir.display()))?;
    entries.map(|entry| Ok(entry?.file_name())).collect()
}

/// Writes a file unless it is so already.
fn update(path: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|held| held == bytes) { Ok(()) } else { write(path, bytes) }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).wrap_err_with(|| format!("cannot read {}", path.display()))
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).wrap_err_with(|| format!("cannot write {}", path.display()))
}
