use anfs_primitives::SeatIndex;
use parking_lot::Mutex;

use super::*;
use crate::chain::ChainLimits;
use crate::testing::Scene;
use crate::transport::Mailbox;

/// Hears what the builder streams; stops the node at the first transaction if told so.
struct Listener {
    context: Arc<SeatContext>,
    stops: bool,
    entries: Mutex<Vec<Entry>>,
}

impl Transport for Listener {
    fn attach(&self, _: SeatIndex, _: Mailbox) {}
    fn detach(&self, _: SeatIndex) {}
    fn send(&self, _: SeatIndex, _: SeatIndex, _: ConsensusMessage) {}
    fn relay(&self, _: SeatIndex, _: SeatIndex, _: &[RecoveredTransaction]) {}
    fn broadcast(&self, _: SeatIndex, message: ConsensusMessage) {
        let ConsensusMessage::Fragment(fragment) = message else {
            panic!("a builder streams fragments only")
        };
        assert_eq!(fragment.first_entry as usize, self.entries.lock().len(), "no gap");
        if self.stops && fragment.entries.iter().any(|entry| !entry.is_tick()) {
            self.context.health.stop();
        }
        self.entries.lock().extend(fragment.entries.into_inner());
    }
}

fn builder(scene: &Scene, stops: bool) -> (Builder, Arc<Listener>) {
    let context = scene.context.clone();
    let listener = Arc::new(Listener { context: context.clone(), stops, entries: Mutex::default() });
    (Builder::new(context, Arc::new(Inbox::new(8, 8)), listener.clone()), listener)
}

fn first(scene: &Scene) -> SlotTask {
    let parent = scene.context.chain.head().header.hash();
    SlotTask { height: Height(1), slot: Slot(1), view: View::ZERO, parent }
}

#[test]
fn a_slot_is_filled_streamed_and_closed() {
    let scene = Scene::new(0, ChainLimits::CONSENSUS);
    let txs: Vec<_> = (0..3).map(|nonce| scene.add(nonce)).collect();
    let (mut builder, listener) = builder(&scene, false);
    let block = builder.fill(first(&scene)).unwrap().expect("nothing keeps it");
    let hashes = |txs: &[RecoveredTransaction]| txs.iter().map(|tx| *tx.hash()).collect::<Vec<_>>();
    let executed = scene.context.executed.get(&block.header.hash()).expect("it was executed");
    assert_eq!(hashes(&executed.transactions), hashes(&txs));
    assert_eq!(block.body.entries.to_vec(), *listener.entries.lock(), "everything was streamed");
    assert_eq!(scene.take(), 0, "in flight until it is decided");
    let steps: u64 = block.body.entries.iter().map(|entry| entry.num_hashes).sum();
    assert_eq!(steps, scene.context.spec.hashes_per_slot);
}

#[test]
fn a_slot_that_is_given_up_gives_its_transactions_back() {
    let scene = Scene::new(0, ChainLimits::CONSENSUS);
    for nonce in 0..3 {
        scene.add(nonce);
    }
    let (mut builder, listener) = builder(&scene, true);
    assert!(builder.fill(first(&scene)).unwrap().is_none());
    assert!(!listener.entries.lock().is_empty());
    assert_eq!(scene.take(), 3);
}

#[test]
fn an_unknown_parent_is_not_waited_for_once_the_node_stops() {
    let scene = Scene::new(0, ChainLimits::CONSENSUS);
    let (mut builder, _) = builder(&scene, false);
    scene.context.health.stop();
    let task = SlotTask { parent: B256::repeat_byte(9), ..first(&scene) };
    assert!(builder.fill(task).unwrap().is_none());
}
