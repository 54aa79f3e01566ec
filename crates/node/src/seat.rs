//! One seat of a shard: its folder, its cores and its threads.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use alloy_primitives::{B256, keccak256};
use anfs_consensus::root::RootStatus;
use anfs_consensus::{
    Anchor, BlsCrypto, ConsensusError, LogRecord, Quorum, ShardConfig, ShardCore, ShardStatus,
};
use anfs_crypto::bls;
use anfs_execution::CodeCache;
use anfs_mempool::{Pool, PoolLimits};
use anfs_primitives::{ChainSpec, DomainId, Epoch, Height, RootSeat, SealedHeader, SeatIndex};
use anfs_state::WorldState;
use anfs_store::disk::{Disk, SystemDisk};
use anfs_store::{Store, StoreOptions, Tail};
use parking_lot::RwLock;

use crate::arrivals::Arrivals;
use crate::backend::describe_hold;
use crate::builder::{Builder, SlotInbox};
use crate::chain::{ChainLimits, ChainView, chain_block};
use crate::clock::Clock;
use crate::committer::{CommitInbox, Committer, last_flush};
use crate::context::{ExecutedBlocks, HeadAccounts, Health, SeatContext, SharedPool, Standing};
use crate::engine::{Engine, EngineEvent, EngineInbox};
use crate::error::NodeError;
use crate::flusher::{FlushInbox, OnDisk, run_flusher};
use crate::genesis;
use crate::inbox::Inbox;
use crate::liar::Liar;
use crate::metrics::SeatMetrics;
use crate::root::{NetworkTransport, RootChain, RootInbox, RootLink, RootSide};
use crate::run::{BlockRun, ExecutedBlock, FollowError, Inbound};
use crate::transport::{Mailbox, Transport};
use crate::verified::{SharedCrypto, Verified};
use crate::worker::{Work, WorkInbox, Worker};

/// What a seat is made of.
#[derive(Debug)]
pub struct SeatConfig {
    /// Which seat.
    pub seat: SeatIndex,
    /// Of which shard.
    pub domain: DomainId,
    /// The chain spec.
    pub spec: Arc<ChainSpec>,
    /// Its consensus key.
    pub key: bls::SecretKey,
    /// Unpredictable bytes that weight the signatures of a batch.
    pub entropy: [u8; 32],
    /// Signatures that this process has found good; its seats share it.
    pub verified: Arc<Verified>,
    /// Its folder.
    pub dir: PathBuf,
    /// How much of the chain it holds in memory.
    pub limits: ChainLimits,
    /// Limits of its transaction pool.
    pub pool: PoolLimits,
    /// Its clock.
    pub clock: Arc<dyn Clock>,
    /// The disk of its logs; the system's unless given.
    pub disk: Option<Arc<dyn Disk>>,
    /// Whether its network is being created by this very start. Otherwise a seat that finds no record of what
    /// it signed watches the chain before it signs: it may have lost the record.
    pub founding: bool,
    /// Whether it misbehaves on purpose: with false alerts and silence, signed with its own key.
    pub byzantine: bool,
    /// How it takes part in the root; `None` for a network of one shard that has none.
    pub root: Option<RootLink>,
}

/// Messages of other seats that may wait for the engine; more are dropped.
const NETWORK_QUEUE: usize = 4096;
/// Answers of this seat's own threads that may wait for the engine: far above the work handed out.
const LOCAL_QUEUE: usize = 4096;
/// Blocks whose check or commit may wait for the worker; then the engine waits.
const WORK_QUEUE: usize = 256;
/// Batches of entries that may wait to be executed ahead; more are skipped.
const AHEAD_QUEUE: usize = 1024;
/// Decided blocks that may wait for the disk; then the worker waits.
const COMMIT_QUEUE: usize = 64;

/// A running seat. Dropping it stops it.
pub struct Seat {
    context: Arc<SeatContext>,
    transport: Arc<dyn Transport>,
    status: Arc<RwLock<ShardStatus>>,
    inboxes: Inboxes,
    /// The root's part, and how to leave it.
    root: Option<RootView>,
    threads: Vec<(&'static str, JoinHandle<()>)>,
    killed: bool,
}

/// A running seat's part in the root.
#[derive(Debug)]
struct RootView {
    inbox: Arc<RootInbox>,
    chain: Arc<RootChain>,
    status: Arc<RwLock<RootStatus>>,
    transport: Arc<dyn NetworkTransport>,
}

#[derive(Debug)]
struct Inboxes {
    engine: Arc<EngineInbox>,
    work: Arc<WorkInbox>,
    slots: Arc<SlotInbox>,
    commits: Arc<CommitInbox>,
    flushes: Arc<FlushInbox>,
}

impl std::fmt::Debug for Seat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seat").field("seat", &self.context.seat).finish_non_exhaustive()
    }
}

impl Seat {
    /// Opens the seat's folder, brings its state up to its last decided block, and starts its threads.
    ///
    /// # Errors
    /// When the folder cannot be used or its blocks do not execute to their headers.
    pub fn start(config: &SeatConfig, transport: &Arc<dyn Transport>) -> Result<Self, NodeError> {
        let (genesis, genesis_state) = genesis::first_header(&config.spec, config.domain)?;
        let mut options = StoreOptions::new(&config.dir, config.spec.network, genesis.hash());
        options.replace_lost_record = true;
        if !config.founding {
            options.first_records.push(LogRecord::Standing(anfs_consensus::Standing::Lost).to_bytes());
        }
        let disk = config.disk.clone().unwrap_or_else(|| Arc::new(SystemDisk));
        let (store, recovered) = Store::open_on(options, &disk)?;
        let (context, flushed) =
            prepare(config, Arc::new(store), &genesis, genesis_state, recovered.flushed, recovered.tail)?;
        let replayed = read_log(&recovered.votes)?;
        let core = make_core(config, &context, replayed.clone())?;
        if let Some(hold) = core.status().hold {
            let why = describe_hold(hold);
            tracing::warn!(seat = %config.seat, why, "the seat is held back: it follows the chain and signs nothing");
        }
        let inboxes = Inboxes {
            engine: Arc::new(Inbox::new(LOCAL_QUEUE, NETWORK_QUEUE)),
            work: Arc::new(Inbox::new(WORK_QUEUE, AHEAD_QUEUE)),
            slots: Arc::new(Inbox::new(64, 1)),
            commits: Arc::new(Inbox::new(COMMIT_QUEUE, 1)),
            flushes: Arc::new(Inbox::new(1, 1)),
        };
        transport.attach(config.seat, Mailbox::new(inboxes.engine.clone(), context.clone()));
        let status = Arc::new(RwLock::new(core.status()));
        let transport = transport.clone();
        let liar = config.byzantine.then(|| Liar::new(config.key.clone(), config.seat));
        let side = match &config.root {
            Some(link) => Some(RootSide::open(
                &context,
                link,
                config.key.clone(),
                (&config.dir, &disk),
                config.founding,
            )?),
            None => None,
        };
        let root = config.root.as_ref().zip(side.as_ref()).map(|(link, side)| RootView {
            inbox: side.inbox.clone(),
            chain: side.chain.clone(),
            status: side.status.clone(),
            transport: link.transport.clone(),
        });
        let mut seat = Self { context, transport, status, inboxes, root, threads: Vec::new(), killed: false };
        seat.spawn(core, liar, flushed, &replayed)?;
        if let Some(RootSide { inbox, engine, .. }) = side {
            seat.thread("root", inbox.clone(), move || engine.run(&inbox))?;
        }
        Ok(seat)
    }

    fn spawn(
        &mut self,
        core: ShardCore,
        liar: Option<Liar>,
        flushed: (Height, WorldState),
        replayed: &[LogRecord],
    ) -> Result<(), NodeError> {
        let Inboxes { engine, work, slots, commits, flushes } = &self.inboxes;
        let (engine, work, slots) = (engine.clone(), work.clone(), slots.clone());
        let (commits, flushes) = (commits.clone(), flushes.clone());
        let (transport, context) = (self.transport.clone(), self.context.clone());

        let (flush_context, inbox) = (context.clone(), flushes.clone());
        self.thread("flusher", flushes.clone(), move || {
            run_flusher(&flush_context, &inbox, flushed.1);
            Ok(())
        })?;
        let root = self.root.as_ref().map(|root| root.inbox.clone());
        let committer = Committer::new(context.clone(), flushes, flushed.0, root);
        let inbox = commits.clone();
        self.thread("committer", commits.clone(), move || committer.run(&inbox))?;
        let grown = Arc::downgrade(&work);
        // A queue that is full wakes the worker as well.
        context.arrivals.on_growth(move || {
            if let Some(work) = grown.upgrade() {
                work.offer(Work::RootGrown);
            }
        });
        let (worker_context, worker_engine, inbox) = (context.clone(), engine.clone(), work.clone());
        // The worker is made on its own thread: an execution in progress never leaves the thread it began on.
        self.thread("worker", work.clone(), move || {
            Worker::new(worker_context, worker_engine, commits).run(&inbox)
        })?;
        // Any verifier may have to act as generator one day.
        let builder = Builder::new(context.clone(), engine.clone(), transport.clone());
        let inbox = slots.clone();
        self.thread("builder", slots.clone(), move || builder.run(&inbox))?;
        let status = self.status.clone();
        let engine_loop = Engine::new(context, core, transport, work, slots, status, replayed).lying(liar);
        let inbox = engine.clone();
        self.thread("engine", engine, move || engine_loop.run(&inbox))
    }

    /// Starts a thread that owns an inbox. When it ends, for whatever reason, the inbox is closed, so that
    /// nobody waits for it; when it fails, the whole node stops.
    fn thread<T: Send + 'static>(
        &mut self,
        name: &'static str,
        inbox: Arc<Inbox<T>>,
        body: impl FnOnce() -> Result<(), NodeError> + Send + 'static,
    ) -> Result<(), NodeError> {
        let context = self.context.clone();
        let handle = std::thread::Builder::new()
            .name(format!("{name}-{}", context.seat))
            .spawn(move || {
                let _close = CloseOnDrop(inbox);
                if let Err(error) = body()
                    && !context.health.stopping()
                {
                    tracing::error!(seat = %context.seat, thread = name, %error, "the node stops");
                    context.health.fail(error.to_string());
                }
            })
            .map_err(NodeError::Thread)?;
        self.threads.push((name, handle));
        Ok(())
    }

    /// The decided chain of this seat.
    #[must_use]
    pub fn chain(&self) -> &Arc<ChainView> {
        &self.context.chain
    }

    /// What the root has made final for its domain: whoever follows the root tells it here.
    #[must_use]
    pub fn arrivals(&self) -> &Arc<Arrivals> {
        &self.context.arrivals
    }

    /// What the consensus core says of itself.
    #[must_use]
    pub fn status(&self) -> ShardStatus {
        self.status.read().clone()
    }

    /// Whether the seat can do its work.
    #[must_use]
    pub fn health(&self) -> &Arc<Health> {
        &self.context.health
    }

    /// Counters of the seat.
    #[must_use]
    pub fn metrics(&self) -> &Arc<SeatMetrics> {
        &self.context.metrics
    }

    /// The final root blocks that this seat has on disk; `None` in a network without a root.
    #[must_use]
    pub fn root_chain(&self) -> Option<&Arc<RootChain>> {
        self.root.as_ref().map(|root| &root.chain)
    }

    /// What the root's consensus core says of itself.
    #[must_use]
    pub fn root_status(&self) -> Option<RootStatus> {
        self.root.as_ref().map(|root| root.status.read().clone())
    }

    pub(crate) fn context(&self) -> &Arc<SeatContext> {
        &self.context
    }

    pub(crate) fn transport(&self) -> &Arc<dyn Transport> {
        &self.transport
    }

    pub(crate) fn status_cell(&self) -> &Arc<RwLock<ShardStatus>> {
        &self.status
    }

    /// Lets the seat sign although it was held back. Takes effect as soon as the engine gets to it.
    pub(crate) fn release(&self) {
        self.inboxes.engine.push(EngineEvent::Release);
    }

    /// Stops the threads, front to back, and writes the state so that the next start is quick.
    pub fn stop(self) {
        drop(self);
    }

    /// Stops the threads where they are, as near to a power cut as threads come: what waits is forgotten,
    /// and nothing is flushed.
    pub fn kill(mut self) {
        self.leave();
        self.context.health.stop();
        let Inboxes { engine, work, slots, commits, flushes } = &self.inboxes;
        slots.abort();
        engine.abort();
        work.abort();
        commits.abort();
        flushes.abort();
        if let Some(root) = &self.root {
            root.inbox.abort();
        }
        for (thread, handle) in std::mem::take(&mut self.threads) {
            self.join(thread, handle);
        }
        self.killed = true;
    }

    fn join(&self, thread: &str, handle: JoinHandle<()>) {
        if handle.join().is_err() {
            tracing::error!(seat = %self.context.seat, thread, "a thread panicked");
        }
    }

    /// Nothing that others send reaches the seat any more.
    fn leave(&self) {
        self.transport.detach(self.context.seat);
        if let Some(root) = &self.root {
            root.transport.detach(RootSeat { domain: self.context.domain, seat: self.context.seat });
        }
    }

    fn shut_down(&mut self) {
        self.leave();
        self.context.health.stop();
        self.close_and_join("builder", &self.inboxes.slots.clone());
        self.close_and_join("engine", &self.inboxes.engine.clone());
        self.close_and_join("worker", &self.inboxes.work.clone());
        self.close_and_join("committer", &self.inboxes.commits.clone());
        if let Some(inbox) = self.root.as_ref().map(|root| root.inbox.clone()) {
            self.close_and_join("root", &inbox);
        }
        // What is on disk already is no news.
        if let Some(last) = last_flush(&self.context)
            && last.height > self.context.store.flushed_height()
        {
            self.inboxes.flushes.push(last);
        }
        self.close_and_join("flusher", &self.inboxes.flushes.clone());
    }

    fn close_and_join<T>(&mut self, name: &str, inbox: &Inbox<T>) {
        inbox.close();
        if let Some(at) = self.threads.iter().position(|(thread, _)| *thread == name) {
            let (_, handle) = self.threads.swap_remove(at);
            self.join(name, handle);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if self.killed {
            return;
        }
        self.shut_down();
    }
}

struct CloseOnDrop<T>(Arc<Inbox<T>>);

impl<T> Drop for CloseOnDrop<T> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Brings state and chain up to the last decided block on disk.
pub(crate) fn prepare(
    config: &SeatConfig,
    store: Arc<Store>,
    genesis: &SealedHeader,
    genesis_state: WorldState,
    on_disk: Option<(Height, B256)>,
    tail: Tail,
) -> Result<(Arc<SeatContext>, (Height, WorldState)), NodeError> {
    let spec = &config.spec;
    let genesis_state = genesis_state.with_reader(store.state_reader());
    let chain = ChainView::new(
        spec.clone(),
        store.clone(),
        genesis.clone(),
        genesis_state,
        config.limits,
        config.root.is_some(),
    );
    let mut flushed = (Height::ZERO, WorldState::empty());
    if let Some((height, root)) = on_disk {
        let state = WorldState::open(root, store.state_reader())?;
        let block = chain.read_block(height)?.ok_or_else(|| NodeError::Diverged {
            height,
            detail: "its state is on disk but the block is not".into(),
        })?;
        chain.restart_at(block, state.clone())?;
        flushed = (height, state);
    }
    let arrivals = Arc::new(Arrivals::new(&chain.head().header));
    let pool = Pool::new(config.pool.clone(), chain.head().header.base_fee);
    // There is one epoch until seats are elected, and it starts from genesis.
    let (seed, base) = (epoch_seed(spec, Epoch::ZERO), (Height::ZERO, chain.genesis_hash()));
    let group = Arc::new(ShardConfig::new(spec, config.domain, Epoch::ZERO, seed, base));
    let context = Arc::new(SeatContext {
        seat: config.seat,
        domain: config.domain,
        spec: spec.clone(),
        group,
        standing: Standing::default(),
        views: parking_lot::Mutex::default(),
        entropy: config.entropy,
        verified: config.verified.clone(),
        clock: config.clock.clone(),
        store,
        chain: Arc::new(chain),
        arrivals,
        executed: ExecutedBlocks::default(),
        on_disk: OnDisk::new(),
        codes: CodeCache::default(),
        pool: Arc::new(SharedPool::new(pool)),
        accounts: HeadAccounts::default(),
        metrics: Arc::new(SeatMetrics::new(
            RootSeat { domain: config.domain, seat: config.seat },
            spec.shards.len() == 1,
        )),
        health: Arc::default(),
    });
    replay(&context, tail)?;
    Ok((context, flushed))
}

/// Executes again the decided blocks whose state was not flushed.
fn replay(context: &Arc<SeatContext>, tail: Tail) -> Result<(), NodeError> {
    let (head, state) = context.chain.head_state();
    let mut parent = Arc::new(ExecutedBlock {
        header: head.header.clone(),
        state,
        flush_seen: Height::ZERO,
        transactions: head.transactions.clone(),
        receipts: head.receipts.clone(),
        crossing: head.crossing.clone(),
        touched: Vec::new(),
    });
    for record in tail {
        let record = record?;
        let height = record.certified.block.height();
        let (block, certificate) = (record.certified.block, record.certified.certificate);
        let diverged = |detail: String| NodeError::Diverged { height, detail };
        let (slot, beneficiary) = (block.header.slot, block.header.beneficiary);
        let place = context.executed.place(&parent, slot, beneficiary);
        // What was due is in the log: the root need not be there to say it.
        let messages = record.crossing.arrivals.into_inner().into_iter();
        let messages = messages.map(|arrival| Arc::new(arrival.message)).collect();
        let inbound = Inbound { reference: block.header.root_reference, messages };
        let mut run = BlockRun::start(context, parent, &place, &inbound)?;
        for entry in &block.body.entries {
            run.follow(entry).map_err(|error| match error {
                FollowError::Fault(fault) => diverged(fault.to_string()),
                FollowError::Local(error) => error,
            })?;
        }
        let outcome = run.finish()?;
        if let Some(field) = outcome.disagreement(&block.header) {
            return Err(diverged(format!("{field:?}")));
        }
        let executed = outcome.into_executed(block.header.clone());
        let visible = chain_block(
            &context.spec,
            block.header,
            Some(certificate),
            executed.transactions.clone(),
            executed.receipts.clone(),
            executed.crossing.clone(),
        );
        context.chain.publish(Arc::new(visible), executed.state.clone());
        parent = Arc::new(executed);
    }
    context.arrivals.prune(&parent.header);
    context.executed.insert(parent);
    Ok(())
}

pub(crate) fn make_core(
    config: &SeatConfig,
    context: &SeatContext,
    replayed: Vec<LogRecord>,
) -> Result<ShardCore, NodeError> {
    let shard = &config.spec.shards[config.domain.0.saturating_sub(1) as usize];
    let own = Some((config.seat, config.key.clone()));
    let inner = BlsCrypto::from_spec(own, shard, config.entropy).map_err(ConsensusError::from)?;
    let quorum = Quorum::new(usize::from(config.spec.verifiers_per_shard))?;
    let crypto = SharedCrypto { inner, domain: config.domain, quorum, verified: config.verified.clone() };
    let head = context.chain.head();
    let reach = context.group.reach() as u64;
    let first = head.header.height.0.saturating_sub(reach) + 1;
    let mut decided = Vec::new();
    for height in (first..=head.header.height.0).map(Height) {
        decided.extend(context.chain.block(height)?.and_then(|block| block.certificate.clone()));
    }
    let anchor = Anchor::new(&head.header, decided);
    Ok(ShardCore::new(
        ShardConfig::clone(&context.group),
        Some(config.seat),
        Arc::new(crypto),
        anchor,
        replayed,
    )?)
}

pub(crate) fn read_log(records: &[Vec<u8>]) -> Result<Vec<LogRecord>, NodeError> {
    let records = records.iter().map(|record| LogRecord::from_bytes(record));
    records.collect::<Result<_, _>>().map_err(|error| NodeError::SigningLog(error.to_string()))
}

/// Public randomness of an epoch. There is one epoch until seats are elected; its seed is the spec's own hash.
pub(crate) fn epoch_seed(spec: &ChainSpec, epoch: Epoch) -> B256 {
    keccak256([b"anfs/epoch-seed/v1", &spec.hash()[..], &epoch.0.to_be_bytes()].concat())
}
