//! Refused transactions: geth's words, and no trace.

use alloy_consensus::{TxEip1559, TxEip7702};
use alloy_primitives::{Address, Bytes, TxKind, U256};
use anfs_execution::{BlockEnv, BlockExecutor, ExecutionError};
use anfs_primitives::RecoveredTransaction;
use anfs_primitives::spec::EvmFork;

use crate::support::*;

fn plain() -> TxEip1559 {
    dynamic(0, user(1).into(), U256::ONE, Bytes::new(), 21_000)
}

fn check(env: BlockEnv, tx: &RecoveredTransaction, expected: &str) {
    let code_at = user(100);
    let clean_env = env.clone();
    let mut block = BlockExecutor::new(env, world([(code_at, contract(vec![0x00]))])).unwrap();
    let error = block.execute(tx).unwrap_err();
    assert!(matches!(error, ExecutionError::Invalid(_)), "{error:?}");
    assert_eq!(error.to_string(), expected);
    assert_eq!(block.gas_used(), 0);
    assert!(block.receipts().is_empty());
    // The same executor still runs what is valid, as if nothing had happened.
    block.execute(&transfer(user(3), 0, user(4), U256::ONE)).unwrap();
    let tried = block.finish().unwrap().changes;
    let mut clean = BlockExecutor::new(clean_env, world([(code_at, contract(vec![0x00]))])).unwrap();
    clean.execute(&transfer(user(3), 0, user(4), U256::ONE)).unwrap();
    assert_eq!(tried, clean.finish().unwrap().changes);
}

fn refused(change: impl FnOnce(&mut TxEip1559), sender: Address, expected: &str) {
    let mut tx = plain();
    change(&mut tx);
    check(env(), &signed(tx, sender), expected);
}

#[test]
fn nonces() {
    let sender = user(0);
    refused(|tx| tx.nonce = 3, sender, &format!("nonce too high: address {sender}, tx: 3 state: 0"));
    let mut block = BlockExecutor::new(env(), world([])).unwrap();
    block.execute(&signed(plain(), sender)).unwrap();
    let error = block.execute(&signed(plain(), sender)).unwrap_err();
    assert_eq!(error.to_string(), format!("nonce too low: address {sender}, tx: 0 state: 1"));
    refused(
        |tx| tx.nonce = u64::MAX,
        sender,
        &format!("nonce has max value: address {sender}, nonce: {}", u64::MAX),
    );
}

#[test]
fn funds() {
    let sender = user(500);
    let want = U256::from(21_000) * U256::from(2 * BASE_FEE) + U256::ONE;
    refused(
        |_| (),
        sender,
        &format!("insufficient funds for gas * price + value: address {sender} have 0 want {want}"),
    );
    refused(
        |tx| tx.value = U256::MAX,
        sender,
        &format!(
            "insufficient funds for gas * price + value: address {sender} required balance exceeds 256 bits"
        ),
    );
}

#[test]
fn gas() {
    let sender = user(0);
    refused(|tx| tx.gas_limit = 20_999, sender, "intrinsic gas too low: have 20999, want 21000");
    refused(
        |tx| {
            tx.input = vec![1; 1000].into();
            tx.gas_limit = 40_000;
        },
        sender,
        "insufficient gas for floor data gas cost: have 40000, want 61000",
    );
    let limit = env().gas_limit;
    refused(
        |tx| tx.gas_limit = limit + 1,
        sender,
        &format!("gas limit reached: have {limit}, want {}", limit + 1),
    );
    let mut small = BlockEnv { gas_limit: 50_000, ..env() };
    let mut block = BlockExecutor::new(small.clone(), world([])).unwrap();
    block.execute(&transfer(user(0), 0, user(1), U256::ONE)).unwrap();
    block.execute(&transfer(user(0), 1, user(1), U256::ONE)).unwrap();
    let error = block.execute(&transfer(user(0), 2, user(1), U256::ONE)).unwrap_err();
    assert_eq!(error.to_string(), "gas limit reached: have 8000, want 21000");
    small.gas_limit = 1 << 40;
    small.fork = EvmFork::Osaka;
    let tx = TxEip1559 { gas_limit: (1 << 24) + 1, ..plain() };
    let mut block = BlockExecutor::new(small, world([])).unwrap();
    let error = block.execute(&signed(tx, sender)).unwrap_err();
    assert_eq!(error.to_string(), "transaction gas limit too high (cap: 16777216, tx: 16777217)");
}

#[test]
fn fees() {
    let sender = user(0);
    refused(
        |tx| tx.max_fee_per_gas = 5_000,
        sender,
        &format!(
            "max fee per gas less than block base fee: address {sender}, maxFeePerGas: 5000, baseFee: {BASE_FEE}"
        ),
    );
    refused(
        |tx| tx.max_priority_fee_per_gas = tx.max_fee_per_gas + 1,
        sender,
        &format!(
            "max priority fee per gas higher than max fee per gas: address {sender}, maxPriorityFeePerGas: 2000000001, maxFeePerGas: 2000000000"
        ),
    );
}

#[test]
fn senders_shapes_and_chains() {
    let sender = user(0);
    let code_at = user(100);
    refused(|tx| tx.nonce = 1, code_at, &format!("sender not an eoa: address {code_at}"));
    refused(
        |tx| {
            tx.to = TxKind::Create;
            tx.input = vec![0; 49_153].into();
            tx.gas_limit = 10_000_000;
        },
        sender,
        "max initcode size exceeded: code size 49153 limit 49152",
    );
    refused(|tx| tx.chain_id = 5, sender, "invalid chain id for signer: have 5 want 1337");
    let empty = TxEip7702 {
        chain_id: CHAIN_ID,
        gas_limit: 100_000,
        max_fee_per_gas: 2_000_000_000,
        to: user(1),
        ..TxEip7702::default()
    };
    check(
        env(),
        &signed(empty, sender),
        &format!("EIP-7702 transaction with empty auth list (sender {sender})"),
    );
}
