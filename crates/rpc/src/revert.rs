//! The reason that Solidity packs into the return data of a revert.

use alloy_primitives::{U256, hex};

/// `Error(string)`
const ERROR_SELECTOR: [u8; 4] = hex!("08c379a0");
/// `Panic(uint256)`
const PANIC_SELECTOR: [u8; 4] = hex!("4e487b71");

/// The text of `Error(string)` or `Panic(uint256)`; `None` for custom errors and malformed data.
pub(crate) fn reason(output: &[u8]) -> Option<String> {
    let (selector, arguments) = output.split_first_chunk::<4>()?;
    match *selector {
        ERROR_SELECTOR => error_text(arguments),
        PANIC_SELECTOR => Some(panic_text(U256::from_be_slice(arguments.get(..32)?))),
        _ => None,
    }
}

fn error_text(arguments: &[u8]) -> Option<String> {
    let word = |at: usize| -> Option<usize> {
        let bytes = arguments.get(at..at.checked_add(32)?)?;
        usize::try_from(U256::from_be_slice(bytes)).ok()
    };
    let offset = word(0)?;
    let len = word(offset)?;
    let start = offset.checked_add(32)?;
    let text = arguments.get(start..start.checked_add(len)?)?;
    Some(String::from_utf8_lossy(text).into_owned())
}

fn panic_text(code: U256) -> String {
    let words = match u64::try_from(code) {
        Ok(0x00) => "generic panic",
        Ok(0x01) => "assert(false)",
        Ok(0x11) => "arithmetic underflow or overflow",
        Ok(0x12) => "division or modulo by zero",
        Ok(0x21) => "enum overflow",
        Ok(0x22) => "invalid encoded storage byte array accessed",
        Ok(0x31) => "out-of-bounds array access; popping on an empty array",
        Ok(0x32) => "out-of-bounds access of an array or bytesN",
        Ok(0x41) => "out of memory",
        Ok(0x51) => "uninitialized function",
        _ => return format!("unknown panic code: {code:#x}"),
    };
    words.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn error(text: &str) -> Vec<u8> {
        let mut data = ERROR_SELECTOR.to_vec();
        data.extend(U256::from(32).to_be_bytes::<32>());
        data.extend(U256::from(text.len()).to_be_bytes::<32>());
        data.extend(text.as_bytes());
        data.resize(data.len().next_multiple_of(32) + 4, 0);
        data
    }

    #[test]
    fn reasons_are_decoded() {
        assert_eq!(reason(&error("no funds")).as_deref(), Some("no funds"));
        let mut panic = PANIC_SELECTOR.to_vec();
        panic.extend(U256::from(0x11).to_be_bytes::<32>());
        assert_eq!(reason(&panic).as_deref(), Some("arithmetic underflow or overflow"));
        assert_eq!(reason(&[1, 2, 3, 4, 5]), None);
        assert_eq!(reason(&[]), None);
    }

    proptest! {
        #[test]
        fn hostile_return_data_is_harmless(tail in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = reason(&tail);
            let _ = reason(&[ERROR_SELECTOR.as_slice(), &tail].concat());
            let _ = reason(&[PANIC_SELECTOR.as_slice(), &tail].concat());
        }

        #[test]
        fn every_text_comes_back(text in ".{0,80}") {
            prop_assert_eq!(reason(&error(&text)), Some(text));
        }
    }
}
