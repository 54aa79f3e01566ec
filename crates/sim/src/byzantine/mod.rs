//! Seats that do not follow the protocol.
//!
//! An actor is a node that follows the protocol with a hand over it: the hand swallows, changes, doubles and
//! delays what the node does, and adds what an honest seat would never say, all of it signed with keys that
//! the seat really holds. So each misdeed happens as deep in the protocol as the node gets: a liar in a view
//! change has voted, prepared and promised before.
//!
//! Actors know each other and may sign for each other. At most f verifiers and the SG are byzantine in a plan
//! that must stay safe and live; tests that show the bound to be tight use more.
//!
//! spec: PROTOCOL §12

mod actor;
mod noise;
mod proposer;
mod shape;
mod stall;
#[cfg(test)]
mod tests;
mod twins;
mod views;
mod voter;

use anfs_consensus::ShardCore;
use anfs_primitives::SeatIndex;

use self::actor::{Actor, Mischief};
use crate::blocks::Flaw;
use crate::rng::Rng;
use crate::seat::{Boot, Outbox, Seat, SeatInput};

pub use proposer::{Rivalry, Withheld};
pub use shape::Shape;
pub use views::{Lie, Opening};

/// How a seat breaks the protocol. Behaviours of proposers show whenever the seat leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// It is not there at all.
    Dead,
    /// Everything it says comes so much later.
    Slow {
        /// How much.
        by_ms: u64,
    },
    /// As leader it gives its blocks out one by one, each just before the others give it up.
    ///
    /// No rule is broken and the shard never stands still, so this is not among [`Behaviour::all`].
    Stall {
        /// How long before.
        spare_ms: u64,
    },
    /// It speaks to one half of the others only.
    Selective,
    /// Two blocks for one (height, view).
    Equivocate(Rivalry),
    /// Blocks that are wrong, so many of 1000.
    Invalid {
        /// What is wrong with them.
        flaw: Flaw,
        /// Of 1000 blocks.
        share: u16,
    },
    /// As proposer it makes this slice wrong and grinds for friendly checkers; as verifier it calls right
    /// whatever it sees.
    Collude {
        /// The slice.
        slice: u16,
        /// Of 1000 blocks.
        share: u16,
    },
    /// Proposals without bodies.
    Withhold(Withheld),
    /// Proposals whose headers break a rule that needs no execution.
    Misshape(Shape),
    /// Proposes in views that another leads.
    Usurp,
    /// Calls good blocks invalid.
    FalseAlert,
    /// Signs without checking.
    Lazy,
    /// Votes for everything at once, each half being told of another block.
    DoubleVote,
    /// Keeps its votes back and makes certificates in secret.
    Hoard,
    /// Shifts its shares so that they cancel with an accomplice's.
    CancelShares,
    /// Lies in its promises.
    LyingPromise(Lie),
    /// Makes two promises for one view: one half is told the truth.
    ConflictingPromise(Lie),
    /// Opens the views that it leads wrongly.
    BadOpening(Opening),
    /// Sends old messages again, as they were or as if of another place.
    Replay,
    /// Shows certificates that are none.
    BogusCertificates,
    /// Asks too much, and speaks of what is far away.
    Spam,
    /// Sends entries that no header commits to.
    Pollute,
    /// Two honest processes with one key.
    Twins,
}

impl Behaviour {
    /// A name for statistics and pictures.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Dead => "dead",
            Self::Slow { .. } => "slow",
            Self::Stall { .. } => "stall",
            Self::Selective => "selective",
            Self::Equivocate(_) => "equivocate",
            Self::Invalid { flaw: Flaw::Slice(_), .. } => "invalid slice",
            Self::Invalid { flaw: Flaw::State, .. } => "invalid state",
            Self::Collude { .. } => "collude",
            Self::Withhold(_) => "withhold",
            Self::Misshape(_) => "misshape",
            Self::Usurp => "usurp",
            Self::FalseAlert => "false alert",
            Self::Lazy => "lazy",
            Self::DoubleVote => "double vote",
            Self::Hoard => "hoard",
            Self::CancelShares => "cancel shares",
            Self::LyingPromise(_) => "lying promise",
            Self::ConflictingPromise(_) => "conflicting promise",
            Self::BadOpening(_) => "bad opening",
            Self::Replay => "replay",
            Self::BogusCertificates => "bogus certificates",
            Self::Spam => "spam",
            Self::Pollute => "pollute",
            Self::Twins => "twins",
        }
    }

    /// Every behaviour that swarms draw, with every style it has, in a shard of so many verifiers.
    #[must_use]
    pub fn all(verifiers: u16) -> Vec<Self> {
        let share = 300;
        let mut all = vec![
            Self::Dead,
            Self::Slow { by_ms: 150 },
            Self::Slow { by_ms: 700 },
            Self::Selective,
            Self::Invalid { flaw: Flaw::State, share },
            Self::FalseAlert,
            Self::Lazy,
            Self::DoubleVote,
            Self::Hoard,
            Self::CancelShares,
            Self::Replay,
            Self::BogusCertificates,
            Self::Spam,
            Self::Pollute,
            Self::Twins,
            Self::Usurp,
        ];
        all.extend((0..verifiers).map(|slice| Self::Invalid { flaw: Flaw::Slice(slice), share }));
        all.extend((0..verifiers).map(|slice| Self::Collude { slice, share }));
        let rivalries = [Rivalry::Overt, Rivalry::Halves, Rivalry::Bodies, Rivalry::WrongBody];
        all.extend(rivalries.map(Self::Equivocate));
        all.extend([Withheld::FromAll, Withheld::FromHalf, Withheld::FromAllButOne].map(Self::Withhold));
        let shapes = [Shape::Slot, Shape::Future, Shape::Clock, Shape::Gas, Shape::Boundaries];
        all.extend(shapes.map(Self::Misshape));
        let lies = [Lie::Nothing, Lie::Others, Lie::Stale, Lie::Forged];
        all.extend(lies.map(Self::LyingPromise));
        all.extend(lies.map(Self::ConflictingPromise));
        let openings = [
            Opening::Freeing,
            Opening::Fewer,
            Opening::Repeated,
            Opening::Omitting,
            Opening::Twice,
            Opening::Stale,
            Opening::Forged,
            Opening::Overriding,
        ];
        all.extend(openings.map(Self::BadOpening));
        all
    }

    /// Whether it is of any use to a seat that only proposes and never votes.
    #[must_use]
    pub fn suits_generator(&self) -> bool {
        !matches!(
            self,
            Self::FalseAlert
                | Self::Lazy
                | Self::DoubleVote
                | Self::Hoard
                | Self::CancelShares
                | Self::LyingPromise(_)
                | Self::ConflictingPromise(_)
                | Self::BadOpening(_)
                | Self::BogusCertificates
        )
    }

    /// Draws a behaviour that suits the seat.
    pub fn draw(rng: &mut Rng, seat: SeatIndex, verifiers: u16) -> Self {
        let mut all = Self::all(verifiers);
        all.retain(|behaviour| seat != SeatIndex::GENERATOR || behaviour.suits_generator());
        // Those that have a style for every slice count as one.
        let names: std::collections::BTreeSet<&str> = all.iter().map(Self::name).collect();
        let names: Vec<&str> = names.into_iter().collect();
        let name = *rng.pick(&names);
        all.retain(|behaviour| behaviour.name() == name);
        rng.pick(&all).clone()
    }

    /// The actor.
    #[must_use]
    pub fn spawn(&self, boot: Boot) -> Box<dyn Seat> {
        match *self {
            Self::Dead => Box::new(Dead),
            Self::Twins => Box::new(twins::Twins::new(boot)),
            Self::Slow { by_ms } => under(boot, noise::Slow::new(by_ms)),
            Self::Stall { spare_ms } => under(boot, stall::Stall::new(spare_ms)),
            Self::Selective => under(boot, noise::Selective),
            Self::Equivocate(style) => under(boot, proposer::Equivocate::new(style)),
            Self::Invalid { flaw, share } => under(boot, proposer::Invalid { flaw, share: share.into() }),
            Self::Collude { slice, share } => under(boot, proposer::Collude { slice, share: share.into() }),
            Self::Withhold(from) => under(boot, proposer::Withhold { from }),
            Self::Misshape(shape) => under(boot, shape::Misshape::new(shape)),
            Self::Usurp => under(boot, shape::Usurp),
            Self::FalseAlert => under(boot, voter::FalseAlert::default()),
            Self::Lazy => under(boot, voter::Lazy),
            Self::DoubleVote => under(boot, voter::DoubleVote::default()),
            Self::Hoard => under(boot, voter::Hoard::default()),
            Self::CancelShares => under(boot, voter::CancelShares),
            Self::LyingPromise(lie) => under(boot, views::LyingPromise::new(lie, false)),
            Self::ConflictingPromise(lie) => under(boot, views::LyingPromise::new(lie, true)),
            Self::BadOpening(how) => under(boot, views::BadOpening::new(how)),
            Self::Replay => under(boot, noise::Replay::default()),
            Self::BogusCertificates => under(boot, voter::BogusCertificates),
            Self::Spam => under(boot, noise::Spam::default()),
            Self::Pollute => under(boot, noise::Pollute),
        }
    }
}

/// A node under the hand of this mischief.
fn under<M: Mischief + 'static>(boot: Boot, mischief: M) -> Box<dyn Seat> {
    Box::new(Actor::new(boot, mischief))
}

/// Takes everything and says nothing.
#[derive(Debug)]
struct Dead;

impl Seat for Dead {
    fn step(&mut self, _now_ms: u64, _input: SeatInput, _out: &mut Outbox) {}

    fn core(&self) -> Option<&ShardCore> {
        None
    }
}
