//! `anfs call`: asks a contract without a transaction.

use alloy_primitives::Bytes;
use serde_json::json;

use crate::abi;
use crate::cli::CallArgs;
use crate::client::Client;
use crate::exit::CommandError;
use crate::keystores::Keystores;
use crate::output::Output;

pub(crate) fn run(args: &CallArgs, out: Output) -> Result<(), CommandError> {
    let function = abi::function(&args.sig)?;
    let input = abi::encode(&function, &args.args)?;
    let to = Keystores::of_user()?.address(&args.to)?;
    let client = Client::new(args.rpc.url())?;
    let mut request = json!({ "to": to, "input": input });
    if let Some(from) = args.from {
        request["from"] = json!(from);
    }
    if let Some(value) = args.value {
        request["value"] = json!(value.0);
    }
    let output: Bytes = client.call("eth_call", json!([request, args.block.parameter()]))?;
    // Without declared results there is nothing to decode: the bytes are the answer.
    let values = if function.outputs.is_empty() { Vec::new() } else { abi::decode(&function, &output)? };
    let value = json!({ "values": values.iter().map(abi::json).collect::<Vec<_>>(), "output": output });
    out.print(&value, || {
        if function.outputs.is_empty() {
            output.to_string()
        } else {
            values.iter().map(abi::text).collect::<Vec<_>>().join("\n")
        }
    })
}
