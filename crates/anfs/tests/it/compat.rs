//! Every method of ethereum/execution-apis, served or refused: results against their schemas, refusals with
//! their reasons, and the table of both that the documentation shows.

mod calls;
mod scene;
mod schema;
mod spec;
mod table;

use anfs_rpc::METHODS;
use serde_json::{Value, json};

use crate::harness::Devnet;
use scene::Scene;
use spec::{Spec, refusal};

/// What only a network of several shards can answer.
const OF_SEVERAL_SHARDS: [&str; 7] = [
    "anfs_domains",
    "anfs_getFinality",
    "anfs_getLightProof",
    "anfs_getMessage",
    "anfs_getRootHeader",
    "anfs_getRoute",
    "anfs_getTransactionLegs",
];

#[test]
fn every_served_method_answers_in_the_shape_of_its_schema() {
    let devnet = Devnet::start(&["--ephemeral"]);
    let scene = Scene::prepare(&devnet);
    let mut spec = Spec::load();
    calls::make(&scene, &mut spec);
    calls::subscribe(&scene, &mut spec);
    let here = |name: &str| !OF_SEVERAL_SHARDS.contains(&name);
    for method in METHODS.iter().filter(|method| method.refusal().is_none() && here(method.name)) {
        assert!(spec.was_called(method.name), "{} is served, but this test does not call it", method.name);
    }
    assert!(spec.faults.is_empty(), "{}", spec.faults.join("\n"));
}

#[test]
fn every_method_is_served_or_refused_with_a_reason() {
    let devnet = Devnet::start(&["--ephemeral", "--verifiers", "1"]);
    let spec = Spec::load();
    let known = METHODS.iter().map(|method| method.name).chain(spec.names());
    let mut refused = 0;
    for name in known.filter(|name| !spec::served(name)) {
        let reason = refusal(name).unwrap_or_else(|| {
            panic!("{name} is neither served nor refused with a reason: add it to METHODS of crates/rpc")
        });
        let error = devnet.rpc.error(name, json!([]));
        assert_eq!(error["code"], -32601, "{name}: {error}");
        assert!(error["message"].as_str().is_some_and(|words| words.contains(reason)), "{name}: {error}");
        refused += 1;
    }
    assert!(refused > 30, "the list was read");
}

#[test]
fn the_documented_table_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/use/methods.md");
    let table = table::render(&Spec::load());
    if std::env::var_os("ANFS_UPDATE_DOCS").is_some_and(|value| value == "1") {
        std::fs::write(path, &table).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == table,
        "docs/use/methods.md differs from the tables in the code: run \
         `ANFS_UPDATE_DOCS=1 cargo test --release -p anfs --test it compat` and commit the file"
    );
}

/// A case of an error: method, parameters, code, and what its message begins with.
type Fault<'a> = (&'a str, Value, i64, &'a str);

#[test]
fn errors_have_the_codes_and_words_that_clients_look_for() {
    let devnet = Devnet::start(&["--ephemeral", "--verifiers", "1"]);
    let scene = Scene::prepare(&devnet);
    let (alice, contract) = (&scene.alice, &scene.contract);
    let nobody = "0x00000000000000000000000000000000000000aa";
    let rich = "0xffffffffffffffffffffffffffffff";
    let zero = format!("0x{}", "00".repeat(32));
    let spent = json!({"from": alice, "to": alice, "nonce": "0x0", "gas": "0x5208"});
    let faults: Vec<Fault<'_>> = vec![
        (
            "eth_call",
            json!([{"to": contract, "input": scene.reverting}, "latest"]),
            3,
            "execution reverted: no",
        ),
        ("eth_estimateGas", json!([{"to": contract, "input": scene.reverting}]), 3, "execution reverted: no"),
        ("eth_call", json!([{"to": contract, "input": "0xdeadbeef"}, "latest"]), 3, "execution reverted"),
        ("eth_sendTransaction", json!([spent]), -32000, "nonce too low"),
        ("eth_sendTransaction", json!([{"from": nobody, "to": alice}]), -32000, "unknown account"),
        (
            "eth_sendTransaction",
            json!([{"from": alice, "to": alice, "value": rich, "gas": "0x5208"}]),
            -32000,
            "insufficient funds for gas * price + value",
        ),
        (
            "eth_sendTransaction",
            json!([{"from": alice, "to": alice, "gas": "0x5207"}]),
            -32000,
            "intrinsic gas too low",
        ),
        (
            "eth_sendTransaction",
            json!([{"from": alice, "to": alice, "chainId": "0x1"}]),
            -32602,
            "chainId does not match node's",
        ),
        (
            "eth_estimateGas",
            json!([{"from": nobody, "to": alice, "value": "0x1"}]),
            -32000,
            "insufficient funds for",
        ),
        ("eth_sendRawTransaction", json!(["0x"]), -32000, "typed transaction too short"),
        ("eth_sendRawTransaction", json!(["0x05c0"]), -32000, "transaction type not supported"),
        ("eth_sendRawTransaction", json!(["0x02c0"]), -32000, "rlp: input too short"),
        ("eth_sendRawTransaction", json!([scene.raw]), -32000, "nonce too low"),
        ("eth_getBalance", json!([alice, "0xffffff"]), -32000, "header not found"),
        ("eth_getBalance", json!([alice, {"blockHash": zero}]), -32000, "header for hash not found"),
        ("eth_call", json!([{"to": contract}, "0xffffff"]), -32000, "header not found"),
        ("eth_getBalance", json!([]), -32602, "missing value for required argument 0"),
        ("eth_getBalance", json!(["0x12"]), -32602, "invalid argument 0: "),
        ("eth_getBalance", json!([alice, "latest", 1]), -32602, "too many arguments, want at most 2"),
        ("eth_getBlockByNumber", json!(["0x1g", false]), -32602, "invalid argument 0: "),
        ("eth_getFilterChanges", json!(["0x1"]), -32000, "filter not found"),
        ("eth_getFilterLogs", json!(["0x1"]), -32000, "filter not found"),
        ("eth_getLogs", json!([{"fromBlock": "0x2", "toBlock": "0x1"}]), -32602, "invalid block range"),
        ("eth_getLogs", json!([{"blockHash": zero}]), -32000, "unknown block"),
        ("eth_feeHistory", json!(["0x1", "0xffffff", []]), -32000, "request beyond head block"),
        ("eth_subscribe", json!(["newHeads"]), -32601, "notifications not supported"),
        ("debug_traceTransaction", json!([zero]), -32000, "transaction not found"),
        ("debug_traceBlockByNumber", json!(["0x0"]), -32000, "genesis is not traceable"),
        ("debug_traceBlockByHash", json!([zero]), -32000, "block"),
        ("debug_traceCall", json!([{"to": contract}, "latest", {"tracer": "{}"}]), -32602, ""),
        ("eth_simulateV1", json!([{"blockStateCalls": []}, "latest"]), -32602, "empty input"),
        ("eth_nonsense", json!([]), -32601, "the method eth_nonsense does not exist/is not available"),
    ];
    for (method, params, code, words) in faults {
        let error = devnet.rpc.error(method, params.clone());
        let message = error["message"].as_str().unwrap_or_default();
        assert!(error["code"] == code && message.starts_with(words), "{method} {params}: {error}");
    }
    let revert = devnet.rpc.error("eth_call", json!([{"to": contract, "input": scene.reverting}, "latest"]));
    assert_eq!(revert["data"], scene.reverting, "the data of a revert comes back");
    for method in ["eth_getTransactionByHash", "eth_getTransactionReceipt"] {
        assert!(devnet.rpc.call(method, json!([zero])).is_null(), "{method}");
    }
    assert!(devnet.rpc.call("eth_getBlockByNumber", json!(["0xffffff", false])).is_null());
    assert!(devnet.rpc.call("eth_getBlockReceipts", json!(["0xffffff"])).is_null());
}
