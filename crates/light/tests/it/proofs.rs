//! Proofs against a final root block.

use alloy_primitives::{Address, B256, U256};
use anfs_light::{
    AccountProof, AddressProof, ArrivalProof, FinalityProof, MessageProof, NODES_MAX, Nodes, PROOF_BYTES_MAX,
    ReceiptProof, ResidentProof, RootAccountProof, RootMessageProof, SentProof, decode_proof, nodes,
};
use anfs_primitives::{CrossMessage, DomainId, Height, InboxCursor, encode};
use anfs_state::{WorldState, ordered_proof, ordered_root};

use crate::scene::{SLOT, SYSTEM, Scene};
use crate::{Attack, Outcome, hold};

/// The nodes with a bit of one flipped.
fn spoilt(proof: &Nodes, at: usize) -> Nodes {
    let mut all: Vec<Vec<u8>> = proof.iter().map(|node| node.to_vec()).collect();
    let node = &mut all[at];
    let last = node.len() - 1;
    node[last] ^= 1;
    nodes(all).expect("few nodes")
}

fn cut(proof: &Nodes) -> Nodes {
    let (_, rest) = proof.split_last().expect("a proof has nodes");
    nodes(rest.iter().map(|node| node.to_vec())).expect("few nodes")
}

fn finality(scene: &Scene, index: usize, change: impl FnOnce(&mut FinalityProof)) -> Outcome {
    let mut proof = scene.finality(index);
    change(&mut proof);
    let block = proof.verify(&scene.root())?;
    assert_eq!(block.hash(), scene.blocks[index].hash());
    Ok(())
}

fn account(scene: &Scene, change: impl FnOnce(&mut AccountProof)) -> Outcome {
    let mut proof = scene.resident();
    change(&mut proof.home);
    let alice = proof.verify(&scene.root(), &scene.alice, &[SLOT])?;
    let info = alice.account.expect("it exists").info;
    assert_eq!((info.balance, info.nonce, alice.routed), (U256::from(1_000), 5, false));
    assert_eq!((alice.home, alice.height, &alice.slots[..]), (DomainId(1), Height(2), &[U256::from(77)][..]));
    Ok(())
}

fn guest(scene: &Scene, change: impl FnOnce(&mut ResidentProof)) -> Outcome {
    let mut proof = scene.guest();
    change(&mut proof);
    let guest = proof.verify(&scene.root(), &scene.guest, &[SLOT])?;
    assert_eq!((guest.home, guest.domain, guest.routed), (DomainId(2), DomainId(3), true));
    assert_eq!(
        (guest.account.expect("it exists").info.balance, guest.slots[0]),
        (U256::from(55), U256::from(78))
    );
    Ok(())
}

/// An account of the root by root block 2, which tells of block 1.
fn root_account(scene: &Scene, change: impl FnOnce(&mut RootAccountProof)) -> Outcome {
    let mut proof = scene.under_root(DomainId::ROOT, SYSTEM, &[SLOT]);
    change(&mut proof);
    let system = AddressProof::Root(proof).verify(&scene.second_root(), &SYSTEM, &[SLOT])?;
    let balance = system.account.map(|account| account.info.balance);
    assert_eq!((balance, &system.slots[..]), (Some(U256::from(9)), &[U256::from(79)][..]));
    assert_eq!(
        (system.home, system.domain, system.height, system.routed),
        (DomainId::ROOT, DomainId::ROOT, Height(1), false)
    );
    Ok(())
}

fn absent(scene: &Scene, address: Address, proof: &ResidentProof) -> Outcome {
    let found = proof.verify(&scene.root(), &address, &[])?;
    assert_eq!(found.account, None);
    Ok(())
}

fn honest_absence(scene: &Scene) -> Outcome {
    absent(scene, scene.nobody, &ResidentProof { home: scene.account(1, scene.nobody, &[]), away: None })
}

fn receipt(scene: &Scene, change: impl FnOnce(&mut ReceiptProof)) -> Outcome {
    let mut proof = scene.receipt(1);
    change(&mut proof);
    let proven = proof.verify(&scene.root(), &scene.hash(1))?;
    assert!(!proven.success, "the second one has failed");
    assert_eq!((proven.cumulative_gas_used, proven.index), (42_000, 1));
    assert_eq!(proven.logs, scene.receipts[1].logs);
    assert_eq!((proven.block.domain, proven.block.height), (DomainId(1), Height(1)));
    Ok(())
}

fn message(scene: &Scene, change: impl FnOnce(&mut MessageProof)) -> Outcome {
    let mut proof = scene.message(2);
    change(&mut proof);
    let proven = proof.verify(&scene.root(), &scene.messages[1].id())?;
    assert_eq!(proven.message, scene.messages[1]);
    Ok(())
}

/// Whether the `index`-th message has been consumed, by a header of its destination.
fn arrival(scene: &Scene, index: usize, change: impl FnOnce(&mut ArrivalProof)) -> Outcome {
    let root = scene.root();
    let sent = scene.message(2).verify(&root, &scene.messages[index].id())?;
    let mut proof = ArrivalProof { header: scene.tip(2) };
    change(&mut proof);
    let consumed = proof.verify(&root, &sent.message)?;
    assert_eq!(consumed, sent.message.sequence < 6, "numbers 4 and 5 are consumed, 6 is not");
    Ok(())
}

/// A message that the root has sent with its first block.
fn root_message(scene: &Scene, change: impl FnOnce(&mut RootMessageProof)) -> Outcome {
    let mut proof = scene.root_message(2);
    change(&mut proof);
    let found = proof.verify(&scene.second_root(), &scene.sent_by_root()[1].id())?;
    assert_eq!((found.height, found.message), (Height(1), scene.sent_by_root()[1].clone()));
    Ok(())
}

const FINALITY: &[Attack] = &[
    Attack {
        name: "a shard block that was not named",
        honest: |scene| finality(scene, 0, |_| ()),
        forged: |scene| {
            finality(scene, 0, |proof| {
                let mut header = proof.header.header().clone();
                header.state_root = B256::repeat_byte(1);
                proof.header = header.seal();
            })
        },
        words: "block 1 of shard 1 is not made final",
    },
    Attack {
        name: "a shard block in another one's place",
        honest: |scene| finality(scene, 2, |_| ()),
        forged: |scene| finality(scene, 2, |proof| proof.index = 3),
        words: "is not made final",
    },
    Attack {
        name: "a wrong sibling",
        honest: |scene| finality(scene, 3, |_| ()),
        forged: |scene| {
            finality(scene, 3, |proof| proof.siblings = vec![B256::ZERO; 2].try_into().expect("few"))
        },
        words: "is not made final",
    },
    Attack {
        name: "a path that is too short",
        honest: |scene| finality(scene, 1, |_| ()),
        forged: |scene| {
            finality(scene, 1, |proof| {
                (proof.count, proof.index) = (1, 0);
                proof.siblings = Vec::new().try_into().expect("few");
            })
        },
        words: "is not made final",
    },
    Attack {
        name: "the proof of another root block",
        honest: |scene| finality(scene, 0, |_| ()),
        forged: |scene| {
            scene.finality(0).verify(&scene.second_root())?;
            Ok(())
        },
        words: "not made final by root block 2",
    },
];

const ACCOUNTS: &[Attack] = &[
    Attack {
        name: "the account of another",
        honest: |scene| account(scene, |_| ()),
        forged: |scene| account(scene, |proof| proof.nodes = scene.account(1, scene.nobody, &[]).nodes),
        words: "proof of the account is wrong",
    },
    Attack {
        name: "an altered balance",
        honest: |scene| account(scene, |_| ()),
        forged: |scene| account(scene, |proof| proof.nodes = spoilt(&proof.nodes, proof.nodes.len() - 1)),
        words: "proof of the account is wrong: node",
    },
    Attack {
        name: "a proof cut short",
        honest: |scene| account(scene, |_| ()),
        forged: |scene| account(scene, |proof| proof.nodes = cut(&proof.nodes)),
        words: "ends before it reaches the value",
    },
    Attack {
        name: "the state of an earlier final block",
        honest: |scene| account(scene, |_| ()),
        forged: |scene| account(scene, |proof| proof.header = scene.blocks[0].clone()),
        words: "not the newest final one",
    },
    Attack {
        name: "a header with another state",
        honest: |scene| account(scene, |_| ()),
        forged: |scene| {
            account(scene, |proof| {
                let mut header = proof.header.header().clone();
                header.state_root = WorldState::empty().root();
                (proof.header, proof.nodes) = (header.seal(), Nodes::new());
            })
        },
        words: "not the newest final one",
    },
    Attack {
        name: "the storage of another account",
        honest: |scene| account(scene, |_| ()),
        forged: |scene| account(scene, |proof| proof.slots = scene.account(3, scene.guest, &[SLOT]).slots),
        words: "proof of the slot is wrong",
    },
    Attack {
        name: "an altered slot",
        honest: |scene| account(scene, |_| ()),
        forged: |scene| {
            account(scene, |proof| proof.slots = vec![spoilt(&proof.slots[0], 0)].try_into().expect("few"))
        },
        words: "proof of the slot is wrong: node 0",
    },
    Attack {
        name: "a slot said to be empty",
        honest: |scene| account(scene, |_| ()),
        forged: |scene| account(scene, |proof| proof.slots = vec![Nodes::new()].try_into().expect("few")),
        words: "ends before it reaches the value",
    },
    Attack {
        name: "fewer slots than asked for",
        honest: |scene| account(scene, |_| ()),
        forged: |scene| account(scene, |proof| proof.slots = Vec::new().try_into().expect("few")),
        words: "0 slots instead of 1",
    },
    Attack {
        name: "the absence of an account that exists",
        honest: honest_absence,
        forged: |scene| {
            let home = AccountProof { nodes: Nodes::new(), ..scene.account(1, scene.alice, &[]) };
            absent(scene, scene.alice, &ResidentProof { home, away: None })
        },
        words: "ends before it reaches the value",
    },
    Attack {
        name: "another one's absence",
        honest: honest_absence,
        forged: |scene| {
            let home = scene.account(1, scene.nobody, &[]);
            absent(scene, scene.alice, &ResidentProof { home, away: None })
        },
        words: "proof of the account is wrong",
    },
    Attack {
        name: "absence in a shard that is not the home",
        honest: honest_absence,
        forged: |scene| {
            let home = scene.account(2, scene.alice, &[]);
            absent(scene, scene.alice, &ResidentProof { home, away: None })
        },
        words: "of shard 2, but shard 1 has to say it",
    },
];

const ROOT_ACCOUNTS: &[Attack] = &[
    Attack {
        name: "an altered account of the root",
        honest: |scene| root_account(scene, |_| ()),
        forged: |scene| root_account(scene, |proof| proof.nodes = spoilt(&proof.nodes, 0)),
        words: "proof of the account is wrong",
    },
    Attack {
        name: "an altered slot of the root",
        honest: |scene| root_account(scene, |_| ()),
        forged: |scene| {
            root_account(scene, |proof| {
                proof.slots = vec![spoilt(&proof.slots[0], 0)].try_into().expect("few");
            })
        },
        words: "proof of the slot is wrong",
    },
    Attack {
        name: "a slot of the root kept back",
        honest: |scene| root_account(scene, |_| ()),
        forged: |scene| root_account(scene, |proof| proof.slots = Vec::new().try_into().expect("few")),
        words: "slots",
    },
    Attack {
        name: "the root's account as a shard has it",
        honest: |scene| root_account(scene, |_| ()),
        forged: |scene| root_account(scene, |proof| *proof = scene.under_root(DomainId(1), SYSTEM, &[SLOT])),
        words: "proof of the account is wrong",
    },
    Attack {
        name: "a shard's account as the root's",
        honest: |scene| {
            let proof = AddressProof::Shard(scene.resident());
            assert_eq!(proof.verify(&scene.second_root(), &scene.alice, &[SLOT])?.home, DomainId(1));
            Ok(())
        },
        forged: |scene| {
            let proof = AddressProof::Root(scene.under_root(DomainId(1), scene.alice, &[SLOT]));
            proof.verify(&scene.second_root(), &scene.alice, &[SLOT])?;
            Ok(())
        },
        words: "of the root, but shard 1 has to say it",
    },
    Attack {
        name: "the root's account in a shard",
        honest: |scene| root_account(scene, |_| ()),
        forged: |scene| {
            let proof = ResidentProof { home: scene.account(1, SYSTEM, &[]), away: None };
            AddressProof::Shard(proof).verify(&scene.second_root(), &SYSTEM, &[])?;
            Ok(())
        },
        words: "of shard 1, but the root has to say it",
    },
    Attack {
        name: "an account of the root before its time",
        honest: |scene| root_account(scene, |_| ()),
        forged: |scene| {
            let proof = AddressProof::Root(scene.under_root(DomainId::ROOT, SYSTEM, &[]));
            proof.verify(&scene.root(), &SYSTEM, &[])?;
            Ok(())
        },
        words: "proof of the account is wrong",
    },
];

const ROUTES: &[Attack] = &[
    Attack {
        name: "a route that is kept back",
        honest: |scene| guest(scene, |_| ()),
        forged: |scene| {
            guest(scene, |proof| {
                (proof.home, proof.away) = (scene.account(2, scene.guest, &[SLOT]), None);
            })
        },
        words: "lives in shard 3, from which there is no proof",
    },
    Attack {
        name: "a route to another shard",
        honest: |scene| guest(scene, |_| ()),
        forged: |scene| guest(scene, |proof| proof.away = Some(scene.account(1, scene.guest, &[SLOT]))),
        words: "of shard 1, but shard 3 has to say it",
    },
    Attack {
        name: "a route of a shard that is not the home",
        honest: |scene| guest(scene, |_| ()),
        forged: |scene| guest(scene, |proof| proof.home = scene.account(1, scene.guest, &[])),
        words: "of shard 1, but shard 2 has to say it",
    },
    Attack {
        name: "a route with another domain in its code",
        honest: |scene| guest(scene, |_| ()),
        forged: |scene| {
            guest(scene, |proof| proof.home.nodes = spoilt(&proof.home.nodes, proof.home.nodes.len() - 1))
        },
        words: "proof of the account is wrong",
    },
    Attack {
        name: "a route that the home does not have",
        honest: |scene| account(scene, |_| ()),
        forged: |scene| {
            let (home, away) = (scene.account(1, scene.alice, &[]), scene.account(3, scene.alice, &[]));
            ResidentProof { home, away: Some(away) }.verify(&scene.root(), &scene.alice, &[])?;
            Ok(())
        },
        words: "of shard 3, to which no route leads",
    },
];

const RECEIPTS: &[Attack] = &[
    Attack {
        name: "a receipt under another index",
        honest: |scene| receipt(scene, |_| ()),
        forged: |scene| receipt(scene, |proof| proof.index = 2),
        words: "is wrong",
    },
    Attack {
        name: "the receipt of another transaction",
        honest: |scene| receipt(scene, |_| ()),
        forged: |scene| receipt(scene, |proof| proof.receipt = scene.receipt(2).receipt),
        words: "proof of the receipt is wrong",
    },
    Attack {
        name: "transaction and receipt of another index",
        honest: |scene| receipt(scene, |_| ()),
        forged: |scene| receipt(scene, |proof| *proof = scene.receipt(0)),
        words: "the proof is of transaction 0x",
    },
    Attack {
        name: "the receipt of another block",
        honest: |scene| receipt(scene, |_| ()),
        forged: |scene| receipt(scene, |proof| proof.finality = scene.finality(1)),
        words: "proof of the transaction is wrong",
    },
    Attack {
        name: "a failure told as success",
        honest: |scene| receipt(scene, |_| ()),
        forged: |scene| {
            let mut receipts = scene.receipts.clone();
            receipts[1].success = true;
            let encoded: Vec<_> = receipts.iter().map(anfs_primitives::Receipt::encoded_2718).collect();
            assert_ne!(ordered_root(&encoded), ordered_root(&scene.encoded_receipts()));
            let forged = nodes(ordered_proof(&encoded, 1).expect("there is one")).expect("few nodes");
            receipt(scene, |proof| proof.receipt = forged)
        },
        words: "proof of the receipt is wrong: node 0",
    },
    Attack {
        name: "an index beyond the block's last",
        honest: |scene| receipt(scene, |_| ()),
        forged: |scene| {
            receipt(scene, |proof| {
                (proof.index, proof.transaction) = (200, scene.receipt(0).transaction);
            })
        },
        words: "no transaction at that index",
    },
];

const MESSAGES: &[Attack] = &[
    Attack {
        name: "a message left out",
        honest: |scene| message(scene, |_| ()),
        forged: |scene| {
            message(scene, |proof| {
                proof.batch.messages = proof.batch.messages[..2].to_vec().try_into().expect("few");
            })
        },
        words: "has the number 4; the lane is at 5",
    },
    Attack {
        name: "an altered message",
        honest: |scene| message(scene, |_| ()),
        forged: |scene| {
            message(scene, |proof| {
                let mut all = proof.batch.messages.to_vec();
                all[0].origin = B256::ZERO;
                proof.batch.messages = all.try_into().expect("few");
            })
        },
        words: "under the header's outbox root",
    },
    Attack {
        name: "a message of another lane",
        honest: |scene| message(scene, |_| ()),
        forged: |scene| message(scene, |proof| proof.batch = scene.batch(3)),
        words: "not among those of the proof",
    },
    Attack {
        name: "a lane's messages with a foreign one",
        honest: |scene| message(scene, |_| ()),
        forged: |scene| {
            message(scene, |proof| {
                let mut all = proof.batch.messages.to_vec();
                all[2] = scene.messages[3].clone();
                proof.batch.messages = all.try_into().expect("few");
            })
        },
        words: "message 2 is of another network, source or destination",
    },
    Attack {
        name: "messages of a block that has sent none",
        honest: |scene| message(scene, |_| ()),
        forged: |scene| message(scene, |proof| proof.finality = scene.finality(1)),
        words: "not those that the block sends",
    },
    Attack {
        name: "no messages at all",
        honest: |scene| message(scene, |_| ()),
        forged: |scene| message(scene, |proof| proof.batch.messages = Vec::new().try_into().expect("few")),
        words: "a batch without messages",
    },
    Attack {
        name: "a message of the root that it has not sent",
        honest: |scene| root_message(scene, |_| ()),
        forged: |scene| {
            root_message(scene, |proof| {
                let mut messages = proof.batch.messages.to_vec();
                messages[0].origin = B256::ZERO;
                proof.batch.messages = messages.try_into().expect("few");
            })
        },
        words: "not the lane's under the header's outbox root",
    },
    Attack {
        name: "messages of the root on another lane",
        honest: |scene| root_message(scene, |_| ()),
        forged: |scene| root_message(scene, |proof| proof.batch = scene.root_message(3).batch),
        words: "not among those",
    },
    Attack {
        name: "a shard's messages as the root's",
        honest: |scene| root_message(scene, |_| ()),
        forged: |scene| root_message(scene, |proof| proof.batch = scene.batch(2)),
        words: "another network, source or destination",
    },
    Attack {
        name: "an arrival told by another shard",
        honest: |scene| arrival(scene, 1, |_| ()),
        forged: |scene| arrival(scene, 1, |proof| proof.header = scene.tip(3)),
        words: "of shard 3, but shard 2 has to say it",
    },
    Attack {
        name: "an arrival before its time",
        honest: |scene| arrival(scene, 2, |_| ()),
        forged: |scene| {
            arrival(scene, 2, |proof| {
                let mut header = proof.header.header().clone();
                let cursor = InboxCursor { source: DomainId(1), consumed: 7 };
                header.inbox_cursors = vec![cursor].try_into().expect("few");
                proof.header = header.seal();
            })
        },
        words: "not the newest final one",
    },
];

#[test]
fn forged_finality_is_refused() {
    hold(FINALITY);
}

#[test]
fn forged_accounts_are_refused() {
    hold(ACCOUNTS);
}

#[test]
fn forged_accounts_of_the_root_are_refused() {
    hold(ROOT_ACCOUNTS);
}

#[test]
fn forged_routes_are_refused() {
    hold(ROUTES);
}

#[test]
fn forged_receipts_are_refused() {
    hold(RECEIPTS);
}

#[test]
fn forged_messages_are_refused() {
    hold(MESSAGES);
}

#[test]
fn root_headers_tell_how_far_the_root_has_consumed_each_lane() {
    let scene = Scene::new();
    let root = scene.second_root();
    let message = |destination, sequence| CrossMessage {
        destination: DomainId(destination),
        sequence,
        ..scene.messages[0].clone()
    };
    assert!(root.has_consumed(&message(0, 1)) && !root.has_consumed(&message(0, 2)));
    assert!(!root.has_consumed(&message(2, 1)), "not the root's to consume");
    assert!(!scene.root().has_consumed(&message(0, 1)), "nothing, by then");
}

#[test]
fn proofs_survive_their_encoding_and_nothing_else_is_read() {
    let scene = Scene::new();
    let bytes = encode(&scene.guest());
    assert_eq!(decode_proof::<ResidentProof>(&bytes).unwrap(), scene.guest());
    assert_eq!(decode_proof::<ReceiptProof>(&encode(&scene.receipt(2))).unwrap(), scene.receipt(2));
    assert_eq!(decode_proof::<MessageProof>(&encode(&scene.message(3))).unwrap(), scene.message(3));

    let system = AddressProof::Root(scene.under_root(DomainId::ROOT, SYSTEM, &[SLOT]));
    assert_eq!(decode_proof::<AddressProof>(&encode(&system)).unwrap(), system);
    let sent = SentProof::Root(scene.root_message(3));
    assert_eq!(decode_proof::<SentProof>(&encode(&sent)).unwrap(), sent);
    let sent = sent.verify(&scene.second_root(), &scene.sent_by_root()[2].id()).unwrap();
    assert_eq!((sent.height, sent.message.source), (Height(1), DomainId::ROOT));
    let sent = SentProof::Shard(scene.message(3));
    let sent = sent.verify(&scene.root(), &scene.messages[3].id()).unwrap();
    assert_eq!((sent.height, sent.message.source), (Height(1), DomainId(1)));

    let longer = [&bytes[..], &[0]].concat();
    assert!(decode_proof::<ResidentProof>(&longer).is_err());
    assert!(decode_proof::<ResidentProof>(&bytes[..bytes.len() - 1]).is_err());
    let oversize = vec![0; PROOF_BYTES_MAX + 1];
    let error = decode_proof::<ResidentProof>(&oversize).unwrap_err();
    assert!(error.to_string().contains("over the limit"), "{error}");
    assert!(nodes(vec![[0u8; 1]; NODES_MAX + 1]).is_err());
    let hostile = [0xff; 4];
    assert!(decode_proof::<Nodes>(&hostile).is_err(), "a length alone takes no memory");
}
