//! The load generator: pre-signed transactions, sent in batches over a few connections, timed from the
//! moment they are sent to the moment a block that holds them is seen.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes as EthBytes, TxKind, U256, hex, keccak256};
use alloy_signer::SignerSync;
use alloy_signer_local::{MnemonicBuilder, PrivateKeySigner};
use anfs_primitives::DomainMap;
use bytes::Bytes;
use clap::Args;
use eyre::{WrapErr, bail, ensure, eyre};
use rayon::prelude::*;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::http::Client;
use crate::report::Latencies;

const MNEMONIC: &str = "test test test test test test test test test test test junk";
const TRANSFER_GAS: u64 = 21_000;
const TOKEN_GAS: u64 = 80_000;
const MAX_FEE: u128 = 100_000_000_000;
const PRIORITY_FEE: u128 = 1_000_000_000;
/// How long after the last send everything must have been mined.
const PATIENCE: Duration = Duration::from_secs(60);
/// Recipients looked at until one fits.
const PICKS_MAX: usize = 10_000;
/// How often new blocks are looked for.
const POLL: Duration = Duration::from_millis(20);

/// The shape of a load.
#[derive(Debug, Clone, Args)]
pub(crate) struct Shape {
    /// Senders, each with its own nonces; as many of each shard.
    #[arg(long, default_value_t = 500)]
    pub(crate) senders: u32,
    /// Transactions in all.
    #[arg(long, default_value_t = 60_000)]
    pub(crate) transactions: u32,
    /// Different recipients.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) recipients: u32,
    /// Calls in one HTTP request.
    #[arg(long, default_value_t = 100)]
    pub(crate) batch: usize,
    /// Connections for each shard, which bring what its own accounts send.
    #[arg(long, default_value_t = 4)]
    pub(crate) connections: usize,
    /// Shards of the network: what `spread` goes by.
    #[arg(skip = 1_u32)]
    pub(crate) shards: u32,
    /// Who pays whom.
    #[arg(skip = Spread::Any)]
    pub(crate) spread: Spread,
}

impl Shape {
    fn lanes(&self) -> usize {
        self.connections * self.shards.max(1) as usize
    }

    /// Funded accounts among which there are enough senders of each shard.
    pub(crate) fn accounts(&self) -> u32 {
        if self.shards > 1 { 2 * self.senders } else { self.senders }
    }
}

/// Which shards transfers lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Spread {
    /// Any.
    Any,
    /// The sender's own.
    Local,
    /// Another than the sender's.
    Across,
}

impl Spread {
    fn fits(self, map: DomainMap, sender: &Address, recipient: &Address) -> bool {
        match self {
            Self::Any => true,
            Self::Local => map.home(sender) == map.home(recipient),
            Self::Across => map.home(sender) != map.home(recipient),
        }
    }
}

/// `load` against a server that is up.
#[derive(Debug, Args)]
pub(crate) struct LoadArgs {
    /// The server.
    #[arg(long, default_value = "http://127.0.0.1:8545")]
    url: String,
    #[command(flatten)]
    shape: Shape,
    /// Shards of the network: what `spread` goes by.
    #[arg(long, default_value_t = 1)]
    shards: u32,
    /// Who pays whom.
    #[arg(long, value_enum, default_value_t = Spread::Any)]
    spread: Spread,
    /// Send at this many transactions a second instead of as fast as the server takes them.
    #[arg(long)]
    rate: Option<u32>,
}

pub(crate) async fn run(args: LoadArgs) -> eyre::Result<()> {
    let shape = Shape { shards: args.shards, spread: args.spread, ..args.shape };
    let signed = Arc::new(sign(&args.url, &shape, &Payload::Transfer).await?);
    let outcome = send(&args.url, &shape, signed, args.rate).await?;
    println!("{}", outcome.line());
    Ok(())
}

/// What each transaction does.
#[derive(Debug, Clone)]
pub(crate) enum Payload {
    /// Moves one wei of the native coin.
    Transfer,
    /// Moves one unit of the ERC-20 at this address.
    Token(Address),
}

/// Pre-signed transactions, by connection, in sending order.
#[derive(Debug)]
pub(crate) struct Signed {
    lanes: Vec<Vec<(B256, EthBytes)>>,
}

/// What a run gave.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    pub(crate) accepted_per_second: f64,
    pub(crate) mined_per_second: f64,
    pub(crate) latencies: Latencies,
    pub(crate) transactions: usize,
}

impl Outcome {
    pub(crate) fn line(&self) -> String {
        format!(
            "{} transactions · accepted {:.0}/s · mined {:.0}/s · latency p50 {:.0} ms, p99 {:.0} ms",
            self.transactions,
            self.accepted_per_second,
            self.mined_per_second,
            self.latencies.quantile_ms(0.5),
            self.latencies.quantile_ms(0.99)
        )
    }
}

pub(crate) fn wallets(count: u32) -> eyre::Result<Vec<PrivateKeySigner>> {
    (0..count)
        .into_par_iter()
        .map(|index| MnemonicBuilder::try_from_phrase_nth(MNEMONIC, index).wrap_err("cannot derive a key"))
        .collect()
}

/// The senders, and the connection of each: a load is of the same shape for each shard, however many there are.
fn senders(shape: &Shape) -> eyre::Result<(Vec<PrivateKeySigner>, Vec<usize>)> {
    let shards = shape.shards.max(1) as usize;
    let (each, map) = (shape.senders as usize / shards, DomainMap::new(shape.shards.max(1)));
    let mut found = vec![0; shards];
    let (mut chosen, mut lane_of) = (Vec::new(), Vec::new());
    for wallet in wallets(shape.accounts())? {
        let shard = map.home(&wallet.address()).0.saturating_sub(1) as usize;
        if found[shard] < each {
            lane_of.push(found[shard] % shape.connections * shards + shard);
            found[shard] += 1;
            chosen.push(wallet);
        }
    }
    ensure!(
        found.iter().all(|count| *count == each),
        "{} accounts are too few for {each} senders of each of {shards} shards",
        shape.accounts()
    );
    Ok((chosen, lane_of))
}

/// Signs the whole load ahead, so that signing costs nothing while the clock runs.
pub(crate) async fn sign(url: &str, shape: &Shape, payload: &Payload) -> eyre::Result<Signed> {
    ensure!(
        shape.senders > 0 && shape.connections > 0 && shape.batch > 0,
        "a load needs senders, connections and batches"
    );
    let mut client = Client::connect(url).await?;
    let chain_id = client.quantity("eth_chainId", json!([])).await?;
    let (wallets, lane_of) = senders(shape)?;
    let mut nonces = Vec::with_capacity(wallets.len());
    for wallet in &wallets {
        let params = json!([wallet.address(), "latest"]);
        nonces.push(client.quantity("eth_getTransactionCount", params).await?);
    }
    let each = shape.transactions / u32::try_from(wallets.len())?.max(1);
    let queues: Vec<Vec<(B256, EthBytes)>> = wallets
        .par_iter()
        .zip(&nonces)
        .enumerate()
        .map(|(sender, (wallet, first))| {
            (0..each)
                .map(|n| sign_one(wallet, chain_id, first + u64::from(n), sender, n, shape, payload))
                .collect()
        })
        .collect::<eyre::Result<_>>()?;
    let mut lanes = vec![Vec::new(); shape.lanes()];
    // Round robin over senders, each sender on one connection: nonces arrive in order.
    for n in 0..each as usize {
        for (sender, queue) in queues.iter().enumerate() {
            lanes[lane_of[sender]].push(queue[n].clone());
        }
    }
    Ok(Signed { lanes })
}

fn sign_one(
    wallet: &PrivateKeySigner,
    chain_id: u64,
    nonce: u64,
    sender: usize,
    n: u32,
    shape: &Shape,
    payload: &Payload,
) -> eyre::Result<(B256, EthBytes)> {
    let map = DomainMap::new(shape.shards.max(1));
    let picks = (0u32..).map(|salt| {
        let pick = keccak256([&sender.to_be_bytes()[..], &n.to_be_bytes(), &salt.to_be_bytes()].concat());
        let index = U256::from_be_bytes(pick.0) % U256::from(shape.recipients.max(1));
        Address::from_word(keccak256(index.to_be_bytes::<32>()))
    });
    let mut picks = picks.take(PICKS_MAX).filter(|to| shape.spread.fits(map, &wallet.address(), to));
    let recipient = picks.next().ok_or_else(|| eyre!("no recipient fits: give more, or more shards"))?;
    let (to, value, input, gas_limit) = match payload {
        Payload::Transfer => (recipient, U256::from(1), EthBytes::new(), TRANSFER_GAS),
        Payload::Token(token) => (*token, U256::ZERO, transfer_call(recipient), TOKEN_GAS),
    };
    let tx = TxEip1559 {
        chain_id,
        nonce,
        gas_limit,
        max_fee_per_gas: MAX_FEE,
        max_priority_fee_per_gas: PRIORITY_FEE,
        to: TxKind::Call(to),
        value,
        access_list: alloy_eips::eip2930::AccessList::default(),
        input,
    };
    let signature = wallet.sign_hash_sync(&tx.signature_hash())?;
    let envelope = TxEnvelope::from(tx.into_signed(signature));
    Ok((*envelope.tx_hash(), envelope.encoded_2718().into()))
}

/// `transfer(address,uint256)` of one unit.
fn transfer_call(recipient: Address) -> EthBytes {
    let mut input = keccak256("transfer(address,uint256)")[..4].to_vec();
    input.extend_from_slice(recipient.into_word().as_slice());
    input.extend_from_slice(&U256::from(1).to_be_bytes::<32>());
    input.into()
}

/// Sends the load and waits until all of it is mined.
pub(crate) async fn send(
    url: &str,
    shape: &Shape,
    signed: Arc<Signed>,
    rate: Option<u32>,
) -> eyre::Result<Outcome> {
    let total: usize = signed.lanes.iter().map(Vec::len).sum();
    let hashes: HashSet<B256> = signed.lanes.iter().flatten().map(|(hash, _)| *hash).collect();
    let (stop, watching) = watch::channel(false);
    let mut client = Client::connect(url).await?;
    let first = client.quantity("eth_blockNumber", json!([])).await? + 1;
    let started = Instant::now();
    let watcher = tokio::spawn(watch_blocks(client, first, hashes, watching));
    let mut lanes = Vec::new();
    for lane in 0..signed.lanes.len() {
        let client = Client::connect(url).await?;
        let pace = rate.map(|rate| f64::from(rate) / signed.lanes.len() as f64);
        lanes.push(tokio::spawn(send_lane(client, signed.clone(), lane, shape.batch, pace, started)));
    }
    let mut sent = HashMap::with_capacity(total);
    for lane in lanes {
        sent.extend(lane.await??);
    }
    let accepted = started.elapsed();
    let watcher = tokio::time::timeout(PATIENCE, watcher);
    let mined = match watcher.await {
        Ok(mined) => mined??,
        Err(_) => {
            let _ = stop.send(true);
            bail!("not everything was mined {} s after the last send", PATIENCE.as_secs());
        }
    };
    let last = mined.values().max().ok_or_else(|| eyre!("nothing was mined"))?;
    let latencies = mined.iter().map(|(hash, at)| at.duration_since(sent[hash])).collect();
    Ok(Outcome {
        accepted_per_second: total as f64 / accepted.as_secs_f64(),
        mined_per_second: total as f64 / last.duration_since(started).as_secs_f64(),
        latencies: Latencies::new(latencies),
        transactions: total,
    })
}

async fn send_lane(
    mut client: Client,
    signed: Arc<Signed>,
    lane: usize,
    batch: usize,
    pace: Option<f64>,
    started: Instant,
) -> eyre::Result<Vec<(B256, Instant)>> {
    let mut sent = Vec::with_capacity(signed.lanes[lane].len());
    // Connections take turns: were they in step, all would send at once and then nobody.
    let turn = batch as f64 * lane as f64 / signed.lanes.len() as f64;
    for chunk in signed.lanes[lane].chunks(batch) {
        if let Some(pace) = pace {
            let due = started + Duration::from_secs_f64((turn + sent.len() as f64) / pace);
            tokio::time::sleep_until(due.into()).await;
        }
        let body = batch_body(chunk);
        let now = Instant::now();
        let answer = client.post(body).await?;
        refuse_errors(&answer)?;
        sent.extend(chunk.iter().map(|(hash, _)| (*hash, now)));
    }
    Ok(sent)
}

fn batch_body(chunk: &[(B256, EthBytes)]) -> Bytes {
    let mut body = String::with_capacity(chunk.len() * 360);
    body.push('[');
    for (id, (_, raw)) in chunk.iter().enumerate() {
        if id > 0 {
            body.push(',');
        }
        body.push_str(r#"{"jsonrpc":"2.0","id":"#);
        body.push_str(&id.to_string());
        body.push_str(r#","method":"eth_sendRawTransaction","params":["0x"#);
        body.push_str(&hex::encode(raw));
        body.push_str("\"]}");
    }
    body.push(']');
    body.into()
}

/// A load whose transactions are refused measures nothing: it stops at the first refusal.
fn refuse_errors(answer: &[u8]) -> eyre::Result<()> {
    let text = std::str::from_utf8(answer)?;
    if text.contains("\"error\"") {
        let shown: String = text.chars().take(400).collect();
        bail!("the server refused a transaction: {shown}");
    }
    Ok(())
}

async fn watch_blocks(
    mut client: Client,
    first: u64,
    mut wanted: HashSet<B256>,
    stop: watch::Receiver<bool>,
) -> eyre::Result<HashMap<B256, Instant>> {
    let mut seen = HashMap::with_capacity(wanted.len());
    let mut next = first;
    while !wanted.is_empty() && !*stop.borrow() {
        let block = client.call("eth_getBlockByNumber", json!([format!("0x{next:x}"), false])).await?;
        let Some(hashes) = block.get("transactions").and_then(Value::as_array) else {
            tokio::time::sleep(POLL).await;
            continue;
        };
        let now = Instant::now();
        for hash in hashes {
            let hash: B256 = hash.as_str().unwrap_or_default().parse()?;
            if wanted.remove(&hash) {
                seen.insert(hash, now);
            }
        }
        next += 1;
    }
    Ok(seen)
}
