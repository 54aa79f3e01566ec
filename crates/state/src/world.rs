//! The state of all accounts.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use anfs_primitives::GenesisAccount;

use crate::trie::{Source, Trie};
use crate::unload::{self, Threshold};
use crate::update::Merge;
use crate::value::Account;
use crate::{
    AccountChange, AccountInfo, AccountLeaf, AccountProof, EMPTY_CODE_HASH, NodeReader, StateChanges,
    StateDiff, StateError, StateRead, StorageProof, diff, hash,
};

/// A snapshot of all accounts, their storage and code. Cloning shares everything.
#[derive(Clone)]
pub struct WorldState {
    accounts: Trie<Account>,
    /// Codes not known to be on disk.
    codes: Arc<BTreeMap<B256, Bytes>>,
    reader: Option<Arc<dyn NodeReader>>,
    /// Counts the calls of [`WorldState::unload_cold`] in this state's ancestry.
    generation: u32,
}

impl WorldState {
    /// A state without accounts.
    #[must_use]
    pub fn empty() -> Self {
        Self { accounts: Trie::empty(), codes: Arc::default(), reader: None, generation: 0 }
    }

    /// The state that a chain starts from.
    ///
    /// # Errors
    /// None in fact: nothing is read. [`StateError`] by way of [`WorldState::apply`].
    pub fn genesis<'a>(
        accounts: impl IntoIterator<Item = (&'a Address, &'a GenesisAccount)>,
    ) -> Result<Self, StateError> {
        let mut changes = StateChanges::default();
        for (address, account) in accounts {
            let code_hash = if account.code.is_empty() { EMPTY_CODE_HASH } else { keccak256(&account.code) };
            if !account.code.is_empty() {
                changes.codes.insert(code_hash, account.code.clone());
            }
            let info = AccountInfo { nonce: account.nonce, balance: account.balance, code_hash };
            let storage = account.storage.iter().map(|(slot, word)| (*slot, U256::from_be_bytes(word.0)));
            let change = AccountChange { info: Some(info), wipe_storage: false, storage: storage.collect() };
            changes.accounts.insert(*address, change);
        }
        Self::empty().apply(&changes)
    }

    /// The state with a root that is on disk. Its root node is read now, all others when they are needed.
    ///
    /// # Errors
    /// [`StateError`] when the root node isn't there or isn't the one with this hash.
    pub fn open(root: B256, reader: Arc<dyn NodeReader>) -> Result<Self, StateError> {
        let state =
            Self { accounts: Trie::at(root), codes: Arc::default(), reader: Some(reader), generation: 0 };
        if let Some(node) = state.accounts.root() {
            state.source().resolve(node, Default::default)?;
        }
        Ok(state)
    }

    /// The same state, with a place to read unloaded nodes from: needed by [`WorldState::unload_cold`] when
    /// the state was made in memory.
    #[must_use]
    pub fn with_reader(mut self, reader: Arc<dyn NodeReader>) -> Self {
        self.reader = Some(reader);
        self
    }

    /// Root hash of the account trie.
    #[must_use]
    pub fn root(&self) -> B256 {
        self.accounts.root_hash()
    }

    /// Root hash of an account's storage trie; `None` when there is no such account.
    ///
    /// # Errors
    /// [`StateError`] when the account cannot be read.
    pub fn storage_root(&self, address: &Address) -> Result<Option<B256>, StateError> {
        let account = self.accounts.get(&self.source(), &keccak256(address))?;
        Ok(account.map(|account| account.value().storage_root()))
    }

    /// The leaf of the account whose address has this keccak256; `None` when there is none.
    ///
    /// # Errors
    /// [`StateError`] when it cannot be read.
    pub fn leaf(&self, hashed_address: &B256) -> Result<Option<AccountLeaf>, StateError> {
        let leaf = self.accounts.get(&self.source(), hashed_address)?;
        Ok(leaf.map(|leaf| leaf.value().leaf()))
    }

    /// Shows all accounts in the order of their hashed addresses. What is read from disk for it is not kept.
    ///
    /// # Errors
    /// [`StateError`] when a node cannot be read, or the visitor's.
    pub fn each_leaf<E: From<StateError>>(
        &self,
        mut visit: impl FnMut(&B256, AccountLeaf) -> Result<(), E>,
    ) -> Result<(), E> {
        self.accounts.each(&self.source(), |leaf| visit(leaf.key(), leaf.value().leaf()))
    }

    /// The accounts that differ from those of `older`, by hashed address: their leaves here, `None` for one that is
    /// no more. The cost is that of what differs, whichever state was made from the other, if either was.
    ///
    /// # Errors
    /// [`StateError`] when a node of one of the states cannot be read.
    pub fn leaves_since(&self, older: &Self) -> Result<BTreeMap<B256, Option<AccountLeaf>>, StateError> {
        diff::leaves([&older.source(), &self.source()], [&older.accounts, &self.accounts])
    }

    /// The state after a block's changes.
    ///
    /// An account is put in as it is given, even if it is empty: dropping empty accounts (EIP-161) is
    /// execution's business. Slots of a removed account are dropped, those in its change ignored.
    ///
    /// # Errors
    /// [`StateError`] when a node that the changes reach cannot be read; `self` is as before.
    pub fn apply(&self, changes: &StateChanges) -> Result<Self, StateError> {
        let keys = hash::each(changes.accounts.keys().map(|address| address.as_slice()));
        let mut sorted: Vec<_> = keys.into_iter().zip(changes.accounts.values()).collect();
        sorted.sort_unstable_by_key(|(key, _)| *key);
        let source = self.source();
        let accounts = self.accounts.update(&source, &sorted, MergeAccounts(&source))?;
        let mut codes = Arc::clone(&self.codes);
        if !changes.codes.is_empty() {
            Arc::make_mut(&mut codes).extend(changes.codes.iter().map(|(hash, code)| (*hash, code.clone())));
        }
        Ok(Self { accounts, codes, reader: self.reader.clone(), generation: self.generation })
    }

    /// Proves an account and some of its storage slots (plain keys), or their absence.
    ///
    /// # Errors
    /// [`StateError`] when a node on the way cannot be read.
    pub fn prove(&self, address: &Address, slots: &[B256]) -> Result<AccountProof, StateError> {
        let owner = keccak256(address);
        let source = self.source();
        let (account, account_proof) = self.accounts.prove(&source, &owner)?;
        let Some(account) = account.map(|leaf| leaf.value()) else {
            return Ok(AccountProof::absent(*address, account_proof, slots));
        };
        let source = source.of_storage(owner);
        let storage = slots.iter().map(|slot| {
            let (value, proof) = match account.storage() {
                Some(storage) => storage.prove(&source, &keccak256(slot))?,
                None => (None, Vec::new()),
            };
            Ok(StorageProof { slot: *slot, value: value.map_or(U256::ZERO, |leaf| leaf.value()), proof })
        });
        Ok(AccountProof {
            address: *address,
            info: Some(account.info()),
            storage_root: account.storage_root(),
            account_proof,
            storage: storage.collect::<Result<_, StateError>>()?,
        })
    }

    /// What to write to and remove from a disk that holds exactly `older`, so that it holds exactly this
    /// state. The cost is that of what differs; nodes to be removed are loaded for it.
    ///
    /// # Errors
    /// [`StateError`] when a node of one of the states cannot be read.
    pub fn diff_since(&self, older: &Self) -> Result<StateDiff, StateError> {
        let sources = [older.source(), self.source()];
        let nodes = diff::accounts([&sources[0], &sources[1]], [&older.accounts, &self.accounts])?;
        let codes = if Arc::ptr_eq(&self.codes, &older.codes) {
            Vec::new()
        } else {
            let new = self.codes.iter().filter(|(hash, _)| !older.codes.contains_key(*hash));
            new.map(|(hash, code)| (*hash, code.clone())).collect()
        };
        Ok(StateDiff { nodes, codes })
    }

    /// The same state, less the nodes and codes in memory that `flushed`, the state on disk, has too and
    /// that nobody used since the `idle`-th last call. They are loaded again when they are needed. Without a
    /// reader nothing is let go of.
    ///
    /// Meant to be called after each flush, and all later states to be made from the result: the head that
    /// was unloaded is to be given up. A snapshot stays wholly readable for `idle` more calls. After those,
    /// parts of it that were never read and are overwritten on disk may answer
    /// [`StateError::CorruptNode`] or [`StateError::MissingNode`].
    #[must_use]
    pub fn unload_cold(&self, flushed: &Self, idle: u32) -> Self {
        if self.reader.is_none() {
            return self.clone();
        }
        let generation = self.generation.saturating_add(1);
        let threshold = Threshold { cold_before: generation.saturating_sub(idle), generation };
        let accounts = unload::trie(&self.accounts, Some(&flushed.accounts), threshold);
        let accounts = accounts.unwrap_or_else(|| self.accounts.clone());
        let mut codes = Arc::clone(&self.codes);
        if codes.keys().any(|hash| flushed.codes.contains_key(hash)) {
            Arc::make_mut(&mut codes).retain(|hash, _| !flushed.codes.contains_key(hash));
        }
        Self { accounts, codes, reader: self.reader.clone(), generation }
    }

    fn source(&self) -> Source<'_> {
        Source { reader: self.reader.as_deref(), owner: None, generation: self.generation }
    }
}

/// Merges changes, which lie in the order of addresses and are met in that of hashes, into accounts.
struct MergeAccounts<'a>(&'a Source<'a>);

impl Merge<Account, &AccountChange> for MergeAccounts<'_> {
    fn merge(
        &mut self,
        key: &B256,
        old: Option<&Account>,
        change: &&AccountChange,
    ) -> Result<Option<Account>, StateError> {
        merge_account(&self.0.of_storage(*key), old, change)
    }

    #[inline]
    fn fetch(&self, change: &&AccountChange) {
        std::hint::black_box((change.info.is_some(), change.storage.is_empty()));
    }
}

/// The account after a change; `source` is that of its storage trie's nodes.
fn merge_account(
    source: &Source<'_>,
    old: Option<&Account>,
    change: &AccountChange,
) -> Result<Option<Account>, StateError> {
    let Some(info) = &change.info else { return Ok(None) };
    let mut storage = match old.and_then(Account::storage) {
        Some(storage) if !change.wipe_storage => storage.clone(),
        _ => Trie::empty(),
    };
    if !change.storage.is_empty() {
        let keys = hash::each(change.storage.keys().map(|slot| slot.as_slice()));
        let mut words: Vec<_> = keys.into_iter().zip(change.storage.values().copied()).collect();
        words.sort_unstable_by_key(|(key, _)| *key);
        let merge = |_: &B256, _: Option<&U256>, word: &U256| Ok((!word.is_zero()).then_some(*word));
        storage = storage.update(source, &words, merge)?;
    }
    Ok(Some(Account::new(info, storage)))
}

impl StateRead for WorldState {
    fn account(&self, address: &Address) -> Result<Option<AccountInfo>, StateError> {
        let account = self.accounts.get(&self.source(), &keccak256(address))?;
        Ok(account.map(|account| account.value().info()))
    }

    fn storage(&self, address: &Address, slot: &B256) -> Result<U256, StateError> {
        let owner = keccak256(address);
        let source = self.source();
        let account = self.accounts.get(&source, &owner)?;
        // A plain account has no storage.
        let Some(storage) = account.and_then(|account| account.other()?.storage()) else {
            return Ok(U256::ZERO);
        };
        let word = storage.get(&source.of_storage(owner), &keccak256(slot))?;
        Ok(word.map_or(U256::ZERO, |word| word.value()))
    }

    fn code(&self, hash: &B256) -> Result<Bytes, StateError> {
        if *hash == EMPTY_CODE_HASH {
            return Ok(Bytes::new());
        }
        if let Some(code) = self.codes.get(hash) {
            return Ok(code.clone());
        }
        let stored = match &self.reader {
            Some(reader) => reader.code(hash)?,
            None => None,
        };
        let code = stored.ok_or(StateError::MissingCode(*hash))?;
        let found = keccak256(&code);
        if found == *hash { Ok(code) } else { Err(StateError::CorruptCode { expected: *hash, found }) }
    }
}

impl fmt::Debug for WorldState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorldState").field("root", &self.root()).finish_non_exhaustive()
    }
}
