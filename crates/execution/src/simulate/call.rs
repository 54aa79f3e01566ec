//! `eth_call` and `eth_createAccessList`.

use alloy_primitives::{Bytes, U256};
use alloy_rpc_types_eth::state::EvmOverrides;
use alloy_rpc_types_eth::{AccessListResult, TransactionRequest};
use anfs_state::StateRead;
use revm::Inspector;
use revm::context::TxEnv;
use revm::context::result::{ExecutionResult, HaltReason};
use revm::context_interface::{ContextTr, JournalTr};
use revm::interpreter::interpreter::EthInterpreter;
use revm_inspectors::access_list::AccessListInspector;

use super::request::{Defaults, affordable, fee_cap, request_tx};
use super::{Simulator, apply_block_overrides, apply_state_overrides};
use crate::cancel::Canceller;
use crate::env::BlockEnv;
use crate::error::{ExecutionError, split};
use crate::evm::{Evm, EvmContext};
use crate::invalid::refuse;
use crate::overlay::Overlay;
use crate::precompiles::Precompiles;

/// Rounds in which an access list must have settled; each adds at least one entry.
const ACCESS_LIST_ROUNDS_MAX: usize = 64;

/// A state with a request's overrides, ready to run calls in.
pub(super) struct Scene<S> {
    pub(super) env: BlockEnv,
    pub(super) overlay: Overlay<S>,
    pub(super) precompiles: Precompiles,
    cancel: Canceller,
}

/// A result, and what the inspector saw.
type Watched<I> = (Result<ExecutionResult, ExecutionError>, I);

impl<S: StateRead> Simulator<S> {
    /// Runs a call and returns its output.
    ///
    /// # Errors
    /// [`ExecutionError::Revert`] with the revert's data, [`ExecutionError::Halt`], or what is wrong with the
    /// request.
    pub fn call(
        &self,
        request: &TransactionRequest,
        overrides: &EvmOverrides,
    ) -> Result<Bytes, ExecutionError> {
        let scene = self.scene(overrides)?;
        let tx = self.call_tx(&scene, request)?;
        succeed(scene.run(tx)?)
    }

    /// Finds the access list that a call would profit from, and the gas that it takes with that list.
    ///
    /// # Errors
    /// What is wrong with the request. A call that fails still has a list; its failure stands in the result.
    pub fn create_access_list(
        &self,
        request: &TransactionRequest,
        overrides: &EvmOverrides,
    ) -> Result<AccessListResult, ExecutionError> {
        let mut request = request.clone();
        let mut list = request.access_list.take().unwrap_or_default();
        for _ in 0..ACCESS_LIST_ROUNDS_MAX {
            request.access_list = Some(list.clone());
            let scene = self.scene(overrides)?;
            let tx = self.call_tx(&scene, &request)?;
            let (result, inspector) = scene.watch(tx, AccessListInspector::new(list.clone()));
            let result = result?;
            let found = inspector.into_access_list();
            if found == list {
                let gas_used = U256::from(result.tx_gas_used());
                let error = succeed(result).err().map(|error| error.to_string());
                return Ok(AccessListResult { access_list: list, gas_used, error });
            }
            list = found;
        }
        Err(ExecutionError::Request("the access list does not settle: it depends on gas".to_owned()))
    }

    pub(super) fn scene(&self, overrides: &EvmOverrides) -> Result<Scene<&S>, ExecutionError> {
        let mut env = self.env.clone();
        let mut overlay = self.overlay(&env);
        if let Some(block) = &overrides.block {
            apply_block_overrides(&mut overlay, &mut env, block)?;
        }
        let state = overrides.state.clone().unwrap_or_default();
        let precompiles = apply_state_overrides(&mut overlay, &env, &state)?;
        let cancel = Canceller::new(self.limits.cancel.clone());
        Ok(Scene { env, overlay, precompiles, cancel })
    }

    /// The transaction of a call: all the gas that the cap and, if it names a price, its sender allow.
    pub(super) fn call_tx(
        &self,
        scene: &Scene<&S>,
        request: &TransactionRequest,
    ) -> Result<TxEnv, ExecutionError> {
        let sender = request.from.unwrap_or_default();
        let account = scene.overlay.account(&sender)?.unwrap_or_default();
        let mut gas = self.limits.gas_cap;
        let price = fee_cap(request);
        if price > 0 && request.gas.is_none() {
            let value = request.value.unwrap_or_default();
            gas = gas.min(affordable(sender, account.balance, value, price)?);
        }
        let defaults = Defaults { chain_id: scene.env.chain_id, nonce: account.nonce, gas };
        let mut tx = request_tx(request, &defaults)?;
        tx.gas_limit = tx.gas_limit.min(self.limits.gas_cap);
        Ok(tx)
    }
}

impl<S: StateRead> Scene<S> {
    /// Runs a call; its changes are lost.
    pub(super) fn run(self, tx: TxEnv) -> Result<ExecutionResult, ExecutionError> {
        self.keep(tx).0
    }

    /// Runs a call on the unchanged state and gives the scene back for the next try.
    pub(super) fn keep(self, tx: TxEnv) -> (Result<ExecutionResult, ExecutionError>, Self) {
        let Self { env, overlay, precompiles, cancel } = self;
        let watched = cancel.has_flag();
        let (result, overlay) = if watched {
            let (result, overlay, _) =
                run(&env, overlay, &precompiles, tx, &cancel, cancel.clone(), Evm::inspect);
            (result, overlay)
        } else {
            let inspector = revm::inspector::NoOpInspector;
            let (result, overlay, _) =
                run(&env, overlay, &precompiles, tx, &cancel, inspector, Evm::transact);
            (result, overlay)
        };
        (result, Self { env, overlay, precompiles, cancel })
    }

    /// Runs a call before an inspector's eyes; its changes are lost.
    pub(super) fn watch<I>(self, tx: TxEnv, inspector: I) -> Watched<I>
    where
        I: Inspector<EvmContext<Overlay<S>>, EthInterpreter>,
    {
        let Self { env, overlay, precompiles, cancel } = self;
        let both = (inspector, cancel.clone());
        let (result, _, (inspector, _)) = run(&env, overlay, &precompiles, tx, &cancel, both, Evm::inspect);
        (result, inspector)
    }
}

type Outcome = Result<ExecutionResult, crate::error::EvmError>;

fn run<S: StateRead, I>(
    env: &BlockEnv,
    overlay: Overlay<S>,
    precompiles: &Precompiles,
    tx: TxEnv,
    cancel: &Canceller,
    inspector: I,
    go: impl FnOnce(&mut Evm<Overlay<S>, I>, TxEnv) -> Outcome,
) -> (Result<ExecutionResult, ExecutionError>, Overlay<S>, I) {
    let mut block = env.block();
    if tx.gas_price == 0 {
        // Who offers nothing for gas sees a block that asks nothing.
        block.basefee = 0;
    }
    let mut evm = Evm::with_inspector(overlay, env.call_cfg(), block, inspector);
    evm.set_precompiles(precompiles.clone());
    let outcome = go(&mut evm, tx);
    let (mut context, inspector) = evm.into_parts();
    context.journal_mut().finalize();
    let result = match outcome {
        _ if cancel.is_cancelled() => Err(ExecutionError::Cancelled),
        Ok(result) => Ok(result),
        Err(error) => split(error).and_then(|refusal| {
            Err(refuse(refusal, &context.tx, context.cfg.chain_id, context.block.basefee).into())
        }),
    };
    (result, context.journaled_state.database, inspector)
}

/// The output of a call that went well.
pub(super) fn succeed(result: ExecutionResult) -> Result<Bytes, ExecutionError> {
    match result {
        ExecutionResult::Success { output, .. } => Ok(output.into_data()),
        ExecutionResult::Revert { output, .. } => Err(ExecutionError::Revert { output }),
        ExecutionResult::Halt { reason, .. } => Err(ExecutionError::Halt(halt_message(&reason))),
    }
}

/// What geth calls a halt.
pub(super) fn halt_message(reason: &HaltReason) -> String {
    let known = match reason {
        HaltReason::OutOfGas(_) => "out of gas",
        HaltReason::OpcodeNotFound | HaltReason::InvalidFEOpcode | HaltReason::NotActivated => {
            "invalid opcode"
        }
        HaltReason::InvalidJump => "invalid jump destination",
        HaltReason::StackUnderflow => "stack underflow",
        HaltReason::StackOverflow => "stack limit reached 1024",
        HaltReason::OutOfOffset => "return data out of bounds",
        HaltReason::CreateCollision => "contract address collision",
        HaltReason::NonceOverflow => "nonce uint64 overflow",
        HaltReason::CreateContractSizeLimit => "max code size exceeded",
        HaltReason::CreateContractStartingWithEF => "invalid code: must not begin with 0xef",
        HaltReason::CreateInitCodeSizeLimit => "max initcode size exceeded",
        HaltReason::StateChangeDuringStaticCall | HaltReason::CallNotAllowedInsideStatic => {
            "write protection"
        }
        HaltReason::OutOfFunds => "insufficient balance for transfer",
        HaltReason::CallTooDeep => "max call depth exceeded",
        other => return other.to_string(),
    };
    known.to_owned()
}
