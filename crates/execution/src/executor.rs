//! Executes the transactions of one block, one after the other.

use alloy_primitives::map::{AddressSet, B256Set};
use alloy_primitives::{Address, Bloom, BloomInput, Log};
use anfs_primitives::{Receipt, RecoveredTransaction};
use anfs_state::{AccountInfo, StateChanges, StateError, StateRead, WorldState};
use revm::context::TxEnv;
use revm::context::result::{ExecutionResult, Output};
use revm::context_interface::{ContextTr, JournalTr};

use crate::access::{AccessSets, TransactionAccess};
use crate::codes::CodeCache;
use crate::env::BlockEnv;
use crate::error::{ExecutionError, InvalidTransaction, split};
use crate::evm::Evm;
use crate::invalid::refuse;
use crate::overlay::Overlay;
use crate::system::HISTORY_STORAGE;
use crate::tx::tx_env;

/// Journals that held more accounts than this give their memory back after the transaction.
const JOURNAL_ACCOUNTS_KEPT: usize = 1024;

/// A block in execution: (pre-state, header values, transactions) → (changes, receipts).
///
/// A refused transaction leaves no trace, so a builder may try whatever comes. The same inputs give the same
/// outcome on every node. spec: PROTOCOL §3
pub struct BlockExecutor<S: StateRead = WorldState> {
    evm: Evm<Overlay<S>>,
    receipts: Vec<Receipt>,
    gas_used: u64,
    logs_bloom: BlockBloom,
    access: Option<AccessSets>,
}

/// The union of the receipts' blooms. Addresses and topics recur all through a block, and hashing them is
/// what a bloom costs, so each is hashed once.
#[derive(Default)]
struct BlockBloom {
    bloom: Bloom,
    addresses: AddressSet,
    topics: B256Set,
}

impl BlockBloom {
    fn accrue(&mut self, log: &Log) {
        if self.addresses.insert(log.address) {
            self.bloom.accrue(BloomInput::Raw(log.address.as_slice()));
        }
        for topic in log.data.topics() {
            if self.topics.insert(*topic) {
                self.bloom.accrue(BloomInput::Raw(topic.as_slice()));
            }
        }
    }
}

/// What a block did.
#[derive(Clone, Debug)]
pub struct BlockOutcome {
    /// Difference between the state before and after.
    pub changes: StateChanges,
    /// One receipt for each transaction, in order.
    pub receipts: Vec<Receipt>,
    /// Gas used by all of them.
    pub gas_used: u64,
    /// Union of the receipts' blooms.
    pub logs_bloom: Bloom,
    /// What each transaction read and wrote; empty unless [`BlockExecutor::record_access`] was called.
    pub access: AccessSets,
}

impl<S: StateRead> BlockExecutor<S> {
    /// Starts a block on a state. Runs the EIP-2935 system call when the history contract exists.
    ///
    /// # Errors
    /// [`ExecutionError::State`], or [`ExecutionError::SystemCall`] when the state's history contract is not
    /// the real one.
    pub fn new(env: BlockEnv, state: S) -> Result<Self, ExecutionError> {
        Self::start(env, state, None)
    }

    /// As [`Self::new`], with analysed code taken from and given to a cache that outlives the block.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_codes(env: BlockEnv, state: S, codes: CodeCache) -> Result<Self, ExecutionError> {
        Self::start(env, state, Some(codes))
    }

    fn start(env: BlockEnv, state: S, codes: Option<CodeCache>) -> Result<Self, ExecutionError> {
        let (cfg, block, number) = (env.cfg(), env.block(), env.number);
        let overlay = Overlay::new(state, env.ancestors, codes);
        let mut executor = Self {
            evm: Evm::new(overlay, cfg, block),
            receipts: Vec::new(),
            gas_used: 0,
            logs_bloom: BlockBloom::default(),
            access: None,
        };
        record_parent_hash(&mut executor.evm, number)?;
        Ok(executor)
    }

    /// Records what each transaction reads and writes from now on.
    #[must_use]
    pub fn record_access(mut self) -> Self {
        self.access = Some(AccessSets::default());
        self
    }

    /// Executes a transaction with the sender that it carries.
    ///
    /// # Errors
    /// [`ExecutionError::Invalid`] when it may not be here; everything is then as before the call.
    pub fn execute(&mut self, tx: &RecoveredTransaction) -> Result<&Receipt, ExecutionError> {
        let kind = tx.envelope().tx_type();
        let tx = tx_env(tx);
        let left = self.gas_limit().saturating_sub(self.gas_used);
        if tx.gas_limit > left {
            let invalid = InvalidTransaction::BlockGas { have: left, want: tx.gas_limit };
            return Err(invalid.into());
        }
        let result = self.transact(tx)?;
        let gas_used = result.tx_gas_used();
        self.gas_used = self.gas_used.saturating_add(gas_used);
        let receipt = receipt(kind, result, gas_used, self.gas_used);
        for log in &receipt.logs {
            self.logs_bloom.accrue(log);
        }
        self.receipts.push(receipt);
        Ok(self.receipts.last().expect("one was pushed just now"))
    }

    fn transact(&mut self, tx: TxEnv) -> Result<ExecutionResult, ExecutionError> {
        let outcome = self.evm.transact(tx);
        let context = self.evm.context_mut();
        let mut state = context.journal_mut().finalize();
        match outcome {
            Ok(result) => {
                if let Some(access) = &mut self.access {
                    access.transactions.push(TransactionAccess::of(&state));
                }
                context.journaled_state.database.commit(&mut state);
                if state.capacity() <= JOURNAL_ACCOUNTS_KEPT {
                    context.journaled_state.inner.state = state;
                }
                Ok(result)
            }
            Err(error) => {
                let refusal = split(error)?;
                let invalid = refuse(refusal, &context.tx, context.cfg.chain_id, context.block.basefee);
                Err(invalid.into())
            }
        }
    }

    fn gas_limit(&self) -> u64 {
        self.evm.context().block.gas_limit
    }

    /// Gas used so far.
    #[must_use]
    pub fn gas_used(&self) -> u64 {
        self.gas_used
    }

    /// Receipts so far.
    #[must_use]
    pub fn receipts(&self) -> &[Receipt] {
        &self.receipts
    }

    /// An account as of now.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn account(&self, address: &Address) -> Result<Option<AccountInfo>, StateError> {
        self.evm.db().account(address)
    }

    /// Ends the block.
    ///
    /// # Errors
    /// None today: the block's end has no system call that could fail.
    pub fn finish(self) -> Result<BlockOutcome, ExecutionError> {
        Ok(BlockOutcome {
            changes: self.evm.db().changes(),
            receipts: self.receipts,
            gas_used: self.gas_used,
            logs_bloom: self.logs_bloom.bloom,
            access: self.access.unwrap_or_default(),
        })
    }
}

impl<S: StateRead> std::fmt::Debug for BlockExecutor<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlockExecutor")
            .field("transactions", &self.receipts.len())
            .field("gas_used", &self.gas_used)
            .finish_non_exhaustive()
    }
}

/// EIP-2935: tells the history contract the parent's hash, when genesis has the contract.
pub(crate) fn record_parent_hash<S: StateRead>(
    evm: &mut Evm<Overlay<S>>,
    number: u64,
) -> Result<(), ExecutionError> {
    let Some(parent) = number.checked_sub(1) else { return Ok(()) };
    let has_code = evm
        .db()
        .account(&HISTORY_STORAGE)?
        .is_some_and(|account| account.code_hash != alloy_primitives::KECCAK256_EMPTY);
    if !has_code {
        return Ok(());
    }
    let hash = revm::DatabaseRef::block_hash_ref(evm.db(), parent)
        .map_err(|crate::error::DatabaseError(error)| error)?;
    let outcome = evm.system_call(HISTORY_STORAGE, hash.0.into());
    let context = evm.context_mut();
    let mut state = context.journal_mut().finalize();
    let failed = |reason: String| ExecutionError::SystemCall { contract: HISTORY_STORAGE, reason };
    match outcome {
        Ok(result) if result.is_success() => {
            // The caller of a system call is no account that the call leaves behind.
            state.remove(&crate::system::SYSTEM_ADDRESS);
            context.journaled_state.database.commit(&mut state);
            Ok(())
        }
        Ok(result) => Err(failed(format!("{result:?}"))),
        Err(error) => split(error).and_then(|refusal| Err(failed(refusal.to_string()))),
    }
}

fn receipt(
    kind: anfs_primitives::ReceiptKind,
    result: ExecutionResult,
    gas_used: u64,
    cumulative_gas_used: u64,
) -> Receipt {
    let (success, contract_address, logs) = match result {
        ExecutionResult::Success { logs, output, .. } => {
            let created = match output {
                Output::Create(_, address) => address,
                Output::Call(_) => None,
            };
            (true, created, logs)
        }
        ExecutionResult::Revert { .. } | ExecutionResult::Halt { .. } => (false, None, Vec::new()),
    };
    Receipt { kind, success, cumulative_gas_used, gas_used, contract_address, logs }
}
