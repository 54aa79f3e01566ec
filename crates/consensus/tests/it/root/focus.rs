//! One case at a time: a block that one seat alone knows to be decided, and the view after.

use std::collections::VecDeque;
use std::sync::Arc;

use anfs_consensus::root::{RootCore, RootCrypto, RootDraft, RootEffect, RootInput, RootOffence};
use anfs_primitives::{CertificateKind, Height, RootHash, RootMessage, RootProposal, RootSeat, View};

use super::crypto::FakeCrypto;
use super::net::{Net, Weather};

/// All seats of two shards, and what they have said that is not delivered.
struct Group {
    net: Net,
    cores: Vec<(RootSeat, RootCore)>,
    queue: VecDeque<(RootSeat, Option<RootSeat>, RootMessage)>,
    finals: Vec<(RootSeat, RootHash)>,
    offences: Vec<(RootSeat, RootOffence)>,
    prepares: Vec<RootHash>,
}

impl Group {
    fn new() -> Self {
        let calm = Weather {
            heal_ms: 0,
            delay_ms: 1,
            loss: 0,
            double: 0,
            late: 0,
            crash: 0,
            partition: 0,
            deaf: 0,
            blackout: 0,
        };
        // Another seat leads after the first.
        let nets = (0..).map(|seed| Net::new(seed, 2, 4, calm.clone()));
        let differ = |net: &Net| [0, 1].map(|view| net.config.leader(Height(1), View(view)));
        let net = nets.into_iter().find(|net| differ(net)[0] != differ(net)[1]).unwrap();
        let core = |seat| {
            let crypto = Arc::new(FakeCrypto { own: seat, keys: net.keys.clone() });
            let state = net.genesis.clone();
            (seat, RootCore::new(net.config.clone(), Some(seat), crypto, state, Vec::new()).unwrap())
        };
        let cores = net.config.seats().map(core).collect();
        let (queue, finals, offences, prepares) = Default::default();
        Self { net, cores, queue, finals, offences, prepares }
    }

    fn tell(&mut self, seat: RootSeat, now_ms: u64, input: RootInput) {
        let (_, core) = self.cores.iter_mut().find(|(of, _)| *of == seat).unwrap();
        let mut effects = Vec::new();
        core.step(now_ms, input, &mut effects).unwrap();
        for effect in effects {
            match effect {
                RootEffect::Send { to, message } => self.queue.push_back((seat, Some(to), message)),
                RootEffect::Broadcast(message) => self.queue.push_back((seat, None, message)),
                RootEffect::Final { block } if block.block.header.height == Height(1) => {
                    self.finals.push((seat, block.block.header.hash()));
                }
                RootEffect::Penalise { seat, offence } => self.offences.push((seat, offence)),
                _ => {}
            }
        }
    }

    fn tell_all(&mut self, now_ms: u64, but: Option<RootSeat>, input: &RootInput) {
        for seat in self.net.config.seats().filter(|seat| Some(*seat) != but).collect::<Vec<_>>() {
            self.tell(seat, now_ms, input.clone());
        }
    }

    /// Delivers all that is said, as far as it passes, or becomes something else.
    fn deliver(&mut self, now_ms: u64, mut pass: impl FnMut(RootMessage) -> Option<RootMessage>) {
        while let Some((from, to, message)) = self.queue.pop_front() {
            let Some(message) = pass(message) else { continue };
            if let RootMessage::Tally(tally) = &message
                && tally.kind == CertificateKind::Prepare
            {
                self.prepares.push(tally.target.block);
            }
            for seat in self.net.config.seats().collect::<Vec<_>>() {
                if to.map_or(seat != from, |to| to == seat) {
                    self.tell(seat, now_ms, RootInput::Message { from, message: message.clone() });
                }
            }
        }
    }
}

/// Nobody but the leader of view 0 hears of the decision; the others leave the view. Returns who that was, and when the
/// next view is open, its proposal not delivered.
fn decided_once() -> (Group, RootSeat, RootHash, RootProposal) {
    let mut group = Group::new();
    group.tell_all(1, None, &RootInput::Start);
    group.tell_all(300, None, &RootInput::Tick);
    let decision = |message: &RootMessage| matches!(message, RootMessage::Certificate(one) if one.kind == CertificateKind::Commit);
    // The votes of a shard wait for its gatherer.
    for now_ms in [300, 340, 380, 420] {
        group.deliver(now_ms, |message| (!decision(&message)).then_some(message));
        group.tell_all(now_ms + 39, None, &RootInput::Tick);
    }
    group.queue.clear();
    let leader = group.net.config.leader(Height(1), View(0));
    let [(seat, block)] = group.finals[..] else { panic!("{:?}", group.finals) };
    assert_eq!(seat, leader);
    group.prepares.clear();
    group.tell_all(1100, Some(leader), &RootInput::Tick);
    let mut proposal = None;
    group.deliver(1100, |message| match message {
        RootMessage::Timeout(_) => Some(message),
        RootMessage::Proposal(one) if one.view == View(1) => {
            proposal = Some(*one);
            None
        }
        _ => None,
    });
    let proposal = proposal.unwrap();
    (group, leader, block, proposal)
}

#[test]
fn what_one_seat_knows_to_be_decided_is_decided_again() {
    let (mut group, decider, block, proposal) = decided_once();
    let leader = group.net.config.leader(Height(1), View(1));
    assert_eq!(proposal.block.header.hash(), block);
    group.queue.push_back((leader, None, RootMessage::Proposal(Box::new(proposal))));
    for now_ms in [1101, 1141, 1181, 1221] {
        group.deliver(now_ms, Some);
        group.tell_all(now_ms + 39, Some(decider), &RootInput::Tick);
    }
    assert_eq!(group.finals.len(), 10, "{:?}", group.finals);
    assert!(group.finals.iter().all(|(_, hash)| *hash == block));
}

#[test]
fn a_leader_that_passes_over_a_prepare_cert_gets_no_vote() {
    let (mut group, decider, block, proposal) = decided_once();
    let leader = group.net.config.leader(Height(1), View(1));
    let draft = RootDraft {
        epoch: proposal.block.header.epoch,
        view: View(1),
        proposer: leader,
        timestamp_ms: 1100,
        references: Vec::new(),
        inbound: Vec::new(),
        execution: group.net.genesis.head().execution.clone(),
    };
    let (fresh, _) = group.net.genesis.build(draft).unwrap();
    assert_ne!(fresh.header.hash(), block);
    let target = group.net.config.target(Height(1), View(1), fresh.header.hash());
    let crypto = FakeCrypto { own: leader, keys: group.net.keys.clone() };
    let signature = crypto.sign_proposal(leader, &target).unwrap();
    let forged = RootProposal { block: Arc::new(fresh), signature, ..proposal.clone() };
    group.queue.push_back((leader, None, RootMessage::Proposal(Box::new(forged))));
    group.deliver(1101, Some);
    assert!(!group.prepares.contains(&target.block));
    let struck = group.offences.iter().filter(|found| **found == (leader, RootOffence::Opening)).count();
    assert_eq!(struck, 8, "all but the leader and the decider {decider}: {:?}", group.offences);

    // Without the time-outs it is no better.
    let (mut group, ..) = decided_once();
    let bare = RootProposal { timeouts: None, ..proposal };
    group.queue.push_back((leader, None, RootMessage::Proposal(Box::new(bare))));
    let before = group.offences.len();
    group.deliver(1101, Some);
    assert!(group.offences[before..].contains(&(leader, RootOffence::Opening)));
}
