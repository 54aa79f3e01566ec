//! Executes blocks, simulates calls and traces transactions: revm under our own frame loop.
//!
//! Not for: recovering senders (`anfs-primitives`), checking sequences (`anfs-poh`), computing roots and
//! proofs (`anfs-state`), or deciding what goes into a block (`anfs-node`).
//!
//! ```text
//!   header values ─┐                    ┌─ receipts, gas used, bloom
//!   transactions ──┼─▶ BlockExecutor ───┼─ StateChanges ──▶ WorldState::apply
//!   WorldState ────┘     │              └─ AccessSets (when asked for)
//!                        ▼
//!                       Evm  ◀── simulate (eth_call, estimates, eth_simulateV1)
//!                        │   ◀── trace    (debug_trace*)
//!                        ▼   ◀── statetest (Ethereum's state tests)
//!                     Overlay ──▶ StateRead
//! ```
//!
//! The executor is deterministic: the same state, header values and transactions give the same outcome on
//! every node. spec: PROTOCOL §3

mod access;
mod budget;
mod cancel;
mod codes;
mod cross_domain;
mod crossing;
mod domain;
mod env;
mod error;
mod evm;
mod executor;
mod handler;
mod invalid;
mod overlay;
mod precompiles;
mod revert;
pub mod root;
pub mod simulate;
pub mod statetest;
pub mod system;
pub mod trace;
mod tx;

pub use access::{AccessKey, AccessSets, TransactionAccess};
pub use codes::CodeCache;
pub use crossing::{ArrivalOutcome, CrossingOutcome, Leg, Refusal};
pub use domain::{DomainEnv, is_everywhere};
pub use env::{ANCESTORS_VISIBLE, Ancestors, BlockEnv};
pub use error::{ExecutionError, InvalidTransaction};
pub use executor::{BlockExecutor, BlockOutcome};
pub use revert::{RevertReason, describe_revert, panic_meaning};
