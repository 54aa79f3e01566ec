//! Time-outs of one height.
//!
//! spec: Root F8

use std::collections::BTreeMap;

use alloy_primitives::U256;
use anfs_primitives::{
    BlsSignature, BoundedVec, DomainId, Height, RootCertificate, RootSeat, SeatGroup, SeatSet,
    SignedRootTimeout, TimeoutCertificate, TimeoutGroup, View,
};

use super::config::RootConfig;
use super::crypto::RootCrypto;
use crate::crypto::CryptoError;

/// The latest verified time-out of each seat.
#[derive(Clone, Debug, Default)]
pub(super) struct TimeoutBook {
    latest: BTreeMap<RootSeat, SignedRootTimeout>,
}

impl TimeoutBook {
    /// What a seat has signed last.
    pub(super) fn of(&self, seat: RootSeat) -> Option<&SignedRootTimeout> {
        self.latest.get(&seat)
    }

    /// Keeps a verified time-out of a higher view than the seat's last.
    pub(super) fn insert(&mut self, signed: SignedRootTimeout) {
        let held = self.latest.get(&signed.signer);
        if held.is_none_or(|held| held.timeout.view < signed.timeout.view) {
            self.latest.insert(signed.signer, signed);
        }
    }

    /// The highest view that seats with more than a third of the stake have left, or one above it.
    pub(super) fn blocking_view(&self, config: &RootConfig) -> Option<View> {
        let mut views: Vec<(View, U256)> = self
            .latest
            .values()
            .map(|signed| (signed.timeout.view, config.stake(signed.signer).unwrap_or_default()))
            .collect();
        views.sort_by_key(|(view, _)| std::cmp::Reverse(*view));
        let mut stake = U256::ZERO;
        views.into_iter().find_map(|(view, more)| {
            stake += more;
            config.is_blocking(stake).then_some(view)
        })
    }

    /// The highest view, from `least` on, that a quorum has left.
    pub(super) fn quorum_view(&self, config: &RootConfig, least: View) -> Option<View> {
        let mut by_view: BTreeMap<View, U256> = BTreeMap::new();
        for signed in self.latest.values().filter(|signed| signed.timeout.view >= least) {
            *by_view.entry(signed.timeout.view).or_default() +=
                config.stake(signed.signer).unwrap_or_default();
        }
        by_view.into_iter().rev().find(|(_, stake)| config.is_quorum(*stake)).map(|(view, _)| view)
    }

    /// The certificate of all time-outs of one view; `None` when they name more views than a certificate holds.
    pub(super) fn certificate(
        &self,
        crypto: &dyn RootCrypto,
        height: Height,
        view: View,
    ) -> Result<Option<TimeoutCertificate>, CryptoError> {
        let mut groups: BTreeMap<Option<View>, Vec<&SignedRootTimeout>> = BTreeMap::new();
        for signed in self.latest.values().filter(|signed| signed.timeout.view == view) {
            groups.entry(signed.timeout.prepared).or_default().push(signed);
        }
        let highest = groups.last_key_value().and_then(|(_, group)| group.first());
        let prepared: Option<RootCertificate> = highest.and_then(|signed| signed.certificate.clone());
        let mut made = Vec::with_capacity(groups.len());
        for (prepared, group) in groups {
            let signatures: Vec<BlsSignature> = group.iter().map(|signed| signed.signature).collect();
            let signers = groups_of(group.iter().map(|signed| signed.signer));
            made.push(TimeoutGroup { prepared, signers, signature: crypto.aggregate(&signatures)? });
        }
        let groups = BoundedVec::try_from(made).ok();
        Ok(groups.map(|groups| TimeoutCertificate { height, view, groups, prepared }))
    }
}

/// Seats by shard, as certificates list them.
pub(super) fn groups_of(
    seats: impl Iterator<Item = RootSeat>,
) -> BoundedVec<SeatGroup, { anfs_primitives::header::DOMAINS_MAX }> {
    let mut groups: BTreeMap<DomainId, SeatSet> = BTreeMap::new();
    for seat in seats {
        let group = groups.entry(seat.domain).or_default();
        *group = group.union(SeatSet::of(seat.seat));
    }
    let groups: Vec<SeatGroup> =
        groups.into_iter().map(|(domain, seats)| SeatGroup { domain, seats }).collect();
    groups.try_into().expect("a network has no more shards than a certificate holds")
}
