//! The production signatures: BLS12-381 of `anfs-crypto`.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use anfs_crypto::bls::{PublicKey, SecretKey, find_invalid, verify_batch};
use anfs_crypto::tags::vote_tag;
use anfs_crypto::votes;
use anfs_primitives::spec::ShardSpec;
use anfs_primitives::{
    BlsSignature, Certificate, CertificateKind, Fault, NewView, Proposal, SealedHeader, SeatIndex,
    SignedViewChange, SignedVote, ViewChange, VoteKind, VoteTarget,
};

use super::{CryptoError, VoteCrypto};

/// Keys of one shard's seats, and of this node's own seat if it has one.
///
/// The weights of batch verification come from a secret seed and a counter, so that no one who chooses
/// signatures can foresee them, and a run with the same seed repeats itself.
pub struct BlsCrypto {
    own: Option<(SeatIndex, SecretKey)>,
    generator: PublicKey,
    verifiers: Vec<PublicKey>,
    entropy: [u8; 32],
    batches: AtomicU64,
}

impl BlsCrypto {
    /// Takes parsed keys. `entropy` must be secret and fresh for each start.
    #[must_use]
    pub fn new(
        own: Option<(SeatIndex, SecretKey)>,
        generator: PublicKey,
        verifiers: Vec<PublicKey>,
        entropy: [u8; 32],
    ) -> Self {
        Self { own, generator, verifiers, entropy, batches: AtomicU64::new(0) }
    }

    /// Parses the keys of a shard and checks each one's proof of possession, without which an aggregate
    /// proves nothing.
    ///
    /// # Errors
    /// [`CryptoError::Seat`] naming the first seat whose key or proof is bad, or whose own key differs.
    pub fn from_spec(
        own: Option<(SeatIndex, SecretKey)>,
        shard: &ShardSpec,
        entropy: [u8; 32],
    ) -> Result<Self, CryptoError> {
        let mut keys = Vec::with_capacity(shard.verifiers.len() + 1);
        for (seat, holder) in
            (0u16..).map(SeatIndex).zip(std::iter::once(&shard.generator).chain(&shard.verifiers))
        {
            let key = PublicKey::from_bytes(&holder.public_key)
                .map_err(|error| CryptoError::Seat { seat, reason: error.to_string() })?;
            if !key.verify_possession(&holder.proof_of_possession) {
                let reason = "the proof of possession does not verify".to_owned();
                return Err(CryptoError::Seat { seat, reason });
            }
            keys.push(key);
        }
        if let Some((seat, secret)) = &own {
            let listed = keys.get(usize::from(seat.0)).map(PublicKey::to_bytes);
            if listed != Some(secret.public_key().to_bytes()) {
                let reason = "this node's key is not the one that the chain spec lists".to_owned();
                return Err(CryptoError::Seat { seat: *seat, reason });
            }
        }
        let verifiers = keys.split_off(1);
        let generator = keys.pop().expect("the generator's key was pushed first");
        Ok(Self::new(own, generator, verifiers, entropy))
    }

    fn key(&self, seat: SeatIndex) -> Result<&SecretKey, CryptoError> {
        match &self.own {
            Some((own, key)) if *own == seat => Ok(key),
            _ => Err(CryptoError::NoKey(seat)),
        }
    }

    fn public_key(&self, seat: SeatIndex) -> Option<&PublicKey> {
        match seat.verifier_index() {
            None => Some(&self.generator),
            Some(index) => self.verifiers.get(index),
        }
    }

    fn next_entropy(&self) -> [u8; 32] {
        let count = self.batches.fetch_add(1, Ordering::Relaxed).to_le_bytes();
        let mut entropy = self.entropy;
        // Distinct for each batch; the verification hashes it together with its inputs.
        for (byte, mix) in entropy.iter_mut().zip(count) {
            *byte = byte.wrapping_add(mix);
        }
        entropy
    }
}

impl fmt::Debug for BlsCrypto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seat = self.own.as_ref().map(|(seat, _)| *seat);
        f.debug_struct("BlsCrypto").field("seat", &seat).finish_non_exhaustive()
    }
}

impl VoteCrypto for BlsCrypto {
    fn sign_vote(
        &self,
        seat: SeatIndex,
        kind: VoteKind,
        target: &VoteTarget,
        fault: Option<Fault>,
    ) -> Result<SignedVote, CryptoError> {
        Ok(votes::sign_vote(self.key(seat)?, kind, *target, fault, seat))
    }

    fn sign_proposal(&self, seat: SeatIndex, header: &SealedHeader) -> Result<Proposal, CryptoError> {
        Ok(votes::sign_proposal(self.key(seat)?, header))
    }

    fn verify_proposal(&self, proposal: &Proposal) -> bool {
        let key = self.public_key(proposal.header.proposer);
        key.is_some_and(|key| votes::verify_proposal(key, proposal))
    }

    fn verify_votes(
        &self,
        kind: VoteKind,
        target: &VoteTarget,
        votes: &[(usize, BlsSignature)],
    ) -> Vec<usize> {
        let known: Option<Vec<_>> =
            votes.iter().map(|(index, signature)| Some((self.verifiers.get(*index)?, signature))).collect();
        let Some(pairs) = known else {
            // Admission lets members only through; a stranger spoils the lot.
            return (0..votes.len()).collect();
        };
        let message = votes::signing_bytes(target);
        let entropy = self.next_entropy();
        if verify_batch(vote_tag(kind), &message, &pairs, &entropy) {
            return Vec::new();
        }
        find_invalid(vote_tag(kind), &message, &pairs, &entropy)
    }

    fn aggregate(
        &self,
        kind: CertificateKind,
        target: &VoteTarget,
        votes: &[(usize, BlsSignature)],
    ) -> Result<Certificate, CryptoError> {
        votes::build_certificate(kind, *target, votes).map_err(|error| CryptoError::Signer(error.to_string()))
    }

    fn verify_certificate(&self, quorum: usize, certificate: &Certificate) -> bool {
        votes::verify_certificate(&self.verifiers, quorum, certificate)
    }

    fn sign_view_change(&self, seat: SeatIndex, change: ViewChange) -> Result<SignedViewChange, CryptoError> {
        Ok(votes::sign_view_change(self.key(seat)?, change, seat))
    }

    fn verify_view_change(&self, signed: &SignedViewChange) -> bool {
        let key = signed.signer.verifier_index().and_then(|index| self.verifiers.get(index));
        key.is_some_and(|key| votes::verify_view_change(key, signed))
    }

    fn sign_new_view(&self, seat: SeatIndex, new_view: NewView) -> Result<NewView, CryptoError> {
        Ok(votes::sign_new_view(self.key(seat)?, new_view))
    }

    fn verify_new_view(&self, leader: SeatIndex, new_view: &NewView) -> bool {
        self.public_key(leader).is_some_and(|key| votes::verify_new_view(key, new_view))
    }
}
