//! A leader that does as little as keeps it in office.

use std::collections::BTreeMap;
use std::sync::Arc;

use anfs_primitives::{ConsensusMessage, Height, SeatIndex};

use super::actor::{Me, Mischief, addressed, misdeed, scatter};
use crate::seat::{Action, Outbox, SeatInput};

/// A message, and to whom it goes.
type Addressed = (Vec<SeatIndex>, Arc<ConsensusMessage>);

/// Keeps its blocks back and gives them out one by one, each just before the others lose their patience.
#[derive(Debug)]
pub(super) struct Stall {
    /// How long before the end of their patience a block goes out: it must be decided by then.
    spare_ms: u64,
    /// Proposals and fragments, by height.
    held: BTreeMap<Height, Vec<Addressed>>,
    /// The height that goes out next, or went out last.
    due: Height,
    out: bool,
}

impl Stall {
    pub(super) fn new(spare_ms: u64) -> Self {
        Self { spare_ms, held: BTreeMap::new(), due: Height::ZERO, out: false }
    }

    /// A decision, or the start, begins the others' patience.
    fn await_next(&mut self, me: &Me, now_ms: u64, out: &mut Outbox) {
        let next = me.tip.next();
        if self.due < next {
            (self.due, self.out) = (next, false);
            self.held = self.held.split_off(&next);
            out.remind_at(now_ms + me.config.view_timeout_ms.saturating_sub(self.spare_ms), next.0);
        }
    }
}

impl Mischief for Stall {
    fn input(&mut self, me: &mut Me, now_ms: u64, input: SeatInput, out: &mut Outbox) -> Option<SeatInput> {
        if matches!(input, SeatInput::Start) {
            self.await_next(me, now_ms, out);
        }
        Some(input)
    }

    fn action(&mut self, me: &mut Me, now_ms: u64, action: Action, out: &mut Outbox) {
        if matches!(action, Action::Decide(_)) {
            self.await_next(me, now_ms, out);
        }
        let sent = addressed(me, &action).filter(|(_, message)| me.is_own_block(message));
        let height = sent.as_ref().and_then(|(_, message)| match &**message {
            ConsensusMessage::Fragment(fragment) => Some(fragment.height),
            ConsensusMessage::Proposal(proposal) => Some(proposal.header.height),
            _ => None,
        });
        match (sent, height) {
            (Some(sent), Some(height)) if height > me.tip => {
                if height == self.due && self.out {
                    return out.push(action);
                }
                misdeed("stalled block", out);
                self.held.entry(height).or_default().push(sent);
            }
            _ => out.push(action),
        }
    }

    fn remind(&mut self, _: &mut Me, _: u64, of: u64, out: &mut Outbox) {
        if self.due == Height(of) {
            self.out = true;
            for (to, message) in self.held.remove(&self.due).into_iter().flatten() {
                scatter(&to, &message, out);
            }
        }
    }
}
