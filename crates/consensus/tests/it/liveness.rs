//! Views that must open, and lead on, whatever f liars have kept to themselves or say.

use std::sync::Arc;

use anfs_consensus::bft::{SigningRecord, ViewFault};
use anfs_consensus::{Depth, Effect, Input, LogRecord, Offence, VoteCrypto};
use anfs_primitives::{
    Block, BlockHash, BlsSignature, Certificate, CertificateKind, ConsensusMessage, Height, HeightReport,
    NewView, SeatIndex, SignedViewChange, Slot, View, VoteKind,
};
use anfs_sim::blocks::{self, Recipe};

use crate::net::{Net, signer};
use crate::one::{One, block};

fn report(height: u64, prepared: Option<Certificate>, approved: Option<(View, BlockHash)>) -> HeightReport {
    HeightReport { height: Height(height), prepared, approved }
}

fn promise(one: &mut One, signed: &SignedViewChange) -> Vec<Effect> {
    one.tell(signed.signer.0, ConsensusMessage::ViewChange(Box::new(signed.clone())))
}

/// The opening that these effects send to everyone.
fn opening(effects: &[Effect]) -> Option<NewView> {
    effects.iter().find_map(|effect| match effect {
        Effect::Broadcast(ConsensusMessage::NewView(opening)) => Some((**opening).clone()),
        _ => None,
    })
}

fn refused(effects: &[Effect], seat: u16) -> bool {
    let bad = Offence::View(ViewFault::Certificate);
    effects.contains(&Effect::Penalise { seat: SeatIndex(seat), offence: bad })
}

/// Verifier 2 of four, who has approved A and, on it, A1; the others have as well. Verifier 4 alone holds a FastCert,
/// that of A1.
fn a_hoard() -> (One, [Block; 2], [Certificate; 2]) {
    let mut one = One::new(4, 2);
    let below = block(&one.genesis, Slot(1), 1);
    let above = block(&below.header, Slot(2), 1);
    for block in [&below, &above] {
        one.show(block);
        let hash = block.header.hash();
        one.step(Input::Checked { block: hash, depth: Depth::Sliced, result: Ok(()) });
    }
    let of = |height, block: &Block| one.target(height, 0, block.header.hash());
    let certificates = [
        one.certificate(&[1, 3, 4], CertificateKind::Commit, &of(1, &below)),
        one.certificate(&[1, 2, 3, 4], CertificateKind::Fast, &of(2, &above)),
    ];
    (one, [below, above], certificates)
}

/// The opening of view 1 with what verifier 4 shows as decided, and what the two others approved.
fn opened(one: &One, blocks: &[Block; 2], decided: Vec<Certificate>) -> NewView {
    let approved = |height: u64, block: &Block| report(height, None, Some((View::ZERO, block.header.hash())));
    let both = || vec![approved(1, &blocks[0]), approved(2, &blocks[1])];
    let changes = vec![
        one.promise(1, 1, Vec::new(), both()),
        one.promise(3, 1, Vec::new(), both()),
        one.promise(4, 1, decided, Vec::new()),
    ];
    one.opening(1, changes)
}

#[test]
fn a_hoarded_certificate_is_no_ground_unless_everyone_can_get_there() {
    let (mut one, blocks, [below, above]) = a_hoard();
    let alone = one.promise(4, 1, vec![above.clone()], Vec::new());
    assert!(refused(&promise(&mut one, &alone), 4), "nobody can decide what is below");
    let bad = opened(&one, &blocks, vec![above.clone()]);
    assert!(refused(&one.tell(1, ConsensusMessage::NewView(Box::new(bad))), 1));
    assert_eq!((one.view(), one.core.status().certified), (View::ZERO, Height::ZERO));

    let good = opened(&one, &blocks, vec![below, above]);
    let effects = one.tell(1, ConsensusMessage::NewView(Box::new(good)));
    let decided: Vec<_> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Decided { block, .. } => Some(block.header.hash()),
            _ => None,
        })
        .collect();
    assert_eq!(decided, blocks.map(|block| block.header.hash()), "the opening brings the certificates along");
    assert!(one.core.status().view_open);
}

#[test]
fn a_promise_shows_what_decided_all_heights_that_others_may_lack() {
    for (kill, deep) in [(450, false), (3_000, true)] {
        let mut net = Net::new(4, 41);
        net.run_until(kill);
        net.cores[0] = None;
        net.run_until(kill + 3_000);
        let promise = net.logs[2].iter().find_map(|record| match record {
            LogRecord::ViewChange(signed) => Some(&signed.change),
            _ => None,
        });
        let shown: Vec<u64> = promise.unwrap().decided.iter().map(|cert| cert.target.height.0).collect();
        let (tip, reach) = (*shown.last().expect("some were decided"), net.config.reach() as u64);
        assert_eq!(tip > reach, deep, "{shown:?}");
        let lowest = tip.saturating_sub(reach) + 1;
        assert_eq!(shown, (lowest..=tip).collect::<Vec<_>>(), "all since the first, or the last 2W + 1");
    }
}

/// Links may reorder, and the leader says it once.
#[test]
fn a_proposal_that_overtakes_the_opening_of_its_view_counts_when_it_opens() {
    for (entered, teller, counts) in [(false, 1, true), (true, 1, true), (true, 3, false)] {
        let mut one = One::new(4, 2);
        if entered {
            for seat in [3, 4] {
                let signed = one.promise(seat, 1, Vec::new(), Vec::new());
                promise(&mut one, &signed);
            }
        }
        assert_eq!(one.view(), View(u64::from(entered)));
        let propose = |view, salt| {
            let proposer = one.config.leader(View(view));
            let recipe = Recipe { slot: Slot(1), view: View(view), proposer, salt, flaw: None };
            let built = blocks::build(&one.genesis, &recipe);
            let proposal = signer(4, proposer.0).sign_proposal(proposer, &built.header).unwrap();
            (proposer.0, ConsensusMessage::Proposal(proposal))
        };
        let (first, rival, far) = (propose(1, 1), propose(1, 2), propose(3, 1));
        one.tell(teller, first.1);
        one.tell(far.0, far.1);
        assert_eq!(one.core.status().proposed, Height::ZERO, "its view is not open");

        let changes = [1, 3, 4].map(|seat| one.promise(seat, 1, Vec::new(), Vec::new()));
        let opening = one.opening(1, changes.to_vec());
        one.tell(1, ConsensusMessage::NewView(Box::new(opening)));
        assert!(one.core.status().view_open);
        let proposed = if counts { Height(1) } else { Height::ZERO };
        assert_eq!(one.core.status().proposed, proposed, "entered: {entered}, from {teller}");
        // A second one of the same view still convicts the leader of saying two things.
        let effects = one.tell(rival.0, rival.1);
        let accused = effects.iter().any(|effect| matches!(effect, Effect::Evidence(_)));
        assert_eq!(accused, counts);
    }
}

#[test]
fn two_convicted_blocks_do_not_revive_each_other() {
    for (first, second) in [(1, 2), (2, 1)] {
        for reported in [first, second] {
            // The leader of view 2.
            let mut one = One::new(4, 2);
            let hash = |salt: u64| block(&one.genesis, Slot(1), salt).header.hash();
            let (reported, convicted) = (hash(reported), [hash(first), hash(second)]);
            for (view, block) in (0..).zip(convicted) {
                let conviction =
                    one.certificate(&[1, 3, 4], CertificateKind::Conviction, &one.target(1, view, block));
                one.tell(3, ConsensusMessage::Certificate(conviction));
                assert_eq!(one.view(), View(view + 1));
            }
            let approved = || vec![report(1, None, Some((View::ZERO, reported)))];
            let mut effects = Vec::new();
            for seat in [1, 3] {
                let signed = one.promise(seat, 2, Vec::new(), approved());
                effects.extend(promise(&mut one, &signed));
            }
            let opening = opening(&effects).expect("nothing is missing");
            assert!(opening.carried.is_empty(), "f + 1 approvals of a convicted block oblige nobody");
            let shown: Vec<_> = opening.convictions.iter().map(|cert| cert.target.block).collect();
            assert_eq!(shown, [reported], "and the opening says why");
        }
    }
}

/// Verifier 1 leads view 1; verifier 2 shows a PrepareCert of a block that nobody else has.
fn a_leader_in_want() -> (One, Block) {
    let mut one = One::new(4, 1);
    let secret = block(&one.genesis, Slot(1), 5);
    let prepared =
        one.certificate(&[2, 3, 4], CertificateKind::Prepare, &one.target(1, 0, secret.header.hash()));
    let liar = one.promise(2, 1, Vec::new(), vec![report(1, Some(prepared), None)]);
    promise(&mut one, &liar);
    for seat in [3, 4] {
        let signed = one.promise(seat, 1, Vec::new(), Vec::new());
        let effects = promise(&mut one, &signed);
        assert_eq!(opening(&effects), None, "the proposal is missing");
    }
    assert_eq!(one.view(), View(1));
    (one, secret)
}

#[test]
fn who_reports_a_block_and_does_not_serve_it_is_left_out() {
    let (mut one, secret) = a_leader_in_want();
    let block = secret.header.hash();
    let ask = Effect::Send { to: SeatIndex(2), message: ConsensusMessage::ProposalRequest { block } };
    let mut asked = 0;
    let opening = (0..20).find_map(|_| {
        one.now_ms += one.config.slot_ms / 4;
        let effects = one.step(Input::Tick);
        asked += usize::from(effects.contains(&ask));
        opening(&effects)
    });
    let opening = opening.expect("one silent liar does not keep a view from opening");
    assert!(asked > 0, "it is asked again before");
    let signers: Vec<u16> = opening.changes.iter().map(|signed| signed.signer.0).collect();
    assert_eq!((signers, opening.carried.len()), (vec![1, 3, 4], 0));
    assert!(one.core.status().view_open);
}

#[test]
fn who_serves_what_it_reports_is_heard() {
    let (mut one, secret) = a_leader_in_want();
    let proposal = signer(4, 0).sign_proposal(SeatIndex::GENERATOR, &secret.header).unwrap();
    let opening = opening(&one.tell(2, ConsensusMessage::Proposal(proposal.clone()))).expect("it is there");
    let signers: Vec<u16> = opening.changes.iter().map(|signed| signed.signer.0).collect();
    assert_eq!((signers, &opening.carried[..]), (vec![1, 2, 3], &[proposal][..]));
}

#[test]
fn a_prepared_block_is_reported_by_those_who_can_serve_it() {
    for held in [true, false] {
        let mut one = One::new(4, 2);
        let block = block(&one.genesis, Slot(1), 5);
        if held {
            one.show(&block);
        }
        let prepared =
            one.certificate(&[1, 3, 4], CertificateKind::Prepare, &one.target(1, 0, block.header.hash()));
        one.tell(0, ConsensusMessage::Certificate(prepared.clone()));
        for seat in [3, 4] {
            let signed = one.promise(seat, 1, Vec::new(), Vec::new());
            let effects = promise(&mut one, &signed);
            let own = effects.iter().find_map(|effect| match effect {
                Effect::Persist(LogRecord::ViewChange(own)) => Some(&own.change),
                _ => None,
            });
            assert_eq!(own.is_some(), seat == 4, "f + 1 promises take it along");
            let told =
                own.map(|own| own.reports.iter().filter_map(|report| report.prepared.clone()).collect());
            let due: Vec<_> = held.then(|| prepared.clone()).into_iter().collect();
            assert_eq!(told.unwrap_or_else(|| due.clone()), due, "held: {held}");
        }
    }
}

/// Of a block that was found valid in full, others may make a PrepareCert: who then has its body?
#[test]
fn bodies_that_a_certificate_may_yet_call_for_stay_in_the_log() {
    let one = One::new(4, 2);
    let mut record = SigningRecord::default();
    for view in 0..=20 {
        let (proposer, slot) = (one.config.leader(View(view)), Slot(1));
        let recipe = Recipe { slot, view: View(view), proposer, salt: view, flaw: None };
        let block = Arc::new(blocks::build(&one.genesis, &recipe));
        let target = one.target(1, view, block.header.hash());
        record.add(LogRecord::Proposal { block, signature: BlsSignature::ZERO });
        let said: &[VoteKind] = match view {
            20 => &[VoteKind::ValidSliced],
            found if found % 2 == 0 => &[VoteKind::ValidFull],
            _ => &[],
        };
        for kind in said {
            let vote = signer(4, 2).sign_vote(SeatIndex(2), *kind, &target, None).unwrap();
            record.add(LogRecord::Vote(vote));
        }
    }
    let views = |record: &SigningRecord| -> Vec<u64> {
        record.blocks().map(|(proposal, _)| proposal.header.view.0).collect()
    };
    assert_eq!(views(&record), (0..=20).collect::<Vec<_>>(), "no view is over");
    record.add(LogRecord::ViewChange(Box::new(one.promise(2, 21, Vec::new(), Vec::new()))));
    assert_eq!(views(&record), [4, 6, 8, 10, 12, 14, 16, 18, 20], "the latest of those found valid");
    let replayed = SigningRecord::replay(Height::ZERO, record.live());
    assert_eq!(views(&replayed), views(&record), "after a restart as well");
}
