//! Folders of other networks are refused, whole or in part.

use std::fs;

use anfs_node::NodeError;
use anfs_node::genesis::DEFAULT_CHAIN_ID;

use crate::harness::{Shard, VERIFIERS, spec};

fn refusal(shard: &mut Shard, seat: u16) -> String {
    let error = shard.try_start(seat).expect_err("it holds another network");
    assert!(matches!(error, NodeError::Store(_)), "{error}");
    error.to_string()
}

#[test]
fn a_folder_of_another_network_is_refused() {
    let mut shard = Shard::start();
    shard.wait_height(1, 2);
    shard.stop_all();
    let own = std::mem::replace(&mut shard.spec, spec(VERIFIERS, DEFAULT_CHAIN_ID + 1).into());
    for seat in [0, 1] {
        let words = refusal(&mut shard, seat);
        assert!(words.contains(&(DEFAULT_CHAIN_ID + 1).to_string()), "{words}");
        assert!(words.contains("folder of its own"), "{words}");
    }
    // Its own network still finds everything in place.
    shard.spec = own;
    shard.start_all();
    let height = shard.height(0);
    shard.wait_height(0, height + 3);
}

#[test]
fn logs_of_another_network_are_refused() {
    let mut other = Shard::stopped(VERIFIERS, None);
    other.spec = spec(VERIFIERS, DEFAULT_CHAIN_ID + 1).into();
    other.start_all();
    other.wait_height(1, 2);
    other.stop_all();
    let mut shard = Shard::start();
    shard.wait_height(1, 2);
    shard.stop_all();
    for file in ["votes.log", "blocks/00000.log"] {
        let (own, aside) = (shard.dir(1).join(file), shard.dir(1).join("aside"));
        fs::rename(&own, &aside).unwrap();
        fs::copy(other.dir(1).join(file), &own).unwrap();
        let words = refusal(&mut shard, 1);
        assert!(words.contains(file), "{words}");
        fs::rename(&aside, &own).unwrap();
    }
}
