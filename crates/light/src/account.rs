//! Accounts, their slots, and where they live.

use alloy_primitives::{Address, B256, U256, keccak256};
use anfs_primitives::crossing::route_code;
use anfs_primitives::{BoundedVec, DomainId, DomainMap, SealedHeader};
use anfs_state::{AccountLeaf, EMPTY_ROOT, read_account, read_slot};
use borsh::{BorshDeserialize, BorshSerialize};

use crate::{FinalBlock, FinalRoot, Nodes, ProofError, SLOTS_MAX, slices};

/// An account of one shard, or its absence, after the newest final block.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct AccountProof {
    /// The header of that block.
    pub header: SealedHeader,
    /// From its state root to the account.
    pub nodes: Nodes,
    /// From the account's storage root to each slot that was asked for.
    pub slots: BoundedVec<Nodes, SLOTS_MAX>,
}

/// An account where it lives, or the proof that it is nowhere.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ResidentProof {
    /// In its home. The slots are proven where it lives.
    pub home: AccountProof,
    /// Where its home's route leads, if it holds one.
    pub away: Option<AccountProof>,
}

/// An account where it lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resident {
    /// The shard whose range of hash prefixes holds the address.
    pub home: DomainId,
    /// The newest final block of the shard where it lives.
    pub block: FinalBlock,
    /// Whether a route of its home leads there.
    pub routed: bool,
    /// The account; `None` if there is none.
    pub account: Option<AccountLeaf>,
    /// What the slots hold, in the order in which they were asked for.
    pub slots: Vec<U256>,
}

impl AccountProof {
    /// Checks it against a root block; gives the shard's block, the account in that shard, be it a route, and its slots.
    ///
    /// # Errors
    /// [`ProofError`].
    pub fn verify(
        &self,
        root: &FinalRoot,
        address: &Address,
        slots: &[B256],
    ) -> Result<(FinalBlock, Option<AccountLeaf>, Vec<U256>), ProofError> {
        let block = FinalBlock::tip(root, &self.header)?;
        let account = read_account(block.state_root, address, slices(&self.nodes))
            .map_err(ProofError::trie("account"))?;
        if self.slots.len() != slots.len() {
            return Err(ProofError::Slots { have: self.slots.len(), want: slots.len() });
        }
        let storage_root = account.map_or(EMPTY_ROOT, |account| account.storage_root);
        let values = slots.iter().zip(&self.slots);
        let values = values.map(|(slot, nodes)| read_slot(storage_root, slot, slices(nodes)));
        let values = values.collect::<Result<Vec<_>, _>>().map_err(ProofError::trie("slot"))?;
        Ok((block, account, values))
    }
}

impl ResidentProof {
    /// Checks it against a root block. spec: Domains D1, D4
    ///
    /// # Errors
    /// [`ProofError`].
    pub fn verify(
        &self,
        root: &FinalRoot,
        address: &Address,
        slots: &[B256],
    ) -> Result<Resident, ProofError> {
        let shards = u32::try_from(root.tips.len()).unwrap_or(u32::MAX);
        let home = DomainMap::new(shards.max(1)).home(address);
        let asked_at_home = if self.away.is_none() { slots } else { &[] };
        let (block, account, values) = self.home.verify(root, address, asked_at_home)?;
        if block.domain != home {
            return Err(ProofError::Domain { have: block.domain, want: home });
        }
        let route = account.and_then(|account| route_of(&account, shards));
        match (route, &self.away) {
            (None, None) => Ok(Resident { home, block, routed: false, account, slots: values }),
            (None, Some(away)) => Err(ProofError::NoRoute(away.header.domain)),
            (Some(domain), None) => Err(ProofError::Elsewhere(domain)),
            (Some(domain), Some(away)) => {
                let (block, account, slots) = away.verify(root, address, slots)?;
                if block.domain != domain {
                    return Err(ProofError::Domain { have: block.domain, want: domain });
                }
                Ok(Resident { home, block, routed: true, account, slots })
            }
        }
    }
}

/// Where an account's code leads, if it is a route. spec: Domains D4
fn route_of(account: &AccountLeaf, shards: u32) -> Option<DomainId> {
    (1..=shards).map(DomainId).find(|domain| keccak256(route_code(*domain)) == account.info.code_hash)
}
