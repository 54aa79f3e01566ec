#![allow(missing_docs, unused_crate_dependencies)]
use std::collections::BTreeMap;
use std::time::Instant;
use alloy_primitives::{Address, U256, keccak256};
use anfs_state::{AccountChange, AccountInfo, StateChanges, WorldState};
const ACCOUNTS: u64 = 1_000_000;
const DIRTY: u64 = 10_000;
fn address(i: u64) -> Address { Address::from_word(keccak256(i.to_be_bytes())) }
fn pick(round: u64, i: u64) -> u64 { (round * DIRTY + i).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 24 }
fn account(nonce: u64) -> AccountChange {
    let info = AccountInfo { nonce, balance: U256::from(nonce + 1) << 60, ..Default::default() };
    AccountChange { info: Some(info), ..Default::default() }
}
fn block(round: u64) -> StateChanges {
    let accounts = (0..DIRTY).map(|i| (address(pick(round, i) % ACCOUNTS), account(round + 1)));
    StateChanges { accounts: accounts.collect(), codes: BTreeMap::new() }
}
fn cpu() -> u64 {
    std::fs::read_to_string("/proc/thread-self/schedstat").unwrap().split(' ').next().unwrap().parse().unwrap()
}
fn main() {
    let all = StateChanges { accounts: (0..ACCOUNTS).map(|i| (address(i), account(i % 100))).collect(), codes: BTreeMap::new() };
    let mut head = WorldState::empty().apply(&all).unwrap();
    drop(all);
    let keep: usize = std::env::var("KEEP").ok().and_then(|v| v.parse().ok()).unwrap_or(1);
    let n: u64 = std::env::var("N").ok().and_then(|v| v.parse().ok()).unwrap_or(60);
    let blocks: Vec<_> = (1..=n).map(block).collect();
    eprintln!("ready");
    std::thread::sleep(std::time::Duration::from_millis(300));
    let started = Instant::now();
    let (mut applies, mut drops) = (vec![], vec![]);
    let mut window = std::collections::VecDeque::new();
    for b in &blocks {
        let t = cpu();
        let next = head.apply(b).unwrap();
        let t2 = cpu();
        window.push_back(std::mem::replace(&mut head, next));
        if window.len() >= keep { drop(window.pop_front()); }
        let t3 = cpu();
        applies.push(t2 - t);
        drops.push(t3 - t2);
    }
    applies.sort(); drops.sort();
    let m = blocks.len() / 2;
    println!("apply {:.2} ms (min {:.2}), drop {:.2} ms, wall {:?}, root {}", applies[m] as f64 / 1e6, applies[0] as f64/1e6, drops[m] as f64 / 1e6, started.elapsed() / blocks.len() as u32, head.root());
}
