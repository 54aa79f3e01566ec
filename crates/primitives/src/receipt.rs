//! Receipts: what a transaction did.

use std::io::{self, Read, Write};

use alloy_consensus::{Eip658Value, EthereumReceipt, TxReceipt, TxType};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bloom, Bytes, Log, LogData};
use borsh::{BorshDeserialize, BorshSerialize};

/// The EIP-2718 type that a receipt is encoded under.
pub type ReceiptKind = TxType;

/// The outcome of one executed transaction, with what a client asks for beyond the consensus fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Type of the transaction.
    pub kind: ReceiptKind,
    /// Whether it succeeded (EIP-658).
    pub success: bool,
    /// Gas used by the block up to and including this transaction.
    pub cumulative_gas_used: u64,
    /// Gas used by this transaction.
    pub gas_used: u64,
    /// The contract that it created, if it did.
    pub contract_address: Option<Address>,
    /// Logs, in order.
    pub logs: Vec<Log>,
}

impl Receipt {
    /// Bloom filter over the logs.
    #[must_use]
    pub fn bloom(&self) -> Bloom {
        self.logs.iter().collect()
    }

    /// The EIP-2718 encoding with bloom: the leaf of the receipts trie.
    #[must_use]
    pub fn encoded_2718(&self) -> Vec<u8> {
        let consensus = EthereumReceipt {
            tx_type: self.kind,
            success: self.success,
            cumulative_gas_used: self.cumulative_gas_used,
            logs: self.logs.clone(),
        };
        debug_assert_eq!(consensus.status_or_post_state(), Eip658Value::Eip658(self.success));
        consensus.into_with_bloom().encoded_2718()
    }
}

#[derive(BorshSerialize, BorshDeserialize)]
struct ReceiptRecord {
    kind: u8,
    success: bool,
    cumulative_gas_used: u64,
    gas_used: u64,
    contract_address: Option<Address>,
    logs: Vec<(Address, Vec<B256>, Bytes)>,
}

impl BorshSerialize for Receipt {
    fn serialize<W: Write>(&self, writer: &mut W) -> io::Result<()> {
        let logs =
            self.logs.iter().map(|log| (log.address, log.data.topics().to_vec(), log.data.data.clone()));
        ReceiptRecord {
            kind: self.kind as u8,
            success: self.success,
            cumulative_gas_used: self.cumulative_gas_used,
            gas_used: self.gas_used,
            contract_address: self.contract_address,
            logs: logs.collect(),
        }
        .serialize(writer)
    }
}

impl BorshDeserialize for Receipt {
    fn deserialize_reader<R: Read>(reader: &mut R) -> io::Result<Self> {
        let invalid = |what: &'static str| io::Error::new(io::ErrorKind::InvalidData, what);
        let record = ReceiptRecord::deserialize_reader(reader)?;
        let logs = record.logs.into_iter().map(|(address, topics, data)| {
            let data = LogData::new(topics, data).ok_or_else(|| invalid("a log has at most four topics"))?;
            Ok(Log { address, data })
        });
        Ok(Self {
            kind: TxType::try_from(record.kind).map_err(|_| invalid("unknown transaction type"))?,
            success: record.success,
            cumulative_gas_used: record.cumulative_gas_used,
            gas_used: record.gas_used,
            contract_address: record.contract_address,
            logs: logs.collect::<io::Result<_>>()?,
        })
    }
}
