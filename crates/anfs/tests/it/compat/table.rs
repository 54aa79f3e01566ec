//! The table that the documentation shows.

use std::fmt::Write as _;

use anfs_rpc::{METHODS, REFUSED_NAMESPACES};

use super::spec::{Spec, refusal, served};

/// What to know of methods that are served.
const NOTES: &[(&str, &str)] = &[
    (
        "anfs_domains",
        "several shards only: how far root and shards are, their base fees and coins; coins issued, on their way and burned",
    ),
    (
        "anfs_getFinality",
        "several shards only: the network block that made a shard's block final, and the proof of it",
    ),
    (
        "anfs_getLightProof",
        "several shards only: proofs of accounts, receipts, messages and arrivals for [light clients](light.md)",
    ),
    (
        "anfs_getMessage",
        "several shards only: where a message of any age was sent and consumed, and how its call ended",
    ),
    ("anfs_getRootHeader", "several shards only: the header of a network block, and what has decided it"),
    ("anfs_getRoute", "several shards only: home of an address, and where it lives"),
    (
        "anfs_getTransactionLegs",
        "several shards only: each stop of a transaction, with status, gas and messages",
    ),
    ("anfs_status", "how far the node is"),
    ("anfs_view", "who acts as generator, who comes next, why the view changed, evidence"),
    ("debug_traceCall", "state and block overrides; tracers as `debug_traceTransaction`"),
    (
        "debug_traceTransaction",
        "struct logs, `callTracer`, `prestateTracer`, `4byteTracer`, `flatCallTracer`, `muxTracer`, `noopTracer`; no JavaScript",
    ),
    ("devnet_cut", "`anfs devnet` only: parts these seats from the others"),
    ("devnet_heal", "`anfs devnet` only"),
    ("devnet_releaseSeat", "`anfs devnet` only: lets a seat sign that is [held back](record.md)"),
    ("devnet_seats", "`anfs devnet` only: all seats as they stand"),
    ("devnet_startSeat", "`anfs devnet` only: starts a stopped seat from its folder"),
    ("devnet_stopSeat", "`anfs devnet` only: stops a seat without warning"),
    ("eth_accounts", "the funded accounts of a devnet"),
    ("eth_baseFee", "of the next block"),
    ("eth_blobBaseFee", "always 1 wei: there are no blob transactions"),
    ("eth_call", "state and block overrides"),
    ("eth_estimateGas", "state and block overrides"),
    ("eth_feeHistory", "at most 1024 blocks"),
    ("eth_getFilterChanges", "filters end when nobody polls them for five minutes"),
    ("eth_getHeaderByNumber", "null for `pending`"),
    ("eth_getLogs", "at most 10 000 blocks and 10 000 logs a query"),
    ("eth_getProof", "at most 1024 slots; states of recent blocks"),
    ("eth_getStorageValues", "at most 1024 slots"),
    ("eth_getUncleByBlockHashAndIndex", "always null: there are no uncles"),
    ("eth_getUncleByBlockNumberAndIndex", "always null: there are no uncles"),
    ("eth_getUncleCountByBlockHash", "always 0"),
    ("eth_getUncleCountByBlockNumber", "always 0"),
    ("eth_sendRawTransaction", "blob transactions are refused"),
    ("eth_sendRawTransactionSync", "EIP-7966: answers with the receipt"),
    ("eth_sendTransaction", "for the accounts of a devnet"),
    ("eth_sign", "for the accounts of a devnet"),
    ("eth_signTransaction", "for the accounts of a devnet"),
    ("eth_signTypedData_v4", "for the accounts of a devnet"),
    ("eth_simulateV1", "at most 256 blocks"),
    ("eth_subscribe", "over WebSocket: `newHeads`, `logs`, `newPendingTransactions`, `syncing`"),
    ("eth_unsubscribe", "over WebSocket"),
    ("net_peerCount", "the other seats of the shard"),
    ("net_version", "the chain id"),
    ("personal_sign", "for the accounts of a devnet"),
];

const HEAD: &str = "\
# Ethereum methods

Every method of [ethereum/execution-apis](https://github.com/ethereum/execution-apis), and what this network adds or refuses
beyond it. A test writes this page from the server's own table and fails when they differ; another one calls every method
that is served, on a network with transfers, contracts, logs and reverts, and checks parameters and results against the
schemas of execution-apis. A refused method answers with code -32601 and the reason given here.

`latest`, `safe` and `finalized` are the same block: only decided blocks are visible. Reads of state reach back 256 blocks.

On a network of several shards `/` shows all of them as one chain, whose blocks are final, and `/shard/<i>` one shard's own, whose blocks are certified, over HTTP and WebSocket alike.
[The chain that wallets see](../spec/network.md) says what blocks, receipts and tags mean there. There, `anfs_*` methods about one shard's chain take the shard's number as their last parameter, 1 unless given; traces of
transactions show what ran in the sender's home, and the calls that left it where the tracer has a place for them (N12); and state reaches back to where the shard that is read has kept it.

";

pub(super) fn render(spec: &Spec) -> String {
    let mut out = HEAD.to_owned();
    out.push_str("## Methods of execution-apis\n\n");
    rows(&mut out, spec.names());
    out.push_str("\n## Beyond execution-apis\n\n");
    rows(&mut out, METHODS.iter().map(|method| method.name).filter(|name| !spec.has(name)));
    out.push_str("\n## Refused namespaces\n\n| methods | reason |\n|---|---|\n");
    for (prefix, reason) in REFUSED_NAMESPACES {
        writeln!(out, "| `{prefix}*` | {reason} |").expect("a string takes everything");
    }
    out
}

fn rows<'a>(out: &mut String, names: impl Iterator<Item = &'a str>) {
    out.push_str("| method | served or refused | note |\n|---|---|---|\n");
    for name in names {
        let (state, note) = if served(name) {
            let note = NOTES.iter().find(|(noted, _)| *noted == name);
            ("served", note.map_or("", |(_, note)| *note))
        } else {
            ("refused", refusal(name).unwrap_or("**no reason: add it to METHODS**"))
        };
        writeln!(out, "| `{name}` | {state} | {note} |").expect("a string takes everything");
    }
}
