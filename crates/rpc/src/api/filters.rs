//! `eth_newFilter` and its like: server-side cursors, bounded in number, removed when nobody polls them.

use std::collections::HashMap;
use std::sync::Arc;

use alloy_primitives::{B256, U128};
use alloy_rpc_types_eth::{Filter, FilterBlockOption};
use anfs_primitives::{Height, RecoveredTransaction};
use parking_lot::Mutex;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::TryRecvError;

use super::{Api, Reply, logs};
use crate::backend::Clock;
use crate::error::RpcError;
use crate::params::Params;
use crate::shapes::{json, pending_object};

/// Where a filter stands.
#[derive(Debug)]
enum Cursor {
    Blocks { next: Height },
    Logs { filter: Arc<Filter>, next: Height },
    Pending { news: broadcast::Receiver<RecoveredTransaction>, full: bool },
}

#[derive(Debug)]
struct Entry {
    cursor: Cursor,
    expires_ms: u64,
}

/// The filters of all clients.
#[derive(Debug)]
pub(crate) struct Filters {
    entries: Mutex<HashMap<U128, Entry>>,
    max: usize,
    expiry_ms: u64,
    clock: Arc<dyn Clock>,
}

/// What a poll has to fetch, decided under the lock and fetched outside of it.
enum Poll {
    Blocks { from: Height },
    Logs { filter: Arc<Filter>, from: Height },
    Pending { transactions: Vec<RecoveredTransaction>, full: bool },
}

fn not_found() -> RpcError {
    RpcError::server("filter not found")
}

impl Filters {
    pub(crate) fn new(max: usize, expiry_ms: u64, clock: Arc<dyn Clock>) -> Self {
        Self { entries: Mutex::default(), max, expiry_ms, clock }
    }

    fn install(&self, cursor: Cursor) -> Reply {
        let now = self.clock.now_ms();
        let mut entries = self.entries.lock();
        entries.retain(|_, entry| entry.expires_ms > now);
        if entries.len() >= self.max {
            let text =
                format!("too many filters: the limit is {}; uninstall some or use eth_subscribe", self.max);
            return Err(RpcError::limit(text));
        }
        // Unguessable, since whoever knows an id can take its changes.
        let id = U128::from(rand::random::<u128>());
        entries.insert(id, Entry { cursor, expires_ms: now.saturating_add(self.expiry_ms) });
        json(&id)
    }

    fn remove(&self, id: U128) -> bool {
        let now = self.clock.now_ms();
        self.entries.lock().remove(&id).is_some_and(|entry| entry.expires_ms > now)
    }

    /// Moves the cursor past `head` and tells what lies between.
    fn poll(&self, id: U128, head: Height) -> Result<Poll, RpcError> {
        let now = self.clock.now_ms();
        let mut entries = self.entries.lock();
        entries.retain(|_, entry| entry.expires_ms > now);
        let entry = entries.get_mut(&id).ok_or_else(not_found)?;
        entry.expires_ms = now.saturating_add(self.expiry_ms);
        Ok(match &mut entry.cursor {
            Cursor::Blocks { next } => {
                let from = *next;
                *next = head.next().max(from);
                Poll::Blocks { from }
            }
            Cursor::Logs { filter, next } => {
                let from = *next;
                *next = head.next().max(from);
                Poll::Logs { filter: Arc::clone(filter), from }
            }
            Cursor::Pending { news, full } => Poll::Pending { transactions: drain(news), full: *full },
        })
    }

    /// Puts the cursor of a log filter back after a search that failed, so that a poll loses nothing.
    fn rewind(&self, id: U128, to: Height) {
        if let Some(Entry { cursor: Cursor::Logs { next, .. } | Cursor::Blocks { next }, .. }) =
            self.entries.lock().get_mut(&id)
        {
            *next = (*next).min(to);
        }
    }

    fn log_filter(&self, id: U128) -> Result<Arc<Filter>, RpcError> {
        let now = self.clock.now_ms();
        match self.entries.lock().get(&id) {
            Some(Entry { cursor: Cursor::Logs { filter, .. }, expires_ms }) if *expires_ms > now => {
                Ok(Arc::clone(filter))
            }
            _ => Err(not_found()),
        }
    }
}

/// What the channel holds; transactions that it had to drop were pending for too long to matter.
fn drain(news: &mut broadcast::Receiver<RecoveredTransaction>) -> Vec<RecoveredTransaction> {
    let mut transactions = Vec::new();
    loop {
        match news.try_recv() {
            Ok(tx) => transactions.push(tx),
            Err(TryRecvError::Lagged(_)) => {}
            Err(TryRecvError::Empty | TryRecvError::Closed) => return transactions,
        }
    }
}

pub(crate) fn new_filter(api: &Api, mut params: Params<'_>) -> Reply {
    let filter: Filter = params.required()?;
    params.end()?;
    logs::check(&filter)?;
    let next = api.backend.chain.head().height().next();
    api.filters.install(Cursor::Logs { filter: Arc::new(filter), next })
}

pub(crate) fn new_block_filter(api: &Api, params: Params<'_>) -> Reply {
    params.end()?;
    let next = api.backend.chain.head().height().next();
    api.filters.install(Cursor::Blocks { next })
}

pub(crate) fn new_pending_filter(api: &Api, mut params: Params<'_>) -> Reply {
    let full = params.optional()?.unwrap_or(false);
    params.end()?;
    api.filters.install(Cursor::Pending { news: api.backend.events.pending_transactions(), full })
}

pub(crate) fn uninstall(api: &Api, mut params: Params<'_>) -> Reply {
    let id: U128 = params.required()?;
    params.end()?;
    json(&api.filters.remove(id))
}

pub(crate) fn changes(api: &Api, mut params: Params<'_>) -> Reply {
    let id: U128 = params.required()?;
    params.end()?;
    let head = api.backend.chain.head().height();
    match api.filters.poll(id, head)? {
        Poll::Blocks { from } => {
            let hashes = block_hashes(api, from, head);
            hashes.inspect_err(|_| api.filters.rewind(id, from)).and_then(|hashes| api.json(&hashes))
        }
        Poll::Logs { filter, from } => {
            let (first, last) = within(api, &filter, from, head);
            let found = logs::search_range(api, &filter, first, last);
            found.inspect_err(|_| api.filters.rewind(id, from)).and_then(|found| api.json(&found))
        }
        Poll::Pending { transactions, full: true } => {
            api.json(&transactions.iter().map(pending_object).collect::<Vec<_>>())
        }
        Poll::Pending { transactions, full: false } => {
            api.json(&transactions.iter().map(RecoveredTransaction::hash).collect::<Vec<_>>())
        }
    }
}

pub(crate) fn filter_logs(api: &Api, mut params: Params<'_>) -> Reply {
    let id: U128 = params.required()?;
    params.end()?;
    api.json(&logs::search(api, &*api.filters.log_filter(id)?)?)
}

/// The new blocks that the filter's own range allows.
fn within(api: &Api, filter: &Filter, from: Height, head: Height) -> (Height, Height) {
    match filter.block_option {
        FilterBlockOption::Range { from_block, to_block } => {
            let first =
                from_block.filter(|tag| tag.is_number()).map_or(from, |tag| api.height(tag).max(from));
            let last = to_block.filter(|tag| tag.is_number()).map_or(head, |tag| api.height(tag).min(head));
            (first, last)
        }
        // A filter for one decided block never has news; an empty range says so.
        FilterBlockOption::AtBlockHash(_) => (head.next(), head),
    }
}

fn block_hashes(api: &Api, from: Height, head: Height) -> Result<Vec<B256>, RpcError> {
    let first = from.0.max((head.0 + 1).saturating_sub(api.config.logs_blocks_max));
    let mut hashes = Vec::new();
    for height in first..=head.0 {
        if let Some(header) = api.backend.chain.header(Height(height))? {
            hashes.push(header.hash);
        }
    }
    Ok(hashes)
}
