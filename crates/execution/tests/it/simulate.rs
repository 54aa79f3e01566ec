use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use alloy_primitives::{Address, B256, Bytes, U256, address, hex};
use alloy_rpc_types_eth::state::{AccountOverride, EvmOverrides, StateOverridesBuilder};
use alloy_rpc_types_eth::{BlockOverrides, TransactionRequest};
use alloy_sol_types::SolValue;
use anfs_execution::simulate::{Limits, Simulator};
use anfs_execution::{BlockExecutor, ExecutionError};
use anfs_primitives::GenesisAccount;
use anfs_state::WorldState;

use crate::support::*;

const TOKEN: u64 = 100;
const REVERTER: u64 = 101;
const LOOP: u64 = 102;

/// Reverts with `Error("too poor")`.
fn reverter() -> GenesisAccount {
    let data = [hex!("08c379a0").as_slice(), &("too poor",).abi_encode_params()].concat();
    let len = u8::try_from(data.len()).unwrap();
    let mut code = vec![0x60, len, 0x60, 10, 0x5f, 0x39, 0x60, len, 0x5f, 0xfd];
    code.extend(data);
    contract(code)
}

fn simulator(limits: Limits) -> Simulator<WorldState> {
    let state = world([
        (user(TOKEN), token(2)),
        (user(REVERTER), reverter()),
        (user(LOOP), contract(vec![0x5b, 0x5f, 0x56])),
    ]);
    Simulator::new(env(), state, limits)
}

fn request(to: Address, input: impl Into<Bytes>) -> TransactionRequest {
    TransactionRequest::default().from(user(0)).to(to).input(input.into().into())
}

fn none() -> EvmOverrides {
    EvmOverrides::default()
}

/// Returns what it reads with one opcode.
fn reader(opcode: u8) -> Bytes {
    vec![opcode, 0x5f, 0x52, 0x60, 0x20, 0x5f, 0xf3].into()
}

#[test]
fn a_call_returns_output_or_the_reason_of_its_revert() {
    let sim = simulator(Limits::default());
    let output = sim.call(&request(user(TOKEN), token_input(user(1), 5)), &none()).unwrap();
    assert_eq!(U256::from_be_slice(&output), U256::ONE);
    let error = sim.call(&request(user(REVERTER), []), &none()).unwrap_err();
    assert_eq!(error.to_string(), "execution reverted: too poor");
    assert!(matches!(error, ExecutionError::Revert { .. }));
    // Nothing was changed by it, nobody has to pay, and a contract may call.
    let from_contract = request(user(TOKEN), token_input(user(1), 0)).from(user(REVERTER));
    assert!(sim.call(&from_contract, &none()).is_ok());
}

#[test]
fn a_call_is_bounded_by_gas_and_by_its_flag() {
    let sim = simulator(Limits::default());
    let error = sim.call(&request(user(LOOP), []), &none()).unwrap_err();
    assert_eq!(error.to_string(), "out of gas");
    let flag = Arc::new(AtomicBool::new(true));
    let sim = simulator(Limits { gas_cap: u64::MAX, cancel: Some(flag), ..Limits::default() });
    let error = sim.call(&request(user(LOOP), []), &none()).unwrap_err();
    assert!(matches!(error, ExecutionError::Cancelled), "{error}");
}

#[test]
fn value_and_price_must_be_covered() {
    let sim = simulator(Limits::default());
    let poor = request(user(1), []).from(user(700));
    let error = sim.call(&poor.clone().value(U256::ONE), &none()).unwrap_err();
    assert!(error.to_string().starts_with("insufficient funds for gas * price + value"), "{error}");
    let error = sim.call(&poor.clone().max_fee_per_gas(5), &none()).unwrap_err();
    assert!(error.to_string().starts_with("max fee per gas less than block base fee"), "{error}");
    let error = sim.call(&poor.max_fee_per_gas(2 * u128::from(BASE_FEE)), &none()).unwrap_err();
    assert_eq!(error.to_string(), "intrinsic gas too low: have 0, want 21000");
    let both = TransactionRequest { gas_price: Some(1), ..request(user(1), []).max_fee_per_gas(5) };
    let error = sim.call(&both, &none()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "invalid argument: both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified"
    );
}

#[test]
fn overrides_change_state_and_block_for_one_call() {
    let sim = simulator(Limits::default());
    let at = user(300);
    let with = |code: Bytes, account: AccountOverride, block: Option<BlockOverrides>| {
        let state = StateOverridesBuilder::default().append(at, account.with_code(code)).build();
        let overrides = EvmOverrides::new(Some(state), block.map(Box::new));
        U256::from_be_slice(&sim.call(&request(at, []), &overrides).unwrap())
    };
    let plain = AccountOverride::default();
    assert_eq!(with(reader(0x47), plain.clone().with_balance(coins(9)), None), coins(9));
    let slots = [(B256::ZERO, B256::repeat_byte(3))];
    let sload: Bytes = vec![0x5f, 0x54, 0x5f, 0x52, 0x60, 0x20, 0x5f, 0xf3].into();
    assert_eq!(
        with(sload.clone(), plain.clone().with_state(slots), None),
        U256::from_be_bytes(B256::repeat_byte(3).0)
    );
    assert_eq!(
        with(sload, plain.clone().with_state_diff(slots), None),
        U256::from_be_bytes(B256::repeat_byte(3).0)
    );
    let block = BlockOverrides::default().with_number(U256::from(77)).with_time(99);
    assert_eq!(with(reader(0x43), plain.clone(), Some(block.clone())), U256::from(77));
    assert_eq!(with(reader(0x42), plain.clone(), Some(block)), U256::from(99));
    assert_eq!(with(reader(0x48), plain, None), U256::ZERO, "no price, no base fee");
    let both = AccountOverride::default().with_state(slots).with_state_diff(slots);
    let state = StateOverridesBuilder::default().append(at, both).build();
    let error = sim.call(&request(at, []), &EvmOverrides::state(Some(state))).unwrap_err();
    assert!(error.to_string().contains("has both 'state' and 'stateDiff'"), "{error}");
}

#[test]
fn a_state_override_replaces_all_slots_and_a_diff_some() {
    let sim = simulator(Limits::default());
    let poorer = [(token_slot(user(1)), B256::from(U256::from(7)))];
    let pay = request(user(TOKEN), token_input(user(1), 10));
    let token_with =
        |account: AccountOverride| StateOverridesBuilder::default().append(user(TOKEN), account).build();
    let diff = token_with(AccountOverride::default().with_state_diff(poorer));
    assert!(sim.call(&pay, &EvmOverrides::state(Some(diff))).is_ok());
    let state = token_with(AccountOverride::default().with_state(poorer));
    assert!(sim.call(&pay, &EvmOverrides::state(Some(state))).is_err());
}

#[test]
fn precompiles_can_be_moved() {
    let sim = simulator(Limits::default());
    let sha256 = address!("0000000000000000000000000000000000000002");
    let target = user(400);
    let mut moved = AccountOverride::default();
    moved.set_move_precompile_to(target);
    let overrides =
        EvmOverrides::state(Some(StateOverridesBuilder::default().append(sha256, moved.clone()).build()));
    let normal = sim.call(&request(sha256, [1, 2]), &none()).unwrap();
    assert_eq!(normal.len(), 32);
    assert_eq!(sim.call(&request(target, [1, 2]), &overrides).unwrap(), normal);
    assert!(sim.call(&request(sha256, [1, 2]), &overrides).unwrap().is_empty());
    let wrong = StateOverridesBuilder::default().append(user(1), moved).build();
    let error = sim.call(&request(target, []), &EvmOverrides::state(Some(wrong))).unwrap_err();
    assert!(error.to_string().ends_with("is not a precompile"), "{error}");
}

#[test]
fn an_estimate_is_enough_and_little_more() {
    let sim = simulator(Limits::default());
    assert_eq!(sim.estimate_gas(&request(user(1), []).value(U256::ONE), &none()).unwrap(), 21_000);
    let input = token_input(user(9), 5);
    let estimate = sim.estimate_gas(&request(user(TOKEN), input.clone()), &none()).unwrap();
    let state = world([(user(TOKEN), token(2))]);
    let used = |gas| {
        let mut block = BlockExecutor::new(env(), state.clone()).unwrap();
        let tx = signed(dynamic(0, user(TOKEN).into(), U256::ZERO, input.clone(), gas), user(0));
        let receipt = block.execute(&tx).unwrap();
        receipt.success.then_some(receipt.gas_used)
    };
    let needed = used(estimate).expect("the estimate suffices");
    assert!(estimate - needed <= estimate * 15 / 1000 + 2_300, "{estimate} for {needed}");
}

#[test]
fn an_estimate_of_what_cannot_succeed_says_why() {
    let sim = simulator(Limits::default());
    let error = sim.estimate_gas(&request(user(REVERTER), []), &none()).unwrap_err();
    assert_eq!(error.to_string(), "execution reverted: too poor");
    let error = sim.estimate_gas(&request(user(LOOP), []), &none()).unwrap_err();
    assert_eq!(error.to_string(), "gas required exceeds allowance (50000000)");
    let poor = request(user(1), []).from(user(700)).value(U256::ONE).max_fee_per_gas(1);
    let error = sim.estimate_gas(&poor, &none()).unwrap_err();
    assert!(error.to_string().contains("insufficient funds for transfer"), "{error}");
}

#[test]
fn an_access_list_names_the_slots_and_lowers_nothing_it_need_not() {
    let sim = simulator(Limits::default());
    let result = sim.create_access_list(&request(user(TOKEN), token_input(user(1), 5)), &none()).unwrap();
    assert_eq!(result.error, None);
    let [item] = &result.access_list.0[..] else { panic!("{:?}", result.access_list) };
    assert_eq!(item.address, user(TOKEN));
    let mut slots = vec![token_slot(user(0)), token_slot(user(1))];
    slots.sort();
    assert_eq!(item.storage_keys, slots);
    let failing = sim.create_access_list(&request(user(REVERTER), []), &none()).unwrap();
    assert_eq!(failing.error.as_deref(), Some("execution reverted: too poor"));
}
