//! What the seats of the network sign about root blocks, and certificates made of that.
//!
//! Votes of one kind for one block are one message, so any of them add up: within a shard to a tally, over all shards
//! to a certificate. A tally's key is the sum of its seats' keys. Whether a certificate's seats have stake enough is
//! for others to say.
//!
//! spec: Root F5–F9

use std::collections::BTreeMap;

use anfs_primitives::{
    BlsSignature, Certificate, CertificateKind, DomainId, RootCertificate, RootSeat, RootTally, RootTimeout,
    SeatGroup, SeatSet, SignedRootTimeout, TimeoutCertificate, VoteTarget, encode,
};

use crate::bls::{self, PublicKey, SecretKey, Statement};
use crate::tags::{ROOT_COMMIT, ROOT_PREPARE, ROOT_PROPOSAL, ROOT_TIMEOUT, Tag, vote_tag};
use crate::votes;

/// The keys of all seats by shard: the generator's, then the verifiers'. Each has proven possession.
pub type RootKeys = BTreeMap<DomainId, Vec<PublicKey>>;

/// The tag that the votes of a certificate are signed under; `None` for kinds that the root does not know.
#[must_use]
pub const fn root_tag(kind: CertificateKind) -> Option<Tag> {
    match kind {
        CertificateKind::Prepare => Some(ROOT_PREPARE),
        CertificateKind::Commit => Some(ROOT_COMMIT),
        CertificateKind::Fast | CertificateKind::Conviction => None,
    }
}

/// Signs a root block as the leader of the target's view.
#[must_use]
pub fn sign_proposal(key: &SecretKey, target: &VoteTarget) -> BlsSignature {
    key.sign(ROOT_PROPOSAL, &votes::signing_bytes(target))
}

/// Whether the leader's signature is this key's.
#[must_use]
pub fn verify_proposal(key: &PublicKey, target: &VoteTarget, signature: &BlsSignature) -> bool {
    key.verify(ROOT_PROPOSAL, &votes::signing_bytes(target), signature)
}

/// Signs a prepare or commit; `None` for other kinds.
#[must_use]
pub fn sign_vote(key: &SecretKey, kind: CertificateKind, target: &VoteTarget) -> Option<BlsSignature> {
    Some(key.sign(root_tag(kind)?, &votes::signing_bytes(target)))
}

/// Signs a time-out.
#[must_use]
pub fn sign_timeout(key: &SecretKey, timeout: &RootTimeout) -> BlsSignature {
    key.sign(ROOT_TIMEOUT, &encode(timeout))
}

/// The key of one seat.
#[must_use]
pub fn key_of(keys: &RootKeys, seat: RootSeat) -> Option<&PublicKey> {
    keys.get(&seat.domain)?.get(usize::from(seat.seat.0))
}

/// The positions of the tallies that do not hold, ascending. All must be of one kind and target; those that are not of
/// the first one's do not hold. They are admitted with random weights, as single votes are.
#[must_use]
pub fn find_bad_tallies(keys: &RootKeys, tallies: &[RootTally], entropy: &[u8; 32]) -> Vec<usize> {
    let Some(first) = tallies.first() else { return Vec::new() };
    let Some(tag) = root_tag(first.kind) else { return (0..tallies.len()).collect() };
    let message = votes::signing_bytes(&first.target);
    let (mut bad, mut places, mut sums) = (Vec::new(), Vec::new(), Vec::new());
    for (place, tally) in tallies.iter().enumerate() {
        let sum = sum_of(keys, tally.domain, tally.seats);
        match sum.filter(|_| (tally.kind, tally.target) == (first.kind, first.target)) {
            Some(sum) => {
                places.push(place);
                sums.push(sum);
            }
            None => bad.push(place),
        }
    }
    let signatures: Vec<(&PublicKey, &BlsSignature)> =
        sums.iter().zip(places.iter().map(|place| &tallies[*place].signature)).collect();
    if !bls::verify_batch(tag, &message, &signatures, entropy) {
        let found = bls::find_invalid(tag, &message, &signatures, entropy);
        bad.extend(found.into_iter().map(|index| places[index]));
        bad.sort_unstable();
    }
    bad
}

/// Whether a certificate is the sum of a vote of each seat that it names: each once, by domain, ascending.
#[must_use]
pub fn verify_certificate(keys: &RootKeys, certificate: &RootCertificate) -> bool {
    let statement = root_tag(certificate.kind).and_then(|tag| {
        Some(Statement {
            tag,
            message: votes::signing_bytes(&certificate.target),
            key: sum_of_groups(keys, &certificate.signers)?,
            signature: certificate.signature,
        })
    });
    statement.is_some_and(|one| one.key.verify(one.tag, &one.message, &one.signature))
}

/// Whether a time-out is signed by the seat that it names. The certificate in it is another matter.
#[must_use]
pub fn verify_timeout(keys: &RootKeys, signed: &SignedRootTimeout) -> bool {
    let key = key_of(keys, signed.signer);
    key.is_some_and(|key| key.verify(ROOT_TIMEOUT, &encode(&signed.timeout), &signed.signature))
}

/// Whether each group of a time-out certificate is the sum of a time-out of each seat that it names. `of` is what all of
/// them say; each group has its own `prepared`. The PrepareCert is another matter.
#[must_use]
pub fn verify_timeout_certificate(
    keys: &RootKeys,
    of: &RootTimeout,
    certificate: &TimeoutCertificate,
    entropy: &[u8; 32],
) -> bool {
    let groups = certificate.groups.iter().map(|group| {
        Some(Statement {
            tag: ROOT_TIMEOUT,
            message: encode(&RootTimeout { prepared: group.prepared, ..*of }),
            key: sum_of_groups(keys, &group.signers)?,
            signature: group.signature,
        })
    });
    let groups: Option<Vec<Statement>> = groups.collect();
    groups.is_some_and(|groups| !groups.is_empty() && bls::verify_statements(&groups, entropy))
}

/// The positions of the shard certificates that do not decide their target: of the wrong kind, short of signers, or
/// badly signed. Every root block names many of them and every seat checks them all, so they are one batch.
#[must_use]
pub fn find_bad_certificates(
    keys: &RootKeys,
    quorum: usize,
    certificates: &[&Certificate],
    entropy: &[u8; 32],
) -> Vec<usize> {
    let (mut bad, mut places, mut statements) = (Vec::new(), Vec::new(), Vec::new());
    for (place, certificate) in certificates.iter().enumerate() {
        match deciding_statement(keys, quorum, certificate) {
            Some(statement) => {
                places.push(place);
                statements.push(statement);
            }
            None => bad.push(place),
        }
    }
    if !bls::verify_statements(&statements, entropy) {
        let found = bls::find_false(&statements, entropy);
        bad.extend(found.into_iter().map(|index| places[index]));
        bad.sort_unstable();
    }
    bad
}

fn deciding_statement(keys: &RootKeys, quorum: usize, certificate: &Certificate) -> Option<Statement> {
    let (_, verifiers) = keys.get(&certificate.target.domain)?.split_first()?;
    let needed = if certificate.kind == CertificateKind::Fast { verifiers.len() } else { quorum };
    if !certificate.kind.decides() || certificate.signers.len() < needed.max(1) {
        return None;
    }
    let signers: Option<Vec<&PublicKey>> =
        certificate.signers.iter().map(|index| verifiers.get(index)).collect();
    Some(Statement {
        tag: vote_tag(certificate.kind.vote()),
        message: votes::signing_bytes(&certificate.target),
        key: PublicKey::sum(signers?)?,
        signature: certificate.signature,
    })
}

/// `None` for no seats, and for seats that the shard does not have.
fn sum_of(keys: &RootKeys, domain: DomainId, seats: SeatSet) -> Option<PublicKey> {
    let shard = keys.get(&domain)?;
    let members: Option<Vec<&PublicKey>> = seats.iter().map(|seat| shard.get(usize::from(seat.0))).collect();
    PublicKey::sum(members?)
}

/// `None` unless the groups are ascending, none is empty, and all seats exist.
fn sum_of_groups(keys: &RootKeys, groups: &[SeatGroup]) -> Option<PublicKey> {
    if !groups.is_sorted_by(|a, b| a.domain < b.domain) {
        return None;
    }
    let sums: Option<Vec<PublicKey>> =
        groups.iter().map(|group| sum_of(keys, group.domain, group.seats)).collect();
    PublicKey::sum(&sums?)
}

#[cfg(test)]
mod tests;
