//! The state as a plain map, its root from a full rebuild by `alloy-trie`.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_trie::proof::verify_proof;
use alloy_trie::root::{state_root_unhashed, storage_root_unhashed};
use alloy_trie::{Nibbles, TrieAccount};
use anfs_state::{AccountChange, AccountInfo, EMPTY_CODE_HASH, StateChanges, StateRead, WorldState};
use proptest::prelude::*;

const ADDRESSES: u8 = 24;
const SLOTS: u8 = 16;

#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    accounts: BTreeMap<Address, (AccountInfo, BTreeMap<B256, U256>)>,
    codes: BTreeMap<B256, Bytes>,
}

impl Model {
    pub(crate) fn apply(&mut self, changes: &StateChanges) {
        for (address, change) in &changes.accounts {
            let Some(info) = change.info else {
                self.accounts.remove(address);
                continue;
            };
            let account = self.accounts.entry(*address).or_default();
            account.0 = info;
            if change.wipe_storage {
                account.1.clear();
            }
            account.1.extend(&change.storage);
            account.1.retain(|_, word| !word.is_zero());
        }
        self.codes.extend(changes.codes.clone());
    }

    fn trie_account(info: &AccountInfo, storage: &BTreeMap<B256, U256>) -> TrieAccount {
        let storage_root = storage_root_unhashed(storage.iter().map(|(slot, word)| (*slot, *word)));
        TrieAccount::new(info.nonce, info.balance, storage_root, info.code_hash)
    }

    pub(crate) fn root(&self) -> B256 {
        let accounts = self.accounts.iter();
        state_root_unhashed(
            accounts.map(|(address, (info, storage))| (*address, Self::trie_account(info, storage))),
        )
    }

    /// Holds all accounts, slots and codes, and the root, of a state against the model.
    pub(crate) fn check(&self, state: &WorldState) {
        assert_eq!(state.root(), self.root());
        for address in (0..=ADDRESSES).map(Address::with_last_byte) {
            let expected = self.accounts.get(&address);
            assert_eq!(state.account(&address).unwrap(), expected.map(|(info, _)| *info));
            if let Some((info, _)) = expected {
                let code = self.codes.get(&info.code_hash).cloned().unwrap_or_default();
                assert_eq!(state.code(&info.code_hash).unwrap(), code);
            }
            for slot in (0..=SLOTS).map(B256::with_last_byte) {
                let word = expected.and_then(|(_, storage)| storage.get(&slot));
                assert_eq!(state.storage(&address, &slot).unwrap(), word.copied().unwrap_or_default());
            }
        }
    }

    /// Proves everything there is and something there isn't.
    pub(crate) fn check_proofs(&self, state: &WorldState) {
        let slots: Vec<_> = (0..=SLOTS).map(B256::with_last_byte).collect();
        for address in (0..=ADDRESSES).map(Address::with_last_byte) {
            let proof = state.prove(&address, &slots).unwrap();
            let expected = self.accounts.get(&address);
            assert_eq!(proof.info, expected.map(|(info, _)| *info));
            let account = expected.map(|(info, storage)| Self::trie_account(info, storage));
            assert_eq!(proof.storage_root, account.unwrap_or_default().storage_root);
            assert_eq!(state.storage_root(&address).unwrap(), account.map(|account| account.storage_root));
            let key = Nibbles::unpack(keccak256(address));
            verify_proof(state.root(), key, account.map(alloy_rlp::encode), &proof.account_proof).unwrap();
            for (slot, storage) in slots.iter().zip(&proof.storage) {
                let word = expected.and_then(|(_, words)| words.get(slot)).copied().unwrap_or_default();
                assert_eq!((storage.slot, storage.value), (*slot, word));
                let value = (!word.is_zero()).then(|| alloy_rlp::encode(word));
                let key = Nibbles::unpack(keccak256(slot));
                verify_proof(proof.storage_root, key, value, &storage.proof).unwrap();
            }
        }
    }
}

fn info() -> impl Strategy<Value = (AccountInfo, Bytes)> {
    let balance = prop_oneof![
        2 => Just(U256::ZERO),
        2 => any::<u64>().prop_map(U256::from),
        1 => (1..5u8).prop_map(|i| U256::from(i) << 128),
        1 => Just(U256::MAX),
    ];
    (any::<u8>(), balance, 0..3u8).prop_map(|(nonce, balance, code)| {
        let code = Bytes::from(vec![code; usize::from(code) * 40]);
        let code_hash = if code.is_empty() { EMPTY_CODE_HASH } else { keccak256(&code) };
        (AccountInfo { nonce: nonce.into(), balance, code_hash }, code)
    })
}

fn change() -> impl Strategy<Value = (AccountChange, Bytes)> {
    let word = prop_oneof![2 => Just(U256::ZERO), 3 => (1..9u8).prop_map(U256::from), 1 => Just(U256::MAX)];
    let storage = prop::collection::btree_map((0..SLOTS).prop_map(B256::with_last_byte), word, 0..6);
    (prop::option::weighted(0.75, info()), prop::bool::weighted(0.15), storage).prop_map(
        |(account, wipe_storage, storage)| {
            let (info, code) = account.unzip();
            (AccountChange { info, wipe_storage, storage }, code.unwrap_or_default())
        },
    )
}

/// The changes of a block.
pub(crate) fn block() -> impl Strategy<Value = StateChanges> {
    let address = (0..ADDRESSES).prop_map(Address::with_last_byte);
    prop::collection::btree_map(address, change(), 0..6).prop_map(|accounts| {
        let mut changes = StateChanges::default();
        for (address, (change, code)) in accounts {
            if !code.is_empty() {
                changes.codes.insert(keccak256(&code), code);
            }
            changes.accounts.insert(address, change);
        }
        changes
    })
}
