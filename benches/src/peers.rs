//! anvil and our devnet under the same load.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, Bytes, TxKind, U256};
use alloy_signer::SignerSync;
use clap::Args;
use eyre::{WrapErr, bail, eyre};
use serde_json::{Value, json};

use crate::http::Client;
use crate::load::{Outcome, Payload, Shape, send, sign, wallets};
use crate::machine::recovery_us;
use crate::report::print_table;
use crate::server::Server;

/// `peers`.
#[derive(Debug, Args)]
pub(crate) struct PeersArgs {
    /// The anvil program.
    #[arg(long)]
    anvil: PathBuf,
    /// The anfs program.
    #[arg(long, default_value = "target/release/anfs")]
    anfs: PathBuf,
    /// Compiled contracts, as `node tests/clients/compile.mjs` prints them: `Token` is used.
    #[arg(long)]
    artifacts: PathBuf,
    /// Runs of each server; the median is printed.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    #[command(flatten)]
    shape: Shape,
}

/// Units of the token in all.
const SUPPLY: u128 = 1_000_000_000_000;
/// Units that each sender gets: enough for any load.
const SHARE: u64 = 1_000_000;

/// A server to be measured.
struct Peer {
    name: &'static str,
    program: PathBuf,
    args: Vec<String>,
}

/// The figures of one run.
#[derive(Debug, Clone)]
struct Figures {
    outcome: Outcome,
    cpu_us_per_transaction: f64,
}

pub(crate) async fn run(args: PeersArgs) -> eyre::Result<()> {
    let peers = peers(&args);
    let token = creation_code(&args.artifacts)?;
    let recovery_us = recovery_us()?;
    println!("One sender recovered with libsecp256k1 on one core of this machine: {recovery_us:.1} µs");
    for (title, erc20) in [("Transfers", false), ("ERC-20 transfers", true)] {
        println!(
            "\n{title}: {} from {} senders, median of {} runs\n",
            args.shape.transactions, args.shape.senders, args.runs
        );
        let mut medians = Vec::new();
        for peer in &peers {
            medians.push((peer.name, measure(peer, &args, erc20.then_some(&token)).await?));
        }
        table(&medians, recovery_us);
    }
    half_rate(&peers, &args).await
}

fn peers(args: &PeersArgs) -> Vec<Peer> {
    let senders = args.shape.senders.to_string();
    let own = |name, verifiers: &str| Peer {
        name,
        program: args.anfs.clone(),
        args: ["devnet", "--ephemeral", "--quiet", "--verifiers", verifiers, "--accounts", &senders]
            .map(str::to_owned)
            .to_vec(),
    };
    let anvil = ["--accounts", &senders, "--block-time", "1", "--gas-limit", "800000000", "--silent"];
    vec![
        Peer { name: "anvil", program: args.anvil.clone(), args: anvil.map(str::to_owned).to_vec() },
        own("anfs 1+1", "1"),
        own("anfs 1+4", "4"),
    ]
}

async fn measure(peer: &Peer, args: &PeersArgs, token: Option<&Bytes>) -> eyre::Result<Figures> {
    let mut runs = Vec::new();
    for _ in 0..args.runs.max(1) {
        let server = Server::start(&peer.program, &peer.args).await?;
        let payload = match token {
            None => Payload::Transfer,
            Some(code) => Payload::Token(spread_token(&server.url, code, args.shape.senders).await?),
        };
        let figures = one_run(&server, &args.shape, &payload, None).await;
        runs.push(figures.wrap_err_with(|| format!("against {}", peer.name))?);
    }
    runs.sort_by(|a, b| a.outcome.mined_per_second.total_cmp(&b.outcome.mined_per_second));
    Ok(runs.swap_remove(runs.len() / 2))
}

async fn one_run(
    server: &Server,
    shape: &Shape,
    payload: &Payload,
    rate: Option<u32>,
) -> eyre::Result<Figures> {
    let signed = Arc::new(sign(&server.url, shape, payload).await?);
    let before = server.cpu()?;
    let outcome = send(&server.url, shape, signed, rate).await?;
    let used = server.cpu()?.saturating_sub(before);
    let cpu_us_per_transaction = used.as_secs_f64() * 1e6 / outcome.transactions as f64;
    Ok(Figures { outcome, cpu_us_per_transaction })
}

/// Latency when nothing is saturated: each of ours at half of its own peak.
async fn half_rate(peers: &[Peer], args: &PeersArgs) -> eyre::Result<()> {
    println!("\nLatency at half the peak rate of each\n");
    let mut rows = vec![["", "rate/s", "p50 ms", "p99 ms", "CPU µs/tx"].map(str::to_owned).to_vec()];
    for peer in peers {
        let server = Server::start(&peer.program, &peer.args).await?;
        let peak = one_run(&server, &args.shape, &Payload::Transfer, None).await?.outcome.mined_per_second;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate far below 2^32")]
        let rate = (peak / 2.0) as u32;
        let half = one_run(&server, &args.shape, &Payload::Transfer, Some(rate.max(1))).await?;
        rows.push(vec![
            peer.name.to_owned(),
            rate.to_string(),
            format!("{:.0}", half.outcome.latencies.quantile_ms(0.5)),
            format!("{:.0}", half.outcome.latencies.quantile_ms(0.99)),
            format!("{:.0}", half.cpu_us_per_transaction),
        ]);
    }
    print_table(&rows);
    Ok(())
}

/// Every server recovers each sender at least once; without that one recovery (at libsecp256k1's pace) what is
/// left is its own, and depends less on how fast a machine multiplies.
fn table(medians: &[(&str, Figures)], recovery_us: f64) {
    let heading = [
        "",
        "accepted/s",
        "mined/s",
        "p50 ms",
        "p99 ms",
        "CPU µs/tx",
        "less 1 recovery",
        "mined × first",
        "CPU × first",
    ];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    let first = &medians[0].1;
    for (name, figures) in medians {
        let outcome = &figures.outcome;
        rows.push(vec![
            (*name).to_owned(),
            format!("{:.0}", outcome.accepted_per_second),
            format!("{:.0}", outcome.mined_per_second),
            format!("{:.0}", outcome.latencies.quantile_ms(0.5)),
            format!("{:.0}", outcome.latencies.quantile_ms(0.99)),
            format!("{:.1}", figures.cpu_us_per_transaction),
            format!("{:.1}", figures.cpu_us_per_transaction - recovery_us),
            format!("{:.2}", outcome.mined_per_second / first.outcome.mined_per_second),
            format!("{:.2}", figures.cpu_us_per_transaction / first.cpu_us_per_transaction),
        ]);
    }
    print_table(&rows);
}

/// The creation code of `Token`, with the whole supply as its constructor's argument.
fn creation_code(path: &Path) -> eyre::Result<Bytes> {
    let text = fs::read_to_string(path).wrap_err_with(|| format!("cannot read {}", path.display()))?;
    let artifacts: Value = serde_json::from_str(&text)?;
    let code = artifacts.pointer("/Token/bytecode").and_then(Value::as_str);
    let code: Bytes =
        code.ok_or_else(|| eyre!("{} holds no Token with bytecode", path.display()))?.parse()?;
    let supply = U256::from(SUPPLY).to_be_bytes::<32>();
    Ok([code.as_ref(), &supply].concat().into())
}

/// Deploys the token from the first account and gives every sender enough of it.
async fn spread_token(url: &str, code: &Bytes, senders: u32) -> eyre::Result<Address> {
    let wallets = wallets(senders)?;
    let owner = &wallets[0];
    let mut client = Client::connect(url).await?;
    let chain_id = client.quantity("eth_chainId", json!([])).await?;
    let mut nonce = client.quantity("eth_getTransactionCount", json!([owner.address(), "latest"])).await?;
    let mut sign = |to: TxKind, input: Bytes, gas_limit: u64| -> eyre::Result<String> {
        let tx = TxEip1559 {
            chain_id,
            nonce,
            gas_limit,
            max_fee_per_gas: 100_000_000_000,
            max_priority_fee_per_gas: 1_000_000_000,
            to,
            value: U256::ZERO,
            access_list: alloy_eips::eip2930::AccessList::default(),
            input,
        };
        nonce += 1;
        let signature = owner.sign_hash_sync(&tx.signature_hash())?;
        let envelope = TxEnvelope::from(tx.into_signed(signature));
        Ok(alloy_primitives::hex::encode_prefixed(envelope.encoded_2718()))
    };
    let deploy = sign(TxKind::Create, code.clone(), 5_000_000)?;
    let receipt = submit(&mut client, &deploy).await?;
    let address = receipt.get("contractAddress").and_then(Value::as_str);
    let token: Address = address.ok_or_else(|| eyre!("no contract address in {receipt}"))?.parse()?;
    let mut last = None;
    for wallet in &wallets[1..] {
        let mut input = alloy_primitives::keccak256("transfer(address,uint256)")[..4].to_vec();
        input.extend_from_slice(wallet.address().into_word().as_slice());
        input.extend_from_slice(&U256::from(SHARE).to_be_bytes::<32>());
        let raw = sign(TxKind::Call(token), input.into(), 100_000)?;
        last = Some(client.call("eth_sendRawTransaction", json!([raw])).await?);
    }
    if let Some(hash) = last {
        wait_for(&mut client, &hash).await?;
    }
    Ok(token)
}

async fn submit(client: &mut Client, raw: &str) -> eyre::Result<Value> {
    let hash = client.call("eth_sendRawTransaction", json!([raw])).await?;
    wait_for(client, &hash).await
}

async fn wait_for(client: &mut Client, hash: &Value) -> eyre::Result<Value> {
    for _ in 0..600 {
        let receipt = client.call("eth_getTransactionReceipt", json!([hash])).await?;
        match receipt.get("status").and_then(Value::as_str) {
            Some("0x1") => return Ok(receipt),
            Some(status) => bail!("transaction {hash} ended with status {status}"),
            None => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
        }
    }
    bail!("transaction {hash} was not mined within 30 s")
}
