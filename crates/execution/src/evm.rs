//! The EVM that everything here runs on: our own [`EvmTr`] around revm's interpreter, journal and gas rules.
//!
//! All frames are created, run and settled in [`EvmTr::frame_init`], [`EvmTr::frame_run`] and
//! [`EvmTr::frame_return_result`] below: the one place where another kind of contract code can join, with its
//! suspended runs kept beside the stack of interpreter frames and its calls made through `frame_init` like any
//! other. The stack itself stays revm's, whose raw storage would need `unsafe` here.

use alloy_primitives::{Address, Bytes};
use alloy_sol_types::{Revert, SolError};
use anfs_primitives::Derivation;
use anfs_state::StateRead;
use revm::context::result::{ExecutionResult, HaltReason};
use revm::context::{CfgEnv, Context, FrameStack, Journal, TxEnv};
use revm::context_interface::CreateScheme;
use revm::handler::evm::{ContextDbError, FrameInitResult, FrameTr};
use revm::handler::instructions::EthInstructions;
use revm::handler::{EthFrame, EvmTr, FrameInitOrResult, FrameResult, Handler, MainnetHandler, SystemCallTx};
use revm::inspector::{InspectorEvmTr, InspectorHandler, NoOpInspector};
use revm::interpreter::interpreter::EthInterpreter;
use revm::interpreter::interpreter_action::FrameInit;
use revm::interpreter::{CallOutcome, FrameInput, Gas, InstructionResult, InterpreterResult};
use revm::state::Account;
use revm::{Database, Inspector};

use crate::domain::Residence;
use crate::error::{DatabaseError, EvmError};
use crate::handler::{DomainHandler, Watch, transfer_of};
use crate::overlay::Overlay;
use crate::precompiles::Precompiles;

/// Everything that a running contract sees.
pub(crate) type EvmContext<DB> = Context<revm::context::BlockEnv, TxEnv, CfgEnv, DB, Journal<DB>, ()>;

type Instructions<DB> = EthInstructions<EthInterpreter, EvmContext<DB>>;
type Parts<DB, INSP> = revm::context::Evm<EvmContext<DB>, INSP, Instructions<DB>, Precompiles, EthFrame>;

/// The EVM over a database, watched by an inspector (by nobody unless told).
pub(crate) struct Evm<DB: Database, INSP = NoOpInspector> {
    parts: Parts<DB, INSP>,
    /// What concerns other domains, when there are any.
    watch: Option<Watch>,
}

impl<S: StateRead> Evm<Overlay<S>> {
    /// An EVM that nobody watches.
    pub(crate) fn new(db: Overlay<S>, cfg: CfgEnv, block: revm::context::BlockEnv) -> Self {
        Self::with_inspector(db, cfg, block, NoOpInspector)
    }

    /// Runs a transaction; its changes stay in the journal.
    pub(crate) fn transact(&mut self, tx: TxEnv) -> Result<ExecutionResult<HaltReason>, EvmError> {
        self.parts.ctx.tx = tx;
        MainnetHandler::default().run(self)
    }

    /// Calls a system contract: no sender pays, no fee is taken.
    pub(crate) fn system_call(
        &mut self,
        contract: Address,
        data: Bytes,
    ) -> Result<ExecutionResult<HaltReason>, EvmError> {
        self.parts.ctx.tx = TxEnv::new_system_tx(contract, data);
        MainnetHandler::default().run_system_call(self)
    }

    /// Runs a transaction of a domain; what it does to other domains' accounts is noted for [`Self::take_watch`].
    pub(crate) fn transact_in_domain(&mut self, tx: TxEnv) -> Result<ExecutionResult<HaltReason>, EvmError> {
        self.watch = Some(Watch::default());
        self.parts.ctx.tx = tx;
        DomainHandler::transaction().run(self)
    }

    /// Runs a call that came from another domain, as [`Self::transact_in_domain`].
    pub(crate) fn transact_arrival(&mut self, tx: TxEnv) -> Result<ExecutionResult<HaltReason>, EvmError> {
        self.watch = Some(Watch::default());
        self.parts.ctx.tx = tx;
        DomainHandler::arrival().run(self)
    }

    /// What the last run did that concerns other domains.
    pub(crate) fn take_watch(&mut self) -> Watch {
        self.watch.take().unwrap_or_default()
    }
}

impl<DB: Database<Error = DatabaseError>, INSP> Evm<DB, INSP> {
    /// An EVM that tells `inspector` what it does.
    pub(crate) fn with_inspector(
        db: DB,
        cfg: CfgEnv,
        block: revm::context::BlockEnv,
        inspector: INSP,
    ) -> Self {
        let spec = cfg.spec;
        let ctx = EvmContext::<DB>::new(db, spec).with_cfg(cfg).with_block(block);
        Self {
            parts: revm::context::Evm::new_with_inspector(
                ctx,
                inspector,
                EthInstructions::new_mainnet_with_spec(spec),
                Precompiles::new(spec),
            ),
            watch: None,
        }
    }

    /// Moves precompiles to other addresses for this EVM only.
    pub(crate) fn set_precompiles(&mut self, precompiles: Precompiles) {
        self.parts.precompiles = precompiles;
    }

    /// The context: block, configuration, journal and, in the journal, the database.
    pub(crate) fn context(&self) -> &EvmContext<DB> {
        &self.parts.ctx
    }

    /// The context, to change.
    pub(crate) fn context_mut(&mut self) -> &mut EvmContext<DB> {
        &mut self.parts.ctx
    }

    /// The database.
    pub(crate) fn db(&self) -> &DB {
        &self.parts.ctx.journaled_state.database
    }

    /// Takes context and inspector apart.
    pub(crate) fn into_parts(self) -> (EvmContext<DB>, INSP) {
        (self.parts.ctx, self.parts.inspector)
    }
}

impl<S, INSP> Evm<Overlay<S>, INSP>
where
    S: StateRead,
    INSP: Inspector<EvmContext<Overlay<S>>, EthInterpreter>,
{
    /// Runs a transaction before the inspector's eyes; its changes stay in the journal.
    pub(crate) fn inspect(&mut self, tx: TxEnv) -> Result<ExecutionResult<HaltReason>, EvmError> {
        self.parts.ctx.tx = tx;
        MainnetHandler::default().inspect_run(self)
    }

    /// As [`Self::inspect`], of a transaction of a domain.
    pub(crate) fn inspect_in_domain(&mut self, tx: TxEnv) -> Result<ExecutionResult<HaltReason>, EvmError> {
        self.watch = Some(Watch::default());
        self.parts.ctx.tx = tx;
        DomainHandler::transaction().inspect_run(self)
    }

    /// As [`Self::inspect`], of a call that came from another domain.
    pub(crate) fn inspect_arrival(&mut self, tx: TxEnv) -> Result<ExecutionResult<HaltReason>, EvmError> {
        self.watch = Some(Watch::default());
        self.parts.ctx.tx = tx;
        DomainHandler::arrival().inspect_run(self)
    }

    /// The inspector.
    pub(crate) fn inspector_mut(&mut self) -> &mut INSP {
        &mut self.parts.inspector
    }
}

impl<S: StateRead, INSP> Evm<Overlay<S>, INSP> {
    /// Copies the transfers out of the journal, which holds only what was not reverted.
    pub(crate) fn keep_transfers(&mut self) {
        if let Some(watch) = &mut self.watch {
            watch.transfers =
                self.parts.ctx.journaled_state.inner.journal.iter().filter_map(transfer_of).collect();
        }
    }

    /// Whether a contract calls with data what lives in another domain, where the data would be lost.
    fn misses_its_callee(&mut self, input: &FrameInit) -> Result<bool, DatabaseError> {
        let FrameInput::Call(call) = &input.frame_input else { return Ok(false) };
        if input.depth == 0 || call.input.is_empty() {
            return Ok(false);
        }
        let state = &mut self.parts.ctx.journaled_state;
        if state.inner.state.get(&call.bytecode_address).is_some_and(Account::is_created) {
            return Ok(false);
        }
        let residence = state.database.residence(&call.bytecode_address).map_err(DatabaseError)?;
        Ok(residence != Residence::Here)
    }

    fn note_creation(&mut self, input: &FrameInit) {
        let Some(watch) = &mut self.watch else { return };
        let FrameInput::Create(create) = &input.frame_input else { return };
        let creator = create.caller();
        watch.creations.push(match create.scheme() {
            CreateScheme::Create2 { salt } => {
                Derivation::Create2 { creator, salt: salt.into(), init_code_hash: create.init_code_hash() }
            }
            CreateScheme::Create | CreateScheme::Custom { .. } => {
                let account = self.parts.ctx.journaled_state.inner.state.get(&creator);
                Derivation::Create { creator, nonce: account.map_or(0, |account| account.info.nonce) }
            }
        });
    }
}

/// The answer to a call whose data nobody here can read: as if the callee had reverted at once and said why.
fn elsewhere(input: &FrameInput) -> FrameResult {
    let (gas_limit, memory, reservoir) = match input {
        FrameInput::Call(call) => (call.gas_limit, call.return_memory_offset.clone(), call.reservoir),
        FrameInput::Create(_) | FrameInput::Empty => (0, 0..0, 0),
    };
    let output = Revert::from("account of another domain: send it a message").abi_encode().into();
    let gas = Gas::new_with_regular_gas_and_reservoir(gas_limit, reservoir);
    let result = InterpreterResult { result: InstructionResult::Revert, output, gas };
    FrameResult::Call(CallOutcome::new(result, memory))
}

impl<S: StateRead, INSP> EvmTr for Evm<Overlay<S>, INSP> {
    type Context = EvmContext<Overlay<S>>;
    type Instructions = Instructions<Overlay<S>>;
    type Precompiles = Precompiles;
    type Frame = EthFrame;

    fn all(&self) -> (&Self::Context, &Self::Instructions, &Self::Precompiles, &FrameStack<Self::Frame>) {
        self.parts.all()
    }

    fn all_mut(
        &mut self,
    ) -> (&mut Self::Context, &mut Self::Instructions, &mut Self::Precompiles, &mut FrameStack<Self::Frame>)
    {
        self.parts.all_mut()
    }

    fn frame_init(
        &mut self,
        input: <Self::Frame as FrameTr>::FrameInit,
    ) -> Result<FrameInitResult<'_, Self::Frame>, ContextDbError<Self::Context>> {
        if self.watch.is_some() {
            self.note_creation(&input);
            if self.misses_its_callee(&input)? {
                return Ok(FrameInitResult::Result(elsewhere(&input.frame_input)));
            }
        }
        self.parts.frame_init(input)
    }

    fn frame_run(&mut self) -> Result<FrameInitOrResult<Self::Frame>, ContextDbError<Self::Context>> {
        self.parts.frame_run()
    }

    fn frame_return_result(
        &mut self,
        result: FrameResult,
    ) -> Result<Option<FrameResult>, ContextDbError<Self::Context>> {
        self.parts.frame_return_result(result)
    }
}

impl<S, INSP> InspectorEvmTr for Evm<Overlay<S>, INSP>
where
    S: StateRead,
    INSP: Inspector<EvmContext<Overlay<S>>, EthInterpreter>,
{
    type Inspector = INSP;

    fn all_inspector(
        &self,
    ) -> (&Self::Context, &Self::Instructions, &Self::Precompiles, &FrameStack<Self::Frame>, &Self::Inspector)
    {
        self.parts.all_inspector()
    }

    fn all_mut_inspector(
        &mut self,
    ) -> (
        &mut Self::Context,
        &mut Self::Instructions,
        &mut Self::Precompiles,
        &mut FrameStack<Self::Frame>,
        &mut Self::Inspector,
    ) {
        self.parts.all_mut_inspector()
    }
}
