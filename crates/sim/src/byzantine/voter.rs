//! Verifiers that lie in their votes.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{B256, keccak256};
use anfs_consensus::VoteCrypto;
use anfs_crypto::votes::target_of;
use anfs_primitives::{
    BlockHash, BlsSignature, CertificateKind, ConsensusMessage, SeatIndex, SignedVote, VoteKind, VoteTarget,
};

use super::Behaviour;
use super::actor::{Me, Mischief, heard, misdeed, scatter};
use super::proposer::note_vouching;
use crate::crypto::{add, negate};
use crate::seat::{Action, Outbox, SeatInput, Work};

/// Calls good blocks invalid.
#[derive(Debug, Default)]
pub(super) struct FalseAlert {
    lies: BTreeMap<BlockHash, bool>,
}

impl FalseAlert {
    /// Of 1000 blocks, how many it cries wolf at.
    const SHARE: u64 = 300;

    fn lies_about(&mut self, me: &mut Me, block: BlockHash) -> bool {
        if self.lies.len() > 256 {
            self.lies.clear();
        }
        *self.lies.entry(block).or_insert_with(|| me.rng.chance(Self::SHARE))
    }
}

impl Mischief for FalseAlert {
    fn action(&mut self, me: &mut Me, _: u64, action: Action, out: &mut Outbox) {
        if let Action::Broadcast(message) = &action
            && let Some(vote) = me.own_vote(message).cloned()
            && self.lies_about(me, vote.target.block)
        {
            let said = match vote.kind {
                VoteKind::ValidSliced => VoteKind::InvalidSliced,
                VoteKind::ValidFull => VoteKind::InvalidFull,
                _ => return,
            };
            misdeed("false alert", out);
            return out.broadcast(ConsensusMessage::Vote(me.sign_vote(said, &vote.target)));
        }
        out.push(action);
    }
}

/// Signs without checking.
#[derive(Debug)]
pub(super) struct Lazy;

impl Mischief for Lazy {
    fn input(&mut self, me: &mut Me, _: u64, input: SeatInput, _: &mut Outbox) -> Option<SeatInput> {
        me.lazy = true;
        Some(input)
    }

    fn action(&mut self, me: &mut Me, _: u64, action: Action, out: &mut Outbox) {
        if matches!(action, Action::WorkUntil { work: Work::Checked { .. }, .. }) {
            misdeed("unchecked approval", out);
        }
        note_vouching(me, &action, out);
        out.push(action);
    }
}

/// Signs everything for every block that it meets, and for blocks that do not exist, telling each half
/// something else.
#[derive(Debug, Default)]
pub(super) struct DoubleVote {
    met: BTreeSet<BlockHash>,
}

impl DoubleVote {
    const KINDS: [VoteKind; 3] = [VoteKind::ValidSliced, VoteKind::ValidFull, VoteKind::Commit];

    fn vote_for(me: &Me, target: &VoteTarget, to: &[SeatIndex], out: &mut Outbox) {
        for kind in Self::KINDS {
            scatter(to, &ConsensusMessage::Vote(me.sign_vote(kind, target)), out);
        }
    }
}

impl Mischief for DoubleVote {
    fn input(&mut self, me: &mut Me, _: u64, input: SeatInput, out: &mut Outbox) -> Option<SeatInput> {
        if let Some(ConsensusMessage::Proposal(proposal)) = heard(&input) {
            let target = target_of(&proposal.header);
            if target.height > me.tip && self.met.insert(target.block) {
                let imagined = VoteTarget { block: keccak256(target.block), ..target };
                let overt = me.rng.chance(300);
                let halves = [&me.halves[0], &me.halves[1]];
                let [first, second] = if overt { [&me.others, &me.others] } else { halves };
                Self::vote_for(me, &target, first, out);
                Self::vote_for(me, &imagined, second, out);
                misdeed("double vote", out);
            }
            if self.met.len() > 256 {
                self.met.clear();
            }
        }
        Some(input)
    }
}

/// Keeps its votes to itself, makes certificates in secret, and shows each to one seat alone, or to nobody.
#[derive(Debug, Default)]
pub(super) struct Hoard {
    shown: BTreeSet<(VoteTarget, CertificateKind)>,
}

impl Hoard {
    const KINDS: [CertificateKind; 3] =
        [CertificateKind::Fast, CertificateKind::Prepare, CertificateKind::Commit];

    fn show(&mut self, me: &mut Me, target: &VoteTarget, out: &mut Outbox) {
        for kind in Self::KINDS {
            let Some(certificate) = me.certificate(kind, target) else { continue };
            if self.shown.insert((*target, kind)) {
                misdeed("hoarded certificate", out);
                if me.rng.chance(500) {
                    let to = *me.rng.pick(&me.others.clone());
                    out.send(to, ConsensusMessage::Certificate(certificate));
                }
            }
        }
        if self.shown.len() > 512 {
            self.shown.pop_first();
        }
    }
}

impl Mischief for Hoard {
    fn input(&mut self, me: &mut Me, _: u64, input: SeatInput, out: &mut Outbox) -> Option<SeatInput> {
        if let Some(ConsensusMessage::Vote(vote)) = heard(&input) {
            self.show(me, &vote.target, out);
        }
        Some(input)
    }

    fn action(&mut self, me: &mut Me, _: u64, action: Action, out: &mut Outbox) {
        if let Action::Broadcast(message) = &action {
            if let Some(vote) = me.own_vote(message) {
                let target = vote.target;
                return self.show(me, &target, out);
            }
            if matches!(&**message, ConsensusMessage::Certificate(_)) {
                return;
            }
        }
        out.push(action);
    }
}

/// Shifts its shares so that they are wrong one by one and right in the sum with its accomplice's.
#[derive(Debug)]
pub(super) struct CancelShares;

impl CancelShares {
    /// What two accomplices shift by without a word between them.
    fn shift(vote: &SignedVote) -> BlsSignature {
        let mut shift = BlsSignature::ZERO;
        let mixed = keccak256([vote.target.block.as_slice(), &[vote.kind as u8]].concat());
        shift[..16].copy_from_slice(&mixed[..16]);
        shift
    }

    fn twist(me: &Me, vote: &SignedVote) -> SignedVote {
        let accomplices = me.byzantine.iter().filter(|(_, how)| **how == Behaviour::CancelShares);
        let adds = accomplices.map(|(&seat, _)| seat).position(|seat| seat == me.seat).unwrap_or(0) % 2 == 0;
        let shift = Self::shift(vote);
        let shift = if adds { shift } else { negate(&shift) };
        SignedVote { signature: add(&vote.signature, &shift), ..vote.clone() }
    }
}

impl Mischief for CancelShares {
    fn action(&mut self, me: &mut Me, _: u64, action: Action, out: &mut Outbox) {
        if let Action::Broadcast(message) = &action
            && let Some(vote) = me.own_vote(message)
        {
            misdeed("shifted share", out);
            return out.broadcast(ConsensusMessage::Vote(Self::twist(me, vote)));
        }
        out.push(action);
    }
}

/// Shows certificates that are none, and blocks decided by them.
#[derive(Debug, Default)]
pub(super) struct BogusCertificates;

impl BogusCertificates {
    fn forge(me: &mut Me, target: &VoteTarget, out: &mut Outbox) {
        let kinds = [
            CertificateKind::Fast,
            CertificateKind::Prepare,
            CertificateKind::Commit,
            CertificateKind::Conviction,
        ];
        let kind = *me.rng.pick(&kinds);
        let own = me.sign_vote(kind.vote(), target);
        let index = me.seat.verifier_index().unwrap_or(0);
        let mut shares = me.votes.get(&(*target, VoteKind::ValidSliced)).cloned().unwrap_or_default();
        shares.insert(index, own.signature);
        let shares: Vec<_> = shares.into_iter().collect();
        let Ok(mut certificate) = me.crypto.aggregate(kind, target, &shares) else { return };
        match me.rng.below(4) {
            // Too few signers, or votes of another kind.
            0 => {}
            // Everyone is said to have signed.
            1 => certificate.signers = (0..me.quorum.voters()).collect(),
            // For a block that does not exist.
            2 => certificate.target.block = B256::repeat_byte(0x77),
            _ => certificate.signature = BlsSignature::repeat_byte(5),
        }
        let genuine = me.crypto.verify_certificate(me.quorum.decide(), &certificate);
        if genuine {
            return;
        }
        misdeed("bogus certificate", out);
        out.broadcast(ConsensusMessage::Certificate(certificate));
    }
}

impl Mischief for BogusCertificates {
    fn input(&mut self, me: &mut Me, _: u64, input: SeatInput, out: &mut Outbox) -> Option<SeatInput> {
        match heard(&input) {
            Some(ConsensusMessage::Vote(vote)) if vote.target.height > me.tip => {
                Self::forge(me, &vote.target, out);
            }
            _ => {}
        }
        Some(input)
    }

    fn action(&mut self, _: &mut Me, _: u64, action: Action, out: &mut Outbox) {
        // What it decided it shows only with a signature that is none.
        if let Action::Send { to, message } = &action
            && let ConsensusMessage::Block(block) = &**message
        {
            let mut forged = block.clone();
            forged.certificate.signature = BlsSignature::repeat_byte(6);
            misdeed("bogus certificate", out);
            return out.send(*to, ConsensusMessage::Block(forged));
        }
        out.push(action);
    }
}
