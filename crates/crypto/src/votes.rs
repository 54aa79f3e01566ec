//! What the seats of a shard sign: proposals, votes, and certificates made of votes.
//!
//! All of them sign the canonical encoding of a [`VoteTarget`], each under its own tag. A vote's fault is not
//! signed, so that all votes of one kind for one block are one message and aggregate.
//!
//! spec: PROTOCOL §4

use anfs_primitives::header::VERIFIERS_MAX;
use anfs_primitives::{
    BlsSignature, Certificate, CertificateKind, Fault, NewView, Proposal, SealedHeader, SeatIndex,
    SignedViewChange, SignedVote, SignerSet, ViewChange, VoteKind, VoteTarget, encode,
};

use crate::CryptoError;
use crate::bls::{self, PublicKey, SecretKey};
use crate::tags::{NEW_VIEW, PROPOSAL, VIEW_CHANGE, vote_tag};

/// The bytes that a proposal or vote of any kind signs.
#[must_use]
pub fn signing_bytes(target: &VoteTarget) -> Vec<u8> {
    encode(target)
}

/// What votes for the block of this header bind.
#[must_use]
pub fn target_of(header: &SealedHeader) -> VoteTarget {
    VoteTarget {
        network: header.network,
        epoch: header.epoch,
        domain: header.domain,
        height: header.height,
        view: header.view,
        block: header.hash(),
    }
}

/// Signs a vote.
#[must_use]
pub fn sign_vote(
    key: &SecretKey,
    kind: VoteKind,
    target: VoteTarget,
    fault: Option<Fault>,
    signer: SeatIndex,
) -> SignedVote {
    let signature = key.sign(vote_tag(kind), &signing_bytes(&target));
    SignedVote { kind, target, fault, signer, signature }
}

/// Whether one vote was signed by this key. For several votes of one kind and target,
/// [`bls::verify_batch`] is cheaper.
#[must_use]
pub fn verify_vote(key: &PublicKey, vote: &SignedVote) -> bool {
    key.verify(vote_tag(vote.kind), &signing_bytes(&vote.target), &vote.signature)
}

/// Signs the header that closes a slot.
#[must_use]
pub fn sign_proposal(key: &SecretKey, header: &SealedHeader) -> Proposal {
    let signature = key.sign(PROPOSAL, &signing_bytes(&target_of(header)));
    Proposal { header: header.clone(), signature }
}

/// Whether a proposal was signed by this key.
#[must_use]
pub fn verify_proposal(key: &PublicKey, proposal: &Proposal) -> bool {
    key.verify(PROPOSAL, &signing_bytes(&target_of(&proposal.header)), &proposal.signature)
}

/// Signs a verifier's leaving of a view.
#[must_use]
pub fn sign_view_change(key: &SecretKey, change: ViewChange, signer: SeatIndex) -> SignedViewChange {
    let signature = key.sign(VIEW_CHANGE, &encode(&change));
    SignedViewChange { change, signer, signature }
}

/// Whether a view change was signed by this key. The certificates in it are another matter.
#[must_use]
pub fn verify_view_change(key: &PublicKey, signed: &SignedViewChange) -> bool {
    key.verify(VIEW_CHANGE, &encode(&signed.change), &signed.signature)
}

/// The bytes that a view's leader signs: everything but the signature.
#[must_use]
pub fn new_view_bytes(new_view: &NewView) -> Vec<u8> {
    encode(&(&new_view.view, &new_view.changes, &new_view.carried, &new_view.convictions))
}

/// Signs the opening of a view: replaces whatever signature is there.
#[must_use]
pub fn sign_new_view(key: &SecretKey, mut new_view: NewView) -> NewView {
    new_view.signature = key.sign(NEW_VIEW, &new_view_bytes(&new_view));
    new_view
}

/// Whether the opening of a view was signed by this key. What is in it is another matter.
#[must_use]
pub fn verify_new_view(key: &PublicKey, new_view: &NewView) -> bool {
    key.verify(NEW_VIEW, &new_view_bytes(new_view), &new_view.signature)
}

/// Makes a certificate of votes that were admitted one by one (their signatures are not verified again).
/// Each signer is a 0-based verifier index.
///
/// # Errors
/// [`CryptoError::Signer`] for a verifier listed twice or out of range, [`CryptoError::EmptyAggregate`] and
/// [`CryptoError::Signature`] as [`bls::aggregate`].
pub fn build_certificate(
    kind: CertificateKind,
    target: VoteTarget,
    votes: &[(usize, BlsSignature)],
) -> Result<Certificate, CryptoError> {
    let mut signers = SignerSet::EMPTY;
    for &(index, _) in votes {
        if index >= VERIFIERS_MAX || !signers.insert(index) {
            return Err(CryptoError::Signer(index));
        }
    }
    let signatures: Vec<BlsSignature> = votes.iter().map(|(_, signature)| *signature).collect();
    Ok(Certificate { kind, target, signers, signature: bls::aggregate(&signatures)? })
}

/// Whether a certificate holds for these verifiers: enough of them signed (all for
/// [`CertificateKind::Fast`], `quorum` for the others), nobody else did, and the aggregate is theirs.
///
/// The verifiers must have proven possession of their keys.
#[must_use]
pub fn verify_certificate(verifiers: &[PublicKey], quorum: usize, certificate: &Certificate) -> bool {
    let needed = match certificate.kind {
        CertificateKind::Fast => verifiers.len(),
        CertificateKind::Prepare | CertificateKind::Commit | CertificateKind::Conviction => quorum,
    };
    if certificate.signers.len() < needed.max(1) {
        return false;
    }
    let Some(signers) =
        certificate.signers.iter().map(|index| verifiers.get(index)).collect::<Option<Vec<&PublicKey>>>()
    else {
        return false;
    };
    let tag = vote_tag(certificate.kind.vote());
    bls::verify_aggregate(tag, &signing_bytes(&certificate.target), &signers, &certificate.signature)
}

#[cfg(test)]
mod tests;
