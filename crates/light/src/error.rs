//! What is wrong with headers and proofs, in words for whoever asked a server for them.

use alloy_primitives::B256;
use anfs_crypto::outbox::BatchError;
use anfs_primitives::{DomainId, Epoch, Height, NetworkId};
use anfs_state::ProofFault;

/// Why a root header is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LightError {
    /// The chain spec is of no use.
    #[error("the chain spec's seats cannot be used: {0}")]
    Spec(String),
    /// It is of another network.
    #[error("the root header is of network {have}, and not of {want}")]
    Network {
        /// Its network.
        have: NetworkId,
        /// The one that is followed.
        want: NetworkId,
    },
    /// It has another number of shards than the network.
    #[error("the root header has the tips of {have} shards; the network has {want}")]
    Shards {
        /// Its tips.
        have: usize,
        /// The network's shards.
        want: usize,
    },
    /// It is of an epoch whose seats nobody has handed over to.
    #[error("the root header is of epoch {0}, whose seats are not known")]
    Epoch(Epoch),
    /// It is below what is known.
    #[error("the root header at height {have} is older than the known one at {known}")]
    Older {
        /// Its height.
        have: Height,
        /// The height that is known.
        known: Height,
    },
    /// It is not the known one at its height.
    #[error("root block {height} is {have} there, but it is known to be {known}")]
    Conflict {
        /// The height.
        height: Height,
        /// Its hash.
        have: B256,
        /// The known hash.
        known: B256,
    },
    /// It follows the known one by height, but does not link to it.
    #[error("root block {height} links to the parent {have}, but that is known to be {known}")]
    Parent {
        /// Its height.
        height: Height,
        /// The parent that it names.
        have: B256,
        /// The known hash.
        known: B256,
    },
    /// The certificate is not one of commits.
    #[error("the certificate is none of commits: it makes nothing final")]
    Kind,
    /// The certificate is of something else.
    #[error("the certificate is of another block, network, epoch or domain")]
    Target,
    /// The certificate names seats that do not exist, or in disorder, or none.
    #[error("the certificate names seats that do not exist, or not each once and in order")]
    Signers,
    /// The certificate's seats have too little stake.
    #[error("the certificate's seats have not more than two thirds of all stake")]
    Stake,
    /// The signature is not that of the seats that are named.
    #[error("the certificate's signature is not that of the seats that it names")]
    Signature,
}

/// Why a proof proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// It is not the encoding of a proof, or too large.
    #[error("the proof cannot be read: {0}")]
    Encoding(String),
    /// The shard block is not made final by the root block.
    #[error("block {height} of shard {domain} is not made final by root block {root}")]
    NotFinal {
        /// The shard.
        domain: DomainId,
        /// The block's height.
        height: Height,
        /// The root block.
        root: Height,
    },
    /// The shard block is not the newest one, or not of the network.
    #[error("block {height} of shard {domain} is not the newest final one after root block {root}")]
    NotTip {
        /// The shard.
        domain: DomainId,
        /// The block's height.
        height: Height,
        /// The root block.
        root: Height,
    },
    /// A Merkle proof is wrong.
    #[error("the proof of the {what} is wrong: {fault}")]
    Trie {
        /// What it was to prove.
        what: &'static str,
        /// What is wrong.
        fault: ProofFault,
    },
    /// The proof is made in the wrong domain.
    #[error("the proof is of {}, but {} has to say it", named(.have), named(.want))]
    Domain {
        /// The domain that it is of.
        have: DomainId,
        /// The one that counts.
        want: DomainId,
    },
    /// The home says that the account lives elsewhere, and nothing shows it there.
    #[error("the account lives in shard {0}, from which there is no proof")]
    Elsewhere(DomainId),
    /// The home does not say that the account lives elsewhere.
    #[error("the proof is of shard {0}, to which no route leads")]
    NoRoute(DomainId),
    /// Other slots than asked for.
    #[error("the proof has {have} slots instead of {want}")]
    Slots {
        /// Slots in it.
        have: usize,
        /// Slots asked for.
        want: usize,
    },
    /// The item is not in the block.
    #[error("the block has no {0} at that index")]
    Absent(&'static str),
    /// The transaction is another one.
    #[error("the proof is of transaction {0}")]
    Transaction(B256),
    /// What is proven makes no sense.
    #[error("the {0} cannot be read")]
    Malformed(&'static str),
    /// The messages are not those that the block sends.
    #[error("the messages are not those that the block sends: {0}")]
    Messages(#[from] BatchError),
    /// The message is not among those that the block sends.
    #[error("the message is not among those of the proof")]
    NoMessage,
}

impl ProofError {
    pub(crate) fn trie(what: &'static str) -> impl Fn(ProofFault) -> Self {
        move |fault| Self::Trie { what, fault }
    }
}

fn named(domain: &DomainId) -> String {
    if *domain == DomainId::ROOT { "the root".to_owned() } else { format!("shard {domain}") }
}
