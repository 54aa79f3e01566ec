//! `eth_subscribe`: one task a subscription, which feeds the connection's bounded queue.
//!
//! ```text
//! Events ──broadcast (bounded)──► subscription task ──queue (bounded)──► writer ──► socket
//! ```
//!
//! When the client reads too slowly the queue fills, then the task stops taking from the broadcast, then the
//! broadcast drops what is oldest, which the task sees: the connection is closed with the reason. A writer
//! that cannot hand over one message within the write timeout closes it as well. Nothing is kept for ever.

use std::collections::HashMap;
use std::sync::Arc;

use alloy_primitives::U128;
use alloy_rpc_types_eth::Filter;
use anfs_primitives::RecoveredTransaction;
use metrics::gauge;
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

use crate::api::{Api, Reply, logs};
use crate::backend::ShownBlock;
use crate::error::{METHOD_NOT_FOUND, RpcError};
use crate::params::Params;
use crate::shapes::{header_object, json, logs_where, pending_object};

/// WebSocket close code: the client did not keep the rules.
pub(crate) const CLOSE_POLICY: u16 = 1008;
/// WebSocket close code: the server goes away.
pub(crate) const CLOSE_AWAY: u16 = 1001;

/// Why a connection is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Closing {
    pub(crate) code: u16,
    pub(crate) reason: String,
}

/// One WebSocket connection as its subscriptions see it.
#[derive(Debug)]
pub(crate) struct Session {
    out: mpsc::Sender<String>,
    closing: watch::Sender<Option<Closing>>,
    subscriptions: Mutex<HashMap<U128, Option<AbortHandle>>>,
    subscriptions_max: usize,
}

/// A subscription that begins once its id has been sent to the client.
#[derive(Debug)]
pub(crate) struct Start {
    id: U128,
    feed: Feed,
}

/// What a subscription listens to.
#[derive(Debug)]
enum Feed {
    Heads(Receiver<Arc<dyn ShownBlock>>),
    Logs(Receiver<Arc<dyn ShownBlock>>, Box<Filter>),
    Pending { news: Receiver<RecoveredTransaction>, full: bool },
}

/// The second parameter of `newPendingTransactions`: a flag, or the object that some clients send.
#[derive(Deserialize)]
#[serde(untagged)]
enum PendingOptions {
    Flag(bool),
    Object {
        #[serde(default, rename = "includeTransactions", alias = "hydratedTransactions")]
        full: bool,
    },
}

impl Session {
    pub(crate) fn new(out: mpsc::Sender<String>, subscriptions_max: usize) -> Self {
        Self { out, closing: watch::Sender::new(None), subscriptions: Mutex::default(), subscriptions_max }
    }

    /// Queues a message; waits while the queue is full. False when the connection is gone.
    pub(crate) async fn send(&self, text: String) -> bool {
        self.out.send(text).await.is_ok()
    }

    /// Closes the connection; the first reason stays.
    pub(crate) fn close(&self, code: u16, reason: String) {
        self.closing.send_if_modified(|closing| {
            let first = closing.is_none();
            if first {
                *closing = Some(Closing { code, reason });
            }
            first
        });
    }

    /// Waits until the connection closes, and tells why.
    pub(crate) async fn closed(&self) -> Option<Closing> {
        let mut closing = self.closing.subscribe();
        // The session owns the sender, so the wait cannot fail.
        let reason = closing.wait_for(Option::is_some).await.ok()?;
        reason.clone()
    }

    /// Ends every subscription.
    pub(crate) fn end_all(&self) {
        for (_, task) in self.subscriptions.lock().drain() {
            gauge!("anfs_rpc_subscriptions").decrement(1.0);
            if let Some(task) = task {
                task.abort();
            }
        }
    }

    /// `eth_subscribe`: listens from now on; the task begins with [`Session::start`].
    pub(crate) fn subscribe(&self, api: &Api, mut params: Params<'_>, starts: &mut Vec<Start>) -> Reply {
        let kind: String = params.required()?;
        let events = &api.backend.events;
        let feed = match kind.as_str() {
            "newHeads" => Feed::Heads(events.blocks()),
            "logs" => {
                let filter: Filter = params.optional()?.unwrap_or_default();
                logs::check(&filter)?;
                Feed::Logs(events.blocks(), Box::new(filter))
            }
            "newPendingTransactions" => {
                let full = match params.optional()? {
                    Some(PendingOptions::Flag(full) | PendingOptions::Object { full }) => full,
                    None => false,
                };
                Feed::Pending { news: events.pending_transactions(), full }
            }
            _ => {
                let shown: String = kind.chars().take(64).collect();
                let text = format!("no \"{shown}\" subscription in eth namespace");
                return Err(RpcError::new(METHOD_NOT_FOUND, text));
            }
        };
        params.end()?;
        let mut subscriptions = self.subscriptions.lock();
        if subscriptions.len() >= self.subscriptions_max {
            let text =
                format!("too many subscriptions on this connection: the limit is {}", self.subscriptions_max);
            return Err(RpcError::limit(text));
        }
        let id = U128::from(rand::random::<u128>());
        subscriptions.insert(id, None);
        gauge!("anfs_rpc_subscriptions").increment(1.0);
        starts.push(Start { id, feed });
        json(&id)
    }

    /// Begins a subscription; its id is with the client by now.
    pub(crate) fn start(self: &Arc<Self>, start: Start) {
        let mut subscriptions = self.subscriptions.lock();
        // It may have been unsubscribed in the same batch, or the connection may be gone.
        if let Some(task) = subscriptions.get_mut(&start.id) {
            let session = Arc::clone(self);
            *task = Some(tokio::spawn(async move { session.feed(start).await }).abort_handle());
        }
    }

    /// `eth_unsubscribe`
    pub(crate) fn unsubscribe(&self, mut params: Params<'_>) -> Reply {
        let id: U128 = params.required()?;
        params.end()?;
        let Some(task) = self.subscriptions.lock().remove(&id) else {
            return Err(RpcError::server("subscription not found"));
        };
        gauge!("anfs_rpc_subscriptions").decrement(1.0);
        if let Some(task) = task {
            task.abort();
        }
        Ok("true".to_owned())
    }

    async fn feed(&self, start: Start) {
        let id = start.id;
        let missed = match start.feed {
            Feed::Heads(mut news) => loop {
                match news.recv().await {
                    Ok(block) if self.notify(id, json(&header_object(&block.summary()))).await => {}
                    Ok(_) | Err(RecvError::Closed) => return,
                    Err(RecvError::Lagged(missed)) => break missed,
                }
            },
            Feed::Logs(mut news, filter) => loop {
                match news.recv().await {
                    Ok(block) => {
                        for log in logs_where(&*block, |log| logs::matches(&filter, log)) {
                            if !self.notify(id, json(&log)).await {
                                return;
                            }
                        }
                    }
                    Err(RecvError::Closed) => return,
                    Err(RecvError::Lagged(missed)) => break missed,
                }
            },
            Feed::Pending { mut news, full } => loop {
                match news.recv().await {
                    Ok(tx) => {
                        let result = if full { json(&pending_object(&tx)) } else { json(tx.hash()) };
                        if !self.notify(id, result).await {
                            return;
                        }
                    }
                    Err(RecvError::Closed) => return,
                    Err(RecvError::Lagged(missed)) => break missed,
                }
            },
        };
        self.close(CLOSE_POLICY, format!("subscriber too slow: {missed} notifications were dropped"));
    }

    async fn notify(&self, id: U128, result: Reply) -> bool {
        match result {
            Ok(result) => {
                let head = r#"{"jsonrpc":"2.0","method":"eth_subscription","params":{"subscription":"#;
                self.send(format!("{head}\"{id:#x}\",\"result\":{result}}}}}")).await
            }
            Err(_) => false,
        }
    }
}
