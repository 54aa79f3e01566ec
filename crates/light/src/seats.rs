//! Who may sign root blocks.

use std::collections::BTreeMap;

use alloy_primitives::B256;
use anfs_consensus::root::{RootConfig, root_keys};
use anfs_crypto::root::{RootKeys, verify_certificate};
use anfs_primitives::{CertificateKind, ChainSpec, Epoch, RootCertificate, RootHash, RootHeader};

use crate::LightError;

/// The seats of one epoch: their keys and stakes.
#[derive(Clone, Debug)]
pub struct EpochSeats {
    config: RootConfig,
    keys: RootKeys,
}

/// The seats of each epoch that is known. So far that is the first, whose seats stand in the chain spec.
#[derive(Clone, Debug)]
pub struct SeatSets(BTreeMap<Epoch, EpochSeats>);

impl SeatSets {
    /// The seats that a network begins with.
    ///
    /// # Errors
    /// [`LightError::Spec`] when a key is no key, its possession is not proven, or there is no stake.
    pub fn genesis(spec: &ChainSpec) -> Result<Self, LightError> {
        let keys = root_keys(spec).map_err(|error| LightError::Spec(error.to_string()))?;
        // The seed draws leaders, of whom certificates say nothing.
        let config = RootConfig::new(spec, Epoch::ZERO, B256::ZERO);
        let config = config.map_err(|error| LightError::Spec(error.to_string()))?;
        Ok(Self(BTreeMap::from([(Epoch::ZERO, EpochSeats { config, keys })])))
    }

    /// The seats of an epoch, if they are known.
    #[must_use]
    pub fn of(&self, epoch: Epoch) -> Option<&EpochSeats> {
        self.0.get(&epoch)
    }
}

impl EpochSeats {
    /// Checks that more than two thirds of all stake have committed to a block. spec: Root F5, F6
    ///
    /// # Errors
    /// What is wrong with the certificate.
    pub fn verify(
        &self,
        header: &RootHeader,
        hash: RootHash,
        certificate: &RootCertificate,
    ) -> Result<(), LightError> {
        if certificate.kind != CertificateKind::Commit {
            return Err(LightError::Kind);
        }
        // A block may be put to the vote again in later views than that of its making.
        let view = certificate.target.view;
        if view < header.view || certificate.target != self.config.target(header.height, view, hash) {
            return Err(LightError::Target);
        }
        let stake = self.config.stake_of_groups(&certificate.signers).ok_or(LightError::Signers)?;
        if !self.config.is_quorum(stake) {
            return Err(LightError::Stake);
        }
        if verify_certificate(&self.keys, certificate) { Ok(()) } else { Err(LightError::Signature) }
    }
}
