//! The EVM that everything here runs on: our own [`EvmTr`] around revm's interpreter, journal and gas rules.
//!
//! All frames are created, run and settled in [`EvmTr::frame_init`], [`EvmTr::frame_run`] and
//! [`EvmTr::frame_return_result`] below: the one place where another kind of contract code can join, with its
//! suspended runs kept beside the stack of interpreter frames and its calls made through `frame_init` like any
//! other. The stack itself stays revm's, whose raw storage would need `unsafe` here.

use alloy_primitives::{Address, Bytes};
use revm::context::result::{ExecutionResult, HaltReason};
use revm::context::{CfgEnv, Context, FrameStack, Journal, TxEnv};
use revm::handler::evm::{ContextDbError, FrameInitResult, FrameTr};
use revm::handler::instructions::EthInstructions;
use revm::handler::{EthFrame, EvmTr, FrameInitOrResult, FrameResult, Handler, MainnetHandler, SystemCallTx};
use revm::inspector::{InspectorEvmTr, InspectorHandler, NoOpInspector};
use revm::interpreter::interpreter::EthInterpreter;
use revm::{Database, Inspector};

use crate::error::{DatabaseError, EvmError};
use crate::precompiles::Precompiles;

/// Everything that a running contract sees.
pub(crate) type EvmContext<DB> = Context<revm::context::BlockEnv, TxEnv, CfgEnv, DB, Journal<DB>, ()>;

type Instructions<DB> = EthInstructions<EthInterpreter, EvmContext<DB>>;
type Parts<DB, INSP> = revm::context::Evm<EvmContext<DB>, INSP, Instructions<DB>, Precompiles, EthFrame>;

/// The EVM over a database, watched by an inspector (by nobody unless told).
pub(crate) struct Evm<DB: Database, INSP = NoOpInspector> {
    parts: Parts<DB, INSP>,
}

impl<DB: Database<Error = DatabaseError>> Evm<DB> {
    /// An EVM that nobody watches.
    pub(crate) fn new(db: DB, cfg: CfgEnv, block: revm::context::BlockEnv) -> Self {
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

impl<DB, INSP> Evm<DB, INSP>
where
    DB: Database<Error = DatabaseError>,
    INSP: Inspector<EvmContext<DB>, EthInterpreter>,
{
    /// Runs a transaction before the inspector's eyes; its changes stay in the journal.
    pub(crate) fn inspect(&mut self, tx: TxEnv) -> Result<ExecutionResult<HaltReason>, EvmError> {
        self.parts.ctx.tx = tx;
        MainnetHandler::default().inspect_run(self)
    }

    /// The inspector.
    pub(crate) fn inspector_mut(&mut self) -> &mut INSP {
        &mut self.parts.inspector
    }
}

impl<DB: Database, INSP> EvmTr for Evm<DB, INSP> {
    type Context = EvmContext<DB>;
    type Instructions = Instructions<DB>;
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

impl<DB, INSP> InspectorEvmTr for Evm<DB, INSP>
where
    DB: Database,
    INSP: Inspector<EvmContext<DB>, EthInterpreter>,
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
