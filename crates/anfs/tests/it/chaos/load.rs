//! The acting generator is killed twice while many accounts send as fast as blocks come.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use alloy_primitives::{Address, U256};
use alloy_signer_local::PrivateKeySigner;
use serde_json::{Value, json};

use super::{Heads, chaos, good};
use crate::harness::{Devnet, Draft, Rpc, parse_quantity, sign};

const LANES: usize = 6;
/// What an account may have sent and not yet seen in a block.
const WINDOW: u64 = 8;
/// Heads within which something must have happened.
const HEADS_MAX: usize = 600;
/// Wei that each transfer moves.
const VALUE: u128 = 3;

/// One account's transfers.
struct Lane {
    wallet: PrivateKeySigner,
    heads: Heads,
    rpc: Rpc,
}

impl Lane {
    /// Sends until told to stop; gives the hashes that the node answered with, in order of their nonces.
    fn run(mut self, stop: &AtomicBool, acknowledged: &AtomicU64) -> (PrivateKeySigner, Vec<String>) {
        let (mut hashes, mut settled) = (Vec::new(), 0);
        for nonce in 0.. {
            while nonce - settled >= WINDOW && !stop.load(Ordering::Acquire) {
                self.heads.next();
                let params = json!([self.wallet.address(), "latest"]);
                settled = self.rpc.quantity("eth_getTransactionCount", params);
            }
            if stop.load(Ordering::Acquire) {
                break;
            }
            let draft = Draft { nonce, value: VALUE, ..Draft::default() };
            let (hash, raw) = sign(&self.wallet, &draft);
            self.send(&hash.to_string(), &raw);
            hashes.push(hash.to_string());
            acknowledged.fetch_add(1, Ordering::AcqRel);
        }
        (self.wallet, hashes)
    }

    /// Sends, and is acknowledged, whoever is stopped just then.
    fn send(&self, hash: &str, raw: &str) {
        let answer = self.rpc.try_call("eth_sendRawTransaction", json!([raw])).expect("the port stays");
        assert_eq!(answer, Ok(json!(hash)), "it answers with the hash of what it was sent");
    }
}

/// Reads heads until something is so.
fn until<T>(heads: &mut Heads, what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    for _ in 0..HEADS_MAX {
        heads.next();
        if let Some(found) = found() {
            return found;
        }
    }
    panic!("{what}: not within {HEADS_MAX} blocks");
}

fn view(rpc: &Rpc) -> Value {
    rpc.call("anfs_view", json!([]))
}

/// Kills whoever acts as generator, and waits until another one does and its blocks are seen; gives the seat that
/// was killed, and how many transactions were acknowledged while nobody led.
fn kill_the_acting_one(devnet: &Devnet, heads: &mut Heads, acknowledged: &AtomicU64) -> (u64, u64) {
    let before = view(&devnet.rpc);
    let told = good(chaos(devnet, &["kill", "acting", "--json"]));
    let at_death = acknowledged.load(Ordering::Acquire);
    let told: Value = serde_json::from_str(&told).expect("JSON");
    let seats = told["seats"].as_array().expect("a list");
    let killed = seats.iter().find(|seat| seat["acting"] == true && seat["running"] == false);
    let killed = killed.and_then(|seat| seat["seat"].as_u64()).expect("who acted is down");
    let after = until(heads, "a takeover", || {
        let now = view(&devnet.rpc);
        (now["view"].as_u64() > before["view"].as_u64() && now["open"] == true).then_some(now)
    });
    let since = acknowledged.load(Ordering::Acquire) - at_death;
    assert_ne!(after["acting"].as_u64(), Some(killed), "{after}");
    assert!(after["lastChange"]["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{after}");
    (killed, since)
}

/// Every hash has a receipt of success, and each account has paid for what it sent and for nothing else.
fn settle(devnet: &Devnet, heads: &mut Heads, funds: U256, lanes: &[(PrivateKeySigner, Vec<String>)]) {
    let mut moved = U256::ZERO;
    for (wallet, hashes) in lanes {
        let mut paid = U256::ZERO;
        for hash in hashes {
            let mut receipt = devnet.rpc.call("eth_getTransactionReceipt", json!([hash]));
            if receipt.is_null() {
                receipt = until(heads, hash, || {
                    let receipt = devnet.rpc.call("eth_getTransactionReceipt", json!([hash]));
                    (!receipt.is_null()).then_some(receipt)
                });
            }
            assert_eq!(receipt["status"], "0x1", "{receipt}");
            let [gas, price] = ["gasUsed", "effectiveGasPrice"].map(|name| parse_quantity(&receipt[name]));
            paid += U256::from(gas) * U256::from(price) + U256::from(VALUE);
            moved += U256::from(VALUE);
        }
        let of = json!([wallet.address(), "latest"]);
        assert_eq!(devnet.rpc.quantity("eth_getTransactionCount", of.clone()), hashes.len() as u64);
        assert_eq!(balance(devnet, wallet.address()), funds - paid, "{}", wallet.address());
    }
    assert_eq!(balance(devnet, Address::repeat_byte(0x77)), moved);
}

fn balance(devnet: &Devnet, address: Address) -> U256 {
    let balance = devnet.rpc.call("eth_getBalance", json!([address, "latest"]));
    balance.as_str().expect("a quantity").parse().expect("hex")
}

/// The sum over all seats of a counter.
fn counted(devnet: &Devnet, name: &str) -> u64 {
    let (_, page) = devnet.rpc.get("/metrics");
    let lines = page.lines().filter(|line| line.starts_with(&format!("{name}{{")));
    lines.map(|line| line.rsplit(' ').next().expect("a value").parse::<u64>().expect("a count")).sum()
}

#[test]
fn two_generators_in_a_row_are_killed_and_nothing_acknowledged_is_lost() {
    let devnet = Devnet::logged(&["--ephemeral", "--slot-ms", "100"]);
    let funds = balance(&devnet, devnet.wallet(0).address());
    let (stop, acknowledged) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut heads = Heads::subscribe(&devnet);
    let lanes: Vec<Lane> = (0..LANES)
        .map(|index| Lane {
            wallet: devnet.wallet(index),
            heads: Heads::subscribe(&devnet),
            rpc: devnet.rpc.clone(),
        })
        .collect();
    let (killed, lanes) = std::thread::scope(|scope| {
        let lanes: Vec<_> =
            lanes.into_iter().map(|lane| scope.spawn(|| lane.run(&stop, &acknowledged))).collect();
        // What is asserted in here must not leave the lanes waiting.
        let story = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let flowing = acknowledged.load(Ordering::Acquire) + 4 * LANES as u64 * WINDOW;
            until(&mut heads, "load", || (acknowledged.load(Ordering::Acquire) > flowing).then_some(()));
            let first = kill_the_acting_one(&devnet, &mut heads, &acknowledged);
            good(chaos(&devnet, &["start", &first.0.to_string()]));
            let second = kill_the_acting_one(&devnet, &mut heads, &acknowledged);
            let flowing = acknowledged.load(Ordering::Acquire) + 2 * LANES as u64 * WINDOW;
            until(&mut heads, "load goes on", || {
                (acknowledged.load(Ordering::Acquire) > flowing).then_some(())
            });
            [first, second]
        }));
        stop.store(true, Ordering::Release);
        let lanes: Vec<_> =
            lanes.into_iter().map(|lane| lane.join().expect("a lane does not panic")).collect();
        (story.unwrap_or_else(|panic| std::panic::resume_unwind(panic)), lanes)
    });
    assert_eq!(killed[0].0, 0, "the generator of the chain spec leads first");
    assert_ne!(killed[1].0, 0, "the second one had taken over");
    settle(&devnet, &mut heads, funds, &lanes);

    let now = view(&devnet.rpc);
    assert!(now["view"].as_u64() >= Some(2), "{now}");
    assert_ne!(now["acting"].as_u64(), Some(killed[1].0), "{now}");
    assert!(counted(&devnet, "anfs_shard_views_changed_total") >= 2);
    let log = devnet.log();
    for words in [
        "seat 0 was stopped on purpose".to_owned(),
        format!("seat {} was stopped on purpose", killed[1].0),
        "view 1 entered: ".to_owned(),
        format!("view {} is open: this seat acts as sequence generator", now["view"]),
    ] {
        assert!(log.contains(&words), "{words}: {log}");
    }
    let sent: usize = lanes.iter().map(|(_, hashes)| hashes.len()).sum();
    eprintln!(
        "{sent} transactions, {} and {} of them acknowledged while nobody led",
        killed[0].1, killed[1].1
    );
}
