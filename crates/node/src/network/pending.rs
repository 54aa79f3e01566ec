//! Pending transactions of all shards on one channel. Shards are listened to only while somebody listens here.

use std::sync::Arc;

use anfs_primitives::RecoveredTransaction;
use anfs_rpc::Backend;
use parking_lot::Mutex;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

/// Pending transactions that a slow subscriber may lag behind before it is dropped.
const PENDING_BUFFERED: usize = 8192;

#[derive(Debug, Clone)]
pub(super) struct PendingFeed {
    news: broadcast::Sender<RecoveredTransaction>,
    /// Whether a shard is listened to.
    listening: Arc<Mutex<Vec<bool>>>,
}

impl PendingFeed {
    pub(super) fn new(shards: usize) -> Self {
        Self {
            news: broadcast::channel(PENDING_BUFFERED).0,
            listening: Arc::new(Mutex::new(vec![false; shards])),
        }
    }

    /// Must be called on a runtime.
    pub(super) fn subscribe(&self, shards: &[Backend]) -> broadcast::Receiver<RecoveredTransaction> {
        let receiver = self.news.subscribe();
        let mut listening = self.listening.lock();
        for (place, shard) in shards.iter().enumerate() {
            if !std::mem::replace(&mut listening[place], true) {
                tokio::spawn(self.clone().pass_on(place, shard.events.pending_transactions()));
            }
        }
        receiver
    }

    async fn pass_on(self, place: usize, mut shard: broadcast::Receiver<RecoveredTransaction>) {
        loop {
            match shard.recv().await {
                Ok(tx) => {
                    if self.news.send(tx).is_err() && self.leave(place) {
                        return;
                    }
                }
                // Whoever listens here is as late, and is told so by its own channel.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => {
                    self.listening.lock()[place] = false;
                    return;
                }
            }
        }
    }

    /// Stops listening to a shard, unless a subscriber has come meanwhile.
    fn leave(&self, place: usize) -> bool {
        let mut listening = self.listening.lock();
        let nobody = self.news.receiver_count() == 0;
        listening[place] = !nobody;
        nobody
    }
}
