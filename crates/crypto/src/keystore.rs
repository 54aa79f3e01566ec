//! Encrypted key files after EIP-2335: one JSON file a key, readable by other tools of that standard.
//!
//! Writing uses scrypt; reading also takes PBKDF2, which other tools write. The standard's `pubkey` holds the
//! key's 96 bytes here, since our keys lie in G2; a file whose `pubkey` has the 48 bytes of an Ethereum validator
//! key is refused, so that one secret is not used on two networks by accident.
//!
//! Salt, IV and UUID come from the caller: this crate draws no randomness.

use std::fmt::Write as _;

use aes::Aes128;
use aes::cipher::{KeyIvInit, StreamCipher};
use anfs_primitives::BlsPublicKey;
use ctr::Ctr128BE;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use crate::CryptoError;
use crate::bls::SecretKey;

/// Largest key file that is parsed, in bytes.
pub const KEYSTORE_BYTES_MAX: usize = 16 * 1024;
/// Memory that deriving a key may take at most, in bytes: four times what the standard suggests.
const SCRYPT_BYTES_MAX: u64 = 1 << 30;
const PBKDF2_ROUNDS_MAX: u32 = 1 << 24;
const DERIVED_KEY_BYTES: usize = 32;
const KEYSTORE_VERSION: u32 = 4;

/// An encrypted key, in the shape of its file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keystore {
    crypto: Crypto,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(with = "hex_plain")]
    pubkey: Vec<u8>,
    path: String,
    uuid: String,
    version: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Crypto {
    kdf: Kdf,
    checksum: Checksum,
    cipher: Cipher,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "function", rename_all = "lowercase")]
enum Kdf {
    Scrypt { params: ScryptFields, message: String },
    Pbkdf2 { params: Pbkdf2Fields, message: String },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ScryptFields {
    dklen: u32,
    n: u64,
    r: u32,
    p: u32,
    #[serde(with = "hex_plain")]
    salt: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Pbkdf2Fields {
    dklen: u32,
    c: u32,
    prf: String,
    #[serde(with = "hex_plain")]
    salt: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Checksum {
    function: String,
    params: NoParams,
    #[serde(with = "hex_plain")]
    message: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct NoParams {}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Cipher {
    function: String,
    params: CipherParams,
    #[serde(with = "hex_plain")]
    message: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct CipherParams {
    #[serde(with = "hex_plain")]
    iv: Vec<u8>,
}

/// The cost of deriving the encryption key from the password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScryptParams {
    /// Base-2 logarithm of the cost; the memory is `2^log_n · r · 128` bytes.
    pub log_n: u8,
    /// Block size.
    pub r: u32,
    /// Repetitions.
    pub p: u32,
}

impl ScryptParams {
    /// What EIP-2335 suggests: 256 MiB and about a second.
    pub const STANDARD: Self = Self { log_n: 18, r: 8, p: 1 };
    /// 4 MiB and about ten milliseconds: for keys of test networks, whose passwords guard nothing.
    pub const LIGHT: Self = Self { log_n: 12, r: 8, p: 1 };
}

/// What [`Keystore::encrypt`] needs that must be random: the caller draws it anew for each file.
#[derive(Clone, Copy, Debug)]
pub struct KeystoreEntropy {
    /// Salt of the key derivation.
    pub salt: [u8; 32],
    /// Initialisation vector of the cipher.
    pub iv: [u8; 16],
    /// Bytes of the file's UUID; version and variant bits are set here.
    pub uuid: [u8; 16],
}

impl Keystore {
    /// Encrypts a key under a password.
    ///
    /// # Errors
    /// [`CryptoError::KeystoreParameter`] when the cost is out of range.
    pub fn encrypt(
        secret: &SecretKey,
        password: &str,
        cost: ScryptParams,
        entropy: &KeystoreEntropy,
    ) -> Result<Self, CryptoError> {
        let n = 1u64.checked_shl(cost.log_n.into()).unwrap_or(0);
        let salt = entropy.salt.to_vec();
        let dklen = u32::try_from(DERIVED_KEY_BYTES).expect("32 fits");
        let kdf = Kdf::Scrypt {
            params: ScryptFields { dklen, n, r: cost.r, p: cost.p, salt },
            message: String::new(),
        };
        let derived = kdf.derive(password)?;
        let mut message = secret.to_bytes().to_vec();
        apply_cipher(&derived, &entropy.iv, &mut message);
        let checksum = checksum(&derived, &message).to_vec();
        Ok(Self {
            crypto: Crypto {
                kdf,
                checksum: Checksum { function: "sha256".into(), params: NoParams {}, message: checksum },
                cipher: Cipher {
                    function: "aes-128-ctr".into(),
                    params: CipherParams { iv: entropy.iv.to_vec() },
                    message,
                },
            },
            description: None,
            pubkey: secret.public_key().to_bytes().to_vec(),
            path: String::new(),
            uuid: uuid_text(entropy.uuid),
            version: KEYSTORE_VERSION,
        })
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// [`CryptoError::KeystoreFormat`] when it is not one.
    pub fn from_json(text: &str) -> Result<Self, CryptoError> {
        if text.len() > KEYSTORE_BYTES_MAX {
            let size = text.len();
            let message = format!("{size} bytes are too many; a key file has at most {KEYSTORE_BYTES_MAX}");
            return Err(CryptoError::KeystoreFormat(message));
        }
        let keystore: Self =
            serde_json::from_str(text).map_err(|error| CryptoError::KeystoreFormat(error.to_string()))?;
        keystore.check_format()?;
        Ok(keystore)
    }

    /// The text of the key file.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a key file has only string keys")
    }

    /// Decrypts the key and checks that it belongs to the file's public key. Takes as long as the file's cost
    /// parameters say, at most some seconds.
    ///
    /// # Errors
    /// [`CryptoError::KeystorePassword`] for a wrong password, [`CryptoError::KeystoreParameter`] for insane cost
    /// parameters, [`CryptoError::SecretKey`] or [`CryptoError::KeystoreMismatch`] for a key that is none of ours.
    pub fn decrypt(&self, password: &str) -> Result<SecretKey, CryptoError> {
        let bytes = self.decrypt_bytes(password)?;
        let secret = SecretKey::from_bytes(&bytes)?;
        if secret.public_key().to_bytes().as_slice() != self.pubkey {
            return Err(CryptoError::KeystoreMismatch);
        }
        Ok(secret)
    }

    /// The public key that the file names; `None` when it is not one of this network's kind.
    #[must_use]
    pub fn public_key(&self) -> Option<BlsPublicKey> {
        BlsPublicKey::try_from(self.pubkey.as_slice()).ok()
    }

    /// The file's UUID.
    #[must_use]
    pub fn uuid(&self) -> &str {
        &self.uuid
    }

    fn decrypt_bytes(&self, password: &str) -> Result<Zeroizing<[u8; 32]>, CryptoError> {
        let Crypto { kdf, checksum: expected, cipher } = &self.crypto;
        let derived = kdf.derive(password)?;
        if checksum(&derived, &cipher.message)[..] != expected.message[..] {
            return Err(CryptoError::KeystorePassword);
        }
        let wrong_length = |what: &str| CryptoError::KeystoreFormat(format!("{what} has a wrong length"));
        let iv = cipher.params.iv.as_slice().try_into().map_err(|_| wrong_length("cipher.params.iv"))?;
        let message: [u8; 32] =
            cipher.message.as_slice().try_into().map_err(|_| wrong_length("cipher.message"))?;
        let mut bytes = Zeroizing::new(message);
        apply_cipher(&derived, &iv, bytes.as_mut_slice());
        Ok(bytes)
    }

    fn check_format(&self) -> Result<(), CryptoError> {
        let refuse = |message: String| Err(CryptoError::KeystoreFormat(message));
        if self.version != KEYSTORE_VERSION {
            return refuse(format!("version {} is not supported; EIP-2335 files have 4", self.version));
        }
        let Crypto { checksum, cipher, .. } = &self.crypto;
        if checksum.function != "sha256" {
            return refuse(format!("checksum function {:?} is not supported; use sha256", checksum.function));
        }
        if cipher.function != "aes-128-ctr" {
            return refuse(format!("cipher {:?} is not supported; use aes-128-ctr", cipher.function));
        }
        Ok(())
    }
}

impl Kdf {
    /// Derives the 32-byte key from a password, after checking that the file does not ask for too much.
    fn derive(&self, password: &str) -> Result<Zeroizing<[u8; DERIVED_KEY_BYTES]>, CryptoError> {
        let range = |parameter, value: u64, ok: bool, rule| {
            if ok { Ok(()) } else { Err(CryptoError::KeystoreParameter { parameter, value, rule }) }
        };
        let password = password_bytes(password);
        let mut derived = Zeroizing::new([0; DERIVED_KEY_BYTES]);
        match self {
            Self::Scrypt { params, .. } => {
                let ScryptFields { dklen, n, r, p, salt } = params;
                range("dklen", (*dklen).into(), *dklen == 32, "32")?;
                range("r", (*r).into(), (1..=64).contains(r), "between 1 and 64")?;
                range("p", (*p).into(), (1..=16).contains(p), "between 1 and 16")?;
                let fits = n
                    .checked_mul(128 * u64::from(*r))
                    .is_some_and(|bytes| *n >= 2 && n.is_power_of_two() && bytes <= SCRYPT_BYTES_MAX);
                range("n", *n, fits, "a power of two, at least 2, with 128·n·r at most 1 GiB")?;
                let log_n = u8::try_from(n.ilog2()).expect("below 64");
                let cost = scrypt::Params::new(log_n, *r, *p)
                    .map_err(|error| CryptoError::KeystoreFormat(error.to_string()))?;
                scrypt::scrypt(&password, salt, &cost, derived.as_mut_slice())
                    .map_err(|error| CryptoError::KeystoreFormat(error.to_string()))?;
            }
            Self::Pbkdf2 { params, .. } => {
                let Pbkdf2Fields { dklen, c, prf, salt } = params;
                range("dklen", (*dklen).into(), *dklen == 32, "32")?;
                let rounds_fit = (1..=PBKDF2_ROUNDS_MAX).contains(c);
                range("c", (*c).into(), rounds_fit, "between 1 and 2^24")?;
                if prf != "hmac-sha256" {
                    let message = format!("prf {prf:?} is not supported; use hmac-sha256");
                    return Err(CryptoError::KeystoreFormat(message));
                }
                pbkdf2::pbkdf2_hmac::<Sha256>(&password, salt, *c, derived.as_mut_slice());
            }
        }
        Ok(derived)
    }
}

/// The standard's password: NFKD, without control codes, as UTF-8.
fn password_bytes(password: &str) -> Zeroizing<Vec<u8>> {
    let text: Zeroizing<String> = Zeroizing::new(password.nfkd().filter(|c| !c.is_control()).collect());
    Zeroizing::new(text.as_bytes().to_vec())
}

fn checksum(derived: &[u8; DERIVED_KEY_BYTES], cipher_message: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(&derived[16..]).chain_update(cipher_message).finalize().into()
}

/// AES-128-CTR under the first half of the derived key: encrypts and decrypts alike.
fn apply_cipher(derived: &[u8; DERIVED_KEY_BYTES], iv: &[u8; 16], bytes: &mut [u8]) {
    let (key, _) = derived.split_first_chunk::<16>().expect("a derived key has 32 bytes");
    Ctr128BE::<Aes128>::new(key.into(), iv.into()).apply_keystream(bytes);
}

/// The text form of a random UUID (version 4, RFC 9562).
fn uuid_text(mut bytes: [u8; 16]) -> String {
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut text = String::with_capacity(36);
    for (i, byte) in bytes.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
    }
    text
}

/// Hex without a prefix, as the standard has it; a prefix is tolerated when reading.
mod hex_plain {
    use alloy_primitives::hex;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        hex::decode(&text).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests;
