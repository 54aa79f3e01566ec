//! Blocks of the bank: built by whoever leads, executed again by everybody else.

use std::sync::Arc;

use alloy_primitives::{Address, Bytes};
use anfs_crypto::outbox::outbox_root;
use anfs_poh::entries_root;
use anfs_primitives::vote::ExecutionField;
use anfs_primitives::{
    Block, BlockBody, Boundary, BoundedVec, CrossMessage, Entry, Fault, InboxCursor, LaneCount,
    RootReference, SealedHeader, SeatIndex, SequencedTransaction, ShardHeader, Slot, View, decode,
};

use super::bank::{Bank, Operation, Outcome};

/// Entries of a block: its transactions, and a tick.
pub(super) const ENTRIES: usize = 2;
/// Bytes of an encoded transaction at most.
const OPERATION_BYTES_MAX: usize = 8192;

/// A block that was executed.
#[derive(Debug)]
pub(super) struct Executed {
    pub(super) header: SealedHeader,
    pub(super) bank: Bank,
    pub(super) outcome: Outcome,
    /// What an honest verifier finds.
    pub(super) verdict: Result<(), Fault>,
}

/// What a block is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recipe {
    pub(super) slot: Slot,
    pub(super) view: View,
    pub(super) proposer: SeatIndex,
    pub(super) root: RootReference,
    /// Makes it differ from its siblings.
    pub(super) salt: u64,
}

/// Gas of a block that consumed messages may use. spec: Domains D10
pub(super) fn inbox_gas(gas_limit: u64) -> u64 {
    gas_limit / 2
}

impl Executed {
    /// The state of genesis.
    pub(super) fn genesis(header: SealedHeader, bank: Bank) -> Arc<Self> {
        Arc::new(Self { header, bank, outcome: Outcome::default(), verdict: Ok(()) })
    }
}

fn entries(parent: &SealedHeader, salt: u64, operations: &[Operation]) -> Vec<Entry> {
    let encoded = operations
        .iter()
        .map(|one| SequencedTransaction { encoded: Bytes::from(Bank::encode(one)), sender: Address::ZERO });
    let entry = |mark: u8, transactions: Vec<SequencedTransaction>| {
        let mut hash = parent.hash();
        hash[0] ^= mark;
        for (byte, salt) in hash[8..16].iter_mut().zip(salt.to_le_bytes()) {
            *byte ^= salt;
        }
        let transactions = BoundedVec::try_from(transactions).expect("a block has few transactions");
        Entry { num_hashes: 4, hash, transactions }
    };
    vec![entry(1, encoded.collect()), entry(2, Vec::new())]
}

/// Runs a block: first what is due, then its transactions.
fn run(parent: &Executed, due: &[&CrossMessage], operations: &[Operation]) -> (Bank, Outcome) {
    let (mut bank, mut out) = (parent.bank.clone(), Outcome::default());
    bank.consume(due.iter().copied(), inbox_gas(parent.header.gas_limit), &mut out);
    for operation in operations {
        bank.operate(operation, &mut out);
    }
    (bank, out)
}

/// Writes what a block did into its header.
fn claim(header: &mut ShardHeader, bank: &Bank, out: &Outcome) {
    let lanes = bank.lanes.iter().map(|(to, (sent, value))| LaneCount {
        destination: *to,
        sent: *sent,
        value: *value,
    });
    let cursors =
        bank.cursors.iter().map(|(from, consumed)| InboxCursor { source: *from, consumed: *consumed });
    header.lanes = BoundedVec::try_from(lanes.collect::<Vec<_>>()).expect("few domains");
    header.inbox_cursors = BoundedVec::try_from(cursors.collect::<Vec<_>>()).expect("few domains");
    header.outbox_root = outbox_root(&out.sent);
    header.state_root = bank.root();
    (header.value_in, header.value_out, header.burned) = (out.value_in, out.value_out, out.burned);
    header.gas_used = out.gas;
    if let Some(lie) = out.lie {
        lie.forge(header, out);
    }
}

/// Builds a block on a parent.
pub(super) fn build(
    parent: &Executed,
    recipe: &Recipe,
    due: &[&CrossMessage],
    operations: &[Operation],
) -> (Block, Arc<Executed>) {
    let entries = entries(&parent.header, recipe.salt, operations);
    let end = entries[ENTRIES - 1].hash;
    let mut header = parent.header.header().clone();
    header.height = parent.header.height.next();
    header.slot = recipe.slot;
    header.view = recipe.view;
    header.proposer = recipe.proposer;
    header.parent = parent.header.hash();
    header.root_reference = recipe.root;
    header.poh_start = parent.header.poh_end;
    header.poh_end = end;
    header.entries_root = entries_root(&entries);
    let mut cuts = header.boundaries.to_vec();
    *cuts.last_mut().expect("genesis has cuts") = Boundary { entry: 2, hash: end };
    header.boundaries = BoundedVec::try_from(cuts).expect("as many as before");
    let (bank, outcome) = run(parent, due, operations);
    claim(&mut header, &bank, &outcome);
    let header = header.seal();
    let entries = BoundedVec::try_from(entries).expect("few entries");
    let block = Block { header: header.clone(), body: BlockBody { entries } };
    (block, Arc::new(Executed { header, bank, outcome, verdict: Ok(()) }))
}

/// Executes a block of somebody else, and holds its claims against what comes of it.
pub(super) fn judge(parent: &Executed, block: &Block, due: &[&CrossMessage]) -> Arc<Executed> {
    let transactions = block.body.entries.iter().flat_map(|entry| &entry.transactions);
    let decoded: Result<Vec<Operation>, _> =
        transactions.map(|one| decode(&one.encoded, OPERATION_BYTES_MAX)).collect();
    let readable = decoded.is_ok();
    let (bank, outcome) = run(parent, due, &decoded.unwrap_or_default());
    let claimed = &block.header;
    let mut own = claimed.header().clone();
    claim(&mut own, &bank, &outcome);
    let verdict = if !readable || outcome.lie.is_some() {
        Err(Fault::Transaction { transaction: 0 })
    } else {
        compare(claimed, &own)
    };
    Arc::new(Executed { header: claimed.clone(), bank, outcome, verdict })
}

fn compare(claimed: &ShardHeader, own: &ShardHeader) -> Result<(), Fault> {
    let messages = |header: &ShardHeader| {
        let ShardHeader { lanes, inbox_cursors, outbox_root, value_in, value_out, .. } = header.clone();
        (lanes, inbox_cursors, outbox_root, value_in, value_out)
    };
    let fields = [
        (claimed.state_root == own.state_root, ExecutionField::StateRoot),
        (claimed.gas_used == own.gas_used, ExecutionField::GasUsed),
        (claimed.burned == own.burned, ExecutionField::Burned),
        (messages(claimed) == messages(own), ExecutionField::Messages),
    ];
    fields.iter().find(|(same, _)| !same).map_or(Ok(()), |(_, field)| Err(Fault::Execution(*field)))
}
