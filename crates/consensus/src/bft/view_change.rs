//! What a quorum of view changes obliges the next leader to propose again.
//!
//! A height may have been decided by a certificate that none of the quorum has seen. Two rules find the only
//! block that this can have happened to, and the later of the two findings wins:
//!
//! - *PrepareCert*: a CommitCert of view v needs q verifiers that held a PrepareCert of view v. Any quorum of
//!   promises shares an honest one with them, and the PrepareCert of the highest view names the block.
//! - *f + 1 approvals*: a FastCert of view v needs all n, hence any quorum of promises holds f + 1 honest
//!   ones that approved the block in view v or, again, later. So the block's *support* is the highest view w
//!   in which, or after which, f + 1 of the quorum approved it last. Only one block can have any: two would
//!   need 2f + 2 of the 2f + 1.
//!
//! Neither rule goes before the other by kind: a FastCert of view 2 must win against a PrepareCert of view 1
//! for another block, which a leader of view 2 may rightly have passed over. In the same view both name the
//! same block if either decided, so the PrepareCert may break ties.
//!
//! A conviction (R5) strikes a supported block out: f + 1 honest verifiers found it wrong in full, and had it
//! a FastCert, an honest verifier would have checked each slice and found it right.
//!
//! spec: PROTOCOL §4 R6

use std::collections::BTreeMap;

use anfs_primitives::{
    BlockHash, Certificate, CertificateKind, DomainId, Epoch, Height, HeightReport, NetworkId, NewView,
    Proposal, SignedViewChange, View, ViewChange, VoteTarget,
};

use super::quorum::Quorum;
use crate::crypto::VoteCrypto;

/// What view changes are held against.
#[derive(Clone, Copy, Debug)]
pub struct ViewRules {
    /// Quorum of the group.
    pub quorum: Quorum,
    /// Network id.
    pub network: NetworkId,
    /// Epoch of the seats.
    pub epoch: Epoch,
    /// Domain.
    pub domain: DomainId,
    /// The decided block that the epoch starts from: what a change without decided blocks stands on.
    pub base: (Height, BlockHash),
    /// How many heights above its own tip a verifier may vote for.
    pub reach: usize,
}

/// Why a view change or the opening of a view is not as the rules have it. Its signer is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ViewFault {
    /// It is of another network, domain or epoch, or of view 0.
    #[error("is of another network, domain, epoch or view")]
    Foreign,
    /// Heights or views that contradict each other.
    #[error("reports heights or views that contradict each other")]
    Report,
    /// A certificate in it is not what it should be, or does not verify.
    #[error("holds a bad certificate")]
    Certificate,
    /// A signature of another does not verify.
    #[error("holds a bad signature")]
    Signature,
    /// Its changes are not those of exactly a quorum.
    #[error("does not hold the view changes of exactly a quorum, by ascending seat")]
    Quorum,
    /// It carries other blocks than those that follow from its changes.
    #[error("carries other blocks than its view changes oblige it to")]
    Carried,
}

/// A block that must be proposed again and whose proposal is not at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Its height.
    pub height: Height,
    /// Its hash.
    pub block: BlockHash,
}

impl ViewRules {
    fn is_ours(&self, target: &VoteTarget) -> bool {
        (target.network, target.epoch, target.domain) == (self.network, self.epoch, self.domain)
    }

    /// Checks everything but signatures.
    ///
    /// # Errors
    /// [`ViewFault`].
    pub fn check_form(&self, change: &ViewChange) -> Result<(), ViewFault> {
        let ids = (change.network, change.epoch, change.domain) == (self.network, self.epoch, self.domain);
        if !ids || change.view == View::ZERO {
            return Err(ViewFault::Foreign);
        }
        let mut below = self.check_decided(change)?;
        for report in &change.reports {
            if report.height <= below {
                return Err(ViewFault::Report);
            }
            below = report.height;
            self.check_report(report, change.view)?;
        }
        Ok(())
    }

    /// The decided blocks must reach so far down that f + 1 honest verifiers have decided everything below.
    fn check_decided(&self, change: &ViewChange) -> Result<Height, ViewFault> {
        let (Some(first), Some(last)) = (change.decided.first(), change.decided.last()) else {
            return Ok(self.base.0);
        };
        let (first, last) = (first.target.height, last.target.height);
        let gapless =
            change.decided.windows(2).all(|pair| pair[0].target.height.next() == pair[1].target.height);
        let sound = change
            .decided
            .iter()
            .all(|cert| cert.kind.decides() && self.is_ours(&cert.target) && cert.target.view < change.view);
        let deep = change.decided.len() >= self.reach || first == self.base.0.next();
        if gapless && sound && deep && first > self.base.0 { Ok(last) } else { Err(ViewFault::Certificate) }
    }

    fn check_report(&self, report: &HeightReport, view: View) -> Result<(), ViewFault> {
        if let Some(prepared) = &report.prepared {
            let sound = prepared.kind == CertificateKind::Prepare
                && self.is_ours(&prepared.target)
                && prepared.target.height == report.height
                && prepared.target.view < view;
            if !sound {
                return Err(ViewFault::Certificate);
            }
        }
        match report.approved {
            Some((at, _)) if at >= view => Err(ViewFault::Report),
            _ => Ok(()),
        }
    }

    /// Verifies the certificates in a change whose form is right.
    ///
    /// # Errors
    /// [`ViewFault::Certificate`].
    pub fn check_certificates(&self, crypto: &dyn VoteCrypto, change: &ViewChange) -> Result<(), ViewFault> {
        let prepared = change.reports.iter().filter_map(|report| report.prepared.as_ref());
        let quorum = self.quorum.decide();
        let sound = change.decided.iter().chain(prepared).all(|cert| crypto.verify_certificate(quorum, cert));
        if sound { Ok(()) } else { Err(ViewFault::Certificate) }
    }

    /// The highest block that these changes prove decided.
    #[must_use]
    pub fn ground(&self, changes: &[SignedViewChange]) -> (Height, BlockHash) {
        let tips = changes.iter().filter_map(|signed| signed.change.decided.last());
        let tips = tips.map(|tip| (tip.target.height, tip.target.block));
        tips.max_by_key(|&(height, _)| height).unwrap_or(self.base)
    }

    /// The block that must be proposed again at this height, above the ground, if any.
    #[must_use]
    pub fn candidate(
        &self,
        height: Height,
        changes: &[SignedViewChange],
        convictions: &[Certificate],
    ) -> Option<BlockHash> {
        let reports = changes
            .iter()
            .filter_map(|signed| signed.change.reports.iter().find(|report| report.height == height));
        let mut prepared: Option<(View, BlockHash)> = None;
        let mut approvals: BTreeMap<BlockHash, Vec<View>> = BTreeMap::new();
        for report in reports {
            let certificate = report.prepared.as_ref().map(|cert| (cert.target.view, cert.target.block));
            if certificate.map(|(view, _)| view) > prepared.map(|(view, _)| view) {
                prepared = certificate;
            }
            if let Some((view, block)) = report.approved {
                approvals.entry(block).or_default().push(view);
            }
        }
        let supported = approvals.into_iter().find_map(|(block, mut views)| {
            views.sort_unstable_by(|a, b| b.cmp(a));
            Some((*views.get(self.quorum.faults())?, block))
        });
        let convicted = |block: BlockHash| {
            convictions.iter().any(|cert| cert.target.height == height && cert.target.block == block)
        };
        let supported = supported.filter(|&(_, block)| !convicted(block));
        match (prepared, supported) {
            (Some((at, block)), Some((support, other))) => Some(if at >= support { block } else { other }),
            (prepared, supported) => prepared.or(supported).map(|(_, block)| block),
        }
    }

    /// Collects the proposals that an opening of a view must carry; the last one may be there only to show
    /// that it is dead.
    ///
    /// # Errors
    /// The first one that `find` does not have.
    pub fn collect(
        &self,
        changes: &[SignedViewChange],
        convictions: &[Certificate],
        find: impl Fn(&BlockHash) -> Option<Proposal>,
    ) -> Result<Vec<Proposal>, Missing> {
        let (mut height, mut parent) = self.ground(changes);
        let mut carried = Vec::new();
        loop {
            height = height.next();
            let Some(block) = self.candidate(height, changes, convictions) else { return Ok(carried) };
            let proposal = find(&block).ok_or(Missing { height, block })?;
            let extends = proposal.header.parent == parent;
            parent = block;
            carried.push(proposal);
            if !extends {
                return Ok(carried);
            }
        }
    }

    /// Checks the opening of a view against the changes in it, and says how many of its carried blocks are
    /// to be proposed again: all, or all but the last. The leader's signature is the caller's matter.
    ///
    /// # Errors
    /// [`ViewFault`].
    pub fn check_opening(&self, crypto: &dyn VoteCrypto, opening: &NewView) -> Result<usize, ViewFault> {
        let changes = &opening.changes;
        let ascending = changes.windows(2).all(|pair| pair[0].signer < pair[1].signer);
        let members = changes
            .iter()
            .all(|signed| signed.signer.verifier_index().is_some_and(|index| index < self.quorum.voters()));
        let of_view = changes.iter().all(|signed| signed.change.view == opening.view);
        if changes.len() != self.quorum.decide() || !ascending || !members || !of_view {
            return Err(ViewFault::Quorum);
        }
        for signed in changes {
            self.check_form(&signed.change)?;
            if !crypto.verify_view_change(signed) {
                return Err(ViewFault::Signature);
            }
            self.check_certificates(crypto, &signed.change)?;
        }
        for conviction in &opening.convictions {
            let sound = conviction.kind == CertificateKind::Conviction && self.is_ours(&conviction.target);
            if !sound || !crypto.verify_certificate(self.quorum.decide(), conviction) {
                return Err(ViewFault::Certificate);
            }
        }
        let carried = &opening.carried;
        let find = |hash: &BlockHash| carried.iter().find(|p| p.header.hash() == *hash).cloned();
        let due = self.collect(changes, &opening.convictions, find).map_err(|_| ViewFault::Carried)?;
        if due.as_slice() != &carried[..] {
            return Err(ViewFault::Carried);
        }
        let (mut height, mut parent) = self.ground(changes);
        let mut alive = 0;
        for proposal in carried {
            height = height.next();
            if proposal.header.height != height {
                return Err(ViewFault::Carried);
            }
            if !crypto.verify_proposal(proposal) {
                return Err(ViewFault::Signature);
            }
            if proposal.header.parent == parent {
                alive += 1;
            }
            parent = proposal.header.hash();
        }
        Ok(alive)
    }
}
