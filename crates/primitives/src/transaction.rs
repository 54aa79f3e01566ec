//! Ethereum transactions as the network accepts them.
//!
//! Two types tell what is known: a [`SignedTransaction`] is well-formed, a [`RecoveredTransaction`] has a
//! sender, either recovered from the signature (29 µs) or claimed by the SG and checked in its slice.

use std::fmt;
use std::sync::Arc;

use alloy_consensus::transaction::SignerRecoverable;
use alloy_consensus::{EthereumTxEnvelope, Transaction as _, TxEip4844, TxType};
use alloy_eips::Typed2718;
use alloy_eips::eip2718::{Decodable2718, Eip2718Error, Encodable2718};
use alloy_primitives::{Address, B256, Bytes};

use crate::ids::NetworkId;

/// Largest encoded transaction, as geth's pool has it.
pub const TRANSACTION_BYTES_MAX: usize = 128 * 1024;

/// Why a transaction from outside was refused; worded as geth words it where it has words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransactionError {
    /// Larger than [`TRANSACTION_BYTES_MAX`].
    #[error("oversized data: transaction size {size}, limit {TRANSACTION_BYTES_MAX}")]
    TooLarge {
        /// Bytes received.
        size: usize,
    },
    /// Not the EIP-2718 encoding of a transaction.
    #[error("rlp: {0}")]
    Malformed(String),
    /// A blob transaction: shards carry no blobs.
    #[error("transaction type not supported: blob transactions (type 3) are not carried by this network")]
    Blob,
    /// Signed for another chain.
    #[error("invalid chain id for signer: have {have} want {want}")]
    ChainId {
        /// Chain id in the transaction.
        have: u64,
        /// The network's.
        want: u64,
    },
    /// The signature recovers to no address.
    #[error("invalid sender: the signature is invalid")]
    Signature,
}

/// A well-formed transaction whose signature has not been looked at. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedTransaction(Arc<Parts>);

#[derive(PartialEq, Eq)]
struct Parts {
    envelope: EthereumTxEnvelope<TxEip4844>,
    encoded: Bytes,
}

impl SignedTransaction {
    /// Decodes an EIP-2718 encoding (legacy, 2930, 1559 or 7702).
    ///
    /// # Errors
    /// Any [`TransactionError`] but `ChainId` and `Signature`.
    pub fn decode(encoded: &Bytes) -> Result<Self, TransactionError> {
        if encoded.len() > TRANSACTION_BYTES_MAX {
            return Err(TransactionError::TooLarge { size: encoded.len() });
        }
        if encoded.first() == Some(&(TxType::Eip4844 as u8)) {
            return Err(TransactionError::Blob);
        }
        let envelope =
            EthereumTxEnvelope::<TxEip4844>::decode_2718_exact(encoded).map_err(|error| match error {
                Eip2718Error::RlpError(error) => TransactionError::Malformed(error.to_string()),
                other => TransactionError::Malformed(other.to_string()),
            })?;
        Ok(Self(Arc::new(Parts { envelope, encoded: encoded.clone() })))
    }

    /// Takes a transaction that was built here.
    ///
    /// # Errors
    /// [`TransactionError::TooLarge`] or [`TransactionError::Blob`].
    pub fn from_envelope(envelope: &EthereumTxEnvelope<TxEip4844>) -> Result<Self, TransactionError> {
        Self::decode(&envelope.encoded_2718().into())
    }

    /// Checks that the transaction was signed for this network. Legacy transactions without a chain id are
    /// accepted, as deterministic deployment proxies need them.
    ///
    /// # Errors
    /// [`TransactionError::ChainId`].
    pub fn check_network(&self, network: NetworkId) -> Result<(), TransactionError> {
        match self.0.envelope.chain_id() {
            Some(have) if have != network.0 => Err(TransactionError::ChainId { have, want: network.0 }),
            _ => Ok(()),
        }
    }

    /// Recovers the sender: 29 µs of one core.
    ///
    /// # Errors
    /// [`TransactionError::Signature`].
    pub fn recover(self) -> Result<RecoveredTransaction, TransactionError> {
        let sender = self.0.envelope.recover_signer().map_err(|_| TransactionError::Signature)?;
        Ok(RecoveredTransaction { signed: self, sender })
    }

    /// Attaches a sender that somebody else recovered and answers for.
    #[must_use]
    pub fn with_claimed_sender(self, sender: Address) -> RecoveredTransaction {
        RecoveredTransaction { signed: self, sender }
    }

    /// keccak-256 of the encoding; computed once.
    #[must_use]
    pub fn hash(&self) -> &B256 {
        self.0.envelope.tx_hash()
    }

    /// The EIP-2718 encoding.
    #[must_use]
    pub fn encoded(&self) -> &Bytes {
        &self.0.encoded
    }

    /// The typed transaction.
    #[must_use]
    pub fn envelope(&self) -> &EthereumTxEnvelope<TxEip4844> {
        &self.0.envelope
    }

    /// The EIP-2718 type: 0, 1, 2 or 4.
    #[must_use]
    pub fn ty(&self) -> u8 {
        self.0.envelope.ty()
    }
}

impl fmt::Debug for SignedTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SignedTransaction").field(self.hash()).finish()
    }
}

/// A transaction with its sender. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveredTransaction {
    signed: SignedTransaction,
    sender: Address,
}

impl RecoveredTransaction {
    /// Decodes a transaction and takes a claimed sender; see [`SignedTransaction::with_claimed_sender`].
    ///
    /// # Errors
    /// As [`SignedTransaction::decode`].
    pub fn decode_claimed(encoded: &Bytes, sender: Address) -> Result<Self, TransactionError> {
        Ok(SignedTransaction::decode(encoded)?.with_claimed_sender(sender))
    }

    /// The sender.
    #[must_use]
    pub fn sender(&self) -> Address {
        self.sender
    }

    /// The transaction without its sender.
    #[must_use]
    pub fn signed(&self) -> &SignedTransaction {
        &self.signed
    }

    /// keccak-256 of the encoding.
    #[must_use]
    pub fn hash(&self) -> &B256 {
        self.signed.hash()
    }

    /// The EIP-2718 encoding.
    #[must_use]
    pub fn encoded(&self) -> &Bytes {
        self.signed.encoded()
    }

    /// The typed transaction.
    #[must_use]
    pub fn envelope(&self) -> &EthereumTxEnvelope<TxEip4844> {
        self.signed.envelope()
    }
}
