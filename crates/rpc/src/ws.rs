//! A WebSocket connection: a reader that stops reading when too much is under way, and a writer with a
//! time-out.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use futures::stream::SplitSink;
use futures::{SinkExt, StreamExt};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};

use crate::dispatch::Dispatcher;
use crate::server::stopped;
use crate::subscriptions::{CLOSE_AWAY, CLOSE_POLICY, Closing, Session};

/// Time between two pings.
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// A client that was silent for this long, pongs included, is gone.
const SILENCE_MAX: Duration = Duration::from_secs(90);

/// Serves one connection until either side ends it.
pub(crate) async fn run(socket: WebSocket, dispatcher: Arc<Dispatcher>, mut stop: watch::Receiver<bool>) {
    let config = &dispatcher.api.config;
    let (sink, mut incoming) = socket.split();
    let (out, queue) = mpsc::channel(config.connection_queue_max);
    let session = Arc::new(Session::new(out, config.connection_subscriptions_max));
    let writer = tokio::spawn(write(sink, queue, Arc::clone(&session), config.write_timeout()));
    let slots = Arc::new(Semaphore::new(config.connection_calls_max));
    let mut calls = JoinSet::new();
    loop {
        let message = tokio::select! {
            () = stopped(&mut stop) => {
                session.close(CLOSE_AWAY, "the node is stopping".to_owned());
                break;
            }
            _ = session.closed() => break,
            message = timeout(SILENCE_MAX, incoming.next()) => message,
        };
        let bytes = match message {
            Ok(Some(Ok(Message::Text(text)))) => text.into(),
            Ok(Some(Ok(Message::Binary(bytes)))) => bytes,
            Ok(Some(Ok(Message::Ping(_) | Message::Pong(_)))) => continue,
            Ok(Some(Ok(Message::Close(_))) | None) => break,
            Ok(Some(Err(error))) => {
                session.close(CLOSE_POLICY, close_reason(&error.to_string()));
                break;
            }
            Err(_) => {
                session.close(CLOSE_POLICY, "no sign of life".to_owned());
                break;
            }
        };
        // Waiting here, with nothing read meanwhile, is what slows a client down that asks too much.
        let slot = tokio::select! {
            _ = session.closed() => break,
            slot = Arc::clone(&slots).acquire_owned() => slot,
        };
        while calls.try_join_next().is_some() {}
        let (session, dispatcher) = (Arc::clone(&session), Arc::clone(&dispatcher));
        calls.spawn(async move {
            let mut starts = Vec::new();
            let answer = dispatcher.answer(&bytes, Some(&session), &mut starts).await;
            let sent = match answer {
                Some(answer) => session.send(answer).await,
                None => true,
            };
            if sent {
                starts.into_iter().for_each(|start| session.start(start));
            }
            drop(slot);
        });
    }
    calls.shutdown().await;
    session.end_all();
    // Nothing was closed by us: the client left, and the writer has nobody to write to.
    session.close(CLOSE_AWAY, String::new());
    if let Err(error) = writer.await {
        tracing::debug!(%error, "a WebSocket writer ended early");
    }
}

/// A close frame holds at most 123 bytes of text.
fn close_reason(text: &str) -> String {
    text.chars().filter(char::is_ascii).take(120).collect()
}

async fn write(
    mut sink: SplitSink<WebSocket, Message>,
    mut queue: mpsc::Receiver<String>,
    session: Arc<Session>,
    limit: Duration,
) {
    let mut pings = interval(PING_INTERVAL);
    loop {
        let message = tokio::select! {
            biased;
            closing = session.closed() => return say_goodbye(&mut sink, closing, limit).await,
            text = queue.recv() => match text {
                Some(text) => Message::Text(text.into()),
                None => return,
            },
            _ = pings.tick() => Message::Ping(Default::default()),
        };
        match timeout(limit, sink.send(message)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return session.close(CLOSE_AWAY, String::new()),
            Err(_) => {
                tracing::debug!("a WebSocket client does not read: closing");
                return session.close(CLOSE_POLICY, "the client does not read".to_owned());
            }
        }
    }
}

async fn say_goodbye(sink: &mut SplitSink<WebSocket, Message>, closing: Option<Closing>, limit: Duration) {
    let frame = closing.map(|closing| CloseFrame { code: closing.code, reason: closing.reason.into() });
    // The client may be gone already, which is what was wanted.
    if let Ok(Err(error)) = timeout(limit, sink.send(Message::Close(frame))).await {
        tracing::trace!(%error, "the close frame was not delivered");
    }
}
