//! Properties of whole blocks of random transactions.

use std::collections::BTreeMap;

use alloy_primitives::{Bytes, TxKind, U256};
use anfs_execution::{BlockExecutor, BlockOutcome};
use anfs_primitives::RecoveredTransaction;
use anfs_state::{StateRead, WorldState};
use proptest::prelude::*;

use crate::support::*;

const USERS: u64 = 4;
const TOKEN: u64 = 100;
const DESTROYER: u64 = 101;

#[derive(Clone, Debug)]
enum Action {
    Pay { to: u64, wei: u128 },
    Token { to: u64, amount: u64, gas: u64 },
    Create { init: Vec<u8>, wei: u128 },
    Destroy { wei: u128 },
}

fn action() -> impl Strategy<Value = Action> {
    let init = prop_oneof![
        Just(vec![0x33, 0xff]),                    // destroyed at once
        Just(vec![0x60, 1, 0x5f, 0xf3]),           // code 00
        Just(vec![0x60, 7, 0x5f, 0x55, 0x00]),     // no code, one slot
        Just(vec![0x5f, 0x5f, 0xfd]),              // reverts
        Just(vec![0xfe]),                          // halts
        prop::collection::vec(any::<u8>(), 0..24), // anything
    ];
    prop_oneof![
        (0..USERS + 2, 0..1u128 << 70).prop_map(|(to, wei)| Action::Pay { to, wei }),
        (0..USERS, 0..1_500_000u64, 30_000..80_000u64).prop_map(|(to, amount, gas)| Action::Token {
            to,
            amount,
            gas
        }),
        (init, 0..1000u128).prop_map(|(init, wei)| Action::Create { init, wei }),
        (0..1000u128).prop_map(|wei| Action::Destroy { wei }),
    ]
}

fn build(actions: &[(u64, Action)]) -> Vec<RecoveredTransaction> {
    let mut nonces = BTreeMap::<u64, u64>::new();
    actions
        .iter()
        .map(|(from, action)| {
            let slot = nonces.entry(*from).or_default();
            let nonce = *slot;
            *slot += 1;
            let call = |to: u64, wei: u128, input: Bytes, gas| {
                dynamic(nonce, TxKind::Call(user(to)), U256::from(wei), input, gas)
            };
            let tx = match action {
                Action::Pay { to, wei } => call(*to, *wei, Bytes::new(), 21_000),
                Action::Token { to, amount, gas } => call(TOKEN, 0, token_input(user(*to), *amount), *gas),
                Action::Destroy { wei } => call(DESTROYER, *wei, Bytes::new(), 60_000),
                Action::Create { init, wei } => {
                    dynamic(nonce, TxKind::Create, U256::from(*wei), init.clone(), 150_000)
                }
            };
            signed(tx, user(*from))
        })
        .collect()
}

fn start() -> WorldState {
    world([(user(TOKEN), token(USERS)), (user(DESTROYER), contract(vec![0x33, 0xff]))])
}

fn execute(state: &WorldState, transactions: &[RecoveredTransaction]) -> BlockOutcome {
    let mut block = BlockExecutor::new(env(), state.clone()).unwrap();
    for tx in transactions {
        block.execute(tx).unwrap();
    }
    block.finish().unwrap()
}

/// Coins of every account that a block changed, before and after it.
fn coins_of(state: &WorldState, outcome: &BlockOutcome) -> (U256, U256) {
    let before = |address| state.account(address).unwrap().unwrap_or_default().balance;
    outcome.changes.accounts.iter().fold((U256::ZERO, U256::ZERO), |(a, b), (address, change)| {
        (a + before(address), b + change.info.map_or(U256::ZERO, |info| info.balance))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nothing_is_minted_and_only_the_base_fee_is_burned(
        actions in prop::collection::vec((0..USERS, action()), 1..20),
    ) {
        let state = start();
        let outcome = execute(&state, &build(&actions));
        let (before, after) = coins_of(&state, &outcome);
        prop_assert_eq!(before, after + outcome.burned);
        prop_assert_eq!(outcome.burned, U256::from(outcome.gas_used) * U256::from(BASE_FEE));
        let tips = U256::from(outcome.gas_used) * U256::from(TIP);
        prop_assert_eq!(outcome.changes.accounts[&BENEFICIARY].info.unwrap().balance, tips);
        let token = user(TOKEN);
        let after = state.apply(&outcome.changes).unwrap();
        let tokens: U256 = (0..USERS).map(|n| after.storage(&token, &token_slot(user(n))).unwrap()).sum();
        prop_assert_eq!(tokens, U256::from(USERS * 1_000_000));
    }

    #[test]
    fn one_block_ends_where_a_block_for_each_transaction_ends(
        actions in prop::collection::vec((0..USERS, action()), 1..20),
    ) {
        let state = start();
        let transactions = build(&actions);
        let at_once = state.apply(&execute(&state, &transactions).changes).unwrap();
        let stepwise = transactions.iter().fold(state, |state, tx| {
            let changes = execute(&state, std::slice::from_ref(tx)).changes;
            state.apply(&changes).unwrap()
        });
        prop_assert_eq!(at_once.root(), stepwise.root());
    }
}
