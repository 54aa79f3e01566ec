//! The block builder's cycle: take, give back, reject, decide.

use alloy_primitives::{B256, U256};
use anfs_mempool::{AccountView, Pool, PoolError};
use anfs_primitives::RecoveredTransaction;

use crate::support::{GAS, Shape, account, address, legacy, limits};

fn pool_of(transactions: &[RecoveredTransaction]) -> Pool {
    let mut pool = Pool::new(limits(), 10);
    for transaction in transactions {
        pool.add(transaction.clone(), account(0), 0).expect("the pool has room");
    }
    pool
}

fn hashes(transactions: &[RecoveredTransaction]) -> Vec<B256> {
    transactions.iter().map(|transaction| *transaction.hash()).collect()
}

#[test]
fn the_best_tip_goes_first_then_the_earliest_and_nonces_stay_in_order() {
    let low = Shape::new(1, 0, 1, 100).build();
    let high_after_low = Shape::new(1, 1, 90, 200).build();
    let capped = Shape::new(2, 0, 50, 30).build_with_tip_at_most_cap();
    let plain = legacy(3, 0, 30);
    let pool = pool_of(&[low.clone(), high_after_low.clone(), capped.clone(), plain.clone()]);
    let order: Vec<B256> = pool.best().map(|transaction| *transaction.hash()).collect();
    assert_eq!(order, hashes(&[capped, plain, low, high_after_low]));
}

#[test]
fn a_rising_base_fee_reorders_and_shuts_out() {
    let tip_rich = Shape::new(1, 0, 40, 60).build();
    let cap_rich = Shape::new(2, 0, 20, 100).build();
    let mut pool = pool_of(&[tip_rich.clone(), cap_rich.clone()]);
    assert_eq!(
        hashes(&pool.clone().take_best(9, u64::MAX, 10)),
        hashes(&[tip_rich.clone(), cap_rich.clone()])
    );
    assert_eq!(hashes(&pool.clone().take_best(9, u64::MAX, 50)), hashes(&[cap_rich.clone(), tip_rich]));
    assert_eq!(hashes(&pool.take_best(9, u64::MAX, 70)), hashes(&[cap_rich]));
    assert!(pool.take_best(9, u64::MAX, 70).is_empty());
}

#[test]
fn a_batch_keeps_to_count_and_gas() {
    let transactions: Vec<_> = (0..6).map(|nonce| Shape::new(1, nonce, 9, 99).build()).collect();
    let mut pool = pool_of(&transactions);
    assert_eq!(pool.take_best(2, u64::MAX, 10).len(), 2);
    assert_eq!(pool.take_best(9, 3 * GAS, 10).len(), 3);
    assert_eq!(pool.take_best(9, GAS - 1, 10).len(), 0);
    assert_eq!(hashes(&pool.take_best(9, GAS, 10)), hashes(&transactions[5..]));
}

#[test]
fn one_that_does_not_fit_is_passed_over_only_when_it_is_the_very_next() {
    let small = Shape::new(1, 0, 90, 99).build();
    let huge = Shape { gas: 10 * GAS, ..Shape::new(2, 0, 50, 99) }.build();
    let after_huge = Shape::new(2, 1, 50, 99).build();
    let other = Shape::new(3, 0, 20, 99).build();
    let mut pool = pool_of(&[small.clone(), huge.clone(), after_huge.clone(), other.clone()]);
    assert_eq!(hashes(&pool.take_best(9, 3 * GAS, 10)), hashes(&[small]));
    assert_eq!(hashes(&pool.take_best(9, 2 * GAS, 10)), hashes(&[other]));
    assert_eq!(hashes(&pool.take_best(9, u64::MAX, 10)), hashes(&[huge, after_huge]));
}

#[test]
fn what_is_in_flight_returns_or_vanishes() {
    let transactions: Vec<_> = (0..3).map(|nonce| Shape::new(1, nonce, 9, 99).build()).collect();
    let mut pool = pool_of(&transactions);
    assert_eq!(pool.take_best(9, u64::MAX, 10).len(), 3);
    assert_eq!(pool.status().in_flight, 3);
    assert!(pool.best().next().is_none());
    assert_eq!(pool.pending_nonce(&address(1)), Some(3));
    let newer = pool.add(Shape::new(1, 1, 99, 999).build(), account(0), 0);
    assert_eq!(newer, Err(PoolError::InFlight { nonce: 1 }));

    assert!(pool.give_back(transactions[1].hash()), "its block died, and so did those after it");
    assert!(!pool.give_back(transactions[2].hash()));
    assert_eq!(hashes(&pool.take_best(9, u64::MAX, 10)), hashes(&transactions[1..]));

    assert!(pool.on_block([(address(1), account(2))], 10, 0).is_empty());
    assert_eq!(pool.status().in_flight, 1);
    assert!(pool.on_block([(address(1), account(3))], 10, 0).is_empty());
    assert_eq!(pool.status(), anfs_mempool::PoolStatus::default());
}

#[test]
fn a_rejected_transaction_leaves_its_followers_waiting() {
    let transactions: Vec<_> = (0..3).map(|nonce| Shape::new(1, nonce, 9, 99).build()).collect();
    let mut pool = pool_of(&transactions);
    pool.take_best(2, u64::MAX, 10);
    assert_eq!(pool.reject(transactions[1].hash()).as_ref(), Some(&transactions[1]));
    assert_eq!(pool.reject(transactions[1].hash()), None);
    let status = pool.status();
    assert_eq!((status.pending, status.queued, status.in_flight), (1, 1, 1));
    assert!(pool.take_best(9, u64::MAX, 10).is_empty());
    pool.add(Shape::new(1, 1, 8, 98).build(), account(0), 0).unwrap();
    assert_eq!(pool.take_best(9, u64::MAX, 10).len(), 2);
}

#[test]
fn time_takes_what_waits_but_not_what_is_under_vote() {
    let transactions: Vec<_> = (0..2).map(|nonce| Shape::new(1, nonce, 9, 99).build()).collect();
    let mut pool = pool_of(&transactions);
    pool.take_best(1, u64::MAX, 10);
    assert!(pool.on_block([], 10, 999).is_empty());
    assert_eq!(pool.on_block([], 10, 1000), [*transactions[1].hash()]);
    pool.give_back(transactions[0].hash());
    assert_eq!(pool.on_block([], 10, 1000), [*transactions[0].hash()]);
    assert!(pool.content().is_empty());
}

#[test]
fn an_older_view_of_an_account_changes_nothing() {
    let mut pool = pool_of(&[]);
    pool.add(Shape::new(1, 5, 9, 99).build(), account(5), 0).unwrap();
    pool.on_block([(address(1), AccountView { nonce: 4, balance: U256::ZERO })], 10, 0);
    assert_eq!(pool.pending_nonce(&address(1)), Some(6));
    assert_eq!(pool.interested([address(2), address(1), address(1)]), [address(1)]);
}

impl Shape {
    /// A transaction whose tip is all that its cap allows.
    fn build_with_tip_at_most_cap(mut self) -> RecoveredTransaction {
        self.tip = self.tip.min(self.cap);
        self.build()
    }
}
