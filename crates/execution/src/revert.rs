//! What a contract said when it reverted.

use alloy_primitives::{Bytes, U256, hex};
use alloy_sol_types::{SolValue, sol_data};

const ERROR_SELECTOR: [u8; 4] = hex!("08c379a0");
const PANIC_SELECTOR: [u8; 4] = hex!("4e487b71");

/// The decoded data of a revert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RevertReason {
    /// `Error(string)`: a message.
    Message(String),
    /// `Panic(uint256)`: a check that the compiler put in.
    Panic(U256),
    /// A custom error: selector and arguments, which only its ABI can read.
    Custom(Bytes),
    /// No data at all.
    Empty,
}

impl RevertReason {
    /// Decodes the data of a revert.
    #[must_use]
    pub fn decode(output: &Bytes) -> Self {
        let Some((selector, arguments)) = output.split_first_chunk::<4>() else {
            return if output.is_empty() { Self::Empty } else { Self::Custom(output.clone()) };
        };
        match *selector {
            ERROR_SELECTOR => <(sol_data::String,) as alloy_sol_types::SolType>::abi_decode_params(arguments)
                .map_or_else(|_| Self::Custom(output.clone()), |(text,)| Self::Message(text)),
            PANIC_SELECTOR => {
                U256::abi_decode(arguments).map_or_else(|_| Self::Custom(output.clone()), Self::Panic)
            }
            _ => Self::Custom(output.clone()),
        }
    }
}

/// The meaning of a panic code of the Solidity compiler.
#[must_use]
pub fn panic_meaning(code: U256) -> &'static str {
    let Ok(code) = u64::try_from(code) else { return "unknown panic code" };
    match code {
        0x00 => "generic panic",
        0x01 => "assert(false)",
        0x11 => "arithmetic underflow or overflow",
        0x12 => "division or modulo by zero",
        0x21 => "enum overflow",
        0x22 => "invalid encoded storage byte array accessed",
        0x31 => "out-of-bounds array access; popping on an empty array",
        0x32 => "out-of-bounds access of an array or bytesN",
        0x41 => "out of memory",
        0x51 => "uninitialized function",
        _ => "unknown panic code",
    }
}

/// The message of an RPC error for a reverted call: `execution reverted`, and the reason when it can be read.
#[must_use]
pub fn describe_revert(output: &Bytes) -> String {
    match RevertReason::decode(output) {
        RevertReason::Message(text) => format!("execution reverted: {text}"),
        RevertReason::Panic(code) => format!("execution reverted: {}", panic_meaning(code)),
        RevertReason::Custom(_) | RevertReason::Empty => "execution reverted".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_selector(selector: [u8; 4], arguments: &[u8]) -> Bytes {
        [selector.as_slice(), arguments].concat().into()
    }

    #[test]
    fn messages_panics_and_custom_errors_are_told_apart() {
        let message = with_selector(ERROR_SELECTOR, &("not enough",).abi_encode_params());
        assert_eq!(describe_revert(&message), "execution reverted: not enough");
        let panic = with_selector(PANIC_SELECTOR, &U256::from(0x11).abi_encode());
        assert_eq!(describe_revert(&panic), "execution reverted: arithmetic underflow or overflow");
        let custom = with_selector([1, 2, 3, 4], &[]);
        assert_eq!(RevertReason::decode(&custom), RevertReason::Custom(custom.clone()));
        assert_eq!(describe_revert(&custom), "execution reverted");
        assert_eq!(RevertReason::decode(&Bytes::new()), RevertReason::Empty);
    }

    #[test]
    fn malformed_data_stays_raw() {
        for data in
            [with_selector(ERROR_SELECTOR, &[0xff; 40]), with_selector(PANIC_SELECTOR, &[1]), vec![8].into()]
        {
            assert_eq!(RevertReason::decode(&data), RevertReason::Custom(data.clone()));
        }
    }
}
