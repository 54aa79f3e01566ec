//! Contracts that exist from the start because tools or the protocol count on their addresses.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use alloy_primitives::{Address, Bytes, U256, address, bytes};
use alloy_sol_types::sol;
use anfs_primitives::GenesisAccount;
use anfs_primitives::crossing::root_contract;
pub use revm::handler::SYSTEM_ADDRESS;
use serde::Deserialize;

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

/// The root's register of seats: `contracts/src/system/Seats.sol`.
pub const SEATS: Address = root_contract(0);

/// Where the root's issuance waits for those who earned it: `contracts/src/system/Rewards.sol`.
pub const REWARDS: Address = root_contract(1);

sol! {
    /// What the protocol itself asks of the root's system contracts, and what readers ask most.
    #[allow(missing_docs)]
    interface RootContracts {
        function assign(uint32 domain, uint16 seat, bytes32[3] key, address account, uint256 stake) external;
        function distribute(uint256 amount) external;
        function totalStake() external view returns (uint256);
        function count() external view returns (uint256);
        function shareOf(uint32 domain, uint16 seat) external view returns (address account, uint256 stake);
        function issued() external view returns (uint256);
        function paid() external view returns (uint256);
        function pending(uint32 domain, uint16 seat) external view returns (uint256);
        function claim(uint32 domain, uint16 seat) external returns (uint256 amount);
    }
}

/// What is compiled of a contract, as far as it is needed here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Artifact {
    deployed_bytecode: Bytes,
}

fn deployed(artifact: &str) -> Bytes {
    let artifact: Artifact = serde_json::from_str(artifact).expect("the build keeps well-formed artifacts");
    artifact.deployed_bytecode
}

static SEATS_CODE: LazyLock<Bytes> =
    LazyLock::new(|| deployed(include_str!("../../../contracts/artifacts/Seats.json")));
static REWARDS_CODE: LazyLock<Bytes> =
    LazyLock::new(|| deployed(include_str!("../../../contracts/artifacts/Rewards.json")));

fn contract(code: Bytes) -> GenesisAccount {
    GenesisAccount { balance: U256::ZERO, nonce: 1, code, storage: BTreeMap::new() }
}

/// The system contracts that the root starts with, their storage empty.
#[must_use]
pub fn root_accounts() -> BTreeMap<Address, GenesisAccount> {
    BTreeMap::from([(SEATS, contract(SEATS_CODE.clone())), (REWARDS, contract(REWARDS_CODE.clone()))])
}

/// The accounts that a development network starts with besides its funded ones.
#[must_use]
pub fn genesis_accounts() -> BTreeMap<Address, GenesisAccount> {
    BTreeMap::from([
        (HISTORY_STORAGE, contract(HISTORY_STORAGE_CODE)),
        (DEPLOYMENT_PROXY, contract(DEPLOYMENT_PROXY_CODE)),
        (CROSS_DOMAIN, contract(CROSS_DOMAIN_CODE)),
        (GATEWAY, contract(CROSS_DOMAIN_CODE)),
    ])
}
