//! A made-up chain: the store looks at heights, hashes and parents only.

use alloy_primitives::{Address, B256, Bloom, Bytes, Log, U256, keccak256};
use anfs_primitives::{
    Arrival, Block, BlockBody, BlockCrossing, BlsSignature, BoundedVec, Certificate, CertificateKind,
    CertifiedBlock, CrossMessage, DomainId, Entry, Epoch, Height, MessageBody, NetworkId, Receipt,
    ReceiptKind, RootReference, SeatIndex, SequencedTransaction, ShardHeader, SignerSet, Slot, View,
    VoteTarget, encode,
};
use anfs_store::{BlockRecord, StoreOptions};

pub(crate) const NETWORK: NetworkId = NetworkId(1337);
pub(crate) const GENESIS: B256 = B256::repeat_byte(0x6e);

/// Options for a folder of this chain.
pub(crate) fn options(dir: &std::path::Path) -> StoreOptions {
    StoreOptions { cache_bytes: 1 << 20, ..StoreOptions::new(dir, NETWORK, GENESIS) }
}

/// `count` blocks on genesis with `transactions` transactions of `bytes` bytes each.
pub(crate) fn chain(count: u64, transactions: usize, bytes: usize) -> Vec<BlockRecord> {
    let mut parent = GENESIS;
    (1..=count)
        .map(|height| {
            let record = record(height, parent, transactions, bytes);
            parent = record.certified.block.header.hash();
            record
        })
        .collect()
}

/// The hash of a block's `index`-th transaction.
pub(crate) fn transaction_hash(record: &BlockRecord, index: usize) -> B256 {
    let transaction = record.certified.block.body.transactions().nth(index).expect("it has that many");
    keccak256(&transaction.encoded)
}

fn record(height: u64, parent: B256, transactions: usize, bytes: usize) -> BlockRecord {
    let encoded = |index: usize| {
        let mut encoded = keccak256(format!("{height}/{index}")).to_vec();
        encoded.resize(bytes.max(32), 0xa5);
        SequencedTransaction { encoded: Bytes::from(encoded), sender: Address::repeat_byte(7) }
    };
    let entry = Entry {
        num_hashes: 10,
        hash: keccak256(height.to_be_bytes()),
        transactions: BoundedVec::try_from((0..transactions).map(encoded).collect::<Vec<_>>())
            .expect("fewer than an entry takes"),
    };
    let header = ShardHeader {
        network: NETWORK,
        domain: DomainId(1),
        height: Height(height),
        slot: Slot(height * 2),
        parent,
        epoch: Epoch::ZERO,
        view: View::ZERO,
        proposer: SeatIndex::GENERATOR,
        beneficiary: Address::repeat_byte(1),
        root_reference: RootReference::default(),
        poh_start: B256::repeat_byte(2),
        poh_end: B256::repeat_byte(3),
        boundaries: BoundedVec::new(),
        entries_root: keccak256(encode(&entry)),
        transactions_root: B256::repeat_byte(5),
        receipts_root: B256::repeat_byte(6),
        logs_bloom: Bloom::ZERO,
        state_root: B256::repeat_byte(8),
        outbox_root: B256::ZERO,
        lanes: BoundedVec::new(),
        inbox_cursors: BoundedVec::new(),
        gas_used: 21_000,
        gas_limit: 30_000_000,
        base_fee: 7,
        value_in: U256::ZERO,
        value_out: U256::ZERO,
        burned: U256::ZERO,
    }
    .seal();
    let target = VoteTarget {
        network: NETWORK,
        epoch: Epoch::ZERO,
        domain: DomainId(1),
        height: Height(height),
        view: View::ZERO,
        block: header.hash(),
    };
    let certificate = Certificate {
        kind: CertificateKind::Fast,
        target,
        signers: SignerSet::from_iter([0, 1, 2]),
        signature: BlsSignature::repeat_byte(9),
    };
    let receipts = (0..transactions).map(|index| receipt(index as u64)).collect();
    let body = BlockBody { entries: BoundedVec::try_from(vec![entry]).expect("one entry") };
    BlockRecord {
        certified: CertifiedBlock { block: Block { header, body }, certificate },
        receipts,
        crossing: crossing(height),
    }
}

/// A message each way.
fn crossing(height: u64) -> BlockCrossing {
    let (here, there) = (DomainId(1), DomainId(2));
    let message = |source, destination| CrossMessage {
        network: NETWORK,
        source,
        destination,
        sequence: height,
        origin: B256::repeat_byte(4),
        body: MessageBody::Credit { recipient: Address::repeat_byte(5), value: U256::MAX },
    };
    let arrival = Arrival { message: message(there, here), receipt: Some(receipt(height)) };
    BlockCrossing {
        arrivals: BoundedVec::try_from(vec![arrival]).expect("one"),
        sent: BoundedVec::try_from(vec![message(here, there)]).expect("one"),
    }
}

fn receipt(index: u64) -> Receipt {
    Receipt {
        kind: ReceiptKind::Eip1559,
        success: true,
        cumulative_gas_used: 21_000 * (index + 1),
        gas_used: 21_000,
        contract_address: None,
        logs: vec![Log::new_unchecked(
            Address::repeat_byte(3),
            vec![B256::repeat_byte(1)],
            Bytes::from_static(b"log"),
        )],
    }
}
