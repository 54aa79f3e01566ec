//! A generator that lies: its block is found invalid by every verifier, never certified, and its last.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use alloy_primitives::U256;
use anfs_crypto::votes;
use anfs_primitives::vote::ExecutionField;
use anfs_primitives::{
    BlockHash, BoundedVec, ConsensusMessage, Entry, Fault, Fragment, Height, Proposal, SeatIndex,
    SequencedTransaction, ShardHeader, View,
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
    told: Lies,
}

/// Hashes of the blocks that were made up.
type Lies = Arc<Mutex<Vec<BlockHash>>>;

impl Liar {
    fn forge(entry: EditEntry, header: EditHeader, told: Lies) -> Forge {
        let mut liar = Self { entry, header, target: None, bodies: BTreeMap::new(), told };
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
        let lie = header.seal();
        self.told.lock().unwrap().push(lie.hash());
        votes::sign_proposal(&generator_key(), &lie)
    }
}

/// Runs a shard whose generator lies: every verifier finds the fault, the block is never decided, the liar is
/// convicted, and the shard goes on under the next leader without losing a transaction.
fn check(entry: EditEntry, header: EditHeader, expected: fn(Fault) -> bool) {
    let mut shard = Shard::stopped(VERIFIERS, None);
    let lies = Lies::default();
    shard.wire.forge(Liar::forge(entry, header, lies.clone()));
    shard.start_all();
    // The lie may begin with the next block.
    shard.wait_height(0, 2);
    let transfers = shard.submit(50, 0);
    for seat in 1..=VERIFIERS {
        shard.wait(seat, "the conviction and the next view", |seat| {
            let status = seat.status();
            status.convictions > 0 && status.view > View::ZERO && status.view_open
        });
        let status = shard.seat(seat).status();
        let (_, fault) = status.last_fault.expect("a verdict names its fault");
        assert!(expected(fault), "seat {seat}: {fault}");
        let view = shard.backend(seat).shard.view();
        let proof = view.recent_evidence.iter().find(|note| note.kind == "proposed an invalid block");
        let proof = proof.expect("it holds the proof");
        assert_eq!((proof.offender, proof.view), (SeatIndex::GENERATOR, 0), "seat {seat}");
        let why = view.last_change.expect("the view has changed").reason;
        assert!(why.contains("seat 0") || why.contains("the others"), "seat {seat}: {why}");
        assert!(!shard.seat(seat).health().stopping(), "a lie of the generator stops no verifier");
    }
    for transfer in &transfers {
        shard.wait_included_at(1, transfer);
    }
    let reached = shard.height(1) + 3;
    for seat in shard.indices() {
        shard.wait_height(seat, reached);
    }
    shard.assert_agreement();
    let lies = lies.lock().unwrap();
    assert!(!lies.is_empty(), "it lied");
    for height in 1..=reached {
        let hash = shard.block(1, height).header.hash();
        assert!(!lies.contains(&hash), "the lie was decided at height {height}");
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
fn fees_that_were_not_burned() {
    let edit = |header: &mut ShardHeader| {
        header.burned += U256::ONE;
        true
    };
    check(keep_entry, edit, |fault| fault == Fault::Execution(ExecutionField::Burned));
}

#[test]
fn gas_that_was_not_used() {
    let edit = |header: &mut ShardHeader| {
        header.gas_used += 1;
        true
    };
    check(keep_entry, edit, |fault| fault == Fault::Execution(ExecutionField::GasUsed));
}

#[test]
fn a_verifier_that_lies_and_falls_silent_costs_time_only_and_leaves_evidence() {
    let mut shard = Shard::stopped(VERIFIERS, None);
    shard.byzantine = vec![1];
    shard.start_all();
    let transfers = shard.submit(50, 0);
    // Past two rounds of its habits.
    shard.wait_height(0, 70);
    for transfer in &transfers {
        shard.wait_included(transfer);
    }
    for seat in [0, 2, 3, 4] {
        shard.wait(seat, "evidence of the false alerts", |seat| seat.status().evidence > 1);
        let evidence = shard.backend(seat).shard.view().recent_evidence;
        assert!(evidence.iter().all(|note| note.offender == SeatIndex(1)), "{evidence:?}");
        assert!(evidence.iter().any(|note| note.kind == "called a valid block invalid"), "{evidence:?}");
        assert_eq!(shard.seat(seat).status().convictions, 0, "one liar convicts nobody");
    }
    let status = shard.seat(0).status();
    assert!(status.fast > 0 && status.slow > 0, "{status:?}");
    shard.assert_agreement();
}
