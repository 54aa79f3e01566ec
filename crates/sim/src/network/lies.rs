//! What a captured shard, whose verifiers certify whatever they like, may claim.

use alloy_primitives::{B256, U256};
use anfs_primitives::crossing::{CallResult, ResultRequest};
use anfs_primitives::{BoundedVec, DomainId, InboxCursor, LaneCount, MessageBody, ShardHeader};
use borsh::{BorshDeserialize, BorshSerialize};

use super::bank::{Bank, Outcome, address};
use super::contracts::{CALLBACK_GAS, call_id};

/// More than all coins that there are.
const MINTED: U256 = U256::from_limbs([0, 0, 1, 0]);

/// False answers in each block.
const GUESSES: u64 = 8;

/// How a captured shard lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub enum Lie {
    /// Sends all coins of its accounts to accounts elsewhere: the most that it can take.
    Drain,
    /// Sends one wei more than it holds.
    Overdraw,
    /// Lanes hold coins that no account has paid and no claim mentions.
    Coinless,
    /// Consumes messages that were never sent.
    Ahead,
    /// Consumes messages again: its cursor goes back.
    Replay,
    /// Takes in more coins than the messages hold.
    Mint,
    /// Refers to a root block that never was.
    Fork,
    /// Its messages hold more coins than its lane claims.
    Hollow,
    /// Its lane claims a message that nobody can show.
    Phantom,
    /// Its lane to the root claims messages that nobody can show.
    Unshown,
    /// Tells another shard what came of calls that were sent to others.
    Answer,
}

impl Lie {
    /// Those that seeds draw; [`Self::Unshown`] and [`Self::Answer`] have tests of their own.
    pub const ALL: [Self; 9] = [
        Self::Drain,
        Self::Overdraw,
        Self::Coinless,
        Self::Ahead,
        Self::Replay,
        Self::Mint,
        Self::Fork,
        Self::Hollow,
        Self::Phantom,
    ];

    /// A name for statistics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Overdraw => "overdraw",
            Self::Coinless => "coinless lanes",
            Self::Ahead => "cursor ahead",
            Self::Replay => "replayed messages",
            Self::Mint => "minted coins",
            Self::Fork => "root fork",
            Self::Hollow => "hollow lane",
            Self::Phantom => "phantom message",
            Self::Unshown => "phantom message to the root",
            Self::Answer => "false answers",
        }
    }

    /// Whether the root can see from the header that it is one.
    #[must_use]
    pub fn shows(self) -> bool {
        !matches!(self, Self::Drain | Self::Hollow | Self::Phantom | Self::Unshown | Self::Answer)
    }

    /// Whether what it sent to a shard can never be consumed, so that whatever the root makes final behind it waits.
    #[must_use]
    pub fn stalls(self) -> bool {
        matches!(self, Self::Hollow | Self::Phantom)
    }

    /// What it does to the state and the messages.
    pub(super) fn act(self, bank: &mut Bank, out: &mut Outcome) {
        let loot = DomainId(if bank.domain.0 == 1 { 2 } else { 1 });
        let recipient = address(loot, 0);
        match self {
            Self::Drain => {
                for index in 0..bank.accounts.len() {
                    let value = std::mem::take(&mut bank.accounts[index]);
                    bank.send(loot, MessageBody::Credit { recipient, value }, out);
                }
            }
            Self::Overdraw => {
                let value = bank.total() + U256::ONE;
                bank.send(loot, MessageBody::Credit { recipient, value }, out);
            }
            Self::Hollow => {
                let value = MINTED;
                let (lane, left) = (bank.lanes.get(&loot).copied().unwrap_or_default(), out.value_out);
                bank.send(loot, MessageBody::Credit { recipient, value }, out);
                bank.lanes.insert(loot, (lane.0 + 1, lane.1));
                out.value_out = left;
            }
            Self::Phantom => bank.lanes.entry(loot).or_default().0 += 1,
            Self::Unshown => bank.lanes.entry(DomainId::ROOT).or_default().0 += 1,
            Self::Answer => {
                // Calls are numbered: whoever counts knows the identifiers of those that wait.
                let first = bank.lanes.get(&loot).map_or(0, |lane| lane.0);
                for number in first..first + GUESSES {
                    let request = ResultRequest { id: call_id(loot, number), gas_limit: CALLBACK_GAS };
                    let result = CallResult { request, success: true, data: BoundedVec::new() };
                    bank.send(loot, MessageBody::Result(result), out);
                }
            }
            Self::Coinless | Self::Ahead | Self::Replay | Self::Mint | Self::Fork => {}
        }
    }

    /// What it does to the header.
    pub(super) fn forge(self, header: &mut ShardHeader, out: &Outcome) {
        let other = DomainId(if header.domain.0 == 1 { 2 } else { 1 });
        let mut lanes = header.lanes.to_vec();
        let mut cursors = header.inbox_cursors.to_vec();
        match self {
            Self::Coinless => lane(&mut lanes, other).value += U256::from(7),
            Self::Ahead => cursor(&mut cursors, other).consumed += 1_000_000,
            Self::Replay => {
                // One less than the block before had consumed.
                let back = cursors.iter_mut().find_map(|cursor| {
                    let now = out.consumed.iter().filter(|message| message.source == cursor.source).count();
                    Some((cursor.consumed.checked_sub(now as u64 + 1)?, cursor))
                });
                match back {
                    Some((consumed, cursor)) => cursor.consumed = consumed,
                    None => header.value_in += MINTED,
                }
            }
            Self::Mint => header.value_in += MINTED,
            Self::Fork => header.root_reference.hash = B256::repeat_byte(0xf0),
            Self::Drain | Self::Overdraw | Self::Hollow | Self::Phantom | Self::Unshown | Self::Answer => {}
        }
        header.lanes = lanes.try_into().expect("as many as there are domains at most");
        header.inbox_cursors = cursors.try_into().expect("as many as there are domains at most");
    }
}

fn lane(lanes: &mut Vec<LaneCount>, destination: DomainId) -> &mut LaneCount {
    let at = lanes.binary_search_by_key(&destination, |lane| lane.destination).unwrap_or_else(|at| {
        lanes.insert(at, LaneCount { destination, sent: 1, value: U256::ZERO });
        at
    });
    &mut lanes[at]
}

fn cursor(cursors: &mut Vec<InboxCursor>, source: DomainId) -> &mut InboxCursor {
    let at = cursors.binary_search_by_key(&source, |cursor| cursor.source).unwrap_or_else(|at| {
        cursors.insert(at, InboxCursor { source, consumed: 0 });
        at
    });
    &mut cursors[at]
}
