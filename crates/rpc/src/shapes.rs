//! Blocks, transactions, receipts and logs in the shapes of Ethereum's execution-apis.
//!
//! Header fields that no block here has hold the values of an Ethereum block without them: no
//! uncles, withdrawals, blobs, beacon root or requests.

use std::io;

use alloy_consensus::transaction::Recovered;
use alloy_consensus::{
    EMPTY_OMMER_ROOT_HASH, Header as EthHeader, ReceiptEnvelope, ReceiptWithBloom, Transaction as _,
    TxEip4844, proofs,
};
use alloy_consensus::{EthereumTxEnvelope, Receipt as EthReceipt};
use alloy_eips::eip7685::EMPTY_REQUESTS_HASH;
use alloy_primitives::{B256, Bloom, U256};
use alloy_rpc_types_eth::{
    Block, BlockTransactions, Header, Log, Transaction, TransactionReceipt, Withdrawals,
};
use anfs_primitives::RecoveredTransaction;
use serde::Serialize;
use serde_json::Value;

use crate::backend::{BlockSummary, ChainReader, ShownBlock};
use crate::error::RpcError;

/// A transaction object.
pub(crate) type TransactionObject = Transaction<EthereumTxEnvelope<TxEip4844>>;
/// A receipt object.
pub(crate) type ReceiptObject = TransactionReceipt<ReceiptEnvelope<Log>>;
/// A block object.
pub(crate) type BlockObject = Block<TransactionObject>;

/// Serialises a result.
pub(crate) fn json<T: Serialize + ?Sized>(value: &T) -> Result<String, RpcError> {
    serde_json::to_string(value)
        .map_err(|error| RpcError::internal(format!("the answer cannot be written as JSON: {error}")))
}

/// Serialises a result that may be huge, and gives up as soon as it is over the limit.
pub(crate) fn json_within<T: Serialize + ?Sized>(limit: usize, value: &T) -> Result<String, RpcError> {
    let mut out = Limited { text: Vec::new(), limit };
    match serde_json::to_writer(&mut out, value) {
        Ok(()) => Ok(String::from_utf8(out.text).expect("serde_json writes UTF-8")),
        Err(error) if error.is_io() => Err(RpcError::response_too_large(limit)),
        Err(error) => Err(RpcError::internal(format!("the answer cannot be written as JSON: {error}"))),
    }
}

/// A buffer that refuses to grow past its limit.
struct Limited {
    text: Vec<u8>,
    limit: usize,
}

impl io::Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.text.len() + bytes.len() > self.limit {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn consensus_header(block: &BlockSummary) -> EthHeader {
    EthHeader {
        parent_hash: block.parent,
        ommers_hash: EMPTY_OMMER_ROOT_HASH,
        beneficiary: block.beneficiary,
        state_root: block.state_root,
        transactions_root: block.transactions_root,
        receipts_root: block.receipts_root,
        logs_bloom: block.logs_bloom,
        number: block.height.0,
        gas_limit: block.gas_limit,
        gas_used: block.gas_used,
        timestamp: block.timestamp,
        mix_hash: block.prev_randao,
        base_fee_per_gas: Some(block.base_fee),
        withdrawals_root: Some(proofs::calculate_withdrawals_root(&[])),
        blob_gas_used: Some(0),
        excess_blob_gas: Some(0),
        parent_beacon_block_root: Some(B256::ZERO),
        requests_hash: Some(EMPTY_REQUESTS_HASH),
        ..EthHeader::default()
    }
}

/// A header object, as `eth_subscribe` gives it for `newHeads`.
pub(crate) fn header_object(block: &BlockSummary) -> Header {
    Header { hash: block.hash, inner: consensus_header(block), total_difficulty: None, size: None }
}

/// Where a block's transactions and logs are said to be.
#[derive(Clone, Copy)]
struct Place {
    hash: B256,
    number: u64,
    timestamp: u64,
}

impl Place {
    fn of(block: &dyn ShownBlock) -> Self {
        Self { hash: block.hash(), number: block.height().0, timestamp: block.summary().timestamp }
    }
}

/// A block object with full transactions or their hashes.
pub(crate) fn block_object(block: &dyn ShownBlock, full: bool) -> BlockObject {
    let summary = block.summary();
    let transactions = if full {
        let place = Place::of(block);
        let objects = block.transactions().iter().enumerate();
        BlockTransactions::Full(
            objects.map(|(index, tx)| transaction_at(place, index, tx, block.gas_price(index))).collect(),
        )
    } else {
        BlockTransactions::Hashes(block.transactions().iter().map(|tx| *tx.hash()).collect())
    };
    Block {
        header: header_object(&summary).with_size(Some(U256::from(summary.size))),
        uncles: Vec::new(),
        transactions,
        withdrawals: Some(Withdrawals::default()),
    }
}

/// The block that would come next, as geth shows it: no hash, nonce or beneficiary yet.
pub(crate) fn pending_block(
    chain: &dyn ChainReader,
    transactions: &[RecoveredTransaction],
    full: bool,
) -> Result<Value, RpcError> {
    let head = chain.head().summary();
    let mut header = consensus_header(&head);
    header.timestamp = chain.next_timestamp();
    header.mix_hash = B256::ZERO;
    header.parent_hash = head.hash;
    header.number = head.height.0 + 1;
    header.base_fee_per_gas = Some(chain.next_base_fee());
    header.gas_used = 0;
    header.logs_bloom = Bloom::ZERO;
    header.transactions_root = B256::ZERO;
    header.receipts_root = B256::ZERO;
    let transactions = if full {
        BlockTransactions::Full(transactions.iter().map(pending_object).collect())
    } else {
        BlockTransactions::Hashes(transactions.iter().map(|tx| *tx.hash()).collect())
    };
    let header = Header { hash: B256::ZERO, inner: header, total_difficulty: None, size: Some(U256::ZERO) };
    let block: BlockObject =
        Block { header, uncles: Vec::new(), transactions, withdrawals: Some(Withdrawals::default()) };
    let mut value = serde_json::to_value(&block).map_err(|error| RpcError::internal(error.to_string()))?;
    for field in ["hash", "nonce", "miner"] {
        value[field] = Value::Null;
    }
    Ok(value)
}

fn recovered(tx: &RecoveredTransaction) -> Recovered<EthereumTxEnvelope<TxEip4844>> {
    Recovered::new_unchecked(tx.envelope().clone(), tx.sender())
}

/// A transaction of a block; `None` past the last.
pub(crate) fn transaction_object(block: &dyn ShownBlock, index: usize) -> Option<TransactionObject> {
    let tx = block.transactions().get(index)?;
    Some(transaction_at(Place::of(block), index, tx, block.gas_price(index)))
}

fn transaction_at(place: Place, index: usize, tx: &RecoveredTransaction, price: u128) -> TransactionObject {
    Transaction {
        inner: recovered(tx),
        block_hash: Some(place.hash),
        block_number: Some(place.number),
        transaction_index: Some(index as u64),
        effective_gas_price: Some(price),
        block_timestamp: Some(place.timestamp),
    }
}

/// A transaction that is not decided.
pub(crate) fn pending_object(tx: &RecoveredTransaction) -> TransactionObject {
    Transaction {
        inner: recovered(tx),
        block_hash: None,
        block_number: None,
        transaction_index: None,
        // As execution-apis has it for what is in no block yet: the price is the most that it may be.
        effective_gas_price: Some(tx.envelope().max_fee_per_gas()),
        block_timestamp: None,
    }
}

/// A log with its place in the chain.
fn log_object(place: Place, (index, tx): (usize, B256), log_index: u64, log: &alloy_primitives::Log) -> Log {
    Log {
        inner: log.clone(),
        block_hash: Some(place.hash),
        block_number: Some(place.number),
        block_timestamp: Some(place.timestamp),
        transaction_hash: Some(tx),
        transaction_index: Some(index as u64),
        log_index: Some(log_index),
        removed: false,
    }
}

/// The logs of a block that satisfy `keep`.
pub(crate) fn logs_where(
    block: &dyn ShownBlock,
    keep: impl Fn(&alloy_primitives::Log) -> bool,
) -> impl Iterator<Item = Log> {
    let place = Place::of(block);
    let listed = block.transactions().iter().zip(block.receipts()).enumerate();
    let logs = listed
        .flat_map(|(index, (tx, receipt))| receipt.logs.iter().map(move |log| ((index, *tx.hash()), log)));
    (0u64..)
        .zip(logs)
        .filter(move |(_, (_, log))| keep(log))
        .map(move |(log_index, (transaction, log))| log_object(place, transaction, log_index, log))
}

/// A receipt object; `None` past the last.
pub(crate) fn receipt_object(block: &dyn ShownBlock, index: usize) -> Option<ReceiptObject> {
    let receipts = block.receipts();
    let (tx, receipt) = (block.transactions().get(index)?, receipts.get(index)?);
    let first_log: usize = receipts[..index].iter().map(|receipt| receipt.logs.len()).sum();
    Some(receipt_at(Place::of(block), index, (tx, block.gas_price(index)), receipt, first_log as u64))
}

/// The receipts of a block.
pub(crate) fn receipt_objects(block: &dyn ShownBlock) -> Vec<ReceiptObject> {
    let place = Place::of(block);
    let mut next_log = 0;
    let pairs = block.transactions().iter().zip(block.receipts()).enumerate();
    pairs
        .map(|(index, (tx, receipt))| {
            let object = receipt_at(place, index, (tx, block.gas_price(index)), receipt, next_log);
            next_log += receipt.logs.len() as u64;
            object
        })
        .collect()
}

fn receipt_at(
    place: Place,
    index: usize,
    (tx, price): (&RecoveredTransaction, u128),
    receipt: &anfs_primitives::Receipt,
    first_log: u64,
) -> ReceiptObject {
    let here = (index, *tx.hash());
    let logs = (first_log..).zip(&receipt.logs).map(|(at, log)| log_object(place, here, at, log));
    let consensus = EthReceipt {
        status: receipt.success.into(),
        cumulative_gas_used: receipt.cumulative_gas_used,
        logs: logs.collect(),
    };
    let with_bloom = ReceiptWithBloom { receipt: consensus, logs_bloom: receipt.bloom() };
    TransactionReceipt {
        inner: ReceiptEnvelope::from_typed(receipt.kind, with_bloom),
        transaction_hash: *tx.hash(),
        transaction_index: Some(index as u64),
        block_hash: Some(place.hash),
        block_number: Some(place.number),
        gas_used: receipt.gas_used,
        effective_gas_price: price,
        blob_gas_used: None,
        blob_gas_price: None,
        from: tx.sender(),
        to: tx.envelope().to(),
        contract_address: receipt.contract_address,
    }
}
