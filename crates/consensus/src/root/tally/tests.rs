use anfs_primitives::{BlsSignature, Epoch, Height, NetworkId, SeatIndex, View, VoteTarget};

use super::*;

const KIND: CertificateKind = CertificateKind::Prepare;

fn seat(index: u16) -> RootSeat {
    RootSeat { domain: DomainId(1), seat: SeatIndex(index) }
}

fn block(id: u8) -> RootHash {
    RootHash::repeat_byte(id)
}

fn tally(seats: &[u16], id: u8) -> RootTally {
    let target = VoteTarget {
        network: NetworkId(1),
        epoch: Epoch::ZERO,
        domain: DomainId(0),
        height: Height(1),
        view: View(0),
        block: block(id),
    };
    let seats = seats.iter().copied().map(SeatIndex).collect();
    RootTally { kind: KIND, target, domain: DomainId(1), seats, signature: BlsSignature::ZERO }
}

#[test]
fn a_sender_votes_once_and_what_it_votes_twice_is_shown() {
    let mut book = TallyBook::default();
    assert_eq!(book.offer(seat(1), tally(&[1], 7), 2, 5), Admission::Kept);
    assert_eq!(book.offer(seat(1), tally(&[1], 7), 2, 6), Admission::Passed);
    let first = Box::new(tally(&[1], 7));
    assert_eq!(book.offer(seat(1), tally(&[1], 8), 2, 6), Admission::Contradicts(first));
    assert_eq!((book.blocks(KIND).len(), book.first_ms(KIND)), (1, Some(5)));
}

#[test]
fn a_gatherer_sends_no_more_than_its_shard_has_seats() {
    let mut book = TallyBook::default();
    for index in 0..3 {
        assert_eq!(book.offer(seat(9), tally(&[index], 7), 3, 0), Admission::Kept);
    }
    assert_eq!(book.offer(seat(9), tally(&[4], 7), 3, 0), Admission::Passed);
}

#[test]
fn no_two_chosen_tallies_name_one_seat() {
    let mut book = TallyBook::default();
    for (sender, seats) in [(2, vec![2]), (9, vec![1, 2, 3]), (4, vec![4]), (3, vec![3])] {
        book.offer(seat(sender), tally(&seats, 7), 9, 0);
    }
    assert!(book.disjoint(KIND, block(7)).is_empty(), "nothing is verified");
    book.verified(KIND, block(7));
    let chosen = &book.disjoint(KIND, block(7))[&DomainId(1)];
    assert_eq!(*chosen, [tally(&[1, 2, 3], 7), tally(&[4], 7)]);
    assert_eq!(book.claimed(KIND, block(7))[&DomainId(1)].len(), 4);
}

#[test]
fn a_strike_costs_the_sender_and_not_who_is_named() {
    let mut book = TallyBook::default();
    book.offer(seat(9), tally(&[1, 2], 7), 9, 0);
    book.offer(seat(1), tally(&[1], 7), 2, 0);
    book.strike(seat(9));
    assert_eq!(book.offer(seat(9), tally(&[2], 7), 9, 0), Admission::Passed);
    assert_eq!(book.unverified(KIND, block(7)), [(seat(1), tally(&[1], 7))]);
}

#[test]
fn votes_are_passed_on_once() {
    let mut book = TallyBook::default();
    book.offer(seat(1), tally(&[1], 7), 2, 0);
    book.trust(seat(2), tally(&[2], 7));
    assert_eq!(book.unpassed(KIND, DomainId(1), block(7)).len(), 2);
    book.pass(KIND, block(7), SeatSet::of(SeatIndex(1)));
    assert_eq!(book.unpassed(KIND, DomainId(1), block(7)), [tally(&[2], 7)]);
}
