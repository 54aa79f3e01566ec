//! Contracts that exist from the start because tools or the protocol count on their addresses.

use std::collections::BTreeMap;

use alloy_primitives::{Address, Bytes, U256, address, bytes};
use anfs_primitives::GenesisAccount;
pub use revm::handler::SYSTEM_ADDRESS;

pub use crate::cross_domain::{CROSS_DOMAIN, CROSS_DOMAIN_CODE, GATEWAY};

/// EIP-2935: keeps the hashes of the last 8191 blocks in its storage.
pub const HISTORY_STORAGE: Address = address!("0000F90827F1C53a10cb7A02335B175320002935");

/// EIP-2935: blocks whose hashes the contract keeps.
pub const HISTORY_WINDOW: u64 = 8191;

/// EIP-2935: the contract's published code.
pub const HISTORY_STORAGE_CODE: Bytes = bytes!(
    "3373fffffffffffffffffffffffffffffffffffffffe14604657602036036042575f35600143038111604257611fff81430311604257611fff9006545f5260205ff35b5f5ffd5b5f35611fff60014303065500"
);

/// The deterministic deployment proxy: CREATE2 with the salt in the first word of the call data.
pub const DEPLOYMENT_PROXY: Address = address!("4e59b44847b379578588920cA78FbF26c0B4956C");

/// The proxy's published code.
pub const DEPLOYMENT_PROXY_CODE: Bytes = bytes!(
    "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe03601600081602082378035828234f58015156039578182fd5b8082525050506014600cf3"
);

/// The accounts that a development network starts with besides its funded ones.
#[must_use]
pub fn genesis_accounts() -> BTreeMap<Address, GenesisAccount> {
    let contract = |code| GenesisAccount { balance: U256::ZERO, nonce: 1, code, storage: BTreeMap::new() };
    BTreeMap::from([
        (HISTORY_STORAGE, contract(HISTORY_STORAGE_CODE)),
        (DEPLOYMENT_PROXY, contract(DEPLOYMENT_PROXY_CODE)),
        (CROSS_DOMAIN, contract(CROSS_DOMAIN_CODE)),
        (GATEWAY, contract(CROSS_DOMAIN_CODE)),
    ])
}
