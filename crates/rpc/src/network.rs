//! What a node tells of a network of several shards: their state, routes, messages and the ways of transactions.
//!
//! spec: PROTOCOL §0, §8, §9

use std::fmt::Debug;

use alloy_primitives::{Address, B256, Bytes, U32, U64, U256};
use anfs_primitives::{
    BlockHash, DomainId, Height, RootCertificate, RootHash, SealedRootHeader, ShardHeader, Supply,
};
use serde::{Deserialize, Serialize};

use crate::backend::{At, Backend, BackendError};

/// One domain as the network sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DomainReport {
    /// The domain.
    pub domain: DomainId,
    /// Its newest certified block; of the root, the newest that is executed.
    pub certified_height: Height,
    /// Its newest final block; of the root, the newest of which a final header says what it came to.
    pub final_height: Height,
    /// That block's hash.
    pub final_hash: BlockHash,
    /// Base fee of its next block, in wei.
    pub base_fee: u64,
    /// Coins in its accounts after the final block, in wei.
    pub held: U256,
}

/// Root and shards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DomainsReport {
    /// The newest network block, which is a root block.
    pub root_height: Height,
    /// Its hash.
    pub root_hash: RootHash,
    /// Where all coins are after it.
    pub supply: Supply,
    /// Transactions and calls that have left a domain and have not arrived in all others.
    pub in_flight: U64,
    /// The root's own accounts: domain 0.
    pub root: DomainReport,
    /// The shards, domain 1 first.
    pub domains: Vec<DomainReport>,
}

/// Where an address lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteReport {
    /// The address.
    pub address: Address,
    /// The shard whose range of hash prefixes holds it.
    pub home: DomainId,
    /// Where it lives: its home, unless a route leads away.
    pub domain: DomainId,
    /// Whether its home holds a route.
    pub routed: bool,
}

/// A block of a domain, in which something happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockPlace {
    /// The domain.
    pub domain: DomainId,
    /// Height of the block in its own chain.
    pub height: Height,
    /// Height of the network block that made it final.
    pub root_height: Height,
}

/// Kinds of what crosses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LegKind {
    /// The transaction itself, in its sender's home.
    Transaction,
    /// A call that has crossed.
    Call,
    /// What came of a call, told to the contract that sent it.
    Result,
    /// Coins.
    Credit,
    /// News of where an account lives.
    Route,
}

/// A message between domains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageReport {
    /// Its hash.
    pub id: B256,
    /// What it brings.
    pub kind: LegKind,
    /// Domain that sent it.
    pub source: DomainId,
    /// Domain that consumes it.
    pub destination: DomainId,
    /// Its number in its lane.
    pub sequence: U64,
    /// The transaction that it belongs to; zero for none.
    pub origin: B256,
    /// Coins in flight with it, prepaid gas included, in wei.
    pub value: U256,
    /// The block that sent it.
    pub sent: Option<BlockPlace>,
    /// The block that consumed it, once one has.
    pub consumed: Option<BlockPlace>,
    /// How a call or the telling of its result ended; `None` for what cannot fail, and for what has not arrived.
    pub success: Option<bool>,
}

/// One stop of a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LegReport {
    /// What happened here.
    pub kind: LegKind,
    /// Where.
    #[serde(flatten)]
    pub place: BlockPlace,
    /// The message that was consumed; `None` for the transaction itself.
    pub message: Option<B256>,
    /// How it ended; `None` for what cannot fail.
    pub success: Option<bool>,
    /// Gas that it used.
    pub gas_used: U64,
    /// Logs that it left.
    pub logs: U64,
    /// Messages that the transaction sent from this block; those of several legs in one block stand with the first.
    pub sent: Vec<B256>,
}

/// The way of a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LegsReport {
    /// The transaction.
    pub transaction: B256,
    /// The network block that lists it, once it is complete.
    pub block_number: Option<Height>,
    /// Its index there.
    pub transaction_index: Option<U64>,
    /// Messages that are still on their way.
    pub outstanding: U64,
    /// Its stops, in the order of the network.
    pub legs: Vec<LegReport>,
}

/// A final root block's header with what decided it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootHeaderReport {
    /// The header.
    pub header: SealedRootHeader,
    /// Its CommitCert; `None` for genesis.
    pub certificate: Option<RootCertificate>,
}

/// A shard block and the root block that made it final.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinalityReport {
    /// Height of the root block.
    pub root_height: Height,
    /// Index among the shard blocks that it names.
    pub index: u32,
    /// How many these are.
    pub count: u32,
    /// Siblings on the way to the root over all of them, lowest first.
    pub siblings: Vec<B256>,
    /// The shard block's header.
    pub header: ShardHeader,
    /// All of that as a proof for light clients.
    pub proof: Bytes,
}

/// Slots that one proof is asked for at most.
pub const LIGHT_SLOTS_MAX: usize = 256;

/// What a light client may ask to have proven.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum LightQuery {
    /// An account where it lives, and some of its slots.
    #[serde(rename_all = "camelCase")]
    Account {
        /// Whose.
        address: Address,
        /// Plain keys of slots.
        #[serde(default)]
        slots: Vec<B256>,
    },
    /// A transaction and its receipt in its sender's home.
    #[serde(rename_all = "camelCase")]
    Receipt {
        /// Its hash.
        transaction: B256,
    },
    /// A message of the newest blocks.
    #[serde(rename_all = "camelCase")]
    Message {
        /// Its hash.
        id: B256,
    },
    /// How far a shard is: what it has consumed.
    #[serde(rename_all = "camelCase")]
    Arrival {
        /// The shard.
        domain: U32,
    },
}

/// A proof for light clients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LightProof {
    /// Height of the root block that it is to be held against.
    pub root_height: Height,
    /// The proof's canonical encoding.
    pub proof: Bytes,
}

/// What only a node of a network of several shards knows.
pub trait NetworkInfo: Send + Sync + Debug {
    /// What serves each shard's own chain; the first is domain 1.
    fn shards(&self) -> &[Backend];

    /// What serves one shard's own chain.
    fn shard(&self, domain: DomainId) -> Option<&Backend> {
        self.shards().get(usize::try_from(domain.0).ok()?.checked_sub(1)?)
    }

    /// Root and shards.
    ///
    /// # Errors
    /// [`BackendError::Internal`] when the disk fails.
    fn domains(&self) -> Result<DomainsReport, BackendError>;

    /// Where an address lives.
    ///
    /// # Errors
    /// [`BackendError::StatePruned`] or [`BackendError::Internal`].
    fn route(&self, at: At, address: &Address) -> Result<RouteReport, BackendError>;

    /// A message of a recent network block.
    ///
    /// # Errors
    /// [`BackendError::Internal`] when the disk fails.
    fn message(&self, id: &B256) -> Result<Option<MessageReport>, BackendError>;

    /// The way of a transaction whose own block is final; `None` before that.
    ///
    /// # Errors
    /// As [`NetworkInfo::message`].
    fn legs(&self, transaction: &B256) -> Result<Option<LegsReport>, BackendError>;

    /// The header of a network block; `None` above the head.
    ///
    /// # Errors
    /// As [`NetworkInfo::domains`].
    fn root_header(&self, height: Height) -> Result<Option<RootHeaderReport>, BackendError>;

    /// How a shard's block became final; `None` if it has not.
    ///
    /// # Errors
    /// As [`NetworkInfo::domains`].
    fn finality(&self, domain: DomainId, height: Height) -> Result<Option<FinalityReport>, BackendError>;

    /// A proof for light clients, of accounts after the network block at a height; `None` if there is nothing to prove.
    ///
    /// # Errors
    /// [`BackendError::StatePruned`] or [`BackendError::Internal`].
    fn light_proof(&self, height: Height, query: &LightQuery) -> Result<Option<LightProof>, BackendError>;
}
