//! Checks that need nothing but the transaction and the rules.

use alloy_consensus::Transaction as _;
use alloy_primitives::U256;
use anfs_primitives::RecoveredTransaction;

use crate::error::PoolError;
use crate::limits::PoolLimits;

/// Most bytes of init code (EIP-3860).
pub const INIT_CODE_BYTES_MAX: usize = 49_152;

const TRANSACTION_GAS: u64 = 21_000;
const CREATE_GAS: u64 = 32_000;
const INIT_CODE_WORD_GAS: u64 = 2;
const TOKEN_GAS: u64 = 4;
const FLOOR_TOKEN_GAS: u64 = 10;
const ACCESS_LIST_ADDRESS_GAS: u64 = 2400;
const ACCESS_LIST_KEY_GAS: u64 = 1900;
const AUTHORIZATION_GAS: u64 = 25_000;

/// What the checks learnt of a transaction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) nonce: u64,
    /// Fee cap in wei.
    pub(crate) cap: u128,
    /// Tip cap in wei, at most the fee cap.
    pub(crate) tip: u128,
    /// Most that the transaction can cost its sender, in wei.
    pub(crate) cost: U256,
}

/// Checks a transaction by itself.
pub(crate) fn check(transaction: &RecoveredTransaction, limits: &PoolLimits) -> Result<Terms, PoolError> {
    let envelope = transaction.envelope();
    let (gas, nonce) = (envelope.gas_limit(), envelope.nonce());
    let cap = envelope.max_fee_per_gas();
    let tip = envelope.max_priority_fee_per_gas().unwrap_or(cap);
    if nonce == u64::MAX {
        return Err(PoolError::NonceMax { sender: transaction.sender(), nonce });
    }
    if envelope.is_create() && envelope.input().len() > INIT_CODE_BYTES_MAX {
        return Err(PoolError::InitCodeSize { size: envelope.input().len(), max: INIT_CODE_BYTES_MAX });
    }
    if gas > limits.block_gas_limit {
        return Err(PoolError::GasLimit { gas, limit: limits.block_gas_limit });
    }
    if let Some(max) = limits.transaction_gas_max
        && gas > max
    {
        return Err(PoolError::GasLimitTooHigh { gas, cap: max });
    }
    if tip > cap {
        return Err(PoolError::TipAboveFee { tip, fee: cap });
    }
    if tip < limits.tip_min {
        return Err(PoolError::TipTooLow { tip, needed: limits.tip_min });
    }
    if cap < u128::from(limits.base_fee_min) {
        return Err(PoolError::FeeTooLow { fee: cap, needed: u128::from(limits.base_fee_min) });
    }
    if envelope.authorization_list().is_some_and(<[_]>::is_empty) {
        return Err(PoolError::NoAuthorization);
    }
    let needed = intrinsic_gas(transaction);
    if gas < needed {
        return Err(PoolError::IntrinsicGas { gas, needed });
    }
    let needed = floor_gas(envelope.input());
    if gas < needed {
        return Err(PoolError::FloorGas { gas, needed });
    }
    // An impossible cost saturates: no balance covers it, so the funds check refuses it.
    let cost = U256::from(cap).saturating_mul(U256::from(gas)).saturating_add(envelope.value());
    Ok(Terms { nonce, cap, tip, cost })
}

/// Gas that a transaction costs before its first instruction (Prague rules).
#[must_use]
pub fn intrinsic_gas(transaction: &RecoveredTransaction) -> u64 {
    let envelope = transaction.envelope();
    let mut gas = TRANSACTION_GAS.saturating_add(tokens(envelope.input()).saturating_mul(TOKEN_GAS));
    if envelope.is_create() {
        let words = (envelope.input().len() as u64).div_ceil(32);
        gas = gas.saturating_add(CREATE_GAS).saturating_add(words.saturating_mul(INIT_CODE_WORD_GAS));
    }
    if let Some(list) = envelope.access_list() {
        let addresses = (list.len() as u64).saturating_mul(ACCESS_LIST_ADDRESS_GAS);
        let keys = (list.storage_keys_count() as u64).saturating_mul(ACCESS_LIST_KEY_GAS);
        gas = gas.saturating_add(addresses).saturating_add(keys);
    }
    let authorizations = envelope.authorization_list().map_or(0, <[_]>::len) as u64;
    gas.saturating_add(authorizations.saturating_mul(AUTHORIZATION_GAS))
}

/// The least gas charged for a transaction with this calldata (EIP-7623).
#[must_use]
pub fn floor_gas(input: &[u8]) -> u64 {
    TRANSACTION_GAS.saturating_add(tokens(input).saturating_mul(FLOOR_TOKEN_GAS))
}

/// Calldata tokens: one for a zero byte, four for any other.
fn tokens(input: &[u8]) -> u64 {
    input.iter().map(|byte| if *byte == 0 { 1 } else { 4 }).sum()
}
