use anfs_primitives::{BlockBody, BoundedVec};

use super::*;
use crate::chain::ChainLimits;
use crate::run::{BlockRun, Inbound};
use crate::testing::{Scene, certificate, child};

/// How the root goes on while blocks are decided.
#[derive(Clone, Copy)]
enum Root {
    /// There is none.
    None,
    /// After every fourth block of the shard there is a root block, and it names all blocks but this many.
    Behind(u64),
}

/// Heights of the states that are flushed while so many empty blocks are decided.
fn flushes(limits: ChainLimits, root: Root, blocks: u64) -> Vec<u64> {
    let scene = match root {
        Root::None => Scene::new(1, limits),
        Root::Behind(_) => Scene::rooted(1, limits),
    };
    let context = &scene.context;
    let flusher = Arc::new(FlushInbox::new(1, 1));
    let mut committer = Committer::new(context.clone(), flusher.clone(), Height::ZERO, None);
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
        if let Root::Behind(by) = root
            && let Some(tip) = tip.header.height.0.checked_sub(by)
            && tip.is_multiple_of(4)
        {
            context.chain.finalized(Height(tip));
        }
        if let Received::Event(flush) = flusher.receive(Some(Duration::ZERO)) {
            let block = context.chain.block(flush.height).unwrap().unwrap();
            assert_eq!(flush.state.root(), block.header.state_root);
            flushed.push(flush.height.0);
        }
    }
    flushed
}

#[test]
fn states_are_flushed_at_once_alone_and_behind_the_root_where_there_is_one() {
    assert_eq!(flushes(ChainLimits::SERVING, Root::None, 130), [64, 128]);
    // The state after the eighth root block, counted from the newest, stays readable after a restart.
    for limits in [ChainLimits::SERVING, ChainLimits::CONSENSUS] {
        assert!(flushes(limits, Root::Behind(0), 92).is_empty());
        assert_eq!(
            flushes(limits, Root::Behind(0), 93),
            [64],
            "92 is final, and 64 is eight root blocks below"
        );
        assert_eq!(flushes(limits, Root::Behind(0), 160), [64, 128]);
        assert!(flushes(limits, Root::Behind(100), 160).is_empty());
        assert_eq!(flushes(limits, Root::Behind(100), 193), [64]);
    }
}

#[test]
fn a_root_that_stands_still_holds_up_no_flush_for_ever() {
    assert_eq!(flushes(ChainLimits::CONSENSUS, Root::Behind(10_000), 600), [64]);
}
