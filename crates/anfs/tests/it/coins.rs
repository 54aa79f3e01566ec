//! Coins cross between shards while generators are killed: after each network block all of them are somewhere, and in
//! the end each payment has arrived once, each refused one is back, and every account holds what it should.
//!
//! `ANFS_KILLS` and `ANFS_KILL_EVERY` (seconds) make the run as long as one likes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use alloy_primitives::{Address, Bytes, U256, hex, keccak256};
use serde_json::{Value, json};

use crate::harness::{Devnet, Draft, Rpc, pause, sign};
use crate::killer::{kill_generator, shard_rpc};

const SHARDS: usize = 4;
const SENDERS: usize = 8;
const RECEIVERS: usize = 24;
/// Payments that a sender may have on their way.
const WINDOW: usize = 16;
const KILLS: u64 = 4;
const KILL_EVERY: u64 = 3;
/// What the refuser is sent, in wei: more than all fees of a run.
const REFUSED: u128 = 10u128.pow(20);
/// How long a client waits before it looks again.
const LOOK: Duration = Duration::from_millis(20);
/// Looks until the last message must have arrived.
const LOOKS_MAX: usize = 1500;
/// Deploys a contract that refuses every call: `PUSH0 PUSH0 REVERT`.
const REFUSER: [u8; 11] = hex!("625f5ffd5f526003601df3");

/// What one sender has done.
#[derive(Debug, Default)]
struct Ledger {
    received: BTreeMap<Address, U256>,
    /// What was paid to receivers.
    paid: U256,
    /// By gas and price of the receipts. The price of gas used in two shards is rounded, so this is so to a few wei a gas.
    fees: U256,
    payments: u64,
    refused: u64,
}

fn receiver(index: usize) -> Address {
    Address::from_word(keccak256(format!("coins {index}")))
}

fn quantity(value: &Value) -> U256 {
    value.as_str().expect("a quantity").parse().expect("hex")
}

fn balance(rpc: &Rpc, address: Address, at: &Value) -> U256 {
    quantity(&rpc.call("eth_getBalance", json!([address, at])))
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// Deploys the contract that refuses everything; its address and what that cost.
fn deploy_refuser(devnet: &Devnet) -> (Address, U256) {
    let from = devnet.wallet(0).address();
    let call = json!({ "from": from, "data": Bytes::from(REFUSER), "gas": "0x186a0" });
    let hash = devnet.rpc.call("eth_sendTransaction", json!([call]));
    let receipt = devnet.rpc.receipt(hash.as_str().expect("a hash"));
    assert_eq!(receipt["status"], "0x1", "{receipt}");
    let address = receipt["contractAddress"].as_str().expect("it was created").parse().expect("an address");
    (address, fee(&receipt))
}

fn fee(receipt: &Value) -> U256 {
    quantity(&receipt["gasUsed"]) * quantity(&receipt["effectiveGasPrice"])
}

/// Pays one receiver after the other until told to stop, now and then one who refuses, and waits for all receipts.
fn pay(devnet: &Devnet, sender: usize, first: u64, refuser: Address, stop: &AtomicBool) -> Ledger {
    let (wallet, rpc) = (devnet.wallet(sender), devnet.rpc.clone());
    let (mut ledger, mut open) = (Ledger::default(), BTreeMap::new());
    for nonce in first.. {
        let stopping = stop.load(Ordering::Acquire);
        while open.len() >= WINDOW || (stopping && !open.is_empty()) {
            let before = open.len();
            open.retain(|hash: &String, payment| !settled(&rpc, hash, *payment, &mut ledger));
            if open.len() == before {
                pause(LOOK);
            }
        }
        if stopping {
            break;
        }
        let turn = usize::try_from(nonce).expect("fewer than fit into memory");
        let to = if nonce % 8 == 7 { None } else { Some(receiver((sender + turn) % RECEIVERS)) };
        let (value, gas_limit) =
            if to.is_none() { (REFUSED, 60_000) } else { (1 + u128::from(nonce % 97), 21_000) };
        let draft = Draft { nonce, to: to.unwrap_or(refuser), value, gas_limit, ..Draft::default() };
        let (hash, raw) = sign(&wallet, &draft);
        assert_eq!(rpc.call("eth_sendRawTransaction", json!([raw])), json!(hash));
        open.insert(hash.to_string(), (to, U256::from(value)));
    }
    ledger
}

/// Whether a payment has ended; if so it is entered.
fn settled(rpc: &Rpc, hash: &str, payment: (Option<Address>, U256), ledger: &mut Ledger) -> bool {
    let receipt = rpc.call("eth_getTransactionReceipt", json!([hash]));
    if receipt.is_null() {
        return false;
    }
    ledger.fees += fee(&receipt);
    if let (Some(to), value) = payment {
        assert_eq!(receipt["status"], "0x1", "{receipt}");
        ledger.paid += value;
        ledger.payments += 1;
        *ledger.received.entry(to).or_default() += value;
    } else {
        assert_eq!(receipt["status"], "0x0", "{receipt}");
        ledger.refused += 1;
    }
    true
}

/// All coins of genesis that are somewhere, by the newest root block; its height.
fn coins(rpc: &Rpc) -> (u64, U256) {
    let report = rpc.call("anfs_domains", json!([]));
    let [held, flying, burned, issued] =
        ["held", "inFlight", "burned", "issued"].map(|name| quantity(&report["supply"][name]));
    let domains = report["domains"].as_array().expect("a list").iter().chain([&report["root"]]);
    assert_eq!(domains.map(|domain| quantity(&domain["held"])).sum::<U256>(), held, "{report}");
    (report["rootHeight"].as_u64().expect("a height"), held + flying + burned - issued)
}

/// Looks at every root block that it can, until told to stop; how many they were.
fn audit(rpc: &Rpc, total: U256, stop: &AtomicBool) -> usize {
    let mut heights = BTreeSet::new();
    while !stop.load(Ordering::Acquire) {
        let (height, coins) = coins(rpc);
        assert_eq!(coins, total, "root block {height}: coins were lost or made");
        heights.insert(height);
        pause(LOOK);
    }
    heights.len()
}

/// Whoever has earned tips: the proposers of all blocks.
fn proposers(rpc: &Rpc) -> BTreeSet<Address> {
    (1..=SHARDS)
        .flat_map(|shard| {
            let rpc = shard_rpc(rpc, shard, SHARDS);
            let last = rpc.quantity("eth_blockNumber", json!([]));
            (1..=last).map(move |number| {
                let block = rpc.call("eth_getBlockByNumber", json!([format!("{number:#x}"), false]));
                block["miner"].as_str().expect("an address").parse().expect("an address")
            })
        })
        .collect()
}

/// Each account holds what it should, and all of them together what the root says.
fn settle(devnet: &Devnet, funds: U256, ledgers: &[Ledger], deployed: U256) {
    let rpc = &devnet.rpc;
    let at = rpc.call("eth_blockNumber", json!([]));
    for (sender, ledger) in ledgers.iter().enumerate() {
        let extra = if sender == 0 { deployed } else { U256::ZERO };
        let spent = funds - extra - balance(rpc, devnet.wallet(sender).address(), &at);
        let (least, most) = (ledger.paid, ledger.paid + ledger.fees * U256::from(2));
        assert!(most < U256::from(REFUSED), "a payment that had not come back would not be seen");
        assert!((least..=most).contains(&spent), "sender {sender} has spent {spent}: {ledger:?}");
    }
    for receiver in (0..RECEIVERS).map(receiver) {
        let due = ledgers.iter().filter_map(|ledger| ledger.received.get(&receiver)).sum::<U256>();
        assert_eq!(balance(rpc, receiver, &at), due, "{receiver}");
    }
    let paid = (0..RECEIVERS).map(receiver);
    let owners = (0..SENDERS).map(|sender| devnet.wallet(sender).address());
    // Tips of proposers who live elsewhere belong to no transaction, so no receipt tells of their arrival.
    let landed = (0..LOOKS_MAX).any(|_| {
        pause(LOOK);
        quantity(&rpc.call("anfs_domains", json!([]))["supply"]["inFlight"]).is_zero()
    });
    assert!(landed, "messages are on their way although nobody sends");
    let everyone: BTreeSet<Address> = proposers(rpc).into_iter().chain(paid).chain(owners).collect();
    let held: U256 = everyone.into_iter().map(|who| balance(rpc, who, &json!("latest"))).sum();
    let report = rpc.call("anfs_domains", json!([]));
    // What is issued waits in a contract of the root.
    let waiting = quantity(&report["root"]["held"]);
    assert_eq!(held + waiting, quantity(&report["supply"]["held"]), "accounts and root agree: {report}");
}

#[test]
fn no_coin_is_lost_or_made_while_generators_are_killed() {
    let (kills, every) = (setting("ANFS_KILLS", KILLS), setting("ANFS_KILL_EVERY", KILL_EVERY));
    let shards = SHARDS.to_string();
    let devnet = Devnet::start(&["--ephemeral", "--shards", &shards, "--accounts", &SENDERS.to_string()]);
    let funds = balance(&devnet.rpc, devnet.wallet(1).address(), &json!("latest"));
    let (refuser, deployed) = deploy_refuser(&devnet);
    let (_, total) = coins(&devnet.rpc);
    assert_eq!(total, funds * U256::from(SENDERS), "all that genesis gave is somewhere");
    let stop = AtomicBool::new(false);
    let (ledgers, heights) = std::thread::scope(|scope| {
        let auditor = scope.spawn(|| audit(&devnet.rpc, total, &stop));
        let (devnet, stop) = (&devnet, &stop);
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| scope.spawn(move || pay(devnet, sender, u64::from(sender == 0), refuser, stop)))
            .collect();
        // What is asserted in here must not leave the others waiting.
        let story = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for (_, shard) in (0..kills).zip((1..=SHARDS).cycle()) {
                let struck = Instant::now();
                kill_generator(&devnet.rpc, shard, SHARDS);
                pause(Duration::from_secs(every).saturating_sub(struck.elapsed()));
            }
        }));
        stop.store(true, Ordering::Release);
        let ledgers: Vec<Ledger> =
            senders.into_iter().map(|it| it.join().expect("a sender does not panic")).collect();
        let heights = auditor.join().expect("the auditor does not panic");
        story.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (ledgers, heights)
    });
    settle(&devnet, funds, &ledgers, deployed);
    let sum = |of: fn(&Ledger) -> u64| ledgers.iter().map(of).sum::<u64>();
    let (payments, refused) = (sum(|it| it.payments), sum(|it| it.refused));
    assert!(payments > 0 && refused > 0 && heights > 0, "{payments} {refused} {heights}: it tested nothing");
    eprintln!(
        "{kills} kills, {payments} payments, {refused} refused and back, {heights} root blocks looked at"
    );
}
