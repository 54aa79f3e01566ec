//! What goes into and comes out of a state.

use std::collections::BTreeMap;
use std::fmt::Debug;

use alloy_primitives::{Address, B256, Bytes, U256};

use crate::{EMPTY_CODE_HASH, NodeKey, StateError};

/// An account without its storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountInfo {
    /// Transactions sent, or contracts created.
    pub nonce: u64,
    /// Balance in wei.
    pub balance: U256,
    /// keccak256 of the code; [`EMPTY_CODE_HASH`] without code.
    pub code_hash: B256,
}

impl AccountInfo {
    /// Whether the account is empty in the sense of EIP-161: no nonce, no balance, no code.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nonce == 0 && self.balance.is_zero() && self.code_hash == EMPTY_CODE_HASH
    }
}

impl Default for AccountInfo {
    fn default() -> Self {
        Self { nonce: 0, balance: U256::ZERO, code_hash: EMPTY_CODE_HASH }
    }
}

/// What the leaf of an account trie holds: an account with the root of its storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountLeaf {
    /// Nonce, balance, code hash.
    pub info: AccountInfo,
    /// Root of its storage trie.
    pub storage_root: B256,
}

/// Read access to accounts, storage and code, as execution needs it.
pub trait StateRead {
    /// The account at an address; `None` when there is none.
    ///
    /// # Errors
    /// [`StateError`] when it cannot be read.
    fn account(&self, address: &Address) -> Result<Option<AccountInfo>, StateError>;

    /// The value in a storage slot, by its plain (unhashed) key; zero when unset.
    ///
    /// # Errors
    /// [`StateError`] when it cannot be read.
    fn storage(&self, address: &Address, slot: &B256) -> Result<U256, StateError>;

    /// Contract code by its hash.
    ///
    /// # Errors
    /// [`StateError`] when it cannot be read.
    fn code(&self, hash: &B256) -> Result<Bytes, StateError>;
}

impl<T: StateRead + ?Sized> StateRead for &T {
    fn account(&self, address: &Address) -> Result<Option<AccountInfo>, StateError> {
        (**self).account(address)
    }

    fn storage(&self, address: &Address, slot: &B256) -> Result<U256, StateError> {
        (**self).storage(address, slot)
    }

    fn code(&self, hash: &B256) -> Result<Bytes, StateError> {
        (**self).code(hash)
    }
}

/// Where nodes and codes that aren't in memory are read from.
///
/// A reader gives what was flushed last. It need not check anything: hashes are checked here.
pub trait NodeReader: Send + Sync + Debug {
    /// The encoding of the node stored under a key.
    ///
    /// # Errors
    /// [`StateError::Storage`] when the store cannot be read.
    fn node(&self, key: &NodeKey) -> Result<Option<Vec<u8>>, StateError>;

    /// The contract code stored under a hash.
    ///
    /// # Errors
    /// [`StateError::Storage`] when the store cannot be read.
    fn code(&self, hash: &B256) -> Result<Option<Bytes>, StateError>;
}

/// What a block does to the state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateChanges {
    /// New contents of the accounts that changed.
    pub accounts: BTreeMap<Address, AccountChange>,
    /// Codes created, by their keccak256.
    pub codes: BTreeMap<B256, Bytes>,
}

/// What becomes of an account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountChange {
    /// The account afterwards; `None` when it no longer exists (its storage goes with it).
    pub info: Option<AccountInfo>,
    /// Whether all earlier storage is dropped before `storage` is written.
    pub wipe_storage: bool,
    /// Slots written, by their plain key; zero clears a slot.
    pub storage: BTreeMap<B256, U256>,
}

/// What to write to and remove from disk to turn one flushed state into another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateDiff {
    /// Node encodings to write; `None` removes the node. Each key occurs once.
    pub nodes: Vec<(NodeKey, Option<Vec<u8>>)>,
    /// Codes to write. Codes are never removed: other accounts may share them.
    pub codes: Vec<(B256, Bytes)>,
}
