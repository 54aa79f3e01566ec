//! Messages between domains, and whether they have arrived.

use alloy_primitives::B256;
use anfs_crypto::outbox::{BatchError, LaneBatch};
use anfs_primitives::{CrossMessage, DomainId, Height, LaneCount, NetworkId, RootExecution, SealedHeader};
use borsh::{BorshDeserialize, BorshSerialize};

use crate::{FinalBlock, FinalRoot, FinalityProof, ProofError};

/// That a final block of a shard has sent a message.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct MessageProof {
    /// The block.
    pub finality: FinalityProof,
    /// All that it sends where the message goes.
    pub batch: LaneBatch,
}

/// A message that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenMessage {
    /// The final block that has sent it, of the message's source.
    pub height: Height,
    /// The message.
    pub message: CrossMessage,
}

/// That a message was sent, by whichever domain.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum SentProof {
    /// A shard has sent it.
    Shard(MessageProof),
    /// The root has sent it.
    Root(RootMessageProof),
}

/// That the root has sent a message: a root block's header tells what executing the block before it has sent.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RootMessageProof {
    /// All that the root sends with it where the message goes.
    pub batch: LaneBatch,
}

/// How far a message's destination is.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ArrivalProof {
    /// The newest final block there.
    pub header: SealedHeader,
}

/// The message of a batch with this id, if these are all that is sent on its lane under an outbox root. `lanes` counts what
/// was sent up to and including the batch: its first message has the number that the lane had come to before.
fn find(
    batch: &LaneBatch,
    id: &B256,
    (network, source): (NetworkId, DomainId),
    (outbox_root, lanes): (&B256, &[LaneCount]),
) -> Result<CrossMessage, ProofError> {
    let destination = batch.messages.first().ok_or(BatchError::Empty)?.destination;
    let lane = lanes.iter().find(|lane| lane.destination == destination);
    let next = lane.and_then(|lane| lane.sent.checked_sub(batch.messages.len() as u64));
    let next = next.ok_or(BatchError::Root)?;
    batch.verify(outbox_root, network, (source, destination), next)?;
    batch.messages.iter().find(|message| message.id() == *id).cloned().ok_or(ProofError::NoMessage)
}

impl RootMessageProof {
    /// Checks it against the root block whose header tells of the execution that has sent the message: the one after the
    /// block that was executed. spec: Root F16
    ///
    /// # Errors
    /// [`ProofError`].
    pub fn verify(&self, root: &FinalRoot, id: &B256) -> Result<ProvenMessage, ProofError> {
        let RootExecution { outbox_root, sent, .. } = &root.execution;
        let message = find(&self.batch, id, (root.network, DomainId::ROOT), (outbox_root, sent))?;
        Ok(ProvenMessage { height: root.height.prev().unwrap_or_default(), message })
    }
}

impl FinalRoot {
    /// Whether the root had consumed a message before this block: lanes are consumed in order.
    #[must_use]
    pub fn has_consumed(&self, message: &CrossMessage) -> bool {
        let cursor = self.execution.consumed.iter().find(|cursor| cursor.source == message.source);
        message.destination == DomainId::ROOT
            && cursor.is_some_and(|cursor| cursor.consumed > message.sequence)
    }
}

impl SentProof {
    /// Checks it against the root block that tells of the message.
    ///
    /// # Errors
    /// [`ProofError`].
    pub fn verify(&self, root: &FinalRoot, id: &B256) -> Result<ProvenMessage, ProofError> {
        match self {
            Self::Shard(proof) => proof.verify(root, id),
            Self::Root(proof) => proof.verify(root, id),
        }
    }
}

impl MessageProof {
    /// Checks it against the root block that made the sending block final. spec: Domains D9
    ///
    /// # Errors
    /// [`ProofError`].
    pub fn verify(&self, root: &FinalRoot, id: &B256) -> Result<ProvenMessage, ProofError> {
        let block = self.finality.verify(root)?;
        let message =
            find(&self.batch, id, (block.network, block.domain), (&block.outbox_root, &block.lanes))?;
        Ok(ProvenMessage { height: block.height, message })
    }
}

impl ArrivalProof {
    /// Whether the destination, a shard, has consumed a message by a root block: lanes are consumed in order.
    ///
    /// # Errors
    /// [`ProofError`].
    pub fn verify(&self, root: &FinalRoot, message: &CrossMessage) -> Result<bool, ProofError> {
        let block = FinalBlock::tip(root, &self.header)?;
        if block.domain != message.destination {
            return Err(ProofError::Domain { have: block.domain, want: message.destination });
        }
        let cursor = block.inbox_cursors.iter().find(|cursor| cursor.source == message.source);
        Ok(cursor.is_some_and(|cursor| cursor.consumed > message.sequence))
    }
}
