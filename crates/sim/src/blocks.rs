//! A model of building and checking blocks: small real blocks with a real entries root, whose validity is a
//! mark in the header that only a checker of the right slice looks at.

use alloy_primitives::{Address, B256, Bloom, Bytes, U256};
use anfs_consensus::ShardConfig;
use anfs_poh::entries_root;
use anfs_primitives::vote::ExecutionField;
use anfs_primitives::{
    Block, BlockBody, Boundary, BoundedVec, Entry, Fault, Fragment, Height, RootReference, SealedHeader,
    SeatIndex, SequencedTransaction, ShardHeader, SignerSet, Slot, View,
};

/// Entries of every block.
pub const ENTRIES: usize = 4;

/// Slots between two root blocks.
const SLOTS_A_ROOT_BLOCK: u64 = 4;

const SLICE_MARK: &[u8; 8] = b"badslice";
const STATE_MARK: &[u8; 8] = b"badstate";

/// What is wrong with a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flaw {
    /// The hash clock or a signature in one slice: whoever checks that slice sees it.
    Slice(u16),
    /// The state root: whoever executes the block sees it.
    State,
}

/// What a block is made of.
#[derive(Clone, Copy, Debug)]
pub struct Recipe {
    /// Its slot.
    pub slot: Slot,
    /// Its view.
    pub view: View,
    /// Who proposes it.
    pub proposer: SeatIndex,
    /// Makes it differ from its siblings.
    pub salt: u64,
    /// What is wrong with it.
    pub flaw: Option<Flaw>,
}

/// The block before the first.
#[must_use]
pub fn genesis(config: &ShardConfig) -> SealedHeader {
    let cut = Boundary { entry: 0, hash: B256::ZERO };
    let cuts = vec![cut; usize::from(config.verifiers) + 1];
    ShardHeader {
        network: config.network,
        domain: config.domain,
        height: Height::ZERO,
        slot: Slot::ZERO,
        parent: B256::ZERO,
        epoch: config.epoch,
        view: View::ZERO,
        proposer: SeatIndex::GENERATOR,
        beneficiary: Address::ZERO,
        root_reference: RootReference::default(),
        poh_start: B256::ZERO,
        poh_end: B256::ZERO,
        boundaries: cuts.try_into().expect("a shard has at most VERIFIERS_MAX verifiers"),
        entries_root: B256::ZERO,
        transactions_root: B256::ZERO,
        receipts_root: B256::ZERO,
        logs_bloom: Bloom::ZERO,
        state_root: B256::ZERO,
        outbox_root: B256::ZERO,
        lanes: BoundedVec::new(),
        inbox_cursors: BoundedVec::new(),
        gas_used: 0,
        gas_limit: config.block_gas_limit,
        base_fee: 1,
        value_in: U256::ZERO,
        value_out: U256::ZERO,
        burned: U256::ZERO,
    }
    .seal()
}

/// A hash clock's stand-in: different for every parent, recipe and place.
fn clock(parent: &SealedHeader, salt: u64, index: usize) -> B256 {
    let mut hash = parent.hash();
    hash[0] ^= u8::try_from(index).expect("a block has few entries") + 1;
    for (byte, salt) in hash[8..16].iter_mut().zip(salt.to_le_bytes()) {
        *byte ^= salt;
    }
    hash
}

fn entries(parent: &SealedHeader, salt: u64) -> Vec<Entry> {
    let recorded = || {
        let encoded = Bytes::copy_from_slice(&[&parent.hash()[..], &salt.to_le_bytes()].concat());
        vec![SequencedTransaction { encoded, sender: Address::repeat_byte(3) }]
    };
    let entry = |index: usize| Entry {
        num_hashes: 4,
        hash: clock(parent, salt, index),
        transactions: BoundedVec::try_from(if index == 2 { recorded() } else { Vec::new() })
            .expect("one transaction at most"),
    };
    (0..ENTRIES).map(entry).collect()
}

/// Builds a block on a parent.
#[must_use]
pub fn build(parent: &SealedHeader, recipe: &Recipe) -> Block {
    let entries = entries(parent, recipe.salt);
    let end = entries.last().expect("a block has entries").hash;
    let mut header = parent.header().clone();
    header.height = parent.height.next();
    header.slot = recipe.slot;
    header.view = recipe.view;
    header.proposer = recipe.proposer;
    header.parent = parent.hash();
    header.root_reference = rooted(parent.root_reference, recipe.slot);
    header.poh_start = parent.poh_end;
    header.poh_end = end;
    header.entries_root = entries_root(&entries);
    header.gas_used = 1;
    header.state_root = mark(recipe.flaw);
    let mut cuts = header.boundaries.to_vec();
    let entry = u32::try_from(ENTRIES).expect("a block has few entries");
    *cuts.last_mut().expect("genesis has cuts") = Boundary { entry, hash: end };
    header.boundaries = cuts.try_into().expect("as many as before");
    let entries = entries.try_into().expect("a block has few entries");
    Block { header: header.seal(), body: BlockBody { entries } }
}

/// The root's stand-in: a root block is final every [`SLOTS_A_ROOT_BLOCK`] slots, and known to everybody at once.
fn rooted(least: RootReference, slot: Slot) -> RootReference {
    let height = slot.0 / SLOTS_A_ROOT_BLOCK;
    if height <= least.height.0 {
        return least;
    }
    RootReference { height: Height(height), hash: B256::left_padding_from(&height.to_be_bytes()) }
}

fn mark(flaw: Option<Flaw>) -> B256 {
    let mut root = B256::repeat_byte(1);
    match flaw {
        None => {}
        Some(Flaw::Slice(slice)) => {
            root[..8].copy_from_slice(SLICE_MARK);
            root[8..10].copy_from_slice(&slice.to_le_bytes());
        }
        Some(Flaw::State) => root[..8].copy_from_slice(STATE_MARK),
    }
    root
}

/// What is wrong with the block of this header: for the checkers of the simulation, who see everything.
#[must_use]
pub fn flaw_of(header: &ShardHeader) -> Option<Flaw> {
    let root = &header.state_root;
    match &root[..8] {
        mark if mark == SLICE_MARK => Some(Flaw::Slice(u16::from_le_bytes([root[8], root[9]]))),
        mark if mark == STATE_MARK => Some(Flaw::State),
        _ => None,
    }
}

/// What a verifier finds that executes the block and checks these slices.
///
/// # Errors
/// The fault.
pub fn check(header: &ShardHeader, slices: SignerSet) -> Result<(), Fault> {
    match flaw_of(header) {
        Some(Flaw::State) => Err(Fault::Execution(ExecutionField::StateRoot)),
        Some(Flaw::Slice(slice)) if slices.contains(usize::from(slice)) => {
            Err(Fault::Clock { entry: u32::from(slice) })
        }
        _ => Ok(()),
    }
}

/// A run of a block's entries as it travels.
#[must_use]
pub fn fragment(block: &Block, entries: std::ops::Range<usize>) -> Fragment {
    let header = &block.header;
    let first = entries.start;
    Fragment {
        network: header.network,
        domain: header.domain,
        height: header.height,
        slot: header.slot,
        view: header.view,
        parent: header.parent,
        proposer: header.proposer,
        root_reference: header.root_reference,
        first_entry: u32::try_from(first).expect("a block has few entries"),
        entries: BoundedVec::try_from(block.body.entries[entries].to_vec()).expect("part of a body"),
    }
}
