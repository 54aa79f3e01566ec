//! Batches of signatures over different messages, under different tags.

use anfs_primitives::BlsSignature;
use blst::{BLST_ERROR, Pairing, blst_p1_affine, blst_p2_affine, min_sig};

use super::{PublicKey, WEIGHT_BITS, parse_signature};
use crate::tags::{BATCH_WEIGHT, Tag};

/// That a key has signed a message.
#[derive(Clone, Debug)]
pub struct Statement {
    /// What the signature is for.
    pub tag: Tag,
    /// What is signed.
    pub message: Vec<u8>,
    /// Whose it is; of an aggregate, the [`PublicKey::sum`] of its signers.
    pub key: PublicKey,
    /// The signature.
    pub signature: BlsSignature,
}

/// A statement whose signature is in the subgroup.
struct Parsed<'a> {
    statement: &'a Statement,
    signature: min_sig::Signature,
}

/// Whether every statement is true. True for an empty list.
///
/// One equation for all, with weights as in [`super::verify_batch`]: a pairing for each statement and one more, but
/// a single final exponentiation, which is most of what a check of one would cost.
#[must_use]
pub fn verify_statements(statements: &[Statement], entropy: &[u8; 32]) -> bool {
    let parsed: Option<Vec<Parsed<'_>>> = statements.iter().map(parse).collect();
    parsed.is_some_and(|parsed| holds(&parsed, entropy))
}

/// The positions of the statements that are not true, ascending: to be asked after [`verify_statements`] failed.
#[must_use]
pub fn find_false(statements: &[Statement], entropy: &[u8; 32]) -> Vec<usize> {
    let (mut parsed, mut positions, mut wrong) = (Vec::new(), Vec::new(), Vec::new());
    for (position, statement) in statements.iter().enumerate() {
        match parse(statement) {
            Some(one) => {
                parsed.push(one);
                positions.push(position);
            }
            None => wrong.push(position),
        }
    }
    bisect(&parsed, &positions, entropy, &mut wrong);
    wrong.sort_unstable();
    wrong
}

fn parse(statement: &Statement) -> Option<Parsed<'_>> {
    let signature = parse_signature(&statement.signature).ok()?;
    Some(Parsed { statement, signature })
}

fn holds(parsed: &[Parsed<'_>], entropy: &[u8; 32]) -> bool {
    let weights = weights(parsed, entropy);
    // The context of a pairing is bound to one tag: one for each, merged at the end.
    let mut contexts: Vec<(Tag, Pairing)> = Vec::new();
    for (Parsed { statement, signature }, weight) in parsed.iter().zip(weights) {
        let place = contexts.iter().position(|(tag, _)| *tag == statement.tag).unwrap_or_else(|| {
            contexts.push((statement.tag, Pairing::new(true, statement.tag.bytes())));
            contexts.len() - 1
        });
        let key: &blst_p2_affine = (&statement.key.0).into();
        let signature: &blst_p1_affine = signature.into();
        let bits = WEIGHT_BITS as usize;
        let weight = weight.to_le_bytes();
        let context = &mut contexts[place].1;
        let added =
            context.mul_n_aggregate(key, false, signature, false, &weight, bits, &statement.message, &[]);
        if added != BLST_ERROR::BLST_SUCCESS {
            return false;
        }
    }
    let mut contexts = contexts.into_iter().map(|(_, mut context)| {
        context.commit();
        context
    });
    let Some(mut all) = contexts.next() else { return true };
    contexts.all(|context| all.merge(&context) == BLST_ERROR::BLST_SUCCESS) && all.finalverify(None)
}

/// One nonzero weight for each statement, from a digest over everything that the equation contains.
fn weights(parsed: &[Parsed<'_>], entropy: &[u8; 32]) -> Vec<u64> {
    let mut inputs = Vec::new();
    for Parsed { statement, .. } in parsed {
        for part in [statement.tag.bytes(), &statement.message] {
            inputs.extend_from_slice(&(part.len() as u64).to_be_bytes());
            inputs.extend_from_slice(part);
        }
        inputs.extend_from_slice(statement.key.to_bytes().as_slice());
        inputs.extend_from_slice(statement.signature.as_slice());
    }
    let seed = BATCH_WEIGHT.sha256(&[entropy, &inputs]);
    (0..parsed.len() as u64)
        .map(|index| {
            let digest = BATCH_WEIGHT.sha256(&[seed.as_slice(), &index.to_be_bytes()]);
            let (head, _) = digest.split_first_chunk().expect("a digest has 32 bytes");
            // A zero weight would drop its statement from the equation.
            u64::from_be_bytes(*head).max(1)
        })
        .collect()
}

fn bisect(parsed: &[Parsed<'_>], positions: &[usize], entropy: &[u8; 32], wrong: &mut Vec<usize>) {
    if holds(parsed, entropy) {
        return;
    }
    if let [position] = positions {
        wrong.push(*position);
        return;
    }
    let middle = parsed.len() / 2;
    let (left, right) = parsed.split_at(middle);
    let (left_positions, right_positions) = positions.split_at(middle);
    bisect(left, left_positions, entropy, wrong);
    bisect(right, right_positions, entropy, wrong);
}

#[cfg(test)]
mod tests;
