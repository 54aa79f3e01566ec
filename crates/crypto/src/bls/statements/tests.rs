use super::*;
use crate::bls::SecretKey;
use crate::bls::aggregate;
use crate::tags::{COMMIT, VERDICT_VALID_SLICED};

const ENTROPY: [u8; 32] = [42; 32];

fn key(id: u8) -> SecretKey {
    SecretKey::from_seed(&[id; 32])
}

/// Of two tags, each message its own, each signed by three keys.
fn statements(count: u8) -> Vec<Statement> {
    (0..count)
        .map(|id| {
            let tag = if id % 3 == 0 { COMMIT } else { VERDICT_VALID_SLICED };
            let message = vec![id; 40];
            let keys: Vec<SecretKey> = (0..3).map(|seat| key(10 * id + seat + 1)).collect();
            let public: Vec<PublicKey> = keys.iter().map(SecretKey::public_key).collect();
            let shares: Vec<BlsSignature> = keys.iter().map(|key| key.sign(tag, &message)).collect();
            let key = PublicKey::sum(&public).unwrap();
            Statement { tag, message, key, signature: aggregate(&shares).unwrap() }
        })
        .collect()
}

#[test]
fn a_batch_of_different_messages_and_tags_holds() {
    for count in [0, 1, 2, 9, 20] {
        assert!(verify_statements(&statements(count), &ENTROPY), "{count}");
        assert!(find_false(&statements(count), &ENTROPY).is_empty(), "{count}");
    }
}

#[test]
fn whatever_is_changed_is_found() {
    let good = statements(9);
    let other = statements(10).pop().unwrap();
    for position in [0, 4, 8] {
        for change in 0..4 {
            let mut bad = good.clone();
            match change {
                0 => bad[position].message[0] ^= 1,
                1 => bad[position].tag = crate::tags::ROOT_COMMIT,
                2 => bad[position].key = other.key,
                _ => bad[position].signature = other.signature,
            }
            assert!(!verify_statements(&bad, &ENTROPY), "{position} {change}");
            assert_eq!(find_false(&bad, &ENTROPY), [position], "{change}");
        }
    }
}

#[test]
fn signatures_that_cancel_are_found() {
    let mut bad = statements(4);
    let shift = key(99).sign(COMMIT, b"any");
    let mut back = shift;
    back[0] ^= 0x20;
    bad[1].signature = aggregate(&[bad[1].signature, shift]).unwrap();
    bad[2].signature = aggregate(&[bad[2].signature, back]).unwrap();
    assert!(!verify_statements(&bad, &ENTROPY));
    assert_eq!(find_false(&bad, &ENTROPY), [1, 2]);
}

#[test]
fn what_is_no_point_is_found() {
    let mut bad = statements(3);
    bad[0].signature = BlsSignature::ZERO;
    assert!(!verify_statements(&bad, &ENTROPY));
    assert_eq!(find_false(&bad, &ENTROPY), [0]);
}

#[test]
fn keys_that_cancel_have_no_sum() {
    let key = key(1).public_key();
    let mut bytes = key.to_bytes();
    bytes[0] ^= 0x20;
    let negative = PublicKey::from_bytes(&bytes).unwrap();
    assert!(PublicKey::sum([&key, &negative]).is_none());
    assert!(PublicKey::sum([]).is_none());
    assert_eq!(PublicKey::sum([&key]), Some(key));
}
