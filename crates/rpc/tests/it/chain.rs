//! A small chain in memory that implements every backend trait.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use alloy_consensus::{EthereumTxEnvelope, SignableTransaction, TxEip1559, TxEip4844, TxType};
use alloy_eips::eip2718::Encodable2718;
use alloy_eips::eip2930::AccessListResult;
use alloy_primitives::{Address, B256, Bloom, Bytes, Log, LogData, Signature, TxKind, U256, hex, keccak256};
use alloy_rpc_types_eth::simulate::{SimulatePayload, SimulatedBlock};
use alloy_rpc_types_eth::{EIP1186AccountProofResponse, EIP1186StorageProof, SyncInfo, TransactionRequest};
use alloy_rpc_types_trace::geth::{
    GethDebugTracingCallOptions, GethDebugTracingOptions, GethTrace, NoopFrame, TraceResult,
};
use anfs_primitives::{
    BlockBody, BlockHash, Boundary, BoundedVec, DomainId, Epoch, Height, NetworkId, Receipt,
    RecoveredTransaction, RootReference, SeatIndex, ShardHeader, SignerSet, Slot, View,
};
use anfs_rpc::{
    AccountView, At, Backend, BackendError, CallRequest, ChainReader, Clock, Events, Executor, NodeStatus,
    PoolContent, PoolStatus, Probe, RpcBlock, SequenceProof, ShardInfo, ShownBlock, Signer, StateReader,
    TxPool, ViewChangeNote, ViewStatus,
};
use tokio::sync::broadcast;

pub(crate) const CHAIN_ID: u64 = 31_337;
pub(crate) const ALICE: Address = Address::repeat_byte(0xa1);
pub(crate) const TOKEN: Address = Address::repeat_byte(0x70);
/// A call to this address reverts with `Error("no funds")`.
pub(crate) const REVERTS: Address = Address::repeat_byte(0xee);

/// Heights and pools behind one lock; broadcast channels small enough to overflow in a test.
#[derive(Debug)]
pub(crate) struct TestChain {
    blocks: parking_lot::RwLock<Vec<Arc<RpcBlock>>>,
    pool: parking_lot::RwLock<BTreeMap<B256, RecoveredTransaction>>,
    heads: broadcast::Sender<Arc<dyn ShownBlock>>,
    pending: broadcast::Sender<RecoveredTransaction>,
    now_ms: AtomicU64,
}

pub(crate) const BROADCAST: usize = 64;

impl TestChain {
    pub(crate) fn new() -> Arc<Self> {
        let genesis = block(0, B256::ZERO, &[]);
        Arc::new(Self {
            blocks: vec![genesis].into(),
            pool: Default::default(),
            heads: broadcast::Sender::new(BROADCAST),
            pending: broadcast::Sender::new(BROADCAST),
            now_ms: AtomicU64::new(1),
        })
    }

    pub(crate) fn backend(self: &Arc<Self>) -> Backend {
        Backend {
            chain: Arc::clone(self) as _,
            state: Arc::clone(self) as _,
            executor: Arc::clone(self) as _,
            pool: Arc::clone(self) as _,
            events: Arc::clone(self) as _,
            shard: Arc::clone(self) as _,
            probe: Arc::clone(self) as _,
            network: None,
            signer: Some(Arc::clone(self) as _),
            devnet: None,
            clock: Arc::clone(self) as _,
        }
    }

    /// Decides a block of these transactions; each leaves one log of the token.
    pub(crate) fn decide(&self, transactions: &[RecoveredTransaction]) -> Arc<RpcBlock> {
        let mut blocks = self.blocks.write();
        let parent = blocks.last().unwrap().header.hash();
        let next = block(blocks.len() as u64, parent, transactions);
        blocks.push(Arc::clone(&next));
        drop(blocks);
        self.pool.write().retain(|hash, _| !transactions.iter().any(|tx| tx.hash() == hash));
        let _listeners = self.heads.send(Arc::clone(&next) as _);
        next
    }

    /// Decides whatever is pooled.
    pub(crate) fn decide_pool(&self) -> Arc<RpcBlock> {
        let pooled: Vec<_> = self.pool.read().values().cloned().collect();
        self.decide(&pooled)
    }

    fn last(&self) -> Arc<RpcBlock> {
        Arc::clone(self.blocks.read().last().unwrap())
    }

    pub(crate) fn advance_ms(&self, by: u64) {
        self.now_ms.fetch_add(by, Ordering::SeqCst);
    }

    pub(crate) fn head_listeners(&self) -> usize {
        self.heads.receiver_count()
    }

    pub(crate) fn pooled(&self) -> usize {
        self.pool.read().len()
    }
}

pub(crate) fn transfer(nonce: u64) -> RecoveredTransaction {
    let tx = TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: 3_000_000_000,
        max_priority_fee_per_gas: 1_000_000_000 + u128::from(nonce),
        to: TxKind::Call(TOKEN),
        value: U256::from(5),
        ..TxEip1559::default()
    };
    let signed: EthereumTxEnvelope<TxEip4844> = tx.into_signed(Signature::test_signature()).into();
    RecoveredTransaction::decode_claimed(&signed.encoded_2718().into(), ALICE).unwrap()
}

fn block(height: u64, parent: BlockHash, transactions: &[RecoveredTransaction]) -> Arc<RpcBlock> {
    let receipts: Vec<Receipt> = (1u64..)
        .zip(transactions)
        .map(|(count, _)| Receipt {
            kind: TxType::Eip1559,
            success: true,
            cumulative_gas_used: 21_000 * count,
            gas_used: 21_000,
            contract_address: None,
            logs: vec![Log {
                address: TOKEN,
                data: LogData::new_unchecked(
                    vec![B256::repeat_byte(1), B256::with_last_byte(u8::try_from(count).unwrap())],
                    Bytes::from_static(b"log"),
                ),
            }],
        })
        .collect();
    let clock = B256::with_last_byte(9);
    let cut = Boundary { entry: 0, hash: clock };
    let header = ShardHeader {
        network: NetworkId(CHAIN_ID),
        domain: DomainId(1),
        height: Height(height),
        slot: Slot(height),
        parent,
        epoch: Epoch::ZERO,
        view: View::ZERO,
        proposer: SeatIndex::GENERATOR,
        beneficiary: Address::repeat_byte(0xbe),
        root_reference: RootReference::default(),
        poh_start: clock,
        poh_end: clock,
        boundaries: BoundedVec::try_from(vec![cut; 5]).unwrap(),
        entries_root: B256::ZERO,
        transactions_root: B256::ZERO,
        receipts_root: B256::ZERO,
        logs_bloom: receipts.iter().fold(Bloom::ZERO, |all, receipt| all | receipt.bloom()),
        state_root: B256::repeat_byte(0x55),
        outbox_root: B256::ZERO,
        lanes: BoundedVec::new(),
        inbox_cursors: BoundedVec::new(),
        gas_used: 21_000 * transactions.len() as u64,
        gas_limit: 30_000_000,
        base_fee: 1_000_000_000,
        value_in: U256::ZERO,
        value_out: U256::ZERO,
        burned: U256::ZERO,
    };
    Arc::new(RpcBlock {
        header: header.seal(),
        timestamp: 1_700_000_000 + height,
        prev_randao: B256::repeat_byte(0x77),
        size: 600,
        transactions: transactions.into(),
        receipts: receipts.into(),
        crossing: Arc::default(),
        certificate: None,
    })
}

impl ChainReader for TestChain {
    fn chain_id(&self) -> u64 {
        CHAIN_ID
    }
    fn head(&self) -> Arc<dyn ShownBlock> {
        self.last()
    }
    fn block(&self, height: Height) -> Result<Option<Arc<dyn ShownBlock>>, BackendError> {
        let at = usize::try_from(height.0).ok();
        Ok(at.and_then(|at| self.blocks.read().get(at).cloned()).map(|block| block as _))
    }
    fn height_of(&self, hash: &BlockHash) -> Result<Option<Height>, BackendError> {
        Ok(self.blocks.read().iter().find(|block| block.header.hash() == *hash).map(|b| b.header.height))
    }
    fn transaction(&self, hash: &B256) -> Result<Option<(Height, u32)>, BackendError> {
        Ok(self.blocks.read().iter().find_map(|block| {
            let index = (0u32..).zip(block.transactions.iter()).find(|(_, tx)| tx.hash() == hash)?.0;
            Some((block.header.height, index))
        }))
    }
    fn next_base_fee(&self) -> u64 {
        1_100_000_000
    }
    fn next_timestamp(&self) -> u64 {
        self.last().timestamp + 1
    }
    fn syncing(&self) -> Option<SyncInfo> {
        None
    }
}

impl StateReader for TestChain {
    fn account(&self, at: At, address: &Address) -> Result<AccountView, BackendError> {
        match at {
            At::Block(Height(1)) => Err(BackendError::StatePruned { height: Height(1), oldest: Height(2) }),
            _ if *address == ALICE => Ok(AccountView { nonce: 7, balance: U256::from(1000) }),
            _ => Ok(AccountView::default()),
        }
    }
    fn code(&self, _at: At, address: &Address) -> Result<Bytes, BackendError> {
        Ok(if *address == TOKEN { Bytes::from_static(&[0x60, 0x01]) } else { Bytes::new() })
    }
    fn storage(&self, _at: At, _address: &Address, slot: &B256) -> Result<B256, BackendError> {
        Ok(*slot)
    }
    fn proof(
        &self,
        _at: At,
        address: &Address,
        slots: &[B256],
    ) -> Result<EIP1186AccountProofResponse, BackendError> {
        Ok(EIP1186AccountProofResponse {
            address: *address,
            storage_proof: slots
                .iter()
                .map(|slot| EIP1186StorageProof::new((*slot).into(), U256::ONE, vec![]))
                .collect(),
            ..Default::default()
        })
    }
}

fn run(request: &TransactionRequest) -> Result<Bytes, BackendError> {
    match request.to {
        Some(TxKind::Call(REVERTS)) => {
            let mut output = hex!("08c379a0").to_vec();
            output.extend(U256::from(32).to_be_bytes::<32>());
            output.extend(U256::from(8).to_be_bytes::<32>());
            output.extend(b"no funds");
            output.resize(100, 0);
            Err(BackendError::Reverted { output: output.into() })
        }
        _ => Ok(Bytes::from_static(&[0x2a])),
    }
}

impl Executor for TestChain {
    fn call(&self, _at: At, request: CallRequest) -> Result<Bytes, BackendError> {
        run(&request.transaction)
    }
    fn estimate_gas(&self, _at: At, request: CallRequest) -> Result<u64, BackendError> {
        run(&request.transaction).map(|_| 21_000)
    }
    fn create_access_list(&self, _at: At, _request: CallRequest) -> Result<AccessListResult, BackendError> {
        Ok(AccessListResult { gas_used: U256::from(21_000), ..Default::default() })
    }
    fn simulate(&self, _at: At, _payload: SimulatePayload) -> Result<Vec<SimulatedBlock>, BackendError> {
        Err(BackendError::Coded { code: -38010, message: "nonce too low".to_owned() })
    }
    fn trace_call(
        &self,
        _at: At,
        _transaction: TransactionRequest,
        _options: GethDebugTracingCallOptions,
    ) -> Result<GethTrace, BackendError> {
        Err(BackendError::InvalidParams("tracer not found".to_owned()))
    }
    fn trace_transaction(
        &self,
        _height: Height,
        _index: u32,
        _options: GethDebugTracingOptions,
    ) -> Result<GethTrace, BackendError> {
        Ok(GethTrace::NoopTracer(NoopFrame::default()))
    }
    fn trace_block(
        &self,
        _height: Height,
        _options: GethDebugTracingOptions,
    ) -> Result<Vec<TraceResult>, BackendError> {
        Ok(vec![TraceResult::new_success(GethTrace::NoopTracer(NoopFrame::default()), None)])
    }
}

impl TxPool for TestChain {
    fn submit(&self, raw: Bytes) -> Result<B256, BackendError> {
        let rejected = |error: &dyn std::fmt::Display| BackendError::Rejected(error.to_string());
        let tx = RecoveredTransaction::decode_claimed(&raw, ALICE).map_err(|error| rejected(&error))?;
        tx.signed().check_network(NetworkId(CHAIN_ID)).map_err(|error| rejected(&error))?;
        self.submit_recovered(tx)
    }
    fn submit_recovered(&self, tx: RecoveredTransaction) -> Result<B256, BackendError> {
        if self.pool.write().insert(*tx.hash(), tx.clone()).is_some() {
            return Err(BackendError::Rejected("already known".to_owned()));
        }
        let _listeners = self.pending.send(tx.clone());
        Ok(*tx.hash())
    }
    fn pending_nonce(&self, sender: &Address) -> Option<u64> {
        let pooled = self.pool.read().len() as u64;
        (*sender == ALICE && pooled > 0).then_some(7 + pooled)
    }
    fn get(&self, hash: &B256) -> Option<RecoveredTransaction> {
        self.pool.read().get(hash).cloned()
    }
    fn best(&self, limit: usize) -> Vec<RecoveredTransaction> {
        self.pool.read().values().take(limit).cloned().collect()
    }
    fn content(&self) -> PoolContent {
        PoolContent { pending: self.best(usize::MAX), queued: Vec::new() }
    }
    fn content_from(&self, sender: &Address) -> PoolContent {
        if *sender == ALICE { self.content() } else { PoolContent::default() }
    }
    fn status(&self) -> PoolStatus {
        PoolStatus { pending: self.pool.read().len(), queued: 0 }
    }
    fn min_tip(&self) -> u128 {
        1
    }
}

impl Events for TestChain {
    fn blocks(&self) -> broadcast::Receiver<Arc<dyn ShownBlock>> {
        self.heads.subscribe()
    }
    fn pending_transactions(&self) -> broadcast::Receiver<RecoveredTransaction> {
        self.pending.subscribe()
    }
}

impl Signer for TestChain {
    fn accounts(&self) -> Vec<Address> {
        vec![ALICE]
    }
    fn sign(&self, account: &Address, digest: &B256) -> Option<Signature> {
        let parity = keccak256(digest)[0] & 1 == 1;
        (*account == ALICE).then(|| Signature::new(U256::from(3), U256::from(4), parity))
    }
}

impl ShardInfo for TestChain {
    fn status(&self) -> NodeStatus {
        let head = self.last().header.height;
        NodeStatus {
            verifiers: 4,
            quorum: 3,
            slot_ms: 250,
            current_slot: head.0,
            produced_height: head,
            certified_height: head,
            flushed_height: head,
            view: 0,
            fast_path: true,
            fast_blocks: head.0,
            slow_blocks: 0,
            synced_blocks: 0,
            stalled: None,
        }
    }
    fn view(&self) -> ViewStatus {
        ViewStatus {
            seat: SeatIndex(0),
            view: 1,
            open: true,
            acting: SeatIndex(4),
            succession: [3, 2, 1].map(SeatIndex).to_vec(),
            views_changed: 1,
            convictions: 0,
            evidence: 0,
            hold: None,
            last_change: Some(ViewChangeNote { view: 1, unix_ms: 5, reason: "test".to_owned() }),
            recent_evidence: Vec::new(),
        }
    }
    fn sequence(&self, _height: Height) -> Result<Option<BlockBody>, BackendError> {
        Ok(Some(BlockBody::default()))
    }
    fn slice_checkers(&self, _height: Height) -> Result<Option<Vec<SignerSet>>, BackendError> {
        Ok(Some(vec![SignerSet::from_iter([0, 2]); 4]))
    }
    fn sequence_proof(&self, _transaction: &B256) -> Result<Option<SequenceProof>, BackendError> {
        Ok(None)
    }
}

impl Probe for TestChain {
    fn ready(&self) -> Result<(), String> {
        match self.blocks.read().len() {
            1 => Err("the first block".to_owned()),
            _ => Ok(()),
        }
    }
    fn metrics(&self) -> String {
        "anfs_height 1\n".to_owned()
    }
}

impl Clock for TestChain {
    fn now_ms(&self) -> u64 {
        self.now_ms.load(Ordering::SeqCst)
    }
}
