//! Votes and view changes of the shard protocol as a small model, explored exhaustively.
//!
//! Four verifiers, f = 1: three honest ones and one that may say anything to anyone. Every leader, too, may
//! do what it likes within what an opening of a view is checked for, so the model needs no leaders: any
//! opening that can be put together may be shown to anyone.
//!
//! ```text
//!   view 0                        view 2                              view 4
//!   votes ─► certificates ─► promises ─► openings ─► votes ─► ... ─► promises ─► openings
//!            (exist as soon as enough        │ production: ViewRules::candidate, ground, collect,
//!             honest votes do; each seat     │ check_form, check_opening; SigningRecord; contradict
//!             sees them or does not)         └ must keep what is decided
//! ```
//!
//! *No messages.* A state holds what was signed, not what is under way. Whatever was signed may reach a seat at
//! any time or never: a step that needs it is allowed as soon as it exists, and never forced. That covers loss,
//! delay, duplication and every order. A restart gives nothing new: a seat has to keep to its record alone,
//! and may be shown another opening of the same view before each vote.
//!
//! *View by view.* What is signed in a view depends on that view and lower ones only, and more of it never
//! forbids anything to others. So each run can be told in another order, view after view, with the same
//! outcome, and only such runs are explored. A promise tells what its seat did in lower views, whenever it is
//! made.
//!
//! *Every other view.* Views with votes have the even numbers. The byzantine verifier may claim to have
//! approved in those between, where nothing happened.
//!
//! *Names.* Honest verifiers differ in nothing, nor do blocks that stand alike in the tree: of states that
//! differ in such names only, one is kept.
//!
//! *Wrong blocks.* One block at most is wrong. Not all honest verifiers approve it, for each slice is checked by
//! f + 1; none calls it valid in full; a conviction of it may be shown in any opening.
//!
//! `ANFS_MODEL=deep` explores further: minutes, and some gigabytes of memory.
//!
//! spec: PROTOCOL §4 R2–R8

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic; clippy sees only the test functions")]

mod explore;
mod flaw;
mod law;
mod model;
mod openings;
mod state;
mod trace;
mod tree;

use std::rc::Rc;

use explore::{Report, explore};
use flaw::Flaw;
use law::Law;
use model::{Checks, Grain, Model};
use tree::Tree;

/// More do not fit the memory of a small machine.
const STATES_MAX: usize = 40_000_000;

/// One height, two blocks.
fn pair() -> Tree {
    Tree::new(&[("A", None), ("B", None)])
}

/// Two heights, two branches.
fn fork() -> Tree {
    Tree::new(&[("A", None), ("B", None), ("A1", Some(0)), ("B1", Some(1))])
}

/// Two heights, and a fork at either.
fn broad() -> Tree {
    Tree::new(&[("A", None), ("B", None), ("A1", Some(0)), ("A2", Some(0))])
}

/// Explores the rules as they are, and returns the number of states.
fn holds(name: &str, tree: Tree, views: u8, grain: Grain) -> usize {
    let mut model = Model::new(tree, views, grain, None, Checks::All);
    let Report { states, steps, depth, openings, counterexample } = explore(&mut model, STATES_MAX);
    println!(
        "{name}, {views} views with votes, {grain:?}: {states} states, {steps} steps, {depth} deep; \
         {openings} openings checked by the production code"
    );
    assert_eq!(counterexample, None, "{}", counterexample.as_deref().unwrap_or_default());
    states
}

fn deep() -> bool {
    std::env::var_os("ANFS_MODEL").is_some_and(|depth| depth == "deep")
}

// The numbers of states are pinned: another one means that the rules or the model have changed.

#[test]
fn one_height_is_safe_vote_by_vote() {
    assert_eq!(holds("pair", pair(), 2, Grain::Fine), 89_187);
    if deep() {
        holds("pair", pair(), 3, Grain::Fine);
    }
}

#[test]
fn one_height_is_safe_in_three_views() {
    assert_eq!(holds("pair", pair(), 3, Grain::Coarse), 317_103);
    if deep() {
        holds("pair", pair(), 4, Grain::Coarse);
    }
}

#[test]
fn two_heights_are_safe() {
    assert_eq!(holds("fork", fork(), 2, Grain::Coarse), 5_119_805);
    if deep() {
        holds("broad", broad(), 2, Grain::Coarse);
    }
}

/// Where a wrong rule shows: one height in most cases.
fn stage_for(flaw: Flaw) -> Model {
    let (tree, views, grain) = match flaw {
        Flaw::CommitOnUndecided | Flaw::ChildBeforeParent => (fork(), 2, Grain::Coarse),
        _ => (pair(), 3, Grain::Fine),
    };
    Model::new(tree, views, grain, Some(flaw), Checks::All)
}

#[test]
fn every_wrong_rule_breaks_an_invariant() {
    for flaw in Flaw::ALL {
        let report = explore(&mut stage_for(flaw), STATES_MAX);
        let text = report.counterexample.unwrap_or_else(|| panic!("{flaw:?} passes"));
        println!("{flaw:?}, found among {} states:\n{text}\n", report.states);
        let expected = match flaw {
            Flaw::TwoBlocks | Flaw::ChangeOfMind => "contradicts itself",
            // Here the fork itself is nearer than an opening that shows it coming.
            Flaw::NoOpening => "are both decided",
            _ => "excludes it",
        };
        assert!(text.contains(expected), "{flaw:?}: {text}");
    }
}

#[test]
fn every_wrong_rule_does_harm() {
    for flaw in Flaw::ALL {
        let mut model = stage_for(flaw);
        model.checks = Checks::Harm;
        let report = explore(&mut model, STATES_MAX);
        let text = report.counterexample.unwrap_or_else(|| panic!("{flaw:?} does no harm"));
        println!("{flaw:?}, found among {} states:\n{text}\n", report.states);
        let expected = if flaw == Flaw::ChangeOfMind { "decided and convicted" } else { "are both decided" };
        assert!(text.contains(expected), "{flaw:?}: {text}");
    }
}

/// What the model cannot see, for it has no liveness: a ground that nobody can get to.
#[test]
fn a_tip_must_show_what_it_stands_on() {
    let law = Law::new(Rc::new(fork()), None);
    assert!(law.takes_lone_tip(0), "A stands on what the epoch starts from");
    assert!(!law.takes_lone_tip(2), "A1 without the certificate of A");
}
