//! Which transactions complete where: the count of each one's messages that are still on their way.
//!
//! ```text
//!   domain 1   tx ──call──┐                       outstanding: 1
//!   domain 2              └─▶ runs ──credit──┐    1 − 1 + 1 = 1
//!   domain 1                                 └─▶  0: complete, listed here
//! ```
//!
//! spec: PROTOCOL §0, §9

use std::collections::BTreeMap;

use alloy_primitives::B256;
use anfs_primitives::{DomainId, Height};
use anfs_rpc::RpcBlock;
use borsh::{BorshDeserialize, BorshSerialize};

/// A transaction of a shard block, or a message that it consumed: by index in the block's list of either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub(crate) struct Spot {
    pub(crate) domain: DomainId,
    pub(crate) height: Height,
    pub(crate) index: u32,
}

/// The way of a transaction through the network, so far.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Way {
    /// Its hash.
    pub(crate) transaction: B256,
    /// Where it was executed.
    pub(crate) source: Spot,
    /// Messages of it that were consumed, in the network's order.
    pub(crate) arrivals: Vec<Spot>,
}

/// A transaction that is not complete.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct OpenWay {
    pub(crate) way: Way,
    /// Messages sent and not consumed; not zero.
    pub(crate) outstanding: u64,
}

/// The transactions that are not complete, by hash.
pub(crate) type Open = BTreeMap<B256, OpenWay>;

/// What the shard blocks of one root block change.
#[derive(Debug)]
pub(crate) struct Step<'a> {
    base: &'a Open,
    /// What became of those that were open before or opened meanwhile; `None` for complete.
    touched: BTreeMap<B256, Option<OpenWay>>,
    /// Transactions that are complete, in order of completion.
    listed: Vec<Way>,
}

/// What came of a [`Step`].
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Stepped {
    /// Transactions that are complete, in order of completion.
    pub(crate) listed: Vec<Way>,
    /// Transactions that are open and were not before, or have gone on since.
    pub(crate) open: Vec<OpenWay>,
}

impl<'a> Step<'a> {
    /// Goes on from the transactions that are open.
    pub(crate) fn new(base: &'a Open) -> Self {
        Self { base, touched: BTreeMap::new(), listed: Vec::new() }
    }

    /// Takes in the next final shard block.
    pub(crate) fn follow(&mut self, block: &RpcBlock) {
        let (domain, height) = (block.header.domain, block.header.height);
        let spot = |index: usize| Spot { domain, height, index: u32::try_from(index).unwrap_or(u32::MAX) };
        let mut sent: BTreeMap<B256, u64> = BTreeMap::new();
        for message in block.crossing.sent.iter().filter(|message| !message.origin.is_zero()) {
            *sent.entry(message.origin).or_default() += 1;
        }
        // What an arrival sends on counts before the arrival is struck off: the way is not over in between.
        for (origin, count) in &sent {
            if let Some(open) = self.open_mut(origin) {
                open.outstanding += count;
            }
        }
        for (index, arrival) in block.crossing.arrivals.iter().enumerate() {
            let origin = arrival.message.origin;
            let Some(open) = self.open_mut(&origin) else { continue };
            open.way.arrivals.push(spot(index));
            open.outstanding = open.outstanding.saturating_sub(1);
            if open.outstanding == 0 {
                let complete = self.touched.insert(origin, None).flatten();
                self.listed.extend(complete.map(|open| open.way));
            }
        }
        for (index, tx) in block.transactions.iter().enumerate() {
            let way = Way { transaction: *tx.hash(), source: spot(index), arrivals: Vec::new() };
            match sent.get(tx.hash()) {
                None => self.listed.push(way),
                Some(outstanding) => {
                    self.touched.insert(*tx.hash(), Some(OpenWay { way, outstanding: *outstanding }));
                }
            }
        }
    }

    fn open_mut(&mut self, origin: &B256) -> Option<&mut OpenWay> {
        if !self.touched.contains_key(origin) {
            let open = self.base.get(origin)?.clone();
            self.touched.insert(*origin, Some(open));
        }
        self.touched.get_mut(origin)?.as_mut()
    }

    /// Ends the root block.
    pub(crate) fn finish(self) -> Stepped {
        Stepped { listed: self.listed, open: self.touched.into_values().flatten().collect() }
    }
}

/// Carries the outcome of a step over.
pub(crate) fn apply(open: &mut Open, listed: &[Way], changed: &[OpenWay]) {
    for way in listed {
        open.remove(&way.transaction);
    }
    for now in changed {
        open.insert(now.way.transaction, now.clone());
    }
}
