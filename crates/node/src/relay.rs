//! Transactions outlive the seat that accepted them.
//!
//! The seat that serves clients keeps what it accepted in its pool until it is in a decided block, and hands
//! it on before it acknowledges it: to the acting generator, and to those who would act next, so many that
//! the generator and f verifiers may fail at once. When the view changes it hands everything on again, and
//! from time to time what is still waiting, for what the network may have lost.
//!
//! spec: PROTOCOL §2

use std::sync::Arc;

use anfs_mempool::PoolError;
use anfs_primitives::{RecoveredTransaction, SeatIndex, View};

use crate::context::{Refusal, SeatContext};
use crate::transport::Transport;

/// Transactions that are handed on at once.
const CHUNK: usize = 1024;
/// Waiting transactions that are handed on again from time to time, the best ones.
const AGAIN_MAX: usize = 4 * CHUNK;
/// Decided blocks between two such times.
pub(crate) const AGAIN_EVERY: u64 = 16;

/// How much is handed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// The whole pool.
    All,
    /// What a generator would take next.
    Best,
}

/// Hands these transactions to the acting generator and its heirs.
pub(crate) fn hand_on(context: &SeatContext, transport: &dyn Transport, txs: &[RecoveredTransaction]) {
    for seat in heirs(context, context.standing.view()) {
        transport.relay(context.seat, seat, txs);
    }
}

/// The leader of a view, and the other seats that lead the next views, without the own seat: as many as
/// verifiers may fail, and at least one.
fn heirs(context: &SeatContext, view: View) -> impl Iterator<Item = SeatIndex> {
    let (own, group) = (context.seat, &context.group);
    let copies = usize::from(group.verifiers.saturating_sub(1) / 3).max(1);
    let leader = group.leader(view);
    let next = (1..=u64::from(group.verifiers)).map(move |ahead| group.leader(View(view.0 + ahead)));
    let next = next.filter(move |seat| *seat != own && *seat != leader).take(copies);
    std::iter::once(leader).filter(move |seat| *seat != own).chain(next)
}

/// Hands on what the pool holds, on a thread of its own: neither votes nor clients wait for it.
pub(crate) fn hand_on_pool(context: &Arc<SeatContext>, transport: &Arc<dyn Transport>, extent: Extent) {
    let (context, transport) = (context.clone(), transport.clone());
    let seat = context.seat;
    let spawned = std::thread::Builder::new().name(format!("relay-{seat}")).spawn(move || {
        let waiting = waiting(&context, extent);
        for chunk in waiting.chunks(CHUNK) {
            if context.health.stopping() {
                return;
            }
            hand_on(&context, &*transport, chunk);
        }
    });
    if let Err(error) = spawned {
        tracing::warn!(%seat, %error, "cannot hand transactions on; the next change of view tries again");
    }
}

fn waiting(context: &SeatContext, extent: Extent) -> Vec<RecoveredTransaction> {
    let pool = context.pool.pool.lock();
    match extent {
        Extent::All => {
            pool.content().into_iter().flat_map(|sender| [sender.pending, sender.queued]).flatten().collect()
        }
        Extent::Best => pool.best().take(AGAIN_MAX).cloned().collect(),
    }
}

/// Takes what another seat handed on. What the pool has no room or use for is left out: its sender keeps it.
pub(crate) fn take_in(context: &SeatContext, txs: &[RecoveredTransaction]) {
    for tx in txs {
        match context.admit(tx.clone()) {
            Ok(_) | Err(Refusal::Pool(PoolError::AlreadyKnown)) => {}
            Err(reason) => {
                tracing::debug!(seat = %context.seat, hash = %tx.hash(), %reason, "a relayed transaction is left out");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::ChainLimits;
    use crate::testing::{Scene, transfer};

    fn seats(scene: &Scene, view: u64) -> Vec<u16> {
        heirs(&scene.context, View(view)).map(|seat| seat.0).collect()
    }

    #[test]
    fn the_leader_and_the_next_one_get_a_copy_but_not_the_own_seat() {
        // The stakes of a development network rise with the seat: 4 follows 0, then 3.
        let generator = Scene::new(0, ChainLimits::CONSENSUS);
        assert_eq!(seats(&generator, 0), [4]);
        assert_eq!(seats(&generator, 1), [4, 3]);
        let heir = Scene::new(4, ChainLimits::CONSENSUS);
        assert_eq!(seats(&heir, 0), [0, 3], "it has a copy itself, and somebody else needs one");
        assert_eq!(seats(&heir, 1), [3]);
        assert_eq!(seats(&heir, 4), [1, 3], "after the last verifier it is the first one's turn again");
    }

    #[test]
    fn what_is_handed_on_twice_is_kept_once() {
        let scene = Scene::new(1, ChainLimits::CONSENSUS);
        for _ in 0..2 {
            take_in(&scene.context, &[transfer(0), transfer(1)]);
        }
        assert_eq!(scene.context.pool.pool.lock().status().pending, 2);
    }
}
