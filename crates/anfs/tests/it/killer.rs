//! Kills generators while a network runs, shard after shard, and brings them back.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Rpc, pause};

/// How often a shard is asked whether somebody has taken over.
const LOOK: Duration = Duration::from_millis(50);
/// Looks until it must have.
const LOOKS_MAX: usize = 1200;

/// The RPC of one shard of a network of so many.
pub(crate) fn shard_rpc(rpc: &Rpc, shard: usize, shards: usize) -> Rpc {
    if shards == 1 { rpc.clone() } else { Rpc::new(format!("{}/shard/{shard}", rpc.url)) }
}

/// Kills whoever acts as generator of the shard, waits until another one does and the shard goes on under it, and starts
/// the killed seat again.
pub(crate) fn kill_generator(rpc: &Rpc, shard: usize, shards: usize) {
    let rpc = shard_rpc(rpc, shard, shards);
    let before = rpc.call("anfs_view", json!([]));
    let seat = before["acting"].clone();
    rpc.call("devnet_stopSeat", json!([seat]));
    let taken = |now: &Value| {
        now["view"].as_u64() > before["view"].as_u64() && now["open"] == true && now["acting"] != seat
    };
    let over = (0..LOOKS_MAX).any(|_| {
        pause(LOOK);
        taken(&rpc.call("anfs_view", json!([])))
    });
    assert!(over, "nobody has taken over from seat {seat} of shard {shard}");
    // Who kills on before anything is decided lets nothing be decided, however right everybody acts.
    let height = rpc.quantity("eth_blockNumber", json!([]));
    let decided = || rpc.quantity("eth_blockNumber", json!([])) > height + 1;
    let goes_on = (0..LOOKS_MAX).any(|_| {
        let on = decided();
        if !on {
            pause(LOOK);
        }
        on
    });
    assert!(goes_on, "shard {shard} decides nothing after block {height} and the death of seat {seat}");
    rpc.call("devnet_startSeat", json!([seat]));
}
