//! Leaders that die: others take over, nothing that was acknowledged is lost, and clients notice little.

use std::collections::BTreeSet;
use std::fs;

use alloy_primitives::B256;
use anfs_primitives::{CertificateKind, SeatIndex, View};
use tokio::sync::broadcast::error::TryRecvError;

use crate::harness::{Shard, VERIFIERS};

/// Every transaction is in a decided block, once, with a receipt.
fn assert_included(shard: &Shard, seat: u16, transfers: &[B256]) {
    for transfer in transfers {
        shard.wait_included_at(seat, transfer);
    }
    let mut seen = BTreeSet::new();
    for height in 1..=shard.height(seat) {
        let block = shard.block(seat, height);
        assert_eq!(block.transactions.len(), block.receipts.len(), "height {height}");
        for tx in block.transactions.iter() {
            assert!(seen.insert(*tx.hash()), "{} is in two blocks", tx.hash());
        }
    }
    assert!(transfers.iter().all(|transfer| seen.contains(transfer)));
}

/// Waits until a seat knows of a running leader who has opened a view above the first; that leader. It is the
/// next one in the line of succession, unless the machine is so busy that its view passed unused.
fn wait_takeover(shard: &Shard, seat: u16) -> u16 {
    let running = shard.running();
    let mut leader = 0;
    shard.wait(seat, "a takeover", |seat| {
        let status = seat.status();
        leader = status.acting.0;
        status.view_open && status.view > View::ZERO && running.contains(&leader)
    });
    leader
}

/// All running seats come to the same chain, a little further on.
fn assert_goes_on(shard: &Shard) {
    let running = shard.running();
    let reached = running.iter().map(|seat| shard.height(*seat)).max().unwrap() + 3;
    for seat in running {
        shard.wait_height(seat, reached);
    }
    shard.assert_agreement();
}

#[test]
fn the_generator_is_killed_under_load() {
    let mut shard = Shard::start();
    let clients = shard.clients(0);
    let backend = clients.serve(None, None);
    let mut transfers = shard.submit_to(&backend, 300, 0);
    shard.wait_included(&transfers[0]);
    transfers.extend(shard.submit_to(&backend, 300, 0));
    clients.read_from(shard.seat(4));
    shard.kill_seat(0);
    // Nobody leads for a while: what comes now waits.
    transfers.extend(shard.submit_to(&backend, 100, 0));
    wait_takeover(&shard, 4);
    transfers.extend(shard.submit_to(&backend, 100, 0));
    assert_included(&shard, 4, &transfers);
    assert_goes_on(&shard);
    let view = backend.shard.view();
    assert_eq!(view.seat, SeatIndex(4));
    assert!(view.views_changed > 0);
    let change = view.last_change.unwrap();
    assert_eq!(change.view, view.view);
    assert!(change.view > 1 || change.reason.contains("under seat 0"), "{}", change.reason);
    assert_eq!(view.succession.len(), usize::from(VERIFIERS));
    assert_eq!(*view.succession.last().unwrap(), view.acting, "its turn comes again last");
    // Tips go to whoever proposes.
    let head = shard.block(4, shard.height(4)).header.clone();
    let proposer = head.proposer.verifier_index().expect("the generator is dead");
    assert_eq!(head.beneficiary, shard.spec.shards[0].verifiers[proposer].beneficiary);
}

#[test]
fn transactions_of_the_killed_generator_alone_are_found_by_its_heir() {
    let mut shard = Shard::start();
    shard.wait_height(4, 2);
    let transfers = shard.submit(200, 0);
    shard.kill_seat(0);
    wait_takeover(&shard, 2);
    assert_included(&shard, 2, &transfers);
    assert_goes_on(&shard);
}

#[test]
fn a_seat_that_serves_and_does_not_lead_hands_on_what_it_accepts() {
    let mut shard = Shard::start();
    let backend = shard.backend(2);
    let transfers = shard.submit_to(&backend, 50, 0);
    assert_included(&shard, 2, &transfers);
    // Cut off from the leader it keeps what it accepts, until somebody hears it again.
    shard.wire.cut(2, 0);
    shard.wire.cut(2, 4);
    let kept = shard.submit_to(&backend, 50, 0);
    let height = shard.height(0);
    shard.wait_height(0, height + 3);
    assert!(shard.seat(0).chain().transaction(&kept[0]).unwrap().is_none());
    shard.wire.mend();
    assert_included(&shard, 0, &kept);
    assert_goes_on(&shard);
}

#[test]
fn two_leaders_in_a_row_are_killed() {
    let mut shard = Shard::stopped(7, None);
    shard.start_all();
    let clients = shard.clients(0);
    let backend = clients.serve(None, None);
    let mut transfers = shard.submit_to(&backend, 100, 0);
    shard.wait_included(&transfers[0]);
    transfers.extend(shard.submit_to(&backend, 100, 0));
    let mut leader = 0;
    for _ in 0..2 {
        let heir = if leader == 7 { 6 } else { 7 };
        clients.read_from(shard.seat(heir));
        shard.kill_seat(leader);
        leader = wait_takeover(&shard, 1);
        transfers.extend(shard.submit_to(&backend, 100, 0));
    }
    let witness = shard.running()[0];
    assert_included(&shard, witness, &transfers);
    assert_goes_on(&shard);
}

#[test]
fn the_old_generator_comes_back_as_a_follower() {
    let mut shard = Shard::start();
    shard.wait_height(0, 3);
    shard.kill_seat(0);
    wait_takeover(&shard, 1);
    let led = shard.height(1) + 5;
    shard.wait_height(1, led);
    shard.start_seat(0);
    shard.wait_height(0, led);
    wait_takeover(&shard, 0);
    // What it accepts reaches whoever leads.
    let transfers = shard.submit(20, 0);
    assert_included(&shard, 0, &transfers);
    let back = shard.height(0);
    shard.wait_decided(0, back, CertificateKind::Fast);
    assert_ne!(shard.seat(0).status().acting, SeatIndex::GENERATOR, "nobody gives the lead back");
    assert_goes_on(&shard);
}

#[test]
fn after_a_takeover_all_seats_are_killed_and_go_on_in_the_new_view() {
    let mut shard = Shard::start();
    shard.wait_height(0, 3);
    shard.kill_seat(0);
    wait_takeover(&shard, 4);
    let before = shard.height(4) + 3;
    shard.wait_height(4, before);
    let view = shard.seat(4).status().view;
    shard.kill_all();
    shard.start_all();
    let clients = shard.clients(4);
    let transfers = shard.submit_to(&clients.serve(None, None), 20, 0);
    assert_included(&shard, 4, &transfers);
    assert_goes_on(&shard);
    for seat in shard.indices() {
        assert!(shard.height(seat) >= before, "seat {seat} forgot blocks");
        assert!(shard.seat(seat).status().view >= view, "seat {seat} went back to an older view");
    }
}

#[test]
fn a_shard_of_two_survives_its_generator() {
    let mut shard = Shard::stopped(1, None);
    shard.start_all();
    let transfers = shard.submit(100, 0);
    shard.wait_included(&transfers[0]);
    shard.kill_seat(0);
    assert_eq!(wait_takeover(&shard, 1), 1);
    assert_included(&shard, 1, &transfers);
}

#[test]
fn subscribers_hear_every_head_once_whichever_seat_serves_them() {
    let mut shard = Shard::start();
    let clients = shard.clients(0);
    let backend = clients.serve(None, None);
    shard.wait_height(0, 2);
    let mut heads = backend.events.blocks();
    let mut pending = backend.events.pending_transactions();
    let mut expected = shard.submit_to(&backend, 5, 0);
    for heir in [4, 1, 3, 2] {
        let height = shard.height(heir);
        clients.read_from(shard.seat(heir));
        if heir == 4 {
            shard.kill_seat(0);
        }
        expected.extend(shard.submit_to(&backend, 5, 0));
        shard.wait_height(heir, height + 8);
    }
    assert_included(&shard, 2, &expected);
    let mut told = Vec::new();
    loop {
        match heads.try_recv() {
            Ok(block) => told.push(block),
            Err(TryRecvError::Empty) => break,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(told.len() > 20);
    for pair in told.windows(2) {
        assert_eq!(pair[1].summary().parent, pair[0].hash(), "no gap and no repetition");
    }
    let announced: Vec<B256> = std::iter::from_fn(|| pending.try_recv().ok()).map(|tx| *tx.hash()).collect();
    assert_eq!(announced, expected);
}

#[test]
fn a_seat_that_lost_its_signing_record_watches_before_it_signs() {
    let mut shard = Shard::start();
    shard.wait_height(2, 3);
    assert!(
        shard.indices().all(|seat| shard.seat(seat).status().hold.is_none()),
        "a new network signs at once"
    );
    shard.stop_seat(2);
    fs::remove_file(shard.dir(2).join("votes.log")).unwrap();
    shard.start_seat(2);
    assert!(shard.backend(2).shard.view().hold.unwrap().contains("signing record"));
    let from = shard.height(0);
    let slow = shard.wait_decided(0, from, CertificateKind::Commit);
    let signers = shard.block(0, slow).certificate.clone().unwrap().signers;
    assert!(!signers.contains(1), "it signs nothing");
    shard.wait(2, "the end of the watch", |seat| seat.status().hold.is_none());
    let released = shard.height(0);
    shard.wait_decided(0, released, CertificateKind::Fast);
    // A lost folder is the same as a lost record.
    shard.stop_seat(VERIFIERS);
    fs::remove_dir_all(shard.dir(VERIFIERS)).unwrap();
    shard.start_seat(VERIFIERS);
    assert!(shard.seat(VERIFIERS).status().hold.is_some());
    let height = shard.height(0);
    shard.wait_height(VERIFIERS, height);
}
