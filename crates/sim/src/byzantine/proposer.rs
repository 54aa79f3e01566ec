//! Proposers that lie: two blocks for one place, blocks that are wrong, bodies that nobody gets.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::Address;
use anfs_poh::{assign_slices, slices_of};
use anfs_primitives::{Block, BlockHash, ConsensusMessage, SeatIndex};

use super::actor::{Me, Mischief, addressed, misdeed, scatter};
use crate::blocks::{self, ENTRIES, Flaw, flaw_of};
use crate::seat::{Action, Outbox, SeatInput, Work};

/// How a proposer contradicts itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rivalry {
    /// Two headers over one body, both to everyone.
    Overt,
    /// Two headers over one body, each to one half.
    Halves,
    /// Two headers with a body each, each to one half.
    Bodies,
    /// One header to everyone, and to one half a body that is not its own.
    WrongBody,
}

/// Two blocks for one (height, view).
#[derive(Debug)]
pub(super) struct Equivocate {
    style: Rivalry,
    /// By the hash of the one that the node built.
    rivals: BTreeMap<BlockHash, Block>,
}

impl Equivocate {
    pub(super) fn new(style: Rivalry) -> Self {
        Self { style, rivals: BTreeMap::new() }
    }

    /// Whether the rival has entries of its own.
    fn splits_bodies(&self) -> bool {
        matches!(self.style, Rivalry::Bodies | Rivalry::WrongBody)
    }

    fn propose(&self, me: &Me, message: &Arc<ConsensusMessage>, hash: &BlockHash, out: &mut Outbox) {
        let Some(rival) = self.rivals.get(hash) else { return out.push(Action::Broadcast(message.clone())) };
        let [first, second] = &me.halves;
        let body = ConsensusMessage::Fragment(blocks::fragment(rival, 0..ENTRIES));
        let other = ConsensusMessage::Proposal(me.sign_proposal(&rival.header));
        misdeed("equivocation", out);
        match self.style {
            Rivalry::Overt => {
                out.push(Action::Broadcast(message.clone()));
                out.broadcast(other);
            }
            Rivalry::Halves => {
                scatter(first, message, out);
                scatter(second, &other, out);
            }
            Rivalry::Bodies => {
                scatter(first, message, out);
                scatter(second, &body, out);
                scatter(second, &other, out);
            }
            Rivalry::WrongBody => {
                scatter(second, &body, out);
                out.push(Action::Broadcast(message.clone()));
            }
        }
    }
}

impl Mischief for Equivocate {
    fn input(&mut self, _: &mut Me, _: u64, input: SeatInput, out: &mut Outbox) -> Option<SeatInput> {
        if let SeatInput::Message { from, message } = &input
            && let ConsensusMessage::FragmentRequest { block, .. } = &**message
            && let Some(rival) = self.rivals.values().find(|rival| rival.header.hash() == *block)
        {
            out.send(*from, ConsensusMessage::Fragment(blocks::fragment(rival, 0..ENTRIES)));
            return None;
        }
        Some(input)
    }

    fn action(&mut self, me: &mut Me, _: u64, action: Action, out: &mut Outbox) {
        match &action {
            Action::WorkUntil { work: Work::Built(block), .. } => {
                if let Some(rival) = me.rival(block, !self.splits_bodies()) {
                    me.learn_header(&rival.header);
                    self.rivals.insert(block.header.hash(), rival);
                }
                let floor = me.tip;
                self.rivals.retain(|_, rival| rival.header.height > floor);
            }
            Action::Broadcast(message) => match &**message {
                ConsensusMessage::Fragment(_) if self.splits_bodies() => {
                    return scatter(&me.halves[0], message, out);
                }
                ConsensusMessage::Proposal(proposal) if proposal.header.proposer == me.seat => {
                    return self.propose(me, message, &proposal.header.hash(), out);
                }
                _ => {}
            },
            Action::Send { to, message } if self.style == Rivalry::WrongBody => {
                let body = matches!(&**message, ConsensusMessage::Fragment(part) if part.proposer == me.seat);
                let rival = self.rivals.values().next_back().filter(|_| body && me.halves[1].contains(to));
                if let Some(rival) = rival {
                    misdeed("wrong entries", out);
                    return out.send(*to, ConsensusMessage::Fragment(blocks::fragment(rival, 0..ENTRIES)));
                }
            }
            _ => {}
        }
        out.push(action);
    }
}

/// Blocks with something wrong.
#[derive(Debug)]
pub(super) struct Invalid {
    pub(super) flaw: Flaw,
    /// Of 1000 blocks.
    pub(super) share: u64,
}

impl Mischief for Invalid {
    fn input(&mut self, me: &mut Me, _: u64, input: SeatInput, _: &mut Outbox) -> Option<SeatInput> {
        me.flaw = me.rng.chance(self.share).then_some(self.flaw);
        Some(input)
    }

    fn action(&mut self, _: &mut Me, _: u64, action: Action, out: &mut Outbox) {
        note_flaw(&action, out);
        out.push(action);
    }
}

fn note_flaw(action: &Action, out: &mut Outbox) {
    if let Action::WorkUntil { work: Work::Built(block), .. } = action {
        match flaw_of(&block.header) {
            Some(Flaw::Slice(_)) => misdeed("invalid slice", out),
            Some(Flaw::State) => misdeed("invalid state root", out),
            None => {}
        }
    }
}

/// A proposer who makes one slice wrong, picks among many headers the one whose checkers of that slice are
/// its friends as far as possible, and friends who call it right.
#[derive(Debug)]
pub(super) struct Collude {
    pub(super) slice: u16,
    pub(super) share: u64,
}

impl Collude {
    /// Headers tried for one block.
    const TRIES: u8 = 64;

    fn grind(&self, me: &Me, block: &Block) -> Block {
        let (voters, redundancy) = (me.quorum.voters(), usize::from(me.config.slice_redundancy));
        let friends = |block: &Block| {
            let assigned = assign_slices(&block.header.hash(), &me.config.epoch_seed, voters, redundancy);
            let verifiers = me.byzantine.keys().filter_map(|seat| SeatIndex::verifier_index(*seat));
            let slice = usize::from(self.slice);
            verifiers.filter(|&verifier| slices_of(&assigned, verifier).contains(slice)).count()
        };
        let tried = (0..Self::TRIES).map(|attempt| {
            let mut header = block.header.header().clone();
            header.beneficiary = Address::repeat_byte(attempt);
            Block { header: header.seal(), body: block.body.clone() }
        });
        tried.max_by_key(friends).unwrap_or_else(|| block.clone())
    }
}

impl Mischief for Collude {
    fn input(&mut self, me: &mut Me, _: u64, input: SeatInput, _: &mut Outbox) -> Option<SeatInput> {
        me.flaw = me.rng.chance(self.share).then_some(Flaw::Slice(self.slice));
        me.lazy = true;
        Some(input)
    }

    fn action(&mut self, me: &mut Me, _: u64, action: Action, out: &mut Outbox) {
        note_flaw(&action, out);
        let action = match action {
            Action::WorkUntil { at_ms, work: Work::Built(block) } if flaw_of(&block.header).is_some() => {
                let block = Box::new(self.grind(me, &block));
                me.learn_header(&block.header);
                Action::WorkUntil { at_ms, work: Work::Built(block) }
            }
            other => other,
        };
        note_vouching(me, &action, out);
        out.push(action);
    }
}

/// Counts approvals of what is wrong.
pub(super) fn note_vouching(me: &Me, action: &Action, out: &mut Outbox) {
    let Action::Broadcast(message) = action else { return };
    let Some(vote) = me.own_vote(message) else { return };
    if me.header(&vote.target.block).is_some_and(|header| flaw_of(header).is_some()) {
        misdeed("vouched for an invalid block", out);
    }
}

/// Who never gets the bodies that it should have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withheld {
    /// Nobody gets them.
    FromAll,
    /// One half does not.
    FromHalf,
    /// One seat alone gets them.
    FromAllButOne,
}

/// Proposals whose bodies are kept back, also from those who ask.
#[derive(Debug)]
pub(super) struct Withhold {
    pub(super) from: Withheld,
}

impl Mischief for Withhold {
    fn action(&mut self, me: &mut Me, _: u64, action: Action, out: &mut Outbox) {
        let Some((to, message)) = addressed(me, &action) else { return out.push(action) };
        if !matches!(&*message, ConsensusMessage::Fragment(_)) || !me.is_own_block(&message) {
            return scatter(&to, &message, out);
        }
        let gets = |seat: &SeatIndex| match self.from {
            Withheld::FromAll => false,
            Withheld::FromHalf => me.halves[0].contains(seat),
            Withheld::FromAllButOne => me.halves[0].first() == Some(seat),
        };
        let (lucky, rest): (Vec<_>, Vec<_>) = to.into_iter().partition(gets);
        if !rest.is_empty() {
            misdeed("withheld fragments", out);
        }
        scatter(&lucky, &message, out);
    }
}
