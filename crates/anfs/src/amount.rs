//! Amounts of value: `1.5afs`, `20gwei`, `7`.

use std::str::FromStr;

use alloy_primitives::U256;

/// Digits that one AFS is divided into: 10^18 wei.
const AFS_DIGITS: usize = 18;
const GWEI_DIGITS: usize = 9;
/// More characters than any amount has.
const CHARS_MAX: usize = 128;

/// An amount in wei.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Amount(pub(crate) U256);

impl FromStr for Amount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no amount: write 5, 5wei, 20gwei, 1.5afs or 1.5ether");
        if text.len() > CHARS_MAX {
            return Err("the amount is too long".to_owned());
        }
        let end = text.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '_'))).unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let digits = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "wei" => 0,
            "gwei" => GWEI_DIGITS,
            "afs" | "ether" | "eth" => AFS_DIGITS,
            _ => return Err(wrong()),
        };
        let number = number.replace('_', "");
        let (whole, fraction) = number.split_once('.').unwrap_or((&number, ""));
        if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
            return Err(wrong());
        }
        let fraction = fraction.trim_end_matches('0');
        if fraction.len() > digits {
            return Err(format!("{text:?} is finer than one wei, which cannot be divided"));
        }
        U256::from_str_radix(&format!("0{whole}{fraction:0<digits$}"), 10)
            .map(Self)
            .map_err(|_| format!("{text:?} is more than 2^256 wei"))
    }
}

/// An amount as people read it, exact, in the unit that suits its size.
pub(crate) fn amount_text(wei: U256) -> String {
    let ten = U256::from(10);
    if wei.is_zero() || wei >= ten.pow(U256::from(15)) {
        format!("{} AFS", decimal(wei, AFS_DIGITS))
    } else if wei >= ten.pow(U256::from(6)) {
        format!("{} gwei", decimal(wei, GWEI_DIGITS))
    } else {
        format!("{wei} wei")
    }
}

/// `value` / 10^`digits`, without needless zeros.
pub(crate) fn decimal(value: U256, digits: usize) -> String {
    let (whole, fraction) = value.div_rem(U256::from(10).pow(U256::from(digits)));
    let fraction = format!("{fraction:0>digits$}");
    match fraction.trim_end_matches('0') {
        "" => whole.to_string(),
        rest => format!("{whole}.{rest}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wei(text: &str) -> Option<u128> {
        text.parse().ok().map(|Amount(wei)| wei.to::<u128>())
    }

    #[test]
    fn units_are_understood() {
        assert_eq!(wei("7"), Some(7));
        assert_eq!(wei("7 wei"), Some(7));
        assert_eq!(wei("0.25gwei"), Some(250_000_000));
        assert_eq!(wei("1.5AFS"), Some(1_500_000_000_000_000_000));
        assert_eq!(wei("1_000ether"), Some(10u128.pow(21)));
        assert_eq!(wei(".5gwei"), Some(500_000_000));
        assert_eq!(wei("1.0"), Some(1));
    }

    #[test]
    fn nonsense_is_refused() {
        let long = "9".repeat(90);
        for bad in
            ["", ".", "afs", "1.2.3afs", "1.5", "0.0000000001gwei", "-1", "1e18", "1btc", "0x10", &long]
        {
            assert!(bad.parse::<Amount>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn amounts_are_shown_in_a_fitting_unit() {
        let text = |wei: u128| amount_text(U256::from(wei));
        assert_eq!(text(0), "0 AFS");
        assert_eq!(text(1), "1 wei");
        assert_eq!(text(1_500_000_000), "1.5 gwei");
        assert_eq!(text(1_500_000_000_000_000_000), "1.5 AFS");
        assert_eq!(text(10_000 * 10u128.pow(18)), "10000 AFS");
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(value in any::<[u8; 32]>(), shift in 0usize..256) {
            let wei = U256::from_be_bytes(value) >> shift;
            prop_assert_eq!(amount_text(wei).parse(), Ok(Amount(wei)));
        }

        #[test]
        fn any_text_is_harmless(text in ".{0,40}") {
            let _ = text.parse::<Amount>();
        }
    }
}
