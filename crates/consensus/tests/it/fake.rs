//! Signatures that only their signer can make, and that cost one hash.

use alloy_primitives::keccak256;
use anfs_consensus::{CryptoError, VoteCrypto};
use anfs_crypto::votes;
use anfs_primitives::{
    BlsSignature, Certificate, CertificateKind, Fault, NewView, Proposal, SealedHeader, SeatIndex,
    SignedViewChange, SignedVote, SignerSet, ViewChange, VoteKind, VoteTarget, encode,
};

/// Signs for one seat only; a token is a hash over the seat, the purpose and the target.
#[derive(Debug)]
pub(crate) struct FakeCrypto {
    pub(crate) own: SeatIndex,
    pub(crate) verifiers: usize,
}

fn token(seat: u16, purpose: u8, target: &VoteTarget) -> BlsSignature {
    let hash = keccak256([&seat.to_le_bytes()[..], &[purpose], &encode(target)].concat());
    let mut token = BlsSignature::ZERO;
    token[..32].copy_from_slice(hash.as_slice());
    token
}

fn target_of(header: &SealedHeader) -> VoteTarget {
    VoteTarget {
        network: header.network,
        epoch: header.epoch,
        domain: header.domain,
        height: header.height,
        view: header.view,
        block: header.hash(),
    }
}

fn verifier_token(index: usize, kind: VoteKind, target: &VoteTarget) -> BlsSignature {
    token(u16::try_from(index).unwrap() + 1, kind as u8, target)
}

fn sum(kind: VoteKind, target: &VoteTarget, signers: SignerSet) -> BlsSignature {
    let mut sum = BlsSignature::ZERO;
    for index in signers.iter() {
        sum ^= verifier_token(index, kind, target);
    }
    sum
}

impl VoteCrypto for FakeCrypto {
    fn sign_vote(
        &self,
        seat: SeatIndex,
        kind: VoteKind,
        target: &VoteTarget,
        fault: Option<Fault>,
    ) -> Result<SignedVote, CryptoError> {
        if seat != self.own {
            return Err(CryptoError::NoKey(seat));
        }
        let signature = token(seat.0, kind as u8, target);
        Ok(SignedVote { kind, target: *target, fault, signer: seat, signature })
    }

    fn sign_proposal(&self, seat: SeatIndex, header: &SealedHeader) -> Result<Proposal, CryptoError> {
        if seat != self.own {
            return Err(CryptoError::NoKey(seat));
        }
        Ok(Proposal { header: header.clone(), signature: token(seat.0, 100, &target_of(header)) })
    }

    fn verify_proposal(&self, proposal: &Proposal) -> bool {
        proposal.signature == token(proposal.header.proposer.0, 100, &target_of(&proposal.header))
    }

    fn verify_votes(
        &self,
        kind: VoteKind,
        target: &VoteTarget,
        votes: &[(usize, BlsSignature)],
    ) -> Vec<usize> {
        let wrong =
            |(index, signature): &(usize, BlsSignature)| *signature != verifier_token(*index, kind, target);
        votes.iter().enumerate().filter(|(_, vote)| wrong(vote)).map(|(position, _)| position).collect()
    }

    fn aggregate(
        &self,
        kind: CertificateKind,
        target: &VoteTarget,
        votes: &[(usize, BlsSignature)],
    ) -> Result<Certificate, CryptoError> {
        let signers: SignerSet = votes.iter().map(|&(index, _)| index).collect();
        Ok(Certificate { kind, target: *target, signers, signature: sum(kind.vote(), target, signers) })
    }

    fn verify_certificate(&self, quorum: usize, certificate: &Certificate) -> bool {
        let needed = if certificate.kind == CertificateKind::Fast { self.verifiers } else { quorum };
        certificate.signers.len() >= needed
            && certificate.signers.max().is_some_and(|max| max < self.verifiers)
            && certificate.signature == sum(certificate.kind.vote(), &certificate.target, certificate.signers)
    }

    fn sign_view_change(&self, seat: SeatIndex, change: ViewChange) -> Result<SignedViewChange, CryptoError> {
        if seat != self.own {
            return Err(CryptoError::NoKey(seat));
        }
        let signature = seal(seat, &encode(&change));
        Ok(SignedViewChange { change, signer: seat, signature })
    }

    fn verify_view_change(&self, signed: &SignedViewChange) -> bool {
        signed.signature == seal(signed.signer, &encode(&signed.change))
    }

    fn sign_new_view(&self, seat: SeatIndex, new_view: NewView) -> Result<NewView, CryptoError> {
        if seat != self.own {
            return Err(CryptoError::NoKey(seat));
        }
        let signature = seal(seat, &votes::new_view_bytes(&new_view));
        Ok(NewView { signature, ..new_view })
    }

    fn verify_new_view(&self, leader: SeatIndex, new_view: &NewView) -> bool {
        new_view.signature == seal(leader, &votes::new_view_bytes(new_view))
    }
}

fn seal(seat: SeatIndex, bytes: &[u8]) -> BlsSignature {
    let mut seal = BlsSignature::ZERO;
    seal[..32].copy_from_slice(keccak256([&seat.0.to_le_bytes()[..], bytes].concat()).as_slice());
    seal
}
