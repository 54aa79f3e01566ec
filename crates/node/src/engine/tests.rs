use anfs_primitives::Slot;

use super::*;
use crate::builder::Builder;
use crate::chain::ChainLimits;
use crate::seat::make_core;
use crate::testing::Scene;
use crate::transport::InProcessHub;

struct Rig {
    scene: Scene,
    engine: Engine,
    work: Arc<WorkInbox>,
}

impl Rig {
    fn new() -> Self {
        let scene = Scene::new(0, ChainLimits::CONSENSUS);
        let context = scene.context.clone();
        let core = make_core(&scene.config, &context, Vec::new()).unwrap();
        let status = Arc::new(RwLock::new(core.status()));
        let (work, slots) = (Arc::new(Inbox::new(64, 64)), Arc::new(Inbox::new(64, 1)));
        let hub = Arc::new(InProcessHub::new(4));
        let engine = Engine::new(context, core, hub, work.clone(), slots, status, &[]);
        Self { scene, engine, work }
    }

    /// Lets the core ask for a slot.
    fn asked(&mut self) -> SlotTask {
        self.engine.step(Input::Start).unwrap();
        while self.engine.asked.is_none() {
            self.engine.step(Input::Tick).unwrap();
        }
        self.engine.asked.unwrap()
    }

    fn build(&self, task: SlotTask) -> Box<Block> {
        let inbox: Arc<EngineInbox> = Arc::new(Inbox::new(8, 8));
        let builder = Builder::new(self.scene.context.clone(), inbox.clone(), Arc::new(InProcessHub::new(4)));
        let slots = Inbox::new(8, 8);
        slots.push(task);
        slots.close();
        builder.run(&slots).unwrap();
        match inbox.receive(None) {
            Received::Event(EngineEvent::Built(block)) => block,
            other => panic!("{other:?}"),
        }
    }

    fn dropped(&self) -> Vec<BlockHash> {
        let mut dropped = Vec::new();
        while let Received::Event(work) = self.work.receive(Some(Duration::ZERO)) {
            if let Work::Drop(Unneeded::Block(hash)) = work {
                dropped.push(hash);
            }
        }
        dropped
    }
}

#[test]
fn a_block_that_was_asked_for_is_logged_and_kept() {
    let mut rig = Rig::new();
    let task = rig.asked();
    let block = rig.build(task);
    let hash = block.header.hash();
    rig.engine.offer(block).unwrap();
    assert_eq!(rig.engine.live.len(), 1);
    assert!(!rig.dropped().contains(&hash));
    assert!(rig.scene.context.store.stats().unwrap().vote_log_bytes > 1000, "the whole block is in the log");
}

#[test]
fn a_block_for_another_place_is_forgotten_and_stops_nothing() {
    let mut rig = Rig::new();
    let task = rig.asked();
    let stale = rig.build(SlotTask { slot: Slot(task.slot.0 + 1), ..task });
    let hash = stale.header.hash();
    rig.engine.offer(stale).unwrap();
    assert_eq!(rig.dropped(), [hash]);
    assert!(rig.engine.live.is_empty(), "nothing was signed");
    let wanted = rig.build(task);
    rig.engine.offer(wanted).unwrap();
    assert_eq!(rig.engine.live.len(), 1);
}
