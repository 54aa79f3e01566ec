//! A devnet to run client suites against.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use eyre::{Context as _, Result, ensure, eyre};
use serde::{Deserialize, Serialize};

use crate::repo::Repo;

const START_TIMEOUT: Duration = Duration::from_secs(60);
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// What a server says of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Description {
    pub(crate) rpc_url: String,
    pub(crate) ws_url: String,
    pub(crate) accounts: Vec<Account>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Account {
    pub(crate) address: String,
    pub(crate) private_key: String,
}

/// A running devnet; dropping it kills it.
#[derive(Debug)]
pub(crate) struct Devnet {
    child: Child,
    pub(crate) description: Description,
}

impl Devnet {
    /// Starts the built program with these flags on a free port and waits until it says that it is ready.
    pub(crate) fn start(repo: &Repo, flags: &[&str]) -> Result<Self> {
        let log = repo.join("target/xtask-devnet.log");
        let log_file = File::create(&log).wrap_err_with(|| format!("cannot write {}", log.display()))?;
        let mut child = Command::new(repo.anfs())
            .args(["devnet", "--port", "0", "--ephemeral", "--json"])
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log_file)
            .spawn()
            .wrap_err_with(|| format!("cannot start {}", repo.anfs().display()))?;
        let stdout = child.stdout.take().ok_or_else(|| eyre!("the devnet has no standard output"))?;
        let (sender, receiver) = mpsc::channel();
        // Reads to the end, so that the devnet never waits for us.
        std::thread::spawn(move || {
            BufReader::new(stdout).lines().map_while(Result::ok).for_each(|line| drop(sender.send(line)));
        });
        let line = receiver.recv_timeout(START_TIMEOUT);
        let description = line.map_err(|_| eyre!("the devnet did not become ready; see {}", log.display()));
        let description = description.and_then(|line| {
            serde_json::from_str(&line).wrap_err_with(|| format!("the devnet printed no description: {line}"))
        });
        match description {
            Ok(description) => Ok(Self { child, description }),
            Err(error) => {
                drop(child.kill());
                drop(child.wait());
                Err(error)
            }
        }
    }

    /// Asks it to stop, as Ctrl-C does, and fails unless it does so cleanly and in time.
    pub(crate) fn stop(mut self) -> Result<()> {
        let id = self.child.id().to_string();
        let asked = Command::new("kill").args(["-INT", &id]).status().wrap_err("cannot run kill")?;
        ensure!(asked.success(), "the devnet had died before it was asked to stop");
        let (done, timer) = mpsc::channel::<()>();
        let watchdog = std::thread::spawn(move || {
            if timer.recv_timeout(STOP_TIMEOUT) == Err(mpsc::RecvTimeoutError::Timeout) {
                drop(Command::new("kill").args(["-KILL", &id]).status());
            }
        });
        let status = self.child.wait().wrap_err("cannot wait for the devnet")?;
        drop(done);
        drop(watchdog.join());
        ensure!(status.success(), "the devnet did not stop cleanly: {status}");
        Ok(())
    }
}

impl Drop for Devnet {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
