//! The messages that the root has made final for one domain, fetched from the shards that sent them.
//!
//! ```text
//!   final root block ─▶ wants: which blocks have messages for us ─▶ asked of seats of their shards, in turn
//!                                                                  ─▶ verified against the final header
//!   whole root blocks, in order ─▶ arrivals
//! ```
//!
//! spec: PROTOCOL §9; Domains D9, D10

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use alloy_primitives::{B256, U256};
use anfs_crypto::outbox::{BatchError, LaneBatch};
use anfs_primitives::{
    CertifiedRootBlock, CrossMessage, DomainId, Height, LaneCount, NetworkId, RootReference, RootSeat,
    SeatIndex,
};

/// A request that was not answered is sent to the next seat after this many milliseconds.
const ASK_AGAIN_MS: u64 = 200;
/// Batches that are asked for at once; others wait for their answers.
const ASKED_MAX: usize = 256;

/// What has been sent on a lane since genesis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    /// Messages.
    count: u64,
    /// Coins with them, in wei.
    value: U256,
}

/// How far a lane is among these, which ascend by destination.
fn sent_to(lanes: &[LaneCount], destination: DomainId) -> Sent {
    let lane = lanes.binary_search_by_key(&destination, |lane| lane.destination);
    lane.map_or_else(|_| Sent::default(), |at| Sent { count: lanes[at].sent, value: lanes[at].value })
}

/// What a root block makes final, in the order in which it is consumed: the block's source and how far its lane to a domain
/// is. What the root's own blocks send is final once the next header tells of it.
fn made_final(
    block: &CertifiedRootBlock,
    destination: DomainId,
) -> impl DoubleEndedIterator<Item = (DomainId, Sent)> {
    let root = (DomainId::ROOT, sent_to(&block.block.header.execution.sent, destination));
    let shards = block
        .block
        .references
        .iter()
        .map(move |reference| (reference.header.domain, sent_to(&reference.header.lanes, destination)));
    std::iter::once(root).chain(shards)
}

/// What is wrong with an answer. Whoever sent it is at fault, or his shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LaneFault {
    /// It is not what the block's outbox root commits to.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// It is, but the shard's verifiers have certified messages that hold more, or less, than its lane says.
    #[error("the messages hold other coins than the lane of their block")]
    Claim,
}

/// From where on root blocks must be taken in so that nothing is missed that a domain has not consumed: the first of
/// them, and how far its lanes were before it. `consumed` is what the domain's blocks have consumed of each source, and
/// `block` reads a final root block.
///
/// # Errors
/// Those of `block`.
pub(crate) fn start_of<E>(
    domain: DomainId,
    head: Height,
    consumed: &BTreeMap<DomainId, u64>,
    shards: u32,
    mut block: impl FnMut(Height) -> Result<Option<Arc<CertifiedRootBlock>>, E>,
) -> Result<(Height, BTreeMap<DomainId, Sent>), E> {
    let mut open: BTreeSet<DomainId> = (0..=shards).map(DomainId).filter(|other| *other != domain).collect();
    let mut sent = BTreeMap::new();
    let (mut at, mut first) = (head, head.next());
    while let Some(below) = at.prev().filter(|_| !open.is_empty()) {
        let Some(block) = block(at)? else { break };
        for (source, by_then) in made_final(&block, domain).rev() {
            if !open.contains(&source) {
                continue;
            }
            sent.insert(source, by_then);
            if by_then.count <= consumed.get(&source).copied().unwrap_or(0) {
                open.remove(&source);
            } else {
                first = at;
            }
        }
        at = below;
    }
    // What was still open at genesis had sent nothing before.
    sent.retain(|source, _| !open.contains(source));
    Ok((first, sent))
}

/// A root block's messages for this domain, all at hand.
#[derive(Debug)]
pub(crate) struct Arrived {
    /// The root block.
    pub(crate) root: RootReference,
    /// By source, and of one source by number.
    pub(crate) batches: Vec<(DomainId, Vec<Arc<CrossMessage>>)>,
}

/// See the module docs.
#[derive(Debug)]
pub(crate) struct Lanes {
    network: NetworkId,
    domain: DomainId,
    /// Seats of each shard.
    seats: u16,
    /// How far each lane to this domain was after the newest root block that was taken in.
    sent: BTreeMap<DomainId, Sent>,
    /// Root blocks of which something is still wanted, and those behind them, in order.
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    root: RootReference,
    wants: Vec<Want>,
}

/// The messages of one block.
#[derive(Debug)]
struct Want {
    source: DomainId,
    height: Height,
    outbox_root: B256,
    /// Number of the first of them.
    next: u64,
    /// How many they are, and what they hold.
    gained: Sent,
    /// Whom to ask first: it made the block.
    proposer: SeatIndex,
    tries: u16,
    /// When to ask again, once it was asked for.
    again_at_ms: Option<u64>,
    messages: Option<Vec<Arc<CrossMessage>>>,
}

impl Want {
    /// Messages of the root, which every seat executes itself.
    fn of_root(block: &CertifiedRootBlock, before: Sent, now: Sent, batch: LaneBatch) -> Self {
        let header = &block.block.header;
        Self {
            source: DomainId::ROOT,
            height: header.height.prev().unwrap_or_default(),
            outbox_root: header.execution.outbox_root,
            next: before.count,
            gained: Sent { count: now.count - before.count, value: now.value.saturating_sub(before.value) },
            proposer: header.proposer.seat,
            tries: 0,
            again_at_ms: None,
            messages: Some(batch.messages.into_inner().into_iter().map(Arc::new).collect()),
        }
    }
}

impl Lanes {
    /// Lanes to a domain as they were after some root block: what each source had sent.
    pub(crate) fn new(
        network: NetworkId,
        domain: DomainId,
        verifiers: u16,
        sent: BTreeMap<DomainId, Sent>,
    ) -> Self {
        Self { network, domain, seats: verifiers + 1, sent, waiting: VecDeque::new() }
    }

    /// Takes in the next final root block; `own` are the messages that executing the block below it has sent here.
    pub(crate) fn extend(&mut self, block: &CertifiedRootBlock, own: Option<LaneBatch>) {
        let mut wants = Vec::new();
        if let Some(batch) = own {
            let now = sent_to(&block.block.header.execution.sent, self.domain);
            let before = self.sent.get(&DomainId::ROOT).copied().unwrap_or_default();
            if now.count > before.count {
                self.sent.insert(DomainId::ROOT, now);
                wants.push(Want::of_root(block, before, now, batch));
            }
        }
        for reference in &block.block.references {
            let header = &reference.header;
            if header.domain == self.domain {
                continue;
            }
            let now = sent_to(&header.lanes, self.domain);
            let before = self.sent.get(&header.domain).copied().unwrap_or_default();
            if now.count > before.count {
                self.sent.insert(header.domain, now);
                wants.push(Want {
                    source: header.domain,
                    height: header.height,
                    outbox_root: header.outbox_root,
                    next: before.count,
                    // The root's ledger has seen to it that lanes do not lose coins (L2).
                    gained: Sent {
                        count: now.count - before.count,
                        value: now.value.saturating_sub(before.value),
                    },
                    proposer: header.proposer,
                    tries: 0,
                    again_at_ms: None,
                    messages: None,
                });
            }
        }
        self.waiting.push_back(Waiting { root: block.block.header.reference(), wants });
    }

    /// The requests that are due: whom to ask for the messages of which of his shard's blocks.
    pub(crate) fn requests(&mut self, now_ms: u64) -> Vec<(RootSeat, Height)> {
        let seats = self.seats;
        let missing = self.waiting.iter_mut().flat_map(|waiting| &mut waiting.wants);
        let missing = missing.filter(|want| want.messages.is_none()).take(ASKED_MAX);
        let mut requests = Vec::new();
        for want in missing.filter(|want| want.again_at_ms.is_none_or(|at| at <= now_ms)) {
            let seat = SeatIndex((want.proposer.0 % seats + want.tries % seats) % seats);
            want.tries = want.tries.wrapping_add(1);
            want.again_at_ms = Some(now_ms.saturating_add(ASK_AGAIN_MS));
            requests.push((RootSeat { domain: want.source, seat }, want.height));
        }
        requests
    }

    /// When the next request is due, if any will be.
    pub(crate) fn wake_at_ms(&self) -> Option<u64> {
        let missing = self.waiting.iter().flat_map(|waiting| &waiting.wants);
        let missing = missing.filter(|want| want.messages.is_none()).take(ASKED_MAX);
        missing.map(|want| want.again_at_ms.unwrap_or(0)).min()
    }

    /// Takes in an answer; one that was not asked for, or no longer, is ignored.
    ///
    /// # Errors
    /// What is wrong with the batch: whoever sent it is at fault.
    pub(crate) fn answer(
        &mut self,
        source: DomainId,
        height: Height,
        batch: LaneBatch,
    ) -> Result<(), LaneFault> {
        let mut wants = self.waiting.iter_mut().flat_map(|waiting| &mut waiting.wants);
        let want = wants.find(|want| (want.source, want.height) == (source, height));
        let Some(want) = want.filter(|want| want.messages.is_none() && want.tries > 0) else { return Ok(()) };
        batch.verify(&want.outbox_root, self.network, (source, self.domain), want.next)?;
        if !batch.is_as_claimed(want.gained.count, want.gained.value) {
            return Err(LaneFault::Claim);
        }
        want.messages = Some(batch.messages.into_inner().into_iter().map(Arc::new).collect());
        Ok(())
    }

    /// The next root block whose messages are all at hand.
    pub(crate) fn next(&mut self) -> Option<Arrived> {
        let first = self.waiting.front()?;
        if first.wants.iter().any(|want| want.messages.is_none()) {
            return None;
        }
        let Waiting { root, wants } = self.waiting.pop_front()?;
        let mut batches: Vec<(DomainId, Vec<Arc<CrossMessage>>)> = Vec::new();
        for want in wants {
            let messages = want.messages.unwrap_or_default();
            match batches.last_mut() {
                Some((source, all)) if *source == want.source => all.extend(messages),
                _ => batches.push((want.source, messages)),
            }
        }
        Some(Arrived { root, batches })
    }
}

#[cfg(test)]
mod tests;
