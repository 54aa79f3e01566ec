//! Kills the whole network at random moments under load: nothing that was acknowledged may be lost.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use crate::harness::{Devnet, Draft, Rpc, parse_quantity, sign};

const SENDERS: usize = 4;
/// Kills unless `ANFS_KILLS` says otherwise.
const KILLS: usize = 12;

/// What the network has acknowledged so far.
#[derive(Debug, Default)]
struct Acknowledged {
    /// Receipts that were served, by transaction hash.
    receipts: BTreeMap<String, Value>,
    /// Hash and state root of each block that was seen.
    blocks: BTreeMap<u64, (Value, Value)>,
}

#[test]
fn nothing_acknowledged_is_lost_when_the_network_is_killed() {
    let kills =
        std::env::var("ANFS_KILLS").ok().map_or(KILLS, |text| text.parse().expect("ANFS_KILLS is a number"));
    let seed = std::env::var("ANFS_SEED")
        .ok()
        .map_or_else(rand::random, |text| text.parse().expect("ANFS_SEED is a number"));
    eprintln!("seed {seed}: set ANFS_SEED to draw the same moments");
    let mut random = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut acknowledged = Acknowledged::default();
    let mut slowest = Duration::ZERO;
    for kill in 0..kills {
        let started = Instant::now();
        let devnet = Devnet::in_folder(folder.path(), &["--slot-ms", "100"]);
        if kill > 0 {
            slowest = slowest.max(started.elapsed());
        }
        acknowledged.check(&devnet.rpc);
        run_until_killed(devnet, &mut acknowledged, Duration::from_millis(random.random_range(50..1500)));
    }
    let devnet = Devnet::in_folder(folder.path(), &["--slot-ms", "100"]);
    acknowledged.check(&devnet.rpc);
    still_works(&devnet);
    eprintln!(
        "{kills} kills, {} receipts and {} blocks all still there, slowest restart {} ms",
        acknowledged.receipts.len(),
        acknowledged.blocks.len(),
        slowest.as_millis()
    );
    assert!(!acknowledged.receipts.is_empty(), "the load was never acknowledged: the test tested nothing");
}

impl Acknowledged {
    /// Everything acknowledged is still served, to the letter.
    fn check(&self, rpc: &Rpc) {
        for (hash, before) in &self.receipts {
            let after = rpc.call("eth_getTransactionReceipt", json!([hash]));
            assert_eq!(&after, before, "the receipt of {hash} has changed");
        }
        for (number, before) in &self.blocks {
            let block = rpc.call("eth_getBlockByNumber", json!([format!("0x{number:x}"), false]));
            let after = (block["hash"].clone(), block["stateRoot"].clone());
            assert_eq!(&after, before, "block {number} has changed");
        }
    }
}

/// Loads the network from several senders, collects what it acknowledges, and kills it after a while.
fn run_until_killed(devnet: Devnet, acknowledged: &mut Acknowledged, after: Duration) {
    let done = AtomicBool::new(false);
    let started = Instant::now();
    let wallets: Vec<_> = (0..SENDERS).map(|index| devnet.wallet(index)).collect();
    let rpc = devnet.rpc.clone();
    let collected = std::thread::scope(|scope| {
        let lanes: Vec<_> = wallets
            .iter()
            .map(|wallet| {
                let (rpc, done) = (rpc.clone(), &done);
                scope.spawn(move || send_and_collect(&rpc, wallet, done))
            })
            .collect();
        // The load itself paces this thread: it watches blocks until the moment has come.
        while started.elapsed() < after {
            let Some(Ok(block)) = rpc.try_call("eth_getBlockByNumber", json!(["latest", false])) else {
                break;
            };
            let number = parse_quantity(&block["number"]);
            acknowledged.blocks.insert(number, (block["hash"].clone(), block["stateRoot"].clone()));
        }
        devnet.kill();
        done.store(true, Ordering::Release);
        lanes.into_iter().flat_map(|lane| lane.join().expect("a lane does not panic")).collect::<Vec<_>>()
    });
    acknowledged.receipts.extend(collected);
}

fn send_and_collect(
    rpc: &Rpc,
    wallet: &alloy_signer_local::PrivateKeySigner,
    done: &AtomicBool,
) -> Vec<(String, Value)> {
    let mut collected = Vec::new();
    let params = json!([wallet.address(), "latest"]);
    let Some(Ok(nonce)) = rpc.try_call("eth_getTransactionCount", params) else { return collected };
    let first = parse_quantity(&nonce);
    for nonce in first.. {
        let (hash, raw) = sign(wallet, &Draft { nonce, ..Draft::default() });
        let Some(sent) = rpc.try_call("eth_sendRawTransaction", json!([raw])) else { return collected };
        sent.expect("a good transaction is accepted");
        loop {
            if done.load(Ordering::Acquire) {
                return collected;
            }
            let receipt = rpc.try_call("eth_getTransactionReceipt", json!([hash]));
            let Some(Ok(receipt)) = receipt else { return collected };
            if !receipt.is_null() {
                collected.push((hash.to_string(), receipt));
                break;
            }
        }
    }
    collected
}

fn still_works(devnet: &Devnet) {
    let wallet = devnet.wallet(0);
    let nonce = devnet.rpc.quantity("eth_getTransactionCount", json!([wallet.address(), "latest"]));
    let (hash, raw) = sign(&wallet, &Draft { nonce, ..Draft::default() });
    devnet.rpc.call("eth_sendRawTransaction", json!([raw]));
    assert_eq!(devnet.rpc.receipt(&hash.to_string())["status"], "0x1");
}
