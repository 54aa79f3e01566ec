use alloy_primitives::{Address, B256, Bytes, TxKind, U256, address};
use alloy_rpc_types_eth::simulate::{SimBlock, SimulatePayload};
use alloy_rpc_types_eth::state::StateOverridesBuilder;
use alloy_rpc_types_eth::{BlockOverrides, BlockTransactions, TransactionRequest};
use anfs_execution::simulate::{Limits, SimulationParent, Simulator};
use anfs_execution::{BlockExecutor, ExecutionError};
use anfs_state::WorldState;

use crate::support::*;

const EMITTER: Address = address!("eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee");

fn parent() -> SimulationParent {
    SimulationParent {
        number: 7,
        hash: B256::repeat_byte(7),
        timestamp: 1_700_000_000,
        base_fee: BASE_FEE,
        gas_used: 0,
    }
}

fn run(
    state: &WorldState,
    payload: &SimulatePayload,
) -> Result<Vec<alloy_rpc_types_eth::simulate::SimulatedBlock>, ExecutionError> {
    Simulator::new(env(), state.clone(), Limits::default()).simulate_v1(payload, parent(), |fee, _| fee)
}

fn pay(from: Address, to: Address, value: u64) -> TransactionRequest {
    TransactionRequest::default().from(from).to(to).value(U256::from(value))
}

fn refused(payload: &SimulatePayload, expected: i32) {
    match run(&world([]), payload) {
        Err(ExecutionError::Simulation { code, .. }) => assert_eq!(code, expected),
        other => panic!("{other:?}"),
    }
}

#[test]
fn blocks_build_on_each_other_and_fill_gaps() {
    let poor = user(500);
    let first = SimBlock::default().call(pay(user(0), poor, 50));
    let second = SimBlock::default()
        .with_block_overrides(BlockOverrides::default().with_number(U256::from(11)))
        .call(pay(poor, user(1), 20));
    let blocks = run(&world([]), &SimulatePayload::default().extend(first).extend(second)).unwrap();
    let numbers: Vec<u64> = blocks.iter().map(|block| block.inner.header.inner.number).collect();
    assert_eq!(numbers, [8, 9, 10, 11]);
    assert_eq!(blocks[0].inner.header.inner.parent_hash, parent().hash);
    for pair in blocks.windows(2) {
        assert_eq!(pair[1].inner.header.inner.parent_hash, pair[0].inner.header.hash);
        assert!(pair[1].inner.header.inner.timestamp > pair[0].inner.header.inner.timestamp);
    }
    assert!(blocks[3].calls[0].status);
    assert_eq!(blocks[3].calls[0].gas_used, 21_000);
    assert!(matches!(&blocks[3].inner.transactions, BlockTransactions::Hashes(hashes) if hashes.len() == 1));
}

#[test]
fn the_state_root_is_the_one_that_execution_gives() {
    let state = world([]);
    let request = TransactionRequest {
        gas: Some(21_000),
        nonce: Some(0),
        ..pay(user(0), user(1), 5).max_fee_per_gas(2 * u128::from(BASE_FEE)).max_priority_fee_per_gas(TIP)
    };
    let payload = SimulatePayload::default().extend(SimBlock::default().call(request)).with_validation();
    let block = &run(&state, &payload).unwrap()[0];
    let mut real = BlockExecutor::new(env(), state.clone()).unwrap();
    real.execute(&transfer(user(0), 0, user(1), U256::from(5))).unwrap();
    let after = state.apply(&real.finish().unwrap().changes).unwrap();
    assert_eq!(block.inner.header.inner.state_root, after.root());
    assert_eq!(block.inner.header.inner.base_fee_per_gas, Some(BASE_FEE));
}

#[test]
fn transfers_leave_logs_unless_they_are_reverted() {
    let forwarder = user(100);
    // Sends one wei to the address in the call data, then reverts when a second word is not zero.
    let code = vec![
        0x5f, 0x5f, 0x5f, 0x5f, 0x60, 1, 0x5f, 0x35, 0x5a, 0xf1, 0x50, // call(gas, data[0], 1, …)
        0x60, 0x20, 0x35, 0x60, 17, 0x57, 0x00, 0x5b, 0x5f, 0x5f, 0xfd,
    ];
    let mut code = code;
    let target = code.iter().position(|byte| *byte == 0x5b).unwrap();
    code[15] = u8::try_from(target).unwrap();
    let state = world([(forwarder, contract(code))]);
    let call = |revert: u8| {
        let data = [user(9).into_word().0, B256::with_last_byte(revert).0].concat();
        pay(user(0), forwarder, 3).input(Bytes::from(data).into())
    };
    let block = SimBlock::default().call(call(0)).call(call(1));
    let payload = SimulatePayload { trace_transfers: true, ..SimulatePayload::default().extend(block) };
    let block = &run(&state, &payload).unwrap()[0];
    let logs = &block.calls[0].logs;
    let parties: Vec<_> = logs.iter().map(|log| (log.topics()[1], log.topics()[2])).collect();
    assert_eq!(
        parties,
        [(user(0).into_word(), forwarder.into_word()), (forwarder.into_word(), user(9).into_word()),]
    );
    assert!(logs.iter().all(|log| log.address() == EMITTER && log.topics()[0] == TRANSFER_TOPIC));
    assert!(logs.iter().all(|log| log.block_hash == Some(block.inner.header.hash)));
    let failed = &block.calls[1];
    assert!(!failed.status);
    assert!(failed.logs.is_empty());
    assert_eq!(failed.error.as_ref().unwrap().code, 3);
}

#[test]
fn full_transactions_carry_their_senders() {
    let state = StateOverridesBuilder::default().with_balance(user(600), coins(1)).build();
    let create =
        TransactionRequest { to: Some(TxKind::Create), ..TransactionRequest::default().from(user(600)) };
    let block = SimBlock::default().with_state_overrides(state).call(create);
    let payload = SimulatePayload::default().extend(block).with_full_transactions();
    let block = &run(&world([]), &payload).unwrap()[0];
    let BlockTransactions::Full(full) = &block.inner.transactions else { panic!("not full") };
    assert_eq!(full[0].inner.signer(), user(600));
}

#[test]
fn bad_chains_and_invalid_calls_have_their_codes() {
    let numbered = |n: u64| {
        SimBlock::default().with_block_overrides(BlockOverrides::default().with_number(U256::from(n)))
    };
    refused(&SimulatePayload::default(), -32602);
    refused(&SimulatePayload::default().extend(numbered(7)), -38020);
    refused(&SimulatePayload::default().extend(numbered(9)).extend(numbered(9)), -38020);
    refused(&SimulatePayload::default().extend(numbered(1000)), -38026);
    let early = SimBlock::default().with_block_overrides(BlockOverrides::default().with_time(5));
    refused(&SimulatePayload::default().extend(early), -38021);
    let checked = |call| SimulatePayload::default().extend(SimBlock::default().call(call)).with_validation();
    let funded = pay(user(0), user(1), 5).max_fee_per_gas(2 * u128::from(BASE_FEE));
    let funded = TransactionRequest { gas: Some(21_000), ..funded };
    refused(&checked(TransactionRequest { nonce: Some(4), ..funded.clone() }), -38011);
    refused(&checked(TransactionRequest { gas: Some(20_000), ..funded.clone() }), -38013);
    refused(&checked(TransactionRequest { max_fee_per_gas: Some(1), ..funded.clone() }), -38012);
    refused(&checked(TransactionRequest { from: Some(user(900)), ..funded.clone() }), -38014);
    refused(&checked(TransactionRequest { gas: Some(1 << 50), ..funded }), -38015);
}
