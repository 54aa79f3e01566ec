//! The root's signatures, of the same cheap kind as a shard's: see [`crate::crypto`].

use std::collections::BTreeMap;
use std::sync::Arc;

use anfs_consensus::CryptoError;
use anfs_consensus::root::RootCrypto;
use anfs_primitives::{
    BlsSignature, CertificateKind, DomainId, RootCertificate, RootSeat, RootTally, RootTimeout, SeatGroup,
    ShardReference, SignedRootTimeout, TimeoutCertificate, VoteTarget, encode,
};

use crate::crypto::{Keys, signature_of, token_of};

const PROPOSAL: u64 = 200;
const TIMEOUT: u64 = 201;
/// Votes: this and the kind.
const VOTE: u64 = 210;

/// The keys of every shard, which sign at the root too.
pub(super) type NetworkKeys = BTreeMap<DomainId, Arc<Keys>>;

/// Signs for one seat, verifies for all.
#[derive(Clone, Debug)]
pub(super) struct RootSigner {
    pub(super) own: RootSeat,
    pub(super) keys: Arc<NetworkKeys>,
    /// Verifiers whose votes decide in a shard.
    pub(super) quorum: usize,
}

impl RootSigner {
    fn target(&self, seat: RootSeat, purpose: u64, target: &VoteTarget) -> Option<u128> {
        self.keys.get(&seat.domain)?.of_target(seat.seat, purpose, target)
    }

    fn bytes(&self, seat: RootSeat, bytes: &[u8]) -> Option<u128> {
        self.keys.get(&seat.domain)?.of_bytes(seat.seat, TIMEOUT, bytes)
    }

    fn sign(&self, seat: RootSeat, token: Option<u128>) -> Result<BlsSignature, CryptoError> {
        token.filter(|_| seat == self.own).map(signature_of).ok_or(CryptoError::NoKey(seat.seat))
    }

    fn sums(tokens: impl Iterator<Item = Option<u128>>, sum: &BlsSignature) -> bool {
        let mut some = false;
        let expected =
            tokens.inspect(|_| some = true).try_fold(0u128, |sum, one| Some(sum.wrapping_add(one?)));
        some && expected.is_some() && expected == token_of(sum)
    }

    fn certifies(&self, reference: &ShardReference) -> bool {
        let certificate = &reference.certificate;
        let Some(keys) = self.keys.get(&certificate.target.domain) else { return false };
        let verifiers = keys.verifiers();
        let needed = if certificate.kind == CertificateKind::Fast { verifiers } else { self.quorum };
        let signers = certificate.signers;
        signers.len() >= needed
            && signers.max().is_some_and(|max| max < verifiers)
            && keys.verifies_sum(
                certificate.kind.vote(),
                &certificate.target,
                signers,
                &certificate.signature,
            )
    }
}

fn members(groups: &[SeatGroup]) -> impl Iterator<Item = RootSeat> {
    groups.iter().flat_map(|group| group.seats.iter().map(|seat| RootSeat { domain: group.domain, seat }))
}

impl RootCrypto for RootSigner {
    fn sign_proposal(&self, seat: RootSeat, target: &VoteTarget) -> Result<BlsSignature, CryptoError> {
        self.sign(seat, self.target(seat, PROPOSAL, target))
    }

    fn sign_vote(
        &self,
        seat: RootSeat,
        kind: CertificateKind,
        target: &VoteTarget,
    ) -> Result<BlsSignature, CryptoError> {
        self.sign(seat, self.target(seat, VOTE + kind as u64, target))
    }

    fn sign_timeout(&self, seat: RootSeat, timeout: &RootTimeout) -> Result<BlsSignature, CryptoError> {
        self.sign(seat, self.bytes(seat, &encode(timeout)))
    }

    fn verify_proposal(&self, seat: RootSeat, target: &VoteTarget, signature: &BlsSignature) -> bool {
        Self::sums(std::iter::once(self.target(seat, PROPOSAL, target)), signature)
    }

    fn verify_tallies(&self, tallies: &[RootTally]) -> Vec<usize> {
        let good = |tally: &RootTally| {
            let seats = tally.seats.iter().map(|seat| RootSeat { domain: tally.domain, seat });
            let tokens = seats.map(|seat| self.target(seat, VOTE + tally.kind as u64, &tally.target));
            (tally.kind, tally.target) == (tallies[0].kind, tallies[0].target)
                && Self::sums(tokens, &tally.signature)
        };
        (0..tallies.len()).filter(|place| !good(&tallies[*place])).collect()
    }

    fn aggregate(&self, signatures: &[BlsSignature]) -> Result<BlsSignature, CryptoError> {
        let tokens = signatures.iter().map(|one| token_of(one).unwrap_or_default());
        Ok(signature_of(tokens.fold(0, u128::wrapping_add)))
    }

    fn verify_certificate(&self, certificate: &RootCertificate) -> bool {
        let kind = VOTE + certificate.kind as u64;
        let tokens = members(&certificate.signers).map(|seat| self.target(seat, kind, &certificate.target));
        Self::sums(tokens, &certificate.signature)
    }

    fn verify_timeout(&self, signed: &SignedRootTimeout) -> bool {
        let token = self.bytes(signed.signer, &encode(&signed.timeout));
        Self::sums(std::iter::once(token), &signed.signature)
    }

    fn verify_timeouts(&self, of: &RootTimeout, certificate: &TimeoutCertificate) -> bool {
        certificate.groups.iter().all(|group| {
            let said = encode(&RootTimeout { prepared: group.prepared, ..*of });
            Self::sums(members(&group.signers).map(|seat| self.bytes(seat, &said)), &group.signature)
        })
    }

    fn verify_references(&self, references: &[&ShardReference]) -> Vec<usize> {
        (0..references.len()).filter(|place| !self.certifies(references[*place])).collect()
    }
}
