//! Calls of every served method, with parameters that make each of them answer something.

use std::time::Duration;

use alloy_primitives::hex;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::stream::MaybeTlsStream;
use tokio_tungstenite::tungstenite::{Message, WebSocket, connect};

use super::scene::Scene;
use super::spec::Spec;
use crate::harness::{Draft, sign};

/// There is nothing else that these could answer.
const NULL_ALLOWED: &[&str] = &["eth_getUncleByBlockHashAndIndex", "eth_getUncleByBlockNumberAndIndex"];

/// Calls and records one method; its result, or null when it failed.
fn call(scene: &Scene<'_>, spec: &mut Spec, method: &str, params: &Value) -> Value {
    let outcome = scene.rpc.try_call(method, params.clone()).expect("the devnet lives");
    spec.record(method, params.as_array().expect("parameters are an array"), &outcome);
    let result = outcome.unwrap_or_default();
    if result.is_null() && !NULL_ALLOWED.contains(&method) {
        spec.faults.push(format!("{method} {params} answers nothing"));
    }
    result
}

/// Calls everything that is served over HTTP.
pub(super) fn make(scene: &Scene<'_>, spec: &mut Spec) {
    for (method, params) in plain(scene).into_iter().chain(executed(scene)).chain(traced(scene)) {
        call(scene, spec, method, &params);
    }
    for receipt in &scene.kinds {
        let hash = &receipt["transactionHash"];
        let place = json!([receipt["blockNumber"], receipt["transactionIndex"]]);
        let in_block = json!([receipt["blockHash"], receipt["transactionIndex"]]);
        let shown = call(scene, spec, "eth_getTransactionByHash", &json!([hash]));
        for (method, params) in [
            ("eth_getTransactionByBlockNumberAndIndex", &place),
            ("eth_getTransactionByBlockHashAndIndex", &in_block),
        ] {
            assert_eq!(call(scene, spec, method, params), shown);
        }
        let raw = call(scene, spec, "eth_getRawTransactionByHash", &json!([hash]));
        for (method, params) in [
            ("eth_getRawTransactionByBlockNumberAndIndex", place),
            ("eth_getRawTransactionByBlockHashAndIndex", in_block),
            ("debug_getRawTransaction", json!([hash])),
        ] {
            assert_eq!(call(scene, spec, method, &params), raw);
        }
        assert_eq!(&call(scene, spec, "eth_getTransactionReceipt", &json!([hash])), receipt);
    }
    for block in ["latest", "pending", "earliest", "safe", "finalized"] {
        for full in [true, false] {
            let shown = scene.rpc.call("eth_getBlockByNumber", json!([block, full]));
            if block == "pending" {
                pending_block(spec, shown);
            } else {
                spec.record("eth_getBlockByNumber", &[json!(block), json!(full)], &Ok(shown));
            }
        }
    }
    if !scene.rpc.call("eth_getHeaderByNumber", json!(["pending"])).is_null() {
        spec.faults.push("eth_getHeaderByNumber answers something for the pending block".to_owned());
    }
    submit(scene, spec);
    filters(scene, spec);
}

/// Reads of the chain, of accounts and of the pool.
fn plain<'a>(scene: &Scene<'_>) -> Vec<(&'a str, Value)> {
    let Scene { alice, contract, logged, .. } = scene;
    let (number, hash) = (&logged["blockNumber"], &logged["blockHash"]);
    let slot = format!("0x{}", "00".repeat(32));
    let message = hex::encode_prefixed("hello");
    let typed = json!({
        "types": {
            "EIP712Domain": [{"name": "name", "type": "string"}],
            "Note": [{"name": "text", "type": "string"}]
        },
        "primaryType": "Note", "domain": {"name": "compat"}, "message": {"text": "hello"}
    });
    vec![
        ("anfs_getCertificate", json!([number])),
        ("anfs_getSequence", json!([number])),
        ("anfs_getSequenceProof", json!([logged["transactionHash"]])),
        ("anfs_getShardHeader", json!([number])),
        ("anfs_getSlices", json!([number])),
        ("anfs_status", json!([])),
        ("anfs_view", json!([])),
        ("devnet_seats", json!([])),
        ("devnet_stopSeat", json!([2])),
        ("devnet_startSeat", json!([2])),
        ("devnet_releaseSeat", json!([2])),
        ("devnet_cut", json!([[2]])),
        ("devnet_heal", json!([])),
        ("debug_getRawReceipts", json!([number])),
        ("eth_accounts", json!([])),
        ("eth_baseFee", json!([])),
        ("eth_blobBaseFee", json!([])),
        ("eth_blockNumber", json!([])),
        ("eth_chainId", json!([])),
        ("eth_feeHistory", json!(["0x4", number, [10, 50.5, 90]])),
        ("eth_feeHistory", json!(["0x4", "latest", []])),
        ("eth_gasPrice", json!([])),
        ("eth_getBalance", json!([alice, number])),
        ("eth_getBalance", json!([alice, hash])),
        ("eth_getBlockByHash", json!([hash, true])),
        ("eth_getBlockByHash", json!([hash, false])),
        ("eth_getBlockReceipts", json!([number])),
        ("eth_getBlockReceipts", json!([hash])),
        ("eth_getBlockTransactionCountByHash", json!([hash])),
        ("eth_getBlockTransactionCountByNumber", json!([number])),
        ("eth_getCode", json!([contract, "latest"])),
        ("eth_getHeaderByHash", json!([hash])),
        ("eth_getHeaderByNumber", json!([number])),
        ("eth_getLogs", json!([{"fromBlock": "0x0", "toBlock": "latest", "address": contract}])),
        ("eth_getLogs", json!([{"blockHash": hash, "topics": [[format!("{:#066x}", 7)]]}])),
        ("eth_getProof", json!([contract, [slot, "0x1"], "latest"])),
        ("eth_getProof", json!(["0x00000000000000000000000000000000000000aa", ["0x0"], "latest"])),
        ("eth_getStorageAt", json!([contract, "0x0", "latest"])),
        ("eth_getStorageValues", json!([{contract: [slot, "0x1"]}, "latest"])),
        ("eth_getTransactionCount", json!([alice, "pending"])),
        ("eth_getUncleByBlockHashAndIndex", json!([hash, "0x0"])),
        ("eth_getUncleByBlockNumberAndIndex", json!([number, "0x0"])),
        ("eth_getUncleCountByBlockHash", json!([hash])),
        ("eth_getUncleCountByBlockNumber", json!([number])),
        ("eth_maxPriorityFeePerGas", json!([])),
        ("eth_sign", json!([alice, message])),
        ("eth_signTypedData_v4", json!([alice, typed])),
        ("eth_syncing", json!([])),
        ("net_listening", json!([])),
        ("net_peerCount", json!([])),
        ("net_version", json!([])),
        ("personal_sign", json!([message, alice])),
        ("rpc_modules", json!([])),
        ("txpool_content", json!([])),
        ("txpool_contentFrom", json!([alice])),
        ("txpool_inspect", json!([])),
        ("txpool_status", json!([])),
        ("web3_clientVersion", json!([])),
        ("web3_sha3", json!([message])),
    ]
}

/// Executions without consequences, and signatures of transactions.
fn executed<'a>(scene: &Scene<'_>) -> Vec<(&'a str, Value)> {
    let Scene { alice, bob, contract, creation, reverting, .. } = scene;
    let works = json!({"from": alice, "to": contract});
    let reverts = json!({"from": alice, "to": contract, "input": reverting});
    let override_balance = json!({alice: {"balance": "0x1000"}});
    vec![
        ("eth_call", json!([works, "latest"])),
        ("eth_call", json!([works, "pending", override_balance, {"number": "0x99"}])),
        ("eth_estimateGas", json!([works, "latest"])),
        ("eth_estimateGas", json!([{"from": alice, "input": creation}])),
        ("eth_createAccessList", json!([works, "latest"])),
        ("eth_createAccessList", json!([reverts, "latest"])),
        (
            "eth_simulateV1",
            json!([{"blockStateCalls": [{"calls": [works, reverts]}, {"calls": [{"from": alice, "to": bob, "value": "0x1"}]}],
                "traceTransfers": true}, "latest"]),
        ),
        (
            "eth_simulateV1",
            json!([{"blockStateCalls": [{"calls": [works]}], "returnFullTransactions": true, "validation": false}, "latest"]),
        ),
        ("eth_signTransaction", json!([{"from": alice, "to": bob, "value": "0x1"}])),
        ("eth_signTransaction", json!([{"from": alice, "to": bob, "gasPrice": "0x77359400"}])),
    ]
}

/// Traces by the struct logger and by `callTracer`, of what worked and of what reverted.
fn traced<'a>(scene: &Scene<'_>) -> Vec<(&'a str, Value)> {
    let Scene { alice, contract, creation, logged, reverted, .. } = scene;
    let call_tracer = json!({"tracer": "callTracer", "tracerConfig": {"withLog": true}});
    let everything = json!({"enableMemory": true, "enableReturnData": true});
    let works = json!({"from": alice, "to": contract});
    let mut calls = vec![
        ("debug_traceCall", json!([works, "latest"])),
        ("debug_traceCall", json!([works, "latest", call_tracer])),
        ("debug_traceCall", json!([{"from": alice, "input": creation}, "pending", everything])),
    ];
    for receipt in [logged, reverted] {
        for options in [json!({}), everything.clone(), call_tracer.clone(), json!({"limit": 3})] {
            calls.push(("debug_traceTransaction", json!([receipt["transactionHash"], options])));
            calls.push(("debug_traceBlockByHash", json!([receipt["blockHash"], options])));
            calls.push(("debug_traceBlockByNumber", json!([receipt["blockNumber"], options])));
        }
    }
    calls
}

/// The pending block has no hash, nonce and beneficiary yet; all else has the shape of a block.
fn pending_block(spec: &mut Spec, mut block: Value) {
    for (field, digits) in [("hash", 64), ("nonce", 16), ("miner", 40)] {
        assert!(block[field].is_null(), "{field} of the pending block");
        block[field] = json!(format!("0x{}", "0".repeat(digits)));
    }
    for tx in block["transactions"].as_array_mut().into_iter().flatten().filter(|tx| tx.is_object()) {
        spec.check_named("a transaction of the pending block", "PendingTransactionInfo", tx);
        *tx = tx["hash"].clone();
    }
    spec.check_named("the pending block", "Block", &block);
}

/// The three ways to send a transaction.
fn submit(scene: &Scene<'_>, spec: &mut Spec) {
    let Scene { devnet, alice, bob, .. } = scene;
    let draft = |nonce| sign(&devnet.wallet(0), &Draft { nonce, ..Draft::default() }).1;
    let sent = call(scene, spec, "eth_sendRawTransaction", &json!([draft(1)]));
    scene.rpc.receipt(sent.as_str().expect("a hash is a string"));
    call(scene, spec, "eth_sendRawTransactionSync", &json!([draft(2), 20_000]));
    let sent = call(scene, spec, "eth_sendTransaction", &json!([{"from": alice, "to": bob, "value": "0x1"}]));
    scene.rpc.receipt(sent.as_str().expect("a hash is a string"));
}

/// One filter of each kind, with something to find.
fn filters(scene: &Scene<'_>, spec: &mut Spec) {
    let Scene { alice, contract, .. } = scene;
    let logs = call(scene, spec, "eth_newFilter", &json!([{"fromBlock": "0x0", "address": contract}]));
    let blocks = call(scene, spec, "eth_newBlockFilter", &json!([]));
    let pending = call(scene, spec, "eth_newPendingTransactionFilter", &json!([]));
    let sent = scene.rpc.call("eth_sendTransaction", json!([{"from": alice, "to": contract}]));
    scene.rpc.receipt(sent.as_str().expect("a hash is a string"));
    for id in [&logs, &blocks, &pending] {
        let found = call(scene, spec, "eth_getFilterChanges", &json!([id]));
        assert!(found.as_array().is_some_and(|found| !found.is_empty()), "filter {id} found nothing");
    }
    let all = call(scene, spec, "eth_getFilterLogs", &json!([logs]));
    assert_eq!(all.as_array().map(Vec::len), Some(2 + 1), "{all}");
    assert_eq!(call(scene, spec, "eth_uninstallFilter", &json!([logs])), true);
}

/// A JSON-RPC client over WebSocket.
struct Socket(WebSocket<MaybeTlsStream<std::net::TcpStream>>);

impl Socket {
    fn connect(scene: &Scene<'_>) -> Self {
        let (socket, _) =
            connect(scene.rpc.url.replacen("http", "ws", 1)).expect("the port speaks WebSocket too");
        if let MaybeTlsStream::Plain(stream) = socket.get_ref() {
            stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a time-out is a time-out");
        }
        Self(socket)
    }

    fn next(&mut self) -> Value {
        loop {
            if let Message::Text(text) = self.0.read().expect("a message comes") {
                return serde_json::from_str(&text).expect("messages are JSON");
            }
        }
    }

    /// Calls and records; notifications that come before the answer are passed over.
    fn call(&mut self, spec: &mut Spec, method: &str, params: &Value) -> Value {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        self.0.send(Message::Text(request.to_string().into())).expect("the connection is open");
        let answer = loop {
            let message = self.next();
            if message.get("id").is_some() {
                break message;
            }
        };
        let outcome =
            answer.get("error").map_or_else(|| Ok(answer["result"].clone()), |error| Err(error.clone()));
        spec.record(method, params.as_array().expect("parameters are an array"), &outcome);
        outcome.unwrap_or_default()
    }
}

/// Subscriptions of each kind, and the news that they bring.
pub(super) fn subscribe(scene: &Scene<'_>, spec: &mut Spec) {
    let mut socket = Socket::connect(scene);
    let mut awaited: Vec<(Value, &str)> = [
        (json!(["newHeads"]), "NewHeadsNotification"),
        (json!(["logs", {"address": scene.contract}]), "LogsNotification"),
        (json!(["newPendingTransactions"]), "NewPendingTransactionsNotification"),
        (json!(["newPendingTransactions", true]), "NewPendingTransactionsNotification"),
    ]
    .map(|(params, shape)| (socket.call(spec, "eth_subscribe", &params), shape))
    .into();
    let heads = awaited[0].0.clone();
    scene.rpc.call("eth_sendTransaction", json!([{"from": scene.alice, "to": scene.contract}]));
    while !awaited.is_empty() {
        let news = socket.next();
        if let Some(at) = awaited.iter().position(|(id, _)| *id == news["params"]["subscription"]) {
            let (_, shape) = awaited.swap_remove(at);
            spec.check_named("a notification", shape, &news);
        }
    }
    assert_eq!(socket.call(spec, "eth_unsubscribe", &json!([heads])), true);
}
