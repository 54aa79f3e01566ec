//! Where things are.

use std::path::{Path, PathBuf};
use std::process::Command;

use eyre::{Context as _, Result, ensure, eyre};

/// The repository.
#[derive(Clone, Debug)]
pub(crate) struct Repo {
    root: PathBuf,
}

impl Repo {
    /// The repository that this program was built from.
    pub(crate) fn find() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
        let root = root.ok_or_else(|| eyre!("xtask must lie in a folder of the repository"))?;
        ensure!(root.join("layers.toml").is_file(), "{} is not the repository", root.display());
        Ok(Self { root: root.to_owned() })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn join(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// The folder of the client suites.
    pub(crate) fn clients(&self) -> PathBuf {
        self.join("tests/clients")
    }

    /// The built `anfs` program.
    pub(crate) fn anfs(&self) -> PathBuf {
        self.join("target/release/anfs")
    }

    /// A command that runs at the root. Cargo is the one that runs us.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(&self.root);
        command
    }

    /// Every file that is committed or about to be, relative to the root.
    pub(crate) fn files(&self) -> Result<Vec<String>> {
        let output = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(&self.root)
            .output()
            .wrap_err("cannot run git; install it")?;
        ensure!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr));
        let list = String::from_utf8(output.stdout).wrap_err("a file name is not UTF-8")?;
        let mut files: Vec<String> = list.split_terminator('\0').map(str::to_owned).collect();
        files.sort();
        files.dedup();
        files.retain(|file| self.root.join(file).is_file());
        Ok(files)
    }

    /// The text of a file, or `None` if it is not text.
    pub(crate) fn text(&self, file: &str) -> Result<Option<String>> {
        let bytes = std::fs::read(self.root.join(file)).wrap_err_with(|| format!("cannot read {file}"))?;
        Ok(String::from_utf8(bytes).ok())
    }
}
