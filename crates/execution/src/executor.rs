//! Executes the transactions of one block, one after the other.

use alloy_primitives::map::{AddressMap, B256Map};
use alloy_primitives::{Address, B256, Bloom, Bytes, Log, U256, keccak256};
use anfs_primitives::{Receipt, RecoveredTransaction};
use anfs_state::{AccountInfo, StateChanges, StateError, StateRead, WorldState};
use revm::context::TxEnv;
use revm::context::result::{ExecutionResult, Output};
use revm::context_interface::either::Either;
use revm::context_interface::transaction::{AuthorizationTr, RecoveredAuthority, RecoveredAuthorization};
use revm::context_interface::{ContextTr, JournalTr};
use revm::state::EvmState;

use crate::access::{AccessSets, TransactionAccess};
use crate::codes::CodeCache;
use crate::cross_domain::withdraw;
use crate::crossing::{Crossing, CrossingOutcome};
use crate::domain::Residence;
use crate::env::BlockEnv;
use crate::error::{EvmError, ExecutionError, InvalidTransaction, split};
use crate::evm::Evm;
use crate::handler::Watch;
use crate::invalid::refuse;
use crate::overlay::{Leftovers, Overlay};
use crate::system::HISTORY_STORAGE;
use crate::tx::tx_env;

/// Journals that held more accounts than this give their memory back after the transaction.
const JOURNAL_ACCOUNTS_KEPT: usize = 1024;

/// A block in execution: (pre-state, header values, transactions) → (changes, receipts).
///
/// A refused transaction leaves no trace, so a builder may try whatever comes. The same inputs give the same
/// outcome on every node. spec: PROTOCOL §3
pub struct BlockExecutor<S: StateRead = WorldState> {
    pub(crate) evm: Evm<Overlay<S>>,
    receipts: Vec<Receipt>,
    pub(crate) gas_used: u64,
    /// Coins that are no more.
    pub(crate) burned: U256,
    blooms: Blooms,
    receipt_blooms: Vec<Option<Box<Bloom>>>,
    logs_bloom: Bloom,
    access: Option<AccessSets>,
    /// Messages from and to other domains, when there are any.
    pub(crate) crossing: Option<Crossing>,
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
    /// `None` when there is nothing to filter.
    fn of(&mut self, logs: &[Log]) -> Option<Box<Bloom>> {
        if logs.is_empty() {
            return None;
        }
        let mut bloom = Box::new(Bloom::ZERO);
        for log in logs {
            set(&mut bloom, *self.addresses.entry(log.address).or_insert_with_key(|it| bits(it.as_slice())));
            for topic in log.data.topics() {
                set(&mut bloom, *self.topics.entry(*topic).or_insert_with_key(|it| bits(it.as_slice())));
            }
        }
        Some(bloom)
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
    /// Bloom filter of each receipt; `None` for one without logs.
    pub receipt_blooms: Vec<Option<Box<Bloom>>>,
    /// Gas used by all of them.
    pub gas_used: u64,
    /// Coins destroyed, in wei: base fees, and what went down with destroyed contracts.
    pub burned: U256,
    /// Union of the receipts' blooms.
    pub logs_bloom: Bloom,
    /// What each transaction read and wrote; empty unless [`BlockExecutor::record_access`] was called.
    pub access: AccessSets,
    /// Messages from and to other domains; `None` unless [`BlockExecutor::in_domain`] was called.
    pub crossing: Option<CrossingOutcome>,
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
            burned: U256::ZERO,
            blooms: Blooms::default(),
            receipt_blooms: Vec::new(),
            logs_bloom: Bloom::ZERO,
            access: None,
            crossing: None,
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
        let origin = *tx.hash();
        let tx = tx_env(tx);
        let left = self.gas_limit().saturating_sub(self.gas_used);
        if tx.gas_limit > left {
            let invalid = InvalidTransaction::BlockGas { have: left, want: tx.gas_limit };
            return Err(invalid.into());
        }
        let result =
            if self.crossing.is_some() { self.transact_in_domain(tx, origin)? } else { self.transact(tx)? };
        let gas_used = result.tx_gas_used();
        self.gas_used = self.gas_used.saturating_add(gas_used);
        self.burned += U256::from(gas_used) * U256::from(self.evm.context().block.basefee);
        let receipt = receipt(kind, result, gas_used, self.gas_used);
        let bloom = self.blooms.of(&receipt.logs);
        if let Some(bloom) = &bloom {
            self.logs_bloom |= **bloom;
        }
        self.receipt_blooms.push(bloom);
        self.receipts.push(receipt);
        Ok(self.receipts.last().expect("one was pushed just now"))
    }

    fn transact(&mut self, tx: TxEnv) -> Result<ExecutionResult, ExecutionError> {
        let outcome = self.evm.transact(tx);
        let (result, state) = self.settle(outcome)?;
        self.take_over(state);
        Ok(result)
    }

    /// As [`Self::transact`], in a domain of several.
    fn transact_in_domain(&mut self, mut tx: TxEnv, origin: B256) -> Result<ExecutionResult, ExecutionError> {
        if let Residence::At(domain) = self.residence(&tx.caller)? {
            return Err(InvalidTransaction::SenderElsewhere { sender: tx.caller, domain }.into());
        }
        let destination = self.destination(&tx)?;
        void_foreign_authorizations(&mut self.evm.context_mut().journaled_state.database, &mut tx)?;
        let outcome = self.evm.transact_in_domain(tx.clone());
        let mut watch = self.evm.take_watch();
        let (result, mut state) = self.settle(outcome)?;
        watch.sent = withdraw(&result, &mut state);
        let gas_used = result.tx_gas_used();
        if destination.is_some() {
            withhold(&mut state, &tx, gas_used);
        }
        let mut left = self.take_over(state);
        if let Some(destination) = destination {
            self.depart(origin, &tx, destination, gas_used, &mut left);
            // No code ran: its value was the only transfer, and has left with the call.
            watch.transfers.clear();
        }
        self.dispatch(origin, watch, left);
        Ok(result)
    }

    /// Runs a call from another domain whose sender has been lent its value. One that returns what is not `taken` has failed.
    pub(crate) fn run_arrival(
        &mut self,
        tx: TxEnv,
        taken: impl FnOnce(&Bytes) -> bool,
    ) -> Result<(ExecutionResult, Leftovers, Watch), ExecutionError> {
        let sender = tx.caller;
        let outcome = self.evm.transact_arrival(tx);
        let mut watch = self.evm.take_watch();
        let (mut result, mut state) = self.settle(outcome)?;
        if let ExecutionResult::Success { gas, output, .. } = &result
            && !taken(output.data())
        {
            result = ExecutionResult::Revert { gas: *gas, logs: Vec::new(), output: Bytes::new() };
            state.clear();
            watch = Watch::default();
        }
        watch.sent = withdraw(&result, &mut state);
        // A call that failed has left what was lent where it was, and the journal no trace of it.
        if let Some(account) = state.get_mut(&sender) {
            account.mark_touch();
        }
        Ok((result, self.take_over(state), watch))
    }

    /// The result of a run with the accounts that it touched; the journal is ready for the next.
    fn settle(
        &mut self,
        outcome: Result<ExecutionResult, EvmError>,
    ) -> Result<(ExecutionResult, EvmState), ExecutionError> {
        let context = self.evm.context_mut();
        let state = context.journal_mut().finalize();
        match outcome {
            Ok(result) => Ok((result, state)),
            Err(error) => {
                let refusal = split(error)?;
                let invalid = refuse(refusal, &context.tx, context.cfg.chain_id, context.block.basefee);
                Err(invalid.into())
            }
        }
    }

    fn take_over(&mut self, mut state: EvmState) -> Leftovers {
        if let Some(access) = &mut self.access {
            access.transactions.push(TransactionAccess::of(&state));
        }
        let journal = &mut self.evm.context_mut().journaled_state;
        let left = journal.database.commit(&mut state);
        self.burned += left.destroyed;
        if state.capacity() <= JOURNAL_ACCOUNTS_KEPT {
            journal.inner.state = state;
        }
        left
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
    /// When the state cannot be read.
    pub fn finish(mut self) -> Result<BlockOutcome, ExecutionError> {
        let crossing = self.finish_crossing()?;
        Ok(BlockOutcome {
            changes: self.evm.db().changes(),
            receipts: self.receipts,
            gas_used: self.gas_used,
            burned: self.burned,
            logs_bloom: self.logs_bloom,
            receipt_blooms: self.receipt_blooms,
            access: self.access.unwrap_or_default(),
            crossing,
        })
    }
}

/// Spoils authorisations (EIP-7702) of accounts that live elsewhere, whose nonce and code are not here. They are paid for
/// and skipped, as Ethereum skips any that do not apply.
pub(crate) fn void_foreign_authorizations<S: StateRead>(
    overlay: &mut Overlay<S>,
    tx: &mut TxEnv,
) -> Result<(), ExecutionError> {
    for authorization in &mut tx.authorization_list {
        let applies = match authorization.authority() {
            Some(authority) => overlay.residence(&authority)? == Residence::Here,
            None => true,
        };
        if !applies && let Either::Left(signed) = authorization {
            let mut inner = signed.inner().clone();
            // No nonce of an account reaches this one (EIP-2681).
            inner.nonce = u64::MAX;
            let recovered = RecoveredAuthorization::new_unchecked(inner, RecoveredAuthority::Invalid);
            *authorization = Either::Right(recovered);
        }
    }
    Ok(())
}

/// Takes from a sender what leaves with his transaction for its gas elsewhere. spec: Domains D6
pub(crate) fn withhold(state: &mut EvmState, tx: &TxEnv, gas_used: u64) {
    if let Some(sender) = state.get_mut(&tx.caller) {
        let unused = U256::from(tx.gas_limit.saturating_sub(gas_used));
        let prepaid = unused.saturating_mul(U256::from(tx.gas_price));
        // The whole limit at the maximum fee was in the account when the transaction was admitted.
        sender.info.balance = sender.info.balance.saturating_sub(prepaid);
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
    system_call(evm, HISTORY_STORAGE, hash.0.into())
}

/// Calls a contract as the protocol itself.
///
/// # Errors
/// [`ExecutionError::SystemCall`] when the call does not succeed; [`ExecutionError::State`].
pub(crate) fn system_call<S: StateRead>(
    evm: &mut Evm<Overlay<S>>,
    contract: Address,
    data: Bytes,
) -> Result<(), ExecutionError> {
    let outcome = evm.system_call(contract, data);
    let context = evm.context_mut();
    let mut state = context.journal_mut().finalize();
    let failed = |reason: String| ExecutionError::SystemCall { contract, reason };
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
            assert_eq!(blooms.of(&logs).map_or(Bloom::ZERO, |bloom| *bloom), expected);
        }
    }
}
