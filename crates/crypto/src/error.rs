//! The crate's one error type.

/// Why a key, a signature, a certificate or a key file was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CryptoError {
    /// Not the encoding of a secret key.
    #[error("a BLS secret key is 32 bytes, big-endian, above zero and below the group order")]
    SecretKey,
    /// Key material is too short to derive a key from.
    #[error("key material of {0} bytes is too short; give at least 32 bytes of entropy")]
    KeyMaterial(usize),
    /// Not the compressed encoding of a point, outside the subgroup, or the identity.
    #[error("not a BLS public key: 96 bytes, compressed, in the G2 subgroup and not the identity")]
    PublicKey,
    /// Not the compressed encoding of a point, outside the subgroup, or the identity.
    #[error("not a BLS signature: 48 bytes, compressed, in the G1 subgroup and not the identity")]
    Signature,
    /// There is nothing to aggregate.
    #[error("an aggregate needs at least one signature")]
    EmptyAggregate,
    /// The same verifier twice, or one beyond the largest shard.
    #[error(
        "verifier {0} signs twice or is beyond the largest shard; a certificate lists each verifier once"
    )]
    Signer(usize),
    /// The key file is not what EIP-2335 describes.
    #[error("key file: {0}")]
    KeystoreFormat(String),
    /// The key file asks for more memory or time than is sane.
    #[error("key file: {parameter} = {value} is out of range; it must be {rule}")]
    KeystoreParameter {
        /// Name of the parameter in the file.
        parameter: &'static str,
        /// Its value.
        value: u64,
        /// What is allowed.
        rule: &'static str,
    },
    /// The checksum does not match.
    #[error("key file: wrong password, or the file was changed")]
    KeystorePassword,
    /// The decrypted key is not the one that the file names.
    #[error("key file: the decrypted key does not belong to the file's public key")]
    KeystoreMismatch,
}
