//! Signatures that only their signer can make, and that cost a few multiplications.
//!
//! A token is a keyed mix of the seat's secret and of what is signed. Secrets never leave this module: an
//! actor signs through a [`SimCrypto`] that was given to it, for the seats it was given for. Tokens add up like
//! points on the curve do, so shares that cancel in a sum can be made here as well (threat: vote-share
//! cancellation), while [`VoteCrypto::verify_votes`] looks at each one, as the random weights of the real
//! batch do.

use std::fmt;
use std::sync::Arc;

use anfs_consensus::{CryptoError, ShardConfig, VoteCrypto};
use anfs_crypto::votes;
use anfs_primitives::{
    BlsSignature, Certificate, CertificateKind, Fault, NewView, Proposal, SealedHeader, SeatIndex,
    SignedViewChange, SignedVote, SignerSet, ViewChange, VoteKind, VoteTarget, encode,
};

use crate::rng::Rng;

const PROPOSAL: u64 = 100;
const VIEW_CHANGE: u64 = 101;
const NEW_VIEW: u64 = 102;

/// The secrets of all seats of one run. They cannot be read, only verified against.
pub struct Keys {
    secrets: Vec<(u64, u64)>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({} seats)", self.secrets.len())
    }
}

/// Two lanes of a multiply-and-fold mix.
#[derive(Clone, Copy)]
struct Mix(u64, u64);

fn fold(a: u64, b: u64) -> u64 {
    let wide = u128::from(a) * u128::from(b);
    let low = u64::try_from(wide & u128::from(u64::MAX)).expect("the lower half of a product");
    let high = u64::try_from(wide >> 64).expect("the upper half of a product");
    low ^ high
}

impl Mix {
    fn word(&mut self, word: u64) {
        self.0 = fold(self.0 ^ word, 0x9e37_79b9_7f4a_7c15 ^ self.1.rotate_left(7));
        self.1 = fold(self.1 ^ word.rotate_left(32), 0xd6e8_feb8_6659_fd93 ^ self.0);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.word(u64::from_le_bytes(*word));
        }
        let mut last = [0u8; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.word(u64::from_le_bytes(last));
        self.word(bytes.len() as u64);
    }
}

/// A token as a number; signatures hold it in their first 16 bytes.
pub(crate) fn signature_of(token: u128) -> BlsSignature {
    let mut signature = BlsSignature::ZERO;
    signature[..16].copy_from_slice(&token.to_le_bytes());
    signature
}

/// The number in a signature; what lies beyond it must be zero.
pub(crate) fn token_of(signature: &BlsSignature) -> Option<u128> {
    let (token, rest) = signature.split_first_chunk::<16>()?;
    rest.iter().all(|byte| *byte == 0).then(|| u128::from_le_bytes(*token))
}

impl Keys {
    /// Draws the secrets of so many seats.
    #[must_use]
    pub fn draw(rng: &mut Rng, seats: usize) -> Arc<Self> {
        Arc::new(Self { secrets: (0..seats).map(|_| (rng.next_u64(), rng.next_u64())).collect() })
    }

    fn token(&self, seat: SeatIndex, purpose: u64, feed: impl Fn(&mut Mix)) -> Option<u128> {
        let &(a, b) = self.secrets.get(usize::from(seat.0))?;
        let mut mix = Mix(a, b);
        mix.word(purpose);
        feed(&mut mix);
        mix.word(purpose);
        Some(u128::from(mix.0) << 64 | u128::from(mix.1))
    }

    pub(crate) fn of_target(&self, seat: SeatIndex, purpose: u64, target: &VoteTarget) -> Option<u128> {
        self.token(seat, purpose, |mix| {
            mix.word(target.network.0);
            mix.word(target.epoch.0);
            mix.word(u64::from(target.domain.0));
            mix.word(target.height.0);
            mix.word(target.view.0);
            mix.bytes(target.block.as_slice());
        })
    }

    pub(crate) fn of_bytes(&self, seat: SeatIndex, purpose: u64, bytes: &[u8]) -> Option<u128> {
        self.token(seat, purpose, |mix| mix.bytes(bytes))
    }

    /// Verifiers of the shard.
    #[must_use]
    pub fn verifiers(&self) -> usize {
        self.secrets.len() - 1
    }

    /// Whether one vote bears the signature of the seat that it names.
    #[must_use]
    pub fn verifies_vote(&self, vote: &SignedVote) -> bool {
        let token = self.of_target(vote.signer, vote.kind as u64, &vote.target);
        token.is_some() && token == token_of(&vote.signature)
    }

    /// Whether a proposal bears the signature of the seat that its header names.
    #[must_use]
    pub fn verifies_proposal(&self, proposal: &Proposal) -> bool {
        let target = votes::target_of(&proposal.header);
        let token = self.of_target(proposal.header.proposer, PROPOSAL, &target);
        token.is_some() && token == token_of(&proposal.signature)
    }

    /// Whether a view change bears the signature of the seat that it names.
    #[must_use]
    pub fn verifies_view_change(&self, signed: &SignedViewChange) -> bool {
        let token = self.of_bytes(signed.signer, VIEW_CHANGE, &encode(&signed.change));
        token.is_some() && token == token_of(&signed.signature)
    }

    /// Whether the opening of a view bears the signature of this seat.
    #[must_use]
    pub fn verifies_new_view(&self, leader: SeatIndex, opening: &NewView) -> bool {
        let token = self.of_bytes(leader, NEW_VIEW, &votes::new_view_bytes(opening));
        token.is_some() && token == token_of(&opening.signature)
    }

    /// What these seats have signed in another network, domain or epoch, where they have the same keys: a
    /// certificate as they would make it there; none for this one.
    #[must_use]
    pub fn certified_elsewhere(&self, here: &ShardConfig, like: &Certificate) -> Option<Certificate> {
        let Certificate { kind, target, .. } = like;
        if (target.network, target.domain, target.epoch) == (here.network, here.domain, here.epoch) {
            return None;
        }
        let all = 0..self.verifiers();
        let mut tokens = all.clone().map(|index| self.of_target(seat_of(index), kind.vote() as u64, target));
        let sum = tokens.try_fold(0u128, |sum, token| Some(sum.wrapping_add(token?)))?;
        let signature = signature_of(sum);
        Some(Certificate { kind: *kind, target: *target, signers: all.collect(), signature })
    }

    /// Whether a signature is the sum of these verifiers' votes of one kind.
    #[must_use]
    pub fn verifies_sum(
        &self,
        kind: VoteKind,
        target: &VoteTarget,
        signers: SignerSet,
        sum: &BlsSignature,
    ) -> bool {
        let mut expected = 0u128;
        for index in signers.iter() {
            let Some(token) = self.of_target(seat_of(index), kind as u64, target) else { return false };
            expected = expected.wrapping_add(token);
        }
        token_of(sum) == Some(expected)
    }
}

fn seat_of(verifier: usize) -> SeatIndex {
    SeatIndex::verifier(u16::try_from(verifier).unwrap_or(u16::MAX - 1))
}

/// Signs for the given seats, verifies for all.
#[derive(Clone, Debug)]
pub struct SimCrypto {
    own: Vec<SeatIndex>,
    keys: Arc<Keys>,
}

impl SimCrypto {
    /// A signer for these seats: one for an honest seat, several for actors that have shared their keys.
    #[must_use]
    pub fn new(keys: Arc<Keys>, own: impl IntoIterator<Item = SeatIndex>) -> Self {
        Self { own: own.into_iter().collect(), keys }
    }

    /// What verifies for all seats.
    #[must_use]
    pub fn keys(&self) -> &Arc<Keys> {
        &self.keys
    }

    fn allowed(&self, seat: SeatIndex) -> Result<SeatIndex, CryptoError> {
        if self.own.contains(&seat) { Ok(seat) } else { Err(CryptoError::NoKey(seat)) }
    }
}

fn made(seat: SeatIndex, token: Option<u128>) -> Result<BlsSignature, CryptoError> {
    token.map(signature_of).ok_or(CryptoError::NoKey(seat))
}

/// The sum of two signatures, as points on the curve have one; for actors that shift shares.
#[must_use]
pub fn add(a: &BlsSignature, b: &BlsSignature) -> BlsSignature {
    let (a, b) = (token_of(a).unwrap_or_default(), token_of(b).unwrap_or_default());
    signature_of(a.wrapping_add(b))
}

/// The signature that cancels this one in a sum.
#[must_use]
pub fn negate(signature: &BlsSignature) -> BlsSignature {
    signature_of(token_of(signature).unwrap_or_default().wrapping_neg())
}

impl VoteCrypto for SimCrypto {
    fn sign_vote(
        &self,
        seat: SeatIndex,
        kind: VoteKind,
        target: &VoteTarget,
        fault: Option<Fault>,
    ) -> Result<SignedVote, CryptoError> {
        let signer = self.allowed(seat)?;
        let signature = made(seat, self.keys.of_target(seat, kind as u64, target))?;
        Ok(SignedVote { kind, target: *target, fault, signer, signature })
    }

    fn sign_proposal(&self, seat: SeatIndex, header: &SealedHeader) -> Result<Proposal, CryptoError> {
        self.allowed(seat)?;
        let token = self.keys.of_target(seat, PROPOSAL, &votes::target_of(header));
        Ok(Proposal { header: header.clone(), signature: made(seat, token)? })
    }

    fn verify_proposal(&self, proposal: &Proposal) -> bool {
        self.keys.verifies_proposal(proposal)
    }

    fn verify_votes(
        &self,
        kind: VoteKind,
        target: &VoteTarget,
        votes: &[(usize, BlsSignature)],
    ) -> Vec<usize> {
        let good = |(index, signature): &(usize, BlsSignature)| {
            let token = self.keys.of_target(seat_of(*index), kind as u64, target);
            token.is_some() && token == token_of(signature)
        };
        votes.iter().enumerate().filter(|(_, vote)| !good(vote)).map(|(position, _)| position).collect()
    }

    fn aggregate(
        &self,
        kind: CertificateKind,
        target: &VoteTarget,
        votes: &[(usize, BlsSignature)],
    ) -> Result<Certificate, CryptoError> {
        let mut sum = 0u128;
        for (_, signature) in votes {
            let Some(token) = token_of(signature) else {
                return Err(CryptoError::Signer("a share is not a signature".into()));
            };
            sum = sum.wrapping_add(token);
        }
        let signers = votes.iter().map(|&(index, _)| index).collect();
        Ok(Certificate { kind, target: *target, signers, signature: signature_of(sum) })
    }

    fn verify_certificate(&self, quorum: usize, certificate: &Certificate) -> bool {
        let Certificate { kind, target, signers, signature } = certificate;
        let verifiers = self.keys.verifiers();
        let needed = if *kind == CertificateKind::Fast { verifiers } else { quorum };
        signers.len() >= needed
            && signers.max().is_some_and(|max| max < verifiers)
            && self.keys.verifies_sum(kind.vote(), target, *signers, signature)
    }

    fn sign_view_change(&self, seat: SeatIndex, change: ViewChange) -> Result<SignedViewChange, CryptoError> {
        let signer = self.allowed(seat)?;
        let signature = made(seat, self.keys.of_bytes(seat, VIEW_CHANGE, &encode(&change)))?;
        Ok(SignedViewChange { change, signer, signature })
    }

    fn verify_view_change(&self, signed: &SignedViewChange) -> bool {
        self.keys.verifies_view_change(signed)
    }

    fn sign_new_view(&self, seat: SeatIndex, new_view: NewView) -> Result<NewView, CryptoError> {
        self.allowed(seat)?;
        let bytes = votes::new_view_bytes(&new_view);
        let signature = made(seat, self.keys.of_bytes(seat, NEW_VIEW, &bytes))?;
        Ok(NewView { signature, ..new_view })
    }

    fn verify_new_view(&self, leader: SeatIndex, new_view: &NewView) -> bool {
        self.keys.verifies_new_view(leader, new_view)
    }
}

#[cfg(test)]
mod tests {
    use anfs_primitives::{DomainId, Epoch, Height, NetworkId, View};

    use super::*;

    fn target(height: u64) -> VoteTarget {
        VoteTarget {
            network: NetworkId(7),
            epoch: Epoch::ZERO,
            domain: DomainId(1),
            height: Height(height),
            view: View::ZERO,
            block: alloy_primitives::B256::repeat_byte(4),
        }
    }

    #[test]
    fn only_the_signer_signs_and_anything_else_is_refused() {
        let keys = Keys::draw(&mut Rng::new(1), 5);
        let crypto = SimCrypto::new(keys.clone(), [SeatIndex(2)]);
        let sign = |kind, height| crypto.sign_vote(SeatIndex(2), kind, &target(height), None);
        let vote = sign(VoteKind::Commit, 1).unwrap();
        assert!(keys.verifies_vote(&vote));
        assert!(crypto.sign_vote(SeatIndex(3), VoteKind::Commit, &target(1), None).is_err());
        for wrong in [
            SignedVote { signer: SeatIndex(3), ..vote.clone() },
            SignedVote { kind: VoteKind::ValidFull, ..vote.clone() },
            SignedVote { target: target(2), ..vote.clone() },
            SignedVote { signature: add(&vote.signature, &vote.signature), ..vote },
        ] {
            assert!(!keys.verifies_vote(&wrong));
        }
    }

    #[test]
    fn shares_that_cancel_keep_the_sum_and_fail_one_by_one() {
        let keys = Keys::draw(&mut Rng::new(2), 5);
        let crypto = SimCrypto::new(keys, (1..=4).map(SeatIndex));
        let sign = |seat| crypto.sign_vote(SeatIndex(seat), VoteKind::Commit, &target(1), None).unwrap();
        let mut shares: Vec<_> =
            (1..=3u16).map(|seat| (usize::from(seat) - 1, sign(seat).signature)).collect();
        let shift = sign(4).signature;
        shares[0].1 = add(&shares[0].1, &shift);
        shares[1].1 = add(&shares[1].1, &negate(&shift));
        assert_eq!(crypto.verify_votes(VoteKind::Commit, &target(1), &shares), [0, 1]);
        let sum = crypto.aggregate(CertificateKind::Commit, &target(1), &shares).unwrap();
        assert!(crypto.verify_certificate(3, &sum), "the sum alone cannot tell");
        assert!(!crypto.verify_certificate(4, &sum));
    }
}
