//! Everything stops and comes back: from the flushed state, from blocks alone, with a short signing log.

use std::fs;

use alloy_primitives::{Address, B256, U256};
use anfs_rpc::At;

use crate::harness::{Shard, VERIFIERS};

/// Height and state root of each seat.
fn heads(shard: &Shard) -> Vec<(u64, B256)> {
    let head = |seat| {
        let (block, state) = shard.seat(seat).chain().head_state();
        assert_eq!(block.header.state_root, state.root(), "seat {seat}");
        (block.header.height.0, state.root())
    };
    shard.indices().map(head).collect()
}

/// Stops all seats and says where they stood.
fn stop(shard: &mut Shard) -> Vec<(u64, B256)> {
    let before = heads(shard);
    shard.stop_all();
    before
}

/// Starts all seats; each must stand where it stood or higher, on the same states.
fn start_again(shard: &mut Shard, before: &[(u64, B256)]) {
    for seat in shard.indices().rev() {
        shard.start_seat(seat);
        let (height, root) = before[usize::from(seat)];
        assert!(shard.height(seat) >= height, "seat {seat} forgot blocks");
        assert_eq!(shard.block(seat, height).header.state_root, root, "seat {seat}");
    }
}

fn go_on(shard: &mut Shard) {
    let transfers = shard.submit(10, 0);
    shard.wait_included(transfers.last().unwrap());
    let reached = shard.height(0) + 5;
    for seat in shard.indices() {
        shard.wait_height(seat, reached);
    }
    shard.assert_agreement();
}

#[test]
fn all_seats_restart_and_go_on_from_where_they_stood() {
    let mut shard = Shard::start();
    for round in 0..3 {
        go_on(&mut shard);
        let before = stop(&mut shard);
        start_again(&mut shard, &before);
        let paid = shard.backend(0).state.account(At::Pending, &Address::repeat_byte(0x77)).unwrap();
        assert!(paid.balance >= U256::from(10 * (round + 1)));
    }
    go_on(&mut shard);
}

#[test]
fn blocks_alone_lead_to_the_same_state() {
    let mut shard = Shard::start();
    go_on(&mut shard);
    // Past a flush, so that the tables had more than genesis.
    shard.wait_height(0, 70);
    let before = stop(&mut shard);
    for seat in shard.indices() {
        fs::remove_file(shard.dir(seat).join("state.redb")).unwrap();
    }
    start_again(&mut shard, &before);
    go_on(&mut shard);
}

#[test]
fn the_generator_alone_restarts() {
    let mut shard = Shard::start();
    go_on(&mut shard);
    shard.stop_seat(0);
    shard.start_seat(0);
    go_on(&mut shard);
}

#[test]
fn the_signing_log_stays_small() {
    let mut shard = Shard::start();
    let log = shard.dir(0).join("votes.log");
    let mut signed = 0;
    for _ in 0..9 {
        // The generator logs its blocks whole: more than a megabyte a wave.
        let transfers = shard.submit(10, 120_000);
        signed += 10 * 120_000;
        shard.wait_included(transfers.last().unwrap());
    }
    let size = fs::metadata(&log).unwrap().len();
    assert!(size < signed / 2 + (1 << 20), "{size} bytes of {signed} signed");
    let before = stop(&mut shard);
    start_again(&mut shard, &before);
    go_on(&mut shard);
    for seat in 1..=VERIFIERS {
        let size = fs::metadata(shard.dir(seat).join("votes.log")).unwrap().len();
        assert!(size < 5 << 20, "seat {seat}: {size} bytes");
    }
}

#[test]
fn a_seat_that_stopped_before_the_first_block_starts_again() {
    let mut shard = Shard::stopped(VERIFIERS, None);
    for _ in 0..2 {
        shard.start_seat(1);
        assert_eq!(shard.height(1), 0);
        shard.stop_seat(1);
    }
    shard.start_all();
    go_on(&mut shard);
}
