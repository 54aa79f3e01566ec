//! The tree over the messages that a block sends, and the proof that a lane's share of it is complete.
//!
//! ```text
//!   outbox root ─ Merkle tree over lanes, ascending by destination
//!                   └─ lane: destination, number of the first message, count, Merkle root over the ids
//! ```
//!
//! A shard takes a lane's messages of one block together: the proof of the lane shows that none is left out. The root
//! takes as many of them as fit beside those of other shards: a stretch, with a proof of its place.
//!
//! spec: PROTOCOL §9; Domains D9

use std::ops::Range;

use alloy_primitives::{B256, U256};
use anfs_primitives::{BoundedVec, CrossMessage, DomainId, Height, InboundBatch, NetworkId, StretchProof};
use borsh::{BorshDeserialize, BorshSerialize};

use crate::merkle;
use crate::tags::OUTBOX_LANE;

pub use anfs_primitives::root::LANE_MESSAGES_MAX;
use anfs_primitives::root::LANE_SIBLINGS_MAX;

/// The messages of one block for one destination, with the proof that these are all of them.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct LaneBatch {
    /// The messages, in the order of their numbers; never empty.
    pub messages: BoundedVec<CrossMessage, LANE_MESSAGES_MAX>,
    /// How many lanes the block has messages for.
    pub lanes: u32,
    /// Which of them this is.
    pub index: u32,
    /// The lane's siblings on the way to the outbox root, lowest first.
    pub siblings: BoundedVec<B256, LANE_SIBLINGS_MAX>,
}

/// What is wrong with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// No message.
    #[error("a batch without messages")]
    Empty,
    /// Not the lane that it is meant for.
    #[error("message {index} is of another network, source or destination")]
    Lane {
        /// Index of the message.
        index: usize,
    },
    /// Numbers that do not follow one another.
    #[error("message {index} has the number {have}; the lane is at {want}")]
    Sequence {
        /// Index of the message.
        index: usize,
        /// Its number.
        have: u64,
        /// The one due.
        want: u64,
    },
    /// Not what the header commits to.
    #[error("the messages are not the lane's under the header's outbox root")]
    Root,
}

/// The root over a block's messages; zero when there are none.
///
/// Messages of one destination must stand in the order of their numbers.
#[must_use]
pub fn outbox_root(messages: &[CrossMessage]) -> B256 {
    let lanes: Vec<B256> = lanes(messages).iter().map(|(_, lane)| lane_leaf(lane)).collect();
    if lanes.is_empty() { B256::ZERO } else { merkle::root(&lanes) }
}

/// Takes a destination's messages out of a block's, with their proof; `None` when there are none for it, or more
/// than [`LANE_MESSAGES_MAX`].
#[must_use]
pub fn lane_batch(messages: &[CrossMessage], destination: DomainId) -> Option<LaneBatch> {
    let lanes = lanes(messages);
    let index = lanes.iter().position(|(to, _)| *to == destination)?;
    let leaves: Vec<B256> = lanes.iter().map(|(_, lane)| lane_leaf(lane)).collect();
    let count = |n: usize| u32::try_from(n).expect("domains are counted by 32 bits");
    let messages: Vec<CrossMessage> = lanes[index].1.iter().map(|message| (*message).clone()).collect();
    Some(LaneBatch {
        messages: messages.try_into().ok()?,
        lanes: count(lanes.len()),
        index: count(index),
        siblings: merkle::prove(&leaves, index)?.try_into().ok()?,
    })
}

impl LaneBatch {
    /// Checks that these are all messages that a block with this outbox root sends on the lane, the first of them
    /// with the number `next`.
    ///
    /// # Errors
    /// What is wrong with the first message that is, or [`BatchError::Root`].
    pub fn verify(
        &self,
        outbox_root: &B256,
        network: NetworkId,
        lane: (DomainId, DomainId),
        next: u64,
    ) -> Result<(), BatchError> {
        if self.messages.is_empty() {
            return Err(BatchError::Empty);
        }
        check_lane(&self.messages, network, lane, next)?;
        let leaf = lane_leaf(&self.messages.iter().collect::<Vec<_>>());
        let (lanes, index) = (self.lanes as usize, self.index as usize);
        if merkle::verify(outbox_root, lanes, index, &leaf, &self.siblings) {
            Ok(())
        } else {
            Err(BatchError::Root)
        }
    }

    /// Whether these are as many messages, with as many coins in wei, as the block's header says that it adds to the
    /// lane. The outbox root is only what the source's verifiers have certified: a captured shard may put coins into
    /// messages that its lane does not hold, and whoever took them in would make a header that the root refuses.
    ///
    /// spec: Domains L2, L4
    #[must_use]
    pub fn is_as_claimed(&self, count: u64, value: U256) -> bool {
        let held = self.messages.iter().try_fold(U256::ZERO, |sum, one| sum.checked_add(one.value()));
        self.messages.len() as u64 == count && held == Some(value)
    }
}

/// What a final block of a shard has sent on a lane, as its header and the one before it say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct LaneShare {
    /// The block's outbox root.
    pub outbox_root: B256,
    /// Number of the first message.
    pub first: u64,
    /// How many there are; at least one.
    pub count: u64,
    /// Coins with all of them, in wei.
    pub value: U256,
}

impl LaneBatch {
    /// Takes some of the messages out, with their proof; `None` when there are none at these places.
    #[must_use]
    pub fn stretch(&self, source: DomainId, height: Height, range: Range<usize>) -> Option<InboundBatch> {
        let ids: Vec<B256> = self.messages.iter().map(CrossMessage::id).collect();
        let beside = merkle::prove_range(&ids, range.clone())?;
        let proof = StretchProof {
            beside: beside.try_into().ok()?,
            lanes: self.lanes,
            index: self.index,
            siblings: self.siblings.clone(),
        };
        let messages = self.messages.get(range)?.to_vec().try_into().ok()?;
        Some(InboundBatch { source, height, messages, proof })
    }
}

/// Checks that these are messages of the block to the root, the first of them with the number `next`.
///
/// # Errors
/// What is wrong with the first message that is, or [`BatchError::Root`].
pub fn verify_stretch(
    batch: &InboundBatch,
    share: &LaneShare,
    network: NetworkId,
    next: u64,
) -> Result<(), BatchError> {
    if batch.messages.is_empty() {
        return Err(BatchError::Empty);
    }
    check_lane(&batch.messages, network, (batch.source, DomainId::ROOT), next)?;
    let ids: Vec<B256> = batch.messages.iter().map(CrossMessage::id).collect();
    let (count, start) = (usize::try_from(share.count), next.checked_sub(share.first).map(usize::try_from));
    let (Ok(count), Some(Ok(start))) = (count, start) else { return Err(BatchError::Root) };
    let proof = &batch.proof;
    let over = merkle::root_of_range(count, start, &ids, &proof.beside).ok_or(BatchError::Root)?;
    let leaf = leaf_of(DomainId::ROOT, share.first, share.count, &over);
    let (lanes, index) = (proof.lanes as usize, proof.index as usize);
    if merkle::verify(&share.outbox_root, lanes, index, &leaf, &proof.siblings) {
        Ok(())
    } else {
        Err(BatchError::Root)
    }
}

/// Whether these are messages of the lane, and their numbers follow one another.
fn check_lane(
    messages: &[CrossMessage],
    network: NetworkId,
    lane: (DomainId, DomainId),
    next: u64,
) -> Result<(), BatchError> {
    for ((index, message), want) in messages.iter().enumerate().zip(next..) {
        if message.network != network || (message.source, message.destination) != lane {
            return Err(BatchError::Lane { index });
        }
        if message.sequence != want {
            return Err(BatchError::Sequence { index, have: message.sequence, want });
        }
    }
    Ok(())
}

/// The messages by destination, ascending.
fn lanes(messages: &[CrossMessage]) -> Vec<(DomainId, Vec<&CrossMessage>)> {
    let mut ordered: Vec<&CrossMessage> = messages.iter().collect();
    ordered.sort_by_key(|message| message.destination);
    ordered
        .chunk_by(|a, b| a.destination == b.destination)
        .map(|lane| (lane[0].destination, lane.to_vec()))
        .collect()
}

/// The leaf of a lane, which has at least one message.
fn lane_leaf(lane: &[&CrossMessage]) -> B256 {
    let ids: Vec<B256> = lane.iter().map(|message| message.id()).collect();
    leaf_of(lane[0].destination, lane[0].sequence, ids.len() as u64, &merkle::root(&ids))
}

/// The leaf of a lane with so many messages from a number on, and the root over their ids.
fn leaf_of(destination: DomainId, first: u64, count: u64, over: &B256) -> B256 {
    OUTBOX_LANE.sha256(&[
        &destination.0.to_be_bytes(),
        &first.to_be_bytes(),
        &count.to_be_bytes(),
        over.as_slice(),
    ])
}

#[cfg(test)]
mod tests {
    use alloy_primitives::Address;
    use anfs_primitives::MessageBody;
    use proptest::prelude::*;

    use super::*;

    const NETWORK: NetworkId = NetworkId(7);
    const SOURCE: DomainId = DomainId(1);

    /// A block's messages: `counts[i]` of them for domain `i`, in turns, each lane from number 5 on.
    fn messages(counts: &[u64]) -> Vec<CrossMessage> {
        let most = counts.iter().copied().max().unwrap_or_default();
        let rounds = (0..most).flat_map(|n| (0u32..).zip(counts).map(move |(to, count)| (n, to, *count)));
        rounds
            .filter(|(n, _, count)| n < count)
            .map(|(n, to, _)| CrossMessage {
                network: NETWORK,
                source: SOURCE,
                destination: DomainId(to),
                sequence: 5 + n,
                origin: B256::with_last_byte(9),
                body: MessageBody::Credit { recipient: Address::with_last_byte(1), value: U256::from(n) },
            })
            .collect()
    }

    fn check(batch: &LaneBatch, root: &B256, to: u32, next: u64) -> Result<(), BatchError> {
        batch.verify(root, NETWORK, (SOURCE, DomainId(to)), next)
    }

    #[test]
    fn a_block_without_messages_has_no_root() {
        assert_eq!(outbox_root(&[]), B256::ZERO);
        assert_eq!(lane_batch(&messages(&[0, 2]), DomainId(0)), None);
    }

    #[test]
    fn a_batch_is_what_its_lane_claims_or_not() {
        let batch = lane_batch(&messages(&[0, 3]), DomainId(1)).expect("three messages");
        let claimed = |count, value| batch.is_as_claimed(count, U256::from(value));
        assert!(claimed(3, 3), "0, 1 and 2 wei");
        assert!(!claimed(2, 3) && !claimed(4, 3) && !claimed(3, 2) && !claimed(3, 4));
    }

    proptest! {
        #[test]
        fn every_lane_of_every_block_proves_itself(counts in prop::collection::vec(0u64..5, 1..9)) {
            let sent = messages(&counts);
            let root = outbox_root(&sent);
            for (to, count) in (0u32..).zip(&counts) {
                let batch = lane_batch(&sent, DomainId(to));
                prop_assert_eq!(batch.as_ref().map_or(0, |batch| batch.messages.len() as u64), *count);
                if let Some(batch) = batch {
                    prop_assert_eq!(check(&batch, &root, to, 5), Ok(()));
                }
            }
        }

        #[test]
        fn each_stretch_to_the_root_proves_itself_and_nothing_else(
            counts in prop::collection::vec(1u64..9, 1..6), from in any::<prop::sample::Index>(), to in any::<prop::sample::Index>(),
        ) {
            let sent = messages(&counts);
            let lane = lane_batch(&sent, DomainId::ROOT).expect("each lane has messages");
            let many = lane.messages.len();
            let start = from.index(many);
            let end = start + 1 + to.index(many - start);
            let stretch = lane.stretch(SOURCE, Height(3), start..end).expect("within the lane");
            let value = lane.messages.iter().map(CrossMessage::value).sum();
            let share = LaneShare { outbox_root: outbox_root(&sent), first: 5, count: many as u64, value };
            let next = 5 + start as u64;
            let check = |batch: &InboundBatch, share: &LaneShare, next| verify_stretch(batch, share, NETWORK, next);
            prop_assert_eq!(check(&stretch, &share, next), Ok(()));
            prop_assert_eq!(lane.stretch(SOURCE, Height(3), start..many + 1), None);

            let late = Err(BatchError::Sequence { index: 0, have: next, want: next + 1 });
            prop_assert_eq!(check(&stretch, &share, next + 1), late);
            let longer = LaneShare { count: share.count + 1, ..share };
            prop_assert_eq!(check(&stretch, &longer, next), Err(BatchError::Root));
            let elsewhere = LaneShare { first: 4, ..share };
            prop_assert_eq!(check(&stretch, &elsewhere, next), Err(BatchError::Root));
            let foreign = InboundBatch { source: DomainId(2), ..stretch.clone() };
            prop_assert_eq!(check(&foreign, &share, next), Err(BatchError::Lane { index: 0 }));
            let with = |edit: &dyn Fn(&mut Vec<CrossMessage>)| {
                let mut messages = stretch.messages.to_vec();
                edit(&mut messages);
                InboundBatch { messages: messages.try_into().expect("few"), ..stretch.clone() }
            };
            prop_assert!(check(&with(&|all| drop(all.pop())), &share, next).is_err());
            prop_assert_eq!(check(&with(&|all| all[0].origin = B256::ZERO), &share, next), Err(BatchError::Root));
        }

        #[test]
        fn nothing_can_be_left_out_added_or_altered(
            counts in prop::collection::vec(1u64..5, 1..6), lane in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(),
        ) {
            let sent = messages(&counts);
            let root = outbox_root(&sent);
            let to = u32::try_from(lane.index(counts.len())).expect("few");
            let batch = lane_batch(&sent, DomainId(to)).expect("each lane has messages");
            let at = at.index(batch.messages.len());

            let with = |edit: &dyn Fn(&mut Vec<CrossMessage>)| {
                let mut messages = batch.messages.to_vec();
                edit(&mut messages);
                LaneBatch { messages: messages.try_into().expect("few"), ..batch.clone() }
            };
            prop_assert!(check(&with(&|all| drop(all.pop())), &root, to, 5).is_err());
            prop_assert!(check(&with(&|all| drop(all.remove(0))), &root, to, 6).is_err());
            let altered = with(&|all| all[at].origin = B256::ZERO);
            prop_assert_eq!(check(&altered, &root, to, 5), Err(BatchError::Root));
            let longer = with(&|all| {
                let mut extra = all[all.len() - 1].clone();
                extra.sequence += 1;
                all.push(extra);
            });
            prop_assert_eq!(check(&longer, &root, to, 5), Err(BatchError::Root));
            let foreign = with(&|all| all[at].network = NetworkId(8));
            prop_assert_eq!(check(&foreign, &root, to, 5), Err(BatchError::Lane { index: at }));

            let replayed = check(&batch, &root, to, 6);
            prop_assert_eq!(replayed, Err(BatchError::Sequence { index: 0, have: 5, want: 6 }));
        }
    }
}
