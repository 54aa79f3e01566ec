//! Links: what the clock gives for each entry, and what a checker needs of it.

use alloy_primitives::{B256, keccak256};
use anfs_crypto::{merkle, tags};
use anfs_primitives::{Entry, encode};

/// What recovering one sender costs, in checked hashes: about 31 µs against 7 to 16 ns.
///
/// Part of the protocol: the cuts of a slot follow from it.
pub const SIGNATURE_WEIGHT: u64 = 2_000;

/// Why an entry is no link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// An entry without a step of the clock.
    #[error("the entry holds no hash; every entry takes at least one step of the clock")]
    NoHashes,
    /// Hashes were given for another number of transactions.
    #[error("{hashes} transaction hashes were given for an entry of {transactions}; give one for each")]
    HashCount {
        /// Hashes given.
        hashes: usize,
        /// Transactions in the entry.
        transactions: usize,
    },
}

/// A stretch of the clock that can be checked on its own: from the hash before, `num_hashes` steps lead to
/// `hash`, the last of which takes in `mixin` when there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Steps; at least 1.
    pub num_hashes: u64,
    /// The clock after the last step.
    pub hash: B256,
    /// What the last step records; `None` for a tick.
    pub mixin: Option<B256>,
}

/// What cutting a slot needs to know of each entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkCost {
    /// Steps of the clock.
    pub num_hashes: u64,
    /// The clock after the last step.
    pub hash: B256,
    /// Transactions recorded; 0 for a tick.
    pub transactions: u32,
}

impl LinkCost {
    /// The cost of a link that records `transactions` transactions.
    #[must_use]
    pub fn of_link(link: &Link, transactions: u32) -> Self {
        Self { num_hashes: link.num_hashes, hash: link.hash, transactions }
    }

    /// What checking it costs, in hashes.
    pub(crate) fn total(&self) -> u128 {
        u128::from(self.num_hashes) + u128::from(SIGNATURE_WEIGHT) * u128::from(self.transactions)
    }
}

impl From<&Entry> for LinkCost {
    fn from(entry: &Entry) -> Self {
        let transactions =
            u32::try_from(entry.transactions.len()).expect("ENTRY_TRANSACTIONS_MAX is far below 2^32");
        Self { num_hashes: entry.num_hashes, hash: entry.hash, transactions }
    }
}

/// What a record of these transactions mixes in: the SHA-256 Merkle root of their hashes.
///
/// spec: PROTOCOL §2
#[must_use]
pub fn mixin(tx_hashes: &[B256]) -> B256 {
    merkle::root(tx_hashes)
}

/// The link of an entry; hashes each transaction.
///
/// # Errors
/// [`LinkError::NoHashes`].
pub fn link_of(entry: &Entry) -> Result<Link, LinkError> {
    let hashes: Vec<B256> = entry.transactions.iter().map(|tx| keccak256(&tx.encoded)).collect();
    link_with_hashes(entry, &hashes)
}

/// The link of an entry whose transaction hashes are known already. They must be right: whoever decoded the
/// transactions has computed them.
///
/// # Errors
/// [`LinkError`].
pub fn link_with_hashes(entry: &Entry, tx_hashes: &[B256]) -> Result<Link, LinkError> {
    if entry.num_hashes == 0 {
        return Err(LinkError::NoHashes);
    }
    if tx_hashes.len() != entry.transactions.len() {
        return Err(LinkError::HashCount { hashes: tx_hashes.len(), transactions: entry.transactions.len() });
    }
    let mixin = (!entry.is_tick()).then(|| mixin(tx_hashes));
    Ok(Link { num_hashes: entry.num_hashes, hash: entry.hash, mixin })
}

/// SHA-256 Merkle root over the tagged SHA-256 hashes of the encoded entries, which the header commits to.
///
/// spec: PROTOCOL §3
#[must_use]
pub fn entries_root(entries: &[Entry]) -> B256 {
    let leaves: Vec<B256> = entries.iter().map(|entry| tags::ENTRY_LEAF.sha256(&[&encode(entry)])).collect();
    merkle::root(&leaves)
}
