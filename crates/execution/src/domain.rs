//! Where the accounts that an execution meets live, seen from one domain.
//!
//! spec: PROTOCOL §8; Domains D1–D5

use std::sync::Arc;

use alloy_primitives::map::B256Map;
use alloy_primitives::{Address, B256, U256, keccak256};
use anfs_primitives::crossing::route_code;
use anfs_primitives::{DomainId, DomainMap, InboxCursor, LaneCount, NetworkId, Slot};

use crate::system::{HISTORY_STORAGE, SYSTEM_ADDRESS};

/// The domain that a block belongs to, and how far its lanes were before the block.
#[derive(Clone, Debug)]
pub struct DomainEnv {
    /// Network.
    pub network: NetworkId,
    /// The domain.
    pub domain: DomainId,
    /// Homes.
    pub map: DomainMap,
    /// Slot of the block.
    pub slot: Slot,
    /// Slots that a departing call has to arrive in.
    pub call_lifetime: u64,
    /// Messages sent before the block, by destination.
    pub sent: Vec<LaneCount>,
    /// Messages consumed before the block, by source.
    pub consumed: Vec<InboxCursor>,
}

/// Where an account lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Residence {
    /// In this domain.
    Here,
    /// In another.
    At(DomainId),
}

/// What an overlay needs to know of its domain.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    domain: DomainId,
    map: DomainMap,
    /// The domain that each route's code points to, by the code's hash.
    routes: Arc<B256Map<DomainId>>,
}

impl Place {
    /// The place of a domain: the hashes of all routes are worked out here, once a block.
    pub(crate) fn new(domain: DomainId, map: DomainMap) -> Self {
        let routes = (0..=map.shards()).map(DomainId).map(|to| (keccak256(route_code(to)), to));
        Self { domain, map, routes: Arc::new(routes.collect()) }
    }

    /// The domain itself.
    pub(crate) fn domain(&self) -> DomainId {
        self.domain
    }

    /// The home of an address.
    fn home(&self, address: &Address) -> DomainId {
        self.map.home(address)
    }

    /// Where an account of which the trie says this lives.
    pub(crate) fn residence(&self, address: &Address, found: Option<Found>) -> Residence {
        if is_everywhere(address) {
            return Residence::Here;
        }
        if let Some(found) = found {
            if let Some(to) = self.routes.get(&found.code_hash) {
                return Residence::At(*to);
            }
            if found.nonce > 0 || found.code_hash != alloy_primitives::KECCAK256_EMPTY {
                return Residence::Here;
            }
        }
        match self.home(address) {
            home if home == self.domain => Residence::Here,
            home => Residence::At(home),
        }
    }
}

/// What a trie holds of an account, as far as it tells where the account lives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    /// Nonce.
    pub(crate) nonce: u64,
    /// Hash of the code.
    pub(crate) code_hash: B256,
}

/// Whether every domain has an account of its own at the address. spec: Domains D3
#[must_use]
pub fn is_everywhere(address: &Address) -> bool {
    // Precompiles have small numbers for addresses; 0x100 is that of EIP-7951, 0x1c0 that of `CrossDomain`.
    let number = U256::from_be_slice(address.as_slice());
    (U256::from(1)..=U256::from(0x1ff)).contains(&number)
        || *address == HISTORY_STORAGE
        || *address == SYSTEM_ADDRESS
}
