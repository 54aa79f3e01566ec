use anfs_primitives::{BlockBody, BoundedVec};

use super::*;
use crate::chain::ChainLimits;
use crate::run::{BlockRun, Inbound};
use crate::testing::{Scene, certificate, child};

/// Heights of the states that are flushed while so many empty blocks are decided.
fn flushes(limits: ChainLimits, root: bool, blocks: u64) -> Vec<u64> {
    let scene = Scene::new(1, limits);
    let context = &scene.context;
    let flusher = Arc::new(FlushInbox::new(1, 1));
    let root = root.then(|| Arc::new(RootInbox::new(1024, 1)));
    let mut committer = Committer::new(context.clone(), flusher.clone(), Height::ZERO, root);
    let mut tip = context.executed.get(&context.chain.head().header.hash()).unwrap();
    let mut flushed = Vec::new();
    for _ in 0..blocks {
        let slot = anfs_primitives::Slot(tip.header.slot.0 + 1);
        let place = context.executed.place(&tip, slot, alloy_primitives::Address::ZERO);
        let run = BlockRun::start(context, tip.clone(), &place, &Inbound::default()).unwrap();
        let outcome = run.finish().unwrap();
        let mut header = child(&tip.header, tip.header.hash());
        header.state_root = outcome.state_root;
        let header = header.seal();
        tip = Arc::new(outcome.into_executed(header.clone()));
        context.executed.insert(tip.clone());
        let (certificate, body) = (certificate(&header), BlockBody { entries: BoundedVec::new() });
        let commit = Commit { block: Arc::new(Block { header, body }), certificate, executed: tip.clone() };
        committer.publish(commit);
        if let Received::Event(flush) = flusher.receive(Some(Duration::ZERO)) {
            let hash = context.chain.hash_at(flush.height).unwrap();
            let block = context.chain.block(flush.height).unwrap().unwrap();
            assert_eq!((hash, flush.state.root()), (block.header.hash(), block.header.state_root));
            flushed.push(flush.height.0);
        }
    }
    flushed
}

#[test]
fn states_are_flushed_at_once_alone_and_behind_the_root_where_there_is_one() {
    assert_eq!(flushes(ChainLimits::SERVING, false, 130), [64, 128]);
    assert_eq!(flushes(ChainLimits::SERVING, true, 130), [64]);
    assert_eq!(flushes(ChainLimits::SERVING, true, 160), [64, 128]);
    assert_eq!(flushes(ChainLimits::CONSENSUS, true, 193), [96, 192]);
}
