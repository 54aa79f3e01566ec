//! BLS signatures and aggregates, Merkle trees, domain tags and key files.
//!
//! Everything that the protocol signs, aggregates or commits to by a tree goes through here, and only this
//! crate names `blst`. It is pure: randomness (batch weights, salts, seeds) comes from the caller.
//!
//! ```text
//!  tags      one domain tag a purpose, all in one file
//!  bls       BLS12-381 min_sig: keys in G2 (96 bytes), signatures in G1 (48 bytes)
//!  ecdsa     senders of transactions: recovered, or checked in batches  -> tags
//!  votes     what consensus signs: proposals, votes, certificates       -> bls, tags
//!  root      what all seats sign about root blocks                     -> votes, bls
//!  merkle    SHA-256 trees with domain-separated leaves and nodes       -> tags
//!  outbox    the tree over a block's messages to other domains       -> merkle
//!  keystore  key files after EIP-2335                                   -> bls
//! ```
//!
//! It is not for deciding anything: who may vote, what a quorum is and which block wins is told to it.
//! Ethereum's own hashing (keccak, tries) is elsewhere, in `anfs-primitives` and `anfs-state`.
//!
//! # Why votes are admitted with weights
//!
//! A certificate is the plain sum of its signatures. Two colluding signers can publish `s1 + D` and `s2 - D`:
//! neither is valid, yet their sum is. Whoever admits the two after checking the sum alone holds shares that
//! break the next aggregate that has one without the other. [`bls::verify_batch`] therefore multiplies
//! each signature and its key by an unpredictable weight before it sums them; the shifts no longer cancel.
//!
//! ```
//! use anfs_crypto::bls::{self, SecretKey};
//! use anfs_crypto::tags;
//!
//! let keys: Vec<SecretKey> = (1..=4).map(|i| SecretKey::from_seed(&[i; 32])).collect();
//! let public: Vec<_> = keys.iter().map(SecretKey::public_key).collect();
//! let signatures: Vec<_> = keys.iter().map(|key| key.sign(tags::COMMIT, b"block")).collect();
//!
//! let votes: Vec<_> = public.iter().zip(&signatures).collect();
//! assert!(bls::verify_batch(tags::COMMIT, b"block", &votes, &[7; 32]));
//!
//! let aggregate = bls::aggregate(&signatures)?;
//! let signers: Vec<_> = public.iter().collect();
//! assert!(bls::verify_aggregate(tags::COMMIT, b"block", &signers, &aggregate));
//! # Ok::<(), anfs_crypto::CryptoError>(())
//! ```
//!
//! spec: PROTOCOL §2 (trees), §4 (signatures and certificates)

pub mod bls;
pub mod ecdsa;
mod error;
pub mod keystore;
pub mod merkle;
pub mod outbox;
pub mod root;
pub mod tags;
pub mod votes;

pub use error::CryptoError;
