//! A stranger's verifier: holds certificates and evidence against nothing but the seats' keys and the rules of
//! PROTOCOL §4. Shares no code with the core that it judges.

use std::collections::BTreeSet;

use anfs_consensus::{Evidence, ShardConfig};
use anfs_primitives::{Certificate, CertificateKind, NewView, SignedVote, VoteKind};

use crate::blocks::flaw_of;
use crate::crypto::Keys;

/// What is wrong with a certificate, if anything.
///
/// # Errors
/// A sentence's end: "the certificate …".
pub fn check_certificate(
    keys: &Keys,
    config: &ShardConfig,
    certificate: &Certificate,
) -> Result<(), &'static str> {
    let voters = u64::from(config.verifiers);
    let target = &certificate.target;
    if target.network != config.network || target.domain != config.domain || target.epoch != config.epoch {
        return Err("is of another shard");
    }
    let mut weight = 0u64;
    for index in certificate.signers.iter() {
        if index as u64 >= voters {
            return Err("names a signer who is no verifier");
        }
        weight += 1;
    }
    let (kind, least) = match certificate.kind {
        CertificateKind::Fast => (VoteKind::ValidSliced, voters),
        CertificateKind::Prepare => (VoteKind::ValidFull, voters - voters / 3),
        CertificateKind::Commit => (VoteKind::Commit, voters - voters / 3),
        CertificateKind::Conviction => (VoteKind::InvalidFull, voters - voters / 3),
    };
    if weight < least {
        return Err("has too few signers");
    }
    if !keys.verifies_sum(kind, target, certificate.signers, &certificate.signature) {
        return Err("bears a signature that is not the sum of its signers'");
    }
    Ok(())
}

/// What is wrong with the opening of a view, if anything. What it carries is not looked at.
///
/// # Errors
/// A sentence's end: "the opening …".
pub fn check_opening(keys: &Keys, config: &ShardConfig, opening: &NewView) -> Result<(), &'static str> {
    if !keys.verifies_new_view(config.leader(opening.view), opening) {
        return Err("is not its leader's");
    }
    let voters = usize::from(config.verifiers);
    let signers: BTreeSet<_> = opening.changes.iter().map(|signed| signed.signer).collect();
    if signers.len() < voters - voters / 3 || signers.iter().any(|seat| seat.verifier_index().is_none()) {
        return Err("does not show the promises of a quorum");
    }
    for signed in &opening.changes {
        let change = &signed.change;
        let ours =
            (change.network, change.domain, change.epoch) == (config.network, config.domain, config.epoch);
        if !ours || change.view != opening.view || !keys.verifies_view_change(signed) {
            return Err("shows a promise that was not made for its view");
        }
        let prepared = change.reports.iter().filter_map(|report| report.prepared.as_ref());
        for certificate in change.decided.iter().chain(prepared) {
            check_certificate(keys, config, certificate)?;
        }
    }
    Ok(())
}

/// What is wrong with a piece of evidence, if anything.
///
/// # Errors
/// A sentence's end: "the evidence …".
pub fn check_evidence(keys: &Keys, config: &ShardConfig, evidence: &Evidence) -> Result<(), &'static str> {
    let fine = match evidence {
        Evidence::Proposals { first, second } => {
            let (a, b) = (&first.header, &second.header);
            let same = (a.height, a.view, a.proposer) == (b.height, b.view, b.proposer);
            let signed = keys.verifies_proposal(first) && keys.verifies_proposal(second);
            same && a.hash() != b.hash() && signed
        }
        Evidence::Votes { first, second } => {
            let signed = keys.verifies_vote(first) && keys.verifies_vote(second);
            signed && contradiction(first, second)
        }
        Evidence::ViewChanges { first, second } => {
            let signed = keys.verifies_view_change(first) && keys.verifies_view_change(second);
            let same = first.signer == second.signer && first.change.view == second.change.view;
            signed && same && first.change != second.change
        }
        Evidence::NewViews { leader, first, second } => {
            let signed = keys.verifies_new_view(*leader, first) && keys.verifies_new_view(*leader, second);
            let leads = config.leader(first.view) == *leader;
            signed && leads && first.view == second.view && first != second
        }
        Evidence::InvalidBlock { block, certificate, .. } => {
            check_certificate(keys, config, certificate)?;
            let names = certificate.target.block == block.header.hash();
            if flaw_of(&block.header).is_none() {
                return Err("convicts a good block");
            }
            names && certificate.kind == CertificateKind::Conviction
        }
        Evidence::FalseAlert { vote, certificate } => {
            check_certificate(keys, config, certificate)?;
            let alert = matches!(vote.kind, VoteKind::InvalidSliced | VoteKind::InvalidFull);
            let decides = matches!(certificate.kind, CertificateKind::Fast | CertificateKind::Commit);
            keys.verifies_vote(vote) && alert && decides && vote.target.block == certificate.target.block
        }
    };
    if fine { Ok(()) } else { Err("does not prove what it says") }
}

/// Whether two votes cannot both come from an honest verifier, as R7 has it.
fn contradiction(a: &SignedVote, b: &SignedVote) -> bool {
    if (a.signer, a.target.height, a.target.view) != (b.signer, b.target.height, b.target.view) {
        return false;
    }
    let kinds: BTreeSet<VoteKind> = [a.kind, b.kind].into();
    let opposed = kinds == [VoteKind::ValidSliced, VoteKind::InvalidSliced].into()
        || kinds == [VoteKind::ValidFull, VoteKind::InvalidFull].into();
    a.target.block != b.target.block || opposed
}
