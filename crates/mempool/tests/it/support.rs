//! Transactions to pool. Signatures are of no concern to the pool, so all carry the same one.

use alloy_consensus::{EthereumTxEnvelope, SignableTransaction as _, TxEip1559, TxEip4844, TxLegacy};
use alloy_primitives::{Address, Bytes, Signature, TxKind, U256};
use anfs_mempool::{AccountView, PoolLimits};
use anfs_primitives::{RecoveredTransaction, SignedTransaction};

pub(crate) const GAS: u64 = 100_000;

/// What varies between transactions.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) sender: u8,
    pub(crate) nonce: u64,
    pub(crate) tip: u128,
    pub(crate) cap: u128,
    pub(crate) gas: u64,
    pub(crate) value: u64,
    pub(crate) padding: usize,
}

impl Shape {
    pub(crate) fn new(sender: u8, nonce: u64, tip: u128, cap: u128) -> Self {
        Self { sender, nonce, tip, cap, gas: GAS, value: 0, padding: 0 }
    }

    pub(crate) fn build(&self) -> RecoveredTransaction {
        let transaction = TxEip1559 {
            chain_id: 1,
            nonce: self.nonce,
            gas_limit: self.gas,
            max_fee_per_gas: self.cap,
            max_priority_fee_per_gas: self.tip,
            // All signatures are the same: this makes the hashes of different senders differ.
            to: TxKind::Call(address(self.sender)),
            value: U256::from(self.value),
            input: Bytes::from(vec![0; self.padding]),
            ..Default::default()
        };
        recovered(&transaction.into_signed(Signature::test_signature()).into(), self.sender)
    }
}

pub(crate) fn legacy(sender: u8, nonce: u64, gas_price: u128) -> RecoveredTransaction {
    let transaction = TxLegacy {
        nonce,
        gas_price,
        gas_limit: GAS,
        to: TxKind::Call(address(sender)),
        ..Default::default()
    };
    recovered(&transaction.into_signed(Signature::test_signature()).into(), sender)
}

pub(crate) fn recovered(envelope: &EthereumTxEnvelope<TxEip4844>, sender: u8) -> RecoveredTransaction {
    let signed = SignedTransaction::from_envelope(envelope).expect("test transactions are well-formed");
    signed.with_claimed_sender(address(sender))
}

pub(crate) fn address(sender: u8) -> Address {
    Address::with_last_byte(sender)
}

pub(crate) fn account(nonce: u64) -> AccountView {
    AccountView { nonce, balance: U256::from(u64::MAX) }
}

pub(crate) fn limits() -> PoolLimits {
    PoolLimits {
        transactions_max: 1000,
        bytes_max: 1 << 20,
        sender_transactions_max: 16,
        sender_queued_max: 4,
        lifetime_ms: 1000,
        tip_min: 0,
        base_fee_min: 7,
        block_gas_limit: 30_000_000,
        transaction_gas_max: Some(anfs_mempool::TRANSACTION_GAS_MAX),
    }
}
