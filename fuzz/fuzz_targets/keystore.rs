//! A key file: never a panic, and a file that is read survives its own text. Nothing is decrypted: a fuzzer
//! would only measure how slow scrypt is meant to be.
#![no_main]

use anfs_crypto::keystore::Keystore;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(keystore) = Keystore::from_json(text) {
        let again = Keystore::from_json(&keystore.to_json()).expect("a key file reads what it writes");
        assert_eq!(again, keystore);
        let _ = keystore.public_key();
    }
});
