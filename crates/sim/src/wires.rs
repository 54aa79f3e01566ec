//! The network between the seats: loss, delay, duplication, reordering, one-way cuts, clogs.

use anfs_primitives::{ConsensusMessage, SeatIndex};

use crate::rng::Rng;

/// How messages travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weather {
    /// Messages lost, of 1000.
    pub loss: u16,
    /// Fragments lost beside that, of 1000.
    pub fragment_loss: u16,
    /// Messages that come twice, of 1000.
    pub duplication: u16,
    /// Shortest way.
    pub delay_ms: u64,
    /// What may be added to it: messages overtake each other.
    pub jitter_ms: u64,
    /// Messages that take the long way, of 1000.
    pub straggling: u16,
    /// What the long way adds at most.
    pub straggle_ms: u64,
}

impl Default for Weather {
    fn default() -> Self {
        Self {
            loss: 0,
            fragment_loss: 0,
            duplication: 0,
            delay_ms: 1,
            jitter_ms: 2,
            straggling: 0,
            straggle_ms: 0,
        }
    }
}

/// When the copies of one message arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fate {
    /// The message; none when it is lost.
    pub first_ms: Option<u64>,
    /// Its double.
    pub second_ms: Option<u64>,
}

/// The links between all seats.
#[derive(Clone, Debug)]
pub struct Network {
    seats: usize,
    /// The weather now.
    pub weather: Weather,
    /// By sender and recipient.
    cut: Vec<bool>,
    /// By sender and recipient: nothing arrives before this.
    clogged_until_ms: Vec<u64>,
}

impl Network {
    /// A network without cuts or clogs.
    #[must_use]
    pub fn new(seats: usize, weather: Weather) -> Self {
        Self { seats, weather, cut: vec![false; seats * seats], clogged_until_ms: vec![0; seats * seats] }
    }

    fn link(&self, from: SeatIndex, to: SeatIndex) -> usize {
        usize::from(from.0) * self.seats + usize::from(to.0)
    }

    /// Messages on this link are lost from here on.
    pub fn cut(&mut self, from: SeatIndex, to: SeatIndex) {
        let link = self.link(from, to);
        self.cut[link] = true;
    }

    /// Messages on this link wait until then.
    pub fn clog(&mut self, from: SeatIndex, to: SeatIndex, until_ms: u64) {
        let link = self.link(from, to);
        self.clogged_until_ms[link] = self.clogged_until_ms[link].max(until_ms);
    }

    /// Ends cuts and clogs; what is held back already still comes when it was due.
    pub fn heal(&mut self) {
        self.cut.fill(false);
        self.clogged_until_ms.fill(0);
    }

    /// Decides what becomes of a message that is sent now.
    pub fn send(
        &self,
        now_ms: u64,
        from: SeatIndex,
        to: SeatIndex,
        message: &ConsensusMessage,
        rng: &mut Rng,
    ) -> Fate {
        let link = self.link(from, to);
        if self.cut[link] {
            return Fate { first_ms: None, second_ms: None };
        }
        let weather = &self.weather;
        let mut loss = weather.loss;
        if matches!(message, ConsensusMessage::Fragment(_)) {
            loss += weather.fragment_loss;
        }
        let copy = |rng: &mut Rng| {
            if rng.chance(u64::from(loss)) {
                return None;
            }
            let mut delay = weather.delay_ms + rng.below(weather.jitter_ms + 1);
            if rng.chance(u64::from(weather.straggling)) {
                delay += rng.below(weather.straggle_ms + 1);
            }
            Some((now_ms + delay).max(self.clogged_until_ms[link]))
        };
        let first_ms = copy(rng);
        let second_ms = if rng.chance(u64::from(weather.duplication)) { copy(rng) } else { None };
        Fate { first_ms, second_ms }
    }
}
