//! One sender's transactions, ordered by nonce.

use std::collections::{BTreeMap, VecDeque};

use alloy_primitives::{Address, U256};
use anfs_primitives::RecoveredTransaction;

use crate::AccountView;
use crate::check::Terms;
use crate::limits::ENTRY_OVERHEAD_BYTES;
use crate::ranking::Bid;

/// A pooled transaction.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) transaction: RecoveredTransaction,
    pub(crate) terms: Terms,
    /// Running number of the admission.
    pub(crate) arrival: u64,
    pub(crate) added_ms: u64,
}

impl Entry {
    pub(crate) fn bytes(&self) -> usize {
        self.transaction.encoded().len().saturating_add(ENTRY_OVERHEAD_BYTES)
    }
}

/// How near the end of a queue is to inclusion: transactions behind a gap give way before any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tail {
    Gapped,
    Executable,
}

/// A sender's queue: `in_flight` entries in undecided blocks, then those that can run next in order, up to
/// `executable`, then those behind a nonce gap.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    pub(crate) sender: Address,
    pub(crate) account: AccountView,
    /// Running number of the queue's creation: older senders outlive younger ones that pay the same.
    pub(crate) since: u64,
    /// Left out of the builder's order for the rest of a batch: its head does not fit.
    pub(crate) passed_over: bool,
    /// The bid under which the next executable transaction is ranked at present.
    pub(crate) ready: Option<Bid>,
    /// The bid under which the queue is ranked for eviction at present.
    pub(crate) worth: Option<(Tail, Bid)>,
    // Boxed, so that an insertion in the middle moves eight bytes an entry.
    entries: VecDeque<Box<Entry>>,
    in_flight: usize,
    executable: usize,
    bytes: usize,
    cost: U256,
    /// Tip caps and fee caps of the entries that are not in flight.
    tips: Multiset,
    caps: Multiset,
}

impl Queue {
    pub(crate) fn new(sender: Address, account: AccountView, since: u64) -> Self {
        Self {
            sender,
            account,
            since,
            passed_over: false,
            ready: None,
            worth: None,
            entries: VecDeque::new(),
            in_flight: 0,
            executable: 0,
            bytes: 0,
            cost: U256::ZERO,
            tips: Multiset::default(),
            caps: Multiset::default(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }

    pub(crate) fn executable(&self) -> usize {
        self.executable
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// What all entries may cost together, in wei.
    pub(crate) fn cost(&self) -> U256 {
        self.cost
    }

    pub(crate) fn entries(&self) -> &VecDeque<Box<Entry>> {
        &self.entries
    }

    /// The first nonce that no executable transaction has.
    pub(crate) fn next_nonce(&self) -> u64 {
        self.account.nonce.saturating_add(self.executable as u64)
    }

    /// Where the nonce is, or where it belongs.
    pub(crate) fn find(&self, nonce: u64) -> Result<usize, usize> {
        // Most queues have no gap, and most look-ups are within or just behind it.
        if let Some(offset) = nonce.checked_sub(self.account.nonce)
            && let Ok(offset) = usize::try_from(offset)
        {
            if offset < self.executable {
                return Ok(offset);
            }
            if self.executable == self.entries.len() {
                return Err(self.executable);
            }
        }
        self.entries.binary_search_by_key(&nonce, |entry| entry.terms.nonce)
    }

    pub(crate) fn get(&self, nonce: u64) -> Option<&Entry> {
        self.find(nonce).ok().map(|index| &*self.entries[index])
    }

    /// The least tip cap and fee cap of the entries that are not in flight.
    pub(crate) fn least(&self) -> Option<(u128, u128)> {
        Some((self.tips.min()?, self.caps.min()?))
    }

    /// Inserts an entry whose nonce is not there.
    pub(crate) fn insert(&mut self, entry: Box<Entry>) {
        let index = match self.find(entry.terms.nonce) {
            Ok(_) => unreachable!("the caller replaces an entry of the same nonce"),
            Err(index) => index,
        };
        self.count(&entry);
        self.entries.insert(index, entry);
        self.extend_executable();
    }

    /// Puts an entry in the place of the one with its nonce, which is not in flight.
    pub(crate) fn replace(&mut self, index: usize, entry: Box<Entry>) -> Box<Entry> {
        self.count(&entry);
        let old = std::mem::replace(&mut self.entries[index], entry);
        self.discount(&old);
        old
    }

    /// Removes an entry. Those behind it wait for its nonce, also if they were in flight.
    pub(crate) fn remove(&mut self, index: usize) -> Box<Entry> {
        self.set_in_flight(self.in_flight.min(index));
        let entry = self.entries.remove(index).expect("the index came from `find`");
        self.discount(&entry);
        self.executable = self.executable.min(index);
        entry
    }

    /// Removes the last entry unless it is in flight.
    pub(crate) fn pop_tail(&mut self) -> Option<Box<Entry>> {
        let last = self.entries.len().checked_sub(1)?;
        (last >= self.in_flight).then(|| self.remove(last))
    }

    /// Marks the first `count` entries as in flight and no other.
    pub(crate) fn set_in_flight(&mut self, count: usize) {
        assert!(count <= self.executable, "only what can run is taken");
        for entry in self.entries.range(self.in_flight.min(count)..self.in_flight.max(count)) {
            if count > self.in_flight {
                self.tips.remove(entry.terms.tip);
                self.caps.remove(entry.terms.cap);
            } else {
                self.tips.insert(entry.terms.tip);
                self.caps.insert(entry.terms.cap);
            }
        }
        self.in_flight = count;
    }

    /// Marks the next executable entry as in flight and returns it.
    pub(crate) fn take_head(&mut self) -> RecoveredTransaction {
        let index = self.in_flight;
        self.set_in_flight(index + 1);
        self.entries[index].transaction.clone()
    }

    /// Takes a newer view of the account and returns what is spent or can no longer be paid. An older view
    /// is ignored: decided blocks are never undone.
    pub(crate) fn set_account(&mut self, account: AccountView) -> Vec<Entry> {
        let mut gone = Vec::new();
        if account.nonce < self.account.nonce {
            return gone;
        }
        self.account = account;
        while self.entries.front().is_some_and(|entry| entry.terms.nonce < account.nonce) {
            let entry = self.entries.pop_front().expect("the queue has a front");
            self.bytes -= entry.bytes();
            self.cost -= entry.terms.cost;
            if self.in_flight > 0 {
                self.in_flight -= 1;
            } else {
                self.tips.remove(entry.terms.tip);
                self.caps.remove(entry.terms.cap);
            }
            self.executable = self.executable.saturating_sub(1);
            gone.push(*entry);
        }
        self.extend_executable();
        while self.cost > account.balance
            && let Some(entry) = self.pop_tail()
        {
            gone.push(*entry);
        }
        gone
    }

    /// The bid of the next transaction that can be taken.
    pub(crate) fn ready_bid(&self, slot: usize) -> Option<Bid> {
        if self.passed_over || self.in_flight == self.executable {
            return None;
        }
        let Entry { terms, arrival, .. } = &*self.entries[self.in_flight];
        Some(Bid { tip: terms.tip, cap: terms.cap, seniority: *arrival, slot })
    }

    /// What the queue's end is worth. Nothing runs before what precedes it, so that is the worth of its
    /// cheapest entry: dear transactions behind a cheap one do not keep it in the pool.
    pub(crate) fn worth_bid(&self, slot: usize) -> Option<(Tail, Bid)> {
        let (tip, cap) = self.least()?;
        let tail = if self.executable < self.entries.len() { Tail::Gapped } else { Tail::Executable };
        Some((tail, Bid { tip, cap, seniority: self.since, slot }))
    }

    fn extend_executable(&mut self) {
        while let Some(entry) = self.entries.get(self.executable)
            && entry.terms.nonce == self.next_nonce()
        {
            self.executable += 1;
        }
    }

    fn count(&mut self, entry: &Entry) {
        self.bytes += entry.bytes();
        self.cost += entry.terms.cost;
        self.tips.insert(entry.terms.tip);
        self.caps.insert(entry.terms.cap);
    }

    fn discount(&mut self, entry: &Entry) {
        self.bytes -= entry.bytes();
        self.cost -= entry.terms.cost;
        self.tips.remove(entry.terms.tip);
        self.caps.remove(entry.terms.cap);
    }
}

/// Prices with their counts: the least is at hand, and equal prices, the usual case, take no space.
#[derive(Clone, Debug, Default)]
struct Multiset(BTreeMap<u128, usize>);

impl Multiset {
    fn insert(&mut self, value: u128) {
        *self.0.entry(value).or_default() += 1;
    }

    fn remove(&mut self, value: u128) {
        let count = self.0.get_mut(&value).expect("what is removed was inserted");
        *count -= 1;
        if *count == 0 {
            self.0.remove(&value);
        }
    }

    fn min(&self) -> Option<u128> {
        self.0.first_key_value().map(|(value, _)| *value)
    }
}
