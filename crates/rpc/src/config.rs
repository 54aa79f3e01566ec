//! Limits of the server. A limit stands on everything that a client can make large.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// More connections than this are beyond what one process gets file descriptors for.
const CONNECTIONS_LIMIT: usize = 65_536;

/// Why a configuration was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("rpc.{field} must be {rule}")]
pub struct ConfigError {
    /// Field name.
    pub field: &'static str,
    /// What is allowed.
    pub rule: &'static str,
}

/// Where to listen, and how much of everything to allow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RpcConfig {
    /// Address and port of HTTP and WebSocket; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Text of `web3_clientVersion`.
    pub client_version: String,
    /// Origins that browsers may call from; empty allows every origin.
    pub cors_origins: Vec<String>,
    /// Open connections.
    pub connections_max: usize,
    /// Bytes of one request: HTTP body or WebSocket message.
    pub request_bytes_max: usize,
    /// Bytes of one response, batches included.
    pub response_bytes_max: usize,
    /// Calls in one batch.
    pub batch_calls_max: usize,
    /// Nesting of arrays and objects in one request.
    pub json_depth_max: usize,
    /// Time that a client has to send the headers of a request, from their first byte on (of the first
    /// request: from the connection on), in milliseconds.
    pub header_timeout_ms: u64,
    /// Time that a connection without a request under way is kept, in milliseconds.
    pub idle_timeout_ms: u64,
    /// Time that a client has to send the body of a request, in milliseconds.
    pub body_timeout_ms: u64,
    /// Time that a client has to take a message from its WebSocket, in milliseconds.
    pub write_timeout_ms: u64,
    /// Calls of one WebSocket connection that run at once.
    pub connection_calls_max: usize,
    /// Messages that wait for one WebSocket client to read them.
    pub connection_queue_max: usize,
    /// Subscriptions of one WebSocket connection.
    pub connection_subscriptions_max: usize,
    /// Executions, traces, proofs and log searches that run at once.
    pub heavy_calls_max: usize,
    /// Heavy calls that wait for their turn; more are refused.
    pub heavy_queue_max: usize,
    /// Blocks that one `eth_getLogs` may search.
    pub logs_blocks_max: u64,
    /// Logs that one answer may hold.
    pub logs_results_max: usize,
    /// Filters that exist at once.
    pub filters_max: usize,
    /// Time after which an unpolled filter is removed, in milliseconds.
    pub filter_expiry_ms: u64,
    /// Longest wait of `eth_sendRawTransactionSync`, in milliseconds.
    pub sync_send_timeout_ms: u64,
    /// Time that open requests have to end when the server stops, in milliseconds.
    pub shutdown_grace_ms: u64,
}

impl Default for RpcConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8545),
            client_version: concat!("anfs/v", env!("CARGO_PKG_VERSION")).to_owned(),
            cors_origins: Vec::new(),
            connections_max: 1024,
            request_bytes_max: 5 * 1024 * 1024,
            response_bytes_max: 64 * 1024 * 1024,
            batch_calls_max: 1000,
            json_depth_max: 64,
            header_timeout_ms: 10_000,
            idle_timeout_ms: 75_000,
            body_timeout_ms: 30_000,
            write_timeout_ms: 10_000,
            connection_calls_max: 32,
            connection_queue_max: 256,
            connection_subscriptions_max: 128,
            heavy_calls_max: std::thread::available_parallelism().map_or(2, usize::from),
            heavy_queue_max: 256,
            logs_blocks_max: 10_000,
            logs_results_max: 10_000,
            filters_max: 1024,
            filter_expiry_ms: 5 * 60 * 1000,
            sync_send_timeout_ms: 30_000,
            shutdown_grace_ms: 1000,
        }
    }
}

impl RpcConfig {
    /// Checks every limit against its range.
    ///
    /// # Errors
    /// The first [`ConfigError`] met.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let positive = [
            ("connections_max", self.connections_max),
            ("batch_calls_max", self.batch_calls_max),
            ("connection_calls_max", self.connection_calls_max),
            ("connection_queue_max", self.connection_queue_max),
            ("heavy_calls_max", self.heavy_calls_max),
            ("logs_results_max", self.logs_results_max),
        ];
        for (field, value) in positive {
            if value == 0 {
                return Err(ConfigError { field, rule: "at least 1" });
            }
        }
        if self.connections_max > CONNECTIONS_LIMIT {
            return Err(ConfigError { field: "connections_max", rule: "at most 65536" });
        }
        if self.request_bytes_max < 1024 {
            return Err(ConfigError { field: "request_bytes_max", rule: "at least 1024" });
        }
        if self.response_bytes_max < 1024 {
            return Err(ConfigError { field: "response_bytes_max", rule: "at least 1024" });
        }
        if !(8..=100).contains(&self.json_depth_max) {
            return Err(ConfigError { field: "json_depth_max", rule: "between 8 and 100" });
        }
        Ok(())
    }

    pub(crate) fn write_timeout(&self) -> Duration {
        Duration::from_millis(self.write_timeout_ms)
    }
}
