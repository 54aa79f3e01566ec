//! What became of a transaction in its sender's home.

use alloy_consensus::ReceiptEnvelope;
use alloy_eips::eip2718::Decodable2718;
use alloy_primitives::{B256, Bytes, Log, keccak256};
use anfs_primitives::SignedTransaction;
use anfs_state::read_item;
use borsh::{BorshDeserialize, BorshSerialize};

use crate::{FinalBlock, FinalRoot, FinalityProof, Nodes, ProofError, slices};

/// A transaction and its receipt in a final block of the shard that executed it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ReceiptProof {
    /// Its block.
    pub finality: FinalityProof,
    /// Its index there.
    pub index: u32,
    /// From the transactions root to the transaction.
    pub transaction: Nodes,
    /// From the receipts root to the receipt.
    pub receipt: Nodes,
}

/// What is proven of a transaction. The logs and the gas of calls that left it stand in receipts elsewhere.
#[derive(Clone, Debug)]
pub struct ProvenReceipt {
    /// The block that executed it.
    pub block: FinalBlock,
    /// Its index there.
    pub index: u32,
    /// The transaction; its signature is for the shard to check.
    pub transaction: SignedTransaction,
    /// Whether it succeeded.
    pub success: bool,
    /// Gas used by the block's transactions up to and including this one.
    pub cumulative_gas_used: u64,
    /// Its logs.
    pub logs: Vec<Log>,
}

impl ReceiptProof {
    /// Checks it against the root block that made the transaction's block final.
    ///
    /// # Errors
    /// [`ProofError`].
    pub fn verify(&self, root: &FinalRoot, transaction: &B256) -> Result<ProvenReceipt, ProofError> {
        let block = self.finality.verify(root)?;
        let encoded = self.item(block.transactions_root, &self.transaction, "transaction")?;
        let hash = keccak256(&encoded);
        if hash != *transaction {
            return Err(ProofError::Transaction(hash));
        }
        let decoded = SignedTransaction::decode(&Bytes::from(encoded))
            .map_err(|_| ProofError::Malformed("transaction"))?;
        let receipt = self.item(block.receipts_root, &self.receipt, "receipt")?;
        let receipt =
            ReceiptEnvelope::decode_2718_exact(&receipt).map_err(|_| ProofError::Malformed("receipt"))?;
        Ok(ProvenReceipt {
            block,
            index: self.index,
            transaction: decoded,
            success: receipt.status(),
            cumulative_gas_used: receipt.cumulative_gas_used(),
            logs: receipt.logs().to_vec(),
        })
    }

    fn item(&self, root: B256, nodes: &Nodes, what: &'static str) -> Result<Vec<u8>, ProofError> {
        let item = read_item(root, self.index as usize, slices(nodes)).map_err(ProofError::trie(what))?;
        item.ok_or(ProofError::Absent(what))
    }
}
