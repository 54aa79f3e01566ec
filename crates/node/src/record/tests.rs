use alloy_primitives::hex;
use anfs_consensus::VoteCrypto;
use anfs_primitives::{
    Block, BlockBody, BlockHash, BoundedVec, CertificateKind, DomainId, Epoch, ShardHeader, SignedVote, Slot,
    ViewChange, VoteKind, VoteTarget,
};
use std::sync::Arc;
use tempfile::TempDir;

use super::*;
use crate::genesis::{DEFAULT_MNEMONIC, seat_key};
use crate::testing;

const SEAT: SeatIndex = SeatIndex(2);

/// A network's folder.
fn network() -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join(SPEC_FILE), testing::spec().to_json()).unwrap();
    folder
}

fn crypto(seat: SeatIndex) -> BlsCrypto {
    let own = Some((seat, seat_key(DEFAULT_MNEMONIC, DOMAIN, seat)));
    BlsCrypto::from_spec(own, &testing::spec().shards[0], [3; 32]).unwrap()
}

fn target(height: u64, view: u64, block: BlockHash) -> VoteTarget {
    let (network, domain) = (testing::spec().network, DOMAIN);
    VoteTarget { network, epoch: Epoch::ZERO, domain, height: Height(height), view: View(view), block }
}

fn vote(seat: SeatIndex, kind: VoteKind, height: u64, view: u64, block: u8) -> SignedVote {
    let target = target(height, view, BlockHash::repeat_byte(block));
    crypto(seat).sign_vote(seat, kind, &target, None).unwrap()
}

/// One record of each kind, as seat 2 may have them.
fn records() -> Vec<LogRecord> {
    let spec = testing::spec();
    let (genesis, _) = genesis::first_header(&spec, DOMAIN).unwrap();
    let header = ShardHeader {
        slot: Slot(1),
        proposer: SeatIndex::GENERATOR,
        entries_root: anfs_poh::entries_root(&[]),
        ..testing::child(&genesis, genesis.hash())
    };
    let header = header.seal();
    let proposal = crypto(SeatIndex::GENERATOR).sign_proposal(SeatIndex::GENERATOR, &header).unwrap();
    let prepare = target(1, 0, header.hash());
    let votes: Vec<_> = (1..=3)
        .map(SeatIndex)
        .map(|seat| {
            let signed = crypto(seat).sign_vote(seat, VoteKind::ValidFull, &prepare, None).unwrap();
            (usize::from(seat.0) - 1, signed.signature)
        })
        .collect();
    let prepared = crypto(SEAT).aggregate(CertificateKind::Prepare, &prepare, &votes).unwrap();
    let change = ViewChange {
        network: spec.network,
        epoch: Epoch::ZERO,
        domain: DOMAIN,
        view: View(3),
        decided: BoundedVec::new(),
        reports: BoundedVec::new(),
    };
    let promise = crypto(SEAT).sign_view_change(SEAT, change).unwrap();
    let opening = anfs_primitives::NewView {
        view: View(3),
        changes: BoundedVec::try_from(vec![promise.clone()]).unwrap(),
        carried: BoundedVec::new(),
        convictions: BoundedVec::new(),
        signature: promise.signature,
    };
    let opening = crypto(SEAT).sign_new_view(SEAT, opening).unwrap();
    let block = Arc::new(Block { header, body: BlockBody { entries: BoundedVec::new() } });
    vec![
        LogRecord::ViewChange(Box::new(promise)),
        LogRecord::NewView(Box::new(opening)),
        LogRecord::Proposal { block, signature: proposal.signature },
        LogRecord::Prepared(prepared),
        LogRecord::Vote(vote(SEAT, VoteKind::Commit, 2, 4, 9)),
        LogRecord::Vote(vote(SEAT, VoteKind::ValidSliced, 3, 4, 8)),
    ]
}

/// A folder of seat 2 with these records, as a run would leave it.
fn with_records(records: &[LogRecord]) -> TempDir {
    let folder = network();
    let mut seat = SeatRecord::open_or_begin(folder.path(), SEAT).unwrap();
    seat.record = SigningRecord::replay(Height::ZERO, records.to_vec());
    seat.write().unwrap();
    folder
}

fn live(folder: &TempDir) -> Vec<LogRecord> {
    SeatRecord::open(folder.path(), SEAT).unwrap().record.live()
}

fn import(folder: &TempDir, text: &str) -> Result<Imported, NodeError> {
    SeatRecord::open_or_begin(folder.path(), SEAT).unwrap().import(Path::new("file"), text)
}

#[test]
fn a_record_arrives_as_it_left_and_stays_behind_retired() {
    let from = with_records(&records());
    let mut source = SeatRecord::open(from.path(), SEAT).unwrap();
    let text = source.export().unwrap();
    source.retire().unwrap();
    assert_eq!(source.export().unwrap(), text, "once more, should the file be lost");
    drop(source);
    assert!(live(&from).contains(&LogRecord::Standing(Standing::Retired)));

    let to = network();
    let done = import(&to, &text).unwrap();
    assert!(done.changed && done.contradictions.is_empty());
    assert_eq!((done.record.votes, done.record.blocks, done.record.promised_view), (2, 1, View(3)));
    assert_eq!(live(&to), SigningRecord::replay(Height::ZERO, records()).live());
    assert!(to.path().join(FOUNDED_FILE).exists(), "no other seat of it signs without its own");
    assert!(!import(&to, &text).unwrap().changed, "a second time changes nothing");

    assert!(import(&from, &text).unwrap().changed, "and it may come back");
    assert_eq!(live(&from), live(&to));
}

#[test]
fn the_words_of_the_file_are_for_people() {
    let folder = with_records(&records());
    let text = SeatRecord::open(folder.path(), SEAT).unwrap().export().unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&value["format"], &value["version"]), (&"anfs-signing-record".into(), &1.into()));
    assert_eq!((&value["network"], &value["seat"], &value["floor"]), (&7.into(), &2.into(), &0.into()));
    let kinds: Vec<&str> =
        value["entries"].as_array().unwrap().iter().filter_map(|entry| entry["kind"].as_str()).collect();
    assert_eq!(kinds, ["promise", "opening", "block", "prepared", "vote", "vote"]);
    let last = &value["entries"][5];
    assert_eq!(
        (&last["height"], &last["view"], &last["verdict"]),
        (&3.into(), &4.into(), &"validSliced".into())
    );
    assert_eq!(last["block"], hex::encode_prefixed([8; 32]));
}

#[test]
fn an_import_forgets_nothing_of_what_was_there() {
    let ours = [
        LogRecord::Vote(vote(SEAT, VoteKind::ValidSliced, 3, 4, 7)),
        LogRecord::Vote(vote(SEAT, VoteKind::Commit, 9, 6, 1)),
    ];
    let text = {
        let from = with_records(&records());
        SeatRecord::open(from.path(), SEAT).unwrap().export().unwrap()
    };
    let to = with_records(&ours);
    let done = import(&to, &text).unwrap();
    assert_eq!(done.contradictions, [(Height(3), View(4))], "two processes signed with this key");
    let after = live(&to);
    for record in records().iter().chain(&ours) {
        assert!(after.contains(record), "{record:?}");
    }
}

#[test]
fn below_the_floor_of_the_file_nothing_is_signed() {
    let folder = with_records(&records());
    let floored = [records(), vec![LogRecord::Floor(Height(2))]].concat();
    let text = SeatRecord::open(with_records(&floored).path(), SEAT).unwrap().export().unwrap();
    let done = import(&folder, &text).unwrap();
    assert_eq!((done.record.floor, done.decided), (Height(2), Height::ZERO));
    assert!(live(&folder).contains(&LogRecord::Floor(Height(2))));
    let text = SeatRecord::open(folder.path(), SEAT).unwrap().export().unwrap();
    assert!(import(&network(), &text).unwrap().record.floor == Height(2), "however often it moves on");
}

#[test]
fn a_record_that_is_not_whole_is_not_exported() {
    let folder = network();
    let lost = SeatRecord::open_or_begin(folder.path(), SEAT).unwrap();
    assert!(matches!(lost.export(), Err(NodeError::Record(RecordError::NotWhole { .. }))));
    drop(lost);
    let shared = with_records(&[LogRecord::Standing(Standing::Shared(Height(6)))]);
    let error = SeatRecord::open(shared.path(), SEAT).unwrap().export().unwrap_err().to_string();
    assert!(error.contains("block 6 holds a signature"), "{error}");
    assert_eq!(live(&folder), [LogRecord::Standing(Standing::Lost)], "a crash before the import leaves this");
}

#[test]
fn folders_that_cannot_serve_are_refused() {
    let refused = |root: &Path, seat: u16, create: bool| {
        let seat = SeatIndex(seat);
        let opened =
            if create { SeatRecord::open_or_begin(root, seat) } else { SeatRecord::open(root, seat) };
        match opened {
            Err(NodeError::Record(error)) => error,
            other => panic!("{other:?}"),
        }
    };
    let empty = TempDir::new().unwrap();
    let folder = network();
    assert!(matches!(refused(empty.path(), 2, true), RecordError::NoNetwork { .. }));
    assert_eq!(fs::read_dir(empty.path()).unwrap().count(), 0, "and nothing is left there");
    assert!(matches!(refused(folder.path(), 5, true), RecordError::NoSeat { last: 4, .. }));
    assert!(matches!(refused(folder.path(), 2, false), RecordError::NeverRan { .. }));
    let several = TempDir::new().unwrap();
    let mut spec = ChainSpec::clone(&testing::spec());
    let other = |seat| {
        let key = seat_key(DEFAULT_MNEMONIC, DomainId(2), SeatIndex(seat));
        anfs_primitives::ValidatorSpec {
            public_key: key.public_key().to_bytes(),
            proof_of_possession: key.prove_possession(),
            ..spec.shards[0].generator.clone()
        }
    };
    let verifiers = (1..=spec.verifiers_per_shard).map(other).collect();
    let second = anfs_primitives::spec::ShardSpec { generator: other(0), verifiers };
    spec.shards.push(second);
    fs::write(several.path().join(SPEC_FILE), spec.to_json()).unwrap();
    for create in [false, true] {
        assert!(matches!(refused(several.path(), 2, create), RecordError::Several { shards: 2, .. }));
    }
    assert_eq!(fs::read_dir(several.path()).unwrap().count(), 1, "and no folder of a seat is begun");
    let _held = SeatRecord::open_or_begin(folder.path(), SEAT).unwrap();
    let error = refused(folder.path(), 2, true);
    assert!(matches!(error, RecordError::InUse(_)) && error.to_string().contains("stop it first"), "{error}");
}

/// The file of these records, whoever signed them.
fn file_of(seat: SeatIndex, records: &[LogRecord]) -> RecordFile {
    let spec = testing::spec();
    let (genesis, _) = genesis::first_header(&spec, DOMAIN).unwrap();
    let public_key = spec.shards[0].verifiers[usize::from(seat.0) - 1].public_key;
    let identity =
        Identity { network: spec.network, genesis: genesis.hash(), domain: DOMAIN, seat, public_key };
    RecordFile::new(&identity, Height::ZERO, records)
}

#[test]
fn files_that_are_not_this_seats_record_change_nothing() {
    let folder = with_records(&records()[..1]);
    let before = live(&folder);
    let good = file_of(SEAT, &records()).to_json();
    let refused = |text: &str, words: &str| {
        let error = import(&folder, text).unwrap_err().to_string();
        assert!(error.contains(words), "{words}: {error}");
        assert_eq!(live(&folder), before, "{words}");
    };
    for text in ["", "garbage", "{}", "[]", "{\"format\":\"x\",\"version\":\"1\"}"] {
        refused(text, "it is no signing record");
    }
    refused(&good.replace("anfs-signing-record", "anfs-keys"), "of another kind");
    refused(&good.replace("\"version\": 1", "\"version\": 2"), "version 2");
    refused(&good.replace("\"floor\"", "\"flor\""), "not as it was written");
    refused(&good.replace("\"floor\": 0", "\"floor\": 1"), "checksum");
    refused(&good.replace("\"network\": 7", "\"network\": 8"), "checksum");
    refused(&good[..good.len() / 2], "it is no signing record");
    refused(&good.replace("\"view\": 4", "\"view\": 5"), "its words and its data differ");
    let other = file_of(SeatIndex(3), &[]).to_json();
    refused(&other, "the record of seat 3");
    let wrong = [
        LogRecord::Vote(vote(SeatIndex(3), VoteKind::Commit, 2, 4, 9)),
        LogRecord::Vote(SignedVote { kind: VoteKind::ValidFull, ..vote(SEAT, VoteKind::Commit, 2, 4, 9) }),
        LogRecord::Vote(SignedVote {
            target: VoteTarget { domain: DomainId(2), ..target(2, 4, BlockHash::ZERO) },
            ..vote(SEAT, VoteKind::Commit, 2, 4, 9)
        }),
    ];
    for record in wrong {
        refused(&file_of(SEAT, &[record]).to_json(), "not signed by whom it must be");
    }
    for record in records() {
        let forged = match record {
            LogRecord::ViewChange(mut signed) => {
                signed.change.view = View(9);
                LogRecord::ViewChange(signed)
            }
            LogRecord::NewView(mut opening) => {
                opening.view = View(9);
                LogRecord::NewView(opening)
            }
            LogRecord::Prepared(mut certificate) => {
                certificate.target.height = Height(9);
                LogRecord::Prepared(certificate)
            }
            LogRecord::Proposal { block, .. } => {
                LogRecord::Proposal { block, signature: vote(SEAT, VoteKind::Commit, 1, 1, 1).signature }
            }
            _ => continue,
        };
        refused(&file_of(SEAT, &[forged]).to_json(), "not signed by whom it must be");
    }
}

#[test]
fn files_are_read_up_to_a_bound() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("file");
    assert!(matches!(read_file(&path), Err(RecordError::Unreadable { .. })));
    let file = File::create(&path).unwrap();
    file.set_len(RECORD_FILE_BYTES_MAX + 1).unwrap();
    assert!(matches!(read_file(&path), Err(RecordError::TooLarge { .. })));
    fs::write(&path, [0xff, 0xfe]).unwrap();
    assert!(matches!(read_file(&path), Err(RecordError::Malformed { .. })));
    fs::write(&path, "text").unwrap();
    assert_eq!(read_file(&path).unwrap(), "text");
}
