//! Executes the transactions of one block, one after the other.

use alloy_primitives::map::{AddressMap, B256Map};
use alloy_primitives::{Address, Bloom, Log, keccak256};
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
    blooms: Blooms,
    receipt_blooms: Vec<Bloom>,
    access: Option<AccessSets>,
}

/// Makes bloom filters. Addresses and topics recur all through a block, and hashing them is what a filter costs,
/// so each is hashed once a block.
#[derive(Default)]
struct Blooms {
    addresses: AddressMap<BloomBits>,
    topics: B256Map<BloomBits>,
}

/// The three bits that a value sets.
type BloomBits = [u16; 3];

impl Blooms {
    fn of(&mut self, logs: &[Log]) -> Bloom {
        let mut bloom = Bloom::ZERO;
        for log in logs {
            set(&mut bloom, *self.addresses.entry(log.address).or_insert_with_key(|it| bits(it.as_slice())));
            for topic in log.data.topics() {
                set(&mut bloom, *self.topics.entry(*topic).or_insert_with_key(|it| bits(it.as_slice())));
            }
        }
        bloom
    }
}

fn bits(value: &[u8]) -> BloomBits {
    let hash = keccak256(value);
    [0, 2, 4].map(|at| u16::from_be_bytes([hash[at], hash[at + 1]]) % 2048)
}

fn set(bloom: &mut Bloom, bits: BloomBits) {
    for bit in bits.map(usize::from) {
        bloom[255 - bit / 8] |= 1 << (bit % 8);
    }
}

/// What a block did.
#[derive(Clone, Debug)]
pub struct BlockOutcome {
    /// Difference between the state before and after.
    pub changes: StateChanges,
    /// One receipt for each transaction, in order.
    pub receipts: Vec<Receipt>,
    /// Bloom filter of each receipt.
    pub receipt_blooms: Vec<Bloom>,
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
            blooms: Blooms::default(),
            receipt_blooms: Vec::new(),
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
        self.receipt_blooms.push(self.blooms.of(&receipt.logs));
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
            logs_bloom: self.receipt_blooms.iter().fold(Bloom::ZERO, |all, bloom| all | *bloom),
            receipt_blooms: self.receipt_blooms,
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

#[cfg(test)]
mod tests {
    use alloy_primitives::B256;

    use super::*;

    #[test]
    fn blooms_are_those_of_the_receipts() {
        let log = |address, topics: &[u8]| {
            let topics = topics.iter().map(|topic| B256::repeat_byte(*topic)).collect();
            Log::new(Address::repeat_byte(address), topics, Default::default()).unwrap()
        };
        let mut blooms = Blooms::default();
        for logs in
            [vec![], vec![log(1, &[])], vec![log(1, &[1, 2, 3, 4]), log(2, &[4])], vec![log(2, &[9, 1])]]
        {
            let expected: Bloom = logs.iter().collect();
            assert_eq!(blooms.of(&logs), expected);
        }
    }
}
