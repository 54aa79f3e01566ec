//! What all seats of a network agree on for one epoch of the root.
//!
//! spec: Root F3–F8

use std::collections::BTreeMap;

use alloy_primitives::{B256, U256};
use anfs_crypto::tags::ROOT_LEADER;
use anfs_primitives::{
    ChainSpec, DomainId, Epoch, Height, NetworkId, RootSeat, SeatGroup, SeatIndex, SeatSet, View, VoteTarget,
};

use crate::error::ConsensusError;

/// Doublings of Δ_root at most.
const BACKOFF_MAX: u64 = 5;

/// The seats of the root, with their stakes, and its times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootConfig {
    /// Network id.
    pub network: NetworkId,
    /// Epoch of the seats.
    pub epoch: Epoch,
    /// Public randomness of the epoch: draws the leaders.
    pub epoch_seed: B256,
    /// Stakes in wei, by shard: the generator's, then the verifiers'.
    pub stakes: BTreeMap<DomainId, Vec<U256>>,
    /// f: faulty verifiers that a shard tolerates.
    pub faults: u16,
    /// Time between two blocks, in milliseconds.
    pub root_block_ms: u64,
    /// Δ_root, in milliseconds.
    pub root_timeout_ms: u64,
    total: U256,
}

impl RootConfig {
    /// The configuration of an epoch with the seats of the chain spec.
    ///
    /// # Errors
    /// [`ConsensusError::Config`] when there is no stake, or more than can be counted.
    pub fn new(spec: &ChainSpec, epoch: Epoch, epoch_seed: B256) -> Result<Self, ConsensusError> {
        let stakes: BTreeMap<DomainId, Vec<U256>> = (1u32..)
            .map(DomainId)
            .zip(&spec.shards)
            .map(|(domain, shard)| {
                let seats = std::iter::once(&shard.generator).chain(&shard.verifiers);
                (domain, seats.map(|seat| seat.stake).collect())
            })
            .collect();
        let total = stakes.values().flatten().try_fold(U256::ZERO, |sum, stake| sum.checked_add(*stake));
        let total = total.filter(|total| *total <= U256::MAX >> 2).unwrap_or_default();
        if total.is_zero() {
            let text = "the stakes of all seats must add up to more than 0 and less than 2^254 wei";
            return Err(ConsensusError::Config(text.into()));
        }
        Ok(Self {
            network: spec.network,
            epoch,
            epoch_seed,
            stakes,
            faults: spec.faults_tolerated(),
            root_block_ms: spec.root_block_ms,
            root_timeout_ms: spec.root_timeout_ms,
            total,
        })
    }

    /// Stake of all seats, in wei.
    #[must_use]
    pub fn total_stake(&self) -> U256 {
        self.total
    }

    /// Stake of one seat, in wei; `None` if there is no such seat.
    #[must_use]
    pub fn stake(&self, seat: RootSeat) -> Option<U256> {
        self.stakes.get(&seat.domain)?.get(usize::from(seat.seat.0)).copied()
    }

    /// Stake of these seats of a shard, in wei; `None` if one of them does not exist.
    #[must_use]
    pub fn stake_of(&self, domain: DomainId, seats: SeatSet) -> Option<U256> {
        let stakes = self.stakes.get(&domain)?;
        // No overflow: less than the sum of all.
        seats.iter().try_fold(U256::ZERO, |sum, seat| Some(sum + *stakes.get(usize::from(seat.0))?))
    }

    /// Stake of these groups, in wei; `None` unless they are ascending, not empty, and of seats that exist.
    #[must_use]
    pub fn stake_of_groups(&self, groups: &[SeatGroup]) -> Option<U256> {
        if !groups.is_sorted_by(|a, b| a.domain < b.domain) {
            return None;
        }
        groups.iter().try_fold(U256::ZERO, |sum, group| {
            Some(sum + self.stake_of(group.domain, group.seats).filter(|_| !group.seats.is_empty())?)
        })
    }

    /// Whether so much stake decides: more than two thirds. spec: Root F5
    #[must_use]
    pub fn is_quorum(&self, stake: U256) -> bool {
        stake * U256::from(3) > self.total * U256::from(2)
    }

    /// Whether so much stake cannot be faulty alone: more than a third. spec: Root F8
    #[must_use]
    pub fn is_blocking(&self, stake: U256) -> bool {
        stake * U256::from(3) > self.total
    }

    /// All seats, ascending.
    pub fn seats(&self) -> impl Iterator<Item = RootSeat> {
        self.stakes.iter().flat_map(|(&domain, stakes)| {
            (0u16..).map(SeatIndex).take(stakes.len()).map(move |seat| RootSeat { domain, seat })
        })
    }

    /// Seats of a shard.
    #[must_use]
    pub fn seats_of(&self, domain: DomainId) -> usize {
        self.stakes.get(&domain).map_or(0, Vec::len)
    }

    /// Who proposes in a view of a height: drawn by stake. spec: Root F5
    #[must_use]
    pub fn leader(&self, height: Height, view: View) -> RootSeat {
        let parts = [self.epoch_seed.as_slice(), &height.0.to_be_bytes(), &view.0.to_be_bytes()];
        // Reducing 2²⁵⁶ values favours none of them noticeably: stakes are far below 2²⁵⁶.
        let mut drawn = U256::from_be_bytes(ROOT_LEADER.sha256(&parts).0) % self.total;
        for seat in self.seats() {
            let stake = self.stake(seat).unwrap_or_default();
            match drawn.checked_sub(stake) {
                Some(rest) => drawn = rest,
                None => return seat,
            }
        }
        unreachable!("what was drawn is below the sum of all stakes")
    }

    /// Who adds up a shard's votes on a height: its seats in turn. spec: Root F7
    #[must_use]
    pub fn gatherer(&self, height: Height, domain: DomainId) -> RootSeat {
        self.in_turn(height, domain, 0)
    }

    /// Who reports a shard's blocks to the leader of a height's first view: f + 1 of its seats, in turn.
    /// spec: Root F4
    pub fn reporters(&self, height: Height, domain: DomainId) -> impl Iterator<Item = RootSeat> {
        (0..=self.faults).map(move |place| self.in_turn(height, domain, place))
    }

    fn in_turn(&self, height: Height, domain: DomainId, place: u16) -> RootSeat {
        let seats = self.seats_of(domain).max(1) as u64;
        let seat = (height.0 % seats + u64::from(place)) % seats;
        let seat = u16::try_from(seat).expect("a shard has few seats");
        RootSeat { domain, seat: SeatIndex(seat) }
    }

    /// How long a seat waits in a view, in milliseconds. spec: Root F8
    #[must_use]
    pub fn patience_ms(&self, view: View) -> u64 {
        self.root_timeout_ms.saturating_mul(1 << view.0.min(BACKOFF_MAX))
    }

    /// What votes on a block in a view bind.
    #[must_use]
    pub fn target(&self, height: Height, view: View, block: B256) -> VoteTarget {
        VoteTarget { network: self.network, epoch: self.epoch, domain: DomainId(0), height, view, block }
    }
}

#[cfg(test)]
pub(super) mod tests;
