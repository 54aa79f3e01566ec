//! Blocks of transfers over 100,000 accounts, without signatures and without the state root.

use std::collections::BTreeMap;
use std::hint::black_box;

use alloy_primitives::{Address, B256, Bytes, U256};
use anfs_execution::{BlockExecutor, CodeCache};
use anfs_primitives::RecoveredTransaction;
use anfs_state::{AccountInfo, StateError, StateRead, WorldState};

#[path = "../tests/support/mod.rs"]
mod support;

use support::{
    coins, contract, dynamic, env, funded, signed, token, token_input, token_slot, transfer, user,
};

const ACCOUNTS: u64 = 100_000;
const TRANSACTIONS: u64 = 10_000;
const TOKEN: u64 = u64::MAX;

/// A base state without a trie: what is left is execution itself.
#[derive(Clone)]
struct Flat(std::sync::Arc<Accounts>);

struct Accounts {
    accounts: alloy_primitives::map::AddressMap<AccountInfo>,
    slots: alloy_primitives::map::B256Map<U256>,
    code: Bytes,
}

impl StateRead for Flat {
    fn account(&self, address: &Address) -> Result<Option<AccountInfo>, StateError> {
        Ok(self.0.accounts.get(address).copied())
    }

    fn storage(&self, _address: &Address, slot: &B256) -> Result<U256, StateError> {
        Ok(self.0.slots.get(slot).copied().unwrap_or_default())
    }

    fn code(&self, _hash: &B256) -> Result<Bytes, StateError> {
        Ok(self.0.code.clone())
    }
}

fn trie() -> WorldState {
    let users = (0..ACCOUNTS).map(|n| (user(n), funded(coins(1))));
    let accounts: BTreeMap<_, _> = users.chain([(user(TOKEN), token(ACCOUNTS))]).collect();
    WorldState::genesis(&accounts).expect("nothing is read from disk")
}

fn flat() -> Flat {
    let plain = AccountInfo { balance: coins(1), ..AccountInfo::default() };
    let code = contract(support::token_code()).code;
    let token =
        AccountInfo { nonce: 1, code_hash: alloy_primitives::keccak256(&code), ..AccountInfo::default() };
    let accounts = (0..ACCOUNTS).map(|n| (user(n), plain)).chain([(user(TOKEN), token)]).collect();
    let slots = (0..ACCOUNTS).map(|n| (token_slot(user(n)), U256::from(1_000_000))).collect();
    Flat(std::sync::Arc::new(Accounts { accounts, slots, code }))
}

fn stranger(n: u64) -> u64 {
    n.wrapping_mul(48_271) % ACCOUNTS
}

fn transfers() -> Vec<RecoveredTransaction> {
    (0..TRANSACTIONS).map(|n| transfer(user(n * 7), 0, user(stranger(n)), U256::ONE)).collect()
}

fn token_transfers() -> Vec<RecoveredTransaction> {
    let tx = |n: u64| {
        let input = token_input(user(stranger(n)), 1);
        signed(dynamic(0, user(TOKEN).into(), U256::ZERO, input, 100_000), user(n * 7))
    };
    (0..TRANSACTIONS).map(tx).collect()
}

fn block<S: StateRead>(
    state: S,
    transactions: &[RecoveredTransaction],
    codes: &CodeCache,
    record: bool,
) -> u64 {
    let mut block = BlockExecutor::with_codes(env(), state, codes.clone()).expect("genesis has no history");
    if record {
        block = block.record_access();
    }
    for tx in transactions {
        let receipt = block.execute(tx).expect("valid");
        assert!(receipt.success);
    }
    black_box(block.finish().expect("no error at the end")).gas_used
}

fn main() {
    let rounds: u32 = std::env::args().nth(1).unwrap().parse().unwrap();
    let kind = std::env::args().nth(2).unwrap();
    let codes = CodeCache::default();
    let txs = if kind.starts_with("transfer") { transfers() } else { token_transfers() };
    if kind.ends_with("flat") {
        let s = flat();
        for _ in 0..rounds {
            block(s.clone(), &txs, &codes, false);
        }
    } else {
        let s = trie();
        for _ in 0..rounds {
            block(s.clone(), &txs, &codes, false);
        }
    }
}
