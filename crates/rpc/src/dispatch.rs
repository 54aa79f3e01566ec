//! From the bytes of a message to the text of its answer, whatever carried it.

use std::sync::Arc;
use std::time::Instant;

use metrics::{Counter, Histogram, counter, histogram};
use serde_json::value::RawValue;

use crate::api::{Api, Reply};
use crate::error::RpcError;
use crate::methods::{self, METHODS};
use crate::subscriptions::{Session, Start};
use crate::wire::{Message, error_response, parse_call, parse_message, write_response};

/// Calls of a batch after which other connections get their turn.
const BATCH_TURN: usize = 32;

/// Counters of one method.
#[derive(Debug)]
struct MethodMetrics {
    requests: Counter,
    errors: Counter,
    duration: Histogram,
}

impl MethodMetrics {
    fn new(name: &'static str) -> Self {
        Self {
            requests: counter!("anfs_rpc_requests_total", "method" => name),
            errors: counter!("anfs_rpc_errors_total", "method" => name),
            duration: histogram!("anfs_rpc_request_duration_seconds", "method" => name),
        }
    }
}

/// Answers messages.
#[derive(Debug)]
pub(crate) struct Dispatcher {
    pub(crate) api: Arc<Api>,
    by_method: Arc<[MethodMetrics]>,
    unknown: Arc<MethodMetrics>,
}

impl Dispatcher {
    pub(crate) fn new(api: Arc<Api>) -> Self {
        // Handles are made once: a look-up by labels costs more than many of the calls.
        let by_method = METHODS.iter().map(|method| MethodMetrics::new(method.name)).collect();
        Self { api, by_method, unknown: Arc::new(MethodMetrics::new("unknown")) }
    }

    /// One for another endpoint, that counts into the same metrics.
    pub(crate) fn beside(&self, api: Arc<Api>) -> Self {
        Self { api, by_method: Arc::clone(&self.by_method), unknown: Arc::clone(&self.unknown) }
    }

    /// The answer to a message; `None` when it asked for none.
    pub(crate) async fn answer(
        &self,
        bytes: &[u8],
        session: Option<&Arc<Session>>,
        starts: &mut Vec<Start>,
    ) -> Option<String> {
        let config = &self.api.config;
        match parse_message(bytes, config.json_depth_max, config.batch_calls_max) {
            Ok(Message::Single(text)) => {
                let mut out = String::new();
                self.call(text, session, starts, &mut out).await;
                if out.len() > config.response_bytes_max {
                    let id = parse_call(text).ok().and_then(|call| call.id);
                    out.clear();
                    write_response(
                        &mut out,
                        id,
                        &Err(RpcError::response_too_large(self.api.config.response_bytes_max)),
                    );
                }
                Some(out).filter(|out| !out.is_empty())
            }
            Ok(Message::Batch(calls)) => self.batch(&calls, session, starts).await,
            Err(error) => Some(error_response(error)),
        }
    }

    async fn batch(
        &self,
        calls: &[&RawValue],
        session: Option<&Arc<Session>>,
        starts: &mut Vec<Start>,
    ) -> Option<String> {
        let mut out = String::from("[");
        for (index, call) in calls.iter().enumerate() {
            if index % BATCH_TURN == BATCH_TURN - 1 {
                tokio::task::yield_now().await;
            }
            let before = out.len();
            if before > 1 {
                out.push(',');
            }
            let start = out.len();
            if start >= self.api.config.response_bytes_max {
                let id = parse_call(call.get()).ok().and_then(|call| call.id);
                if id.is_some() {
                    write_response(
                        &mut out,
                        id,
                        &Err(RpcError::response_too_large(self.api.config.response_bytes_max)),
                    );
                }
            } else {
                self.call(call.get(), session, starts, &mut out).await;
                if out.len() > self.api.config.response_bytes_max {
                    out.truncate(start);
                    let id = parse_call(call.get()).ok().and_then(|call| call.id);
                    write_response(
                        &mut out,
                        id,
                        &Err(RpcError::response_too_large(self.api.config.response_bytes_max)),
                    );
                }
            }
            if out.len() == start {
                out.truncate(before);
            }
        }
        out.push(']');
        (out.len() > 2).then_some(out)
    }

    /// Runs one call and appends its response; a notification (a call without id) is run and not answered.
    async fn call(
        &self,
        text: &str,
        session: Option<&Arc<Session>>,
        starts: &mut Vec<Start>,
        out: &mut String,
    ) {
        let request = match parse_call(text) {
            Ok(request) => request,
            Err((error, id)) => return write_response(out, id, &Err(error)),
        };
        let begun = Instant::now();
        let params = request.params.map(RawValue::get);
        let (metrics, reply): (_, Reply) = match methods::index_of(&request.method) {
            Some(index) => {
                let reply = methods::run(&self.api, &METHODS[index], params, session, starts).await;
                (&self.by_method[index], reply)
            }
            None => (&*self.unknown, Err(methods::unknown(&request.method))),
        };
        metrics.requests.increment(1);
        if reply.is_err() {
            metrics.errors.increment(1);
        }
        metrics.duration.record(begun.elapsed());
        if request.id.is_some() {
            write_response(out, request.id, &reply);
        }
    }
}
