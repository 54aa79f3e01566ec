//! Runs Ethereum's state tests (the `GeneralStateTests` JSON form) against this executor.
//!
//! A test names a state before, a transaction with alternatives, and for each fork and choice the state root
//! and log hash after. Here the state is a [`WorldState`], so a pass covers the EVM, the overlay and the trie.
//!
//! Not for: reading files, which is the caller's.

mod format;

use alloy_primitives::{Address, B256, Log, U256, keccak256};
use anfs_primitives::GenesisAccount;
use anfs_state::WorldState;
use revm::context::result::ExecutionResult;
use revm::context::{CfgEnv, TxEnv};
use revm::context_interface::block::BlobExcessGasAndPrice;
use revm::context_interface::{ContextTr, JournalTr};
use revm::primitives::hardfork::SpecId;

use self::format::{Env, Post, Suite, Test};
use crate::env::Ancestors;
use crate::error::split;
use crate::evm::Evm;
use crate::overlay::Overlay;

/// The text is not a state test.
#[derive(Debug, thiserror::Error)]
#[error("not a state test: {0}")]
pub struct FormatError(#[from] serde_json::Error);

/// What became of one case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Root and logs are as expected.
    Passed,
    /// They are not; the text says how.
    Failed(String),
    /// For a fork that this network does not have.
    Skipped,
}

/// One choice of a test's transaction under one fork.
#[derive(Clone, Debug)]
pub struct Case {
    /// Name of the test.
    pub test: String,
    /// Name of the fork.
    pub fork: String,
    /// Position among the fork's choices.
    pub index: usize,
    /// What became of it.
    pub verdict: Verdict,
}

/// Runs every case of a state test file.
///
/// # Errors
/// [`FormatError`] when the text is something else.
pub fn run(json: &str) -> Result<Vec<Case>, FormatError> {
    let suite: Suite = serde_json::from_str(json)?;
    let mut cases = Vec::new();
    for (name, test) in &suite.0 {
        let state = pre_state(test);
        for (fork, posts) in &test.post {
            for (index, post) in posts.iter().enumerate() {
                let verdict = match spec_of(fork) {
                    None => Verdict::Skipped,
                    Some(spec) => match &state {
                        Ok(state) => {
                            check(test, spec, post, state).map_or_else(Verdict::Failed, |()| Verdict::Passed)
                        }
                        Err(reason) => Verdict::Failed(reason.clone()),
                    },
                };
                cases.push(Case { test: name.clone(), fork: fork.clone(), index, verdict });
            }
        }
    }
    Ok(cases)
}

fn spec_of(fork: &str) -> Option<SpecId> {
    match fork {
        "Cancun" => Some(SpecId::CANCUN),
        "Prague" => Some(SpecId::PRAGUE),
        "Osaka" => Some(SpecId::OSAKA),
        _ => None,
    }
}

fn pre_state(test: &Test) -> Result<WorldState, String> {
    let accounts: Vec<(Address, GenesisAccount)> = test
        .pre
        .iter()
        .map(|(address, account)| {
            let word = |value: &U256| B256::from(*value);
            let storage = account.storage.iter().map(|(key, value)| (word(&key.0), word(&value.0))).collect();
            let nonce = account.nonce.0.saturating_to();
            (
                *address,
                GenesisAccount { balance: account.balance.0, nonce, code: account.code.clone(), storage },
            )
        })
        .collect();
    WorldState::genesis(accounts.iter().map(|(address, account)| (address, account)))
        .map_err(|error| format!("state before: {error}"))
}

/// BLOCKHASH in state tests is the hash of the number's decimal text.
#[derive(Debug)]
struct NumberHashes;

impl Ancestors for NumberHashes {
    fn block_hash(&self, number: u64) -> Option<B256> {
        Some(keccak256(number.to_string()))
    }
}

fn check(test: &Test, spec: SpecId, post: &Post, state: &WorldState) -> Result<(), String> {
    let cfg = cfg_of(test, spec);
    let block = block_of(&test.env, &cfg);
    let overlay = Overlay::new(state.clone(), std::sync::Arc::new(NumberHashes), None);
    let (root, logs, refusal) = match test.transaction.tx_env(&post.indexes, &cfg) {
        Ok(tx) => execute(overlay, cfg, block, tx, state)?,
        Err(reason) => (state.root(), Vec::new(), Some(reason)),
    };
    match (&post.expect_exception, refusal) {
        (None, Some(reason)) => return Err(format!("refused: {reason}")),
        (Some(expected), None) => return Err(format!("accepted, expected {expected}")),
        _ => {}
    }
    if root != post.hash {
        return Err(format!("state root {root}, expected {}", post.hash));
    }
    let logs_hash = keccak256(alloy_rlp::encode(&logs));
    if logs_hash != post.logs {
        return Err(format!("logs hash {logs_hash}, expected {}", post.logs));
    }
    Ok(())
}

type Executed = (B256, Vec<Log>, Option<String>);

fn execute(
    overlay: Overlay<WorldState>,
    cfg: CfgEnv,
    block: revm::context::BlockEnv,
    tx: TxEnv,
    before: &WorldState,
) -> Result<Executed, String> {
    let mut evm = Evm::new(overlay, cfg, block);
    let outcome = evm.transact(tx);
    let mut context = evm.into_parts().0;
    let mut touched = context.journal_mut().finalize();
    let result: ExecutionResult = match outcome {
        Ok(result) => result,
        Err(error) => {
            let refusal = split(error).map_err(|error| error.to_string())?;
            return Ok((before.root(), Vec::new(), Some(refusal.to_string())));
        }
    };
    let mut overlay = context.journaled_state.database;
    overlay.commit(&mut touched);
    let after = before.apply(&overlay.changes()).map_err(|error| error.to_string())?;
    let logs = if result.is_success() { result.into_logs() } else { Vec::new() };
    Ok((after.root(), logs, None))
}

fn cfg_of(test: &Test, spec: SpecId) -> CfgEnv {
    let mut cfg = CfgEnv::new_with_spec(spec);
    cfg.chain_id = test.config.chain_id.map_or(1, |id| id.0.saturating_to());
    cfg.max_blobs_per_tx = Some(if spec == SpecId::PRAGUE { 9 } else { 6 });
    cfg
}

fn block_of(env: &Env, cfg: &CfgEnv) -> revm::context::BlockEnv {
    let excess = env.excess_blob_gas.map_or(0, |gas| gas.0.saturating_to());
    let fraction = cfg.blob_base_fee_update_fraction();
    revm::context::BlockEnv {
        number: env.number.0,
        beneficiary: env.coinbase,
        timestamp: env.timestamp.0,
        gas_limit: env.gas_limit.0.saturating_to(),
        basefee: env.base_fee.map_or(0, |fee| fee.0.saturating_to()),
        difficulty: U256::ZERO,
        prevrandao: Some(env.random.map_or(B256::ZERO, |random| random.0.into())),
        blob_excess_gas_and_price: Some(BlobExcessGasAndPrice::new(excess, fraction)),
        slot_num: 0,
    }
}
