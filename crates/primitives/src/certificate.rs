//! Certificates: a quorum of votes as one aggregate signature and a bitmap.
//!
//! spec: PROTOCOL §4

use std::io::{self, Read, Write};

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use crate::BlsSignature;
use crate::header::VERIFIERS_MAX;
use crate::vote::{VoteKind, VoteTarget};

/// What a certificate proves of its block.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    BorshSerialize,
    BorshDeserialize,
    Serialize,
    Deserialize,
)]
#[serde(rename_all = "camelCase")]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum CertificateKind {
    /// All verifiers signed [`VoteKind::ValidSliced`]: decided in one round (R2).
    Fast = 0,
    /// A quorum signed [`VoteKind::ValidFull`]: may be committed (R4).
    Prepare = 1,
    /// A quorum signed [`VoteKind::Commit`]: decided (R4).
    Commit = 2,
    /// A quorum signed [`VoteKind::InvalidFull`]: the block is dead (R5).
    Conviction = 3,
}

impl CertificateKind {
    /// The vote that the certificate is a quorum of.
    #[must_use]
    pub fn vote(self) -> VoteKind {
        match self {
            Self::Fast => VoteKind::ValidSliced,
            Self::Prepare => VoteKind::ValidFull,
            Self::Commit => VoteKind::Commit,
            Self::Conviction => VoteKind::InvalidFull,
        }
    }

    /// Whether a block with such a certificate is decided.
    #[must_use]
    pub fn decides(self) -> bool {
        matches!(self, Self::Fast | Self::Commit)
    }
}

/// A set of verifiers, by 0-based verifier index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SignerSet(u64);

const _: () = assert!(VERIFIERS_MAX <= 64, "SignerSet is one word");

impl SignerSet {
    /// The empty set.
    pub const EMPTY: Self = Self(0);

    /// Adds a verifier; true when it was not in the set.
    ///
    /// # Panics
    /// When `index` is not below [`VERIFIERS_MAX`].
    pub fn insert(&mut self, index: usize) -> bool {
        assert!(index < VERIFIERS_MAX, "verifier index {index} is out of range");
        let bit = 1 << index;
        let fresh = self.0 & bit == 0;
        self.0 |= bit;
        fresh
    }

    /// Whether the verifier is in the set.
    #[must_use]
    pub fn contains(self, index: usize) -> bool {
        index < VERIFIERS_MAX && self.0 & (1 << index) != 0
    }

    /// Members.
    #[must_use]
    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether nobody is in the set.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The members, ascending.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        (0..VERIFIERS_MAX).filter(move |&index| self.contains(index))
    }

    /// The largest member, or `None` when empty.
    #[must_use]
    pub fn max(self) -> Option<usize> {
        self.iter().last()
    }
}

impl FromIterator<usize> for SignerSet {
    fn from_iter<I: IntoIterator<Item = usize>>(members: I) -> Self {
        let mut set = Self::EMPTY;
        for index in members {
            set.insert(index);
        }
        set
    }
}

impl BorshSerialize for SignerSet {
    fn serialize<W: Write>(&self, writer: &mut W) -> io::Result<()> {
        BorshSerialize::serialize(&self.0, writer)
    }
}

impl BorshDeserialize for SignerSet {
    fn deserialize_reader<R: Read>(reader: &mut R) -> io::Result<Self> {
        u64::deserialize_reader(reader).map(Self)
    }
}

/// An aggregate signature of a quorum; unverified until `anfs-crypto` says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Certificate {
    /// What it proves.
    pub kind: CertificateKind,
    /// Of which block.
    pub target: VoteTarget,
    /// Who signed.
    pub signers: SignerSet,
    /// The aggregate of their signatures.
    pub signature: BlsSignature,
}
