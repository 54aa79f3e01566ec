//! Two shards of real seats, with a root that the test plays: messages cross, once each and in order, whoever
//! restarts or hears of the root late.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, keccak256};
use alloy_rpc_types_trace::geth::{GethDebugTracingOptions, GethTrace, TraceResult};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use anfs_consensus::root::ledger::{Claims, NetworkLedger};
use anfs_node::genesis::{DEFAULT_CHAIN_ID, DEFAULT_MNEMONIC, GenesisChoices, coins, devnet_spec, wallets};
use anfs_node::{Clock, SystemClock};
use anfs_primitives::{
    Arrival, ChainSpec, CrossMessage, DomainId, DomainMap, GenesisAccount, Height, MessageBody, RootReference,
};
use anfs_rpc::{Executor, RpcBlock};
use anfs_state::StateRead;
use tokio::runtime::{Builder, Runtime};

use crate::harness::{Shard, VERIFIERS};

const SHARDS: u32 = 2;
/// Longer than anything here takes on a busy machine; reached only by a failure.
const PATIENCE: Duration = Duration::from_secs(180);
/// Adds the value of each call to what it has stored.
const TALLY: [u8; 9] = [0x34, 0x60, 0x00, 0x54, 0x01, 0x60, 0x00, 0x55, 0x00];
/// Always reverts.
const REVERT: [u8; 5] = [0x60, 0x00, 0x60, 0x00, 0xfd];
const GAS_PRICE: u128 = 100_000_000_000;

/// Messages for one domain by their sources, as they are told to it.
type Batches = Vec<(DomainId, Vec<Arc<CrossMessage>>)>;

/// The root as the test plays it: it makes final what both shards have decided, and believes no claim that its ledger
/// does not.
struct Root {
    ledger: NetworkLedger,
    /// The newest final block of each shard, and the messages it had sent on each lane by then.
    tips: BTreeMap<DomainId, u64>,
    lanes: BTreeMap<(DomainId, DomainId), u64>,
    /// What each root block made final for each domain, from block 1 on.
    blocks: Vec<(RootReference, BTreeMap<DomainId, Batches>)>,
}

struct Two {
    spec: Arc<ChainSpec>,
    shards: BTreeMap<DomainId, Shard>,
    root: Root,
    /// Seats that hear nothing of the root for now.
    deaf: BTreeSet<(DomainId, u16)>,
    nonces: BTreeMap<Address, u64>,
    wallets: Vec<PrivateKeySigner>,
    /// Accounts that came to coins in the course of a test.
    newcomers: BTreeSet<Address>,
    runtime: Runtime,
}

/// The `n`-th made-up address that lives in a domain.
fn address(domain: u32, n: usize) -> Address {
    let map = DomainMap::new(SHARDS);
    let all = (0u64..).map(|index| Address::from_word(keccak256(index.to_be_bytes())));
    all.filter(|address| map.home(address) == DomainId(domain)).nth(n).unwrap()
}

fn spec() -> ChainSpec {
    let mut spec = devnet_spec(&GenesisChoices {
        chain_id: DEFAULT_CHAIN_ID,
        shards: SHARDS,
        verifiers: VERIFIERS,
        slot_ms: 80,
        mnemonic: DEFAULT_MNEMONIC.into(),
        accounts: 8,
        balance: 1_000,
        block_gas_limit: 30_000_000,
        genesis_time_ms: SystemClock.now_ms(),
    })
    .unwrap();
    spec.fast_timeout_ms = 600;
    spec.view_timeout_ms = 3_000;
    for domain in 1..=SHARDS {
        for (n, code) in [(0, &TALLY[..]), (1, &REVERT[..])] {
            let code = Bytes::copy_from_slice(code);
            spec.accounts.insert(address(domain, n), GenesisAccount { code, ..GenesisAccount::default() });
        }
    }
    spec
}

impl Root {
    /// Makes final what the shards have decided since.
    fn name(&mut self, shards: &BTreeMap<DomainId, Shard>, network: anfs_primitives::NetworkId) {
        let mut made_final: BTreeMap<DomainId, Batches> = BTreeMap::new();
        let mut named = false;
        for (domain, shard) in shards {
            let running = shard.running().into_iter();
            let Some(seat) = running.max_by_key(|seat| shard.height(*seat)) else { continue };
            for height in self.tips[domain] + 1..=shard.height(seat) {
                let block = shard.block(seat, height);
                self.ledger.apply(&Claims::from(block.header.header())).expect("honest claims are believed");
                for to in shards.keys().filter(|to| *to != domain) {
                    let Some(batch) = shard.seat(seat).chain().lane_batch(Height(height), *to).unwrap()
                    else {
                        continue;
                    };
                    let next = self.lanes.entry((*domain, *to)).or_default();
                    batch.verify(&block.header.outbox_root, network, (*domain, *to), *next).unwrap();
                    *next += batch.messages.len() as u64;
                    let messages = batch.messages.into_inner().into_iter().map(Arc::new).collect();
                    made_final.entry(*to).or_default().push((*domain, messages));
                }
                self.tips.insert(*domain, height);
                named = true;
            }
        }
        if named {
            let height = self.blocks.len() as u64 + 1;
            let hash = keccak256(height.to_be_bytes());
            self.blocks.push((RootReference { height: Height(height), hash }, made_final));
        }
    }

    /// Tells a seat what it has not heard yet; one that has restarted hears everything again.
    fn tell(&self, domain: DomainId, shard: &Shard, seat: u16) {
        let arrivals = shard.seat(seat).arrivals();
        let heard = usize::try_from(arrivals.latest().height.0).unwrap();
        for (reference, made_final) in &self.blocks[heard..] {
            arrivals.push(*reference, made_final.get(&domain).cloned().unwrap_or_default()).unwrap();
        }
    }
}

impl Two {
    fn start() -> Self {
        let spec = Arc::new(spec());
        spec.validate().unwrap();
        let shards = (1..=SHARDS).map(DomainId).map(|domain| {
            let mut shard = Shard::of(spec.clone(), domain, None);
            shard.start_all();
            (domain, shard)
        });
        let root = Root {
            ledger: NetworkLedger::new(coins(&spec)),
            tips: (1..=SHARDS).map(|domain| (DomainId(domain), 0)).collect(),
            lanes: BTreeMap::new(),
            blocks: Vec::new(),
        };
        Self {
            shards: shards.collect(),
            spec,
            root,
            deaf: BTreeSet::new(),
            nonces: BTreeMap::new(),
            wallets: wallets(DEFAULT_MNEMONIC, 8).unwrap(),
            newcomers: BTreeSet::new(),
            runtime: Builder::new_current_thread().enable_time().build().unwrap(),
        }
    }

    fn shard(&self, domain: u32) -> &Shard {
        &self.shards[&DomainId(domain)]
    }

    fn shard_mut(&mut self, domain: u32) -> &mut Shard {
        self.shards.get_mut(&DomainId(domain)).unwrap()
    }

    /// The first funded account of a shard.
    fn wallet(&self, domain: u32) -> PrivateKeySigner {
        let map = DomainMap::new(SHARDS);
        let wallet = self.wallets.iter().find(|wallet| map.home(&wallet.address()) == DomainId(domain));
        wallet.expect("eight accounts spread over two shards").clone()
    }

    fn pump(&mut self) {
        self.root.name(&self.shards, self.spec.network);
        for (domain, shard) in &self.shards {
            for seat in shard.running().into_iter().filter(|seat| !self.deaf.contains(&(*domain, *seat))) {
                self.root.tell(*domain, shard, seat);
            }
        }
    }

    /// Plays the root until something holds.
    fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let end = Instant::now() + PATIENCE;
        loop {
            let first = |shard: &Shard| shard.seat(shard.running()[0]).chain().subscribe();
            let (mut one, mut other) = (first(self.shard(1)), first(self.shard(2)));
            self.pump();
            if holds(self) {
                return;
            }
            assert!(Instant::now() < end, "{what} did not come: {:?}", self.statuses());
            let news = async {
                tokio::select! {
                    _ = one.recv() => {}
                    _ = other.recv() => {}
                }
            };
            // A block more, or a while: the condition looks for itself.
            let _ =
                self.runtime.block_on(async { tokio::time::timeout(Duration::from_millis(200), news).await });
        }
    }

    fn statuses(&self) -> Vec<String> {
        let seats = self.shards.values().flat_map(|shard| {
            shard.running().into_iter().map(|seat| shard.seat(seat)).map(|seat| {
                format!(
                    "{:?}, root {:?}, trouble {:?}",
                    seat.status(),
                    seat.arrivals(),
                    seat.health().trouble()
                )
            })
        });
        seats.collect()
    }

    /// Sends a transaction of a shard's wallet to the shard's generator.
    fn send(&mut self, domain: u32, to: Address, value: u64, gas_limit: u64) -> B256 {
        let wallet = self.wallet(domain);
        let nonce = self.nonces.entry(wallet.address()).or_default();
        let raw = signed(&self.spec, &wallet, *nonce, to, value, gas_limit);
        *nonce += 1;
        self.shard(domain).backend(0).pool.submit(raw).unwrap()
    }

    /// The state of a shard as a seat has it.
    fn balance_at(&self, domain: u32, seat: u16, address: Address) -> U256 {
        let (_, state) = self.shard(domain).seat(seat).chain().head_state();
        state.account(&address).unwrap().unwrap_or_default().balance
    }

    fn tallied(&self, domain: u32, address: Address) -> U256 {
        let (_, state) = self.shard(domain).seat(0).chain().head_state();
        state.storage(&address, &B256::ZERO).unwrap()
    }

    /// Every block of a shard, as its generator has it.
    fn blocks(&self, domain: u32) -> Vec<Arc<RpcBlock>> {
        let shard = self.shard(domain);
        (1..=shard.height(0)).map(|height| shard.block(0, height)).collect()
    }

    fn arrivals(&self, domain: u32) -> Vec<Arrival> {
        self.blocks(domain).iter().flat_map(|block| block.crossing.arrivals.to_vec()).collect()
    }

    /// Waits until nothing is on its way any more.
    fn settle(&mut self) {
        self.until("an end of all messages", |net| {
            let consumed = |(from, to): &(DomainId, DomainId), sent: &u64| {
                let head = net.shards[to].seat(0).chain().head();
                head.header
                    .inbox_cursors
                    .iter()
                    .any(|cursor| cursor.source == *from && cursor.consumed == *sent)
            };
            net.root.ledger.in_flight().is_zero()
                && net.root.lanes.iter().all(|(lane, sent)| consumed(lane, sent))
        });
    }

    /// No coin was made or lost; every message was consumed once, in its order; all seats agree.
    fn check(&self) {
        let ledger = &self.root.ledger;
        let held: U256 = self.shards.keys().map(|domain| ledger.held(*domain).unwrap()).sum();
        let supply = self.spec.genesis_supply().unwrap();
        assert_eq!(held + ledger.in_flight() + ledger.burned(), supply);
        for (domain, shard) in &self.shards {
            shard.assert_agreement();
            let newest = shard.running().into_iter().max_by_key(|seat| shard.height(*seat)).unwrap();
            let at_tip = shard.seat(newest).chain().state(Height(self.root.tips[domain])).unwrap();
            let balance = |address| at_tip.account(address).unwrap().unwrap_or_default().balance;
            let sum: U256 = self.known().iter().map(balance).sum();
            assert_eq!(Some(sum), ledger.held(*domain), "coins of domain {domain}");
        }
        for domain in 1..=SHARDS {
            let mut next: BTreeMap<DomainId, u64> = BTreeMap::new();
            for arrival in self.arrivals(domain) {
                let due = next.entry(arrival.message.source).or_default();
                assert_eq!(arrival.message.sequence, *due, "once and in order");
                *due += 1;
            }
        }
    }

    /// Traces run each transaction as its block did, after what had arrived.
    fn check_traces(&self, domain: u32) {
        let clients = self.shard(domain).clients(0);
        for block in self.blocks(domain).iter().filter(|block| !block.transactions.is_empty()) {
            let traces =
                clients.trace_block(block.header.height, GethDebugTracingOptions::default()).unwrap();
            for (trace, receipt) in traces.iter().zip(block.receipts.iter()) {
                let TraceResult::Success { result: GethTrace::Default(frame), .. } = trace else {
                    panic!("{trace:?}")
                };
                assert_eq!((frame.gas, !frame.failed), (receipt.gas_used, receipt.success));
            }
        }
    }

    /// Every address that holds coins in these tests.
    fn known(&self) -> BTreeSet<Address> {
        let seats =
            self.spec.shards.iter().flat_map(|shard| shard.verifiers.iter().chain([&shard.generator]));
        let made_up = (1..=SHARDS).flat_map(|domain| (0..8).map(move |n| address(domain, n)));
        let made_up = made_up.chain(self.newcomers.iter().copied());
        seats.map(|seat| seat.beneficiary).chain(made_up).chain(self.spec.accounts.keys().copied()).collect()
    }
}

fn signed(
    spec: &ChainSpec,
    wallet: &PrivateKeySigner,
    nonce: u64,
    to: Address,
    value: u64,
    gas_limit: u64,
) -> Bytes {
    let tx = TxEip1559 {
        chain_id: spec.network.0,
        nonce,
        gas_limit,
        max_fee_per_gas: GAS_PRICE,
        max_priority_fee_per_gas: 1,
        to: TxKind::Call(to),
        value: U256::from(value),
        ..TxEip1559::default()
    };
    let signature = wallet.sign_hash_sync(&tx.signature_hash()).unwrap();
    TxEnvelope::from(tx.into_signed(signature)).encoded_2718().into()
}

#[test]
fn payments_and_calls_cross_both_ways_and_each_message_once() {
    let mut net = Two::start();
    for _ in 0..10 {
        for (from, to) in [(1, 2), (2, 1)] {
            net.send(from, address(to, 5), 7, 21_000);
            net.send(from, address(to, 0), 3, 100_000);
        }
    }
    // Two calls fail, and their value comes back.
    net.send(1, address(2, 1), 1_000_000, 100_000);
    net.send(2, address(1, 1), 1_000_000, 100_000);
    net.until("what was sent", |net| {
        (1..=SHARDS).all(|domain| {
            let calls = net.arrivals(domain).iter().filter(|arrival| arrival.receipt.is_some()).count();
            calls >= 21
        })
    });
    net.settle();
    net.check();
    for domain in 1..=SHARDS {
        assert_eq!(net.balance_at(domain, 0, address(domain, 5)), U256::from(70));
        assert_eq!(net.tallied(domain, address(domain, 0)), U256::from(30), "ten calls with three wei");
        assert_eq!(net.balance_at(domain, 0, address(domain, 1)), U256::ZERO);
        let arrivals = net.arrivals(domain);
        let receipts = arrivals.iter().filter_map(|arrival| arrival.receipt.as_ref());
        assert_eq!(receipts.filter(|receipt| !receipt.success).count(), 1);
        let returned = arrivals.iter().filter(|arrival| match &arrival.message.body {
            MessageBody::Credit { recipient, value } => {
                *recipient == net.wallet(domain).address() && *value >= U256::from(1_000_000)
            }
            _ => false,
        });
        assert!(returned.count() >= 1, "the value of the call that failed");
        net.check_traces(domain);
        let references: Vec<u64> =
            net.blocks(domain).iter().map(|block| block.header.root_reference.height.0).collect();
        assert!(references.is_sorted() && references.last() > Some(&0), "{references:?}");
    }
}

#[test]
fn a_transaction_is_taken_at_its_senders_home_only() {
    let net = Two::start();
    let stranger = net.wallet(2);
    let raw = signed(&net.spec, &stranger, 0, address(1, 5), 1, 21_000);
    let refused = net.shard(1).backend(0).pool.submit(raw).unwrap_err().to_string();
    assert!(refused.contains("lives in shard 2"), "{refused}");
}

#[test]
fn a_seat_comes_back_without_the_root_and_a_shard_goes_on_after_all_its_seats_died() {
    let mut net = Two::start();
    for _ in 0..5 {
        net.send(1, address(2, 5), 7, 21_000);
        net.send(1, address(2, 0), 3, 100_000);
    }
    net.until("what was sent", |net| net.balance_at(2, 2, address(2, 5)) == U256::from(35));
    // A verifier is killed: what had arrived is in its log, so it stands where it stood before it hears of any root.
    let stood = net.shard(2).height(2);
    net.shard_mut(2).kill_seat(2);
    net.shard_mut(2).start_seat(2);
    assert!(net.shard(2).height(2) >= stood);
    assert_eq!(net.shard(2).seat(2).arrivals().latest(), RootReference::default());
    assert_eq!(net.balance_at(2, 2, address(2, 5)), U256::from(35));
    let arrived = (1..=stood).map(|height| net.shard(2).block(2, height).crossing.arrivals.len());
    assert!(arrived.sum::<usize>() >= 10);

    // The whole shard dies while more is on its way to it.
    for _ in 0..5 {
        net.send(1, address(2, 5), 7, 21_000);
    }
    net.shard_mut(2).kill_all();
    net.shard_mut(2).start_all();
    net.until("the rest", |net| net.balance_at(2, 0, address(2, 5)) == U256::from(70));
    net.send(2, address(1, 5), 9, 21_000);
    net.until("an answer", |net| net.balance_at(1, 0, address(1, 5)) == U256::from(9));
    net.settle();
    for shard in net.shards.values() {
        let height = shard.height(0);
        shard.indices().for_each(|seat| shard.wait_height(seat, height));
    }
    net.check();
}

#[test]
fn a_verifier_that_hears_of_the_root_late_catches_up() {
    let mut net = Two::start();
    let deaf = (DomainId(2), 3);
    net.deaf.insert(deaf);
    for _ in 0..5 {
        net.send(1, address(2, 5), 7, 21_000);
    }
    net.until("what was sent", |net| net.balance_at(2, 0, address(2, 5)) == U256::from(35));
    let reached = net.shard(2).height(0);
    let late = net.shard(2).seat(3);
    assert_eq!(late.chain().head().header.root_reference, RootReference::default(), "it takes nobody's word");
    assert_eq!(late.health().trouble(), None);
    net.deaf.remove(&deaf);
    net.until("the late verifier", |net| net.shard(2).height(3) >= reached);
    net.settle();
    net.check();
}

#[test]
fn what_has_crossed_can_be_spent_at_once() {
    let mut net = Two::start();
    let keys = (1u8..).map(|byte| PrivateKeySigner::from_slice(&[byte; 32]).unwrap());
    let map = DomainMap::new(SHARDS);
    let newcomer = keys.into_iter().find(|key| map.home(&key.address()) == DomainId(2)).unwrap();
    let own = newcomer.address();
    let back = |net: &Two| signed(&net.spec, &newcomer, 0, address(1, 5), 11, 21_000);
    let refused = net.shard(2).backend(0).pool.submit(back(&net)).unwrap_err().to_string();
    assert!(refused.contains("insufficient funds"), "{refused}");

    net.send(1, own, 10_000_000_000_000_000, 21_000);
    net.until("the coins", |net| !net.balance_at(2, 0, own).is_zero());
    net.shard(2).backend(0).pool.submit(back(&net)).unwrap();
    net.until("an answer", |net| net.balance_at(1, 0, address(1, 5)) == U256::from(11));
    net.newcomers.insert(own);
    net.settle();
    net.check();
}

#[test]
fn a_verifier_that_takes_over_goes_on_with_what_arrives() {
    let mut net = Two::start();
    net.send(1, address(2, 5), 7, 21_000);
    net.until("the first", |net| net.balance_at(2, 0, address(2, 5)) == U256::from(7));
    net.shard_mut(2).kill_seat(0);
    for _ in 0..3 {
        net.send(1, address(2, 5), 7, 21_000);
    }
    net.until("what came after", |net| net.balance_at(2, 1, address(2, 5)) == U256::from(28));
    net.shard_mut(2).start_seat(0);
    let reached = net.shard(2).height(1);
    net.until("the old generator", |net| net.shard(2).height(0) >= reached);
    net.settle();
    net.check();
}
