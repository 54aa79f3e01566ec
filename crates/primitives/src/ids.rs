//! Identifiers as newtypes, so that a height is never taken for a slot.

use std::fmt;

use alloy_primitives::B256;
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

macro_rules! counter {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash,
            BorshSerialize, BorshDeserialize, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl $name {
            /// The first value.
            pub const ZERO: Self = Self(0);

            /// The value after this one.
            ///
            /// # Panics
            /// On overflow, which no run of the protocol reaches.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0.checked_add(1).expect("protocol counters do not overflow"))
            }

            /// The value before this one, or `None` at zero.
            #[must_use]
            pub fn prev(self) -> Option<Self> {
                self.0.checked_sub(1).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<$inner> for $name {
            fn from(value: $inner) -> Self {
                Self(value)
            }
        }
    };
}

counter! {
    /// The network's id: the EIP-155 chain id that wallets sign for. Every protocol signature binds it.
    NetworkId(u64)
}
counter! {
    /// A state machine with its own account trie: 0 is the root, 1..=k are the shards. spec: PROTOCOL §0
    DomainId(u32)
}
counter! {
    /// A block's position in its domain's chain; genesis is 0.
    Height(u64)
}
counter! {
    /// A span of `slot_ms` counted from genesis time. Slots may be skipped, heights may not.
    Slot(u64)
}
counter! {
    /// The iteration T of the paper, between two reshuffles of the seats.
    Epoch(u64)
}
counter! {
    /// An attempt at one height; view 0 is led by the acting sequence generator. spec: PROTOCOL §4
    View(u64)
}
counter! {
    /// A seat of one shard's group: 0 is the SG, `i + 1` is its `i`-th SV.
    SeatIndex(u16)
}

impl DomainId {
    /// The root's own domain.
    pub const ROOT: Self = Self(0);
}

impl SeatIndex {
    /// The sequence generator's seat.
    pub const GENERATOR: Self = Self(0);

    /// The seat of the `index`-th verifier (0-based).
    #[must_use]
    pub fn verifier(index: u16) -> Self {
        Self(index.checked_add(1).expect("a shard has far fewer than 65535 verifiers"))
    }

    /// The 0-based verifier index of this seat, or `None` for the generator.
    #[must_use]
    pub fn verifier_index(self) -> Option<usize> {
        self.0.checked_sub(1).map(usize::from)
    }
}

/// The hash that names a shard block: keccak-256 over a domain tag and the header's canonical encoding.
pub type BlockHash = B256;
