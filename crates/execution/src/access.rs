//! What each transaction of a block read and wrote.

use std::collections::BTreeSet;

use alloy_primitives::{Address, B256};
use revm::state::EvmState;

/// A unit of state that two transactions can conflict on. Code belongs to its account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AccessKey {
    /// Nonce, balance and code of an account.
    Account(Address),
    /// One storage slot.
    Slot(Address, B256),
}

/// What one transaction touched, reverted calls included.
///
/// The beneficiary's tip counts as a read and a write of its account, so whoever schedules by these sets
/// treats that one as the sum that it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransactionAccess {
    /// Everything that it looked at, what it wrote included.
    pub reads: BTreeSet<AccessKey>,
    /// Everything that differs after it.
    pub writes: BTreeSet<AccessKey>,
}

/// The accesses of a block's transactions, in order; empty unless they were asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessSets {
    /// One for each transaction.
    pub transactions: Vec<TransactionAccess>,
}

impl TransactionAccess {
    /// Reads the sets off what a transaction left in the journal.
    pub(crate) fn of(state: &EvmState) -> Self {
        let mut access = Self::default();
        for (address, account) in state {
            access.reads.insert(AccessKey::Account(*address));
            let original = account.original_info();
            let info_changed = account.info.balance != original.balance
                || account.info.nonce != original.nonce
                || account.info.code_hash != original.code_hash;
            if account.is_touched() && (info_changed || account.is_selfdestructed() || account.is_created()) {
                access.writes.insert(AccessKey::Account(*address));
            }
            for (key, slot) in &account.storage {
                let key = AccessKey::Slot(*address, B256::from(*key));
                access.reads.insert(key);
                if account.is_touched() && slot.is_changed() {
                    access.writes.insert(key);
                }
            }
        }
        access
    }
}
