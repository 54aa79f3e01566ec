//! Readers watch through the RPC while others transfer and generators are killed; what they saw is held against what
//! each tag promises.

mod checker;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use alloy_primitives::{Address, U256, keccak256};
use serde_json::{Value, json};

use crate::harness::{Devnet, Draft, Rpc, parse_quantity, pause, sign};
use crate::killer::{kill_generator, shard_rpc};
use checker::{Head, History, Read, Transfer};

const RECEIVERS: usize = 6;
const SENDERS: usize = 4;
const READERS: usize = 2;
/// Transfers of each sender. All that one receiver gets must fit into his bits.
const TRANSFERS: usize = 24;

/// How long a shard has between two generators' deaths.
const BETWEEN_KILLS: Duration = Duration::from_millis(500);
/// How long a shard goes on before the next serving seat is stopped.
const BETWEEN_STOPS: Duration = Duration::from_millis(200);

/// What all threads write to.
#[derive(Debug, Default)]
struct Recorder {
    clock: AtomicU64,
    history: Mutex<History>,
}

impl Recorder {
    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    fn note(&self, write: impl FnOnce(&mut History)) {
        write(&mut self.history.lock().expect("nobody panics while writing"));
    }
}

fn receiver(index: usize) -> Address {
    Address::from_word(keccak256(format!("receiver {index}")))
}

/// Sends one transfer after the other, each to the next receiver, and waits for each receipt.
fn send(devnet: &Devnet, sender: usize, recorder: &Recorder) {
    let (wallet, rpc) = (devnet.wallet(sender), devnet.rpc.clone());
    for number in 0..TRANSFERS {
        let to = (sender + number) % RECEIVERS;
        let power = u32::try_from(sender * TRANSFERS / RECEIVERS + number / RECEIVERS).expect("few");
        let draft =
            Draft { nonce: number as u64, to: receiver(to), value: 4u128.pow(power), ..Draft::default() };
        let (hash, raw) = sign(&wallet, &draft);
        let sent = recorder.tick();
        rpc.call("eth_sendRawTransaction", json!([raw]));
        let receipt = rpc.receipt(&hash.to_string());
        let done = Some((recorder.tick(), parse_quantity(&receipt["blockNumber"])));
        assert_eq!(receipt["status"], "0x1", "{receipt}");
        recorder.note(|it| it.transfers.push(Transfer { receiver: to, power, sent, done }));
    }
}

fn balance(rpc: &Rpc, of: usize, at: &Value) -> u128 {
    let balance = rpc.call("eth_getBalance", json!([receiver(of), at]));
    let balance: U256 = balance.as_str().expect("a quantity").parse().expect("hex");
    balance.to()
}

/// Reads the newest balances, the head, and balances at blocks that it has seen, until told to stop.
fn read(rpc: &Rpc, number: usize, stop: &AtomicBool, recorder: &Recorder) {
    for round in number.. {
        if stop.load(Ordering::Acquire) {
            break;
        }
        let of = round % RECEIVERS;
        let start = recorder.tick();
        let tag = ["latest", "finalized", "safe"][round % 3];
        let newest = balance(rpc, of, &json!(tag));
        let end = recorder.tick();
        recorder.note(|it| it.reads.push(Read { receiver: of, start, end, block: None, balance: newest }));

        let start = recorder.tick();
        let head = rpc.quantity("eth_blockNumber", json!([]));
        let end = recorder.tick();
        recorder.note(|it| it.heads.push(Head { start, end, number: head }));

        let at = head.saturating_sub((round % 4) as u64);
        let start = recorder.tick();
        let then = rpc.try_call("eth_getBalance", json!([receiver(of), format!("{at:#x}")]));
        let end = recorder.tick();
        match then.expect("the server is there") {
            Ok(then) => {
                let balance = then.as_str().expect("a quantity").parse::<U256>().expect("hex").to();
                recorder
                    .note(|it| it.reads.push(Read { receiver: of, start, end, block: Some(at), balance }));
            }
            // A seat that has just begun to serve may not have it, and says so rather than guess.
            Err(error) => {
                assert!(
                    error["message"].as_str().is_some_and(|why| why.contains("is not available")),
                    "{error}"
                );
            }
        }
    }
}

/// Records what senders and readers see of a network whose generators are killed in turn, and checks it.
fn watch(shards: usize) {
    let devnet = Devnet::start(&["--ephemeral", "--slot-ms", "100", "--shards", &shards.to_string()]);
    let (recorder, stop, kills) = (Recorder::default(), AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS)
            .map(|number| {
                let (rpc, recorder, stop) = (devnet.rpc.clone(), &recorder, &stop);
                scope.spawn(move || read(&rpc, number, stop, recorder))
            })
            .collect();
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let (devnet, recorder) = (&devnet, &recorder);
                scope.spawn(move || send(devnet, sender, recorder))
            })
            .collect();
        let killer = scope.spawn(|| {
            for shard in (1..=shards).cycle() {
                if stop.load(Ordering::Acquire) {
                    break;
                }
                kill_generator(&devnet.rpc, shard, shards);
                pause(BETWEEN_KILLS);
                kills.fetch_add(1, Ordering::Relaxed);
            }
        });
        let sent: Vec<_> = senders.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        stop.store(true, Ordering::Release);
        killer.join().expect("others take over");
        readers.into_iter().for_each(|reader| reader.join().expect("a reader does not panic"));
        sent.into_iter().for_each(|sender| sender.expect("a sender does not panic"));
    });
    let history = recorder.history.into_inner().expect("nobody panicked while writing");
    assert_eq!(history.transfers.len(), SENDERS * TRANSFERS);
    if let Err((breach, what)) = history.check() {
        panic!("{breach}: {what}");
    }
    let of_blocks = history.reads.iter().filter(|read| read.block.is_some()).count();
    assert!(
        2 * of_blocks > history.heads.len(),
        "{of_blocks} of {} blocks could be read",
        history.heads.len()
    );
    let total: u128 = history.transfers.iter().map(|transfer| 4u128.pow(transfer.power)).sum();
    let held: u128 = (0..RECEIVERS).map(|of| balance(&devnet.rpc, of, &json!("latest"))).sum();
    assert_eq!(held, total, "each transfer has come once");
    eprintln!(
        "{} kills, {} transfers, {} reads, {} heads",
        kills.into_inner(),
        history.transfers.len(),
        history.reads.len(),
        history.heads.len()
    );
}

#[test]
fn one_shard_keeps_its_promises_to_readers() {
    watch(1);
}

#[test]
fn four_shards_keep_the_promises_of_one() {
    watch(4);
}

/// The seat from which clients of a shard are served.
fn serving(rpc: &Rpc) -> Value {
    let seats = rpc.call("devnet_seats", json!([]));
    let seats = seats.as_array().expect("a list of seats");
    seats.iter().find(|seat| seat["serving"] == true).expect("some seat serves")["seat"].clone()
}

#[test]
fn the_newest_state_can_be_read_while_one_serving_seat_after_the_other_is_stopped() {
    const SHARDS: usize = 2;
    /// Stops of serving seats; meanwhile states are flushed a few times.
    const STOPS: usize = 60;
    let devnet = Devnet::start(&["--ephemeral", "--slot-ms", "100", "--verifiers", "4", "--shards", "2"]);
    let (stop, reads) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let readers = (0..READERS).map(|reader| {
            let (rpc, stop, reads) = (&devnet.rpc, &stop, &reads);
            scope.spawn(move || {
                for tag in ["latest", "safe", "finalized"].into_iter().cycle() {
                    if stop.load(Ordering::Acquire) {
                        break;
                    }
                    assert_eq!(balance(rpc, reader, &json!(tag)), 0);
                    reads.fetch_add(1, Ordering::Relaxed);
                }
            })
        });
        let readers: Vec<_> = readers.collect();
        let stopper = scope.spawn(|| {
            let mut down = [Value::Null, Value::Null];
            for round in 0..STOPS {
                let shard = round % SHARDS;
                let rpc = shard_rpc(&devnet.rpc, shard + 1, SHARDS);
                let seat = serving(&rpc);
                rpc.call("devnet_stopSeat", json!([seat]));
                assert_ne!(serving(&rpc), seat);
                // Whoever starts now may be the one to serve next.
                let before = std::mem::replace(&mut down[shard], seat);
                if before != Value::Null {
                    rpc.call("devnet_startSeat", json!([before]));
                }
                pause(BETWEEN_STOPS);
            }
        });
        let stopped = stopper.join();
        stop.store(true, Ordering::Release);
        readers.into_iter().for_each(|reader| reader.join().expect("a reader does not panic"));
        stopped.expect("seats can be stopped and started");
    });
    assert!(reads.into_inner() > 10 * STOPS as u64, "readers went on all the time");
}
