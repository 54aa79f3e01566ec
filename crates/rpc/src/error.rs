//! JSON-RPC errors with the codes and words that geth gives them.

use alloy_primitives::{Bytes, hex};
use serde::Serialize;
use serde_json::Value;

use crate::backend::BackendError;
use crate::revert;

/// Not JSON.
pub const PARSE_ERROR: i32 = -32700;
/// JSON, but no JSON-RPC request.
pub const INVALID_REQUEST: i32 = -32600;
/// No such method, or one that this node refuses.
pub const METHOD_NOT_FOUND: i32 = -32601;
/// The parameters do not fit the method.
pub const INVALID_PARAMS: i32 = -32602;
/// This node is at fault.
pub const INTERNAL_ERROR: i32 = -32603;
/// The server's general error code.
pub const SERVER_ERROR: i32 = -32000;
/// The answer is larger than the server sends.
pub const RESPONSE_TOO_LARGE: i32 = -32003;
/// More was asked for than a limit allows.
pub const LIMIT_EXCEEDED: i32 = -32005;
/// The call reverted; `data` holds what it returned.
pub const REVERTED: i32 = 3;
/// EIP-7966: the transaction is pooled but was not decided in time; `data` holds its hash.
pub const SYNC_TIMEOUT: i32 = 4;

/// The `error` member of a response.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RpcError {
    /// Code.
    pub code: i32,
    /// Words.
    pub message: String,
    /// More, where the method defines it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
}

impl RpcError {
    pub(crate) fn new(code: i32, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    pub(crate) fn with_data(mut self, data: Value) -> Self {
        self.data = Some(data);
        self
    }

    pub(crate) fn invalid_params(message: impl Into<String>) -> Self {
        Self::new(INVALID_PARAMS, message)
    }

    pub(crate) fn server(message: impl Into<String>) -> Self {
        Self::new(SERVER_ERROR, message)
    }

    pub(crate) fn limit(message: impl Into<String>) -> Self {
        Self::new(LIMIT_EXCEEDED, message)
    }

    pub(crate) fn response_too_large(limit: usize) -> Self {
        Self::new(RESPONSE_TOO_LARGE, format!("response too large: the limit is {limit} bytes; ask for less"))
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(INTERNAL_ERROR, message)
    }

    pub(crate) fn reverted(output: &Bytes) -> Self {
        let message = match revert::reason(output) {
            Some(reason) => format!("execution reverted: {reason}"),
            None => "execution reverted".to_owned(),
        };
        Self::new(REVERTED, message).with_data(Value::String(hex::encode_prefixed(output)))
    }
}

impl From<BackendError> for RpcError {
    fn from(error: BackendError) -> Self {
        let code = match &error {
            BackendError::Reverted { output } => return Self::reverted(output),
            BackendError::Rejected(_) | BackendError::Execution(_) | BackendError::StatePruned { .. } => {
                SERVER_ERROR
            }
            BackendError::InvalidParams(_) => INVALID_PARAMS,
            BackendError::LimitExceeded(_) => LIMIT_EXCEEDED,
            BackendError::Coded { code, .. } => *code,
            BackendError::Internal(_) => {
                tracing::error!(%error, "the node failed to answer a request");
                INTERNAL_ERROR
            }
        };
        Self::new(code, error.to_string())
    }
}
