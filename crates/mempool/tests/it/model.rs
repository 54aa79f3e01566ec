//! A pool without any index: one list, everything worked out anew. The real one must agree after each step.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use alloy_consensus::Transaction as _;
use alloy_primitives::{B256, U256};
use anfs_mempool::{AccountView, ENTRY_OVERHEAD_BYTES, Pool, PoolLimits};
use anfs_primitives::RecoveredTransaction;
use proptest::prelude::*;

use crate::support::{GAS, Shape, address, limits};

#[derive(Clone, Debug)]
struct Item {
    shape: Shape,
    transaction: RecoveredTransaction,
    arrival: u64,
    added_ms: u64,
    in_flight: bool,
}

impl Item {
    fn cost(&self) -> U256 {
        U256::from(self.shape.cap) * U256::from(self.shape.gas) + U256::from(self.shape.value)
    }

    fn tip(&self, base_fee: u64) -> i128 {
        tip(self.shape.tip, self.shape.cap, base_fee)
    }
}

fn tip(tip: u128, cap: u128, base_fee: u64) -> i128 {
    (tip as i128).min(cap as i128 - i128::from(base_fee))
}

#[derive(Clone, Debug)]
struct Model {
    limits: PoolLimits,
    base_fee: u64,
    items: Vec<Item>,
    /// Account, and number of the queue's creation, of the senders that have items.
    senders: BTreeMap<u8, (AccountView, u64)>,
    number: u64,
}

impl Model {
    fn queue(&self, sender: u8) -> Vec<&Item> {
        let mut queue: Vec<&Item> = self.items.iter().filter(|item| item.shape.sender == sender).collect();
        queue.sort_by_key(|item| item.shape.nonce);
        queue
    }

    fn executable(&self, sender: u8) -> usize {
        let Some((account, _)) = self.senders.get(&sender) else { return 0 };
        let nonces = account.nonce..;
        self.queue(sender).iter().zip(nonces).take_while(|(item, nonce)| item.shape.nonce == *nonce).count()
    }

    fn drop_where(&mut self, gone: impl Fn(&Item) -> bool) -> Vec<B256> {
        let (out, kept) = std::mem::take(&mut self.items).into_iter().partition(gone);
        self.items = kept;
        let out: Vec<Item> = out;
        out.iter().map(|item| *item.transaction.hash()).collect()
    }

    fn reap(&mut self) {
        let alive: BTreeSet<u8> = self.items.iter().map(|item| item.shape.sender).collect();
        self.senders.retain(|sender, _| alive.contains(sender));
    }

    fn bytes(&self) -> usize {
        self.items.iter().map(|item| item.transaction.encoded().len() + ENTRY_OVERHEAD_BYTES).sum()
    }

    fn set_account(&mut self, sender: u8, account: AccountView) -> Vec<B256> {
        let Some((known, _)) = self.senders.get_mut(&sender) else { return Vec::new() };
        if account.nonce < known.nonce {
            return Vec::new();
        }
        *known = account;
        self.drop_where(|item| item.shape.sender == sender && item.shape.nonce < account.nonce);
        let mut dropped = Vec::new();
        loop {
            let queue = self.queue(sender);
            let cost: U256 = queue.iter().map(|item| item.cost()).sum();
            match queue.last() {
                Some(tail) if cost > account.balance && !tail.in_flight => {
                    let nonce = tail.shape.nonce;
                    dropped.extend(
                        self.drop_where(|item| item.shape.sender == sender && item.shape.nonce == nonce),
                    );
                }
                _ => break,
            }
        }
        self.reap();
        dropped
    }

    /// What the queue's tail is worth: whether it is executable, and the tip of its cheapest part.
    fn worth(&self, sender: u8, extra: Option<&Shape>) -> Option<(bool, i128)> {
        let queue = self.queue(sender);
        let waiting = queue.iter().filter(|item| !item.in_flight).map(|item| &item.shape).chain(extra);
        let tips = waiting.clone().map(|shape| shape.tip).min()?;
        let caps = waiting.map(|shape| shape.cap).min()?;
        Some((self.executable(sender) == queue.len(), tip(tips, caps, self.base_fee)))
    }

    fn add(&mut self, shape: &Shape, account: AccountView, now_ms: u64) -> Result<Vec<B256>, &'static str> {
        let transaction = shape.build();
        if self.items.iter().any(|item| item.transaction.hash() == transaction.hash()) {
            return Err("already known");
        }
        if shape.cap < u128::from(self.limits.base_fee_min) {
            return Err("transaction underpriced: gas fee cap");
        }
        let mut dropped = self.set_account(shape.sender, account);
        let account = self.senders.get(&shape.sender).map_or(account, |(known, _)| *known);
        if shape.nonce < account.nonce {
            return Err("nonce too low: next");
        }
        let item = Item {
            shape: shape.clone(),
            transaction,
            arrival: self.number,
            added_ms: now_ms,
            in_flight: false,
        };
        self.number += 1;
        let queue = self.queue(shape.sender);
        let old = queue.iter().find(|old| old.shape.nonce == shape.nonce);
        if let Some(old) = old {
            if old.in_flight {
                return Err("nonce too low: the transaction");
            }
            let enough = |new: u128, old: u128| new * 10 >= old * 11 - (old * 11 % 10) && new > old;
            if !enough(shape.tip, old.shape.tip) || !enough(shape.cap, old.shape.cap) {
                return Err("replacement transaction underpriced");
            }
        }
        let queued: U256 = queue.iter().map(|item| item.cost()).sum();
        if queued - old.map_or(U256::ZERO, |old| old.cost()) + item.cost() > account.balance {
            return Err("insufficient funds for gas * price + value");
        }
        if old.is_some() {
            let mut next = self.clone();
            next.drop_where(|old| old.shape.sender == shape.sender && old.shape.nonce == shape.nonce);
            next.items.push(item);
            if next.bytes() > self.limits.bytes_max {
                return Err("txpool is full");
            }
            *self = next;
            return Ok(dropped);
        }
        let executable = self.executable(shape.sender);
        let runs = shape.nonce == account.nonce + executable as u64;
        if queue.len() >= self.limits.sender_transactions_max
            || (!runs && queue.len() - executable >= self.limits.sender_queued_max)
        {
            return Err("account limit exceeded");
        }
        let (_, tip) = self.worth(shape.sender, Some(shape)).expect("the newcomer is worth something");
        let mut next = self.clone();
        dropped.extend(next.make_room((runs, tip), &item)?);
        next.reap();
        next.senders.entry(shape.sender).or_insert((account, self.number));
        next.number += 1;
        next.items.push(item);
        *self = next;
        Ok(dropped)
    }

    fn make_room(&mut self, worth: (bool, i128), item: &Item) -> Result<Vec<B256>, &'static str> {
        let mut dropped = Vec::new();
        while self.items.len() >= self.limits.transactions_max
            || self.bytes() + item.transaction.encoded().len() + ENTRY_OVERHEAD_BYTES > self.limits.bytes_max
        {
            let senders = self.senders.iter();
            let victims = senders.filter_map(|(sender, (_, since))| {
                self.worth(*sender, None).map(|worth| (worth, Reverse(*since), *sender))
            });
            let Some((victim, _, sender)) = victims.min() else { return Err("txpool is full") };
            if victim >= worth {
                return Err("transaction underpriced: txpool is full");
            }
            let nonce = self.queue(sender).last().expect("a ranked queue has a tail").shape.nonce;
            dropped.extend(self.drop_where(|item| item.shape.sender == sender && item.shape.nonce == nonce));
        }
        Ok(dropped)
    }

    fn heads(&self) -> Vec<&Item> {
        let heads = self.senders.keys().filter_map(|sender| {
            let executable = self.executable(*sender);
            self.queue(*sender).into_iter().take(executable).find(|item| !item.in_flight)
        });
        let mut heads: Vec<&Item> = heads.filter(|item| item.tip(self.base_fee) >= 0).collect();
        heads.sort_by_key(|item| (Reverse(item.tip(self.base_fee)), item.arrival));
        heads
    }

    fn take_best(&mut self, count_max: usize, mut gas_left: u64, base_fee: u64) -> Vec<B256> {
        self.base_fee = base_fee;
        let (mut batch, mut passed_over) = (Vec::new(), BTreeSet::new());
        while batch.len() < count_max {
            let heads = self.heads();
            let head = heads.iter().find(|head| !passed_over.contains(&head.shape.sender));
            let Some(Shape { sender, gas, nonce, .. }) = head.map(|head| head.shape.clone()) else { break };
            if gas > gas_left {
                passed_over.insert(sender);
                if !batch.is_empty() {
                    break;
                }
                continue;
            }
            gas_left -= gas;
            let mut items = self.items.iter_mut();
            let head = items.find(|item| item.shape.sender == sender && item.shape.nonce == nonce);
            let head = head.expect("a head is an item");
            head.in_flight = true;
            batch.push(*head.transaction.hash());
        }
        batch
    }

    fn free_from(&mut self, sender: u8, nonce: u64) {
        let back =
            self.items.iter_mut().filter(|item| item.shape.sender == sender && item.shape.nonce >= nonce);
        back.for_each(|item| item.in_flight = false);
    }

    fn expire(&mut self, now_ms: u64) -> Vec<B256> {
        let mut dropped = Vec::new();
        loop {
            let oldest = self
                .items
                .iter()
                .filter(|item| !item.in_flight && item.added_ms + self.limits.lifetime_ms <= now_ms)
                .min_by_key(|item| item.arrival);
            let Some(oldest) = oldest else { break };
            let hash = *oldest.transaction.hash();
            dropped.extend(self.drop_where(|item| *item.transaction.hash() == hash));
        }
        self.reap();
        dropped
    }
}

#[derive(Clone, Debug)]
enum Step {
    Add { sender: u8, ahead: u64, tip: u128, more: u128, padding: usize, gas: u64, balance: u64 },
    Take { count: usize, base_fee: u64 },
    TakeWithin { gas: u64 },
    GiveBack(prop::sample::Index),
    Reject(prop::sample::Index),
    Decide { sender: u8, nonces: u64, balance: u64, base_fee: u64 },
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let price = prop_oneof![0u128..12, 0u128..100];
    let balance = prop_oneof![3 => Just(u64::MAX), 1 => 0u64..60 * GAS];
    let gas = prop_oneof![4 => Just(GAS), 1 => Just(3 * GAS)];
    let add = (0u8..5, 0u64..6, price.clone(), price, 0usize..400, gas, balance.clone()).prop_map(
        |(sender, ahead, tip, more, padding, gas, balance)| Step::Add {
            sender,
            ahead,
            tip,
            more,
            padding,
            gas,
            balance,
        },
    );
    let step = prop_oneof![
        12 => add,
        3 => (1usize..4, 0u64..60).prop_map(|(count, base_fee)| Step::Take { count, base_fee }),
        1 => (0u64..5 * GAS).prop_map(|gas| Step::TakeWithin { gas }),
        1 => any::<prop::sample::Index>().prop_map(Step::GiveBack),
        1 => any::<prop::sample::Index>().prop_map(Step::Reject),
        2 => (0u8..5, 0u64..3, balance, 0u64..60)
            .prop_map(|(sender, nonces, balance, base_fee)| Step::Decide { sender, nonces, balance, base_fee }),
        1 => (0u64..500).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..120)
}

fn hashes<'a>(transactions: impl IntoIterator<Item = &'a RecoveredTransaction>) -> Vec<B256> {
    transactions.into_iter().map(|transaction| *transaction.hash()).collect()
}

fn check_same(pool: &Pool, model: &Model) -> Result<(), TestCaseError> {
    let content = pool.content();
    prop_assert_eq!(content.len(), model.senders.len());
    for (content, sender) in content.iter().zip(model.senders.keys()) {
        prop_assert_eq!(content.sender, address(*sender));
        let (queue, executable) = (model.queue(*sender), model.executable(*sender));
        let expected = hashes(queue.iter().map(|item| &item.transaction));
        prop_assert_eq!(hashes(content.pending.iter().chain(&content.queued)), expected);
        prop_assert_eq!(content.pending.len(), executable);
        let next = model.senders[sender].0.nonce + executable as u64;
        prop_assert_eq!(pool.pending_nonce(&address(*sender)), (executable > 0).then_some(next));
    }
    let status = pool.status();
    prop_assert_eq!(status.bytes, model.bytes());
    prop_assert_eq!(status.pending + status.queued, model.items.len());
    prop_assert_eq!(status.in_flight, model.items.iter().filter(|item| item.in_flight).count());
    prop_assert!(status.bytes <= model.limits.bytes_max);
    prop_assert!(model.items.len() <= model.limits.transactions_max);
    let expected = model.clone().take_best(usize::MAX, u64::MAX, model.base_fee);
    prop_assert_eq!(hashes(pool.best()), expected);
    Ok(())
}

/// The accounts as the chain has them, whatever the pool knows.
type Chain = BTreeMap<u8, u64>;

fn run(
    step: &Step,
    pool: &mut Pool,
    model: &mut Model,
    chain: &mut Chain,
    now_ms: &mut u64,
) -> Result<(), TestCaseError> {
    let pick = |model: &Model, index: prop::sample::Index| {
        (!model.items.is_empty()).then(|| model.items[index.index(model.items.len())].clone())
    };
    match step.clone() {
        Step::Add { sender, ahead, tip, more, padding, gas, balance } => {
            let nonce = *chain.entry(sender).or_default();
            let account = AccountView { nonce, balance: U256::from(balance) };
            let nonce = (nonce + ahead).saturating_sub(1);
            let shape = Shape { padding, gas, ..Shape::new(sender, nonce, tip, tip + more) };
            let expected = model.add(&shape, account, *now_ms);
            let result = pool.add(shape.build(), account, *now_ms);
            match (result, expected) {
                (Ok(added), Ok(dropped)) => prop_assert_eq!(added.dropped, dropped),
                (Err(error), Err(words)) => {
                    prop_assert!(error.to_string().starts_with(words), "{} for {}", error, words);
                }
                (result, expected) => prop_assert!(false, "{result:?} but the model says {expected:?}"),
            }
        }
        Step::Take { count, base_fee } => {
            let taken = pool.take_best(count, u64::MAX, base_fee);
            prop_assert_eq!(hashes(&taken), model.take_best(count, u64::MAX, base_fee));
        }
        Step::TakeWithin { gas } => {
            let taken = pool.take_best(usize::MAX, gas, model.base_fee);
            prop_assert!(taken.iter().map(|taken| taken.envelope().gas_limit()).sum::<u64>() <= gas);
            prop_assert_eq!(hashes(&taken), model.take_best(usize::MAX, gas, model.base_fee));
        }
        Step::GiveBack(index) => {
            if let Some(item) = pick(model, index) {
                prop_assert_eq!(pool.give_back(item.transaction.hash()), item.in_flight);
                model.free_from(item.shape.sender, item.shape.nonce);
            }
        }
        Step::Reject(index) => {
            if let Some(item) = pick(model, index) {
                prop_assert_eq!(pool.reject(item.transaction.hash()), Some(item.transaction.clone()));
                model.free_from(item.shape.sender, item.shape.nonce);
                model.drop_where(|other| other.arrival == item.arrival);
                model.reap();
            }
        }
        Step::Decide { sender, nonces, balance, base_fee } => {
            let nonce = chain.entry(sender).or_default();
            *nonce += nonces;
            let account = AccountView { nonce: *nonce, balance: U256::from(balance) };
            let mut expected = model.set_account(sender, account);
            model.base_fee = base_fee;
            expected.extend(model.expire(*now_ms));
            prop_assert_eq!(pool.on_block([(address(sender), account)], base_fee, *now_ms), expected);
        }
        Step::Wait(ms) => *now_ms += ms,
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_pool_agrees_with_the_naive_model(steps in steps()) {
        let limits = PoolLimits {
            transactions_max: 12,
            bytes_max: 9000,
            sender_transactions_max: 6,
            sender_queued_max: 3,
            ..limits()
        };
        let mut pool = Pool::new(limits.clone(), 0);
        let mut model = Model { limits, base_fee: 0, items: vec![], senders: BTreeMap::new(), number: 0 };
        let mut chain = Chain::new();
        let mut now_ms = 0;
        for step in steps {
            run(&step, &mut pool, &mut model, &mut chain, &mut now_ms)?;
            check_same(&pool, &model)?;
        }
    }
}
