//! A decided block and its receipts, as peers send them and as the block store reads them back: never a
//! panic, and one encoding a value.
#![no_main]

use anfs_primitives::block::BLOCK_BYTES_MAX;
use anfs_primitives::{CertifiedBlock, Receipt, decode, encode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(block) = decode::<CertifiedBlock>(data, BLOCK_BYTES_MAX) {
        assert_eq!(encode(&block), data);
        for transaction in block.block.body.transactions() {
            let _ = transaction.decode_claimed();
        }
    }
    if let Ok(receipts) = decode::<Vec<Receipt>>(data, BLOCK_BYTES_MAX) {
        assert_eq!(encode(&receipts), data);
        for receipt in &receipts {
            let _ = receipt.encoded_2718();
        }
    }
});
