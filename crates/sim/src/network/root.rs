//! The root's own bank: what its blocks consume, what it is issued, and what it pays out.
//!
//! spec: Root F12–F15

use std::sync::Arc;

use alloy_primitives::{B256, Bloom, U256};
use anfs_crypto::outbox::{LaneBatch, lane_batch, outbox_root};
use anfs_primitives::{
    BoundedVec, DomainId, InboxCursor, LaneCount, MessageBody, RootBlock, RootExecution, SealedRootHeader,
};

use super::bank::{ACCOUNTS, Bank, Outcome, address};

/// A root block that was executed.
#[derive(Debug)]
pub(super) struct RootExecuted {
    pub(super) bank: Bank,
    pub(super) outcome: Outcome,
    pub(super) execution: RootExecution,
}

/// The claims of a bank that has done nothing.
pub(super) fn first(bank: &Bank) -> RootExecution {
    claim(bank, &Outcome::default(), U256::ZERO)
}

impl RootExecuted {
    /// The state of genesis.
    pub(super) fn genesis(bank: Bank, header: &SealedRootHeader) -> Arc<Self> {
        Arc::new(Self { bank, outcome: Outcome::default(), execution: header.execution.clone() })
    }

    /// What comes of a block. `pays`: whether one of its accounts pays half of what it has to a shard's.
    pub(super) fn next(&self, block: &RootBlock, issued: U256, shards: u32, pays: bool) -> Arc<Self> {
        let (mut bank, mut out) = (self.bank.clone(), Outcome::default());
        let height = block.header.height.0;
        let turn = |many: u64| usize::try_from(height % many).expect("few accounts and shards");
        bank.accounts[turn(u64::from(ACCOUNTS))] += issued - self.execution.issued;
        let due = block.inbound.iter().flat_map(|batch| &batch.messages);
        bank.consume(due, u64::MAX, &mut out);
        let payer = &mut bank.accounts[turn(u64::from(ACCOUNTS) - 1)];
        let value = *payer / U256::from(2);
        if pays && !value.is_zero() {
            *payer -= value;
            let shard = DomainId(1 + u32::try_from(turn(u64::from(shards))).expect("few shards"));
            let recipient = address(shard, u16::try_from(turn(u64::from(ACCOUNTS))).expect("few accounts"));
            bank.send(shard, MessageBody::Credit { recipient, value }, &mut out);
        }
        let execution = claim(&bank, &out, issued);
        Arc::new(Self { bank, outcome: out, execution })
    }

    /// The messages for a shard.
    pub(super) fn batch(&self, to: DomainId) -> Option<Arc<LaneBatch>> {
        lane_batch(&self.outcome.sent, to).map(Arc::new)
    }
}

fn claim(bank: &Bank, out: &Outcome, issued: U256) -> RootExecution {
    let sent = bank.lanes.iter().map(|(to, (sent, value))| LaneCount {
        destination: *to,
        sent: *sent,
        value: *value,
    });
    let consumed =
        bank.cursors.iter().map(|(source, consumed)| InboxCursor { source: *source, consumed: *consumed });
    RootExecution {
        state_root: bank.root(),
        receipts_root: B256::ZERO,
        logs_bloom: Bloom::ZERO,
        outbox_root: if out.sent.is_empty() { B256::ZERO } else { outbox_root(&out.sent) },
        sent: BoundedVec::try_from(sent.collect::<Vec<_>>()).expect("few domains"),
        consumed: BoundedVec::try_from(consumed.collect::<Vec<_>>()).expect("few domains"),
        value_in: out.value_in,
        value_out: out.value_out,
        burned: out.burned,
        issued,
        gas_used: out.gas,
        base_fee: 1,
    }
}
