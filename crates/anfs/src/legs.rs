//! Draws the way of a transaction through the domains of a network.

use anfs_primitives::DomainId;
use anfs_rpc::network::{LegKind, LegReport, LegsReport};
use serde_json::json;

use crate::client::Client;
use crate::exit::CommandError;
use crate::sheet::grouped;
use crate::terminal::Style;

/// Stops below one another that are drawn.
const DEPTH_MAX: usize = 64;

/// The way of a transaction, if it led through several blocks; `None` where there is one shard, or nothing to tell yet.
pub(crate) fn read(
    client: &Client,
    hash: &alloy_primitives::B256,
) -> Result<Option<LegsReport>, CommandError> {
    match client.call::<Option<LegsReport>>("anfs_getTransactionLegs", json!([hash])) {
        Ok(report) => Ok(report.filter(|report| report.legs.len() > 1)),
        // A node of one shard, or another chain's, does not have the method, or has nothing to say.
        Err(CommandError::Refused { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A tree: each stop under the one that sent the message which it consumed.
pub(crate) fn draw(report: &LegsReport, style: Style) -> String {
    let mut text = String::new();
    if !report.legs.is_empty() {
        branch(&mut text, &report.legs, 0, &mut Vec::new(), style);
    }
    let waiting = report.outstanding.to::<u64>();
    if waiting > 0 {
        let words = if waiting == 1 { "message is" } else { "messages are" };
        text += &style.yellow(&format!("{waiting} {words} still on the way\n"));
    }
    text
}

/// Writes a stop and those that came of it. Each stands behind the one that it came of, or it is not drawn.
fn branch(text: &mut String, legs: &[LegReport], at: usize, indent: &mut Vec<&str>, style: Style) {
    let leg = &legs[at];
    *text += &line(leg, style);
    if indent.len() == DEPTH_MAX {
        return;
    }
    let behind = legs.iter().enumerate().skip(at + 1);
    let children = behind.filter(|(_, child)| child.message.is_some_and(|id| leg.sent.contains(&id)));
    let children: Vec<usize> = children.map(|(index, _)| index).collect();
    for child in &children {
        let last = Some(child) == children.last();
        *text += &format!("{}{}", indent.concat(), if last { "└─▶ " } else { "├─▶ " });
        indent.push(if last { "    " } else { "│   " });
        branch(text, legs, *child, indent, style);
        indent.pop();
    }
}

fn line(leg: &LegReport, style: Style) -> String {
    let kind = match leg.kind {
        LegKind::Transaction => "transaction",
        LegKind::Call => "call",
        LegKind::Result => "result",
        LegKind::Credit => "credit",
        LegKind::Route => "route",
    };
    let domain = match leg.place.domain {
        DomainId::ROOT => "the root".to_owned(),
        shard => format!("shard {shard}"),
    };
    let mut words = vec![
        format!("{kind} in {domain}, block {}", leg.place.height),
        format!("final with {}", leg.place.root_height),
    ];
    match leg.success {
        Some(true) => words.push(style.green("succeeded")),
        Some(false) => words.push(style.red("failed")),
        None => {}
    }
    if leg.gas_used.to::<u64>() > 0 {
        words.push(format!("{} gas", grouped(leg.gas_used.to())));
    }
    match leg.logs.to::<u64>() {
        0 => {}
        1 => words.push("1 log".into()),
        logs => words.push(format!("{logs} logs")),
    }
    words.join(" · ") + "\n"
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{B256, U64};
    use anfs_primitives::Height;
    use anfs_rpc::network::BlockPlace;

    use super::*;

    fn leg(kind: LegKind, domain: u32, message: Option<u8>, sent: &[u8]) -> LegReport {
        let place = BlockPlace { domain: DomainId(domain), height: Height(10), root_height: Height(5) };
        LegReport {
            kind,
            place,
            message: message.map(B256::repeat_byte),
            success: matches!(kind, LegKind::Transaction | LegKind::Call | LegKind::Result).then_some(true),
            gas_used: U64::from(if kind == LegKind::Call { 34_000 } else { 0 }),
            logs: U64::from(u64::from(kind == LegKind::Call)),
            sent: sent.iter().copied().map(B256::repeat_byte).collect(),
        }
    }

    #[test]
    fn the_way_is_a_tree() {
        let report = LegsReport {
            transaction: B256::ZERO,
            block_number: None,
            transaction_index: None,
            outstanding: U64::from(1),
            legs: vec![
                leg(LegKind::Transaction, 1, None, &[1, 2]),
                leg(LegKind::Call, 2, Some(1), &[3, 4, 5]),
                leg(LegKind::Route, 3, Some(2), &[]),
                leg(LegKind::Credit, 1, Some(3), &[]),
                leg(LegKind::Call, 0, Some(4), &[]),
                leg(LegKind::Result, 1, Some(5), &[]),
            ],
        };
        let expected = "\
transaction in shard 1, block 10 · final with 5 · succeeded
├─▶ call in shard 2, block 10 · final with 5 · succeeded · 34 000 gas · 1 log
│   ├─▶ credit in shard 1, block 10 · final with 5
│   ├─▶ call in the root, block 10 · final with 5 · succeeded · 34 000 gas · 1 log
│   └─▶ result in shard 1, block 10 · final with 5 · succeeded
└─▶ route in shard 3, block 10 · final with 5
1 message is still on the way
";
        assert_eq!(draw(&report, Style::plain()), expected);
    }
}
