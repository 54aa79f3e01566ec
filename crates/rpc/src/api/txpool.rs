//! `txpool_`

use std::collections::BTreeMap;

use alloy_consensus::Transaction as _;
use alloy_primitives::{Address, U64};
use anfs_primitives::RecoveredTransaction;
use serde::Serialize;

use super::{Api, Reply};
use crate::params::Params;
use crate::shapes::{TransactionObject, pending_object};

/// Executable and waiting, each in the same shape.
#[derive(Serialize)]
struct Both<T> {
    pending: T,
    queued: T,
}

/// Transactions by nonce, in decimal.
type ByNonce<T> = BTreeMap<String, T>;

fn by_nonce<T>(
    transactions: &[RecoveredTransaction],
    show: impl Fn(&RecoveredTransaction) -> T,
) -> ByNonce<T> {
    transactions.iter().map(|tx| (tx.envelope().nonce().to_string(), show(tx))).collect()
}

fn by_sender<T>(
    transactions: &[RecoveredTransaction],
    show: impl Fn(&RecoveredTransaction) -> T,
) -> BTreeMap<Address, ByNonce<T>> {
    let mut senders: BTreeMap<Address, ByNonce<T>> = BTreeMap::new();
    for tx in transactions {
        senders.entry(tx.sender()).or_default().insert(tx.envelope().nonce().to_string(), show(tx));
    }
    senders
}

pub(crate) fn content(api: &Api, params: Params<'_>) -> Reply {
    params.end()?;
    let content = api.backend.pool.content();
    api.json(&Both {
        pending: by_sender(&content.pending, pending_object),
        queued: by_sender(&content.queued, pending_object),
    })
}

pub(crate) fn content_from(api: &Api, mut params: Params<'_>) -> Reply {
    let sender: Address = params.required()?;
    params.end()?;
    let content = api.backend.pool.content_from(&sender);
    let show: fn(&RecoveredTransaction) -> TransactionObject = pending_object;
    api.json(&Both { pending: by_nonce(&content.pending, show), queued: by_nonce(&content.queued, show) })
}

pub(crate) fn inspect(api: &Api, params: Params<'_>) -> Reply {
    params.end()?;
    let content = api.backend.pool.content();
    api.json(&Both {
        pending: by_sender(&content.pending, summary),
        queued: by_sender(&content.queued, summary),
    })
}

pub(crate) fn status(api: &Api, params: Params<'_>) -> Reply {
    params.end()?;
    let status = api.backend.pool.status();
    api.json(&Both { pending: U64::from(status.pending), queued: U64::from(status.queued) })
}

fn summary(tx: &RecoveredTransaction) -> String {
    let tx = tx.envelope();
    let to = tx.to().map_or_else(|| "contract creation".to_owned(), |to| to.to_string());
    format!("{to}: {} wei + {} gas × {} wei", tx.value(), tx.gas_limit(), tx.max_fee_per_gas())
}
