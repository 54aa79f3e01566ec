//! Signed transactions in the shape that revm takes.

use alloy_consensus::{EthereumTxEnvelope, Transaction as _, TxEip4844};
use alloy_eips::Typed2718 as _;
use anfs_primitives::RecoveredTransaction;
use revm::context::TxEnv;
use revm::context_interface::either::Either;

/// Builds revm's transaction. Types that the network does not carry cannot be in a `RecoveredTransaction`.
pub(crate) fn tx_env(tx: &RecoveredTransaction) -> TxEnv {
    let envelope: &EthereumTxEnvelope<TxEip4844> = tx.envelope();
    let authorizations = envelope.authorization_list().unwrap_or_default();
    TxEnv {
        tx_type: envelope.ty(),
        caller: tx.sender(),
        gas_limit: envelope.gas_limit(),
        gas_price: envelope.max_fee_per_gas(),
        kind: envelope.kind(),
        value: envelope.value(),
        data: envelope.input().clone(),
        nonce: envelope.nonce(),
        chain_id: envelope.chain_id(),
        access_list: envelope.access_list().cloned().unwrap_or_default(),
        gas_priority_fee: envelope.max_priority_fee_per_gas(),
        blob_hashes: Vec::new(),
        max_fee_per_blob_gas: 0,
        authorization_list: authorizations.iter().cloned().map(Either::Left).collect(),
    }
}
