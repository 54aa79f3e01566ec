use alloy_primitives::hex;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// The secret and password of both test vectors that EIP-2335 publishes.
const VECTOR_SECRET: [u8; 32] = hex!("000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f");
const VECTOR_PASSWORD: &str = "\u{1d531}\u{1d522}\u{1d530}\u{1d531}\u{1d52d}\u{1d51e}\u{1d530}\u{1d530}\u{1d534}\u{1d52c}\u{1d52f}\u{1d521}\u{1f511}";
const VECTOR_PUBKEY: &str =
    "9612d7a727c9d0a22e185a1c768478dfe919cada9266988cb32359c11f2b7b27f4ae4040902382ae2910c15e2b420d07";
const VECTOR_SALT: &str = "d4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3";

fn vector(kdf: &Value, checksum: &str, message: &str) -> Keystore {
    let file = json!({
        "crypto": {
            "kdf": kdf,
            "checksum": { "function": "sha256", "params": {}, "message": checksum },
            "cipher": {
                "function": "aes-128-ctr",
                "params": { "iv": "264daa3f303d7259501c93d997d84fe6" },
                "message": message,
            },
        },
        "description": "a published test vector",
        "pubkey": VECTOR_PUBKEY,
        "path": "m/12381/60/3141592653/589793238",
        "uuid": "1d85ae20-35c5-4611-98e8-aa14a633906f",
        "version": 4,
    });
    Keystore::from_json(&file.to_string()).unwrap()
}

fn scrypt_vector() -> Keystore {
    let params = json!({ "dklen": 32, "n": 262_144, "p": 1, "r": 8, "salt": VECTOR_SALT });
    vector(
        &json!({ "function": "scrypt", "params": params, "message": "" }),
        "d2217fe5f3e9a1e34581ef8a78f7c9928e436d36dacc5e846690a5581e8ea484",
        "06ae90d55fe0a6e9c5c3bc5b170827b2e5cce3929ed3f116c2811e6366dfe20f",
    )
}

fn pbkdf2_vector() -> Keystore {
    let params = json!({ "dklen": 32, "c": 262_144, "prf": "hmac-sha256", "salt": VECTOR_SALT });
    vector(
        &json!({ "function": "pbkdf2", "params": params, "message": "" }),
        "8a9f5d9912ed7e75ea794bc5a89bca5f193721d30868ade6f73043c6ea6febf1",
        "cee03fde2af33149775b7223e7845e4fb2c8ae1792e5f99fe9ecf474cc8c16ad",
    )
}

fn entropy() -> KeystoreEntropy {
    KeystoreEntropy { salt: [1; 32], iv: [2; 16], uuid: [3; 16] }
}

fn cheap() -> ScryptParams {
    ScryptParams { log_n: 2, r: 1, p: 1 }
}

fn secret() -> SecretKey {
    SecretKey::from_seed(&[7; 32])
}

#[test]
fn the_published_scrypt_vector_decrypts() {
    assert_eq!(*scrypt_vector().decrypt_bytes(VECTOR_PASSWORD).unwrap(), VECTOR_SECRET);
}

#[test]
fn the_published_pbkdf2_vector_decrypts() {
    assert_eq!(*pbkdf2_vector().decrypt_bytes(VECTOR_PASSWORD).unwrap(), VECTOR_SECRET);
}

#[test]
fn an_ethereum_validator_key_is_not_taken_for_ours() {
    let file = pbkdf2_vector();
    assert_eq!(file.public_key(), None);
    assert_eq!(file.decrypt(VECTOR_PASSWORD).unwrap_err(), CryptoError::KeystoreMismatch);
}

#[test]
fn passwords_are_normalised_as_the_standard_says() {
    assert_eq!(password_bytes(VECTOR_PASSWORD).as_slice(), "testpassword\u{1f511}".as_bytes());
    assert_eq!(password_bytes("a\u{0}b\u{1f}c\u{7f}d\u{80}e\u{9f} f").as_slice(), b"abcde f");
}

#[test]
fn a_key_survives_its_file() {
    let file = Keystore::encrypt(&secret(), "correct horse", ScryptParams::LIGHT, &entropy()).unwrap();
    let read = Keystore::from_json(&file.to_json()).unwrap();
    assert_eq!(read, file);
    assert_eq!(read.public_key(), Some(secret().public_key().to_bytes()));
    assert_eq!(read.uuid(), "03030303-0303-4303-8303-030303030303");
    let key = read.decrypt("correct horse").unwrap();
    assert_eq!(*key.to_bytes(), *secret().to_bytes());
    assert_eq!(read.decrypt("wrong horse").unwrap_err(), CryptoError::KeystorePassword);
    assert!(!file.to_json().contains(&hex::encode(secret().to_bytes().as_slice())));
}

#[test]
fn a_changed_file_is_refused() {
    let file = Keystore::encrypt(&secret(), "pw", cheap(), &entropy()).unwrap();
    let mut cipher = file.clone();
    cipher.crypto.cipher.message[0] ^= 1;
    assert_eq!(cipher.decrypt("pw").unwrap_err(), CryptoError::KeystorePassword);
    let mut checksum = file.clone();
    checksum.crypto.checksum.message.pop();
    assert_eq!(checksum.decrypt("pw").unwrap_err(), CryptoError::KeystorePassword);
    let mut iv = file.clone();
    iv.crypto.cipher.params.iv.pop();
    assert!(matches!(iv.decrypt("pw"), Err(CryptoError::KeystoreFormat(_))));
    let mut other_key = file;
    other_key.pubkey = SecretKey::from_seed(&[8; 32]).public_key().to_bytes().to_vec();
    assert_eq!(other_key.decrypt("pw").unwrap_err(), CryptoError::KeystoreMismatch);
}

#[test]
fn costs_out_of_range_are_refused_before_they_cost_anything() {
    let refused = |cost: ScryptParams, parameter: &str| {
        let error = Keystore::encrypt(&secret(), "pw", cost, &entropy()).unwrap_err();
        assert!(error.to_string().contains(&format!("{parameter} = ")), "{error}");
    };
    refused(ScryptParams { log_n: 0, ..cheap() }, "n");
    refused(ScryptParams { log_n: 40, ..cheap() }, "n");
    refused(ScryptParams { log_n: 64, ..cheap() }, "n");
    refused(ScryptParams { r: 0, ..cheap() }, "r");
    refused(ScryptParams { r: u32::MAX, ..cheap() }, "r");
    refused(ScryptParams { p: 0, ..cheap() }, "p");
    refused(ScryptParams { p: 17, ..cheap() }, "p");

    let Kdf::Pbkdf2 { params, .. } = pbkdf2_vector().crypto.kdf else { unreachable!() };
    for (dklen, c, prf) in [(16, 1, "hmac-sha256"), (32, u32::MAX, "hmac-sha256"), (32, 1, "hmac-md5")] {
        let params = Pbkdf2Fields { dklen, c, prf: prf.into(), ..params.clone() };
        assert!(Kdf::Pbkdf2 { params, message: String::new() }.derive("pw").is_err());
    }
}

#[test]
fn other_formats_are_named_in_the_error() {
    let good = Keystore::encrypt(&secret(), "pw", cheap(), &entropy()).unwrap().to_json();
    let refused = |from: &str, to: &str, word: &str| {
        let changed = good.replacen(from, to, 1);
        assert_ne!(changed, good);
        let error = Keystore::from_json(&changed).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    };
    refused("\"version\": 4", "\"version\": 3", "version 3");
    refused("\"sha256\"", "\"md5\"", "md5");
    refused("aes-128-ctr", "rot13", "rot13");
    refused("\"scrypt\"", "\"argon2\"", "argon2");
    refused("\"pubkey\": \"", "\"pubkey\": \"zz", "invalid character");
    let long = format!("{good}{}", " ".repeat(KEYSTORE_BYTES_MAX));
    assert!(Keystore::from_json(&long).unwrap_err().to_string().contains("too many"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_password_works(password in ".{0,24}", seed in any::<[u8; 32]>()) {
        let secret = SecretKey::from_seed(&seed);
        let file = Keystore::encrypt(&secret, &password, cheap(), &entropy()).unwrap();
        prop_assert_eq!(file.decrypt(&password).unwrap().public_key(), secret.public_key());
    }

    #[test]
    fn arbitrary_text_never_panics(text in ".{0,200}") {
        prop_assert!(Keystore::from_json(&text).is_err());
    }
}
