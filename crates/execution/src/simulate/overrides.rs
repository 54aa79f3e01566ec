//! Changes to state and block that a request asks for before it runs.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::map::B256Map;
use alloy_primitives::{Address, B256, Bytes};
use alloy_rpc_types_eth::BlockOverrides;
use alloy_rpc_types_eth::state::{AccountOverride, StateOverride};
use anfs_state::StateRead;
use revm::bytecode::Bytecode;

use crate::env::{BlockEnv, spec_id};
use crate::error::ExecutionError;
use crate::overlay::Overlay;
use crate::precompiles::Precompiles;

/// Accounts, and slots of one account, that one request may override.
const OVERRIDES_MAX: usize = 100_000;

fn refuse<T>(message: String) -> Result<T, ExecutionError> {
    Err(ExecutionError::Request(message))
}

/// Puts state overrides into the overlay. An override of a precompile's address makes it an ordinary account.
pub(crate) fn apply_state_overrides<S: StateRead>(
    overlay: &mut Overlay<S>,
    env: &BlockEnv,
    overrides: &StateOverride,
) -> Result<Precompiles, ExecutionError> {
    let precompiles = Precompiles::new(spec_id(env.fork));
    if overrides.len() > OVERRIDES_MAX {
        return refuse(format!("{} accounts are overridden, limit {OVERRIDES_MAX}", overrides.len()));
    }
    let mut moves = BTreeMap::new();
    let mut targets = BTreeSet::new();
    // In the order of addresses, so that the error of a bad request does not depend on a hash map.
    for (address, account) in overrides.iter().collect::<BTreeMap<_, _>>() {
        if let Some(target) = account.move_precompile_to {
            if !precompiles.is_original(address) {
                return refuse(format!("account {address} is not a precompile"));
            }
            if overrides.contains_key(&target) || !targets.insert(target) {
                return refuse(format!("account {target} is already overridden"));
            }
            moves.insert(*address, Some(target));
        } else if precompiles.is_original(address) {
            moves.insert(*address, None);
        }
        override_account(overlay, *address, account)?;
    }
    Ok(precompiles.with_moves(&moves))
}

fn override_account<S: StateRead>(
    overlay: &mut Overlay<S>,
    address: Address,
    account: &AccountOverride,
) -> Result<(), ExecutionError> {
    let code = account.code.as_ref().map(|code| bytecode(address, code)).transpose()?;
    if account.balance.is_some() || account.nonce.is_some() || code.is_some() {
        overlay.edit(address, |info| {
            info.balance = account.balance.unwrap_or(info.balance);
            info.nonce = account.nonce.unwrap_or(info.nonce);
            if let Some(code) = code {
                info.code_hash = code.hash_slow();
                info.code = Some(code);
            }
        })?;
    }
    match (&account.state, &account.state_diff) {
        (Some(_), Some(_)) => refuse(format!("account {address} has both 'state' and 'stateDiff'")),
        (Some(state), None) => {
            overlay.wipe(address)?;
            override_slots(overlay, address, state)
        }
        (None, Some(diff)) => override_slots(overlay, address, diff),
        (None, None) => Ok(()),
    }
}

fn override_slots<S: StateRead>(
    overlay: &mut Overlay<S>,
    address: Address,
    slots: &B256Map<B256>,
) -> Result<(), ExecutionError> {
    if slots.len() > OVERRIDES_MAX {
        return refuse(format!("account {address} overrides {} slots, limit {OVERRIDES_MAX}", slots.len()));
    }
    for (key, value) in slots {
        overlay.set_slot(address, (*key).into(), (*value).into())?;
    }
    Ok(())
}

fn bytecode(address: Address, code: &Bytes) -> Result<Bytecode, ExecutionError> {
    Bytecode::new_raw_checked(code.clone())
        .map_err(|error| ExecutionError::Request(format!("code of account {address}: {error}")))
}

/// Puts block overrides into the environment; the hashes of made-up ancestors go into the overlay.
pub(crate) fn apply_block_overrides<S: StateRead>(
    overlay: &mut Overlay<S>,
    env: &mut BlockEnv,
    overrides: &BlockOverrides,
) -> Result<(), ExecutionError> {
    if overrides.beacon_root.is_some() {
        return refuse(
            "block override \"beaconRoot\" is not supported: shards have no beacon chain".to_owned(),
        );
    }
    if let Some(number) = overrides.number {
        env.number = number
            .try_into()
            .map_err(|_| ExecutionError::Request(format!("block number {number} is over 64 bits")))?;
    }
    if let Some(base_fee) = overrides.base_fee {
        env.base_fee = base_fee
            .try_into()
            .map_err(|_| ExecutionError::Request(format!("base fee {base_fee} is over 64 bits")))?;
    }
    env.timestamp = overrides.time.unwrap_or(env.timestamp);
    env.gas_limit = overrides.gas_limit.unwrap_or(env.gas_limit);
    env.beneficiary = overrides.coinbase.unwrap_or(env.beneficiary);
    env.prevrandao = overrides.random.unwrap_or(env.prevrandao);
    for (number, hash) in overrides.block_hash.iter().flatten() {
        overlay.set_block_hash(*number, *hash);
    }
    Ok(())
}
