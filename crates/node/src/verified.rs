//! Signatures that this process has found good.
//!
//! A seat that leads, gathers and votes meets the same certificate several times, and the seats of a development network,
//! which share one process, all meet the same ones. Verifying is pure, so one answer serves all who ask: the first one
//! works it out, and whoever asks meanwhile waits for it.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use alloy_primitives::map::B256Map;
use alloy_primitives::{B256, keccak256};
use anfs_consensus::root::{BlsRootCrypto, RootCrypto};
use anfs_consensus::{BlsCrypto, CryptoError, Quorum, VoteCrypto};
use anfs_primitives::{
    BlsSignature, Certificate, CertificateKind, DomainId, Fault, NewView, Proposal, RootCertificate,
    RootSeat, RootTally, RootTimeout, SealedHeader, SeatIndex, ShardReference, SignedRootTimeout,
    SignedViewChange, SignedVote, TimeoutCertificate, ViewChange, VoteKind, VoteTarget, encode,
};
use borsh::BorshSerialize;
use parking_lot::Mutex;

/// Answers that are kept: those of many seconds, at some hundred bytes each.
const KEPT: usize = 16 * 1024;

/// Which signatures are good. Only what was found good stays: whoever sends bad ones cannot push others out for long.
#[derive(Debug, Default)]
pub struct Verified(Mutex<Answers>);

#[derive(Debug, Default)]
struct Answers {
    /// By digest of everything that the answer depends on.
    by_digest: B256Map<Arc<OnceLock<bool>>>,
    order: VecDeque<B256>,
}

impl Answers {
    fn cell(&mut self, digest: B256) -> Arc<OnceLock<bool>> {
        if let Some(cell) = self.by_digest.get(&digest) {
            return cell.clone();
        }
        if self.order.len() >= KEPT
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_digest.remove(&oldest);
        }
        self.order.push_back(digest);
        self.by_digest.entry(digest).or_default().clone()
    }
}

impl Verified {
    /// The answer to a question, worked out only if nobody has.
    fn ask(&self, digest: B256, verify: impl FnOnce() -> bool) -> bool {
        let cell = self.0.lock().cell(digest);
        let good = *cell.get_or_init(verify);
        if !good {
            self.0.lock().by_digest.remove(&digest);
        }
        good
    }

    fn knows(&self, digest: &B256) -> bool {
        self.0.lock().by_digest.get(digest).is_some_and(|cell| cell.get() == Some(&true))
    }

    fn note(&self, digest: B256) {
        // Somebody else may have noted it by now; the answer is the same.
        self.0.lock().cell(digest).get_or_init(|| true);
    }

    /// The positions of the bad ones among these, of which those already known are not verified again.
    fn find_bad(&self, digests: &[B256], verify: impl FnOnce(&[usize]) -> Vec<usize>) -> Vec<usize> {
        let fresh: Vec<usize> = (0..digests.len()).filter(|at| !self.knows(&digests[*at])).collect();
        let bad: Vec<usize> = verify(&fresh).into_iter().filter_map(|at| fresh.get(at).copied()).collect();
        for at in fresh.into_iter().filter(|at| !bad.contains(at)) {
            self.note(digests[at]);
        }
        bad
    }
}

/// What a question is about; no two kinds share a digest.
fn digest(kind: &str, of: &impl BorshSerialize) -> B256 {
    let mut bytes = vec![kind.len().to_le_bytes()[0]];
    bytes.extend_from_slice(kind.as_bytes());
    bytes.extend_from_slice(&encode(of));
    keccak256(bytes)
}

/// The question whether so many verifiers of a shard have signed a certificate.
fn certificate_digest(domain: DomainId, quorum: usize, certificate: &Certificate) -> B256 {
    digest("certificate", &(domain, quorum as u64, certificate))
}

/// The root's signatures of one seat, verified once a process.
#[derive(Debug)]
pub(crate) struct SharedRootCrypto {
    pub(crate) inner: BlsRootCrypto,
    /// Verifiers that decide a shard's block together.
    pub(crate) quorum: usize,
    pub(crate) verified: Arc<Verified>,
}

impl SharedRootCrypto {
    /// The question about a shard block's certificate. The shard has asked it too, unless it is of a kind that decides
    /// nothing and is no good here.
    fn reference(&self, reference: &ShardReference) -> B256 {
        let certificate = &reference.certificate;
        let domain = certificate.target.domain;
        if certificate.kind.decides() {
            certificate_digest(domain, self.quorum, certificate)
        } else {
            digest("shard reference", certificate)
        }
    }
}

impl RootCrypto for SharedRootCrypto {
    fn sign_proposal(&self, seat: RootSeat, target: &VoteTarget) -> Result<BlsSignature, CryptoError> {
        self.inner.sign_proposal(seat, target)
    }

    fn sign_vote(
        &self,
        seat: RootSeat,
        kind: CertificateKind,
        target: &VoteTarget,
    ) -> Result<BlsSignature, CryptoError> {
        self.inner.sign_vote(seat, kind, target)
    }

    fn sign_timeout(&self, seat: RootSeat, timeout: &RootTimeout) -> Result<BlsSignature, CryptoError> {
        self.inner.sign_timeout(seat, timeout)
    }

    fn verify_proposal(&self, seat: RootSeat, target: &VoteTarget, signature: &BlsSignature) -> bool {
        let digest = digest("root proposal", &(seat, target, signature));
        self.verified.ask(digest, || self.inner.verify_proposal(seat, target, signature))
    }

    fn verify_tallies(&self, tallies: &[RootTally]) -> Vec<usize> {
        self.inner.verify_tallies(tallies)
    }

    fn aggregate(&self, signatures: &[BlsSignature]) -> Result<BlsSignature, CryptoError> {
        self.inner.aggregate(signatures)
    }

    fn verify_certificate(&self, certificate: &RootCertificate) -> bool {
        let digest = digest("root certificate", certificate);
        self.verified.ask(digest, || self.inner.verify_certificate(certificate))
    }

    fn verify_timeout(&self, signed: &SignedRootTimeout) -> bool {
        let digest = digest("root time-out", &(signed.timeout, signed.signer, signed.signature));
        self.verified.ask(digest, || self.inner.verify_timeout(signed))
    }

    fn verify_timeouts(&self, of: &RootTimeout, certificate: &TimeoutCertificate) -> bool {
        let digest = digest("root time-outs", &(of, certificate));
        self.verified.ask(digest, || self.inner.verify_timeouts(of, certificate))
    }

    fn verify_references(&self, references: &[&ShardReference]) -> Vec<usize> {
        let digests: Vec<B256> = references.iter().map(|one| self.reference(one)).collect();
        let check = || {
            self.verified.find_bad(&digests, |fresh| {
                let fresh: Vec<&ShardReference> = fresh.iter().map(|at| references[*at]).collect();
                self.inner.verify_references(&fresh)
            })
        };
        // All seats get a root block at the same moment: who comes second waits for the whole batch.
        let mut bad = None;
        let all = digest("shard references", &digests);
        let good = self.verified.ask(all, || bad.insert(check()).is_empty());
        if good { Vec::new() } else { bad.unwrap_or_else(check) }
    }
}

/// A shard's signatures of one seat, verified once a process.
#[derive(Debug)]
pub(crate) struct SharedCrypto {
    pub(crate) inner: BlsCrypto,
    /// The shard, whose keys the answers depend on.
    pub(crate) domain: DomainId,
    pub(crate) quorum: Quorum,
    pub(crate) verified: Arc<Verified>,
}

impl SharedCrypto {
    /// The question about one vote.
    fn vote(&self, kind: VoteKind, target: &VoteTarget, (index, signature): &(usize, BlsSignature)) -> B256 {
        digest("vote", &(self.domain, kind, target, *index as u64, signature))
    }
}

impl VoteCrypto for SharedCrypto {
    fn sign_vote(
        &self,
        seat: SeatIndex,
        kind: VoteKind,
        target: &VoteTarget,
        fault: Option<Fault>,
    ) -> Result<SignedVote, CryptoError> {
        self.inner.sign_vote(seat, kind, target, fault)
    }

    fn sign_proposal(&self, seat: SeatIndex, header: &SealedHeader) -> Result<Proposal, CryptoError> {
        self.inner.sign_proposal(seat, header)
    }

    fn verify_proposal(&self, proposal: &Proposal) -> bool {
        let digest = digest("proposal", &(self.domain, proposal));
        self.verified.ask(digest, || self.inner.verify_proposal(proposal))
    }

    fn verify_votes(
        &self,
        kind: VoteKind,
        target: &VoteTarget,
        votes: &[(usize, BlsSignature)],
    ) -> Vec<usize> {
        let digests: Vec<B256> = votes.iter().map(|vote| self.vote(kind, target, vote)).collect();
        self.verified.find_bad(&digests, |fresh| {
            let fresh: Vec<(usize, BlsSignature)> = fresh.iter().map(|at| votes[*at]).collect();
            self.inner.verify_votes(kind, target, &fresh)
        })
    }

    fn aggregate(
        &self,
        kind: CertificateKind,
        target: &VoteTarget,
        votes: &[(usize, BlsSignature)],
    ) -> Result<Certificate, CryptoError> {
        let certificate = self.inner.aggregate(kind, target, votes)?;
        // The sum of good votes is good.
        let good = |vote| self.verified.knows(&self.vote(kind.vote(), target, vote));
        if certificate.signers.len() >= self.quorum.needed(kind) && votes.iter().all(good) {
            self.verified.note(certificate_digest(self.domain, self.quorum.decide(), &certificate));
        }
        Ok(certificate)
    }

    fn verify_certificate(&self, quorum: usize, certificate: &Certificate) -> bool {
        let digest = certificate_digest(self.domain, quorum, certificate);
        self.verified.ask(digest, || self.inner.verify_certificate(quorum, certificate))
    }

    fn sign_view_change(&self, seat: SeatIndex, change: ViewChange) -> Result<SignedViewChange, CryptoError> {
        self.inner.sign_view_change(seat, change)
    }

    fn verify_view_change(&self, signed: &SignedViewChange) -> bool {
        let digest = digest("view change", &(self.domain, signed));
        self.verified.ask(digest, || self.inner.verify_view_change(signed))
    }

    fn sign_new_view(&self, seat: SeatIndex, new_view: NewView) -> Result<NewView, CryptoError> {
        self.inner.sign_new_view(seat, new_view)
    }

    fn verify_new_view(&self, leader: SeatIndex, new_view: &NewView) -> bool {
        self.inner.verify_new_view(leader, new_view)
    }
}

#[cfg(test)]
mod tests;
