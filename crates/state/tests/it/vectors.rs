//! Known roots, and genesis states held against alloy's independent rebuild.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, U256, address, b256, keccak256};
use alloy_trie::TrieAccount;
use alloy_trie::root::{state_root_unhashed, storage_root_unhashed};
use anfs_primitives::GenesisAccount;
use anfs_state::{EMPTY_CODE_HASH, EMPTY_ROOT, StateRead, WorldState};

#[test]
fn the_empty_state() {
    let state = WorldState::empty();
    assert_eq!(state.root(), b256!("56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"));
    assert_eq!(state.account(&Address::ZERO).unwrap(), None);
    assert_eq!(state.storage(&Address::ZERO, &B256::ZERO).unwrap(), U256::ZERO);
    let proof = state.prove(&Address::ZERO, &[B256::ZERO]).unwrap();
    assert!(proof.account_proof.is_empty() && proof.storage[0].proof.is_empty());
    assert_eq!(proof.storage_root, EMPTY_ROOT);
}

#[test]
fn one_account_by_hand() {
    // The leaf of the only account, put together byte by byte from the yellow paper, appendix D.
    let account = address!("a94f5374fce5edbc8e2a8697c15331677e6ebf0b");
    let genesis =
        BTreeMap::from([(account, GenesisAccount { balance: U256::from(1_000_000), ..Default::default() })]);
    let mut value = vec![0xf8, 0x47, 0x80, 0x83, 0x0f, 0x42, 0x40, 0xa0];
    value[1] = 1 + 4 + 33 + 33;
    value.extend_from_slice(EMPTY_ROOT.as_slice());
    value.push(0xa0);
    value.extend_from_slice(EMPTY_CODE_HASH.as_slice());
    let mut leaf = vec![0xa1, 0x20];
    leaf.extend_from_slice(keccak256(account).as_slice());
    leaf.extend_from_slice(&[0xb8, u8::try_from(value.len()).unwrap()]);
    leaf.extend_from_slice(&value);
    let mut node = vec![0xf8, u8::try_from(leaf.len()).unwrap()];
    node.extend_from_slice(&leaf);
    assert_eq!(WorldState::genesis(&genesis).unwrap().root(), keccak256(&node));
}

#[test]
fn a_genesis_with_contracts() {
    let genesis: BTreeMap<Address, GenesisAccount> = (0..200u64)
        .map(|i| {
            let storage = (0..i % 7).map(|slot| {
                (
                    B256::left_padding_from(&slot.to_be_bytes()),
                    B256::left_padding_from(&(slot * i).to_be_bytes()),
                )
            });
            let code = if i % 3 == 0 {
                Bytes::from(vec![0x5b; 1 + usize::try_from(i).unwrap()])
            } else {
                Bytes::new()
            };
            let account =
                GenesisAccount { balance: U256::from(i) << 70, nonce: i, code, storage: storage.collect() };
            (Address::left_padding_from(&i.to_be_bytes()), account)
        })
        .collect();
    let expected = state_root_unhashed(genesis.iter().map(|(address, account)| {
        let words = account.storage.iter().map(|(slot, word)| (*slot, U256::from_be_bytes(word.0)));
        let storage_root = storage_root_unhashed(words.filter(|(_, word)| !word.is_zero()));
        let code_hash = keccak256(&account.code);
        (*address, TrieAccount::new(account.nonce, account.balance, storage_root, code_hash))
    }));
    let state = WorldState::genesis(&genesis).unwrap();
    assert_eq!(state.root(), expected);
    for (address, account) in &genesis {
        let info = state.account(address).unwrap().unwrap();
        assert_eq!(state.code(&info.code_hash).unwrap(), account.code);
    }
}
