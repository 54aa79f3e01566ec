//! Re-executes transactions before a tracer's eyes: `debug_traceTransaction`, `debug_traceBlock*`,
//! `debug_traceCall`.
//!
//! Tracers: the struct logger, `callTracer`, `prestateTracer`, `4byteTracer`, `flatCallTracer`, `muxTracer`,
//! `noopTracer`. Tracers written in JavaScript are refused: they would run a stranger's program in the node.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use alloy_primitives::B256;
use alloy_rpc_types_eth::TransactionRequest;
use alloy_rpc_types_eth::state::EvmOverrides;
use alloy_rpc_types_trace::geth::{
    GethDebugBuiltInTracerType, GethDebugTracerType, GethDebugTracingOptions, GethTrace, TraceResult,
};
use anfs_primitives::{CrossMessage, DomainId, DomainMap, RecoveredTransaction};
use anfs_state::StateRead;
use revm::context::result::{ExecResultAndState, ExecutionResult};
use revm::context::{CfgEnv, TxEnv};
use revm::context_interface::{ContextTr, JournalTr};
use revm::primitives::TxKind;
use revm_inspectors::tracing::{DebugInspector, TransactionContext};

use crate::budget::Budget;
use crate::cancel::Canceller;
use crate::codes::CodeCache;
use crate::cross_domain::withdraw;
use crate::crossing::{Refusal, Staged};
use crate::domain::{Place, Residence};
use crate::env::{BlockEnv, spec_id};
use crate::error::{ExecutionError, split};
use crate::evm::Evm;
use crate::executor::{BlockExecutor, record_parent_hash, void_foreign_authorizations, withhold};
use crate::invalid::refuse;
use crate::overlay::Overlay;
use crate::precompiles::Precompiles;
use crate::simulate::{Defaults, Limits, apply_block_overrides, apply_state_overrides, request_tx};
use crate::tx::tx_env;

/// Re-executes a block from the state before it.
pub struct Tracer<S> {
    env: BlockEnv,
    block_hash: Option<B256>,
    overlay: Overlay<S>,
    cancel: Option<Arc<AtomicBool>>,
    gas_cap: u64,
    /// Allowance of the whole request, and what is left of it.
    trace_bytes: usize,
    trace_bytes_left: usize,
    index: usize,
}

/// What a tracer saw of a message that arrived.
#[derive(Clone, Debug)]
pub enum ArrivalTrace {
    /// The call ran.
    Ran(Box<GethTrace>),
    /// The call was turned away.
    Refused(Refusal),
    /// It was no call.
    Settled,
}

/// What is run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A transaction where there is one shard, or a call that nobody signed.
    Alone,
    /// A transaction of a domain.
    InDomain,
    /// A call from another domain.
    Arrival,
}

/// How one transaction is to be run.
struct Run {
    kind: Kind,
    cfg: CfgEnv,
    precompiles: Option<Precompiles>,
    context: TransactionContext,
}

impl<S: StateRead> Tracer<S> {
    /// Starts at the parent's state in the environment of the block to be traced; `block_hash` goes into
    /// traces that name it.
    ///
    /// # Errors
    /// As [`crate::BlockExecutor::new`].
    pub fn new(
        env: BlockEnv,
        parent: S,
        block_hash: Option<B256>,
        limits: Limits,
    ) -> Result<Self, ExecutionError> {
        Self::start(env, parent, block_hash, limits, None)
    }

    /// As [`Self::new`], with analysed code from a cache that outlives the request.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_codes(
        env: BlockEnv,
        parent: S,
        block_hash: Option<B256>,
        limits: Limits,
        codes: CodeCache,
    ) -> Result<Self, ExecutionError> {
        Self::start(env, parent, block_hash, limits, Some(codes))
    }

    fn start(
        env: BlockEnv,
        parent: S,
        block_hash: Option<B256>,
        limits: Limits,
        codes: Option<CodeCache>,
    ) -> Result<Self, ExecutionError> {
        let overlay = Overlay::new(parent, env.ancestors.clone(), codes);
        let mut evm = Evm::new(overlay, env.cfg(), env.block());
        record_parent_hash(&mut evm, env.number)?;
        let overlay = evm.into_parts().0.journaled_state.database;
        let Limits { gas_cap, cancel, trace_bytes } = limits;
        let trace_bytes_left = trace_bytes;
        Ok(Self { env, block_hash, overlay, cancel, gas_cap, trace_bytes, trace_bytes_left, index: 0 })
    }

    /// As [`Self::new`], in a block that has been begun: what arrived from other domains was executed already.
    #[must_use]
    pub fn within(
        executor: BlockExecutor<S>,
        env: BlockEnv,
        block_hash: Option<B256>,
        limits: Limits,
    ) -> Self {
        let overlay = executor.evm.into_parts().0.journaled_state.database;
        let Limits { gas_cap, cancel, trace_bytes } = limits;
        let trace_bytes_left = trace_bytes;
        Self { env, block_hash, overlay, cancel, gas_cap, trace_bytes, trace_bytes_left, index: 0 }
    }

    /// Sees accounts as this domain does, in a network of several.
    #[must_use]
    pub fn in_domain(mut self, domain: DomainId, map: DomainMap) -> Self {
        self.overlay.set_place(Place::new(domain, map));
        self
    }

    /// Executes the next transaction of the block without watching.
    ///
    /// # Errors
    /// [`ExecutionError::Invalid`] when the transaction does not belong here.
    pub fn skip(self, tx: &RecoveredTransaction) -> Result<Self, ExecutionError> {
        let Self { env, block_hash, mut overlay, cancel, gas_cap, trace_bytes, trace_bytes_left, index } =
            self;
        let (mut tx, in_domain) = (tx_env(tx), overlay.has_place());
        if in_domain {
            void_foreign_authorizations(&mut overlay, &mut tx)?;
        }
        let mut evm = Evm::new(overlay, env.cfg(), env.block());
        let outcome = if in_domain { evm.transact_in_domain(tx) } else { evm.transact(tx) };
        let mut context = evm.into_parts().0;
        let mut state = context.journal_mut().finalize();
        let result = match outcome {
            Ok(result) => result,
            Err(error) => {
                let refusal = split(error)?;
                let (chain, base_fee) = (context.cfg.chain_id, context.block.basefee);
                return Err(refuse(refusal, &context.tx, chain, base_fee).into());
            }
        };
        let mut overlay = context.journaled_state.database;
        withdraw(&result, &mut state);
        if departs(&mut overlay, &context.tx)? {
            withhold(&mut state, &context.tx, result.tx_gas_used());
        }
        overlay.commit(&mut state);
        let index = index + 1;
        Ok(Self { env, block_hash, overlay, cancel, gas_cap, trace_bytes, trace_bytes_left, index })
    }

    /// Traces the next transaction of the block and stands behind it afterwards.
    ///
    /// # Errors
    /// [`ExecutionError::Tracer`] for options that make no tracer, [`ExecutionError::Invalid`] when the
    /// transaction does not belong here.
    pub fn trace(
        mut self,
        tx: &RecoveredTransaction,
        options: &GethDebugTracingOptions,
    ) -> Result<(GethTrace, Self), ExecutionError> {
        let context = TransactionContext {
            block_hash: self.block_hash,
            tx_index: Some(self.index),
            tx_hash: Some(*tx.hash()),
        };
        self.index += 1;
        let (mut tx, mut kind) = (tx_env(tx), Kind::Alone);
        if self.overlay.has_place() {
            void_foreign_authorizations(&mut self.overlay, &mut tx)?;
            kind = Kind::InDomain;
        }
        let run = Run { kind, cfg: self.env.cfg(), precompiles: None, context };
        self.inspect(tx, run, options)
    }

    /// Traces the call that a block consumes next, which the executor has begun. The trace names the transaction that the
    /// call came of.
    ///
    /// # Errors
    /// As [`Self::trace`].
    pub fn trace_arrival(
        mut executor: BlockExecutor<S>,
        env: BlockEnv,
        block_hash: Option<B256>,
        limits: Limits,
        message: &CrossMessage,
        options: &GethDebugTracingOptions,
    ) -> Result<ArrivalTrace, ExecutionError> {
        let tx = match executor.stage(message)? {
            Staged::Run(tx) => *tx,
            Staged::Refused(refusal) => return Ok(ArrivalTrace::Refused(refusal)),
            Staged::Settled => return Ok(ArrivalTrace::Settled),
        };
        let tracer = Self::within(executor, env, block_hash, limits);
        let context = TransactionContext { block_hash, tx_index: None, tx_hash: Some(message.origin) };
        let run = Run { kind: Kind::Arrival, cfg: tracer.env.cfg(), precompiles: None, context };
        let (trace, _) = tracer.inspect(tx, run, options)?;
        Ok(ArrivalTrace::Ran(Box::new(trace)))
    }

    /// Traces the rest of the block.
    ///
    /// # Errors
    /// As [`Self::trace`].
    pub fn trace_all(
        mut self,
        transactions: &[RecoveredTransaction],
        options: &GethDebugTracingOptions,
    ) -> Result<Vec<TraceResult>, ExecutionError> {
        let mut results = Vec::with_capacity(transactions.len());
        for tx in transactions {
            let (result, next) = self.trace(tx, options)?;
            self = next;
            results.push(TraceResult::Success { result, tx_hash: Some(*tx.hash()) });
        }
        Ok(results)
    }

    /// Traces a call that nobody signed, at this place of the block.
    ///
    /// # Errors
    /// As [`Self::trace`], and what is wrong with the request.
    pub fn trace_call(
        mut self,
        request: &TransactionRequest,
        overrides: &EvmOverrides,
        options: &GethDebugTracingOptions,
    ) -> Result<GethTrace, ExecutionError> {
        if let Some(block) = &overrides.block {
            apply_block_overrides(&mut self.overlay, &mut self.env, block)?;
        }
        let state = overrides.state.clone().unwrap_or_default();
        let precompiles = apply_state_overrides(&mut self.overlay, &self.env, &state)?;
        let sender = request.from.unwrap_or_default();
        let nonce = self.overlay.account(&sender)?.unwrap_or_default().nonce;
        let defaults = Defaults { chain_id: self.env.chain_id, nonce, gas: self.gas_cap };
        let mut tx = request_tx(request, &defaults)?;
        tx.gas_limit = tx.gas_limit.min(self.gas_cap);
        let mut cfg = self.env.call_cfg();
        cfg.disable_base_fee = true;
        let run = Run {
            kind: Kind::Alone,
            cfg,
            precompiles: Some(precompiles),
            context: TransactionContext::default(),
        };
        self.inspect(tx, run, options).map(|(trace, _)| trace)
    }

    fn inspect(
        self,
        tx: TxEnv,
        run: Run,
        options: &GethDebugTracingOptions,
    ) -> Result<(GethTrace, Self), ExecutionError> {
        let Self { env, block_hash, overlay, cancel, gas_cap, trace_bytes, trace_bytes_left, index } = self;
        let bounds = (Canceller::new(cancel.clone()), Budget::new(trace_bytes_left, options));
        let watch = (inspector(options)?, bounds);
        let mut block = env.block();
        if run.precompiles.is_some() && tx.gas_price == 0 {
            block.basefee = 0;
        }
        let mut evm = Evm::with_inspector(overlay, run.cfg, block, watch);
        evm.set_precompiles(run.precompiles.unwrap_or_else(|| Precompiles::new(spec_id(env.fork))));
        let outcome = match run.kind {
            Kind::Alone => evm.inspect(tx),
            Kind::InDomain => evm.inspect_in_domain(tx),
            Kind::Arrival => evm.inspect_arrival(tx),
        };
        let (mut context, (mut inspector, (canceller, budget))) = evm.into_parts();
        if canceller.is_cancelled() {
            return Err(ExecutionError::Cancelled);
        }
        let too_large = ExecutionError::TraceTooLarge { limit: trace_bytes };
        let trace_bytes_left = budget.left().ok_or(too_large)?;
        let state = context.journal_mut().finalize();
        let result: ExecutionResult = match outcome {
            Ok(result) => result,
            Err(error) => {
                let refusal = split(error)?;
                let (chain, base_fee) = (context.cfg.chain_id, context.block.basefee);
                return Err(refuse(refusal, &context.tx, chain, base_fee).into());
            }
        };
        let mut overlay = context.journaled_state.database;
        let mut done = ExecResultAndState { result, state };
        let trace = inspector
            .get_result(Some(run.context), &context.tx, &context.block, &done, &mut overlay)
            .map_err(|error| ExecutionError::Tracer(error.to_string()))?;
        withdraw(&done.result, &mut done.state);
        if run.kind != Kind::Arrival && departs(&mut overlay, &context.tx)? {
            withhold(&mut done.state, &context.tx, done.result.tx_gas_used());
        }
        overlay.commit(&mut done.state);
        let next = Self { env, block_hash, overlay, cancel, gas_cap, trace_bytes, trace_bytes_left, index };
        Ok((trace, next))
    }
}

/// Whether a transaction goes on to another domain.
fn departs<S: StateRead>(overlay: &mut Overlay<S>, tx: &TxEnv) -> Result<bool, ExecutionError> {
    let TxKind::Call(to) = tx.kind else { return Ok(false) };
    Ok(overlay.residence(&to)? != Residence::Here)
}

impl<S> std::fmt::Debug for Tracer<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tracer").field("env", &self.env).field("index", &self.index).finish_non_exhaustive()
    }
}

fn inspector(options: &GethDebugTracingOptions) -> Result<DebugInspector, ExecutionError> {
    if matches!(options.tracer, Some(GethDebugTracerType::JsTracer(_))) {
        let message = "JavaScript tracers are not supported; use callTracer, prestateTracer, 4byteTracer, \
                       flatCallTracer, muxTracer, noopTracer, or no tracer for struct logs";
        return Err(ExecutionError::Tracer(message.to_owned()));
    }
    let mut options = options.clone();
    if options.tracer == Some(GethDebugTracerType::BuiltInTracer(GethDebugBuiltInTracerType::MuxTracer))
        && let Some(tracers) = options.tracer_config.0.as_object_mut()
    {
        // Clients give these two an empty configuration; the multiplexer takes none at all.
        for name in ["4byteTracer", "noopTracer"] {
            if let Some(config) = tracers.get_mut(name) {
                *config = serde_json::Value::Null;
            }
        }
    }
    DebugInspector::new(options).map_err(|error| ExecutionError::Tracer(error.to_string()))
}
