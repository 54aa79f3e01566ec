//! Why a transaction is not in the pool, worded as geth words it: wallets and libraries match on these texts.

use alloy_primitives::{Address, U256};

/// Why a transaction was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// The very same transaction is in the pool.
    #[error("already known")]
    AlreadyKnown,
    /// The nonce is spent.
    #[error("nonce too low: next nonce {next}, tx nonce {nonce}")]
    NonceTooLow {
        /// The account's next nonce.
        next: u64,
        /// The transaction's.
        nonce: u64,
    },
    /// Another transaction with this nonce sits in a block that is being voted on.
    #[error("nonce too low: the transaction with nonce {nonce} is already in a block under vote")]
    InFlight {
        /// The nonce of both.
        nonce: u64,
    },
    /// No account ever uses this nonce (EIP-2681).
    #[error("nonce has max value: address {sender}, nonce: {nonce}")]
    NonceMax {
        /// The sender.
        sender: Address,
        /// The nonce.
        nonce: u64,
    },
    /// Too little more is offered to replace a transaction with the same nonce.
    #[error(
        "replacement transaction underpriced: fee cap and tip cap must both rise by 10 %, to {fee_needed} and {tip_needed} wei"
    )]
    ReplacementUnderpriced {
        /// Least fee cap that replaces, in wei.
        fee_needed: u128,
        /// Least tip cap that replaces, in wei.
        tip_needed: u128,
    },
    /// The tip is below what this node accepts.
    #[error("transaction underpriced: gas tip cap {tip}, minimum needed {needed}")]
    TipTooLow {
        /// Tip cap in wei.
        tip: u128,
        /// Least tip cap in wei.
        needed: u128,
    },
    /// The fee cap is below the least base fee that the chain can have: it could never be included.
    #[error("transaction underpriced: gas fee cap {fee}, minimum needed {needed}")]
    FeeTooLow {
        /// Fee cap in wei.
        fee: u128,
        /// Least fee cap in wei.
        needed: u128,
    },
    /// The pool is full of transactions that pay at least as much.
    #[error("transaction underpriced: txpool is full of transactions that pay more than a tip of {tip} wei")]
    Underpriced {
        /// Effective tip offered, in wei; negative while the base fee exceeds the fee cap.
        tip: i128,
    },
    /// The pool is full and nothing in it can make room.
    #[error("txpool is full")]
    Full,
    /// The sender has as many transactions in the pool as one sender may have.
    #[error("account limit exceeded: pooled {have}, limit {max}")]
    AccountLimit {
        /// Transactions of the sender in the pool, or behind a nonce gap.
        have: usize,
        /// Most that one sender may have.
        max: usize,
    },
    /// The balance does not cover the sender's pooled transactions and this one.
    #[error(
        "insufficient funds for gas * price + value: balance {balance}, queued cost {queued}, tx cost {cost}, overshot {}",
        .queued.saturating_add(*.cost).saturating_sub(*.balance)
    )]
    InsufficientFunds {
        /// Balance in wei.
        balance: U256,
        /// What the sender's pooled transactions may cost, in wei.
        queued: U256,
        /// What this one may cost, in wei; the largest number if it has no finite cost.
        cost: U256,
    },
    /// The tip cap is above the fee cap.
    #[error(
        "max priority fee per gas higher than max fee per gas: maxPriorityFeePerGas: {tip}, maxFeePerGas: {fee}"
    )]
    TipAboveFee {
        /// Tip cap in wei.
        tip: u128,
        /// Fee cap in wei.
        fee: u128,
    },
    /// No block has this much gas.
    #[error("exceeds block gas limit: tx gas {gas}, block gas limit {limit}")]
    GasLimit {
        /// Gas limit of the transaction.
        gas: u64,
        /// Gas limit of a block.
        limit: u64,
    },
    /// No transaction may have this much gas (EIP-7825).
    #[error("transaction gas limit too high (cap: {cap}, tx: {gas})")]
    GasLimitTooHigh {
        /// Gas limit of the transaction.
        gas: u64,
        /// Most that a transaction may have.
        cap: u64,
    },
    /// Less gas than the transaction costs before its first instruction.
    #[error("intrinsic gas too low: gas {gas}, minimum needed {needed}")]
    IntrinsicGas {
        /// Gas limit of the transaction.
        gas: u64,
        /// Gas needed.
        needed: u64,
    },
    /// Less gas than the least charge for the calldata (EIP-7623).
    #[error("insufficient gas for floor data gas cost: gas {gas}, minimum needed {needed}")]
    FloorGas {
        /// Gas limit of the transaction.
        gas: u64,
        /// Gas needed.
        needed: u64,
    },
    /// Init code over the limit of EIP-3860.
    #[error("max initcode size exceeded: code size {size}, limit {max}")]
    InitCodeSize {
        /// Bytes of init code.
        size: usize,
        /// Most bytes allowed.
        max: usize,
    },
    /// A type 4 transaction without authorizations (EIP-7702).
    #[error("set code tx must have at least one authorization tuple")]
    NoAuthorization,
}
