//! Side-by-side runs: the same load against our devnet and its peers, on one machine, in one run.
//!
//! Absolute figures depend on the machine and what else it does; the ratios of one run are what counts.

mod http;
mod latency;
mod load;
mod machine;
mod peers;
mod report;
mod scaling;
mod server;

use clap::{Parser, Subcommand};

/// Side-by-side runs against peers.
#[derive(Debug, Parser)]
#[command(about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// anvil and our devnet under the same transfers, then ERC-20 transfers.
    Peers(peers::PeersArgs),
    /// How long a transfer takes within a shard and across shards, on an idle network.
    Latency(latency::LatencyArgs),
    /// What a transfer costs as shards are added, within a shard and across.
    Scaling(scaling::ScalingArgs),
    /// One run of load against a server that is already up.
    Load(load::LoadArgs),
}

fn main() -> eyre::Result<()> {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        match cli.command {
            Command::Peers(args) => peers::run(args).await,
            Command::Latency(args) => latency::latency(args).await,
            Command::Scaling(args) => scaling::scaling(args).await,
            Command::Load(args) => load::run(args).await,
        }
    })
}
