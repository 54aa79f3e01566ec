//! One made-up block of `eth_simulateV1`.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use alloy_consensus::transaction::Recovered;
use alloy_consensus::{
    BlockBody, EMPTY_ROOT_HASH, EthereumTxEnvelope, Header, SignableTransaction, Transaction as _, TxEip1559,
    TxEip2930, TxEip4844Variant, TxEip7702, TxEnvelope, TxLegacy, TxType,
};
use alloy_eips::eip2718::Encodable2718;
use alloy_eips::eip4895::Withdrawals;
use alloy_eips::eip7685::EMPTY_REQUESTS_HASH;
use alloy_primitives::{B256, Bloom, Log, Signature, U256};
use alloy_rpc_types_eth::simulate::{SimCallResult, SimulateError, SimulatePayload, SimulatedBlock};
use alloy_rpc_types_eth::{BlockTransactions, TransactionRequest};
use anfs_primitives::Receipt;
use anfs_state::{WorldState, ordered_root};
use revm::context::TxEnv;
use revm::context::result::ExecutionResult;
use revm::context_interface::{ContextTr, JournalTr};

use super::call::halt_message;
use super::request::{Defaults, request_tx};
use super::transfers::TransferLogs;
use super::v1::{code, refuse};
use crate::cancel::Canceller;
use crate::env::BlockEnv;
use crate::error::{ExecutionError, InvalidTransaction, split};
use crate::evm::Evm;
use crate::executor::record_parent_hash;
use crate::overlay::Overlay;
use crate::precompiles::Precompiles;
use crate::revert::describe_revert;

type SimEvm = Evm<Overlay<WorldState>, (TransferLogs, Canceller)>;

pub(super) struct Block<'a> {
    pub(super) env: &'a BlockEnv,
    pub(super) payload: &'a SimulatePayload,
    pub(super) parent_hash: B256,
    pub(super) base: &'a WorldState,
    pub(super) cancel: Option<Arc<AtomicBool>>,
}

/// What the calls of a block add up to.
#[derive(Default)]
struct Progress {
    gas_used: u64,
    receipts: Vec<Receipt>,
    transactions: Vec<Recovered<TxEnvelope>>,
    calls: Vec<SimCallResult>,
    bloom: Bloom,
    log_index: u64,
}

impl Block<'_> {
    pub(super) fn execute(
        &self,
        overlay: Overlay<WorldState>,
        precompiles: Precompiles,
        calls: &[TransactionRequest],
        budget: &mut u64,
    ) -> Result<(SimulatedBlock, Overlay<WorldState>), ExecutionError> {
        let mut start = Evm::new(overlay, self.env.cfg(), self.env.block());
        record_parent_hash(&mut start, self.env.number)?;
        let overlay = start.into_parts().0.journaled_state.database;
        let mut cfg = self.env.call_cfg();
        if self.payload.validation {
            cfg.disable_nonce_check = false;
            cfg.disable_eip3607 = false;
        }
        cfg.disable_base_fee = !self.payload.validation;
        let watch = (TransferLogs::new(self.payload.trace_transfers), Canceller::new(self.cancel.clone()));
        let mut evm = Evm::with_inspector(overlay, cfg, self.env.block(), watch);
        evm.set_precompiles(precompiles);
        let mut progress = Progress::default();
        for request in calls {
            self.call(&mut evm, request, &mut progress, budget)?;
        }
        let overlay = evm.into_parts().0.journaled_state.database;
        let state_root = self.base.apply(&overlay.changes())?.root();
        Ok((self.seal(progress, state_root), overlay))
    }

    fn call(
        &self,
        evm: &mut SimEvm,
        request: &TransactionRequest,
        progress: &mut Progress,
        budget: &mut u64,
    ) -> Result<(), ExecutionError> {
        let left = self.env.gas_limit.saturating_sub(progress.gas_used);
        if request.gas.is_some_and(|gas| gas > left) {
            let (used, limit) = (progress.gas_used, self.env.gas_limit);
            return refuse(code::BLOCK_GAS_LIMIT, format!("block gas limit reached: {used} >= {limit}"));
        }
        let sender = request.from.unwrap_or_default();
        let nonce = evm.db().account(&sender)?.unwrap_or_default().nonce;
        let defaults = Defaults { chain_id: self.env.chain_id, nonce, gas: left };
        let mut tx = request_tx(request, &defaults)?;
        tx.gas_limit = tx.gas_limit.min(*budget);
        let outcome = evm.inspect(tx.clone());
        if evm.inspector_mut().1.is_cancelled() {
            return Err(ExecutionError::Cancelled);
        }
        let context = evm.context_mut();
        let mut state = context.journal_mut().finalize();
        let result = match outcome {
            Ok(result) => result,
            Err(error) => {
                let refusal = split(error)?;
                let (chain, base_fee) = (context.cfg.chain_id, context.block.basefee);
                return Err(coded(&crate::invalid::refuse(refusal, &tx, chain, base_fee)));
            }
        };
        context.journaled_state.database.commit(&mut state);
        let logs = evm.inspector_mut().0.take();
        *budget = budget.saturating_sub(result.tx_gas_used());
        let envelope = envelope(&tx)?;
        progress.add(result, logs, Recovered::new_unchecked(envelope, tx.caller));
        Ok(())
    }

    fn seal(&self, mut progress: Progress, state_root: B256) -> SimulatedBlock {
        let env = self.env;
        let encoded: Vec<Vec<u8>> = progress.transactions.iter().map(|tx| tx.encoded_2718()).collect();
        let receipts: Vec<Vec<u8>> = progress.receipts.iter().map(Receipt::encoded_2718).collect();
        let header = Header {
            parent_hash: self.parent_hash,
            beneficiary: env.beneficiary,
            state_root,
            transactions_root: ordered_root(&encoded),
            receipts_root: ordered_root(&receipts),
            logs_bloom: progress.bloom,
            number: env.number,
            gas_limit: env.gas_limit,
            gas_used: progress.gas_used,
            timestamp: env.timestamp,
            mix_hash: env.prevrandao,
            base_fee_per_gas: Some(env.base_fee),
            // No blobs, withdrawals, beacon roots or requests here, as in the blocks of the chain.
            withdrawals_root: Some(EMPTY_ROOT_HASH),
            blob_gas_used: Some(0),
            excess_blob_gas: Some(0),
            parent_beacon_block_root: Some(B256::ZERO),
            requests_hash: Some(EMPTY_REQUESTS_HASH),
            ..Header::default()
        };
        let body = BlockBody {
            transactions: progress.transactions.clone(),
            ommers: Vec::new(),
            withdrawals: Some(Withdrawals::default()),
        };
        let size = alloy_consensus::Block::rlp_length_for(&header, &body);
        let header = alloy_rpc_types_eth::Header::new(header).with_size(Some(U256::from(size)));
        for (index, call) in progress.calls.iter_mut().enumerate() {
            for log in &mut call.logs {
                log.block_hash = Some(header.hash);
                log.block_number = Some(env.number);
                log.block_timestamp = Some(env.timestamp);
                log.transaction_index = Some(index as u64);
                log.transaction_hash = progress.transactions.get(index).map(|tx| *tx.tx_hash());
            }
        }
        let hash = header.hash;
        let transactions = if self.payload.return_full_transactions {
            let full = progress.transactions.into_iter().enumerate().map(|(index, inner)| {
                alloy_rpc_types_eth::Transaction {
                    effective_gas_price: Some(inner.effective_gas_price(Some(env.base_fee))),
                    inner,
                    block_hash: Some(hash),
                    block_number: Some(env.number),
                    transaction_index: Some(index as u64),
                    block_timestamp: Some(env.timestamp),
                }
            });
            BlockTransactions::Full(full.collect())
        } else {
            BlockTransactions::Hashes(progress.transactions.iter().map(|tx| *tx.tx_hash()).collect())
        };
        let inner = alloy_rpc_types_eth::Block {
            header,
            uncles: Vec::new(),
            transactions,
            withdrawals: body.withdrawals,
        };
        SimulatedBlock { inner, calls: progress.calls }
    }
}

impl Progress {
    fn add(&mut self, result: ExecutionResult, traced: Option<Vec<Log>>, tx: Recovered<TxEnvelope>) {
        let gas_used = result.tx_gas_used();
        let max_used_gas = Some(result.gas().total_gas_spent().max(gas_used));
        self.gas_used = self.gas_used.saturating_add(gas_used);
        let success = result.is_success();
        let error = match &result {
            ExecutionResult::Success { .. } => None,
            ExecutionResult::Revert { output, .. } => Some(SimulateError {
                code: SimulateError::EXECUTION_REVERTED_CODE,
                message: describe_revert(output),
                data: Some(output.clone()),
            }),
            ExecutionResult::Halt { reason, .. } => Some(SimulateError {
                code: SimulateError::VM_EXECUTION_ERROR_CODE,
                message: halt_message(reason),
                data: None,
            }),
        };
        let own = if success { result.logs().to_vec() } else { Vec::new() };
        let logs = traced.filter(|_| success).unwrap_or(own);
        let numbered = logs.iter().zip(self.log_index..).map(|(log, index)| alloy_rpc_types_eth::Log {
            inner: log.clone(),
            log_index: Some(index),
            ..alloy_rpc_types_eth::Log::default()
        });
        let numbered: Vec<_> = numbered.collect();
        self.log_index += logs.len() as u64;
        for log in &logs {
            self.bloom.accrue_log(log);
        }
        self.receipts.push(Receipt {
            kind: tx.tx_type(),
            success,
            cumulative_gas_used: self.gas_used,
            gas_used,
            contract_address: result.created_address().filter(|_| success),
            logs,
        });
        self.transactions.push(tx);
        let return_data = result.into_output().unwrap_or_default();
        self.calls.push(SimCallResult {
            return_data,
            logs: numbered,
            gas_used,
            max_used_gas,
            status: success,
            error,
        });
    }
}

/// A refusal under the execution API's code.
fn coded(invalid: &InvalidTransaction) -> ExecutionError {
    let code = match invalid {
        InvalidTransaction::NonceTooLow { .. } => code::NONCE_TOO_LOW,
        InvalidTransaction::NonceTooHigh { .. } => code::NONCE_TOO_HIGH,
        InvalidTransaction::FeeTooLow { .. } => code::BASE_FEE_TOO_LOW,
        InvalidTransaction::IntrinsicGas { .. } | InvalidTransaction::FloorDataGas { .. } => {
            code::INTRINSIC_GAS
        }
        InvalidTransaction::InsufficientFunds { .. } | InvalidTransaction::CostOverflow { .. } => {
            code::INSUFFICIENT_FUNDS
        }
        InvalidTransaction::BlockGas { .. } => code::BLOCK_GAS_LIMIT,
        InvalidTransaction::SenderHasCode { .. } => code::SENDER_NOT_EOA,
        InvalidTransaction::InitCodeSize { .. } => code::INIT_CODE_SIZE,
        _ => code::INVALID_PARAMS,
    };
    ExecutionError::Simulation { code, message: invalid.to_string() }
}

/// The transaction as it would stand in the block, with an empty signature: nobody signed it.
fn envelope(tx: &TxEnv) -> Result<TxEnvelope, ExecutionError> {
    let signature = Signature::new(U256::ZERO, U256::ZERO, false);
    let kind = TxType::try_from(tx.tx_type).map_err(|error| ExecutionError::Request(error.to_string()))?;
    let (chain_id, nonce, gas_limit) = (tx.chain_id.unwrap_or_default(), tx.nonce, tx.gas_limit);
    let (to, value, input) = (tx.kind, tx.value, tx.data.clone());
    let (gas_price, access_list) = (tx.gas_price, tx.access_list.clone());
    let max_priority_fee_per_gas = tx.gas_priority_fee.unwrap_or_default();
    let envelope: EthereumTxEnvelope<TxEip4844Variant> = match kind {
        TxType::Legacy => TxLegacy { chain_id: tx.chain_id, nonce, gas_price, gas_limit, to, value, input }
            .into_signed(signature)
            .into(),
        TxType::Eip2930 => TxEip2930 { chain_id, nonce, gas_price, gas_limit, to, value, access_list, input }
            .into_signed(signature)
            .into(),
        TxType::Eip7702 => TxEip7702 {
            chain_id,
            nonce,
            gas_limit,
            max_fee_per_gas: gas_price,
            max_priority_fee_per_gas,
            to: to.to().copied().unwrap_or_default(),
            value,
            access_list,
            authorization_list: tx.authorization_list.iter().filter_map(|item| item.clone().left()).collect(),
            input,
        }
        .into_signed(signature)
        .into(),
        TxType::Eip1559 | TxType::Eip4844 => TxEip1559 {
            chain_id,
            nonce,
            gas_limit,
            max_fee_per_gas: gas_price,
            max_priority_fee_per_gas,
            to,
            value,
            access_list,
            input,
        }
        .into_signed(signature)
        .into(),
    };
    Ok(envelope)
}
