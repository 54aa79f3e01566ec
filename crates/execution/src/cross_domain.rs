//! `CrossDomain` and the ERC-7786 gateway: how contracts call accounts of other domains.
//!
//! ```text
//!   contract ── send{value}(to, …) ─▶ precompile ── note in its log ─▶ executor, after the transaction ─▶ message
//!                                        │ coins stay in its account            takes them out ─▲
//!                                        └ word of who waits for a result, by the call's id
//! ```
//!
//! Log, coins and word are undone with the frame that made them, so a call that reverts has sent nothing.
//! spec: PROTOCOL §9; Domains D16–D23; ADR 10

#[expect(clippy::too_many_arguments, reason = "events have as many fields as they have")]
mod abi;
mod gateway;
mod note;
mod precompile;

use alloy_primitives::{Address, B256, Bytes, U256, address, b256, bytes};
use anfs_primitives::DomainId;

pub(crate) use abi::{IERC7786Recipient, IResultReceiver};
pub(crate) use gateway::interoperable;
pub(crate) use note::{Sent, withdraw};
pub(crate) use precompile::run;

/// Where every domain has its `CrossDomain`.
pub const CROSS_DOMAIN: Address = address!("00000000000000000000000000000000000001c0");
/// Where every domain has its ERC-7786 gateway.
pub const GATEWAY: Address = address!("00000000000000000000000000000000000001c1");

/// The code of both, which never runs: it is what compilers look for before they call, and an address without it is
/// an ordinary account.
pub const CROSS_DOMAIN_CODE: Bytes = bytes!("fe");
/// Hash of [`CROSS_DOMAIN_CODE`].
pub(crate) const CODE_HASH: B256 = b256!("bcc90f2d6dada5b18e155c17a1c0a55920aae94f39857d39d0d8ed07ae8f228b");

/// Slot of the number of calls that were sent; those of results that are waited for have the call's id for a key.
pub(crate) const COUNT_SLOT: U256 = U256::ZERO;

/// Who waits for the result of a call: one word of storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pending {
    /// Who is told.
    pub(crate) sender: Address,
    /// Who alone may answer.
    pub(crate) domain: DomainId,
    /// Gas for telling.
    pub(crate) gas_limit: u64,
}

impl Pending {
    /// `sender ‖ domain ‖ gas limit`: never zero, for no sender is.
    pub(crate) fn to_word(self) -> U256 {
        let mut word = [0; 32];
        word[..20].copy_from_slice(self.sender.as_slice());
        word[20..24].copy_from_slice(&self.domain.0.to_be_bytes());
        word[24..].copy_from_slice(&self.gas_limit.to_be_bytes());
        U256::from_be_bytes(word)
    }

    /// Reads a word; `None` when nobody waits.
    pub(crate) fn of_word(word: U256) -> Option<Self> {
        if word.is_zero() {
            return None;
        }
        let bytes = word.to_be_bytes::<32>();
        Some(Self {
            sender: Address::from_slice(&bytes[..20]),
            domain: DomainId(u32::from_be_bytes(bytes[20..24].try_into().expect("four bytes"))),
            gas_limit: u64::from_be_bytes(bytes[24..].try_into().expect("eight bytes")),
        })
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::keccak256;

    use super::*;

    #[test]
    fn the_code_has_its_hash() {
        assert_eq!(keccak256(CROSS_DOMAIN_CODE), CODE_HASH);
    }

    #[test]
    fn who_waits_reads_back() {
        let pending = Pending { sender: CROSS_DOMAIN, domain: DomainId(7), gas_limit: 0x0102_0304_0506_0708 };
        assert_eq!(Pending::of_word(pending.to_word()), Some(pending));
        assert_eq!(Pending::of_word(U256::ZERO), None);
    }
}
