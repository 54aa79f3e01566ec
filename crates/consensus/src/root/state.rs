//! What follows from the final root blocks, and what may come next.
//!
//! The leader builds with it, every seat checks with it, and whoever replays root blocks applies them with it: one
//! code for the three.
//!
//! spec: Root F1, F2; Domains L1–L5

use std::collections::BTreeMap;

use alloy_primitives::{B256, U256};
use anfs_crypto::merkle;
use anfs_primitives::{
    BoundedVec, CertificateKind, CertifiedRootBlock, ChainSpec, DomainId, Epoch, Height, RootBlock, RootHash,
    RootHeader, RootReference, RootSeat, SealedHeader, SealedRootHeader, SeatIndex, ShardReference, ShardTip,
    View, VoteTarget,
};
use borsh::{BorshDeserialize, BorshSerialize};

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
    /// A header field does not follow from the parent and the shard blocks.
    #[error("its header does not follow from its parent and its shard blocks")]
    Header,
    /// The certificate is not of this block.
    #[error("its certificate is of another block, or does not decide")]
    Certificate,
}

/// What the final root blocks amount to: the newest one, the tip of each shard, and all coins.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RootState {
    head: SealedRootHeader,
    ledger: NetworkLedger,
    tips: BTreeMap<DomainId, SealedHeader>,
    /// Final root blocks that shard blocks may still refer to.
    roots: BTreeMap<Height, RootHash>,
}

/// The header of root block 0: it makes the shards' genesis blocks final. `coins` are those in the accounts of each
/// domain.
///
/// # Panics
/// When the headers are not those of domains 1 to k in order, as many as a chain spec may have.
#[must_use]
pub fn genesis_root_header(
    spec: &ChainSpec,
    shards: &[SealedHeader],
    coins: &BTreeMap<DomainId, U256>,
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
        header: SealedRootHeader,
        shards: impl IntoIterator<Item = SealedHeader>,
        coins: &BTreeMap<DomainId, U256>,
    ) -> Self {
        Self {
            ledger: NetworkLedger::new(coins.iter().map(|(domain, held)| (*domain, *held))),
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
        self.ledger.apply(&Claims::from(header.header()))?;
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

    /// Makes the next block of these shard blocks, in their order: the block, and the state after it.
    ///
    /// # Errors
    /// The first fault met.
    pub fn build(
        &self,
        epoch: Epoch,
        view: View,
        proposer: RootSeat,
        timestamp_ms: u64,
        references: Vec<ShardReference>,
    ) -> Result<(RootBlock, Self), RootFault> {
        let mut after = self.clone();
        after.take(&references)?;
        if timestamp_ms <= self.head.timestamp_ms {
            return Err(RootFault::Timestamp);
        }
        let hashes: Vec<B256> = references.iter().map(|reference| reference.header.hash()).collect();
        let header = RootHeader {
            network: self.head.network,
            height: self.head.height.next(),
            parent: self.head.hash(),
            epoch,
            view,
            proposer,
            timestamp_ms,
            references_root: merkle::root(&hashes),
            tips: tips_of(after.tips.values()),
            supply: after.ledger.supply(),
        };
        after.advance(header.seal());
        let references = references.try_into().map_err(|_| RootFault::Order)?;
        Ok((RootBlock { header: after.head.clone(), references }, after))
    }

    /// The state after a block, if it is a valid next one. Signatures are not looked at, nor who may propose.
    ///
    /// # Errors
    /// The first fault met.
    pub fn check(&self, block: &RootBlock) -> Result<Self, RootFault> {
        let header = &block.header;
        if header.parent != self.head.hash() {
            return Err(RootFault::Header);
        }
        let (epoch, view, proposer) = (header.epoch, header.view, header.proposer);
        let (built, after) =
            self.build(epoch, view, proposer, header.timestamp_ms, block.references.to_vec())?;
        if built.header != *header { Err(RootFault::Header) } else { Ok(after) }
    }

    /// Moves on to a decided block. Nothing happens if it is not a valid next one. The certificates' signatures are
    /// not looked at.
    ///
    /// # Errors
    /// The first fault met.
    pub fn apply(&mut self, decided: &CertifiedRootBlock) -> Result<(), RootFault> {
        let (header, certificate) = (&decided.block.header, &decided.certificate);
        let named = (certificate.target.height, certificate.target.block) == (header.height, header.hash());
        if !named || certificate.kind != CertificateKind::Commit {
            return Err(RootFault::Certificate);
        }
        *self = self.check(&decided.block)?;
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
        let lowest = self.tips.values().map(|tip| tip.root_reference.height).min();
        self.roots = self.roots.split_off(&lowest.unwrap_or_default());
    }
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
