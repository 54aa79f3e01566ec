//! Signing records are carried, lost and given away, by the command line and under a running shard.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Devnet, Draft, anfs, sign};

const FLAGS: [&str; 2] = ["--slot-ms", "100"];
/// Looks until something has happened; each is a round trip.
const LOOKS: usize = 100_000;

fn run(args: &[&str]) -> Output {
    anfs().env_remove("ANFS_RPC_URL").args(args).output().expect("the program was built with this test")
}

fn record(folder: &TempDir, args: &[&str]) -> Output {
    let dir = folder.path().to_str().expect("temporary folders have plain names");
    run(&[&["record", args[0], "--data-dir", dir], &args[1..]].concat())
}

fn good(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).expect("text")
}

fn refused(output: &Output, code: i32, words: &str) {
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{err}");
    assert!(err.contains(words), "{words}: {err}");
}

fn chaos(devnet: &Devnet, what: &str, seat: u16) -> Value {
    let method = if what == "kill" { "devnet_stopSeat" } else { "devnet_startSeat" };
    devnet.rpc.call(method, json!([seat]))[usize::from(seat)].clone()
}

fn height(devnet: &Devnet) -> u64 {
    devnet.rpc.quantity("eth_blockNumber", json!([]))
}

/// Waits until the shard has decided a block above this one that `good` finds good; its height.
fn block_above(devnet: &Devnet, mut height: u64, good: impl Fn(&Value) -> bool) -> u64 {
    for _ in 0..LOOKS {
        let certificate = devnet.rpc.call("anfs_getCertificate", json!([format!("{:#x}", height + 1)]));
        if certificate.is_null() {
            continue;
        }
        height += 1;
        if good(&certificate) {
            return height;
        }
    }
    panic!("no such block up to {height}: {}", devnet.rpc.call("devnet_seats", json!([])));
}

/// One round of verdicts decides only when every verifier gives its own.
fn everyone_voted(certificate: &Value) -> bool {
    certificate["kind"] == "fast"
}

fn metric(devnet: &Devnet, name: &str, label: &str) -> f64 {
    let (_, text) = devnet.rpc.get("/metrics");
    let lines = text.lines().filter(|line| line.starts_with(name) && line.contains(label));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

fn path(file: &Path) -> &str {
    file.to_str().expect("temporary folders have plain names")
}

#[test]
fn a_seat_goes_on_from_its_exported_record_and_not_from_where_it_left() {
    let folder = tempfile::tempdir().unwrap();
    let out = tempfile::tempdir().unwrap();
    let file = out.path().join("seat-2.json");
    let devnet = Devnet::in_folder(folder.path(), &FLAGS);
    block_above(&devnet, 0, everyone_voted);
    refused(&record(&folder, &["export", "--seat", "2", "--out", path(&file)]), 5, "stop it first");
    assert!(!file.exists());

    chaos(&devnet, "kill", 2);
    let text = good(&record(&folder, &["export", "--seat", "2", "--out", path(&file)]));
    assert!(text.contains("Retired here") && text.contains("nothing is signed at or below"), "{text}");
    let left = chaos(&devnet, "start", 2);
    assert!(left["held"] == true && left["trouble"].as_str().unwrap().contains("exported"), "{left}");
    for _ in 0..LOOKS {
        if metric(&devnet, "anfs_shard_held", "seat=\"2\"") > 0.0 {
            break;
        }
    }
    assert!(metric(&devnet, "anfs_shard_held", "") == 1.0, "one seat is held, and the metrics say so");
    chaos(&devnet, "kill", 2);

    let log = folder.path().join("seat-2/votes.log");
    fs::remove_file(&log).unwrap();
    for _ in 0..2 {
        let without = chaos(&devnet, "start", 2);
        assert!(without["held"] == true, "{without}");
        assert!(without["trouble"].as_str().unwrap().contains("record was missing"), "{without}");
        chaos(&devnet, "kill", 2);
    }
    refused(&record(&folder, &["export", "--seat", "2", "--out", "x"]), 5, "is not whole");

    let told: Value =
        serde_json::from_str(&good(&record(&folder, &["import", "--seat", "2", path(&file), "--json"])))
            .unwrap();
    assert_eq!((&told["import"]["changed"], &told["import"]["contradictions"]), (&json!(true), &json!([])));
    let again = good(&record(&folder, &["import", "--seat", "2", path(&file)]));
    assert!(again.contains("held all of it"), "{again}");
    let back = chaos(&devnet, "start", 2);
    assert_eq!((&back["held"], &back["trouble"]), (&json!(false), &Value::Null));
    let now = height(&devnet);
    block_above(&devnet, now, everyone_voted);
    assert!(metric(&devnet, "anfs_consensus_evidence_total", "").abs() < 0.5, "nobody contradicted himself");
}

#[test]
fn a_seat_that_moves_without_its_blocks_catches_up_before_it_signs() {
    let folder = tempfile::tempdir().unwrap();
    let out = tempfile::tempdir().unwrap();
    let file = out.path().join("seat-3.json");
    let devnet = Devnet::in_folder(folder.path(), &FLAGS);
    block_above(&devnet, 10, everyone_voted);
    chaos(&devnet, "kill", 3);
    good(&record(&folder, &["export", "--seat", "3", "--out", path(&file)]));
    fs::remove_dir_all(folder.path().join("seat-3")).unwrap();
    let text = good(&record(&folder, &["import", "--seat", "3", path(&file)]));
    assert!(text.contains("0 blocks are decided here"), "{text}");
    let back = chaos(&devnet, "start", 3);
    let why = back["trouble"].as_str().unwrap_or("it has caught up already");
    assert!(why.contains("catches up") || why.contains("caught up"), "{back}");
    let now = height(&devnet);
    block_above(&devnet, now, everyone_voted);
    assert!(metric(&devnet, "anfs_consensus_evidence_total", "").abs() < 0.5, "nobody contradicted himself");
}

#[test]
fn when_every_record_is_lost_a_release_gets_the_shard_going() {
    let folder = tempfile::tempdir().unwrap();
    let devnet = Devnet::in_folder(folder.path(), &FLAGS);
    block_above(&devnet, 2, |_| true);
    assert!(devnet.interrupt().success());
    for seat in 0..=4 {
        fs::remove_file(folder.path().join(format!("seat-{seat}/votes.log"))).unwrap();
    }
    let devnet = Devnet::in_folder(folder.path(), &FLAGS);
    let all_are = |devnet: &Devnet, held: bool| {
        let seats = devnet.rpc.call("devnet_seats", json!([]));
        seats.as_array().unwrap().iter().all(|seat| seat["held"] == held)
    };
    assert!(all_are(&devnet, true));
    let view = devnet.rpc.call("anfs_view", json!([]));
    assert!(view["hold"].as_str().unwrap().contains("watches the chain"), "{view}");
    let before = height(&devnet);
    let release =
        |args: &[&str]| run(&[&["record", "release", "--rpc-url", devnet.rpc.url.as_str()], args].concat());
    refused(&release(&["--all"]), 2, "may contradict what it has signed before");
    refused(&release(&[]), 2, "--seat");
    refused(&release(&["--seat", "9", "--yes"]), 4, "there is no seat 9");
    assert!(all_are(&devnet, true));
    assert_eq!(good(&release(&["--seat", "1", "--yes"])).trim(), "released, and signing: seat 1");
    assert_eq!(height(&devnet), before, "one seat alone decides nothing");
    let told: Value = serde_json::from_str(&good(&release(&["--all", "--yes", "--json"]))).unwrap();
    assert_eq!(told["released"], json!([0, 2, 3, 4]));
    assert!(all_are(&devnet, false));
    let (hash, raw) = sign(&devnet.wallet(0), &Draft::default());
    devnet.rpc.call("eth_sendRawTransaction", json!([raw]));
    assert_eq!(devnet.rpc.receipt(&hash.to_string())["status"], "0x1");
    assert_eq!(good(&release(&["--all", "--yes"])).trim(), "none of them was held back");
    assert!(devnet.interrupt().success());
    let devnet = Devnet::in_folder(folder.path(), &FLAGS);
    assert!(all_are(&devnet, false), "a release outlives a restart");
}

#[test]
fn what_cannot_be_carried_is_refused_in_words() {
    let flags = ["--slot-ms", "100", "--verifiers", "1"];
    let (folder, other, out) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (folder, chain) in [(&folder, "7"), (&other, "8")] {
        let devnet = Devnet::in_folder(folder.path(), &[&flags[..], &["--chain-id", chain]].concat());
        block_above(&devnet, 0, |_| true);
        assert!(devnet.interrupt().success());
    }
    let file = out.path().join("record.json");
    let export = |folder: &TempDir, file: &Path, seat: &str| {
        record(folder, &["export", "--keep", "--seat", seat, "--out", path(file)])
    };
    let text = good(&export(&folder, &file, "1"));
    assert!(text.contains("must not be imported"), "{text}");
    let import =
        |folder: &TempDir, file: &Path, seat: &str| record(folder, &["import", "--seat", seat, path(file)]);
    refused(&import(&other, &file, "1"), 1, "a record of network 7");
    refused(&import(&folder, &file, "0"), 1, "the record of seat 1");
    refused(&import(&folder, &file, "2"), 1, "there is no seat 2: this network has seats 0 to 1");
    refused(&import(&folder, &out.path().join("none"), "1"), 1, "cannot read");
    refused(&import(&out, &file, "1"), 5, "chain-spec.json");
    refused(&export(&folder, &file, "0"), 1, "choose a new file");
    refused(&record(&folder, &["export", "--out", "x"]), 2, "--seat");
    let bad = out.path().join("bad.json");
    let text = fs::read_to_string(&file).unwrap();
    for (content, words) in [
        ("garbage".to_owned(), "no signing record"),
        (text.replacen("\"version\": 1", "\"version\": 9", 1), "has version 9 of the format"),
        (text.replacen("\"floor\": ", "\"floor\": 9", 1), "it was cut or changed"),
    ] {
        fs::write(&bad, content).unwrap();
        refused(&import(&folder, &bad, "1"), 1, words);
    }
    assert!(good(&import(&folder, &file, "1")).contains("held all of it"), "nothing was changed by all that");
    let json = record(&folder, &["import", "--seat", "1", path(&bad), "--json"]);
    let error: Value = serde_json::from_slice(&json.stderr).unwrap();
    assert_eq!(error["code"], 1);
}
