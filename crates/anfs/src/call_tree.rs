//! Draws the calls of a transaction as a tree, from what `callTracer` tells.
//!
//! A call tree is up to 1024 deep, and a reader that recurses could be made to overflow: each frame is read on
//! its own, and what it called stays text until its turn comes.

use alloy_primitives::{Address, B256, Bytes, U64, U256, hex};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::amount::amount_text;
use crate::exit::CommandError;
use crate::sheet::{grouped, recipient, short};
use crate::terminal::Style;

/// Lines that are drawn at most.
const LINES_MAX: usize = 10_000;

/// A call, as far as it is drawn.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Frame {
    #[serde(rename = "type")]
    kind: String,
    from: Address,
    #[serde(default)]
    to: Option<Address>,
    #[serde(default)]
    value: Option<U256>,
    gas_used: U64,
    input: Bytes,
    #[serde(default)]
    output: Option<Bytes>,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    revert_reason: Option<String>,
    #[serde(default)]
    logs: Vec<FrameLog>,
    #[serde(default)]
    calls: Vec<Box<RawValue>>,
}

#[derive(Debug, Deserialize)]
struct FrameLog {
    address: Address,
    #[serde(default)]
    topics: Vec<B256>,
    #[serde(default)]
    data: Bytes,
}

impl Frame {
    /// Reads one frame, without what it called.
    pub(crate) fn read(raw: &RawValue) -> Result<Self, CommandError> {
        serde_json::from_str(raw.get()).map_err(|error| {
            CommandError::failed(format!("the node's trace has a shape not known here: {error}"))
        })
    }

    /// Why it failed; `None` when it did not.
    pub(crate) fn failure(&self) -> Option<String> {
        let error = self.error.as_deref()?;
        Some(match (&self.revert_reason, &self.output) {
            (Some(reason), _) => format!("{error}: {reason}"),
            (None, Some(output)) if !output.is_empty() => format!("{error} with {}", bytes(output)),
            _ => error.to_owned(),
        })
    }

    fn line(&self, style: Style) -> String {
        let mut line = format!("{} {}", style.bold(&self.kind), recipient(self.to.as_ref()));
        if let Some(value) = self.value.filter(|value| !value.is_zero()) {
            line += &format!("  {}", style.yellow(&amount_text(value)));
        }
        if !self.input.is_empty() {
            line += &format!("  {}", bytes(&self.input));
        }
        line += &style.dim(&format!("  gas {}", grouped(self.gas_used.to())));
        match (self.failure(), &self.output) {
            (Some(failure), _) => line += &format!("  {}", style.red(&format!("✗ {failure}"))),
            (None, Some(output)) if !output.is_empty() => line += &format!("  → {}", bytes(output)),
            _ => {}
        }
        line
    }
}

impl FrameLog {
    fn line(&self, style: Style) -> String {
        let topic = self.topics.first().map_or_else(|| "(no topics)".to_owned(), short);
        let more = self.topics.len().saturating_sub(1);
        let address = self.address.to_checksum(None);
        let data = bytes(&self.data);
        format!("{} {address}  {topic} + {more} topics  {data}", style.green("LOG"))
    }
}

/// Draws the tree under `root`.
pub(crate) fn draw(root: &RawValue, style: Style) -> Result<String, CommandError> {
    let root = Frame::read(root)?;
    let mut text = format!("{}\n", root.from.to_checksum(None));
    let mut lines = 1;
    // Each with the rules to its left, and whether it is the last of its caller's.
    let mut open: Vec<(Node, String, bool)> = vec![(Node::Call(root), String::new(), true)];
    while let Some((node, rules, last)) = open.pop() {
        if lines == LINES_MAX {
            text += &format!("… more than {LINES_MAX} lines: --json gives them all\n");
            break;
        }
        lines += 1;
        let branch = if last { "└─ " } else { "├─ " };
        let (line, children) = match node {
            Node::Raw(raw) => called(Frame::read(&raw)?, style),
            Node::Call(frame) => called(frame, style),
            Node::Log(log) => (log.line(style), Vec::new()),
        };
        text += &format!("{rules}{branch}{line}\n");
        let below = format!("{rules}{}", if last { "   " } else { "│  " });
        let count = children.len();
        let children = children.into_iter().enumerate();
        open.extend(children.rev().map(|(index, child)| (child, below.clone(), index + 1 == count)));
    }
    Ok(text)
}

enum Node {
    Call(Frame),
    Raw(Box<RawValue>),
    Log(FrameLog),
}

fn called(mut frame: Frame, style: Style) -> (String, Vec<Node>) {
    let logs = std::mem::take(&mut frame.logs).into_iter().map(Node::Log);
    let children = logs.chain(std::mem::take(&mut frame.calls).into_iter().map(Node::Raw)).collect();
    (frame.line(style), children)
}

/// Data in short: whole while it fits a word and a selector, else its beginning and its length.
fn bytes(data: &[u8]) -> String {
    if data.len() <= 36 {
        return hex::encode_prefixed(data);
    }
    format!("{}… ({} bytes)", hex::encode_prefixed(&data[..4]), data.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "0x00000000000000000000000000000000000000aa";

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn a_tree_shows_calls_logs_values_and_failures() {
        let inner = format!(
            r#"{{"type":"CALL","from":"{A}","to":"{A}","value":"0x1","gasUsed":"0x7d0","input":"0x01","error":"execution reverted","revertReason":"no funds"}}"#
        );
        let quiet = format!(
            r#"{{"type":"STATICCALL","from":"{A}","to":"{A}","gasUsed":"0x1","input":"0x","output":"0x2a"}}"#
        );
        let root = format!(
            r#"{{"type":"CREATE","from":"{A}","to":null,"value":"0x0","gasUsed":"0x5208","input":"0x{}","calls":[{inner},{quiet}],"logs":[{{"address":"{A}","topics":[],"data":"0x"}}]}}"#,
            "ab".repeat(40)
        );
        let address = "0x00000000000000000000000000000000000000AA";
        let expected = format!(
            "{address}\n\
             └─ CREATE (creates a contract)  0xabababab… (40 bytes)  gas 21 000\n   \
                ├─ LOG {address}  (no topics) + 0 topics  0x\n   \
                ├─ CALL {address}  1 wei  0x01  gas 2 000  ✗ execution reverted: no funds\n   \
                └─ STATICCALL {address}  gas 1  → 0x2a\n"
        );
        assert_eq!(draw(&raw(&root), Style::plain()).unwrap(), expected);
    }

    #[test]
    fn the_deepest_tree_that_the_evm_can_make_is_drawn() {
        let open =
            format!(r#"{{"type":"CALL","from":"{A}","to":"{A}","gasUsed":"0x1","input":"0x","calls":["#);
        let text = format!("{}{}", open.repeat(1024), "]}".repeat(1024));
        assert_eq!(draw(&raw(&text), Style::plain()).unwrap().lines().count(), 1025);
    }

    #[test]
    fn the_number_of_lines_is_bounded() {
        let leaf = format!(r#"{{"type":"CALL","from":"{A}","to":"{A}","gasUsed":"0x1","input":"0x"}}"#);
        let many = vec![leaf.as_str(); LINES_MAX + 5].join(",");
        let root = format!(
            r#"{{"type":"CALL","from":"{A}","to":"{A}","gasUsed":"0x1","input":"0x","calls":[{many}]}}"#
        );
        let text = draw(&raw(&root), Style::plain()).unwrap();
        assert_eq!(text.lines().count(), LINES_MAX + 1);
        assert!(text.ends_with("--json gives them all\n"));
    }

    #[test]
    fn other_shapes_are_an_error() {
        assert!(draw(&raw("null"), Style::plain()).is_err());
        assert!(draw(&raw("[1]"), Style::plain()).is_err());
    }
}
