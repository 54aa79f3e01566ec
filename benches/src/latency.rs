//! A network of several shards on an idle machine: how long a transfer takes within a shard and across.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, Bytes, TxKind, U256, hex, keccak256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use anfs_primitives::{DomainId, DomainMap};
use clap::Args;
use eyre::{bail, ensure};
use serde_json::{Value, json};

use crate::http::Client;
use crate::load::wallets;
use crate::report::{Latencies, print_table};
use crate::server::Server;

/// How often a receipt is asked for.
const POLL: Duration = Duration::from_millis(5);
/// A transfer that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(30);

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

/// A development network of several shards, kept in memory, that funds so many accounts.
pub(crate) async fn start(
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
