//! A generator that lies: its block is found invalid by every verifier, and never certified.

use std::collections::BTreeMap;

use anfs_consensus::shard::Stall;
use anfs_crypto::votes;
use anfs_primitives::vote::ExecutionField;
use anfs_primitives::{
    BoundedVec, ConsensusMessage, Entry, Fault, Fragment, Height, Proposal, SequencedTransaction, ShardHeader,
};

use crate::harness::{Shard, VERIFIERS, generator_key};
use crate::wire::Forge;

type EditEntry = fn(index: usize, entry: &mut Entry) -> bool;
type EditHeader = fn(header: &mut ShardHeader) -> bool;

/// Rewrites one block: the first above height 2 that an edit applies to.
struct Liar {
    entry: EditEntry,
    header: EditHeader,
    target: Option<Height>,
    bodies: BTreeMap<Height, Vec<Entry>>,
}

impl Liar {
    fn forge(entry: EditEntry, header: EditHeader) -> Forge {
        let mut liar = Self { entry, header, target: None, bodies: BTreeMap::new() };
        Box::new(move |message| match message {
            ConsensusMessage::Fragment(fragment) => ConsensusMessage::Fragment(liar.fragment(fragment)),
            ConsensusMessage::Proposal(proposal) => ConsensusMessage::Proposal(liar.proposal(proposal)),
            other => other,
        })
    }

    fn is_free(&self, height: Height) -> bool {
        height.0 > 2 && self.target.is_none_or(|target| target == height)
    }

    fn fragment(&mut self, mut fragment: Fragment) -> Fragment {
        let height = fragment.height;
        let first = fragment.first_entry as usize;
        let mut entries = fragment.entries.to_vec();
        if self.is_free(height) {
            for (index, entry) in entries.iter_mut().enumerate() {
                if (self.entry)(first + index, entry) {
                    self.target = Some(height);
                }
            }
        }
        let body = self.bodies.entry(height).or_default();
        body.truncate(first);
        body.extend(entries.clone());
        fragment.entries = BoundedVec::try_from(entries).unwrap();
        fragment
    }

    fn proposal(&mut self, proposal: Proposal) -> Proposal {
        let height = proposal.header.height;
        let mut header = proposal.header.header().clone();
        if self.is_free(height) && (self.header)(&mut header) {
            self.target = Some(height);
        }
        if self.target != Some(height) {
            return proposal;
        }
        header.entries_root = anfs_poh::entries_root(&self.bodies[&height]);
        votes::sign_proposal(&generator_key(), &header.seal())
    }
}

/// Runs a shard whose generator lies; every verifier must end with the fault, below the block.
fn check(entry: EditEntry, header: EditHeader, expected: fn(Fault) -> bool) {
    let mut shard = Shard::stopped(VERIFIERS, None);
    shard.wire.forge(Liar::forge(entry, header));
    shard.start_all();
    // The lie may begin with the next block.
    shard.wait_height(0, 2);
    shard.submit(50, 0);
    for seat in 1..=VERIFIERS {
        shard.wait(seat, "the conviction", |seat| {
            matches!(seat.status().stalled, Some(Stall::Convicted { .. }))
        });
        let status = shard.seat(seat).status();
        let Some(Stall::Convicted { height, block }) = status.stalled else { unreachable!() };
        let (at, fault) = status.last_fault.expect("a verdict names its fault");
        assert_eq!(at, height, "seat {seat}");
        assert!(expected(fault), "seat {seat}: {fault}");
        assert_eq!(status.certified.0, height.0 - 1, "seat {seat}");
        assert_ne!(status.certified_hash, block, "seat {seat}");
        assert!(status.evidence > 0, "seat {seat} holds the proof");
        assert!(!shard.seat(seat).health().stopping(), "a lie of the generator stops no verifier");
    }
}

fn keep_header(_: &mut ShardHeader) -> bool {
    false
}

fn keep_entry(_: usize, _: &mut Entry) -> bool {
    false
}

#[test]
fn a_claimed_sender_that_did_not_sign() {
    let rob = |_: usize, entry: &mut Entry| {
        let mut transactions: Vec<SequencedTransaction> = entry.transactions.to_vec();
        for tx in &mut transactions {
            // The second funded account.
            tx.sender = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8".parse().unwrap();
        }
        entry.transactions = BoundedVec::try_from(transactions).unwrap();
        !entry.is_tick()
    };
    check(rob, keep_header, |fault| {
        // The nonces or the state differ already: the slices are not even needed.
        matches!(fault, Fault::Execution(_) | Fault::Signature { .. } | Fault::Transaction { .. })
    });
}

#[test]
fn a_state_root_out_of_thin_air() {
    let edit = |header: &mut ShardHeader| {
        header.state_root.0[0] ^= 1;
        true
    };
    check(keep_entry, edit, |fault| fault == Fault::Execution(ExecutionField::StateRoot));
}

#[test]
fn a_broken_hash_clock() {
    // Not the first or last entry of a slice, so that only the clock itself tells.
    let edit = |index: usize, entry: &mut Entry| {
        if index == 1 {
            entry.hash.0[5] ^= 1;
        }
        index == 1
    };
    check(edit, keep_header, |fault| matches!(fault, Fault::Clock { entry: 1 | 2 }));
}

#[test]
fn tips_that_go_to_somebody_else() {
    let edit = |header: &mut ShardHeader| {
        header.beneficiary.0[0] ^= 1;
        true
    };
    check(keep_entry, edit, |fault| fault == Fault::Execution(ExecutionField::Beneficiary));
}

#[test]
fn gas_that_was_not_used() {
    let edit = |header: &mut ShardHeader| {
        header.gas_used += 1;
        true
    };
    check(keep_entry, edit, |fault| fault == Fault::Execution(ExecutionField::GasUsed));
}
