//! Looks at the port and at the node.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

use alloy_primitives::{U64, U256};
use serde::Deserialize;
use serde_json::json;

use super::{Check, host};
use crate::client::Client;
use crate::exit::CommandError;

/// How long a node may take for its next block, in slots, before it counts as standing still.
const SLOTS_PATIENCE: u32 = 8;
const PATIENCE_MIN: Duration = Duration::from_secs(3);
const ASK_EVERY: Duration = Duration::from_millis(100);
/// How far the newest block's time may lie from this machine's clock.
const DRIFT_SECONDS_MAX: u64 = 5;

pub(super) fn port(port: u16) -> Check {
    const NAME: &str = "port";
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(_) => Check::ok(NAME, format!("{port} is free")),
        Err(error) if error.kind() == ErrorKind::AddrInUse => match version(port) {
            Some(version) => Check::ok(NAME, format!("{port} is in use: {version} answers there")),
            None => Check::warn(
                NAME,
                format!("{port} is in use by another program"),
                "stop that program, or choose another port by --port",
            ),
        },
        Err(error) => Check::fail(NAME, format!("{port}: {error}"), "choose another port by --port"),
    }
}

fn version(port: u16) -> Option<String> {
    let client = Client::new(&format!("http://127.0.0.1:{port}")).ok()?;
    client.call("web3_clientVersion", json!([])).ok()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    slot_ms: u64,
    certified_height: u64,
    chain_id: u64,
}

#[derive(Deserialize)]
struct Head {
    timestamp: U64,
}

/// Whether the node answers and makes blocks. None at the default address is no fault: it may not be started yet.
pub(super) fn node(url: &str, named: bool) -> Result<Check, CommandError> {
    const NAME: &str = "node";
    let client = Client::new(url)?;
    match look(&client) {
        Ok((status, seen, drift)) => Ok(judge(url, &status, seen, drift)),
        Err(CommandError::Unreachable(_)) if !named => {
            Ok(Check::warn(NAME, format!("none runs at {url}"), "start one: anfs devnet"))
        }
        Err(CommandError::Unreachable(words)) => {
            Ok(Check::fail(NAME, words, "look at the URL and at the node"))
        }
        Err(CommandError::Refused { message, .. }) => Ok(Check::warn(
            NAME,
            format!("what answers at {url} is no node of this network: {message}"),
            "name a node by --rpc-url",
        )),
        Err(other) => Ok(Check::fail(NAME, other.to_string(), "look at the URL and at the node's version")),
    }
}

/// The node's state, the height that it has reached after some patience, and how far its time is from ours.
fn look(client: &Client) -> Result<(Status, u64, u64), CommandError> {
    let status: Status = client.call("anfs_status", json!([]))?;
    let slots = Duration::from_millis(status.slot_ms.min(60_000)) * SLOTS_PATIENCE;
    let patience = slots.max(PATIENCE_MIN);
    let started = Instant::now();
    let height =
        || client.call::<U256>("eth_blockNumber", json!([])).map(|height| height.saturating_to::<u64>());
    let mut seen = height()?;
    while seen <= status.certified_height && started.elapsed() < patience {
        // A plain HTTP server calls nobody back: asking again is the only way to learn.
        std::thread::park_timeout(ASK_EVERY);
        seen = height()?;
    }
    let head: Head = client.call("eth_getBlockByNumber", json!(["latest", false]))?;
    Ok((status, seen, host::unix_seconds().abs_diff(head.timestamp.to())))
}

fn judge(url: &str, status: &Status, seen: u64, drift: u64) -> Check {
    const NAME: &str = "node";
    let Status { chain_id, certified_height, .. } = status;
    let place = format!("{url}, chain {chain_id}, height {seen}");
    if seen <= *certified_height {
        return Check::fail(
            NAME,
            format!("{place}: no new block"),
            format!("ask {url}/readyz what it waits for, and look at its logs (ANFS_LOG=anfs=info)"),
        );
    }
    if drift > DRIFT_SECONDS_MAX {
        return Check::warn(
            NAME,
            format!("{place}, but its newest block is {drift} s away from this machine's clock"),
            "keep the clocks of both machines set by NTP",
        );
    }
    Check::ok(NAME, format!("{place}, making blocks"))
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn a_port_in_use_by_a_stranger_is_found() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let number = listener.local_addr().unwrap().port();
        let stranger = std::thread::spawn(move || drop(listener.accept()));
        assert_eq!(port(number).state, State::Warn);
        stranger.join().unwrap();
    }

    #[test]
    fn nodes_are_judged() {
        let status = Status { slot_ms: 250, certified_height: 7, chain_id: 1 };
        assert_eq!(judge("u", &status, 8, 0).state, State::Ok);
        assert_eq!(judge("u", &status, 7, 0).state, State::Fail);
        assert_eq!(judge("u", &status, 8, 60).state, State::Warn);
    }

    #[test]
    fn an_absent_node_is_a_fault_only_when_it_was_named() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        assert_eq!(node(&url, false).unwrap().state, State::Warn);
        assert_eq!(node(&url, true).unwrap().state, State::Fail);
        assert!(node("https://x", true).is_err());
    }
}
