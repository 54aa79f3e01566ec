//! What the tests share with the benches, and the state that they start from.

use std::collections::BTreeMap;

use alloy_primitives::Address;
use anfs_primitives::GenesisAccount;
use anfs_state::WorldState;

#[path = "../support/mod.rs"]
mod shared;

pub(crate) use shared::*;

/// Ten users with a million coins each, and what else is given.
pub(crate) fn world(more: impl IntoIterator<Item = (Address, GenesisAccount)>) -> WorldState {
    let users = (0..10).map(|n| (user(n), funded(coins(1_000_000))));
    let accounts: BTreeMap<_, _> = users.chain(more).collect();
    WorldState::genesis(&accounts).expect("nothing is read from disk")
}
