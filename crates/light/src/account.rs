//! Accounts, their slots, and where they live.

use alloy_primitives::{Address, B256, U256, keccak256};
use anfs_primitives::crossing::route_code;
use anfs_primitives::{BoundedVec, DomainId, DomainMap, Height, SealedHeader};
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

/// An account of the root, or its absence, after the newest block of which a root block tells: the one before it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RootAccountProof {
    /// From the root domain's state root to the account.
    pub nodes: Nodes,
    /// From the account's storage root to each slot that was asked for.
    pub slots: BoundedVec<Nodes, SLOTS_MAX>,
}

/// An account of any domain where it lives, or the proof that it is nowhere.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum AddressProof {
    /// Its home is a shard.
    Shard(ResidentProof),
    /// Its home is the root.
    Root(RootAccountProof),
}

/// An account where it lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resident {
    /// The domain whose addresses this one is among.
    pub home: DomainId,
    /// Where it lives.
    pub domain: DomainId,
    /// The newest final block there: the account is as it was after that.
    pub height: Height,
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
        let (account, values) = read(block.state_root, address, &self.nodes, slots, &self.slots)?;
        Ok((block, account, values))
    }
}

/// The account under a state root, and its slots.
fn read(
    state_root: B256,
    address: &Address,
    nodes: &Nodes,
    slots: &[B256],
    proven: &[Nodes],
) -> Result<(Option<AccountLeaf>, Vec<U256>), ProofError> {
    let account = read_account(state_root, address, slices(nodes)).map_err(ProofError::trie("account"))?;
    if proven.len() != slots.len() {
        return Err(ProofError::Slots { have: proven.len(), want: slots.len() });
    }
    let storage_root = account.map_or(EMPTY_ROOT, |account| account.storage_root);
    let values = slots.iter().zip(proven);
    let values = values.map(|(slot, nodes)| read_slot(storage_root, slot, slices(nodes)));
    let values = values.collect::<Result<Vec<_>, _>>().map_err(ProofError::trie("slot"))?;
    Ok((account, values))
}

/// How many shards a network has, and which of its domains is an address's home.
fn home(root: &FinalRoot, address: &Address) -> (u32, DomainId) {
    let shards = u32::try_from(root.tips.len()).unwrap_or(u32::MAX);
    (shards, DomainMap::new(shards.max(1)).home(address))
}

impl AddressProof {
    /// Checks it against a root block.
    ///
    /// # Errors
    /// [`ProofError`].
    pub fn verify(
        &self,
        root: &FinalRoot,
        address: &Address,
        slots: &[B256],
    ) -> Result<Resident, ProofError> {
        match self {
            Self::Shard(proof) => proof.verify(root, address, slots),
            Self::Root(proof) => proof.verify(root, address, slots),
        }
    }
}

impl RootAccountProof {
    /// Checks it against a root block. spec: Root F12, F16
    ///
    /// # Errors
    /// [`ProofError`].
    pub fn verify(
        &self,
        root: &FinalRoot,
        address: &Address,
        slots: &[B256],
    ) -> Result<Resident, ProofError> {
        let (_, home) = home(root, address);
        if home != DomainId::ROOT {
            return Err(ProofError::Domain { have: DomainId::ROOT, want: home });
        }
        let (account, slots) = read(root.execution.state_root, address, &self.nodes, slots, &self.slots)?;
        // Genesis tells of itself, and so does the block after it.
        let height = root.height.prev().unwrap_or_default();
        Ok(Resident { home, domain: home, height, routed: false, account, slots })
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
        let (shards, home) = home(root, address);
        let asked_at_home = if self.away.is_none() { slots } else { &[] };
        let (block, account, values) = self.home.verify(root, address, asked_at_home)?;
        if block.domain != home {
            return Err(ProofError::Domain { have: block.domain, want: home });
        }
        let route = account.and_then(|account| route_of(&account, shards));
        match (route, &self.away) {
            (None, None) => {
                let height = block.height;
                Ok(Resident { home, domain: home, height, routed: false, account, slots: values })
            }
            (None, Some(away)) => Err(ProofError::NoRoute(away.header.domain)),
            (Some(domain), None) => Err(ProofError::Elsewhere(domain)),
            (Some(domain), Some(away)) => {
                let (block, account, slots) = away.verify(root, address, slots)?;
                if block.domain != domain {
                    return Err(ProofError::Domain { have: block.domain, want: domain });
                }
                Ok(Resident { home, domain, height: block.height, routed: true, account, slots })
            }
        }
    }
}

/// Where an account's code leads, if it is a route. spec: Domains D4
fn route_of(account: &AccountLeaf, shards: u32) -> Option<DomainId> {
    (1..=shards).map(DomainId).find(|domain| keccak256(route_code(*domain)) == account.info.code_hash)
}
