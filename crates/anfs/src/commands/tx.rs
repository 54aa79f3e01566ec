//! `anfs tx`: a transaction, its receipt, its way through the shards, and why it reverted.

use anfs_rpc::network::LegsReport;
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::amount::{amount_text, decimal};
use crate::call_tree::{self, Frame};
use crate::cli::TxArgs;
use crate::client::Client;
use crate::exit::CommandError;
use crate::legs;
use crate::output::Output;
use crate::sheet::{Sheet, grouped, recipient};
use crate::terminal::Style;
use crate::wire::{Receipt, Transaction};

/// Bytes of a log's data or an input that are shown.
const SHOWN_BYTES: usize = 128;

/// The whole answer, as JSON: what the node said, word for word.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    transaction: &'a RawValue,
    receipt: &'a RawValue,
    revert_reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    legs: Option<&'a LegsReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<&'a RawValue>,
}

pub(crate) fn run(args: &TxArgs, out: Output) -> Result<(), CommandError> {
    let client = Client::new(args.rpc.url())?;
    let raw_transaction = client.raw("eth_getTransactionByHash", json!([args.hash]))?;
    let Some(transaction) = read::<Transaction>(&raw_transaction)? else {
        return Err(CommandError::failed(format!(
            "the node knows no transaction {}: look at the hash, and at --rpc-url",
            args.hash
        )));
    };
    let raw_receipt = client.raw("eth_getTransactionReceipt", json!([args.hash]))?;
    let receipt: Option<Receipt> = read(&raw_receipt)?;
    let way = legs::read(&client, &args.hash)?;
    let trace = match &receipt {
        Some(_) if args.trace => Some(trace(&client, &args.hash)?),
        None if args.trace => {
            return Err(CommandError::failed(
                "the transaction is in no block yet: there is nothing to trace",
            ));
        }
        _ => None,
    };
    let reason = match (&receipt, &trace) {
        (Some(receipt), _) if receipt.succeeded() => None,
        (Some(_), Some(trace)) => Frame::read(trace)?.failure(),
        (Some(receipt), None) => Some(failure(&client, receipt)),
        (None, _) => None,
    };
    let value = Report {
        transaction: &raw_transaction,
        receipt: &raw_receipt,
        revert_reason: reason.as_deref(),
        legs: way.as_ref(),
        trace: trace.as_deref(),
    };
    let tree = match &trace {
        Some(trace) if !out.json => Some(call_tree::draw(trace, Style::stdout())?),
        _ => None,
    };
    out.print(&value, || {
        let mut sheet = Sheet::new(Style::stdout());
        show_transaction(&mut sheet, &transaction, receipt.is_some());
        if let Some(receipt) = &receipt {
            show_receipt(&mut sheet, receipt, reason.as_deref());
        }
        if let Some(way) = &way {
            sheet.heading("Way");
            sheet.line(legs::draw(way, Style::stdout()).trim_end());
        }
        if let Some(tree) = &tree {
            sheet.heading("Calls");
            sheet.line(tree.trim_end());
        }
        sheet.finish()
    })
}

/// Prints the receipt of a transaction that was just sent; one that reverted is a refusal.
pub(crate) fn print_sent(client: &Client, receipt: &Receipt, out: Output) -> Result<(), CommandError> {
    let raw = client.raw("eth_getTransactionReceipt", json!([receipt.transaction_hash]))?;
    let reason = (!receipt.succeeded()).then(|| failure(client, receipt));
    out.print(&raw, || {
        let mut sheet = Sheet::new(Style::stdout());
        sheet.heading(&format!("Transaction {}", receipt.transaction_hash));
        show_receipt(&mut sheet, receipt, reason.as_deref());
        sheet.finish()
    })?;
    match reason {
        None => Ok(()),
        Some(reason) => Err(CommandError::Refused {
            message: format!("the transaction is in a block, but failed: {reason}"),
            rpc_code: None,
            data: None,
        }),
    }
}

fn read<T: serde::de::DeserializeOwned>(raw: &RawValue) -> Result<Option<T>, CommandError> {
    serde_json::from_str(raw.get())
        .map_err(|error| CommandError::failed(format!("the node answers in a shape not known here: {error}")))
}

fn trace(client: &Client, hash: &alloy_primitives::B256) -> Result<Box<RawValue>, CommandError> {
    let tracer = json!({ "tracer": "callTracer", "tracerConfig": { "withLog": true } });
    client.raw("debug_traceTransaction", json!([hash, tracer]))
}

/// Why a transaction failed, by executing it again; if the node cannot, its words on that.
fn failure(client: &Client, receipt: &Receipt) -> String {
    let config = json!({ "tracer": "callTracer", "tracerConfig": { "onlyTopCall": true } });
    let frame = client
        .raw("debug_traceTransaction", json!([receipt.transaction_hash, config]))
        .and_then(|raw| Frame::read(&raw));
    match frame {
        Ok(frame) => frame.failure().unwrap_or_else(|| "execution failed".to_owned()),
        Err(error) => format!("execution failed; why cannot be told any more: {error}"),
    }
}

fn show_transaction(sheet: &mut Sheet, transaction: &Transaction, decided: bool) {
    sheet.heading(&format!("Transaction {}", transaction.hash));
    if !decided {
        let pending = sheet.style.yellow("pending: accepted, in no block yet");
        sheet.field("status", pending);
        sheet.field("from", transaction.from.to_checksum(None));
        sheet.field("to", recipient(transaction.to.as_ref()));
    }
    sheet.field("value", amount_text(transaction.value));
    sheet.field("nonce", transaction.nonce.to_string());
    sheet.field("gas limit", grouped(transaction.gas.to()));
    if !transaction.input.is_empty() {
        sheet.field("input", shortened(&transaction.input));
    }
}

fn show_receipt(sheet: &mut Sheet, receipt: &Receipt, reason: Option<&str>) {
    let status = match reason {
        None => sheet.style.green("succeeded"),
        Some(reason) => sheet.style.red(&format!("failed: {reason}")),
    };
    sheet.field("status", status);
    sheet.field("block", format!("{} (index {})", receipt.block_number, receipt.transaction_index));
    sheet.field("from", receipt.from.to_checksum(None));
    sheet.field("to", recipient(receipt.to.as_ref()));
    if let Some(contract) = receipt.contract_address {
        sheet.field("contract", contract.to_checksum(None));
    }
    sheet.field("gas used", grouped(receipt.gas_used.to()));
    let price = decimal(receipt.effective_gas_price, 9);
    sheet.field("fee", format!("{} ({price} gwei a unit of gas)", amount_text(receipt.fee())));
    for (index, log) in receipt.logs.iter().enumerate() {
        sheet.field(&format!("log {index}"), log.address.to_checksum(None));
        for topic in &log.topics {
            sheet.field("", format!("topic {topic}"));
        }
        if !log.data.is_empty() {
            sheet.field("", format!("data  {}", shortened(&log.data)));
        }
    }
}

fn shortened(data: &alloy_primitives::Bytes) -> String {
    match data.get(..SHOWN_BYTES) {
        Some(head) if data.len() > SHOWN_BYTES => {
            let rest = data.len() - SHOWN_BYTES;
            format!("{}… and {rest} bytes more", alloy_primitives::hex::encode_prefixed(head))
        }
        _ => data.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt(status: &str) -> Receipt {
        serde_json::from_value(json!({
            "transactionHash": format!("0x{}", "11".repeat(32)),
            "status": status,
            "blockNumber": "0xca",
            "transactionIndex": "0x0",
            "from": format!("0x{}", "22".repeat(20)),
            "to": null,
            "contractAddress": format!("0x{}", "33".repeat(20)),
            "gasUsed": "0x5208",
            "effectiveGasPrice": "0x3b9aca00",
            "logs": [{
                "address": format!("0x{}", "33".repeat(20)),
                "topics": [format!("0x{}", "44".repeat(32))],
                "data": format!("0x{}", "55".repeat(200)),
            }],
        }))
        .unwrap()
    }

    #[test]
    fn a_receipt_as_text() {
        let mut sheet = Sheet::new(Style::plain());
        show_receipt(&mut sheet, &receipt("0x1"), None);
        let text = sheet.finish();
        for line in [
            "  status         succeeded\n",
            "  block          202 (index 0)\n",
            "  to             (creates a contract)\n",
            "  contract       0x3333333333333333333333333333333333333333\n",
            "  gas used       21 000\n",
            "  fee            21000 gwei (1 gwei a unit of gas)\n",
            "… and 72 bytes more\n",
        ] {
            assert!(text.contains(line), "{line:?} is not in\n{text}");
        }
    }

    #[test]
    fn a_failure_says_why() {
        let mut sheet = Sheet::new(Style::plain());
        show_receipt(&mut sheet, &receipt("0x0"), Some("execution reverted: no"));
        assert!(sheet.finish().contains("failed: execution reverted: no"));
    }
}
