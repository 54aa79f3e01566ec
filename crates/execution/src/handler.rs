//! How transactions run in a domain of several: as Ethereum runs them, with an eye on what leaves.

use std::marker::PhantomData;

use alloy_primitives::{Address, U256};
use anfs_primitives::Derivation;
use anfs_state::StateRead;
use revm::Inspector;
use revm::context::JournalEntry;
use revm::context::result::{ExecutionResult, HaltReason, ResultGas};
use revm::context_interface::{ContextTr, JournalTr, Transaction as _};
use revm::handler::{EvmTr, FrameResult, FrameTr, Handler};
use revm::inspector::{InspectorHandler, NoOpInspector};
use revm::interpreter::InitialAndFloorGas;
use revm::interpreter::interpreter::EthInterpreter;

use crate::cross_domain::Sent;
use crate::error::EvmError;
use crate::evm::{Evm, EvmContext};
use crate::overlay::Overlay;

/// What a transaction did that concerns other domains.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// Transfers of coins that were not reverted, in order.
    pub(crate) transfers: Vec<Transfer>,
    /// Every attempt to create an account, in order.
    pub(crate) creations: Vec<Derivation>,
    /// Calls that contracts have asked to be sent, in order.
    pub(crate) sent: Vec<Sent>,
}

/// Coins that one account gave another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transfer {
    /// Who gave.
    pub(crate) from: Address,
    /// Who got.
    pub(crate) to: Address,
    /// In wei.
    pub(crate) value: U256,
}

/// Runs a transaction and keeps the transfers that it made.
pub(crate) struct DomainHandler<S, INSP = NoOpInspector> {
    /// A call from another domain: its intrinsic gas and its fees are settled outside, and its sender has no nonce here.
    arrival: bool,
    watched: PhantomData<(S, INSP)>,
}

impl<S, INSP> DomainHandler<S, INSP> {
    /// For a transaction of this domain.
    pub(crate) fn transaction() -> Self {
        Self { arrival: false, watched: PhantomData }
    }

    /// For a call that has arrived.
    pub(crate) fn arrival() -> Self {
        Self { arrival: true, watched: PhantomData }
    }
}

type Frame<S, INSP> = <Evm<Overlay<S>, INSP> as EvmTr>::Frame;

impl<S, INSP> InspectorHandler for DomainHandler<S, INSP>
where
    S: StateRead,
    INSP: Inspector<EvmContext<Overlay<S>>, EthInterpreter>,
{
    type IT = EthInterpreter;
}

impl<S: StateRead, INSP> Handler for DomainHandler<S, INSP> {
    type Evm = Evm<Overlay<S>, INSP>;
    type Error = EvmError;
    type HaltReason = HaltReason;

    fn validate_env(&self, evm: &mut Self::Evm) -> Result<(), EvmError> {
        if self.arrival { Ok(()) } else { revm::handler::validation::validate_env(evm.ctx()) }
    }

    fn validate_initial_tx_gas(&self, evm: &mut Self::Evm) -> Result<InitialAndFloorGas, EvmError> {
        if self.arrival {
            return Ok(InitialAndFloorGas::new(0, 0));
        }
        revm::handler::MainnetHandler::<Self::Evm, EvmError, Frame<S, INSP>>::default()
            .validate_initial_tx_gas(evm)
    }

    fn validate_against_state_and_deduct_caller(
        &self,
        evm: &mut Self::Evm,
        _gas: &mut InitialAndFloorGas,
    ) -> Result<(), EvmError> {
        if self.arrival {
            // The journal moves the call's value between accounts that it has loaded.
            let caller = evm.ctx_ref().tx().caller();
            evm.ctx().journal_mut().load_account(caller)?;
            return Ok(());
        }
        revm::handler::pre_execution::validate_against_state_and_deduct_caller(evm.ctx())
    }

    fn reimburse_caller(
        &self,
        evm: &mut Self::Evm,
        result: &mut <Frame<S, INSP> as FrameTr>::FrameResult,
    ) -> Result<(), EvmError> {
        if self.arrival {
            return Ok(());
        }
        revm::handler::post_execution::reimburse_caller(evm.ctx(), result.gas(), U256::ZERO)
            .map_err(EvmError::from)
    }

    fn reward_beneficiary(
        &self,
        evm: &mut Self::Evm,
        result: &mut <Frame<S, INSP> as FrameTr>::FrameResult,
    ) -> Result<(), EvmError> {
        if self.arrival {
            return Ok(());
        }
        revm::handler::post_execution::reward_beneficiary(evm.ctx(), result.gas()).map_err(EvmError::from)
    }

    fn execution_result(
        &mut self,
        evm: &mut Self::Evm,
        result: FrameResult,
        gas: ResultGas,
    ) -> Result<ExecutionResult<HaltReason>, EvmError> {
        // The journal forgets its entries when the transaction is taken over.
        evm.keep_transfers();
        revm::handler::MainnetHandler::<Self::Evm, EvmError, Frame<S, INSP>>::default()
            .execution_result(evm, result, gas)
    }
}

/// The transfer that a journal entry records, if it does.
pub(crate) fn transfer_of(entry: &JournalEntry) -> Option<Transfer> {
    match *entry {
        JournalEntry::BalanceTransfer { balance, from, to } => Some(Transfer { from, to, value: balance }),
        _ => None,
    }
}
