//! Requests for calls in the shape that revm takes.

use alloy_primitives::{Address, Bytes, TxKind, U256};
use alloy_rpc_types_eth::TransactionRequest;
use revm::context::TxEnv;
use revm::context_interface::either::Either;

use crate::error::ExecutionError;

/// Call data that one request may carry; more could not be paid for within any gas cap in use.
const INPUT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What a request leaves out.
pub(crate) struct Defaults {
    pub(crate) chain_id: u64,
    pub(crate) nonce: u64,
    pub(crate) gas: u64,
}

fn refuse<T>(message: impl Into<String>) -> Result<T, ExecutionError> {
    Err(ExecutionError::Request(message.into()))
}

/// Builds revm's transaction from a request.
pub(crate) fn request_tx(request: &TransactionRequest, defaults: &Defaults) -> Result<TxEnv, ExecutionError> {
    check(request, defaults.chain_id)?;
    let dynamic = request.max_fee_per_gas.is_some() || request.max_priority_fee_per_gas.is_some();
    let authorizations = request.authorization_list.clone().unwrap_or_default();
    let tx_type = if request.authorization_list.is_some() {
        4
    } else if dynamic {
        2
    } else {
        u8::from(request.access_list.is_some())
    };
    // A delegation offers its fees the EIP-1559 way even when the request gives one price.
    let price = request.gas_price.or(request.max_fee_per_gas).unwrap_or_default();
    let tip = (tx_type >= 2).then(|| request.max_priority_fee_per_gas.unwrap_or_default());
    Ok(TxEnv {
        tx_type,
        caller: request.from.unwrap_or_default(),
        gas_limit: request.gas.unwrap_or(defaults.gas),
        gas_price: price,
        kind: request.to.unwrap_or(TxKind::Create),
        value: request.value.unwrap_or_default(),
        data: input(request),
        nonce: request.nonce.unwrap_or(defaults.nonce),
        chain_id: Some(defaults.chain_id),
        access_list: request.access_list.clone().unwrap_or_default(),
        gas_priority_fee: tip,
        blob_hashes: Vec::new(),
        max_fee_per_blob_gas: 0,
        authorization_list: authorizations.into_iter().map(Either::Left).collect(),
    })
}

fn check(request: &TransactionRequest, chain_id: u64) -> Result<(), ExecutionError> {
    let dynamic = request.max_fee_per_gas.is_some() || request.max_priority_fee_per_gas.is_some();
    if request.gas_price.is_some() && dynamic {
        return refuse("both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified");
    }
    if request.blob_versioned_hashes.is_some() || request.sidecar.is_some() {
        return refuse("blob transactions (type 3) are not carried by this network");
    }
    if let (Some(input), Some(data)) = (&request.input.input, &request.input.data)
        && input != data
    {
        return refuse(
            r#"both "data" and "input" are set and not equal. Please use "input" to pass transaction call data"#,
        );
    }
    let size = input(request).len();
    if size > INPUT_BYTES_MAX {
        return refuse(format!("input of {size} bytes is over the limit of {INPUT_BYTES_MAX}"));
    }
    match request.chain_id {
        Some(have) if have != chain_id => {
            return refuse(format!("chainId does not match node's (have={have}, want={chain_id})"));
        }
        _ => {}
    }
    let creates = !matches!(request.to, Some(TxKind::Call(_)));
    match &request.authorization_list {
        Some(_) if creates => refuse("EIP-7702 transaction cannot be used to create contract"),
        Some(list) if list.is_empty() => refuse("EIP-7702 transaction with empty auth list"),
        _ => Ok(()),
    }
}

pub(super) fn input(request: &TransactionRequest) -> Bytes {
    request.input.input.as_ref().or(request.input.data.as_ref()).cloned().unwrap_or_default()
}

/// The price that a request offers for gas, zero when it names none.
pub(super) fn fee_cap(request: &TransactionRequest) -> u128 {
    request.gas_price.or(request.max_fee_per_gas).unwrap_or_default()
}

/// Gas that an account can pay at a price, after the value that it sends.
pub(super) fn affordable(
    sender: Address,
    balance: U256,
    value: U256,
    price: u128,
) -> Result<u64, ExecutionError> {
    let Some(left) = balance.checked_sub(value) else {
        return refuse(format!(
            "insufficient funds for transfer: address {sender} have {balance} want {value}"
        ));
    };
    Ok(left.checked_div(U256::from(price)).map_or(u64::MAX, |gas| gas.saturating_to()))
}
