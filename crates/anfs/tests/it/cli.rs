//! The commands that use a network and look into it, against a real one.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Devnet, anfs};

const PASSWORD: &str = "correct horse";
/// An address that nobody has sent anything to.
const STRANGER: &str = "0x4242424242424242424242424242424242424242";
/// Returns 42 to whoever calls it.
const ANSWER: &str = "602a60005260206000f3";
/// Reverts with `Error("no funds")`.
const REVERT: &str = "6064600c60003960646000fd08c379a0\
    0000000000000000000000000000000000000000000000000000000000000020\
    0000000000000000000000000000000000000000000000000000000000000008\
    6e6f2066756e6473000000000000000000000000000000000000000000000000";
/// Logs 7 under topic 0x99, then calls the address that it is given and ignores what comes of it.
const POKE: &str = "6007600052609960206000a1600060006000600060006004355af15000";

/// Creation code that deploys `runtime`.
fn creation(runtime: &str) -> String {
    let len = runtime.len() / 2;
    format!("0x60{len:02x}600c60003960{len:02x}6000f3{runtime}")
}

/// Somebody with a home of their own.
struct User {
    home: TempDir,
}

/// What a command came to.
#[derive(Debug)]
struct Done {
    code: i32,
    out: String,
    err: String,
}

impl User {
    fn new() -> Self {
        Self { home: tempfile::tempdir().expect("a temporary folder") }
    }

    fn run(&self, args: &[&str]) -> Done {
        self.run_with(args, &[("ANFS_PASSWORD", PASSWORD)], "")
    }

    fn run_with(&self, args: &[&str], variables: &[(&str, &str)], input: &str) -> Done {
        let mut command = anfs();
        for name in ["ANFS_RPC_URL", "ANFS_PASSWORD", "ANFS_NEW_PASSWORD"] {
            command.env_remove(name);
        }
        let mut child = command
            .args(args)
            .env("XDG_DATA_HOME", self.home.path())
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program was built with this test");
        child
            .stdin
            .take()
            .expect("standard input is piped")
            .write_all(input.as_bytes())
            .expect("the pipe holds it");
        let done = child.wait_with_output().expect("it was started here");
        let out = String::from_utf8(done.stdout).expect("text");
        let err = String::from_utf8(done.stderr).expect("text");
        assert!(!out.contains('\x1b') && !err.contains('\x1b'), "no colours but on a terminal");
        Done { code: done.status.code().expect("no signal ended it"), out, err }
    }

    /// Runs a command on a network.
    fn on(&self, devnet: &Devnet, args: &[&str]) -> Done {
        self.run(&[args, &["--rpc-url", &devnet.rpc.url]].concat())
    }

    /// Runs a command on a network and reads its JSON.
    fn json(&self, devnet: &Devnet, args: &[&str]) -> Value {
        self.on(devnet, &[args, &["--json"]].concat()).value()
    }

    fn deploy(&self, devnet: &Devnet, runtime: &str) -> String {
        let from = account(devnet, 0);
        let receipt = self.json(devnet, &["send", "--create", "--data", &creation(runtime), "--from", &from]);
        receipt["contractAddress"].as_str().expect("it deploys").to_owned()
    }
}

impl Done {
    fn good(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.out
    }

    fn value(self) -> Value {
        let out = self.good();
        assert_eq!(out.lines().count(), 1, "one value on one line");
        serde_json::from_str(&out).expect("JSON")
    }

    /// A failure with this exit code, whose words hold these.
    fn bad(self, code: i32, words: &str) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        assert!(self.err.contains(words), "{words:?} is not said: {self:?}");
        self
    }
}

fn account(devnet: &Devnet, index: usize) -> String {
    devnet.description["accounts"][index]["address"].as_str().expect("the line has the accounts").to_owned()
}

fn key(devnet: &Devnet, index: usize) -> String {
    devnet.description["accounts"][index]["private_key"].as_str().expect("the line has the keys").to_owned()
}

fn devnet() -> Devnet {
    Devnet::start(&["--ephemeral", "--verifiers", "4"])
}

/// A URL that nothing listens on.
fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    format!("http://{}", listener.local_addr().expect("it is bound"))
}

#[test]
fn value_is_sent_by_every_kind_of_signer() {
    let (devnet, user) = (devnet(), User::new());
    let (from, secret) = (account(&devnet, 0), key(&devnet, 1));

    let text = user.on(&devnet, &["send", STRANGER, "1.5afs", "--from", &from]).good();
    assert!(text.contains("succeeded") && text.contains("gas used       21 000"), "{text}");
    let receipt = user.json(&devnet, &["send", STRANGER, "2gwei", "--private-key", &secret]);
    assert_eq!((&receipt["status"], &receipt["to"]), (&json!("0x1"), &json!(STRANGER.to_lowercase())));
    assert_eq!(user.on(&devnet, &["account", "balance", STRANGER]).good(), "1.500000002 AFS\n");
    let balance = user.json(&devnet, &["account", "balance", STRANGER]);
    assert_eq!(balance["wei"], "1500000002000000000");
    assert_eq!(user.on(&devnet, &["account", "nonce", &account(&devnet, 1)]).good(), "1\n");

    let made = user.run(&["account", "new", "me", "--json"]).value();
    user.on(&devnet, &["send", "me", "1ether", "--from", &from]).good();
    user.on(&devnet, &["send", STRANGER, "1", "--account", "me"]).good();
    let file = made["file"].as_str().unwrap();
    user.on(&devnet, &["send", STRANGER, "1", "--keystore", file]).good();
    assert_eq!(user.json(&devnet, &["account", "nonce", "me"])["nonce"], 2);

    let fees = ["--max-fee", "9gwei", "--priority-fee", "1gwei", "--gas-limit", "30000", "--nonce", "1"];
    let hash =
        user.on(&devnet, &[&["send", STRANGER, "--no-wait", "--private-key", &secret], &fees[..]].concat());
    let hash = hash.good().trim().to_owned();
    devnet.rpc.receipt(&hash);
    let sent = user.json(&devnet, &["tx", &hash])["transaction"].clone();
    assert_eq!((&sent["maxFeePerGas"], &sent["gas"]), (&json!("0x218711a00"), &json!("0x7530")));
}

#[test]
fn contracts_are_deployed_called_and_traced() {
    let (devnet, user) = (devnet(), User::new());
    let from = account(&devnet, 0);
    let (answer, revert, poke) =
        (user.deploy(&devnet, ANSWER), user.deploy(&devnet, REVERT), user.deploy(&devnet, POKE));

    assert_eq!(user.on(&devnet, &["call", &answer, "f(int8)(uint256)", "-3"]).good(), "42\n");
    let called = user.json(&devnet, &["call", &answer, "f()(uint256)", "--from", &from, "--value", "1"]);
    assert_eq!(called["values"], json!(["42"]));
    let raw = user.on(&devnet, &["call", &answer, "f()"]).good();
    assert_eq!(raw, format!("0x{:064x}\n", 42));

    user.on(&devnet, &["call", &revert, "f()(uint256)"]).bad(4, "no funds");
    user.on(&devnet, &["call", STRANGER, "f()(uint256)"]).bad(1, "returned nothing");
    user.on(&devnet, &["call", &answer, "f()(string)"]).bad(1, "bytes returned are not what");
    user.on(&devnet, &["call", &answer, "f(uint256)", "x"]).bad(2, "uint256");
    user.on(&devnet, &["call", &answer, "f(uint256)"]).bad(2, "takes 1 argument");
    user.on(&devnet, &["send", &revert, "0", "--from", &from]).bad(4, "no funds");

    let send = ["send", &revert, "0", "--from", &from, "--gas-limit", "90000", "--json"];
    let failed = user.on(&devnet, &send).bad(4, "no funds");
    let receipt: Value = serde_json::from_str(&failed.out).unwrap();
    assert_eq!(receipt["status"], "0x0");
    let error: Value = serde_json::from_str(&failed.err).unwrap();
    assert_eq!(error["code"], 4);
    let hash = receipt["transactionHash"].as_str().unwrap();
    assert!(user.on(&devnet, &["tx", hash]).good().contains("failed: execution reverted: no funds"));
    let report = user.json(&devnet, &["tx", hash]);
    assert!(report["revertReason"].as_str().unwrap().contains("no funds"));
    assert_eq!(report.get("trace"), None);

    let send = ["send", &poke, "0", &revert, "--sig", "poke(address)", "--from", &from];
    let receipt = user.json(&devnet, &send);
    let hash = receipt["transactionHash"].as_str().unwrap();
    let text = user.on(&devnet, &["tx", hash, "--trace"]).good();
    for words in ["succeeded", "log 0", "└─ CALL", "├─ LOG", "   └─ CALL", "✗ execution reverted: no funds"]
    {
        assert!(text.contains(words), "{words:?} is not in\n{text}");
    }
    let report = user.json(&devnet, &["tx", hash, "--trace"]);
    assert_eq!(report["trace"]["calls"][0]["revertReason"], "no funds");
    assert_eq!(report["revertReason"], Value::Null);
}

#[test]
fn blocks_show_who_sealed_and_checked_them() {
    let (devnet, user) = (devnet(), User::new());
    let receipt = user.json(&devnet, &["send", STRANGER, "7", "--from", &account(&devnet, 0)]);
    let number = receipt["blockNumber"].as_str().unwrap();

    let block = user.json(&devnet, &["block", number]);
    assert_eq!(block["block"]["hash"], receipt["blockHash"]);
    assert_eq!(block["shardHeader"]["hash"], receipt["blockHash"]);
    assert_eq!(block["slices"].as_array().unwrap().len(), 4);
    assert_eq!(block["certificate"]["target"]["block"], receipt["blockHash"]);
    let hash = receipt["blockHash"].as_str().unwrap();
    assert_eq!(user.json(&devnet, &["block", hash])["block"], block["block"]);

    let text = user.on(&devnet, &["block", number, "--full"]).good();
    for words in ["Shard header", "Certificate", "Slices", "verifiers ", "Transactions", "7 wei", STRANGER] {
        assert!(text.contains(words), "{words:?} is not in\n{text}");
    }
    assert!(
        user.on(&devnet, &["block", number]).good().contains(receipt["transactionHash"].as_str().unwrap())
    );
    for tag in ["latest", "safe", "finalized", "pending", "earliest"] {
        assert!(user.on(&devnet, &["block", tag]).good().starts_with("Block "), "{tag}");
    }
    assert!(user.on(&devnet, &["block", "0"]).good().contains("genesis"));
    user.on(&devnet, &["block", "4000000000"]).bad(1, "there is no block 4000000000");
    user.on(&devnet, &["block", "newest"]).bad(2, "is no block");
}

#[test]
fn what_goes_wrong_has_an_exit_code_and_says_what_to_do() {
    let (devnet, user) = (devnet(), User::new());
    let (from, secret, gone) = (account(&devnet, 0), key(&devnet, 0), nowhere());
    let hash = format!("0x{}", "11".repeat(32));
    for command in [
        &["account", "balance", STRANGER][..],
        &["account", "nonce", STRANGER],
        &["send", STRANGER, "1", "--from", &from],
        &["send", STRANGER, "1", "--private-key", &secret],
        &["call", STRANGER, "f()"],
        &["block"],
        &["tx", &hash],
    ] {
        let lost = user.run(&[command, &["--json", "--rpc-url", &gone]].concat()).bad(3, "anfs devnet");
        let error: Value = serde_json::from_str(&lost.err).unwrap();
        assert_eq!(error["code"], 3, "{command:?}");
        assert_eq!(lost.out, "");
        user.run(&[command, &["--rpc-url", "https://example.org"]].concat()).bad(2, "https");
        let variable = [("ANFS_RPC_URL", gone.as_str())];
        user.run_with(command, &variable, "").bad(3, "no node answers");
    }
    user.run(&["block", "--rpc-url", "http://"]).bad(2, "is no URL");

    user.on(&devnet, &["account", "balance", "0x123"]).bad(2, "40 hex digits");
    user.on(&devnet, &["account", "balance", &from.replace('F', "f")]).bad(2, "checksum");
    user.on(&devnet, &["account", "balance", "nobody"]).bad(2, "no account \"nobody\"");
    user.on(&devnet, &["send", STRANGER, "1x", "--from", &from]).bad(2, "is no amount");
    user.on(&devnet, &["send", STRANGER, "1"]).bad(2, "--account");
    user.on(&devnet, &["send", STRANGER, "1", "--private-key", "0x12"]).bad(2, "no private key");
    let words = user.on(&devnet, &["send", "0x123", "--json"]).bad(2, "40 hex digits");
    assert_eq!(serde_json::from_str::<Value>(&words.err).unwrap()["code"], 2);
    user.on(&devnet, &["tx", &hash]).bad(1, "knows no transaction");

    user.on(&devnet, &["send", STRANGER, "1", "--from", STRANGER]).bad(4, "unknown account");
    user.on(&devnet, &["send", STRANGER, "20000afs", "--private-key", &secret]).bad(4, "insufficient funds");
    user.on(&devnet, &["send", STRANGER, "1", "--private-key", &secret]).good();
    let late =
        ["send", STRANGER, "1", "--private-key", &secret, "--nonce", "0", "--gas-limit", "21000", "--json"];
    let late = user.on(&devnet, &late).bad(4, "nonce too low");
    assert_eq!(serde_json::from_str::<Value>(&late.err).unwrap()["rpcCode"], -32000);
    let early = ["send", STRANGER, "1", "--private-key", &secret, "--nonce", "9", "--timeout", "0"];
    user.on(&devnet, &early).bad(1, "in no block after 0 s");
    user.on(&devnet, &["block"]).good();
}

#[test]
fn a_server_that_is_no_node_is_told_from_one() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        assert!(stream.read(&mut request).unwrap() > 0);
        stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nno").unwrap();
    });
    User::new().run(&["block", "--rpc-url", &url]).bad(3, "HTTP status 404");
    server.join().unwrap();
}

#[test]
fn accounts_are_kept_encrypted() {
    let user = User::new();
    assert_eq!(user.run(&["account", "list", "--json"]).value(), json!([]));
    assert!(user.run(&["account", "list"]).good().contains("No accounts yet"));
    let made = user.run(&["account", "new", "zoe", "--json"]).value();
    user.run(&["account", "new", "zoe"]).bad(1, "exists");
    user.run_with(&["account", "new", "x"], &[], "").bad(2, "ANFS_PASSWORD");
    user.run_with(&["account", "new", "x"], &[("ANFS_PASSWORD", "")], "").bad(2, "empty");
    user.run(&["account", "new", "../x"]).bad(2, "is no name");

    let secret = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
    let first = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
    let imported = user.run(&["account", "import", "flag", "--private-key", secret, "--json"]).value();
    assert_eq!(imported["address"], first);
    let variables = [("ANFS_PASSWORD", PASSWORD)];
    let piped = user.run_with(&["account", "import", "pipe"], &variables, &format!("{secret}\n"));
    assert!(piped.good().contains(first));
    let file = made["file"].as_str().unwrap();
    let copied = user.run(&["account", "import", "copy", "--keystore", file, "--json"]).value();
    assert_eq!(copied["address"], made["address"]);
    let wrong = [("ANFS_PASSWORD", "wrong")];
    user.run_with(&["account", "import", "bad", "--keystore", file], &wrong, "").bad(1, "password is wrong");
    let refused = user.run_with(&["account", "import", "bad"], &variables, "secret words\n");
    assert!(!refused.bad(2, "no private key").err.contains("secret words"), "a key is never repeated");

    let listed = user.run(&["account", "list", "--json"]).value();
    let names: Vec<&str> = listed.as_array().unwrap().iter().map(|a| a["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["copy", "flag", "pipe", "zoe"]);
    let text = fs::read_to_string(imported["file"].as_str().unwrap()).unwrap();
    assert!(!text.contains(&secret[2..]), "the key is nowhere in the clear");
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["version"], 3);
}

#[test]
fn a_home_that_cannot_be_written_is_named() {
    let user = User::new();
    fs::write(user.home.path().join("anfs"), "a file where the folder should be").unwrap();
    user.run(&["account", "new", "me"]).bad(5, "keystore");
}

#[test]
fn validator_keys_live_through_their_commands() {
    let user = User::new();
    let file = user.home.path().join("validator.json");
    let file = file.to_str().unwrap();
    let made = user.run(&["keys", "generate", file, "--light", "--json"]).value();
    let public = made["publicKey"].as_str().unwrap();
    assert_eq!(public.len(), 2 + 2 * 96);
    user.run(&["keys", "generate", file]).bad(1, "never overwritten");

    let locked = user.run(&["keys", "inspect", file, "--json"]).value();
    assert_eq!((&locked["publicKey"], &locked["proofOfPossession"]), (&made["publicKey"], &Value::Null));
    let open = user.run(&["keys", "inspect", file, "--unlock", "--json"]).value();
    assert_eq!(open["proofOfPossession"], made["proofOfPossession"]);
    let secret = user.run(&["keys", "export", file]).good();
    assert_eq!(secret.trim().len(), 2 + 2 * 32);

    let change = ["keys", "change-password", file, "--light"];
    user.run(&change).bad(2, "ANFS_NEW_PASSWORD");
    let variables = [("ANFS_PASSWORD", PASSWORD), ("ANFS_NEW_PASSWORD", "another")];
    assert!(user.run_with(&change, &variables, "").good().contains(public));
    user.run(&["keys", "export", file]).bad(1, "password");
    let again = user.run_with(&["keys", "export", file], &[("ANFS_PASSWORD", "another")], "").good();
    assert_eq!(again, secret);
    let left = fs::read_dir(user.home.path()).unwrap().count();
    assert_eq!(left, 1, "no draft is left behind");

    fs::write(file, "{}").unwrap();
    user.run(&["keys", "inspect", file]).bad(1, "is no key file");
    user.run(&["keys", "inspect", "/nowhere/key"]).bad(1, "cannot read");
}

#[test]
fn the_doctor_tells_good_from_bad() {
    let (devnet, user) = (devnet(), User::new());
    let port = devnet.rpc.url.rsplit(':').next().unwrap();
    let healthy = user.json(&devnet, &["doctor", "--port", port]);
    let state = |report: &Value, name: &str| -> String {
        let checks = report["checks"].as_array().unwrap().iter();
        let check = checks.clone().find(|check| check["name"] == name).unwrap();
        assert_eq!(check["remedy"].is_null(), check["state"] == "ok", "{check}");
        check["state"].as_str().unwrap().to_owned()
    };
    assert_eq!(healthy["ok"], true);
    for name in ["clock", "data folder", "port", "node"] {
        assert_eq!(state(&healthy, name), "ok", "{healthy}");
    }
    let text = user.on(&devnet, &["doctor", "--port", port]).good();
    assert!(text.contains("making blocks") && text.contains("SHA-256 a second"), "{text}");

    let sick = user.run(&["doctor", "--json", "--port", port, "--rpc-url", &nowhere()]);
    let sick = sick.bad(1, "checks failed");
    let report: Value = serde_json::from_str(&sick.out).unwrap();
    assert_eq!((report["ok"].as_bool(), state(&report, "node")), (Some(false), "fail".to_owned()));
    let blocked = user.home.path().join("file");
    fs::write(&blocked, "").unwrap();
    let blocked = blocked.to_str().unwrap();
    user.on(&devnet, &["doctor", "--data-dir", blocked, "--port", port]).bad(1, "checks failed");
    user.run(&["doctor", "--rpc-url", "https://example.org"]).bad(2, "https");
}

#[test]
fn completions_and_help_know_every_command() {
    let user = User::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = user.run(&["completions", shell]).good();
        assert!(script.contains("change-password") && script.contains("doctor"), "{shell}");
    }
    let value = user.run(&["completions", "bash", "--json"]).value();
    assert!(value["script"].as_str().unwrap().contains("devnet"));
    user.run(&["completions", "tcsh"]).bad(2, "tcsh");
    let help = user.run(&["--help"]).good();
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/use/cli.md");
    let manual = fs::read_to_string(manual).unwrap();
    let commands =
        help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let commands: Vec<&str> = commands
        .filter_map(|line| line.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(commands.len() >= 9, "{commands:?}");
    for command in commands.iter().filter(|command| **command != "help") {
        assert!(manual.contains(&format!("anfs {command}")), "the manual does not name `anfs {command}`");
    }
}
