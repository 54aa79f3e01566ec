//! The accounts of all domains in one trie, whose root is a network block's state root.
//!
//! ```text
//!   root     state ──┐
//!   shard 1  state ──┤ what changed          home of the address: its leaf there;
//!   shard 2  state ──┼──────────────▶ trie   where that is a route, the leaf at its end
//!   shard k  state ──┘
//! ```
//!
//! Nobody signs this root: who trusts no node holds proofs against the headers of the shards.
//!
//! spec: Network N11; Domains D1–D4

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use alloy_primitives::{B256, keccak256};
use anfs_primitives::crossing::{root_contract, route_code};
use anfs_primitives::{ChainSpec, DomainId, DomainMap, Height};
use anfs_state::{AccountLeaf, AccountTrie, StateError, WorldState};

use super::block::Domains;
use super::record::DomainRow;
use crate::error::NodeError;
use crate::genesis;
use crate::root::RootDomain;

/// Leaves that are put into the trie at once when all of them are gathered.
const GATHERED_AT_ONCE: usize = 1 << 16;

/// The state of each domain.
type States = BTreeMap<DomainId, WorldState>;

/// The accounts after a network block, if they are known.
#[derive(Debug)]
pub(crate) struct Accounts {
    homes: Homes,
    newest: Option<Newest>,
}

/// The heights of the domains' own blocks after a network block.
type Tips = BTreeMap<DomainId, Height>;

/// The accounts after the newest network block at which the states of all domains were at hand. The states themselves
/// are not kept: they would keep the folder of the seat that they are of open, which may be about to start again.
struct Newest {
    height: Height,
    tips: Tips,
    trie: AccountTrie,
}

impl fmt::Debug for Newest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Newest").field("height", &self.height).finish_non_exhaustive()
    }
}

impl Accounts {
    /// The accounts that a network begins with.
    pub(crate) fn genesis(spec: &ChainSpec, root: &RootDomain) -> Result<Self, NodeError> {
        let domains = (1u32..).map(DomainId).zip(&spec.shards).map(|(domain, _)| domain);
        let states = domains.map(|domain| Ok((domain, genesis::first_header(spec, domain)?.1)));
        let of_root = root.state_at(Height::ZERO).or_else(|_| genesis::root_state(spec));
        let of_root = std::iter::once(of_root.map(|state| (DomainId::ROOT, state)));
        let states = of_root.chain(states).collect::<Result<States, NodeError>>()?;
        let homes = Homes::new(spec.shards.len());
        let trie = homes.gather(&states)?;
        let tips = states.keys().map(|domain| (*domain, Height::ZERO)).collect();
        Ok(Self { homes, newest: Some(Newest { height: Height::ZERO, tips, trie }) })
    }

    /// The accounts, if they are known.
    pub(crate) fn trie(&self) -> Option<AccountTrie> {
        self.newest.as_ref().map(|newest| newest.trie.clone())
    }

    /// Their root, if they are known.
    pub(crate) fn root(&self) -> Option<B256> {
        self.newest.as_ref().map(|newest| newest.trie.root())
    }

    /// Gathers everything anew at the next block.
    pub(crate) fn forget(&mut self) {
        self.newest = None;
    }

    /// The accounts after a network block after which the domains stand like this; `None` where a state is gone.
    pub(crate) fn follow(
        &mut self,
        height: Height,
        rows: &[DomainRow],
        domains: &Domains,
    ) -> Option<AccountTrie> {
        let tips: Tips = (0u32..).map(DomainId).zip(rows).map(|(domain, row)| (domain, row.tip)).collect();
        let before = self.newest.take();
        let Some(after) = states(&tips, domains) else {
            tracing::debug!(%height, "a domain's state is gone: the state root is not known here");
            return None;
        };
        let followed = before.and_then(|before| {
            let then = states(&before.tips, domains)?;
            let changed = self.homes.changed(&then, &after).inspect_err(|error| {
                tracing::warn!(%height, %error, "what changed cannot be told: all accounts are gathered anew");
            });
            Some(before.trie.apply(&changed.ok()?))
        });
        let gathered = followed.map_or_else(|| self.homes.gather(&after), Ok);
        let gathered = gathered.inspect_err(|error| {
            tracing::warn!(%height, %error, "the accounts cannot be gathered: the state root is not known here");
        });
        let trie = gathered.ok()?;
        self.newest = Some(Newest { height, tips, trie: trie.clone() });
        Some(trie)
    }
}

/// The states after these blocks, if they are at hand: every seat holds those of several network blocks.
fn states(tips: &Tips, domains: &Domains) -> Option<States> {
    tips.iter().map(|(domain, tip)| Some((*domain, domains.reader(*domain)?.state(*tip)?))).collect()
}

/// Where addresses live, by their hashes.
#[derive(Clone, Debug)]
pub(crate) struct Homes {
    map: DomainMap,
    /// The hashed addresses of what lives in the root.
    of_root: BTreeSet<B256>,
    /// The domain that a route's code leads to, by its hash.
    routes: BTreeMap<B256, DomainId>,
}

impl Homes {
    fn new(shards: usize) -> Self {
        let shards = u32::try_from(shards).expect("validate() bounds the shards");
        let map = DomainMap::new(shards);
        let of_root = (0..=u8::MAX).map(root_contract).filter(|it| map.home(it) == DomainId::ROOT);
        Self {
            map,
            of_root: of_root.map(keccak256).collect(),
            routes: (0..=shards)
                .map(DomainId)
                .map(|domain| (keccak256(route_code(domain)), domain))
                .collect(),
        }
    }

    /// Where an address lives unless a route leads away, by its hash.
    fn home(&self, key: &B256) -> DomainId {
        if self.of_root.contains(key) { DomainId::ROOT } else { self.map.home_of_hash(key) }
    }

    /// Where an account leads whose home has this leaf.
    fn route(&self, leaf: &AccountLeaf) -> Option<DomainId> {
        let AccountLeaf { info, .. } = leaf;
        let bare = info.nonce == 1 && info.balance.is_zero();
        self.routes.get(&info.code_hash).copied().filter(|_| bare)
    }

    /// The leaf of an address whose home has this one.
    fn resident(
        &self,
        states: &States,
        key: &B256,
        at_home: Option<AccountLeaf>,
    ) -> Result<Option<AccountLeaf>, StateError> {
        match at_home.and_then(|leaf| self.route(&leaf)) {
            Some(domain) => leaf(states, domain, key),
            None => Ok(at_home),
        }
    }

    /// All accounts, each once, as they are where they live.
    fn gather(&self, states: &States) -> Result<AccountTrie, StateError> {
        let mut trie = AccountTrie::default();
        let mut leaves = BTreeMap::new();
        for (domain, state) in states {
            state.each_leaf::<StateError>(|key, at_home| {
                if self.home(key) == *domain {
                    leaves.insert(*key, self.resident(states, key, Some(at_home))?);
                }
                if leaves.len() >= GATHERED_AT_ONCE {
                    trie = trie.apply(&std::mem::take(&mut leaves));
                }
                Ok(())
            })?;
        }
        Ok(trie.apply(&leaves))
    }

    /// The accounts that may differ between two moments, as they are at the later one.
    fn changed(
        &self,
        before: &States,
        after: &States,
    ) -> Result<BTreeMap<B256, Option<AccountLeaf>>, StateError> {
        let mut changed = BTreeMap::new();
        let none = WorldState::empty();
        for (domain, state) in after {
            for (key, now) in state.leaves_since(before.get(domain).unwrap_or(&none))? {
                let home = self.home(&key);
                let at_home = if home == *domain { now } else { leaf(after, home, &key)? };
                changed.insert(key, self.resident(after, &key, at_home)?);
            }
        }
        Ok(changed)
    }
}

fn leaf(states: &States, domain: DomainId, key: &B256) -> Result<Option<AccountLeaf>, StateError> {
    states.get(&domain).map_or(Ok(None), |state| state.leaf(key))
}
