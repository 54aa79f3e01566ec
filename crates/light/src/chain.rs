//! Following root headers.

use std::ops::Deref;

use anfs_primitives::{
    ChainSpec, Height, NetworkId, RootCertificate, RootHash, RootHeader, RootReference, SealedRootHeader,
};

use crate::{LightError, SeatSets};

/// The header of a root block that is known to be final.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinalRoot(SealedRootHeader);

impl FinalRoot {
    /// Its hash.
    #[must_use]
    pub fn hash(&self) -> RootHash {
        self.0.hash()
    }

    /// Its height and hash: the checkpoint to go on from another time.
    #[must_use]
    pub fn reference(&self) -> RootReference {
        self.0.reference()
    }
}

impl Deref for FinalRoot {
    type Target = RootHeader;

    fn deref(&self) -> &RootHeader {
        &self.0
    }
}

/// Follows the root of one network. Headers may be skipped: each is final by its own certificate.
#[derive(Clone, Debug)]
pub struct Light {
    network: NetworkId,
    shards: usize,
    seats: SeatSets,
    known: RootReference,
}

impl Light {
    /// Begins at a root block that is known to be final: that of genesis, or a checkpoint from a trusted source.
    ///
    /// # Errors
    /// [`LightError::Spec`].
    pub fn new(spec: &ChainSpec, from: RootReference) -> Result<Self, LightError> {
        let seats = SeatSets::genesis(spec)?;
        Ok(Self { network: spec.network, shards: spec.shards.len(), seats, known: from })
    }

    /// The newest root block that is known.
    #[must_use]
    pub fn known(&self) -> RootReference {
        self.known
    }

    /// Takes in the header of the newest known root block, by its hash alone: that of genesis has no certificate.
    ///
    /// # Errors
    /// When it is another one.
    pub fn confirm(&self, header: SealedRootHeader) -> Result<FinalRoot, LightError> {
        self.check_frame(&header)?;
        if header.reference() == self.known { Ok(FinalRoot(header)) } else { Err(self.conflict(&header)) }
    }

    /// Checks that a root block is final, older ones included, and leaves what is known as it is.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(
        &self,
        header: SealedRootHeader,
        certificate: &RootCertificate,
    ) -> Result<FinalRoot, LightError> {
        self.check_frame(&header)?;
        if header.height == self.known.height && header.hash() != self.known.hash {
            return Err(self.conflict(&header));
        }
        if header.height == self.known.height.next() && header.parent != self.known.hash {
            let (height, have, known) = (header.height, header.parent, self.known.hash);
            return Err(LightError::Parent { height, have, known });
        }
        let seats = self.seats.of(header.epoch).ok_or(LightError::Epoch(header.epoch))?;
        seats.verify(&header, header.hash(), certificate)?;
        Ok(FinalRoot(header))
    }

    /// Goes on to a later root block. That which is known may be given again.
    ///
    /// # Errors
    /// As [`Self::check`], and [`LightError::Older`].
    pub fn advance(
        &mut self,
        header: SealedRootHeader,
        certificate: &RootCertificate,
    ) -> Result<FinalRoot, LightError> {
        if header.height < self.known.height {
            return Err(self.older(header.height));
        }
        let root = self.check(header, certificate)?;
        self.known = root.reference();
        Ok(root)
    }

    fn check_frame(&self, header: &RootHeader) -> Result<(), LightError> {
        if header.network != self.network {
            return Err(LightError::Network { have: header.network, want: self.network });
        }
        if header.tips.len() != self.shards {
            return Err(LightError::Shards { have: header.tips.len(), want: self.shards });
        }
        Ok(())
    }

    fn conflict(&self, header: &SealedRootHeader) -> LightError {
        if header.height != self.known.height {
            return self.older(header.height);
        }
        LightError::Conflict { height: header.height, have: header.hash(), known: self.known.hash }
    }

    fn older(&self, have: Height) -> LightError {
        LightError::Older { have, known: self.known.height }
    }
}
