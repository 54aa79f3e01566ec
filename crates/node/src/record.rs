//! The signing record of a stopped seat, carried from one folder to another.
//!
//! A seat that is to go on elsewhere takes along what it has signed, or it might sign the opposite. The record
//! leaves as a file for people to read, and leaves behind a folder that knows it was given away
//! ([`Standing::Retired`]): of two processes with one key, one at most signs on its own.
//!
//! The file is whole: it holds every signature, certificate and body that the log still needs. Its *floor* is the
//! height that the exporting seat had decided; nothing at or below it is signed again, and where less is
//! decided the seat catches up first.
//!
//! spec: PROTOCOL §4

mod error;
mod file;

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use anfs_consensus::bft::SigningRecord;
use anfs_consensus::{BlsCrypto, ConsensusError, LogRecord, Standing};
use anfs_primitives::{BlsPublicKey, ChainSpec, DomainId, Height, SeatIndex, View};
use anfs_store::{Store, StoreError, StoreOptions};
use serde::Serialize;

use crate::devnet::{FOUNDED_FILE, SPEC_FILE, seat_folder};
use crate::error::NodeError;
use crate::genesis;
use crate::seat::read_log;

pub use error::RecordError;
use file::{Identity, RecordFile};

/// Largest file that is written or read: signatures are small, and bodies of a few undecided blocks may be with
/// them.
pub const RECORD_FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// The seats of a development network are all of one domain.
const DOMAIN: DomainId = DomainId(1);

/// What a record forbids its seat, in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordSummary {
    /// The seat.
    pub seat: SeatIndex,
    /// Its public key.
    pub public_key: BlsPublicKey,
    /// Nothing is signed at or below this height.
    pub floor: Height,
    /// Nothing is signed in a lower view.
    pub promised_view: View,
    /// The highest view that it has voted in.
    pub highest_view: View,
    /// Votes above the floor.
    pub votes: usize,
    /// Blocks above the floor that it proposed or approved.
    pub blocks: usize,
}

/// What an import did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Imported {
    /// The record as it stands now.
    pub record: RecordSummary,
    /// Whether the file held anything that the folder did not.
    pub changed: bool,
    /// The height that this folder has decided. Below the floor, the seat catches up before it signs.
    pub decided: Height,
    /// Heights and views in which the folder's own record and the file's hold votes for different blocks: two
    /// processes have signed with one key.
    pub contradictions: Vec<(Height, View)>,
}

/// A stopped seat's folder with its record, locked against any process that would sign with it.
#[derive(Debug)]
pub struct SeatRecord {
    root: PathBuf,
    spec: ChainSpec,
    identity: Identity,
    store: Store,
    head: Height,
    record: SigningRecord,
}

impl SeatRecord {
    /// Opens the record of a seat that has run.
    ///
    /// # Errors
    /// When the folder is no network's, has no record of that seat, or is in use.
    pub fn open(root: &Path, seat: SeatIndex) -> Result<Self, NodeError> {
        let (spec, dir) = (spec_of_one(root)?, seat_folder(root, seat));
        if !dir.exists() {
            return Err(RecordError::NeverRan { dir }.into());
        }
        Self::open_with(root, spec, seat, false)
    }

    /// As [`Self::open`], and where there is no record, one begins that must not be signed on until another
    /// has been imported.
    ///
    /// # Errors
    /// When the folder is no network's, or in use.
    pub fn open_or_begin(root: &Path, seat: SeatIndex) -> Result<Self, NodeError> {
        Self::open_with(root, spec_of_one(root)?, seat, true)
    }

    fn open_with(root: &Path, spec: ChainSpec, seat: SeatIndex, replace: bool) -> Result<Self, NodeError> {
        let holders = &spec.shards[0];
        let holder = match seat.verifier_index() {
            None => Some(&holders.generator),
            Some(index) => holders.verifiers.get(index),
        };
        let last = spec.verifiers_per_shard;
        let public_key = holder.ok_or(RecordError::NoSeat { seat, last })?.public_key;
        let (genesis, _) = genesis::first_header(&spec, DOMAIN)?;
        let mut options = StoreOptions::new(seat_folder(root, seat), spec.network, genesis.hash());
        options.replace_lost_record = replace;
        options.first_records = vec![LogRecord::Standing(Standing::Lost).to_bytes()];
        let (store, recovered) = Store::open(options).map_err(|error| match error {
            StoreError::Locked { .. } => NodeError::Record(RecordError::InUse(Box::new(error))),
            other => other.into(),
        })?;
        let head = store.head().map_or(Height::ZERO, |(height, _)| height);
        let record = SigningRecord::replay(head, read_log(&recovered.votes)?);
        let identity =
            Identity { network: spec.network, genesis: genesis.hash(), domain: DOMAIN, seat, public_key };
        Ok(Self { root: root.to_owned(), spec, identity, store, head, record })
    }

    /// What the record forbids.
    #[must_use]
    pub fn summary(&self) -> RecordSummary {
        RecordSummary {
            seat: self.identity.seat,
            public_key: self.identity.public_key,
            floor: self.floor(),
            promised_view: self.record.promised(),
            highest_view: self.record.highest_view(),
            votes: self.record.all_votes().count(),
            blocks: self.record.blocks().count(),
        }
    }

    fn floor(&self) -> Height {
        self.record.silent().unwrap_or_default().max(self.head)
    }

    /// The record as the text of a file.
    ///
    /// # Errors
    /// When the record is not whole, because it was lost before or another process signs with the key; or too large
    /// for a file.
    pub fn export(&self) -> Result<String, NodeError> {
        match self.record.standing() {
            Standing::Sound | Standing::Retired => {}
            Standing::Lost => return Err(RecordError::NotWhole { dir: self.dir() }.into()),
            Standing::Shared(height) => return Err(RecordError::Shared { dir: self.dir(), height }.into()),
        }
        let text = RecordFile::new(&self.identity, self.floor(), &self.record.live()).to_json();
        if text.len() as u64 > RECORD_FILE_BYTES_MAX {
            return Err(RecordError::ExportTooLarge { bytes: text.len() }.into());
        }
        Ok(text)
    }

    /// Marks the record as given away: whoever starts the seat from this folder gets one that does not sign.
    ///
    /// # Errors
    /// When the disk fails; the record is as it was, then, or marked.
    pub fn retire(&mut self) -> Result<(), NodeError> {
        self.record.add(LogRecord::Standing(Standing::Retired));
        self.write()
    }

    /// Takes in a file's record, in one step that a crash cannot split. Nothing that the folder's own record
    /// forbids is forgotten; from here on it may be signed on.
    ///
    /// # Errors
    /// When the text is no record of this network, seat and key, or the disk fails. The folder's record is as it
    /// was, then.
    pub fn import(&mut self, path: &Path, text: &str) -> Result<Imported, NodeError> {
        let file = RecordFile::parse(path, text)?;
        file.check_identity(path, &self.identity)?;
        let shard = &self.spec.shards[0];
        let crypto = BlsCrypto::from_spec(None, shard, rand::random()).map_err(ConsensusError::from)?;
        let records = file.records(path, &self.identity, self.spec.quorum().into(), &crypto)?;
        let before = self.record.live();
        self.record.merge(records);
        self.record.merge([LogRecord::Floor(file.floor()), LogRecord::Standing(Standing::Sound)]);
        let changed = before != self.record.live();
        if changed {
            self.write()?;
        }
        // A network with an imported record is not a new one: no other seat of it may sign without its own.
        mark_founded(&self.root)?;
        let contradictions = self.record.contradictions().collect();
        Ok(Imported { record: self.summary(), changed, decided: self.head, contradictions })
    }

    fn write(&self) -> Result<(), NodeError> {
        let live: Vec<Vec<u8>> = self.record.live().iter().map(LogRecord::to_bytes).collect();
        Ok(self.store.prune_votes(&live)?)
    }

    fn dir(&self) -> PathBuf {
        seat_folder(&self.root, self.identity.seat)
    }
}

/// Reads a file that [`SeatRecord::import`] is to take.
///
/// # Errors
/// When it cannot be read, or is larger than any record.
pub fn read_file(path: &Path) -> Result<String, RecordError> {
    let mut text = String::new();
    let read =
        File::open(path).and_then(|file| file.take(RECORD_FILE_BYTES_MAX + 1).read_to_string(&mut text));
    match read {
        Ok(_) if text.len() as u64 > RECORD_FILE_BYTES_MAX => {
            Err(RecordError::TooLarge { path: path.to_owned() })
        }
        Ok(_) => Ok(text),
        Err(error) if error.kind() == ErrorKind::InvalidData => {
            Err(RecordError::Malformed { path: path.to_owned(), what: "it is not text".to_owned() })
        }
        Err(source) => Err(RecordError::Unreadable { path: path.to_owned(), source }),
    }
}

/// The chain spec in a folder, if it is of one shard.
fn spec_of_one(root: &Path) -> Result<ChainSpec, NodeError> {
    let spec = read_spec(root)?;
    match spec.shards.len() {
        1 => Ok(spec),
        shards => Err(RecordError::Several { dir: root.to_owned(), shards }.into()),
    }
}

fn read_spec(root: &Path) -> Result<ChainSpec, NodeError> {
    let path = root.join(SPEC_FILE);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(ChainSpec::from_json(&text)?),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(RecordError::NoNetwork { dir: root.to_owned() }.into())
        }
        Err(source) => Err(NodeError::File { path: path.display().to_string(), source }),
    }
}

/// Says that every seat of the network either has a record or has lost it.
pub(crate) fn mark_founded(root: &Path) -> Result<(), NodeError> {
    let mark = root.join(FOUNDED_FILE);
    let failed = |source| NodeError::File { path: mark.display().to_string(), source };
    fs::write(&mark, "Every seat of this network has a signing record.\n").map_err(failed)
}

#[cfg(test)]
mod tests;
