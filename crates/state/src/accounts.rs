//! A trie of accounts by themselves, gathered from several states.

use std::collections::BTreeMap;

use alloy_primitives::{B256, Bytes};

use crate::AccountLeaf;
use crate::trie::{Source, Trie};
use crate::value::Account;

/// An account trie that is all in memory and has nothing below its leaves: of an account's storage it knows the root.
///
/// Like a [`WorldState`](crate::WorldState) it is a snapshot: cloning it costs nothing, and what
/// [`AccountTrie::apply`] makes shares what did not change.
#[derive(Clone, Debug)]
pub struct AccountTrie(Trie<Account>);

const IN_MEMORY: &str = "all nodes of this trie are in memory";
const MEMORY: Source<'_> = Source { reader: None, owner: None, generation: 0 };

impl Default for AccountTrie {
    fn default() -> Self {
        Self(Trie::empty())
    }
}

impl AccountTrie {
    /// Its root hash.
    #[must_use]
    pub fn root(&self) -> B256 {
        self.0.root_hash()
    }

    /// The trie after accounts, by hashed address, have become these; `None` for those that are no more.
    ///
    /// # Panics
    /// Never: nothing is read that is not in memory.
    #[must_use]
    pub fn apply(&self, leaves: &BTreeMap<B256, Option<AccountLeaf>>) -> Self {
        let changes: Vec<_> = leaves.iter().map(|(key, leaf)| (*key, *leaf)).collect();
        let merge = |_: &B256, _: Option<&Account>, leaf: &Option<AccountLeaf>| {
            Ok(leaf.map(|leaf| Account::new(&leaf.info, Trie::at(leaf.storage_root))))
        };
        Self(self.0.update(&MEMORY, &changes, merge).expect(IN_MEMORY))
    }

    /// The leaf of a hashed address, or that it has none, with the proof of it in the shape of
    /// [`AccountProof`](crate::AccountProof).
    ///
    /// # Panics
    /// Never, as [`Self::apply`].
    #[must_use]
    pub fn prove(&self, hashed_address: &B256) -> (Option<AccountLeaf>, Vec<Bytes>) {
        let (leaf, proof) = self.0.prove(&MEMORY, hashed_address).expect(IN_MEMORY);
        (leaf.map(|leaf| leaf.value().leaf()), proof)
    }
}
