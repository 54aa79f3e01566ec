//! Limits and manners of the HTTP side.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use anfs_rpc::{RpcConfig, RpcServer, RpcServerError};

use crate::chain::transfer;
use crate::client::{Fixture, body_of, config, read_all, status};

fn error(body: &str) -> (i64, String) {
    let answer: Value = serde_json::from_str(body).unwrap();
    assert_eq!(answer["id"], Value::Null, "{answer}");
    (answer["error"]["code"].as_i64().unwrap(), answer["error"]["message"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn batches_are_answered_in_order_and_bounded() {
    let fixture = Fixture::new().await;
    let batch = json!([
        {"jsonrpc": "2.0", "id": "a", "method": "eth_chainId"},
        {"jsonrpc": "2.0", "method": "eth_chainId"},
        5,
        {"jsonrpc": "2.0", "id": 2, "method": "eth_nothing"},
    ]);
    let (status, body) = fixture.post(&batch.to_string()).await;
    assert_eq!(status, 200);
    let answers: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&answers[0]["id"], &answers[0]["result"]), (&json!("a"), &json!("0x7a69")));
    assert_eq!((&answers[1]["id"], &answers[1]["error"]["code"]), (&Value::Null, &json!(-32600)));
    assert_eq!((&answers[2]["id"], &answers[2]["error"]["code"]), (&json!(2), &json!(-32601)));
    assert_eq!(answers.as_array().unwrap().len(), 3);

    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId"});
    let (_, body) = fixture.post(&Value::from(vec![call.clone(); 1000]).to_string()).await;
    assert_eq!(serde_json::from_str::<Vec<Value>>(&body).unwrap().len(), 1000);
    let (_, body) = fixture.post(&Value::from(vec![call; 10_000]).to_string()).await;
    let (code, message) = error(&body);
    assert_eq!(code, -32600);
    assert!(message.contains("10000 calls, the limit is 1000"), "{message}");
    assert_eq!(error(&fixture.post("[]").await.1), (-32600, "empty batch".to_owned()));
    let notification = r#"{"jsonrpc":"2.0","method":"eth_chainId"}"#;
    assert_eq!(fixture.post(notification).await, (204, String::new()));
}

#[tokio::test]
async fn malformed_and_nested_json_is_refused() {
    let fixture = Fixture::new().await;
    for bad in ["", "nonsense", "{", r#"{"id":1,"method":"eth_chainId""#, "\"text\"", "[1,"] {
        assert_eq!(error(&fixture.post(bad).await.1).0, -32700, "{bad}");
    }
    let deep =
        format!(r#"{{"id":1,"method":"eth_call","params":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    let (code, message) = error(&fixture.post(&deep).await.1);
    assert!(code == -32600 && message.contains("the limit is 64"), "{message}");
    assert_eq!(fixture.ok("eth_chainId", json!([])).await, "0x7a69");
}

#[tokio::test]
async fn oversize_bodies_get_413_however_they_are_sent() {
    let fixture = Fixture::new().await;
    let (code, body) = fixture.post(&" ".repeat(10 * 1024 * 1024)).await;
    assert_eq!(code, 413);
    assert!(error(&body).1.contains("the limit is 5242880 bytes"));
    let chunk = format!("{:x}\r\n{}\r\n", 1 << 20, " ".repeat(1 << 20));
    let head = "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    let answer = fixture.raw(&format!("{head}{}0\r\n\r\n", chunk.repeat(6))).await;
    assert_eq!(status(&answer), 413, "{answer}");
}

#[tokio::test]
async fn large_answers_are_refused_one_by_one() {
    let fixture = Fixture::with(RpcConfig { response_bytes_max: 2048, ..config() }).await;
    fixture.chain.decide(&(0..40).map(transfer).collect::<Vec<_>>());
    let full =
        json!({"jsonrpc": "2.0", "id": 7, "method": "eth_getBlockByNumber", "params": ["latest", true]});
    let answer: Value = serde_json::from_str(&fixture.post(&full.to_string()).await.1).unwrap();
    assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!(7), &json!(-32003)));
    let small = json!({"jsonrpc": "2.0", "id": 8, "method": "eth_chainId"});
    let answers: Value =
        serde_json::from_str(&fixture.post(&json!([small, full]).to_string()).await.1).unwrap();
    assert_eq!((&answers[0]["result"], &answers[1]["error"]["code"]), (&json!("0x7a69"), &json!(-32003)));
}

#[tokio::test]
async fn other_requests_are_told_what_to_do() {
    let fixture = Fixture::new().await;
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    assert_eq!(status(&fixture.raw(&get("/healthz")).await), 200);
    let waiting = fixture.raw(&get("/readyz")).await;
    assert_eq!((status(&waiting), body_of(&waiting)), (503, "not ready: the first block\n"));
    fixture.chain.decide(&[]);
    assert_eq!(status(&fixture.raw(&get("/readyz")).await), 200);
    assert_eq!(body_of(&fixture.raw(&get("/metrics")).await), "anfs_height 1\n");
    assert_eq!(status(&fixture.raw(&get("/")).await), 405);
    assert_eq!(status(&fixture.raw(&get("/other")).await), 404);
    let text = "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\n{}";
    assert_eq!(status(&fixture.raw(text).await), 415);
    let preflight = "OPTIONS / HTTP/1.1\r\nhost: x\r\nconnection: close\r\norigin: http://a\r\n\
        access-control-request-method: POST\r\naccess-control-request-headers: content-type\r\n\r\n";
    let answer = fixture.raw(preflight).await.to_lowercase();
    assert!(status(&answer) == 200 && answer.contains("access-control-allow-origin: *"), "{answer}");
}

#[tokio::test]
async fn slow_heads_and_bodies_are_cut_off() {
    let fixture = Fixture::with(RpcConfig { header_timeout_ms: 50, body_timeout_ms: 50, ..config() }).await;
    let mut head = fixture.connect().await;
    head.write_all(b"POST / HTTP/1.1\r\nhost: ").await.unwrap();
    // The server ends the connection by itself; nothing more is ever sent.
    let answer = read_all(&mut head).await;
    assert!(answer.is_empty() || status(&answer) == 408, "{answer}");
    let slow = "POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{";
    assert_eq!(status(&fixture.raw(slow).await), 408);
}

#[tokio::test]
async fn idle_connections_outlive_slow_heads() {
    let fixture = Fixture::with(RpcConfig { header_timeout_ms: 50, ..config() }).await;
    let body = r#"{"id":1,"method":"eth_chainId"}"#;
    let request = format!(
        "POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut idle = fixture.connect().await;
    idle.write_all(request.as_bytes()).await.unwrap();
    assert!(idle.read(&mut [0; 4096]).await.unwrap() > 0);
    // A client that begins later and never ends its head is cut off, and then another one: so the first has
    // been idle for longer than a head may take.
    for _ in 0..2 {
        let mut slow = fixture.connect().await;
        slow.write_all(b"POST / HT").await.unwrap();
        read_all(&mut slow).await;
    }
    idle.write_all(request.as_bytes()).await.unwrap();
    let mut answer = [0; 4096];
    let len = idle.read(&mut answer).await.unwrap();
    assert_eq!(status(&String::from_utf8_lossy(&answer[..len])), 200);
    // The limit holds for later heads as well.
    idle.write_all(b"POST / HT").await.unwrap();
    assert!(read_all(&mut idle).await.is_empty());
}

#[tokio::test]
async fn websockets_are_not_timed_as_heads() {
    let fixture = Fixture::with(RpcConfig { header_timeout_ms: 50, ..config() }).await;
    let mut socket = fixture.websocket().await;
    assert_eq!(socket.call("eth_chainId", json!([])).await["result"], "0x7a69");
    for _ in 0..2 {
        let mut slow = fixture.connect().await;
        slow.write_all(b"POST / HT").await.unwrap();
        read_all(&mut slow).await;
    }
    assert_eq!(socket.call("eth_chainId", json!([])).await["result"], "0x7a69");
}

#[tokio::test]
async fn surplus_connections_are_turned_away() {
    let fixture = Fixture::with(RpcConfig { connections_max: 1, ..config() }).await;
    let mut first = fixture.connect().await;
    let request = "POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 35\r\n\r\n{\"id\":1,\"method\":\"eth_chainId\"}    ";
    first.write_all(request.as_bytes()).await.unwrap();
    assert!(first.read(&mut [0; 64]).await.unwrap() > 0);
    let mut second = fixture.connect().await;
    assert_eq!(status(&read_all(&mut second).await), 503);
}

#[tokio::test]
async fn a_busy_port_and_bad_limits_are_explained() {
    let fixture = Fixture::new().await;
    let taken = RpcConfig { listen: fixture.server.address(), ..config() };
    let error = RpcServer::start(taken, fixture.chain.backend()).await.unwrap_err();
    assert!(
        matches!(&error, RpcServerError::Bind { .. }) && error.to_string().contains("another port"),
        "{error}"
    );
    let bad = RpcConfig { batch_calls_max: 0, ..config() };
    let error = RpcServer::start(bad, fixture.chain.backend()).await.unwrap_err();
    assert_eq!(error.to_string(), "rpc.batch_calls_max must be at least 1");
}

#[tokio::test]
async fn send_sync_waits_for_the_receipt_or_the_timeout() {
    let fixture = Fixture::new().await;
    let (tx, chain) = (transfer(7), &fixture.chain);
    let send = fixture.ok("eth_sendRawTransactionSync", json!([tx.encoded()]));
    let decide = async {
        while chain.pooled() == 0 {
            tokio::task::yield_now().await;
        }
        chain.decide(&[]);
        chain.decide_pool();
    };
    let (receipt, ()) = tokio::join!(send, decide);
    assert_eq!((&receipt["transactionHash"], &receipt["blockNumber"]), (&json!(tx.hash()), &json!("0x2")));
    let late = transfer(8);
    let error = fixture.err("eth_sendRawTransactionSync", json!([late.encoded(), 1])).await;
    assert_eq!((&error["code"], &error["data"]), (&json!(4), &json!(late.hash())));
}
