//! The root as a domain: its system contracts, the messages that reach them, and what it issues.
//!
//! ```text
//!   genesis seats ──▶ assign ──▶ state 0
//!   root block: issuance ──▶ Rewards.distribute ─┐
//!               messages ──▶ arrive, in order ───┴─▶ state h, messages out
//! ```
//!
//! The root has no transactions of its own: whatever happens in it came with a message, or is the protocol's. spec:
//! PROTOCOL §6, §11; Domains R1–R6

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::SolCall;
use anfs_primitives::{Arrival, CrossMessage, DomainId, GenesisAccount, SeatIndex, ValidatorSpec};
use anfs_state::{StateRead, WorldState};

use crate::crossing::ArrivalOutcome;
use crate::domain::DomainEnv;
use crate::env::BlockEnv;
use crate::error::ExecutionError;
use crate::executor::{BlockExecutor, BlockOutcome, system_call};
use crate::system::{REWARDS, RootContracts, SEATS};

/// What a root block did to the root's own state.
#[derive(Clone, Debug)]
pub struct RootOutcome {
    /// The messages that it consumed, with what each call came to.
    pub arrivals: Vec<Arrival>,
    /// The rest; there are no transactions in it.
    pub block: BlockOutcome,
}

/// The state that the root starts with: these accounts, the system contracts among them, with all seats assigned.
///
/// # Errors
/// [`ExecutionError::SystemCall`] when a system contract is missing, or a seat is given twice.
pub fn root_genesis<'a>(
    env: BlockEnv,
    accounts: &BTreeMap<Address, GenesisAccount>,
    seats: impl IntoIterator<Item = (DomainId, SeatIndex, &'a ValidatorSpec)>,
) -> Result<WorldState, ExecutionError> {
    for contract in [SEATS, REWARDS] {
        if accounts.get(&contract).is_none_or(|account| account.code.is_empty()) {
            return Err(ExecutionError::SystemCall {
                contract,
                reason: "genesis has no such contract".into(),
            });
        }
    }
    let state = WorldState::genesis(accounts)?;
    let mut executor = BlockExecutor::new(env, state.clone())?;
    for (domain, seat, holder) in seats {
        let call = RootContracts::assignCall {
            domain: domain.0,
            seat: seat.0,
            key: key_words(&holder.public_key.0),
            account: holder.beneficiary,
            stake: holder.stake,
        };
        executor.system_call(SEATS, call.abi_encode().into())?;
    }
    Ok(state.apply(&executor.finish()?.changes)?)
}

fn key_words(key: &[u8; 96]) -> [B256; 3] {
    [0, 32, 64].map(|at| B256::from_slice(&key[at..at + 32]))
}

/// Executes a root block: hands out what it issues, then consumes its messages, all of them.
///
/// # Errors
/// [`ExecutionError::Inbox`] when a message is not the next of its lane; [`ExecutionError::SystemCall`],
/// [`ExecutionError::State`].
pub fn run_root<'m, S: StateRead>(
    env: BlockEnv,
    domain: DomainEnv,
    state: S,
    issued: U256,
    messages: impl IntoIterator<Item = &'m CrossMessage>,
) -> Result<RootOutcome, ExecutionError> {
    let mut executor = begin_root(env, domain, state, issued)?;
    let mut arrivals = Vec::new();
    for message in messages {
        let receipt = match executor.arrive(message)? {
            ArrivalOutcome::Run(leg) => Some(leg.receipt),
            ArrivalOutcome::Settled => None,
        };
        arrivals.push(Arrival { message: message.clone(), receipt });
    }
    Ok(RootOutcome { arrivals, block: executor.finish()? })
}

/// A root block that has handed out what it issues, and comes to its messages next.
///
/// # Errors
/// As [`run_root`].
pub fn begin_root<S: StateRead>(
    env: BlockEnv,
    domain: DomainEnv,
    state: S,
    issued: U256,
) -> Result<BlockExecutor<S>, ExecutionError> {
    let mut executor = BlockExecutor::new(env, state)?.in_domain(domain);
    if !issued.is_zero() {
        executor.issue(issued)?;
    }
    Ok(executor)
}

impl<S: StateRead> BlockExecutor<S> {
    /// Calls a contract as the protocol itself: nobody pays, and it must succeed.
    ///
    /// # Errors
    /// [`ExecutionError::SystemCall`] when it does not; [`ExecutionError::State`].
    pub(crate) fn system_call(&mut self, contract: Address, data: Bytes) -> Result<(), ExecutionError> {
        system_call(&mut self.evm, contract, data)
    }

    /// Mints coins to those who earn them.
    fn issue(&mut self, amount: U256) -> Result<(), ExecutionError> {
        let database = &mut self.evm.context_mut().journaled_state.database;
        database.edit(REWARDS, |account| account.balance = account.balance.saturating_add(amount))?;
        self.system_call(REWARDS, RootContracts::distributeCall { amount }.abi_encode().into())
    }
}
