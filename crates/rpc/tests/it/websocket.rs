//! Subscriptions, and clients that do not read.

use serde_json::{Value, json};

use anfs_rpc::RpcConfig;

use crate::chain::{ALICE, BROADCAST, TOKEN, transfer};
use crate::client::{Fixture, config};

#[tokio::test]
async fn every_kind_of_news_arrives() {
    let fixture = Fixture::new().await;
    let mut socket = fixture.websocket().await;
    let heads = socket.subscribe(json!(["newHeads"])).await;
    let logs = socket.subscribe(json!(["logs", {"address": TOKEN}])).await;
    let silent = socket.subscribe(json!(["logs", {"address": ALICE}])).await;
    let hashes = socket.subscribe(json!(["newPendingTransactions"])).await;
    let full = socket.subscribe(json!(["newPendingTransactions", true])).await;

    let tx = transfer(7);
    fixture.ok("eth_sendRawTransaction", json!([tx.encoded()])).await;
    let block = fixture.chain.decide_pool();
    let mut news = std::collections::BTreeMap::new();
    for _ in 0..4 {
        let message = socket.next().await.unwrap();
        assert_eq!(message["method"], "eth_subscription");
        let id = message["params"]["subscription"].as_str().unwrap().to_owned();
        news.insert(id, message["params"]["result"].clone());
    }
    let of = |id: &Value| &news[id.as_str().unwrap()];
    assert_eq!((&of(&heads)["number"], &of(&heads)["hash"]), (&json!("0x1"), &json!(block.header.hash())));
    assert_eq!(of(&logs)["transactionHash"], json!(tx.hash()));
    assert_eq!(of(&hashes), &json!(tx.hash()));
    assert_eq!(of(&full)["from"], json!(ALICE));
    assert!(!news.contains_key(silent.as_str().unwrap()));

    assert_eq!(socket.call("eth_unsubscribe", json!([heads])).await["result"], true);
    let again = socket.call("eth_unsubscribe", json!([heads])).await;
    assert_eq!(again["error"]["message"], "subscription not found");
    fixture.chain.decide(&[]);
    assert_eq!(socket.call("eth_blockNumber", json!([])).await["result"], "0x2");
    let unknown = socket.call("eth_subscribe", json!(["weather"])).await;
    assert_eq!(unknown["error"]["message"], "no \"weather\" subscription in eth namespace");
}

#[tokio::test]
async fn batches_and_faults_are_answered_on_the_socket() {
    let fixture = Fixture::new().await;
    let mut socket = fixture.websocket().await;
    let batch = json!([
        {"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["newHeads"]},
        {"jsonrpc": "2.0", "id": 2, "method": "eth_chainId"},
    ]);
    socket.send(batch.to_string()).await;
    let answers = socket.next().await.unwrap();
    assert_eq!(answers[1]["result"], "0x7a69");
    fixture.chain.decide(&[]);
    assert_eq!(socket.next().await.unwrap()["params"]["subscription"], answers[0]["result"]);
    socket.send("{".to_owned()).await;
    assert_eq!(socket.next().await.unwrap()["error"]["code"], -32700);
}

#[tokio::test]
async fn subscriptions_are_bounded_and_end_with_their_connection() {
    let fixture = Fixture::with(RpcConfig { connection_subscriptions_max: 2, ..config() }).await;
    let mut socket = fixture.websocket().await;
    socket.subscribe(json!(["newHeads"])).await;
    socket.subscribe(json!(["newHeads"])).await;
    assert_eq!(socket.call("eth_subscribe", json!(["newHeads"])).await["error"]["code"], -32005);
    assert_eq!(fixture.chain.head_listeners(), 2);
    drop(socket);
    while fixture.chain.head_listeners() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_subscriber_that_falls_behind_is_told_and_dropped() {
    let fixture = Fixture::new().await;
    let mut socket = fixture.websocket().await;
    socket.subscribe(json!(["newHeads"])).await;
    // One thread runs all of this: nothing is taken from the channel between these calls.
    for _ in 0..BROADCAST * 2 {
        fixture.chain.decide(&[]);
    }
    let reason = loop {
        if let Err(reason) = socket.next().await {
            break reason;
        }
    };
    assert!(reason.starts_with("subscriber too slow"), "{reason}");
}

#[tokio::test]
async fn a_client_that_never_reads_is_dropped() {
    let config = RpcConfig { connection_queue_max: 4, write_timeout_ms: 50, ..config() };
    let fixture = Fixture::with(config).await;
    let mut socket = fixture.websocket().await;
    socket.subscribe(json!(["logs", {"address": TOKEN}])).await;
    let block: Vec<_> = (0..200).map(transfer).collect();
    // The client's side of the socket fills up and is never emptied: the server has to give up by itself.
    while fixture.chain.head_listeners() > 0 {
        fixture.chain.decide(&block);
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn oversize_messages_close_the_connection() {
    let fixture = Fixture::with(RpcConfig { request_bytes_max: 2048, ..config() }).await;
    let mut socket = fixture.websocket().await;
    socket.send(" ".repeat(4096)).await;
    assert!(socket.next().await.is_err());
    assert_eq!(fixture.ok("eth_chainId", json!([])).await, "0x7a69");
}

#[tokio::test]
async fn stopping_says_goodbye() {
    let fixture = Fixture::new().await;
    let mut socket = fixture.websocket().await;
    socket.subscribe(json!(["newHeads"])).await;
    fixture.server.stop().await;
    assert_eq!(socket.next().await.unwrap_err(), "the node is stopping");
}
