//! `anfs block`: a block, what sealed it, and who checked which slice.

use anfs_primitives::{Certificate, CertificateKind, ShardHeader};
use serde_json::{Value, json};

use crate::amount::{amount_text, decimal};
use crate::cli::BlockArgs;
use crate::client::Client;
use crate::exit::CommandError;
use crate::output::Output;
use crate::parse::BlockRef;
use crate::sheet::{Sheet, grouped, recipient, short, time};
use crate::terminal::Style;
use crate::wire::{Block, BlockTransaction, Slice};

pub(crate) fn run(args: &BlockArgs, out: Output) -> Result<(), CommandError> {
    let client = Client::new(args.rpc.url())?;
    let method = match &args.block {
        BlockRef::Hash(_) => "eth_getBlockByHash",
        _ => "eth_getBlockByNumber",
    };
    let raw: Value = client.call(method, json!([args.block.parameter(), args.full]))?;
    if raw.is_null() {
        let head: alloy_primitives::U64 = client.call("eth_blockNumber", json!([]))?;
        return Err(CommandError::failed(format!("there is no block {}: the newest is {head}", args.block)));
    }
    let block: Block = shape(&raw)?;
    // What is pending is sealed by nobody yet. Later questions name the hash: `latest` moves on in between.
    let sealed = block.hash.filter(|_| args.block != BlockRef::Tag("pending"));
    let ask = |method: &str| match sealed {
        Some(hash) => client.call(method, json!([hash])),
        None => Ok(Value::Null),
    };
    let header = ask("anfs_getShardHeader")?;
    let certificate = ask("anfs_getCertificate")?;
    let slices = ask("anfs_getSlices")?;
    let parts = Parts {
        header: shape(&header)?,
        certificate: shape(&certificate)?,
        slices: shape::<Option<Vec<Slice>>>(&slices)?.unwrap_or_default(),
    };
    let value = json!({ "block": raw, "shardHeader": header, "certificate": certificate, "slices": slices });
    out.print(&value, || show(&block, &parts, Style::stdout()))
}

/// What only this network knows of a block.
struct Parts {
    header: Option<ShardHeader>,
    certificate: Option<Certificate>,
    slices: Vec<Slice>,
}

fn shape<T: serde::de::DeserializeOwned>(value: &Value) -> Result<T, CommandError> {
    T::deserialize(value)
        .map_err(|error| CommandError::failed(format!("the node answers in a shape not known here: {error}")))
}

fn show(block: &Block, parts: &Parts, style: Style) -> String {
    let mut sheet = Sheet::new(style);
    let number = block.number.map_or_else(|| "in the making".to_owned(), |number| number.to_string());
    sheet.heading(&format!("Block {number}"));
    if let Some(hash) = block.hash {
        sheet.field("hash", hash.to_string());
    }
    sheet.field("parent", block.parent_hash.to_string());
    sheet.field("time", time(block.timestamp.to()));
    if let Some(beneficiary) = block.miner {
        sheet.field("beneficiary", beneficiary.to_checksum(None));
    }
    sheet.field("transactions", block.transactions.len().to_string());
    let (used, limit) = (block.gas_used.to::<u64>(), block.gas_limit.to::<u64>());
    sheet.field("gas used", format!("{} of {} ({})", grouped(used), grouped(limit), percent(used, limit)));
    sheet.field("base fee", format!("{} gwei", decimal(block.base_fee_per_gas, 9)));
    sheet.field("size", format!("{} bytes", grouped(block.size.to())));
    sheet.field("state root", block.state_root.to_string());
    sheet.field("receipts root", block.receipts_root.to_string());
    if let Some(header) = &parts.header {
        show_header(&mut sheet, header);
        show_certificate(&mut sheet, parts.certificate.as_ref());
        show_slices(&mut sheet, &parts.slices, parts.certificate.as_ref());
    }
    show_transactions(&mut sheet, &block.transactions);
    sheet.finish()
}

fn show_header(sheet: &mut Sheet, header: &ShardHeader) {
    sheet.heading("Shard header");
    let ShardHeader { domain, epoch, slot, view, proposer, .. } = header;
    sheet.field("place", format!("domain {domain} · epoch {epoch} · slot {slot} · view {view}"));
    sheet.field("proposer", format!("seat {proposer}"));
    sheet.field("clock from", header.poh_start.to_string());
    sheet.field("clock to", header.poh_end.to_string());
    sheet.field("entries root", header.entries_root.to_string());
}

fn show_certificate(sheet: &mut Sheet, certificate: Option<&Certificate>) {
    sheet.heading("Certificate");
    let Some(certificate) = certificate else {
        sheet.field("kind", "none: the genesis block is agreed on beforehand");
        return;
    };
    let kind = match certificate.kind {
        CertificateKind::Fast => "fast: every verifier checked its slices and signed",
        CertificateKind::Commit => "commit: a quorum checked the whole block, and signed twice",
        CertificateKind::Prepare => "prepare: a quorum checked the whole block",
        CertificateKind::Conviction => "conviction: a quorum found the block invalid",
    };
    sheet.field("kind", kind);
    sheet.field("signed by", verifiers(certificate.signers.iter()));
    sheet.field("signature", certificate.signature.to_string());
}

fn show_slices(sheet: &mut Sheet, slices: &[Slice], certificate: Option<&Certificate>) {
    if slices.is_empty() {
        return;
    }
    sheet.heading("Slices");
    let rows: Vec<Vec<String>> = slices
        .iter()
        .map(|slice| {
            vec![
                slice.index.to_string(),
                format!("{}–{}", slice.start.entry, slice.end.entry),
                short(&slice.start.hash),
                short(&slice.end.hash),
                checked_by(slice, certificate),
            ]
        })
        .collect();
    sheet.table(&["#", "entries", "from", "to", "checked by"], &rows);
}

/// Who is known to have checked a slice: on the fast path those that drew it and signed; else all that signed,
/// since they checked the whole block; nobody without a certificate.
fn checked_by(slice: &Slice, certificate: Option<&Certificate>) -> String {
    match certificate {
        None => "nobody".to_owned(),
        Some(certificate) if certificate.kind == CertificateKind::Fast => {
            let drawn = slice.checkers.iter().copied();
            verifiers(drawn.filter(|index| certificate.signers.contains(*index)))
        }
        Some(certificate) => verifiers(certificate.signers.iter()),
    }
}

fn verifiers(indices: impl Iterator<Item = usize>) -> String {
    let names: Vec<String> = indices.map(|index| index.to_string()).collect();
    if names.is_empty() { "nobody".to_owned() } else { format!("verifiers {}", names.join(", ")) }
}

fn show_transactions(sheet: &mut Sheet, transactions: &[BlockTransaction]) {
    if transactions.is_empty() {
        return;
    }
    sheet.heading("Transactions");
    let full: Vec<Vec<String>> = transactions
        .iter()
        .filter_map(|transaction| match transaction {
            BlockTransaction::Full(transaction) => Some(vec![
                transaction.hash.to_string(),
                transaction.from.to_checksum(None),
                recipient(transaction.to.as_ref()),
                amount_text(transaction.value),
            ]),
            BlockTransaction::Hash(_) => None,
        })
        .collect();
    if !full.is_empty() {
        sheet.table(&["hash", "from", "to", "value"], &full);
    }
    for transaction in transactions {
        if let BlockTransaction::Hash(hash) = transaction {
            sheet.line(&format!("  {hash}"));
        }
    }
}

/// `part` of `whole` with one digit after the point.
fn percent(part: u64, whole: u64) -> String {
    let tenths = u128::from(part) * 1000 / u128::from(whole.max(1));
    format!("{}.{} %", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Cut;
    use alloy_primitives::B256;
    use anfs_primitives::SignerSet;

    fn certificate(kind: &str, signers: &[usize]) -> Certificate {
        let mut set = SignerSet::EMPTY;
        for signer in signers {
            set.insert(*signer);
        }
        serde_json::from_value(json!({
            "kind": kind,
            "target": {
                "network": 31337, "epoch": 0, "domain": 1, "height": 3, "view": 0,
                "block": format!("0x{}", "11".repeat(32)),
            },
            "signers": set,
            "signature": format!("0x{}", "22".repeat(48)),
        }))
        .unwrap()
    }

    #[test]
    fn who_checked_a_slice_follows_from_the_certificate() {
        let cut = Cut { entry: 0, hash: B256::ZERO };
        let slice = Slice { index: 0, start: cut, end: cut, checkers: vec![0, 2] };
        assert_eq!(checked_by(&slice, None), "nobody");
        assert_eq!(checked_by(&slice, Some(&certificate("fast", &[0, 1, 2, 3]))), "verifiers 0, 2");
        assert_eq!(checked_by(&slice, Some(&certificate("commit", &[1, 2, 3]))), "verifiers 1, 2, 3");
    }

    #[test]
    fn percents() {
        assert_eq!(percent(0, 0), "0.0 %");
        assert_eq!(percent(1, 3), "33.3 %");
        assert_eq!(percent(u64::MAX, u64::MAX), "100.0 %");
    }
}
