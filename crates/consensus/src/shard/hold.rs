//! When a seat must not sign: it has lost its signing record, or someone else signs with its key.
//!
//! A seat without its record does not know what it has signed. It follows the chain as an observer until
//! nothing that it may have signed can matter any more, and until it has seen heights decided without
//! its key: then its old self is gone. This bounds the harm of a lost disk, it does not undo it: until the
//! watch is over, the seat counts among the f faulty.
//!
//! spec: PROTOCOL §4

use anfs_primitives::{Certificate, Height};

use super::core::ShardCore;

/// Why a seat signs nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Its record was missing when it started: it watches first.
    Watching {
        /// The watch ends with this height, once it is known.
        until: Option<Height>,
    },
    /// A certificate holds a signature of this seat that is not in its record: another process has its key.
    Doppelganger {
        /// Height of the certificate.
        height: Height,
    },
}

/// The watch begins after this many times Δ_view: what the old self had sent has arrived or is lost.
const SETTLE_FACTOR: u64 = 2;

impl ShardCore {
    /// Makes the seat watch the chain before it signs. To be called before [`super::Input::Start`] when the
    /// signing record is missing and the seat may have signed before.
    pub fn watch_first(&mut self) {
        if self.seat.is_some() {
            self.hold = Some(Hold::Watching { until: None });
        }
    }

    /// Lets a held seat sign: someone who knows says that its key is used nowhere else and that nothing
    /// it signed can matter.
    pub(super) fn release(&mut self) {
        self.hold = None;
    }

    /// Moves the watch on.
    pub(super) fn mind_watch(&mut self) {
        let Some(Hold::Watching { until }) = self.hold else { return };
        match until {
            None => {
                let settled = self.config.view_timeout_ms.saturating_mul(SETTLE_FACTOR);
                if self.now_ms >= self.started_ms.saturating_add(settled) && !self.lags() {
                    let seen = self.seen.max(self.tip.parent.height);
                    let until = Height(seen.0.saturating_add(2 * self.window()));
                    self.hold = Some(Hold::Watching { until: Some(until) });
                }
            }
            Some(until) if self.tip.parent.height >= until => self.hold = None,
            Some(_) => {}
        }
    }

    /// Looks for the own seat in a certificate that this process did not sign for.
    pub(super) fn mind_doppelganger(&mut self, certificate: &Certificate) {
        let Some(own) = self.seat.and_then(anfs_primitives::SeatIndex::verifier_index) else { return };
        let target = &certificate.target;
        let fresh = match self.hold {
            None => true,
            // What the old self signed may still turn up below.
            Some(Hold::Watching { until: Some(until) }) => {
                target.height.0.saturating_add(self.window()) > until.0
            }
            Some(_) => false,
        };
        let kind = certificate.kind.vote();
        let signed = self.record.votes(target.height, target.view);
        let ours = signed.iter().any(|vote| vote.kind == kind && vote.target == *target);
        if fresh && certificate.signers.contains(own) && !ours {
            self.hold = Some(Hold::Doppelganger { height: target.height });
        }
    }
}
