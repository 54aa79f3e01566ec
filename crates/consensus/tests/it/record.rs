//! Seats that come back with another record than the one they left with.

use anfs_consensus::bft::SigningRecord;
use anfs_consensus::{Effect, Hold, Input, LogRecord, Standing, VoteCrypto};
use anfs_primitives::{CertificateKind, ConsensusMessage, Height, SeatIndex, Slot, View};
use anfs_sim::blocks::{self, ENTRIES, Recipe};

use crate::net::{Net, signer};
use crate::one::One;

/// The record of a seat as an export gives it.
fn exported(net: &Net, seat: usize) -> Vec<LogRecord> {
    let floor = Height(net.chains[seat].len() as u64);
    let record = SigningRecord::replay(floor, net.logs[seat].clone());
    let floor = LogRecord::Floor(record.silent().unwrap_or_default().max(floor));
    record.live().into_iter().chain([floor]).collect()
}

fn all_four_vote(net: &Net) -> bool {
    let mut last = net.chains[0].iter().rev().take(5);
    last.all(|block| block.certificate.kind == CertificateKind::Fast)
}

#[test]
fn a_seat_that_takes_its_record_along_signs_at_once() {
    let mut net = Net::new(4, 31);
    net.run_until(3_000);
    net.logs[2] = exported(&net, 2);
    net.restart(2);
    assert_eq!(net.core(2).status().hold, None);
    net.run_until(5_000);
    net.check();
    assert!(net.evidence.is_empty() && all_four_vote(&net), "{:?}", net.evidence);
}

/// The new folder has no blocks: the record says nothing below its floor, so nothing is said before that is
/// decided, not even a promise, which would report nothing of what the seat had approved there.
#[test]
fn a_record_without_the_chain_holds_the_seat_until_it_has_caught_up() {
    let mut net = Net::new(4, 32);
    net.run_until(3_000);
    net.logs[2] = exported(&net, 2);
    let floor = Height(net.height(2));
    net.chains[2].clear();
    let said = net.votes[2].len();
    net.restart(2);
    assert_eq!(net.core(2).status().hold, Some(Hold::Behind { until: floor }));
    net.deafen(2);
    net.run_until(12_000);
    assert_eq!(net.core(2).status().hold, Some(Hold::Behind { until: floor }));
    let news = &net.votes[2][said..];
    assert!(news.iter().all(|vote| net.votes[2][..said].contains(vote)), "it repeats itself at most");
    let promises = net.logs[2].iter().filter(|record| matches!(record, LogRecord::ViewChange(_)));
    assert_eq!(promises.count(), 0, "nor does it promise");
    net.network.heal();
    net.run_until(20_000);
    net.check();
    assert_eq!(net.core(2).status().hold, None);
    assert!(net.evidence.is_empty() && all_four_vote(&net), "{:?}", net.evidence);
}

#[test]
fn a_seat_that_lost_its_record_watches_through_restarts_and_only_once() {
    let mut net = Net::new(4, 33);
    net.run_until(3_000);
    net.logs[2] = vec![LogRecord::Standing(Standing::Lost)];
    net.votes[2].clear();
    for end in [3_300, 3_600, 3_900] {
        net.restart(2);
        net.run_until(end);
        assert!(matches!(net.core(2).status().hold, Some(Hold::Watching { .. })));
    }
    assert!(net.votes[2].is_empty());
    net.run_until(15_000);
    assert_eq!(net.core(2).status().hold, None);
    net.restart(2);
    assert_eq!(net.core(2).status().hold, None, "what it has signed since is in its record");
    net.run_until(17_000);
    net.check();
    assert!(all_four_vote(&net));
}

#[test]
fn a_record_that_was_given_away_is_not_signed_on_until_someone_says_so() {
    let mut net = Net::new(4, 34);
    net.run_until(3_000);
    net.logs[2].push(LogRecord::Standing(Standing::Retired));
    net.restart(2);
    let said = net.votes[2].len();
    net.run_until(15_000);
    assert_eq!(net.core(2).status().hold, Some(Hold::Retired), "no watch ends this");
    assert!(net.height(2) > 20, "it follows the chain");
    let news = &net.votes[2][said..];
    assert!(news.iter().all(|vote| net.votes[2][..said].contains(vote)), "it repeats itself at most");
    net.push(1, 2, Input::Release);
    net.run_until(17_000);
    net.check();
    assert!(all_four_vote(&net));
    net.restart(2);
    assert_eq!(net.core(2).status().hold, None, "that was written down");
}

/// Nobody has a record and nobody signs: no chain is there to be watched.
#[test]
fn when_all_have_lost_their_records_only_a_release_helps() {
    let mut net = Net::new(4, 35);
    net.run_until(3_000);
    for seat in 0..=4 {
        net.logs[usize::from(seat)] = vec![LogRecord::Standing(Standing::Lost)];
        net.restart(seat);
    }
    net.run_until(30_000);
    let stuck = net.lowest();
    net.run_until(60_000);
    assert_eq!(net.lowest(), stuck);
    for seat in 0..=4 {
        net.push(1, seat, Input::Release);
    }
    net.run_until(120_000);
    net.check();
    assert!(net.lowest() > stuck + 10, "{} after {stuck}", net.lowest());
}

/// Old logs must stay readable, and these are read back by later releases.
#[test]
fn what_the_log_says_of_itself_is_pinned() {
    for (standing, code) in [(Standing::Sound, 0), (Standing::Lost, 1), (Standing::Retired, 2)] {
        assert_eq!(LogRecord::Standing(standing).to_bytes(), [5, code]);
    }
    let shared = LogRecord::Standing(Standing::Shared(Height(1)));
    assert_eq!(shared.to_bytes(), [5, 3, 1, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(LogRecord::Floor(Height(0x0102)).to_bytes(), [6, 2, 1, 0, 0, 0, 0, 0, 0]);
    assert!(LogRecord::from_bytes(&[5, 4]).is_err() && LogRecord::from_bytes(&[7]).is_err());
}

/// Whoever signs nothing has nothing to check, whoever made the block: what is decided is executed anyway.
#[test]
fn a_held_seat_checks_no_block_that_is_not_decided_not_even_its_own() {
    for held in [true, false] {
        let mut one = One::new(4, 1);
        if held {
            one.core.watch_first();
        }
        let changes = [2, 3, 4].map(|seat| one.promise(seat, 1, Vec::new(), Vec::new()));
        // The leader of view 1 is the seat itself, as it was before it lost its record.
        let opening = one.opening(1, changes.to_vec());
        let mut effects = one.tell(2, ConsensusMessage::NewView(Box::new(opening)));
        assert_eq!((one.view(), one.core.status().view_open), (View(1), true));
        let recipe = Recipe { slot: Slot(1), view: View(1), proposer: SeatIndex(1), salt: 1, flaw: None };
        let block = blocks::build(&one.genesis, &recipe);
        let proposal = signer(4, 1).sign_proposal(SeatIndex(1), &block.header).unwrap();
        effects.extend(one.tell(2, ConsensusMessage::Proposal(proposal)));
        one.now_ms += one.config.fast_timeout_ms;
        effects.extend(one.step(Input::Tick));
        let fragment = ConsensusMessage::Fragment(blocks::fragment(&block, 0..ENTRIES));
        effects.extend(one.tell(2, fragment));
        assert_eq!(one.core.status().proposed, Height(1));
        let checks = effects.iter().filter(|effect| matches!(effect, Effect::Check { .. })).count();
        assert_eq!(checks, usize::from(!held), "held: {held}");
    }
}
