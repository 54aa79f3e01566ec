//! Bad input of every kind: a clear error, and the network goes on.

use std::io::Write;
use std::net::TcpListener;

use alloy_primitives::Bytes;
use serde_json::{Value, json};

use crate::harness::{Devnet, Draft, anfs, closed_pipe, sign};

#[test]
fn bad_transactions_get_the_words_that_tools_know() {
    let devnet = Devnet::start(&["--ephemeral", "--verifiers", "1"]);
    let wallet = devnet.wallet(0);
    let refused = |draft: Draft, words: &str| {
        let error = devnet.rpc.error("eth_sendRawTransaction", json!([sign(&wallet, &draft).1]));
        let text = error["message"].as_str().unwrap();
        assert!(text.contains(words), "{text:?} does not say {words:?}");
        assert_eq!(error["code"], -32000, "{text}");
    };
    refused(Draft { chain_id: 1, ..Draft::default() }, "chain id");
    refused(Draft { gas_limit: 20_999, ..Draft::default() }, "intrinsic gas too low");
    refused(Draft { value: u128::MAX, ..Draft::default() }, "insufficient funds");
    refused(Draft { max_fee: 1, tip: 2, ..Draft::default() }, "priority fee");
    refused(Draft { gas_limit: 1 << 40, ..Draft::default() }, "gas limit");
    refused(Draft { input: Bytes::from(vec![1; 200_000]), ..Draft::default() }, "oversized");

    let (hash, raw) = sign(&wallet, &Draft::default());
    devnet.rpc.call("eth_sendRawTransaction", json!([raw]));
    devnet.rpc.receipt(&hash.to_string());
    refused(Draft::default(), "nonce too low");
    for raw in ["0x", "0x00", "0xc0", "0x03c0", "0xf86b", "nothex", "0xfff"] {
        devnet.rpc.error("eth_sendRawTransaction", json!([raw]));
    }
    // A gap waits, and runs when it is filled.
    let (late, raw) = sign(&wallet, &Draft { nonce: 2, ..Draft::default() });
    devnet.rpc.call("eth_sendRawTransaction", json!([raw]));
    assert_eq!(devnet.rpc.call("txpool_status", json!([]))["queued"], "0x1");
    let (_, raw) = sign(&wallet, &Draft { nonce: 1, ..Draft::default() });
    devnet.rpc.call("eth_sendRawTransaction", json!([raw]));
    assert_eq!(devnet.rpc.receipt(&late.to_string())["status"], "0x1");
}

#[test]
fn bad_requests_do_no_harm() {
    let devnet = Devnet::start(&["--ephemeral", "--verifiers", "1"]);
    let post = |body: &[u8]| devnet.rpc.post(body).expect("the server answers");
    let code = |body: &[u8]| -> Value {
        let (_, bytes) = post(body);
        serde_json::from_slice::<Value>(&bytes).expect("an answer is JSON")["error"]["code"].clone()
    };
    assert_eq!(code(b"{"), -32700);
    assert_eq!(code(b"{}"), -32600);
    assert_eq!(code(br#"{"jsonrpc":"2.0","id":1,"method":"eth_nothing","params":[]}"#), -32601);
    assert_eq!(code(br#"{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":[1]}"#), -32602);
    assert!(code(&b"[".repeat(100_000)).is_i64(), "deep nesting is refused, not recursed into");
    assert_eq!(post(&vec![b' '; 10 * 1024 * 1024]).0, 413);
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]}"#;
    let batch = format!("[{}]", vec![call; 10_000].join(","));
    let (_, answer) = post(batch.as_bytes());
    assert!(String::from_utf8_lossy(&answer).contains("batch"), "an oversize batch is told so");
    assert_eq!(devnet.rpc.quantity("eth_chainId", json!([])), 31337);
}

#[test]
fn bad_flags_and_surroundings_are_named() {
    let run = |args: &[&str]| {
        let output = anfs().args(args).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for (args, word) in [
        (&["devnet", "--verifiers", "3"][..], "verifiers"),
        (&["devnet", "--shards", "17"], "shards"),
        (&["devnet", "--slot-ms", "1"], "slot-ms"),
        (&["devnet", "--ephemeral", "--mnemonic", "not a phrase"], "mnemonic"),
        (&["devnet", "--ephemeral", "--balance", "1000000000"], "supply"),
        (&["devnet", "--ephemeral", "--data-dir", "x"], "--data-dir"),
        (&["nonsense"], "nonsense"),
    ] {
        let (status, words) = run(args);
        assert_eq!(status, Some(2), "{args:?}: {words}");
        assert!(words.contains(word), "{args:?}: {words}");
    }
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (status, words) = run(&["devnet", "--ephemeral", "--port", &port]);
    assert_eq!(status, Some(1), "{words}");
    assert!(words.contains(&port), "{words}");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::File::create(&file).unwrap().write_all(b"not a folder").unwrap();
    let (status, words) = run(&["devnet", "--port", "0", "--data-dir", file.to_str().unwrap()]);
    assert_eq!(status, Some(5), "{words}");
    assert!(words.contains("file"), "{words}");
}

#[test]
fn a_reader_that_goes_away_is_no_fault() {
    for args in [&["--help"][..], &["completions", "bash"], &["sim", "--seed", "3", "--verifiers", "4"]] {
        let output = anfs().args(args).stdout(closed_pipe()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{args:?}");
    }
    // Who went away before the error still gets its exit code.
    for (args, code) in [(&["block", "--rpc-url", "http://127.0.0.1:1"][..], 3), (&["block", "--nothing"], 2)]
    {
        let status = anfs().args(args).stdout(closed_pipe()).stderr(closed_pipe()).status().unwrap();
        assert_eq!(status.code(), Some(code), "{args:?}");
    }
    let devnet = Devnet::unheard(&["--ephemeral", "--verifiers", "1"]);
    let (hash, raw) = sign(&devnet.wallet(0), &Draft::default());
    devnet.rpc.call("eth_sendRawTransaction", json!([raw]));
    assert_eq!(devnet.rpc.receipt(&hash.to_string())["status"], "0x1");
    assert!(devnet.interrupt().success());
}
