use alloy_primitives::{B256, Bytes, U256};
use anfs_execution::{AccessKey, BlockExecutor, CodeCache, ExecutionError, system};
use anfs_primitives::GenesisAccount;
use anfs_state::StateRead;

use crate::support::*;

#[test]
fn a_transfer_moves_value_burns_the_base_fee_and_tips_the_beneficiary() {
    let state = world([]);
    let mut block = BlockExecutor::new(env(), state.clone()).unwrap();
    let receipt = block.execute(&transfer(user(0), 0, user(1), coins(5))).unwrap();
    assert!(receipt.success);
    assert_eq!((receipt.gas_used, receipt.cumulative_gas_used), (21_000, 21_000));
    let fee = U256::from(21_000) * (U256::from(BASE_FEE) + U256::from(TIP));
    let sender = block.account(&user(0)).unwrap().unwrap();
    assert_eq!(sender.balance, coins(999_995) - fee);
    assert_eq!(sender.nonce, 1);
    assert_eq!(block.account(&user(1)).unwrap().unwrap().balance, coins(1_000_005));
    assert_eq!(block.account(&BENEFICIARY).unwrap().unwrap().balance, U256::from(21_000) * U256::from(TIP));
    let outcome = block.finish().unwrap();
    assert_eq!(outcome.changes.accounts.len(), 3);
    assert_eq!(outcome.gas_used, 21_000);
    let after = state.apply(&outcome.changes).unwrap();
    assert_eq!(after.account(&user(1)).unwrap().unwrap().balance, coins(1_000_005));
}

#[test]
fn later_transactions_see_earlier_ones_and_receipts_accumulate() {
    let token_at = user(100);
    let state = world([(token_at, token(1))]);
    let mut block = BlockExecutor::with_codes(env(), state.clone(), CodeCache::default()).unwrap();
    let call = |from, nonce, to, amount| {
        signed(dynamic(nonce, token_at.into(), U256::ZERO, token_input(to, amount), 100_000), from)
    };
    block.execute(&call(user(0), 0, user(1), 400)).unwrap();
    block.execute(&call(user(1), 0, user(2), 300)).unwrap();
    let failed = block.execute(&call(user(1), 1, user(2), 300)).unwrap();
    assert!(!failed.success);
    assert!(failed.logs.is_empty());
    let outcome = block.finish().unwrap();
    assert_eq!(outcome.receipts.iter().map(|r| r.gas_used).sum::<u64>(), outcome.gas_used);
    assert_eq!(outcome.receipts[2].cumulative_gas_used, outcome.gas_used);
    let log = &outcome.receipts[1].logs[0];
    assert_eq!(log.data.topics(), [TRANSFER_TOPIC, user(1).into_word(), user(2).into_word()]);
    assert!(outcome.logs_bloom.contains_log(log));
    let after = state.apply(&outcome.changes).unwrap();
    for (owner, tokens) in [(0, 999_600), (1, 100), (2, 300)] {
        assert_eq!(after.storage(&token_at, &token_slot(user(owner))).unwrap(), U256::from(tokens));
    }
}

#[test]
fn a_slot_set_back_to_its_old_value_is_no_change() {
    let at = user(100);
    // slot 0 = call data
    let state = world([(at, contract(vec![0x5f, 0x35, 0x5f, 0x55, 0x00]))]);
    let mut block = BlockExecutor::new(env(), state).unwrap();
    for (nonce, value) in [(0, 5), (1, 0)] {
        let input = Bytes::from(U256::from(value).to_be_bytes_vec());
        block.execute(&signed(dynamic(nonce, at.into(), U256::ZERO, input, 100_000), user(0))).unwrap();
    }
    let changes = block.finish().unwrap().changes;
    assert!(!changes.accounts.contains_key(&at));
}

#[test]
fn the_parent_hash_goes_into_the_history_contract() {
    let state = world(system::genesis_accounts());
    let outcome = BlockExecutor::new(env(), state.clone()).unwrap().finish().unwrap();
    let after = state.apply(&outcome.changes).unwrap();
    let slot = B256::from(U256::from(6 % system::HISTORY_WINDOW));
    assert_eq!(B256::from(after.storage(&system::HISTORY_STORAGE, &slot).unwrap()), B256::repeat_byte(6));
    assert_eq!(outcome.changes.accounts.len(), 1, "the system address leaves no account");
    // Read back through the contract and through BLOCKHASH.
    let reader = user(100);
    let code = vec![0x60, 6, 0x40, 0x5f, 0x55, 0x00];
    let mut block = BlockExecutor::new(env(), world([(reader, contract(code))])).unwrap();
    block.execute(&signed(dynamic(0, reader.into(), U256::ZERO, Bytes::new(), 100_000), user(0))).unwrap();
    let changes = block.finish().unwrap().changes;
    assert_eq!(B256::from(changes.accounts[&reader].storage[&B256::ZERO]), B256::repeat_byte(6));
}

#[test]
fn a_history_contract_that_fails_is_an_error() {
    let broken = GenesisAccount { code: vec![0xfe].into(), nonce: 1, ..GenesisAccount::default() };
    let error = BlockExecutor::new(env(), world([(system::HISTORY_STORAGE, broken)])).unwrap_err();
    assert!(matches!(error, ExecutionError::SystemCall { .. }), "{error}");
}

#[test]
fn the_deployment_proxy_creates_where_create2_says() {
    let state = world(system::genesis_accounts());
    let mut block = BlockExecutor::new(env(), state).unwrap();
    // Init code that returns one byte of code: STOP.
    let init = [0x60, 1, 0x5f, 0xf3];
    let salt = B256::repeat_byte(9);
    let input: Bytes = [salt.as_slice(), &init].concat().into();
    let tx = dynamic(0, system::DEPLOYMENT_PROXY.into(), U256::ZERO, input, 200_000);
    assert!(block.execute(&signed(tx, user(0))).unwrap().success);
    let created = system::DEPLOYMENT_PROXY.create2_from_code(salt, init);
    let account = block.account(&created).unwrap().unwrap();
    assert_eq!(account.code_hash, alloy_primitives::keccak256([0]));
}

#[test]
fn access_sets_name_what_each_transaction_read_and_wrote() {
    let token_at = user(100);
    let mut block = BlockExecutor::new(env(), world([(token_at, token(1))])).unwrap().record_access();
    block.execute(&transfer(user(0), 0, user(1), U256::ONE)).unwrap();
    let input = token_input(user(2), 1);
    block.execute(&signed(dynamic(1, token_at.into(), U256::ZERO, input, 100_000), user(0))).unwrap();
    // Reads a slot, then reverts: still a read.
    let input = token_input(user(2), 1);
    block.execute(&signed(dynamic(0, token_at.into(), U256::ZERO, input, 100_000), user(5))).unwrap();
    let access = block.finish().unwrap().access.transactions;
    let account = |n| AccessKey::Account(user(n));
    let slot = |n| AccessKey::Slot(token_at, token_slot(user(n)));
    assert_eq!(access.len(), 3);
    let tip = AccessKey::Account(BENEFICIARY);
    assert_eq!(access[0].writes, [account(0), account(1), tip].into());
    assert_eq!(access[1].writes, [account(0), slot(0), slot(2), tip].into());
    assert!(access[1].reads.contains(&account(100)));
    assert_eq!(access[2].writes, [account(5), tip].into());
    assert!(access[2].reads.contains(&slot(5)));
}
