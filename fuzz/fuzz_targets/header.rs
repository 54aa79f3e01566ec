//! A shard header: never a panic, one encoding a header, and the same hash on both ways to it.
#![no_main]

use anfs_primitives::{SealedHeader, ShardHeader, decode, encode};
use libfuzzer_sys::fuzz_target;

const LIMIT: usize = 256 * 1024;

fuzz_target!(|data: &[u8]| {
    let header = decode::<ShardHeader>(data, LIMIT);
    let sealed = decode::<SealedHeader>(data, LIMIT);
    assert_eq!(header.is_ok(), sealed.is_ok());
    if let (Ok(header), Ok(sealed)) = (header, sealed) {
        assert_eq!(encode(&header), data);
        assert_eq!(sealed.hash(), header.hash());
    }
});
