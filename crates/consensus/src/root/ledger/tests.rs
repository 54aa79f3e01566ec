use proptest::prelude::*;

use super::*;

const A: DomainId = DomainId(1);
const B: DomainId = DomainId(2);
const C: DomainId = DomainId(3);

/// A block's claims with their lists.
#[derive(Clone, Debug, Default)]
struct Block {
    domain: DomainId,
    lanes: Vec<LaneCount>,
    cursors: Vec<InboxCursor>,
    value_in: u64,
    value_out: u64,
    burned: u64,
    issued: Option<u64>,
}

impl Block {
    fn of(domain: DomainId) -> Self {
        Self { domain, ..Self::default() }
    }

    /// The lane stands at so many messages with so many coins in all; the block's share is added to what leaves.
    fn sent(mut self, to: DomainId, sent: u64, value: u64, now: u64) -> Self {
        self.lanes.push(LaneCount { destination: to, sent, value: U256::from(value) });
        self.value_out += now;
        self
    }

    fn took(mut self, from: DomainId, consumed: u64, now: u64) -> Self {
        self.cursors.push(InboxCursor { source: from, consumed });
        self.value_in += now;
        self
    }

    fn apply(&self, ledger: &mut NetworkLedger) -> Result<(), LedgerFault> {
        ledger.apply(&Claims {
            domain: self.domain,
            lanes: &self.lanes,
            cursors: &self.cursors,
            value_in: U256::from(self.value_in),
            value_out: U256::from(self.value_out),
            burned: U256::from(self.burned),
            issued: self.issued.map(U256::from),
        })
    }
}

/// Three domains with 1,000 coins each; A has sent B three messages in two blocks (30 coins, then 50 and 20), and B
/// has consumed the first.
fn ledger() -> NetworkLedger {
    let mut ledger = NetworkLedger::new([A, B, C].map(|id| (id, U256::from(1000))));
    Block::of(A).sent(B, 1, 30, 30).apply(&mut ledger).unwrap();
    Block::of(A).sent(B, 3, 100, 70).apply(&mut ledger).unwrap();
    Block::of(B).took(A, 1, 30).apply(&mut ledger).unwrap();
    ledger
}

fn sum(ledger: &NetworkLedger) -> U256 {
    let held: U256 = [A, B, C].iter().filter_map(|id| ledger.held(*id)).sum();
    held + ledger.in_flight() + ledger.burned()
}

#[test]
fn coins_go_from_one_domain_to_the_other_by_way_of_the_lane() {
    let mut ledger = ledger();
    assert_eq!((ledger.held(A), ledger.held(B)), (Some(U256::from(900)), Some(U256::from(1030))));
    assert_eq!(ledger.in_flight(), U256::from(70));
    // The second block is consumed in part: the root does not know how much of it that is.
    Block { burned: 5, ..Block::of(B).took(A, 2, 50) }.apply(&mut ledger).unwrap();
    Block::of(B).took(A, 3, 20).apply(&mut ledger).unwrap();
    assert_eq!((ledger.held(B), ledger.in_flight()), (Some(U256::from(1095)), U256::ZERO));
    assert_eq!((ledger.burned(), sum(&ledger)), (U256::from(5), U256::from(3000)));
    assert!(ledger.lanes.values().all(|lane| lane.ends.len() == 1), "what is consumed is forgotten");
}

#[test]
fn claims_that_cannot_be_true_are_refused_and_change_nothing() {
    let lane = |source_domain, destination| LedgerFault::Lane { source_domain, destination };
    let value_in = |claimed, least, most| {
        let [claimed, least, most] = [claimed, least, most].map(U256::from);
        LedgerFault::ValueIn { claimed, least, most }
    };
    let value_out =
        |claimed, lanes| LedgerFault::ValueOut { claimed: U256::from(claimed), lanes: U256::from(lanes) };
    let overdrawn = |held, spent| LedgerFault::Overdrawn { held: U256::from(held), spent: U256::from(spent) };
    let cases = [
        ("an unknown domain", Block::of(DomainId(9)), LedgerFault::Domain(DomainId(9))),
        ("a lane to nowhere", Block::of(B).took(A, 1, 0).sent(DomainId(9), 1, 0, 0), lane(B, DomainId(9))),
        ("a lane to itself", Block::of(C).sent(C, 1, 5, 5), lane(C, C)),
        ("a lane that loses messages", Block::of(A).sent(B, 2, 100, 0), lane(A, B)),
        ("a lane that loses coins", Block::of(A).sent(B, 4, 99, 0), lane(A, B)),
        ("coins without a message", Block::of(A).sent(B, 3, 101, 1), lane(A, B)),
        ("a lane left out", Block::of(A), lane(A, B)),
        ("lanes in the wrong order", Block::of(A).sent(C, 1, 0, 0).sent(B, 3, 100, 0), lane(A, B)),
        ("a lane twice", Block::of(A).sent(B, 3, 100, 0).sent(B, 4, 100, 0), lane(A, B)),
        ("coins that leave by no lane", Block { value_out: 5, ..Block::of(C) }, value_out(5, 0)),
        ("a lane that nothing has paid for", Block::of(C).sent(A, 1, 5, 4), value_out(4, 5)),
        ("a cursor that goes back", Block::of(B).took(A, 0, 0), lane(A, B)),
        ("a cursor left out", Block::of(B), lane(A, B)),
        ("a cursor of its own", Block::of(C).took(C, 0, 0), lane(C, C)),
        ("cursors in the wrong order", Block::of(B).took(C, 0, 0).took(A, 1, 0), lane(A, B)),
        (
            "what was never sent",
            Block::of(B).took(A, 4, 70),
            LedgerFault::Ahead { source_domain: A, consumed: 4, sent: 3 },
        ),
        (
            "what nobody has sent",
            Block::of(C).took(B, 1, 0),
            LedgerFault::Ahead { source_domain: B, consumed: 1, sent: 0 },
        ),
        ("coins from nowhere", Block { value_in: 1, ..Block::of(C) }, value_in(1, 0, 0)),
        ("coins before their message", Block::of(B).took(A, 1, 1), value_in(31, 30, 30)),
        ("more than the block held", Block::of(B).took(A, 2, 71), value_in(101, 30, 100)),
        ("more than was sent", Block::of(B).took(A, 3, 71), value_in(101, 100, 100)),
        ("less than was sent", Block::of(B).took(A, 3, 69), value_in(99, 100, 100)),
        ("more than it holds", Block::of(A).sent(B, 4, 1001, 901), overdrawn(900, 901)),
        ("more burned than it holds", Block { burned: 1001, ..Block::of(C) }, overdrawn(1000, 1001)),
        (
            "what it burns sent away",
            Block { burned: 600, ..Block::of(C).sent(A, 1, 600, 600) },
            overdrawn(1000, 1200),
        ),
    ];
    for (what, block, fault) in cases {
        let mut ledger = ledger();
        let before = format!("{ledger:?}");
        assert_eq!(block.apply(&mut ledger), Err(fault), "{what}");
        assert_eq!(format!("{ledger:?}"), before, "{what}");
    }
}

#[test]
fn sums_beyond_all_numbers_are_refused() {
    let claims = |value_out, burned| Claims {
        domain: C,
        lanes: &[],
        cursors: &[],
        value_in: U256::ZERO,
        value_out,
        burned,
        issued: None,
    };
    assert!(matches!(ledger().apply(&claims(U256::MAX, U256::MAX)), Err(LedgerFault::ValueOut { .. })));
    assert!(matches!(ledger().apply(&claims(U256::ZERO, U256::MAX)), Err(LedgerFault::Overdrawn { .. })));
    let lanes = [A, B].map(|destination| LaneCount { destination, sent: 1, value: U256::MAX });
    assert_eq!(
        ledger().apply(&Claims { lanes: &lanes, ..claims(U256::MAX, U256::ONE) }),
        Err(LedgerFault::Overflow)
    );
    let lanes = &lanes[..1];
    assert_eq!(ledger().apply(&Claims { lanes, ..claims(U256::MAX, U256::ONE) }), Err(LedgerFault::Overflow));
    let came = Claims { value_in: U256::MAX, domain: B, ..claims(U256::ZERO, U256::ZERO) };
    let cursors = [InboxCursor { source: A, consumed: 1 }];
    assert_eq!(ledger().apply(&Claims { cursors: &cursors, ..came }), Err(LedgerFault::Overflow));
}

#[test]
fn what_is_issued_is_held_by_who_issues_it_and_never_taken_back() {
    let mut ledger = ledger();
    let root = |issued| Block { issued: Some(issued), ..Block::of(DomainId::ROOT) };
    root(7).sent(A, 1, 5, 5).apply(&mut ledger).unwrap();
    let supply = ledger.supply();
    assert_eq!((supply.issued, ledger.held(DomainId::ROOT)), (U256::from(7), Some(U256::from(2))));
    assert_eq!(supply.held + supply.in_flight + supply.burned, U256::from(3007));
    assert!(ledger.is_balanced());
    let back = LedgerFault::Issued { claimed: U256::from(6), before: U256::from(7) };
    assert_eq!(root(6).sent(A, 1, 5, 0).apply(&mut ledger), Err(back));
    let beyond = Claims { issued: Some(U256::MAX), ..claims_of_root() };
    assert_eq!(NetworkLedger::new([(A, U256::ONE)]).apply(&beyond), Err(LedgerFault::Overflow));
    assert_eq!(NetworkLedger::new([(A, U256::ONE)]).held(DomainId::ROOT), Some(U256::ZERO));
}

fn claims_of_root() -> Claims<'static> {
    let (value_in, value_out, burned) = Default::default();
    Claims { domain: DomainId::ROOT, lanes: &[], cursors: &[], value_in, value_out, burned, issued: None }
}

/// A domain that names lanes of others which do not exist must not bind those others to them.
#[test]
fn a_cursor_at_zero_says_nothing_of_its_source() {
    let mut ledger = ledger();
    Block::of(B).took(A, 1, 0).took(C, 0, 0).apply(&mut ledger).unwrap();
    Block::of(B).took(A, 1, 0).apply(&mut ledger).unwrap();
    Block::of(C).apply(&mut ledger).unwrap();
    Block::of(C).sent(A, 0, 0, 0).apply(&mut ledger).unwrap();
    Block::of(C).apply(&mut ledger).unwrap();
    assert_eq!(sum(&ledger), U256::from(3000));
}

/// What a captured domain may claim: anything, near enough to the truth that much of it is believed.
fn claims() -> impl Strategy<Value = Block> {
    let lane = prop_oneof![3 => (0u64..6, 0u64..400), 1 => (0..=u64::MAX, 0..=u64::MAX)];
    let lanes = [lane.clone(), lane];
    (lanes, [0u64..6, 0u64..6], [0u64..300, 0u64..300, 0u64..300]).prop_map(|(lanes, cursors, values)| {
        Block {
            domain: B,
            lanes: [A, C]
                .into_iter()
                .zip(lanes)
                .map(|(destination, (sent, value))| LaneCount { destination, sent, value: U256::from(value) })
                .collect(),
            cursors: [A, C]
                .into_iter()
                .zip(cursors)
                .map(|(source, consumed)| InboxCursor { source, consumed })
                .collect(),
            value_in: values[0],
            value_out: values[1],
            burned: values[2],
            issued: None,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_captured_domain_spends_no_more_than_it_held_and_was_sent(
        lies in prop::collection::vec((claims(), any::<bool>()), 1..40),
    ) {
        let mut ledger = ledger();
        let held_by_others = [A, C].map(|id| ledger.held(id).unwrap());
        let mut believed = (U256::ZERO, U256::ZERO);
        for (mut block, consistent) in lies {
            if consistent {
                // What leaves fits the lanes: the lie is in how much.
                let gained = block.lanes.iter().map(|lane| {
                    let was = ledger.lanes.get(&(B, lane.destination)).map_or(U256::ZERO, |lane| lane.newest().value);
                    lane.value.saturating_sub(was)
                });
                block.value_out = gained.sum::<U256>().saturating_to();
            }
            if block.apply(&mut ledger).is_ok() {
                believed.0 += U256::from(block.value_out);
                believed.1 += U256::from(block.value_in);
            }
            // 1,030 coins at first, and 70 on their way to it.
            prop_assert!(believed.0 <= U256::from(1100) && believed.1 <= U256::from(70), "{believed:?}");
            prop_assert_eq!([A, C].map(|id| ledger.held(id).unwrap()), held_by_others);
            prop_assert_eq!(sum(&ledger), U256::from(3000));
        }
    }
}
