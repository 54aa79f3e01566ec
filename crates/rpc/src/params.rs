//! Positional parameters, read one by one with geth's words for what is wrong.

use alloy_eips::{BlockId, BlockNumberOrTag};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::RpcError;

/// The parameters of one call.
#[derive(Debug)]
pub(crate) struct Params<'a> {
    values: Vec<&'a RawValue>,
    next: usize,
}

impl<'a> Params<'a> {
    /// Splits the `params` member; absent and `null` mean none.
    pub(crate) fn parse(text: Option<&'a str>) -> Result<Self, RpcError> {
        let values = match text {
            None | Some("null") => Vec::new(),
            Some(text) => serde_json::from_str(text)
                .map_err(|_| RpcError::invalid_params("non-array args: params must be an array"))?,
        };
        Ok(Self { values, next: 0 })
    }

    fn take(&mut self) -> Option<&'a RawValue> {
        let value = self.values.get(self.next).copied();
        self.next += 1;
        value.filter(|value| value.get() != "null")
    }

    /// The next parameter, which may be absent or `null`.
    pub(crate) fn optional<T: Deserialize<'a>>(&mut self) -> Result<Option<T>, RpcError> {
        let index = self.next;
        let Some(value) = self.take() else { return Ok(None) };
        let parsed = serde_json::from_str(value.get());
        parsed
            .map(Some)
            .map_err(|error| RpcError::invalid_params(format!("invalid argument {index}: {}", words(&error))))
    }

    /// The next parameter.
    pub(crate) fn required<T: Deserialize<'a>>(&mut self) -> Result<T, RpcError> {
        let index = self.next;
        self.optional()?
            .ok_or_else(|| RpcError::invalid_params(format!("missing value for required argument {index}")))
    }

    /// A block parameter, number, tag, hash or EIP-1898 object; `latest` when absent.
    pub(crate) fn block_or_latest(&mut self) -> Result<BlockId, RpcError> {
        Ok(self.optional()?.unwrap_or(BlockId::Number(BlockNumberOrTag::Latest)))
    }

    /// Refuses parameters beyond those read.
    pub(crate) fn end(self) -> Result<(), RpcError> {
        if self.values.len() > self.next {
            let text = format!("too many arguments, want at most {}", self.next);
            return Err(RpcError::invalid_params(text));
        }
        Ok(())
    }
}

/// serde_json's words without the position, which counts from the parameter's start and would mislead.
fn words(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_in_order() {
        let mut params = Params::parse(Some(r#"["0x1", null, true]"#)).unwrap();
        assert_eq!(params.required::<String>().unwrap(), "0x1");
        assert_eq!(params.optional::<String>().unwrap(), None);
        assert!(params.required::<bool>().unwrap());
        assert!(params.end().is_ok());
    }

    #[test]
    fn faults_are_named() {
        let missing = Params::parse(None).unwrap().required::<u64>().unwrap_err();
        assert_eq!(missing.message, "missing value for required argument 0");
        let wrong = Params::parse(Some("[1]")).unwrap().required::<String>().unwrap_err();
        assert_eq!(wrong.message, "invalid argument 0: invalid type: integer `1`, expected a string");
        let extra = Params::parse(Some("[1]")).unwrap().end().unwrap_err();
        assert_eq!(extra.message, "too many arguments, want at most 0");
        assert!(Params::parse(Some(r#"{"a":1}"#)).is_err());
    }
}
