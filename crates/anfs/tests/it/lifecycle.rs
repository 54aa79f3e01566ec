//! Starting, stopping, starting again.

use serde_json::json;

use crate::harness::{Devnet, Draft, anfs, sign};

#[test]
fn a_transfer_survives_a_clean_stop_and_a_start() {
    let folder = tempfile::tempdir().unwrap();
    let devnet = Devnet::in_folder(folder.path(), &[]);
    let (hash, raw) = sign(&devnet.wallet(0), &Draft::default());
    devnet.rpc.call("eth_sendRawTransaction", json!([raw]));
    let before = devnet.rpc.receipt(&hash.to_string());
    assert_eq!(before["status"], "0x1");
    assert!(devnet.interrupt().success());

    let devnet = Devnet::in_folder(folder.path(), &[]);
    let after = devnet.rpc.call("eth_getTransactionReceipt", json!([hash]));
    assert_eq!(after, before);
    let balance = json!([format!("0x{}", "77".repeat(20)), "latest"]);
    assert_eq!(devnet.rpc.call("eth_getBalance", balance), "0x1");
}

#[test]
fn every_number_of_verifiers_works() {
    for verifiers in ["1", "4", "7", "10"] {
        let devnet = Devnet::start(&["--ephemeral", "--verifiers", verifiers]);
        let (hash, raw) = sign(&devnet.wallet(0), &Draft::default());
        devnet.rpc.call("eth_sendRawTransaction", json!([raw]));
        assert_eq!(devnet.rpc.receipt(&hash.to_string())["status"], "0x1", "{verifiers} verifiers");
        let number = devnet.rpc.receipt(&hash.to_string())["blockNumber"].clone();
        let certificate = devnet.rpc.call("anfs_getCertificate", json!([number]));
        assert!(!certificate.is_null(), "{verifiers} verifiers");
    }
}

#[test]
fn a_second_start_on_the_same_folder_says_who_holds_it() {
    let folder = tempfile::tempdir().unwrap();
    let devnet = Devnet::in_folder(folder.path(), &[]);
    let dir = folder.path().to_str().unwrap();
    let second = anfs().args(["devnet", "--port", "0", "--data-dir", dir]).output().unwrap();
    let words = String::from_utf8(second.stderr).unwrap();
    assert_eq!(second.status.code(), Some(5), "{words}");
    assert!(words.contains(&devnet.pid().to_string()), "{words}");

    let reset = anfs().args(["devnet", "--port", "0", "--reset", "--data-dir", dir]).output().unwrap();
    assert_eq!(reset.status.code(), Some(5), "a network in use is not removed");
    assert!(devnet.rpc.quantity("eth_chainId", json!([])) == 31337);
}

#[test]
fn other_settings_on_the_same_folder_are_refused_and_reset_starts_anew() {
    let folder = tempfile::tempdir().unwrap();
    let devnet = Devnet::in_folder(folder.path(), &["--verifiers", "1"]);
    assert!(devnet.interrupt().success());
    let dir = folder.path().to_str().unwrap();
    let other =
        anfs().args(["devnet", "--port", "0", "--verifiers", "4", "--data-dir", dir]).output().unwrap();
    let words = String::from_utf8(other.stderr).unwrap();
    assert_eq!(other.status.code(), Some(5), "{words}");
    assert!(words.contains("--verifiers") && words.contains("--reset"), "{words}");
    let devnet = Devnet::in_folder(folder.path(), &["--verifiers", "4", "--reset"]);
    assert_eq!(devnet.description["verifiers"], 4);
}

#[test]
fn it_stops_even_with_clients_connected() {
    let devnet = Devnet::start(&["--ephemeral"]);
    let dir = devnet.description["data_dir"].as_str().unwrap().to_owned();
    devnet.rpc.call("eth_blockNumber", json!([]));
    // The client's connection is kept alive: were the process to wait for it, this would never return.
    assert!(devnet.interrupt().success());
    assert!(!std::path::Path::new(&dir).exists(), "an ephemeral network leaves nothing behind");
}
