//! What the server asks of the node: small synchronous traits, implemented by whoever assembles the node.
//!
//! All methods are synchronous. Those of [`Executor`], proofs, log searches and other long reads are run by
//! the server on the blocking pool with bounded concurrency; [`TxPool::submit`] and the plain reads run on
//! the calling task and must not block on anything but short locks and disk reads.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Instant;

use alloy_consensus::Transaction as _;
use alloy_eips::eip2930::AccessListResult;
use alloy_primitives::{Address, B256, Bloom, Bytes, Signature};
use alloy_rpc_types_eth::simulate::{SimulatePayload, SimulatedBlock};
use alloy_rpc_types_eth::state::StateOverride;
use alloy_rpc_types_eth::{BlockOverrides, EIP1186AccountProofResponse, SyncInfo, TransactionRequest};
use alloy_rpc_types_trace::geth::{
    GethDebugTracingCallOptions, GethDebugTracingOptions, GethTrace, TraceResult,
};
use anfs_primitives::{
    BlockBody, BlockCrossing, BlockHash, Certificate, Height, Receipt, RecoveredTransaction, SealedHeader,
    SeatIndex, SignerSet,
};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

use crate::network::NetworkInfo;

/// Why the node could not answer; each variant becomes the error code and words that geth has for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BackendError {
    /// The call reverted (code 3); the server decodes the reason from the output.
    #[error("execution reverted")]
    Reverted {
        /// Return data.
        output: Bytes,
    },
    /// The pool refused a transaction (-32000), in geth's words: `nonce too low: …`, `already known`, …
    #[error("{0}")]
    Rejected(String),
    /// A call cannot be executed (-32000): `out of gas`, `insufficient funds for gas * price + value`, …
    #[error("{0}")]
    Execution(String),
    /// The state of this height is no longer kept (-32000).
    #[error(
        "state of block {height} is not available: this node keeps states from block {oldest} on; \
         ask for a newer block or another node"
    )]
    StatePruned {
        /// Height asked for.
        height: Height,
        /// Oldest height whose state is kept.
        oldest: Height,
    },
    /// The parameters make no sense to the executor or tracer (-32602).
    #[error("{0}")]
    InvalidParams(String),
    /// The work asked for is over a limit (-32005).
    #[error("{0}")]
    LimitExceeded(String),
    /// An error whose code the method's specification fixes, such as those of `eth_simulateV1`.
    #[error("{message}")]
    Coded {
        /// JSON-RPC error code.
        code: i32,
        /// Words.
        message: String,
    },
    /// A fault of this node (-32603): the caller is not to blame.
    #[error("{0}")]
    Internal(String),
}

/// What every block shows of itself, a shard's as well as the network's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockSummary {
    /// The hash that names the block.
    pub hash: B256,
    /// Hash of the block before it.
    pub parent: B256,
    /// Position in its chain.
    pub height: Height,
    /// Who got the tips.
    pub beneficiary: Address,
    /// Root of the accounts after it.
    pub state_root: B256,
    /// Ethereum's ordered trie root of the transactions.
    pub transactions_root: B256,
    /// Ethereum's ordered trie root of the receipts.
    pub receipts_root: B256,
    /// Union of the receipts' blooms.
    pub logs_bloom: Bloom,
    /// Gas that it may use.
    pub gas_limit: u64,
    /// Gas that it used.
    pub gas_used: u64,
    /// Base fee, in wei.
    pub base_fee: u64,
    /// Unix time in seconds, as contracts see it.
    pub timestamp: u64,
    /// What contracts read as PREVRANDAO.
    pub prev_randao: B256,
    /// Size of the encoded block, in bytes.
    pub size: u64,
}

/// A block that clients can ask for. Shared, never copied.
pub trait ShownBlock: Send + Sync + Debug {
    /// What it shows of itself.
    fn summary(&self) -> BlockSummary;

    /// Its place in its chain.
    fn height(&self) -> Height;

    /// The hash that names it.
    fn hash(&self) -> B256;

    /// The transactions that it lists, in order.
    fn transactions(&self) -> &[RecoveredTransaction];

    /// Their receipts, one a transaction.
    fn receipts(&self) -> &[Receipt];

    /// What the transaction at an index paid for a unit of gas, in wei; zero past the last.
    fn gas_price(&self, index: usize) -> u128;

    /// The shard block that it is; `None` for a block of the whole network.
    fn shard(&self) -> Option<&RpcBlock>;
}

/// A decided block of a shard with all that a client can ask of it.
#[derive(Debug, Clone)]
pub struct RpcBlock {
    /// Header and hash.
    pub header: SealedHeader,
    /// Unix time in seconds, as contracts see it.
    pub timestamp: u64,
    /// What contracts read as PREVRANDAO.
    pub prev_randao: B256,
    /// Size of the encoded block, in bytes.
    pub size: u64,
    /// The transactions, in execution order.
    pub transactions: Arc<[RecoveredTransaction]>,
    /// Their receipts, one a transaction.
    pub receipts: Arc<[Receipt]>,
    /// What it had to do with other domains.
    pub crossing: Arc<BlockCrossing>,
    /// What decided it; genesis has none.
    pub certificate: Option<Certificate>,
}

impl RpcBlock {
    /// Its number.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.header.height.0
    }
}

impl ShownBlock for RpcBlock {
    fn summary(&self) -> BlockSummary {
        let header = &self.header;
        BlockSummary {
            hash: header.hash(),
            parent: header.parent,
            height: header.height,
            beneficiary: header.beneficiary,
            state_root: header.state_root,
            transactions_root: header.transactions_root,
            receipts_root: header.receipts_root,
            logs_bloom: header.logs_bloom,
            gas_limit: header.gas_limit,
            gas_used: header.gas_used,
            base_fee: header.base_fee,
            timestamp: self.timestamp,
            prev_randao: self.prev_randao,
            size: self.size,
        }
    }

    fn height(&self) -> Height {
        self.header.height
    }

    fn hash(&self) -> B256 {
        self.header.hash()
    }

    fn transactions(&self) -> &[RecoveredTransaction] {
        &self.transactions
    }

    fn receipts(&self) -> &[Receipt] {
        &self.receipts
    }

    fn gas_price(&self, index: usize) -> u128 {
        let base_fee = Some(self.header.base_fee);
        self.transactions.get(index).map_or(0, |tx| tx.envelope().effective_gas_price(base_fee))
    }

    fn shard(&self) -> Option<&RpcBlock> {
        Some(self)
    }
}

/// Blocks that are final in the eyes of whoever serves them: a shard's decided blocks, or the network's. Only what is on
/// disk is visible here; there are no reorganisations.
pub trait ChainReader: Send + Sync + Debug {
    /// The EIP-155 chain id.
    fn chain_id(&self) -> u64;

    /// The newest block. Called several times a request: must be a pointer copy.
    fn head(&self) -> Arc<dyn ShownBlock>;

    /// A block by height, or `None` above the head.
    ///
    /// # Errors
    /// [`BackendError::Internal`] when the disk fails.
    fn block(&self, height: Height) -> Result<Option<Arc<dyn ShownBlock>>, BackendError>;

    /// A block's summary by height: cheaper than the block where the node keeps summaries in memory.
    ///
    /// # Errors
    /// As [`ChainReader::block`].
    fn header(&self, height: Height) -> Result<Option<BlockSummary>, BackendError> {
        Ok(self.block(height)?.map(|block| block.summary()))
    }

    /// The height of a block.
    ///
    /// # Errors
    /// As [`ChainReader::block`].
    fn height_of(&self, hash: &BlockHash) -> Result<Option<Height>, BackendError>;

    /// Where a transaction stands: height of its block and index in it.
    ///
    /// # Errors
    /// As [`ChainReader::block`].
    fn transaction(&self, hash: &B256) -> Result<Option<(Height, u32)>, BackendError>;

    /// Base fee of the block after the head, in wei.
    fn next_base_fee(&self) -> u64;

    /// Unix time, in seconds, of the block that would come next if it were made now.
    fn next_timestamp(&self) -> u64;

    /// `None` when the node is at the tip.
    fn syncing(&self) -> Option<SyncInfo>;
}

/// Which state to read or execute on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// After the decided block of this height, which exists.
    Block(Height),
    /// After the head and whatever the node already executed of the next block; the head's state where the
    /// node has nothing newer.
    Pending,
}

/// An account as `eth_getBalance` and its like show it; all zero when it does not exist.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AccountView {
    /// Transactions sent.
    pub nonce: u64,
    /// Balance in wei.
    pub balance: alloy_primitives::U256,
}

/// Reads of the account trie.
pub trait StateReader: Send + Sync + Debug {
    /// Nonce and balance.
    ///
    /// # Errors
    /// [`BackendError::StatePruned`] or [`BackendError::Internal`].
    fn account(&self, at: At, address: &Address) -> Result<AccountView, BackendError>;

    /// Contract code; empty for none. An EIP-7702 delegation is shown as its designator.
    ///
    /// # Errors
    /// As [`StateReader::account`].
    fn code(&self, at: At, address: &Address) -> Result<Bytes, BackendError>;

    /// One storage slot.
    ///
    /// # Errors
    /// As [`StateReader::account`].
    fn storage(&self, at: At, address: &Address, slot: &B256) -> Result<B256, BackendError>;

    /// Merkle proof of an account and some of its slots. Runs on the blocking pool.
    ///
    /// # Errors
    /// As [`StateReader::account`].
    fn proof(
        &self,
        at: At,
        address: &Address,
        slots: &[B256],
    ) -> Result<EIP1186AccountProofResponse, BackendError>;
}

/// A message call with what may be overridden for it.
#[derive(Debug, Clone, Default)]
pub struct CallRequest {
    /// The call; absent fields have Ethereum's defaults.
    pub transaction: TransactionRequest,
    /// Accounts to change first.
    pub state_overrides: Option<StateOverride>,
    /// Block fields to change.
    pub block_overrides: Option<Box<BlockOverrides>>,
}

/// Execution without consequences. Every method runs on the blocking pool; the server bounds how many at once.
pub trait Executor: Send + Sync + Debug {
    /// `eth_call`: the return data.
    ///
    /// # Errors
    /// [`BackendError::Reverted`], [`BackendError::Execution`], [`BackendError::StatePruned`].
    fn call(&self, at: At, request: CallRequest) -> Result<Bytes, BackendError>;

    /// `eth_estimateGas`: the least gas limit under which the call succeeds.
    ///
    /// # Errors
    /// As [`Executor::call`].
    fn estimate_gas(&self, at: At, request: CallRequest) -> Result<u64, BackendError>;

    /// `eth_createAccessList`. A failing call is told in the result's `error`.
    ///
    /// # Errors
    /// As [`Executor::call`].
    fn create_access_list(&self, at: At, request: CallRequest) -> Result<AccessListResult, BackendError>;

    /// `eth_simulateV1`.
    ///
    /// # Errors
    /// As [`Executor::call`]; [`BackendError::Coded`] for those that its specification lists.
    fn simulate(&self, at: At, payload: SimulatePayload) -> Result<Vec<SimulatedBlock>, BackendError>;

    /// `debug_traceCall`.
    ///
    /// # Errors
    /// As [`Executor::call`]; [`BackendError::InvalidParams`] for an unknown tracer.
    fn trace_call(
        &self,
        at: At,
        transaction: TransactionRequest,
        options: GethDebugTracingCallOptions,
    ) -> Result<GethTrace, BackendError>;

    /// `debug_traceTransaction`: the transaction at `index` of the decided block at `height`.
    ///
    /// # Errors
    /// As [`Executor::trace_call`].
    fn trace_transaction(
        &self,
        height: Height,
        index: u32,
        options: GethDebugTracingOptions,
    ) -> Result<GethTrace, BackendError>;

    /// `debug_traceBlockBy…`: one result a transaction.
    ///
    /// # Errors
    /// As [`Executor::trace_call`].
    fn trace_block(
        &self,
        height: Height,
        options: GethDebugTracingOptions,
    ) -> Result<Vec<TraceResult>, BackendError>;
}

/// What the pool holds.
#[derive(Debug, Clone, Default)]
pub struct PoolContent {
    /// Executable now.
    pub pending: Vec<RecoveredTransaction>,
    /// Waiting for an earlier nonce or funds.
    pub queued: Vec<RecoveredTransaction>,
}

/// Number of transactions in the pool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PoolStatus {
    /// Executable now.
    pub pending: usize,
    /// Waiting.
    pub queued: usize,
}

/// The transaction pool.
pub trait TxPool: Send + Sync + Debug {
    /// Decodes an EIP-2718 encoding, checks its network, recovers its sender (once; it is kept) and admits
    /// it. The hot path of the whole server.
    ///
    /// # Errors
    /// [`BackendError::Rejected`] in geth's words.
    fn submit(&self, raw: Bytes) -> Result<B256, BackendError>;

    /// As [`Self::submit`], of a transaction of this network whose sender was recovered already.
    ///
    /// # Errors
    /// As [`Self::submit`].
    fn submit_recovered(&self, tx: RecoveredTransaction) -> Result<B256, BackendError>;

    /// Nonce after the sender's executable transactions; `None` when the pool holds none of them.
    fn pending_nonce(&self, sender: &Address) -> Option<u64>;

    /// A transaction that is pooled or already in the block being built, but not decided.
    fn get(&self, hash: &B256) -> Option<RecoveredTransaction>;

    /// Up to `limit` executable transactions in the order in which a block would take them.
    fn best(&self, limit: usize) -> Vec<RecoveredTransaction>;

    /// Everything.
    fn content(&self) -> PoolContent;

    /// One sender's transactions.
    fn content_from(&self, sender: &Address) -> PoolContent;

    /// Counts.
    fn status(&self) -> PoolStatus;

    /// The least tip that the pool admits, in wei: the floor of `eth_maxPriorityFeePerGas`.
    fn min_tip(&self) -> u128;
}

/// News, by bounded broadcast: a receiver that lags is dropped by the server, never waited for.
pub trait Events: Send + Sync + Debug {
    /// Every block from now on, in height order, once it is visible in [`ChainReader`].
    fn blocks(&self) -> broadcast::Receiver<Arc<dyn ShownBlock>>;

    /// Every transaction that becomes executable in the pool from now on.
    fn pending_transactions(&self) -> broadcast::Receiver<RecoveredTransaction>;
}

/// Accounts whose keys the node holds: development networks only.
pub trait Signer: Send + Sync + Debug {
    /// Their addresses, in a fixed order.
    fn accounts(&self) -> Vec<Address>;

    /// Signs a digest; `None` for an account that is not held.
    fn sign(&self, account: &Address, digest: &B256) -> Option<Signature>;
}

/// Where a transaction stands in the sequence, provable against the header that the certificate names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SequenceProof {
    /// Block.
    pub block_hash: BlockHash,
    /// Height of the block.
    pub height: Height,
    /// `entries_root` of its header.
    pub entries_root: B256,
    /// Index of the entry in the block.
    pub entry_index: u32,
    /// Entries in the block.
    pub entry_count: u32,
    /// Canonical encoding of the entry: the leaf's preimage.
    pub entry: Bytes,
    /// Merkle path from the entry to `entries_root`.
    pub entry_proof: Vec<B256>,
    /// Index of the transaction in its entry.
    pub transaction_index: u32,
    /// What decided the block.
    pub certificate: Option<Certificate>,
}

/// How far the node is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// Seats in the shard: generators and verifiers.
    pub verifiers: u16,
    /// Votes that decide.
    pub quorum: u16,
    /// Length of a slot in milliseconds.
    pub slot_ms: u64,
    /// Slot by the clock.
    pub current_slot: u64,
    /// Newest height that the generator has produced.
    pub produced_height: Height,
    /// Newest decided height on disk.
    pub certified_height: Height,
    /// Newest height whose state is on disk.
    pub flushed_height: Height,
    /// View that the shard is in.
    pub view: u64,
    /// Whether the next block is on the fast path.
    pub fast_path: bool,
    /// Blocks decided by all verdicts in one round, since start.
    pub fast_blocks: u64,
    /// Blocks decided by prepare and commit, since start.
    pub slow_blocks: u64,
    /// Blocks fetched from others after they had been decided, since start.
    pub synced_blocks: u64,
    /// Why nothing is being decided, if so.
    pub stalled: Option<String>,
}

/// Who leads the shard, and how it came to that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ViewStatus {
    /// The seat whose knowledge this is: the one that serves this port.
    pub seat: SeatIndex,
    /// View that the shard is in.
    pub view: u64,
    /// Whether its leader has shown what must be carried on; before that nothing is decided in it.
    pub open: bool,
    /// The seat that acts as sequence generator in this view.
    pub acting: SeatIndex,
    /// Who leads the views after this one, in turn.
    pub succession: Vec<SeatIndex>,
    /// Views entered since the seat started.
    pub views_changed: u64,
    /// Blocks that a quorum found invalid, since the seat started.
    pub convictions: u64,
    /// Pieces of evidence found since the seat started.
    pub evidence: u64,
    /// Why the seat signs nothing, if so.
    pub hold: Option<String>,
    /// The last change of view, if there was one since the seat started.
    pub last_change: Option<ViewChangeNote>,
    /// The latest pieces of evidence, oldest first.
    pub recent_evidence: Vec<EvidenceNote>,
}

/// A change of view, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ViewChangeNote {
    /// The view that was entered.
    pub view: u64,
    /// When, in milliseconds since the Unix epoch.
    pub unix_ms: u64,
    /// Why, as far as the seat knows.
    pub reason: String,
}

/// A proof of misbehaviour, for people: the proof itself is in the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EvidenceNote {
    /// What was done.
    pub kind: String,
    /// The seat that did it.
    pub offender: SeatIndex,
    /// Height that it concerns; zero when it concerns a view.
    pub height: Height,
    /// View that it concerns.
    pub view: u64,
    /// When it was found, in milliseconds since the Unix epoch.
    pub unix_ms: u64,
}

/// What only this network has.
pub trait ShardInfo: Send + Sync + Debug {
    /// How far the node is.
    fn status(&self) -> NodeStatus;

    /// Who leads the shard.
    fn view(&self) -> ViewStatus;

    /// The entries of a block, ticks included.
    ///
    /// # Errors
    /// [`BackendError::Internal`] when the disk fails.
    fn sequence(&self, height: Height) -> Result<Option<BlockBody>, BackendError>;

    /// For each slice of a block: who checks it on the fast path.
    ///
    /// # Errors
    /// As [`ShardInfo::sequence`].
    fn slice_checkers(&self, height: Height) -> Result<Option<Vec<SignerSet>>, BackendError>;

    /// Proves a decided transaction's place in the sequence.
    ///
    /// # Errors
    /// As [`ShardInfo::sequence`].
    fn sequence_proof(&self, transaction: &B256) -> Result<Option<SequenceProof>, BackendError>;
}

/// What `/readyz` and `/metrics` show.
pub trait Probe: Send + Sync + Debug {
    /// Whether the node can serve.
    ///
    /// # Errors
    /// What it is waiting for.
    fn ready(&self) -> Result<(), String>;

    /// The metrics in Prometheus' text format.
    fn metrics(&self) -> String;
}

/// One seat of a development network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SeatReport {
    /// Its index: 0 is the generator of the chain spec, the others are verifiers.
    pub seat: SeatIndex,
    /// Whether it runs.
    pub running: bool,
    /// Whether it acts as sequence generator, as far as the seat that serves this port knows.
    pub acting: bool,
    /// Whether this port is served from it.
    pub serving: bool,
    /// Whether it is on the far side of a cut of the network.
    pub cut: bool,
    /// Whether it misbehaves on purpose.
    pub byzantine: bool,
    /// Its newest decided block, while it runs.
    pub height: Option<Height>,
    /// The view that it is in, while it runs.
    pub view: Option<u64>,
    /// Whether it signs nothing although it runs; why, and until when, is in `trouble`.
    pub held: bool,
    /// What keeps it from working, or why it signs nothing, if so.
    pub trouble: Option<String>,
}

/// Faults on purpose: only a development network has this. Every method runs on the blocking pool.
pub trait DevnetControl: Send + Sync + Debug {
    /// All seats.
    fn seats(&self) -> Vec<SeatReport>;

    /// Stops a seat at once: what it had not written is lost. Another one serves this port if need be.
    ///
    /// # Errors
    /// [`BackendError::InvalidParams`] when there is no such seat, it does not run, or no other one does.
    fn stop_seat(&self, seat: SeatIndex) -> Result<(), BackendError>;

    /// Starts a stopped seat from its folder.
    ///
    /// # Errors
    /// [`BackendError::InvalidParams`] when there is no such seat or it runs; [`BackendError::Internal`] when
    /// it cannot start.
    fn start_seat(&self, seat: SeatIndex) -> Result<(), BackendError>;

    /// Lets a seat sign that was held back; any other is left as it is. Whoever calls it answers for it that no other process signs with the
    /// seat's key, and that nothing it may have forgotten to have signed still matters.
    ///
    /// # Errors
    /// [`BackendError::InvalidParams`] when there is no such seat or it does not run; [`BackendError::Internal`]
    /// when it does not answer.
    fn release_seat(&self, seat: SeatIndex) -> Result<(), BackendError>;

    /// Parts these seats from all others until [`Self::heal`].
    ///
    /// # Errors
    /// [`BackendError::InvalidParams`] when there is no such seat.
    fn cut(&self, seats: &[SeatIndex]) -> Result<(), BackendError>;

    /// Mends the network.
    fn heal(&self);
}

/// Time for filters that expire; a parameter so that tests can move it.
pub trait Clock: Send + Sync + Debug {
    /// Milliseconds since some fixed moment; never falls.
    fn now_ms(&self) -> u64;
}

/// The machine's monotonic clock.
#[derive(Debug, Clone, Copy)]
pub struct MonotonicClock(Instant);

impl Default for MonotonicClock {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Clock for MonotonicClock {
    fn now_ms(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Everything that the server needs of the node.
#[derive(Debug, Clone)]
pub struct Backend {
    /// Blocks.
    pub chain: Arc<dyn ChainReader>,
    /// Accounts.
    pub state: Arc<dyn StateReader>,
    /// Execution.
    pub executor: Arc<dyn Executor>,
    /// Pool.
    pub pool: Arc<dyn TxPool>,
    /// News.
    pub events: Arc<dyn Events>,
    /// The shard.
    pub shard: Arc<dyn ShardInfo>,
    /// Health and metrics.
    pub probe: Arc<dyn Probe>,
    /// What a network of several shards has besides; `None` for a shard's own chain.
    pub network: Option<Arc<dyn NetworkInfo>>,
    /// Unlocked accounts of a development network.
    pub signer: Option<Arc<dyn Signer>>,
    /// Control of a development network.
    pub devnet: Option<Arc<dyn DevnetControl>>,
    /// Time.
    pub clock: Arc<dyn Clock>,
}
