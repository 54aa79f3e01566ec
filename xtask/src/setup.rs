//! Installs what the tests need, into git-ignored folders of the repository. A second run does nothing.

use std::fs;
use std::path::Path;
use std::process::Command;

use eyre::{Context as _, Result, bail, ensure};

use crate::process::{execute, output};
use crate::repo::Repo;

const NODE_MAJOR_MIN: u64 = 18;
const PYTHON_MINOR_MIN: u64 = 10;

pub(crate) fn run(repo: &Repo) -> Result<()> {
    let missing = missing_tools();
    ensure!(missing.is_empty(), "cannot set up the client suites:\n  - {}", missing.join("\n  - "));
    node_packages(repo)?;
    let clients = repo.clients();
    let wanted = read_all(&clients, &["requirements.txt"])?;
    let stamp = clients.join(".venv/.anfs-setup");
    once(&stamp, &wanted, "Python packages of tests/clients", || {
        let venv =
            Command::new("python3").args(["-m", "venv", "--clear", ".venv"]).current_dir(&clients).status();
        ensure!(
            venv.is_ok_and(|status| status.success()),
            "python3 cannot make a virtual environment: install its venv module (Debian: apt install python3-venv)"
        );
        let pip = clients.join(".venv/bin/pip");
        execute(
            Command::new(pip)
                .args([
                    "install",
                    "--quiet",
                    "--disable-pip-version-check",
                    "--requirement",
                    "requirements.txt",
                ])
                .current_dir(&clients),
        )
    })?;
    println!("setup: ready");
    Ok(())
}

/// Installs the Node packages alone, of which the Solidity compiler is one.
pub(crate) fn node_packages(repo: &Repo) -> Result<()> {
    let clients = repo.clients();
    let wanted = read_all(&clients, &["package.json", "package-lock.json"])?;
    let stamp = clients.join("node_modules/.anfs-setup");
    once(&stamp, &wanted, "npm packages of tests/clients", || {
        execute(Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(&clients))
    })
}

/// Installs unless the stamp holds what is wanted, and writes the stamp last.
fn once(stamp: &Path, wanted: &str, name: &str, install: impl FnOnce() -> Result<()>) -> Result<()> {
    if fs::read_to_string(stamp).is_ok_and(|have| have == wanted) {
        println!("setup: {name} are up to date");
        return Ok(());
    }
    println!("setup: installing {name}");
    install()?;
    fs::write(stamp, wanted).wrap_err_with(|| format!("cannot write {}", stamp.display()))
}

fn read_all(dir: &Path, files: &[&str]) -> Result<String> {
    let mut text = String::new();
    for file in files {
        let path = dir.join(file);
        text += &fs::read_to_string(&path).wrap_err_with(|| format!("cannot read {}", path.display()))?;
    }
    Ok(text)
}

/// What this machine lacks, with the remedy.
fn missing_tools() -> Vec<String> {
    let mut missing = Vec::new();
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        missing.push("the client suites use Foundry's builds for Linux on x86-64; run them there".to_owned());
    }
    if let Err(why) = check_version("node", "v", 0, NODE_MAJOR_MIN) {
        missing.push(format!(
            "{why}: install Node.js {NODE_MAJOR_MIN} or newer (Debian: apt install nodejs npm)"
        ));
    } else if Command::new("npm").arg("--version").output().is_err() {
        missing.push("npm is not there: install it (Debian: apt install npm)".to_owned());
    }
    if let Err(why) = check_version("python3", "Python 3.", 0, PYTHON_MINOR_MIN) {
        missing.push(format!(
            "{why}: install Python 3.{PYTHON_MINOR_MIN} or newer (Debian: apt install python3 python3-venv)"
        ));
    }
    missing
}

/// Checks the number after `prefix`, at `place` between dots, of what the program calls its version.
fn check_version(program: &str, prefix: &str, place: usize, min: u64) -> Result<()> {
    let Ok(text) = output(Command::new(program).arg("--version")) else { bail!("{program} is not there") };
    let text = text.trim();
    let number = text.strip_prefix(prefix).and_then(|rest| rest.split('.').nth(place)?.parse::<u64>().ok());
    match number {
        Some(number) if number >= min => Ok(()),
        _ => bail!("{program} is {text:?}"),
    }
}
