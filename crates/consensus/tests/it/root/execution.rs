//! What executing root blocks comes to: the root's coins, which come by messages and issue, and go by messages.

use std::collections::BTreeMap;

use alloy_primitives::{B256, U256};
use anfs_primitives::{DomainId, InboxCursor, LaneCount, RootBlock, RootExecution};

/// The root's state after a block.
#[derive(Clone, Debug, Default)]
pub(super) struct RootAccounts {
    pub(super) execution: RootExecution,
    held: U256,
    sent: BTreeMap<DomainId, (u64, U256)>,
    pub(super) consumed: BTreeMap<DomainId, u64>,
}

impl RootAccounts {
    /// The state after the next block: everything that comes is kept, a little is burned, and half goes to one shard.
    pub(super) fn next(&self, block: &RootBlock, issued: U256, shards: u64) -> Self {
        let mut after = self.clone();
        let mut value_in = U256::ZERO;
        for batch in &block.inbound {
            *after.consumed.entry(batch.source).or_default() += batch.messages.len() as u64;
            value_in += batch.messages.iter().map(|message| message.value()).sum::<U256>();
        }
        after.held += value_in + issued - self.execution.issued;
        let burned = after.held.min(U256::from(block.header.height.0 % 3));
        after.held -= burned;
        let value_out = after.held / U256::from(2);
        if !value_out.is_zero() {
            let shard = DomainId(u32::try_from(block.header.height.0 % shards + 1).unwrap());
            let lane = after.sent.entry(shard).or_default();
            *lane = (lane.0 + 1, lane.1 + value_out);
            after.held -= value_out;
        }
        let sent = after.sent.iter();
        let sent = sent.map(|(to, (sent, value))| LaneCount { destination: *to, sent: *sent, value: *value });
        let consumed = after.consumed.iter();
        let consumed = consumed.map(|(from, count)| InboxCursor { source: *from, consumed: *count });
        after.execution = RootExecution {
            state_root: B256::from(after.held) ^ block.header.hash(),
            sent: sent.collect::<Vec<_>>().try_into().unwrap(),
            consumed: consumed.collect::<Vec<_>>().try_into().unwrap(),
            value_in,
            value_out,
            burned,
            issued,
            ..RootExecution::default()
        };
        after
    }
}
