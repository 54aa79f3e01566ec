//! A message from another seat: never a panic, and one encoding a message.
#![no_main]

use anfs_primitives::{ConsensusMessage, encode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(message) = ConsensusMessage::decode(data) {
        assert_eq!(encode(&message), data);
    }
});
