//! The file in which a signing record travels.
//!
//! JSON, for people to read. Each entry says what it is and of which height, view and block; what is used is
//! `data`, the very bytes of the log, and the words are compared with it. Every signature is checked on import:
//! not against an attacker, who could as well edit the log, but since a damaged or mixed-up record is worse than
//! none.

use std::path::Path;

use alloy_primitives::{B256, Bytes};
use anfs_consensus::{LogRecord, VoteCrypto};
use anfs_poh::entries_root;
use anfs_primitives::{
    BlsPublicKey, CertificateKind, DomainId, Height, NetworkId, Proposal, SeatIndex, View, VoteKind,
    VoteTarget,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::RecordError;

const FORMAT: &str = "anfs-signing-record";
const VERSION: u64 = 1;

/// Whose record it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) network: NetworkId,
    pub(super) genesis: B256,
    pub(super) domain: DomainId,
    pub(super) seat: SeatIndex,
    pub(super) public_key: BlsPublicKey,
}

/// What every version begins with.
#[derive(Deserialize)]
struct Head {
    format: String,
    version: u64,
}

/// A file's content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RecordFile {
    format: String,
    version: u64,
    network: NetworkId,
    genesis: B256,
    domain: DomainId,
    seat: SeatIndex,
    public_key: BlsPublicKey,
    /// Nothing at or below this height is ever signed again.
    floor: Height,
    entries: Vec<Entry>,
    /// SHA-256 of everything above: a file that was cut or edited is refused.
    checksum: B256,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    kind: Kind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    verdict: Option<VoteKind>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    height: Option<Height>,
    view: View,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    block: Option<B256>,
    data: Bytes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Kind {
    /// A signed vote.
    Vote,
    /// A block with its proposer's signature: the seat's own, or one that it approved.
    Block,
    /// The PrepareCert that a commit answered.
    Prepared,
    /// The promise to vote in no lower view.
    Promise,
    /// The opening of a view that the seat leads.
    Opening,
}

impl Entry {
    /// `None` for what is said by the file as a whole.
    fn of(record: &LogRecord) -> Option<Self> {
        let (kind, verdict, view, place) = match record {
            LogRecord::Vote(vote) => {
                let target = &vote.target;
                (Kind::Vote, Some(vote.kind), target.view, Some((target.height, target.block)))
            }
            LogRecord::Proposal { block, .. } => {
                let header = &block.header;
                (Kind::Block, None, header.view, Some((header.height, header.hash())))
            }
            LogRecord::Prepared(certificate) => {
                let target = &certificate.target;
                (Kind::Prepared, None, target.view, Some((target.height, target.block)))
            }
            LogRecord::ViewChange(signed) => (Kind::Promise, None, signed.change.view, None),
            LogRecord::NewView(opening) => (Kind::Opening, None, opening.view, None),
            LogRecord::Standing(_) | LogRecord::Floor(_) => return None,
        };
        let (height, block) = place.unzip();
        Some(Self { kind, verdict, height, view, block, data: record.to_bytes().into() })
    }
}

impl RecordFile {
    pub(super) fn new(identity: &Identity, floor: Height, records: &[LogRecord]) -> Self {
        let mut file = Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            network: identity.network,
            genesis: identity.genesis,
            domain: identity.domain,
            seat: identity.seat,
            public_key: identity.public_key,
            floor,
            entries: records.iter().filter_map(Entry::of).collect(),
            checksum: B256::ZERO,
        };
        file.checksum = file.sum();
        file
    }

    pub(super) fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("strings, numbers and lists of them");
        text.push('\n');
        text
    }

    /// Reads a file; nothing of it is believed yet.
    pub(super) fn parse(path: &Path, text: &str) -> Result<Self, RecordError> {
        let malformed = |what: String| RecordError::Malformed { path: path.to_owned(), what };
        let head: Head = serde_json::from_str(text)
            .map_err(|error| malformed(format!("it is no signing record ({error})")))?;
        if head.format != FORMAT {
            return Err(malformed("it is a file of another kind".to_owned()));
        }
        if head.version != VERSION {
            let path = path.to_owned();
            return Err(RecordError::Version { path, found: head.version, supported: VERSION });
        }
        let file: Self = serde_json::from_str(text)
            .map_err(|error| malformed(format!("it is not as it was written ({error})")))?;
        if file.sum() != file.checksum {
            return Err(malformed("its checksum is wrong: it was cut or changed".to_owned()));
        }
        Ok(file)
    }

    pub(super) fn floor(&self) -> Height {
        self.floor
    }

    /// Refuses the record of another network, seat or key.
    pub(super) fn check_identity(&self, path: &Path, wanted: &Identity) -> Result<(), RecordError> {
        if (self.network, self.genesis, self.domain) != (wanted.network, wanted.genesis, wanted.domain) {
            return Err(RecordError::OtherNetwork {
                path: path.to_owned(),
                found_network: self.network,
                found_genesis: self.genesis,
                network: wanted.network,
                genesis: wanted.genesis,
            });
        }
        if (self.seat, self.public_key) != (wanted.seat, wanted.public_key) {
            return Err(RecordError::OtherSeat {
                path: path.to_owned(),
                found: self.seat,
                found_key: shortened(&self.public_key),
                seat: wanted.seat,
                key: shortened(&wanted.public_key),
            });
        }
        Ok(())
    }

    /// The log records, each of which is what its entry says, and signed by whom it must be.
    pub(super) fn records(
        &self,
        path: &Path,
        identity: &Identity,
        quorum: usize,
        crypto: &dyn VoteCrypto,
    ) -> Result<Vec<LogRecord>, RecordError> {
        let mut records = Vec::with_capacity(self.entries.len());
        for (number, entry) in self.entries.iter().enumerate() {
            let malformed = |what: &str| RecordError::Malformed {
                path: path.to_owned(),
                what: format!("entry {} of {}: {what}", number + 1, self.entries.len()),
            };
            let record = LogRecord::from_bytes(&entry.data)
                .map_err(|error| malformed(&format!("it does not decode ({error})")))?;
            if Entry::of(&record).as_ref() != Some(entry) {
                return Err(malformed("its words and its data differ"));
            }
            if !is_genuine(&record, identity, quorum, crypto) {
                return Err(malformed("it is not of this network, or not signed by whom it must be"));
            }
            records.push(record);
        }
        Ok(records)
    }

    fn sum(&self) -> B256 {
        let mut hasher = Sha256::new();
        hasher.update(b"anfs/signing-record/v1");
        hasher.update(self.network.0.to_be_bytes());
        hasher.update(self.genesis);
        hasher.update(self.domain.0.to_be_bytes());
        hasher.update(self.seat.0.to_be_bytes());
        hasher.update(self.public_key);
        hasher.update(self.floor.0.to_be_bytes());
        for entry in &self.entries {
            hasher.update((entry.data.len() as u64).to_be_bytes());
            hasher.update(&entry.data);
        }
        B256::new(hasher.finalize().into())
    }
}

/// Whether a record is of this network and bears the signature that it must.
fn is_genuine(record: &LogRecord, identity: &Identity, quorum: usize, crypto: &dyn VoteCrypto) -> bool {
    let is_ours =
        |network: NetworkId, domain: DomainId| (network, domain) == (identity.network, identity.domain);
    let targets_ours = |target: &VoteTarget| is_ours(target.network, target.domain);
    match record {
        LogRecord::Vote(vote) => {
            let signed = identity.seat.verifier_index().map(|index| (index, vote.signature));
            vote.signer == identity.seat
                && targets_ours(&vote.target)
                && signed
                    .is_some_and(|signed| crypto.verify_votes(vote.kind, &vote.target, &[signed]).is_empty())
        }
        LogRecord::Proposal { block, signature } => {
            let proposal = Proposal { header: block.header.clone(), signature: *signature };
            is_ours(block.header.network, block.header.domain)
                && entries_root(&block.body.entries) == block.header.entries_root
                && crypto.verify_proposal(&proposal)
        }
        LogRecord::Prepared(certificate) => {
            certificate.kind == CertificateKind::Prepare
                && targets_ours(&certificate.target)
                && crypto.verify_certificate(quorum, certificate)
        }
        LogRecord::ViewChange(signed) => {
            signed.signer == identity.seat
                && is_ours(signed.change.network, signed.change.domain)
                && crypto.verify_view_change(signed)
        }
        LogRecord::NewView(opening) => {
            let ours =
                opening.changes.iter().all(|signed| is_ours(signed.change.network, signed.change.domain));
            ours && crypto.verify_new_view(identity.seat, opening)
        }
        LogRecord::Standing(_) | LogRecord::Floor(_) => false,
    }
}

/// As much of a key as tells it from others.
fn shortened(key: &BlsPublicKey) -> String {
    let mut text = key.to_string();
    text.truncate(18);
    text.push('…');
    text
}
