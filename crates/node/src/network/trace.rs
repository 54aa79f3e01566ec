//! Traces of transactions that ran in several shards: what ran elsewhere is put where a tracer's shape has a place for it.
//!
//! spec: Network N12

use alloy_primitives::U256;
use alloy_rpc_types_trace::geth::{CallFrame, GethDebugTracingOptions, GethTrace};
use anfs_execution::trace::ArrivalTrace;
use anfs_primitives::{CrossCall, MessageBody};
use anfs_rpc::BackendError;

use super::NetworkBackend;
use super::block::arrival;
use super::completion::Way;

/// Calls elsewhere that one request follows: each is another block to execute up to it.
const LEGS_MAX: usize = 32;

impl NetworkBackend {
    /// A transaction's trace at home with those of its calls elsewhere, in the order in which they ran.
    pub(super) fn with_legs(
        &self,
        mut trace: GethTrace,
        way: &Way,
        options: &GethDebugTracingOptions,
    ) -> Result<GethTrace, BackendError> {
        if !has_place(&trace) || only_top_call(options) {
            return Ok(trace);
        }
        let mut calls = Vec::new();
        for spot in &way.arrivals {
            let body = self.look(spot, |_, shard| Some(arrival(shard, spot)?.message.body.clone()))?;
            match body {
                MessageBody::Call(call) => calls.push((spot, Some(call))),
                MessageBody::Result(_) => calls.push((spot, None)),
                MessageBody::Credit { .. } | MessageBody::Route { .. } => {}
            }
        }
        if calls.len() > LEGS_MAX {
            return Err(BackendError::LimitExceeded(format!(
                "the transaction ran on in {} calls in other shards, and at most {LEGS_MAX} are traced: \
                 anfs_getTransactionLegs lists them",
                calls.len()
            )));
        }
        for (spot, call) in calls {
            let Some(shard) = self.view.domains.reader(spot.domain) else { continue };
            let leg = match shard.trace_arrival(spot.height, spot.index, options)? {
                ArrivalTrace::Ran(leg) => *leg,
                ArrivalTrace::Refused(why) => match call {
                    Some(call) => GethTrace::CallTracer(turned_away(&call, &why.to_string())),
                    None => continue,
                },
                ArrivalTrace::Settled => continue,
            };
            join(&mut trace, leg);
        }
        Ok(trace)
    }
}

/// Whether a trace of this shape has a place for calls elsewhere. Steps, and states before and after, are of one domain.
fn has_place(trace: &GethTrace) -> bool {
    match trace {
        GethTrace::CallTracer(_) | GethTrace::FlatCallTracer(_) | GethTrace::FourByteTracer(_) => true,
        GethTrace::MuxTracer(traces) => traces.0.values().any(has_place),
        _ => false,
    }
}

fn only_top_call(options: &GethDebugTracingOptions) -> bool {
    options.tracer_config.0.get("onlyTopCall").and_then(serde_json::Value::as_bool).unwrap_or(false)
}

/// A call that was not run where it arrived.
fn turned_away(call: &CrossCall, why: &str) -> CallFrame {
    CallFrame {
        from: call.sender,
        to: Some(call.recipient),
        gas: U256::from(call.gas_limit),
        input: call.data.to_vec().into(),
        value: Some(call.value),
        error: Some(why.to_owned()),
        typ: "CALL".to_owned(),
        ..CallFrame::default()
    }
}

/// Puts the trace of a call elsewhere below that of the transaction, as its last call.
fn join(whole: &mut GethTrace, leg: GethTrace) {
    match (whole, leg) {
        (GethTrace::CallTracer(top), GethTrace::CallTracer(leg)) => top.calls.push(leg),
        (GethTrace::FlatCallTracer(whole), GethTrace::FlatCallTracer(leg)) => {
            let Some(top) = whole.first_mut() else { return };
            let place = top.trace.subtraces;
            top.trace.subtraces += 1;
            let position = top.transaction_position;
            whole.extend(leg.into_iter().map(|mut call| {
                call.trace.trace_address.insert(0, place);
                call.transaction_position = position;
                call
            }));
        }
        (GethTrace::FourByteTracer(whole), GethTrace::FourByteTracer(leg)) => {
            for (selector, count) in leg.0 {
                *whole.0.entry(selector).or_default() += count;
            }
        }
        (GethTrace::MuxTracer(whole), GethTrace::MuxTracer(leg)) => {
            for (tracer, leg) in leg.0 {
                if let Some(whole) = whole.0.get_mut(&tracer) {
                    join(whole, leg);
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn joined(whole: Value, leg: Value, read: impl Fn(Value) -> GethTrace) -> Value {
        let mut trace = read(whole);
        join(&mut trace, read(leg));
        serde_json::to_value(trace).unwrap()
    }

    fn call(mark: u8) -> Value {
        json!({ "type": "CALL", "from": format!("0x{}", format!("{mark:02x}").repeat(20)), "input": "0x" })
    }

    #[test]
    fn calls_elsewhere_come_after_those_at_home() {
        let mut top = call(1);
        top["calls"] = json!([call(2)]);
        let read = |value| GethTrace::CallTracer(serde_json::from_value(value).unwrap());
        let whole = joined(top, call(3), read);
        let from = |at: usize| whole["calls"][at]["from"].as_str().unwrap()[..4].to_owned();
        assert_eq!((from(0), from(1)), ("0x02".to_owned(), "0x03".to_owned()));
    }

    #[test]
    fn flat_calls_elsewhere_are_numbered_on() {
        let flat = |address: Value, subtraces: u64, position: Value| {
            json!({
                "action": { "callType": "call", "from": format!("0x{}", "11".repeat(20)), "gas": "0x0", "input": "0x",
                            "to": format!("0x{}", "22".repeat(20)), "value": "0x0" },
                "type": "call", "traceAddress": address, "subtraces": subtraces, "transactionPosition": position,
            })
        };
        let home = json!([flat(json!([]), 1, json!(4)), flat(json!([0]), 0, json!(4))]);
        let leg = json!([flat(json!([]), 1, json!(null)), flat(json!([0]), 0, json!(null))]);
        let read = |value| GethTrace::FlatCallTracer(serde_json::from_value(value).unwrap());
        let whole = joined(home, leg, read);
        let addresses: Vec<&Value> =
            whole.as_array().unwrap().iter().map(|call| &call["traceAddress"]).collect();
        assert_eq!(addresses, [&json!([]), &json!([0]), &json!([1]), &json!([1, 0])]);
        assert_eq!((&whole[0]["subtraces"], &whole[3]["transactionPosition"]), (&json!(2), &json!(4)));
    }

    #[test]
    fn selectors_add_up_alone_and_beside_others() {
        let counts = json!({ "0x27dc297e-128": 1, "0x38cc4831-0": 2 });
        let read = |value| GethTrace::FourByteTracer(serde_json::from_value(value).unwrap());
        let sum = json!({ "0x27dc297e-128": 2, "0x38cc4831-0": 4 });
        assert_eq!(joined(counts.clone(), counts.clone(), read), sum);
        let mux = json!({ "4byteTracer": counts, "callTracer": call(1), "prestateTracer": {} });
        let read = |value| GethTrace::MuxTracer(serde_json::from_value(value).unwrap());
        let whole = joined(mux.clone(), mux, read);
        assert_eq!(whole["4byteTracer"], sum);
        assert_eq!(whole["callTracer"]["calls"].as_array().unwrap().len(), 1);
    }
}
