//! What follows from the final root blocks, and what may come next.
//!
//! The leader builds with it, every seat checks with it, and whoever replays root blocks applies them with it: one
//! code for the three.
//!
//! The header of a block tells what executing its parent came to, as whoever executes has said. Whether that is true
//! is for those to judge who execute themselves; here it is held against all else that is known.
//!
//! spec: Root F1, F2, F12–F16; Domains L1–L5

use std::collections::BTreeMap;

use alloy_primitives::{B256, U256};
use anfs_crypto::merkle;
use anfs_crypto::outbox::LaneBatch;
use anfs_primitives::{
    BoundedVec, CertificateKind, CertifiedRootBlock, ChainSpec, DomainId, Epoch, Height, InboundBatch,
    Issuance, RootBlock, RootCertificate, RootExecution, RootHash, RootHeader, RootReference, RootSeat,
    SealedHeader, SealedRootHeader, SeatIndex, ShardReference, ShardTip, View, VoteTarget,
};
use borsh::{BorshDeserialize, BorshSerialize};

use super::inbound::{InboundFault, InboundWant, RootInbox};
use super::ledger::{Claims, LedgerFault, NetworkLedger};

/// Why a shard block cannot become final next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceFault {
    /// There is no such shard, or the block is of another network.
    #[error("it is of another network, or of a shard that does not exist")]
    Foreign,
    /// Its height does not follow the last final one.
    #[error("its height is not {0}, which comes next")]
    Height(Height),
    /// It does not link to the last final block.
    #[error("it does not link to the final block before it")]
    Link,
    /// The certificate is not of this block, or of a kind that decides nothing.
    #[error("its certificate is of another block, or does not decide")]
    Certificate,
    /// It refers to a root block that is not final yet.
    #[error("it refers to root block {0}, which is not final")]
    Early(Height),
    /// Its root reference is no final root block, or lower than that of the block before it.
    #[error("its root reference is no final root block, or falls")]
    Root,
    /// The root has too much of what the shard has sent still to consume.
    #[error("too many messages of its shard to the root wait")]
    Full,
    /// What it claims of coins and messages cannot be true.
    #[error("{0}")]
    Ledger(#[from] LedgerFault),
}

impl ReferenceFault {
    /// Whether a valid certificate of such a block convicts its shard: no honest verifier has signed it. The other
    /// faults may be those of whoever names the block, or names it too early.
    #[must_use]
    pub fn convicts(&self) -> bool {
        matches!(self, Self::Link | Self::Root | Self::Ledger(_))
    }
}

/// Why a root block is not a valid next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RootFault {
    /// A shard block in it cannot become final.
    #[error("domain {domain}, height {height}: {fault}")]
    Reference {
        /// Of which shard.
        domain: DomainId,
        /// Its height.
        height: Height,
        /// Why not.
        fault: ReferenceFault,
    },
    /// The shard blocks are not in the order of their domains.
    #[error("its shard blocks are not ordered by domain")]
    Order,
    /// Its timestamp is not above its parent's.
    #[error("its timestamp is not above its parent's")]
    Timestamp,
    /// What the header tells of the parent's execution cannot be.
    #[error("what it tells of its parent's execution cannot be: {0}")]
    Execution(#[from] ExecutionFault),
    /// It consumes messages that it may not.
    #[error("messages of domain {source_domain}: {fault}")]
    Inbound {
        /// Who has sent them.
        source_domain: DomainId,
        /// Why not.
        fault: InboundFault,
    },
    /// It does not show what decided its parent.
    #[error("it does not show what decided its parent")]
    ParentCommit,
    /// Coins were lost, or came from nowhere.
    #[error("the coins after it are not those of genesis and those issued since")]
    Supply,
    /// A header field does not follow from the parent and the shard blocks.
    #[error("its header does not follow from its parent and its shard blocks")]
    Header,
    /// The certificate is not of this block.
    #[error("its certificate is of another block, or does not decide")]
    Certificate,
}

/// What cannot be in a root block's claims about its parent's execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExecutionFault {
    /// Not what genesis says of itself.
    #[error("it is not that of genesis")]
    Genesis,
    /// Not as many coins issued as are due.
    #[error("{claimed} wei are issued; {due} are due")]
    Issued {
        /// As claimed.
        claimed: U256,
        /// By the chain spec.
        due: U256,
    },
    /// Other messages consumed than the parent names, or other coins with them.
    #[error("the parent consumes other messages")]
    Inbound,
    /// What it claims of coins and messages cannot be true.
    #[error(transparent)]
    Ledger(#[from] LedgerFault),
}

/// What a leader makes a block of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootDraft {
    /// Epoch of the seats.
    pub epoch: Epoch,
    /// View in which it is proposed.
    pub view: View,
    /// Who proposes it.
    pub proposer: RootSeat,
    /// Unix time in milliseconds.
    pub timestamp_ms: u64,
    /// Shard blocks that it makes final, by domain and height.
    pub references: Vec<ShardReference>,
    /// Messages that it consumes, by source and height.
    pub inbound: Vec<InboundBatch>,
    /// What executing the parent came to.
    pub execution: RootExecution,
}

/// What the final root blocks amount to: the newest one, the tip of each shard, and all coins.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RootState {
    head: SealedRootHeader,
    /// What decided it; none for genesis.
    commit: Option<RootCertificate>,
    ledger: NetworkLedger,
    inbox: RootInbox,
    issuance: Issuance,
    tips: BTreeMap<DomainId, SealedHeader>,
    /// Final root blocks that shard blocks may still refer to.
    roots: BTreeMap<Height, RootHash>,
}

/// The header of root block 0: it makes the shards' genesis blocks final. `coins` are those in the accounts of each
/// domain, `execution` is the root's own first state.
///
/// # Panics
/// When the headers are not those of domains 1 to k in order, as many as a chain spec may have.
#[must_use]
pub fn genesis_root_header(
    spec: &ChainSpec,
    shards: &[SealedHeader],
    coins: &BTreeMap<DomainId, U256>,
    execution: RootExecution,
) -> SealedRootHeader {
    let domains = (1u32..).map(DomainId);
    assert!(shards.iter().map(|header| header.domain).eq(domains.take(shards.len())), "domains 1 to k");
    let ledger = NetworkLedger::new(coins.iter().map(|(domain, held)| (*domain, *held)));
    let hashes: Vec<B256> = shards.iter().map(SealedHeader::hash).collect();
    let header = RootHeader {
        network: spec.network,
        height: Height::ZERO,
        parent: B256::ZERO,
        epoch: Epoch::ZERO,
        view: View::ZERO,
        proposer: RootSeat { domain: DomainId(0), seat: SeatIndex(0) },
        timestamp_ms: spec.genesis_time_ms,
        references_root: merkle::root(&hashes),
        tips: tips_of(shards.iter()),
        inbound_root: merkle::root(&[]),
        parent_commit: B256::ZERO,
        execution,
        supply: ledger.supply(),
    };
    header.seal()
}

fn tips_of<'a>(
    headers: impl Iterator<Item = &'a SealedHeader>,
) -> BoundedVec<ShardTip, { anfs_primitives::header::DOMAINS_MAX }> {
    let tips: Vec<ShardTip> =
        headers.map(|header| ShardTip { height: header.height, hash: header.hash() }).collect();
    tips.try_into().expect("a chain spec has no more shards than a root header holds")
}

impl RootState {
    /// The state of genesis: see [`genesis_root_header`] for what is given.
    #[must_use]
    pub fn genesis(
        spec: &ChainSpec,
        header: SealedRootHeader,
        shards: impl IntoIterator<Item = SealedHeader>,
        coins: &BTreeMap<DomainId, U256>,
    ) -> Self {
        Self {
            commit: None,
            ledger: NetworkLedger::new(coins.iter().map(|(domain, held)| (*domain, *held))),
            inbox: RootInbox::new(spec.block_gas_limit / 2),
            issuance: spec.issuance(),
            tips: shards.into_iter().map(|header| (header.domain, header)).collect(),
            roots: BTreeMap::from([(header.height, header.hash())]),
            head: header,
        }
    }

    /// The newest final root block.
    #[must_use]
    pub fn head(&self) -> &SealedRootHeader {
        &self.head
    }

    /// Where all coins are.
    #[must_use]
    pub fn ledger(&self) -> &NetworkLedger {
        &self.ledger
    }

    /// The newest final block of a shard; `None` if there is no such shard.
    #[must_use]
    pub fn tip(&self, domain: DomainId) -> Option<&SealedHeader> {
        self.tips.get(&domain)
    }

    /// The shards' newest final blocks, by domain.
    pub fn tips(&self) -> impl Iterator<Item = (DomainId, &SealedHeader)> {
        self.tips.iter().map(|(domain, header)| (*domain, header))
    }

    /// The hash of a final root block, if shard blocks may still refer to it.
    #[must_use]
    pub fn root(&self, height: Height) -> Option<RootHash> {
        self.roots.get(&height).copied()
    }

    /// What decided the newest final root block; `None` for genesis.
    #[must_use]
    pub fn commit(&self) -> Option<&RootCertificate> {
        self.commit.as_ref()
    }

    /// Coins that are to be issued by executing the newest final root block, in wei since genesis. spec: Root F15
    #[must_use]
    pub fn issued(&self) -> U256 {
        self.issuance.issued_at(self.head.timestamp_ms)
    }

    /// Messages to the root that are final and not consumed: by source, and of each in the order of its blocks.
    pub fn waiting(&self) -> impl Iterator<Item = (DomainId, impl Iterator<Item = &InboundWant>)> {
        self.inbox.waiting()
    }

    /// The messages to the root of one final block, if they are not all consumed.
    #[must_use]
    pub fn want(&self, source: DomainId, height: Height) -> Option<&InboundWant> {
        self.inbox.want(source, height)
    }

    /// What a leader makes of the messages at hand.
    pub(super) fn choose<'a>(
        &self,
        held: impl Fn(DomainId, Height) -> Option<&'a LaneBatch>,
    ) -> Vec<InboundBatch> {
        self.inbox.choose(self.head.height, held)
    }

    /// Notes what decided the newest root block.
    pub(super) fn decided_by(&mut self, certificate: RootCertificate) {
        self.commit = Some(certificate);
    }

    /// Takes in a shard's next block, or nothing of it. Its certificate's signature is not looked at.
    ///
    /// # Errors
    /// Why it cannot become final next.
    pub fn extend(&mut self, reference: &ShardReference) -> Result<(), ReferenceFault> {
        let header = &reference.header;
        let tip = self.tips.get(&header.domain).filter(|_| header.network == self.head.network);
        let tip = tip.ok_or(ReferenceFault::Foreign)?;
        if header.height != tip.height.next() {
            return Err(ReferenceFault::Height(tip.height.next()));
        }
        if !names(reference) {
            return Err(ReferenceFault::Certificate);
        }
        if header.parent != tip.hash() {
            return Err(ReferenceFault::Link);
        }
        self.check_root(&tip.root_reference, &header.root_reference)?;
        if !self.inbox.has_room(header) {
            return Err(ReferenceFault::Full);
        }
        self.ledger.apply(&Claims::from(header.header()))?;
        self.inbox.extend(header);
        self.tips.insert(header.domain, header.clone());
        Ok(())
    }

    /// A root reference stays, or moves on to a final root block. spec: Root F2
    fn check_root(&self, was: &RootReference, now: &RootReference) -> Result<(), ReferenceFault> {
        if now == was {
            return Ok(());
        }
        if now.height > self.head.height {
            return Err(ReferenceFault::Early(now.height));
        }
        let known = self.roots.get(&now.height) == Some(&now.hash);
        if known && now.height >= was.height { Ok(()) } else { Err(ReferenceFault::Root) }
    }

    /// Makes the next block of a draft: the block, and the state after it.
    ///
    /// # Errors
    /// The first fault met.
    pub fn build(&self, draft: RootDraft) -> Result<(RootBlock, Self), RootFault> {
        let RootDraft { epoch, view, proposer, timestamp_ms, references, inbound, execution } = draft;
        let frame = Frame { epoch, view, proposer, timestamp_ms };
        let parent_commit = self.commit.clone();
        let after = self.next(frame, &references, &inbound, parent_commit.as_ref(), &execution)?;
        let references = references.try_into().map_err(|_| RootFault::Order)?;
        let inbound = inbound.try_into().map_err(|_| RootFault::Order)?;
        Ok((RootBlock { header: after.head.clone(), references, inbound, parent_commit }, after))
    }

    /// The state after a block, if it is a valid next one. Signatures are not looked at, nor who may propose, nor whether
    /// the parent's execution came to what the header says.
    ///
    /// # Errors
    /// The first fault met.
    pub fn check(&self, block: &RootBlock) -> Result<Self, RootFault> {
        let header = &block.header;
        if header.parent != self.head.hash() {
            return Err(RootFault::Header);
        }
        let frame = Frame {
            epoch: header.epoch,
            view: header.view,
            proposer: header.proposer,
            timestamp_ms: header.timestamp_ms,
        };
        let commit = block.parent_commit.as_ref();
        let after = self.next(frame, &block.references, &block.inbound, commit, &header.execution)?;
        if after.head != *header { Err(RootFault::Header) } else { Ok(after) }
    }

    /// The state after the block of these parts: the parent's execution counts first, then the messages are consumed, then
    /// the shard blocks become final.
    fn next(
        &self,
        frame: Frame,
        references: &[ShardReference],
        inbound: &[InboundBatch],
        parent_commit: Option<&RootCertificate>,
        execution: &RootExecution,
    ) -> Result<Self, RootFault> {
        if frame.timestamp_ms <= self.head.timestamp_ms {
            return Err(RootFault::Timestamp);
        }
        let founds = self.head.height == Height::ZERO;
        if parent_commit.is_none() != founds || parent_commit.is_some_and(|one| !decides(one, &self.head)) {
            return Err(RootFault::ParentCommit);
        }
        let mut after = self.clone();
        after.take_execution(execution)?;
        let taken = after.inbox.take(self.head.network, inbound);
        taken.map_err(|(source_domain, fault)| RootFault::Inbound { source_domain, fault })?;
        after.take(references)?;
        if !after.ledger.is_balanced() {
            return Err(RootFault::Supply);
        }
        let Frame { epoch, view, proposer, timestamp_ms } = frame;
        let header = RootHeader {
            network: self.head.network,
            height: self.head.height.next(),
            parent: self.head.hash(),
            epoch,
            view,
            proposer,
            timestamp_ms,
            references_root: references_root(references),
            tips: tips_of(after.tips.values()),
            inbound_root: inbound_root(inbound),
            parent_commit: parent_commit.map_or(B256::ZERO, RootCertificate::hash),
            execution: execution.clone(),
            supply: after.ledger.supply(),
        };
        after.advance(header.seal());
        Ok(after)
    }

    /// What executing the newest block came to: its claims are held against the ledger like those of a shard, its messages
    /// and new coins against what the block and the chain spec say. spec: Root F12, F15; Domains L6
    fn take_execution(&mut self, execution: &RootExecution) -> Result<(), ExecutionFault> {
        if self.head.height == Height::ZERO {
            let same = *execution == self.head.execution;
            return if same { Ok(()) } else { Err(ExecutionFault::Genesis) };
        }
        let (claimed, due) = (execution.issued, self.issued());
        if claimed != due {
            return Err(ExecutionFault::Issued { claimed, due });
        }
        if *execution.consumed != *self.inbox.cursors() || execution.value_in != self.inbox.value_in() {
            return Err(ExecutionFault::Inbound);
        }
        self.ledger.apply(&Claims::from(execution))?;
        Ok(())
    }

    /// Moves on to a decided block. Nothing happens if it is not a valid next one. The certificates' signatures are
    /// not looked at.
    ///
    /// # Errors
    /// The first fault met.
    pub fn apply(&mut self, decided: &CertifiedRootBlock) -> Result<(), RootFault> {
        if !decides(&decided.certificate, &decided.block.header) {
            return Err(RootFault::Certificate);
        }
        *self = self.check(&decided.block)?;
        self.decided_by(decided.certificate.clone());
        Ok(())
    }

    fn take(&mut self, references: &[ShardReference]) -> Result<(), RootFault> {
        if !references.is_sorted_by_key(|reference| reference.header.domain) {
            return Err(RootFault::Order);
        }
        for reference in references {
            let (domain, height) = (reference.header.domain, reference.header.height);
            self.extend(reference).map_err(|fault| RootFault::Reference { domain, height, fault })?;
        }
        Ok(())
    }

    fn advance(&mut self, head: SealedRootHeader) {
        self.roots.insert(head.height, head.hash());
        self.head = head;
        self.commit = None;
        let lowest = self.tips.values().map(|tip| tip.root_reference.height).min();
        self.roots = self.roots.split_off(&lowest.unwrap_or_default());
    }
}

/// What of a header its proposer is free to choose.
#[derive(Clone, Copy)]
struct Frame {
    epoch: Epoch,
    view: View,
    proposer: RootSeat,
    timestamp_ms: u64,
}

/// What a header says of the shard blocks.
fn references_root(references: &[ShardReference]) -> B256 {
    let hashes: Vec<B256> = references.iter().map(|reference| reference.header.hash()).collect();
    merkle::root(&hashes)
}

/// What a header says of the messages.
fn inbound_root(inbound: &[InboundBatch]) -> B256 {
    let hashes: Vec<B256> = inbound.iter().map(InboundBatch::hash).collect();
    merkle::root(&hashes)
}

/// Whether a body is the one that its header commits to, so that no sender could have changed it, but for the
/// certificates of shard blocks in it.
pub(super) fn is_whole(block: &RootBlock) -> bool {
    let header = &block.header;
    references_root(&block.references) == header.references_root
        && inbound_root(&block.inbound) == header.inbound_root
        && block.parent_commit.as_ref().map_or(B256::ZERO, RootCertificate::hash) == header.parent_commit
}

/// Whether the certificate says that this root block is decided, if it holds.
fn decides(certificate: &RootCertificate, header: &SealedRootHeader) -> bool {
    let target = VoteTarget {
        network: header.network,
        epoch: header.epoch,
        domain: DomainId::ROOT,
        height: header.height,
        view: certificate.target.view,
        block: header.hash(),
    };
    certificate.kind == CertificateKind::Commit && certificate.target == target
}

/// Whether the certificate decides this very block; it may have done so in a later view than the header's.
fn names(reference: &ShardReference) -> bool {
    let ShardReference { header, certificate } = reference;
    let target = VoteTarget {
        network: header.network,
        epoch: header.epoch,
        domain: header.domain,
        height: header.height,
        view: certificate.target.view,
        block: header.hash(),
    };
    certificate.kind.decides() && certificate.target == target && target.view >= header.view
}

#[cfg(test)]
mod tests;
