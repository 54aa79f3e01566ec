//! Every domain tag of the protocol's signatures and SHA-256 trees.
//!
//! Two purposes never share a tag, so nothing made for one can be replayed for another. The tags of keccak
//! hashes (header and chain spec) stand beside their types in `anfs-primitives`, which cannot import this crate.
//!
//! A signature's tag is the hash-to-curve domain separation tag of RFC 9380; its tail names the cipher suite.
//! The version moves when what is signed changes its meaning.
//!
//! spec: PROTOCOL §4

use alloy_primitives::B256;
use anfs_primitives::VoteKind;
use sha2::{Digest, Sha256};

/// What a signature or hash is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tag(&'static [u8]);

impl Tag {
    /// The tag's bytes.
    #[must_use]
    pub const fn bytes(self) -> &'static [u8] {
        self.0
    }

    /// SHA-256 over the tag and then the parts. The caller fixes the parts' lengths: nothing delimits them.
    #[must_use]
    pub fn sha256(self, parts: &[&[u8]]) -> B256 {
        let mut hasher = Sha256::new_with_prefix(self.0);
        for part in parts {
            hasher.update(part);
        }
        B256::new(hasher.finalize().into())
    }
}

macro_rules! signature_tags {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        $($(#[$doc])* pub const $name: Tag =
            Tag(concat!("ANFS-V1-", $text, "_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_").as_bytes());)*

        #[cfg(test)]
        const SIGNATURE_TAGS: &[Tag] = &[$($name),*];
    };
}

macro_rules! hash_tags {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        $($(#[$doc])* pub const $name: Tag = Tag(concat!("anfs/", $text, "/v1").as_bytes());)*

        #[cfg(test)]
        const HASH_TAGS: &[Tag] = &[$($name),*];
    };
}

signature_tags! {
    /// A proposer closes a slot with its header.
    PROPOSAL = "PROPOSAL";
    /// A verifier found its own slices and the execution valid (R2).
    VERDICT_VALID_SLICED = "VERDICT-VALID-SLICED";
    /// A verifier found every slice and the execution valid (R3).
    VERDICT_VALID_FULL = "VERDICT-VALID-FULL";
    /// A verifier found its own slices or the execution invalid (R3).
    VERDICT_INVALID_SLICED = "VERDICT-INVALID-SLICED";
    /// A verifier found the block invalid after a full check (R3, R5).
    VERDICT_INVALID_FULL = "VERDICT-INVALID-FULL";
    /// A verifier saw a quorum of full valid verdicts (R4).
    COMMIT = "COMMIT";
    /// A verifier leaves a view (R6).
    VIEW_CHANGE = "VIEW-CHANGE";
    /// A leader opens its view (R6).
    NEW_VIEW = "NEW-VIEW";
    /// The leader of a view puts a root block to the vote.
    ROOT_PROPOSAL = "ROOT-PROPOSAL";
    /// A seat has checked a root block.
    ROOT_PREPARE = "ROOT-PREPARE";
    /// A seat saw a quorum prepare a root block.
    ROOT_COMMIT = "ROOT-COMMIT";
    /// A seat leaves a view of the root.
    ROOT_TIMEOUT = "ROOT-TIMEOUT";
    /// A key proves that its holder knows the secret.
    POSSESSION = "POSSESSION";
}

hash_tags! {
    /// The root of a tree without leaves.
    MERKLE_EMPTY = "merkle/empty";
    /// A leaf of a Merkle tree.
    MERKLE_LEAF = "merkle/leaf";
    /// An inner node of a Merkle tree.
    MERKLE_NODE = "merkle/node";
    /// An encoded entry, as a leaf of the entries root.
    ENTRY_LEAF = "entry";
    /// The messages of a block for one destination, as a leaf of its outbox root.
    OUTBOX_LANE = "outbox-lane";
    /// The public shuffle that assigns slices to verifiers (R1).
    SLICE_SHUFFLE = "slice-shuffle";
    /// The public draw of the root's leaders (F5).
    ROOT_LEADER = "root-leader";
    /// The weights of a batch verification.
    BATCH_WEIGHT = "batch-weight";
    /// The weights of a batch of transactions' signatures.
    SENDER_WEIGHT = "sender-weight";
}

/// The tag that votes of a kind are signed under.
#[must_use]
pub const fn vote_tag(kind: VoteKind) -> Tag {
    match kind {
        VoteKind::ValidSliced => VERDICT_VALID_SLICED,
        VoteKind::ValidFull => VERDICT_VALID_FULL,
        VoteKind::InvalidSliced => VERDICT_INVALID_SLICED,
        VoteKind::InvalidFull => VERDICT_INVALID_FULL,
        VoteKind::Commit => COMMIT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_tag_is_the_start_of_another() {
        let all: Vec<Tag> = SIGNATURE_TAGS.iter().chain(HASH_TAGS).copied().collect();
        for (i, a) in all.iter().enumerate() {
            for b in &all[i + 1..] {
                assert!(!a.0.starts_with(b.0) && !b.0.starts_with(a.0), "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn signature_tags_fit_the_hash_to_curve_standard() {
        assert!(SIGNATURE_TAGS.iter().all(|tag| (16..=255).contains(&tag.0.len())));
    }

    #[test]
    fn each_vote_kind_has_its_own_tag() {
        use VoteKind::{Commit, InvalidFull, InvalidSliced, ValidFull, ValidSliced};
        let tags: std::collections::HashSet<Tag> =
            [ValidSliced, ValidFull, InvalidSliced, InvalidFull, Commit].map(vote_tag).into_iter().collect();
        assert_eq!(tags.len(), 5);
    }
}
