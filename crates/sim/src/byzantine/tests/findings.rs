//! What an opening of a view and a polluted body must not let slip.

use super::{bears, evidence, group, plan};
use crate::byzantine::{Behaviour, Lie, Rivalry};
use crate::plan::Timing;
use crate::world::World;

#[test]
fn two_proposals_that_meet_in_the_opening_of_a_view_are_evidence() {
    for how in [Rivalry::Halves, Rivalry::Bodies] {
        let run = |seed| bears(seed, 4, &[(0, Behaviour::Equivocate(how))]);
        let found: u64 = (0..4).map(|seed| evidence(&run(seed), "two proposals")).sum();
        assert!(found > 0, "{how:?}");
    }
}

#[test]
fn conflicting_promises_that_meet_leave_evidence() {
    let how = Behaviour::ConflictingPromise(Lie::Others);
    let found: u64 = (0..6)
        .map(|seed| evidence(&bears(seed, 7, &group(2, &how, Some(Behaviour::Dead))), "two view changes"))
        .sum();
    assert!(found > 0);
}

#[test]
fn wrong_entries_do_not_keep_the_right_ones_away_on_a_way_longer_than_the_patience_for_answers() {
    for seed in 0..6 {
        let liars = group(2, &Behaviour::Pollute, Some(Behaviour::Equivocate(Rivalry::WrongBody)));
        let mut slow = plan(seed, 7, &liars);
        slow.heal_at_ms = 1;
        slow.timing = Timing { slot_ms: 4, fast_timeout_ms: 100, view_timeout_ms: 400, ..Timing::default() };
        slow.duration_ms = 120_000;
        let report = World::new(slow).run();
        assert_eq!(report.violations.first().map(ToString::to_string), None);
        assert!(
            report.counts.views_changed <= 4,
            "seed {seed}: two liars lead, and one more view fails: {report:?}"
        );
    }
}
