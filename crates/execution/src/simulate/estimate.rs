//! `eth_estimateGas`: the smallest gas limit, within a little, that makes a transaction succeed.

use alloy_primitives::TxKind;
use alloy_rpc_types_eth::TransactionRequest;
use alloy_rpc_types_eth::state::EvmOverrides;
use anfs_state::StateRead;
use revm::context::TxEnv;
use revm::context::result::{ExecutionResult, HaltReason};

use super::Simulator;
use super::call::{Scene, succeed};
use super::request::{affordable, fee_cap, input};
use crate::error::{ExecutionError, InvalidTransaction};

const TRANSFER_GAS: u64 = 21_000;
const CALL_STIPEND: u64 = 2_300;
/// The search stops when the bounds are within this many thousandths of the upper one.
const ERROR_PER_MILLE: u64 = 15;

/// What a gas limit led to.
enum Trial {
    Enough(ExecutionResult),
    /// Could go well with more gas.
    TooLittle(Option<ExecutionResult>),
}

impl<S: StateRead> Simulator<S> {
    /// Estimates the gas limit that a transaction needs, as geth does it: run at the highest limit allowed,
    /// then search below.
    ///
    /// # Errors
    /// The revert's reason when the transaction reverts however much gas it gets;
    /// [`ExecutionError::GasAllowance`] when it runs out of all that may be spent; or what is wrong with the
    /// request.
    pub fn estimate_gas(
        &self,
        request: &TransactionRequest,
        overrides: &EvmOverrides,
    ) -> Result<u64, ExecutionError> {
        let scene = self.scene(overrides)?;
        let mut high = self.highest(&scene, request)?;
        let mut request = request.clone();
        request.gas = Some(high);
        let tx = self.call_tx(&scene, &request)?;
        high = tx.gas_limit;
        let mut scene = scene;
        if is_plain_transfer(&scene, &request)? && high >= TRANSFER_GAS {
            let (trial, back) = attempt(scene, &tx, TRANSFER_GAS)?;
            scene = back;
            if matches!(trial, Trial::Enough(_)) {
                return Ok(TRANSFER_GAS);
            }
        }
        let (trial, mut scene) = attempt(scene, &tx, high)?;
        let result = match trial {
            Trial::Enough(result) => result,
            Trial::TooLittle(Some(result)) if !is_out_of_gas(&result) => {
                return succeed(result).map(|_| high);
            }
            Trial::TooLittle(_) => return Err(ExecutionError::GasAllowance { allowance: high }),
        };
        let mut low = result.tx_gas_used().saturating_sub(1);
        let spent = result.gas().total_gas_spent().max(result.tx_gas_used());
        let mut guess = spent.saturating_add(CALL_STIPEND).saturating_mul(64) / 63;
        if guess >= high {
            guess = middle(low, high);
        }
        while low.saturating_add(1) < high {
            if (high - low).saturating_mul(1000) < high.saturating_mul(ERROR_PER_MILLE) {
                break;
            }
            let (trial, back) = attempt(scene, &tx, guess)?;
            scene = back;
            match trial {
                Trial::Enough(_) => high = guess,
                Trial::TooLittle(_) => low = guess,
            }
            guess = middle(low, high);
        }
        Ok(high)
    }

    /// The most gas that the transaction may have: what it asks for or a block has, what the chain allows one
    /// transaction, what the sender can pay, and this node's cap.
    fn highest(&self, scene: &Scene<&S>, request: &TransactionRequest) -> Result<u64, ExecutionError> {
        let asked = request.gas.filter(|gas| *gas >= TRANSFER_GAS);
        let mut high = asked.unwrap_or(scene.env.gas_limit);
        high = high.min(revm::context_interface::Cfg::tx_gas_limit_cap(&scene.env.cfg()));
        let price = fee_cap(request);
        if price > 0 {
            let sender = request.from.unwrap_or_default();
            let balance = scene.overlay.account(&sender)?.unwrap_or_default().balance;
            high = high.min(affordable(sender, balance, request.value.unwrap_or_default(), price)?);
        }
        Ok(high.min(self.limits.gas_cap))
    }
}

/// Halfway, but not above twice the lower bound: most transactions need little more than they use.
fn middle(low: u64, high: u64) -> u64 {
    (low + (high - low) / 2).min(low.saturating_mul(2)).max(low.saturating_add(1))
}

fn is_plain_transfer<S: StateRead>(
    scene: &Scene<S>,
    request: &TransactionRequest,
) -> Result<bool, ExecutionError> {
    let Some(TxKind::Call(to)) = request.to else { return Ok(false) };
    if !input(request).is_empty() || request.authorization_list.is_some() || request.access_list.is_some() {
        return Ok(false);
    }
    let account = scene.overlay.account(&to)?.unwrap_or_default();
    Ok(account.code_hash == alloy_primitives::KECCAK256_EMPTY)
}

fn attempt<S: StateRead>(scene: Scene<S>, tx: &TxEnv, gas: u64) -> Result<(Trial, Scene<S>), ExecutionError> {
    let (result, scene) = scene.keep(TxEnv { gas_limit: gas, ..tx.clone() });
    let trial = match result {
        Ok(result) if result.is_success() => Trial::Enough(result),
        Ok(result) => Trial::TooLittle(Some(result)),
        Err(ExecutionError::Invalid(
            InvalidTransaction::IntrinsicGas { .. } | InvalidTransaction::FloorDataGas { .. },
        )) => Trial::TooLittle(None),
        Err(error) => return Err(error),
    };
    Ok((trial, scene))
}

fn is_out_of_gas(result: &ExecutionResult) -> bool {
    matches!(result, ExecutionResult::Halt { reason: HaltReason::OutOfGas(_), .. })
}
