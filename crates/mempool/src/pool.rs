//! The pool itself.

use std::collections::{BTreeSet, VecDeque};

use alloy_consensus::Transaction as _;
use alloy_primitives::map::{AddressMap, B256Map};
use alloy_primitives::{Address, B256, U256};
use anfs_primitives::RecoveredTransaction;

use crate::AccountView;
use crate::check::{Terms, check};
use crate::error::PoolError;
use crate::limits::PoolLimits;
use crate::queue::{Entry, Queue, Tail};
use crate::ranking::{Bid, Ranking, effective_tip};

/// A replacement raises both caps by this many percent, as geth has it.
const REPLACEMENT_BUMP_PERCENT: u128 = 10;
/// Dead records that the list of ages may hold beyond the live ones.
const AGES_SLACK: usize = 1024;
/// Transactions too big for what is left of a block that one call of `take_best` passes over.
const UNFIT_MAX: usize = 16;

/// Where a transaction went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It can run once the sender's transactions before it have.
    Pending,
    /// It waits for a lower nonce.
    Queued,
}

/// What an admission did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Added {
    /// The transaction's hash.
    pub hash: B256,
    /// Where it went.
    pub place: Place,
    /// The transaction with the same sender and nonce that it replaced.
    pub replaced: Option<B256>,
    /// Transactions that became pending: this one, and those that waited for its nonce.
    pub pending: Vec<B256>,
    /// Transactions that gave way, cheapest first, or turned out spent or unpayable.
    pub dropped: Vec<B256>,
}

/// Sums over all queues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) transactions: usize,
    pub(crate) bytes: usize,
    pub(crate) executable: usize,
    pub(crate) in_flight: usize,
}

impl Totals {
    fn subtract(&mut self, queue: &Queue) {
        self.transactions -= queue.len();
        self.bytes -= queue.bytes();
        self.executable -= queue.executable();
        self.in_flight -= queue.in_flight();
    }

    fn add(&mut self, queue: &Queue) {
        self.transactions += queue.len();
        self.bytes += queue.bytes();
        self.executable += queue.executable();
        self.in_flight += queue.in_flight();
    }
}

/// When an entry came; entries leave the pool without leaving this list, so it is matched by arrival.
#[derive(Clone, Copy, Debug)]
struct Age {
    added_ms: u64,
    arrival: u64,
    slot: usize,
    nonce: u64,
}

/// The transaction pool; see the crate's documentation.
#[derive(Clone, Debug)]
pub struct Pool {
    limits: PoolLimits,
    base_fee: u64,
    /// Senders' queues; a place is reused once its queue is empty.
    pub(crate) slots: Vec<Option<Queue>>,
    free: Vec<usize>,
    // Never iterated: the order of a hash map must not show.
    by_sender: AddressMap<usize>,
    by_hash: B256Map<(usize, u64)>,
    /// The next transaction of each sender that has one.
    pub(crate) ready: Ranking,
    /// The worth of queues, those that end behind a nonce gap apart: indexed by [`Tail`].
    worth: [Ranking; 2],
    ages: VecDeque<Age>,
    totals: Totals,
    next_number: u64,
}

impl Pool {
    /// An empty pool.
    #[must_use]
    pub fn new(limits: PoolLimits, base_fee: u64) -> Self {
        Self {
            limits,
            base_fee,
            slots: Vec::new(),
            free: Vec::new(),
            by_sender: AddressMap::default(),
            by_hash: B256Map::default(),
            ready: Ranking::new(base_fee),
            worth: [Ranking::new(base_fee), Ranking::new(base_fee)],
            ages: VecDeque::new(),
            totals: Totals::default(),
            next_number: 0,
        }
    }

    /// The pool's limits.
    #[must_use]
    pub fn limits(&self) -> &PoolLimits {
        &self.limits
    }

    /// The base fee that transactions are ordered for, in wei.
    #[must_use]
    pub fn base_fee(&self) -> u64 {
        self.base_fee
    }

    /// Admits a transaction. `account` is its sender's as of the last decided block.
    ///
    /// # Errors
    /// A [`PoolError`]; the pool then holds what it held before, except that a newer view of the account may
    /// have dropped transactions that it shows to be spent or unpayable.
    pub fn add(
        &mut self,
        transaction: RecoveredTransaction,
        account: AccountView,
        now_ms: u64,
    ) -> Result<Added, PoolError> {
        if self.by_hash.contains_key(transaction.hash()) {
            return Err(PoolError::AlreadyKnown);
        }
        let terms = check(&transaction, &self.limits)?;
        let sender = transaction.sender();
        let mut dropped = self.set_account(sender, account);
        let queue = self.queue(&sender);
        let next = queue.map_or(account.nonce, |queue| queue.account.nonce);
        if terms.nonce < next {
            return Err(PoolError::NonceTooLow { next, nonce: terms.nonce });
        }
        let old = queue.and_then(|queue| Some((queue.find(terms.nonce).ok()?, queue)));
        if let Some((index, queue)) = old {
            check_replacement(queue, index, &terms)?;
        }
        check_funds(
            queue,
            old.map_or(U256::ZERO, |(i, queue)| queue.entries()[i].terms.cost),
            account,
            &terms,
        )?;

        let entry = Entry { transaction, terms, arrival: self.next_number, added_ms: now_ms };
        if let Some((index, _)) = old {
            return self.replace(index, entry, dropped);
        }
        let tail = self.check_sender_limits(queue, &terms, next)?;
        let (tip, cap) = queue.and_then(Queue::least).unwrap_or((terms.tip, terms.cap));
        let tip = effective_tip(tip.min(terms.tip), cap.min(terms.cap), self.base_fee);
        self.make_room(tail, tip, entry.bytes(), &mut dropped)?;
        Ok(self.insert(entry, account, dropped))
    }

    /// Takes the best transactions that can run next: by effective tip under `base_fee`, then arrival, each
    /// sender's in nonce order; at most `count_max`, with gas limits of `gas_max` together. They are in flight
    /// from now on. Empty when nothing that pays the base fee fits.
    ///
    /// The batch ends before the first transaction that does not fit, so that the order holds: what is
    /// executed may use less than its limit, and the next call sees what is left. Only when the very best
    /// does not fit are a few others tried, so that one with a huge limit does not close a block early.
    pub fn take_best(&mut self, count_max: usize, gas_max: u64, base_fee: u64) -> Vec<RecoveredTransaction> {
        self.set_base_fee(base_fee);
        let mut batch = Vec::new();
        let mut skipped = Vec::new();
        let mut gas_left = gas_max;
        while batch.len() < count_max
            && let Some(bid) = self.ready.best()
            && bid.effective_tip(base_fee) >= 0
        {
            let transaction = self.edit(bid.slot, Queue::take_head);
            match gas_left.checked_sub(transaction.envelope().gas_limit()) {
                Some(left) => {
                    gas_left = left;
                    batch.push(transaction);
                }
                None => {
                    skipped.push(transaction);
                    // A skipped sender's next ones need it to run first.
                    self.edit(bid.slot, |queue| queue.passed_over = true);
                    if !batch.is_empty() || skipped.len() > UNFIT_MAX {
                        break;
                    }
                }
            }
        }
        for transaction in skipped {
            let (slot, _) = self.by_hash[transaction.hash()];
            self.edit(slot, |queue| queue.passed_over = false);
            self.give_back(transaction.hash());
        }
        batch
    }

    /// Makes a taken transaction available again, with all later ones of its sender: its block died, or the
    /// builder has no use for it. Says whether it was in flight.
    pub fn give_back(&mut self, hash: &B256) -> bool {
        let Some(&(slot, nonce)) = self.by_hash.get(hash) else { return false };
        self.edit(slot, |queue| {
            let index = queue.find(nonce).expect("hashes point at entries");
            let taken = index < queue.in_flight();
            queue.set_in_flight(queue.in_flight().min(index));
            taken
        })
    }

    /// Throws out a transaction that turned out invalid. Later ones of its sender wait for its nonce.
    pub fn reject(&mut self, hash: &B256) -> Option<RecoveredTransaction> {
        let &(slot, nonce) = self.by_hash.get(hash)?;
        let entry = self.edit(slot, |queue| {
            let index = queue.find(nonce).expect("hashes point at entries");
            queue.remove(index)
        });
        self.forget([&*entry]);
        self.reap(slot);
        Some(entry.transaction)
    }

    /// Takes in a decided block: the accounts that it changed (others are ignored, so all of them may be
    /// handed in), and the base fee of the block after it. Transactions of spent nonces vanish, in flight or
    /// not. Returns what was dropped otherwise: unpayable or too old.
    pub fn on_block(
        &mut self,
        changed: impl IntoIterator<Item = (Address, AccountView)>,
        base_fee: u64,
        now_ms: u64,
    ) -> Vec<B256> {
        let mut dropped = Vec::new();
        for (sender, account) in changed {
            dropped.append(&mut self.set_account(sender, account));
        }
        self.set_base_fee(base_fee);
        self.expire(now_ms, &mut dropped);
        dropped
    }

    /// The transaction with this hash.
    #[must_use]
    pub fn get(&self, hash: &B256) -> Option<&RecoveredTransaction> {
        let &(slot, nonce) = self.by_hash.get(hash)?;
        self.slots[slot].as_ref()?.get(nonce).map(|entry| &entry.transaction)
    }

    /// The sender's transaction with this nonce.
    #[must_use]
    pub fn get_by_nonce(&self, sender: &Address, nonce: u64) -> Option<&RecoveredTransaction> {
        self.queue(sender)?.get(nonce).map(|entry| &entry.transaction)
    }

    /// The first nonce above the sender's pending transactions; `None` if it has none, so that the nonce is
    /// the account's.
    #[must_use]
    pub fn pending_nonce(&self, sender: &Address) -> Option<u64> {
        self.queue(sender).filter(|queue| queue.executable() > 0).map(Queue::next_nonce)
    }

    /// Those of the addresses that have transactions in the pool, once each and in order: the accounts that
    /// [`Self::on_block`] needs to know.
    #[must_use]
    pub fn interested(&self, addresses: impl IntoIterator<Item = Address>) -> Vec<Address> {
        let known = addresses.into_iter().filter(|address| self.by_sender.contains_key(address));
        known.collect::<BTreeSet<_>>().into_iter().collect()
    }

    pub(crate) fn totals(&self) -> &Totals {
        &self.totals
    }

    pub(crate) fn queue(&self, sender: &Address) -> Option<&Queue> {
        self.by_sender.get(sender).and_then(|slot| self.slots[*slot].as_ref())
    }

    /// Where the transaction would go, if its sender may have one more there.
    fn check_sender_limits(
        &self,
        queue: Option<&Queue>,
        terms: &Terms,
        next: u64,
    ) -> Result<Tail, PoolError> {
        let (have, executable) = queue.map_or((0, 0), |queue| (queue.len(), queue.executable()));
        let max = self.limits.sender_transactions_max;
        if have >= max {
            return Err(PoolError::AccountLimit { have, max });
        }
        if terms.nonce == next.saturating_add(executable as u64) {
            return Ok(Tail::Executable);
        }
        let (have, max) = (have - executable, self.limits.sender_queued_max);
        if have >= max {
            return Err(PoolError::AccountLimit { have, max });
        }
        Ok(Tail::Gapped)
    }

    fn replace(&mut self, index: usize, entry: Entry, mut dropped: Vec<B256>) -> Result<Added, PoolError> {
        let (hash, nonce) = (*entry.transaction.hash(), entry.terms.nonce);
        let slot = self.by_sender[&entry.transaction.sender()];
        let queue = self.slots[slot].as_ref().expect("the caller found an entry to replace");
        let place = if index < queue.executable() { Place::Pending } else { Place::Queued };
        let old_bytes = queue.entries()[index].bytes();
        // A replacement may grow, but it evicts nobody: that would take its own sender's tail into account.
        if self.totals.bytes - old_bytes + entry.bytes() > self.limits.bytes_max {
            return Err(PoolError::Full);
        }
        self.note_age(&entry, slot);
        let old = self.edit(slot, |queue| queue.replace(index, Box::new(entry)));
        self.forget([&*old]);
        self.by_hash.insert(hash, (slot, nonce));
        let pending = if place == Place::Pending { vec![hash] } else { Vec::new() };
        dropped.retain(|dropped| dropped != old.transaction.hash());
        Ok(Added { hash, place, replaced: Some(*old.transaction.hash()), pending, dropped })
    }

    fn insert(&mut self, entry: Entry, account: AccountView, dropped: Vec<B256>) -> Added {
        let (hash, nonce) = (*entry.transaction.hash(), entry.terms.nonce);
        let slot = self.slot_of(entry.transaction.sender(), account);
        self.note_age(&entry, slot);
        self.by_hash.insert(hash, (slot, nonce));
        let pending: Vec<B256> = self.edit(slot, |queue| {
            let before = queue.executable();
            queue.insert(Box::new(entry));
            let promoted = queue.entries().range(before..queue.executable());
            promoted.map(|entry| *entry.transaction.hash()).collect()
        });
        let place = if pending.is_empty() { Place::Queued } else { Place::Pending };
        Added { hash, place, replaced: None, pending, dropped }
    }

    /// Evicts what is worth less than a newcomer until that fits; all or nothing.
    fn make_room(
        &mut self,
        tail: Tail,
        tip: i128,
        bytes: usize,
        dropped: &mut Vec<B256>,
    ) -> Result<(), PoolError> {
        let mut evicted: Vec<(usize, Box<Entry>)> = Vec::new();
        let mut refusal = None;
        while self.totals.transactions >= self.limits.transactions_max
            || self.totals.bytes + bytes > self.limits.bytes_max
        {
            let Some((victim_tail, victim)) = self.worst() else {
                refusal = Some(PoolError::Full);
                break;
            };
            if (victim_tail, victim.effective_tip(self.base_fee)) >= (tail, tip) {
                refusal = Some(PoolError::Underpriced { tip });
                break;
            }
            let entry = self.edit(victim.slot, Queue::pop_tail).expect("a ranked queue has a tail to give");
            evicted.push((victim.slot, entry));
        }
        if let Some(error) = refusal {
            for (slot, entry) in evicted.into_iter().rev() {
                self.edit(slot, |queue| queue.insert(entry));
            }
            return Err(error);
        }
        self.forget(evicted.iter().map(|(_, entry)| &**entry));
        for (slot, entry) in evicted {
            dropped.push(*entry.transaction.hash());
            self.reap(slot);
        }
        Ok(())
    }

    fn worst(&self) -> Option<(Tail, Bid)> {
        [Tail::Gapped, Tail::Executable]
            .into_iter()
            .find_map(|tail| self.worth[tail as usize].worst().map(|bid| (tail, bid)))
    }

    /// Takes a newer view of an account; returns what is dropped although its nonce is not spent.
    fn set_account(&mut self, sender: Address, account: AccountView) -> Vec<B256> {
        let Some(&slot) = self.by_sender.get(&sender) else { return Vec::new() };
        // What fits the account as it was known still does: the usual case between two blocks.
        if self.slots[slot].as_ref().is_some_and(|queue| queue.account == account) {
            return Vec::new();
        }
        let gone = self.edit(slot, |queue| queue.set_account(account));
        self.forget(&gone);
        self.reap(slot);
        let unspent = gone.iter().filter(|entry| entry.terms.nonce >= account.nonce);
        unspent.map(|entry| *entry.transaction.hash()).collect()
    }

    fn set_base_fee(&mut self, base_fee: u64) {
        if base_fee != self.base_fee {
            self.base_fee = base_fee;
            self.ready.set_base_fee(base_fee);
            self.worth.iter_mut().for_each(|ranking| ranking.set_base_fee(base_fee));
        }
    }

    fn expire(&mut self, now_ms: u64, dropped: &mut Vec<B256>) {
        let mut kept = Vec::new();
        while let Some(&age) = self.ages.front()
            && age.added_ms.saturating_add(self.limits.lifetime_ms) <= now_ms
        {
            self.ages.pop_front();
            let Some(hash) = self.live(&age) else { continue };
            let queue = self.slots[age.slot].as_ref().expect("a live entry has a queue");
            if queue.find(age.nonce).is_ok_and(|index| index < queue.in_flight()) {
                kept.push(age);
            } else {
                self.reject(&hash);
                dropped.push(hash);
            }
        }
        // What is in flight is looked at again when the next block is decided.
        kept.into_iter().rev().for_each(|age| self.ages.push_front(age));
    }

    /// Records the age of an entry that is about to enter, and uses up its running number.
    fn note_age(&mut self, entry: &Entry, slot: usize) {
        let Entry { terms, arrival, added_ms, .. } = entry;
        if self.ages.len() >= 2 * self.totals.transactions + AGES_SLACK {
            let ages = std::mem::take(&mut self.ages);
            self.ages = ages.into_iter().filter(|age| self.live(age).is_some()).collect();
        }
        self.next_number += 1;
        self.ages.push_back(Age { added_ms: *added_ms, arrival: *arrival, slot, nonce: terms.nonce });
    }

    /// The hash of the entry that the record speaks of, if that is still in the pool.
    fn live(&self, age: &Age) -> Option<B256> {
        let entry = self.slots[age.slot].as_ref()?.get(age.nonce)?;
        (entry.arrival == age.arrival).then(|| *entry.transaction.hash())
    }

    fn slot_of(&mut self, sender: Address, account: AccountView) -> usize {
        if let Some(slot) = self.by_sender.get(&sender) {
            return *slot;
        }
        let queue = Some(Queue::new(sender, account, self.next_number));
        self.next_number += 1;
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot] = queue;
                slot
            }
            None => {
                self.slots.push(queue);
                self.slots.len() - 1
            }
        };
        self.by_sender.insert(sender, slot);
        slot
    }

    /// Changes a queue and brings totals and rankings into line with it.
    fn edit<T>(&mut self, slot: usize, change: impl FnOnce(&mut Queue) -> T) -> T {
        let queue = self.slots[slot].as_mut().expect("indices point at queues that are in use");
        self.totals.subtract(queue);
        let result = change(queue);
        self.totals.add(queue);
        let ready = queue.ready_bid(slot);
        if ready != queue.ready {
            queue.ready.iter().for_each(|bid| self.ready.remove(bid));
            ready.iter().for_each(|bid| self.ready.insert(bid));
            queue.ready = ready;
        }
        let worth = queue.worth_bid(slot);
        if worth != queue.worth {
            queue.worth.iter().for_each(|(tail, bid)| self.worth[*tail as usize].remove(bid));
            worth.iter().for_each(|(tail, bid)| self.worth[*tail as usize].insert(bid));
            queue.worth = worth;
        }
        result
    }

    fn forget<'a>(&mut self, entries: impl IntoIterator<Item = &'a Entry>) {
        for entry in entries {
            self.by_hash.remove(entry.transaction.hash());
        }
    }

    /// Frees the place of a queue that has become empty.
    fn reap(&mut self, slot: usize) {
        if let Some(queue) = &self.slots[slot]
            && queue.len() == 0
        {
            self.by_sender.remove(&queue.sender);
            self.slots[slot] = None;
            self.free.push(slot);
        }
    }
}

fn check_replacement(queue: &Queue, index: usize, terms: &Terms) -> Result<(), PoolError> {
    if index < queue.in_flight() {
        return Err(PoolError::InFlight { nonce: terms.nonce });
    }
    let old = &queue.entries()[index].terms;
    let (fee_needed, tip_needed) = (bumped(old.cap), bumped(old.tip));
    if terms.cap < fee_needed || terms.tip < tip_needed {
        return Err(PoolError::ReplacementUnderpriced { fee_needed, tip_needed });
    }
    Ok(())
}

/// The least price that replaces another: 10 % more, and more in any case.
fn bumped(price: u128) -> u128 {
    let percent = price.saturating_mul(100 + REPLACEMENT_BUMP_PERCENT) / 100;
    percent.max(price.saturating_add(1))
}

/// The balance covers what all the sender's transactions may cost. `released` is what a replaced one leaves.
fn check_funds(
    queue: Option<&Queue>,
    released: U256,
    account: AccountView,
    terms: &Terms,
) -> Result<(), PoolError> {
    let balance = queue.map_or(account.balance, |queue| queue.account.balance);
    let queued = queue.map_or(U256::ZERO, Queue::cost) - released;
    let total = queued.saturating_add(terms.cost);
    // A cost that saturated is no cost that anybody can pay.
    if total > balance || total == U256::MAX {
        return Err(PoolError::InsufficientFunds { balance, queued, cost: terms.cost });
    }
    Ok(())
}
