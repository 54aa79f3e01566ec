//! A server for one test, and clients for it.

use std::sync::Arc;

use anfs_rpc::{RpcConfig, RpcServer};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::chain::TestChain;

pub(crate) struct Fixture {
    pub(crate) chain: Arc<TestChain>,
    pub(crate) server: RpcServer,
}

pub(crate) fn config() -> RpcConfig {
    RpcConfig { listen: "127.0.0.1:0".parse().unwrap(), ..RpcConfig::default() }
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        Self::with(config()).await
    }

    pub(crate) async fn with(config: RpcConfig) -> Self {
        let chain = TestChain::new();
        let server = RpcServer::start(config, chain.backend()).await.unwrap();
        Self { chain, server }
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.server.address()).await.unwrap()
    }

    /// Posts a body; gives the status and the body of the answer.
    pub(crate) async fn post(&self, body: &str) -> (u16, String) {
        let head = format!(
            "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let answer = self.raw(&(head + body)).await;
        (status(&answer), body_of(&answer).to_owned())
    }

    /// Sends bytes as they are and reads until the server closes.
    pub(crate) async fn raw(&self, request: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        read_all(&mut stream).await
    }

    /// One call; gives the whole response object.
    pub(crate) async fn call(&self, method: &str, params: Value) -> Value {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let (status, body) = self.post(&request.to_string()).await;
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    /// One call that succeeds; gives its result.
    pub(crate) async fn ok(&self, method: &str, params: Value) -> Value {
        let response = self.call(method, params).await;
        assert_eq!(response["jsonrpc"], "2.0");
        assert_eq!(response["id"], 1);
        assert!(response.get("error").is_none(), "{method}: {response}");
        response["result"].clone()
    }

    /// One call that fails; gives its error.
    pub(crate) async fn err(&self, method: &str, params: Value) -> Value {
        let response = self.call(method, params).await;
        assert!(response.get("result").is_none(), "{method}: {response}");
        response["error"].clone()
    }

    pub(crate) async fn websocket(&self) -> Socket {
        let (socket, _) = connect_async(format!("ws://{}/", self.server.address())).await.unwrap();
        Socket(socket)
    }
}

pub(crate) async fn read_all(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

pub(crate) fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_default()
}

pub(crate) fn body_of(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

pub(crate) struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    pub(crate) async fn send(&mut self, text: String) {
        self.0.send(Message::text(text)).await.unwrap();
    }

    /// The next message; `None` when the server closed, with its reason in the log.
    pub(crate) async fn next(&mut self) -> Result<Value, String> {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(frame))) => {
                    return Err(frame.map(|frame| frame.reason.to_string()).unwrap_or_default());
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.to_string()),
                None => return Err("end".to_owned()),
            }
        }
    }

    pub(crate) async fn call(&mut self, method: &str, params: Value) -> Value {
        self.send(json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string()).await;
        let response = self.next().await.unwrap();
        assert_eq!(response["id"], 1, "{response}");
        response
    }

    pub(crate) async fn subscribe(&mut self, params: Value) -> Value {
        let response = self.call("eth_subscribe", params).await;
        assert!(response["result"].is_string(), "{response}");
        response["result"].clone()
    }
}
