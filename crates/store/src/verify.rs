//! Reading a whole folder to see whether it is sound.

use crate::blocks::{BlockLog, FIRST};
use crate::error::StoreError;
use crate::index::{BlockIndex, UnflushedIndex};
use crate::segment::Segment;
use crate::store::read_record;
use crate::tables::StateTables;
use crate::votes::VoteLog;
use anfs_primitives::{BlockHash, Height};

/// Problems listed at most; a folder with more is not worth listing.
const PROBLEMS_MAX: usize = 100;

/// What a check of the whole folder found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Blocks read.
    pub blocks: u64,
    /// Transactions in them.
    pub transactions: u64,
    /// Trie nodes in the tables.
    pub nodes: u64,
    /// Contract codes in the tables.
    pub codes: u64,
    /// Entries of the signing record.
    pub votes: u64,
    /// What is wrong, each with its file; empty when the folder is sound.
    pub problems: Vec<String>,
}

impl VerifyReport {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }
}

pub(crate) fn verify(
    tables: &mut StateTables,
    blocks: &BlockLog,
    votes: &VoteLog,
    index: &UnflushedIndex,
) -> Result<VerifyReport, StoreError> {
    let mut report = VerifyReport::default();
    let flushed = index.flushed.map_or(Height::ZERO, |(height, _)| height);
    let (mut indexed, mut messages) = (0, 0);
    let mut parent = None;
    for height in FIRST..=blocks.head() {
        if report.problems.len() >= PROBLEMS_MAX {
            return Ok(report);
        }
        let found = match check_block(tables, blocks, index, height, parent, &mut report.problems) {
            Ok(found) => found,
            Err(error) => {
                report.problems.push(error.to_string());
                parent = None;
                continue;
            }
        };
        parent = Some(found.hash);
        report.blocks += 1;
        report.transactions += found.transactions.len() as u64;
        if found.height <= flushed {
            indexed += found.transactions.len() as u64;
            messages += found.messages.len() as u64;
        }
    }
    let segments = blocks.segments();
    for segment in segments.iter().take(segments.len().saturating_sub(1)) {
        check_segment(blocks, segment, &mut report.problems);
    }
    match votes.verify() {
        Ok(count) => report.votes = count,
        Err(error) => report.problems.push(error.to_string()),
    }
    let counts = tables.verify(&mut report.problems)?;
    (report.nodes, report.codes) = (counts.nodes, counts.codes);
    if report.problems.is_empty() && counts.transactions != indexed {
        let what =
            format!("{} transactions are indexed, the flushed blocks hold {indexed}", counts.transactions);
        report.problems.push(format!("{}: {what}", tables.path().display()));
    }
    if report.problems.is_empty() && counts.messages != messages {
        let what = format!("{} messages are indexed, the flushed blocks hold {messages}", counts.messages);
        report.problems.push(format!("{}: {what}", tables.path().display()));
    }
    Ok(report)
}

/// Checks one block against its parent and the indexes.
fn check_block(
    tables: &StateTables,
    blocks: &BlockLog,
    index: &UnflushedIndex,
    height: u64,
    parent: Option<BlockHash>,
    problems: &mut Vec<String>,
) -> Result<BlockIndex, StoreError> {
    let path = blocks.path_of(height);
    let mut problem = |what: String| problems.push(format!("{}: block {height}: {what}", path.display()));
    let Some(record) = read_record(blocks, height)? else {
        return Err(crate::frame::damaged(&path, 0, format!("block {height} is missing")));
    };
    let found = BlockIndex::of(&record.certified.block, &record.crossing);
    let header = &record.certified.block.header;
    if found.height.0 != height {
        problem(format!("its header says height {}", found.height));
    }
    if parent.is_some_and(|parent| parent != header.parent) {
        problem("its parent is not the block before it".to_owned());
    }
    if record.certified.certificate.target.block != found.hash {
        problem("its certificate is of another block".to_owned());
    }
    if record.receipts.len() != found.transactions.len() {
        problem(format!("{} transactions have {} receipts", found.transactions.len(), record.receipts.len()));
    }
    let place = match index.height_of(&found.hash) {
        Some(place) => Some(place),
        None => tables.height_of(&found.hash)?,
    };
    if place != Some(found.height) {
        problem(format!("the index has its hash at {place:?}"));
    }
    for (position, hash) in (0u32..).zip(&found.transactions) {
        let place = match index.transaction(hash) {
            Some(place) => Some(place),
            None => tables.transaction(hash)?,
        };
        if place != Some((found.height, position)) {
            problem(format!("the index has its transaction {hash} at {place:?}"));
        }
    }
    for (id, expected) in &found.messages {
        let place = match index.message(id) {
            Some(place) => Some(place),
            None => tables.message(id)?,
        };
        if place != Some(*expected) {
            problem(format!("the index has its message {id} at {place:?}"));
        }
    }
    Ok(found)
}

/// Checks a sealed segment's index against the segment.
fn check_segment(blocks: &BlockLog, segment: &Segment, problems: &mut Vec<String>) {
    let checked = blocks
        .disk()
        .open(&segment.path)
        .map_err(StoreError::io("open", &segment.path))
        .and_then(|file| Segment::scan(&segment.path, &*file, segment.first));
    match checked {
        Err(error) => problems.push(error.to_string()),
        Ok((scanned, torn)) if torn > 0 || !scanned.same_blocks(segment) => {
            problems.push(format!(
                "{}: differs from its index: delete the .idx file beside it, it is rebuilt",
                segment.path.display()
            ));
        }
        Ok(_) => {}
    }
}
