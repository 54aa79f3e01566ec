//! Proposals that break what can be held against a header alone: its links, its limits, its proposer.

use std::collections::BTreeMap;

use alloy_primitives::B256;
use anfs_primitives::{Block, BlockHash, ConsensusMessage, Slot};

use super::actor::{Me, Mischief, heard, misdeed};
use crate::blocks::{self, ENTRIES};
use crate::seat::{Action, Outbox, SeatInput, Work};

/// Slots that a block of [`Shape::Future`] lies ahead.
const FAR: u64 = 100_000;

/// What is wrong with a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// The slot is its parent's.
    Slot,
    /// The slot is far in the future.
    Future,
    /// The hash clock does not begin where the parent's ended.
    Clock,
    /// The gas limit is not the shard's.
    Gas,
    /// There are not as many slices as verifiers.
    Boundaries,
}

/// Proposes blocks of a wrong shape in place of every second one that the node builds.
#[derive(Debug)]
pub(super) struct Misshape {
    shape: Shape,
    /// What the node has built.
    built: BTreeMap<BlockHash, Block>,
    /// What was proposed in its place.
    misshapen: BTreeMap<BlockHash, Block>,
}

impl Misshape {
    pub(super) fn new(shape: Shape) -> Self {
        Self { shape, built: BTreeMap::new(), misshapen: BTreeMap::new() }
    }

    fn twist(&self, me: &Me, block: &Block) -> Option<Block> {
        let mut header = block.header.header().clone();
        match self.shape {
            Shape::Slot => header.slot = me.header(&header.parent)?.slot,
            Shape::Future => header.slot = Slot(header.slot.0 + FAR),
            Shape::Clock => header.poh_start = B256::repeat_byte(0xc1),
            Shape::Gas => header.gas_limit += 1,
            Shape::Boundaries => {
                let mut cuts = header.boundaries.to_vec();
                cuts.remove(0);
                header.boundaries = cuts.try_into().expect("one less than before");
            }
        }
        Some(Block { header: header.seal(), body: block.body.clone() })
    }
}

impl Mischief for Misshape {
    fn input(&mut self, _: &mut Me, _: u64, input: SeatInput, out: &mut Outbox) -> Option<SeatInput> {
        if let SeatInput::Message { from, message } = &input
            && let ConsensusMessage::FragmentRequest { block, .. } = &**message
            && let Some(block) = self.misshapen.get(block)
        {
            out.send(*from, ConsensusMessage::Fragment(blocks::fragment(block, 0..ENTRIES)));
            return None;
        }
        Some(input)
    }

    fn action(&mut self, me: &mut Me, _: u64, action: Action, out: &mut Outbox) {
        match &action {
            Action::WorkUntil { work: Work::Built(block), .. } => {
                self.built.retain(|_, held| held.header.height > me.tip);
                self.misshapen.retain(|_, held| held.header.height > me.tip);
                self.built.insert(block.header.hash(), Block::clone(block));
            }
            Action::Broadcast(message) => {
                if let ConsensusMessage::Proposal(proposal) = &**message
                    && let Some(block) = self.built.remove(&proposal.header.hash())
                    && me.rng.chance(500)
                    && let Some(twisted) = self.twist(me, &block)
                {
                    misdeed("misshapen block", out);
                    out.broadcast(ConsensusMessage::Fragment(blocks::fragment(&twisted, 0..ENTRIES)));
                    out.broadcast(ConsensusMessage::Proposal(me.sign_proposal(&twisted.header)));
                    self.misshapen.insert(twisted.header.hash(), twisted);
                    return;
                }
            }
            _ => {}
        }
        out.push(action);
    }
}

/// Proposes in views that another leads.
#[derive(Debug)]
pub(super) struct Usurp;

impl Mischief for Usurp {
    fn input(&mut self, me: &mut Me, now_ms: u64, input: SeatInput, out: &mut Outbox) -> Option<SeatInput> {
        if let Some(ConsensusMessage::Proposal(proposal)) = heard(&input)
            && proposal.header.proposer == me.config.leader(proposal.header.view)
            && proposal.header.proposer != me.seat
            // Another liar may have claimed the end of all counters.
            && proposal.header.height.0 < u64::from(u32::MAX)
        {
            let header = &proposal.header;
            // Beside the leader's block, or on top of it, before the leader comes to that.
            let parent =
                if me.rng.chance(500) { Some(header.clone()) } else { me.header(&header.parent).cloned() };
            if let Some(parent) = parent {
                misdeed("usurped proposal", out);
                let to = me.others.clone();
                me.propose_on(&parent, header.view, now_ms, &to, out);
            }
        }
        Some(input)
    }
}
