use alloy_primitives::B256;
use anfs_primitives::{RecoveredTransaction, SequencedTransaction, SignedTransaction};

use super::*;
use crate::builder::{Builder, SlotTask};
use crate::chain::ChainLimits;
use crate::genesis::{DEFAULT_MNEMONIC, wallets};
use crate::testing::{Scene, certificate, transfer};
use crate::transport::InProcessHub;

/// A generator and a verifier, driven by hand.
struct Pair {
    generator: Scene,
    verifier: Scene,
    worker: Worker,
    engine: Arc<EngineInbox>,
    commits: Arc<CommitInbox>,
}

fn worker(scene: &Scene) -> (Worker, Arc<EngineInbox>, Arc<CommitInbox>) {
    let (engine, commits) = (Arc::new(Inbox::new(64, 64)), Arc::new(Inbox::new(64, 1)));
    (Worker::new(scene.context.clone(), engine.clone(), commits.clone()), engine, commits)
}

impl Pair {
    fn new() -> Self {
        let (generator, verifier) =
            (Scene::new(0, ChainLimits::CONSENSUS), Scene::new(1, ChainLimits::CONSENSUS));
        let (worker, engine, commits) = worker(&verifier);
        Self { generator, verifier, worker, engine, commits }
    }

    /// A block of the generator on this parent, in this slot, with what is in its pool.
    fn build(&self, height: u64, parent: B256) -> Arc<Block> {
        let task = SlotTask { height: Height(height), slot: Slot(height), view: View::ZERO, parent };
        Self::build_at(&self.generator, task)
    }

    /// What the seat of a scene builds.
    fn build_at(scene: &Scene, task: SlotTask) -> Arc<Block> {
        let context = &scene.context;
        let engine: Arc<EngineInbox> = Arc::new(Inbox::new(8, 8));
        let builder = Builder::new(context.clone(), engine.clone(), Arc::new(InProcessHub::new(4)));
        let slots = Inbox::new(8, 8);
        slots.push(task);
        slots.close();
        builder.run(&slots).unwrap();
        match engine.receive(None) {
            Received::Event(EngineEvent::Built(block)) => block.into(),
            other => panic!("{other:?}"),
        }
    }

    fn genesis(&self) -> B256 {
        self.generator.context.chain.head().header.hash()
    }

    fn check(&mut self, block: &Arc<Block>) {
        let slices = (0..4).collect();
        self.worker.handle(Work::Check { block: block.clone(), depth: Depth::Full, slices }).unwrap();
    }

    fn verdict(&self) -> Option<(BlockHash, Result<(), Fault>)> {
        match self.engine.receive(Some(std::time::Duration::ZERO)) {
            Received::Event(EngineEvent::Checked { block, result, .. }) => Some((block, result)),
            Received::TimedOut => None,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_honest_block_passes_and_its_execution_is_shared_with_the_commit() {
    let mut pair = Pair::new();
    for nonce in 0..3 {
        pair.generator.add(nonce);
    }
    let block = pair.build(1, pair.genesis());
    assert_eq!(block.body.transactions().count(), 3);
    pair.check(&block);
    assert_eq!(pair.verdict(), Some((block.header.hash(), Ok(()))));
    let certificate = certificate(&block.header);
    pair.worker.handle(Work::Decided { block: block.clone(), certificate }).unwrap();
    let Received::Event(commit) = pair.commits.receive(None) else { panic!("nothing to commit") };
    assert_eq!(commit.executed.state.root(), block.header.state_root);
    assert!(
        pair.worker.checked.is_empty() && pair.worker.streams.is_empty() && pair.worker.waiting.is_empty()
    );
}

#[test]
fn a_forged_sender_that_executes_consistently_is_found_by_the_slices() {
    let mut pair = Pair::new();
    let other = wallets(DEFAULT_MNEMONIC, 2).unwrap().remove(1).address();
    let forged = SignedTransaction::clone(transfer(0).signed()).with_claimed_sender(other);
    pair.generator.add_transaction(forged);
    let block = pair.build(1, pair.genesis());
    pair.check(&block);
    assert_eq!(pair.verdict(), Some((block.header.hash(), Err(Fault::Signature { transaction: 0 }))));
    // Asked again, it does not change its mind.
    pair.check(&block);
    assert_eq!(pair.verdict(), Some((block.header.hash(), Err(Fault::Signature { transaction: 0 }))));
}

#[test]
fn streams_that_do_not_belong_to_the_block_are_not_used() {
    let mut pair = Pair::new();
    pair.generator.add(0);
    let block = pair.build(1, pair.genesis());
    let mut entries = block.body.entries.to_vec();
    for entry in &mut entries {
        let robbed: Vec<_> = entry
            .transactions
            .iter()
            .map(|tx| SequencedTransaction {
                sender: wallets(DEFAULT_MNEMONIC, 2).unwrap().remove(1).address(),
                ..tx.clone()
            })
            .collect();
        entry.transactions = robbed.try_into().unwrap();
    }
    let place = Making::from(block.header.header());
    pair.worker.handle(Work::Entries { place, first_entry: 0, entries }).unwrap();
    pair.check(&block);
    assert_eq!(pair.verdict(), Some((block.header.hash(), Ok(()))));
}

#[test]
fn a_check_waits_for_its_parent() {
    let mut pair = Pair::new();
    let first = pair.build(1, pair.genesis());
    let second = pair.build(2, first.header.hash());
    pair.check(&second);
    assert_eq!(pair.verdict(), None);
    assert_eq!(pair.worker.waiting.len(), 1);
    pair.check(&first);
    assert_eq!(pair.verdict(), Some((first.header.hash(), Ok(()))));
    assert_eq!(pair.verdict(), Some((second.header.hash(), Ok(()))));
    assert!(pair.worker.waiting.is_empty());
}

#[test]
fn nothing_is_kept_for_a_block_that_is_not_to_be() {
    let mut pair = Pair::new();
    let first = pair.build(1, pair.genesis());
    let second = pair.build(2, first.header.hash());
    pair.check(&second);
    pair.worker.handle(Work::Drop(Unneeded::Block(second.header.hash()))).unwrap();
    assert!(pair.worker.waiting.is_empty());
    pair.check(&first);
    assert!(pair.verdict().is_some());
    pair.worker.handle(Work::Drop(Unneeded::Block(first.header.hash()))).unwrap();
    assert!(pair.worker.checked.is_empty());
    assert!(pair.verifier.context.executed.get(&first.header.hash()).is_none());
}

#[test]
fn ahead_of_time_execution_is_bounded_and_ends_with_the_decision() {
    let mut pair = Pair::new();
    let (slot, parent, entries) = (Slot(1), pair.genesis(), Vec::new());
    for height in 1..100 {
        let root_reference = RootReference::default();
        let place = Making { height: Height(height), slot, view: View::ZERO, parent, root_reference };
        pair.worker.handle(Work::Entries { place, first_entry: 0, entries: entries.clone() }).unwrap();
    }
    assert_eq!(pair.worker.streams.len(), STREAMS_MAX);
    let block = pair.build(1, parent);
    let certificate = certificate(&block.header);
    pair.worker.handle(Work::Decided { block, certificate }).unwrap();
    assert!(pair.worker.streams.keys().all(|key| key.height > Height(1)));
}

#[test]
fn the_generators_dead_block_gives_its_transactions_back() {
    let pair = Pair::new();
    let txs: Vec<RecoveredTransaction> = (0..3).map(|nonce| pair.generator.add(nonce)).collect();
    let block = pair.build(1, pair.genesis());
    assert_eq!(block.body.transactions().count(), txs.len());
    assert_eq!(pair.generator.take(), 0, "in flight");
    let (mut own, ..) = worker(&pair.generator);
    own.handle(Work::Drop(Unneeded::Block(block.header.hash()))).unwrap();
    assert_eq!(pair.generator.take(), txs.len());
}

#[test]
fn what_an_undecided_block_of_another_generator_holds_waits_in_the_pool_of_the_next_one() {
    let mut pair = Pair::new();
    let tx = pair.generator.add(0);
    let carried = pair.build(1, pair.genesis());
    pair.check(&carried);
    assert!(pair.verdict().is_some_and(|(_, result)| result.is_ok()));
    // The verifier has a copy, and its turn has come.
    let (seat, view) = (&pair.verifier, View(4));
    seat.add_transaction(tx.clone());
    seat.context.standing.set_view(view);
    let parent = carried.header.hash();
    let own = Pair::build_at(seat, SlotTask { height: Height(2), slot: Slot(2), view, parent });
    assert_eq!(own.body.transactions().count(), 0, "it is in the block before");
    assert_eq!(own.header.beneficiary, seat.context.spec.shards[0].verifiers[0].beneficiary);
    assert!(seat.context.pool.pool.lock().get(tx.hash()).is_some(), "that block may still be dropped");
    assert_eq!(seat.take(), 0);
    pair.worker.handle(Work::Drop(Unneeded::Block(parent))).unwrap();
    assert_eq!(pair.verifier.take(), 1);
}

fn root(height: u64) -> RootReference {
    RootReference { height: Height(height), hash: B256::repeat_byte(9) }
}

#[test]
fn work_on_a_block_waits_until_its_root_reference_is_known() {
    let mut pair = Pair::new();
    pair.generator.context.arrivals.push(root(1), Vec::new()).unwrap();
    pair.generator.add(0);
    let first = pair.build(1, pair.genesis());
    assert_eq!(first.header.root_reference, root(1), "the newest that the generator knew");
    let second = pair.build(2, first.header.hash());

    let (place, entries) = (Making::from(first.header.header()), first.body.entries.to_vec());
    let (head, rest) = entries.split_at(1);
    pair.worker.handle(Work::Entries { place, first_entry: 0, entries: head.to_vec() }).unwrap();
    pair.worker.handle(Work::Entries { place, first_entry: 1, entries: rest.to_vec() }).unwrap();
    pair.check(&second);
    pair.worker.retry_rootless().unwrap();
    assert_eq!((pair.worker.rootless.len(), pair.worker.waiting.len()), (2, 1));
    assert!(pair.worker.streams.is_empty());

    pair.verifier.context.arrivals.push(root(1), Vec::new()).unwrap();
    pair.worker.retry_rootless().unwrap();
    assert_eq!(
        pair.worker.streams[&place.key()].run.entry_count(),
        entries.len(),
        "executed ahead after all"
    );
    pair.check(&first);
    assert_eq!(pair.verdict(), Some((first.header.hash(), Ok(()))));
    assert_eq!(pair.verdict(), Some((second.header.hash(), Ok(()))));
    assert!(pair.worker.rootless.is_empty() && pair.worker.waiting.is_empty());
}

#[test]
fn a_check_that_waits_for_the_root_is_answered_or_dropped() {
    let mut pair = Pair::new();
    pair.generator.context.arrivals.push(root(1), Vec::new()).unwrap();
    let kept = pair.build(1, pair.genesis());
    let task = SlotTask { height: Height(1), slot: Slot(5), view: View::ZERO, parent: pair.genesis() };
    let dropped = Pair::build_at(&pair.generator, task);
    pair.check(&dropped);
    pair.check(&kept);
    assert_eq!((pair.verdict(), pair.worker.rootless.len()), (None, 2));
    pair.worker.handle(Work::Drop(Unneeded::Block(dropped.header.hash()))).unwrap();
    pair.verifier.context.arrivals.push(root(1), Vec::new()).unwrap();
    pair.worker.retry_rootless().unwrap();
    assert_eq!(pair.verdict(), Some((kept.header.hash(), Ok(()))));
    assert_eq!((pair.verdict(), pair.worker.rootless.len()), (None, 0));
}

#[test]
fn what_waits_for_the_root_is_bounded() {
    let mut pair = Pair::new();
    pair.generator.context.arrivals.push(root(1), Vec::new()).unwrap();
    let block = pair.build(1, pair.genesis());
    for _ in 0..2 * ROOTLESS_MAX {
        pair.check(&block);
    }
    assert_eq!(pair.worker.rootless.len(), ROOTLESS_MAX);
}

#[test]
fn a_reference_to_another_root_block_is_a_fault() {
    let mut pair = Pair::new();
    pair.generator.context.arrivals.push(root(1), Vec::new()).unwrap();
    let block = pair.build(1, pair.genesis());
    let final_block = RootReference { hash: B256::repeat_byte(8), ..root(1) };
    pair.verifier.context.arrivals.push(final_block, Vec::new()).unwrap();
    pair.check(&block);
    assert_eq!(pair.verdict(), Some((block.header.hash(), Err(Fault::RootReference))));
}

#[test]
fn a_decided_block_waits_for_the_root_and_not_beyond_the_end_of_the_node() {
    let mut pair = Pair::new();
    pair.generator.context.arrivals.push(root(1), Vec::new()).unwrap();
    let block = pair.build(1, pair.genesis());
    let decided =
        |block: &Arc<Block>| Work::Decided { block: block.clone(), certificate: certificate(&block.header) };
    let arrivals = pair.verifier.context.arrivals.clone();
    std::thread::scope(|scope| {
        scope.spawn(|| arrivals.push(root(1), Vec::new()).unwrap());
        pair.worker.handle(decided(&block)).unwrap();
    });
    assert!(matches!(pair.commits.receive(None), Received::Event(_)));

    let mut late = Pair::new();
    late.verifier.context.health.stop();
    late.worker.handle(decided(&block)).unwrap();
    assert!(matches!(late.commits.receive(Some(Duration::ZERO)), Received::TimedOut));
}
