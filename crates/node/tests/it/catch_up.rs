//! Seats that are away: the shard goes on without them, and takes them back.

use anfs_primitives::CertificateKind;

use crate::harness::Shard;

#[test]
fn a_verifier_that_is_down_costs_the_fast_path_until_it_is_back() {
    let mut shard = Shard::start();
    let fast = shard.wait_decided(0, 0, CertificateKind::Fast);
    shard.stop_seat(4);
    let transfers = shard.submit(20, 0);
    // Blocks that it had signed already may still be decided fast.
    let slow = shard.wait_decided(0, fast, CertificateKind::Commit);
    shard.wait_included(transfers.last().unwrap());
    shard.wait_height(0, slow + 10);
    for height in slow + 1..=slow + 10 {
        let certificate = shard.block(0, height).certificate.clone().unwrap();
        assert_eq!(certificate.kind, CertificateKind::Commit, "height {height}");
        assert!(!certificate.signers.contains(3), "verifier 4 was down at height {height}");
    }
    assert!(shard.seat(0).status().slow > 0);
    let totals = shard.seat(1).metrics().totals();
    assert!(totals.slice_hashes.load(std::sync::atomic::Ordering::Relaxed) > 0);

    let back = shard.height(0);
    shard.start_seat(4);
    let again = shard.wait_decided(0, back, CertificateKind::Fast);
    shard.wait_height(4, again);
    let seats: Vec<u16> = shard.indices().collect();
    for seat in seats {
        shard.wait_height(seat, again);
    }
    shard.assert_agreement();
}

#[test]
fn a_verifier_that_missed_a_hundred_blocks_catches_up() {
    let mut shard = Shard::start();
    shard.wait_height(2, 3);
    shard.stop_seat(2);
    let left = shard.height(0);
    shard.submit(50, 100);
    shard.wait_height(0, left + 110);
    shard.start_seat(2);
    shard.wait_height(2, left + 110);
    assert!(shard.seat(2).status().synced > 50, "{:?}", shard.seat(2).status());
    let caught_up = shard.height(2);
    shard.wait_decided(0, caught_up, CertificateKind::Fast);
    shard.assert_agreement();
}

#[test]
fn verifiers_that_do_not_hear_each_other_decide_through_the_others() {
    let mut shard = Shard::start();
    shard.wait_height(0, 2);
    shard.wire.cut(1, 2);
    shard.wire.cut(0, 3);
    let cut = shard.height(0);
    let transfers = shard.submit(5, 0);
    shard.wait_included(transfers.last().unwrap());
    shard.wait_height(0, cut + 5);
    shard.wire.mend();
    let mended = shard.height(0);
    let fast = shard.wait_decided(0, mended, CertificateKind::Fast);
    for seat in shard.indices() {
        shard.wait_height(seat, fast);
    }
    shard.assert_agreement();
}

#[test]
fn without_a_quorum_nothing_is_decided_and_nothing_is_lost() {
    let mut shard = Shard::start();
    shard.wait_height(0, 2);
    shard.stop_seat(1);
    shard.stop_seat(2);
    let transfers = shard.submit(3, 0);
    shard.wait(0, "the stall", |seat| seat.status().stalled.is_some());
    assert!(shard.backend(0).shard.status().stalled.is_some());
    let stalled = shard.height(0);
    shard.start_seat(1);
    shard.wait_height(0, stalled + 3);
    shard.wait_included(transfers.last().unwrap());
    shard.start_seat(2);
    let back = shard.height(0);
    let fast = shard.wait_decided(0, back, CertificateKind::Fast);
    for seat in shard.indices() {
        shard.wait_height(seat, fast);
    }
    shard.assert_agreement();
}
