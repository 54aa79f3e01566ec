//! `anfs send`: signs or has signed, submits, and waits for the receipt.

use std::time::Duration;

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_eips::eip2930::AccessList;
use alloy_primitives::{Address, B256, Bytes, TxKind, U64, U256, hex};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use eyre::WrapErr;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::abi;
use crate::cli::SendArgs;
use crate::client::Client;
use crate::commands::account::parse_key;
use crate::commands::tx;
use crate::exit::CommandError;
use crate::keystores::{self, Keystores};
use crate::output::Output;
use crate::password;

pub(crate) fn run(args: &SendArgs, out: Output) -> Result<(), CommandError> {
    let client = Client::new(args.rpc.url())?;
    let keystores = Keystores::of_user()?;
    let draft = Draft {
        to: args.to.as_ref().map(|who| keystores.address(who)).transpose()?,
        value: args.value.0,
        input: input(args)?,
        nonce: args.nonce,
        gas_limit: args.gas_limit,
        max_fee: args.max_fee.map(|amount| amount.0),
        tip: args.priority_fee.map(|amount| amount.0),
    };
    let hash = match signer(args, &keystores)? {
        Signer::Node(from) => client.call("eth_sendTransaction", json!([draft.request(from)]))?,
        Signer::Key(key) => submit(&client, &draft, &key)?,
    };
    if args.no_wait {
        return out.print(&json!({ "transactionHash": hash }), || hash.to_string());
    }
    let receipt = client.wait_for_receipt(&hash, Duration::from_secs(args.timeout))?.ok_or_else(|| {
        CommandError::failed(format!(
            "the transaction is accepted, but in no block after {} s; ask later: anfs tx {hash}",
            args.timeout
        ))
    })?;
    tx::print_sent(&client, &receipt, out)
}

/// Who signs.
enum Signer {
    /// The node, for an account that it holds.
    Node(Address),
    Key(Box<PrivateKeySigner>),
}

fn signer(args: &SendArgs, keystores: &Keystores) -> Result<Signer, CommandError> {
    let chosen = &args.signer;
    if let Some(from) = chosen.from {
        return Ok(Signer::Node(from));
    }
    if let Some(secret) = &chosen.private_key {
        return parse_key(secret.reveal()).map(Box::new).map(Signer::Key);
    }
    let file = match (&chosen.account, &chosen.keystore) {
        (Some(name), _) => keystores.existing(name)?,
        (None, Some(file)) => file.clone(),
        (None, None) => return Err(CommandError::Usage("nobody signs: give --account NAME".to_owned())),
    };
    let password = password::current(&file.display().to_string())?;
    keystores::decrypt(&file, &password).map(Box::new).map(Signer::Key)
}

fn input(args: &SendArgs) -> Result<Bytes, CommandError> {
    match (&args.sig, &args.data) {
        (Some(signature), _) => abi::encode(&abi::function(signature)?, &args.args),
        (None, data) => Ok(data.clone().unwrap_or_default()),
    }
}

/// A transaction, as far as the user has said it.
struct Draft {
    to: Option<Address>,
    value: U256,
    input: Bytes,
    nonce: Option<u64>,
    gas_limit: Option<u64>,
    max_fee: Option<U256>,
    tip: Option<U256>,
}

impl Draft {
    /// As JSON-RPC methods take it: what is not said, the node fills.
    fn request(&self, from: Address) -> Value {
        let mut request = json!({ "from": from, "value": self.value, "input": self.input });
        let mut set = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                request[name] = value;
            }
        };
        set("to", self.to.map(|to| json!(to)));
        set("nonce", self.nonce.map(|nonce| json!(U64::from(nonce))));
        set("gas", self.gas_limit.map(|gas| json!(U64::from(gas))));
        set("maxFeePerGas", self.max_fee.map(|fee| json!(fee)));
        set("maxPriorityFeePerGas", self.tip.map(|tip| json!(tip)));
        request
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FeeBase {
    base_fee_per_gas: U256,
}

/// Most that a unit of gas may cost, and the tip in it. The base fee is taken twice, so that the transaction
/// stays good while the fee rises; a tip above what the user is ready to pay is cut.
fn fees(base_fee: U256, suggested_tip: U256, max_fee: Option<U256>, tip: Option<U256>) -> (U256, U256) {
    let wanted = tip.unwrap_or(suggested_tip);
    let max_fee = max_fee.unwrap_or_else(|| base_fee.saturating_mul(U256::from(2)).saturating_add(wanted));
    (max_fee, tip.unwrap_or_else(|| wanted.min(max_fee)))
}

fn submit(client: &Client, draft: &Draft, key: &PrivateKeySigner) -> Result<B256, CommandError> {
    let from = key.address();
    let chain_id: U64 = client.call("eth_chainId", json!([]))?;
    let nonce = match draft.nonce {
        Some(nonce) => nonce,
        None => client.call::<U64>("eth_getTransactionCount", json!([from, "pending"]))?.to(),
    };
    let gas_limit = match draft.gas_limit {
        Some(gas) => gas,
        None => client.call::<U64>("eth_estimateGas", json!([draft.request(from), "pending"]))?.to(),
    };
    let base: FeeBase = client.call("eth_getBlockByNumber", json!(["latest", false]))?;
    let suggested: U256 = client.call("eth_maxPriorityFeePerGas", json!([]))?;
    let (max_fee, tip) = fees(base.base_fee_per_gas, suggested, draft.max_fee, draft.tip);
    let price = |amount: U256| {
        u128::try_from(amount)
            .map_err(|_| CommandError::Usage("a fee is below 2^128 wei a unit of gas".to_owned()))
    };
    let transaction = TxEip1559 {
        chain_id: chain_id.to(),
        nonce,
        gas_limit,
        max_fee_per_gas: price(max_fee)?,
        max_priority_fee_per_gas: price(tip)?,
        to: draft.to.map_or(TxKind::Create, TxKind::Call),
        value: draft.value,
        access_list: AccessList::default(),
        input: draft.input.clone(),
    };
    let signature = key.sign_hash_sync(&transaction.signature_hash()).wrap_err("cannot sign")?;
    let envelope = TxEnvelope::from(transaction.into_signed(signature));
    client.call("eth_sendRawTransaction", json!([hex::encode_prefixed(envelope.encoded_2718())]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fees_leave_room_and_obey_the_user() {
        let of = |base: u64, suggested: u64, max: Option<u64>, tip: Option<u64>| {
            let (max_fee, tip) =
                fees(U256::from(base), U256::from(suggested), max.map(U256::from), tip.map(U256::from));
            (max_fee.to::<u64>(), tip.to::<u64>())
        };
        assert_eq!(of(100, 5, None, None), (205, 5));
        assert_eq!(of(100, 5, None, Some(7)), (207, 7));
        assert_eq!(of(100, 5, Some(120), None), (120, 5));
        assert_eq!(of(100, 50, Some(20), None), (20, 20), "a suggested tip is cut");
        assert_eq!(of(100, 5, Some(20), Some(30)), (20, 30), "what the user says is the node's to refuse");
        assert_eq!(fees(U256::MAX, U256::MAX, None, None).0, U256::MAX);
    }

    #[test]
    fn a_request_says_only_what_the_user_said() {
        let draft = Draft {
            to: None,
            value: U256::from(255),
            input: Bytes::from(vec![1]),
            nonce: Some(16),
            gas_limit: None,
            max_fee: None,
            tip: None,
        };
        let expected = json!({
            "from": Address::ZERO, "value": "0xff", "input": "0x01", "nonce": "0x10",
        });
        assert_eq!(draft.request(Address::ZERO), expected);
    }
}
