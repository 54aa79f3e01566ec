//! Shard blocks that root blocks have made final.

use std::ops::Deref;

use alloy_primitives::B256;
use anfs_crypto::merkle;
use anfs_primitives::{BlockHash, BoundedVec, Height, SealedHeader, ShardHeader, ShardTip};
use borsh::{BorshDeserialize, BorshSerialize};

use crate::{FinalRoot, ProofError};

/// Siblings on the way from a shard block to a root block's references at most.
const SIBLINGS_MAX: usize = 16;
const _: () = assert!(anfs_primitives::root::REFERENCES_MAX <= 1 << SIBLINGS_MAX);

/// The header of a shard block that is known to be final.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinalBlock {
    header: SealedHeader,
    root: Height,
}

impl FinalBlock {
    /// The newest final block of a shard after a root block.
    pub(crate) fn tip(root: &FinalRoot, header: &SealedHeader) -> Result<Self, ProofError> {
        let (domain, height) = (header.domain, header.height);
        let tip = ShardTip { height, hash: header.hash() };
        if header.network != root.network || root.tip(domain) != Some(tip) {
            return Err(ProofError::NotTip { domain, height, root: root.height });
        }
        Ok(Self { header: header.clone(), root: root.height })
    }

    /// Its hash.
    #[must_use]
    pub fn hash(&self) -> BlockHash {
        self.header.hash()
    }

    /// The root block by which that is known.
    #[must_use]
    pub fn root_height(&self) -> Height {
        self.root
    }
}

impl Deref for FinalBlock {
    type Target = ShardHeader;

    fn deref(&self) -> &ShardHeader {
        &self.header
    }
}

/// That a root block makes a shard block final.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct FinalityProof {
    /// The shard block's header.
    pub header: SealedHeader,
    /// How many shard blocks the root block names. Neither this nor the index is proven: they say which way leads up, and
    /// no other way leads from this leaf to the root.
    pub count: u32,
    /// Which of them this is.
    pub index: u32,
    /// The siblings on the way to the root over all of them, lowest first.
    pub siblings: BoundedVec<B256, SIBLINGS_MAX>,
}

impl FinalityProof {
    /// The proof for one of the shard blocks that a root block names; `None` if there is no such one.
    #[must_use]
    pub fn make(references: &[SealedHeader], index: usize) -> Option<Self> {
        let hashes: Vec<B256> = references.iter().map(SealedHeader::hash).collect();
        Some(Self {
            header: references.get(index)?.clone(),
            count: u32::try_from(hashes.len()).ok()?,
            index: u32::try_from(index).ok()?,
            siblings: merkle::prove(&hashes, index)?.try_into().ok()?,
        })
    }

    /// Checks it against the root block that made the block final.
    ///
    /// # Errors
    /// [`ProofError::NotFinal`].
    pub fn verify(&self, root: &FinalRoot) -> Result<FinalBlock, ProofError> {
        let (domain, height) = (self.header.domain, self.header.height);
        let (count, index) = (self.count as usize, self.index as usize);
        let ours = self.header.network == root.network && root.tip(domain).is_some();
        if !ours || !merkle::verify(&root.references_root, count, index, &self.header.hash(), &self.siblings)
        {
            return Err(ProofError::NotFinal { domain, height, root: root.height });
        }
        Ok(FinalBlock { header: self.header.clone(), root: root.height })
    }
}
