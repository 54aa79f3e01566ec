//! How much other seats may ask of this one: each answer costs a look at the disk, and bytes on the wire.

use std::collections::BTreeMap;

use anfs_primitives::RootSeat;

/// Requests of one seat that are answered at once: as many as an honest one leaves open.
const AT_ONCE: u64 = 256;
/// After so many milliseconds one more is. An honest seat turns to another one meanwhile.
const ONE_MORE_MS: u64 = 10;
/// An answer of so many bytes counts as another request.
const ANSWER_BYTES: usize = 64 * 1024;

/// What each seat has left. The transport knows all seats, so there are no more of these than seats of the network.
#[derive(Debug, Default)]
pub(crate) struct Quotas(BTreeMap<RootSeat, Quota>);

#[derive(Debug)]
struct Quota {
    left: u64,
    /// Up to when more was given.
    given_ms: u64,
}

impl Quotas {
    /// Takes a request of a seat; false when it has asked for too much of late.
    pub(crate) fn take(&mut self, seat: RootSeat, now_ms: u64) -> bool {
        let quota = self.0.entry(seat).or_insert(Quota { left: AT_ONCE, given_ms: now_ms });
        let more = now_ms.saturating_sub(quota.given_ms) / ONE_MORE_MS;
        quota.left = quota.left.saturating_add(more).min(AT_ONCE);
        quota.given_ms = quota.given_ms.saturating_add(more * ONE_MORE_MS);
        match quota.left.checked_sub(1) {
            Some(left) => {
                quota.left = left;
                true
            }
            None => false,
        }
    }

    /// Counts the bytes of an answer.
    pub(crate) fn answered(&mut self, seat: RootSeat, bytes: usize) {
        if let Some(quota) = self.0.get_mut(&seat) {
            quota.left = quota.left.saturating_sub((bytes / ANSWER_BYTES) as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use anfs_primitives::{DomainId, SeatIndex};

    use super::*;

    fn seat(seat: u16) -> RootSeat {
        RootSeat { domain: DomainId(2), seat: SeatIndex(seat) }
    }

    fn taken(quotas: &mut Quotas, who: RootSeat, now_ms: u64) -> usize {
        (0..10_000).take_while(|_| quotas.take(who, now_ms)).count()
    }

    #[test]
    fn a_seat_that_asks_for_too_much_waits_and_others_do_not() {
        let mut quotas = Quotas::default();
        assert_eq!(taken(&mut quotas, seat(0), 1_000), 256);
        assert_eq!(taken(&mut quotas, seat(0), 1_009), 0);
        assert_eq!(taken(&mut quotas, seat(1), 1_009), 256);
        // Asking in vain puts nothing off.
        assert_eq!(taken(&mut quotas, seat(0), 1_010), 1);
        assert_eq!(taken(&mut quotas, seat(0), 1_055), 4);
        assert_eq!(taken(&mut quotas, seat(0), 1_060), 1);
        assert_eq!(taken(&mut quotas, seat(0), u64::MAX), 256);
        // A clock that goes back gives nothing away.
        assert_eq!(taken(&mut quotas, seat(0), 0), 0);
    }

    #[test]
    fn large_answers_count_as_several_requests() {
        let mut quotas = Quotas::default();
        assert!(quotas.take(seat(0), 0));
        quotas.answered(seat(0), 64 * 1024 - 1);
        quotas.answered(seat(0), 10 * 64 * 1024);
        assert_eq!(taken(&mut quotas, seat(0), 0), 245);
        quotas.answered(seat(0), usize::MAX);
        quotas.answered(seat(9), usize::MAX);
        assert_eq!(taken(&mut quotas, seat(0), 0), 0);
        assert_eq!(taken(&mut quotas, seat(0), 100), 10);
    }
}
