use anfs_primitives::{Receipt, SealedHeader};
use anfs_store::BlockRecord;

use super::*;
use crate::context::SeatContext;
use crate::testing::{Scene, child, heights, record, transfer};

const LIMITS: ChainLimits = ChainLimits { blocks: 8, states: 3 };

/// `count` blocks above the head.
fn extend(context: &SeatContext, count: u64) -> Vec<BlockRecord> {
    let mut parent = context.chain.head().header.clone();
    (0..count)
        .map(|_| {
            let record = record(child(&parent, parent.hash()));
            parent = record.certified.block.header.clone();
            record
        })
        .collect()
}

fn visible(
    context: &SeatContext,
    header: SealedHeader,
    transactions: Arc<[RecoveredTransaction]>,
) -> Arc<RpcBlock> {
    let receipts: Arc<[Receipt]> = Arc::new([]);
    Arc::new(chain_block(&context.spec, header, None, transactions, receipts, Arc::default()))
}

fn publish(context: &SeatContext, record: &BlockRecord) {
    let state = context.chain.head_state().1;
    context.store.append_block(record).unwrap();
    context.store.sync_blocks().unwrap();
    let header = record.certified.block.header.clone();
    context.chain.publish(visible(context, header, Arc::new([])), state);
}

#[test]
fn genesis_is_the_first_head() {
    let scene = Scene::new(1, LIMITS);
    let chain = &scene.context.chain;
    let genesis = chain.head();
    assert_eq!(genesis.header.height, Height::ZERO);
    assert_eq!(chain.height_of(&genesis.header.hash()).unwrap(), Some(Height::ZERO));
    assert_eq!(chain.head_state().1.root(), genesis.header.state_root);
    assert!(chain.block(Height(1)).unwrap().is_none());
    assert!(chain.certified_block(Height(0)).unwrap().is_none(), "nobody certified genesis");
}

#[test]
fn blocks_beyond_the_limit_come_from_disk_and_their_states_are_gone() {
    let scene = Scene::new(1, LIMITS);
    let (context, chain) = (&scene.context, &scene.context.chain);
    let records = extend(context, 20);
    for record in &records {
        publish(context, record);
    }
    assert_eq!(chain.head().header.height, Height(20));
    for height in heights(1..=20) {
        let expected = records[usize::try_from(height.0).unwrap() - 1].certified.block.header.hash();
        assert_eq!(chain.block(height).unwrap().unwrap().header.hash(), expected, "height {height}");
        assert_eq!(chain.height_of(&expected).unwrap(), Some(height));
        assert_eq!(chain.hash_at(height), Some(expected));
        assert_eq!(chain.state(height).is_some(), height > Height(17), "height {height}");
        assert_eq!(chain.certified_block(height).unwrap().unwrap().block.header.hash(), expected);
    }
    assert_eq!(chain.oldest_state(), Height(18));
    assert!(chain.state(Height::ZERO).is_none());
    assert!(chain.state(Height(21)).is_none());
    assert!(chain.block(Height(21)).unwrap().is_none());
    assert_eq!(chain.recent.read().blocks.len(), LIMITS.blocks);
    assert_eq!(chain.recent.read().by_hash.len(), LIMITS.blocks);
}

#[test]
fn what_is_not_fsynced_or_not_published_is_invisible() {
    let scene = Scene::new(1, LIMITS);
    let (context, chain) = (&scene.context, &scene.context.chain);
    let record = extend(context, 1).remove(0);
    let hash = record.certified.block.header.hash();
    let unseen = || {
        assert_eq!(chain.head().header.height, Height::ZERO);
        assert_eq!(chain.height_of(&hash).unwrap(), None);
        assert!(chain.certified_block(Height(1)).unwrap().is_none());
        assert!(chain.block(Height(1)).unwrap().is_none());
        assert_eq!(chain.hash_at(Height(1)), None);
    };
    unseen();
    context.store.append_block(&record).unwrap();
    unseen();
    context.store.sync_blocks().unwrap();
    unseen();
    let state = chain.head_state().1;
    chain.publish(visible(context, record.certified.block.header, Arc::new([])), state);
    assert_eq!(chain.height_of(&hash).unwrap(), Some(Height(1)));
    assert!(chain.certified_block(Height(1)).unwrap().is_some());
}

#[test]
fn transactions_are_found_while_their_block_is_held() {
    let scene = Scene::new(1, ChainLimits { blocks: 2, states: 1 });
    let (context, chain) = (&scene.context, &scene.context.chain);
    let records = extend(context, 3);
    let txs: Arc<[_]> = Arc::new([transfer(0), transfer(1)]);
    let state = chain.head_state().1;
    let header = records[0].certified.block.header.clone();
    chain.publish(visible(context, header, txs.clone()), state.clone());
    assert_eq!(chain.transaction(txs[1].hash()).unwrap(), Some((Height(1), 1)));
    for record in &records[1..] {
        chain.publish(visible(context, record.certified.block.header.clone(), Arc::new([])), state.clone());
    }
    assert_eq!(chain.transaction(txs[1].hash()).unwrap(), None, "it left memory, and the disk never had it");
    assert!(chain.recent.read().by_transaction.is_empty());
}

#[test]
fn subscribers_hear_of_every_head_and_missing_subscribers_do_no_harm() {
    let scene = Scene::new(1, LIMITS);
    let (context, chain) = (&scene.context, &scene.context.chain);
    let records = extend(context, 3);
    publish(context, &records[0]);
    let mut heads = chain.subscribe();
    publish(context, &records[1]);
    publish(context, &records[2]);
    assert_eq!(heads.try_recv().unwrap().header.height, Height(2));
    assert_eq!(heads.try_recv().unwrap().header.height, Height(3));
    assert!(heads.try_recv().is_err());
}

#[test]
fn the_last_256_hashes_are_at_hand_after_a_restart_too() {
    let scene = Scene::new(1, ChainLimits { blocks: 2, states: 1 });
    let (context, chain) = (&scene.context, &scene.context.chain);
    let records = extend(context, 300);
    for record in &records {
        publish(context, record);
    }
    let held = || chain.recent.read().hashes.len();
    let all_there = || {
        for height in heights(45..=300) {
            let expected = records[usize::try_from(height.0).unwrap() - 1].certified.block.header.hash();
            assert_eq!(chain.recent.read().hash_at(height), Some(expected), "height {height}");
        }
        assert_eq!(chain.recent.read().hash_at(Height(44)), None);
        assert!(chain.hash_at(Height(44)).is_some(), "older ones are on disk");
        assert_eq!(chain.hash_at(Height(0)), Some(chain.block(Height(0)).unwrap().unwrap().header.hash()));
        assert_eq!(chain.hash_at(Height(301)), None);
    };
    assert_eq!(held(), HASHES_MAX);
    all_there();
    let (head, state) = chain.head_state();
    chain.restart_at(head, state).unwrap();
    assert_eq!(held(), HASHES_MAX);
    all_there();
}

#[test]
fn what_eight_root_blocks_made_final_can_be_read_however_far_the_head_is() {
    let scene = Scene::rooted(1, LIMITS);
    let (context, chain) = (&scene.context, &scene.context.chain);
    let records = extend(context, 120);
    let mut records = records.iter();
    let mut go_to = |height: u64| {
        while chain.height().0 < height {
            publish(context, records.next().unwrap());
        }
    };
    go_to(20);
    assert_eq!(chain.oldest_state(), Height::ZERO, "nothing but genesis is final");
    // Root blocks 1 to 7, of which each names five blocks more.
    (1..=7).for_each(|root| chain.finalized(Height(5 * root)));
    go_to(40);
    assert_eq!(chain.oldest_state(), Height::ZERO, "readers may still ask for block 0 of the network");
    chain.finalized(Height(40));
    go_to(41);
    assert_eq!((chain.oldest_state(), chain.restart_height()), (Height(5), Height(5)));
    assert_eq!(chain.recent.read().blocks.len(), 37, "blocks are held as long as their states");
    // The root stands still.
    go_to(100);
    assert_eq!(chain.oldest_state(), Height(5));
    assert!(heights(5..=100).all(|height| chain.state(height).is_some()));
    // One root block names all that has been decided meanwhile, and other seats are ahead of this one.
    chain.finalized(Height(100));
    (0..7).for_each(|_| chain.finalized(Height(110)));
    go_to(101);
    assert_eq!((chain.oldest_state(), chain.restart_height()), (Height(99), Height(100)));
    assert_eq!(chain.recent.read().blocks.len(), LIMITS.blocks);
    assert_eq!(chain.recent.read().by_hash.len(), LIMITS.blocks);
    chain.finalized(Height(110));
    assert_eq!(chain.restart_height(), Height(101), "no higher than the head");
}

#[test]
fn a_root_that_stands_still_does_not_fill_the_memory() {
    let scene = Scene::rooted(1, LIMITS);
    let (context, chain) = (&scene.context, &scene.context.chain);
    for record in extend(context, FINAL_REACH + 10) {
        publish(context, &record);
    }
    assert_eq!((chain.oldest_state(), chain.restart_height()), (Height(10), Height(10)));
    assert_eq!(chain.recent.read().blocks.len() as u64, FINAL_REACH + 1);
    let (block, state) = (chain.block(Height(300)).unwrap().unwrap(), chain.state(Height(300)).unwrap());
    chain.restart_at(block, state).unwrap();
    assert_eq!((chain.oldest_state(), chain.height()), (Height(300), Height(300)));
}
