//! Messages between shards, and whether they have arrived.

use alloy_primitives::B256;
use anfs_crypto::outbox::{BatchError, LaneBatch};
use anfs_primitives::{CrossMessage, SealedHeader};
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
    /// The block that has sent it.
    pub block: FinalBlock,
    /// The message.
    pub message: CrossMessage,
}

/// How far a message's destination is.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ArrivalProof {
    /// The newest final block there.
    pub header: SealedHeader,
}

impl MessageProof {
    /// Checks it against the root block that made the sending block final. spec: Domains D9
    ///
    /// # Errors
    /// [`ProofError`].
    pub fn verify(&self, root: &FinalRoot, id: &B256) -> Result<ProvenMessage, ProofError> {
        let block = self.finality.verify(root)?;
        let first = self.batch.messages.first().ok_or(BatchError::Empty)?;
        let destination = first.destination;
        // The header counts the lane's messages up to and including the block's own: the first of these has the number
        // that the parent's header had come to.
        let lane = block.lanes.iter().find(|lane| lane.destination == destination);
        let next = lane.and_then(|lane| lane.sent.checked_sub(self.batch.messages.len() as u64));
        let next = next.ok_or(BatchError::Root)?;
        self.batch.verify(&block.outbox_root, block.network, (block.domain, destination), next)?;
        let message = self.batch.messages.iter().find(|message| message.id() == *id);
        let message = message.ok_or(ProofError::NoMessage)?.clone();
        Ok(ProvenMessage { block, message })
    }
}

impl ArrivalProof {
    /// Whether the destination has consumed a message by a root block: lanes are consumed in order.
    ///
    /// # Errors
    /// [`ProofError`].
    pub fn verify(&self, root: &FinalRoot, sent: &ProvenMessage) -> Result<bool, ProofError> {
        let block = FinalBlock::tip(root, &self.header)?;
        let message = &sent.message;
        if block.domain != message.destination {
            return Err(ProofError::Domain { have: block.domain, want: message.destination });
        }
        let cursor = block.inbox_cursors.iter().find(|cursor| cursor.source == message.source);
        Ok(cursor.is_some_and(|cursor| cursor.consumed > message.sequence))
    }
}
