//! The errors of this crate. Refusals of transactions carry geth's wordings, which wallets parse.

use alloy_primitives::{Address, Bytes, U256};
use anfs_state::StateError;
use revm::context::result::EVMError;

use crate::revert::describe_revert;

/// Why execution, a simulation or a trace did not happen.
#[derive(Debug, thiserror::Error)]
pub enum ExecutionError {
    /// The transaction may not be in a block at this place. Nothing was changed.
    #[error(transparent)]
    Invalid(#[from] InvalidTransaction),
    /// The state could not be read: a fault of this node, not of the transaction.
    #[error("reading state: {0}")]
    State(#[from] StateError),
    /// The EVM broke one of its own rules: a bug.
    #[error("evm: {0}")]
    Evm(String),
    /// A system call at the start of a block failed, so the block cannot be built on this state.
    #[error("system call to {contract} failed: {reason}")]
    SystemCall {
        /// The contract that was called.
        contract: Address,
        /// What it answered.
        reason: String,
    },
    /// A message that is not the next one of its lane to this domain.
    #[error("message {have} of its lane is not the one due here, {want}")]
    Inbox {
        /// The number that is due.
        want: u64,
        /// The one that came.
        have: u64,
    },
    /// The simulated call reverted.
    #[error("{}", describe_revert(.output))]
    Revert {
        /// The data that it reverted with.
        output: Bytes,
    },
    /// The simulated call halted without a revert.
    #[error("{0}")]
    Halt(String),
    /// No gas limit within the allowance makes the transaction succeed.
    #[error("gas required exceeds allowance ({allowance})")]
    GasAllowance {
        /// The allowance.
        allowance: u64,
    },
    /// The caller's deadline passed.
    #[error("execution aborted (timeout)")]
    Cancelled,
    /// A request from outside makes no sense.
    #[error("invalid argument: {0}")]
    Request(String),
    /// A simulated block is refused; the code is the one of the execution API.
    #[error("{message}")]
    Simulation {
        /// JSON-RPC error code.
        code: i32,
        /// What is wrong.
        message: String,
    },
    /// A trace that would take more memory than a request may.
    #[error(
        "trace too large: recording it takes more than {limit} bytes; set \"limit\", disable stack, memory \
         or storage, or use a tracer such as callTracer"
    )]
    TraceTooLarge {
        /// The allowance.
        limit: usize,
    },
    /// A tracer that does not run here.
    #[error("{0}")]
    Tracer(String),
}

/// Why a transaction may not be executed here, worded as geth words it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTransaction {
    /// Its sender's nonce and balance are kept by another domain.
    #[error("sender {sender} lives in domain {domain}: send the transaction there")]
    SenderElsewhere {
        /// Sender.
        sender: Address,
        /// Where he lives.
        domain: anfs_primitives::DomainId,
    },
    /// Already used.
    #[error("nonce too low: address {sender}, tx: {tx} state: {state}")]
    NonceTooLow {
        /// Sender.
        sender: Address,
        /// Nonce of the transaction.
        tx: u64,
        /// Nonce of the account.
        state: u64,
    },
    /// Leaves a gap.
    #[error("nonce too high: address {sender}, tx: {tx} state: {state}")]
    NonceTooHigh {
        /// Sender.
        sender: Address,
        /// Nonce of the transaction.
        tx: u64,
        /// Nonce of the account.
        state: u64,
    },
    /// The account can send nothing any more.
    #[error("nonce has max value: address {sender}, nonce: {nonce}")]
    NonceMax {
        /// Sender.
        sender: Address,
        /// Its nonce.
        nonce: u64,
    },
    /// Cannot pay gas and value.
    #[error("insufficient funds for gas * price + value: address {sender} have {have} want {want}")]
    InsufficientFunds {
        /// Sender.
        sender: Address,
        /// Its balance.
        have: U256,
        /// Largest possible cost.
        want: U256,
    },
    /// Gas times price plus value does not fit 256 bits.
    #[error("insufficient funds for gas * price + value: address {sender} required balance exceeds 256 bits")]
    CostOverflow {
        /// Sender.
        sender: Address,
    },
    /// Below what the transaction costs before it runs.
    #[error("intrinsic gas too low: have {have}, want {want}")]
    IntrinsicGas {
        /// Gas limit.
        have: u64,
        /// Intrinsic gas.
        want: u64,
    },
    /// Below the price of its call data (EIP-7623).
    #[error("insufficient gas for floor data gas cost: have {have}, want {want}")]
    FloorDataGas {
        /// Gas limit.
        have: u64,
        /// Floor.
        want: u64,
    },
    /// Does not fit into what is left of the block.
    #[error("gas limit reached: have {have}, want {want}")]
    BlockGas {
        /// Gas left in the block.
        have: u64,
        /// Gas limit of the transaction.
        want: u64,
    },
    /// Above the cap of one transaction (EIP-7825).
    #[error("transaction gas limit too high (cap: {cap}, tx: {gas_limit})")]
    GasLimitCap {
        /// Cap.
        cap: u64,
        /// Gas limit.
        gas_limit: u64,
    },
    /// Offers less than the base fee.
    #[error(
        "max fee per gas less than block base fee: address {sender}, maxFeePerGas: {max_fee}, baseFee: {base_fee}"
    )]
    FeeTooLow {
        /// Sender.
        sender: Address,
        /// Fee cap.
        max_fee: u128,
        /// Base fee.
        base_fee: u64,
    },
    /// The tip is above the fee cap.
    #[error(
        "max priority fee per gas higher than max fee per gas: address {sender}, maxPriorityFeePerGas: {tip}, maxFeePerGas: {max_fee}"
    )]
    TipAboveFee {
        /// Sender.
        sender: Address,
        /// Tip.
        tip: u128,
        /// Fee cap.
        max_fee: u128,
    },
    /// The sender is a contract (EIP-3607).
    #[error("sender not an eoa: address {sender}")]
    SenderHasCode {
        /// Sender.
        sender: Address,
    },
    /// Init code over the limit (EIP-3860).
    #[error("max initcode size exceeded: code size {size} limit {limit}")]
    InitCodeSize {
        /// Bytes given.
        size: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Signed for another chain.
    #[error("invalid chain id for signer: have {have} want {want}")]
    ChainId {
        /// Chain id of the transaction.
        have: u64,
        /// The network's.
        want: u64,
    },
    /// A delegation transaction that delegates nothing (EIP-7702).
    #[error("EIP-7702 transaction with empty auth list (sender {sender})")]
    EmptyAuthorizations {
        /// Sender.
        sender: Address,
    },
    /// A type that the fork does not know.
    #[error("transaction type not supported")]
    Type,
    /// A fault of a kind that this network's transactions cannot have.
    #[error("invalid transaction: {0}")]
    Other(String),
}

/// A state error in the shape that revm wants of a database.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) struct DatabaseError(#[from] pub(crate) StateError);

impl revm::database_interface::DBErrorMarker for DatabaseError {}

/// revm's error with our database's.
pub(crate) type EvmError = EVMError<DatabaseError>;

/// Separates what revm reports: `Err` of the inner result is the transaction's fault.
pub(crate) fn split(error: EvmError) -> Result<revm::context::result::InvalidTransaction, ExecutionError> {
    match error {
        EVMError::Transaction(invalid) => Ok(invalid),
        EVMError::Database(DatabaseError(error)) => Err(error.into()),
        other => Err(ExecutionError::Evm(other.to_string())),
    }
}
