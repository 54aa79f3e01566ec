//! Where an address lives, and its state there.
//!
//! spec: PROTOCOL §8; Domains D1–D4

use alloy_primitives::{Address, B256, Bytes, keccak256};
use alloy_rpc_types_eth::EIP1186AccountProofResponse;
use anfs_primitives::DomainId;
use anfs_primitives::crossing::route_target;
use anfs_rpc::{AccountView, At, BackendError, StateReader};
use anfs_state::EMPTY_ROOT;

use super::NetworkBackend;
use super::backend::DomainBackend;
use super::view::row;

/// Where an address lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Residence {
    /// Its domain.
    pub(super) domain: DomainId,
    /// Whether a route of its home says so.
    pub(super) routed: bool,
}

impl NetworkBackend {
    /// What serves a domain, and its own block or pending state that belongs to the network's.
    pub(super) fn place(&self, at: At, domain: DomainId) -> Result<(&DomainBackend, At), BackendError> {
        let shard = self
            .domain(domain)
            .ok_or_else(|| BackendError::Internal(format!("the network has no domain {domain}")))?;
        let At::Block(height) = at else { return Ok((shard, At::Pending)) };
        let entry = self.view.entry(height)?;
        let tip = entry.as_ref().and_then(|entry| row(entry, domain)).map(|row| row.tip);
        let absent = || BackendError::InvalidParams(format!("block {height} does not exist yet"));
        Ok((shard, At::Block(tip.ok_or_else(absent)?)))
    }

    /// Reads from a domain's state; a state that it no longer has is told of in the network's heights.
    pub(super) fn read<T>(
        &self,
        at: At,
        domain: DomainId,
        read: impl FnOnce(&DomainBackend, At) -> Result<T, BackendError>,
    ) -> Result<T, BackendError> {
        let (shard, there) = self.place(at, domain)?;
        read(shard, there).map_err(|error| match (error, at, there) {
            (BackendError::StatePruned { .. }, At::Block(_), At::Block(tip))
                if shard.chain.head().height() < tip =>
            {
                BackendError::Internal(format!(
                    "the seat that serves domain {domain} catches up to its block {tip}: ask again"
                ))
            }
            (BackendError::StatePruned { oldest, .. }, At::Block(height), _) => {
                BackendError::StatePruned { height, oldest: self.view.oldest_at(domain, oldest) }
            }
            (error, ..) => error,
        })
    }

    /// Where an address lives: at home, unless its home has a route.
    pub(super) fn residence(&self, at: At, address: &Address) -> Result<Residence, BackendError> {
        let home = self.map.home(address);
        let route = self.read(at, home, |shard, there| {
            let account = shard.state.account(there, address)?;
            // A route's account has nonce 1 and nothing else: only such code is worth a look.
            if account.nonce != 1 || !account.balance.is_zero() {
                return Ok(None);
            }
            Ok(route_target(&shard.state.code(there, address)?))
        })?;
        let domain = route.filter(|domain| self.domain(*domain).is_some());
        Ok(Residence { domain: domain.unwrap_or(home), routed: domain.is_some() })
    }

    fn read_at_residence<T>(
        &self,
        at: At,
        address: &Address,
        read: impl FnOnce(&DomainBackend, At) -> Result<T, BackendError>,
    ) -> Result<T, BackendError> {
        self.read(at, self.residence(at, address)?.domain, read)
    }
}

impl StateReader for NetworkBackend {
    fn account(&self, at: At, address: &Address) -> Result<AccountView, BackendError> {
        self.read_at_residence(at, address, |shard, there| shard.state.account(there, address))
    }

    fn code(&self, at: At, address: &Address) -> Result<Bytes, BackendError> {
        let code = self.read_at_residence(at, address, |shard, there| shard.state.code(there, address))?;
        // A route is how the network finds an account, and no code of it.
        Ok(if route_target(&code).is_some() { Bytes::new() } else { code })
    }

    fn storage(&self, at: At, address: &Address, slot: &B256) -> Result<B256, BackendError> {
        self.read_at_residence(at, address, |shard, there| shard.state.storage(there, address, slot))
    }

    /// Slots are proven in the storage of the domain where the address lives, and its account in that of all domains.
    /// Nothing can be held against a head that is no network block yet: pending is the newest block here.
    fn proof(
        &self,
        at: At,
        address: &Address,
        slots: &[B256],
    ) -> Result<EIP1186AccountProofResponse, BackendError> {
        let height = match at {
            At::Block(height) => height,
            At::Pending => self.view.height(),
        };
        let at = At::Block(height);
        let proof =
            self.read_at_residence(at, address, |shard, there| shard.state.proof(there, address, slots))?;
        let accounts = self.view.accounts(height).map_err(|oldest| match oldest {
            Some(oldest) => BackendError::StatePruned { height, oldest },
            None => BackendError::Internal(format!(
                "this node does not know all accounts after block {height}: ask for a newer block, or later"
            )),
        })?;
        let (leaf, account_proof) = accounts.prove(&keccak256(address));
        let proven = leaf.map_or(EMPTY_ROOT, |leaf| leaf.storage_root);
        if proven != proof.storage_hash {
            return Err(BackendError::Internal(format!(
                "the accounts after block {height} and the shard of {address} do not say the same of its storage"
            )));
        }
        Ok(EIP1186AccountProofResponse { account_proof, ..proof })
    }
}
