//! Turns revm's refusals into ours, with the values that geth's messages name.

use revm::context::TxEnv;
use revm::context::result::InvalidTransaction as Refusal;
use revm::context_interface::Transaction as _;
use revm::primitives::eip3860::MAX_INITCODE_SIZE;

use crate::error::InvalidTransaction;

/// Names what is wrong with a transaction.
pub(crate) fn refuse(refusal: Refusal, tx: &TxEnv, chain_id: u64, base_fee: u64) -> InvalidTransaction {
    let sender = tx.caller;
    match refusal {
        Refusal::NonceTooLow { tx, state } => InvalidTransaction::NonceTooLow { sender, tx, state },
        Refusal::NonceTooHigh { tx, state } => InvalidTransaction::NonceTooHigh { sender, tx, state },
        Refusal::NonceOverflowInTransaction => InvalidTransaction::NonceMax { sender, nonce: tx.nonce },
        Refusal::LackOfFundForMaxFee { fee, balance } => {
            InvalidTransaction::InsufficientFunds { sender, have: *balance, want: *fee }
        }
        Refusal::OverflowPaymentInTransaction => InvalidTransaction::CostOverflow { sender },
        Refusal::CallGasCostMoreThanGasLimit { initial_gas, gas_limit } => {
            InvalidTransaction::IntrinsicGas { have: gas_limit, want: initial_gas }
        }
        Refusal::GasFloorMoreThanGasLimit { gas_floor, gas_limit } => {
            InvalidTransaction::FloorDataGas { have: gas_limit, want: gas_floor }
        }
        Refusal::TxGasLimitGreaterThanCap { gas_limit, cap } => {
            InvalidTransaction::GasLimitCap { cap, gas_limit }
        }
        Refusal::GasPriceLessThanBasefee => {
            InvalidTransaction::FeeTooLow { sender, max_fee: tx.max_fee_per_gas(), base_fee }
        }
        Refusal::PriorityFeeGreaterThanMaxFee => InvalidTransaction::TipAboveFee {
            sender,
            tip: tx.gas_priority_fee.unwrap_or_default(),
            max_fee: tx.max_fee_per_gas(),
        },
        Refusal::RejectCallerWithCode => InvalidTransaction::SenderHasCode { sender },
        Refusal::CreateInitCodeSizeLimit => {
            InvalidTransaction::InitCodeSize { size: tx.data.len(), limit: MAX_INITCODE_SIZE }
        }
        Refusal::InvalidChainId => {
            InvalidTransaction::ChainId { have: tx.chain_id.unwrap_or_default(), want: chain_id }
        }
        Refusal::EmptyAuthorizationList => InvalidTransaction::EmptyAuthorizations { sender },
        Refusal::Eip2930NotSupported
        | Refusal::Eip1559NotSupported
        | Refusal::Eip4844NotSupported
        | Refusal::Eip7702NotSupported => InvalidTransaction::Type,
        other => InvalidTransaction::Other(other.to_string()),
    }
}
