//! `net_`, `web3_` and `rpc_`.

use std::collections::BTreeMap;

use alloy_primitives::{Bytes, U64, keccak256};

use super::{Api, Reply};
use crate::params::Params;
use crate::shapes::json;

/// `net_version`: the chain id, in decimal.
pub(crate) fn version(api: &Api, params: Params<'_>) -> Reply {
    params.end()?;
    json(&api.backend.chain.chain_id().to_string())
}

pub(crate) fn listening(_api: &Api, params: Params<'_>) -> Reply {
    params.end()?;
    Ok("true".to_owned())
}

/// `net_peerCount`: the other seats of the shard.
pub(crate) fn peer_count(api: &Api, params: Params<'_>) -> Reply {
    params.end()?;
    json(&U64::from(api.backend.shard.status().verifiers))
}

pub(crate) fn client_version(api: &Api, params: Params<'_>) -> Reply {
    params.end()?;
    json(&api.config.client_version)
}

pub(crate) fn sha3(_api: &Api, mut params: Params<'_>) -> Reply {
    let data: Bytes = params.required()?;
    params.end()?;
    json(&keccak256(data))
}

pub(crate) fn modules(api: &Api, params: Params<'_>) -> Reply {
    params.end()?;
    let names = ["anfs", "debug", "eth", "net", "rpc", "txpool", "web3"];
    let devnet = api.backend.devnet.is_some().then_some("devnet");
    json(&names.into_iter().chain(devnet).map(|name| (name, "1.0")).collect::<BTreeMap<_, _>>())
}
