//! `anfs_`, `net_`, `web3_`, `rpc_`, and what is refused.

use serde_json::{Value, json};

use crate::chain::{CHAIN_ID, transfer};
use crate::client::Fixture;

#[tokio::test]
async fn the_shard_is_shown() {
    let fixture = Fixture::new().await;
    let block = fixture.chain.decide(&[transfer(1)]);
    let header = fixture.ok("anfs_getShardHeader", json!(["latest"])).await;
    assert_eq!((&header["hash"], &header["height"]), (&json!(block.header.hash()), &json!(1)));
    assert!(header["encoded"].is_string() && header["pohEnd"].is_string());
    let slices = fixture.ok("anfs_getSlices", json!([])).await;
    assert_eq!((slices.as_array().unwrap().len(), &slices[3]["checkers"]), (4, &json!([0, 2])));
    assert_eq!(fixture.ok("anfs_getCertificate", json!(["0x1"])).await, Value::Null);
    assert_eq!(fixture.ok("anfs_getSequenceProof", json!([transfer(1).hash()])).await, Value::Null);
    assert_eq!(fixture.ok("anfs_getSequence", json!(["0x1", "0x0", "0x5"])).await["entryCount"], 0);
    assert_eq!(fixture.ok("anfs_status", json!([])).await["certifiedHeight"], 1);
    let view = fixture.ok("anfs_view", json!([])).await;
    assert_eq!((&view["acting"], &view["lastChange"]["reason"]), (&json!(4), &json!("test")));
    for (method, params) in [("devnet_seats", json!([])), ("devnet_stopSeat", json!([0]))] {
        let error = fixture.err(method, params).await;
        assert_eq!(error["code"], -32601);
        assert!(error["message"].as_str().unwrap().contains("anfs devnet"), "{method}: {error}");
    }
}

#[tokio::test]
async fn the_small_namespaces_answer() {
    let fixture = Fixture::new().await;
    assert_eq!(fixture.ok("eth_chainId", json!([])).await, "0x7a69");
    assert_eq!(fixture.ok("net_version", Value::Null).await, CHAIN_ID.to_string());
    assert_eq!(fixture.ok("net_listening", json!([])).await, true);
    assert_eq!(fixture.ok("net_peerCount", json!([])).await, "0x4");
    assert_eq!(fixture.ok("eth_syncing", json!([])).await, false);
    assert!(fixture.ok("web3_clientVersion", json!([])).await.as_str().unwrap().starts_with("anfs/"));
    let hash = fixture.ok("web3_sha3", json!(["0x"])).await;
    assert_eq!(hash, "0xc5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470");
    assert_eq!(fixture.ok("rpc_modules", json!([])).await["eth"], "1.0");
}

#[tokio::test]
async fn refusals_say_why() {
    let fixture = Fixture::new().await;
    for method in anfs_rpc::METHODS {
        let Some(reason) = method.refusal() else { continue };
        let error = fixture.err(method.name, json!([])).await;
        assert_eq!(error["code"], -32601, "{}", method.name);
        assert!(error["message"].as_str().unwrap().ends_with(reason));
    }
    let engine = fixture.err("engine_forkchoiceUpdatedV3", json!([])).await;
    assert!(engine["message"].as_str().unwrap().contains("runs consensus itself"));
    let unknown = fixture.err("eth_nothing", json!([])).await;
    assert_eq!(unknown["message"], "the method eth_nothing does not exist/is not available");
    let over_http = fixture.err("eth_subscribe", json!(["newHeads"])).await;
    assert_eq!(over_http["code"], -32601);
}

/// Whatever the parameters, every method answers with a result or a proper error and the server lives on.
#[tokio::test]
async fn no_method_falls_over_bad_parameters() {
    let fixture = Fixture::new().await;
    fixture.chain.decide(&[transfer(1)]);
    let mut calls = Vec::new();
    for method in anfs_rpc::METHODS {
        for params in [
            json!([]),
            json!([{}]),
            json!(["x", "y", "z"]),
            json!([null, null]),
            json!({"a": 1}),
            json!("s"),
            json!([1, 2, 3, 4, 5, 6]),
        ] {
            calls.push(json!({"jsonrpc": "2.0", "id": calls.len(), "method": method.name, "params": params}));
        }
    }
    let (status, body) = fixture.post(&Value::from(calls.clone()).to_string()).await;
    assert_eq!(status, 200);
    let answers: Vec<Value> = serde_json::from_str(&body).unwrap();
    assert_eq!(answers.len(), calls.len());
    for (answer, call) in answers.iter().zip(&calls) {
        assert_eq!(answer["id"], call["id"]);
        assert_ne!(answer["error"]["code"], -32603, "{call} gave {answer}");
        assert!(answer.get("result").is_some() != answer.get("error").is_some());
    }
}
