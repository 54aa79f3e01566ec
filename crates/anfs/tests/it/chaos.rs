//! Seats of a running devnet are killed, started and parted by the command line, while clients use it.

mod load;

use std::collections::BTreeSet;
use std::process::Output;
use std::time::Duration;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::stream::MaybeTlsStream;
use tokio_tungstenite::tungstenite::{Message, WebSocket, connect};

use crate::harness::{Devnet, Draft, anfs, parse_quantity, sign};

fn chaos(devnet: &Devnet, args: &[&str]) -> Output {
    let url = ["--rpc-url", devnet.rpc.url.as_str()];
    anfs()
        .args(["devnet", "chaos"])
        .args(url)
        .args(args)
        .output()
        .expect("the program was built with this test")
}

fn good(output: Output) -> String {
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{err}");
    String::from_utf8(output.stdout).expect("text")
}

/// No head for so long: the shard stands still.
const PATIENCE: Duration = Duration::from_secs(120);

/// A WebSocket that has subscribed to new heads.
struct Heads(WebSocket<MaybeTlsStream<std::net::TcpStream>>);

impl Heads {
    fn subscribe(devnet: &Devnet) -> Self {
        let url = devnet.description["ws_url"].as_str().expect("the line names the URL");
        let (mut socket, _) = connect(url).expect("it listens");
        if let MaybeTlsStream::Plain(stream) = socket.get_ref() {
            stream.set_read_timeout(Some(PATIENCE)).expect("the time is not zero");
        }
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["newHeads"] });
        socket.send(Message::text(call.to_string())).expect("it is open");
        let answer: Value = serde_json::from_str(&read(&mut socket)).expect("JSON");
        assert!(answer["result"].is_string(), "{answer}");
        Self(socket)
    }

    /// The next head.
    fn next(&mut self) -> Value {
        let news: Value = serde_json::from_str(&read(&mut self.0)).expect("JSON");
        news["params"]["result"].clone()
    }

    /// Reads heads until one of this height; every one follows on the one before.
    fn follow_to(&mut self, last: &mut Option<Value>, height: u64) {
        loop {
            let head = self.next();
            if let Some(before) = last {
                assert_eq!(head["parentHash"], before["hash"], "no gap and no repetition");
            }
            let number = parse_quantity(&head["number"]);
            *last = Some(head);
            if number >= height {
                return;
            }
        }
    }
}

fn read(socket: &mut WebSocket<MaybeTlsStream<std::net::TcpStream>>) -> String {
    loop {
        if let Message::Text(text) = socket.read().expect("the connection outlives the seat") {
            return text.to_string();
        }
    }
}

#[test]
fn the_generator_is_killed_under_load_and_clients_lose_nothing() {
    let devnet = Devnet::start(&["--ephemeral", "--slot-ms", "100"]);
    let wallet = devnet.wallet(0);
    let mut heads = Heads::subscribe(&devnet);
    let mut last = None;
    heads.follow_to(&mut last, 3);
    let filter = devnet.rpc.call("eth_newBlockFilter", json!([]));
    let mut hashes = Vec::new();
    let mut send = |nonces: std::ops::Range<u64>| {
        for nonce in nonces {
            let (hash, raw) = sign(&wallet, &Draft { nonce, ..Draft::default() });
            devnet.rpc.call("eth_sendRawTransaction", json!([raw]));
            hashes.push(format!("{hash}"));
        }
    };
    send(0..100);
    let killed: Value = serde_json::from_str(&good(chaos(&devnet, &["kill", "0", "--json"]))).expect("JSON");
    assert_eq!(
        (&killed["seats"][0]["running"], &killed["seats"][0]["serving"]),
        (&json!(false), &json!(false))
    );
    // Nobody leads for a while; what is sent now is kept for whoever will.
    send(100..200);
    let mut blocks = BTreeSet::new();
    for hash in &hashes {
        let receipt = devnet.rpc.receipt(hash);
        assert_eq!(receipt["status"], "0x1");
        blocks.insert(parse_quantity(&receipt["blockNumber"]));
    }
    let reached = *blocks.last().expect("there were transactions");
    heads.follow_to(&mut last, reached);
    let told = devnet.rpc.call("eth_getFilterChanges", json!([filter]));
    let told: Vec<Value> = told.as_array().expect("a list").clone();
    for pair in told.windows(2) {
        let block = devnet.rpc.call("eth_getBlockByHash", json!([pair[1], false]));
        assert_eq!(block["parentHash"], pair[0], "no gap and no repetition");
    }
    let head = devnet.rpc.call("eth_getBlockByNumber", json!([format!("{reached:#x}"), false]));
    assert!(told.contains(&head["hash"]), "the filter goes on above the takeover");

    let view = devnet.rpc.call("anfs_view", json!([]));
    assert!(view["view"].as_u64() > Some(0) && view["acting"] != 0, "{view}");
    assert!(view["lastChange"]["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{view}");
    let text = good(chaos(&devnet, &["seats"]));
    for words in ["acts as generator", "serves this port", "down", "next in line"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let (_, metrics) = devnet.rpc.get("/metrics");
    for name in ["anfs_shard_acting", "anfs_shard_views_changed_total", "anfs_shard_convictions_total"] {
        assert!(metrics.contains(name), "{name}");
    }

    let back = good(chaos(&devnet, &["start", "0"]));
    assert!(!back.contains("down"), "{back}");
    let more = reached + 5;
    heads.follow_to(&mut last, more);
}

#[test]
fn what_makes_no_sense_is_refused_in_words() {
    let devnet = Devnet::start(&["--ephemeral", "--verifiers", "1", "--slot-ms", "100"]);
    let refused = |args: &[&str], code: i32, words: &str| {
        let output = chaos(&devnet, args);
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{err}");
        assert!(err.contains(words), "{words}: {err}");
    };
    refused(&["kill", "7"], 4, "there is no seat 7: this network has seats 0 to 1");
    refused(&["start", "1"], 4, "seat 1 runs already");
    refused(&["cut", "0", "9"], 4, "there is no seat 9");
    refused(&["kill", "nobody"], 2, "acting");
    refused(&["random", "--for", "soon"], 2, "30s");
    good(chaos(&devnet, &["cut", "1"]));
    assert!(good(chaos(&devnet, &["seats"])).contains("cut off"));
    good(chaos(&devnet, &["heal"]));
    good(chaos(&devnet, &["kill", "acting"]));
    refused(&["kill", "0"], 4, "does not run");
    refused(&["kill", "1"], 4, "the last one that runs");
    let many =
        anfs().args(["devnet", "--ephemeral", "--port", "0", "--byzantine", "2"]).output().expect("it runs");
    assert_eq!(many.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&many.stderr).contains("bears 1"), "{many:?}");
}

#[test]
fn random_chaos_ends_with_a_shard_that_works() {
    let devnet = Devnet::start(&["--ephemeral", "--slot-ms", "100", "--byzantine", "1"]);
    let out = good(chaos(&devnet, &["random", "--for", "4s", "--seed", "7", "--json"]));
    let told: Value = serde_json::from_str(&out).expect("one JSON value");
    assert_eq!((&told["recovered"], &told["seed"]), (&json!(true), &json!(7)), "{told}");
    let seats = devnet.rpc.call("devnet_seats", json!([]));
    let all = seats.as_array().expect("a list");
    assert!(all.iter().all(|seat| seat["running"] == true && seat["cut"] == false), "{seats}");
    assert_eq!(all.iter().filter(|seat| seat["byzantine"] == true).count(), 1);
}
