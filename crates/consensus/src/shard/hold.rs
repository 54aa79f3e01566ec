//! When a seat must not sign: it has lost its signing record, or someone else signs with its key.
//!
//! A seat without its record does not know what it has signed. It follows the chain as an observer until
//! nothing that it may have signed can matter any more, and until it has seen heights decided without
//! its key: then its old self is gone. This bounds the harm of a lost disk, it does not undo it: until the
//! watch is over, the seat counts among the f faulty.
//!
//! The log itself says that it must not be signed on ([`Standing`]), so that a restart forgets nothing of it.
//! One that was brought from another process knows nothing below the height that process had decided; the
//! seat signs nothing, promises included, before it has decided that much itself.
//!
//! spec: PROTOCOL §4

use anfs_primitives::{Certificate, Height};

use super::core::ShardCore;
use super::types::Effect;
use crate::bft::{LogRecord, Standing};

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
    /// Its record was given away: another process is to sign in its place.
    Retired,
    /// Its record came from a process that had decided more: it catches up first.
    Behind {
        /// Height from which on it signs.
        until: Height,
    },
}

/// The watch begins after this many times Δ_view: what the old self had sent has arrived or is lost.
const SETTLE_FACTOR: u64 = 2;

impl ShardCore {
    /// Makes the seat watch the chain before it signs, as a log of [`Standing::Lost`] does: for whoever keeps
    /// elsewhere that the signing record is missing. To be called before [`super::Input::Start`].
    pub fn watch_first(&mut self) {
        if self.seat.is_some() {
            self.hold = Some(Hold::Watching { until: None });
        }
    }

    /// What the record says of signing on it.
    pub(super) fn mind_record(&mut self) {
        if self.seat.is_some() {
            let behind = self.record.silent().map(|until| Hold::Behind { until });
            self.hold = match self.record.standing() {
                Standing::Sound => behind,
                Standing::Lost => Some(Hold::Watching { until: None }),
                Standing::Retired => Some(Hold::Retired),
                Standing::Shared(height) => Some(Hold::Doppelganger { height }),
            };
        }
    }

    /// Lets a held seat sign: the watch is over, or someone who knows says that its key is used nowhere else
    /// and that nothing it signed can matter. What is decided by now is beyond its memory for good.
    pub(super) fn release(&mut self, effects: &mut Vec<Effect>) {
        self.hold = None;
        if self.record.standing() != Standing::Sound {
            let floor = LogRecord::Floor(self.tip.parent.height);
            for entry in [floor, LogRecord::Standing(Standing::Sound)] {
                self.record.add(entry.clone());
                effects.push(Effect::Persist(entry));
            }
        }
    }

    /// Moves the watch on.
    pub(super) fn mind_watch(&mut self, effects: &mut Vec<Effect>) {
        let tip = self.tip.parent.height;
        match self.hold {
            Some(Hold::Watching { until: None }) => {
                let settled = self.config.view_timeout_ms.saturating_mul(SETTLE_FACTOR);
                if self.now_ms >= self.started_ms.saturating_add(settled) && !self.lags() {
                    let seen = self.seen.max(tip);
                    let until = Height(seen.0.saturating_add(2 * self.window()));
                    self.hold = Some(Hold::Watching { until: Some(until) });
                }
            }
            Some(Hold::Watching { until: Some(until) } | Hold::Behind { until }) if tip >= until => {
                self.release(effects);
            }
            _ => {}
        }
    }

    /// Looks for the own seat in a certificate that this process did not sign for.
    pub(super) fn mind_doppelganger(&mut self, certificate: &Certificate, effects: &mut Vec<Effect>) {
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
            let entry = LogRecord::Standing(Standing::Shared(target.height));
            self.record.add(entry.clone());
            effects.push(Effect::Persist(entry));
        }
    }
}
