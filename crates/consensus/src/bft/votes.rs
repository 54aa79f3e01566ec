//! Votes by (height, view), seat and kind; their lazy verification, and certificates made of them.
//!
//! spec: PROTOCOL §4 R2, R4, R7

use std::collections::BTreeMap;

use anfs_primitives::{
    Certificate, CertificateKind, Height, SeatIndex, SignedVote, SignerSet, View, VoteKind, VoteTarget,
};

use super::quorum::Quorum;
use crate::crypto::{CryptoError, VoteCrypto};
use crate::evidence::{Evidence, contradict};

/// Kinds of votes: one slot each for every seat.
const KINDS: usize = 5;

/// What became of a vote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is kept and may count.
    Added,
    /// It was already there, or this seat's word on the matter is already spoken.
    Ignored,
    /// The signer is no verifier of this shard.
    NotMember,
    /// Its signature does not verify.
    BadSignature,
    /// It contradicts an earlier vote of the same signer; both signatures verify.
    Equivocation(Box<Evidence>),
}

#[derive(Clone, Debug)]
struct Kept {
    vote: SignedVote,
    verified: bool,
}

#[derive(Clone, Debug, Default)]
struct Tally {
    /// By kind, then verifier index. On the fast path one kind alone comes: the others take no room.
    kinds: [Vec<Option<Kept>>; KINDS],
    /// Verifiers that sent a bad signature, by kind: not heard again on that kind.
    struck: [SignerSet; KINDS],
    /// Verifiers whose equivocation has been reported.
    accused: SignerSet,
}

impl Tally {
    /// Where the vote of a verifier belongs.
    fn place(&mut self, voters: usize, kind: usize, seat: usize) -> &mut Option<Kept> {
        let kept = &mut self.kinds[kind];
        if kept.is_empty() {
            kept.resize_with(voters, || None);
        }
        &mut kept[seat]
    }

    /// The vote of a verifier, if it is there.
    fn kept(&self, kind: usize, seat: usize) -> Option<&Kept> {
        self.kinds[kind].get(seat)?.as_ref()
    }

    fn all(&self) -> impl Iterator<Item = &Kept> {
        self.kinds.iter().flatten().flatten()
    }
}

/// All votes that are kept. The caller holds the window: it admits only heights that it is working on and
/// calls [`VoteBook::prune`].
#[derive(Clone, Debug)]
pub struct VoteBook {
    quorum: Quorum,
    tallies: BTreeMap<(Height, View), Tally>,
}

impl VoteBook {
    /// An empty book.
    #[must_use]
    pub fn new(quorum: Quorum) -> Self {
        Self { quorum, tallies: BTreeMap::new() }
    }

    /// Takes a vote in. Its signature is verified only when it contradicts another one.
    ///
    /// `verified`: the caller vouches for the signature (its own votes).
    pub fn admit(&mut self, crypto: &dyn VoteCrypto, vote: &SignedVote, verified: bool) -> Admission {
        let voters = self.quorum.voters();
        let Some(seat) = vote.signer.verifier_index().filter(|&index| index < voters) else {
            return Admission::NotMember;
        };
        let kind = vote.kind as usize;
        let tally = self.tallies.entry((vote.target.height, vote.target.view)).or_default();
        if tally.struck[kind].contains(seat) || tally.accused.contains(seat) {
            return Admission::Ignored;
        }
        let same = tally.kept(kind, seat).is_some_and(|kept| kept.vote.target.block == vote.target.block);
        if same {
            return Admission::Ignored;
        }
        let rivals = |slot: &usize| tally.kept(*slot, seat).is_some_and(|kept| contradict(&kept.vote, vote));
        let rival = (0..KINDS).find(rivals);
        let mut verified = verified;
        if let Some(slot) = rival {
            if !verified && !verify_one(crypto, seat, vote) {
                tally.struck[kind].insert(seat);
                return Admission::BadSignature;
            }
            verified = true;
            let place = tally.place(voters, slot, seat);
            let first = place.take().expect("the rival was found in this slot");
            if first.verified || verify_one(crypto, seat, &first.vote) {
                let evidence = Evidence::Votes { first: first.vote.clone(), second: vote.clone() };
                *place = Some(Kept { verified: true, ..first });
                tally.accused.insert(seat);
                return Admission::Equivocation(Box::new(evidence));
            }
        }
        *tally.place(voters, kind, seat) = Some(Kept { vote: vote.clone(), verified });
        Admission::Added
    }

    /// Verifies one kept vote now; a bad one is removed and its signer not heard again on that kind.
    pub fn confirm(&mut self, crypto: &dyn VoteCrypto, vote: &SignedVote) -> bool {
        let Some(seat) = vote.signer.verifier_index() else { return false };
        let Some(tally) = self.tallies.get_mut(&(vote.target.height, vote.target.view)) else { return false };
        let kind = vote.kind as usize;
        let Some(place) = tally.kinds[kind].get_mut(seat) else { return false };
        let Some(kept) = place else { return false };
        if !kept.verified && !verify_one(crypto, seat, &kept.vote) {
            *place = None;
            tally.struck[kind].insert(seat);
            return false;
        }
        kept.verified = true;
        true
    }

    /// Makes a certificate if enough votes are there and enough of them verify. Bad ones are removed and
    /// their signers pushed to `bad`. Nothing is verified while the votes, were they all good, are too few.
    ///
    /// # Errors
    /// [`CryptoError`] from aggregation.
    pub fn certify(
        &mut self,
        crypto: &dyn VoteCrypto,
        kind: CertificateKind,
        target: &VoteTarget,
        bad: &mut Vec<SeatIndex>,
    ) -> Result<Option<Certificate>, CryptoError> {
        let needed = self.quorum.needed(kind);
        let Some(tally) = self.tallies.get_mut(&(target.height, target.view)) else { return Ok(None) };
        let slot = kind.vote() as usize;
        let votes = &mut tally.kinds[slot];
        if votes.iter().flatten().count() < needed {
            return Ok(None);
        }
        let mut fresh = Vec::new();
        let mut good = Vec::new();
        for (seat, kept) in votes.iter().enumerate() {
            if let Some(kept) = kept.as_ref().filter(|kept| kept.vote.target == *target) {
                let list = if kept.verified { &mut good } else { &mut fresh };
                list.push((seat, kept.vote.signature));
            }
        }
        if good.len() + fresh.len() < needed {
            return Ok(None);
        }
        let wrong =
            if fresh.is_empty() { Vec::new() } else { crypto.verify_votes(kind.vote(), target, &fresh) };
        for (position, (seat, signature)) in fresh.into_iter().enumerate() {
            if wrong.contains(&position) {
                if let Some(kept) = votes[seat].take() {
                    bad.push(kept.vote.signer);
                }
                tally.struck[slot].insert(seat);
            } else {
                if let Some(kept) = votes[seat].as_mut() {
                    kept.verified = true;
                }
                good.push((seat, signature));
            }
        }
        if good.len() < needed {
            return Ok(None);
        }
        good.sort_by_key(|&(seat, _)| seat);
        crypto.aggregate(kind, target, &good).map(Some)
    }

    /// The fault that a verified vote of this kind names for this block, if any does.
    #[must_use]
    pub fn fault(&self, kind: VoteKind, target: &VoteTarget) -> Option<anfs_primitives::Fault> {
        let tally = self.tallies.get(&(target.height, target.view))?;
        let kept = tally.kinds[kind as usize].iter().flatten();
        kept.filter(|kept| kept.verified && kept.vote.target == *target).find_map(|kept| kept.vote.fault)
    }

    /// Whether a verified vote calls this block invalid.
    #[must_use]
    pub fn is_alarmed(&self, target: &VoteTarget) -> bool {
        let Some(tally) = self.tallies.get(&(target.height, target.view)) else { return false };
        tally.all().any(|kept| kept.verified && is_alert(kept.vote.kind) && kept.vote.target == *target)
    }

    /// Verified votes of any view that call this block invalid.
    #[must_use]
    pub fn alerts(&self, height: Height, block: &anfs_primitives::BlockHash) -> Vec<SignedVote> {
        let views = self.tallies.range((height, View::ZERO)..(height.next(), View::ZERO));
        let kept = views.flat_map(|(_, tally)| tally.all());
        let alerts =
            kept.filter(|kept| kept.verified && is_alert(kept.vote.kind) && kept.vote.target.block == *block);
        alerts.map(|kept| kept.vote.clone()).collect()
    }

    /// Forgets all views below this one but the last two, which may still prove something.
    pub fn retire(&mut self, view: View) {
        self.tallies.retain(|&(_, at), _| at.0.saturating_add(2) >= view.0);
    }

    /// Forgets everything up to and including `height`.
    pub fn prune(&mut self, height: Height) {
        self.tallies = self.tallies.split_off(&(height.next(), View::ZERO));
    }

    /// Votes kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tallies.values().flat_map(Tally::all).count()
    }

    /// Whether nothing is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn is_alert(kind: VoteKind) -> bool {
    matches!(kind, VoteKind::InvalidSliced | VoteKind::InvalidFull)
}

fn verify_one(crypto: &dyn VoteCrypto, seat: usize, vote: &SignedVote) -> bool {
    crypto.verify_votes(vote.kind, &vote.target, &[(seat, vote.signature)]).is_empty()
}

#[cfg(test)]
mod tests;
