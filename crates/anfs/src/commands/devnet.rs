//! `anfs devnet`: a whole network on this machine.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anfs_node::genesis::{DEFAULT_MNEMONIC, GenesisChoices};
use anfs_node::{Devnet, DevnetConfig};
use anfs_rpc::RpcConfig;
use eyre::{WrapErr, eyre};
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::{Value, json};

use crate::cli::DevnetArgs;
use crate::exit::CommandError;
use crate::folders;
use crate::logging;
use crate::output::print_line;
use crate::terminal::Style;

/// How often the status line is drawn and the seats' health is looked at.
const STATUS_EVERY: Duration = Duration::from_millis(500);

pub(crate) fn run(args: DevnetArgs, as_json: bool) -> Result<(), CommandError> {
    logging::start(args.quiet);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("rpc")
        .build()
        .wrap_err("cannot start the RPC server's threads")?;
    let result = runtime.block_on(serve(args, as_json));
    runtime.shutdown_timeout(Duration::from_millis(500));
    result
}

async fn serve(args: DevnetArgs, as_json: bool) -> Result<(), CommandError> {
    let started = Instant::now();
    let mut shutdown = Shutdown::listen().wrap_err("cannot listen for signals")?;
    let metrics = PrometheusBuilder::new()
        .install_recorder()
        .map_err(|error| eyre!("cannot start the metrics recorder: {error}"))?;
    let devnet = Devnet::start(config(&args)?, metrics).await?;
    if let Some(path) = &args.config_out {
        let text = serde_json::to_string_pretty(&describe(&devnet)).wrap_err("cannot write JSON")?;
        fs::write(path, text).wrap_err_with(|| format!("cannot write {}", path.display()))?;
    }
    if as_json {
        print_line(&describe(&devnet).to_string())?;
    } else if !args.quiet {
        print_line(&banner(&devnet, &args, started.elapsed()))?;
    }
    let live = !as_json && !args.quiet && io::stderr().is_terminal();
    let failure = wait(&devnet, live, &mut shutdown).await;
    let asked = Instant::now();
    devnet.stop().await;
    tracing::info!(elapsed_ms = asked.elapsed().as_millis(), "stopped");
    match failure {
        Some(reason) => Err(eyre!(reason).into()),
        None => Ok(()),
    }
}

fn config(args: &DevnetArgs) -> Result<DevnetConfig, CommandError> {
    let verifiers =
        args.verifiers.parse().map_err(|_| CommandError::Usage("--verifiers is no number".into()))?;
    Ok(DevnetConfig {
        genesis: GenesisChoices {
            chain_id: args.chain_id,
            shards: args.shards,
            verifiers,
            slot_ms: args.slot_ms,
            mnemonic: args.mnemonic.clone(),
            accounts: args.accounts,
            balance: args.balance,
            block_gas_limit: args.gas_limit,
            genesis_time_ms: 0,
        },
        data_dir: if args.ephemeral { None } else { Some(data_dir(args)?) },
        byzantine: args.byzantine,
        reset: args.reset,
        rpc: RpcConfig { listen: SocketAddr::new(args.host, args.port), ..RpcConfig::default() },
    })
}

/// The folder asked for, else `anfs/devnet` in the user's data folder.
fn data_dir(args: &DevnetArgs) -> Result<PathBuf, CommandError> {
    if let Some(dir) = &args.data_dir {
        return Ok(dir.clone());
    }
    folders::user_data("devnet", "give --data-dir DIR or --ephemeral")
}

/// Waits for Ctrl-C, SIGTERM or a seat that cannot go on; the reason in the last case.
async fn wait(devnet: &Devnet, live: bool, shutdown: &mut Shutdown) -> Option<String> {
    let mut line = StatusLine::new(live);
    let failure = loop {
        tokio::select! {
            () = shutdown.asked() => break None,
            () = tokio::time::sleep(STATUS_EVERY) => {
                if let Some((seat, trouble, true)) = devnet.trouble() {
                    break Some(format!("seat {seat} has stopped: {trouble}"));
                }
                line.draw(devnet);
            }
        }
    };
    line.clear();
    failure
}

/// What asks the network to stop. Made before it starts: from then on Ctrl-C ends it in order.
struct Shutdown {
    #[cfg(unix)]
    signals: [tokio::signal::unix::Signal; 2],
}

impl Shutdown {
    #[cfg(unix)]
    fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { signals: [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?] })
    }

    #[cfg(not(unix))]
    fn listen() -> io::Result<Self> {
        Ok(Self {})
    }

    #[cfg(unix)]
    async fn asked(&mut self) {
        let [interrupt, terminate] = &mut self.signals;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }

    #[cfg(not(unix))]
    async fn asked(&mut self) {
        // Without a handler there is only the hard way to stop: waiting for ever is then right.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// One line that is drawn over itself while a person watches.
struct StatusLine {
    live: bool,
    last: Option<(Instant, u64)>,
    style: Style,
}

impl StatusLine {
    fn new(live: bool) -> Self {
        Self { live, last: None, style: Style::stderr() }
    }

    fn draw(&mut self, devnet: &Devnet) {
        if !self.live {
            return;
        }
        let backend = devnet.backend();
        let status = backend.status();
        let transactions = backend.transactions();
        let now = Instant::now();
        let rate = self.last.map_or(0.0, |(then, before)| {
            #[expect(clippy::cast_precision_loss, reason = "a rate for people to read")]
            let done = transactions.saturating_sub(before) as f64;
            done / now.duration_since(then).as_secs_f64().max(0.001)
        });
        self.last = Some((now, transactions));
        let head = backend.chain().head().header.height;
        let lag = status.proposed.0.saturating_sub(head.0);
        let path =
            if status.fast_path { self.style.green("fast path") } else { self.style.yellow("full checks") };
        let trouble = devnet.trouble().map(|(seat, trouble, _)| format!(" · seat {seat}: {trouble}"));
        let lead = match (status.view.0, status.view_open) {
            (0, _) => String::new(),
            (view, true) => format!(" · view {view}: seat {} acts", status.acting),
            (view, false) => self.style.yellow(&format!(" · view {view} opens under seat {}", status.acting)),
        };
        let down: Vec<String> = devnet.stopped().iter().map(ToString::to_string).collect();
        let down = if down.is_empty() {
            String::new()
        } else {
            self.style.yellow(&format!(" · down: {}", down.join(", ")))
        };
        let stall = status.stalled.map(|_| self.style.red(" · stalled")).unwrap_or_default();
        // A terminal that went away ends nothing.
        let mut out = io::stderr();
        let _ = write!(
            out,
            "\r\x1b[2K{} {head} · {rate:.0} TPS · {transactions} transactions · certified lag {lag} · {path}{lead}{down}{stall}{}",
            self.style.bold("height"),
            trouble.unwrap_or_default(),
        );
        let _ = out.flush();
    }

    fn clear(&self) {
        if self.live {
            let _ = write!(io::stderr(), "\r\x1b[2K");
        }
    }
}

fn urls(devnet: &Devnet) -> (String, String) {
    let address = devnet.rpc_address();
    (format!("http://{address}"), format!("ws://{address}"))
}

/// What scripts need to use the network.
fn describe(devnet: &Devnet) -> Value {
    let (http, ws) = urls(devnet);
    let accounts: Vec<Value> = devnet
        .wallets()
        .iter()
        .map(|wallet| {
            json!({
                "address": wallet.address().to_checksum(None),
                "private_key": format!("{}", wallet.to_bytes()),
            })
        })
        .collect();
    let (folder, temporary) = devnet.folder();
    json!({
        "rpc_url": http,
        "ws_url": ws,
        "chain_id": devnet.spec().network.0,
        "shards": devnet.spec().shards.len(),
        "verifiers": devnet.spec().verifiers_per_shard,
        "slot_ms": devnet.spec().slot_ms,
        "data_dir": folder.display().to_string(),
        "ephemeral": temporary,
        "accounts": accounts,
    })
}

fn banner(devnet: &Devnet, args: &DevnetArgs, took: Duration) -> String {
    const SHOWN: usize = 10;
    let style = Style::stdout();
    let (http, ws) = urls(devnet);
    let spec = devnet.spec();
    let alone = spec.shards.len() == 1;
    let mut text = format!(
        "\n{}  {} · 1 generator + {} verifiers{} · {} ms slots · ready in {} ms\n\n",
        style.bold("ANFS devnet"),
        if alone { "one shard".to_owned() } else { format!("{} shards and a root", spec.shards.len()) },
        spec.verifiers_per_shard,
        if alone { "" } else { " each" },
        spec.slot_ms,
        took.as_millis()
    );
    text += &format!("{}\n", style.bold("Accounts"));
    for (index, wallet) in devnet.wallets().iter().enumerate().take(SHOWN) {
        text += &format!("  ({index}) {}  {} AFS\n", wallet.address().to_checksum(None), args.balance);
    }
    text += &format!("\n{}\n", style.bold("Private keys"));
    for (index, wallet) in devnet.wallets().iter().enumerate().take(SHOWN) {
        text += &format!("  ({index}) {}\n", wallet.to_bytes());
    }
    if devnet.wallets().len() > SHOWN {
        let more = devnet.wallets().len() - SHOWN;
        text += &format!("  … and {more} more: --config-out FILE writes them all\n");
    }
    text += &format!("\n{}    {}\n", style.bold("Phrase"), args.mnemonic);
    text += &format!("{}  {}\n", style.bold("Chain id"), spec.network);
    text += &format!("{}      {}\n", style.bold("HTTP"), style.green(&http));
    text += &format!("{}        {}\n", style.bold("WS"), style.green(&ws));
    let (folder, temporary) = devnet.folder();
    let kept = if temporary { "removed at the end" } else { "kept; --reset starts anew" };
    text += &format!("{}      {} ({kept})\n", style.bold("Data"), folder.display());
    let public = if args.mnemonic == DEFAULT_MNEMONIC {
        "These keys are public knowledge. Never send real value to them."
    } else {
        "The node holds these keys unlocked: whoever reaches the port can spend."
    };
    text += &format!("\n{}\n{}\n", style.yellow(public), style.dim("Ctrl-C stops the network."));
    text
}
