//! What leaves hold: accounts in the account trie, words in storage tries.

use std::sync::Arc;

use alloy_primitives::{B256, U256};
use alloy_rlp::{Decodable, Encodable};
use alloy_trie::TrieAccount;

use crate::trie::Trie;
use crate::{AccountInfo, EMPTY_CODE_HASH, EMPTY_ROOT};

/// The longest encoding of a value: an account, 2 + 9 + 33 + 33 + 33.
pub(crate) const VALUE_MAX: usize = 110;

/// The value of a leaf.
pub(crate) trait Value: Clone + PartialEq + Send + Sync {
    /// Writes the RLP of the value and returns its length.
    fn encode(&self, out: &mut [u8; VALUE_MAX]) -> usize;

    fn decode(encoding: &[u8]) -> Result<Self, String>;
}

/// Encodes with `alloy-rlp` into the front of `out`.
fn encode_into(value: &impl Encodable, out: &mut [u8; VALUE_MAX]) -> usize {
    let mut rest = &mut out[..];
    value.encode(&mut rest);
    let left = rest.len();
    VALUE_MAX - left
}

fn decode_all<T: Decodable>(mut encoding: &[u8]) -> Result<T, String> {
    let value = T::decode(&mut encoding).map_err(|error| error.to_string())?;
    if encoding.is_empty() { Ok(value) } else { Err("bytes follow the value".into()) }
}

impl Value for U256 {
    fn encode(&self, out: &mut [u8; VALUE_MAX]) -> usize {
        encode_into(self, out)
    }

    fn decode(encoding: &[u8]) -> Result<Self, String> {
        let word: Self = decode_all(encoding)?;
        if word.is_zero() { Err("a storage slot that holds zero".into()) } else { Ok(word) }
    }
}

/// An account in the trie. Most have neither code nor storage: those take no memory.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) nonce: u64,
    pub(crate) balance: U256,
    pub(crate) contract: Option<Arc<Contract>>,
}

#[derive(Debug)]
pub(crate) struct Contract {
    pub(crate) code_hash: B256,
    pub(crate) storage: Trie<U256>,
}

impl Account {
    pub(crate) fn new(info: &AccountInfo, storage: Trie<U256>) -> Self {
        let plain = info.code_hash == EMPTY_CODE_HASH && storage.is_empty();
        let contract = (!plain).then(|| Arc::new(Contract { code_hash: info.code_hash, storage }));
        Self { nonce: info.nonce, balance: info.balance, contract }
    }

    pub(crate) fn info(&self) -> AccountInfo {
        AccountInfo { nonce: self.nonce, balance: self.balance, code_hash: self.code_hash() }
    }

    pub(crate) fn code_hash(&self) -> B256 {
        self.contract.as_ref().map_or(EMPTY_CODE_HASH, |contract| contract.code_hash)
    }

    pub(crate) fn storage(&self) -> Option<&Trie<U256>> {
        self.contract.as_ref().map(|contract| &contract.storage)
    }

    pub(crate) fn storage_root(&self) -> B256 {
        self.storage().map_or(EMPTY_ROOT, Trie::root_hash)
    }
}

impl PartialEq for Account {
    fn eq(&self, other: &Self) -> bool {
        self.nonce == other.nonce
            && self.balance == other.balance
            && match (&self.contract, &other.contract) {
                (None, None) => true,
                (Some(a), Some(b)) => {
                    a.code_hash == b.code_hash && a.storage.root_hash() == b.storage.root_hash()
                }
                _ => false,
            }
    }
}

impl Value for Account {
    fn encode(&self, out: &mut [u8; VALUE_MAX]) -> usize {
        encode_into(&TrieAccount::new(self.nonce, self.balance, self.storage_root(), self.code_hash()), out)
    }

    fn decode(encoding: &[u8]) -> Result<Self, String> {
        let account: TrieAccount = decode_all(encoding)?;
        let info =
            AccountInfo { nonce: account.nonce, balance: account.balance, code_hash: account.code_hash };
        Ok(Self::new(&info, Trie::at(account.storage_root)))
    }
}
