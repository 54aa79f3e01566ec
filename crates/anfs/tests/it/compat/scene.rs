//! A network on which something has happened: transactions of every kind, a contract with storage and logs, a
//! revert, and a transaction that waits in the pool.

use alloy_primitives::{U256, hex};
use serde_json::{Value, json};

use crate::harness::{Devnet, Draft, Rpc, parse_quantity, sign};

/// Without call data: stores 42 in slot 0, logs it under topic 7, returns it. With: reverts with the data.
const RUNTIME: [u8; 37] = hex!("36601a57602a600055602a600052600760206000a160206000f35b366000600037366000fd");
/// Copies the runtime, which follows, and returns it.
const INIT: [u8; 12] = hex!("6025600c60003960256000f3");

pub(super) struct Scene<'a> {
    pub(super) devnet: &'a Devnet,
    pub(super) rpc: &'a Rpc,
    pub(super) alice: String,
    pub(super) bob: String,
    pub(super) contract: String,
    /// Creation code of the contract.
    pub(super) creation: String,
    /// Call data on which the contract reverts with the reason "no funds".
    pub(super) reverting: String,
    /// A decided transfer in its encoding.
    pub(super) raw: String,
    /// Receipts of decided transactions, one of each kind.
    pub(super) kinds: Vec<Value>,
    /// Receipt of the call that stored and logged.
    pub(super) logged: Value,
    /// Receipt of the call that reverted.
    pub(super) reverted: Value,
}

impl<'a> Scene<'a> {
    pub(super) fn prepare(devnet: &'a Devnet) -> Self {
        let rpc = &devnet.rpc;
        let accounts = rpc.call("eth_accounts", json!([]));
        let account = |index: usize| accounts[index].as_str().expect("a devnet has accounts").to_owned();
        let (alice, bob, carol) = (account(1), account(2), account(3));
        let send = |tx: Value| {
            let hash = rpc.call("eth_sendTransaction", json!([tx]));
            rpc.receipt(hash.as_str().expect("a hash is a string"))
        };
        let creation = hex::encode_prefixed([INIT.as_slice(), &RUNTIME].concat());
        let deployed = send(json!({"from": alice, "input": creation}));
        let contract = deployed["contractAddress"].as_str().expect("the deployment succeeded").to_owned();
        let logged = send(json!({"from": alice, "to": contract}));
        assert_eq!(logged["logs"].as_array().map(Vec::len), Some(1), "{logged}");
        let reverting = revert_data("no funds");
        let reverted = send(json!({"from": alice, "to": contract, "input": reverting, "gas": "0x186a0"}));
        assert_eq!(reverted["status"], "0x0", "{reverted}");

        let price = rpc.call("eth_gasPrice", json!([]));
        let entry = json!([{"address": contract, "storageKeys": [format!("0x{}", "00".repeat(32))]}]);
        let authorization = json!([{
            "chainId": "0x7a69", "address": contract, "nonce": "0x0", "yParity": "0x0", "r": "0x1", "s": "0x1"
        }]);
        let mut kinds = vec![
            send(json!({"from": alice, "to": bob, "value": "0x1", "gasPrice": price})),
            send(json!({"from": alice, "to": contract, "gasPrice": price, "accessList": entry})),
            send(json!({"from": alice, "to": bob, "value": "0x1"})),
            send(json!({"from": alice, "to": bob, "authorizationList": authorization})),
        ];
        for (receipt, kind) in kinds.iter().zip(["0x0", "0x1", "0x2", "0x4"]) {
            assert_eq!((&receipt["type"], &receipt["status"]), (&json!(kind), &json!("0x1")), "{receipt}");
        }
        kinds.push(deployed);
        let (hash, raw) = sign(&devnet.wallet(0), &Draft::default());
        rpc.call("eth_sendRawTransaction", json!([raw]));
        rpc.receipt(&hash.to_string());
        // A gap in the nonces keeps this one in the pool.
        let nonce = parse_quantity(&rpc.call("eth_getTransactionCount", json!([carol, "pending"]))) + 5;
        let waiting = json!({"from": carol, "to": bob, "nonce": format!("{nonce:#x}"), "gas": "0x5208"});
        rpc.call("eth_sendTransaction", json!([waiting]));
        Self { devnet, rpc, alice, bob, contract, creation, reverting, raw, kinds, logged, reverted }
    }
}

/// `Error(string)` as Solidity encodes it.
fn revert_data(reason: &str) -> String {
    let mut data = hex!("08c379a0").to_vec();
    data.extend(U256::from(32).to_be_bytes::<32>());
    data.extend(U256::from(reason.len()).to_be_bytes::<32>());
    data.extend(reason.as_bytes());
    data.resize(100, 0);
    hex::encode_prefixed(data)
}
