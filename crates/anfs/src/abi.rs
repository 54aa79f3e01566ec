//! Calls of contracts: arguments into bytes, bytes into values.

use alloy_dyn_abi::{DynSolValue, FunctionExt, JsonAbiExt, Specifier};
use alloy_json_abi::Function;
use alloy_primitives::{Bytes, hex};
use serde_json::{Value, json};

use crate::exit::CommandError;

/// Reads `name(types)`, `name(types)(returns)` or Solidity's own form with `returns`.
pub(crate) fn function(signature: &str) -> Result<Function, CommandError> {
    Function::parse(signature).map_err(|error| {
        let error = error.to_string();
        let cause = error.lines().last().unwrap_or_default();
        CommandError::Usage(format!(
            "{signature:?} is no signature ({cause}): write it as 'balanceOf(address)(uint256)'"
        ))
    })
}

/// Selector and encoded arguments.
pub(crate) fn encode(function: &Function, args: &[String]) -> Result<Bytes, CommandError> {
    let wanted = function.inputs.len();
    if wanted != args.len() {
        return Err(CommandError::Usage(format!(
            "{} takes {wanted} argument(s), and {} are given",
            function.signature(),
            args.len()
        )));
    }
    let mut values = Vec::with_capacity(wanted);
    for (param, text) in function.inputs.iter().zip(args) {
        let kind = param.resolve().map_err(|error| CommandError::Usage(error.to_string()))?;
        let value = kind.coerce_str(text).map_err(|error| {
            let error = error.to_string();
            let cause = error.lines().last().unwrap_or_default();
            CommandError::Usage(format!("{text:?} is no {kind}: {cause}"))
        })?;
        values.push(value);
    }
    function
        .abi_encode_input(&values)
        .map(Bytes::from)
        .map_err(|error| CommandError::Usage(error.to_string()))
}

/// The values that a call returned.
pub(crate) fn decode(function: &Function, output: &[u8]) -> Result<Vec<DynSolValue>, CommandError> {
    if output.is_empty() && !function.outputs.is_empty() {
        return Err(CommandError::failed(
            "the call returned nothing: is there a contract at this address, and has it this function?",
        ));
    }
    function.abi_decode_output(output).map_err(|error| {
        CommandError::failed(format!(
            "the {} bytes returned are not what {} says: {error}",
            output.len(),
            function.signature_with_outputs()
        ))
    })
}

/// A value as people read it.
pub(crate) fn text(value: &DynSolValue) -> String {
    let list = |values: &[DynSolValue]| values.iter().map(text).collect::<Vec<_>>().join(", ");
    match value {
        DynSolValue::Bool(value) => value.to_string(),
        DynSolValue::Int(value, _) => value.to_string(),
        DynSolValue::Uint(value, _) => value.to_string(),
        DynSolValue::FixedBytes(word, size) => hex::encode_prefixed(&word[..*size]),
        DynSolValue::Address(address) => address.to_checksum(None),
        DynSolValue::Function(function) => hex::encode_prefixed(function),
        DynSolValue::Bytes(bytes) => hex::encode_prefixed(bytes),
        DynSolValue::String(text) => text.clone(),
        DynSolValue::Array(values) | DynSolValue::FixedArray(values) => format!("[{}]", list(values)),
        DynSolValue::Tuple(values) | DynSolValue::CustomStruct { tuple: values, .. } => {
            format!("({})", list(values))
        }
    }
}

/// A value as JSON: numbers as decimal strings, since they may be larger than readers of JSON bear.
pub(crate) fn json(value: &DynSolValue) -> Value {
    match value {
        DynSolValue::Bool(value) => json!(value),
        DynSolValue::Array(values)
        | DynSolValue::FixedArray(values)
        | DynSolValue::Tuple(values)
        | DynSolValue::CustomStruct { tuple: values, .. } => values.iter().map(json).collect(),
        other => json!(text(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(error: &CommandError) -> String {
        error.to_string()
    }

    #[test]
    fn arguments_are_encoded_as_solidity_does() {
        let transfer = function("transfer(address,uint)").unwrap();
        let to = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8".to_owned();
        let data = encode(&transfer, &[to, "1.5ether".to_owned()]).unwrap();
        let expected = "0xa9059cbb00000000000000000000000070997970c51812dc3a010c7d01b50e0d17dc79c8\
                        00000000000000000000000000000000000000000000000014d1120d7b160000";
        assert_eq!(data.to_string(), expected);
    }

    #[test]
    fn wrong_arguments_are_named() {
        let transfer = function("transfer(address,uint256)").unwrap();
        let one = encode(&transfer, &["x".to_owned()]).unwrap_err();
        assert!(words(&one).contains("takes 2 argument(s), and 1 are given"));
        let bad = encode(&transfer, &["x".to_owned(), "1".to_owned()]).unwrap_err();
        assert!(words(&bad).contains("no address"), "{bad}");
        assert!(words(&function("transfer(").unwrap_err()).contains("no signature"));
        assert!(
            words(&function("f(what)").and_then(|f| encode(&f, &["1".to_owned()])).unwrap_err())
                .contains("what")
        );
    }

    #[test]
    fn returned_values_are_read() {
        let function = function("f()(uint256,(bool,string),int8[],bytes2)").unwrap();
        let values = [
            DynSolValue::Uint(alloy_primitives::U256::MAX, 256),
            DynSolValue::Tuple(vec![true.into(), "hi".to_owned().into()]),
            DynSolValue::Array(vec![DynSolValue::Int(alloy_primitives::I256::MINUS_ONE, 8)]),
            DynSolValue::FixedBytes(alloy_primitives::B256::repeat_byte(7), 2),
        ];
        let output = function.abi_encode_output(&values).unwrap();
        let decoded = decode(&function, &output).unwrap();
        let shown: Vec<String> = decoded.iter().map(text).collect();
        assert_eq!(shown[1..], ["(true, hi)", "[-1]", "0x0707"]);
        assert_eq!(json(&decoded[1]), json!([true, "hi"]));
        assert_eq!(json(&decoded[0]), json!(alloy_primitives::U256::MAX.to_string()));
        assert!(words(&decode(&function, &[]).unwrap_err()).contains("returned nothing"));
        assert!(decode(&function, &output[..40]).is_err());
    }

    proptest! {
        #[test]
        fn hostile_words_and_bytes_are_harmless(
            signature in ".{0,40}",
            arg in ".{0,40}",
            output in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            if let Ok(function) = function(&signature) {
                let _ = encode(&function, &[arg]);
            }
            let known = function("f()(string,uint256[],(address,bytes))").unwrap();
            let _ = decode(&known, &output);
        }
    }
}
