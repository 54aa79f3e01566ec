//! The state as a block in the making sees it: a base that never changes, and every change since.

use std::collections::BTreeMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use alloy_primitives::map::{AddressMap, B256Map, U256Map};
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256};
use anfs_primitives::DomainId;
use anfs_state::{AccountChange, StateChanges, StateError, StateRead};
use revm::bytecode::Bytecode;
use revm::state::{Account, AccountInfo, EvmState};
use revm::{Database, DatabaseRef};

use crate::codes::CodeCache;
use crate::domain::{Found, Place, Residence};
use crate::env::Ancestors;
use crate::error::DatabaseError;

/// Changes on top of a base state, with everything that was read from the base kept at hand.
pub(crate) struct Overlay<S> {
    base: S,
    ancestors: Arc<dyn Ancestors>,
    accounts: AddressMap<Cached>,
    codes: B256Map<Bytecode>,
    shared_codes: Option<CodeCache>,
    block_hashes: BTreeMap<u64, B256>,
    /// The domain whose state this is; without one, every account lives here.
    place: Option<Place>,
    /// What foreign accounts hold while a transaction runs.
    lent: AddressMap<U256>,
}

/// What a transaction left behind that is not a change of this domain's state.
#[derive(Debug, Default)]
pub(crate) struct Leftovers {
    /// Coins of foreign accounts and where those live, by address.
    pub(crate) foreign: BTreeMap<Address, (DomainId, U256)>,
    /// Accounts created away from their homes.
    pub(crate) guests: Vec<Address>,
    /// Coins that went down with destroyed accounts.
    pub(crate) destroyed: U256,
}

#[derive(Clone, Debug, Default)]
struct Cached {
    base: Option<anfs_state::AccountInfo>,
    now: Option<AccountInfo>,
    changed: bool,
    /// What the base stores for the account is void.
    wiped: bool,
    storage: U256Map<Slot>,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    base: U256,
    now: U256,
}

impl<S: StateRead> Overlay<S> {
    /// No changes yet.
    pub(crate) fn new(base: S, ancestors: Arc<dyn Ancestors>, shared_codes: Option<CodeCache>) -> Self {
        Self {
            base,
            ancestors,
            accounts: AddressMap::default(),
            codes: B256Map::default(),
            shared_codes,
            block_hashes: BTreeMap::new(),
            place: None,
            lent: AddressMap::default(),
        }
    }

    /// Makes this the state of one domain of several.
    pub(crate) fn set_place(&mut self, place: Place) {
        self.place = Some(place);
    }

    /// Whether it sees accounts as a domain of several does.
    pub(crate) fn has_place(&self) -> bool {
        self.place.is_some()
    }

    /// The domain whose state this is; the first, when there is no other.
    pub(crate) fn domain(&self) -> DomainId {
        self.place.as_ref().map_or(DomainId(1), Place::domain)
    }

    /// Where an account lives as of now.
    pub(crate) fn residence(&mut self, address: &Address) -> Result<Residence, StateError> {
        if self.place.is_none() {
            return Ok(Residence::Here);
        }
        self.cached(*address)?;
        Ok(self.known_residence(address))
    }

    /// Where an account lives that was looked at before.
    fn known_residence(&self, address: &Address) -> Residence {
        let Some(place) = &self.place else { return Residence::Here };
        let now = self.accounts.get(address).and_then(|cached| cached.now.as_ref());
        place.residence(address, now.map(|info| Found { nonce: info.nonce, code_hash: info.code_hash }))
    }

    /// Gives a foreign account coins to spend in the next transaction.
    pub(crate) fn lend(&mut self, address: Address, value: U256) {
        self.lent.insert(address, value);
    }

    /// The account as of now.
    pub(crate) fn account(&self, address: &Address) -> Result<Option<anfs_state::AccountInfo>, StateError> {
        match self.accounts.get(address) {
            Some(cached) => Ok(cached.now.as_ref().map(plain)),
            None => self.base.account(address),
        }
    }

    /// A storage slot as of now.
    pub(crate) fn slot(&self, address: &Address, key: U256) -> Result<U256, StateError> {
        let Some(cached) = self.accounts.get(address) else {
            return self.base.storage(address, &B256::from(key));
        };
        match cached.storage.get(&key) {
            Some(slot) => Ok(slot.now),
            None if cached.wiped || cached.base.is_none() => Ok(U256::ZERO),
            None => self.base.storage(address, &B256::from(key)),
        }
    }

    /// The code with this hash.
    pub(crate) fn code(&self, hash: B256) -> Result<Bytecode, StateError> {
        if hash == KECCAK256_EMPTY || hash.is_zero() {
            return Ok(Bytecode::default());
        }
        if let Some(code) = self.codes.get(&hash) {
            return Ok(code.clone());
        }
        if let Some(code) = self.shared_codes.as_ref().and_then(|shared| shared.get(&hash)) {
            return Ok(code);
        }
        let bytes = self.base.code(&hash)?;
        let code = match Bytecode::new_raw_checked(bytes.clone()) {
            Ok(code) => code,
            Err(_) => Bytecode::new_legacy(bytes),
        };
        if let Some(shared) = &self.shared_codes {
            shared.insert(hash, code.clone());
        }
        Ok(code)
    }

    fn cached(&mut self, address: Address) -> Result<&mut Cached, StateError> {
        load(&mut self.accounts, &self.base, address)
    }

    /// Takes over what a transaction left in the journal. The order of the accounts does not matter.
    pub(crate) fn commit(&mut self, state: &mut EvmState) -> Leftovers {
        let mut leftovers = Leftovers::default();
        for (address, account) in state.drain() {
            if account.is_touched() {
                if account.is_selfdestructed() {
                    leftovers.destroyed = leftovers.destroyed.saturating_add(account.info.balance);
                }
                if self.place.is_some() && !self.keeps(&address, &account, &mut leftovers) {
                    continue;
                }
                self.commit_account(address, account);
            }
        }
        self.lent.clear();
        leftovers.guests.sort_unstable();
        leftovers
    }

    /// Whether what a transaction made of an account belongs into this domain's state; notes what does not.
    fn keeps(&self, address: &Address, account: &Account, leftovers: &mut Leftovers) -> bool {
        if account.is_selfdestructed() {
            return true;
        }
        let Residence::At(domain) = self.known_residence(address) else { return true };
        let exists = account.info.nonce > 0 || account.info.code_hash != KECCAK256_EMPTY;
        if account.is_created() && exists {
            leftovers.guests.push(*address);
            return true;
        }
        if !account.info.balance.is_zero() {
            leftovers.foreign.insert(*address, (domain, account.info.balance));
        }
        false
    }

    fn commit_account(&mut self, address: Address, account: Account) {
        let cached = self.accounts.entry(address).or_default();
        cached.changed = true;
        let emptied = account.is_empty() && !account.is_created();
        if account.is_selfdestructed() || account.is_created() || emptied {
            cached.wiped = true;
            cached.storage.clear();
        }
        if account.is_selfdestructed() || account.is_empty() {
            cached.now = None;
            return;
        }
        if let Some(code) = &account.info.code
            && account.info.code_hash != KECCAK256_EMPTY
            && cached.now.as_ref().is_none_or(|now| now.code_hash != account.info.code_hash)
        {
            self.codes.insert(account.info.code_hash, code.clone());
        }
        for (key, slot) in account.storage {
            if slot.is_changed() {
                let entry = cached.storage.entry(key);
                // A slot that was never read through here can only be one of a fresh account.
                entry.or_insert(Slot { base: U256::ZERO, now: U256::ZERO }).now = slot.present_value;
            }
        }
        cached.now = Some(account.info);
    }

    /// Sets an account aside from any transaction; `edit` sees it as of now.
    pub(crate) fn edit(
        &mut self,
        address: Address,
        edit: impl FnOnce(&mut AccountInfo),
    ) -> Result<(), StateError> {
        let cached = self.cached(address)?;
        let mut info = cached.now.take().unwrap_or_default();
        edit(&mut info);
        let code = info.code.clone().filter(|_| info.code_hash != KECCAK256_EMPTY);
        let hash = info.code_hash;
        cached.now = Some(info);
        cached.changed = true;
        if let Some(code) = code {
            self.codes.insert(hash, code);
        }
        Ok(())
    }

    /// Sets a storage slot aside from any transaction.
    pub(crate) fn set_slot(&mut self, address: Address, key: U256, value: U256) -> Result<(), StateError> {
        self.read_slot(address, key)?;
        let cached = self.cached(address)?;
        cached.changed = true;
        cached.storage.entry(key).or_insert(Slot { base: U256::ZERO, now: value }).now = value;
        Ok(())
    }

    /// Empties an account's storage aside from any transaction.
    pub(crate) fn wipe(&mut self, address: Address) -> Result<(), StateError> {
        let cached = self.cached(address)?;
        cached.changed = true;
        cached.wiped = true;
        cached.storage.clear();
        Ok(())
    }

    /// Answers BLOCKHASH for a number before asking the ancestors.
    pub(crate) fn set_block_hash(&mut self, number: u64, hash: B256) {
        self.block_hashes.insert(number, hash);
    }

    fn read_slot(&mut self, address: Address, key: U256) -> Result<U256, StateError> {
        let cached = load(&mut self.accounts, &self.base, address)?;
        match cached.storage.entry(key) {
            Entry::Occupied(slot) => Ok(slot.get().now),
            Entry::Vacant(slot) => {
                let value = if cached.wiped || cached.base.is_none() {
                    U256::ZERO
                } else {
                    self.base.storage(&address, &B256::from(key))?
                };
                slot.insert(Slot { base: value, now: value });
                Ok(value)
            }
        }
    }

    /// Everything that differs from the base.
    pub(crate) fn changes(&self) -> StateChanges {
        let mut changes = StateChanges { accounts: BTreeMap::new(), codes: BTreeMap::new() };
        for (address, cached) in &self.accounts {
            if !cached.changed {
                continue;
            }
            let Some(change) = cached.change() else { continue };
            if let Some(info) = &change.info
                && cached.base.as_ref().is_none_or(|base| base.code_hash != info.code_hash)
                && let Some(code) = self.codes.get(&info.code_hash)
            {
                changes.codes.insert(info.code_hash, code.original_bytes());
            }
            changes.accounts.insert(*address, change);
        }
        changes
    }
}

impl Cached {
    /// The difference to the base; `None` when there is none.
    fn change(&self) -> Option<AccountChange> {
        let wipe_storage = self.wiped && self.base.is_some();
        let differs = |slot: &Slot| {
            if self.now.is_none() {
                // No account, no storage: it goes with the account.
                false
            } else if self.wiped {
                !slot.now.is_zero()
            } else {
                slot.now != slot.base
            }
        };
        let storage: BTreeMap<B256, U256> = self
            .storage
            .iter()
            .filter(|(_, slot)| differs(slot))
            .map(|(key, slot)| (B256::from(*key), slot.now))
            .collect();
        let same_info = match (&self.base, &self.now) {
            (None, None) => true,
            (Some(base), Some(now)) => *base == plain(now),
            _ => false,
        };
        if same_info && storage.is_empty() && !wipe_storage {
            return None;
        }
        Some(AccountChange { info: self.now.as_ref().map(plain), wipe_storage, storage })
    }
}

/// The account's entry, filled from the base at the first look.
fn load<'a, S: StateRead>(
    accounts: &'a mut AddressMap<Cached>,
    base: &S,
    address: Address,
) -> Result<&'a mut Cached, StateError> {
    match accounts.entry(address) {
        Entry::Occupied(entry) => Ok(entry.into_mut()),
        Entry::Vacant(entry) => {
            let base = base.account(&address)?;
            let now = base.map(|info| AccountInfo {
                balance: info.balance,
                nonce: info.nonce,
                code_hash: info.code_hash,
                code: None,
                ..AccountInfo::default()
            });
            Ok(entry.insert(Cached { base, now, ..Cached::default() }))
        }
    }
}

/// The account without its code.
fn plain(info: &AccountInfo) -> anfs_state::AccountInfo {
    anfs_state::AccountInfo { nonce: info.nonce, balance: info.balance, code_hash: info.code_hash }
}

impl<S: StateRead> Database for Overlay<S> {
    type Error = DatabaseError;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, DatabaseError> {
        if let Residence::At(_) = self.residence(&address)? {
            return Ok(self.lent.get(&address).map(|balance| AccountInfo::from_balance(*balance)));
        }
        let hash = match &self.cached(address)?.now {
            Some(info) if info.code.is_none() && info.code_hash != KECCAK256_EMPTY => info.code_hash,
            now => return Ok(now.clone()),
        };
        // Analysed code is kept with the account, so that later transactions find it there.
        let code = self.code(hash)?;
        let cached = self.cached(address)?;
        if let Some(info) = &mut cached.now {
            info.code = Some(code);
        }
        Ok(cached.now.clone())
    }

    fn code_by_hash(&mut self, hash: B256) -> Result<Bytecode, DatabaseError> {
        Ok(self.code(hash)?)
    }

    fn storage(&mut self, address: Address, key: U256) -> Result<U256, DatabaseError> {
        Ok(self.read_slot(address, key)?)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, DatabaseError> {
        self.block_hash_ref(number)
    }
}

impl<S: StateRead> DatabaseRef for Overlay<S> {
    type Error = DatabaseError;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, DatabaseError> {
        let Some(info) = self.account(&address)? else { return Ok(None) };
        Ok(Some(AccountInfo {
            balance: info.balance,
            nonce: info.nonce,
            code_hash: info.code_hash,
            code: Some(self.code(info.code_hash)?),
            ..AccountInfo::default()
        }))
    }

    fn code_by_hash_ref(&self, hash: B256) -> Result<Bytecode, DatabaseError> {
        Ok(self.code(hash)?)
    }

    fn storage_ref(&self, address: Address, key: U256) -> Result<U256, DatabaseError> {
        Ok(self.slot(&address, key)?)
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, DatabaseError> {
        let known = self.block_hashes.get(&number).copied();
        Ok(known.or_else(|| self.ancestors.block_hash(number)).unwrap_or_default())
    }
}

/// Reads through to the overlay, so that one overlay can be the base of another.
impl<S: StateRead> StateRead for Overlay<S> {
    fn account(&self, address: &Address) -> Result<Option<anfs_state::AccountInfo>, StateError> {
        Self::account(self, address)
    }

    fn storage(&self, address: &Address, key: &B256) -> Result<U256, StateError> {
        self.slot(address, (*key).into())
    }

    fn code(&self, hash: &B256) -> Result<Bytes, StateError> {
        Ok(Self::code(self, *hash)?.original_bytes())
    }
}
