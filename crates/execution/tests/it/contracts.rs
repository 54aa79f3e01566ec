use alloy_consensus::{TxEip2930, TxEip7702};
use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_eips::eip7702::Authorization;
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, TxKind, U256, keccak256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use anfs_execution::BlockExecutor;
use anfs_primitives::RecoveredTransaction;
use anfs_state::StateRead;

use crate::support::*;

fn call(nonce: u64, to: Address, gas: u64) -> RecoveredTransaction {
    signed(dynamic(nonce, to.into(), U256::ZERO, Bytes::new(), gas), user(0))
}

fn create(nonce: u64, init: impl Into<Bytes>, value: U256) -> RecoveredTransaction {
    signed(dynamic(nonce, TxKind::Create, value, init, 500_000), user(0))
}

/// Init code that returns `runtime`.
fn init_of(runtime: &[u8]) -> Vec<u8> {
    let len = u8::try_from(runtime.len()).unwrap();
    let mut init = vec![0x60, len, 0x60, 10, 0x5f, 0x39, 0x60, len, 0x5f, 0xf3];
    init.extend_from_slice(runtime);
    init
}

#[test]
fn a_created_contract_runs() {
    let state = world([]);
    let mut block = BlockExecutor::new(env(), state.clone()).unwrap();
    // Adds one to slot 0.
    let runtime = [0x5f, 0x54, 0x60, 1, 0x01, 0x5f, 0x55, 0x00];
    let receipt = block.execute(&create(0, init_of(&runtime), U256::ZERO)).unwrap();
    let at = user(0).create(0);
    assert_eq!(receipt.contract_address, Some(at));
    for nonce in 1..4 {
        assert!(block.execute(&call(nonce, at, 100_000)).unwrap().success);
    }
    let changes = block.finish().unwrap().changes;
    assert_eq!(changes.codes[&keccak256(runtime)], Bytes::from(runtime));
    let after = state.apply(&changes).unwrap();
    assert_eq!(after.storage(&at, &B256::ZERO).unwrap(), U256::from(3));
    assert_eq!(after.account(&at).unwrap().unwrap().nonce, 1);
    // The next block finds the code in the state.
    let mut block = BlockExecutor::new(env(), after.clone()).unwrap();
    assert!(block.execute(&call(4, at, 100_000)).unwrap().success);
    let after = after.apply(&block.finish().unwrap().changes).unwrap();
    assert_eq!(after.storage(&at, &B256::ZERO).unwrap(), U256::from(4));
}

#[test]
fn a_revert_takes_gas_and_nonce_and_nothing_else() {
    let at = user(100);
    // Writes, logs, then reverts.
    let state = world([(at, contract(vec![0x60, 1, 0x5f, 0x55, 0x5f, 0x5f, 0xa0, 0x5f, 0x5f, 0xfd]))]);
    let mut block = BlockExecutor::new(env(), state).unwrap();
    let tx = signed(dynamic(0, at.into(), coins(1), Bytes::new(), 100_000), user(0));
    let receipt = block.execute(&tx).unwrap().clone();
    assert!(!receipt.success);
    assert!(receipt.logs.is_empty());
    assert!(receipt.gas_used < 100_000);
    let changes = block.finish().unwrap().changes;
    assert_eq!(changes.accounts.keys().collect::<Vec<_>>().len(), 2, "sender and beneficiary");
    let fee = U256::from(receipt.gas_used) * (U256::from(BASE_FEE) + U256::from(TIP));
    let sender = changes.accounts[&user(0)].info.unwrap();
    assert_eq!((sender.nonce, sender.balance), (1, coins(1_000_000) - fee));
}

#[test]
fn self_destruction_removes_only_what_was_created_in_the_same_transaction() {
    // CALLER SELFDESTRUCT
    let destroy = [0x33, 0xff];
    let old = user(100);
    let kept = anfs_primitives::GenesisAccount { balance: coins(3), ..contract(destroy.to_vec()) };
    let mut block = BlockExecutor::new(env(), world([(old, kept)])).unwrap();
    assert!(block.execute(&call(0, old, 100_000)).unwrap().success);
    let account = block.account(&old).unwrap().unwrap();
    assert_eq!((account.balance, account.code_hash), (U256::ZERO, keccak256(destroy)));
    let receipt = block.execute(&create(1, destroy.to_vec(), coins(2))).unwrap();
    let created = receipt.contract_address.unwrap();
    assert_eq!(block.account(&created).unwrap(), None);
    let outcome = block.finish().unwrap();
    assert!(!outcome.changes.accounts.contains_key(&created));
    let fee = U256::from(outcome.gas_used) * (U256::from(BASE_FEE) + U256::from(TIP));
    assert_eq!(outcome.changes.accounts[&user(0)].info.unwrap().balance, coins(1_000_003) - fee);
}

#[test]
fn an_address_can_be_used_again_after_it_was_destroyed() {
    // A factory that creates with CREATE2 a contract which stores 1 and destroys itself, when called with
    // a byte; and without destroying, when called with none. The init code comes from the call data.
    let factory = user(100);
    let code = vec![
        0x36, 0x5f, 0x5f, 0x37, // copy call data to memory
        0x5f, 0x36, 0x5f, 0x5f, 0xf5, 0x5f, 0x55,
        0x00, // create2(0, 0, size, salt 0); store the address
    ];
    let store_and_die = vec![0x60, 1, 0x5f, 0x55, 0x33, 0xff];
    let state = world([(factory, contract(code))]);
    let mut block = BlockExecutor::new(env(), state).unwrap();
    let at = factory.create2_from_code(B256::ZERO, &store_and_die);
    for nonce in 0..2 {
        let tx = dynamic(nonce, factory.into(), U256::ZERO, store_and_die.clone(), 500_000);
        assert!(block.execute(&signed(tx, user(0))).unwrap().success);
        assert_eq!(block.account(&at).unwrap(), None);
    }
    let changes = block.finish().unwrap().changes;
    assert!(!changes.accounts.contains_key(&at));
    assert_eq!(changes.accounts[&factory].storage[&B256::ZERO], U256::from_be_bytes(at.into_word().0));
}

#[test]
fn a_delegated_account_runs_its_delegates_code_and_still_sends() {
    let authority = PrivateKeySigner::from_bytes(&B256::repeat_byte(1)).unwrap();
    let delegate = user(100);
    let state = world([
        (authority.address(), funded(coins(10))),
        (delegate, contract(vec![0x33, 0x5f, 0x55, 0x00])), // slot 0 = caller
    ]);
    let authorization = Authorization { chain_id: U256::from(CHAIN_ID), address: delegate, nonce: 0 };
    let signature = authority.sign_hash_sync(&authorization.signature_hash()).unwrap();
    let tx = TxEip7702 {
        chain_id: CHAIN_ID,
        nonce: 0,
        gas_limit: 200_000,
        max_fee_per_gas: 2 * u128::from(BASE_FEE),
        max_priority_fee_per_gas: TIP,
        to: authority.address(),
        authorization_list: vec![authorization.into_signed(signature)],
        ..TxEip7702::default()
    };
    let mut block = BlockExecutor::new(env(), state.clone()).unwrap();
    assert!(block.execute(&signed(tx, user(0))).unwrap().success);
    // EIP-3607 lets delegated accounts send.
    block.execute(&transfer(authority.address(), 1, user(1), U256::ONE)).unwrap();
    let changes = block.finish().unwrap().changes;
    let after = state.apply(&changes).unwrap();
    let account = after.account(&authority.address()).unwrap().unwrap();
    assert_eq!(account.nonce, 2);
    let designation = after.code(&account.code_hash).unwrap();
    assert_eq!(designation, [&[0xef, 0x01, 0x00], delegate.as_slice()].concat());
    let slot = after.storage(&authority.address(), &B256::ZERO).unwrap();
    assert_eq!(slot, U256::from_be_bytes(user(0).into_word().0));
}

#[test]
fn an_access_list_is_paid_for_and_warms_its_slots() {
    let at = user(100);
    let state = world([(at, contract(vec![0x5f, 0x54, 0x50, 0x00]))]); // SLOAD(0), POP
    let mut block = BlockExecutor::new(env(), state).unwrap();
    let cold = block.execute(&call(0, at, 100_000)).unwrap().gas_used;
    assert_eq!(cold, 21_000 + 2 + 2_100 + 2);
    let tx = TxEip2930 {
        chain_id: CHAIN_ID,
        nonce: 1,
        gas_price: 2 * u128::from(BASE_FEE),
        gas_limit: 100_000,
        to: at.into(),
        access_list: AccessList(vec![AccessListItem { address: at, storage_keys: vec![B256::ZERO] }]),
        ..TxEip2930::default()
    };
    let warm = block.execute(&signed(tx, user(0))).unwrap().gas_used;
    assert_eq!(warm, 21_000 + 2_400 + 1_900 + 2 + 100 + 2);
}

#[test]
fn calls_nest_to_the_limit_on_a_small_native_stack() {
    let at = user(100);
    // slot 0 += 1, then call itself with all gas.
    let code =
        vec![0x5f, 0x54, 0x60, 1, 0x01, 0x5f, 0x55, 0x5f, 0x5f, 0x5f, 0x5f, 0x5f, 0x30, 0x5a, 0xf1, 0x00];
    let state = world([(at, contract(code))]);
    let run = move || {
        let mut block = BlockExecutor::new(env(), state).unwrap();
        let limit = env().gas_limit;
        assert!(block.execute(&call(0, at, limit)).unwrap().success);
        block.finish().unwrap().changes.accounts[&at].storage[&B256::ZERO]
    };
    let thread = std::thread::Builder::new().stack_size(256 * 1024).spawn(run).unwrap();
    assert_eq!(thread.join().unwrap(), U256::from(1025), "depths 0 to 1024");
}

#[test]
fn an_account_that_is_touched_and_empty_does_not_come_to_be() {
    let mut block = BlockExecutor::new(env(), world([])).unwrap();
    block.execute(&transfer(user(0), 0, user(900), U256::ZERO)).unwrap();
    assert_eq!(block.account(&user(900)).unwrap(), None);
    let account = block.account(&user(0)).unwrap().unwrap();
    assert_eq!(account.code_hash, KECCAK256_EMPTY);
    assert!(!block.finish().unwrap().changes.accounts.contains_key(&user(900)));
}
