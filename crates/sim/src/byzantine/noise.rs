//! Seats that are slow, deaf to some, or loud.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::B256;
use anfs_primitives::{
    BlockHash, BlsSignature, ConsensusMessage, DomainId, Epoch, Height, NetworkId, SeatIndex, View,
    ViewTimeout, VoteKind, VoteTarget,
};

use super::actor::{Me, Mischief, addressed, heard, misdeed, scatter};
use crate::blocks::{self, ENTRIES, Recipe};
use crate::seat::{Action, Outbox, SeatInput};

/// Everything it says comes late.
#[derive(Debug)]
pub(super) struct Slow {
    by_ms: u64,
    held: BTreeMap<u64, (Vec<SeatIndex>, Arc<ConsensusMessage>)>,
    next: u64,
}

impl Slow {
    pub(super) fn new(by_ms: u64) -> Self {
        Self { by_ms, held: BTreeMap::new(), next: 0 }
    }
}

impl Mischief for Slow {
    fn action(&mut self, me: &mut Me, now_ms: u64, action: Action, out: &mut Outbox) {
        match addressed(me, &action) {
            Some(sent) => {
                misdeed("late message", out);
                self.held.insert(self.next, sent);
                out.remind_at(now_ms + self.by_ms, self.next);
                self.next += 1;
            }
            None => out.push(action),
        }
    }

    fn remind(&mut self, _: &mut Me, _: u64, of: u64, out: &mut Outbox) {
        if let Some((to, message)) = self.held.remove(&of) {
            scatter(&to, &message, out);
        }
    }
}

/// Speaks to one half only, and answers nobody else.
#[derive(Debug)]
pub(super) struct Selective;

impl Mischief for Selective {
    fn action(&mut self, me: &mut Me, _: u64, action: Action, out: &mut Outbox) {
        match addressed(me, &action) {
            Some((to, message)) => {
                let (heard, ignored): (Vec<_>, Vec<_>) =
                    to.into_iter().partition(|seat| me.halves[0].contains(seat));
                if !ignored.is_empty() {
                    misdeed("selective silence", out);
                }
                scatter(&heard, &message, out);
            }
            None => out.push(action),
        }
    }
}

/// Sends again what it has heard, as if it were of another height, view, epoch, domain or network, or as if
/// it were its own.
#[derive(Debug, Default)]
pub(super) struct Replay {
    heard: Vec<Arc<ConsensusMessage>>,
    count: usize,
}

impl Replay {
    const KEPT: usize = 64;

    fn shift(me: &mut Me, target: &mut VoteTarget) {
        match me.rng.below(6) {
            0 => target.height = Height(target.height.0.wrapping_add(1)),
            1 => target.view = View(target.view.0.wrapping_add(1)),
            2 => target.epoch = Epoch(target.epoch.0 + 1),
            3 => target.domain = DomainId(target.domain.0 + 1),
            4 => target.network = NetworkId(target.network.0 + 1),
            _ => target.block = B256::repeat_byte(0x55),
        }
    }

    fn twist(me: &mut Me, message: &ConsensusMessage) -> ConsensusMessage {
        let mut message = message.clone();
        match &mut message {
            ConsensusMessage::Vote(vote) => {
                Self::shift(me, &mut vote.target);
                if me.rng.chance(500) {
                    vote.signer = me.seat;
                }
            }
            ConsensusMessage::Certificate(certificate) => {
                Self::shift(me, &mut certificate.target);
                // The same seats may have decided this very height elsewhere.
                if let Some(genuine) = me.crypto.keys().certified_elsewhere(&me.config, certificate) {
                    *certificate = genuine;
                }
            }
            ConsensusMessage::Proposal(proposal) => {
                let mut header = proposal.header.header().clone();
                header.view = View(header.view.0.wrapping_add(1));
                header.proposer = me.config.leader(header.view);
                proposal.header = header.seal();
            }
            ConsensusMessage::ViewChange(signed) => {
                signed.change.view = View(signed.change.view.0.wrapping_add(1));
                signed.signer = me.seat;
            }
            ConsensusMessage::NewView(opening) => opening.view = View(opening.view.0.wrapping_add(1)),
            ConsensusMessage::Block(block) => {
                let mut header = block.block.header.header().clone();
                header.height = Height(header.height.0.wrapping_add(1));
                block.block.header = header.seal();
            }
            _ => {}
        }
        message
    }
}

impl Mischief for Replay {
    fn input(&mut self, me: &mut Me, _: u64, input: SeatInput, out: &mut Outbox) -> Option<SeatInput> {
        if let SeatInput::Message { message, .. } = &input {
            let place = self.count % Self::KEPT;
            self.count += 1;
            match self.heard.get_mut(place) {
                Some(kept) => *kept = message.clone(),
                None => self.heard.push(message.clone()),
            }
            if me.rng.chance(300) {
                let old = me.rng.pick(&self.heard).clone();
                misdeed("replay", out);
                if me.rng.chance(300) {
                    scatter(&me.others, &old, out);
                } else {
                    let twisted = Self::twist(me, &old);
                    out.broadcast(twisted);
                }
            }
        }
        Some(input)
    }
}

/// Asks for everything again and again, wants to leave every view, and speaks of heights far away.
#[derive(Debug, Default)]
pub(super) struct Spam {
    blocks: Vec<BlockHash>,
}

impl Spam {
    const EVERY_MS: u64 = 25;
    const AT_ONCE: u64 = 6;

    fn invent(&self, me: &mut Me) -> ConsensusMessage {
        let far = Height(if me.rng.chance(500) { u64::MAX } else { me.tip.0 + me.rng.below(64) });
        let view = View(if me.rng.chance(500) { u64::MAX } else { me.rng.below(16) });
        let block = if self.blocks.is_empty() { B256::ZERO } else { *me.rng.pick(&self.blocks) };
        let target = VoteTarget {
            network: me.config.network,
            epoch: me.config.epoch,
            domain: me.config.domain,
            height: far,
            view,
            block,
        };
        match me.rng.below(8) {
            0 => ConsensusMessage::FragmentRequest { block, first_entry: 0 },
            1 => ConsensusMessage::FragmentRequest { block, first_entry: u32::MAX },
            2 => ConsensusMessage::BlockRequest { from: Height(me.rng.below(me.tip.0 + 2)) },
            3 => ConsensusMessage::NewViewRequest { view: View::ZERO },
            4 => ConsensusMessage::ProposalRequest { block },
            5 => ConsensusMessage::ViewTimeout(ViewTimeout { epoch: me.config.epoch, view, tip: far }),
            6 => ConsensusMessage::Vote(me.sign_vote(VoteKind::ValidFull, &target)),
            _ => self.far_block(me, far, view),
        }
    }

    /// The proposal, or the entries, of a block that it does not lead with.
    fn far_block(&self, me: &mut Me, height: Height, view: View) -> ConsensusMessage {
        let proposer = me.config.leader(view);
        let recipe = Recipe { slot: anfs_primitives::Slot(1), view, proposer, salt: 3, flaw: None };
        let parent = self.blocks.last().and_then(|hash| me.header(hash)).cloned();
        let Some(parent) = parent else { return ConsensusMessage::NewViewRequest { view } };
        let block = blocks::build(&parent, &recipe);
        if me.rng.chance(500) {
            let mut fragment = blocks::fragment(&block, 0..ENTRIES);
            fragment.height = height;
            return ConsensusMessage::Fragment(fragment);
        }
        let mut header = block.header.into_header();
        header.height = height;
        let header = header.seal();
        ConsensusMessage::Proposal(anfs_primitives::Proposal {
            header,
            signature: BlsSignature::repeat_byte(2),
        })
    }
}

impl Mischief for Spam {
    fn input(&mut self, _: &mut Me, now_ms: u64, input: SeatInput, out: &mut Outbox) -> Option<SeatInput> {
        match &input {
            SeatInput::Start => out.remind_at(now_ms + Self::EVERY_MS, 0),
            input => {
                if let Some(ConsensusMessage::Proposal(proposal)) = heard(input) {
                    self.blocks.push(proposal.header.hash());
                    if self.blocks.len() > 32 {
                        self.blocks.remove(0);
                    }
                }
            }
        }
        Some(input)
    }

    fn remind(&mut self, me: &mut Me, now_ms: u64, _: u64, out: &mut Outbox) {
        for _ in 0..Self::AT_ONCE {
            misdeed("spam", out);
            let message = self.invent(me);
            out.broadcast(message);
        }
        out.remind_at(now_ms + Self::EVERY_MS, 0);
    }
}

/// Sends entries that no header commits to, in place of those that it was asked for, and unasked; and votes
/// for nothing, so that the others need everyone whom it misleads.
#[derive(Debug)]
pub(super) struct Pollute;

impl Pollute {
    fn wrong_entries(me: &Me, block: &BlockHash) -> Option<ConsensusMessage> {
        let header = me.header(block)?;
        let parent = me.header(&header.parent)?;
        let recipe = Recipe {
            slot: header.slot,
            view: header.view,
            proposer: header.proposer,
            salt: 0x0bad_b0d7,
            flaw: None,
        };
        Some(ConsensusMessage::Fragment(blocks::fragment(&blocks::build(parent, &recipe), 0..ENTRIES)))
    }
}

impl Mischief for Pollute {
    fn input(&mut self, me: &mut Me, _: u64, input: SeatInput, out: &mut Outbox) -> Option<SeatInput> {
        let mut spread = |hash: &BlockHash| {
            if let Some(wrong) = Self::wrong_entries(me, hash) {
                misdeed("wrong entries", out);
                out.broadcast(wrong);
            }
        };
        match heard(&input) {
            Some(ConsensusMessage::Proposal(proposal)) => spread(&proposal.header.hash()),
            Some(ConsensusMessage::NewView(opening)) => {
                opening.carried.iter().for_each(|proposal| spread(&proposal.header.hash()));
            }
            // Whoever asks is listening.
            Some(ConsensusMessage::FragmentRequest { block, .. }) => {
                spread(block);
                return None;
            }
            _ => {}
        }
        Some(input)
    }

    fn action(&mut self, me: &mut Me, _: u64, action: Action, out: &mut Outbox) {
        if let Action::Send { to, message } = &action
            && let ConsensusMessage::Block(served) = &**message
        {
            misdeed("wrong entries", out);
            let mut served = served.clone();
            let mut entries = served.block.body.entries.to_vec();
            entries.reverse();
            served.block.body.entries = entries.try_into().expect("as many as before");
            return out.send(*to, ConsensusMessage::Block(served));
        }
        let vote = matches!(&action, Action::Broadcast(message) if me.own_vote(message).is_some());
        if !vote {
            out.push(action);
        }
    }
}
