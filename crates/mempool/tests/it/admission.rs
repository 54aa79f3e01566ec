//! What is refused, in which words, and what gives way.

use alloy_consensus::{SignableTransaction as _, TxEip7702, TxLegacy};
use alloy_primitives::{Bytes, Signature, TxKind, U256};
use anfs_mempool::{AccountView, INIT_CODE_BYTES_MAX, Place, Pool, PoolError, PoolLimits, intrinsic_gas};

use crate::support::{GAS, Shape, account, address, legacy, limits, recovered};

fn refusal(pool: &mut Pool, shape: &Shape) -> String {
    pool.add(shape.build(), account(0), 0).expect_err("it should be refused").to_string()
}

#[test]
fn refusals_read_as_geth_words_them() {
    let mut pool = Pool::new(limits(), 10);
    pool.add(Shape::new(1, 0, 100, 200).build(), account(0), 0).unwrap();
    let usual = Shape::new(1, 1, 5, 50);
    let cases: [(Shape, &str); 9] = [
        (Shape::new(1, 0, 100, 200), "already known"),
        (Shape::new(1, 0, 109, 220), "replacement transaction underpriced"),
        (Shape::new(1, 0, 110, 219), "replacement transaction underpriced"),
        (Shape { gas: 30_000_001, ..usual.clone() }, "exceeds block gas limit"),
        (
            Shape { gas: (1 << 24) + 1, ..usual.clone() },
            "transaction gas limit too high (cap: 16777216, tx: 16777217)",
        ),
        (Shape { gas: 20_999, ..usual.clone() }, "intrinsic gas too low: gas 20999, minimum needed 21000"),
        (
            Shape { gas: 21_400, padding: 100, ..usual },
            "insufficient gas for floor data gas cost: gas 21400, minimum needed 22000",
        ),
        (Shape::new(1, 1, 51, 50), "max priority fee per gas higher than max fee per gas"),
        (Shape::new(1, 1, 1, 6), "transaction underpriced: gas fee cap 6, minimum needed 7"),
    ];
    for (shape, words) in cases {
        let message = refusal(&mut pool, &shape);
        assert!(message.starts_with(words), "{message:?} should start with {words:?}");
    }
    let error = pool.add(Shape::new(1, u64::MAX, 5, 50).build(), account(0), 0).unwrap_err().to_string();
    assert!(error.starts_with("nonce has max value"), "{error}");
    assert_eq!(pool.status().pending, 1);
}

#[test]
fn a_spent_nonce_is_too_low_and_says_which_is_next() {
    let mut pool = Pool::new(limits(), 0);
    let error = pool.add(Shape::new(1, 3, 9, 9).build(), account(5), 0).unwrap_err();
    assert_eq!(error.to_string(), "nonce too low: next nonce 5, tx nonce 3");
}

#[test]
fn the_balance_covers_all_of_a_senders_transactions_together() {
    let mut pool = Pool::new(limits(), 0);
    let cost = U256::from(10 * GAS);
    let purse = AccountView { nonce: 0, balance: cost * U256::from(2) };
    pool.add(Shape::new(1, 0, 10, 10).build(), purse, 0).unwrap();
    pool.add(Shape::new(1, 1, 10, 10).build(), purse, 0).unwrap();
    let error = pool.add(Shape::new(1, 2, 10, 10).build(), purse, 0).unwrap_err();
    assert_eq!(
        error.to_string(),
        "insufficient funds for gas * price + value: balance 2000000, queued cost 2000000, tx cost 1000000, \
         overshot 1000000"
    );
    let rich = AccountView { nonce: 0, balance: cost * U256::from(3) };
    pool.add(Shape::new(1, 2, 10, 10).build(), rich, 0).unwrap();
    let dropped = pool.on_block([(address(1), AccountView { nonce: 1, balance: cost })], 0, 0);
    assert_eq!(dropped.len(), 1, "the last one can no longer be paid");
    assert_eq!(pool.status().pending, 1);
}

#[test]
fn a_cost_beyond_all_numbers_is_refused() {
    let mut pool = Pool::new(limits(), 0);
    let transaction = TxLegacy {
        gas_price: u128::MAX,
        gas_limit: GAS,
        to: TxKind::Call(address(9)),
        value: U256::MAX,
        ..Default::default()
    };
    let transaction = recovered(&transaction.into_signed(Signature::test_signature()).into(), 1);
    let richest = AccountView { nonce: 0, balance: U256::MAX };
    assert!(matches!(pool.add(transaction, richest, 0), Err(PoolError::InsufficientFunds { .. })));
}

#[test]
fn init_code_and_authorization_lists_are_checked() {
    let mut pool = Pool::new(limits(), 0);
    let mut creation = TxLegacy { gas_price: 9, gas_limit: 3_000_000, ..Default::default() };
    creation.input = Bytes::from(vec![0; INIT_CODE_BYTES_MAX]);
    let fits = recovered(&creation.clone().into_signed(Signature::test_signature()).into(), 1);
    let words = INIT_CODE_BYTES_MAX as u64 / 32;
    assert_eq!(intrinsic_gas(&fits), 53_000 + 4 * INIT_CODE_BYTES_MAX as u64 + 2 * words);
    pool.add(fits, account(0), 0).unwrap();
    creation.input = Bytes::from(vec![0; INIT_CODE_BYTES_MAX + 1]);
    let over = recovered(&creation.into_signed(Signature::test_signature()).into(), 1);
    let error = pool.add(over, account(0), 0).unwrap_err().to_string();
    assert_eq!(error, "max initcode size exceeded: code size 49153, limit 49152");

    let empty = TxEip7702 { gas_limit: GAS, max_fee_per_gas: 9, ..Default::default() };
    let empty = recovered(&empty.into_signed(Signature::test_signature()).into(), 2);
    assert_eq!(pool.add(empty, account(0), 0), Err(PoolError::NoAuthorization));
}

#[test]
fn a_gap_queues_and_the_missing_nonce_promotes() {
    let mut pool = Pool::new(limits(), 0);
    let late = Shape::new(1, 1, 9, 9).build();
    let added = pool.add(late.clone(), account(0), 0).unwrap();
    assert_eq!((added.place, added.pending.len()), (Place::Queued, 0));
    assert_eq!(pool.pending_nonce(&address(1)), None);
    let first = legacy(1, 0, 9);
    let added = pool.add(first.clone(), account(0), 0).unwrap();
    assert_eq!(added.pending, [*first.hash(), *late.hash()]);
    assert_eq!(pool.pending_nonce(&address(1)), Some(2));
}

#[test]
fn senders_have_their_own_limits() {
    let mut pool = Pool::new(limits(), 0);
    for nonce in 1..=4 {
        pool.add(Shape::new(1, nonce, 9, 9).build(), account(0), 0).unwrap();
    }
    let full = PoolError::AccountLimit { have: 4, max: 4 };
    assert_eq!(pool.add(Shape::new(1, 5, 9, 9).build(), account(0), 0), Err(full));
    for nonce in std::iter::once(0).chain(5..16) {
        pool.add(Shape::new(1, nonce, 9, 9).build(), account(0), 0).unwrap();
    }
    let error = pool.add(Shape::new(1, 16, 9, 9).build(), account(0), 0).unwrap_err();
    assert_eq!(error.to_string(), "account limit exceeded: pooled 16, limit 16");
}

#[test]
fn a_full_pool_lets_the_cheapest_go_and_queued_ones_before_pending() {
    let mut pool = Pool::new(PoolLimits { transactions_max: 3, ..limits() }, 0);
    let cheap = Shape::new(1, 0, 10, 10).build();
    let queued = Shape::new(2, 7, 500, 500).build();
    pool.add(cheap.clone(), account(0), 0).unwrap();
    pool.add(queued.clone(), account(0), 0).unwrap();
    pool.add(Shape::new(3, 0, 30, 30).build(), account(0), 0).unwrap();
    let added = pool.add(Shape::new(4, 0, 9, 9).build(), account(0), 0).unwrap();
    assert_eq!(added.dropped, [*queued.hash()]);
    let error = pool.add(Shape::new(5, 0, 9, 9).build(), account(0), 0).unwrap_err().to_string();
    assert!(error.starts_with("transaction underpriced"), "{error}");
    pool.add(Shape::new(5, 0, 40, 40).build(), account(0), 0).unwrap();
    let added = pool.add(Shape::new(6, 0, 40, 40).build(), account(0), 0).unwrap();
    assert_eq!(added.dropped, [*cheap.hash()]);
}

#[test]
fn dear_transactions_behind_a_cheap_one_do_not_keep_it_in() {
    let mut pool = Pool::new(PoolLimits { transactions_max: 2, ..limits() }, 0);
    pool.add(Shape::new(1, 0, 8, 8).build(), account(0), 0).unwrap();
    let behind = Shape::new(1, 1, 900, 900).build();
    pool.add(behind.clone(), account(0), 0).unwrap();
    let added = pool.add(Shape::new(2, 0, 9, 9).build(), account(0), 0).unwrap();
    assert_eq!(added.dropped, [*behind.hash()]);
}

#[test]
fn a_big_newcomer_that_cannot_stay_evicts_nobody() {
    let small = Shape::new(1, 0, 9, 9).build().encoded().len() + anfs_mempool::ENTRY_OVERHEAD_BYTES;
    let mut pool = Pool::new(PoolLimits { bytes_max: 3 * small, ..limits() }, 0);
    for (sender, tip) in [(1, 10), (2, 20), (3, 30)] {
        pool.add(Shape::new(sender, 0, tip, tip).build(), account(0), 0).unwrap();
    }
    let before = pool.content();
    let big = Shape { padding: 2 * small, ..Shape::new(4, 0, 25, 25) }.build();
    assert!(matches!(pool.add(big, account(0), 0), Err(PoolError::Underpriced { tip: 25 })));
    assert_eq!(pool.content(), before);
    assert_eq!(pool.best().count(), 3);
}

#[test]
fn a_pool_full_of_transactions_under_vote_says_that_it_is_full() {
    let mut pool = Pool::new(PoolLimits { transactions_max: 1, ..limits() }, 0);
    pool.add(Shape::new(1, 0, 9, 9).build(), account(0), 0).unwrap();
    assert_eq!(pool.take_best(1, u64::MAX, 0).len(), 1);
    let error = pool.add(Shape::new(2, 0, 99, 99).build(), account(0), 0).unwrap_err();
    assert_eq!(error.to_string(), "txpool is full");
}
