//! What the machine itself costs, so that figures of different machines can be compared.

use std::hint::black_box;
use std::time::{Duration, Instant};

use alloy_consensus::crypto::secp256k1::{recover_signer, sign_message};
use alloy_primitives::{B256, keccak256};
use eyre::{WrapErr, eyre};

/// Recoveries in one round: short enough that few rounds are interrupted.
const RECOVERIES: u32 = 16;
const ROUNDS: usize = 501;

/// Microseconds that libsecp256k1 takes here to recover one sender: the median of short rounds on one core.
pub(crate) fn recovery_us() -> eyre::Result<f64> {
    let digests: Vec<B256> = (0..RECOVERIES).map(|n| keccak256(n.to_be_bytes())).collect();
    let signatures = digests.iter().map(|digest| sign_message(B256::repeat_byte(7), *digest));
    let signatures: Vec<_> = signatures.collect::<Result<_, _>>().map_err(|error| eyre!("{error}"))?;
    let mut rounds: Vec<Duration> = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let started = Instant::now();
        for (digest, signature) in digests.iter().zip(&signatures) {
            black_box(recover_signer(black_box(signature), *digest).wrap_err("a signature made just now")?);
        }
        rounds.push(started.elapsed() / RECOVERIES);
    }
    rounds.sort_unstable();
    Ok(rounds[ROUNDS / 2].as_secs_f64() * 1e6)
}
