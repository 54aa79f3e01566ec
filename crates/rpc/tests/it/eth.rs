//! Shapes and errors of `eth_`.

use alloy_primitives::B256;
use serde_json::{Value, json};

use crate::chain::{ALICE, REVERTS, TOKEN, transfer};
use crate::client::Fixture;

#[tokio::test]
async fn a_block_has_every_field_of_the_fork() {
    let fixture = Fixture::new().await;
    let block = fixture.chain.decide(&[transfer(7), transfer(8)]);
    let shown = fixture.ok("eth_getBlockByNumber", json!(["latest", false])).await;
    let expected = json!({
        "number": "0x1",
        "hash": block.header.hash(),
        "parentHash": block.header.parent,
        "mixHash": B256::repeat_byte(0x77),
        "nonce": "0x0000000000000000",
        "difficulty": "0x0",
        "sha3Uncles": "0x1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347",
        "withdrawals": [],
        "withdrawalsRoot": "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421",
        "blobGasUsed": "0x0",
        "excessBlobGas": "0x0",
        "parentBeaconBlockRoot": B256::ZERO,
        "requestsHash": "0xe3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "gasUsed": "0xa410",
        "gasLimit": "0x1c9c380",
        "baseFeePerGas": "0x3b9aca00",
        "timestamp": "0x6553f101",
        "extraData": "0x",
        "size": "0x258",
        "uncles": [],
        "transactions": [transfer(7).hash(), transfer(8).hash()],
    });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&shown[field], value, "{field} in {shown}");
    }
    for field in ["miner", "stateRoot", "transactionsRoot", "receiptsRoot", "logsBloom"] {
        assert!(shown[field].is_string(), "{field}");
    }
    let by_hash = fixture.ok("eth_getBlockByHash", json!([block.header.hash(), false])).await;
    assert_eq!(by_hash, shown);
    for tag in ["safe", "finalized", "0x1"] {
        assert_eq!(fixture.ok("eth_getBlockByNumber", json!([tag, false])).await, shown);
    }
    assert_eq!(fixture.ok("eth_getBlockByNumber", json!(["0x9", false])).await, Value::Null);
    let header = fixture.ok("eth_getHeaderByNumber", json!(["0x1"])).await;
    assert_eq!(header["hash"], shown["hash"]);
}

#[tokio::test]
async fn transactions_and_receipts_agree_with_their_block() {
    let fixture = Fixture::new().await;
    let block = fixture.chain.decide(&[transfer(7), transfer(8)]);
    let hash = *transfer(8).hash();
    let tx = fixture.ok("eth_getTransactionByHash", json!([hash])).await;
    assert_eq!(tx["from"], json!(ALICE));
    assert_eq!(tx["blockHash"], json!(block.header.hash()));
    assert_eq!(
        (&tx["transactionIndex"], &tx["type"], &tx["nonce"]),
        (&json!("0x1"), &json!("0x2"), &json!("0x8"))
    );
    assert_eq!(tx["gasPrice"], "0x77359408");
    let by_index = json!([block.header.hash(), "0x1"]);
    assert_eq!(fixture.ok("eth_getTransactionByBlockHashAndIndex", by_index).await, tx);
    assert_eq!(
        fixture.ok("eth_getTransactionByBlockNumberAndIndex", json!(["0x1", "0x5"])).await,
        Value::Null
    );

    let receipt = fixture.ok("eth_getTransactionReceipt", json!([hash])).await;
    assert_eq!((&receipt["status"], &receipt["type"]), (&json!("0x1"), &json!("0x2")));
    assert_eq!(receipt["cumulativeGasUsed"], "0xa410");
    assert_eq!(receipt["effectiveGasPrice"], "0x77359408");
    assert_eq!(receipt["contractAddress"], Value::Null);
    assert_eq!(receipt["logs"][0]["logIndex"], "0x1");
    assert_eq!(receipt["logs"][0]["transactionHash"], json!(hash));
    assert_eq!(receipt["logs"][0]["removed"], false);
    let all = fixture.ok("eth_getBlockReceipts", json!(["latest"])).await;
    assert_eq!(all[1], receipt);
    let raw = fixture.ok("debug_getRawTransaction", json!([hash])).await;
    assert_eq!(raw, json!(transfer(8).encoded()));
    assert_eq!(fixture.ok("debug_getRawReceipts", json!(["0x1"])).await.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn pending_shows_the_pool() {
    let fixture = Fixture::new().await;
    let raw = transfer(7);
    let hash = fixture.ok("eth_sendRawTransaction", json!([raw.encoded()])).await;
    assert_eq!(hash, json!(raw.hash()));
    let again = fixture.err("eth_sendRawTransaction", json!([raw.encoded()])).await;
    assert_eq!(again, json!({"code": -32000, "message": "already known"}));
    let bad = fixture.err("eth_sendRawTransaction", json!(["0xdeadbeef"])).await;
    assert_eq!(bad["code"], -32000);

    let tx = fixture.ok("eth_getTransactionByHash", json!([hash])).await;
    assert_eq!((&tx["blockHash"], &tx["blockNumber"]), (&Value::Null, &Value::Null));
    let block = fixture.ok("eth_getBlockByNumber", json!(["pending", false])).await;
    assert_eq!(
        (&block["hash"], &block["nonce"], &block["miner"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
    assert_eq!((&block["number"], &block["transactions"][0]), (&json!("0x1"), &hash));
    assert_eq!(fixture.ok("eth_getTransactionCount", json!([ALICE, "pending"])).await, "0x8");
    assert_eq!(fixture.ok("eth_getTransactionCount", json!([ALICE])).await, "0x7");
    assert_eq!(fixture.ok("txpool_status", json!([])).await, json!({"pending": "0x1", "queued": "0x0"}));
    let content = fixture.ok("txpool_content", json!([])).await;
    let sender = content["pending"].as_object().unwrap().keys().next().unwrap().clone();
    assert_eq!(content["pending"][&sender]["7"]["hash"], hash);
    let inspected = fixture.ok("txpool_inspect", json!([])).await;
    let line = inspected["pending"][&sender]["7"].as_str().unwrap().to_lowercase();
    assert_eq!(line, format!("{TOKEN:#x}: 5 wei + 21000 gas × 3000000000 wei"));
    assert_eq!(fixture.ok("eth_getTransactionReceipt", json!([hash])).await, Value::Null);
}

#[tokio::test]
async fn state_is_read_at_the_block_asked_for() {
    let fixture = Fixture::new().await;
    let first = fixture.chain.decide(&[]);
    fixture.chain.decide(&[]);
    assert_eq!(fixture.ok("eth_getBalance", json!([ALICE, "latest"])).await, "0x3e8");
    assert_eq!(fixture.ok("eth_getCode", json!([TOKEN])).await, "0x6001");
    let slot = fixture.ok("eth_getStorageAt", json!([TOKEN, "0x2", "latest"])).await;
    assert_eq!(slot, json!(B256::with_last_byte(2)));
    let proof = fixture.ok("eth_getProof", json!([TOKEN, ["0x2"], "latest"])).await;
    assert_eq!(proof["storageProof"][0]["key"], "0x2");

    let values =
        fixture.ok("eth_getStorageValues", json!([{TOKEN.to_string(): ["0x1", "0x2"]}, "latest"])).await;
    assert_eq!(values.as_object().unwrap().values().next().unwrap()[1], json!(B256::with_last_byte(2)));

    let by_hash = json!([ALICE, {"blockHash": first.header.hash(), "requireCanonical": true}]);
    let pruned = fixture.err("eth_getBalance", by_hash).await;
    assert_eq!(pruned["code"], -32000);
    assert!(pruned["message"].as_str().unwrap().contains("from block 2 on"), "{pruned}");
    let unknown = fixture.err("eth_getBalance", json!([ALICE, {"blockHash": B256::ZERO}])).await;
    assert_eq!(unknown["message"], "header for hash not found");
    let future = fixture.err("eth_getBalance", json!([ALICE, "0x99"])).await;
    assert_eq!(future["message"], "header not found");
    let missing = fixture.err("eth_getBalance", json!([])).await;
    assert_eq!(
        (&missing["code"], &missing["message"]),
        (&json!(-32602), &json!("missing value for required argument 0"))
    );
}

#[tokio::test]
async fn reverts_carry_their_reason_and_data() {
    let fixture = Fixture::new().await;
    assert_eq!(fixture.ok("eth_call", json!([{"to": TOKEN}, "latest"])).await, "0x2a");
    for method in ["eth_call", "eth_estimateGas"] {
        let error = fixture.err(method, json!([{"to": REVERTS}])).await;
        assert_eq!((&error["code"], &error["message"]), (&json!(3), &json!("execution reverted: no funds")));
        assert!(error["data"].as_str().unwrap().starts_with("0x08c379a0"));
    }
    let overrides =
        json!([{"to": TOKEN}, "latest", {TOKEN.to_string(): {"balance": "0x1"}}, {"number": "0x5"}]);
    assert_eq!(fixture.ok("eth_call", overrides).await, "0x2a");
    let empty = fixture.err("eth_simulateV1", json!([{"blockStateCalls": []}])).await;
    assert_eq!(empty["code"], -32602);
    let coded = fixture.err("eth_simulateV1", json!([{"blockStateCalls": [{"calls": []}]}])).await;
    assert_eq!(coded["code"], -38010);
}

#[tokio::test]
async fn fees_follow_recent_blocks() {
    let fixture = Fixture::new().await;
    fixture.chain.decide(&[transfer(7), transfer(8)]);
    assert_eq!(fixture.ok("eth_maxPriorityFeePerGas", json!([])).await, "0x3b9aca07");
    assert_eq!(fixture.ok("eth_gasPrice", json!([])).await, "0x7d2b7507");
    assert_eq!(fixture.ok("eth_blobBaseFee", json!([])).await, "0x1");
    let history = fixture.ok("eth_feeHistory", json!(["0x5", "latest", [0, 100]])).await;
    assert_eq!(history["oldestBlock"], "0x0");
    assert_eq!(history["baseFeePerGas"], json!(["0x3b9aca00", "0x3b9aca00", "0x4190ab00"]));
    assert_eq!(history["reward"], json!([["0x0", "0x0"], ["0x3b9aca07", "0x3b9aca08"]]));
    assert_eq!(history["gasUsedRatio"].as_array().unwrap().len(), 2);
    for bad in [json!(["0x5", "latest", [50, 10]]), json!(["0x5", "latest", [101]])] {
        assert_eq!(fixture.err("eth_feeHistory", bad).await["code"], -32602);
    }
}

#[tokio::test]
async fn unlocked_accounts_sign_and_send() {
    let fixture = Fixture::new().await;
    assert_eq!(fixture.ok("eth_accounts", json!([])).await, json!([ALICE]));
    let hash = fixture.ok("eth_sendTransaction", json!([{"from": ALICE, "to": TOKEN, "value": "0x1"}])).await;
    let tx = fixture.ok("eth_getTransactionByHash", json!([hash])).await;
    assert_eq!((&tx["nonce"], &tx["gas"], &tx["type"]), (&json!("0x7"), &json!("0x5208"), &json!("0x2")));
    let signed =
        fixture.ok("eth_signTransaction", json!([{"from": ALICE, "gasPrice": "0x5", "data": "0x00"}])).await;
    assert_eq!(signed["tx"]["type"], "0x0");
    assert!(signed["raw"].is_string());
    let foreign = fixture.err("eth_sendTransaction", json!([{"from": TOKEN, "to": ALICE}])).await;
    assert!(foreign["message"].as_str().unwrap().starts_with("unknown account"), "{foreign}");
    let signature = fixture.ok("personal_sign", json!(["0x68656c6c6f", ALICE])).await;
    assert_eq!(signature, fixture.ok("eth_sign", json!([ALICE, "0x68656c6c6f"])).await);
    assert_eq!(signature.as_str().unwrap().len(), 2 + 130);
    let typed = json!({
        "types": {"EIP712Domain": [{"name": "name", "type": "string"}], "Mail": [{"name": "text", "type": "string"}]},
        "primaryType": "Mail", "domain": {"name": "x"}, "message": {"text": "hi"},
    });
    let signature = fixture.ok("eth_signTypedData_v4", json!([ALICE, typed])).await;
    assert_eq!(signature, fixture.ok("eth_signTypedData_v4", json!([ALICE, typed.to_string()])).await);
}

#[tokio::test]
async fn logs_are_searched_within_limits() {
    let mut config = crate::client::config();
    (config.logs_blocks_max, config.logs_results_max) = (4, 3);
    let fixture = Fixture::with(config).await;
    let first = fixture.chain.decide(&[transfer(1), transfer(2)]);
    fixture.chain.decide(&[transfer(3), transfer(4)]);
    let second_topic = json!([{"fromBlock": "0x1", "toBlock": "latest", "address": TOKEN, "topics": [null, B256::with_last_byte(2)]}]);
    let found = fixture.ok("eth_getLogs", second_topic).await;
    assert_eq!(found.as_array().unwrap().len(), 2);
    assert_eq!((&found[0]["logIndex"], &found[1]["blockNumber"]), (&json!("0x1"), &json!("0x2")));
    let by_hash = fixture.ok("eth_getLogs", json!([{"blockHash": first.header.hash()}])).await;
    assert_eq!(by_hash.as_array().unwrap().len(), 2);
    assert_eq!(
        fixture.ok("eth_getLogs", json!([{"fromBlock": "0x1", "toBlock": "0x2", "address": ALICE}])).await,
        json!([])
    );
    let many = fixture.err("eth_getLogs", json!([{"fromBlock": "0x1"}])).await;
    assert_eq!(many["code"], -32005);
    for _ in 0..4 {
        fixture.chain.decide(&[]);
    }
    let wide = fixture.err("eth_getLogs", json!([{"fromBlock": "0x0", "toBlock": "0x5"}])).await;
    assert!(wide["message"].as_str().unwrap().contains("max block range 4"), "{wide}");
    let upside_down = fixture.err("eth_getLogs", json!([{"fromBlock": "0x2", "toBlock": "0x1"}])).await;
    assert_eq!(upside_down["code"], -32602);
}

#[tokio::test]
async fn filters_report_news_once_and_expire() {
    let mut config = crate::client::config();
    (config.filters_max, config.filter_expiry_ms) = (3, 1000);
    let fixture = Fixture::with(config).await;
    let blocks = fixture.ok("eth_newBlockFilter", json!([])).await;
    let logs = fixture.ok("eth_newFilter", json!([{"address": TOKEN}])).await;
    let pending = fixture.ok("eth_newPendingTransactionFilter", json!([])).await;
    assert_eq!(fixture.err("eth_newBlockFilter", json!([])).await["code"], -32005);

    let tx = transfer(1);
    fixture.ok("eth_sendRawTransaction", json!([tx.encoded()])).await;
    let block = fixture.chain.decide_pool();
    assert_eq!(fixture.ok("eth_getFilterChanges", json!([pending])).await, json!([tx.hash()]));
    assert_eq!(fixture.ok("eth_getFilterChanges", json!([blocks])).await, json!([block.header.hash()]));
    assert_eq!(fixture.ok("eth_getFilterChanges", json!([logs])).await.as_array().unwrap().len(), 1);
    for id in [&blocks, &logs, &pending] {
        assert_eq!(fixture.ok("eth_getFilterChanges", json!([id])).await, json!([]));
    }
    assert_eq!(fixture.ok("eth_getFilterLogs", json!([logs])).await.as_array().unwrap().len(), 1);
    assert_eq!(fixture.ok("eth_uninstallFilter", json!([pending])).await, true);
    assert_eq!(fixture.ok("eth_uninstallFilter", json!([pending])).await, false);

    fixture.chain.advance_ms(999);
    fixture.ok("eth_getFilterChanges", json!([blocks])).await;
    fixture.chain.advance_ms(1);
    assert_eq!(fixture.err("eth_getFilterChanges", json!([logs])).await["message"], "filter not found");
    fixture.ok("eth_getFilterChanges", json!([blocks])).await;
}

#[tokio::test]
async fn traces_are_handed_through() {
    let fixture = Fixture::new().await;
    fixture.chain.decide(&[transfer(1)]);
    assert_eq!(
        fixture.ok("debug_traceTransaction", json!([transfer(1).hash(), {"tracer": "noopTracer"}])).await,
        json!({})
    );
    assert_eq!(
        fixture.err("debug_traceTransaction", json!([B256::ZERO])).await["message"],
        "transaction not found"
    );
    assert_eq!(fixture.ok("debug_traceBlockByNumber", json!(["latest"])).await[0]["result"], json!({}));
    assert_eq!(
        fixture.err("debug_traceBlockByNumber", json!(["0x0"])).await["message"],
        "genesis is not traceable"
    );
    assert_eq!(
        fixture.err("debug_traceCall", json!([{}, "latest", {"tracer": "nope"}])).await["code"],
        -32602
    );
}
