//! `eth_`: accounts whose keys the node holds (development networks), and what they sign.

use alloy_consensus::{EthereumTxEnvelope, SignableTransaction, TxEip4844, TypedTransaction};
use alloy_dyn_abi::TypedData;
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, eip191_hash_message};
use alloy_rpc_types_eth::TransactionRequest;
use anfs_primitives::RecoveredTransaction;
use serde::Serialize;

use super::{Api, Reply, fees};
use crate::backend::{At, CallRequest};
use crate::error::RpcError;
use crate::params::Params;
use crate::shapes::{TransactionObject, json, pending_object};

pub(crate) fn accounts(api: &Api, params: Params<'_>) -> Reply {
    params.end()?;
    json(&api.backend.signer.as_ref().map(|signer| signer.accounts()).unwrap_or_default())
}

fn sign_digest(api: &Api, account: &Address, digest: &B256) -> Result<Signature, RpcError> {
    let signature = api.backend.signer.as_ref().and_then(|signer| signer.sign(account, digest));
    signature.ok_or_else(|| {
        RpcError::server(
            "unknown account: this node holds no key for it; sign locally and use eth_sendRawTransaction",
        )
    })
}

fn sign_text(api: &Api, account: &Address, text: &Bytes) -> Reply {
    let signature = sign_digest(api, account, &eip191_hash_message(text))?;
    json(&Bytes::from(signature.as_bytes().to_vec()))
}

/// `eth_sign(address, data)`
pub(crate) fn sign(api: &Api, mut params: Params<'_>) -> Reply {
    let account: Address = params.required()?;
    let text: Bytes = params.required()?;
    params.end()?;
    sign_text(api, &account, &text)
}

/// `personal_sign(data, address, password?)`
pub(crate) fn personal_sign(api: &Api, mut params: Params<'_>) -> Reply {
    let text: Bytes = params.required()?;
    let account: Address = params.required()?;
    let _password: Option<String> = params.optional()?;
    params.end()?;
    sign_text(api, &account, &text)
}

/// `eth_signTypedData_v4(address, typed data)` (EIP-712)
pub(crate) fn sign_typed_data(api: &Api, mut params: Params<'_>) -> Reply {
    let account: Address = params.required()?;
    let data: TypedData = params.required()?;
    params.end()?;
    let digest = data.eip712_signing_hash().map_err(|error| RpcError::invalid_params(error.to_string()))?;
    json(&Bytes::from(sign_digest(api, &account, &digest)?.as_bytes().to_vec()))
}

/// `eth_sendTransaction`: fills what is missing, signs and submits.
pub(crate) fn send_transaction(api: &Api, mut params: Params<'_>) -> Reply {
    let request: TransactionRequest = params.required()?;
    params.end()?;
    let signed = sign_request(api, request)?;
    json(&api.backend.pool.submit(signed.encoded().clone())?)
}

/// The answer of `eth_signTransaction`.
#[derive(Serialize)]
struct SignedObject {
    raw: Bytes,
    tx: TransactionObject,
}

/// `eth_signTransaction`: fills what is missing and signs.
pub(crate) fn sign_transaction(api: &Api, mut params: Params<'_>) -> Reply {
    let request: TransactionRequest = params.required()?;
    params.end()?;
    let signed = sign_request(api, request)?;
    json(&SignedObject { raw: signed.encoded().clone(), tx: pending_object(&signed) })
}

fn sign_request(api: &Api, mut request: TransactionRequest) -> Result<RecoveredTransaction, RpcError> {
    let from = request.from.ok_or_else(|| RpcError::invalid_params("missing field: from"))?;
    let held = api.backend.signer.as_ref().is_some_and(|signer| signer.accounts().contains(&from));
    if !held {
        // The same words as for every other signature that is asked of a foreign account.
        sign_digest(api, &from, &B256::ZERO)?;
    }
    request.normalize_input();
    fill(api, from, &mut request)?;
    let typed = request
        .build_consensus_tx()
        .map_err(|error| RpcError::invalid_params(format!("incomplete transaction: {error:?}")))?;
    let envelope: EthereumTxEnvelope<TxEip4844> = match typed {
        TypedTransaction::Legacy(tx) => {
            tx.clone().into_signed(sign_digest(api, &from, &tx.signature_hash())?).into()
        }
        TypedTransaction::Eip2930(tx) => {
            tx.clone().into_signed(sign_digest(api, &from, &tx.signature_hash())?).into()
        }
        TypedTransaction::Eip1559(tx) => {
            tx.clone().into_signed(sign_digest(api, &from, &tx.signature_hash())?).into()
        }
        TypedTransaction::Eip7702(tx) => {
            tx.clone().into_signed(sign_digest(api, &from, &tx.signature_hash())?).into()
        }
        TypedTransaction::Eip4844(_) => {
            return Err(RpcError::server(anfs_primitives::TransactionError::Blob.to_string()));
        }
    };
    RecoveredTransaction::decode_claimed(&envelope.encoded_2718().into(), from)
        .map_err(|error| RpcError::server(error.to_string()))
}

/// Gives absent fields the values that a wallet would ask for.
fn fill(api: &Api, from: Address, request: &mut TransactionRequest) -> Result<(), RpcError> {
    let backend = &api.backend;
    let chain_id = backend.chain.chain_id();
    if request.chain_id.is_some_and(|have| have != chain_id) {
        let have = request.chain_id.unwrap_or_default();
        return Err(RpcError::invalid_params(format!(
            "chainId does not match node's (have={have}, want={chain_id})"
        )));
    }
    request.chain_id = Some(chain_id);
    request.to = request.to.or(Some(TxKind::Create));
    if request.gas_price.is_none() {
        let tip = request.max_priority_fee_per_gas.map_or_else(|| fees::suggested_tip(api), Ok)?;
        // Twice the base fee, so that the transaction stays valid while the fee rises.
        let cap = tip.saturating_add(2 * u128::from(backend.chain.next_base_fee()));
        let cap = request.max_fee_per_gas.unwrap_or(cap);
        request.max_fee_per_gas = Some(cap);
        request.max_priority_fee_per_gas = Some(request.max_priority_fee_per_gas.unwrap_or(tip.min(cap)));
    }
    if request.nonce.is_none() {
        let executed = backend.state.account(At::Pending, &from)?.nonce;
        request.nonce = Some(backend.pool.pending_nonce(&from).unwrap_or(executed).max(executed));
    }
    if request.gas.is_none() {
        let call = CallRequest { transaction: request.clone(), ..CallRequest::default() };
        request.gas = Some(backend.executor.estimate_gas(At::Pending, call)?);
    }
    Ok(())
}
