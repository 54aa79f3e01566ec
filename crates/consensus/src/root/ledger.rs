//! What the root believes of each domain's coins.
//!
//! Only a domain's own seats execute its blocks, so the root cannot tell whether a header's claims are true. It
//! holds them against each other: a domain sends no more than it holds, and takes in no more than was sent to it.
//! Whoever captures a domain has what that domain holds, and nothing of any other.
//!
//! spec: PROTOCOL §9; Domains L1–L5

use std::collections::{BTreeMap, VecDeque};

use alloy_primitives::U256;
use anfs_primitives::{DomainId, InboxCursor, LaneCount, RootExecution, ShardHeader, Supply};
use borsh::{BorshDeserialize, BorshSerialize};

/// What a block claims of coins and messages. spec: Domains L1
#[derive(Clone, Copy, Debug)]
pub struct Claims<'a> {
    /// Whose block it is.
    pub domain: DomainId,
    /// Messages sent and coins sent with them, since genesis.
    pub lanes: &'a [LaneCount],
    /// Messages consumed since genesis.
    pub cursors: &'a [InboxCursor],
    /// Coins that came with the messages that the block consumes, in wei.
    pub value_in: U256,
    /// Coins that leave with the messages that the block sends, in wei.
    pub value_out: U256,
    /// Coins that the block destroys, in wei.
    pub burned: U256,
    /// Coins issued since genesis, in wei, if the block is of the domain that issues them.
    pub issued: Option<U256>,
}

impl<'a> From<&'a RootExecution> for Claims<'a> {
    fn from(execution: &'a RootExecution) -> Self {
        Self {
            domain: DomainId::ROOT,
            lanes: &execution.sent,
            cursors: &execution.consumed,
            value_in: execution.value_in,
            value_out: execution.value_out,
            burned: execution.burned,
            issued: Some(execution.issued),
        }
    }
}

impl<'a> From<&'a ShardHeader> for Claims<'a> {
    fn from(header: &'a ShardHeader) -> Self {
        Self {
            domain: header.domain,
            lanes: &header.lanes,
            cursors: &header.inbox_cursors,
            value_in: header.value_in,
            value_out: header.value_out,
            burned: header.burned,
            issued: None,
        }
    }
}

/// Why claims cannot be true. The headers that bear them, with their certificates, are the evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LedgerFault {
    /// There is no such domain.
    #[error("there is no domain {0}")]
    Domain(DomainId),
    /// Lanes or cursors out of order, doubled, left out, of no other domain, or moving backwards.
    #[error("the lane between {source_domain} and {destination} is out of order, or goes back")]
    Lane {
        /// Where the lane comes from.
        source_domain: DomainId,
        /// Where it leads.
        destination: DomainId,
    },
    /// More consumed than was sent.
    #[error("{consumed} messages of domain {source_domain} are consumed; it has sent {sent}")]
    Ahead {
        /// Where the lane comes from.
        source_domain: DomainId,
        /// Messages said to be consumed.
        consumed: u64,
        /// Messages sent.
        sent: u64,
    },
    /// The coins that left are not those that the lanes gained.
    #[error("{claimed} wei leave the domain, and {lanes} wei enter its lanes")]
    ValueOut {
        /// As claimed.
        claimed: U256,
        /// What the lanes gained.
        lanes: U256,
    },
    /// The coins that came since genesis cannot be those of the messages consumed.
    #[error("{claimed} wei have come in since genesis; the messages consumed hold {least} to {most}")]
    ValueIn {
        /// As claimed, by all blocks so far.
        claimed: U256,
        /// Held by messages that are certainly consumed.
        least: U256,
        /// Held by these and the others of a block that was consumed in part.
        most: U256,
    },
    /// More leaves, or is destroyed, than the domain holds.
    #[error("{spent} wei leave the domain or are destroyed; it holds {held}")]
    Overdrawn {
        /// Held with what came in.
        held: U256,
        /// Sent and destroyed.
        spent: U256,
    },
    /// Fewer coins issued than before.
    #[error("{claimed} wei are issued; before, {before} were")]
    Issued {
        /// As claimed.
        claimed: U256,
        /// Issued so far.
        before: U256,
    },
    /// A number beyond 2²⁵⁶.
    #[error("a sum of coins overflows")]
    Overflow,
}

/// The coins of all domains and of everything between them. spec: Domains L1–L5
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct NetworkLedger {
    domains: BTreeMap<DomainId, DomainLedger>,
    /// By source and destination.
    lanes: BTreeMap<(DomainId, DomainId), Lane>,
    /// Coins of genesis.
    genesis: U256,
    /// Coins issued since.
    issued: U256,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
struct DomainLedger {
    held: U256,
    came: U256,
    burned: U256,
}

/// Messages and coins from one domain to another, since genesis.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
struct Lane {
    consumed: u64,
    /// How far the lane was after blocks of the source that added to it: from the last that is consumed whole, up
    /// to the newest. Never empty.
    ends: VecDeque<LaneEnd>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
struct LaneEnd {
    sent: u64,
    value: U256,
}

impl Default for Lane {
    fn default() -> Self {
        Self { consumed: 0, ends: VecDeque::from([LaneEnd::default()]) }
    }
}

impl Lane {
    fn newest(&self) -> LaneEnd {
        *self.ends.back().expect("never empty")
    }

    /// Coins in the first `consumed` messages, at least and at most: of a block that is consumed in part, the root
    /// does not know which of its messages holds how much.
    fn value_of(&self, consumed: u64) -> (U256, U256) {
        let below = self.ends.iter().rev().find(|end| end.sent <= consumed);
        let above = self.ends.iter().find(|end| end.sent >= consumed);
        (below.map_or(U256::ZERO, |end| end.value), above.map_or(self.newest().value, |end| end.value))
    }

    fn consume(&mut self, consumed: u64) {
        self.consumed = consumed;
        while self.ends.get(1).is_some_and(|end| end.sent <= consumed) {
            self.ends.pop_front();
        }
    }
}

impl NetworkLedger {
    /// The ledger of a network whose domains begin with these coins; the root, if it is not named, with none.
    #[must_use]
    pub fn new(genesis: impl IntoIterator<Item = (DomainId, U256)>) -> Self {
        let mut domains = BTreeMap::from([(DomainId::ROOT, DomainLedger::default())]);
        domains.extend(
            genesis.into_iter().map(|(id, held)| (id, DomainLedger { held, ..DomainLedger::default() })),
        );
        let genesis = domains.values().map(|domain| domain.held).sum();
        Self { domains, lanes: BTreeMap::new(), genesis, issued: U256::ZERO }
    }

    /// Coins in a domain's accounts; `None` if there is no such domain.
    #[must_use]
    pub fn held(&self, domain: DomainId) -> Option<U256> {
        self.domains.get(&domain).map(|domain| domain.held)
    }

    /// Coins in messages that are not consumed.
    #[must_use]
    pub fn in_flight(&self) -> U256 {
        let sent: U256 = self.lanes.values().map(|lane| lane.newest().value).sum();
        let came: U256 = self.domains.values().map(|domain| domain.came).sum();
        sent - came
    }

    /// Coins destroyed since genesis.
    #[must_use]
    pub fn burned(&self) -> U256 {
        self.domains.values().map(|domain| domain.burned).sum()
    }

    /// Where all coins are.
    #[must_use]
    pub fn supply(&self) -> Supply {
        let held = self.domains.values().map(|domain| domain.held).sum();
        Supply { held, in_flight: self.in_flight(), burned: self.burned(), issued: self.issued }
    }

    /// Whether all coins there are, are those of genesis and those issued since. spec: Domains, What always holds
    #[must_use]
    pub fn is_balanced(&self) -> bool {
        let Supply { held, in_flight, burned, issued } = self.supply();
        held.checked_add(in_flight).and_then(|sum| sum.checked_add(burned))
            == self.genesis.checked_add(issued)
    }

    /// Takes in the claims of a domain's next block, or nothing of them.
    ///
    /// # Errors
    /// Why they cannot be true.
    pub fn apply(&mut self, claims: &Claims<'_>) -> Result<(), LedgerFault> {
        let before = *self.domains.get(&claims.domain).ok_or(LedgerFault::Domain(claims.domain))?;
        self.check_lanes(claims)?;
        self.check_cursors(claims)?;
        let came = before.came.checked_add(claims.value_in).ok_or(LedgerFault::Overflow)?;
        let (least, most) = self.value_consumed(claims);
        if came < least || came > most {
            return Err(LedgerFault::ValueIn { claimed: came, least, most });
        }
        let spent = claims.value_out.checked_add(claims.burned).ok_or(LedgerFault::Overflow)?;
        let issued = claims.issued.unwrap_or(self.issued);
        let minted = issued.checked_sub(self.issued);
        let minted = minted.ok_or(LedgerFault::Issued { claimed: issued, before: self.issued })?;
        self.genesis.checked_add(issued).ok_or(LedgerFault::Overflow)?;
        // What came in was held before, or in flight: the sum is no more than all coins there are.
        let held = before.held + claims.value_in + minted;
        let after = DomainLedger {
            held: held.checked_sub(spent).ok_or(LedgerFault::Overdrawn { held, spent })?,
            came,
            burned: before.burned + claims.burned,
        };
        self.issued = issued;
        self.domains.insert(claims.domain, after);
        for lane in claims.lanes {
            let end = LaneEnd { sent: lane.sent, value: lane.value };
            let lane = self.lanes.entry((claims.domain, lane.destination)).or_default();
            if lane.newest() != end {
                lane.ends.push_back(end);
            }
        }
        for cursor in claims.cursors {
            if let Some(lane) = self.lanes.get_mut(&(cursor.source, claims.domain)) {
                lane.consume(cursor.consumed);
            }
        }
        Ok(())
    }

    /// Each lane goes on from where it was, and what it gains is what leaves. spec: Domains L2
    fn check_lanes(&self, claims: &Claims<'_>) -> Result<(), LedgerFault> {
        let source = claims.domain;
        let mut gained = U256::ZERO;
        let others = claims.lanes.iter().map(|lane| lane.destination);
        let known = self.lanes.range((source, DomainId(0))..=(source, DomainId(u32::MAX)));
        let known = known.filter(|(_, lane)| lane.newest().sent > 0);
        let known = known.map(|((_, destination), _)| *destination);
        self.check_order(source, others, known, |other| (source, other))?;
        for lane in claims.lanes {
            let was = self.lanes.get(&(source, lane.destination)).map_or_else(LaneEnd::default, Lane::newest);
            let more = lane.value.checked_sub(was.value);
            let still = lane.sent == was.sent && lane.value == was.value;
            let more = more.filter(|_| still || lane.sent > was.sent);
            let more =
                more.ok_or(LedgerFault::Lane { source_domain: source, destination: lane.destination })?;
            gained = gained.checked_add(more).ok_or(LedgerFault::Overflow)?;
        }
        if gained != claims.value_out {
            return Err(LedgerFault::ValueOut { claimed: claims.value_out, lanes: gained });
        }
        Ok(())
    }

    /// Each cursor goes on from where it was, and not beyond what was sent. spec: Domains L3
    fn check_cursors(&self, claims: &Claims<'_>) -> Result<(), LedgerFault> {
        let destination = claims.domain;
        let others = claims.cursors.iter().map(|cursor| cursor.source);
        let known = self.lanes.iter().filter(|((_, to), lane)| *to == destination && lane.consumed > 0);
        let known = known.map(|((source, _), _)| *source);
        self.check_order(destination, others, known, |other| (other, destination))?;
        for InboxCursor { source, consumed } in claims.cursors {
            let lane = self.lanes.get(&(*source, destination));
            let (was, sent) = lane.map_or((0, 0), |lane| (lane.consumed, lane.newest().sent));
            if *consumed < was {
                return Err(LedgerFault::Lane { source_domain: *source, destination });
            }
            if *consumed > sent {
                return Err(LedgerFault::Ahead { source_domain: *source, consumed: *consumed, sent });
            }
        }
        Ok(())
    }

    /// The other ends of a domain's lanes: ascending, of other domains that exist, none of the known ones left out.
    fn check_order(
        &self,
        own: DomainId,
        others: impl Iterator<Item = DomainId>,
        known: impl Iterator<Item = DomainId>,
        lane: impl Fn(DomainId) -> (DomainId, DomainId),
    ) -> Result<(), LedgerFault> {
        let fault = |other| {
            let (source_domain, destination) = lane(other);
            Err(LedgerFault::Lane { source_domain, destination })
        };
        let (mut last, mut known) = (None, known.peekable());
        for other in others {
            if other == own || !self.domains.contains_key(&other) || last >= Some(other) {
                return fault(other);
            }
            if let Some(left_out) = known.next_if(|known| *known < other) {
                return fault(left_out);
            }
            known.next_if_eq(&other);
            last = Some(other);
        }
        known.next().map_or(Ok(()), fault)
    }

    /// Coins in all messages that the domain has consumed by then, at least and at most. spec: Domains L4
    fn value_consumed(&self, claims: &Claims<'_>) -> (U256, U256) {
        let lanes = claims.cursors.iter().filter_map(|cursor| {
            Some(self.lanes.get(&(cursor.source, claims.domain))?.value_of(cursor.consumed))
        });
        // No overflow: no lane holds more than its source held.
        lanes.fold((U256::ZERO, U256::ZERO), |(least, most), (low, high)| (least + low, most + high))
    }
}

#[cfg(test)]
mod tests;
