use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use alloy_signer::SignerSync;
use anfs_primitives::SignedTransaction;
use anfs_state::{NodeKey, NodeReader, StateError, StateRead};

use super::*;
use crate::genesis::{DEFAULT_MNEMONIC, wallets};
use crate::run::{BlockRun, ExecutedBlock};
use crate::testing::{Scene, child, record};

/// Counts what is read through it.
#[derive(Debug)]
struct Counting {
    inner: Arc<dyn NodeReader>,
    reads: AtomicUsize,
}

impl NodeReader for Counting {
    fn node(&self, key: &NodeKey) -> Result<Option<Vec<u8>>, StateError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.inner.node(key)
    }

    fn code(&self, hash: &B256) -> Result<Option<Bytes>, StateError> {
        self.inner.code(hash)
    }
}

fn recipient(n: u64) -> Address {
    Address::from_word(alloy_primitives::keccak256(n.to_be_bytes()))
}

/// Executes a block of transfers on a parent, as builder and worker do.
fn extend(context: &Arc<SeatContext>, parent: &Arc<ExecutedBlock>, to: &[Address]) -> Arc<ExecutedBlock> {
    let wallet = wallets(DEFAULT_MNEMONIC, 1).unwrap().remove(0);
    let place =
        context.executed.place(parent, anfs_primitives::Slot(parent.header.slot.0 + 1), Address::ZERO);
    let mut run = BlockRun::start(context, parent.clone(), &place, &crate::run::Inbound::default()).unwrap();
    let nonce = parent.state.account(&wallet.address()).unwrap().unwrap().nonce;
    for (nonce, to) in (nonce..).zip(to) {
        let tx = TxEip1559 {
            chain_id: 7,
            nonce,
            gas_limit: 21_000,
            max_fee_per_gas: 100_000_000_000,
            max_priority_fee_per_gas: 1,
            to: TxKind::Call(*to),
            value: U256::from(1),
            ..TxEip1559::default()
        };
        let signature = wallet.sign_hash_sync(&tx.signature_hash()).unwrap();
        let signed = SignedTransaction::from_envelope(&tx.into_signed(signature).into()).unwrap();
        run.execute(signed.recover().unwrap()).unwrap();
    }
    let outcome = run.finish().unwrap();
    let mut header = child(&parent.header, parent.header.hash());
    header.state_root = outcome.state_root;
    Arc::new(outcome.into_executed(header.seal()))
}

/// Nodes that reading these accounts, each with one wei, takes from disk.
fn reads(context: &SeatContext, state: &WorldState, accounts: &[Address]) -> usize {
    let counting = Arc::new(Counting { inner: context.store.state_reader(), reads: AtomicUsize::new(0) });
    let state = state.clone().with_reader(counting.clone());
    for address in accounts {
        assert_eq!(state.account(address).unwrap().unwrap().balance, U256::from(1));
    }
    counting.reads.load(Ordering::Relaxed)
}

#[test]
fn what_is_cold_leaves_memory_and_is_read_from_disk_again() {
    let scene = Scene::new(1, ChainLimits::CONSENSUS);
    let context = &scene.context;
    let mut tip = context.executed.get(&context.chain.head().header.hash()).unwrap();
    let cold: Vec<Address> = (0..300).map(recipient).collect();
    let mut flushed = WorldState::empty();
    tip = extend(context, &tip, &cold);
    let early = tip.clone();
    assert_eq!(reads(context, &tip.state, &cold), 0);
    let idle = u64::from(context.on_disk.idle);
    for round in 0..=idle + 1 {
        let height = tip.header.height;
        context.store.append_block(&record(tip.header.header().clone())).unwrap();
        context.store.sync_blocks().unwrap();
        write(context, Flush { height, state: tip.state.clone() }, &mut flushed);
        // Two children of one parent: each line takes notice of the flush by itself.
        let other = extend(context, &tip, &[recipient(1_000_000 + round)]);
        tip = extend(context, &tip, &[recipient(2_000_000 + round)]);
        assert_eq!((other.flush_seen, tip.flush_seen), (height, height));
        if round < idle {
            assert_eq!(reads(context, &early.state, &cold), 0, "a snapshot that is held stays whole");
        }
    }
    assert_eq!(context.health.trouble(), None);
    // A node that a snapshot holds is taken from there, not from disk.
    drop(early);
    let (head, root) = (tip.state.clone(), tip.state.root());
    // Proofs and plain reads alike find what has left memory.
    let proof = head.prove(&cold[7], &[]).unwrap();
    assert_eq!(proof.info.unwrap().balance, U256::from(1));
    assert_eq!(alloy_primitives::keccak256(&proof.account_proof[0]), root);
    let first = reads(context, &head, &cold);
    assert!(first > 100, "{first} nodes of 300 cold accounts were read from disk");
    assert_eq!(reads(context, &head, &cold), 0, "and are in memory again");
    // What a restart finds on disk is the last flush, whole.
    let (height, state) = (tip.header.height, tip.state.clone());
    context.store.append_block(&record(tip.header.header().clone())).unwrap();
    context.store.sync_blocks().unwrap();
    write(context, Flush { height, state }, &mut flushed);
    let opened = WorldState::open(root, context.store.state_reader()).unwrap();
    assert!(reads(context, &opened, &cold) > 0);
    assert_eq!(opened.diff_since(&tip.state).unwrap().nodes.len(), 0);
}
