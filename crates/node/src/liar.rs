//! A verifier that misbehaves on purpose, with its real key: for development networks and tests.
//!
//! It stands between an honest consensus core and the network. For a few heights it calls a valid block
//! invalid, then it tells the truth again, then it says nothing at all, and so on. Up to f such verifiers
//! cost a shard its fast path while they lie or are silent, and leave evidence, but nothing else.
//!
//! spec: PROTOCOL §4 R3, R7, §12

use anfs_crypto::{bls, votes};
use anfs_primitives::{ConsensusMessage, Fault, Height, SeatIndex, VoteKind};

/// Heights after which it begins again.
const ROUND: u64 = 32;
/// Within a round: the height of the false alert, and the heights of silence.
const ALERT_AT: u64 = 8;
const SILENT: std::ops::Range<u64> = 16..24;

/// See the module docs.
pub(crate) struct Liar {
    key: bls::SecretKey,
    seat: SeatIndex,
    /// The height of the last lie that was told in the log.
    told: Height,
}

impl Liar {
    pub(crate) fn new(key: bls::SecretKey, seat: SeatIndex) -> Self {
        Self { key, seat, told: Height::ZERO }
    }

    /// What leaves in place of a message of the honest core; `None` for silence.
    pub(crate) fn distort(&mut self, message: ConsensusMessage) -> Option<ConsensusMessage> {
        let ConsensusMessage::Vote(vote) = message else { return Some(message) };
        let height = vote.target.height;
        match height.0 % ROUND {
            // The rest of what it would say of this block contradicts the alert.
            ALERT_AT if vote.kind != VoteKind::ValidSliced => None,
            ALERT_AT => {
                self.tell(height, "calls a valid block invalid");
                let fault = Some(Fault::Shape);
                let alert = VoteKind::InvalidSliced;
                Some(ConsensusMessage::Vote(votes::sign_vote(
                    &self.key,
                    alert,
                    vote.target,
                    fault,
                    self.seat,
                )))
            }
            phase if SILENT.contains(&phase) => {
                if phase == SILENT.start {
                    self.tell(height, "falls silent for a while");
                }
                None
            }
            _ => Some(ConsensusMessage::Vote(vote)),
        }
    }

    fn tell(&mut self, height: Height, lie: &str) {
        if self.told < height {
            self.told = height;
            tracing::info!(seat = %self.seat, %height, "seat {} misbehaves on purpose: it {lie}", self.seat);
        }
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::B256;
    use anfs_primitives::{DomainId, Epoch, NetworkId, View, VoteTarget};

    use super::*;

    #[test]
    fn its_alert_is_signed_with_its_key_and_its_silence_ends() {
        let key = bls::SecretKey::from_seed(&[3; 32]);
        let mut liar = Liar::new(key.clone(), SeatIndex(1));
        let mut say = |height, kind| {
            let target = VoteTarget {
                network: NetworkId(7),
                epoch: Epoch::ZERO,
                domain: DomainId(1),
                height: Height(height),
                view: View::ZERO,
                block: B256::repeat_byte(1),
            };
            let vote = votes::sign_vote(&key, kind, target, None, SeatIndex(1));
            match liar.distort(ConsensusMessage::Vote(vote.clone())) {
                Some(ConsensusMessage::Vote(said)) => Some((said.kind, said == vote)),
                _ => None,
            }
        };
        let honest = Some((VoteKind::ValidSliced, true));
        assert_eq!(say(ROUND + ALERT_AT, VoteKind::ValidSliced), Some((VoteKind::InvalidSliced, false)));
        assert_eq!(say(ROUND + ALERT_AT, VoteKind::ValidFull), None);
        assert_eq!(say(ROUND + SILENT.start, VoteKind::ValidSliced), None);
        assert_eq!(say(ROUND + SILENT.end, VoteKind::ValidSliced), honest);
        assert_eq!(say(1, VoteKind::ValidSliced), honest);
    }
}
