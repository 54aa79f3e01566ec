//! JSON-RPC 2.0 on the wire: requests in, responses out, without building a tree of either.

use std::borrow::Cow;

use memchr::memchr2;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::{INVALID_REQUEST, PARSE_ERROR, RpcError};

/// One call as it came.
#[derive(Debug, Deserialize)]
pub(crate) struct Request<'a> {
    /// Echoed as it came.
    #[serde(borrow, default)]
    pub(crate) id: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) method: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(crate) params: Option<&'a RawValue>,
    #[serde(borrow, default)]
    jsonrpc: Option<Cow<'a, str>>,
}

/// A message: one call or several.
#[derive(Debug)]
pub(crate) enum Message<'a> {
    /// One.
    Single(&'a str),
    /// Several; each element is still to be parsed.
    Batch(Vec<&'a RawValue>),
}

/// What a first look at the bytes of a message tells.
#[derive(Debug, PartialEq, Eq)]
struct Outline {
    depth: usize,
    elements: usize,
}

/// Nesting and number of top-level commas, in one pass that takes no memory. Malformed text gives some
/// outline: the parser refuses it afterwards.
fn outline(text: &str) -> Outline {
    let (mut depth, mut deepest, mut commas) = (0usize, 0usize, 0usize);
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'"' => at = string_end(bytes, at),
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' if depth == 1 => commas += 1,
            _ => {}
        }
    }
    Outline { depth: deepest, elements: commas + 1 }
}

/// Where the string whose text starts at `at` is over. Most of what comes is in strings, so they are searched in
/// large steps.
fn string_end(bytes: &[u8], mut at: usize) -> usize {
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        at += found + 1;
        if bytes[at - 1] == b'"' {
            return at;
        }
        // What an escape stands before ends nothing.
        at += 1;
    }
    bytes.len()
}

/// Checks the limits of a message before any of it is parsed.
pub(crate) fn parse_message(
    bytes: &[u8],
    depth_max: usize,
    batch_max: usize,
) -> Result<Message<'_>, RpcError> {
    let malformed =
        |error: &dyn std::fmt::Display| RpcError::new(PARSE_ERROR, format!("parse error: {error}"));
    let text = std::str::from_utf8(bytes).map_err(|error| malformed(&error))?.trim_ascii();
    let outline = outline(text);
    if outline.depth > depth_max {
        let words = format!("request nests {} levels deep; the limit is {depth_max}", outline.depth);
        return Err(RpcError::new(INVALID_REQUEST, words));
    }
    match text.as_bytes().first() {
        Some(b'{') => Ok(Message::Single(text)),
        Some(b'[') => {
            if outline.elements > batch_max {
                let words = format!(
                    "batch too large: {} calls, the limit is {batch_max}; send it in parts",
                    outline.elements
                );
                return Err(RpcError::new(INVALID_REQUEST, words));
            }
            let calls: Vec<&RawValue> = serde_json::from_str(text).map_err(|error| malformed(&error))?;
            if calls.is_empty() {
                return Err(RpcError::new(INVALID_REQUEST, "empty batch"));
            }
            Ok(Message::Batch(calls))
        }
        None => Err(malformed(&"the request is empty")),
        Some(_) => Err(malformed(&"a request is an object, or an array of objects")),
    }
}

/// Parses one call; the error comes with whatever id could be read.
pub(crate) fn parse_call(text: &str) -> Result<Request<'_>, (RpcError, Option<&RawValue>)> {
    #[derive(Deserialize)]
    struct IdOnly<'a> {
        #[serde(borrow, default)]
        id: Option<&'a RawValue>,
    }
    let request: Request<'_> = serde_json::from_str(text).map_err(|error| {
        let id =
            serde_json::from_str::<IdOnly<'_>>(text).ok().and_then(|call| call.id).filter(|id| valid_id(id));
        let code = if error.is_data() { INVALID_REQUEST } else { PARSE_ERROR };
        let what = if error.is_data() { "invalid request" } else { "parse error" };
        (RpcError::new(code, format!("{what}: {error}")), id)
    })?;
    if request.id.is_some_and(|id| !valid_id(id)) {
        return Err((RpcError::new(INVALID_REQUEST, "id must be a string, a number or null"), None));
    }
    if request.jsonrpc.as_deref().is_some_and(|version| version != "2.0") {
        return Err((RpcError::new(INVALID_REQUEST, "jsonrpc must be \"2.0\""), request.id));
    }
    Ok(request)
}

fn valid_id(id: &RawValue) -> bool {
    !matches!(id.get().as_bytes().first(), Some(b'{' | b'[' | b't' | b'f') | None)
}

/// Appends a response.
pub(crate) fn write_response(out: &mut String, id: Option<&RawValue>, reply: &Result<String, RpcError>) {
    out.push_str(r#"{"jsonrpc":"2.0","id":"#);
    out.push_str(id.map_or("null", RawValue::get));
    match reply {
        Ok(result) => {
            out.push_str(r#","result":"#);
            out.push_str(result);
        }
        Err(error) => {
            out.push_str(r#","error":"#);
            out.push_str(&serde_json::to_string(error).expect("an error has only string keys"));
        }
    }
    out.push('}');
}

/// A response that answers no call in particular.
pub(crate) fn error_response(error: RpcError) -> String {
    let mut out = String::new();
    write_response(&mut out, None, &Err(error));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn limits_are_seen_before_parsing() {
        let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
        assert_eq!(parse_message(deep.as_bytes(), 64, 10).unwrap_err().code, INVALID_REQUEST);
        assert!(parse_message(b"[1,2,3]", 64, 2).unwrap_err().message.contains("3 calls"));
        assert!(matches!(parse_message(b"[1,2]", 64, 2), Ok(Message::Batch(calls)) if calls.len() == 2));
        assert_eq!(parse_message(b"[]", 64, 2).unwrap_err().message, "empty batch");
        assert_eq!(parse_message(b" ", 64, 2).unwrap_err().code, PARSE_ERROR);
        assert_eq!(parse_message(b"[1,", 64, 9).unwrap_err().code, PARSE_ERROR);
        assert_eq!(parse_message(b"\xff", 64, 9).unwrap_err().code, PARSE_ERROR);
    }

    #[test]
    fn brackets_in_strings_do_not_nest() {
        assert_eq!(outline(r#"["[[[\"{{", {}]"#), Outline { depth: 2, elements: 2 });
        assert_eq!(outline(r#"["\\",["\\\"]"]]"#), Outline { depth: 2, elements: 2 });
        for unfinished in [r#"["[,"#, r#"["[,\"#, r#"["[,\""#, "[\""] {
            assert_eq!(outline(unfinished), Outline { depth: 1, elements: 1 }, "{unfinished}");
        }
    }

    #[test]
    fn ids_are_echoed_or_refused() {
        for id in ["1", "-1", "1.5", "\"x\"", "null"] {
            let text = format!(r#"{{"id":{id},"method":"m"}}"#);
            let call = parse_call(&text).unwrap();
            assert_eq!(call.id.map_or("null", RawValue::get), id);
        }
        assert!(parse_call(r#"{"id":{},"method":"m"}"#).is_err());
        let (error, id) = parse_call(r#"{"id":7}"#).unwrap_err();
        assert_eq!((error.code, id.unwrap().get()), (INVALID_REQUEST, "7"));
        assert_eq!(parse_call(r#"{"id":7,"#).unwrap_err().0.code, PARSE_ERROR);
        assert!(parse_call(r#"{"jsonrpc":"1.0","method":"m"}"#).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_harmless(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(Message::Single(text)) = parse_message(&bytes, 64, 10) {
                let _ = parse_call(text);
            }
        }

        #[test]
        fn the_outline_of_valid_arrays_is_exact(values in prop::collection::vec(".{0,12}", 1..20)) {
            let text = serde_json::to_string(&values).unwrap();
            prop_assert_eq!(outline(&text), Outline { depth: 1, elements: values.len() });
        }
    }
}
