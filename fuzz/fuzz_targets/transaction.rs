//! A transaction as a client sends it: never a panic, and one encoding a transaction.
#![no_main]

use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Bytes, keccak256};
use anfs_primitives::{NetworkId, SignedTransaction};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let encoded = Bytes::copy_from_slice(data);
    if let Ok(decoded) = SignedTransaction::decode(&encoded) {
        assert_eq!(decoded.envelope().encoded_2718(), data);
        assert_eq!(*decoded.hash(), keccak256(data));
        let _ = decoded.check_network(NetworkId(31337));
        let _ = decoded.recover();
    }
});
