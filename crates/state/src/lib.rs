//! Accounts and storage in Ethereum's Merkle Patricia trie, with proofs and cheap snapshots.
