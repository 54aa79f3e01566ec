//! What serves a hand-made shard: it notes what it is asked.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_eips::eip2930::AccessListResult;
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_rpc_types_eth::simulate::{SimulatePayload, SimulatedBlock};
use alloy_rpc_types_eth::{EIP1186AccountProofResponse, TransactionRequest};
use alloy_rpc_types_trace::geth::{
    CallFrame, GethDebugTracingCallOptions, GethDebugTracingOptions, GethTrace, NoopFrame, TraceResult,
};
use anfs_primitives::{BlockBody, Height, RecoveredTransaction, SeatIndex, SignerSet};
use anfs_rpc::{
    AccountView, At, Backend, BackendError, CallRequest, Events, Executor, MonotonicClock, NodeStatus,
    PoolContent, PoolStatus, Probe, SequenceProof, ShardInfo, ShownBlock, StateReader, TxPool, ViewStatus,
};
use anfs_state::{StateRead, WorldState};
use parking_lot::Mutex;
use tokio::sync::broadcast;

use super::scene::FakeShard;
use crate::backend::proof_response;

/// Gas that every estimate comes to.
pub(super) const ESTIMATE: u64 = 50_000;

#[derive(Debug)]
pub(super) struct FakeSeat {
    chain: Arc<FakeShard>,
    pub(super) accounts: Mutex<BTreeMap<Address, (AccountView, Bytes)>>,
    /// States below this height are gone.
    pub(super) oldest: Mutex<Height>,
    pub(super) reads: Mutex<Vec<At>>,
    pub(super) runs: Mutex<Vec<(At, CallRequest)>>,
    pub(super) traces: Mutex<Vec<(Height, Option<u32>)>>,
    pub(super) pool: Mutex<Vec<RecoveredTransaction>>,
    pub(super) news: broadcast::Sender<RecoveredTransaction>,
}

impl FakeSeat {
    pub(super) fn new(chain: &Arc<FakeShard>) -> Arc<Self> {
        Arc::new(Self {
            chain: chain.clone(),
            accounts: Mutex::default(),
            oldest: Mutex::default(),
            reads: Mutex::default(),
            runs: Mutex::default(),
            traces: Mutex::default(),
            pool: Mutex::default(),
            news: broadcast::channel(64).0,
        })
    }

    pub(super) fn set(&self, address: Address, nonce: u64, balance: u64, code: Bytes) {
        let account = AccountView { nonce, balance: U256::from(balance) };
        self.accounts.lock().insert(address, (account, code));
    }

    pub(super) fn backend(self: &Arc<Self>) -> Backend {
        Backend {
            chain: self.chain.clone(),
            state: self.clone(),
            executor: self.clone(),
            pool: self.clone(),
            events: self.clone(),
            shard: self.clone(),
            probe: self.clone(),
            network: None,
            signer: None,
            devnet: None,
            clock: Arc::new(MonotonicClock::default()),
        }
    }

    fn read(&self, at: At, address: &Address) -> Result<(AccountView, Bytes), BackendError> {
        let oldest = *self.oldest.lock();
        if let At::Block(height) = at
            && height < oldest
        {
            return Err(BackendError::StatePruned { height, oldest });
        }
        self.reads.lock().push(at);
        if let Some(made_up) = self.accounts.lock().get(address) {
            return Ok(made_up.clone());
        }
        let state = self.state(at);
        let account = state.account(address).unwrap().unwrap_or_default();
        let code = state.code(&account.code_hash).unwrap();
        Ok((AccountView { nonce: account.nonce, balance: account.balance }, code))
    }

    /// The state of the chain itself.
    fn state(&self, at: At) -> WorldState {
        match at {
            At::Block(height) => self.chain.state_at(height),
            At::Pending => self.chain.last_state(),
        }
    }

    fn ran(&self, at: At, request: CallRequest) {
        self.runs.lock().push((at, request));
    }
}

impl StateReader for FakeSeat {
    fn account(&self, at: At, address: &Address) -> Result<AccountView, BackendError> {
        Ok(self.read(at, address)?.0)
    }
    fn code(&self, at: At, address: &Address) -> Result<Bytes, BackendError> {
        Ok(self.read(at, address)?.1)
    }
    fn storage(&self, at: At, address: &Address, slot: &B256) -> Result<B256, BackendError> {
        self.read(at, address).map(|(account, _)| *slot | B256::from(account.balance))
    }
    fn proof(
        &self,
        at: At,
        address: &Address,
        slots: &[B256],
    ) -> Result<EIP1186AccountProofResponse, BackendError> {
        Ok(proof_response(self.state(at).prove(address, slots).unwrap()))
    }
}

impl Executor for FakeSeat {
    fn call(&self, at: At, request: CallRequest) -> Result<Bytes, BackendError> {
        self.ran(at, request);
        Ok(Bytes::new())
    }
    fn estimate_gas(&self, at: At, request: CallRequest) -> Result<u64, BackendError> {
        self.ran(at, request);
        Ok(ESTIMATE)
    }
    fn create_access_list(&self, at: At, request: CallRequest) -> Result<AccessListResult, BackendError> {
        self.ran(at, request);
        Ok(AccessListResult::default())
    }
    fn simulate(&self, at: At, payload: SimulatePayload) -> Result<Vec<SimulatedBlock>, BackendError> {
        for block in payload.block_state_calls {
            let state_overrides = block.state_overrides;
            for transaction in block.calls {
                let state_overrides = state_overrides.clone();
                self.ran(at, CallRequest { transaction, state_overrides, block_overrides: None });
            }
        }
        Ok(Vec::new())
    }
    fn trace_call(
        &self,
        at: At,
        transaction: TransactionRequest,
        options: GethDebugTracingCallOptions,
    ) -> Result<GethTrace, BackendError> {
        let state_overrides = options.state_overrides;
        self.ran(at, CallRequest { transaction, state_overrides, block_overrides: None });
        Ok(GethTrace::NoopTracer(NoopFrame::default()))
    }
    fn trace_transaction(
        &self,
        height: Height,
        index: u32,
        options: GethDebugTracingOptions,
    ) -> Result<GethTrace, BackendError> {
        self.traces.lock().push((height, Some(index)));
        Ok(match options.tracer {
            Some(_) => GethTrace::CallTracer(CallFrame::default()),
            None => GethTrace::NoopTracer(NoopFrame::default()),
        })
    }
    fn trace_block(
        &self,
        height: Height,
        _options: GethDebugTracingOptions,
    ) -> Result<Vec<TraceResult>, BackendError> {
        self.traces.lock().push((height, None));
        let trace = |tx: &RecoveredTransaction| {
            TraceResult::new_success(GethTrace::NoopTracer(NoopFrame::default()), Some(*tx.hash()))
        };
        Ok(self.chain.at(height).transactions.iter().map(trace).collect())
    }
}

impl TxPool for FakeSeat {
    fn submit(&self, _raw: Bytes) -> Result<B256, BackendError> {
        Err(BackendError::Rejected("the network recovers senders itself".to_owned()))
    }
    fn submit_recovered(&self, tx: RecoveredTransaction) -> Result<B256, BackendError> {
        self.pool.lock().push(tx.clone());
        // Nobody need be listening.
        drop(self.news.send(tx.clone()));
        Ok(*tx.hash())
    }
    fn pending_nonce(&self, _sender: &Address) -> Option<u64> {
        Some(self.pool.lock().len() as u64).filter(|nonce| *nonce > 0)
    }
    fn get(&self, hash: &B256) -> Option<RecoveredTransaction> {
        self.pool.lock().iter().find(|tx| tx.hash() == hash).cloned()
    }
    fn best(&self, limit: usize) -> Vec<RecoveredTransaction> {
        self.pool.lock().iter().take(limit).cloned().collect()
    }
    fn content(&self) -> PoolContent {
        PoolContent { pending: self.best(usize::MAX), queued: Vec::new() }
    }
    fn content_from(&self, _sender: &Address) -> PoolContent {
        self.content()
    }
    fn status(&self) -> PoolStatus {
        PoolStatus { pending: self.pool.lock().len(), queued: 0 }
    }
    fn min_tip(&self) -> u128 {
        1
    }
}

impl Events for FakeSeat {
    fn blocks(&self) -> broadcast::Receiver<Arc<dyn ShownBlock>> {
        broadcast::channel(1).1
    }
    fn pending_transactions(&self) -> broadcast::Receiver<RecoveredTransaction> {
        self.news.subscribe()
    }
}

impl ShardInfo for FakeSeat {
    fn status(&self) -> NodeStatus {
        NodeStatus {
            verifiers: 4,
            quorum: 3,
            slot_ms: 100,
            current_slot: 0,
            produced_height: Height::ZERO,
            certified_height: Height::ZERO,
            flushed_height: Height::ZERO,
            view: 0,
            fast_path: true,
            fast_blocks: 0,
            slow_blocks: 0,
            synced_blocks: 0,
            stalled: None,
        }
    }
    fn view(&self) -> ViewStatus {
        ViewStatus {
            seat: SeatIndex(0),
            view: 0,
            open: true,
            acting: SeatIndex(0),
            succession: Vec::new(),
            views_changed: 0,
            convictions: 0,
            evidence: 0,
            hold: None,
            last_change: None,
            recent_evidence: Vec::new(),
        }
    }
    fn sequence(&self, _height: Height) -> Result<Option<BlockBody>, BackendError> {
        Ok(None)
    }
    fn slice_checkers(&self, _height: Height) -> Result<Option<Vec<SignerSet>>, BackendError> {
        Ok(None)
    }
    fn sequence_proof(&self, _transaction: &B256) -> Result<Option<SequenceProof>, BackendError> {
        Ok(None)
    }
}

impl Probe for FakeSeat {
    fn ready(&self) -> Result<(), String> {
        Ok(())
    }
    fn metrics(&self) -> String {
        String::new()
    }
}
