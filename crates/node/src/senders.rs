//! Checks that transactions come from the senders that they are said to come from.
//!
//! A sender's first transaction is recovered, which gives its key; those that follow are checked against the
//! key, many at once, for about a quarter of the price. What is accepted is the same to the transaction.

use alloy_primitives::Address;
use alloy_primitives::map::{AddressMap, AddressSet};
use anfs_crypto::ecdsa::{self, Signer};
use anfs_primitives::RecoveredTransaction;
use rayon::prelude::*;

/// Senders in one half of the cache: about two megabytes.
const HALF: usize = 16 * 1024;
/// Fewer transactions than this are recovered: a batch of them would not be cheaper.
const BATCH_MIN: usize = 32;
/// Batches are not cut finer than this for the sake of idle cores.
const CHUNK_MIN: usize = 2048;

/// The keys of senders seen of late.
///
/// When the younger half is full the older is forgotten and the younger becomes the older, so a sender stays
/// for as long as it sends.
#[derive(Debug)]
pub(crate) struct Senders {
    entropy: [u8; 32],
    half: usize,
    younger: AddressMap<Signer>,
    older: AddressMap<Signer>,
}

/// A transaction by its place, with the signer that it should have.
type Claim = (usize, Signer);

impl Senders {
    pub(crate) fn new(entropy: [u8; 32]) -> Self {
        Self { entropy, half: HALF, younger: AddressMap::default(), older: AddressMap::default() }
    }

    fn get(&mut self, address: &Address) -> Option<Signer> {
        if let Some(signer) = self.younger.get(address) {
            return Some(*signer);
        }
        let signer = self.older.remove(address)?;
        self.insert(signer);
        Some(signer)
    }

    fn insert(&mut self, signer: Signer) {
        if self.younger.len() >= self.half {
            self.older = std::mem::take(&mut self.younger);
        }
        self.younger.insert(signer.address(), signer);
    }

    /// The first of these places whose transaction its sender did not sign. The more places at once, the
    /// cheaper is each.
    pub(crate) fn first_forged(
        &mut self,
        transactions: &[RecoveredTransaction],
        places: impl IntoIterator<Item = usize>,
    ) -> Option<usize> {
        let (mut claims, mut alone, mut repeated) = (Vec::new(), Vec::new(), Vec::new());
        let mut strangers = AddressSet::default();
        for place in places {
            let sender = transactions[place].sender();
            match self.get(&sender) {
                Some(signer) => claims.push((place, signer)),
                None if strangers.insert(sender) => alone.push(place),
                None => repeated.push(place),
            }
        }
        let mut forged = Vec::new();
        self.meet(transactions, &alone, &mut forged);
        alone.clear();
        for place in repeated {
            match self.get(&transactions[place].sender()) {
                Some(signer) => claims.push((place, signer)),
                None => alone.push(place),
            }
        }
        self.meet(transactions, &alone, &mut forged);
        // One sender's transactions share a term of the batch that they are in together.
        claims.sort_by_key(|(_, signer)| signer.address());
        let chunk = claims.len().div_ceil(rayon::current_num_threads()).max(CHUNK_MIN);
        let entropy = &self.entropy;
        let found = claims.par_chunks(chunk).filter_map(|chunk| forged_among(transactions, chunk, entropy));
        forged.extend(found.min());
        forged.into_iter().min()
    }

    /// Recovers transactions of unknown senders, and remembers those that are who they say.
    fn meet(&mut self, transactions: &[RecoveredTransaction], places: &[usize], forged: &mut Vec<usize>) {
        let recovered: Vec<_> =
            places.par_iter().map(|place| ecdsa::recover(transactions[*place].signed())).collect();
        for (place, signer) in places.iter().zip(recovered) {
            match signer.filter(|signer| signer.address() == transactions[*place].sender()) {
                Some(signer) => self.insert(signer),
                None => forged.push(*place),
            }
        }
    }
}

/// The first of these places whose transaction is not its signer's.
fn forged_among(
    transactions: &[RecoveredTransaction],
    claims: &[Claim],
    entropy: &[u8; 32],
) -> Option<usize> {
    if claims.len() >= BATCH_MIN {
        let batch: Vec<_> =
            claims.iter().map(|(place, signer)| (transactions[*place].signed(), signer)).collect();
        if ecdsa::verify_batch(&batch, entropy) {
            return None;
        }
    }
    let forged = claims.iter().filter(|(place, signer)| {
        ecdsa::recover(transactions[*place].signed()).is_none_or(|found| found.address() != signer.address())
    });
    forged.map(|(place, _)| *place).min()
}

#[cfg(test)]
mod tests {
    use alloy_consensus::crypto::secp256k1::sign_message;
    use alloy_consensus::{EthereumTxEnvelope, SignableTransaction, TxEip4844, TxLegacy};
    use alloy_primitives::{B256, Signature};
    use anfs_primitives::SignedTransaction;

    use super::*;

    fn body(nonce: u64) -> TxLegacy {
        TxLegacy { chain_id: Some(1), nonce, gas_limit: 21_000, ..TxLegacy::default() }
    }

    fn signed(key: u8, nonce: u64) -> SignedTransaction {
        let digest = body(nonce).signature_hash();
        with_signature(nonce, sign_message(B256::repeat_byte(key), digest).unwrap())
    }

    fn with_signature(nonce: u64, signature: Signature) -> SignedTransaction {
        let envelope = EthereumTxEnvelope::<TxEip4844>::from(body(nonce).into_signed(signature));
        SignedTransaction::from_envelope(&envelope).unwrap()
    }

    fn load(senders: u8, count: u64) -> Vec<RecoveredTransaction> {
        (0..count)
            .map(|nonce| {
                signed(1 + u8::try_from(nonce % u64::from(senders)).unwrap(), nonce).recover().unwrap()
            })
            .collect()
    }

    #[test]
    fn honest_transactions_pass_whether_their_senders_are_known_or_not() {
        let txs = load(5, 80);
        let mut senders = Senders::new([1; 32]);
        assert_eq!(senders.first_forged(&txs, 0..txs.len()), None);
        assert_eq!(senders.younger.len(), 5);
        assert_eq!(senders.first_forged(&txs, 0..txs.len()), None);
        assert_eq!(senders.first_forged(&txs, 0..3), None, "too few for a batch");
        assert_eq!(senders.first_forged(&[], 0..0), None);
    }

    #[test]
    fn the_first_forged_one_is_found_on_every_path() {
        let honest = load(5, 80);
        for at in [0, 3, 5, 41, 79] {
            let sender = honest[(at + 1) % 5].sender();
            let flipped = {
                let signature = honest[at].envelope().signature();
                let other = Signature::new(signature.r(), signature.s(), !signature.v());
                with_signature(at as u64, other).with_claimed_sender(honest[at].sender())
            };
            let robbed = honest[at].signed().clone().with_claimed_sender(sender);
            for forged in [flipped, robbed] {
                let mut txs = honest.clone();
                txs[at] = forged.clone();
                if at + 10 < txs.len() {
                    txs[at + 10] = forged;
                }
                let (mut fresh, mut seasoned) = (Senders::new([1; 32]), Senders::new([1; 32]));
                assert_eq!(seasoned.first_forged(&honest, 0..80), None);
                assert_eq!(fresh.first_forged(&txs, 0..txs.len()), Some(at));
                assert_eq!(seasoned.first_forged(&txs, 0..txs.len()), Some(at));
                assert_eq!(fresh.first_forged(&honest, 0..80), None, "nothing false was learnt");
            }
        }
    }

    #[test]
    fn a_sender_that_does_not_exist_is_forged_each_time() {
        let stranger = Address::repeat_byte(0xee);
        let txs: Vec<_> = (0..40).map(|nonce| signed(1, nonce).with_claimed_sender(stranger)).collect();
        let mut senders = Senders::new([1; 32]);
        assert_eq!(senders.first_forged(&txs, 0..txs.len()), Some(0));
        assert_eq!(senders.first_forged(&txs, 7..40), Some(7));
        assert!(senders.younger.is_empty() && senders.older.is_empty());
    }

    #[test]
    fn the_cache_is_bounded_and_keeps_who_sends() {
        let mut senders = Senders { half: 4, ..Senders::new([1; 32]) };
        let regular = load(1, 1);
        for key in 2..60 {
            let tx = signed(key, 0).recover().unwrap();
            assert_eq!(senders.first_forged(&[tx, regular[0].clone()], 0..2), None);
            assert!(senders.younger.len() <= 4 && senders.older.len() <= 4);
            assert!(senders.get(&regular[0].sender()).is_some());
        }
    }
}
