//! BLS signatures and aggregates, Merkle trees, domain tags and key files.
