//! Words of the command line as values, with errors that say what is expected.

use std::fmt;
use std::str::FromStr;

use alloy_primitives::{Address, B256};
use anfs_primitives::{Height, RootReference};
use zeroize::Zeroizing;

const NAME_CHARS_MAX: usize = 64;
const TAGS: [&str; 5] = ["latest", "safe", "finalized", "pending", "earliest"];

/// An address; one with capitals and small letters must fit its checksum (EIP-55).
pub(crate) fn address(text: &str) -> Result<Address, String> {
    let address: Address =
        text.parse().map_err(|_| format!("{text:?} is no address: write 0x and 40 hex digits"))?;
    let digits = text.trim_start_matches("0x");
    let mixed = digits.contains(|c: char| c.is_ascii_uppercase())
        && digits.contains(|c: char| c.is_ascii_lowercase());
    if mixed && &address.to_checksum(None)[2..] != digits {
        return Err(
            "the address does not fit its checksum: a character is mistyped, copy it again".to_owned()
        );
    }
    Ok(address)
}

/// A root block that is known to be final, as `HEIGHT:HASH`.
pub(crate) fn checkpoint(text: &str) -> Result<RootReference, String> {
    let parts = text.split_once(':');
    let read = parts.and_then(|(height, hash)| {
        Some(RootReference { height: Height(height.parse().ok()?), hash: hash.parse().ok()? })
    });
    read.ok_or_else(|| format!("{text:?} is no checkpoint: write HEIGHT:HASH, as `anfs light status` does"))
}

/// The name of an account on this machine, which is also the name of its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AccountName(String);

impl AccountName {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AccountName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if text.is_empty()
            || text.len() > NAME_CHARS_MAX
            || !text.chars().all(good)
            || text.starts_with(['.', '-'])
        {
            return Err(format!(
                "{text:?} is no name: use up to {NAME_CHARS_MAX} letters, digits, '-', '_' and '.', beginning with \
                 a letter or digit"
            ));
        }
        if text.starts_with("0x") {
            return Err("names that begin with 0x are for addresses".to_owned());
        }
        Ok(Self(text.to_owned()))
    }
}

/// Somebody: an address, or an account on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Who {
    Address(Address),
    Name(AccountName),
}

impl FromStr for Who {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with("0x") || text.parse::<Address>().is_ok() {
            return address(text).map(Self::Address);
        }
        text.parse().map(Self::Name)
    }
}

/// A block, by what the user calls it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BlockRef {
    Number(u64),
    Hash(B256),
    Tag(&'static str),
}

impl BlockRef {
    /// As JSON-RPC methods take it.
    pub(crate) fn parameter(&self) -> String {
        match self {
            Self::Number(number) => format!("{number:#x}"),
            Self::Hash(hash) => hash.to_string(),
            Self::Tag(tag) => (*tag).to_owned(),
        }
    }
}

impl FromStr for BlockRef {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(tag) = TAGS.into_iter().find(|tag| *tag == text) {
            return Ok(Self::Tag(tag));
        }
        let parsed = match text.strip_prefix("0x") {
            Some(digits) if digits.len() == 64 => text.parse().map(Self::Hash).ok(),
            Some(digits) => u64::from_str_radix(digits, 16).map(Self::Number).ok(),
            None => text.parse().map(Self::Number).ok(),
        };
        parsed.ok_or_else(|| {
            format!("{text:?} is no block: give a number, a hash, or one of {}", TAGS.join(", "))
        })
    }
}

impl fmt::Display for BlockRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Hash(hash) => write!(f, "{hash}"),
            Self::Tag(tag) => f.write_str(tag),
        }
    }
}

/// A secret of the command line: never shown, and gone from memory when dropped.
#[derive(Clone)]
pub(crate) struct Secret(Zeroizing<String>);

impl Secret {
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(text.to_owned().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";

    #[test]
    fn addresses_with_a_wrong_capital_are_refused() {
        assert!(address(GOOD).is_ok());
        assert!(address(&GOOD.to_lowercase()).is_ok());
        assert!(address(&format!("0x{}", GOOD[2..].to_uppercase())).is_ok());
        assert!(address(&GOOD.replace("dc3A", "dc3a")).unwrap_err().contains("checksum"));
        assert!(address("0x1234").unwrap_err().contains("40 hex digits"));
    }

    #[test]
    fn a_checkpoint_is_a_height_and_a_hash() {
        let read = checkpoint(&format!("7:{}", B256::ZERO));
        assert_eq!(read, Ok(RootReference { height: Height(7), hash: B256::ZERO }));
        for bad in ["", "7", "7:", ":0x00", "x:0x00", "7:0x00"] {
            assert!(checkpoint(bad).unwrap_err().contains("HEIGHT:HASH"), "{bad:?}");
        }
    }

    #[test]
    fn a_name_is_never_a_path_nor_an_address() {
        for bad in ["", ".", "..", "../x", "a/b", "-x", "0xabc", "a b", &"x".repeat(65)] {
            assert!(bad.parse::<AccountName>().is_err(), "{bad:?}");
        }
        assert_eq!("alice-2".parse::<Who>(), Ok(Who::Name(AccountName("alice-2".into()))));
        assert!(matches!(GOOD.parse(), Ok(Who::Address(_))));
        assert!("0x12".parse::<Who>().is_err());
    }

    #[test]
    fn blocks_by_number_hash_and_tag() {
        assert_eq!("12".parse(), Ok(BlockRef::Number(12)));
        assert_eq!("0x1f".parse(), Ok(BlockRef::Number(31)));
        assert_eq!(BlockRef::Number(31).parameter(), "0x1f");
        assert_eq!(B256::ZERO.to_string().parse(), Ok(BlockRef::Hash(B256::ZERO)));
        assert_eq!("safe".parse(), Ok(BlockRef::Tag("safe")));
        for bad in ["newest", "", "-1", "0x", "99999999999999999999"] {
            assert!(bad.parse::<BlockRef>().is_err(), "{bad:?}");
        }
    }
}
