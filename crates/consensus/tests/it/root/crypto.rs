//! Signatures that cost a few multiplications: a keyed mix of what is signed, in 16 bytes; aggregates are sums.

use std::collections::BTreeMap;
use std::sync::Arc;

use anfs_consensus::CryptoError;
use anfs_consensus::root::{RootConfig, RootCrypto};
use anfs_primitives::{
    BlsSignature, CertificateKind, RootCertificate, RootSeat, RootTally, RootTimeout, ShardReference,
    SignedRootTimeout, TimeoutCertificate, VoteTarget, encode,
};
use anfs_sim::rng::Rng;

const PROPOSAL: u64 = 100;
const TIMEOUT: u64 = 101;
const SHARD: u64 = 102;

/// The secrets of all seats, and one for what the shards certify.
#[derive(Debug)]
pub(super) struct Keys {
    seats: BTreeMap<RootSeat, u64>,
    shards: u64,
}

fn mix(secret: u64, purpose: u64, bytes: &[u8]) -> u128 {
    let mut state = (secret ^ purpose.wrapping_mul(0x9e37_79b9_7f4a_7c15), purpose ^ 0x1234_5678);
    let mut word = |word: u64| {
        let wide = u128::from(state.0 ^ word).wrapping_mul(0xa076_1d64_78bd_642f_e703_7ed1_a0b4_28db);
        #[allow(clippy::cast_possible_truncation, reason = "the halves are wanted")]
        let halves = (wide as u64, (wide >> 64) as u64);
        state = (halves.0 ^ state.1, halves.1.rotate_left(23) ^ word);
    };
    for chunk in bytes.chunks(8) {
        let mut last = [0; 8];
        last[..chunk.len()].copy_from_slice(chunk);
        word(u64::from_le_bytes(last));
    }
    word(bytes.len() as u64);
    word(secret);
    u128::from(state.0) << 64 | u128::from(state.1)
}

fn signature_of(token: u128) -> BlsSignature {
    let mut signature = BlsSignature::ZERO;
    signature[..16].copy_from_slice(&token.to_le_bytes());
    signature
}

fn token_of(signature: &BlsSignature) -> Option<u128> {
    let (token, rest) = signature.split_first_chunk::<16>().unwrap();
    rest.iter().all(|byte| *byte == 0).then(|| u128::from_le_bytes(*token))
}

impl Keys {
    pub(super) fn draw(rng: &mut Rng, config: &RootConfig) -> Arc<Self> {
        let seats = config.seats().map(|seat| (seat, rng.next_u64())).collect();
        Arc::new(Self { seats, shards: rng.next_u64() })
    }

    fn token(&self, seat: RootSeat, purpose: u64, bytes: &[u8]) -> Option<u128> {
        Some(mix(*self.seats.get(&seat)?, purpose, bytes))
    }

    /// What the verifiers of a shard sign together.
    pub(super) fn certify(&self, target: &VoteTarget) -> BlsSignature {
        signature_of(mix(self.shards, SHARD, &encode(target)))
    }

    fn holds(
        &self,
        seats: impl Iterator<Item = RootSeat>,
        purpose: u64,
        bytes: &[u8],
        sum: &BlsSignature,
    ) -> bool {
        let mut seats = seats.peekable();
        let some = seats.peek().is_some();
        let expected =
            seats.try_fold(0u128, |sum, seat| Some(sum.wrapping_add(self.token(seat, purpose, bytes)?)));
        some && expected.is_some() && expected == token_of(sum)
    }
}

/// Signs for one seat, verifies for all.
#[derive(Clone, Debug)]
pub(super) struct FakeCrypto {
    pub(super) own: RootSeat,
    pub(super) keys: Arc<Keys>,
}

impl FakeCrypto {
    fn sign(&self, seat: RootSeat, purpose: u64, bytes: &[u8]) -> Result<BlsSignature, CryptoError> {
        let token = self.keys.token(seat, purpose, bytes).filter(|_| seat == self.own);
        token.map(signature_of).ok_or(CryptoError::NoKey(seat.seat))
    }
}

fn members(groups: &[anfs_primitives::SeatGroup]) -> impl Iterator<Item = RootSeat> {
    groups.iter().flat_map(|group| group.seats.iter().map(|seat| RootSeat { domain: group.domain, seat }))
}

impl RootCrypto for FakeCrypto {
    fn sign_proposal(&self, seat: RootSeat, target: &VoteTarget) -> Result<BlsSignature, CryptoError> {
        self.sign(seat, PROPOSAL, &encode(target))
    }

    fn sign_vote(
        &self,
        seat: RootSeat,
        kind: CertificateKind,
        target: &VoteTarget,
    ) -> Result<BlsSignature, CryptoError> {
        self.sign(seat, kind as u64, &encode(target))
    }

    fn sign_timeout(&self, seat: RootSeat, timeout: &RootTimeout) -> Result<BlsSignature, CryptoError> {
        self.sign(seat, TIMEOUT, &encode(timeout))
    }

    fn verify_proposal(&self, seat: RootSeat, target: &VoteTarget, signature: &BlsSignature) -> bool {
        self.keys.holds(std::iter::once(seat), PROPOSAL, &encode(target), signature)
    }

    fn verify_tallies(&self, tallies: &[RootTally]) -> Vec<usize> {
        let good = |tally: &RootTally| {
            let seats = tally.seats.iter().map(|seat| RootSeat { domain: tally.domain, seat });
            (tally.kind, tally.target) == (tallies[0].kind, tallies[0].target)
                && self.keys.holds(seats, tally.kind as u64, &encode(&tally.target), &tally.signature)
        };
        (0..tallies.len()).filter(|place| !good(&tallies[*place])).collect()
    }

    fn aggregate(&self, signatures: &[BlsSignature]) -> Result<BlsSignature, CryptoError> {
        let tokens = signatures.iter().map(|one| token_of(one).unwrap_or_default());
        Ok(signature_of(tokens.fold(0, u128::wrapping_add)))
    }

    fn verify_certificate(&self, certificate: &RootCertificate) -> bool {
        let target = encode(&certificate.target);
        let seats = members(&certificate.signers);
        self.keys.holds(seats, certificate.kind as u64, &target, &certificate.signature)
    }

    fn verify_timeout(&self, signed: &SignedRootTimeout) -> bool {
        let seat = std::iter::once(signed.signer);
        self.keys.holds(seat, TIMEOUT, &encode(&signed.timeout), &signed.signature)
    }

    fn verify_timeouts(&self, of: &RootTimeout, certificate: &TimeoutCertificate) -> bool {
        certificate.groups.iter().all(|group| {
            let said = encode(&RootTimeout { prepared: group.prepared, ..*of });
            self.keys.holds(members(&group.signers), TIMEOUT, &said, &group.signature)
        })
    }

    fn verify_references(&self, references: &[&ShardReference]) -> Vec<usize> {
        let good = |reference: &ShardReference| {
            reference.certificate.signature == self.keys.certify(&reference.certificate.target)
        };
        (0..references.len()).filter(|place| !good(references[*place])).collect()
    }
}
