//! Root blocks, and what the seats of the network say to each other about them.
//!
//! A root block names shard blocks and thereby makes them final. Every seat of every shard votes on it; votes
//! travel as tallies, so that whoever gathers them may add up before he passes on.
//!
//! spec: PROTOCOL §6; Root F1–F16

mod domain;

use std::fmt;
use std::io::{self, Read, Write};
use std::ops::Deref;
use std::sync::Arc;

use alloy_primitives::{B256, U256, keccak256};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use crate::BlsSignature;
use crate::certificate::{Certificate, CertificateKind};
use crate::codec::{BoundedVec, CodecError, decode, encode};
use crate::header::{DOMAINS_MAX, RootReference, SealedHeader, VERIFIERS_MAX};
use crate::ids::{BlockHash, DomainId, Epoch, Height, NetworkId, SeatIndex, View};
use crate::vote::VoteTarget;

pub use domain::{
    INBOUND_MAX, InboundBatch, LANE_MESSAGES_MAX, LANE_SIBLINGS_MAX, RootExecution, STRETCH_SIBLINGS_MAX,
    StretchProof,
};

/// Shard blocks that one root block names at most.
pub const REFERENCES_MAX: usize = 16 * 1024;
/// Hard cap of an encoded root block.
pub const ROOT_BLOCK_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Shard blocks in one report to a leader at most.
pub const REPORT_MAX: usize = 64;

const ROOT_HEADER_TAG: &[u8] = b"anfs/root-header/v2";
const COMMIT_TAG: &[u8] = b"anfs/root-commit/v1";

/// The hash that names a root block: keccak-256 over a domain tag and the header's canonical encoding.
pub type RootHash = B256;

/// A seat of the whole network.
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
pub struct RootSeat {
    /// Its shard.
    pub domain: DomainId,
    /// Its seat there.
    pub seat: SeatIndex,
}

impl fmt::Display for RootSeat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.domain, self.seat)
    }
}

/// A set of seats of one shard, the generator's among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct SeatSet(u128);

const _: () = assert!(VERIFIERS_MAX < 128, "SeatSet is two words");

impl SeatSet {
    /// The empty set.
    pub const EMPTY: Self = Self(0);

    /// The set of one seat.
    ///
    /// # Panics
    /// When the seat is beyond [`VERIFIERS_MAX`].
    #[must_use]
    pub fn of(seat: SeatIndex) -> Self {
        let index = usize::from(seat.0);
        assert!(index <= VERIFIERS_MAX, "seat {seat} is out of range");
        Self(1 << index)
    }

    /// Whether the seat is in the set.
    #[must_use]
    pub fn contains(self, seat: SeatIndex) -> bool {
        usize::from(seat.0) <= VERIFIERS_MAX && self.0 & (1 << seat.0) != 0
    }

    /// Both sets together.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the two have no seat in common.
    #[must_use]
    pub fn is_disjoint(self, other: Self) -> bool {
        self.0 & other.0 == 0
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
    pub fn iter(self) -> impl Iterator<Item = SeatIndex> {
        (0..128u16).map(SeatIndex).filter(move |seat| self.0 & (1 << seat.0) != 0)
    }
}

impl FromIterator<SeatIndex> for SeatSet {
    fn from_iter<I: IntoIterator<Item = SeatIndex>>(members: I) -> Self {
        members.into_iter().map(Self::of).fold(Self::EMPTY, Self::union)
    }
}

/// The newest final block of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShardTip {
    /// Height of the block.
    pub height: Height,
    /// Its hash.
    pub hash: BlockHash,
}

/// Where all coins are, in wei. The sum never changes but by issuance. spec: Domains, What always holds
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize,
)]
#[serde(rename_all = "camelCase")]
pub struct Supply {
    /// In accounts of all domains.
    pub held: U256,
    /// In messages that are not consumed.
    pub in_flight: U256,
    /// Destroyed since genesis.
    pub burned: U256,
    /// Issued since genesis.
    pub issued: U256,
}

/// The header of a root block.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RootHeader {
    /// Network id.
    pub network: NetworkId,
    /// Position in the chain; genesis is 0.
    pub height: Height,
    /// Hash of the parent header.
    pub parent: RootHash,
    /// Epoch whose seats propose and vote.
    pub epoch: Epoch,
    /// View in which the block was proposed first.
    pub view: View,
    /// Seat that proposed it first.
    pub proposer: RootSeat,
    /// Unix time in milliseconds; strictly above the parent's.
    pub timestamp_ms: u64,
    /// Merkle root over the hashes of the shard blocks that this one makes final, in its order.
    pub references_root: B256,
    /// The newest final block of each shard after this one; the first is domain 1's.
    pub tips: BoundedVec<ShardTip, DOMAINS_MAX>,
    /// Merkle root over the hashes of the batches of messages that the root consumes with this block, in its order.
    pub inbound_root: B256,
    /// Hash of the parent's commit certificate; zero in the block after genesis, and in genesis.
    pub parent_commit: B256,
    /// What executing the parent came to; in genesis, the root's own first state.
    pub execution: RootExecution,
    /// Where all coins are, with what the parent's execution did and the shard blocks named here.
    pub supply: Supply,
}

impl RootHeader {
    /// The hash that names the block.
    #[must_use]
    pub fn hash(&self) -> RootHash {
        let mut bytes = ROOT_HEADER_TAG.to_vec();
        bytes.extend_from_slice(&encode(self));
        keccak256(bytes)
    }

    /// Computes the hash once and keeps it beside the header.
    #[must_use]
    pub fn seal(self) -> SealedRootHeader {
        SealedRootHeader { hash: self.hash(), header: Arc::new(self) }
    }

    /// The newest final block of a shard after this one; `None` if there is no such shard.
    #[must_use]
    pub fn tip(&self, domain: DomainId) -> Option<ShardTip> {
        self.tips.get(domain.0.checked_sub(1)? as usize).copied()
    }
}

/// A root header together with its hash; shared, not copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedRootHeader {
    header: Arc<RootHeader>,
    hash: RootHash,
}

impl SealedRootHeader {
    /// The hash that names the block.
    #[must_use]
    pub fn hash(&self) -> RootHash {
        self.hash
    }

    /// The header alone.
    #[must_use]
    pub fn header(&self) -> &RootHeader {
        &self.header
    }

    /// How shard blocks refer to it.
    #[must_use]
    pub fn reference(&self) -> RootReference {
        RootReference { height: self.header.height, hash: self.hash }
    }
}

impl Deref for SealedRootHeader {
    type Target = RootHeader;

    fn deref(&self) -> &RootHeader {
        &self.header
    }
}

impl BorshSerialize for SealedRootHeader {
    fn serialize<W: Write>(&self, writer: &mut W) -> io::Result<()> {
        BorshSerialize::serialize(self.header(), writer)
    }
}

impl BorshDeserialize for SealedRootHeader {
    fn deserialize_reader<R: Read>(reader: &mut R) -> io::Result<Self> {
        RootHeader::deserialize_reader(reader).map(RootHeader::seal)
    }
}

/// A certified shard block, as the root learns of it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ShardReference {
    /// Its header.
    pub header: SealedHeader,
    /// A [`CertificateKind::Fast`] or [`CertificateKind::Commit`] certificate of its shard's verifiers.
    pub certificate: Certificate,
}

/// A root block, not yet decided.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RootBlock {
    /// The header.
    pub header: SealedRootHeader,
    /// Shard blocks that it makes final: by domain, and of each domain the next heights without a gap.
    pub references: BoundedVec<ShardReference, REFERENCES_MAX>,
    /// Messages that the root consumes: by source, and of each the next ones of its lane.
    pub inbound: BoundedVec<InboundBatch, INBOUND_MAX>,
    /// What decided the parent: who took part. `None` in the block after genesis.
    pub parent_commit: Option<RootCertificate>,
}

/// The votes of seats for one root block: prepares or commits.
///
/// Votes are named as in a shard ([`CertificateKind::Prepare`], [`CertificateKind::Commit`]), with domain 0 in the target.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RootTally {
    /// What a quorum of such votes would be.
    pub kind: CertificateKind,
    /// Of which block.
    pub target: VoteTarget,
    /// The shard whose seats these are.
    pub domain: DomainId,
    /// Who has signed; one for a single vote.
    pub seats: SeatSet,
    /// The aggregate of their signatures.
    pub signature: BlsSignature,
}

/// Seats of one shard in a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SeatGroup {
    /// Their shard.
    pub domain: DomainId,
    /// The seats; not empty.
    pub seats: SeatSet,
}

/// Votes of more than two thirds of all stake for one root block.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RootCertificate {
    /// [`CertificateKind::Prepare`] or [`CertificateKind::Commit`].
    pub kind: CertificateKind,
    /// Of which block; domain 0.
    pub target: VoteTarget,
    /// Who has signed, by domain, ascending.
    pub signers: BoundedVec<SeatGroup, DOMAINS_MAX>,
    /// The aggregate of their signatures.
    pub signature: BlsSignature,
}

impl RootCertificate {
    /// The hash by which a later root header commits to it.
    #[must_use]
    pub fn hash(&self) -> B256 {
        keccak256([COMMIT_TAG, &encode(self)].concat())
    }
}

/// What a seat signs when it leaves a view of a height.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct RootTimeout {
    /// Network id.
    pub network: NetworkId,
    /// Epoch of the seats.
    pub epoch: Epoch,
    /// The height that was not decided.
    pub height: Height,
    /// The view that is left.
    pub view: View,
    /// The highest view whose PrepareCert for this height the signer holds.
    pub prepared: Option<View>,
}

/// A time-out as it travels, with the certificate that it speaks of.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SignedRootTimeout {
    /// What is signed.
    pub timeout: RootTimeout,
    /// The PrepareCert of view `timeout.prepared`.
    pub certificate: Option<RootCertificate>,
    /// Who left.
    pub signer: RootSeat,
    /// BLS signature over the time-out.
    pub signature: BlsSignature,
}

/// Time-outs that say the same.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct TimeoutGroup {
    /// The highest prepared view that these seats hold.
    pub prepared: Option<View>,
    /// Who has signed, by domain, ascending.
    pub signers: BoundedVec<SeatGroup, DOMAINS_MAX>,
    /// The aggregate of their signatures.
    pub signature: BlsSignature,
}

/// Views of which the groups of one time-out certificate may speak at most.
pub const TIMEOUT_GROUPS_MAX: usize = 256;

/// Time-outs of more than two thirds of all stake: nothing was, or will be, decided below the next view that the highest
/// PrepareCert among them does not name.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct TimeoutCertificate {
    /// The height.
    pub height: Height,
    /// The view that is left.
    pub view: View,
    /// The time-outs, by what they say, ascending and each once.
    pub groups: BoundedVec<TimeoutGroup, TIMEOUT_GROUPS_MAX>,
    /// The PrepareCert of the highest view that any of them names.
    pub prepared: Option<RootCertificate>,
}

/// A root block as the leader of a view puts it to the vote.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RootProposal {
    /// The view that it is put to the vote in.
    pub view: View,
    /// The block: the leader's own, or one that an earlier view may have decided.
    pub block: Arc<RootBlock>,
    /// Why the view is open: `None` for view 0, the certificate of the view before for others.
    pub timeouts: Option<TimeoutCertificate>,
    /// The leader's BLS signature over the block's target in this view.
    pub signature: BlsSignature,
}

/// A root block with what decided it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct CertifiedRootBlock {
    /// The block.
    pub block: Arc<RootBlock>,
    /// A [`CertificateKind::Commit`] certificate.
    pub certificate: RootCertificate,
}

/// A message between seats about the root.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum RootMessage {
    /// Shard blocks that are certified, for the leader to name: of one shard, ascending.
    Report(BoundedVec<ShardReference, REPORT_MAX>),
    /// A block to vote on.
    Proposal(Box<RootProposal>),
    /// Votes.
    Tally(RootTally),
    /// Votes of more than two thirds.
    Certificate(RootCertificate),
    /// A seat leaves a view.
    Timeout(Box<SignedRootTimeout>),
    /// Asks for decided root blocks from a height on.
    BlockRequest {
        /// First height wanted.
        from: Height,
    },
    /// One decided root block, in answer to a request.
    Block(Box<CertifiedRootBlock>),
    /// The view above the one that these time-outs leave is open: for a seat that lags.
    Opening(Box<TimeoutCertificate>),
    /// Asks for a block that was put to the vote, and that others may have prepared.
    BodyRequest {
        /// Its height.
        height: Height,
        /// Its hash.
        block: RootHash,
    },
    /// A block that is not decided, in answer to a request.
    Body(Arc<RootBlock>),
}

impl RootMessage {
    /// Decodes a message, holding each kind to its own size cap.
    ///
    /// # Errors
    /// As [`decode`].
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        const SMALL_MAX: usize = 1024 * 1024;
        let limit = match bytes.first() {
            Some(1 | 6 | 9) => ROOT_BLOCK_BYTES_MAX,
            _ => SMALL_MAX,
        };
        decode(bytes, limit)
    }
}
