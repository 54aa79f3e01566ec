//! What leaves hold: accounts in the account trie, words in storage tries.

use std::fmt::Debug;
use std::sync::Arc;

use alloy_primitives::{B256, U256};
use alloy_rlp::{Decodable, Encodable};
use alloy_trie::TrieAccount;

use crate::trie::Trie;
use crate::{AccountInfo, AccountLeaf, EMPTY_CODE_HASH, EMPTY_ROOT};

/// The longest encoding of a value: an account, 2 + 9 + 33 + 33 + 33.
pub(crate) const VALUE_MAX: usize = 110;

/// The value of a leaf.
pub(crate) trait Value: Clone + Debug + PartialEq + Send + Sync {
    /// A value that owns no memory: bytes, so that leaves lie close together.
    type Plain: Copy + Debug + Send + Sync;

    /// The value as one that owns no memory, if it is such.
    fn plain(&self) -> Option<Self::Plain>;

    fn from_plain(plain: &Self::Plain) -> Self;

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

pub(crate) fn decode_all<T: Decodable>(mut encoding: &[u8]) -> Result<T, String> {
    let value = T::decode(&mut encoding).map_err(|error| error.to_string())?;
    if encoding.is_empty() { Ok(value) } else { Err("bytes follow the value".into()) }
}

impl Value for U256 {
    type Plain = [u8; 32];

    #[inline]
    fn plain(&self) -> Option<[u8; 32]> {
        Some(self.to_le_bytes())
    }

    #[inline]
    fn from_plain(plain: &[u8; 32]) -> Self {
        Self::from_le_bytes(*plain)
    }

    fn encode(&self, out: &mut [u8; VALUE_MAX]) -> usize {
        encode_into(self, out)
    }

    fn decode(encoding: &[u8]) -> Result<Self, String> {
        let word: Self = decode_all(encoding)?;
        if word.is_zero() { Err("a storage slot that holds zero".into()) } else { Ok(word) }
    }
}

/// An account in the trie. Most are plain: they have neither code nor storage, nor 2^128 wei.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) nonce: u64,
    /// The lower half of the balance.
    pub(crate) balance: [u64; 2],
    pub(crate) contract: Option<Arc<Contract>>,
}

/// What few accounts have.
#[derive(Clone, Debug)]
pub(crate) struct Contract {
    pub(crate) code_hash: B256,
    pub(crate) storage: Trie<U256>,
    /// The upper half of the balance.
    pub(crate) balance: [u64; 2],
}

/// The nonce and the lower half of the balance of an account that has nothing else.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlainAccount {
    nonce: [u8; 8],
    balance: [[u8; 8]; 2],
}

impl Account {
    pub(crate) fn new(info: &AccountInfo, storage: Trie<U256>) -> Self {
        let [a, b, upper @ ..] = info.balance.into_limbs();
        let plain = info.code_hash == EMPTY_CODE_HASH && storage.is_empty() && upper == [0; 2];
        let contract =
            (!plain).then(|| Arc::new(Contract { code_hash: info.code_hash, storage, balance: upper }));
        Self { nonce: info.nonce, balance: [a, b], contract }
    }

    pub(crate) fn info(&self) -> AccountInfo {
        AccountInfo { nonce: self.nonce, balance: self.balance(), code_hash: self.code_hash() }
    }

    /// What its leaf says.
    pub(crate) fn leaf(&self) -> AccountLeaf {
        AccountLeaf { info: self.info(), storage_root: self.storage_root() }
    }

    fn balance(&self) -> U256 {
        let [c, d] = self.contract.as_ref().map_or([0; 2], |contract| contract.balance);
        let [a, b] = self.balance;
        U256::from_limbs([a, b, c, d])
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
                    a.code_hash == b.code_hash
                        && a.balance == b.balance
                        && a.storage.root_hash() == b.storage.root_hash()
                }
                _ => false,
            }
    }
}

impl Value for Account {
    type Plain = PlainAccount;

    #[inline]
    fn plain(&self) -> Option<PlainAccount> {
        let plain =
            PlainAccount { nonce: self.nonce.to_le_bytes(), balance: self.balance.map(u64::to_le_bytes) };
        self.contract.is_none().then_some(plain)
    }

    #[inline]
    fn from_plain(plain: &PlainAccount) -> Self {
        let nonce = u64::from_le_bytes(plain.nonce);
        Self { nonce, balance: plain.balance.map(u64::from_le_bytes), contract: None }
    }

    fn encode(&self, out: &mut [u8; VALUE_MAX]) -> usize {
        encode_into(&TrieAccount::new(self.nonce, self.balance(), self.storage_root(), self.code_hash()), out)
    }

    fn decode(encoding: &[u8]) -> Result<Self, String> {
        let account: TrieAccount = decode_all(encoding)?;
        let info =
            AccountInfo { nonce: account.nonce, balance: account.balance, code_hash: account.code_hash };
        Ok(Self::new(&info, Trie::at(account.storage_root)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::node::{Child, Plain};

    proptest! {
        #[test]
        fn accounts_round_trip(nonce: u64, limbs: [u64; 4], code: bool, upper: bool) {
            let [a, b, c, d] = limbs;
            let balance = U256::from_limbs(if upper { limbs } else { [a, b, 0, 0] });
            let code_hash = if code { B256::repeat_byte(1) } else { EMPTY_CODE_HASH };
            let info = AccountInfo { nonce, balance, code_hash };
            let account = Account::new(&info, Trie::empty());
            prop_assert_eq!(account.info(), info);
            prop_assert_eq!(account.contract.is_none(), !code && (!upper || (c, d) == (0, 0)));
            let mut out = [0; VALUE_MAX];
            let length = account.encode(&mut out);
            let expected = alloy_rlp::encode(TrieAccount::new(nonce, balance, EMPTY_ROOT, code_hash));
            prop_assert_eq!(&out[..length], expected.as_slice());
            prop_assert!(Account::decode(&out[..length]).is_ok_and(|decoded| decoded == account));
            prop_assert_eq!(account.plain().is_some(), account.contract.is_none());
            prop_assert!(account.plain().is_none_or(|plain| Account::from_plain(&plain) == account));
        }
    }

    #[test]
    fn accounts_differ_by_each_part() {
        let account = |nonce, balance, code_hash| {
            Account::new(&AccountInfo { nonce, balance, code_hash }, Trie::empty())
        };
        let (one, code) = (U256::ONE, B256::repeat_byte(1));
        let all = [
            account(1, one, EMPTY_CODE_HASH),
            account(2, one, EMPTY_CODE_HASH),
            account(1, one << 64, EMPTY_CODE_HASH),
            account(1, one + (one << 128), EMPTY_CODE_HASH),
            account(1, one + (one << 192), EMPTY_CODE_HASH),
            account(1, one, code),
            account(1, one + (one << 192), code),
        ];
        for (i, a) in all.iter().enumerate() {
            for (j, b) in all.iter().enumerate() {
                assert_eq!(a == b, i == j, "{a:?} and {b:?}");
            }
        }
    }

    #[test]
    fn what_most_accounts_lack_takes_no_memory() {
        assert_eq!(size_of::<Plain<PlainAccount>>(), 92);
        assert_eq!(size_of::<Child<Account>>(), 56);
    }
}
