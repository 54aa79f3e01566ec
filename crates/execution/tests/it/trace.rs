use alloy_primitives::{Bytes, U256};
use alloy_rpc_types_eth::TransactionRequest;
use alloy_rpc_types_eth::state::EvmOverrides;
use alloy_rpc_types_trace::geth::{GethDebugTracingOptions, GethTrace, TraceResult};
use anfs_execution::simulate::Limits;
use anfs_execution::trace::Tracer;
use anfs_primitives::RecoveredTransaction;
use anfs_state::WorldState;
use serde_json::{Value, json};

use crate::support::*;

const TOKEN: u64 = 100;
const CALLER: u64 = 101;

/// A token, and a contract that hands its call data on to the token.
fn start() -> Tracer<WorldState> {
    start_within(Limits::default())
}

fn start_within(limits: Limits) -> Tracer<WorldState> {
    let mut code = vec![0x36, 0x5f, 0x5f, 0x37, 0x60, 0x20, 0x5f, 0x36, 0x5f, 0x5f, 0x73];
    code.extend_from_slice(user(TOKEN).as_slice());
    code.extend_from_slice(&[0x5a, 0xf1, 0x00]);
    let mut holdings = token(2);
    holdings.storage.insert(token_slot(user(CALLER)), U256::from(50).into());
    let state = world([(user(TOKEN), holdings), (user(CALLER), contract(code))]);
    Tracer::new(env(), state, None, limits).unwrap()
}

fn token_tx(nonce: u64, amount: u64) -> RecoveredTransaction {
    signed(dynamic(nonce, user(TOKEN).into(), U256::ZERO, token_input(user(1), amount), 90_000), user(0))
}

fn nested_tx(nonce: u64) -> RecoveredTransaction {
    signed(dynamic(nonce, user(CALLER).into(), U256::ZERO, token_input(user(1), 20), 90_000), user(0))
}

fn options(value: Value) -> GethDebugTracingOptions {
    serde_json::from_value(value).unwrap()
}

fn traced(tx: &RecoveredTransaction, value: Value) -> Value {
    let (trace, _) = start().trace(tx, &options(value)).unwrap();
    serde_json::to_value(trace).unwrap()
}

#[test]
fn the_struct_logger_lists_every_step() {
    let trace = traced(&token_tx(0, 5), json!({}));
    assert_eq!(trace["failed"], false);
    let steps = trace["structLogs"].as_array().unwrap();
    assert_eq!(steps[0]["op"], "CALLER");
    assert_eq!(steps[0]["depth"], 1);
    assert_eq!(steps.last().unwrap()["op"], "RETURN");
    let lean = traced(&token_tx(0, 5), json!({"disableStack": true, "disableStorage": true}));
    assert!(lean["structLogs"][1].get("stack").is_none_or(Value::is_null));
}

#[test]
fn the_call_tracer_shows_nested_calls_and_their_logs() {
    let trace = traced(&nested_tx(0), json!({"tracer": "callTracer", "tracerConfig": {"withLog": true}}));
    assert_eq!(trace["type"], "CALL");
    assert_eq!(trace["from"], json!(user(0)));
    assert_eq!(trace["to"], json!(user(CALLER)));
    let inner = &trace["calls"][0];
    assert_eq!(inner["from"], json!(user(CALLER)));
    assert_eq!(inner["to"], json!(user(TOKEN)));
    assert_eq!(inner["input"], json!(token_input(user(1), 20)));
    assert_eq!(
        inner["output"],
        json!(U256::ONE.to_be_bytes::<32>().map(|b| format!("{b:02x}")).concat())
            .as_str()
            .map(|hex| json!(format!("0x{hex}")))
            .unwrap()
    );
    assert_eq!(inner["logs"][0]["topics"][0], json!(TRANSFER_TOPIC));
    let top = traced(&nested_tx(0), json!({"tracer": "callTracer", "tracerConfig": {"onlyTopCall": true}}));
    assert!(top.get("calls").is_none());
    let failed = traced(&token_tx(0, 5_000_000), json!({"tracer": "callTracer"}));
    assert_eq!(failed["error"], "execution reverted");
}

#[test]
fn the_prestate_tracer_shows_what_was_and_what_changed() {
    let trace = traced(&token_tx(0, 5), json!({"tracer": "prestateTracer"}));
    let token_at = serde_json::to_value(user(TOKEN)).unwrap();
    let token_at = token_at.as_str().unwrap();
    let slot = token_slot(user(0)).to_string();
    assert_eq!(trace[token_at]["storage"][&slot], json!(alloy_primitives::B256::from(U256::from(1_000_000))));
    let diff =
        traced(&token_tx(0, 5), json!({"tracer": "prestateTracer", "tracerConfig": {"diffMode": true}}));
    assert_eq!(
        diff["post"][token_at]["storage"][&slot],
        json!(alloy_primitives::B256::from(U256::from(999_995)))
    );
    assert_eq!(
        diff["pre"][token_at]["storage"][&slot],
        json!(alloy_primitives::B256::from(U256::from(1_000_000)))
    );
}

#[test]
fn the_small_tracers() {
    let four = traced(&nested_tx(0), json!({"tracer": "4byteTracer"}));
    assert_eq!(four, json!({"0xa9059cbb-64": 2}));
    assert_eq!(traced(&token_tx(0, 5), json!({"tracer": "noopTracer"})), json!({}));
    let flat = traced(&nested_tx(0), json!({"tracer": "flatCallTracer"}));
    assert_eq!(flat.as_array().unwrap().len(), 2);
    assert_eq!(flat[1]["traceAddress"], json!([0]));
    let mux = traced(
        &nested_tx(0),
        json!({"tracer": "muxTracer", "tracerConfig": {"callTracer": {}, "4byteTracer": {}}}),
    );
    assert_eq!(mux["4byteTracer"], four);
    assert_eq!(mux["callTracer"]["calls"][0]["to"], json!(user(TOKEN)));
}

#[test]
fn javascript_is_refused_in_plain_words() {
    let error =
        start().trace(&token_tx(0, 5), &options(json!({"tracer": "{step: function() {}}"}))).unwrap_err();
    assert!(error.to_string().starts_with("JavaScript tracers are not supported"), "{error}");
}

#[test]
fn transactions_are_traced_where_they_stand() {
    let block = [token_tx(0, 600_000), token_tx(1, 600_000)];
    let call_tracer = options(json!({"tracer": "callTracer"}));
    let results = start().trace_all(&block, &call_tracer).unwrap();
    let errors: Vec<bool> = results
        .iter()
        .map(|result| match result {
            TraceResult::Success { result: GethTrace::CallTracer(frame), .. } => frame.error.is_some(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(errors, [false, true], "the second has too little left");
    assert_eq!(results[1].tx_hash(), Some(*block[1].hash()));
    let (alone, _) = start().skip(&block[0]).unwrap().trace(&block[1], &call_tracer).unwrap();
    let TraceResult::Success { result, .. } = &results[1] else { panic!("failed") };
    assert_eq!(&alone, result);
    assert!(start().trace(&block[1], &call_tracer).is_err(), "its nonce is too high there");
}

#[test]
fn calls_are_traced_with_overrides() {
    let request =
        TransactionRequest::default().from(user(400)).to(user(TOKEN)).input(token_input(user(1), 5).into());
    let call_tracer = options(json!({"tracer": "callTracer"}));
    let trace = start().trace_call(&request, &EvmOverrides::default(), &call_tracer).unwrap();
    assert!(matches!(trace, GethTrace::CallTracer(frame) if frame.error.is_some()));
    let rich = [(token_slot(user(400)), U256::from(9).into())];
    let state = alloy_rpc_types_eth::state::StateOverridesBuilder::default()
        .with_state_diff(user(TOKEN), rich)
        .build();
    let trace = start().trace_call(&request, &EvmOverrides::state(Some(state)), &call_tracer).unwrap();
    assert!(matches!(trace, GethTrace::CallTracer(frame) if frame.error.is_none()));
    let _: Bytes = request.input.into_input().unwrap();
}

#[test]
fn traces_are_bounded_in_memory() {
    let trace = |trace_bytes: usize, value: Value| {
        start_within(Limits { trace_bytes, ..Limits::default() }).trace(&token_tx(0, 5), &options(value))
    };
    let error = trace(20_000, json!({})).unwrap_err();
    assert!(error.to_string().contains("20000 bytes") && error.to_string().contains("callTracer"), "{error}");
    // What records less, fits.
    for value in [json!({"limit": 3}), json!({"tracer": "callTracer"}), json!({"tracer": "prestateTracer"})] {
        assert!(trace(20_000, value.clone()).is_ok(), "{value}");
    }
    assert!(trace(500, json!({"tracer": "callTracer"})).is_err());
    assert!(trace(1 << 20, json!({})).is_ok());
}

#[test]
fn the_memory_bound_holds_for_all_transactions_of_a_block_together() {
    let steps = options(json!({}));
    let enough_for_one = 250_000;
    let limits = || Limits { trace_bytes: enough_for_one, ..Limits::default() };
    let one = start_within(limits()).trace_all(&[token_tx(0, 5)], &steps);
    assert!(one.is_ok());
    // Twelve of them are more than one allowance.
    let many: Vec<_> = (0..12).map(|nonce| token_tx(nonce, 1)).collect();
    assert!(start_within(limits()).trace_all(&many, &steps).is_err());
    assert!(start_within(Limits::default()).trace_all(&many, &steps).is_ok());
}
