//! The JSON form of a state test.

use std::collections::BTreeMap;

use alloy_eips::eip2930::AccessList;
use alloy_eips::eip7702::{Authorization, SignedAuthorization};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use revm::context::{CfgEnv, TxEnv};
use revm::context_interface::either::Either;
use serde::{Deserialize, Deserializer, de};

/// A file: tests by name.
#[derive(Deserialize)]
pub(super) struct Suite(pub(super) BTreeMap<String, Test>);

#[derive(Deserialize)]
pub(super) struct Test {
    pub(super) env: Env,
    pub(super) pre: BTreeMap<Address, Account>,
    pub(super) transaction: Transaction,
    pub(super) post: BTreeMap<String, Vec<Post>>,
    #[serde(default)]
    pub(super) config: Config,
}

#[derive(Default, Deserialize)]
pub(super) struct Config {
    #[serde(default, rename = "chainid")]
    pub(super) chain_id: Option<Number>,
}

#[derive(Deserialize)]
pub(super) struct Env {
    #[serde(rename = "currentCoinbase")]
    pub(super) coinbase: Address,
    #[serde(rename = "currentGasLimit")]
    pub(super) gas_limit: Number,
    #[serde(rename = "currentNumber")]
    pub(super) number: Number,
    #[serde(rename = "currentTimestamp")]
    pub(super) timestamp: Number,
    #[serde(default, rename = "currentBaseFee")]
    pub(super) base_fee: Option<Number>,
    #[serde(default, rename = "currentRandom")]
    pub(super) random: Option<Number>,
    #[serde(default, rename = "currentExcessBlobGas")]
    pub(super) excess_blob_gas: Option<Number>,
}

#[derive(Deserialize)]
pub(super) struct Account {
    pub(super) balance: Number,
    pub(super) nonce: Number,
    #[serde(default)]
    pub(super) code: Bytes,
    #[serde(default)]
    pub(super) storage: BTreeMap<Number, Number>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Post {
    pub(super) hash: B256,
    pub(super) logs: B256,
    pub(super) indexes: Indexes,
    #[serde(default)]
    pub(super) expect_exception: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Indexes {
    data: usize,
    gas: usize,
    value: usize,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Transaction {
    data: Vec<Bytes>,
    gas_limit: Vec<Number>,
    value: Vec<Number>,
    nonce: Number,
    #[serde(default)]
    to: String,
    sender: Address,
    #[serde(default)]
    gas_price: Option<Number>,
    #[serde(default)]
    max_fee_per_gas: Option<Number>,
    #[serde(default)]
    max_priority_fee_per_gas: Option<Number>,
    #[serde(default)]
    access_lists: Vec<Option<AccessList>>,
    #[serde(default)]
    blob_versioned_hashes: Option<Vec<B256>>,
    #[serde(default)]
    max_fee_per_blob_gas: Option<Number>,
    #[serde(default)]
    authorization_list: Option<Vec<SignedEntry>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SignedEntry {
    chain_id: Number,
    address: Address,
    nonce: Number,
    v: Number,
    r: Number,
    s: Number,
}

impl Transaction {
    /// The transaction that the indexes choose; the reason when no encoding could carry it.
    pub(super) fn tx_env(&self, indexes: &Indexes, cfg: &CfgEnv) -> Result<TxEnv, String> {
        let chosen = |what: &str| format!("index of {what} is out of range");
        let data = self.data.get(indexes.data).ok_or_else(|| chosen("data"))?;
        let gas = self.gas_limit.get(indexes.gas).ok_or_else(|| chosen("gas"))?;
        let value = self.value.get(indexes.value).ok_or_else(|| chosen("value"))?;
        let access_list = self.access_lists.get(indexes.data).cloned().flatten();
        let kind = if self.to.is_empty() {
            TxKind::Create
        } else {
            TxKind::Call(self.to.parse().map_err(|error| format!("to: {error}"))?)
        };
        let tx_type = if self.authorization_list.is_some() {
            4
        } else if self.blob_versioned_hashes.is_some() || self.max_fee_per_blob_gas.is_some() {
            3
        } else if self.max_fee_per_gas.is_some() {
            2
        } else {
            u8::from(access_list.is_some())
        };
        if tx_type > 2 && kind.is_create() {
            return Err("a transaction of this type cannot create a contract".to_owned());
        }
        let price = self.gas_price.or(self.max_fee_per_gas).unwrap_or_default();
        let tip = self.max_priority_fee_per_gas.map(Number::u128).transpose()?;
        let authorizations = self.authorization_list.iter().flatten().map(SignedEntry::read);
        Ok(TxEnv {
            tx_type,
            caller: self.sender,
            gas_limit: gas.u64()?,
            gas_price: price.u128()?,
            kind,
            value: value.0,
            data: data.clone(),
            nonce: self.nonce.u64()?,
            chain_id: Some(cfg.chain_id),
            access_list: access_list.unwrap_or_default(),
            gas_priority_fee: tip,
            blob_hashes: self.blob_versioned_hashes.clone().unwrap_or_default(),
            max_fee_per_blob_gas: self.max_fee_per_blob_gas.unwrap_or_default().u128()?,
            authorization_list: authorizations
                .map(|item| item.map(Either::Left))
                .collect::<Result<_, _>>()?,
        })
    }
}

impl SignedEntry {
    fn read(&self) -> Result<SignedAuthorization, String> {
        let inner =
            Authorization { chain_id: self.chain_id.0, address: self.address, nonce: self.nonce.u64()? };
        let parity = u8::try_from(self.v.0).map_err(|_| "v is over 8 bits".to_owned())?;
        Ok(SignedAuthorization::new_unchecked(inner, parity, self.r.0, self.s.0))
    }
}

/// A number in hex (`0x10`, `0x00…10`, `0x`, `0x:bigint 0x10`) or decimal text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Number(pub(super) U256);

impl Number {
    fn u64(self) -> Result<u64, String> {
        self.0.try_into().map_err(|_| format!("{} is over 64 bits", self.0))
    }

    fn u128(self) -> Result<u128, String> {
        self.0.try_into().map_err(|_| format!("{} is over 128 bits", self.0))
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = text.strip_prefix("0x:bigint ").unwrap_or(&text);
        let number = match digits.strip_prefix("0x") {
            Some("") => Ok(U256::ZERO),
            Some(hex) => U256::from_str_radix(hex, 16),
            None => U256::from_str_radix(digits, 10),
        };
        number.map(Self).map_err(|error| de::Error::custom(format!("{text}: {error}")))
    }
}
