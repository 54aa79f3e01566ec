//! Seats that are cut off from the others.

use anfs_primitives::SeatIndex;

use crate::net::Net;

impl Net {
    /// Nothing that these seats say arrives.
    pub(crate) fn mute(&mut self, seats: &[u16]) {
        for (from, to) in seats.iter().flat_map(|from| (0..=self.config.verifiers).map(move |to| (*from, to)))
        {
            self.network.cut(SeatIndex(from), SeatIndex(to));
        }
    }

    /// Nothing arrives at this seat.
    pub(crate) fn deafen(&mut self, seat: u16) {
        for from in 0..=self.config.verifiers {
            self.network.cut(SeatIndex(from), SeatIndex(seat));
        }
    }
}
