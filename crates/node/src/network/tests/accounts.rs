//! State roots of network blocks, and proofs that end at them.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_trie::proof::verify_proof;
use alloy_trie::root::state_root_unhashed;
use alloy_trie::{Nibbles, TrieAccount};
use anfs_primitives::crossing::route_code;
use anfs_primitives::{DomainId, Height};
use anfs_rpc::{At, BackendError, StateReader};
use anfs_state::{AccountChange, AccountInfo, EMPTY_CODE_HASH, EMPTY_ROOT, StateChanges, StateRead};
use proptest::prelude::*;

use super::backend::Network;
use super::scene::{Content, Scene, resident};
use crate::error::NodeError;
use crate::network::view::RECENT_ACCOUNTS;

/// Addresses at home in each shard.
const EACH: u64 = 3;
const SLOTS: u8 = 4;

/// What happens to an address in a block of one shard.
#[derive(Clone, Debug)]
enum Event {
    /// It has this nonce and this in its slots.
    Set { nonce: u8, slots: BTreeMap<u8, u8> },
    /// It is gone.
    Gone,
    /// It has become a route to a shard.
    Route { to: u32 },
    /// It has the nonce of a route and something else.
    Alike { balance: bool },
}

fn event() -> impl Strategy<Value = Event> {
    let slots = prop::collection::btree_map(0..SLOTS, 0..4u8, 0..3);
    prop_oneof![
        4 => (0..9u8, slots).prop_map(|(nonce, slots)| Event::Set { nonce, slots }),
        1 => Just(Event::Gone),
        3 => (0..6u32).prop_map(|to| Event::Route { to }),
        1 => any::<bool>().prop_map(|balance| Event::Alike { balance }),
    ]
}

/// A shard, one of the addresses, and what happens.
type Step = (prop::sample::Index, prop::sample::Index, Event);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), event()), 0..12)
}

fn change(event: &Event, changes: &mut StateChanges) -> AccountChange {
    let mut with_code = |code: Bytes| {
        let code_hash = keccak256(&code);
        changes.codes.insert(code_hash, code);
        code_hash
    };
    let (nonce, balance, code_hash) = match event {
        Event::Gone => return AccountChange::default(),
        Event::Set { nonce, .. } => (*nonce, U256::from(7), with_code(Bytes::from(vec![*nonce; 9]))),
        Event::Route { to } => (1, U256::ZERO, with_code(route_code(DomainId(*to)))),
        Event::Alike { balance: true } => (1, U256::ONE, with_code(route_code(DomainId(1)))),
        Event::Alike { balance: false } => (1, U256::ZERO, EMPTY_CODE_HASH),
    };
    let info = Some(AccountInfo { nonce: nonce.into(), balance, code_hash });
    let storage = match event {
        Event::Set { slots, .. } => {
            slots.iter().map(|(slot, word)| (B256::with_last_byte(*slot), U256::from(*word))).collect()
        }
        _ => BTreeMap::new(),
    };
    AccountChange { info, wipe_storage: !matches!(event, Event::Set { .. }), storage }
}

/// Addresses of all shards, and one that every shard has an account for.
fn addresses(scene: &Scene) -> Vec<Address> {
    let shards = u32::try_from(scene.shards.len()).unwrap();
    let own = (1..=shards).flat_map(|domain| (0..EACH).map(move |salt| (domain, salt)));
    own.map(|(domain, salt)| resident(scene, domain, salt)).chain([Address::with_last_byte(4)]).collect()
}

fn decide(scene: &Scene, addresses: &[Address], steps: &[Step]) {
    let mut of_each: BTreeMap<u32, StateChanges> = BTreeMap::new();
    for (domain, address, event) in steps {
        let domain = 1 + u32::try_from(domain.index(scene.shards.len())).unwrap();
        let changes = of_each.entry(domain).or_default();
        let change = change(event, changes);
        changes.accounts.insert(*address.get(addresses), change);
    }
    for (domain, changes) in of_each {
        scene.decide(domain, Content { changes, ..Content::default() });
    }
}

/// The account of an address where it lives, from the newest states.
fn lives(scene: &Scene, address: &Address) -> Option<TrieAccount> {
    let at = |domain: DomainId| {
        let state = match domain {
            DomainId::ROOT => {
                scene.root.domain().state_at(scene.root.domain().newest().header.height).unwrap()
            }
            _ => scene.shard(domain.0).last_state(),
        };
        let AccountInfo { nonce, balance, code_hash } = state.account(address).unwrap()?;
        Some(TrieAccount::new(nonce, balance, state.storage_root(address).unwrap()?, code_hash))
    };
    let home = at(scene.view.map().home(address));
    let is_route = |account: &TrieAccount, to: &DomainId| {
        (account.nonce, account.balance, account.code_hash) == (1, U256::ZERO, keccak256(route_code(*to)))
    };
    let mut domains = (0u32..).map(DomainId).take(scene.shards.len() + 1);
    match home.and_then(|account| domains.find(|to| is_route(&account, to))) {
        Some(to) => at(to),
        None => home,
    }
}

/// The root of all accounts, those of genesis included.
fn root(scene: &Scene, addresses: &[Address]) -> B256 {
    let all: BTreeSet<_> = scene.spec.accounts.keys().chain(addresses).copied().collect();
    state_root_unhashed(all.iter().filter_map(|address| Some((*address, lives(scene, address)?))))
}

/// Asks for the proof of every address, and holds it against a state root.
fn check_proofs(network: &Network, height: Height, root: B256, addresses: &[Address]) {
    let slots: Vec<_> = (0..=SLOTS).map(B256::with_last_byte).collect();
    for address in addresses {
        let proof = network.backend.proof(At::Block(height), address, &slots).unwrap();
        let expected = lives(&network.scene, address);
        let account = TrieAccount::new(proof.nonce, proof.balance, proof.storage_hash, proof.code_hash);
        assert_eq!(account, expected.unwrap_or_default());
        let key = Nibbles::unpack(keccak256(address));
        verify_proof(root, key, expected.map(alloy_rlp::encode), &proof.account_proof).unwrap();
        for slot in &proof.storage_proof {
            let key = Nibbles::unpack(keccak256(slot.key.as_b256()));
            let value = (!slot.value.is_zero()).then(|| alloy_rlp::encode(slot.value));
            verify_proof(proof.storage_hash, key, value, &slot.proof).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn state_roots_are_those_of_all_accounts_where_they_live(
        shards in 2u32..=5,
        blocks in prop::collection::vec((steps(), 0..5u8), 1..8),
    ) {
        let mut network = Network::new(Scene::new(shards));
        let addresses = addresses(&network.scene);
        let genesis = network.scene.view.block(Height::ZERO).unwrap().unwrap().summary().state_root;
        prop_assert_eq!(genesis, root(&network.scene, &addresses));
        for (steps, fate) in &blocks {
            decide(&network.scene, &addresses, steps);
            if *fate == 0 {
                network.scene.view.log.sync().unwrap();
                let mut scene = network.scene;
                scene.reopen();
                network = Network::new(scene);
            }
            let block = network.scene.seal();
            let expected = root(&network.scene, &addresses);
            prop_assert_eq!(block.summary().state_root, expected);
            check_proofs(&network, block.height(), expected, &addresses);
        }
    }
}

/// A network of two shards with a block in which something has changed.
fn changed() -> (Network, Vec<Address>) {
    let network = Network::new(Scene::new(2));
    let addresses = addresses(&network.scene);
    change_all(&network.scene, &addresses, 1);
    network.scene.seal();
    (network, addresses)
}

/// Gives every address a nonce, in both shards.
fn change_all(scene: &Scene, addresses: &[Address], nonce: u8) {
    for domain in [1, 2] {
        let mut changes = StateChanges::default();
        for address in addresses {
            let change = change(&Event::Set { nonce, slots: BTreeMap::new() }, &mut changes);
            changes.accounts.insert(*address, change);
        }
        scene.decide(domain, Content { changes, ..Content::default() });
    }
}

#[test]
fn what_is_not_known_for_lack_of_a_state_is_known_again_when_there_is_one() {
    let (network, addresses) = changed();
    let scene = &network.scene;
    for (missed, height) in [(3, Height(2)), (70, Height(6))] {
        scene.shard(2).forget_states_below(Height(u64::MAX));
        for _ in 0..missed {
            scene.decide(1, Content::default());
            scene.decide(2, Content::default());
            let block = scene.seal();
            assert_eq!(block.summary().state_root, B256::ZERO, "block {}", block.height());
        }
        let proof = network.backend.proof(At::Pending, &addresses[0], &[]);
        assert!(matches!(proof, Err(BackendError::Internal(_))), "{proof:?}");
        scene.shard(2).forget_states_below(Height::ZERO);
        change_all(scene, &addresses, 3);
        let block = scene.seal();
        assert_eq!(block.summary().state_root, root(scene, &addresses));
        check_proofs(&network, block.height(), block.summary().state_root, &addresses);
        let proof = network.backend.proof(At::Block(height), &addresses[0], &[]);
        assert_eq!(proof, Err(BackendError::StatePruned { height, oldest: block.height() }));
    }
}

#[test]
fn a_root_in_the_index_is_believed_where_the_states_are_gone() {
    let (mut network, addresses) = changed();
    let expected = root(&network.scene, &addresses);
    network.scene.view.log.sync().unwrap();
    for domain in [1, 2] {
        network.scene.shard(domain).forget_states_below(Height(2));
    }
    network.scene.reopen();
    let shown = |scene: &Scene| scene.view.header(Height(1)).unwrap().unwrap().state_root;
    assert_eq!(shown(&network.scene), expected);
    assert!(network.scene.view.accounts(Height(1)).is_err());

    // The node has lost the root's block, and gets it again.
    network.scene.restart_root();
    assert_eq!(network.scene.view.height(), Height(1));
    assert_eq!(shown(&network.scene), expected);
}

#[test]
fn an_index_that_contradicts_the_states_is_refused() {
    let (network, addresses) = changed();
    network.scene.view.log.sync().unwrap();
    let shard = network.scene.shard(1);
    let other = shard.last_state().apply(&StateChanges {
        accounts: BTreeMap::from([(addresses[0], AccountChange::default())]),
        ..StateChanges::default()
    });
    shard.replace_last_state(other.unwrap());
    let refused = network.scene.try_open().unwrap_err();
    let NodeError::Network { height, detail } = &refused else { panic!("{refused}") };
    assert_eq!(*height, Height(1));
    assert!(detail.contains("remove the index"), "{detail}");
}

#[test]
fn accounts_of_old_blocks_are_let_go_of() {
    let (network, addresses) = changed();
    for _ in 0..RECENT_ACCOUNTS {
        network.scene.decide(1, Content::default());
        network.scene.seal();
    }
    let gone = network.backend.proof(At::Block(Height(1)), &addresses[0], &[]);
    assert_eq!(gone, Err(BackendError::StatePruned { height: Height(1), oldest: Height(2) }));
    assert!(network.backend.proof(At::Block(Height(2)), &addresses[0], &[]).is_ok());
    let absent = network.backend.proof(At::Pending, &Address::repeat_byte(0xaa), &[B256::ZERO]).unwrap();
    assert_eq!((absent.storage_hash, absent.balance), (EMPTY_ROOT, U256::ZERO));
    let key = Nibbles::unpack(keccak256(Address::repeat_byte(0xaa)));
    verify_proof(network.scene.view.head().summary().state_root, key, None, &absent.account_proof).unwrap();
}
