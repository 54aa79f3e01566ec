//! The JSON form of a state test.

use std::collections::BTreeMap;

use alloy_eips::eip2930::AccessList;
use alloy_eips::eip7702::{Authorization, SignedAuthorization};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use k256::elliptic_curve::sec1::ToEncodedPoint;
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
    gas_limit: Vec<Wide>,
    value: Vec<Wide>,
    nonce: Wide,
    #[serde(default)]
    to: String,
    #[serde(default)]
    sender: Option<Address>,
    /// The sender's, where the test does not name the sender itself.
    #[serde(default)]
    secret_key: Option<B256>,
    #[serde(default)]
    gas_price: Option<Wide>,
    #[serde(default)]
    max_fee_per_gas: Option<Wide>,
    #[serde(default)]
    max_priority_fee_per_gas: Option<Wide>,
    #[serde(default)]
    access_lists: Vec<Option<AccessList>>,
    #[serde(default)]
    blob_versioned_hashes: Option<Vec<B256>>,
    #[serde(default)]
    max_fee_per_blob_gas: Option<Wide>,
    #[serde(default)]
    authorization_list: Option<Vec<SignedEntry>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SignedEntry {
    chain_id: Wide,
    address: Address,
    nonce: Wide,
    v: Wide,
    r: Wide,
    s: Wide,
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
        let price = self.gas_price.as_ref().or(self.max_fee_per_gas.as_ref());
        let tip = self.max_priority_fee_per_gas.as_ref().map(Wide::u128).transpose()?;
        let authorizations = self.authorization_list.iter().flatten().map(SignedEntry::read);
        Ok(TxEnv {
            tx_type,
            caller: self.sender()?,
            gas_limit: gas.u64()?,
            gas_price: price.map_or(Ok(0), Wide::u128)?,
            kind,
            value: value.get()?,
            data: data.clone(),
            nonce: self.nonce.u64()?,
            chain_id: Some(cfg.chain_id),
            access_list: access_list.unwrap_or_default(),
            gas_priority_fee: tip,
            blob_hashes: self.blob_versioned_hashes.clone().unwrap_or_default(),
            max_fee_per_blob_gas: self.max_fee_per_blob_gas.as_ref().map_or(Ok(0), Wide::u128)?,
            authorization_list: authorizations
                .map(|item| item.map(Either::Left))
                .collect::<Result<_, _>>()?,
        })
    }

    fn sender(&self) -> Result<Address, String> {
        if let Some(sender) = self.sender {
            return Ok(sender);
        }
        let key = self.secret_key.ok_or_else(|| "neither sender nor secretKey".to_owned())?;
        let key =
            k256::SecretKey::from_slice(key.as_slice()).map_err(|error| format!("secretKey: {error}"))?;
        // The first byte says that the point is not compressed.
        Ok(Address::from_raw_public_key(&key.public_key().to_encoded_point(false).as_bytes()[1..]))
    }
}

impl SignedEntry {
    fn read(&self) -> Result<SignedAuthorization, String> {
        let inner =
            Authorization { chain_id: self.chain_id.get()?, address: self.address, nonce: self.nonce.u64()? };
        let parity = u8::try_from(self.v.get()?).map_err(|_| "v is over 8 bits".to_owned())?;
        Ok(SignedAuthorization::new_unchecked(inner, parity, self.r.get()?, self.s.get()?))
    }
}

/// A number in hex (`0x10`, `0x00…10`, `0x`, `0x:bigint 0x10`) or decimal text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Number(pub(super) U256);

/// A number of a transaction. One that no encoding carries, such as a value over 256 bits, is the transaction's
/// fault, for which tests expect an exception, not the file's.
#[derive(Clone, Debug)]
struct Wide(Result<U256, String>);

impl Wide {
    fn get(&self) -> Result<U256, String> {
        self.0.clone()
    }

    fn u64(&self) -> Result<u64, String> {
        self.get()?.try_into().map_err(|_| "a number is over 64 bits".to_owned())
    }

    fn u128(&self) -> Result<u128, String> {
        self.get()?.try_into().map_err(|_| "a number is over 128 bits".to_owned())
    }
}

fn number(text: &str) -> Result<U256, String> {
    let digits = text.strip_prefix("0x:bigint ").unwrap_or(text);
    let number = match digits.strip_prefix("0x") {
        Some("") => Ok(U256::ZERO),
        Some(hex) => U256::from_str_radix(hex, 16),
        None => U256::from_str_radix(digits, 10),
    };
    number.map_err(|error| format!("{text}: {error}"))
}

impl<'de> Deserialize<'de> for Wide {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(number(&text)))
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        number(&String::deserialize(deserializer)?).map(Self).map_err(de::Error::custom)
    }
}
