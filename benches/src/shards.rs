//! A network of several shards on an idle machine: how long a transfer takes, and what it costs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, Bytes, TxKind, U256, hex, keccak256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use anfs_primitives::{DomainId, DomainMap};
use clap::Args;
use eyre::{bail, ensure, eyre};
use serde_json::{Value, json};

use crate::http::Client;
use crate::load::{Payload, Shape, Spread, send, sign, wallets};
use crate::report::{Latencies, print_table};
use crate::server::Server;

/// How often a receipt is asked for.
const POLL: Duration = Duration::from_millis(5);
/// A transfer that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the CPU time of an idle network is counted.
const IDLE: Duration = Duration::from_secs(10);

/// `latency`.
#[derive(Debug, Args)]
pub(crate) struct LatencyArgs {
    /// The anfs program.
    #[arg(long, default_value = "target/release/anfs")]
    anfs: PathBuf,
    /// Shards.
    #[arg(long, default_value_t = 4)]
    shards: u32,
    /// Verifiers of each.
    #[arg(long, default_value_t = 4)]
    verifiers: u16,
    /// Length of a slot in milliseconds; root blocks come every two slots.
    #[arg(long, default_value_t = 250)]
    slot_ms: u64,
    /// Transfers of each kind, one after the other.
    #[arg(long, default_value_t = 60)]
    transfers: u32,
}

/// `scaling`.
#[derive(Debug, Args)]
pub(crate) struct ScalingArgs {
    /// The anfs program.
    #[arg(long, default_value = "target/release/anfs")]
    anfs: PathBuf,
    /// Shards, in turn.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2, 4, 8])]
    shards: Vec<u32>,
    /// Verifiers of each.
    #[arg(long, default_value_t = 1)]
    verifiers: u16,
    /// Transactions a second: below what the machine bears, so that none waits.
    #[arg(long, default_value_t = 2_000)]
    rate: u32,
    #[command(flatten)]
    shape: Shape,
}

async fn start(
    program: &Path,
    shards: u32,
    verifiers: u16,
    slot_ms: u64,
    accounts: u32,
) -> eyre::Result<Server> {
    let args = [
        ["--shards".to_owned(), shards.to_string()],
        ["--verifiers".to_owned(), verifiers.to_string()],
        ["--slot-ms".to_owned(), slot_ms.to_string()],
        ["--accounts".to_owned(), accounts.to_string()],
    ];
    let fixed = ["devnet", "--ephemeral", "--quiet"].map(str::to_owned);
    let args: Vec<String> = fixed.into_iter().chain(args.into_iter().flatten()).collect();
    Server::start(program, &args).await
}

pub(crate) async fn latency(args: LatencyArgs) -> eyre::Result<()> {
    ensure!(args.shards > 1, "a network of one shard has no root: give --shards 2 or more");
    let server = start(&args.anfs, args.shards, args.verifiers, args.slot_ms, 10).await?;
    let mut client = Client::connect(&server.url).await?;
    let wallet = &wallets(1)?[0];
    let map = DomainMap::new(args.shards);
    let home = map.home(&wallet.address());
    let root_ms = 2 * args.slot_ms;
    println!(
        "{} shards of 1 + {}, slots of {} ms, root blocks every {root_ms} ms, nothing else running; from sending to the receipt\n",
        args.shards, args.verifiers, args.slot_ms
    );
    let mut rows = vec![["", "p50 ms", "p90 ms", "p99 ms", "bar for p50"].map(str::to_owned).to_vec()];
    let kinds = [("within a shard", true, args.slot_ms + root_ms), ("across shards", false, 3 * root_ms)];
    let mut late = Vec::new();
    for (name, same, bar_ms) in kinds {
        let mut samples = Vec::new();
        for n in 0..args.transfers {
            let to = recipient(map, n, |domain| (domain == home) == same);
            // Not in step with slots and root blocks.
            tokio::time::sleep(Duration::from_millis(u64::from(n) * 37 % root_ms)).await;
            samples.push(transfer(&mut client, wallet, to).await?);
        }
        let samples = Latencies::new(samples);
        let quantiles = [0.5, 0.9, 0.99].map(|share| samples.quantile_ms(share));
        if quantiles[0] > bar_ms as f64 {
            late.push(name);
        }
        let cells = quantiles.map(|ms| format!("{ms:.0}"));
        rows.push([vec![name.to_owned()], cells.to_vec(), vec![bar_ms.to_string()]].concat());
    }
    print_table(&rows);
    ensure!(late.is_empty(), "slower than the bar: {}", late.join(", "));
    Ok(())
}

/// An address that nobody has used, in a shard of this kind.
fn recipient(map: DomainMap, n: u32, fits: impl Fn(DomainId) -> bool) -> Address {
    let addresses = (0u32..).map(|salt| Address::from_word(keccak256(format!("latency {n} {salt}"))));
    let mut addresses = addresses.filter(|address| fits(map.home(address)));
    addresses.next().expect("homes spread over all shards")
}

/// Sends one wei and waits for the receipt.
async fn transfer(client: &mut Client, wallet: &PrivateKeySigner, to: Address) -> eyre::Result<Duration> {
    let chain_id = client.quantity("eth_chainId", json!([])).await?;
    let nonce = client.quantity("eth_getTransactionCount", json!([wallet.address(), "latest"])).await?;
    let tx = TxEip1559 {
        chain_id,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: 100_000_000_000,
        max_priority_fee_per_gas: 1_000_000_000,
        to: TxKind::Call(to),
        value: U256::from(1),
        access_list: alloy_eips::eip2930::AccessList::default(),
        input: Bytes::new(),
    };
    let signature = wallet.sign_hash_sync(&tx.signature_hash())?;
    let raw = hex::encode_prefixed(TxEnvelope::from(tx.into_signed(signature)).encoded_2718());
    let sent = Instant::now();
    let hash = client.call("eth_sendRawTransaction", json!([raw])).await?;
    while sent.elapsed() < PATIENCE {
        let receipt = client.call("eth_getTransactionReceipt", json!([hash])).await?;
        match receipt.get("status").and_then(Value::as_str) {
            Some("0x1") => return Ok(sent.elapsed()),
            Some(status) => bail!("transfer {hash} ended with status {status}"),
            None => tokio::time::sleep(POLL).await,
        }
    }
    bail!("transfer {hash} has no receipt after {} s", PATIENCE.as_secs())
}

/// CPU time of a load, without what the network uses when idle.
struct Cost {
    shards: u32,
    spread: Spread,
    idle_share: f64,
    gross_us: f64,
    net_us: f64,
}

pub(crate) async fn scaling(args: ScalingArgs) -> eyre::Result<()> {
    println!(
        "CPU time a transfer on one machine: {} transfers at {}/s from {} senders, 1 + {} seats a shard\n",
        args.shape.transactions, args.rate, args.shape.senders, args.verifiers
    );
    let mut costs = Vec::new();
    for &shards in &args.shards {
        for spread in [Spread::Local, Spread::Across] {
            if shards > 1 || spread == Spread::Local {
                costs.push(cost(&args, shards, spread).await?);
            }
        }
    }
    let heading =
        ["shards", "transfers", "idle % of a core", "µs/tx", "µs/tx less idle", "× one shard", "× local"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    let first = costs.first().ok_or_else(|| eyre!("give at least one number of shards"))?.net_us;
    for cost in &costs {
        let local =
            costs.iter().find(|other| other.shards == cost.shards).map_or(first, |other| other.net_us);
        rows.push(vec![
            cost.shards.to_string(),
            if cost.spread == Spread::Local { "local" } else { "across" }.to_owned(),
            format!("{:.1}", 100.0 * cost.idle_share),
            format!("{:.1}", cost.gross_us),
            format!("{:.1}", cost.net_us),
            format!("{:.2}", cost.net_us / first),
            format!("{:.2}", cost.net_us / local),
        ]);
    }
    print_table(&rows);
    Ok(())
}

async fn cost(args: &ScalingArgs, shards: u32, spread: Spread) -> eyre::Result<Cost> {
    let server = start(&args.anfs, shards, args.verifiers, 250, args.shape.senders).await?;
    let shape = Shape { spread, shards, ..args.shape.clone() };
    let signed = Arc::new(sign(&server.url, &shape, &Payload::Transfer).await?);
    let before = (server.cpu()?, Instant::now());
    tokio::time::sleep(IDLE).await;
    let idle_share = (server.cpu()? - before.0).as_secs_f64() / before.1.elapsed().as_secs_f64();
    let before = (server.cpu()?, Instant::now());
    let outcome = send(&server.url, &shape, signed, Some(args.rate)).await?;
    let (used, took) = (server.cpu()? - before.0, before.1.elapsed());
    let each = 1e6 / outcome.transactions as f64;
    let gross_us = used.as_secs_f64() * each;
    let net_us = gross_us - idle_share * took.as_secs_f64() * each;
    Ok(Cost { shards, spread, idle_share, gross_us, net_us })
}
