//! Reading values out of Merkle proofs that others have made: nothing is believed but the root.

use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_rlp::Decodable;
use alloy_trie::nodes::{BranchNode, RlpNode, TrieNode};
use alloy_trie::{Nibbles, TrieAccount};

use crate::value::decode_all;
use crate::{AccountInfo, AccountLeaf, EMPTY_ROOT};

/// Why a proof proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofFault {
    /// It ends above the value.
    #[error("it ends before it reaches the value")]
    Truncated,
    /// Nodes follow that lead nowhere.
    #[error("nodes follow where it has reached its end")]
    Surplus,
    /// A node is not the one that the node above it names.
    #[error("node {0} is not the one that stands above it, or under the root, by hash")]
    Hash(usize),
    /// A node or value is nothing that stands in such a trie.
    #[error("it leads to something malformed: {0}")]
    Malformed(String),
}

/// The account at an address under a state root; `None` if it is shown that there is none. The proof is that of
/// [`WorldState::prove`](crate::WorldState::prove).
///
/// # Errors
/// [`ProofFault`].
pub fn read_account<'a>(
    root: B256,
    address: &Address,
    proof: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Option<AccountLeaf>, ProofFault> {
    let Some(value) = read_value(root, keccak256(address).as_slice(), proof)? else { return Ok(None) };
    let account: TrieAccount = decode_all(&value).map_err(ProofFault::Malformed)?;
    let TrieAccount { nonce, balance, storage_root, code_hash } = account;
    Ok(Some(AccountLeaf { info: AccountInfo { nonce, balance, code_hash }, storage_root }))
}

/// What a slot (plain key) holds under a storage root; zero if it is shown that it is not set.
///
/// # Errors
/// [`ProofFault`].
pub fn read_slot<'a>(
    storage_root: B256,
    slot: &B256,
    proof: impl IntoIterator<Item = &'a [u8]>,
) -> Result<U256, ProofFault> {
    let value = read_value(storage_root, keccak256(slot).as_slice(), proof)?;
    value.map_or(Ok(U256::ZERO), |value| decode_all(&value).map_err(ProofFault::Malformed))
}

/// The item of a list under its [`ordered_root`](crate::ordered_root); `None` if it is shown that the list ends before
/// it. The proof is that of [`ordered_proof`](crate::ordered_proof).
///
/// # Errors
/// [`ProofFault`].
pub fn read_item<'a>(
    root: B256,
    index: usize,
    proof: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Option<Vec<u8>>, ProofFault> {
    read_value(root, &alloy_rlp::encode_fixed_size(&index), proof)
}

/// Follows a key of at most 32 bytes from the root; each node that is referred to by hash is the next of the proof.
fn read_value<'a>(
    root: B256,
    key: &[u8],
    proof: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Option<Vec<u8>>, ProofFault> {
    let mut nodes = proof.into_iter().enumerate();
    let mut rest = Nibbles::unpack(key);
    let mut next = (root != EMPTY_ROOT).then(|| RlpNode::word_rlp(&root));
    let mut value = None;
    while let Some(reference) = next.take() {
        let node = match reference.as_hash() {
            None => decode(reference.as_slice())?,
            Some(hash) => {
                let (index, bytes) = nodes.next().ok_or(ProofFault::Truncated)?;
                if keccak256(bytes) != hash {
                    return Err(ProofFault::Hash(index));
                }
                decode(bytes)?
            }
        };
        match node {
            TrieNode::EmptyRoot => return Err(ProofFault::Malformed("an empty node".into())),
            TrieNode::Leaf(leaf) => value = (leaf.key == rest).then_some(leaf.value),
            TrieNode::Extension(extension) => {
                if rest.starts_with(&extension.key) {
                    rest = rest.slice(extension.key.len()..);
                    next = Some(extension.child);
                }
            }
            TrieNode::Branch(branch) => {
                let nibble = rest.first();
                let nibble =
                    nibble.ok_or_else(|| ProofFault::Malformed("a branch below the key's end".into()))?;
                rest = rest.slice(1..);
                next = child(&branch, nibble);
            }
        }
    }
    if nodes.next().is_some() { Err(ProofFault::Surplus) } else { Ok(value) }
}

fn decode(mut bytes: &[u8]) -> Result<TrieNode, ProofFault> {
    let node = TrieNode::decode(&mut bytes).map_err(|error| ProofFault::Malformed(error.to_string()))?;
    if bytes.is_empty() { Ok(node) } else { Err(ProofFault::Malformed("bytes follow a node".into())) }
}

fn child(branch: &BranchNode, nibble: u8) -> Option<RlpNode> {
    if !branch.state_mask.is_bit_set(nibble) {
        return None;
    }
    let before = (0..nibble).filter(|below| branch.state_mask.is_bit_set(*below)).count();
    branch.stack.get(before).cloned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{AccountChange, StateChanges, WorldState, ordered_proof, ordered_root};

    fn slices(proof: &[alloy_primitives::Bytes]) -> impl Iterator<Item = &[u8]> {
        proof.iter().map(AsRef::as_ref)
    }

    fn address(n: u64) -> Address {
        Address::left_padding_from(&n.to_be_bytes())
    }

    fn state(accounts: u64, slots: u64) -> WorldState {
        let storage = |n: u64| {
            (0..slots).map(move |slot| (B256::from(U256::from(slot)), U256::from(n * 1000 + slot + 1)))
        };
        let change = |n: u64| AccountChange {
            info: Some(AccountInfo { nonce: n, balance: U256::from(n), code_hash: B256::repeat_byte(7) }),
            wipe_storage: false,
            storage: storage(n).collect(),
        };
        let accounts = (0..accounts).map(|n| (address(n), change(n))).collect();
        WorldState::empty().apply(&StateChanges { accounts, ..StateChanges::default() }).unwrap()
    }

    proptest! {
        #[test]
        fn what_is_proven_reads_back_and_what_is_changed_does_not(
            accounts in 0u64..40, slots in 0u64..20, who in 0u64..60, slot in 0u64..30, spoil: u64,
        ) {
            let state = state(accounts, slots);
            let slot_key = B256::from(U256::from(slot));
            let proof = state.prove(&address(who), &[slot_key]).unwrap();
            let read = read_account(state.root(), &address(who), slices(&proof.account_proof)).unwrap();
            prop_assert_eq!(read.map(|account| account.info), proof.info);
            prop_assert_eq!(read.is_some(), who < accounts);
            let storage_root = read.map_or(EMPTY_ROOT, |account| account.storage_root);
            prop_assert_eq!(storage_root, proof.storage_root);
            let value = read_slot(storage_root, &slot_key, slices(&proof.storage[0].proof)).unwrap();
            prop_assert_eq!(value, proof.storage[0].value);

            let mut nodes = proof.account_proof;
            nodes.push(alloy_primitives::Bytes::from_static(&[0x80]));
            let longer = read_account(state.root(), &address(who), slices(&nodes));
            prop_assert_eq!(longer, Err(ProofFault::Surplus));
            nodes.pop();
            if let Some(last) = nodes.pop() {
                let shorter = read_account(state.root(), &address(who), slices(&nodes));
                prop_assert_eq!(shorter, Err(ProofFault::Truncated));
                let mut bytes = last.to_vec();
                let at = usize::try_from(spoil).unwrap() % bytes.len();
                bytes[at] ^= 1;
                nodes.push(bytes.into());
                let spoilt = read_account(state.root(), &address(who), slices(&nodes));
                prop_assert_eq!(spoilt, Err(ProofFault::Hash(nodes.len() - 1)));
            }
        }

        #[test]
        fn items_of_lists_read_back_in_their_places_only(
            count in 0usize..300, longest in 1usize..80, at in 0usize..320,
        ) {
            let items: Vec<Vec<u8>> =
                (0..count).map(|n| vec![n.to_le_bytes()[0] | 1; 1 + n * 31 % longest]).collect();
            let root = ordered_root(&items);
            match ordered_proof(&items, at) {
                None => prop_assert!(at >= count),
                Some(proof) => {
                    let item = read_item(root, at, slices(&proof)).unwrap();
                    prop_assert_eq!(item.as_ref(), items.get(at));
                    let elsewhere = read_item(root, at + 1, slices(&proof));
                    prop_assert!(elsewhere.map_or(true, |item| item.as_ref() == items.get(at + 1)));
                }
            }
        }
    }
}
