//! What the root makes final for a seat's shard: fetched from the shards that sent it, held against what their final
//! headers claim, and given out in the order in which blocks must consume it.
//!
//! spec: Domains D9, D10

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use alloy_primitives::{B256, U256};
use anfs_crypto::outbox::LaneBatch;
use anfs_primitives::{
    CertifiedRootBlock, CrossMessage, DomainId, Height, NetworkId, RootReference, RootSeat, SeatIndex,
    ShardHeader,
};

/// A request that was not answered goes to the next seat after this many milliseconds.
pub(super) const ASK_AGAIN_MS: u64 = 200;

/// What a block has to consume.
#[derive(Debug)]
pub(super) enum Due<'a> {
    Messages(Vec<&'a CrossMessage>),
    /// The reference, or something that it makes final, is not known here yet.
    NotYet,
    /// Another root block is final there.
    Foreign,
}

/// What came of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It was wanted, and is what the header commits to.
    Wanted,
    /// Nobody waits for it.
    Spare,
    /// It is not what the header commits to.
    Refused,
    /// It is, and yet not what the header claims: the source lies to the root.
    Hollow,
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
    next: u64,
    count: u64,
    value: U256,
    proposer: SeatIndex,
    tries: u16,
    again_at_ms: u64,
    batch: Option<Arc<LaneBatch>>,
}

/// See the module docs.
#[derive(Debug)]
pub(super) struct Inbox {
    network: NetworkId,
    domain: DomainId,
    seats: u16,
    /// Messages that the blocks on disk have consumed.
    consumed: BTreeMap<DomainId, u64>,
    sent: BTreeMap<DomainId, (u64, U256)>,
    /// Root blocks whose messages are all at hand, from height 1 on.
    roots: Vec<RootReference>,
    batches: Vec<(Height, DomainId, Arc<LaneBatch>)>,
    waiting: VecDeque<Waiting>,
}

fn sent_to(header: &ShardHeader, destination: DomainId) -> (u64, U256) {
    let lane = header.lanes.iter().find(|lane| lane.destination == destination);
    lane.map_or((0, U256::ZERO), |lane| (lane.sent, lane.value))
}

impl Inbox {
    /// An inbox for blocks above one with these cursors.
    pub(super) fn new(
        network: NetworkId,
        domain: DomainId,
        verifiers: u16,
        consumed: BTreeMap<DomainId, u64>,
    ) -> Self {
        Self {
            network,
            domain,
            seats: verifiers + 1,
            consumed,
            sent: BTreeMap::new(),
            roots: Vec::new(),
            batches: Vec::new(),
            waiting: VecDeque::new(),
        }
    }

    /// Takes in the next final root block, with the messages that executing the one before it has sent: every seat
    /// executes the root itself.
    pub(super) fn extend(&mut self, block: &CertifiedRootBlock, sent: Option<Arc<LaneBatch>>) {
        let mut wants = Vec::new();
        wants.extend(sent.and_then(|batch| self.want_of_root(block, batch)));
        for reference in &block.block.references {
            let header = &reference.header;
            let source = header.domain;
            let now = sent_to(header, self.domain);
            let before = self.sent.insert(source, now).unwrap_or_default();
            let done = self.consumed.get(&source).copied().unwrap_or_default();
            if source == self.domain || now.0 <= before.0.max(done) {
                continue;
            }
            wants.push(Want {
                source,
                height: header.height,
                outbox_root: header.outbox_root,
                next: before.0,
                count: now.0 - before.0,
                value: now.1 - before.1,
                proposer: header.proposer,
                tries: 0,
                again_at_ms: 0,
                batch: None,
            });
        }
        self.waiting.push_back(Waiting { root: block.block.header.reference(), wants });
        self.ripen();
    }

    /// The root's own messages to this shard, unless they are consumed.
    fn want_of_root(&mut self, block: &CertifiedRootBlock, batch: Arc<LaneBatch>) -> Option<Want> {
        let header = &block.block.header;
        let lane = header.execution.sent.iter().find(|lane| lane.destination == self.domain)?;
        let now = (lane.sent, lane.value);
        let before = self.sent.insert(DomainId::ROOT, now).unwrap_or_default();
        let done = self.consumed.get(&DomainId::ROOT).copied().unwrap_or_default();
        (now.0 > before.0.max(done)).then_some(Want {
            source: DomainId::ROOT,
            height: header.height,
            outbox_root: header.execution.outbox_root,
            next: before.0,
            count: now.0 - before.0,
            value: now.1 - before.1,
            proposer: SeatIndex::GENERATOR,
            tries: 0,
            again_at_ms: 0,
            batch: Some(batch),
        })
    }

    /// The requests that are due.
    pub(super) fn requests(&mut self, now_ms: u64) -> Vec<(RootSeat, Height)> {
        let seats = self.seats;
        let open = self.waiting.iter_mut().flat_map(|waiting| &mut waiting.wants);
        let open = open.filter(|want| want.batch.is_none() && want.again_at_ms <= now_ms);
        open.map(|want| {
            let seat = SeatIndex((want.proposer.0 + want.tries) % seats);
            want.tries = (want.tries + 1) % seats;
            want.again_at_ms = now_ms + ASK_AGAIN_MS;
            (RootSeat { domain: want.source, seat }, want.height)
        })
        .collect()
    }

    /// Takes in an answer.
    pub(super) fn answer(&mut self, source: DomainId, height: Height, batch: &Arc<LaneBatch>) -> Taken {
        let mut wants = self.waiting.iter_mut().flat_map(|waiting| &mut waiting.wants);
        let want = wants.find(|want| (want.source, want.height) == (source, height));
        let Some(want) = want.filter(|want| want.batch.is_none()) else { return Taken::Spare };
        if batch.verify(&want.outbox_root, self.network, (source, self.domain), want.next).is_err() {
            return Taken::Refused;
        }
        if !batch.is_as_claimed(want.count, want.value) {
            return Taken::Hollow;
        }
        want.batch = Some(batch.clone());
        self.ripen();
        Taken::Wanted
    }

    fn ripen(&mut self) {
        let whole = |waiting: &Waiting| waiting.wants.iter().all(|want| want.batch.is_some());
        while let Some(Waiting { root, wants }) = self.waiting.pop_front_if(|waiting| whole(waiting)) {
            let batches = wants.into_iter().filter_map(|want| Some((root.height, want.source, want.batch?)));
            self.batches.extend(batches);
            self.roots.push(root);
        }
    }

    /// The newest root block that a block may refer to.
    pub(super) fn latest(&self) -> RootReference {
        self.roots.last().copied().unwrap_or_default()
    }

    /// What a block with this root reference has to consume, on top of one with these cursors: all of it, or more than
    /// fits into a block.
    pub(super) fn due(
        &self,
        reference: &RootReference,
        cursors: &BTreeMap<DomainId, u64>,
        inbox_gas: u64,
    ) -> Due<'_> {
        if *reference == RootReference::default() {
            return Due::Messages(Vec::new());
        }
        let at = usize::try_from(reference.height.0).ok().and_then(|height| height.checked_sub(1));
        match at.map(|at| self.roots.get(at)) {
            Some(Some(known)) if known == reference => {}
            Some(None) => return Due::NotYet,
            _ => return Due::Foreign,
        }
        if self.consumed.iter().any(|(source, consumed)| cursors.get(source).unwrap_or(&0) < consumed) {
            return Due::NotYet;
        }
        let (mut due, mut gas) = (Vec::new(), 0u64);
        for (_, source, batch) in self.batches.iter().take_while(|(root, ..)| *root <= reference.height) {
            let next = cursors.get(source).copied().unwrap_or_default();
            for message in batch.messages.iter().filter(|message| message.sequence >= next) {
                due.push(message);
                gas = gas.saturating_add(message.gas());
                if gas > inbox_gas {
                    return Due::Messages(due);
                }
            }
        }
        Due::Messages(due)
    }

    /// The final root block of a height, as far as its messages are at hand.
    pub(super) fn root(&self, height: Height) -> RootReference {
        let at = usize::try_from(height.0).ok().and_then(|height| height.checked_sub(1));
        at.and_then(|at| self.roots.get(at)).copied().unwrap_or_default()
    }
}
