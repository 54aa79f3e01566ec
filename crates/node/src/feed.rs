//! New heads as clients hear them: each height once and in order, whichever seat they come from.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anfs_primitives::Height;
use anfs_rpc::ShownBlock;
use parking_lot::Mutex;
use tokio::sync::broadcast;

use crate::chain::ChainView;

/// New heads that a slow subscriber may lag behind before it is told that it missed some.
pub(crate) const HEADS_BUFFERED: usize = 256;

/// The stream of new heads of one RPC server. It outlives the seat that the server reads from.
#[derive(Debug)]
pub(crate) struct HeadFeed {
    next: Mutex<Height>,
    blocks: broadcast::Sender<Arc<dyn ShownBlock>>,
    transactions: AtomicU64,
}

impl HeadFeed {
    /// A feed that goes on above the head of this chain.
    pub(crate) fn new(chain: &ChainView) -> Self {
        Self {
            next: Mutex::new(chain.head().header.height.next()),
            blocks: broadcast::channel(HEADS_BUFFERED).0,
            transactions: AtomicU64::new(0),
        }
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Arc<dyn ShownBlock>> {
        self.blocks.subscribe()
    }

    /// Transactions in the blocks that went through.
    pub(crate) fn transactions(&self) -> u64 {
        self.transactions.load(Ordering::Relaxed)
    }

    /// Passes on what this chain has and nobody heard yet.
    pub(crate) fn follow(&self, chain: &ChainView) {
        let mut next = self.next.lock();
        while *next <= chain.head().header.height {
            let block = match chain.block(*next) {
                Ok(Some(block)) => block,
                Ok(None) => return,
                Err(error) => {
                    // Tried again with the next head.
                    tracing::error!(height = %*next, %error, "cannot tell subscribers of a block");
                    return;
                }
            };
            self.transactions.fetch_add(block.transactions.len() as u64, Ordering::Relaxed);
            // Nobody listening is fine: subscribers come and go.
            let _ = self.blocks.send(block);
            *next = next.next();
        }
    }
}
