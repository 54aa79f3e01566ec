//! Messages to the root that this seat could have it consume, fetched from the shards that sent them.

use std::collections::BTreeMap;

use anfs_consensus::root::InboundWant;
use anfs_primitives::{DomainId, Height, RootSeat, SeatIndex};

/// A request that was not answered is sent to the next seat after this many milliseconds.
const ASK_AGAIN_MS: u64 = 200;
/// Batches that are asked for at once; others wait for their answers.
const ASKED_MAX: usize = 256;

/// What the consensus core wants, and whom it was asked of.
#[derive(Debug)]
pub(super) struct Wants {
    /// Seats of each shard.
    seats: u16,
    open: BTreeMap<(DomainId, Height), Asked>,
}

#[derive(Debug)]
struct Asked {
    want: InboundWant,
    tries: u16,
    again_at_ms: u64,
}

impl Wants {
    pub(super) fn new(verifiers: u16) -> Self {
        Self { seats: verifiers + 1, open: BTreeMap::new() }
    }

    /// Asks for them from now on.
    pub(super) fn add(&mut self, want: InboundWant) {
        let place = (want.proposer.domain, want.height);
        self.open.entry(place).or_insert(Asked { want, tries: 0, again_at_ms: 0 });
    }

    /// Forgets what is wanted no longer.
    pub(super) fn retain(&mut self, wanted: impl Fn(DomainId, Height) -> bool) {
        self.open.retain(|(source, height), _| wanted(*source, *height));
    }

    /// What is wanted of a block's messages.
    pub(super) fn get(&self, source: DomainId, height: Height) -> Option<&InboundWant> {
        self.open.get(&(source, height)).map(|asked| &asked.want)
    }

    /// They have come.
    pub(super) fn remove(&mut self, source: DomainId, height: Height) {
        self.open.remove(&(source, height));
    }

    /// The requests that are due: whom to ask, who made the block first, for the messages of which block.
    pub(super) fn requests(&mut self, now_ms: u64) -> Vec<(RootSeat, Height)> {
        let seats = self.seats;
        let due = self.open.iter_mut().take(ASKED_MAX).filter(|(_, asked)| asked.again_at_ms <= now_ms);
        due.map(|((source, height), asked)| {
            let first = asked.want.proposer.seat.0 % seats;
            let seat = SeatIndex((first + asked.tries % seats) % seats);
            asked.tries = asked.tries.wrapping_add(1);
            asked.again_at_ms = now_ms.saturating_add(ASK_AGAIN_MS);
            (RootSeat { domain: *source, seat }, *height)
        })
        .collect()
    }

    /// When the next request is due, if any will be.
    pub(super) fn wake_at_ms(&self) -> Option<u64> {
        self.open.values().take(ASKED_MAX).map(|asked| asked.again_at_ms).min()
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{B256, U256};
    use anfs_crypto::outbox::LaneShare;

    use super::*;

    #[test]
    fn seats_are_asked_in_turn_until_one_answers_or_nothing_is_wanted() {
        let mut wants = Wants::new(4);
        let share = LaneShare { outbox_root: B256::ZERO, first: 0, count: 1, value: U256::ZERO };
        let domain = DomainId(2);
        let proposer = RootSeat { domain, seat: SeatIndex(3) };
        for height in [7, 8].map(Height) {
            wants.add(InboundWant { proposer, height, share });
        }
        let asked = |now: u64, wants: &mut Wants| -> Vec<(u16, u64)> {
            wants.requests(now).into_iter().map(|(to, height)| (to.seat.0, height.0)).collect()
        };
        assert_eq!(wants.wake_at_ms(), Some(0));
        assert_eq!(asked(1000, &mut wants), [(3, 7), (3, 8)]);
        assert_eq!(asked(1000 + ASK_AGAIN_MS - 1, &mut wants), []);
        wants.remove(domain, Height(7));
        assert_eq!(wants.wake_at_ms(), Some(1000 + ASK_AGAIN_MS));
        assert_eq!(asked(1200, &mut wants), [(4, 8)]);
        assert_eq!(asked(1400, &mut wants), [(0, 8)]);
        assert!(wants.get(domain, Height(8)).is_some());
        wants.retain(|_, _| false);
        assert_eq!((wants.wake_at_ms(), asked(9000, &mut wants)), (None, vec![]));
    }
}
