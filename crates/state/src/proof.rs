//! Merkle proofs in the shape of EIP-1186 (`eth_getProof`).

use alloy_primitives::{Address, B256, Bytes, U256};

use crate::{AccountInfo, EMPTY_ROOT};

/// An account, or its absence, proven against a state root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountProof {
    /// Whose account.
    pub address: Address,
    /// The account; `None` when there is none.
    pub info: Option<AccountInfo>,
    /// Root of its storage trie; [`EMPTY_ROOT`] when there is no account.
    pub storage_root: B256,
    /// Encodings of the nodes from the state root towards keccak256 of the address. Nodes shorter than 32
    /// bytes stand in their parents and aren't repeated. Empty when the state is.
    pub account_proof: Vec<Bytes>,
    /// The slots asked for, in the order they were asked for.
    pub storage: Vec<StorageProof>,
}

/// A storage slot proven against an account's storage root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageProof {
    /// The slot's plain key.
    pub slot: B256,
    /// What it holds; zero when unset.
    pub value: U256,
    /// Encodings of the nodes from the storage root towards keccak256 of the slot, likewise. Empty when the
    /// account has no storage.
    pub proof: Vec<Bytes>,
}

impl AccountProof {
    /// The proof that an account doesn't exist.
    pub(crate) fn absent(address: Address, account_proof: Vec<Bytes>, slots: &[B256]) -> Self {
        let storage =
            slots.iter().map(|slot| StorageProof { slot: *slot, value: U256::ZERO, proof: Vec::new() });
        Self { address, info: None, storage_root: EMPTY_ROOT, account_proof, storage: storage.collect() }
    }
}
