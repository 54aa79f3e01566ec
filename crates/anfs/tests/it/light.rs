//! `anfs light` against a real network of two shards, and against a server that lies about it.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::harness::{Devnet, Draft, Rpc, anfs, sign};
use crate::root_contracts::{REWARDS, claim, pending, wait};

/// A network, and where its chain spec lies.
struct Scene {
    devnet: Devnet,
    spec: PathBuf,
    folder: tempfile::TempDir,
}

/// Exit code, standard output, standard error.
type Done = (i32, String, String);

fn light(url: &str, spec: &Path, args: &[&str]) -> Done {
    let spec = spec.to_str().expect("temporary folders have plain names");
    let mut command = anfs();
    command.env_remove("ANFS_RPC_URL").arg("light").args(args).args(["--rpc-url", url, "--spec", spec]);
    let done = command.output().expect("the program was built with this test");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (done.status.code().expect("no signal ended it"), text(done.stdout), text(done.stderr))
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let devnet = Devnet::in_folder(folder.path(), &["--shards", "2", "--verifiers", "1"]);
        let spec = folder.path().join("chain-spec.json");
        Self { devnet, spec, folder }
    }

    fn json(&self, args: &[&str]) -> Value {
        let (code, out, err) = light(&self.devnet.rpc.url, &self.spec, &[args, &["--json"]].concat());
        assert_eq!(code, 0, "{args:?}: {err}");
        serde_json::from_str(&out).expect("--json prints JSON")
    }

    /// A failure with this exit code, whose words hold these.
    fn refused(&self, url: &str, args: &[&str], words: &str) {
        let (code, out, err) = light(url, &self.spec, args);
        assert_eq!(code, 1, "{args:?}: {out}{err}");
        assert!(err.contains(words), "{args:?}: {words:?} is not said: {err}");
    }

    /// Index and address of a funded account whose home is this shard.
    fn resident(&self, domain: u64) -> (usize, String) {
        let accounts = self.devnet.description["accounts"].as_array().expect("the line has the accounts");
        let addresses = accounts.iter().map(|account| account["address"].as_str().expect("an address"));
        let home = |address: &str| self.devnet.rpc.call("anfs_getRoute", json!([address]))["home"].as_u64();
        let found = addresses.enumerate().find(|(_, address)| home(address) == Some(domain));
        let (index, address) = found.expect("ten accounts are spread over two shards");
        (index, address.to_owned())
    }

    /// Sends value from shard 1 to shard 2; the transaction and the message that brought it.
    fn cross(&self, nonce: u64, value: u128) -> (String, String, String) {
        let ((sender, _), (_, recipient)) = (self.resident(1), self.resident(2));
        let to = recipient.parse().expect("an address");
        let draft = Draft { nonce, to, value, gas_limit: 100_000, ..Draft::default() };
        let (hash, raw) = sign(&self.devnet.wallet(sender), &draft);
        self.devnet.rpc.call("eth_sendRawTransaction", json!([raw]));
        let hash = hash.to_string();
        assert_eq!(self.devnet.rpc.receipt(&hash)["status"], "0x1");
        let legs = self.devnet.rpc.call("anfs_getTransactionLegs", json!([hash]));
        let message = legs["legs"][0]["sent"][0].as_str().expect("it has left its shard").to_owned();
        (hash, message, recipient)
    }
}

#[test]
fn what_a_node_says_is_proven_by_its_networks_seats() {
    let scene = Scene::new();
    let (hash, message, recipient) = scene.cross(0, 12_345);

    let balance = scene.json(&["balance", &recipient]);
    let said = scene.devnet.rpc.call("eth_getBalance", json!([recipient, "latest"]));
    let wei: u128 = balance["wei"].as_str().unwrap().parse().unwrap();
    assert_eq!((format!("{wei:#x}"), &balance["domain"]), (said.as_str().unwrap().to_owned(), &json!(2)));
    let stranger = "0x00000000000000000000000000000000deadbeef";
    assert_eq!(scene.json(&["balance", stranger])["exists"], false);

    let receipt = scene.json(&["receipt", &hash]);
    assert_eq!((&receipt["success"], &receipt["domain"]), (&json!(true), &json!(1)));
    let sent = scene.json(&["message", &message]);
    assert_eq!(
        (&sent["source"], &sent["destination"], &sent["consumed"]),
        (&json!(1), &json!(2), &json!(true))
    );
    assert_eq!(sent["origin"], hash.as_str());
    let route = scene.json(&["route", &recipient]);
    assert_eq!((&route["home"], &route["domain"], &route["routed"]), (&json!(2), &json!(2), &json!(false)));

    let finality = scene.devnet.rpc.call(
        "anfs_getFinality",
        json!(["0x1", receipt["shardHeight"].as_u64().map(|height| format!("{height:#x}"))]),
    );
    assert_eq!(finality["rootHeight"], receipt["rootHeight"]);

    assert_eq!(scene.devnet.rpc.call("anfs_getFinality", json!(["0x2", "0x0"]))["rootHeight"], 0);

    let status = scene.json(&["status"]);
    let checkpoint = format!("{}:{}", status["rootHeight"], status["rootHash"].as_str().unwrap());
    let from = scene.json(&["--checkpoint", &checkpoint, "balance", &recipient]);
    assert!(from["rootHeight"].as_u64() >= status["rootHeight"].as_u64());
    let (code, text, _) = light(&scene.devnet.rpc.url, &scene.spec, &["status"]);
    assert!(code == 0 && text.contains("Final root block") && text.contains("checkpoint"), "{text}");
}

#[test]
fn a_contract_away_from_its_home_is_found_by_its_proven_route() {
    let scene = Scene::new();
    let (_, creator) = scene.resident(1);
    let rpc = &scene.devnet.rpc;
    let deploy = || {
        // Creation code of a contract with one byte of code.
        let draft = json!([{"from": creator, "data": "0x600160005360016000f3", "gas": "0x30d40"}]);
        let hash = rpc.call("eth_sendTransaction", draft);
        let receipt = rpc.receipt(hash.as_str().expect("a hash"));
        assert_eq!(receipt["status"], "0x1");
        receipt["contractAddress"].as_str().expect("it creates a contract").to_owned()
    };
    let home = |address: &String| rpc.call("anfs_getRoute", json!([address]))["home"] == 2;
    let guest = (0..64).map(|_| deploy()).find(home).expect("half of all addresses are of shard 2");
    let route = scene.json(&["route", &guest]);
    assert_eq!((&route["home"], &route["domain"], &route["routed"]), (&json!(2), &json!(1), &json!(true)));
    let balance = scene.json(&["balance", &guest]);
    assert_eq!(
        (&balance["exists"], &balance["nonce"], &balance["domain"]),
        (&json!(true), &json!(1), &json!(1))
    );
}

#[test]
fn what_the_root_holds_and_sends_is_proven_as_well() {
    let scene = Scene::new();
    let rewards = REWARDS.to_string();
    let route = scene.json(&["route", &rewards]);
    assert_eq!((&route["home"], &route["domain"], &route["exists"]), (&json!(0), &json!(0), &json!(true)));
    let absent = scene.json(&["balance", "0x0000000000000000000000000000000000000aff"]);
    assert_eq!((&absent["domain"], &absent["exists"]), (&json!(0), &json!(false)));

    wait("issuance", || !pending(&scene.devnet.rpc, (2, 1), &json!("latest")).is_zero());
    let (hash, receipt) = claim(&scene.devnet, 0, 0, (2, 1));
    assert_eq!(receipt["status"], "0x1", "{receipt}");
    let balance = scene.json(&["balance", &rewards]);
    let said = scene.devnet.rpc.call(
        "eth_getBalance",
        json!([rewards, balance["rootHeight"].as_u64().map(|at| format!("{at:#x}"))]),
    );
    let wei: u128 = balance["wei"].as_str().unwrap().parse().unwrap();
    assert_eq!(format!("{wei:#x}"), said.as_str().unwrap(), "{balance}");
    assert_eq!(balance["domainHeight"].as_u64().unwrap() + 1, balance["rootHeight"].as_u64().unwrap());

    let legs = scene.devnet.rpc.call("anfs_getTransactionLegs", json!([hash]));
    let of_root = legs["legs"].as_array().unwrap().iter().find(|leg| leg["domain"] == 0);
    let message = of_root.expect("the root pays")["sent"][0].as_str().expect("by a message");
    let sent = scene.json(&["message", message]);
    assert_eq!(
        (&sent["source"], &sent["consumed"], &sent["origin"]),
        (&json!(0), &json!(true), &json!(hash))
    );
    let (code, text, _) = light(&scene.devnet.rpc.url, &scene.spec, &["message", message]);
    assert!(code == 0 && text.contains("the root to shard"), "{text}");
}

#[test]
fn networks_that_are_not_the_one_meant_are_refused() {
    let scene = Scene::new();
    let url = &scene.devnet.rpc.url;
    let elsewhere = format!("0:0x{}", "11".repeat(32));
    scene.refused(url, &["--checkpoint", &elsewhere, "status"], "root block 0 is");
    let unknown = format!("0x{}", "22".repeat(32));
    scene.refused(url, &["receipt", &unknown], "its absence is not proven");
    scene.refused(url, &["message", &unknown], "its absence is not proven");

    let mut spec: Value = serde_json::from_str(&fs::read_to_string(&scene.spec).unwrap()).unwrap();
    spec["genesis_time_ms"] = json!(1);
    let other = scene.folder.path().join("other.json");
    fs::write(&other, spec.to_string()).unwrap();
    let (code, _, err) = light(url, &other, &["status"]);
    assert!(code == 1 && err.contains("root block 0 is"), "{err}");

    let (code, _, err) = light(url, &scene.folder.path().join("none.json"), &["status"]);
    assert!(code == 2 && err.contains("--spec FILE"), "{err}");
    let (code, _, err) = light(url, &scene.spec, &["--checkpoint", "7", "status"]);
    assert!(code == 2 && err.contains("HEIGHT:HASH"), "{err}");
}

/// Turns a result of a method, asked for with these parameters, into a lie.
type Lie = fn(&str, &Value, &mut Value);

/// Passes calls on to a node, and answers with lies.
fn liar(node: &Rpc, lie: Lie) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    let node = node.clone();
    // It ends with the test's process.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            answer(stream.expect("a connection"), &node, lie);
        }
    });
    url
}

fn answer(mut stream: TcpStream, node: &Rpc, lie: Lie) {
    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
    let (mut line, mut length) = (String::new(), 0);
    while reader.read_line(&mut line).is_ok() && line.trim() != "" {
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("the whole body");
    let asked: Value = serde_json::from_slice(&body).expect("JSON");
    let (_, bytes) = node.post(&body).expect("the node answers");
    let mut told: Value = serde_json::from_slice(&bytes).expect("JSON");
    lie(asked["method"].as_str().expect("a method"), &asked["params"], &mut told["result"]);
    let text = told.to_string();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        text.len()
    );
    stream.write_all((head + &text).as_bytes()).expect("the client listens");
}

/// Changes the last digit of a member's hex.
fn flip(result: &mut Value, member: &str) {
    let text = result[member].as_str().unwrap_or_default().to_owned();
    if let Some(last) = text.chars().last() {
        let other = if last == '0' { '1' } else { '0' };
        result[member] = json!(format!("{}{other}", &text[..text.len() - 1]));
    }
}

#[test]
fn a_server_that_lies_is_not_believed() {
    let scene = Scene::new();
    scene.cross(0, 7);
    // It is final after the first one, thus not in root block 1.
    let (hash, message, recipient) = scene.cross(1, 8);
    let lies: [(&str, Lie, &[&str], &str); 6] = [
        (
            "more coins in the newest root block",
            |method, params, result| {
                if method == "anfs_getRootHeader" && params[0] == "latest" {
                    flip(result, "encoded");
                }
            },
            &["status"],
            "another block",
        ),
        (
            "a signature of nobody's",
            |method, _, result| {
                if method == "anfs_getRootHeader" {
                    flip(result, "certificate");
                }
            },
            &["status"],
            "signature",
        ),
        (
            "a newest root block that nobody has signed",
            |method, params, result| {
                if method == "anfs_getRootHeader" && params[0] == "latest" {
                    result["certificate"] = Value::Null;
                }
            },
            &["status"],
            "without certificate",
        ),
        (
            "another balance",
            |method, _, result| {
                if method == "anfs_getLightProof" {
                    let text = result["proof"].as_str().unwrap().to_owned();
                    // The account's leaf ends with its code hash; behind it stand the count of slots and the lack of a route.
                    let at = text.len() - 20;
                    let digit = if &text[at..=at] == "0" { "1" } else { "0" };
                    result["proof"] = json!(format!("{}{digit}{}", &text[..at], &text[at + 1..]));
                }
            },
            &["balance", &recipient],
            "proof of the account is wrong",
        ),
        (
            "another transaction's receipt",
            |method, _, result| {
                if method == "anfs_getLightProof" {
                    flip(result, "proof");
                }
            },
            &["receipt", &hash],
            "proof of the receipt is wrong",
        ),
        (
            "the root block of another time",
            |method, _, result| {
                if method == "anfs_getLightProof" && result["rootHeight"].as_u64() > Some(1) {
                    result["rootHeight"] = json!(1);
                }
            },
            &["message", &message],
            "is not made final by root block 1",
        ),
    ];
    for (what, lie, args, words) in lies {
        let url = liar(&scene.devnet.rpc, lie);
        let (code, out, err) = light(&url, &scene.spec, args);
        assert!(code == 1 && err.contains(words), "{what}: {words:?} is not said: {out}{err}");
    }
}
