//! One block being executed, entry by entry: shared by the builder, which adds transactions, and the
//! worker, which follows somebody else's entries.

use std::sync::Arc;

use alloy_primitives::{Address, B256, Bloom, U256};
use anfs_crypto::outbox::outbox_root;
use anfs_execution::{Ancestors, BlockEnv, BlockExecutor, CrossingOutcome, DomainEnv, ExecutionError};
use anfs_poh::Link;
use anfs_primitives::header::DOMAINS_MAX;
use anfs_primitives::vote::ExecutionField;
use anfs_primitives::{
    Arrival, BlockCrossing, BlockHash, BoundedVec, ChainSpec, CrossMessage, Entry, Fault, Height,
    InboxCursor, LaneCount, Receipt, RecoveredTransaction, RootReference, SealedHeader, ShardHeader, Slot,
};
use anfs_state::WorldState;

use crate::chain::{ChainView, prevrandao};
use crate::context::SeatContext;
use crate::error::NodeError;

/// A block that was executed on this node: the ground for its children.
#[derive(Debug)]
pub(crate) struct ExecutedBlock {
    pub(crate) header: SealedHeader,
    pub(crate) state: WorldState,
    /// The last flush that its line of blocks took notice of: see [`OnDisk::lighten`](crate::flusher::OnDisk::lighten).
    pub(crate) flush_seen: Height,
    pub(crate) transactions: Arc<[RecoveredTransaction]>,
    pub(crate) receipts: Arc<[Receipt]>,
    pub(crate) crossing: Arc<BlockCrossing>,
    /// Accounts that may have changed otherwise than by sending a transaction.
    pub(crate) touched: Vec<Address>,
}

/// Hashes of ancestors: those that may not be visible yet by value, the others from the chain.
#[derive(Debug)]
struct Lineage {
    near: Vec<(Height, BlockHash)>,
    chain: Arc<ChainView>,
}

impl Ancestors for Lineage {
    fn block_hash(&self, number: u64) -> Option<B256> {
        let height = Height(number);
        let near = self.near.iter().find(|(at, _)| *at == height).map(|(_, hash)| *hash);
        near.or_else(|| self.chain.hash_at(height))
    }
}

/// Where a block stands: what its execution needs beside its entries.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) slot: Slot,
    pub(crate) beneficiary: Address,
    /// Ancestors down to one that is visible in the chain, the parent first.
    pub(crate) ancestors: Vec<(Height, BlockHash)>,
}

/// What has arrived for a block from other domains.
#[derive(Debug, Clone, Default)]
pub(crate) struct Inbound {
    /// The root reference of the block.
    pub(crate) reference: RootReference,
    /// The messages that are due with it, in their order.
    pub(crate) messages: Vec<Arc<CrossMessage>>,
}

/// What a header says of its block's dealings with other domains.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Dealings {
    pub(crate) outbox_root: B256,
    pub(crate) lanes: BoundedVec<LaneCount, DOMAINS_MAX>,
    pub(crate) inbox_cursors: BoundedVec<InboxCursor, DOMAINS_MAX>,
    pub(crate) value_in: U256,
    pub(crate) value_out: U256,
}

impl From<&ShardHeader> for Dealings {
    fn from(header: &ShardHeader) -> Self {
        Self {
            outbox_root: header.outbox_root,
            lanes: header.lanes.clone(),
            inbox_cursors: header.inbox_cursors.clone(),
            value_in: header.value_in,
            value_out: header.value_out,
        }
    }
}

/// The domain of the child of `parent`, in a network of several; `None` where there is nobody to deal with.
pub(crate) fn domain_env(context: &SeatContext, parent: &ShardHeader, slot: Slot) -> Option<DomainEnv> {
    let (spec, map) = (&context.spec, context.homes());
    (map.shards() > 1).then(|| DomainEnv {
        network: spec.network,
        domain: context.domain,
        map,
        slot,
        call_lifetime: spec.call_lifetime(),
        sent: parent.lanes.to_vec(),
        consumed: parent.inbox_cursors.to_vec(),
    })
}

/// The environment of the child of `parent` at a place.
pub(crate) fn child_env(
    spec: &ChainSpec,
    chain: &Arc<ChainView>,
    parent: &ShardHeader,
    place: &Place,
) -> BlockEnv {
    let height = parent.height.next();
    // The child's own fields that PREVRANDAO depends on are known before it is complete.
    let seed = ShardHeader { poh_start: parent.poh_end, height, ..parent.clone() };
    BlockEnv {
        chain_id: spec.network.0,
        fork: spec.evm_fork,
        number: height.0,
        timestamp: spec.slot_timestamp(place.slot),
        beneficiary: place.beneficiary,
        gas_limit: spec.block_gas_limit,
        base_fee: spec.next_base_fee(parent.base_fee, parent.gas_used),
        prevrandao: prevrandao(&seed),
        ancestors: Arc::new(Lineage { near: place.ancestors.clone(), chain: chain.clone() }),
    }
}

/// The environment that a decided block was executed in.
pub(crate) fn block_env(spec: &ChainSpec, chain: &Arc<ChainView>, header: &ShardHeader) -> BlockEnv {
    BlockEnv {
        chain_id: spec.network.0,
        fork: spec.evm_fork,
        number: header.height.0,
        timestamp: spec.slot_timestamp(header.slot),
        beneficiary: header.beneficiary,
        gas_limit: header.gas_limit,
        base_fee: header.base_fee,
        prevrandao: prevrandao(header),
        ancestors: Arc::new(Lineage { near: Vec::new(), chain: chain.clone() }),
    }
}

/// A block in execution.
pub(crate) struct BlockRun {
    parent: Arc<ExecutedBlock>,
    /// The parent's state, as little of it in memory as is useful.
    base: WorldState,
    flush_seen: Height,
    executor: BlockExecutor,
    base_fee: u64,
    reference: RootReference,
    arrivals: Vec<Arrival>,
    transactions: Vec<RecoveredTransaction>,
    links: Vec<Link>,
    /// Transactions before each entry, and after the last.
    offsets: Vec<usize>,
}

/// What execution gave, to be compared with a header or written into one.
#[derive(Debug)]
pub(crate) struct RunOutcome {
    pub(crate) state: WorldState,
    flush_seen: Height,
    pub(crate) transactions: Arc<[RecoveredTransaction]>,
    pub(crate) receipts: Arc<[Receipt]>,
    pub(crate) links: Vec<Link>,
    pub(crate) offsets: Vec<usize>,
    pub(crate) base_fee: u64,
    pub(crate) gas_used: u64,
    pub(crate) burned: U256,
    pub(crate) logs_bloom: Bloom,
    pub(crate) state_root: B256,
    pub(crate) transactions_root: B256,
    pub(crate) receipts_root: B256,
    pub(crate) reference: RootReference,
    pub(crate) dealings: Dealings,
    pub(crate) crossing: Arc<BlockCrossing>,
    touched: Vec<Address>,
}

impl BlockRun {
    /// Begins a block on top of `parent`, consuming what is due.
    pub(crate) fn start(
        context: &SeatContext,
        parent: Arc<ExecutedBlock>,
        place: &Place,
        inbound: &Inbound,
    ) -> Result<Self, NodeError> {
        let env = child_env(&context.spec, &context.chain, &parent.header, place);
        let base_fee = env.base_fee;
        let (base, flush_seen) = context.on_disk.lighten(&parent.state, parent.flush_seen);
        let mut executor = BlockExecutor::with_codes(env, base.clone(), context.codes.clone())?;
        let mut arrivals = Vec::new();
        if let Some(domain) = domain_env(context, &parent.header, place.slot) {
            executor = executor.in_domain(domain);
            arrivals = executor.arrive_due(inbound.messages.iter().map(|message| &**message))?;
        }
        Ok(Self {
            parent,
            base,
            flush_seen,
            executor,
            base_fee,
            reference: inbound.reference,
            arrivals,
            transactions: Vec::new(),
            links: Vec::new(),
            offsets: vec![0],
        })
    }

    pub(crate) fn parent(&self) -> &Arc<ExecutedBlock> {
        &self.parent
    }

    pub(crate) fn gas_used(&self) -> u64 {
        self.executor.gas_used()
    }

    /// The next nonce of an account, as of the last executed transaction.
    pub(crate) fn nonce(&self, address: &Address) -> Result<u64, NodeError> {
        Ok(self.executor.account(address)?.map_or(0, |account| account.nonce))
    }

    /// The root reference that it was begun with.
    pub(crate) fn reference(&self) -> RootReference {
        self.reference
    }

    pub(crate) fn base_fee(&self) -> u64 {
        self.base_fee
    }

    pub(crate) fn transactions(&self) -> &[RecoveredTransaction] {
        &self.transactions
    }

    pub(crate) fn entry_count(&self) -> usize {
        self.links.len()
    }

    pub(crate) fn links(&self) -> &[Link] {
        &self.links
    }

    /// Executes one transaction; on an error that is the transaction's, nothing has changed.
    pub(crate) fn execute(&mut self, tx: RecoveredTransaction) -> Result<(), ExecutionError> {
        self.executor.execute(&tx)?;
        self.transactions.push(tx);
        Ok(())
    }

    /// Closes an entry over the transactions executed since the last one.
    pub(crate) fn close_entry(&mut self, link: Link) {
        self.links.push(link);
        self.offsets.push(self.transactions.len());
    }

    /// The transactions executed since the last closed entry.
    pub(crate) fn open_transactions(&self) -> &[RecoveredTransaction] {
        let start = self.offsets.last().copied().unwrap_or(0);
        &self.transactions[start..]
    }

    /// Follows an entry of somebody else's block, taking its claimed senders.
    pub(crate) fn follow(&mut self, entry: &Entry) -> Result<(), FollowError> {
        for tx in &entry.transactions {
            let transaction = u32::try_from(self.transactions.len()).unwrap_or(u32::MAX);
            let decoded = tx.decode_claimed().map_err(|_| Fault::Signature { transaction })?;
            match self.execute(decoded) {
                Ok(()) => {}
                Err(ExecutionError::Invalid(_)) => return Err(Fault::Transaction { transaction }.into()),
                Err(local) => return Err(FollowError::Local(local.into())),
            }
        }
        let hashes: Vec<B256> = self.open_transactions().iter().map(|tx| *tx.hash()).collect();
        let mixin = (!hashes.is_empty()).then(|| anfs_poh::mixin(&hashes));
        self.close_entry(Link { num_hashes: entry.num_hashes, hash: entry.hash, mixin });
        Ok(())
    }

    /// Computes the post-state and every root.
    pub(crate) fn finish(self) -> Result<RunOutcome, NodeError> {
        let outcome = self.executor.finish()?;
        let arrived = !self.arrivals.is_empty();
        let touched = if arrived { outcome.changes.accounts.keys().copied().collect() } else { Vec::new() };
        let (dealings, crossing) = dealings(self.arrivals, outcome.crossing);
        let state = self.base.apply(&outcome.changes)?;
        let transactions_root = anfs_state::ordered_root_of(self.transactions.len(), |index, out| {
            out.extend_from_slice(self.transactions[index].encoded());
        });
        let receipts_root = anfs_state::ordered_root_of(outcome.receipts.len(), |index, out| {
            let bloom = outcome.receipt_blooms[index].as_deref().unwrap_or(&Bloom::ZERO);
            outcome.receipts[index].encode_2718_with(bloom, out);
        });
        Ok(RunOutcome {
            state_root: state.root(),
            transactions_root,
            receipts_root,
            state,
            flush_seen: self.flush_seen,
            transactions: self.transactions.into(),
            receipts: outcome.receipts.into(),
            links: self.links,
            offsets: self.offsets,
            base_fee: self.base_fee,
            gas_used: outcome.gas_used,
            burned: outcome.burned,
            logs_bloom: outcome.logs_bloom,
            reference: self.reference,
            dealings,
            crossing: Arc::new(crossing),
            touched,
        })
    }
}

/// What a header says of these dealings, and what is kept of them.
fn dealings(arrivals: Vec<Arrival>, outcome: Option<CrossingOutcome>) -> (Dealings, BlockCrossing) {
    let Some(outcome) = outcome else { return Default::default() };
    let few = "a network has fewer domains";
    let dealings = Dealings {
        outbox_root: outbox_root(&outcome.messages),
        lanes: outcome.sent.try_into().expect(few),
        inbox_cursors: outcome.consumed.try_into().expect(few),
        value_in: outcome.value_in,
        value_out: outcome.value_out,
    };
    let crossing = BlockCrossing {
        arrivals: arrivals.try_into().expect("an executor consumes no more"),
        sent: outcome.messages.try_into().expect("a message costs gas, and validate() bounds a block's"),
    };
    (dealings, crossing)
}

/// Why an entry cannot be followed.
#[derive(Debug)]
pub(crate) enum FollowError {
    /// The block is invalid.
    Fault(Fault),
    /// This node cannot tell.
    Local(NodeError),
}

impl From<Fault> for FollowError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl RunOutcome {
    /// The first field of a header that execution does not reproduce.
    pub(crate) fn disagreement(&self, header: &ShardHeader) -> Option<ExecutionField> {
        let checks = [
            (self.base_fee == header.base_fee, ExecutionField::BaseFee),
            (self.gas_used == header.gas_used, ExecutionField::GasUsed),
            (self.logs_bloom == header.logs_bloom, ExecutionField::LogsBloom),
            (self.transactions_root == header.transactions_root, ExecutionField::TransactionsRoot),
            (self.receipts_root == header.receipts_root, ExecutionField::ReceiptsRoot),
            (self.state_root == header.state_root, ExecutionField::StateRoot),
            (self.dealings == Dealings::from(header), ExecutionField::Messages),
            (self.burned == header.burned, ExecutionField::Burned),
        ];
        checks.into_iter().find(|(agrees, _)| !agrees).map(|(_, field)| field)
    }

    pub(crate) fn into_executed(self, header: SealedHeader) -> ExecutedBlock {
        ExecutedBlock {
            header,
            state: self.state,
            flush_seen: self.flush_seen,
            transactions: self.transactions,
            receipts: self.receipts,
            crossing: self.crossing,
            touched: self.touched,
        }
    }
}
