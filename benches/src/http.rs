//! A JSON-RPC client that costs little: one kept connection, raw bodies, no schema.

use bytes::Bytes;
use eyre::{WrapErr, bail, eyre};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

/// One connection to a JSON-RPC server.
#[derive(Debug)]
pub(crate) struct Client {
    authority: String,
    sender: SendRequest<Full<Bytes>>,
}

impl Client {
    /// Connects to `http://host:port`.
    pub(crate) async fn connect(url: &str) -> eyre::Result<Self> {
        let authority = url
            .strip_prefix("http://")
            .ok_or_else(|| eyre!("{url} must start with http://"))?
            .trim_end_matches('/')
            .to_owned();
        let stream = TcpStream::connect(&authority).await.wrap_err_with(|| format!("cannot reach {url}"))?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { authority, sender })
    }

    /// Posts a body and gives the answer's bytes.
    pub(crate) async fn post(&mut self, body: Bytes) -> eyre::Result<Bytes> {
        self.sender.ready().await?;
        let request = Request::builder()
            .method(Method::POST)
            .uri("/")
            .header("host", &self.authority)
            .header("content-type", "application/json")
            .body(Full::new(body))?;
        let response = self.sender.send_request(request).await?;
        let status = response.status();
        let bytes = response.into_body().collect().await?.to_bytes();
        if !status.is_success() {
            bail!("HTTP {status}: {}", String::from_utf8_lossy(&bytes));
        }
        Ok(bytes)
    }

    /// Calls one method.
    pub(crate) async fn call(&mut self, method: &str, params: Value) -> eyre::Result<Value> {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let answer: Value = serde_json::from_slice(&self.post(body.to_string().into()).await?)?;
        if let Some(error) = answer.get("error") {
            bail!("{method}: {error}");
        }
        answer.get("result").cloned().ok_or_else(|| eyre!("{method}: neither result nor error"))
    }

    /// Calls one method whose result is a hex quantity.
    pub(crate) async fn quantity(&mut self, method: &str, params: Value) -> eyre::Result<u64> {
        let value = self.call(method, params).await?;
        let text = value.as_str().ok_or_else(|| eyre!("{method}: {value} is no quantity"))?;
        Ok(u64::from_str_radix(text.trim_start_matches("0x"), 16)?)
    }
}
