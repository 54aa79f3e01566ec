//! Quorum arithmetic for n = 3f + 1 voters.
//!
//! spec: PROTOCOL §1, §4

use anfs_primitives::CertificateKind;
use anfs_primitives::header::VERIFIERS_MAX;

use crate::error::ConsensusError;

/// How many voters there are, and how many make a quorum.
///
/// Two quorums of q = 2f + 1 share at least f + 1 voters, hence an honest one; a quorum and the set of all
/// n share q, hence f + 1 honest ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quorum {
    voters: usize,
    faults: usize,
}

impl Quorum {
    /// Takes n = 3f + 1.
    ///
    /// # Errors
    /// [`ConsensusError::Config`] when `voters` is not 3f + 1 or too many.
    pub fn new(voters: usize) -> Result<Self, ConsensusError> {
        if voters == 0 || voters > VERIFIERS_MAX || !(voters - 1).is_multiple_of(3) {
            return Err(ConsensusError::Config(format!(
                "{voters} verifiers; a shard has 3f + 1, at most {VERIFIERS_MAX}: 1, 4, 7, 10, …"
            )));
        }
        Ok(Self { voters, faults: (voters - 1) / 3 })
    }

    /// n: all voters.
    #[must_use]
    pub fn voters(self) -> usize {
        self.voters
    }

    /// f: voters that may be faulty.
    #[must_use]
    pub fn faults(self) -> usize {
        self.faults
    }

    /// q = 2f + 1.
    #[must_use]
    pub fn decide(self) -> usize {
        2 * self.faults + 1
    }

    /// Votes that a certificate of this kind needs: all for the fast path, q otherwise.
    #[must_use]
    pub fn needed(self, kind: CertificateKind) -> usize {
        match kind {
            CertificateKind::Fast => self.voters,
            CertificateKind::Prepare | CertificateKind::Commit | CertificateKind::Conviction => self.decide(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quorums_of_every_size_intersect_in_an_honest_voter() {
        for voters in [1, 4, 7, 10, 64] {
            let quorum = Quorum::new(voters).unwrap();
            let (n, f, q) = (quorum.voters(), quorum.faults(), quorum.decide());
            assert_eq!(n, 3 * f + 1);
            assert!(2 * q - n > f, "two quorums share more than f");
            assert!(q - f > f, "all voters and a quorum share more than f honest ones");
            assert!(n - f >= q, "the honest ones are a quorum");
        }
    }

    #[test]
    fn other_sizes_are_refused() {
        for voters in [0, 2, 3, 5, 11, 67] {
            assert!(Quorum::new(voters).is_err(), "{voters}");
        }
    }
}
