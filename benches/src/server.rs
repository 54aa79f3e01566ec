//! Servers under test: started on a port of their own, their CPU time read from the system, killed at the end.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use eyre::{WrapErr, bail};
use serde_json::json;
use tempfile::TempDir;

use crate::http::Client;

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) url: String,
    /// Whatever it has in temporary folders, which it is given no time to remove.
    _temporary: TempDir,
}

/// How long a server may take to answer.
const START: Duration = Duration::from_secs(30);

impl Server {
    /// Starts a program with `--port` set to a free port, and waits until it answers.
    pub(crate) async fn start(program: &Path, args: &[String]) -> eyre::Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let temporary = TempDir::new().wrap_err("cannot make a temporary folder")?;
        let child = Command::new(program)
            .env("TMPDIR", temporary.path())
            .args(args)
            .args(["--port", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .wrap_err_with(|| format!("cannot start {}", program.display()))?;
        let url = format!("http://127.0.0.1:{port}");
        let mut server = Self { child, url, _temporary: temporary };
        let started = Instant::now();
        loop {
            if let Ok(mut client) = Client::connect(&server.url).await
                && client.call("eth_blockNumber", json!([])).await.is_ok()
            {
                return Ok(server);
            }
            if let Some(status) = server.child.try_wait()? {
                bail!("{} ended with {status} before it answered", program.display());
            }
            if started.elapsed() > START {
                bail!("{} did not answer within {} s", program.display(), START.as_secs());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// CPU time used so far, user and system, all threads.
    pub(crate) fn cpu(&self) -> eyre::Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))
            .wrap_err("cannot read the server's CPU time; this bench needs Linux")?;
        // The program's name may hold spaces: fields are counted from behind it.
        let fields: Vec<&str> =
            stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
        let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
        const TICKS_PER_SECOND: u64 = 100;
        Ok(Duration::from_millis((ticks(11) + ticks(12)) * 1000 / TICKS_PER_SECOND))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.child.kill().is_ok() {
            let _ = self.child.wait();
        }
    }
}
