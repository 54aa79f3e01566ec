//! Asks a node by JSON-RPC over HTTP.

use std::time::Duration;

use alloy_primitives::B256;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::exit::CommandError;
use crate::wire::Receipt;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Largest answer that is read: above what a node sends by its own limit.
const ANSWER_BYTES_MAX: u64 = 128 * 1024 * 1024;
/// How often a node is asked for a receipt: a fraction of a slot.
const RECEIPT_EVERY: Duration = Duration::from_millis(50);

/// A node's JSON-RPC port.
#[derive(Debug)]
pub(crate) struct Client {
    agent: ureq::Agent,
    url: String,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    result: Option<Box<RawValue>>,
    #[serde(default)]
    error: Option<AnswerError>,
}

#[derive(Deserialize)]
struct AnswerError {
    code: i64,
    message: String,
    #[serde(default)]
    data: Option<Value>,
}

impl Client {
    /// A client of the node at `url`; connects when it is first asked.
    pub(crate) fn new(url: &str) -> Result<Self, CommandError> {
        check_url(url)?;
        let config = ureq::Agent::config_builder()
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_global(Some(ANSWER_TIMEOUT))
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .build();
        Ok(Self { agent: config.into(), url: url.to_owned() })
    }

    /// Calls a method and reads its result.
    pub(crate) fn call<T: DeserializeOwned>(&self, method: &str, params: Value) -> Result<T, CommandError> {
        let raw = self.raw(method, params)?;
        serde_json::from_str(raw.get()).map_err(|error| {
            CommandError::failed(format!("{} answers {method} in a shape not known here: {error}", self.url))
        })
    }

    /// Calls a method and leaves its result as it came: nested as deep as it may be.
    #[expect(clippy::needless_pass_by_value, reason = "callers make the parameters on the spot")]
    pub(crate) fn raw(&self, method: &str, params: Value) -> Result<Box<RawValue>, CommandError> {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
        let request = self.agent.post(&self.url).header("content-type", "application/json");
        let mut response = request.send(body).map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        let bytes = response
            .body_mut()
            .with_config()
            .limit(ANSWER_BYTES_MAX)
            .read_to_vec()
            .map_err(|error| self.unreachable(&error))?;
        let answer: Answer = serde_json::from_slice(&bytes).map_err(|_| {
            CommandError::Unreachable(format!(
                "{} answers with HTTP status {status}, but not in JSON-RPC: is it the port of a node?",
                self.url
            ))
        })?;
        match answer.error {
            Some(AnswerError { code, message, data }) => {
                Err(CommandError::Refused { message, rpc_code: Some(code), data })
            }
            None => Ok(answer.result.unwrap_or_else(|| RawValue::NULL.to_owned())),
        }
    }

    /// Waits until the transaction is in a block; `None` when `limit` runs out first.
    pub(crate) fn wait_for_receipt(
        &self,
        hash: &B256,
        limit: Duration,
    ) -> Result<Option<Receipt>, CommandError> {
        let started = std::time::Instant::now();
        loop {
            let receipt: Option<Receipt> = self.call("eth_getTransactionReceipt", json!([hash]))?;
            if receipt.is_some() || started.elapsed() >= limit {
                return Ok(receipt);
            }
            // A plain HTTP server calls nobody back: asking again is the only way to learn.
            std::thread::park_timeout(RECEIPT_EVERY);
        }
    }

    fn unreachable(&self, error: &ureq::Error) -> CommandError {
        let url = &self.url;
        match error {
            ureq::Error::BadUri(_) | ureq::Error::Http(_) => {
                CommandError::Usage(format!("{url:?} is no URL: write http://HOST:PORT ({error})"))
            }
            _ => CommandError::Unreachable(format!(
                "no node answers at {url}: {error}; start one by `anfs devnet`, or name another by --rpc-url"
            )),
        }
    }
}

fn check_url(url: &str) -> Result<(), CommandError> {
    let scheme = url.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    let words = match scheme.as_deref() {
        Some("http") => return Ok(()),
        Some("https") => {
            "https is not spoken here: give an http:// URL, or put a TLS proxy of your own between"
        }
        Some("ws" | "wss") => "this command asks over HTTP: give the http:// URL of the same port",
        _ => "a URL of a node begins with http://, such as http://127.0.0.1:8545",
    };
    Err(CommandError::Usage(format!("cannot use {url:?}: {words}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_http_is_accepted() {
        assert!(Client::new("http://127.0.0.1:8545").is_ok());
        for (url, words) in [("https://a", "https"), ("ws://a", "HTTP"), ("a:1", "http://"), ("", "http://")]
        {
            let error = Client::new(url).unwrap_err();
            assert!(matches!(&error, CommandError::Usage(text) if text.contains(words)), "{error}");
        }
    }
}
