//! The table of methods: what is served and by whom, what is refused and why.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use alloy_primitives::Bytes;
use serde::Deserialize;

use crate::api::{
    Api, Reply, anfs, blocks, debug, devnet, execute, fees, filters, logs, net, sign, state, txpool,
};
use crate::error::{METHOD_NOT_FOUND, RpcError};
use crate::params::Params;
use crate::subscriptions::{Session, Start};

/// How a method is served.
#[derive(Clone, Copy, Debug)]
enum Handler {
    /// On the calling task: microseconds.
    Quick(fn(&Api, Params<'_>) -> Reply),
    /// On the blocking pool, a bounded number at once.
    Heavy(fn(&Api, Params<'_>) -> Reply),
    /// `eth_sendRawTransactionSync`: waits for a block.
    SendSync,
    /// `eth_subscribe`: WebSocket only.
    Subscribe,
    /// `eth_unsubscribe`: WebSocket only.
    Unsubscribe,
    /// Not served, and why.
    Refused(&'static str),
}

/// A line of the table.
#[derive(Clone, Copy, Debug)]
pub struct Method {
    /// Full name.
    pub name: &'static str,
    handler: Handler,
}

impl Method {
    /// Why the method is refused; `None` when it is served.
    #[must_use]
    pub fn refusal(&self) -> Option<&'static str> {
        match self.handler {
            Handler::Refused(reason) => Some(reason),
            _ => None,
        }
    }
}

const fn quick(name: &'static str, handler: fn(&Api, Params<'_>) -> Reply) -> Method {
    Method { name, handler: Handler::Quick(handler) }
}

const fn heavy(name: &'static str, handler: fn(&Api, Params<'_>) -> Reply) -> Method {
    Method { name, handler: Handler::Heavy(handler) }
}

const fn refused(name: &'static str, reason: &'static str) -> Method {
    Method { name, handler: Handler::Refused(reason) }
}

const NO_MINING: &str = "blocks are certified by seats, not mined: there is nothing to hash for";
const NO_RAW: &str = "a shard header is no RLP header; anfs_getShardHeader gives its canonical encoding";
const NO_ACCESS_LISTS: &str = "block access lists (EIP-7928) are not part of the pinned fork";
const NO_ENGINE: &str = "there is no separate consensus client: the node runs consensus itself";
const KEYS_STAY_OUT: &str = "the node manages no keys over RPC; use the anfs command line or a wallet";
const NO_ADMIN: &str = "the node is administered by its command line, never over this port";
const NO_CHEATS: &str = "blocks come from consensus: neither time nor state can be set over RPC";
const NO_PARITY: &str = "use debug_trace* with the flatCallTracer, which has the same shape";
const NO_TESTING: &str = "testing_ methods build blocks outside of consensus";

/// Every method that the server knows, by name.
pub const METHODS: &[Method] = &[
    quick("anfs_domains", anfs::domains),
    quick("anfs_getCertificate", anfs::certificate),
    heavy("anfs_getFinality", anfs::finality),
    heavy("anfs_getLightProof", anfs::light_proof),
    heavy("anfs_getMessage", anfs::message),
    quick("anfs_getRootHeader", anfs::root_header),
    quick("anfs_getRoute", anfs::route),
    heavy("anfs_getSequence", anfs::sequence),
    heavy("anfs_getSequenceProof", anfs::sequence_proof),
    quick("anfs_getShardHeader", anfs::shard_header),
    heavy("anfs_getSlices", anfs::slices),
    heavy("anfs_getTransactionLegs", anfs::transaction_legs),
    quick("anfs_status", anfs::status),
    quick("anfs_view", anfs::view),
    refused(
        "debug_executionWitness",
        "a witness carries RLP headers, which the blocks of this network do not have",
    ),
    refused(
        "debug_getBadBlocks",
        "a block that fails its checks is never stored; its evidence goes to the root",
    ),
    refused("debug_getRawBlock", NO_RAW),
    refused("debug_getRawHeader", NO_RAW),
    heavy("debug_getRawReceipts", debug::raw_receipts),
    quick("debug_getRawTransaction", debug::raw_transaction),
    refused("debug_setHead", "a decided block is never undone"),
    heavy("debug_traceBlockByHash", debug::trace_block_by_hash),
    heavy("debug_traceBlockByNumber", debug::trace_block_by_number),
    heavy("debug_traceCall", debug::trace_call),
    heavy("debug_traceTransaction", debug::trace_transaction),
    heavy("devnet_cut", devnet::cut),
    heavy("devnet_heal", devnet::heal),
    heavy("devnet_releaseSeat", devnet::release_seat),
    heavy("devnet_seats", devnet::seats),
    heavy("devnet_startSeat", devnet::start_seat),
    heavy("devnet_stopSeat", devnet::stop_seat),
    quick("eth_accounts", sign::accounts),
    quick("eth_baseFee", fees::base_fee),
    quick("eth_blobBaseFee", fees::blob_base_fee),
    quick("eth_blockNumber", blocks::block_number),
    heavy("eth_call", execute::call),
    refused(
        "eth_capabilities",
        "anfs_status tells how far the node is; all blocks are kept, states of recent ones",
    ),
    quick("eth_chainId", blocks::chain_id),
    refused("eth_coinbase", "the node has no one beneficiary: each block's header names its own"),
    refused(
        "eth_config",
        "the fork is pinned by the chain spec; there is no fork schedule, fork id or blob schedule",
    ),
    heavy("eth_createAccessList", execute::create_access_list),
    heavy("eth_estimateGas", execute::estimate_gas),
    heavy("eth_feeHistory", fees::history),
    refused(
        "eth_fillTransaction",
        "wallets fill transactions themselves; eth_sendTransaction fills those of unlocked accounts",
    ),
    quick("eth_gasPrice", fees::gas_price),
    quick("eth_getBalance", state::balance),
    refused("eth_getBlockAccessList", NO_ACCESS_LISTS),
    refused("eth_getBlockAccessListByBlockHash", NO_ACCESS_LISTS),
    refused("eth_getBlockAccessListByBlockNumber", NO_ACCESS_LISTS),
    quick("eth_getBlockByHash", blocks::by_hash),
    quick("eth_getBlockByNumber", blocks::by_number),
    heavy("eth_getBlockReceipts", blocks::block_receipts),
    quick("eth_getBlockTransactionCountByHash", blocks::transaction_count_by_hash),
    quick("eth_getBlockTransactionCountByNumber", blocks::transaction_count_by_number),
    quick("eth_getCode", state::code),
    heavy("eth_getFilterChanges", filters::changes),
    heavy("eth_getFilterLogs", filters::filter_logs),
    quick("eth_getHeaderByHash", blocks::header_by_hash),
    quick("eth_getHeaderByNumber", blocks::header_by_number),
    heavy("eth_getLogs", logs::get),
    heavy("eth_getProof", state::proof),
    quick("eth_getRawTransactionByBlockHashAndIndex", blocks::raw_transaction_by_block_hash),
    quick("eth_getRawTransactionByBlockNumberAndIndex", blocks::raw_transaction_by_block_number),
    quick("eth_getRawTransactionByHash", blocks::raw_transaction_by_hash),
    quick("eth_getStorageAt", state::storage),
    heavy("eth_getStorageValues", state::storage_values),
    quick("eth_getTransactionByBlockHashAndIndex", blocks::transaction_by_block_hash),
    quick("eth_getTransactionByBlockNumberAndIndex", blocks::transaction_by_block_number),
    quick("eth_getTransactionByHash", blocks::transaction_by_hash),
    quick("eth_getTransactionCount", state::transaction_count),
    quick("eth_getTransactionReceipt", blocks::receipt),
    quick("eth_getUncleByBlockHashAndIndex", blocks::uncle_by_hash),
    quick("eth_getUncleByBlockNumberAndIndex", blocks::uncle_by_number),
    quick("eth_getUncleCountByBlockHash", blocks::uncle_count_by_hash),
    quick("eth_getUncleCountByBlockNumber", blocks::uncle_count_by_number),
    refused("eth_getWork", NO_MINING),
    refused("eth_hashrate", NO_MINING),
    quick("eth_maxPriorityFeePerGas", fees::max_priority_fee),
    refused("eth_mining", NO_MINING),
    quick("eth_newBlockFilter", filters::new_block_filter),
    quick("eth_newFilter", filters::new_filter),
    quick("eth_newPendingTransactionFilter", filters::new_pending_filter),
    quick("eth_sendRawTransaction", blocks::send_raw_transaction),
    Method { name: "eth_sendRawTransactionSync", handler: Handler::SendSync },
    heavy("eth_sendTransaction", sign::send_transaction),
    quick("eth_sign", sign::sign),
    heavy("eth_signTransaction", sign::sign_transaction),
    quick("eth_signTypedData_v4", sign::sign_typed_data),
    heavy("eth_simulateV1", execute::simulate),
    refused("eth_submitHashrate", NO_MINING),
    refused("eth_submitWork", NO_MINING),
    Method { name: "eth_subscribe", handler: Handler::Subscribe },
    quick("eth_syncing", blocks::syncing),
    quick("eth_uninstallFilter", filters::uninstall),
    Method { name: "eth_unsubscribe", handler: Handler::Unsubscribe },
    quick("net_listening", net::listening),
    quick("net_peerCount", net::peer_count),
    quick("net_version", net::version),
    refused("personal_importRawKey", KEYS_STAY_OUT),
    refused("personal_newAccount", KEYS_STAY_OUT),
    quick("personal_sign", sign::personal_sign),
    refused("personal_unlockAccount", KEYS_STAY_OUT),
    quick("rpc_modules", net::modules),
    heavy("txpool_content", txpool::content),
    quick("txpool_contentFrom", txpool::content_from),
    heavy("txpool_inspect", txpool::inspect),
    refused("txpool_statistics", "txpool_status has the same two counts"),
    quick("txpool_status", txpool::status),
    refused("txpool_transactions", "txpool_content and txpool_contentFrom list the pool's transactions"),
    quick("web3_clientVersion", net::client_version),
    quick("web3_sha3", net::sha3),
];

/// Whole namespaces that are refused.
pub const REFUSED_NAMESPACES: &[(&str, &str)] = &[
    ("admin_", NO_ADMIN),
    ("anvil_", NO_CHEATS),
    ("engine_", NO_ENGINE),
    ("evm_", NO_CHEATS),
    ("hardhat_", NO_CHEATS),
    ("miner_", NO_MINING),
    ("testing_", NO_TESTING),
    ("trace_", NO_PARITY),
];

/// Position of a method in [`METHODS`].
pub(crate) fn index_of(name: &str) -> Option<usize> {
    static BY_NAME: LazyLock<HashMap<&'static str, usize>> =
        LazyLock::new(|| METHODS.iter().enumerate().map(|(index, method)| (method.name, index)).collect());
    BY_NAME.get(name).copied()
}

/// The error for a method that is not in the table.
pub(crate) fn unknown(name: &str) -> RpcError {
    match REFUSED_NAMESPACES.iter().find(|(prefix, _)| name.starts_with(prefix)) {
        Some((_, reason)) => refuse(name, reason),
        None => {
            // A hostile name must not be echoed at full length.
            let shown: String = name.chars().take(64).collect();
            RpcError::new(METHOD_NOT_FOUND, format!("the method {shown} does not exist/is not available"))
        }
    }
}

fn refuse(name: &str, reason: &str) -> RpcError {
    let shown: String = name.chars().take(64).collect();
    RpcError::new(METHOD_NOT_FOUND, format!("the method {shown} is not served: {reason}"))
}

/// A timeout of `eth_sendRawTransactionSync`: hex quantity or JSON number, in milliseconds.
#[derive(Deserialize)]
#[serde(untagged)]
enum Millis {
    Number(u64),
    Quantity(alloy_primitives::U64),
}

/// Runs a method of the table.
pub(crate) async fn run(
    api: &Arc<Api>,
    method: &'static Method,
    params: Option<&str>,
    session: Option<&Arc<Session>>,
    starts: &mut Vec<Start>,
) -> Reply {
    match method.handler {
        Handler::Quick(handler) => handler(api, Params::parse(params)?),
        Handler::Heavy(handler) => {
            let params = params.map(str::to_owned);
            api.heavy(move |api| handler(api, Params::parse(params.as_deref())?)).await
        }
        Handler::SendSync => {
            let mut params = Params::parse(params)?;
            let raw: Bytes = params.required()?;
            let timeout = params.optional()?.map(|timeout| match timeout {
                Millis::Number(millis) => millis,
                Millis::Quantity(millis) => millis.to(),
            });
            params.end()?;
            blocks::send_raw_transaction_sync(Arc::clone(api), raw, timeout).await
        }
        Handler::Subscribe => need_session(session)?.subscribe(api, Params::parse(params)?, starts),
        Handler::Unsubscribe => need_session(session)?.unsubscribe(Params::parse(params)?),
        Handler::Refused(reason) => Err(refuse(method.name, reason)),
    }
}

fn need_session(session: Option<&Arc<Session>>) -> Result<&Arc<Session>, RpcError> {
    session.ok_or_else(|| {
        RpcError::new(
            METHOD_NOT_FOUND,
            "notifications not supported over HTTP: connect by WebSocket to subscribe",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_has_no_doubles() {
        assert!(METHODS.windows(2).all(|pair| pair[0].name < pair[1].name));
    }

    #[test]
    fn refusals_say_why() {
        assert!(unknown("engine_newPayloadV4").message.contains("consensus client"));
        assert_eq!(unknown("eth_foo").message, "the method eth_foo does not exist/is not available");
        assert!(unknown(&"x".repeat(10_000)).message.len() < 200);
        assert!(METHODS.iter().filter_map(Method::refusal).all(|reason| reason.len() > 20));
    }
}
