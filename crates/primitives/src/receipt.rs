//! Receipts: what a transaction did.

use std::io::{self, Read, Write};

use alloy_consensus::TxType;
use alloy_primitives::{Address, B256, Bloom, Bytes, Log, LogData};
use alloy_rlp::{Encodable, Header};
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
        let mut out = Vec::new();
        self.encode_2718_with(&self.bloom(), &mut out);
        out
    }

    /// Appends [`Self::encoded_2718`], with a bloom filter at hand, which must be [`Self::bloom`]: hashing for it
    /// is most of what encoding costs.
    pub fn encode_2718_with(&self, bloom: &Bloom, out: &mut Vec<u8>) {
        let payload_length = self.success.length()
            + self.cumulative_gas_used.length()
            + bloom.length()
            + alloy_rlp::list_length(&self.logs);
        let header = Header { list: true, payload_length };
        if self.kind != TxType::Legacy {
            out.push(self.kind as u8);
        }
        header.encode(out);
        self.success.encode(out);
        self.cumulative_gas_used.encode(out);
        bloom.encode(out);
        alloy_rlp::encode_list(&self.logs, out);
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

#[cfg(test)]
mod tests {
    use alloy_consensus::{EthereumReceipt, TxReceipt};
    use alloy_eips::eip2718::Encodable2718;
    use proptest::prelude::*;

    use super::*;

    fn log() -> impl Strategy<Value = Log> {
        let topics = prop::collection::vec(any::<[u8; 32]>(), 0..=4);
        (any::<[u8; 20]>(), topics, prop::collection::vec(any::<u8>(), 0..300)).prop_map(
            |(address, topics, data)| {
                let topics = topics.into_iter().map(B256::from).collect();
                Log::new(address.into(), topics, data.into()).unwrap()
            },
        )
    }

    proptest! {
        #[test]
        fn the_encoding_is_that_of_alloy(
            kind in prop::sample::select(vec![TxType::Legacy, TxType::Eip2930, TxType::Eip1559, TxType::Eip7702]),
            success: bool,
            cumulative_gas_used: u64,
            logs in prop::collection::vec(log(), 0..4),
        ) {
            let receipt = Receipt {
                kind, success, cumulative_gas_used, gas_used: 1, contract_address: None, logs: logs.clone(),
            };
            let reference = EthereumReceipt { tx_type: kind, success, cumulative_gas_used, logs };
            prop_assert_eq!(receipt.encoded_2718(), reference.into_with_bloom().encoded_2718());
        }
    }
}
