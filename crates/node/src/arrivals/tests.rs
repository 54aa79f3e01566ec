use alloy_primitives::{Address, B256, U256};
use anfs_primitives::{BoundedVec, CallForm, CrossCall, DomainId, GasPayment, NetworkId, Slot};
use proptest::prelude::*;

use super::*;
use crate::testing::spec;

const HERE: DomainId = DomainId(1);

fn message(source: u32, sequence: u64, body: MessageBody) -> Arc<CrossMessage> {
    let (network, source, origin) = (NetworkId(7), DomainId(source), B256::ZERO);
    Arc::new(CrossMessage { network, source, destination: HERE, sequence, origin, body })
}

fn credit(source: u32, sequence: u64) -> Arc<CrossMessage> {
    message(source, sequence, MessageBody::Credit { recipient: Address::ZERO, value: U256::from(1) })
}

fn credits(source: u32, sequences: std::ops::Range<u64>) -> (DomainId, Vec<Arc<CrossMessage>>) {
    (DomainId(source), sequences.map(|sequence| credit(source, sequence)).collect())
}

fn root(height: u64) -> RootReference {
    RootReference { height: Height(height), hash: B256::left_padding_from(&(height + 1).to_be_bytes()) }
}

/// A header of a block that refers to a root block and has consumed so much of each lane.
fn header(reference: RootReference, cursors: &[(u32, u64)]) -> ShardHeader {
    let spec = spec();
    let header = spec.genesis_header(HERE, B256::ZERO, B256::ZERO);
    ShardHeader {
        root_reference: reference,
        inbox_cursors: BoundedVec::try_from(at(cursors)).unwrap(),
        ..header
    }
}

fn at(cursors: &[(u32, u64)]) -> Vec<InboxCursor> {
    let cursor = |&(source, consumed)| InboxCursor { source: DomainId(source), consumed };
    cursors.iter().map(cursor).collect()
}

fn empty() -> Arrivals {
    Arrivals::new(&header(RootReference::default(), &[]))
}

/// What is due, as (source, number).
fn due(arrivals: &Arrivals, height: u64, cursors: &[(u32, u64)]) -> Vec<(u32, u64)> {
    match arrivals.due(&root(height), &at(cursors)) {
        Due::Messages(due) => due.iter().map(|message| (message.source.0, message.sequence)).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_due_comes_by_root_block_then_source_then_number() {
    let arrivals = empty();
    arrivals.push(root(1), vec![credits(3, 0..2), credits(2, 0..1)]).unwrap();
    arrivals.push(root(2), vec![]).unwrap();
    // Two blocks of one shard in a root block.
    arrivals.push(root(3), vec![credits(3, 2..3), credits(2, 1..3), credits(3, 3..4)]).unwrap();
    assert_eq!(arrivals.latest(), root(3));
    let all = [(2, 0), (3, 0), (3, 1), (2, 1), (2, 2), (3, 2), (3, 3)];
    assert_eq!(due(&arrivals, 3, &[]), all);
    assert_eq!(due(&arrivals, 2, &[]), all[..3], "no more than the reference makes final");
    assert_eq!(due(&arrivals, 3, &[(2, 1), (3, 1)]), all[2..], "nothing twice");
    assert_eq!(due(&arrivals, 3, &[(2, 3), (3, 4)]), []);
}

#[test]
fn before_the_first_root_block_nothing_is_due() {
    let arrivals = empty();
    assert_eq!(arrivals.latest(), RootReference::default());
    assert_eq!(arrivals.due(&RootReference::default(), &[]), Due::Messages(Vec::new()));
    assert_eq!(arrivals.due(&root(0), &[]), Due::Foreign, "there is no other beginning");
}

#[test]
fn references_are_told_apart() {
    let arrivals = empty();
    assert_eq!(arrivals.due(&root(1), &[]), Due::NotYet);
    arrivals.push(root(1), vec![]).unwrap();
    assert_eq!(arrivals.due(&root(1), &[]), Due::Messages(Vec::new()));
    assert_eq!(arrivals.due(&root(2), &[]), Due::NotYet);
    let other = RootReference { hash: B256::ZERO, ..root(1) };
    assert_eq!(arrivals.due(&other, &[]), Due::Foreign);
}

#[test]
fn what_is_out_of_order_changes_nothing() {
    let arrivals = empty();
    let order = |want, have| Err(PushError::Order { want: Height(want), have: Height(have) });
    assert_eq!(arrivals.push(root(2), vec![]), order(1, 2));
    assert_eq!(arrivals.push(root(0), vec![]), order(1, 0));
    arrivals.push(root(1), vec![credits(2, 0..2)]).unwrap();
    assert_eq!(arrivals.push(root(3), vec![]), order(2, 3));
    let gap = |want, have| Err(PushError::Gap { source_domain: DomainId(2), want, have });
    assert_eq!(arrivals.push(root(2), vec![credits(3, 0..1), credits(2, 3..4)]), gap(2, 3));
    assert_eq!(arrivals.push(root(2), vec![credits(2, 1..3)]), gap(2, 1));
    assert_eq!(due(&arrivals, 1, &[]), [(2, 0), (2, 1)]);
    assert_eq!(arrivals.latest(), root(1));
    // The same block again is no news.
    arrivals.push(root(1), vec![credits(2, 0..2)]).unwrap();
    arrivals.push(root(2), vec![credits(3, 0..1), credits(2, 2..3)]).unwrap();
    assert_eq!(due(&arrivals, 2, &[(2, 2)]), [(2, 2), (3, 0)]);
}

#[test]
fn what_durable_blocks_consumed_is_forgotten() {
    let arrivals = empty();
    arrivals.push(root(1), vec![credits(2, 0..3)]).unwrap();
    arrivals.push(root(2), vec![credits(3, 0..1)]).unwrap();
    arrivals.prune(&header(root(1), &[(2, 2)]));
    assert_eq!(due(&arrivals, 2, &[(2, 2)]), [(2, 2), (3, 0)]);
    // A block beside the durable chain, which nobody will decide.
    assert_eq!(arrivals.due(&root(2), &at(&[(2, 1)])), Due::NotYet);
    arrivals.prune(&header(root(2), &[(2, 3), (3, 1)]));
    assert_eq!(arrivals.due(&root(1), &at(&[(2, 3), (3, 1)])), Due::NotYet, "older references are no one's");
    let held = arrivals.held.lock();
    assert_eq!((held.bytes, held.batches.len(), held.known.len()), (0, 0, 1));
}

#[test]
fn a_seat_that_restarts_is_told_again() {
    let durable = header(root(5), &[(2, 7)]);
    let arrivals = Arrivals::new(&durable);
    assert_eq!(arrivals.due(&root(5), &durable.inbox_cursors), Due::NotYet, "not all of it is here");
    let order = PushError::Order { want: Height(5), have: Height(6) };
    assert_eq!(arrivals.push(root(6), vec![]), Err(order), "what the head refers to would be missing");
    // Of block 4, two messages were not consumed; of those that were, some are left out.
    arrivals.push(root(4), vec![credits(2, 6..9)]).unwrap();
    arrivals.push(root(5), vec![credits(3, 0..1)]).unwrap();
    assert_eq!(due(&arrivals, 5, &[(2, 7)]), [(2, 7), (2, 8), (3, 0)]);
    let gap = PushError::Gap { source_domain: DomainId(2), want: 9, have: 10 };
    assert_eq!(arrivals.push(root(6), vec![credits(2, 10..11)]), Err(gap));
}

#[test]
fn no_more_is_handed_out_than_a_block_could_hold_and_one_message_more() {
    let arrivals = empty();
    let inbox = spec().block_gas_limit / 2;
    let count = inbox / credit(2, 0).gas();
    arrivals.push(root(1), vec![credits(2, 0..3 * count)]).unwrap();
    assert_eq!(due(&arrivals, 1, &[]).len() as u64, count + 1);
    let call = CrossCall {
        sender: Address::ZERO,
        recipient: Address::ZERO,
        value: U256::ZERO,
        gas_limit: u64::MAX,
        payment: GasPayment::Prepaid { max_fee: 1, max_tip: 1 },
        deadline: Slot(1),
        data: BoundedVec::new(),
        form: CallForm::Direct,
        result: None,
    };
    let arrivals = empty();
    let huge = message(2, 0, MessageBody::Call(call));
    arrivals.push(root(1), vec![(DomainId(2), vec![huge]), credits(3, 0..1)]).unwrap();
    assert_eq!(due(&arrivals, 1, &[]), [(2, 0)], "however heavy, the first one is due");
}

#[test]
fn a_push_wakes_those_who_wait() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let arrivals = empty();
    let rung = Arc::new(AtomicUsize::new(0));
    let bell = rung.clone();
    arrivals.on_growth(move || {
        bell.fetch_add(1, Ordering::SeqCst);
    });
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            while arrivals.latest() != root(1) {
                arrivals.wait_beyond(&RootReference::default(), Duration::from_secs(60));
            }
        });
        arrivals.push(root(1), vec![]).unwrap();
        waiter.join().unwrap();
    });
    assert_eq!(rung.load(Ordering::SeqCst), 1);
}

proptest! {
    /// However the messages are spread over root blocks, and whatever is pruned in between: consuming what is due, a few
    /// at a time, meets every message of every lane once and in its order.
    #[test]
    fn each_message_is_due_once(
        pushes in prop::collection::vec((prop::collection::vec(0u64..4, 3), 1usize..9, any::<bool>()), 1..20),
    ) {
        let arrivals = empty();
        let mut sent = [0u64; 3];
        let mut cursors: BTreeMap<u32, u64> = BTreeMap::new();
        let flat = |cursors: &BTreeMap<u32, u64>| -> Vec<(u32, u64)> { cursors.clone().into_iter().collect() };
        let mut height = 0;
        for (counts, take, durable) in &pushes {
            height += 1;
            let batches = (2u32..).zip(counts).zip(&mut sent).map(|((source, count), sent)| {
                *sent += count;
                credits(source, *sent - count..*sent)
            });
            arrivals.push(root(height), batches.collect()).unwrap();
            for (source, sequence) in due(&arrivals, height, &flat(&cursors)).into_iter().take(*take) {
                let next = cursors.entry(source).or_default();
                prop_assert_eq!(sequence, *next);
                *next += 1;
            }
            if *durable {
                arrivals.prune(&header(root(height), &flat(&cursors)));
            }
        }
        for (source, sequence) in due(&arrivals, height, &flat(&cursors)) {
            let next = cursors.entry(source).or_default();
            prop_assert_eq!(sequence, *next);
            *next += 1;
        }
        let consumed: Vec<u64> = (2..5).map(|source| cursors.get(&source).copied().unwrap_or_default()).collect();
        prop_assert_eq!(consumed, sent.to_vec());
    }
}
