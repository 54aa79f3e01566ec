//! The root's own contracts, called from the shards of a network: seats, what they earn, and how they are paid.

use alloy_dyn_abi::{DynSolValue, FunctionExt, JsonAbiExt};
use alloy_json_abi::{Function, JsonAbi};
use alloy_primitives::{Address, Bytes, U256, address, hex};
use serde_json::{Value, json};

use crate::harness::{Devnet, Draft, Rpc, parse_quantity, sign};

const SEATS: Address = address!("0000000000000000000000000000000000000a00");
pub(crate) const REWARDS: Address = address!("0000000000000000000000000000000000000a01");
const NETWORK: [&str; 6] = ["--shards", "2", "--verifiers", "1", "--slot-ms", "100"];

/// A function of a system contract, as its committed artifact tells of it.
fn function(name: &str) -> Function {
    let artifacts = [
        include_str!("../../../../contracts/artifacts/Seats.json"),
        include_str!("../../../../contracts/artifacts/Rewards.json"),
    ];
    let abi = |text: &str| -> JsonAbi {
        let artifact: Value = serde_json::from_str(text).expect("an artifact is JSON");
        serde_json::from_value(artifact["abi"].clone()).expect("with an ABI")
    };
    let found = artifacts.iter().find_map(|text| abi(text).function(name)?.first().cloned());
    found.expect("a function of the system contracts")
}

fn place((domain, seat): (u32, u16)) -> Vec<DynSolValue> {
    vec![DynSolValue::Uint(U256::from(domain), 32), DynSolValue::Uint(U256::from(seat), 16)]
}

fn input(name: &str, arguments: &[DynSolValue]) -> Bytes {
    function(name).abi_encode_input(arguments).expect("the function takes these").into()
}

/// Asks a contract at a block.
fn ask_at(
    rpc: &Rpc,
    contract: Address,
    name: &str,
    arguments: &[DynSolValue],
    at: &Value,
) -> Vec<DynSolValue> {
    let output = rpc.call("eth_call", json!([{ "to": contract, "input": input(name, arguments) }, at]));
    let output = hex::decode(output.as_str().expect("hex")).expect("hex");
    function(name).abi_decode_output(&output).expect("what the ABI says")
}

fn number(answer: &[DynSolValue]) -> U256 {
    answer[0].as_uint().expect("a number").0
}

pub(crate) fn pending(rpc: &Rpc, seat: (u32, u16), at: &Value) -> U256 {
    number(&ask_at(rpc, REWARDS, "pending", &place(seat), at))
}

fn balance(rpc: &Rpc, of: Address, at: &Value) -> U256 {
    rpc.call("eth_getBalance", json!([of, at])).as_str().expect("hex").parse().expect("a quantity")
}

/// The newest block, as a parameter.
fn head(rpc: &Rpc) -> Value {
    rpc.call("eth_blockNumber", json!([]))
}

/// The account of a seat, and its stake.
fn share(rpc: &Rpc, seat: (u32, u16)) -> (Address, U256) {
    let answer = ask_at(rpc, SEATS, "shareOf", &place(seat), &json!("latest"));
    (answer[0].as_address().expect("an account"), answer[1].as_uint().expect("a stake").0)
}

/// Waits for something by asking again and again; the number of asks is bounded.
pub(crate) fn wait(what: &str, done: impl Fn() -> bool) {
    assert!((0..20_000).any(|_| done()), "{what} did not happen");
}

/// All coins, by what the network says of them: none is lost or made but by issuance.
fn check_supply(rpc: &Rpc, genesis: U256) {
    let report = rpc.call("anfs_domains", json!([]));
    let number = |value: &Value| -> U256 { value.as_str().expect("hex").parse().expect("a quantity") };
    let part = |name: &str| number(&report["supply"][name]);
    assert_eq!(part("held") + part("inFlight") + part("burned"), genesis + part("issued"), "{report}");
    let shards = report["domains"].as_array().expect("a list").iter();
    let held: U256 = shards.chain([&report["root"]]).map(|domain| number(&domain["held"])).sum();
    assert_eq!(held, part("held"), "{report}");
}

/// Has a seat paid by whoever asks for it; the receipt of that.
pub(crate) fn claim(devnet: &Devnet, wallet: usize, nonce: u64, seat: (u32, u16)) -> (String, Value) {
    let input = input("claim", &place(seat));
    let draft = Draft { nonce, to: REWARDS, value: 0, gas_limit: 300_000, input, ..Draft::default() };
    let (hash, raw) = sign(&devnet.wallet(wallet), &draft);
    devnet.rpc.call("eth_sendRawTransaction", json!([raw]));
    (hash.to_string(), devnet.rpc.receipt(&hash.to_string()))
}

fn genesis_coins(rpc: &Rpc) -> U256 {
    balance_of_all(rpc, &json!("0x0"))
}

fn balance_of_all(rpc: &Rpc, at: &Value) -> U256 {
    let accounts = rpc.call("eth_accounts", json!([]));
    let accounts = accounts.as_array().expect("a list").iter();
    accounts
        .map(|account| balance(rpc, account.as_str().expect("hex").parse().expect("an address"), at))
        .sum()
}

#[test]
fn seats_earn_what_is_issued_and_are_paid_wherever_their_accounts_live() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let devnet = Devnet::in_folder(folder.path(), &NETWORK);
    let rpc = &devnet.rpc;
    let genesis = genesis_coins(rpc);
    let latest = json!("latest");
    assert_eq!(number(&ask_at(rpc, SEATS, "count", &[], &latest)), U256::from(4));
    assert!(rpc.call("eth_getCode", json!([REWARDS, "latest"])).as_str().expect("hex").len() > 100);
    let seats = [(1, 0), (1, 1), (2, 0), (2, 1)];
    wait("issuance", || !pending(rpc, (2, 1), &latest).is_zero());
    let at = head(rpc);
    let issued = number(&ask_at(rpc, REWARDS, "issued", &[], &at));
    assert_eq!(balance(rpc, REWARDS, &at), issued, "it is there until somebody claims it");
    // By stake, and all of it but for less than a wei a seat.
    let [first, last] = [seats[0], seats[3]].map(|seat| pending(rpc, seat, &at) / (share(rpc, seat).1 >> 32));
    assert_eq!(first, last);
    let all: U256 = seats.iter().map(|seat| pending(rpc, *seat, &at)).sum();
    assert!(all <= issued && issued - all <= U256::from(4), "{all} of {issued}");

    let mut paid = U256::ZERO;
    for (nonce, seat) in (0..).zip(seats) {
        let (account, _) = share(rpc, seat);
        let before = balance(rpc, account, &latest);
        let (hash, receipt) = claim(&devnet, 0, nonce, seat);
        assert_eq!(receipt["status"], "0x1", "{receipt}");
        let log = &receipt["logs"][0];
        assert_eq!(log["address"].as_str().expect("hex").parse::<Address>().expect("an address"), REWARDS);
        let amount = U256::from_str_radix(&log["data"].as_str().expect("hex")[2..], 16).expect("an amount");
        assert!(balance(rpc, account, &receipt["blockNumber"]) >= before + amount, "with its tips");
        paid += amount;
        let legs = rpc.call("anfs_getTransactionLegs", json!([hash]));
        let through = |leg: &Value| leg["domain"] == json!(0) && leg["kind"] == json!("call");
        assert!(legs["legs"].as_array().expect("a list").iter().any(through), "{legs}");
        let logs = rpc.call("eth_getLogs", json!([{ "address": REWARDS, "fromBlock": "0x0" }]));
        assert_eq!(logs.as_array().expect("a list").len() as u64, nonce + 1);
    }
    assert_eq!(number(&ask_at(rpc, REWARDS, "paid", &[], &latest)), paid);
    check_supply(rpc, genesis);

    // A power cut, and everything stands.
    let issued = || number(&ask_at(rpc, REWARDS, "issued", &[], &latest));
    let before = issued();
    devnet.kill();
    let devnet = Devnet::in_folder(folder.path(), &NETWORK);
    let rpc = &devnet.rpc;
    let at = head(rpc);
    let [issued, still_paid] = ["issued", "paid"].map(|name| number(&ask_at(rpc, REWARDS, name, &[], &at)));
    assert!(issued >= before, "{issued} after {before}");
    assert_eq!((still_paid, balance(rpc, REWARDS, &at)), (paid, issued - paid));
    check_supply(rpc, genesis);
    wait("issuance after the restart", || number(&ask_at(rpc, REWARDS, "issued", &[], &latest)) > issued);
    let (_, receipt) = claim(&devnet, 0, 4, (1, 1));
    assert_eq!(receipt["status"], "0x1", "{receipt}");
    check_supply(rpc, genesis);
}

#[test]
fn nobody_else_can_have_the_root_do_what_only_the_protocol_may() {
    let devnet = Devnet::start(&[&["--ephemeral"], NETWORK.as_slice()].concat());
    let rpc = &devnet.rpc;
    let distribute = input("distribute", &[DynSolValue::Uint(U256::from(1), 256)]);
    let call = json!({ "to": REWARDS, "input": distribute });
    rpc.error("eth_call", json!([call, "latest"]));
    rpc.error("eth_estimateGas", json!([call]));
    let draft = Draft { to: REWARDS, value: 7, gas_limit: 200_000, input: distribute, ..Draft::default() };
    let sender = devnet.wallet(1);
    let before = balance(rpc, sender.address(), &json!("latest"));
    let (hash, raw) = sign(&sender, &draft);
    rpc.call("eth_sendRawTransaction", json!([raw]));
    let receipt = rpc.receipt(&hash.to_string());
    assert_eq!(receipt["status"], "0x0", "{receipt}");
    let gas = parse_quantity(&receipt["gasUsed"]);
    assert!(gas < 200_000);
    let most = U256::from(gas) * U256::from(draft.max_fee);
    assert!(balance(rpc, sender.address(), &receipt["blockNumber"]) >= before - most, "its value came back");
    let estimate = json!({ "from": sender.address(), "to": SEATS, "input": input("count", &[]) });
    assert!(rpc.quantity("eth_estimateGas", json!([estimate])) > 21_000);
}
